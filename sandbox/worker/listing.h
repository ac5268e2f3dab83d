/* SPDX-License-Identifier: Apache-2.0 */
/* How other sbx commands find a live worker: its lock file, whose lock says that it lives and whose content says what
 * it is, and its listening socket, by which PID 1 is reached. Host side.
 *
 * Both are made before clone, so that sbx and PID 1 share the lock, and PID 1 has the socket. A worker needs neither to
 * run: where they cannot be made it runs unlisted, and says so. */
#ifndef SBX_WORKER_LISTING_H
#define SBX_WORKER_LISTING_H

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/registry/lock.h"
#include "sandbox/registry/row.h"
#include "sandbox/worker/world.h"

struct listing {
	int runtime_fd;
	struct lock lock;
	int listener_fd; /* until listing_started() */
	struct worker_row row;
};

/** Lists a worker that is about to start, and fills plan->id, lock_fd and listener_fd, which stay the listing's.
 *  @note  filled where it runs unlisted, else emptied
 *  @return 0, or -EEXIST: a live worker has that name; listing_close() in both cases */
int listing_open(struct worker_plan *plan, struct listing *ret_listing, struct world_note *note, struct error *error);

/** PID 1 has its copies: lets go of the listener, and says in the row that it runs.
 *  @pid  of PID 1 on the host   @log_directory  absolute, or NULL   @degraded  what is weaker than usual, borrowed */
void listing_started(struct listing *listing, pid_t pid, const char *log_directory, const struct text_list *degraded);

/** Lists it under another name. Where it cannot be, say since a live worker has that, the listing stays as it was: no
 *  reason to end a worker. */
void listing_rename(struct listing *listing, const char *name);

/** The worker's end: removes lock file and socket. Takes { .runtime_fd = -1, .lock.fd = -1, .listener_fd = -1 }. */
void listing_close(struct listing *listing);

/** The worker goes on without this process: lets go of the lock, which PID 1 holds. */
void listing_leave(struct listing *listing);

#define LISTING_NONE                                                                                                   \
	{                                                                                                              \
		.runtime_fd = -1, .lock = { .fd = -1 }, .listener_fd = -1                                              \
	}

#endif
