/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/runner.h"

#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/pool/declared.h"
#include "sandbox/run/hook.h"
#include "sandbox/run/job.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/lease.h"
#include "sandbox/run/unit.h"
#include "sandbox/worker/annex.h"
#include "sandbox/worker/attach.h"
#include "sandbox/worker/request.h"

void runner_init(struct runner *runner, const struct run_options *options, struct run_directory *directory)
{
	*runner = (struct runner){ .options = options, .directory = directory, .log_fd = -1 };
	member_init(&runner->member);
}

void runner_release(struct runner *runner)
{
	member_end(&runner->member);
	job_release_files(&runner->volumes);
	servers_release_world(runner->services);
	servers_free(runner->declared);
	fd_close(&runner->log_fd);
	listeners_release(&runner->listeners);
	events_release(&runner->events);
	text_free(&runner->name);
}

bool runner_is_the_world(const struct runner *runner)
{
	return runner->options->workers == 1 && !unit_word(&runner->options->units) && !runner->options->units.retry &&
	       !runner->options->blame;
}

static void hear_runner(void *argument, struct member *member, const struct reply *reply)
{
	struct runner *runner = argument;

	if (runner->services)
		servers_hear(runner->services, member, reply);
	if (reply->kind == REPLY_EXITED) {
		runner->has_ended = true;
		runner->status = (int)reply->number;
	}
	if (reply->kind == REPLY_ADVICE) {
		char text[2 * sizeof(reply->error)];

		error_format(&reply->error, text, sizeof(text));
		runner->options->say(text);
	}
}

static const char *environment_value(const struct text_list *environment, const char *name)
{
	size_t length = strlen(name);
	const char *value = NULL;

	for (size_t i = 0; i < environment->count; i++)
		if (strncmp(environment->items[i], name, length) == 0 && environment->items[i][length] == '=')
			value = environment->items[i] + length + 1;
	return value;
}

/* What the runner gets on top of the world's environment: hook.h section 1. */
static void fill_runner_environment(const struct runner *runner, struct text_list *set)
{
	const char *options = environment_value(&runner->member.plan.environment, "NODE_OPTIONS");
	const char *path = environment_value(&runner->member.plan.environment, "PATH");

	text_list_take(set, text_format("NODE_OPTIONS=%s%s" HOOK_OPTION, options ? options : "",
					options && options[0] ? " " : ""));
	text_list_take(set, text_format("PATH=" ANNEX_DIRECTORY ":%s", path ? path : "/usr/local/bin:/usr/bin:/bin"));
	text_list_add(set, "SBX_LEASE=" ANNEX_PROGRAM);
	text_list_add(set, LEASE_ENVIRONMENT_SOCKET "=" ANNEX_SOCKET);
	if (runner->options->arguments) {
		owned_buffer words = { 0 };

		json_add_list(&words, NULL, runner->options->arguments);
		text_list_take(set, text_format("SBX_ARGUMENTS=%s", words.bytes));
	}
	if (runner->options->shard.count > 0)
		text_list_take(set, text_format("SBX_SHARD=%u/%u", runner->options->shard.index,
						runner->options->shard.count));
	if (runner->options->workers > 0)
		text_list_take(set, text_format("SBX_WORKERS=%u", runner->options->workers));
	if (unit_word(&runner->options->units))
		text_list_take(set, text_format("SBX_UNIT=%s", unit_word(&runner->options->units)));
	if (runner->options->units.retry)
		text_list_add(set, "SBX_RETRY=fresh");
	if (runner->options->blame)
		text_list_add(set, "SBX_BLAME=1");
	/* Its server would block the end, on a port of R that no browser reaches. */
	text_list_add(set, "PLAYWRIGHT_HTML_OPEN=never");
	/* Shared by the test processes: what the runner leaves there for them, and warm caches. */
	text_list_add(set, "TMPDIR=" ANNEX_TEMPORARY);
}

/* What sbx.yaml declares is up in R before the runner, whose globalSetup may ask it. */
static int prepare_declared(struct runner *runner, const char *logs, struct member_options *options,
			    struct error *error)
{
	struct servers_source source = { .project = runner->options->project,
					 .workers = runner->options->workers,
					 .has_shared = true };
	owned_fd log_fd = -1;
	int result = servers_read(&source, &runner->declared, error);

