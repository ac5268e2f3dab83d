/* SPDX-License-Identifier: Apache-2.0 */
/* sbx open: the servers of one worker, in the caller's own browser.
 *
 * How it works: the world's listening sockets are asked for now and again, and each new port is published on a free
 * port of the host for as long as this connection lasts, whatever ends it. In a kept worker nothing runs: the servers
 * that were noted of a red test's world are services of the one that is made for it. Its command is started again only
 * where ports of it were published, so that it is a server: a test would be run in its own evidence. A command that was
 * given is started first, on a connection of its own, and ends with this one; its exit status is this verb's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
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
#include "sandbox/worker/spawn.h"
#include "sandbox/worker/visit.h"

enum {
	LOOK_AGAIN_MS = 300, /* nothing tells when somebody begins to listen */
	OPENED_MAX = 64,     /* PORTS_MAX */
	END_FOLLOWS_MS = 1000,
};

struct opened {
	int64_t ports[OPENED_MAX];
	size_t count;
};

/* A command that runs in the world for this visit. {.fd = -1}: none, or none any more. */
struct command {
	int fd;		      /* replies about it */
	struct opened before; /* what listened before it was started */
	int exit_code;	      /* once it has ended */
	int end_signal;	      /* it was told to end; 0: not */
	uint64_t end_by_ms;   /* of CLOCK_MONOTONIC: then it is killed */
	uint64_t grace_ms;    /* from that signal on */
};

static void command_release(struct command *command)
{
	fd_close(&command->fd);
}

/* How it goes on. */
enum turn { TURN_ON = 1, TURN_END = 0 };

static bool has_port(const struct opened *opened, int64_t port)
{
	for (size_t i = 0; i < opened->count; i++)
		if (opened->ports[i] == port)
			return true;
	return false;
}

static void add_port(struct opened *opened, int64_t port)
{
	if (opened->count < OPENED_MAX && !has_port(opened, port))
		opened->ports[opened->count++] = port;
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

enum look { LOOK_ONLY, LOOK_AND_OPEN };

/* Adds each port that a process inside listens on. */
static int list_listeners(struct visit *visit, enum look look, struct opened *opened, struct error *error)
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
		    json_number(json_member(listener, "pid"), &process) < 0)
			continue;
		if (look == LOOK_AND_OPEN && !has_port(opened, port) && opened->count < OPENED_MAX)
			result = open_port(visit, listener, port, error);
		add_port(opened, port);
	}
	return result < 0 ? result : 0;
}

/* Whether what the command started listens still, though it has ended itself. */
static bool has_left_servers(struct visit *visit, const struct command *command)
{
	struct opened now = { 0 };
	struct error ignored = { 0 };

	if (list_listeners(visit, LOOK_ONLY, &now, &ignored) < 0)
		return false;
	for (size_t i = 0; i < now.count; i++)
		if (!has_port(&command->before, now.ports[i]))
			return true;
	return false;
}

static int hear_command(struct visit *visit, struct command *command, struct error *error)
{
	struct reply reply;
	owned_text line = NULL;
	int result = reply_receive(command->fd, &reply, NULL);

	if (result > 0 && reply.kind == REPLY_STARTED)
		return TURN_ON;
	fd_close(&command->fd);
	if (result > 0 && reply.kind == REPLY_FAILED) {
		*error = reply.error;
		command->exit_code = spawn_exit_code(error);
		return TURN_END;
	}
	/* The worker's end killed it. */
	if (result <= 0 || reply.kind != REPLY_EXITED) {
		command->exit_code = 128 + SIGKILL;
		say_line("the worker has ended");
		return TURN_END;
	}
	command->exit_code = process_exit_code((int)reply.number);
	if (command->end_signal)
		return TURN_END;
	line = text_format("its command has ended, exit status %d", command->exit_code);
	say_line(line);
	/* One that started servers and went. */
	return command->exit_code == 0 && has_left_servers(visit, command) ? TURN_ON : TURN_END;
}

/* Ctrl-C: the command has its grace, as one in front has it, unless it is asked twice. */
static int hear_signal(int signal_fd, struct command *command)
{
	struct signalfd_siginfo signal = { .ssi_signo = SIGTERM };
	struct request_header header = { .kind = REQUEST_SIGNAL };

	(void)!read(signal_fd, &signal, sizeof(signal));
	if (command->fd < 0)
		return TURN_END;
	header.argument = signal.ssi_signo;
	if (command->end_signal || request_send(command->fd, &header, NULL, NULL) < 0) {
		command->exit_code = 128 + (int)signal.ssi_signo;
		return TURN_END;
	}
	command->end_signal = (int)signal.ssi_signo;
	command->end_by_ms = clock_ms() + command->grace_ms;
	return TURN_ON;
}

/* @return as poll(2) wants it */
static int next_look_ms(struct command *command)
{
	if (!command->end_signal)
		return LOOK_AGAIN_MS;
	return command->end_by_ms > clock_ms() ? LOOK_AGAIN_MS : 0;
}

