/* SPDX-License-Identifier: Apache-2.0 */
/* A world that is built again from what a worker on another machine changed: it has its tree and HOME at the paths that
 * they had there, over the directories of this machine.
 *
 * What it is told comes from a bundle, so it is not trusted: paths that would cover the system are refused, what is
 * hidden of HOME is hidden wherever it shows, and files of the bundle never bring a hidden directory back. */
#ifndef SBX_WORKER_MOVED_H
#define SBX_WORKER_MOVED_H

#include "base/error.h"
#include "base/text.h"

struct world;
struct world_database;
struct worker_plan;
struct layer_request;

/* Borrowed by the plan. The spec's tree, workdir and databases are the paths of the other machine. */
struct moved {
	const char *tree;  /* the tree on this machine, canonical */
	const char *home;  /* HOME on the other one; NULL: it had none */
	const char *files; /* absolute: a directory in which files/PATH is what belongs at PATH */
	/* As they were noted there. */
	struct world_database *databases;
	size_t database_count;
};

/* ---- Host side, in the plan's order ---- */

/** HOME: this caller's, shown where the other's was. */
int moved_plan_home(struct worker_plan *plan, struct error *error);
int moved_plan_tree(struct worker_plan *plan, struct error *error);
/** Hides a path of this machine wherever tree or HOME shows it. */
void moved_hide(struct worker_plan *plan, const char *path);

/* ---- In PID 1 ---- */

/** Opens what belongs into the layers, and asks for those that mount points need.
 *  @requests  room for 3 more, and 2 for each database */
int moved_open(struct world *world, struct layer_request *requests, size_t *count, struct text_list *paths,
	       struct error *error);
/** Lays it over the layers, after layers_hide(). @base_fd where they are */
int moved_fill(struct world *world, int base_fd, struct error *error);

#endif
