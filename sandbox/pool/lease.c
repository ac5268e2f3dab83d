/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/process.h"
#include "sandbox/policy/environment.h"
#include "sandbox/pool/count.h"
#include "sandbox/pool/pool.h"
#include "sandbox/pool/queue.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/attach.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/reset.h"

#define REFILL_LOG "refill.log"

enum {
	ANSWER_MS = 1000, /* of a PID 1 that is asked for what it has now: one that says nothing then is passed over */
	LOOK_MS = 50,	  /* for a world that somebody else makes anew */
	REFILL_END_FD = 3,
};

struct leasing {
	const struct pool_lease_options *options;
	struct state_paths places;
	struct pool pool;
	int runtime_fd;
	struct ticket ticket;
	uint64_t deadline_ms;

	/* Of whoever is first. */
	int *sockets; /* to the PID 1 of each worker, which is asked; -1 */
	unsigned socket_count;
	unsigned missing;
	unsigned stopped;
	int refill_fd; /* readable when the child that makes worlds anew has ended; -1: there is none */
	bool has_refilled;

	unsigned worker; /* what was given */
	int socket;
};

/* ---- making worlds anew ---- */

/* Only what the pool was made with, and what leads to its place. */
static void fill_refill_environment(const struct pool *pool, struct text_list *environment)
{
	static const char *const own[] = { "XDG_STATE_HOME", "XDG_RUNTIME_DIR" };

	for (size_t i = 0; i < pool->description.environment.count; i++)
		text_list_add(environment, pool->description.environment.items[i]);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (getenv(own[i]))
			text_list_take(environment, text_format("%s=%s", own[i], getenv(own[i])));
}

