/* SPDX-License-Identifier: Apache-2.0 */
/* The payloads of PID 1's clients: how they are started, signalled, stopped and waited for, the worker's own command
 * (the main payload) among them. Of a world that has services and no command, those take its place. */
#include "sandbox/worker/server_parts.h"

#include <errno.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/process.h"
#include "overlay/scan.h"
#include "sandbox/policy/environment.h"
#include "sandbox/worker/spawn.h"
#include "sandbox/worker/terminal.h"

/* ---- services in place of a payload ---- */

/* Of a world that has services, and no command of its own. */
const struct server_guest *payload_find_guest(const struct server *server)
{
	const struct server_guest *guest = server->world->plan->guest;

	return guest && guest->stop && !server->has_main ? guest : NULL;
}

/* ---- a payload's end ---- */

/* What a program says of EOVERFLOW helps nobody: "unable to open database file", or ENOENT (finding 8). */
static void explain_failure(const struct server *server, struct client *client, int status)
{
	const struct identity *identity = &server->world->plan->identity;
	struct reply message = { .kind = REPLY_ADVICE };

	if (!WIFEXITED(status) || WEXITSTATUS(status) == 0)
		return;
	if (scan_explain_foreign(&server->world->layers, server->world->plan->tree, identity->inner_uid,
				 identity->inner_gid, &message.error) > 0)
		client_reply(client, &message, -1);
}

void payload_ended(struct server *server, struct client *client, int status)
{
	bool was_main = client->is_main;

	client->payload = 0;
	client->is_main = false;
	fd_close(&client->channel_fd);
	if (was_main)
		explain_failure(server, client, status);
	client_reply_number(client, REPLY_EXITED, status);
	if (was_main) {
		server->has_main_ended = true;
		server->main_status = status;
	}
}

/* ---- the rest of a main payload ---- */

static void start_timer(struct server *server, uint64_t ms)
{
	struct itimerspec timer = { .it_value = { .tv_sec = (time_t)(ms / 1000),
						  .tv_nsec = (long)(ms % 1000) * 1000000 } };

	(void)timerfd_settime(server->timer_fd, 0, &timer, NULL);
}

/* Of a world whose command starts others that do the work (npx, which a signal ends at once, and a test runner that
 * writes its reports then): they are given the time that the command itself would have had. */
bool payload_is_awaited(const struct server *server, const struct client *client, int status)
{
	return client->is_main && server->world->plan->annex.is_wanted &&
	       (server->has_main_signal || WIFSIGNALED(status) || process_exit_code(status) > 128) &&
	       kill(-client->payload, 0) == 0;
}

void payload_await_rest(struct server *server, struct client *client, int status)
{
	struct itimerspec left = { 0 };

	server->late = client;
	server->late_status = status;
	/* One that runs is that of a request to stop. */
	(void)timerfd_gettime(server->timer_fd, &left);
	if (left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0)
		start_timer(server, MAX(server->world->plan->spec->stop_timeout_ms, UINT64_C(1)));
}

void payload_end_late(struct server *server)
{
	struct client *client = server->late;

	server->late = NULL;
	payload_ended(server, client, server->late_status);
}

/* ---- signals for payloads ---- */

static void signal_payload(struct server *server, const struct client *client, int number)
{
	server->has_main_signal |= client->is_main && number != SIGWINCH && number != SIGCONT;
	if (client->leader)
		terminal_tell(client->channel_fd, LEADER_SIGNAL, number);
	else if (kill(-client->payload, number) < 0)
		(void)kill(client->payload, number); /* it has left its group */
}

static struct client *find_main(const struct server *server)
{
	for (size_t i = 0; i < server->client_count; i++)
		if (server->clients[i]->is_main)
			return server->clients[i];
	return NULL;
}

void payload_handle_signal(struct server *server, struct client *client)
{
	int number = (int)client->header.argument;
	struct client *target = client->payload ? client : find_main(server);

	const struct server_guest *guest = payload_find_guest(server);

	if (number < 1 || number > SIGRTMAX)
		client_refuse(client, EINVAL, "there is no such signal");
	else if (client->payload)
		signal_payload(server, client, number);
	else if (client->had_payload)
		return;
	else if (guest && number == SIGKILL) {
		/* As a crash: whoever looks after it makes it anew, unless it is at its end anyway. */
		server->is_renewed |= !server->is_told_to_stop;
		guest->stop(guest->argument, 0);
		client_reply_number(client, REPLY_DONE, 0);
	} else if (guest) {
		guest->signal(guest->argument, number);
		client_reply_number(client, REPLY_DONE, 0);
	} else if (!target)
		client_refuse(client, ESRCH, "its command has ended");
	else {
		signal_payload(server, target, number);
		client_reply_number(client, REPLY_DONE, 0);
	}
}

void payload_handle_continue(struct server *server, const struct client *client)
{
	if (client->leader)
		terminal_tell(client->channel_fd, LEADER_CONTINUE, client->header.argument != 0);
	else if (client->payload)
		signal_payload(server, client, SIGCONT);
}

void payload_wait_for_main(struct server *server, struct client *client)
{
	if (server->has_main_ended)
		client_reply_number(client, REPLY_EXITED, server->main_status);
	else if (!server->has_main && !payload_find_guest(server))
		client_refuse(client, ESRCH, "it has no command of its own");
	else
		client->waits_for_main = true;
}

