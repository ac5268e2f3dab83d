/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: sbx looks everything up, on the host (plan.c: nothing of the world can change it then), lists the
 * worker (listing.c), clones PID 1 with its namespaces, and asks it for the command. PID 1 builds the world
 * (init.c) and then answers (server.c). They share one socket; what ends first ends the other. sbx returns when the
 * kernel has reaped PID 1, and so everything in its PID namespace. */
#include "sandbox/worker/launch.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "sandbox/registry/collect.h"
#include "sandbox/worker/attach.h"
#include "sandbox/worker/init.h"
#include "sandbox/worker/keep.h"
#include "sandbox/worker/listing.h"
#include "sandbox/worker/network.h"
#include "sandbox/worker/plan.h"
#include "sandbox/worker/probe.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/status.h"
#include "sandbox/worker/upper.h"

/* ---- one world ---- */

/* The network namespace is missing: PID 1 has it made while it mounts (netns/maker.h). */
enum { NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP };

int launch_begin(struct worker_plan *plan, struct launched *ret_launched, struct error *error)
{
	struct launched launched = LAUNCHED_NONE;
	int result = network_start_helpers(plan, launched.helpers, error);

	if (result < 0) {
		network_handed_over(plan);
		launch_end(&launched);
		return result;
	}
	launched.pid = process_clone(NAMESPACES, &launched.pidfd);
	if (launched.pid == 0)
		init_run(plan);
	if (launched.pid < 0) {
		(void)error_set(error, .number = -launched.pid, .step = "create the namespaces");
		network_handed_over(plan);
		launch_end(&launched);
		return -error->number;
	}
	fd_close(&plan->control_fd);
	network_handed_over(plan);
	launched.control_fd = fd_take(&plan->owner_fd);
	*ret_launched = launched;
	return 0;
}

static void say_step(launch_say *say, const struct reply *reply)
{
	owned_text line = text_format("%-32s %5lld us", reply->error.step, (long long)reply->number / 1000);

	say(line);
}

static void hear_degraded(launch_say *say, const struct reply *reply, struct text_list *degraded)
{
	owned_text line = text_format("degraded: %s: %s", reply->error.step, reply->error.cause);

	say(line);
	if (degraded)
		text_list_add(degraded, reply->error.step);
}

int launch_wait_ready(const struct launched *launched, launch_say *say, struct text_list *degraded, struct error *error)
{
	for (;;) {
		struct reply reply;
		int result = reply_receive(launched->control_fd, &reply, NULL);

		if (result < 0)
			return error_set(error, .number = -result, .step = "hear from the world");
		if (result == 0)
			return error_set(error, .number = ECHILD, .step = "make the world",
					 .cause = "its PID 1 ended, or was killed from outside");
		switch (reply.kind) {
		case REPLY_READY:
			return 0;
		case REPLY_STEP:
			say_step(say, &reply);
			break;
		case REPLY_DEGRADED:
			hear_degraded(say, &reply, degraded);
			break;
		case REPLY_FAILED:
			*error = reply.error;
			return reply.error.number > 0 ? -reply.error.number : -EPROTO;
		}
	}
}

void launch_end(struct launched *launched)
{
	int status;

	fd_close(&launched->control_fd);
	if (launched->pid > 0)
		(void)process_wait(launched->pid, &status);
	for (size_t i = 0; i < NETWORK_HELPERS_MAX; i++) {
		if (launched->helpers[i] > 0)
			(void)process_wait(launched->helpers[i], &status);
		launched->helpers[i] = 0;
	}
	fd_close(&launched->pidfd);
	launched->pid = 0;
}

/* ---- sbx run ---- */

struct run {
	struct worker_plan plan;
	struct listing listing;
	struct keeping keeping;
	struct launched launched;
	struct status status;
	struct relay *relay;
	launch_say *say;
};

static void note(struct run *run, const struct world_note *said)
{
	owned_text line = NULL;

	if (said->what[0] == '\0')
		return;
	line = text_format("degraded: %s: %s", said->what, said->why);
	run->say(line);
	text_list_add(&run->status.degraded, said->what);
}

static int prepare(struct run *run, struct error *error)
{
	struct world_note unlisted = { 0 };
	struct world_note upper = { 0 };
	int result = plan_make(&run->plan, error);

	for (size_t i = 0; i < run->plan.messages.count; i++)
		run->say(run->plan.messages.items[i]);
	if (result == 0)
		result = listing_open(&run->plan, &run->listing, &unlisted, error);
	if (result < 0)
		return result;
	note(run, &unlisted);
	result = upper_choose(&run->plan, &upper, error);
	if (result < 0)
		return result;
	note(run, &upper);
	result = plan_hide_state(&run->plan, error);
	if (result < 0)
		return result;
	status_created(&run->status, &run->listing.row);
	return keep_begin(&run->plan, &run->keeping, error);
}

