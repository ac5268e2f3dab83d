/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of server.c, which says how PID 1 works: not for anybody else.
 *
 *   server.c          the loop, the children's ends, the worker's end
 *   server_client.c   connections, and the requests that come through them
 *   server_payload.c  commands: started, signalled, stopped, waited for
 *   server_task.c     what a fork of PID 1 does; what a reset goes back to
 *   server_lease.c    who has the world for itself
 *
 * All of it runs in PID 1, in one thread, and blocks nowhere. What handles a request answers it; the request's body and
 * descriptors are the client's, which lets go of them afterwards. */
#ifndef SBX_WORKER_SERVER_PARTS_H
#define SBX_WORKER_SERVER_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "sandbox/worker/ports.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/server.h"

enum { CLIENTS_MAX = 512 };

struct client {
	int fd; /* -1: it has gone, what it started has not ended yet */
	bool is_owner;
	bool is_restricted; /* may only spawn and signal */
	bool is_sharer;	    /* another world's PID 1: may only publish, and what it does is not listed: shared.h */
	bool is_detached;   /* the owner: its end is the world's no more */

	/* The request that is coming in. */
	struct request_header header;
	size_t header_got;
	int fds[REQUEST_FDS_MAX];
	size_t fd_count;
	char *body;
	size_t body_got;

	/* What is going on. */
	pid_t payload;
	pid_t leader;
	int channel_fd;
	bool is_main;
	bool had_payload; /* what it sends for one that has just ended is passed over */
	pid_t task;
	int task_fd;	   /* where its outcome comes */
	bool is_resetting; /* that task: it comes to its end even if nobody waits for it any more */
	bool waits_for_main;
	bool waits_for_guest; /* for the services that it had restarted */
	pid_t session;	      /* of its last payload */
	bool wants_fresh;     /* LEASE_FRESH */
	uint64_t lease_turn;  /* waits for a lease, since that many were asked for; 0: does not */
};

enum start { START_OPEN, START_BEING_KEPT, START_SETTLED };

struct server {
	struct world *world;
	enum start start; /* what a reset goes back to, in a world that has to keep it */
	pid_t start_task;
	bool is_spoiled; /* a reset did not come to its end */
	int signal_fd;
	int timer_fd;
	struct client **clients; /* the owner first */
	size_t client_count;
	struct ports ports;
	struct client *lessee; /* who has the world for itself; NULL: nobody */
	uint64_t lease_turns;
	bool is_used;	     /* a lease, or a command or a task of somebody else than the owner, has been here */
	bool is_lease_fresh; /* of the lessee: the world ends with it */
	bool is_renewed;
	bool is_told_to_stop; /* its services were, for good */
	bool has_main;
	bool has_main_ended;
	bool is_ending;	 /* end_world() was called */
	bool has_rested; /* and has given back what it does not need for that */
	/* Its main payload has been told to end and has, others of its process group are still at it; NULL: nobody */
	struct client *late;
	int late_status;
	bool has_main_signal; /* the main payload was sent one */
	int main_status;
};

/* ---- server_client.c ---- */

/** @fd  is the client's from here on. Never fails: without memory there is no going on. */
struct client *client_add(struct server *server, int fd);
/** One that came through the listener, if it is the caller's own. */
void client_accept(struct server *server);
/** Takes what has come; handles each request that is whole. */
void client_hear(struct server *server, struct client *client);
void client_forget_request(struct client *client);
/** Whether it has neither a payload nor a task. */
bool client_is_idle(const struct client *client);
/** Frees those that have gone and have nothing going on any more, with what they held. */
void client_remove_gone(struct server *server);

/** Nothing, to one that has gone. One that does not read is hung up on.
 * @fd  sent with it, borrowed; -1: none */
void client_reply(struct client *client, const struct reply *message, int fd);
void client_reply_number(struct client *client, enum reply_kind kind, int64_t number);
void client_reply_error(struct client *client, const struct error *error);
/** @cause  NULL: what `number` means */
void client_refuse(struct client *client, int number, const char *cause);

/** Tells the owner, and listings, of a port that nobody serves any more. */
void client_tell_given_up(const struct server *server, const char *port);

/* ---- server_payload.c ---- */

void payload_handle_spawn(struct server *server, struct client *client);
void payload_handle_signal(struct server *server, struct client *client);
void payload_handle_continue(struct server *server, const struct client *client);
void payload_handle_stop(struct server *server, struct client *client);
/** The answer comes when the main payload ends. */
void payload_wait_for_main(struct server *server, struct client *client);
/** Of a request to stop, or of payload_await_rest(): its time is up. */
void payload_hear_timer(struct server *server);

/** Tells its client. @status  as of waitpid(2) */
void payload_ended(struct server *server, struct client *client, int status);
/** Whether the rest of its process group is to be waited for, now that it has ended itself. */
bool payload_is_awaited(const struct server *server, const struct client *client, int status);
void payload_await_rest(struct server *server, struct client *client, int status);
/** That rest has ended, or will not. */
void payload_end_late(struct server *server);
/** The services of a world that has no command of its own; NULL: it has one, or no services. */
const struct server_guest *payload_find_guest(const struct server *server);

/* ---- server_task.c ---- */

void server_handle_task(struct server *server, struct client *client);
/** @status  as of waitpid(2) */
void server_task_ended(struct server *server, struct client *client, int status);
bool server_is_resetting(const struct server *server);
/** Whether the world can be used: what a reset goes back to has been kept, or need not be. */
bool server_has_start(const struct server *server);
/** @return whether it was the child that keeps it */
bool server_start_ended(struct server *server, pid_t pid, int status);

/* ---- server_lease.c ---- */

void server_handle_lease(struct server *server, struct client *client);
/** Gives the world, if it is free, to who has waited longest. */
void server_grant_lease(struct server *server);
/** To one who wants what only the lessee may do, or nobody while there is one. */
void server_refuse_leased(struct client *client);
/** The world ends, and whoever looks after it may make it anew. */
void server_begin_renewal(struct server *server);

#endif
