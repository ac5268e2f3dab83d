/* SPDX-License-Identifier: Apache-2.0 */
/* The one path by which a process of the user's comes into being in a world.
 *
 * Inside PID 1. NO_NEW_PRIVS, dropped capabilities and lowered limits are inherited for ever, so PID 1 has none of them
 * and each child applies them to itself, in the order of the list in spawn.c, just before exec (finding 39). */
#ifndef SBX_WORKER_SPAWN_H
#define SBX_WORKER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/worker/terminal.h"
#include "sandbox/worker/world.h"

enum { SPAWN_FDS_MAX = 16 };

struct spawn {
	const struct text_list *arguments;   /* argv; the program is looked up in PATH of `environment` */
	const struct text_list *environment; /* NAME=VALUE */
	const char *directory;		     /* absolute */
	int fds[SPAWN_FDS_MAX];		     /* borrowed; -1: the slave side of the private terminal */
	int numbers[SPAWN_FDS_MAX];	     /* what each becomes */
	size_t fd_count;
	bool is_main; /* with Landlock: sibling domains cannot trace each other, so other commands have none */
	/* Set: on a private terminal, as a job of its leader. */
	const struct terminal_shape *shape;
	bool is_background;
};

struct spawned {
	pid_t payload;	/* inside; leads its process group */
	pid_t leader;	/* of the private terminal's session, the caller's child in its place; 0: no terminal */
	int channel_fd; /* to the leader, the caller's; -1 */
	int master_fd;	/* of the terminal, to be handed to the client; the caller's; -1 */
};

/** Starts it, and returns when it has executed.
 *  Errors: of each step of the list; of exec with number ENOENT, EACCES, ENOEXEC … and step "execute". */
int spawn_start(const struct world *world, const struct spawn *spawn, struct spawned *ret_spawned, struct error *error);

/** Exit status for an error of spawn_start(): 127 the program does not exist, 126 it cannot be executed, 125 the rest.
 */
int spawn_exit_code(const struct error *error);

#endif
