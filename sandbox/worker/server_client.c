/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1's clients as connections: how they come and go, what they are told, and their requests, put together as the
 * bytes come and handed to the part that does them. What concerns the connection alone, or ports, is done here. */
#include "sandbox/worker/server_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "sandbox/registry/lock.h"
#include "sandbox/worker/session.h"
#include "sandbox/worker/terminal.h"

/* ---- their beginning and end ---- */

struct client *client_add(struct server *server, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	server->clients = reallocarray(server->clients, server->client_count + 1, sizeof(struct client *));
	if (!client || !server->clients)
		abort();
	client->fd = fd;
	client->channel_fd = -1;
	client->task_fd = -1;
	server->clients[server->client_count++] = client;
	return client;
}

void client_forget_request(struct client *client)
{
	for (size_t i = 0; i < client->fd_count; i++)
		fd_close(&client->fds[i]);
	free(client->body);
	client->body = NULL;
	client->fd_count = client->header_got = client->body_got = 0;
}

bool client_is_idle(const struct client *client)
{
	return client->payload == 0 && client->task == 0;
}

/* The connection's end: what it started ends with it. */
static void hang_up(struct client *client)
{
	if (client->is_owner && !client->is_detached)
		_exit(EXIT_SBX_FAILED);
	fd_close(&client->fd);
	client_forget_request(client);
	client->waits_for_main = client->waits_for_guest = false;
	client->lease_turn = 0;
	if (client->task && !client->is_resetting)
		(void)kill(client->task, SIGKILL);
	if (client->payload && client->leader)
		fd_close(&client->channel_fd); /* its leader hangs up on the job, as a terminal that is closed does */
	if (client->payload)
		session_kill(client->leader ? client->leader : client->payload);
}

/* ---- what they are told ---- */

void client_reply(struct client *client, const struct reply *message, int fd)
{
	int result;

	if (client->fd < 0)
		return;
	result = reply_send(client->fd, message, fd);
	/* Who does not read must not stop PID 1. The owner reads, unless it is stopped; what it is not told for another
	 * reason (no memory) it would wait for without end. */
	if (result < 0 && !(client->is_owner && result == -EAGAIN))
		hang_up(client);
}

void client_reply_number(struct client *client, enum reply_kind kind, int64_t number)
{
	struct reply message = { .kind = kind, .number = number };

	client_reply(client, &message, -1);
}

void client_reply_error(struct client *client, const struct error *error)
{
	struct reply message = { .kind = REPLY_FAILED, .error = *error };

	client_reply(client, &message, -1);
}

void client_refuse(struct client *client, int number, const char *cause)
{
	struct error error = { 0 };

	(void)error_set(&error, .number = number, .step = "answer the request", .cause = cause);
	client_reply_error(client, &error);
}

/* ---- ports ---- */

/* For listings. What they show is older where it fails: the ports are there all the same. */
static void tell_ports(const struct server *server)
{
	owned_list texts = { 0 };

	ports_list(&server->ports, &texts);
	if (server->world->plan->lock_fd >= 0)
		(void)lock_replace_ports(server->world->plan->lock_fd, &texts, NULL);
}

/* A port that nobody serves any more is told to the owner, and by inspect. */
void client_tell_given_up(const struct server *server, const char *port)
{
	owned_text what = text_format("port %s", port);

	world_note(server->world, what, "its forwarder ended again and again; it is published no more");
	tell_ports(server);
}

/* ---- who has gone ---- */

/* What its command left in the background would disturb who has the world next; and who is killed lives on for a
 * moment, holding locks and ports. */
static bool is_clearing(const struct server *server, const struct client *client)
{
	return server->lessee == client && client->session && session_kill_once(client->session);
}

void client_remove_gone(struct server *server)
{
	size_t kept = 0;
	bool has_dropped = false;

	for (size_t i = 0; i < server->client_count; i++) {
		struct client *client = server->clients[i];

		if (client->fd >= 0 || !client_is_idle(client) || is_clearing(server, client)) {
			server->clients[kept++] = client;
			continue;
		}
		has_dropped |= ports_drop(&server->ports, client);
		if (server->lessee == client) {
			server->lessee = NULL;
			if (server->is_lease_fresh)
				server_begin_renewal(server);
		}
		client_forget_request(client);
		fd_close(&client->channel_fd);
		fd_close(&client->task_fd);
		free(client);
	}
	server->client_count = kept;
	if (has_dropped)
		tell_ports(server);
}

/* ---- requests ---- */

static void handle_detach(struct client *client)
{
	if (!client->is_owner) {
		client_refuse(client, EPERM, "only the owner lets go of the world");
		return;
	}
	client->is_detached = true;
	/* Out of the session whose terminal may hang up. A leader already is out of it. */
	(void)setsid();
	if (prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0)
		client_refuse(client, errno, NULL);
	else
		client_reply_number(client, REPLY_DONE, 0);
}

static void handle_restart(struct server *server, struct client *client)
{
	const struct server_guest *guest = server->world->plan->guest;

	if (!guest || !guest->restart || server->has_main_ended) {
		client_refuse(client, ESRCH, "it has no services");
		return;
	}
	client->waits_for_guest = true;
	guest->restart(guest->argument, client->header.argument < 0 ? UINT64_MAX : (uint64_t)client->header.argument);
}

static void handle_rest(struct server *server, const struct client *client)
{
	const struct server_guest *guest = server->world->plan->guest;

	if (client->is_owner && guest && guest->rest)
		guest->rest(guest->argument);
}