/* In the child. It has no end of anything the caller waits for the end of. */
__attribute__((noreturn)) static void exec_refill(const struct pool *pool, int end_fd)
{
	const char *const arguments[] = { "sbx", "up", "--detach", "--refill", pool->id, NULL };
	owned_list environment = { 0 };
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log_fd = openat(pool->fd, REFILL_LOG, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	fill_refill_environment(pool, &environment);
	(void)setsid();
	if (null_fd < 0 || log_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0 ||
	    (end_fd != REFILL_END_FD && dup3(end_fd, REFILL_END_FD, O_CLOEXEC) < 0) ||
	    fcntl(REFILL_END_FD, F_SETFD, 0) < 0)
		_exit(EXIT_SBX_FAILED);
	(void)fd_close_others((const int[]){ 0, 1, 2, REFILL_END_FD }, 4);
	(void)execve("/proc/self/exe", (char *const *)arguments, environment.items);
	_exit(EXIT_SBX_FAILED);
}

/* Leaves a child behind that makes anew what is missing. */
static void start_refill(struct leasing *leasing)
{
	int ends[2];
	pid_t pid;

	if (fd_pipe(ends, 0) < 0)
		return; /* whoever comes next tries it */
	pid = process_clone(0, NULL);
	if (pid == 0)
		exec_refill(&leasing->pool, ends[1]);
	(void)close(ends[1]);
	if (pid < 0)
		fd_close(&ends[0]);
	fd_close(&leasing->refill_fd); /* one that is on its way goes on */
	leasing->refill_fd = ends[0];
}

/* The last error in what the child said, as main() prints one: a line, and its remedy indented below. Changes the text.
 * @ret_remedy  untouched where there is none */
static const char *take_last_error(char *text, const char **ret_remedy)
{
	static const char prefix[] = "sbx: ";
	char *last = text;
	char *end;

	for (char *at = text; (at = strstr(at, prefix)) != NULL; at += strlen(prefix))
		if (at == text || at[-1] == '\n')
			last = at + strlen(prefix);
	end = strchrnul(last, '\n');
	if (text_starts_with(end, "\n  ")) {
		*ret_remedy = end + 3;
		*strchrnul(end + 3, '\n') = '\0';
	}
	*end = '\0';
	return last;
}

static int fail_refill(const struct leasing *leasing, struct error *error)
{
	const char *remedy = "'sbx down' ends the pool, 'sbx up' shows what its services write";
	owned_text text = NULL;
	size_t size = 0;
	const char *cause;

	if (fd_read_file(leasing->pool.fd, REFILL_LOG, 0, &text, &size) < 0 || size == 0)
		return error_set(error, .number = ECHILD, .step = "make a worker anew",
				 .object = leasing->pool.description.name);
	cause = take_last_error(text, &remedy);
	return error_set(error, .number = ECHILD, .step = "make a worker anew",
			 .object = leasing->pool.description.name, .cause = cause, .remedy = remedy);
}

/* ---- asking ---- */

static bool wants_spare(const struct leasing *leasing)
{
	return leasing->options->is_fresh && leasing->pool.description.spares > 0;
}

static bool is_wanted(const struct leasing *leasing, unsigned index)
{
	if ((index >= leasing->pool.description.workers) != wants_spare(leasing))
		return false;
	return leasing->options->slot < 0 || (unsigned)leasing->options->slot == index;
}

/* Whether the world of the shared services has to be made anew. One whose services have failed ends here; the workers
 * then say that they have lost it. */
static bool is_shared_missing(const struct leasing *leasing)
{
	const struct pool *pool = &leasing->pool;
	unsigned index = pool_places(&pool->description);
	struct error ignored = { 0 };
	owned_fd fd = -1;

	if (!pool->description.has_shared || !pool->description.is_detached || pool_is_stopped(pool, index))
		return false;
	if (pool_connect(&leasing->places, pool, index, &fd, NULL) < 0)
		return true;
	if (ask_whether_usable(fd, &ignored) == 0)
		return false;
	(void)ask_renewal(fd, &ignored); /* a PID 1 that is gone: as asked */
	return true;
}

/* Asks those that are not asked yet. */
static void ask_all(struct leasing *leasing)
{
	const struct pool *pool = &leasing->pool;
	struct request_header header = { .kind = REQUEST_LEASE,
					 .argument = 1,
					 .flags = leasing->options->is_fresh ? LEASE_FRESH : 0 };

	leasing->missing = leasing->stopped = 0;
	/* Workers whose lost connection is not closed yet would be given. */
	if (is_shared_missing(leasing)) {
		leasing->missing = 1;
		return;
	}
	for (unsigned i = 0; i < leasing->socket_count; i++) {
		if (leasing->sockets[i] >= 0 || !is_wanted(leasing, i))
			continue;
		if (pool_connect(&leasing->places, pool, i, &leasing->sockets[i], NULL) == 0 &&
		    request_send(leasing->sockets[i], &header, NULL, NULL) == 0)
			continue;
		fd_close(&leasing->sockets[i]);
		if (pool_is_stopped(pool, i))
			leasing->stopped++;
		else
			leasing->missing++;
	}
	if (leasing->missing == 0)
		leasing->has_refilled = false;
}

static unsigned count_asked(const struct leasing *leasing)
{
	unsigned count = 0;

	for (unsigned i = 0; i < leasing->socket_count; i++)
		count += leasing->sockets[i] >= 0;
	return count;
}

/* Its services have failed: it is of no use to anybody, and is made anew. */
static void renew(struct leasing *leasing, unsigned index)
{
	struct error ignored = { 0 };

	(void)ask_renewal(leasing->sockets[index], &ignored); /* a PID 1 that is gone: as asked */
	fd_close(&leasing->sockets[index]);
}

/* @return 1 it is ours, or 0 */
static int hear_worker(struct leasing *leasing, unsigned index)
{
	struct reply reply;

	if (reply_receive(leasing->sockets[index], &reply, NULL) <= 0) {
		fd_close(&leasing->sockets[index]);
		leasing->has_refilled = false; /* its place is free */
		return 0;
	}
	if (reply.kind == REPLY_FAILED && reply.error.number == ESTALE)
		return 0; /* it renews itself: its end is news */
	if (reply.kind == REPLY_FAILED)
		renew(leasing, index);
	if (reply.kind != REPLY_DONE)
		return 0;
	leasing->worker = index;
	leasing->socket = fd_take(&leasing->sockets[index]);
	return 1;
}

static int wait_ms(const struct leasing *leasing)
{
	uint64_t now = clock_ms();
	uint64_t left_ms = leasing->deadline_ms > now ? leasing->deadline_ms - now : 0;

	if (leasing->missing > 0 && leasing->refill_fd < 0)
		left_ms = MIN(left_ms, (uint64_t)LOOK_MS);
	return leasing->deadline_ms == UINT64_MAX && left_ms > LOOK_MS ? -1 : (int)MIN(left_ms, (uint64_t)INT32_MAX);
}

static int fail_timeout(const struct leasing *leasing, struct error *error)
{
	return error_set(
		error, .number = ETIMEDOUT, .step = "get a worker of the pool",
		.object = leasing->pool.description.name, .cause = "none was free in time",
		.remedy =
			wants_spare(leasing)
				? "raise --wait-timeout, or begin the pool anew with more: sbx down, sbx up --spares N"
				: "raise --wait-timeout, or begin the pool anew with more: sbx down, sbx up -n N");
}

/* Whether there is any use in waiting. */
static int check_hope(struct leasing *leasing, struct error *error)
{
	const struct pool *pool = &leasing->pool;
	owned_pool now = POOL_NONE;

	if (count_asked(leasing) > 0)
		return 0;
	if (pool_open(&leasing->places, pool->id, &now, NULL) < 0 || (!now.is_alive && !pool->description.is_detached))
		return error_set(error, .number = ESRCH, .step = "get a worker of the pool",
				 .object = pool->description.name, .cause = "the pool has ended",
				 .remedy = "start one with 'sbx up -d'");
	if (leasing->missing == 0)
		return error_set(error, .number = ESRCH, .step = "get a worker of the pool",
				 .object = pool->description.name,
				 .cause = leasing->stopped ? "it was stopped with 'sbx stop'" : "it has no such worker",
				 .remedy = leasing->stopped ? "'sbx down' and 'sbx up -d' start it anew" : NULL);
	return leasing->has_refilled ? fail_refill(leasing, error) : 0;
}

static int wait_for_answer(struct leasing *leasing)
{
	unsigned count = leasing->socket_count;
	struct pollfd *polled = calloc(count + 1, sizeof(*polled));
	int result = 0;

	if (!polled)
		abort();
	for (unsigned i = 0; i < count; i++)
		polled[i] = (struct pollfd){ .fd = leasing->sockets[i], .events = POLLIN };
	polled[count] = (struct pollfd){ .fd = leasing->refill_fd, .events = POLLIN };
	if (poll(polled, count + 1, wait_ms(leasing)) > 0) {
		for (unsigned i = 0; i < count && result == 0; i++)
			if (polled[i].revents)
				result = hear_worker(leasing, i);
		if (polled[count].revents) {
			fd_close(&leasing->refill_fd);
			leasing->has_refilled = true;
		}
	}
	free(polled);
	return result;
}

/* A spare that stands ready, before anybody is asked to wait, and another one to be made. */
static bool take_ready_spare(struct leasing *leasing)
{
	struct request_header header = { .kind = REQUEST_LEASE, .flags = LEASE_FRESH };

	for (unsigned i = leasing->pool.description.workers; i < leasing->socket_count; i++) {
		owned_fd fd = -1;
		struct reply reply;

		if (pool_connect(&leasing->places, &leasing->pool, i, &fd, NULL) < 0 ||
		    request_send(fd, &header, NULL, NULL) < 0 ||
		    poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, ANSWER_MS) <= 0 ||
		    reply_receive(fd, &reply, NULL) <= 0 || reply.kind != REPLY_DONE)
			continue;
		leasing->worker = i;
		leasing->socket = fd_take(&fd);
		return true;
	}
	return false;
}

