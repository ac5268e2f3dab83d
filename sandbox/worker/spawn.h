/* SPDX-License-Identifier: Apache-2.0 */
/* The one path by which a process of the user's comes into being in a world.
 *
 * Inside PID 1. NO_NEW_PRIVS, dropped capabilities and lowered limits are inherited for ever, so PID 1 has none of them
 * and each child applies them to itself, in the order of the list in spawn.c, just before exec (finding 39). */
#ifndef SBX_WORKER_SPAWN_H
#define SBX_WORKER_SPAWN_H

#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/worker/world.h"

enum { SPAWN_FDS_MAX = 16 };

struct spawn {
	const struct text_list *arguments;   /* argv; the program is looked up in PATH of `environment` */
	const struct text_list *environment; /* NAME=VALUE */
	const char *directory;		     /* absolute */
	int fds[SPAWN_FDS_MAX];		     /* borrowed; 0 to 2 first */
	int numbers[SPAWN_FDS_MAX];	     /* what each becomes */
	size_t fd_count;
};

/** Starts it. @ret_pid its number inside.
 *  Errors: of each step of the list; of exec with number ENOENT, EACCES, ENOEXEC … and step "execute". */
int spawn_start(const struct world *world, const struct spawn *spawn, pid_t *ret_pid, struct error *error);

/** Exit status for an error of spawn_start(): 127 the program does not exist, 126 it cannot be executed, 125 the rest.
 */
int spawn_exit_code(const struct error *error);

#endif
