/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/member.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/plan.h"
#include "sandbox/worker/probe.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/upper.h"

void member_init(struct member *member)
{
	*member = (struct member){ .listing = LISTING_NONE, .launched = LAUNCHED_NONE, .annex_fd = -1 };
	plan_init(&member->plan, NULL);
}

static void note(struct member *member, const struct world_note *said, launch_say *say)
{
	owned_text line = NULL;

	if (said->what[0] == '\0')
		return;
	line = text_format("degraded: %s: %s", said->what, said->why);
	say(line);
	text_list_add(&member->degraded, said->what);
}

static int begin(struct member *member, launch_say *say, struct error *error)
{
	struct world_note unlisted = { 0 };
	struct world_note upper = { 0 };
	int result = plan_make(&member->plan, error);

	if (result == 0)
		result = listing_open(&member->plan, &member->listing, &unlisted, error);
	if (result == 0)
		result = upper_choose(&member->plan, &upper, error);
	if (result == 0)
		result = plan_hide_state(&member->plan, error);
	if (result == 0)
		result = launch_begin(&member->plan, &member->launched, error);
	if (result == 0) {
		note(member, &unlisted, say);
		note(member, &upper, say);
	}
	return result;
}

int member_begin(struct member *member, const struct member_options *options, struct graft *grafts, size_t graft_count,
		 launch_say *say, struct error *error)
{
	int result;

	plan_init(&member->plan, options->spec);
	member->plan.name = options->name;
	member->plan.run = options->run;
	member->plan.worker_index = options->index;
	member->plan.worker_count = options->count;
	member->plan.annex = options->annex;
	member->plan.guest = options->guest;
	member->plan.log_fd = options->log_fd;
	member->plan.hold_fd = options->hold_fd > 0 ? options->hold_fd : -1;
	member->plan.outlives_owner = options->is_to_detach;
	member->plan.shared = options->shared;
	member->plan.last_pid = options->last_pid;
	member->plan.moved = options->moved;
	if (options->seed) {
		member->plan.seed = options->seed;
		member->plan.seed_fd = -1; /* the owner's own, as long as it lives */
	}
	member->plan.grafts = grafts;
	member->plan.graft_count = graft_count;
	member->has_guest = options->guest;
	member->log_directory = text_duplicate(options->log_directory); /* told once it stands: listing_started() */
	member->state = MEMBER_STARTING;
	result = begin(member, say, error);
	/* PID 1 has its copy: with its end the connection's comes. */
	if (options->shared.count > 0)
		(void)close(options->shared.fd);
	if (result == 0)
		return 0;
	member_end(member);
	probe_explain(error);
	return error_context(error, "world %s", options->name);
}

int member_fd(const struct member *member)
{
	return member->launched.control_fd;
}

void member_fail(struct member *member, const struct error *error)
{
	member->state = MEMBER_DEAD;
	member->error = *error;
	/* Nothing more is to be heard, and what lives of it ends. */
	fd_close(&member->launched.control_fd);
}

void member_set_ready(struct member *member)
{
	if (member->state == MEMBER_STARTING || member->state == MEMBER_WAITING)
		member->state = MEMBER_READY;
}

static void stand(struct member *member, int *annex_fd)
{
	member->annex_fd = fd_take(annex_fd);
	member->state = member->has_guest ? MEMBER_WAITING : MEMBER_READY;
	listing_started(&member->listing, member->launched.pid, member->log_directory, &member->degraded);
	/* PID 1 has its copies. */
	for (size_t i = 0; i < member->plan.graft_count; i++)
		fd_close(&member->plan.grafts[i].fd);
}

void member_hear(struct member *member, launch_say *say)
{
	struct reply reply;
	owned_fd fd = -1;
	int result = reply_receive(member->launched.control_fd, &reply, &fd);

	if (result <= 0) {
		struct error error = { 0 };

		(void)error_set(&error, .number = ECHILD, .step = "keep the world alive",
				.cause = "its PID 1 ended, or was killed from outside");
		member_fail(member, &error);
		return;
	}
	switch (reply.kind) {
	case REPLY_READY:
		stand(member, &fd);
		break;
	case REPLY_DEGRADED: {
		struct world_note said = { 0 };

		text_copy(said.what, sizeof(said.what), reply.error.step);
		text_copy(said.why, sizeof(said.why), reply.error.cause);
		note(member, &said, say);
		break;
	}
	case REPLY_FAILED:
		probe_explain(&reply.error);
		member_fail(member, &reply.error);
		break;
	default:
		if (member->hear)
			member->hear(member->argument, member, &reply);
		break;
	}
}

int member_connect(const struct member *member, enum connect_right right, int *ret_fd, struct error *error)
{
	struct request_header header = { .kind = REQUEST_CONNECT, .argument = right, .fd_count = 1 };
	int ends[2];
	int result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(error, .number = errno, .step = "make a connection to the world");
	result = request_send(member->launched.control_fd, &header, NULL, &ends[1]);
	(void)close(ends[1]);
	if (result < 0) {
		(void)close(ends[0]);
		return error_set(error, .number = -result, .step = "connect to the world");
	}
	*ret_fd = ends[0];
	return 0;
}

/* An absent one with the same ears. */
static void forget(struct member *member)
{
	void (*hear)(void *, struct member *, const struct reply *) = member->hear;
	void *argument = member->argument;

	fd_close(&member->annex_fd);
	text_free(&member->log_directory);
	plan_release(&member->plan);
	text_list_release(&member->degraded);
	member_init(member);
	member->hear = hear;
	member->argument = argument;
}

void member_rename(struct member *member, const char *name)
{
	member->plan.name = name;
	if (member->state != MEMBER_ABSENT)
		listing_rename(&member->listing, name);
}

int member_detach(struct member *member, struct error *error)
{
	int result = ask_detach(member->launched.control_fd, error);

	if (result < 0)
		return error_context(error, "world %s", member->plan.name);
	fd_close(&member->launched.control_fd);
	fd_close(&member->launched.pidfd);
	listing_leave(&member->listing);
	forget(member);
	return 0;
}

void member_end(struct member *member)
{
	launch_end(&member->launched);
	upper_remove(&member->plan);
	listing_close(&member->listing);
	forget(member);
}
