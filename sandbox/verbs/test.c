/* SPDX-License-Identifier: Apache-2.0 */
/* sbx test: a suite in several worlds. What happens then stands in sandbox/run/run.c, from top to bottom. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/run/items.h"
#include "sandbox/run/run.h"
#include "sandbox/run/why.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/settings.h"
#include "sandbox/verbs/start.h"
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

/* Named on the line, so below the current directory; those of sbx.yaml are below its own. */
static void add_artifacts(const struct invocation *invocation, const char *here, struct project *project)
{
	for (size_t i = 0; i < invocation->artifacts.count; i++) {
		owned_text path = path_normal(here, invocation->artifacts.items[i]);

		/* What ends with a slash is a directory, even one that is not there yet. */
		text_list_take(&project->artifacts, text_ends_with(invocation->artifacts.items[i], "/")
							    ? text_format("%s/", path)
							    : text_duplicate(path));
	}
}

static unsigned count_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)MAX(CPU_COUNT(&set), 1) : 1;
}

static int check_items(const struct invocation *invocation, struct error *error)
{
	if (invocation->items && invocation->why)
		return error_set(error, .number = EINVAL, .step = "use", .object = "--why",
				 .cause = "it asks Playwright, and --items has another runner",
				 .remedy = "run the item alone: sbx test --items 'echo ITEM' -- COMMAND {}");
	if (invocation->items || !(invocation->batch || invocation->junit))
		return 0;
	return error_set(error, .number = EINVAL, .step = "use", .object = invocation->batch ? "--batch" : "--junit",
			 .cause = "it belongs to --items",
			 .remedy = "runners write reports of their own: name their place by --artifacts");
}

/* Makes the items' runner the command. */
static int prepare_items(struct invocation *invocation, const char *here, const struct project *project,
			 struct items_plan *plan, struct error *error)
{
	owned_text tree = path_normal(here, invocation->spec.tree ? invocation->spec.tree : ".");

	if (invocation->workers == 0)
		invocation->workers = MIN(count_processors(), 256U);
	plan->list = text_duplicate(invocation->items);
	plan->batch = (unsigned)MAX(invocation->batch, UINT64_C(1));
	plan->workers = (unsigned)invocation->workers;
	plan->junit = invocation->junit ? path_normal(here, invocation->junit) : NULL;
	for (size_t i = 0; i < project->artifacts.count; i++)
		text_list_take(&plan->directories, path_normal(project->directory ? project->directory : tree,
							       project->artifacts.items[i]));
	return items_prepare(&invocation->spec, tree, plan, error);
}

static int choose_shard(const struct invocation *invocation, struct shard *ret_shard, struct error *error)
{
	if (!invocation->shard)
		return 0;
	return text_equal(invocation->shard, "auto") ? shard_find(environ, ret_shard, error)
						     : shard_parse(invocation->shard, ret_shard, error);
}

static int run(struct invocation *invocation, struct project *project, int *ret_exit_code, struct error *error)
{
	struct run_options options = { .spec = &invocation->spec, .project = project, .say = say_line };
	owned_text here = getcwd(NULL, 0);
	struct items_plan plan;
	struct shard shard = SHARD_NONE;
	int result = choose_shard(invocation, &shard, error);

	if (result < 0)
		return result;
	if (!here)
		return error_set(error, .number = errno, .step = "find the current directory");
	items_plan_init(&plan);
	add_artifacts(invocation, here, project);
	/* A list of items is cut by its own runner, whatever LIST calls. */
	*(invocation->items ? &plan.shard : &options.shard) = shard;
	if (invocation->items)
		result = prepare_items(invocation, here, project, &plan, error);
	options.workers = (unsigned)invocation->workers;
	options.units = (struct unit_choice){ .fresh = invocation->fresh };
	if (result == 0 && invocation->why) {
		invocation->spec.keep = KEEP_NEVER;
		result = say_why(&options, invocation->why, error);
		if (result == 0)
			*ret_exit_code = 0;
	} else if (result == 0) {
		result = run_suite(&options, ret_exit_code, error);
	}
	fd_close(&plan.times_fd);
	items_plan_release(&plan);
	return result;
}

int verb_test(struct invocation *invocation, struct error *error)
{
	owned_project project = { 0 };
	owned_hold hold = SEED_HOLD_NONE;
	int exit_code = EXIT_SBX_FAILED;
	int result = check_items(invocation, error);

	if (result == 0)
		result = settings_read(invocation, &project, error);
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
	result = start_choose(invocation, &project, &hold, error);
	if (result == 0)
		result = run(invocation, &project, &exit_code, error);
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}
