/* SPDX-License-Identifier: Apache-2.0 */
/* sbx replay: the worker of a bundle, built again here. How: sandbox/run/replay.c. */
#include <errno.h>
#include <stdio.h>

#include "sandbox/run/replay.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/shell.h"
#include "sandbox/verbs/verbs.h"

/* Exit status 0: nothing differs, 1: something does. */
static int check(const struct invocation *invocation, struct error *error)
{
	owned_list differences = { 0 };
	int result = replay_check(invocation->operands.items[0], invocation->spec.tree, &differences, error);

	if (result < 0)
		return result;
	for (size_t i = 0; i < differences.count; i++) {
		char shown[2048];

		text_escape(shown, sizeof(shown), differences.items[i]);
		printf("%s\n", shown);
	}
	if (differences.count == 0)
		printf("nothing differs that is known to matter\n");
	return differences.count > 0;
}

int verb_replay(struct invocation *invocation, struct error *error)
{
	struct replay_options options = { .path = invocation->operands.items[0],
					  .spec = &invocation->spec,
					  .say = say_line };
	struct relay_result ended = { 0 };
	int exit_code = EXIT_SBX_FAILED;
	int result;

	if (invocation->check && (invocation->shell || invocation->spec.payload.count > 0))
		return error_set(error, .number = EINVAL, .step = "use", .object = "--check",
				 .cause = "it runs nothing", .remedy = "leave out the command and --shell");
	if (invocation->shell && invocation->spec.payload.count > 0)
		return error_set(error, .number = EINVAL, .step = "use", .object = "--shell",
				 .cause = "there is a command as well", .remedy = "leave one of them out");
	if (invocation->check)
		return check(invocation, error);
	if (invocation->shell)
		text_list_add(&invocation->spec.payload, shell_choose());
	result = replay_run(&options, &exit_code, &ended, error);
	if (result == 0)
		relay_raise(&ended);
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}
