/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 once its world stands: answers requests (request.h), starts and reaps processes, ends with its owner. */
#ifndef SBX_WORKER_SERVER_H
#define SBX_WORKER_SERVER_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/worker/request.h"
#include "sandbox/worker/world.h"

struct server;

/* What a higher folder has PID 1 do beside its own work: the services of a pool's world. Set in the plan before clone;
 * all of it runs in PID 1's loop and must not block. */
struct server_guest {
	void *argument;
	/* Once, when the world stands, before READY. */
	int (*start)(void *argument, struct server *server, struct error *error);
	/* Fills in what to wait for. @ret_deadline_ms  CLOCK_MONOTONIC, when step() is due at the latest; UINT64_MAX:
	 * never */
	size_t (*prepare)(void *argument, struct pollfd *polled, size_t room, uint64_t *ret_deadline_ms);
	/* After each wait: what became ready of these, or the deadline. */
	void (*step)(void *argument, const struct pollfd *polled, size_t count);
	/* @return whether that child was its own */
	bool (*child_ended)(void *argument, pid_t pid, int status);

	/* What follows may be NULL: then a world without a command of its own cannot be asked for it. */

	/* Ends its processes in good order; server_guest_stopped() once that is done. Again, with less grace: hurries.
	 * @grace_ms  between the stop signal and KILL; UINT64_MAX: each process's own */
	void (*stop)(void *argument, uint64_t grace_ms);
	/* The same, and starts them anew; server_guest_settled() when they are ready, or will not be. */
	void (*restart)(void *argument, uint64_t grace_ms);
	/* Ends those that serve this world alone, in good order and for good: the world goes on without them. */
	void (*rest)(void *argument);
	void (*signal)(void *argument, int number);
	/* @return 1 the world is as it should be, 0 it is on its way there, or -errno: it will not be */
	int (*look)(void *argument, struct error *error);
	/* NAME=VALUE for each command of the world, over its environment. Borrowed. */
	const struct text_list *(*variables)(void *argument);
	/* Adds members that say what it is to the JSON object that is open in `out`: describe.h. */
	void (*describe)(void *argument, struct text_buffer *out);
};

enum { SERVER_GUEST_SLOTS = 128 };

const struct world *server_world(const struct server *server);
/** Tells the owner something, as REPLY_SERVICE. */
void server_tell_owner(struct server *server, int64_t number, const struct error *error);

/** All of the guest's processes have ended, as stop() asked: the world ends. */
void server_guest_stopped(struct server *server);
/** What restart() began is at its end. @error  NULL: the world is as it should be */
void server_guest_settled(struct server *server, const struct error *error);
/** Asked by the guest when all of its processes are ready, until the answer is yes, before it tells that: a world
 * without a seed keeps what it is then, for a reset, and nobody leases it before. What cannot be kept is no reason to
 * wait. */
bool server_keeps_start(struct server *server);
/** Whether the world ends to be made anew: REQUEST_STOP with STOP_RENEW. */
bool server_is_renewed(const struct server *server);

/** Serves until the owner goes away, or the main payload has ended and nothing is to be kept. Never returns. */
void server_run(struct world *world) __attribute__((noreturn));

#endif
