/* SPDX-License-Identifier: Apache-2.0 */
/* sbx test: a suite in several worlds. What happens then stands in sandbox/run/run.c, from top to bottom. */
#include <stdio.h>

#include "sandbox/run/run.h"
#include "sandbox/run/why.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/settings.h"
#include "sandbox/verbs/verbs.h"

static bool has_setting(const struct project_settings *settings, const char *key)
{
	for (size_t i = 0; i < settings->count; i++)
		if (text_equal(settings->items[i].key, key))
			return true;
	return false;
}

static int say_why(const struct run_options *run, const char *title, struct error *error)
{
	struct why_options options = { .run = run, .title = title, .say = say_line };
	owned_text verdict = NULL;
	int result = why_find(&options, &verdict, error);

	if (result == 0)
		printf("%s\n", verdict);
	return result;
}

int verb_test(struct invocation *invocation, struct error *error)
{
	owned_project project = { 0 };
	struct run_options options = { .spec = &invocation->spec, .project = &project, .say = say_line };
	int exit_code = EXIT_SBX_FAILED;
	int result = settings_read(invocation, &project, error);

	if (result > 0)
		result = invocation_add_project(invocation, &project, error);
	if (result < 0)
		return result;
	/* The world of a red test is what its debugging begins with. */
	if (!has_setting(&invocation->given, "keep") && !has_setting(&project.settings, "keep"))
		invocation->spec.keep = KEEP_FAILED;
	/* So that browsers believe they are online. */
	if (!has_setting(&invocation->given, "net") && !has_setting(&project.settings, "net"))
		invocation->spec.network = NETWORK_ONLINE;
	options.workers = (unsigned)invocation->workers;
	if (invocation->why) {
		invocation->spec.keep = KEEP_NEVER;
		return say_why(&options, invocation->why, error);
	}
	result = run_suite(&options, &exit_code, error);
	return result < 0 ? result : exit_code;
}
