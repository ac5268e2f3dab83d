/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: one poll(2) loop over the owner's socket, the listener, the clients that came through it, the leaders
 * of their private terminals, and a signalfd for SIGCHLD. PID 1 is the only parent of everything inside.
 *
 * A client is a connection. It has at most one thing going on: a payload, a task, or waiting for the main payload's
 * end. What it asks beyond that is refused. It never blocks PID 1: requests are put together as their bytes come, and a
 * client that does not read its few small replies is dropped. The owner is a client like the others, but for two
 * things: its end of file is the lifeline, and its SPAWN_MAIN payload is the worker's own command.
 *
 * Peers are of the caller's own uid (the kernel says so), since the socket lies in a directory of mode 0700 and is seen
 * in no world; all the same nothing that they send is trusted to be well-formed.
 *
 * When the main payload ends (of world R of a test run, when it was told to, the rest of its process group as well):
 * with nothing to be kept PID 1 tells those who wait and exits, and the kernel kills what
 * is left, pid_namespaces(7). Else it kills the rest itself, so that the layers come to rest, and serves the owner, who
 * has them copied out and goes away. */
#include "sandbox/worker/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/memory.h"
#include "base/process.h"
#include "sandbox/worker/server_parts.h"
#include "sandbox/worker/session.h"
#include "sandbox/worker/terminal.h"

enum {
	FIXED_SLOTS = 3, /* signals, listener, timer */
	SLOTS_PER_CLIENT = 2,
};

/* ---- children ---- */

/* @return whether there may be more */
static bool hear_leader(struct server *server, struct client *client)
{
	struct leader_message message;
	int result = terminal_receive(client->channel_fd, &message);

	if (result == -EAGAIN)
		return false;
	if (result <= 0) {
		/* Killed by its payload, say, which it leaves behind without a terminal: that ends as well. */
		session_kill(client->leader);
		(void)kill(-client->payload, SIGKILL);
		payload_ended(server, client, SIGKILL);
		return false;
	}
	if (message.kind == LEADER_STOPPED)
		client_reply_number(client, REPLY_STOPPED, message.number);
	if (message.kind == LEADER_EXITED) {
		payload_ended(server, client, message.number);
		return false;
	}
	return true;
}

static void child_ended(struct server *server, pid_t pid, int status)
{
	const struct server_guest *guest = server->world->plan->guest;
	owned_text given_up = NULL;

	if (guest && guest->child_ended(guest->argument, pid, status))
		return;
	if (server_start_ended(server, pid, status))
		return;
	if (ports_child_ended(&server->ports, pid, status, !server->has_main_ended, &given_up)) {
		if (given_up)
			client_tell_given_up(server, given_up);
		return;
	}
	for (size_t i = 0; i < server->client_count; i++) {
		struct client *client = server->clients[i];

		if (client->task == pid)
			server_task_ended(server, client, status);
		else if (client->leader == pid) {
			/* Its last message lies in the channel. */
			while (client->payload && client->channel_fd >= 0 && hear_leader(server, client))
				;
			client->leader = 0;
			client->payload = 0;
		} else if (client->payload == pid && client->leader == 0 && payload_is_awaited(server, client, status))
			payload_await_rest(server, client, status);
		else if (client->payload == pid && client->leader == 0)
			payload_ended(server, client, status);
		else
			continue;
		return;
	}
}

static void reap(struct server *server)
{
	struct signalfd_siginfo information;
	int status;
	pid_t pid;

	(void)!read(server->signal_fd, &information, sizeof(information));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_ended(server, pid, status);
	if (server->late && kill(-server->late->payload, 0) < 0)
		payload_end_late(server);
}

/* ---- the worker's end ---- */

static bool has_others(const struct server *server)
{
	for (size_t i = 0; i < server->client_count; i++)
		if (!client_is_idle(server->clients[i]))
			return true;
	return false;
}

/* Where the runner runs in the world of the tests, what is being kept of a red test is not to end with the runner. Each
 * task ends with its client. */
static bool is_being_looked_at(const struct server *server)
{
	for (size_t i = 0; i < server->client_count && server->world->plan->annex.is_wanted; i++)
		if (server->clients[i]->task)
			return true;
	return false;
}

/* The main payload has ended, and whoever ended with it has been told. */
static void end_world(struct server *server)
{
	bool is_kept = server->world->plan->spec->keep != KEEP_NEVER || server->world->plan->stays;
	int status;
	pid_t pid;

	if (is_kept || has_others(server)) {
		/* All but this process: kill(2) of -1 from PID 1 of a namespace. Each client hears what became of its
		 * own, and once none is left nobody writes to the layers any more. */
		(void)kill(-1, SIGKILL);
		while ((pid = waitpid(-1, &status, 0)) > 0)
			child_ended(server, pid, status);
	}
	for (size_t i = 0; i < server->client_count; i++)
		if (server->clients[i]->waits_for_main) {
			server->clients[i]->waits_for_main = false;
			client_reply_number(server->clients[i], REPLY_EXITED, server->main_status);
		}
	if (!is_kept)
		_exit(0);
}

/* ---- the loop ---- */