static void handle_connect(struct server *server, struct client *client)
{
	struct client *added;

	if (!client->is_owner && client->fd_count == 0 && client->header.argument == CONNECT_SHARER) {
		client->is_sharer = true;
		client_reply_number(client, REPLY_DONE, 0);
	} else if (!client->is_owner || client->fd_count != 1)
		client_refuse(client, EPERM, "only the owner makes connections, one at a time");
	else if (server->client_count >= CLIENTS_MAX)
		client_refuse(client, EMFILE, "there are too many connections");
	else {
		added = client_add(server, client->fds[0]);
		added->is_restricted = client->header.argument == CONNECT_RESTRICTED;
		added->is_sharer = client->header.argument == CONNECT_SHARER;
		client->fd_count = 0;
	}
}

static int change_ports(struct server *server, struct client *client, const char *text, struct error *error)
{
	struct publish_rule rule;
	int result;

	if (client->header.kind == REQUEST_UNPUBLISH)
		return ports_remove(&server->ports, text, error);
	result = publish_parse(text, &rule, error);
	if (result < 0)
		return result;
	if (client->fd_count != 1)
		return error_set(error, .number = EBADMSG, .step = "publish the port", .object = text,
				 .cause = "its socket was not sent with it");
	client->fd_count = 0;
	return ports_add(&server->ports, &rule, client->fds[0],
			 &(struct port_holder){ .holder = client->header.argument ? client : NULL,
						.is_world = client->is_sharer },
			 error);
}

static void handle_ports(struct server *server, struct client *client)
{
	owned_list arguments = { 0 };
	size_t offset = 0;
	struct error error = { 0 };
	int result;

	if (request_unpack_list(client->body, client->header.body_size, &offset, &arguments) < 0 ||
	    arguments.count != 1) {
		client_refuse(client, EBADMSG, "its body cannot be read");
		return;
	}
	result = change_ports(server, client, arguments.items[0], &error);
	if (result < 0) {
		client_reply_error(client, &error);
		return;
	}
	tell_ports(server);
	client_reply_number(client, REPLY_DONE, result);
}

static bool is_allowed(const struct client *client)
{
	if (client->is_sharer)
		return client->header.kind == REQUEST_PUBLISH && client->header.argument == 1;
	switch (client->header.kind) {
	case REQUEST_SPAWN:
	case REQUEST_CONTINUE:
		return true;
	case REQUEST_SIGNAL:
		return !client->is_restricted || client->had_payload;
	default:
		return !client->is_restricted;
	}
}

static void handle_request(struct server *server, struct client *client)
{
	if (!is_allowed(client)) {
		client_refuse(client, EPERM, "this connection is for something else");
		client_forget_request(client);
		return;
	}
	switch ((enum request_kind)client->header.kind) {
	case REQUEST_SPAWN:
		payload_handle_spawn(server, client);
		break;
	case REQUEST_SIGNAL:
		payload_handle_signal(server, client);
		break;
	case REQUEST_CONTINUE:
		payload_handle_continue(server, client);
		break;
	case REQUEST_STOP:
		payload_handle_stop(server, client);
		break;
	case REQUEST_WAIT:
		payload_wait_for_main(server, client);
		break;
	case REQUEST_LEASE:
		server_handle_lease(server, client);
		break;
	case REQUEST_CONNECT:
		handle_connect(server, client);
		break;
	case REQUEST_RUN_TASK:
		server_handle_task(server, client);
		break;
	case REQUEST_PUBLISH:
	case REQUEST_UNPUBLISH:
		handle_ports(server, client);
		break;
	case REQUEST_DETACH:
		handle_detach(client);
		break;
	case REQUEST_RESTART:
		handle_restart(server, client);
		break;
	case REQUEST_REST:
		handle_rest(server, client);
		break;
	default:
		client_refuse(client, EOPNOTSUPP, "this worker's sbx does not know it");
	}
	client_forget_request(client);
}

/* ---- what comes in ---- */

/* @return bytes; 0: nothing more now; < 0: the connection's end */
static ssize_t receive_header(struct client *client)
{
	size_t fd_count = 0;
	ssize_t got = fd_receive(client->fd, (char *)&client->header + client->header_got,
				 sizeof(client->header) - client->header_got, client->fds + client->fd_count,
				 REQUEST_FDS_MAX - client->fd_count, &fd_count, MSG_DONTWAIT);

	client->fd_count += fd_count;
	if (got > 0)
		client->header_got += (size_t)got;
	return got;
}

static ssize_t receive_body(struct client *client)
{
	ssize_t got;

	if (!client->body)
		client->body = malloc(client->header.body_size + 1);
	if (!client->body)
		return -ENOMEM;
	got = RETRY_EINTR(recv(client->fd, client->body + client->body_got, client->header.body_size - client->body_got,
			       MSG_DONTWAIT));
	if (got > 0)
		client->body_got += (size_t)got;
	return got < 0 ? -errno : got;
}

static bool is_request_legal(const struct client *client)
{
	return client->header.version == REQUEST_VERSION && client->header.body_size <= REQUEST_BODY_MAX &&
	       client->header.fd_count == client->fd_count;
}

void client_hear(struct server *server, struct client *client)
{
	while (client->fd >= 0) {
		ssize_t got =
			client->header_got < sizeof(client->header) ? receive_header(client) : receive_body(client);

		if (got == -EAGAIN)
			return;
		if (got <= 0) {
			hang_up(client);
			return;
		}
		if (client->header_got < sizeof(client->header))
			continue;
		if (!is_request_legal(client)) {
			client_refuse(client, EPROTO, "it is of another version of sbx, or damaged");
			hang_up(client);
			return;
		}
		if (client->body_got == client->header.body_size)
			handle_request(server, client);
	}
}

void client_accept(struct server *server)
{
	owned_fd fd = accept4(server->world->plan->listener_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != getuid() ||
	    server->client_count >= CLIENTS_MAX)
		return;
	(void)client_add(server, fd_take(&fd));
}
