/* SPDX-License-Identifier: Apache-2.0 */
/* A lease, from inside world R of a test run: a test process starts in one of the run's worlds (`sbx lease`, which the
 * hook starts: hook.h).
 *
 * How it works. The client connects to the run's socket and says which world it wants. When that is free and ready the
 * supervisor answers with a connection to the world's PID 1 that may do nothing but start a command and signal it. The
 * client asks for the command over that (worker/attach.h), with its own descriptors, environment and current directory.
 * Its connection to the run's socket is the lease: its end, however it comes, gives the world back. */
#ifndef SBX_RUN_LEASE_H
#define SBX_RUN_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/worker/spec.h"

#define LEASE_ENVIRONMENT_SOCKET "SBX_RUN_SOCKET"

enum {
	LEASE_MAGIC = 0x4c584253, /* "SBXL", which no JSON begins with: the hook speaks that over the same socket */
	LEASE_VERSION = 1,
	LEASE_SLOT_ANY = -1,
	LEASE_PROJECT_MAX = 256,
};

enum lease_request_flag {
	/* A world that nobody has used, beside that of the number, which stays as it is: it ends with the lease. */
	LEASE_REQUEST_FRESH = 1 << 0,
};

struct lease_request {
	uint32_t magic;
	uint32_t version;
	int32_t slot;	/* LEASE_SLOT_ANY, or the world's number */
	uint32_t after; /* hosted processes whose work the world must show: hook.h section 2 */
	uint32_t retry;
	uint32_t flags;			 /* enum lease_request_flag */
	char project[LEASE_PROJECT_MAX]; /* for what is shown */
};

struct lease_answer {
	uint32_t version;
	int32_t number;	 /* 0: a connection comes with this; else errno, and `error` is filled */
	uint32_t worker; /* SBX_WORKER of the world */
	uint32_t workers;
	struct error error;
};

enum lease_event {
	LEASE_GRANTED, /* the command is about to start */
	LEASE_ENDED,   /* it has ended, and nobody else has the world yet */
};

struct lease_options {
	int slot;
	unsigned after;
	unsigned retry;
	bool is_fresh;
	const char *project;	 /* NULL: none */
	const struct spec *spec; /* payload, pass_fds */
	/* May be NULL. @worker  the world's number   @wait_status  LEASE_ENDED: as wait(2) gives it */
	void (*hear)(void *argument, enum lease_event event, unsigned worker, int wait_status);
	void *argument;
};

/** Connects to the run's socket. @ret_fd the caller's   Errors: there is no run here */
int lease_connect(int *ret_fd, struct error *error);

/** Takes a lease, runs the command in it, and waits for its end.
 *  @ret_exit_code  its own, or 125 to 127   @ret_signal  which it died of, so that the caller can do the same; 0
 *  Errors: there is no run here, the world could not be made, the command not started */
int lease_run(const struct lease_options *options, int *ret_exit_code, int *ret_signal, struct error *error);

#endif
