/* SPDX-License-Identifier: Apache-2.0 */
/* sbx run: one worker in the foreground. What happens then stands in sandbox/worker/launch.c, from top to bottom. */
#include <errno.h>

#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/launch.h"

static int refuse_unbuilt(const struct spec *spec, struct error *error)
{
	const char *option = spec->scratch || spec->force_disk ? "--scratch"
			     : spec->network == NETWORK_ONLINE ? "--net online"
							       : NULL;

	for (size_t i = 0; i < spec->volumes.count && !option; i++)
		if (spec->volumes.items[i].kind == VOLUME_COPY)
			option = "--copy";
	if (option)
		return error_set(error, .number = ENOTSUP, .step = "use the option", .object = option,
				 .cause = "this version does not have it yet");
	return 0;
}

int verb_run(struct invocation *invocation, struct error *error)
{
	struct launch_result launched = { .exit_code = EXIT_SBX_FAILED };
	int result = refuse_unbuilt(&invocation->spec, error);

	if (result == 0)
		result = launch_run(&invocation->spec, say_line, &launched, error);
	if (result == 0)
		relay_raise(&launched.command);
	/* A payload that could not be executed has an exit status of its own, and an error to be told as well. */
	return result < 0 && launched.exit_code == EXIT_SBX_FAILED ? result : launched.exit_code;
}
