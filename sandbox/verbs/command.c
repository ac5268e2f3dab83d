/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/command.h"

#include "sandbox/verbs/say.h"

int command_run(struct visit **visit, const struct spec *spec, struct error *error)
{
	struct relay_result ended = { 0 };
	int exit_code = EXIT_SBX_FAILED;
	int result = visit_run_command(*visit, spec, &ended, &exit_code, error);

	/* Before this process ends by a signal: a kept worker's world, and its claim, end in order. */
	visit_close(*visit);
	*visit = NULL;
	if (result == 0 && ended.timed_out)
		say_timed_out(spec->timeout_ms);
	if (result == 0)
		relay_raise(&ended);
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}
