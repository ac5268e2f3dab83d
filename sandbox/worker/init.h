/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of a world: builds it, starts the payload, reaps, ends everything when its owner goes away. */
#ifndef SBX_WORKER_INIT_H
#define SBX_WORKER_INIT_H

#include "sandbox/worker/world.h"

/** The whole life of PID 1, from the first instruction after clone. Never returns. */
void init_run(const struct worker_plan *plan) __attribute__((noreturn));

#endif
