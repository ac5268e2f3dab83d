/* SPDX-License-Identifier: Apache-2.0 */
/* `--keep`: what a worker wrote outlives it, as a kept worker (sandbox/registry/kept.h), if its end is one that is
 * kept.
 *
 * The directory is begun before the worker starts, so that what cannot be kept is said before anything is done, and the
 * log is in its place from the first line. The layers are copied by a task inside the world, while that is still held.
 * Host side. */
#ifndef SBX_WORKER_KEEP_H
#define SBX_WORKER_KEEP_H

#include <stdint.h>

#include "base/error.h"
#include "sandbox/registry/kept.h"
#include "sandbox/worker/log.h"
#include "sandbox/worker/world.h"

struct keeping {
	enum keep_mode mode;
	uint64_t bytes_max; /* of the layers; 0: no limit */
	int state_fd;
	struct kept_draft draft;
	struct log_writer log;
	char *state;	     /* path of the state directory */
	char *log_directory; /* absolute, while the worker lives */
};

#define KEEPING_NONE                                                                                                   \
	{                                                                                                              \
		.state_fd = -1, .draft = { .fd = -1 }, .log = {.fd = -1 }                                              \
	}

/** Makes the directory, if the plan's spec wants anything kept. After listing_open(), which gives the id.
 *  @ret_keeping  keep_close() in any case   Errors: the state directory cannot be written */
int keep_begin(const struct worker_plan *plan, struct keeping *ret_keeping, struct error *error);

/** Begins to keep what a live worker is at this moment, which goes on living: under an id of its own, with an empty
 *  directory of logs, to be filled by the caller through draft.fd. keep_finish() takes it.
 *  @ret_id  the caller's; kept->row.id for keep_finish() */
int keep_begin_beside(const struct worker_plan *plan, uint64_t bytes_max, struct keeping *ret_keeping, char **ret_id,
		      struct error *error);

/** The log to write to, or NULL; and its directory, or NULL. Borrowed. */
struct log_writer *keep_log(struct keeping *keeping);
const char *keep_log_directory(const struct keeping *keeping);

/** The main payload has ended: keeps the worker if it is to be kept.
 *  @control_fd  the owner's connection to PID 1
 *  @kept        row and exit status are filled; the rest is filled here
 *  @return 1 kept, 0 not to be kept, or -errno (EFBIG: more than bytes_max): nothing is left of it then */
int keep_finish(struct keeping *keeping, int control_fd, struct kept_worker *kept, struct error *error);

/** Removes what was not kept. Takes KEEPING_NONE. */
void keep_close(struct keeping *keeping);

#endif
