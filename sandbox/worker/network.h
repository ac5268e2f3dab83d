/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in and out of a world's network, seen from the host: what is made there before the world is. */
#ifndef SBX_WORKER_NETWORK_H
#define SBX_WORKER_NETWORK_H

#include "base/error.h"
#include "sandbox/worker/world.h"

/** A step of plan_make(): opens the host's ends of published ports.
 *  Errors: EINVAL what was asked for does not go together; of publish_open_listener() */
int network_plan(struct worker_plan *plan, struct error *error);

/** PID 1 has its copies: a published port must end with the world. */
void network_handed_over(struct worker_plan *plan);

void network_release(struct worker_plan *plan);

#endif
