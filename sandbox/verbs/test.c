/* SPDX-License-Identifier: Apache-2.0 */
/* sbx test: a suite in several worlds. What happens then stands in sandbox/run/run.c, from top to bottom. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "netns/publish.h"
#include "sandbox/pool/count.h"
#include "sandbox/run/annotations.h"
#include "sandbox/run/items.h"
#include "sandbox/run/run.h"
#include "sandbox/run/why.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/settings.h"
#include "sandbox/verbs/start.h"
#include "sandbox/verbs/verbs.h"

static int say_why(const struct run_options *run, const char *title, struct error *error)
{
	struct why_options options = { .run = run, .title = title, .say = say_line };
	owned_text verdict = NULL;
	int result = why_find(&options, &verdict, error);
	owned_text shown = result == 0 ? text_escaped_lines(verdict) : NULL;

	if (shown)
		printf("%s\n", shown);
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

/* ---- how many ---- */

/* What cannot be measured before a run: a headless browser with its pages, and a server or two. */
static const struct count_size taken_size = { .memory_bytes = UINT64_C(600) << 20, .inotify_instances = 2 };

/* Begun all the same: what a worker really takes nobody knows yet. */
static void warn_of_too_many(unsigned workers, const struct count_machine *machine)
{
	struct count_machine beside = *machine;
	char reason[COUNT_REASON_SIZE];
	unsigned fits;

	beside.processors = 0; /* more than those are slow, no more */
	fits = count_fit(&beside, &taken_size, reason);
	if (workers > fits) {
		owned_text line = text_format("%u worlds may be more than this machine bears: %s", workers, reason);

		say_line(line);
	}
}

/* @ret_workers  0: as many as the runner says */
static int choose_workers(const struct invocation *invocation, const struct project *project, unsigned *ret_workers,
			  struct error *error)
{
	const char *text = invocation->worker_count ? invocation->worker_count
			   : project->test.workers  ? project->test.workers
						    : project->workers;
	struct count_machine machine;
	struct count count = { 0 };
	char reason[COUNT_REASON_SIZE];
	owned_text line = NULL;
	int result = text ? count_parse(text, &count) : 0;

	*ret_workers = 0;
	if (result < 0)
		return error_set(error, .number = -result, .step = "use the number of workers", .object = text,
				 .cause = "it is not a number from 1 to 256, a share of the processors, or auto");
	count_read_machine(&machine);
	if (count.is_auto) {
		*ret_workers = count_fit(&machine, &taken_size, reason);
		line = text_duplicate(reason);
	} else if (count.percent) {
		*ret_workers = count_percent(count.percent, machine.processors);
		line = text_format("%u worker%s: %s of %u processors", *ret_workers, *ret_workers == 1 ? "" : "s", text,
				   machine.processors);
	} else if (invocation->items && count.number == 0) {
		*ret_workers = MIN(machine.processors, (unsigned)COUNT_WORKERS_MAX);
	} else {
		*ret_workers = count.number;
		warn_of_too_many(count.number, &machine);
	}
	if (line)
		say_line(line);
	return 0;
}

/* ---- the command ---- */

/* A shell would find nothing to do in it: then its words are what sbx knows runners by. */
static bool is_plain(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_./:@,+%";

	return text[strspn(text, plain)] == '\0';
}

