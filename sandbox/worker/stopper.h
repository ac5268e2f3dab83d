/* SPDX-License-Identifier: Apache-2.0 */
/* Stops all processes of a world and lets them go on, for a task that wants them to stand still while it reads.
 *
 * How it works. The task is confined when it reads what the payload wrote, and may send no signal then; so a fork of
 * it, the stopper, does that, and reads nothing but /proc/PID/stat. They share a socket: the task's end of it, however
 * it comes, lets the world go on. Should both be killed, PID 1 does it (server.c).
 *
 * kill(2) of -1 reaches every process of the namespace but PID 1 and the sender, newborn ones as well, and the task,
 * which is let go on at once. A stop takes effect when a process next returns from the kernel: so the stopper waits
 * until each of their threads shows as stopped. Children go on before their parents: a parent that waits for stopped
 * children (a shell, sbx's own leader of a terminal) never sees one stopped. Who was stopped before stays so. */
#ifndef SBX_WORKER_STOPPER_H
#define SBX_WORKER_STOPPER_H

#include <sys/types.h>

#include "base/error.h"

struct stopper {
	int socket;	/* -1: there is none */
	unsigned stops; /* so far */
};

#define STOPPER_NONE                                                                                                   \
	{                                                                                                              \
		.socket = -1                                                                                           \
	}

/** Forks it. In a fork of PID 1 that is not confined yet.
 *  @scratch_fd  the world's: two tasks that stopped each other would never go on, so there can be one only
 *  Errors: EBUSY another task does this already; EPERM in any other process, whose kill(2) of -1 would reach others
 *  than a world's. */
int stopper_begin(int scratch_fd, struct stopper *ret_stopper, struct error *error);

/** Stops all. @return how many live ones there are, or -errno: EBUSY one of them did not stop in time, they go on;
 *  EIO the stopper is gone, PID 1 has them go on when it hears that from the task */
int stopper_stop(struct stopper *stopper, struct error *error);

/** Lets them go on. */
void stopper_continue(struct stopper *stopper);

/** Lets them go on, and ends it. Takes STOPPER_NONE and a second call. */
void stopper_end(struct stopper *stopper);
#define owned_stopper __attribute__((cleanup(stopper_end))) struct stopper

#endif
