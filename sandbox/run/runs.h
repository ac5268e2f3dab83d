/* SPDX-License-Identifier: Apache-2.0 */
/* The runs that there are: runs/ID in the state directory, with their journals and logs, long after they ended. They go
 * by age and number, so that no disk fills: RUNS_KEPT_MAX of them, none older than RUNS_DAYS_MAX days. */
#ifndef SBX_RUN_RUNS_H
#define SBX_RUN_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/registry/row.h"
#include "sandbox/registry/state.h"

enum {
	RUNS_KEPT_MAX = 50,
	RUNS_DAYS_MAX = 30,
};

struct runs_entry {
	char id[ID_LENGTH + 1];
	char *tree;	    /* NULL: its journal does not say */
	bool is_live;	    /* it goes on */
	bool has_journal;   /* else it is a pool's, or of a run that never began */
	int64_t changed_ns; /* of its journal or directory, CLOCK_REALTIME */
};

struct runs_list {
	struct runs_entry *items; /* the newest first */
	size_t count;
};

void runs_list_release(struct runs_list *list);
#define owned_runs __attribute__((cleanup(runs_list_release))) struct runs_list

/** A state directory without any is an empty list. @state_fd borrowed */
int runs_list(int state_fd, struct runs_list *ret_list, struct error *error);
/** Opens the directory of one. @ret_fd the caller's   Errors: ENOENT */
int runs_open(int state_fd, const char *id, int *ret_fd, struct error *error);

enum runs_prune {
	RUNS_PRUNE_OLD, /* those beyond number and age, and what a killed pool left */
	RUNS_PRUNE_ALL, /* each that has ended */
};

/** Whether pruning takes it. @number  among those with a journal, 0: the newest   @now_ns  CLOCK_REALTIME */
bool runs_is_prunable(const struct runs_entry *entry, size_t number, enum runs_prune which, int64_t now_ns);
/** Removes one that has ended. Errors: EBUSY it goes on, ENOENT */
int runs_remove(int state_fd, const char *id, struct error *error);
/** Removes the old ones; what cannot be removed is the next one's. */
void runs_prune_old(int state_fd);

#endif