/* As the first in the queue. */
static int take_worker(struct leasing *leasing, struct error *error)
{
	for (;;) {
		int result;

		ask_all(leasing);
		if (leasing->missing > 0 && leasing->refill_fd < 0 && !leasing->has_refilled &&
		    leasing->pool.description.is_detached)
			start_refill(leasing);
		result = check_hope(leasing, error);
		if (result == 0)
			result = wait_for_answer(leasing);
		if (result != 0)
			return MIN(result, 0);
		if (clock_ms() >= leasing->deadline_ms)
			return fail_timeout(leasing, error);
	}
}

static int get_worker(struct leasing *leasing, struct error *error)
{
	owned_text queue = leasing->options->slot >= 0 ? text_format("%s.w%d", leasing->pool.id, leasing->options->slot)
			   : wants_spare(leasing)      ? text_format("%s.s", leasing->pool.id)
						       : text_duplicate(leasing->pool.id);
	int result = queue_enter(leasing->runtime_fd, queue, &leasing->ticket, error);

	if (result < 0)
		return result;
	result = queue_wait(&leasing->ticket, leasing->deadline_ms, error);
	if (result == -ETIMEDOUT)
		return fail_timeout(leasing, error);
	if (result < 0)
		return result;
	leasing->socket_count = pool_places(&leasing->pool.description);
	leasing->sockets = malloc(leasing->socket_count * sizeof(*leasing->sockets));
	if (!leasing->sockets)
		abort();
	for (unsigned i = 0; i < leasing->socket_count; i++)
		leasing->sockets[i] = -1;
	if (!wants_spare(leasing) || !take_ready_spare(leasing))
		result = take_worker(leasing, error);
	/* What two gave at the same moment goes back. */
	for (unsigned i = 0; i < leasing->socket_count; i++)
		fd_close(&leasing->sockets[i]);
	queue_leave(&leasing->ticket);
	return result;
}

