/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to load one of sbx's own filters: filter default|strict. Prints microseconds. A process of its own for
 * each time, since filters stack and the kernel's cache of answers is computed from all of them. */
#include <stdio.h>
#include <sys/prctl.h>

#include "sandbox/policy/seccomp.h"
#include "tests/bench/clock.h"

int main(int argc, char **argv)
{
	struct seccomp_options options = { .profile = SECCOMP_DEFAULT };
	struct error error = { 0 };
	uint64_t before;
	uint64_t after;

	if (argc != 2 || seccomp_parse_profile(argv[1], &options.profile) < 0) {
		(void)fprintf(stderr, "usage: filter default|strict\n");
		return 2;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return 1;
	before = clock_now_ns();
	if (seccomp_load(&options, &error) < 0) {
		(void)fprintf(stderr, "filter: %s: %s\n", error.step, error.cause);
		return 1;
	}
	after = clock_now_ns();
	(void)printf("%.3f\n", (double)(after - before) / 1e3);
	return 0;
}