	if (result < 0 || servers_list(runner->declared)->count == 0)
		return result;
	result = run_directory_make(runner->directory, logs, &log_fd, error);
	options->log_directory = logs;
	if (result == 0)
		result = servers_enter(runner->declared, log_fd, &runner->member, options, &runner->services, error);
	for (size_t i = 0; i < servers_list(runner->declared)->count; i++) {
		owned_text line = runner->options->workers == 1
					  ? NULL
					  : declared_describe_shared(&servers_list(runner->declared)->items[i]);

		if (line)
			runner->options->say(line);
	}
	/* Closed with the run: PID 1 has its copy only once it has begun. */
	runner->log_fd = fd_take(&log_fd);
	return result;
}

int runner_begin(struct runner *runner, const struct spec *spec, struct error *error)
{
	struct annex_file files[HOOK_FILE_COUNT];
	struct member_options options = { .spec = &runner->spec,
					  .run = runner->directory->id,
					  .index = runner_is_the_world(runner) ? 0 : -1,
					  .log_fd = -1,
					  .annex = {
						  .files = files, .file_count = HOOK_FILE_COUNT, .is_wanted = true } };
	owned_text logs = run_directory_path(runner->directory, "r");
	int result;

	for (unsigned i = 0; i < HOOK_FILE_COUNT; i++) {
		struct hook_file file = hook_file(i);

		files[i] = (struct annex_file){ .name = file.name, .data = file.text, .size = file.size };
	}
	options.name = runner->name = text_format("%s.r", runner->directory->id);
	runner->spec = *spec;
	job_add_files(&spec->volumes, &runner->volumes);
	runner->spec.volumes = runner->volumes;
	result = prepare_declared(runner, logs, &options, error);
	runner->member.hear = hear_runner;
	runner->member.argument = runner;
	if (result == 0)
		result = member_begin(&runner->member, &options, NULL, 0, runner->options->say, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < runner->member.plan.messages.count; i++)
		runner->options->say(runner->member.plan.messages.items[i]);
	return 0;
}

int runner_start_command(struct runner *runner, struct error *error)
{
	struct attach_options command = {
		.spec = &runner->spec, .is_main = true, .no_terminal = true, .directory = runner->spec.workdir
	};
	owned_list set = { 0 };
	struct relay *relay = NULL;
	int result;

	fill_runner_environment(runner, &set);
	command.set = set;
	result = attach_start(runner->member.launched.control_fd, &command, &relay, error);
	relay_close(relay); /* it handed the caller's descriptors on, which is all there is to relay */
	runner->has_begun = result == 0;
	journal_world(runner->directory, JOURNAL_RUNNER, runner->name, JOURNAL_READY, NULL);
	return result;
}

void runner_signal(const struct runner *runner, int number)
{
	struct request_header header = { .kind = REQUEST_SIGNAL, .argument = number };

	/* A PID 1 that is gone is seen at the connection's end. */
	(void)request_send(runner->member.launched.control_fd, &header, NULL, NULL);
}

void runner_rest_services(struct runner *runner)
{
	struct request_header header = { .kind = REQUEST_REST };

	if (!runner->events.may_rest || runner->are_resting || !runner->services)
		return;
	runner->are_resting = true;
	/* A PID 1 that is gone is seen at the connection's end. */
	(void)request_send(runner->member.launched.control_fd, &header, NULL, NULL);
}

int runner_read_servers(const struct runner *runner, unsigned worker, bool has_shared, struct servers **ret_servers,
			struct error *error)
{
	struct servers_source source = { .project = runner->options->project,
					 .events = &runner->events,
					 .worker = worker,
					 .workers = runner->options->workers,
					 .has_shared = has_shared };

	return servers_read(&source, ret_servers, error);
}

int runner_share_services(const struct runner *runner, struct member_options *options, struct error *error)
{
	int result = 0;

	if (runner->declared && runner->spec.network != NETWORK_HOST)
		result = declared_shared_ports(servers_list(runner->declared), &options->shared, error);
	return result < 0 || options->shared.count == 0
		       ? result
		       : member_connect(&runner->member, CONNECT_SHARER, &options->shared.fd, error);
}
