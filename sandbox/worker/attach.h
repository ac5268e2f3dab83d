/* SPDX-License-Identifier: Apache-2.0 */
/* A command in a world with this process in front of it: `run`, `exec`, `shell` alike.
 *
 *  1. attach_start() asks the world's PID 1 for the command, with what it gets for 0 to 2 (relay.h).
 *  2. attach_follow() stays with it to its end, and makes an exit status of that. */
#ifndef SBX_WORKER_ATTACH_H
#define SBX_WORKER_ATTACH_H

#include "base/error.h"
#include "sandbox/worker/relay.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/spec.h"

struct attach_options {
	const struct spec
		*spec;	      /* payload, pass_fds, timeout, stop signal and grace; environment as `set`, `unset` say */
	struct text_list set; /* borrowed: over the world's environment */
	struct text_list unset;
	const char *directory;	/* NULL: the world's own */
	struct log_writer *log; /* borrowed; NULL: no log */
	bool is_main;		/* the worker's own command */
	bool own_environment;	/* `set` is all of it: nothing of the world's */
	bool no_terminal;	/* a terminal is handed on like any other file: only to a world that may have it */
};

/** Sends the request; does not wait.
 *  @socket     borrowed: a connection to PID 1, or the owner's
 *  @ret_relay  the caller's, relay_close()   Errors: of relay_open(); a PID 1 that is gone is no error here */
int attach_start(int socket, const struct attach_options *options, struct relay **ret_relay, struct error *error);

/** Follows the command to its end. @pidfd as relay_run()
 *  @ret_exit_code  filled in any case: its own, 128 + signal, 124, or 125 to 127 where it could not be started
 *  @ret_result     how it ended; may be NULL
 *  Errors: it could not be started, or the world ended without a word */
int attach_follow(struct relay *relay, int socket, int pidfd, struct relay_result *ret_result, int *ret_exit_code,
		  struct error *error);

#endif