/* From clone to the moment at which the command has been asked for and the world stands. */
static int start(struct run *run, struct error *error)
{
	struct attach_options options = { .spec = run->plan.spec, .log = keep_log(&run->keeping), .is_main = true };
	int result = launch_begin(&run->plan, &run->launched, error);

	if (result < 0)
		return result;
	status_phase(&run->status, "world");
	/* Asked for before the world stands: PID 1 need not be waited for. */
	result = attach_start(run->launched.control_fd, &options, &run->relay, error);
	if (result == 0)
		result = launch_wait_ready(&run->launched, run->say, &run->status.degraded, error);
	if (result == 0)
		result = relay_take_signals(run->relay, error);
	if (result < 0)
		return result;
	status_phase(&run->status, "command");
	listing_started(&run->listing, run->launched.pid, keep_log_directory(&run->keeping), &run->status.degraded);
	/* What killed ones left: now, while the command begins. A failure is the next one's. */
	(void)collect_dead(&run->plan.state, COLLECT_REMOVE, NULL, NULL);
	return 0;
}

static void say_advice(const struct run *run, const struct error *advice)
{
	char text[2 * sizeof(*advice)];

	if (advice->step[0] == '\0')
		return;
	error_format(advice, text, sizeof(text));
	run->say(text);
}

/* The commands that open it. */
static char *tell_kept(const struct worker_plan *plan, const char *name)
{
	owned_text database = plan->databases.count == 0   ? text_duplicate("")
			      : plan->databases.count == 1 ? text_format("sbx db shell %s, ", name)
							   : text_format("sbx db ls %s, ", name);

	return text_format("kept as %s: sbx shell %s, sbx diff %s, %ssbx logs %s, sbx rm %s", name, name, name,
			   database, name, name);
}

/* Its name, but where several are kept by it, as after a second run of the same line: then only its id means it. */
static const char *word_for(const struct run *run, const struct worker_row *row)
{
	owned_kept_list list = { 0 };
	size_t same = 0;

	if (kept_list_directories(run->keeping.state_fd, &list, NULL, NULL) < 0)
		return row->name;
	for (size_t i = 0; i < list.count; i++)
		same += text_equal(list.items[i].row.name, row->name);
	return same > 1 ? row->id : row->name;
}

static void finish(struct run *run, struct launch_result *result)
{
	struct error error = { 0 };
	owned_kept_worker kept = { .exit_status = result->exit_code };
	owned_text line = NULL;
	int is_kept;

	worker_row_copy(&run->listing.row, &kept.row);
	is_kept = keep_finish(&run->keeping, run->launched.control_fd, &kept, &error);

	if (is_kept < 0) {
		/* The command's own result stands: it is told, and goes first. */
		char text[2 * sizeof(error)];

		error_format(&error, text, sizeof(text));
		line = text_format("it was not kept: %s", text);
	} else if (is_kept > 0) {
		result->is_kept = true;
		line = tell_kept(&run->plan, word_for(run, &kept.row));
	}
	if (line)
		run->say(line);
}

int launch_run(const struct spec *spec, launch_say *say, struct launch_result *ret_result, struct error *error)
{
	return launch_run_to_end(spec, say, NULL, ret_result, error);
}

int launch_run_to_end(const struct spec *spec, launch_say *say, const struct launch_last *last,
		      struct launch_result *ret_result, struct error *error)
{
	struct run run = { .listing = LISTING_NONE, .keeping = KEEPING_NONE, .launched = LAUNCHED_NONE, .say = say };
	int result;

	*ret_result = (struct launch_result){ .exit_code = EXIT_SBX_FAILED };
	plan_init(&run.plan, spec);
	run.plan.stays = last;
	status_init(&run.status, spec->status_fd);
	result = prepare(&run, error);
	if (result == 0)
		result = start(&run, error);
	if (result == 0) {
		result = attach_follow(run.relay, run.launched.control_fd, run.launched.pidfd, &ret_result->command,
				       &ret_result->exit_code, error);
		if (result == 0) {
			say_advice(&run, &ret_result->command.advice);
			finish(&run, ret_result);
		}
		if (result == 0 && last && ret_result->exit_code == 0) {
			result = last->run(last->argument, &run.plan, run.launched.control_fd, error);
			ret_result->exit_code = result < 0 ? EXIT_SBX_FAILED : 0;
		}
	}
	if (result < 0)
		probe_explain(error);
	/* PID 1 is ending, which takes the kernel a while: meanwhile the lock goes, but not while a directory on disk
	 * is protected by it. */
	else if (run.plan.upper_fd < 0)
		listing_close(&run.listing);
	launch_end(&run.launched);
	relay_close(run.relay);
	status_ended(&run.status, ret_result, result < 0 ? error : NULL);
	keep_close(&run.keeping);
	upper_remove(&run.plan);
	listing_close(&run.listing);
	status_release(&run.status);
	plan_release(&run.plan);
	return result;
}
