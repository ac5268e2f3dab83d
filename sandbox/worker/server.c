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
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/process.h"
#include "overlay/scan.h"
#include "sandbox/policy/environment.h"
#include "sandbox/registry/lock.h"
#include "sandbox/worker/ports.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/session.h"
#include "sandbox/worker/spawn.h"
#include "sandbox/worker/task.h"
#include "sandbox/worker/terminal.h"

enum {
	CLIENTS_MAX = 512,
	FIXED_SLOTS = 3, /* signals, listener, timer */
	SLOTS_PER_CLIENT = 2,
};

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
	bool has_main;
	bool has_main_ended;
	bool is_ending; /* end_world() was called */
	/* Its main payload has been told to end and has, others of its process group are still at it; NULL: nobody */
	struct client *late;
	int late_status;
	bool has_main_signal; /* the main payload was sent one */
	int main_status;
};

/* What a task tells PID 1: one write, atomic by pipe(7). */
struct task_outcome {
	int status;
	struct error error;
};

_Static_assert(sizeof(struct task_outcome) <= 4096, "an outcome fits PIPE_BUF");

/* ---- clients ---- */

static struct client *add_client(struct server *server, int fd)
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

static void forget_request(struct client *client)
{
	for (size_t i = 0; i < client->fd_count; i++)
		fd_close(&client->fds[i]);
	free(client->body);
	client->body = NULL;
	client->fd_count = client->header_got = client->body_got = 0;
}

static bool is_idle(const struct client *client)
{
	return client->payload == 0 && client->task == 0;
}

/* The connection's end: what it started ends with it. */
static void hang_up(struct client *client)
{
	if (client->is_owner && !client->is_detached)
		_exit(EXIT_SBX_FAILED);
	fd_close(&client->fd);
	forget_request(client);
	client->waits_for_main = client->waits_for_guest = false;
	client->lease_turn = 0;
	if (client->task && !client->is_resetting)
		(void)kill(client->task, SIGKILL);
	if (client->payload && client->leader)
		fd_close(&client->channel_fd); /* its leader hangs up on the job, as a terminal that is closed does */
	if (client->payload)
		session_kill(client->leader ? client->leader : client->payload);
}

/* For listings. What they show is older where it fails: the ports are there all the same. */
static void tell_ports(const struct server *server)
{
	owned_list texts = { 0 };

	ports_list(&server->ports, &texts);
	if (server->world->plan->lock_fd >= 0)
		(void)lock_replace_ports(server->world->plan->lock_fd, &texts, NULL);
}

/* A port that nobody serves any more is told to the owner, and by inspect. */
static void tell_given_up(const struct server *server, const char *port)
{
	owned_text what = text_format("port %s", port);

	world_note(server->world, what, "its forwarder ended again and again; it is published no more");
	tell_ports(server);
}

/* What its command left in the background would disturb who has the world next; and who is killed lives on for a
 * moment, holding locks and ports. */
static bool is_clearing(const struct server *server, const struct client *client)
{
	return server->lessee == client && client->session && session_kill_once(client->session);
}

/* Those that have gone and have nothing going on any more. */
/* Of a world that has services, and no command of its own. */
static const struct server_guest *find_stoppable_guest(const struct server *server)
{
	const struct server_guest *guest = server->world->plan->guest;

	return guest && guest->stop && !server->has_main ? guest : NULL;
}

/* The world ends, and whoever looks after it may make it anew. What is thrown away needs no grace. */
static void begin_renewal(struct server *server)
{
	const struct server_guest *guest = find_stoppable_guest(server);

	if (!guest || server->has_main_ended || server->is_renewed)
		return;
	server->is_renewed = true;
	guest->stop(guest->argument, 0);
}