static size_t prepare_poll(const struct server *server, struct pollfd *polled)
{
	size_t count = 0;

	polled[count++] = (struct pollfd){ .fd = server->signal_fd, .events = POLLIN };
	polled[count++] = (struct pollfd){ .fd = server->world->plan->listener_fd, .events = POLLIN };
	polled[count++] = (struct pollfd){ .fd = server->timer_fd, .events = POLLIN };
	for (size_t i = 0; i < server->client_count; i++) {
		polled[count++] = (struct pollfd){ .fd = server->clients[i]->fd, .events = POLLIN };
		polled[count++] = (struct pollfd){ .fd = server->clients[i]->channel_fd, .events = POLLIN };
	}
	return count;
}

static int wait_ms(uint64_t deadline_ms)
{
	uint64_t now_ms;

	if (deadline_ms == UINT64_MAX)
		return -1;
	now_ms = clock_ms();
	return deadline_ms <= now_ms ? 0 : (int)MIN(deadline_ms - now_ms, (uint64_t)INT32_MAX);
}

static void serve_once(struct server *server)
{
	struct pollfd polled[FIXED_SLOTS + SLOTS_PER_CLIENT * (CLIENTS_MAX + 1) + SERVER_GUEST_SLOTS];
	const struct server_guest *guest = server->world->plan->guest;
	size_t own = prepare_poll(server, polled);
	size_t clients = server->client_count; /* those that come meanwhile are not in `polled` */
	uint64_t deadline_ms = UINT64_MAX;
	size_t guests = guest ? guest->prepare(guest->argument, polled + own, SERVER_GUEST_SLOTS, &deadline_ms) : 0;

	bool is_resting = deadline_ms == UINT64_MAX && !server->has_rested;
	int ready = poll(polled, own + guests, is_resting ? MEMORY_IDLE_MS : wait_ms(deadline_ms));

	if (ready == 0 && is_resting) {
		memory_give_back();
		server->has_rested = true;
	}
	if (ready < 0) {
		/* Without a filter a payload can lower PID 1's limit of descriptors below what it polls (finding 40):
		 * there is no going on then, and spinning would be worse. */
		if (errno == EINVAL)
			_exit(EXIT_SBX_FAILED);
		return;
	}
	for (size_t i = 0; i < clients; i++) {
		const struct pollfd *slots = polled + FIXED_SLOTS + SLOTS_PER_CLIENT * i;
		struct client *client = server->clients[i];

		if (slots[1].revents && client->channel_fd == slots[1].fd)
			while (client->channel_fd >= 0 && hear_leader(server, client))
				;
		if (slots[0].revents && client->fd == slots[0].fd)
			client_hear(server, client);
	}
	if (guest)
		guest->step(guest->argument, polled + own, guests);
	if (polled[0].revents)
		reap(server);
	if (polled[1].revents)
		client_accept(server);
	if (polled[2].revents)
		payload_hear_timer(server);
	if (server->has_main_ended && !server->is_ending && !is_being_looked_at(server)) {
		server->is_ending = true;
		end_world(server);
	}
	client_remove_gone(server);
	server_grant_lease(server);
}

const struct world *server_world(const struct server *server)
{
	return server->world;
}

void server_tell_owner(struct server *server, int64_t number, const struct error *error)
{
	struct reply message = { .kind = REPLY_SERVICE, .number = number };

	if (error)
		message.error = *error;
	/* One that has let go hears nothing more. */
	if (server->client_count > 0 && server->clients[0]->is_owner)
		client_reply(server->clients[0], &message, -1);
}

void server_guest_stopped(struct server *server)
{
	server->has_main_ended = true;
}

void server_guest_settled(struct server *server, const struct error *error)
{
	for (size_t i = 0; i < server->client_count; i++) {
		struct client *client = server->clients[i];

		if (!client->waits_for_guest)
			continue;
		client->waits_for_guest = false;
		if (error)
			client_reply_error(client, error);
		else
			client_reply_number(client, REPLY_DONE, 0);
	}
}

bool server_is_renewed(const struct server *server)
{
	return server->is_renewed;
}

static int publish_ports(struct server *server, struct error *error)
{
	const struct worker_plan *plan = server->world->plan;
	int result = 0;

	for (size_t i = 0; i < plan->published_count && result == 0; i++)
		result = ports_add(&server->ports, &plan->published[i].rule, plan->published[i].listener_fd,
				   &(struct port_holder){ 0 }, error);
	return result;
}

static int start_guest(struct server *server, struct error *error)
{
	const struct server_guest *guest = server->world->plan->guest;

	return guest ? guest->start(guest->argument, server, error) : 0;
}

void server_run(struct world *world)
{
	struct server server = { .world = world };
	struct error error = { 0 };
	struct client *owner = client_add(&server, world->plan->control_fd);
	const struct reply ready = { .kind = REPLY_READY };
	sigset_t children;

	owner->is_owner = true;
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	server.signal_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	server.timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (server.signal_fd < 0 || server.timer_fd < 0)
		(void)error_set(&error, .number = errno, .step = "watch the children");
	else if (publish_ports(&server, &error) == 0)
		(void)start_guest(&server, &error);
	if (error.step[0] != '\0') {
		client_reply_error(owner, &error);
		_exit(EXIT_SBX_FAILED);
	}
	client_reply(owner, &ready, world->annex_socket_fd);
	fd_close(&world->annex_socket_fd);
	for (;;)
		serve_once(&server);
}
