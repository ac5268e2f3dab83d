/* SPDX-License-Identifier: Apache-2.0 */
/* Which worker a word on the command line means.
 *
 * In this order: a whole id, a name, RUN/wN (worker N of the run or pool with that id or name), wN (worker N of the
 * newest run or pool of the tree in which the current directory lies, else of any where only one has it), the beginning
 * of an id (3 characters or more). A live worker goes before kept ones of the same name; several kept ones of one name
 * are ambiguous, because the next command may be `rm`. */
#ifndef SBX_REGISTRY_RESOLVE_H
#define SBX_REGISTRY_RESOLVE_H

#include "base/error.h"
#include "sandbox/registry/kept.h"
#include "sandbox/registry/lock.h"
#include "sandbox/registry/state.h"

enum resolve_scope {
	RESOLVE_LIVE = 1 << 0,
	RESOLVE_KEPT = 1 << 1,
};

/* {.runtime_fd = -1, .state_fd = -1}: none. */
struct resolved_worker {
	bool is_live;
	struct kept_worker worker; /* of a live one only `row` is filled */
	int runtime_fd;		   /* where the lock of a live one lies; -1: kept */
	int state_fd;		   /* where a kept one lies; -1: live */
};

void resolved_worker_release(struct resolved_worker *resolved);
#define owned_resolved __attribute__((cleanup(resolved_worker_release))) struct resolved_worker

/** @word  as the user typed it, any bytes   @scope  where to look
 *  @return 0; -ENOENT: none, the error offers the nearest name; -EEXIST: several, the error lists them; or of reading
 */
int resolve_worker(const struct state_paths *paths, const char *word, unsigned scope,
		   struct resolved_worker *ret_resolved, struct error *error);

#endif
