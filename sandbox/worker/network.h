/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in and out of a world's network, seen from the host: what is made there before the world is. */
#ifndef SBX_WORKER_NETWORK_H
#define SBX_WORKER_NETWORK_H

#include <sys/types.h>

#include "base/error.h"
#include "sandbox/worker/world.h"

/** A step of plan_make(), before the hosts file: opens the host's ends of published ports, looks up what is to be
 *  reached, looks whether there is a way out.
 *  Errors: EINVAL what was asked for does not go together; of publish_open_listener(), reach_resolve(),
 *  outbound_check() */
int network_plan(struct worker_plan *plan, struct error *error);

/** PID 1 has its copies: a published port must end with the world. */
void network_handed_over(struct worker_plan *plan);

/* On the host, beside the world's owner, for as long as the world lives: one leads connections out (--reach), one runs
 * pasta (--net outbound). PID 1 holds a socket to each, whose end of file is their end. */
enum { NETWORK_HELPERS_MAX = 2 };

/** Starts those that are needed, before clone. @ret_helpers  filled as far as it came; the caller's children */
int network_start_helpers(struct worker_plan *plan, pid_t ret_helpers[static NETWORK_HELPERS_MAX], struct error *error);

/** The world's side of it: in PID 1, once loopback is up. */
int network_enter(const struct worker_plan *plan, struct error *error);

void network_release(struct worker_plan *plan);

#endif