static void remove_clients(struct server *server)
{
	size_t kept = 0;
	bool has_dropped = false;

	for (size_t i = 0; i < server->client_count; i++) {
		struct client *client = server->clients[i];

		if (client->fd >= 0 || !is_idle(client) || is_clearing(server, client)) {
			server->clients[kept++] = client;
			continue;
		}
		has_dropped |= ports_drop(&server->ports, client);
		if (server->lessee == client) {
			server->lessee = NULL;
			if (server->is_lease_fresh)
				begin_renewal(server);
		}
		forget_request(client);
		fd_close(&client->channel_fd);
		fd_close(&client->task_fd);
		free(client);
	}
	server->client_count = kept;
	if (has_dropped)
		tell_ports(server);
}

static void reply(struct client *client, const struct reply *message, int fd)
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

static void reply_number(struct client *client, enum reply_kind kind, int64_t number)
{
	struct reply message = { .kind = kind, .number = number };

	reply(client, &message, -1);
}

static void reply_error(struct client *client, const struct error *error)
{
	struct reply message = { .kind = REPLY_FAILED, .error = *error };

	reply(client, &message, -1);
}

static void refuse(struct client *client, int number, const char *cause)
{
	struct error error = { 0 };

	(void)error_set(&error, .number = number, .step = "answer the request", .cause = cause);
	reply_error(client, &error);
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
		reply(client, &message, -1);
}

