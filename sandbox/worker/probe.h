/* SPDX-License-Identifier: Apache-2.0 */
/* Whether worlds can be made on this machine, and if not, why not and what to do: the causes of `run` and of `doctor`.
 *
 * Two ways in. probe_machine() does each step of a worker's set-up for real, in throw-away children, and goes on behind
 * one that fails. probe_explain() is told an error that a step gave, and looks at the machine only then. A row of the
 * first carries what the second says, so that both name the same cause and remedy. Host side, single-threaded. */
#ifndef SBX_WORKER_PROBE_H
#define SBX_WORKER_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum probe_state {
	PROBE_OK,
	PROBE_DEGRADED, /* `run` works, with less than there could be */
	PROBE_MISSING,	/* `run` does not work */
	PROBE_UNTRIED,	/* what it stands on is missing */
};

struct probe_row {
	enum probe_state state;
	char step[96];	  /* as the errors of `run` name it */
	char object[512]; /* may be empty; may hold any bytes but NUL */
	char found[256];
	char cause[384];  /* empty where the state is PROBE_OK */
	char remedy[512]; /* a line to be pasted, or what to do; may be empty */
};

struct probe_report {
	struct probe_row *rows;
	size_t count;
	bool is_usable; /* a plain `sbx run` works: nothing is missing */
};

/** Tries each step for a worker in the directory `tree` (NULL: the current one). Takes a tenth of a second, a minute at
 *  most. Makes the state and runtime directories as `run` would, leaves nothing else.
 *  @ret_report  the caller's, probe_report_release()
 *  @return 0, or -errno: the probing itself failed */
int probe_machine(const char *tree, struct probe_report *ret_report, struct error *error);
/** Adds what a worker would trip over later: owners that cannot be mapped, mounts, directories nobody can read, and the
 *  state of each database that a plain run would copy. Takes time in proportion to the tree.
 *  @report  what probe_machine() gave */
int probe_tree(const char *tree, struct probe_report *report, struct error *error);
void probe_report_release(struct probe_report *report);

/** "ok", "degraded", "missing", "untried". */
const char *probe_state_name(enum probe_state state);

/** Refines cause and remedy of an error that a step of set-up gave, by what this machine says: which limit is reached,
 *  which system call is missing, which flag the container lacks. An error that has a cause of its own, not one out of
 *  the table of error_explain(), stays as it is. To be called on failure only: it makes children and reads files. */
void probe_explain(struct error *error);

#endif
