/* SPDX-License-Identifier: Apache-2.0 */
/* sbx run: one worker in the foreground. What happens then stands in sandbox/worker/launch.c, from top to bottom. */
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/start.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/launch.h"

int verb_run(struct invocation *invocation, struct error *error)
{
	struct launch_result launched = { .exit_code = EXIT_SBX_FAILED };
	owned_hold hold = SEED_HOLD_NONE;
	int result = start_choose(invocation, NULL, &hold, error);

	if (result == 0)
		result = launch_run(&invocation->spec, say_line, &launched, error);
	seed_hold_release(&hold);
	if (result == 0 && launched.command.timed_out)
		say_timed_out(invocation->spec.timeout_ms);
	if (result == 0)
		relay_raise(&launched.command);
	/* A payload that could not be executed has an exit status of its own, and an error to be told as well. */
	return result < 0 && launched.exit_code == EXIT_SBX_FAILED ? result : launched.exit_code;
}
