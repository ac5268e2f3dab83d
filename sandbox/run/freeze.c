/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/freeze.h"

#include "base/fd.h"
#include "base/text.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/listeners.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/request.h"

void freeze_release(struct freeze *freeze)
{
	seed_release(&freeze->seed);
}

static int take(struct freeze *freeze, struct error *error)
{
	struct runner *runner = freeze->runner;
	struct task task = { .kind = TASK_FREEZE };
	owned_text path = NULL;
	owned_fd seed_fd = -1;
	owned_fd out_fd = -1;
	owned_fd connection = -1;
	int result = run_directory_make_seed(runner->directory, freeze->count, &path, &seed_fd, error);

	if (result == 0)
		result = run_directory_open_file(runner->directory, "freeze.json", &out_fd, error);
	if (result == 0)
		result = member_connect(&runner->member, CONNECT_FREE, &connection, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < runner->member.plan.databases.count; i++)
		text_list_add(&task.arguments, runner->member.plan.databases.items[i]);
	task.fds[task.fd_count++] = seed_fd;
	task.fds[task.fd_count++] = out_fd;
	result = ask_task(connection, &task, error);
	text_list_release(&task.arguments);
	if (result < 0)
		return error_context(error, "freeze");
	seed_release(&freeze->seed);
	result = seed_open(path, &freeze->seed, error);
	if (result < 0)
		return result;
	freeze->is_taken = true;
	freeze->count++;
	freeze->generation = runner->events.hosted_ended;
	return 0;
}

/* What listens in R as its servers are up must be what the worlds will have. */
static int check_runner(const struct freeze *freeze, struct error *error)
{
	struct runner *runner = freeze->runner;
	struct servers *all = NULL;
	int result = runner_read_servers(runner, 0, true, &all, error);

	listeners_release(&runner->listeners);
	if (result == 0)
		result = listeners_of_world(&runner->member, &runner->listeners, error);
	if (result == 0)
		result = checks_listeners(freeze->checks, &runner->events, servers_list(all), &runner->listeners,
					  &runner->member.plan.environment, error);
	servers_free(all);
	return result;
}

int freeze_take_after(struct freeze *freeze, unsigned after, struct error *error)
{
	const struct runner *runner = freeze->runner;
	int result;

	if (freeze->is_taken && freeze->generation >= after)
		return 0;
	result = check_runner(freeze, error);
	if (result < 0)
		return result;
	journal_world(runner->directory, JOURNAL_RUNNER, runner->name, JOURNAL_FREEZE, NULL);
	result = take(freeze, error);
	journal_world(runner->directory, JOURNAL_RUNNER, runner->name, JOURNAL_THAW, NULL);
	return result;
}
