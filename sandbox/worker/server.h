/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 once its world stands: answers requests (request.h), starts and reaps processes, ends with its owner. */
#ifndef SBX_WORKER_SERVER_H
#define SBX_WORKER_SERVER_H

#include "sandbox/worker/world.h"

/** Serves until the owner goes away, or the main payload has ended and nothing is to be kept. Never returns. */
void server_run(struct world *world) __attribute__((noreturn));

#endif
