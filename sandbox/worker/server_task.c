/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks (task.h), each in a fork of PID 1: who may have one, what the fork lets go of, and how its outcome comes
 * back. */
#include "sandbox/worker/server_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "sandbox/worker/session.h"
#include "sandbox/worker/task.h"

/* What a task tells PID 1: one write, atomic by pipe(7). */
struct task_outcome {
	int status;
	struct error error;
};

_Static_assert(sizeof(struct task_outcome) <= 4096, "an outcome fits PIPE_BUF");

/* ---- tasks ---- */

/* In the fork of PID 1. It keeps no copy of what others wait for the end of. */
static void become_task(struct server *server, const struct client *own)
{
	sigset_t none;

	for (size_t i = 0; i < server->client_count; i++) {
		fd_close(&server->clients[i]->fd);
		fd_close(&server->clients[i]->channel_fd);
		fd_close(&server->clients[i]->task_fd);
		if (server->clients[i] != own)
			client_forget_request(server->clients[i]);
	}
	fd_close(&server->signal_fd);
	fd_close(&server->timer_fd);
	/* The filter of a task lets it use what it holds. */
	if (server->world->plan->listener_fd >= 0)
		(void)close(server->world->plan->listener_fd);
	if (server->world->plan->lock_fd >= 0)
		(void)close(server->world->plan->lock_fd);
	if (server->world->plan->shared.count > 0)
		(void)close(server->world->plan->shared.fd);
	ports_forget(&server->ports);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error like others */
}

__attribute__((noreturn)) static void do_task(struct server *server, const struct client *own, struct task *task,
					      int outcome_fd)
{
	struct task_outcome outcome = { 0 };

	become_task(server, own);
	outcome.status = task_run(server->world, task, &outcome.error);
	/* If PID 1 does not hear it, it sees the exit status. */
	(void)!write(outcome_fd, &outcome, sizeof(outcome));
	_exit(0);
}

bool server_is_resetting(const struct server *server)
{
	for (size_t i = 0; i < server->client_count; i++)
		if (server->clients[i]->is_resetting)
			return true;
	return false;
}

/* One at a time, and of a world that is leased by who has it: it would be somebody's whose files it takes away. */
static bool may_reset(const struct server *server, struct client *client)
{
	if (server_is_resetting(server))
		client_refuse(client, EBUSY, "it is being reset");
	else if (server->lessee && server->lessee != client)
		server_refuse_leased(client);
	else if (server->start == START_BEING_KEPT)
		client_refuse(client, EAGAIN, "its services are not ready yet");
	else
		return true;
	return false;
}

static int read_task(const struct client *client, struct task *ret_task)
{
	size_t offset = 0;

	*ret_task = (struct task){ .kind = (enum task_kind)client->header.argument, .fd_count = client->fd_count };
	if (client->fd_count > TASK_FDS_MAX ||
	    request_unpack_list(client->body, client->header.body_size, &offset, &ret_task->arguments) < 0)
		return -EBADMSG;
	memcpy(ret_task->fds, client->fds, client->fd_count * sizeof(int));
	return 0;
}

/* Whether a task leaves the world as it was. One that is not known here does not. */
static bool is_reading(enum task_kind kind)
{
	return kind == TASK_INSPECT || kind == TASK_DIFF || kind == TASK_COPY_OUT || kind == TASK_DB_LIST ||
	       kind == TASK_DB_QUERY || kind == TASK_KEEP || kind == TASK_FREEZE || kind == TASK_BUNDLE ||
	       kind == TASK_CLONE || kind == TASK_LISTENERS || kind == TASK_DB_DIFF || kind == TASK_DB_CHANGESET ||
	       kind == TASK_DB_COPY || kind == TASK_DB_SNAPSHOTS;
}

void server_handle_task(struct server *server, struct client *client)
{
	struct task task;
	int ends[2];

	if (!client_is_idle(client)) {
		client_refuse(client, EBUSY, "this connection has something going on");
		return;
	}
	if (read_task(client, &task) < 0) {
		client_refuse(client, EBADMSG, "its body cannot be read");
		return;
	}
	if (task.kind == TASK_RESET && !may_reset(server, client)) {
		text_list_release(&task.arguments);
		return;
	}
	/* What its last command left in the background would go on writing. */
	if (task.kind == TASK_RESET && client->session)
		session_kill(client->session);
	if (fd_pipe(ends, O_NONBLOCK) < 0)
		client_refuse(client, errno, NULL);
	else {
		pid_t pid = process_clone(0, NULL);

		if (pid == 0)
			do_task(server, client, &task, ends[1]);
		(void)close(ends[1]);
		client->task_fd = ends[0];
		server->is_used |= !is_reading(task.kind);
		if (pid > 0) {
			client->task = pid;
			client->is_resetting = task.kind == TASK_RESET;
		} else {
			fd_close(&client->task_fd);
			client_refuse(client, (int)-pid, NULL);
		}
	}
	text_list_release(&task.arguments);
}

void server_task_ended(struct server *server, struct client *client, int status)
{
	struct task_outcome outcome;
	bool is_told = read(client->task_fd, &outcome, sizeof(outcome)) == (ssize_t)sizeof(outcome);
	char number[32];

	client->task = 0;
	fd_close(&client->task_fd);
	if (client->is_resetting)
		server->is_spoiled = task_is_reset_unfinished(server->world);
	client->is_resetting = false;
	/* Killed, it or its stopper may have left the world standing still (stopper.h). */
	if (!is_told || outcome.status == -EIO)
		(void)kill(-1, SIGCONT);
	if (is_told && outcome.status >= 0)
		client_reply_number(client, REPLY_DONE, outcome.status);
	else if (is_told)
		client_reply_error(client, &outcome.error);
	else {
		struct error error = { 0 };

		(void)error_set(&error, .number = EIO, .step = "work inside the world",
				.cause = WIFSIGNALED(status)
						 ? process_signal_name(WTERMSIG(status), number, sizeof(number))
						 : "it ended without a word");
		client_reply_error(client, &error);
	}
}

/* ---- what a reset goes back to ---- */

/* A world that began from a seed has that. World R is nobody's to be reset. */
static bool has_to_keep_start(const struct server *server)
{
	const struct worker_plan *plan = server->world->plan;

	return plan->guest && plan->guest->look && !plan->seed && !plan->annex.is_wanted && !plan->is_entered_again;
}

bool server_has_start(const struct server *server)
{
	return !has_to_keep_start(server) || server->start == START_SETTLED;
}

bool server_keeps_start(struct server *server)
{
	pid_t pid;

	if (server_has_start(server))
		return true;
	if (server->start == START_BEING_KEPT)
		return false;
	pid = process_clone(0, NULL);
	if (pid == 0) {
		struct error ignored = { 0 };

		become_task(server, NULL);
		_exit(task_run_keep_start(server->world, &ignored) < 0);
	}
	server->start_task = pid;
	server->start = pid > 0 ? START_BEING_KEPT : START_SETTLED;
	return pid <= 0;
}

bool server_start_ended(struct server *server, pid_t pid, int status)
{
	if (server->start != START_BEING_KEPT || pid != server->start_task)
		return false;
	server->start = START_SETTLED;
	/* As server_task_ended(). */
	if (status != 0)
		(void)kill(-1, SIGCONT);
	return true;
}