static void payload_ended(struct server *server, struct client *client, int status)
{
	bool was_main = client->is_main;

	client->payload = 0;
	client->is_main = false;
	fd_close(&client->channel_fd);
	if (was_main)
		explain_failure(server, client, status);
	reply_number(client, REPLY_EXITED, status);
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
static bool is_awaited(const struct server *server, const struct client *client, int status)
{
	return client->is_main && server->world->plan->annex.is_wanted &&
	       (server->has_main_signal || WIFSIGNALED(status) || process_exit_code(status) > 128) &&
	       kill(-client->payload, 0) == 0;
}

static void await_rest(struct server *server, struct client *client, int status)
{
	struct itimerspec left = { 0 };

	server->late = client;
	server->late_status = status;
	/* One that runs is that of a request to stop. */
	(void)timerfd_gettime(server->timer_fd, &left);
	if (left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0)
		start_timer(server, MAX(server->world->plan->spec->stop_timeout_ms, UINT64_C(1)));
}

static void end_late(struct server *server)
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

static void handle_signal(struct server *server, struct client *client)
{
	int number = (int)client->header.argument;
	struct client *target = client->payload ? client : find_main(server);

	const struct server_guest *guest = find_stoppable_guest(server);

	if (number < 1 || number > SIGRTMAX)
		refuse(client, EINVAL, "there is no such signal");
	else if (client->payload)
		signal_payload(server, client, number);
	else if (client->had_payload)
		return;
	else if (guest && number == SIGKILL) {
		guest->stop(guest->argument, 0);
		reply_number(client, REPLY_DONE, 0);
	} else if (guest) {
		guest->signal(guest->argument, number);
		reply_number(client, REPLY_DONE, 0);
	} else if (!target)
		refuse(client, ESRCH, "its command has ended");
	else {
		signal_payload(server, target, number);
		reply_number(client, REPLY_DONE, 0);
	}
}

static void handle_continue(struct server *server, const struct client *client)
{
	if (client->leader)
		terminal_tell(client->channel_fd, LEADER_CONTINUE, client->header.argument != 0);
	else if (client->payload)
		signal_payload(server, client, SIGCONT);
}

static void wait_for_main(struct server *server, struct client *client)
{
	if (server->has_main_ended)
		reply_number(client, REPLY_EXITED, server->main_status);
	else if (!server->has_main && !find_stoppable_guest(server))
		refuse(client, ESRCH, "it has no command of its own");
	else
		client->waits_for_main = true;
}

static void handle_stop(struct server *server, struct client *client)
{
	const struct spec *spec = server->world->plan->spec;
	const struct server_guest *guest = find_stoppable_guest(server);
	struct client *target = find_main(server);
	uint64_t grace_ms = client->header.argument < 0 ? spec->stop_timeout_ms : (uint64_t)client->header.argument;

	wait_for_main(server, client);
	if (guest && !server->has_main_ended) {
		server->is_renewed = client->header.flags & STOP_RENEW;
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

static void hear_timer(struct server *server)
{
	struct client *target = find_main(server);
	uint64_t expirations;

	(void)!read(server->timer_fd, &expirations, sizeof(expirations));
	if (target)
		signal_payload(server, target, SIGKILL);
	if (server->late)
		end_late(server);
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
		refuse(client, EBADMSG, "its descriptors do not fit");
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
		reply_error(client, &error);
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
	reply(client, &started, spawned.master_fd);
	fd_close(&spawned.master_fd);
}

static void handle_spawn(struct server *server, struct client *client)
{
	struct spawn_request request;

	if (spawn_request_unpack(client->body, client->header.body_size, &request) < 0)
		refuse(client, EBADMSG, "its body cannot be read");
	else if (!is_idle(client))
		refuse(client, EBUSY, "this connection has something going on");
	else if ((client->header.flags & SPAWN_MAIN) && (!client->is_owner || server->has_main))
		refuse(client, EPERM, "only the owner starts the worker's own command, once");
	else if (server->has_main_ended)
		refuse(client, ESRCH, "the worker is ending");
	else {
		server->is_used |= !client->is_owner;
		start_payload(server, client, &request);
	}
	spawn_request_release(&request);
}

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
			forget_request(server->clients[i]);
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

static bool is_resetting(const struct server *server)
{
	for (size_t i = 0; i < server->client_count; i++)
		if (server->clients[i]->is_resetting)
			return true;
	return false;
}

/* One at a time, and of a world that is leased by who has it: it would be somebody's whose files it takes away. */
static bool may_reset(const struct server *server, struct client *client)
{
	if (is_resetting(server))
		refuse(client, EBUSY, "it is being reset");
	else if (server->lessee && server->lessee != client)
		refuse(client, EBUSY, "somebody has leased it");
	else if (server->start == START_BEING_KEPT)
		refuse(client, EAGAIN, "its services are not ready yet");
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
	       kind == TASK_DB_QUERY || kind == TASK_KEEP || kind == TASK_FREEZE || kind == TASK_CLONE ||
	       kind == TASK_LISTENERS || kind == TASK_DB_DIFF || kind == TASK_DB_CHANGESET || kind == TASK_DB_COPY ||
	       kind == TASK_DB_SNAPSHOTS;
}

static void handle_task(struct server *server, struct client *client)
{
	struct task task;
	int ends[2];

	if (!is_idle(client)) {
		refuse(client, EBUSY, "this connection has something going on");
		return;
	}
	if (read_task(client, &task) < 0) {
		refuse(client, EBADMSG, "its body cannot be read");
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
		refuse(client, errno, NULL);
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
			refuse(client, (int)-pid, NULL);
		}
	}
	text_list_release(&task.arguments);
}

static void task_ended(struct server *server, struct client *client, int status)
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
		reply_number(client, REPLY_DONE, outcome.status);
	else if (is_told)
		reply_error(client, &outcome.error);
	else {
		struct error error = { 0 };

		(void)error_set(&error, .number = EIO, .step = "work inside the world",
				.cause = WIFSIGNALED(status)
						 ? process_signal_name(WTERMSIG(status), number, sizeof(number))
						 : "it ended without a word");
		reply_error(client, &error);
	}
}

/* ---- requests ---- */

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

/* ---- what a reset goes back to ---- */

/* A world that began from a seed has that. World R is nobody's to be reset. */
static bool has_to_keep_start(const struct server *server)
{
	const struct worker_plan *plan = server->world->plan;

	return plan->guest && plan->guest->look && !plan->seed && !plan->annex.is_wanted && !plan->is_entered_again;
}

bool server_keeps_start(struct server *server)
{
	pid_t pid;

	if (!has_to_keep_start(server) || server->start == START_SETTLED)
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

/* @return whether it was that */
static bool start_ended(struct server *server, pid_t pid, int status)
{
	if (server->start != START_BEING_KEPT || pid != server->start_task)
		return false;
	server->start = START_SETTLED;
	/* As task_ended(). */
	if (status != 0)
		(void)kill(-1, SIGCONT);
	return true;
}

/* ---- leases ---- */

/* @return 1 the world can be leased, 0 its services are on their way, or -errno */
static int look_after_guest(const struct server *server, struct error *error)
{
	const struct server_guest *guest = server->world->plan->guest;
	int result = guest && guest->look ? guest->look(guest->argument, error) : 1;

	if (result < 0 ||
	    (result > 0 && !server->is_spoiled && (!has_to_keep_start(server) || server->start == START_SETTLED)))
		return result;
	if (server->is_spoiled)
		return error_set(error, .number = EIO, .step = "use the worker",
				 .cause = "it is half reset: what a reset began did not come to its end",
				 .remedy = "a new world is as it was: --restart");
	return 0;
}

/* Gives the world, if it is free, to who has waited longest. */
static void grant_lease(struct server *server)
{
	struct client *client =
		server->lessee || server->is_renewed || is_resetting(server) ? NULL : find_next_lessee(server);
	struct error error = { 0 };
	int result = client ? look_after_guest(server, &error) : 0;

	if (result == 0)
		return;
	client->lease_turn = 0;
	if (result < 0) {
		reply_error(client, &error);
		return;
	}
	if (client->wants_fresh && server->is_used) {
		refuse(client, ESTALE, "somebody has used it");
		begin_renewal(server);
		return;
	}
	server->lessee = client;
	server->is_used = true;
	server->is_lease_fresh = client->wants_fresh;
	reply_number(client, REPLY_DONE, 0);
	if (client->wants_fresh && server->client_count > 0 && server->clients[0]->is_owner)
		reply_number(server->clients[0], REPLY_TAKEN, 0);
}

static void handle_lease(struct server *server, struct client *client)
{
	bool is_leased = server->lessee || find_next_lessee(server);

	if (client->header.flags & LEASE_ASK) {
		reply_number(client, REPLY_DONE, !server->is_used && !server->is_renewed);
		return;
	}
	if (server->lessee == client) {
		reply_number(client, REPLY_DONE, 0);
		return;
	}
	if (is_leased && client->header.argument == 0) {
		refuse(client, EBUSY, "somebody has leased it");
		return;
	}
	client->wants_fresh = client->header.flags & LEASE_FRESH;
	client->lease_turn = ++server->lease_turns;
	grant_lease(server);
	if (client->lease_turn && client->header.argument == 0) {
		client->lease_turn = 0;
		refuse(client, EAGAIN, "its services are not ready yet");
	}
}

static void handle_detach(struct client *client)
{
	if (!client->is_owner) {
		refuse(client, EPERM, "only the owner lets go of the world");
		return;
	}
	client->is_detached = true;
	/* Out of the session whose terminal may hang up. A leader already is out of it. */
	(void)setsid();
	if (prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0)
		refuse(client, errno, NULL);
	else
		reply_number(client, REPLY_DONE, 0);
}

static void handle_restart(struct server *server, struct client *client)
{
	const struct server_guest *guest = server->world->plan->guest;

	if (!guest || !guest->restart || server->has_main_ended) {
		refuse(client, ESRCH, "it has no services");
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
		reply_number(client, REPLY_DONE, 0);
	} else if (!client->is_owner || client->fd_count != 1)
		refuse(client, EPERM, "only the owner makes connections, one at a time");
	else if (server->client_count >= CLIENTS_MAX)
		refuse(client, EMFILE, "there are too many connections");
	else {
		added = add_client(server, client->fds[0]);
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
		refuse(client, EBADMSG, "its body cannot be read");
		return;
	}
	result = change_ports(server, client, arguments.items[0], &error);
	if (result < 0) {
		reply_error(client, &error);
		return;
	}
	tell_ports(server);
	reply_number(client, REPLY_DONE, result);
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
		refuse(client, EPERM, "this connection is for something else");
		forget_request(client);
		return;
	}
	switch ((enum request_kind)client->header.kind) {
	case REQUEST_SPAWN:
		handle_spawn(server, client);
		break;
	case REQUEST_SIGNAL:
		handle_signal(server, client);
		break;
	case REQUEST_CONTINUE:
		handle_continue(server, client);
		break;
	case REQUEST_STOP:
		handle_stop(server, client);
		break;
	case REQUEST_WAIT:
		wait_for_main(server, client);
		break;
	case REQUEST_LEASE:
		handle_lease(server, client);
		break;
	case REQUEST_CONNECT:
		handle_connect(server, client);
		break;
	case REQUEST_RUN_TASK:
		handle_task(server, client);
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
		refuse(client, EOPNOTSUPP, "this worker's sbx does not know it");
	}
	forget_request(client);
}

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

/* Takes what has come; handles each request that is whole. */
static void hear_client(struct server *server, struct client *client)
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
			refuse(client, EPROTO, "it is of another version of sbx, or damaged");
			hang_up(client);
			return;
		}
		if (client->body_got == client->header.body_size)
			handle_request(server, client);
	}
}