/* ---- the command ---- */

/* The caller's, as `run` would pass it on, over the world's; but where HOME is and which worker this is, is the
 * world's. */
static void fill_environment(const struct spec *spec, struct text_list *set, struct text_list *unset)
{
	owned_list own = { 0 };
	owned_list changes = { 0 };

	environment_build(environ, &spec->environment, NULL, NULL, &own, NULL);
	environment_list_changes(environ, &spec->environment, &changes, unset);
	for (size_t i = 0; i < own.count; i++)
		if (!text_starts_with(own.items[i], "SBX_") && !text_starts_with(own.items[i], "SBX=") &&
		    !text_starts_with(own.items[i], "HOME=") && !text_starts_with(own.items[i], "PWD="))
			text_list_add(set, own.items[i]);
	for (size_t i = 0; i < changes.count; i++)
		text_list_add(set, changes.items[i]);
}

static int run_command(struct leasing *leasing, struct relay_result *ret_result, int *ret_exit_code,
		       struct error *error)
{
	const struct spec *spec = leasing->options->spec;
	struct attach_options options = { .spec = spec, .directory = spec->workdir };
	owned_text here = NULL;
	owned_list set = { 0 };
	owned_list unset = { 0 };
	struct relay *relay = NULL;
	int result;

	fill_environment(spec, &set, &unset);
	options.set = set;
	options.unset = unset;
	if (!spec->workdir && path_canonical(".", &here) == 0 && path_is_below(here, leasing->pool.description.tree))
		options.directory = here;
	result = attach_start(leasing->socket, &options, &relay, error);
	/* Behind the command that has just begun: the next one finds a spare. */
	if (result == 0 && wants_spare(leasing) && leasing->pool.description.is_detached)
		start_refill(leasing);
	if (result == 0)
		result = attach_follow(relay, leasing->socket, -1, ret_result, ret_exit_code, error);
	relay_close(relay);
	return result;
}

/* A fresh one has ended with its lease, in place of which another is to be: for spares that was begun long ago, unless
 * no place was free then. */
static void replace_fresh(struct leasing *leasing)
{
	struct error ignored = { 0 };

	(void)ask_renewal(leasing->socket, &ignored); /* a PID 1 that is gone: as asked */
	fd_close(&leasing->socket);
	if (leasing->pool.description.is_detached)
		start_refill(leasing);
}

static void say(const struct leasing *leasing, const char *what, const char *text)
{
	owned_text line = text_format("worker w%u %s: %s", leasing->worker, what, text);

	if (leasing->options->say)
		leasing->options->say(line);
}

/* Of an owner in the foreground the renewal is its business. */
static void renew_lease(struct leasing *leasing)
{
	struct error ignored = { 0 };

	(void)ask_renewal(leasing->socket, &ignored); /* a PID 1 that is gone: as asked */
	fd_close(&leasing->socket);
	if (leasing->pool.description.is_detached)
		start_refill(leasing);
}

