/* SPDX-License-Identifier: Apache-2.0 */
/* sbx open: the servers of one worker, in the caller's own browser.
 *
 * How it works: the world's listening sockets are asked for now and again, and each new port is published on a free
 * port of the host for as long as this connection lasts, whatever ends it. In a kept worker nothing runs: the servers
 * that were noted of a red test's world are services of the one that is made for it; else its command, or the one that
 * was given, is started first, on a connection of its own, and ends with this one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/pool/services.h"
#include "sandbox/run/recipe.h"
#include "sandbox/verbs/answer.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/visit.h"

enum {
	LOOK_AGAIN_MS = 300, /* nothing tells when somebody begins to listen */
	OPENED_MAX = 64,     /* PORTS_MAX */
};

struct opened {
	int64_t ports[OPENED_MAX];
	size_t count;
};

static bool is_opened(const struct opened *opened, int64_t port)
{
	for (size_t i = 0; i < opened->count; i++)
		if (opened->ports[i] == port)
			return true;
	return opened->count == OPENED_MAX;
}

static int open_port(struct visit *visit, struct json_value listener, int64_t port, struct error *error)
{
	struct publish_rule rule = { .host = PUBLISH_HOST, .port = (uint16_t)port };
	owned_list command = { 0 };
	owned_buffer line = { 0 };
	char shown[256] = "";
	int result = visit_publish(visit, &rule, ASK_CONNECTED, error);

	if (result < 0)
		return result;
	/* It comes from inside. */
	if (json_list(json_member(listener, "command"), &command) == 0 && command.count > 0)
		text_escape(shown, sizeof(shown), command.items[0]);
	text_buffer_format(&line, "http://" PUBLISH_HOST ":%u  leads to its port %u%s%s\n", rule.host_port, rule.port,
			   shown[0] ? ", of " : "", shown);
	result = output_write(&line, "where its servers are", error);
	return result < 0 || fflush(stdout) == 0 ? result : -errno;
}

static int open_new(struct visit *visit, struct opened *opened, struct error *error)
{
	owned_buffer answer = { 0 };
	owned_json json = { 0 };
	int result = answer_task(visit, (struct task){ .kind = TASK_LISTENERS }, &answer, error);

	if (result >= 0)
		result = json_read(&json, answer.bytes, answer.length, error);
	for (struct json_value listener = json_first(json_root(&json)); result >= 0 && json_type(listener);
	     listener = json_next(listener)) {
		int64_t process;
		int64_t port;

		/* Those of --reach have no process inside. */
		if (json_number(json_member(listener, "port"), &port) < 0 || port < 1 || port > UINT16_MAX ||
		    json_number(json_member(listener, "pid"), &process) < 0 || is_opened(opened, port))
			continue;
		result = open_port(visit, listener, port, error);
		opened->ports[opened->count++] = port;
	}
	return result < 0 ? result : 0;
}

/* @return 1: it goes on; 0: it has ended */
static int hear_command(int *command_fd, const struct opened *opened, struct error *error)
{
	struct reply reply;
	owned_text line = NULL;
	int result = reply_receive(*command_fd, &reply, NULL);

	if (result > 0 && reply.kind == REPLY_STARTED)
		return 1;
	if (result > 0 && reply.kind == REPLY_FAILED) {
		*error = reply.error;
		return -reply.error.number;
	}
	fd_close(command_fd);
	line = text_format("its command has ended, exit status %d",
			   result > 0 ? process_exit_code((int)reply.number) : EXIT_SBX_FAILED);
	say_line(line);
	/* What it left running in the background is open still. */
	return opened->count > 0;
}