static void accept_client(struct server *server)
{
	owned_fd fd = accept4(server->world->plan->listener_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != getuid() ||
	    server->client_count >= CLIENTS_MAX)
		return;
	(void)add_client(server, fd_take(&fd));
}

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
		reply_number(client, REPLY_STOPPED, message.number);
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
	if (start_ended(server, pid, status))
		return;
	if (ports_child_ended(&server->ports, pid, status, !server->has_main_ended, &given_up)) {
		if (given_up)
			tell_given_up(server, given_up);
		return;
	}
	for (size_t i = 0; i < server->client_count; i++) {
		struct client *client = server->clients[i];

		if (client->task == pid)
			task_ended(server, client, status);
		else if (client->leader == pid) {
			/* Its last message lies in the channel. */
			while (client->payload && client->channel_fd >= 0 && hear_leader(server, client))
				;
			client->leader = 0;
			client->payload = 0;
		} else if (client->payload == pid && client->leader == 0 && is_awaited(server, client, status))
			await_rest(server, client, status);
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
		end_late(server);
}

/* ---- the worker's end ---- */

static bool has_others(const struct server *server)
{
	for (size_t i = 0; i < server->client_count; i++)
		if (!is_idle(server->clients[i]))
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
			reply_number(server->clients[i], REPLY_EXITED, server->main_status);
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

	if (poll(polled, own + guests, wait_ms(deadline_ms)) < 0) {
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
			hear_client(server, client);
	}
	if (guest)
		guest->step(guest->argument, polled + own, guests);
	if (polled[0].revents)
		reap(server);
	if (polled[1].revents)
		accept_client(server);
	if (polled[2].revents)
		hear_timer(server);
	if (server->has_main_ended && !server->is_ending) {
		server->is_ending = true;
		end_world(server);
	}
	remove_clients(server);
	grant_lease(server);
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
		reply(server->clients[0], &message, -1);
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
			reply_error(client, error);
		else
			reply_number(client, REPLY_DONE, 0);
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
	struct client *owner = add_client(&server, world->plan->control_fd);
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
		reply_error(owner, &error);
		_exit(EXIT_SBX_FAILED);
	}
	reply(owner, &ready, world->annex_socket_fd);
	fd_close(&world->annex_socket_fd);
	for (;;)
		serve_once(&server);
}
