/* SPDX-License-Identifier: Apache-2.0 */
/* What happens on `sbx run`, top to bottom: read launch.c first. */
#ifndef SBX_WORKER_LAUNCH_H
#define SBX_WORKER_LAUNCH_H

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/worker/spec.h"

struct launch_result {
	int exit_code; /* what sbx returns: the payload's own, 128 + signal, 124, 125, 126, 127 */
	bool timed_out;
};

/** Runs one worker in the foreground and returns when every process of it is gone. Host side, single-threaded.
 *  Signals TERM, INT, HUP, QUIT, USR1, USR2 go to the payload's group while it runs.
 *  @ret_result  filled in any case: on failure the exit code says which kind (125; 126, 127: exec)
 *  Errors: any step of set-up; nothing of the world is left then. */
int launch_run(const struct spec *spec, struct launch_result *ret_result, struct error *error);

#endif
