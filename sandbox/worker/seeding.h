/* SPDX-License-Identifier: Apache-2.0 */
/* How a named seed (sandbox/registry/seeds.h) comes about: a world is frozen into a draft, and what it stands on is
 * noted.
 *
 *	seeding_begin()		waits for others that make it, looks whether the one there is still fits
 *	then, if not:		seeding_start(), the command in a world, seeding_task() while that is held,
 *				seeding_finish()
 *	seeding_close()		in any case: what was not finished is gone
 *
 * Host side. */
#ifndef SBX_WORKER_SEEDING_H
#define SBX_WORKER_SEEDING_H

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/registry/seeds.h"
#include "sandbox/worker/launch.h"
#include "sandbox/worker/spec.h"
#include "sandbox/worker/task.h"

struct seeding_options {
	const struct spec *spec; /* of the world that its command runs in; NULL: a commit */
	const char *tree;	 /* of a commit: the worker's */
	const char *name;
	const char *origin;		 /* struct seed_record's */
	const struct text_list *command; /* NULL: a commit */
	const struct text_list *inputs;
	const struct text_list *settings; /* what else it depends on, in a fixed order; may be NULL */
	launch_say *say;
};

struct seeding {
	const struct seeding_options *options;
	int state_fd;
	int lock_fd;
	int answer_fd; /* what the freeze says */
	struct seed_draft draft;
	struct seed_record record;
	struct text_list sources; /* databases of the tree that it begins with */
};

#define SEEDING_NONE                                                                                                   \
	{                                                                                                              \
		.state_fd = -1, .lock_fd = -1, .answer_fd = -1, .draft = SEED_DRAFT_NONE                               \
	}

/** Finds out what the seed stands on now.
 *  @ret_changed  why one that is there has to be made anew, in words; added to; may be NULL
 *  @return 1: there is one that fits, made of the same; 0: it is to be made; or -errno */
int seeding_begin(struct seeding *seeding, const struct seeding_options *options, struct text_list *ret_changed,
		  struct error *error);
/** Makes the draft. */
int seeding_start(struct seeding *seeding, struct error *error);
/** What freezes the world into it: to be run there, once. Borrows from `seeding`; no arguments to be released. */
struct task seeding_task(const struct seeding *seeding);
/** After that task: it exists from here on. */
int seeding_finish(struct seeding *seeding, struct error *error);
void seeding_close(struct seeding *seeding);

/** Whether a seed fits the tree as it is: the tree's path, and all that it stands on.
 *  Errors: ESTALE names what has changed */
int seeding_check(const struct seed_record *record, const char *tree, struct error *error);

#endif