void payload_handle_stop(struct server *server, struct client *client)
{
	const struct spec *spec = server->world->plan->spec;
	const struct server_guest *guest = payload_find_guest(server);
	struct client *target = find_main(server);
	uint64_t grace_ms = client->header.argument < 0 ? spec->stop_timeout_ms : (uint64_t)client->header.argument;

	payload_wait_for_main(server, client);
	if (guest && !server->has_main_ended) {
		server->is_renewed = client->header.flags & STOP_RENEW;
		server->is_told_to_stop |= !server->is_renewed;
		guest->stop(guest->argument, client->header.argument < 0 ? UINT64_MAX : grace_ms);
	}
	if (!target)
		return;
	if (grace_ms == 0) {
		signal_payload(server, target, SIGKILL);
		return;
	}
	signal_payload(server, target, spec->stop_signal);
	/* A stopped process ends only when it goes on. */
	signal_payload(server, target, SIGCONT);
	start_timer(server, grace_ms);
}

void payload_hear_timer(struct server *server)
{
	struct client *target = find_main(server);
	uint64_t expirations;

	(void)!read(server->timer_fd, &expirations, sizeof(expirations));
	if (target)
		signal_payload(server, target, SIGKILL);
	if (server->late)
		payload_end_late(server);
}

/* ---- commands ---- */

/* Which of the passed descriptors becomes what; -1: the private terminal. */
static int place_descriptors(const struct client *client, const struct spawn_request *request, struct spawn *spawn)
{
	size_t used = 0;

	for (int number = 0; number < 3; number++) {
		bool is_terminal = client->header.flags & ((unsigned)SPAWN_TERMINAL_STDIN << number);

		if (!is_terminal && used == client->fd_count)
			return -EBADMSG;
		spawn->fds[spawn->fd_count] = is_terminal ? -1 : client->fds[used++];
		spawn->numbers[spawn->fd_count++] = number;
	}
	if (client->fd_count - used != request->number_count || spawn->fd_count + request->number_count > SPAWN_FDS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < request->number_count; i++) {
		if (request->numbers[i] < 3)
			return -EBADMSG;
		spawn->fds[spawn->fd_count] = client->fds[used++];
		spawn->numbers[spawn->fd_count++] = request->numbers[i];
	}
	return 0;
}

static void start_payload(struct server *server, struct client *client, const struct spawn_request *request)
{
	const struct worker_plan *plan = server->world->plan;
	const struct server_guest *guest = plan->guest;
	const struct text_list nothing = { 0 };
	const struct text_list *found = guest && guest->variables ? guest->variables(guest->argument) : &nothing;
	owned_list world_environment = { 0 };
	owned_list environment = { 0 };
	owned_text directory = request->directory ? path_normal(plan->tree, request->directory) : NULL;
	struct reply started = { .kind = REPLY_STARTED };
	struct spawned spawned;
	struct error error = { 0 };
	struct spawn spawn = {
		.arguments = &request->arguments,
		.environment = &environment,
		.directory = directory ? directory : plan->workdir,
		.is_main = client->header.flags & SPAWN_MAIN,
		.shape = client->header.flags & SPAWN_TERMINAL ? &request->shape : NULL,
		.is_background = client->header.flags & SPAWN_BACKGROUND,
	};

	if (place_descriptors(client, request, &spawn) < 0) {
		client_refuse(client, EBADMSG, "its descriptors do not fit");
		return;
	}
	/* What this world's servers said of themselves is stronger than an environment of the command's own: a test
	 * runner hands on what the same servers said in its world, another port maybe. */
	if (client->header.flags & SPAWN_OWN_ENVIRONMENT) {
		environment_apply(&nothing, &request->set, &request->unset, &world_environment);
		environment_apply(&world_environment, found, &nothing, &environment);
	} else {
		environment_apply(&plan->environment, found, &nothing, &world_environment);
		environment_apply(&world_environment, &request->set, &request->unset, &environment);
	}
	if (spawn_start(server->world, &spawn, &spawned, &error) < 0) {
		client_reply_error(client, &error);
		return;
	}
	client->payload = spawned.payload;
	client->leader = spawned.leader;
	client->channel_fd = spawned.channel_fd;
	client->session = spawned.leader ? spawned.leader : spawned.payload;
	client->had_payload = true;
	if (spawn.is_main) {
		client->is_main = true;
		server->has_main = true;
	}
	started.number = spawned.payload;
	client_reply(client, &started, spawned.master_fd);
	fd_close(&spawned.master_fd);
}

void payload_handle_spawn(struct server *server, struct client *client)
{
	struct spawn_request request;

	if (spawn_request_unpack(client->body, client->header.body_size, &request) < 0)
		client_refuse(client, EBADMSG, "its body cannot be read");
	else if (!client_is_idle(client))
		client_refuse(client, EBUSY, "this connection has something going on");
	else if ((client->header.flags & SPAWN_MAIN) && (!client->is_owner || server->has_main))
		client_refuse(client, EPERM, "only the owner starts the worker's own command, once");
	else if (server->has_main_ended)
		client_refuse(client, ESRCH, "the worker is ending");
	else {
		server->is_used |= !client->is_owner;
		start_payload(server, client, &request);
	}
	spawn_request_release(&request);
}
