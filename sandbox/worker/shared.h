/* SPDX-License-Identifier: Apache-2.0 */
/* Ports that a world has of another one: services that are `shared` run once, and each world finds them on the same
 * localhost:PORT as if they were its own.
 *
 * The listening socket is made in the world that wants the port, and handed to the PID 1 of the one that has the
 * service, whose forwarder (ports.h) takes the connections there: a published port, with a world in the host's place.
 * So nothing of it runs in the world that wants it, and its payload comes at those ports and no others. The connection
 * between the two PID 1s may do nothing else; with its end, so with either world, the forwarders end. */
#ifndef SBX_WORKER_SHARED_H
#define SBX_WORKER_SHARED_H

#include "base/error.h"
#include "sandbox/worker/world.h"

/** In PID 1 of the world that wants them, once loopback is up. Errors: a port is in use there; the other world is
 *  gone */
int shared_enter(const struct worker_plan *plan, struct error *error);

#endif