/* As sbx.yaml says, where the line says nothing. */
static int choose_command(struct invocation *invocation, const struct project *project, struct error *error)
{
	const struct project_command *command = &project->test.command;
	struct text_list *payload = &invocation->spec.payload;
	owned_text words = NULL;
	char *rest;

	if (payload->count > 0)
		return 0;
	if (command->arguments.count == 0)
		return error_set(error, .number = EINVAL, .step = "start a test runner",
				 .cause = project->file ? "the line names none, and sbx.yaml has no command of test"
							: "the line names none, and there is no sbx.yaml here",
				 .remedy =
					 "write sbx test -- npx playwright test, or in sbx.yaml: test: { command: npx "
					 "playwright test }");
	if (!command->is_text || !is_plain(command->arguments.items[command->arguments.count - 1])) {
		for (size_t i = 0; i < command->arguments.count; i++)
			text_list_add(payload, command->arguments.items[i]);
		return 0;
	}
	words = text_duplicate(command->arguments.items[command->arguments.count - 1]);
	rest = words;
	for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
		if (word[0] != '\0')
			text_list_add(payload, word);
	return 0;
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

/* Makes the items' runner the command. @command  added to: what it was */
static int prepare_items(struct invocation *invocation, const char *here, const struct project *project,
			 unsigned workers, struct items_plan *plan, struct text_list *command, struct error *error)
{
	owned_text tree = path_normal(here, invocation->spec.tree ? invocation->spec.tree : ".");

	plan->list = text_duplicate(invocation->items);
	plan->batch = (unsigned)MAX(invocation->batch, UINT64_C(1));
	plan->workers = workers;
	plan->junit = invocation->junit ? path_normal(here, invocation->junit) : NULL;
	text_list_add(command, "--items");
	text_list_add(command, invocation->items);
	text_list_add(command, "--");
	for (size_t i = 0; i < invocation->spec.payload.count; i++)
		text_list_add(command, invocation->spec.payload.items[i]);
	for (size_t i = 0; i < project->artifacts.count; i++)
		text_list_take(&plan->directories, path_normal(project->directory ? project->directory : tree,
							       project->artifacts.items[i]));
	return items_prepare(&invocation->spec, tree, plan, error);
}

/* ---- published ports ---- */

static bool is_host_port_free(const char *text, struct error *error)
{
	struct publish_rule rule;
	owned_fd fd = -1;

	return publish_parse(text, &rule, error) == 0 && publish_open_listener(&rule, &fd, error) == 0;
}

/* `ports:` of what runs in R for good: of other services R's own end once the worlds have theirs, and those have no
 * port of the host. One that is taken, by another run of the suite say, is no reason not to test. */
static void publish_ports(struct invocation *invocation, const struct project *project, unsigned workers)
{
	for (size_t i = 0; i < project->services.count && invocation->spec.network != NETWORK_HOST; i++) {
		const struct project_service *service = &project->services.items[i];

		for (size_t j = 0; j < service->ports.count && (service->shared || workers == 1); j++) {
			const char *port = service->ports.items[j];
			struct error error = { 0 };
			char text[2 * sizeof(error)];
			owned_text line = NULL;

			if (is_host_port_free(port, &error)) {
				text_list_add(&invocation->spec.ways.publish, port);
				continue;
			}
			error.remedy[0] = '\0';
			error_format(&error, text, sizeof(text));
			line = text_format("%s: %s; the run goes on without", service->name, text);
			say_line(line);
		}
	}
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
	owned_list command = { 0 };
	struct shard shard = SHARD_NONE;
	int result = choose_shard(invocation, &shard, error);

	if (result == 0)
		result = choose_command(invocation, project, error);
	if (result == 0)
		result = choose_workers(invocation, project, &options.workers, error);
	if (result < 0)
		return result;
	if (!here)
		return error_set(error, .number = errno, .step = "find the current directory",
				 .remedy = "cd to a directory that exists");
	publish_ports(invocation, project, options.workers);
	items_plan_init(&plan);
	add_artifacts(invocation, here, project);
	/* A list of items is cut by its own runner, whatever LIST calls. */
	*(invocation->items ? &plan.shard : &options.shard) = shard;
	if (invocation->items) {
		options.command = &command;
		result = prepare_items(invocation, here, project, options.workers, &plan, &command, error);
	}
	if (invocation->bundle)
		options.bundle_directory = invocation->bundle_directory ? invocation->bundle_directory : "sbx-bundles";
	options.units = (struct unit_choice){ .fresh = invocation->fresh,
					      .retry = invocation->retry_fresh,
					      .reset = invocation->reset };
	options.blame = invocation->blame && !invocation->why;
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

	if (result == 0 && invocation->bundle_directory && !invocation->bundle)
		result = error_set(error, .number = EINVAL, .step = "use", .object = "--bundle-dir",
				   .cause = "no bundles are asked for", .remedy = "add --bundle=failed");
	if (result == 0)
		result = settings_read(invocation, &project, error);
	if (result > 0)
		result = invocation_add_project(invocation, &project, error);
	if (result < 0)
		return result;
	/* The world of a red test is what its debugging begins with. */
	if (!project_settings_has(&invocation->given, "keep") && !project_settings_has(&project.settings, "keep"))
		invocation->spec.keep = KEEP_FAILED;
	if (invocation->bundle && invocation->spec.keep == KEEP_NEVER)
		return error_set(error, .number = EINVAL, .step = "use", .object = "--bundle",
				 .cause = "a bundle is made of a world that was kept, and --keep=never keeps none",
				 .remedy = "leave one of them out");
	/* So that browsers believe they are online. */
	if (!project_settings_has(&invocation->given, "net") && !project_settings_has(&project.settings, "net"))
		invocation->spec.network = NETWORK_ONLINE;
	result = start_choose(invocation, &project, &hold, error);
	if (result == 0)
		result = run(invocation, &project, &exit_code, error);
	if (result < 0)
		annotations_tell_error(error);
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}
