/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: who has the world for itself, in the order in which they asked, and the end of one that was handed out
 * fresh. */
#include "sandbox/worker/server_parts.h"

#include <errno.h>
#include <poll.h>

/* The world ends, and whoever looks after it may make it anew. What is thrown away needs no grace. */
void server_begin_renewal(struct server *server)
{
	const struct server_guest *guest = payload_find_guest(server);

	if (!guest || server->has_main_ended || server->is_renewed)
		return;
	server->is_renewed = true;
	guest->stop(guest->argument, 0);
}

void server_refuse_leased(struct client *client)
{
	struct error error = { 0 };

	(void)error_set(
		&error, .number = EBUSY, .step = "answer the request", .cause = "somebody has leased it",
		.remedy = "'sbx lease --slot NUMBER --reset-after each -- true' waits for its turn, and does it then");
	client_reply_error(client, &error);
}

static struct client *find_next_lessee(const struct server *server)
{
	struct client *next = NULL;

	for (size_t i = 0; i < server->client_count; i++) {
		struct client *client = server->clients[i];

		if (client->lease_turn && (!next || client->lease_turn < next->lease_turn))
			next = client;
	}
	return next;
}

/* The connection to the world whose services it shares ends with that. */
static bool has_lost_shared(const struct server *server)
{
	const struct shared_ports *shared = &server->world->plan->shared;
	struct pollfd polled = { .fd = shared->fd };

	return shared->count > 0 && poll(&polled, 1, 0) > 0 && (polled.revents & POLLHUP);
}

/* @return 1 the world can be leased, 0 its services are on their way, or -errno */
static int look_after_guest(const struct server *server, struct error *error)
{
	const struct server_guest *guest = server->world->plan->guest;
	int result = guest && guest->look ? guest->look(guest->argument, error) : 1;

	if (has_lost_shared(server))
		return error_set(error, .number = EIO, .step = "use the worker",
				 .cause = "the services that it shares with the others have ended",
				 .remedy = "the next lease makes them anew, and this worker: sbx lease -- true");
	if (result < 0 || (result > 0 && !server->is_spoiled && server_has_start(server)))
		return result;
	if (server->is_spoiled)
		return error_set(error, .number = EIO, .step = "use the worker",
				 .cause = "it is half reset: what a reset began did not come to its end",
				 .remedy = "a new world is as it was: --restart");
	return 0;
}

void server_grant_lease(struct server *server)
{
	struct client *client =
		server->lessee || server->is_renewed || server_is_resetting(server) ? NULL : find_next_lessee(server);
	struct error error = { 0 };
	int result = client ? look_after_guest(server, &error) : 0;

	if (result == 0)
		return;
	client->lease_turn = 0;
	if (result < 0) {
		client_reply_error(client, &error);
		return;
	}
	if (client->wants_fresh && server->is_used) {
		client_refuse(client, ESTALE, "somebody has used it");
		server_begin_renewal(server);
		return;
	}
	server->lessee = client;
	server->is_used = true;
	server->is_lease_fresh = client->wants_fresh;
	client_reply_number(client, REPLY_DONE, 0);
	if (client->wants_fresh && server->client_count > 0 && server->clients[0]->is_owner)
		client_reply_number(server->clients[0], REPLY_TAKEN, 0);
}

void server_handle_lease(struct server *server, struct client *client)
{
	bool is_leased = server->lessee || find_next_lessee(server);

	if (client->header.flags & LEASE_ASK) {
		struct error error = { 0 };

		if (server->is_renewed)
			client_refuse(client, ESTALE, "it ends, to be made anew");
		else if (look_after_guest(server, &error) < 0)
			client_reply_error(client, &error);
		else
			client_reply_number(client, REPLY_DONE, !server->is_used);
		return;
	}
	if (server->lessee == client) {
		client_reply_number(client, REPLY_DONE, 0);
		return;
	}
	if (is_leased && client->header.argument == 0) {
		server_refuse_leased(client);
		return;
	}
	client->wants_fresh = client->header.flags & LEASE_FRESH;
	client->lease_turn = ++server->lease_turns;
	server_grant_lease(server);
	if (client->lease_turn && client->header.argument == 0) {
		client->lease_turn = 0;
		client_refuse(client, EAGAIN, "its services are not ready yet");
	}
}
