/* SPDX-License-Identifier: Apache-2.0 */
/* A lease of a pool: a command in the next free worker, which is its alone until it ends.
 *
 * How it works. Who wants one takes a ticket (queue.h). Who is first asks the PID 1s of all workers at once, and takes
 * the first that is given; each PID 1 is the truth about its own lease, which is a connection: however that ends, the
 * worker is free. A fresh lease asks the spares (pool.h), or the workers of a pool that has none, and is given one that
 * nobody has used; its world ends with it, by its PID 1, and its successor is started as soon as it is taken. Where
 * none stands ready it waits until one does: a worker that has been used is made anew for it. Those who want a worker
 * and those who want a spare wait in lines of their own.
 *
 * In a detached pool whoever is first also sees to it that a world that has died is made anew, by a child that it
 * leaves behind (finding 43). That of the shared services (shared.h) comes first; a worker that has lost it refuses a
 * lease as one does whose services have failed. Host side. */
#ifndef SBX_POOL_LEASE_H
#define SBX_POOL_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/worker/relay.h"
#include "sandbox/worker/spec.h"

/* When the worker is reset afterwards: in place, or by a new world where that cannot be. */
enum pool_lease_reset {
	POOL_LEASE_RESET_NEVER,
	POOL_LEASE_RESET_EACH,
	POOL_LEASE_RESET_FAIL, /* when the command's exit status was not 0 */
};

struct pool_lease_options {
	const char *name;	  /* of the pool; NULL: the newest of the current tree */
	int slot;		  /* that worker; -1: any */
	uint64_t wait_timeout_ms; /* 0: waits for ever */
	enum pool_lease_reset reset;
	bool is_fresh;		       /* a world that nobody has used; `slot` is -1 then */
	const struct spec *spec;       /* payload, environment, workdir, pass_fds, timeout; borrowed */
	void (*say)(const char *line); /* what a reset did; NULL: nobody hears it */
};

/** Waits for a worker, runs the command in it with terminal and signals as `exec` does, and gives it back.
 *  @ret_exit_code  its own, 128 + signal, 124, or 125 to 127   @ret_result  for relay_raise()
 *  Errors: there is no pool; ETIMEDOUT: no worker was free in time; of attach_follow() */
int pool_lease_run(const struct pool_lease_options *options, struct relay_result *ret_result, int *ret_exit_code,
		   struct error *error);

/** Ends a worker of a pool, which nobody has leased, and waits until another world has its place and is ready.
 *  @id  the pool's
 *  Errors: EBUSY; those of pool_lease_run() */
int pool_lease_renew(const char *id, unsigned index, struct error *error);

#endif
