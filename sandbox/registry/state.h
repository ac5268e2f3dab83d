/* SPDX-License-Identifier: Apache-2.0 */
/* Where sbx keeps what outlives a moment: the directories, found and opened, made where they are missing.
 *
 * runtime  $XDG_RUNTIME_DIR/sbx, else "run" in the state directory: lock files and sockets of live workers
 * state    $XDG_STATE_HOME/sbx, else HOME/.local/state/sbx: kept workers, disk uppers, the registry
 *
 * Each is a directory of the caller's own, mode 0700, and no symlink; anything else is refused, so that neither `sudo`
 * with somebody's HOME nor a prepared symlink makes sbx write elsewhere. Paths may hold any bytes. A relative path in
 * the environment does not count (XDG Base Directory Specification). Nothing here is needed for a worker to run: a
 * caller that cannot open them goes on unlisted and says so. */
#ifndef SBX_REGISTRY_STATE_H
#define SBX_REGISTRY_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/fd.h"

enum {
	STATE_RUNTIME_PLACES_MAX = 3,
};

enum state_place_kind {
	STATE_PLACE_GIVEN,   /* below XDG_RUNTIME_DIR, which must exist already */
	STATE_PLACE_STATE,   /* in the state directory */
	STATE_PLACE_GUESSED, /* where logind would put it; only looked at, since it may end with a session not ours */
};

/* Where to look, by the environment alone: nothing is opened or made to find this out. */
struct state_paths {
	/* In the order of preference: a worker is made in the first that can be used and looked for in each, since
	 * the next command may come from cron, su or CI with another environment. */
	struct state_place {
		enum state_place_kind kind;
		char *path;
	} runtime[STATE_RUNTIME_PLACES_MAX];
	size_t runtime_count;
	char *state; /* NULL: neither XDG_STATE_HOME nor a home */
};

enum state_missing {
	STATE_MAKE,  /* make what is missing */
	STATE_LEAVE, /* -ENOENT where it is missing; `error` is filled all the same */
};

/* The directories inside the state directory. */
enum state_part {
	STATE_RUN,    /* lock files, where there is no runtime directory */
	STATE_UPPERS, /* ID/: a writable layer on disk, claimed by a live worker; or the place of a run's seeds */
	STATE_KEPT,   /* ID/: a kept worker */
	STATE_RUNS,   /* ID/: logs and events of a test run or a pool, claimed while it lasts */
	STATE_TIMES,  /* HASH: how long the items of a list took, for the order of the next run */
	STATE_SEEDS,  /* NAME/: a seed, its layers at another place */
	STATE_TRASH,  /* on the way to removal */
	STATE_PARTS,
};

/** @home  the caller's, absolute; NULL: has none */
void state_paths_find(const char *home, struct state_paths *ret_paths);
void state_paths_release(struct state_paths *paths);

/** Opens the first runtime directory that can be used. Two system calls where it exists.
 *  @ret_fd  the caller's   @return which of paths->runtime, or -errno of the last one tried */
int state_open_runtime(const struct state_paths *paths, enum state_missing missing, int *ret_fd, struct error *error);

/* The runtime directories that exist, none twice. */
struct state_runtimes {
	int fds[STATE_RUNTIME_PLACES_MAX];
	size_t count;
};

/** Opens all runtime directories that exist and are the caller's own. Others are passed over. */
void state_open_runtimes(const struct state_paths *paths, struct state_runtimes *ret_runtimes);
void state_runtimes_close(struct state_runtimes *runtimes);
#define owned_runtimes __attribute__((cleanup(state_runtimes_close))) struct state_runtimes

/** Opens the state directory. @ret_fd the caller's   Errors: ENOENT, EROFS, EACCES, EPERM (foreign), ENOTDIR (symlink)
 */
int state_open(const struct state_paths *paths, enum state_missing missing, int *ret_fd, struct error *error);

/** Opens a directory inside it, under the same rules. @ret_fd the caller's */
int state_open_part(int state_fd, enum state_part part, enum state_missing missing, int *ret_fd, struct error *error);

/** Its name: "kept". */
const char *state_part_name(enum state_part part);

#endif
