/* SPDX-License-Identifier: Apache-2.0 */
/* What the services of a world cost: how long each takes to start and how much memory it has then. Each world pays it
 * anew, so one that is dear is named, with what makes it cheaper. */
#ifndef SBX_RUN_EXPENSE_H
#define SBX_RUN_EXPENSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/run/servers.h"
#include "sandbox/worker/launch.h"

/** Whether it is worth a word: more than 5 seconds, or more than 700 MB. */
bool expense_is_dear(uint64_t start_ms, uint64_t memory_bytes);

/** Says it of each service of a world that is ready.
 *  @pid  of its PID 1, on the host   @says_all  of those that are not dear, too */
void expense_tell(const struct servers *servers, const struct servers_world *world, pid_t pid, bool says_all,
		  launch_say *say);

#endif
