/* SPDX-License-Identifier: Apache-2.0 */
/* `sbx down`: the end of a pool. Host side. */
#ifndef SBX_POOL_DOWN_H
#define SBX_POOL_DOWN_H

#include <stdint.h>

#include "base/error.h"
#include "sandbox/pool/pool.h"
#include "sandbox/registry/state.h"

/** Ends a pool: all of its worlds, gracefully, and what is kept of them.
 *  @grace_ms  ASK_OWN_GRACE (ask.h): each service's own */
int down_run(const struct state_paths *places, struct pool *pool, uint64_t grace_ms, struct error *error);

#endif
