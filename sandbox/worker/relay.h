/* SPDX-License-Identifier: Apache-2.0 */
/* What the host-side command of a payload does while that runs: `run`, `exec` and `shell` alike.
 *
 *  1. relay_open() looks at the caller's descriptors 0 to 2 and decides what the payload gets for each: the descriptor
 *     itself (pipes and files: no byte passes through here), a private terminal where it is the caller's terminal, or a
 *     pipe where output is to be logged.
 *  2. The caller sends REQUEST_SPAWN with relay_stdio().
 *  3. relay_run() follows the payload to its end: terminal, window size, job control, signals, timeout, log.
 *  4. relay_close().
 *
 * The terminal. With stdin on it, and stdout no pipe, the payload has it as soon as this process is in the terminal's
 * foreground. Else it stays as it is: other members of the pipeline may use it, Ctrl-C works by the ordinary signal,
 * and the payload gets it when it wants it, for as a background process of its private terminal it is stopped by
 * SIGTTIN or SIGTTOU then. In the background of the caller's shell it is never touched; a payload that wants it there
 * stops this process with the same signal, as the shell's users know it.
 *
 * Signals. While relay_run() runs, signals that this process gets are sent to the payload's group instead, but for
 * those that were ignored when it began (nohup). SIGTERM also starts the stop timeout, after which the group is killed.
 */
#ifndef SBX_WORKER_RELAY_H
#define SBX_WORKER_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "sandbox/worker/log.h"
#include "sandbox/worker/terminal.h"

struct relay;

struct relay_options {
	int stdio[3];		  /* the caller's, borrowed; must be open (fd_ensure_standard()) */
	struct log_writer *log;	  /* borrowed; NULL: no log, and no pipes */
	bool no_terminal;	  /* a terminal is handed on like any other file: only for a world that may have it */
	uint64_t timeout_ms;	  /* from the start of the payload; 0: none */
	int stop_signal;	  /* for the timeout; 0: SIGTERM */
	uint64_t stop_timeout_ms; /* from a stop signal or SIGTERM to SIGKILL */
};

/* What the payload is given. */
struct relay_stdio {
	int fds[3];		     /* -1: the terminal takes its place; borrowed */
	unsigned flags;		     /* enum spawn_flag: SPAWN_TERMINAL_…, SPAWN_BACKGROUND */
	struct terminal_shape shape; /* of the terminal */
};

struct relay_result {
	bool is_started;
	pid_t pid;	/* inside the world */
	bool has_ended; /* wait_status is the payload's */
	int wait_status;
	bool timed_out;
	bool world_died;     /* PID 1 ended without a word on the payload */
	int interrupted_by;  /* SIGINT or SIGQUIT of the terminal, if that ended the payload: see relay_raise() */
	bool is_typed;	     /* it was typed while the payload had the terminal: this process's group does not know */
	struct error advice; /* what may be why it failed; step empty: nothing */
	int log_number;	     /* errno where the log could not be written */
};

int relay_open(const struct relay_options *options, struct relay **ret_relay, struct error *error);
void relay_get_stdio(const struct relay *relay, struct relay_stdio *ret_stdio);

/** Has the signals that relay_run() hears wait for it, where something else is to be done between: the payload may run
 *  by now, and they are for it. */
int relay_take_signals(struct relay *relay, struct error *error);

/** Follows the payload until REPLY_EXITED and all of its output is delivered, until the world has died, or
 * REPLY_FAILED, which becomes `error`. The terminal has its own modes again when this returns.
 *  @control_fd  borrowed; a connection on which REQUEST_SPAWN was sent
 *  @pidfd       borrowed; of the world's PID 1; -1: only the connection's end tells of its death
 *  @return 0, or -errno: REPLY_FAILED, a broken protocol, no descriptors left */
int relay_run(struct relay *relay, int control_fd, int pidfd, struct relay_result *ret_result, struct error *error);

/** Takes NULL. */
void relay_close(struct relay *relay);

/** Ends this process as Ctrl-C would have: shells that run it in a loop, make and others tell an interrupted program by
 *  its death from SIGINT, and some by having got the signal themselves (https://www.cons.org/cracauer/sigint.html).
 *  Returns only where result->interrupted_by is 0. */
void relay_raise(const struct relay_result *result);

#endif
