/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/limits.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/macro.h"

void limits_init(struct limits *limits)
{
	*limits = (struct limits){ .processes = LIMITS_PROCESSES_DEFAULT };
}

static int lower(__rlimit_resource_t resource, rlim_t value, const char *name, struct error *error)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return error_set(error, .number = errno, .step = "read the limit", .object = name);
	limit.rlim_max = MIN(limit.rlim_max, value);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(resource, &limit) < 0)
		return error_set(error, .number = errno, .step = "set the limit", .object = name);
	return 0;
}

int limits_apply(const struct limits *limits, struct error *error)
{
	int result = lower(RLIMIT_NPROC, limits->processes, "processes", error);

	/* One byte, not none: a pipe handler of the host's core_pattern ignores 0, core(5). */
	return result < 0 ? result : lower(RLIMIT_CORE, 1, "core", error);
}