static int serve(struct visit *visit, int command_fd, int signal_fd, struct error *error)
{
	owned_fd heard_fd = command_fd;
	struct opened opened = { 0 };
	bool is_told = false;

	for (;;) {
		struct pollfd polled[] = { { .fd = signal_fd, .events = POLLIN },
					   { .fd = visit_fd(visit), .events = POLLRDHUP },
					   { .fd = heard_fd, .events = POLLIN } };
		int result = open_new(visit, &opened, error);

		/* What works inside is of this process's group in a kept worker: Ctrl-C is for both. */
		if (result < 0)
			return poll(polled, 1, 0) == 1 || result == -ECHILD ? 0 : result;
		if (opened.count == 0 && !is_told)
			say_line("nothing listens in it yet; waiting (Ctrl-C ends)");
		is_told = true;
		if (poll(polled, ARRAY_SIZE(polled), LOOK_AGAIN_MS) < 0 && errno != EINTR)
			return error_set(error, .number = errno, .step = "wait for the worker");
		if (polled[0].revents)
			return 0;
		if (polled[1].revents & (POLLRDHUP | POLLHUP | POLLERR)) {
			say_line("the worker has ended");
			return 0;
		}
		if (polled[2].revents)
			result = hear_command(&heard_fd, &opened, error);
		else
			result = 1;
		if (result <= 0)
			return result;
	}
}

/* The servers of a red test's world, which were noted when it was kept. */
struct noted {
	struct recipe recipe;
	struct services *services;
	struct server_guest guest;
	int log_fd;
};

static void noted_release(struct noted *noted)
{
	services_free(noted->services);
	recipe_release(&noted->recipe);
	fd_close(&noted->log_fd);
}

static int prepare_noted(void *argument, int directory_fd, const struct server_guest **ret_guest, int *ret_log_fd,
			 struct error *error)
{
	struct noted *noted = argument;
	struct error missing = { 0 };
	int result = recipe_read_file(directory_fd, &noted->recipe, &missing);

	if (result == -ENOENT || (result == 0 && noted->recipe.services.count == 0))
		return 0;
	if (result < 0) {
		*error = missing;
		return result;
	}
	noted->log_fd = openat(directory_fd, "logs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	result = services_new(&noted->recipe.services, noted->log_fd, &noted->services, error);
	if (result < 0)
		return result;
	noted->guest = services_guest(noted->services);
	*ret_guest = &noted->guest;
	*ret_log_fd = noted->log_fd;
	return 0;
}

/* What shall run in a kept worker. @return borrowed; NULL with error filled */
static const struct text_list *choose_command(const struct invocation *invocation, const struct visit *visit,
					      const char *word, struct error *error)
{
	const struct worker_row *row = &visit_worker(visit)->worker.row;

	if (invocation->spec.payload.count > 0)
		return &invocation->spec.payload;
	/* Of a test run: its command was the runner's. */
	if (!text_equal(row->run, row->id) || row->command.count == 0 || row->is_command_cut) {
		(void)error_set(error, .number = EINVAL, .step = "start the servers of", .object = word,
				.cause = "it is not known what they were started with",
				.remedy = "write it behind: sbx open WORKER -- COMMAND");
		return NULL;
	}
	return &row->command;
}

int verb_open(struct invocation *invocation, struct error *error)
{
	const char *word = invocation->operands.items[0];
	const struct text_list *command = NULL;
	__attribute__((cleanup(noted_release))) struct noted noted = { .log_fd = -1 };
	const struct visit_guest guest = { .prepare = prepare_noted, .argument = &noted };
	owned_visit visit = NULL;
	owned_fd signal_fd = -1;
	owned_fd command_fd = -1;
	sigset_t ends;
	int result;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	result = visit_open_with(word, RESOLVE_LIVE | RESOLVE_KEPT, invocation->spec.payload.count > 0 ? NULL : &guest,
				 &visit, error);
	if (result < 0)
		return result;
	if ((!visit_worker(visit)->is_live && !noted.services) || invocation->spec.payload.count > 0) {
		command = choose_command(invocation, visit, word, error);
		if (!command)
			return -EINVAL;
		result = visit_start_command(visit, command, &command_fd, error);
		if (result < 0)
			return result;
	}
	if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0 || (signal_fd = signalfd(-1, &ends, SFD_CLOEXEC)) < 0)
		return error_set(error, .number = errno, .step = "watch for the end");
	return serve(visit, fd_take(&command_fd), signal_fd, error);
}
