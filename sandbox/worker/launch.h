/* SPDX-License-Identifier: Apache-2.0 */
/* What happens on `sbx run`, top to bottom: read launch.c first. */
#ifndef SBX_WORKER_LAUNCH_H
#define SBX_WORKER_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "sandbox/worker/network.h"
#include "sandbox/worker/relay.h"
#include "sandbox/worker/spec.h"
#include "sandbox/worker/world.h"

/* Is told what the user should know while it happens, a line each, without newline. */
typedef void launch_say(const char *line);

struct launch_result {
	int exit_code; /* what sbx returns: the payload's own, 128 + signal, 124, 125, 126, 127 */
	struct relay_result command;
	bool is_kept;
};

/** Runs one worker in the foreground and returns when every process of it is gone. Host side, single-threaded.
 *  @say         progress and notes
 *  @ret_result  filled in any case: on failure the exit code says which kind (125; 126, 127: exec). For the caller to
 *               give to relay_raise() when all is said and done
 *  Errors: any step of set-up; nothing of the world is left then. */
int launch_run(const struct spec *spec, launch_say *say, struct launch_result *ret_result, struct error *error);

/* What is to be done with the world when its command has ended and nothing runs in it any more. */
struct launch_last {
	/** @control_fd  to its PID 1, for tasks   @return 0 or -errno with error filled */
	int (*run)(void *argument, const struct worker_plan *plan, int control_fd, struct error *error);
	void *argument;
};

/** The same, and at the end `last`, if the command's exit status is 0. A failure of it is one of the whole.
 *  @ret_result  its exit code is the command's until `last` fails */
int launch_run_to_end(const struct spec *spec, launch_say *say, const struct launch_last *last,
		      struct launch_result *ret_result, struct error *error);

/* ---- parts of it, for whoever owns a world without a command of its own ---- */

/* A world that is being made, or lives. */
struct launched {
	pid_t pid;			    /* of PID 1 */
	int pidfd;			    /* -1: none */
	int control_fd;			    /* the owner's connection; its end is the world's */
	pid_t helpers[NETWORK_HELPERS_MAX]; /* on the host, for its network; they end with it */
};

#define LAUNCHED_NONE                                                                                                  \
	{                                                                                                              \
		.pidfd = -1, .control_fd = -1                                                                          \
	}

/** Clones PID 1, which begins to build the world. Takes over the plan's ends of the control socket.
 *  @ret_launched  launch_end() */
int launch_begin(struct worker_plan *plan, struct launched *ret_launched, struct error *error);

/** Waits until the world stands.
 *  @degraded  is added to: what is weaker than usual; may be NULL
 *  Errors: of the step that failed */
int launch_wait_ready(const struct launched *launched, launch_say *say, struct text_list *degraded,
		      struct error *error);

/** Ends the world and returns when all of it is gone. Takes LAUNCHED_NONE and a second call. */
void launch_end(struct launched *launched);

#endif
