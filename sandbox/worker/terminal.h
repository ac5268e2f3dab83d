/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals: the private one inside a world with its job control, and the caller's own one on the host.
 *
 * Inside: PID 1 calls terminal_start(). It makes a terminal from the world's own devpts and forks a *leader*, which
 * keeps PID 1's protection, leads the terminal's session and starts the payload as its job, in a process group of its
 * own. Without the leader the payload's group would be orphaned, and the kernel drops the terminal's SIGTSTP for those
 * (finding 51). The leader tells of stops and of the end; it is told when to go on.
 *
 * On the host: `struct terminal` is the caller's terminal. It is *taken* (raw, echo off) only while the payload has it,
 * and given back with the modes it had in between, at each stop and at the end. */
#ifndef SBX_WORKER_TERMINAL_H
#define SBX_WORKER_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <termios.h>

#include "base/error.h"

/* What a private terminal starts with, taken from the caller's. Plain data: it may travel through a socket. */
struct terminal_shape {
	struct winsize size; /* 0: unknown */
	struct termios modes;
	uint32_t has_modes; /* 0: the kernel's defaults */
};

/* ---- inside the world ---- */

struct terminal_job {
	const char *multiplexer; /* "/dev/pts/ptmx" of the world */
	const struct terminal_shape *shape;
	/* Whether the payload gets the terminal at once. If not, it is stopped by SIGTTIN or SIGTTOU once it wants it,
	 * which is told, and answered by LEADER_CONTINUE. */
	bool is_foreground;
	/* Runs in the payload's process, in the leader's memory (process_spawn()): applies limits and executes. Returns
	 * or exits only where that failed, having filled *spawn_error. All signals are blocked when it begins. */
	int (*spawn)(void *argument, int slave_fd);
	void *argument;
	const struct error *spawn_error;
};

struct terminal_started {
	pid_t leader;	/* child of the caller; ends after the payload, or when channel_fd is closed */
	pid_t payload;	/* the leader's child, also the number of its process group */
	int channel_fd; /* the caller's; messages of both directions; SOCK_SEQPACKET */
	int master_fd;	/* the caller's; to be handed to the client, then closed */
};

enum leader_message_kind {
	LEADER_STARTED = 1, /* number: pid of the payload; consumed by terminal_start() */
	LEADER_FAILED,	    /* number: errno, then a struct error; consumed by terminal_start() */
	LEADER_STOPPED,	    /* number: the signal that stopped the payload */
	LEADER_EXITED,	    /* number: its wait status; the last message */
	LEADER_CONTINUE,    /* to the leader; number: 1 in the foreground, 0 in the background */
	LEADER_SIGNAL,	    /* to the leader; number: signal for the payload's group */
};

struct leader_message {
	uint32_t kind;
	int32_t number;
};

/** Makes a private terminal. @ret_master_fd, @ret_slave_fd the caller's, CLOEXEC */
int terminal_open_pair(const char *multiplexer, const struct terminal_shape *shape, int *ret_master_fd,
		       int *ret_slave_fd, struct error *error);

/** Starts a payload on a private terminal. Blocks until it has executed or failed; its failure is `error`. */
int terminal_start(const struct terminal_job *job, struct terminal_started *ret_started, struct error *error);

/** Receives the next message of a leader; does not block.
 *  @return 1; 0 when the leader is gone (killed by the payload, say); -EAGAIN when there is none */
int terminal_receive(int channel_fd, struct leader_message *ret_message);

/** Tells the leader something. A leader that has gone is no error. */
void terminal_tell(int channel_fd, enum leader_message_kind kind, int number);

/* ---- on the host ---- */

struct terminal {
	int fd;		     /* the caller's terminal, an open file description of our own where possible; -1: none */
	unsigned mask;	     /* bit N: the caller's fd N is this terminal */
	bool is_nonblocking; /* fd never blocks; else each read and write must be small and follow poll(2) */
	bool is_taken;
	bool is_output_raw;    /* output processing is off as well */
	struct termios before; /* its modes when it was taken */
};

/** Finds the caller's terminal among its descriptors 0 to 2: the first that is one. Others of the three are part of it
 *  only if they are the same terminal. Where none is, `fd` is -1. */
int terminal_open(struct terminal *terminal, const int stdio[static 3], struct error *error);
/** Gives the terminal back if it is taken, and closes. Takes an unopened one that is { .fd = -1 }. */
void terminal_close(struct terminal *terminal);

/** What a private terminal that mirrors this one starts with. */
void terminal_get_shape(const struct terminal *terminal, struct terminal_shape *ret_shape);

/** Whether reading from it and setting it is this process's right now: its group is the foreground group, or the
 * terminal is not the controlling one of its session, which knows no foreground for us. */
bool terminal_is_foreground(const struct terminal *terminal);

/** Takes it: every key comes as it is. Output processing stays on, for the sake of other programs that write there
 * (make -j, a verbose sbx), until terminal_take_output(). Only in the foreground: else this process is stopped by
 * SIGTTOU. Taking a taken one sets the same modes again, after a stop that nobody announced. */
void terminal_take(struct terminal *terminal);
void terminal_take_output(struct terminal *terminal);
/** Gives it back. Not in the background: there the modes are somebody else's by now. */
void terminal_restore(struct terminal *terminal);

/** Copies the caller's window size to a private terminal's master, which sends SIGWINCH where it changed. */
void terminal_copy_size(const struct terminal *terminal, int master_fd);

/** Whether this terminal (or, of a master, its other side) turns each "\n" that is written into "\r\n". */
bool terminal_adds_returns(int fd);
/** Takes out the "\r" before each "\n", the exact inverse of that, so that another terminal can add it again.
 *  @return the new size */
size_t terminal_remove_returns(char *bytes, size_t size);

#endif