/* The worker is gone, or going: what it had to say of the command may have come before. */
static int end_with_worker(struct visit *visit, struct command *command, struct error *error)
{
	*error = (struct error){ 0 };
	if (command->fd < 0)
		say_line("the worker has ended");
	while (command->fd >= 0 && hear_command(visit, command, error) != TURN_END)
		;
	return TURN_END;
}

/* The list cannot be had. A worker that ends kills who makes it a moment before its own end is seen. */
static int end_for_want_of(struct visit *visit, struct command *command, int result, struct error *error)
{
	struct pollfd end = { .fd = visit_fd(visit), .events = POLLRDHUP };

	if (poll(&end, 1, END_FOLLOWS_MS) != 1)
		return result;
	(void)end_with_worker(visit, command, error);
	return TURN_END;
}

/* @return exit status, or -errno */
static int serve(struct visit *visit, struct command *command, int signal_fd, struct error *error)
{
	struct opened opened = { 0 };
	bool is_told = false;
	int turn = TURN_ON;

	while (turn > 0) {
		struct pollfd polled[] = { { .fd = signal_fd, .events = POLLIN },
					   { .fd = command->fd, .events = POLLIN },
					   { .fd = visit_fd(visit), .events = POLLRDHUP } };
		int result = list_listeners(visit, LOOK_AND_OPEN, &opened, error);

		/* What works inside is of this process's group in a kept worker: Ctrl-C is for both. */
		if (result < 0 && poll(polled, 1, 0) == 0) {
			turn = end_for_want_of(visit, command, result, error);
			break;
		}
		*error = (struct error){ 0 };
		if (opened.count == 0 && !is_told)
			say_line("nothing listens in it yet; waiting (Ctrl-C ends)");
		is_told = true;
		result = poll(polled, ARRAY_SIZE(polled), next_look_ms(command));
		if (result < 0 && errno != EINTR)
			return error_set(error, .number = errno, .step = "wait for the worker");
		if (polled[0].revents)
			turn = hear_signal(signal_fd, command);
		else if (polled[1].revents)
			turn = hear_command(visit, command, error);
		else if (polled[2].revents & (POLLRDHUP | POLLHUP | POLLERR))
			turn = end_with_worker(visit, command, error);
		else if (command->end_signal && clock_ms() >= command->end_by_ms) {
			command->exit_code = 128 + SIGKILL;
			turn = TURN_END;
		}
	}
	return turn < 0 ? turn : command->exit_code;
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
	bool is_known = text_equal(row->run, row->id) && row->command.count > 0 && !row->is_command_cut;
	owned_text again = NULL;
	owned_text words = NULL;

	if (invocation->spec.payload.count > 0)
		return &invocation->spec.payload;
	if (is_known && row->ports.count > 0)
		return &row->command;
	/* Of a test run, the command is the runner's. */
	if (is_known)
		words = text_join_words(&row->command);
	again = text_format("write what to start: sbx open %s -- %s", word, words ? words : "COMMAND");
	(void)error_set(error, .number = EINVAL, .step = "start the servers of", .object = word,
			.cause = is_known ? "its command published no port, so it may be a test, which is not run "
					    "again in what it left"
					  : "it is not known what they were started with",
			.remedy = again);
	return NULL;
}

static int start_command(const struct invocation *invocation, struct visit *visit, const char *word,
			 struct command *command, struct error *error)
{
	const struct text_list *words = choose_command(invocation, visit, word, error);
	int result = words ? 0 : -EINVAL;

	/* In a kept worker nothing runs yet. */
	if (result == 0 && visit_worker(visit)->is_live)
		result = list_listeners(visit, LOOK_ONLY, &command->before, error);
	return result < 0 ? result : visit_start_command(visit, words, &command->fd, error);
}

int verb_open(struct invocation *invocation, struct error *error)
{
	const char *word = invocation->operands.items[0];
	bool has_command = invocation->spec.payload.count > 0;
	__attribute__((cleanup(noted_release))) struct noted noted = { .log_fd = -1 };
	const struct visit_guest guest = { .prepare = prepare_noted, .argument = &noted };
	owned_visit visit = NULL;
	__attribute__((cleanup(command_release))) struct command command = { .fd = -1 };
	owned_fd signal_fd = -1;
	sigset_t ends;
	int result;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	result = visit_open_with(word, RESOLVE_LIVE | RESOLVE_KEPT, has_command ? NULL : &guest, &visit, error);
	if (result < 0)
		return result;
	if (has_command || (!visit_worker(visit)->is_live && !noted.services))
		result = start_command(invocation, visit, word, &command, error);
	if (result < 0)
		return result;
	if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0 || (signal_fd = signalfd(-1, &ends, SFD_CLOEXEC)) < 0)
		return error_set(error, .number = errno, .step = "watch for the end");
	command.grace_ms = invocation->spec.stop_timeout_ms;
	return serve(visit, &command, signal_fd, error);
}
