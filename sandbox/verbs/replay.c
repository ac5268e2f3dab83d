/* SPDX-License-Identifier: Apache-2.0 */
/* sbx replay: the worker of a bundle, built again here. How: sandbox/run/replay.c. */
#include "sandbox/run/replay.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/shell.h"
#include "sandbox/verbs/verbs.h"

int verb_replay(struct invocation *invocation, struct error *error)
{
	struct replay_options options = { .path = invocation->operands.items[0],
					  .spec = &invocation->spec,
					  .say = say_line };
	struct relay_result ended = { 0 };
	int exit_code = EXIT_SBX_FAILED;
	int result;

	if (invocation->shell)
		text_list_add(&invocation->spec.payload, shell_choose());
	result = replay_run(&options, &exit_code, &ended, error);
	if (result == 0)
		relay_raise(&ended);
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}
