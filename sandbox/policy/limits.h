/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits of the payload; none is raised. */
#ifndef SBX_POLICY_LIMITS_H
#define SBX_POLICY_LIMITS_H

#include <stdint.h>

#include "base/error.h"

#define LIMITS_PROCESSES_DEFAULT 8192

struct limits {
	uint64_t processes; /* --pids-limit */
};

void limits_init(struct limits *limits);

/** Sets RLIMIT_NPROC and RLIMIT_CORE in a child that is about to exec. Inside the new user namespace RLIMIT_NPROC counts
 *  this world's processes alone, since kernel 5.14 (finding 14); it never binds for real root. @return 0 or -errno */
int limits_apply(const struct limits *limits, struct error *error);

#endif
