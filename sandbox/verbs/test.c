/* SPDX-License-Identifier: Apache-2.0 */
/* sbx test: a suite in several worlds. What happens then stands in sandbox/run/run.c, from top to bottom. */
#include "sandbox/run/run.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"

int verb_test(struct invocation *invocation, struct error *error)
{
	struct run_options options = { .spec = &invocation->spec,
				       .workers = (unsigned)invocation->workers,
				       .say = say_line };
	int exit_code = EXIT_SBX_FAILED;
	int result = run_suite(&options, &exit_code, error);

	return result < 0 ? result : exit_code;
}
