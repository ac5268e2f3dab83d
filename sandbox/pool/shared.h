/* SPDX-License-Identifier: Apache-2.0 */
/* The services of a pool that are `shared`: they run once, in a world beside the workers that is called NAME.shared,
 * and each worker has their ports (worker/shared.h). It is the first that starts, and ends with the pool. Where it ends
 * before, a pool with an owner fails; in a detached one the next lease has it made anew, and the workers that have lost
 * it (lease.h). */
#ifndef SBX_POOL_SHARED_H
#define SBX_POOL_SHARED_H

#include "base/error.h"
#include "sandbox/pool/pool.h"
#include "sandbox/pool/project.h"
#include "sandbox/registry/state.h"
#include "sandbox/worker/world.h"

/** Whether a project has any. @project  NULL: none */
bool shared_is_declared(const struct project *project);

/** What a worker that starts has of them.
 *  @ret_shared  its connection is the caller's, until member_begin() takes it
 *  Errors: the pool's shared world has ended; of declared_services() */
int shared_connect(const struct state_paths *places, const struct pool *pool, const struct project *project,
		   struct shared_ports *ret_shared, struct error *error);

#endif