/* In place; and what cannot be done so by a new world. */
static void reset(struct leasing *leasing, int exit_code)
{
	enum pool_lease_reset when = leasing->options->reset;
	owned_reset_answer answer = { 0 };
	owned_text line = NULL;
	struct error error = { 0 };
	char text[2 * sizeof(error)];

	if (when == POOL_LEASE_RESET_NEVER || (when == POOL_LEASE_RESET_FAIL && exit_code == 0))
		return;
	if (reset_ask(leasing->socket, RESET_ALL, &answer, &error) >= 0) {
		line = reset_format(&answer);
		say(leasing, "reset", line);
		return;
	}
	error.remedy[0] = '\0';
	error_format(&error, text, sizeof(text));
	say(leasing, "gets a new world", text);
	renew_lease(leasing);
}

static int find_pool(struct leasing *leasing, struct error *error)
{
	owned_text here = NULL;
	int result = identity_find_places(&leasing->places, error);

	if (result < 0)
		return result;
	result = path_find_current(&here, error);
	if (result < 0)
		return result;
	result = pool_find(&leasing->places, leasing->options->name, here, &leasing->pool, error);
	if (result == 0)
		result = state_open_runtime(&leasing->places, STATE_MAKE, &leasing->runtime_fd, error);
	return MIN(result, 0);
}

static void leasing_release(struct leasing *leasing)
{
	fd_close(&leasing->socket);
	fd_close(&leasing->refill_fd);
	queue_leave(&leasing->ticket);
	free(leasing->sockets);
	fd_close(&leasing->runtime_fd);
	pool_release(&leasing->pool);
	state_paths_release(&leasing->places);
}

#define LEASING_NONE(asked)                                                                                            \
	{                                                                                                              \
		.options = (asked), .pool = POOL_NONE, .runtime_fd = -1, .ticket = TICKET_NONE, .refill_fd = -1,       \
		.socket = -1, .deadline_ms = UINT64_MAX                                                                \
	}

int pool_lease_run(const struct pool_lease_options *options, struct relay_result *ret_result, int *ret_exit_code,
		   struct error *error)
{
	struct leasing leasing = LEASING_NONE(options);
	int result;

	if (options->wait_timeout_ms > 0)
		leasing.deadline_ms = clock_ms() + options->wait_timeout_ms;
	result = find_pool(&leasing, error);
	*ret_exit_code = EXIT_SBX_FAILED;
	*ret_result = (struct relay_result){ 0 };
	if (result == 0)
		result = get_worker(&leasing, error);
	if (result == 0) {
		result = run_command(&leasing, ret_result, ret_exit_code, error);
		if (options->is_fresh)
			replace_fresh(&leasing);
		else if (result == 0 || ret_result->has_ended)
			reset(&leasing, *ret_exit_code);
	}
	leasing_release(&leasing);
	return result;
}

/* Of one whose services have failed no lease is needed. */
static int end_world(struct leasing *leasing, unsigned index, struct error *error)
{
	struct request_header header = { .kind = REQUEST_LEASE };
	owned_fd socket = -1;
	struct reply reply = { 0 };
	int result = pool_connect(&leasing->places, &leasing->pool, index, &socket, NULL);

	if (result < 0)
		return 0; /* it has ended already */
	if (request_send(socket, &header, NULL, NULL) == 0)
		(void)reply_receive(socket, &reply, NULL);
	if (reply.kind == REPLY_FAILED && reply.error.number == EBUSY) {
		*error = reply.error;
		return -EBUSY;
	}
	return ask_renewal(socket, error);
}

int pool_lease_renew(const char *id, unsigned index, struct error *error)
{
	struct pool_lease_options options = { .name = id, .slot = (int)index };
	struct leasing leasing = LEASING_NONE(&options);
	int result = find_pool(&leasing, error);

	if (result == 0)
		result = end_world(&leasing, index, error);
	if (result == 0)
		result = get_worker(&leasing, error);
	leasing_release(&leasing);
	return result;
}
