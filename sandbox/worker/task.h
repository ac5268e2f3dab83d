/* SPDX-License-Identifier: Apache-2.0 */
/* Work that sbx itself does inside a world for a command on the host: list what changed, copy files, ask a database,
 * keep the worker.
 *
 * A task runs in a fork of PID 1, in the world's mounts: no binary is placed in a world, and files are seen as the
 * payload sees them (a live database may only be opened there: POSIX locks on the merged file and on the one in the
 * upper directory do not meet). The fork stays out of the payload's reach (not dumpable). It opens what it needs, then
 * task_confine() takes its capabilities and loads the READER filter, and only then it reads what the payload wrote:
 * all of that is hostile input. Results go to descriptors that the command passed; errors are told by task_run()'s
 * caller (server.c). */
#ifndef SBX_WORKER_TASK_H
#define SBX_WORKER_TASK_H

#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/worker/world.h"

enum task_kind {
	TASK_INSPECT = 1, /* fds: out. Writes describe_world()'s JSON object */
	TASK_DIFF,	  /* fds: out. arguments: "table" or "json" */
	TASK_COPY_OUT,	  /* fds: host directory. arguments: path inside, name there */
	TASK_COPY_IN,	  /* fds: host directory. arguments: name there, path inside */
	TASK_DB_LIST,	  /* fds: out. arguments: "table" or "json" */
	TASK_DB_QUERY,	  /* fds: out. arguments: "table" or "json", database (path, or "" for the only one), SQL */
	TASK_KEEP,	  /* fds: the kept worker's directory. Copies the writable layers to upper-N */
};

enum { TASK_FDS_MAX = 4 };

struct task {
	enum task_kind kind;
	struct text_list arguments;
	int fds[TASK_FDS_MAX]; /* borrowed */
	size_t fd_count;
};

/** Does it. In a fork of PID 1 that does nothing else and ends after it.
 *  @return exit status for the command (0 as a rule), or -errno with error filled */
int task_run(const struct world *world, const struct task *task, struct error *error);

/** Gives up what reading needs no more: all capabilities (NO_NEW_PRIVS as well), and every system call that the READER
 *  filter does not name, which kills from then on. @return 0 or -errno */
int task_confine(struct error *error);

#endif
