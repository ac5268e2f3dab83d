/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: inside PID 1's poll loop. Each service has one pipe for stdout and one for stderr, whose lines go into
 * its log and to its readiness; a `cmd` of its readiness is one more child. Nothing here blocks. */
#include "sandbox/pool/services.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/policy/environment.h"
#include "sandbox/pool/open_ports.h"
#include "sandbox/pool/services_json.h"
#include "sandbox/worker/log.h"
#include "sandbox/worker/session.h"
#include "sandbox/worker/spawn.h"

enum {
	LOG_BYTES_MAX = 64 << 20,
	TAIL_SIZE = 400, /* of the output, for the error of one that fails */
	READS_PER_STEP = 16,
	/* Between the end of a service and its next start, doubled each time, as docker has it. */
	RESTART_FIRST_MS = 100,
	RESTART_MAX_MS = 10000,
	/* One without readiness that has not ended by then runs: a command that is not found, or misses a file, ends
	 * sooner. */
	UNTOLD_MS = 300,
	RESTART_CALM_MS = 10000, /* one that ran for so long begins with the first delay again */
};

/* A service that runs, or will. */
struct running {
	const struct service *service;
	enum service_state state;
	pid_t pid;
	int output_fds[READINESS_STREAM_COUNT];
	struct log_writer log;
	char tail[TAIL_SIZE + 1];
	struct readiness *readiness;
	pid_t probe;	    /* the `cmd` of its readiness, while it runs */
	bool is_job;	    /* others wait for its end */
	bool is_missed;	    /* it has ended, and the world is not as it should be without it */
	struct error error; /* FAILED, ENDED */
	unsigned restarts;  /* in a row */
	uint64_t started_ms;
	uint64_t first_started_ms; /* since when it has not been ready; 0: it has */
	uint64_t restart_ms;	   /* RESTARTING: when */
	uint64_t stop_deadline_ms; /* it was told to end: when it is killed; 0: it was not */
};

struct services {
	const struct service_list *list;
	struct running *items;
	size_t count;
	int log_directory_fd;
	struct server *server;
	bool all_ready_told;
	bool is_stopping;
	bool starts_again;	    /* once all have ended */
	bool is_resting;	    /* those that serve this world alone have ended, or will */
	uint64_t grace_ms;	    /* of the stop; UINT64_MAX: each service's own */
	struct text_list variables; /* NAME=VALUE that readiness found */
};

/* ---- news ---- */

struct services_news services_news_unpack(int64_t number)
{
	return (struct services_news){ .index = (unsigned)(number >> 16),
				       .status = (unsigned)(number >> 8 & 0xff),
				       .state = (enum service_state)(number & 0xff) };
}

static void tell(struct services *services, size_t index, unsigned status, enum service_state state,
		 const struct error *error)
{
	server_tell_owner(services->server, (int64_t)(index << 16) | (int64_t)(status << 8) | state, error);
}

static void set_state_of_end(struct services *services, struct running *running, enum service_state state,
			     unsigned status, const struct error *error)
{
	running->state = state;
	running->error = error ? *error : (struct error){ 0 };
	if (state == SERVICE_READY || state == SERVICE_COMPLETED)
		running->first_started_ms = 0;
	tell(services, (size_t)(running - services->items), status, state, error);
	if (state == SERVICE_FAILED)
		server_guest_settled(services->server, error);
}

static void set_state(struct services *services, struct running *running, enum service_state state,
		      const struct error *error)
{
	set_state_of_end(services, running, state, 0, error);
}

/* Without the ends of lines at its end: it stands in a message. */
static const char *trim_tail(struct running *running)
{
	size_t length = strlen(running->tail);

	while (length > 0 && (running->tail[length - 1] == '\n' || running->tail[length - 1] == '\r'))
		running->tail[--length] = '\0';
	return running->tail;
}

/* With the last words of the service, where it had some: they say more than any status. */
static void fail(struct services *services, struct running *running, int number, const char *cause)
{
	struct error error = { 0 };
	owned_text remedy = trim_tail(running)[0] ? text_format("its last output: %s", running->tail) : NULL;

	(void)error_set(&error, .number = number, .step = "start the service", .object = running->service->name,
			.cause = cause, .remedy = remedy);
	set_state(services, running, SERVICE_FAILED, &error);
}

/* ---- starting ---- */

static int open_log(struct services *services, struct running *running, struct error *error)
{
	if (services->log_directory_fd < 0)
		return 0;
	return log_open(&running->log, services->log_directory_fd, running->service->name, LOG_BYTES_MAX, error);
}

static int spawn_command(const struct services *services, const struct service *service,
			 const struct text_list *command, const int fds[3], pid_t *ret_pid, struct error *error)
{
	const struct world *world = server_world(services->server);
	owned_list found = { 0 };
	owned_list environment = { 0 };
	const struct text_list nothing = { 0 };
	struct spawned spawned;
	struct spawn spawn = {
		.arguments = command,
		.environment = &environment,
		.directory = service->directory ? service->directory : world->plan->tree,
		.fds = { fds[0], fds[1], fds[2] },
		.numbers = { 0, 1, 2 },
		.fd_count = 3,
		.is_main = true,
	};
	int result;

	environment_apply(&world->plan->environment, &services->variables, &nothing, &found);
	environment_apply(&found, &service->set, &service->unset, &environment);
	result = spawn_start(world, &spawn, &spawned, error);
	if (result == 0)
		*ret_pid = spawned.payload;
	return result;
}

static int start_process(struct services *services, struct running *running, struct error *error)
{
	owned_fd null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out[2];
	int err[2];
	int result;

	if (null_fd < 0 || fd_pipe(out, 0) < 0)
		return error_set(error, .number = errno, .step = "make a pipe for the service");
	running->output_fds[READINESS_STDOUT] = out[0];
	if (fd_pipe(err, 0) < 0) {
		(void)close(out[1]);
		return error_set(error, .number = errno, .step = "make a pipe for the service");
	}
	running->output_fds[READINESS_STDERR] = err[0];
	result = spawn_command(services, running->service, &running->service->command,
			       (const int[]){ null_fd, out[1], err[1] }, &running->pid, error);
	(void)close(out[1]);
	(void)close(err[1]);
	for (int i = 0; i < READINESS_STREAM_COUNT; i++)
		(void)fcntl(running->output_fds[i], F_SETFL, O_RDONLY | O_NONBLOCK);
	return result;
}

/* What is left of the process before. */
static void clear(struct running *running)
{
	log_close(&running->log);
	readiness_free(&running->readiness);
	for (int stream = 0; stream < READINESS_STREAM_COUNT; stream++)
		fd_close(&running->output_fds[stream]);
	running->tail[0] = '\0';
	running->is_missed = false;
	running->restart_ms = running->stop_deadline_ms = 0;
}

static void start(struct services *services, struct running *running)
{
	const struct service *service = running->service;
	struct error error = { 0 };
	int result;

	clear(running);
	running->started_ms = clock_ms();
	if (running->first_started_ms == 0)
		running->first_started_ms = running->started_ms;
	result = open_log(services, running, &error);
	if (result == 0 && service->has_readiness)
		result = readiness_new(&service->ready, clock_ms(), &running->readiness, &error);
	if (result == 0)
		result = start_process(services, running, &error);
	if (result < 0) {
		(void)error_context(&error, "service %s", service->name);
		set_state(services, running, SERVICE_FAILED, &error);
		return;
	}
	set_state(services, running, SERVICE_STARTED, NULL);
}

static const struct running *find(const struct services *services, const char *name)
{
	for (size_t i = 0; i < services->count; i++)
		if (text_equal(services->items[i].service->name, name))
			return &services->items[i];
	return NULL;
}

static bool holds_ready(const struct running *other)
{
	return other->state == SERVICE_READY || other->state == SERVICE_COMPLETED ||
	       (other->state == SERVICE_ENDED && !other->is_missed && !other->service->has_readiness);
}

static bool holds_started(const struct running *other)
{
	return other->state != SERVICE_WAITING && other->state != SERVICE_FAILED;
}

static bool holds_ended(const struct running *other)
{
	return other->state == SERVICE_COMPLETED;
}

static bool hold_all(const struct services *services, const struct text_list *names,
		     bool (*holds)(const struct running *other))
{
	for (size_t i = 0; i < names->count; i++) {
		const struct running *other = find(services, names->items[i]);

		if (other && !holds(other))
			return false;
	}
	return true;
}

static bool may_start(const struct services *services, const struct running *running)
{
	return hold_all(services, &running->service->after, holds_ready) &&
	       hold_all(services, &running->service->after_start, holds_started) &&
	       hold_all(services, &running->service->after_end, holds_ended);
}

/* Whether nothing more is to come. One that was not to be waited for, and has ended, is: how, is the owner's news. */
static bool is_settled(const struct running *running)
{
	return holds_ready(running) ||
	       (running->state == SERVICE_ENDED && !(running->is_missed && running->service->has_readiness));
}

/* Nothing tells when it is ready: the moment at which it is taken to be; UINT64_MAX: something does. */
static uint64_t untold_ready_ms(const struct running *running)
{
	bool is_untold = running->state == SERVICE_STARTED && !running->readiness && !running->is_job;

	return is_untold ? running->started_ms + UNTOLD_MS : UINT64_MAX;
}

static bool rests(const struct services *services, const struct running *running)
{
	return services->is_resting && !running->service->is_shared;
}

static void start_what_can(struct services *services)
{
	bool all_ready = true;

	for (size_t i = 0; i < services->count; i++) {
		struct running *running = &services->items[i];

		if (rests(services, running))
			continue;
		if (running->state == SERVICE_WAITING && may_start(services, running))
			start(services, running);
		if (running->state == SERVICE_RESTARTING && running->restart_ms <= clock_ms())
			start(services, running);
		if (untold_ready_ms(running) <= clock_ms())
			set_state(services, running, SERVICE_READY, NULL);
		all_ready &= is_settled(running);
	}
	if (all_ready && !services->all_ready_told && server_keeps_start(services->server)) {
		services->all_ready_told = true;
		tell(services, 0, 0, SERVICES_ALL_READY, NULL);
		server_guest_settled(services->server, NULL);
	}
}

/* ---- stopping ---- */

static bool names(const struct text_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(list->items[i], name))
			return true;
	return false;
}

static bool depends(const struct service *service, const char *name)
{
	return names(&service->after, name) || names(&service->after_start, name) || names(&service->after_end, name);
}

/* What leans on it ends before it. */
static bool is_leant_on(const struct services *services, const struct running *running)
{
	for (size_t i = 0; i < services->count; i++)
		if (services->items[i].pid && depends(services->items[i].service, running->service->name))
			return true;
	return false;
}

static void signal_service(const struct running *running, int number)
{
	if (kill(-running->pid, number) < 0)
		(void)kill(running->pid, number); /* it has left its group */
}

static void stop_one(struct services *services, struct running *running)
{
	uint64_t own_ms = running->service->stop_timeout_ms;
	uint64_t grace_ms = services->grace_ms;

	if (own_ms == 0)
		own_ms = server_world(services->server)->plan->spec->stop_timeout_ms;
	grace_ms = MIN(grace_ms, own_ms);
	if (grace_ms > 0 && running->stop_deadline_ms == 0) {
		signal_service(running, running->service->stop_signal);
		/* A stopped process ends only when it goes on. */
		signal_service(running, SIGCONT);
		running->stop_deadline_ms = clock_ms() + grace_ms;
	} else if (grace_ms == 0 || running->stop_deadline_ms <= clock_ms()) {
		session_kill(running->pid);
		(void)kill(running->pid, SIGKILL);
		running->stop_deadline_ms = UINT64_MAX;
	}
}

static void all_stopped(struct services *services)
{
	bool is_renewed = server_is_renewed(services->server);

	services->is_stopping = false;
	if (services->starts_again) {
		services->starts_again = services->all_ready_told = false;
		for (size_t i = 0; i < services->count; i++) {
			services->items[i].state = SERVICE_WAITING;
			services->items[i].restarts = 0;
			services->items[i].first_started_ms = 0;
		}
		return;
	}
	for (size_t i = 0; i < services->count; i++)
		clear(&services->items[i]);
	if (!is_renewed && services->log_directory_fd >= 0) {
		/* If it cannot be made, a lease makes the world anew: no harm. */
		owned_fd mark = openat(services->log_directory_fd, SERVICES_STOPPED_FILE,
				       O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		(void)mark;
	}
	tell(services, 0, 0, is_renewed ? SERVICES_RENEWED : SERVICES_STOPPED, NULL);
	server_guest_stopped(services->server);
}

static void step_stop(struct services *services)
{
	bool any = false;

	if (!services->is_stopping)
		return;
	for (size_t i = 0; i < services->count; i++) {
		struct running *running = &services->items[i];

		if (running->pid == 0)
			continue;
		any = true;
		if (services->grace_ms == 0 || !is_leant_on(services, running))
			stop_one(services, running);
	}
	if (!any)
		all_stopped(services);
}

static void begin_stop(struct services *services, uint64_t grace_ms)
{
	uint64_t latest_ms = grace_ms == UINT64_MAX ? UINT64_MAX : clock_ms() + grace_ms;

	services->grace_ms = services->is_stopping ? MIN(services->grace_ms, grace_ms) : grace_ms;
	for (size_t i = 0; i < services->count; i++)
		if (services->items[i].stop_deadline_ms)
			services->items[i].stop_deadline_ms = MIN(services->items[i].stop_deadline_ms, latest_ms);
	services->is_stopping = true;
	step_stop(services);
}

/* Each after those that lean on it; called again as they end. */
static void step_rest(struct services *services)
{
	if (!services->is_resting || services->is_stopping)
		return;
	for (size_t i = 0; i < services->count; i++) {
		struct running *running = &services->items[i];

		if (!rests(services, running))
			continue;
		if (running->pid == 0)
			running->state = SERVICE_ENDED;
		else if (!is_leant_on(services, running))
			stop_one(services, running);
	}
}

static void guest_rest(void *argument)
{
	struct services *services = argument;

	services->is_resting = true;
	if (!services->is_stopping)
		services->grace_ms = UINT64_MAX;
	step_rest(services);
}

static void guest_stop(void *argument, uint64_t grace_ms)
{
	struct services *services = argument;

	services->starts_again = false;
	begin_stop(services, grace_ms);
}

static void guest_restart(void *argument, uint64_t grace_ms)
{
	struct services *services = argument;

	if (!services->is_stopping)
		services->starts_again = true;
	begin_stop(services, grace_ms);
}

static void guest_signal(void *argument, int number)
{
	struct services *services = argument;

	for (size_t i = 0; i < services->count; i++)
		if (services->items[i].pid)
			signal_service(&services->items[i], number);
}

static int guest_look(void *argument, struct error *error)
{
	struct services *services = argument;
	int result = 1;

	if (services->is_stopping)
		return 0;
	for (size_t i = 0; i < services->count; i++) {
		const struct running *running = &services->items[i];

		if (running->state == SERVICE_FAILED || (running->state == SERVICE_ENDED && running->is_missed)) {
			*error = running->error;
			return -MAX(error->number, 1);
		}
		if (!is_settled(running))
			result = 0;
	}
	return result;
}

static const struct text_list *guest_variables(void *argument)
{
	struct services *services = argument;

	return &services->variables;
}

/* ---- output ---- */

static void remember_tail(struct running *running, const char *bytes, size_t size)
{
	size_t had = strlen(running->tail);
	size_t kept;

	if (size >= TAIL_SIZE) {
		bytes += size - TAIL_SIZE;
		size = TAIL_SIZE;
	}
	kept = MIN(had, TAIL_SIZE - size);
	memmove(running->tail, running->tail + had - kept, kept);
	memcpy(running->tail + kept, bytes, size);
	running->tail[kept + size] = '\0';
}

static void hear_output(struct running *running, enum readiness_stream stream)
{
	char bytes[16 << 10];

	for (int i = 0; i < READS_PER_STEP; i++) {
		ssize_t got = read(running->output_fds[stream], bytes, sizeof(bytes));

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			fd_close(&running->output_fds[stream]);
			return;
		}
		if (running->log.fd >= 0)
			log_write(&running->log, stream == READINESS_STDOUT ? LOG_STDOUT : LOG_STDERR, bytes,
				  (size_t)got);
		remember_tail(running, bytes, (size_t)got);
		if (running->readiness)
			readiness_feed(running->readiness, stream, bytes, (size_t)got);
	}
}

/* ---- readiness ---- */

static void start_probe(struct services *services, struct running *running)
{
	owned_fd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct error error = { 0 };

	if (null_fd < 0 || spawn_command(services, running->service, &running->service->ready.command,
					 (const int[]){ null_fd, null_fd, null_fd }, &running->probe, &error) < 0)
		readiness_command_ended(running->readiness, EXIT_SBX_FAILED << 8, clock_ms());
}

/* A port that nobody opened is often another one that was. */
static void fail_readiness(struct services *services, struct running *running, const struct error *error)
{
	const struct readiness_options *ready = &running->service->ready;
	owned_text ports = ready->url || ready->port ? open_ports_list() : NULL;
	owned_text cause = ports ? text_format("%s; ports that are open: %s", error->cause, ports) : NULL;

	fail(services, running, error->number, cause ? cause : error->cause);
}

static void step_readiness(struct services *services, struct running *running)
{
	struct error error = { 0 };

	if (running->state != SERVICE_STARTED || !running->readiness || services->is_stopping)
		return;
	if (running->probe == 0 && readiness_wants_command(running->readiness, clock_ms()))
		start_probe(services, running);
	switch (readiness_step(running->readiness, clock_ms(), &error)) {
	case READINESS_WAITING:
		return;
	case READINESS_READY:
		for (size_t i = 0; i < readiness_variables(running->readiness)->count; i++)
			text_list_add(&services->variables, readiness_variables(running->readiness)->items[i]);
		set_state(services, running, SERVICE_READY, NULL);
		return;
	case READINESS_FAILED:
		fail_readiness(services, running, &error);
		return;
	}
}

/* ---- the guest ---- */

static int guest_start(void *argument, struct server *server, struct error *error)
{
	struct services *services = argument;

	(void)error;
	services->server = server;
	return 0;
}

static size_t guest_prepare(void *argument, struct pollfd *polled, size_t room, uint64_t *ret_deadline_ms)
{
	struct services *services = argument;
	size_t count = 0;

	/* The first time: the owner knows by now that the world stands. */
	step_stop(services);
	step_rest(services);
	if (!services->is_stopping)
		start_what_can(services);
	for (size_t i = 0; i < services->count; i++) {
		struct running *running = &services->items[i];
		uint64_t deadline_ms;

		for (int stream = 0; stream < READINESS_STREAM_COUNT && count < room; stream++)
			if (running->output_fds[stream] >= 0)
				polled[count++] =
					(struct pollfd){ .fd = running->output_fds[stream], .events = POLLIN };
		if (running->pid && running->stop_deadline_ms)
			*ret_deadline_ms = MIN(*ret_deadline_ms, running->stop_deadline_ms);
		if (!services->is_stopping && running->state == SERVICE_RESTARTING)
			*ret_deadline_ms = MIN(*ret_deadline_ms, running->restart_ms);
		if (!services->is_stopping) {
			deadline_ms = untold_ready_ms(running);
			*ret_deadline_ms = MIN(*ret_deadline_ms, deadline_ms);
		}
		if (running->state != SERVICE_STARTED || !running->readiness || services->is_stopping)
			continue;
		if (count + READINESS_POLLFDS_MAX <= room)
			count += readiness_pollfds(running->readiness, polled + count);
		deadline_ms = readiness_deadline(running->readiness);
		*ret_deadline_ms = MIN(*ret_deadline_ms, deadline_ms);
	}
	return count;
}

static void guest_step(void *argument, const struct pollfd *polled, size_t count)
{
	struct services *services = argument;

	/* Few descriptors, none of which blocks: each is asked, whoever was ready. */
	(void)polled;
	(void)count;
	for (size_t i = 0; i < services->count; i++) {
		for (int stream = 0; stream < READINESS_STREAM_COUNT; stream++)
			if (services->items[i].output_fds[stream] >= 0)
				hear_output(&services->items[i], (enum readiness_stream)stream);
		step_readiness(services, &services->items[i]);
	}
}

static bool may_restart(const struct running *running, int status)
{
	const struct service *service = running->service;
	uint64_t timeout_ms = service->ready.timeout_ms ? service->ready.timeout_ms : READINESS_TIMEOUT_MS;

	if (service->restart == SERVICE_RESTART_NO || (service->restart == SERVICE_RESTART_ON_FAILURE && status == 0) ||
	    (service->restart_max > 0 && running->restarts >= service->restart_max))
		return false;
	/* One that never gets ready is not waited for any longer than one that does not end meanwhile. */
	return running->first_started_ms == 0 || clock_ms() - running->first_started_ms < timeout_ms;
}

static void restart_later(struct services *services, struct running *running, int status, const struct error *error)
{
	uint64_t delay_ms;

	if (clock_ms() - running->started_ms >= RESTART_CALM_MS)
		running->restarts = 0;
	delay_ms = (uint64_t)RESTART_FIRST_MS << MIN(running->restarts, 16u);
	running->restarts++;
	running->restart_ms = clock_ms() + MIN(delay_ms, (uint64_t)RESTART_MAX_MS);
	set_state_of_end(services, running, SERVICE_RESTARTING, (unsigned)process_exit_code(status), error);
}

static char *describe_end(int status)
{
	char signal_name[32];

	return WIFSIGNALED(status)
		       ? text_format("it was ended by %s",
				     process_signal_name(WTERMSIG(status), signal_name, sizeof(signal_name)))
		       : text_format("it ended with status %d", WEXITSTATUS(status));
}

static void service_ended(struct services *services, struct running *running, pid_t pid, int status)
{
	owned_text how = describe_end(status);
	struct error error = { 0 };

	running->pid = 0;
	for (int stream = 0; stream < READINESS_STREAM_COUNT; stream++)
		if (running->output_fds[stream] >= 0)
			hear_output(running, (enum readiness_stream)stream);
	if (services->is_stopping || rests(services, running)) {
		step_stop(services);
		step_rest(services);
		return;
	}
	(void)error_set(&error, .number = ECHILD, .step = "keep the service alive", .object = running->service->name,
			.cause = how, .remedy = trim_tail(running)[0] ? running->tail : NULL);
	if (running->is_job && status == 0) {
		set_state(services, running, SERVICE_COMPLETED, NULL);
	} else if (running->state != SERVICE_FAILED && may_restart(running, status)) {
		session_kill(pid);
		restart_later(services, running, status, &error);
	} else if (running->state == SERVICE_READY && (services->all_ready_told || status == 0)) {
		running->is_missed = status != 0 || running->service->has_readiness;
		set_state_of_end(services, running, SERVICE_ENDED, (unsigned)process_exit_code(status), &error);
	} else if (running->state == SERVICE_STARTED && !running->readiness && (services->count == 1 || status == 0)) {
		/* Whoever has it alone in the foreground has its status: it need not be a server. */
		running->is_missed = status != 0;
		set_state_of_end(services, running, SERVICE_ENDED, (unsigned)process_exit_code(status), &error);
	} else if (running->state == SERVICE_READY || (running->state == SERVICE_STARTED && !running->readiness)) {
		fail(services, running, ECHILD, how);
	} else if (running->state == SERVICE_STARTED) {
		owned_text cause = text_format("%s before it was ready", how);

		fail(services, running, ECHILD, cause);
	}
}

static bool guest_child_ended(void *argument, pid_t pid, int status)
{
	struct services *services = argument;

	for (size_t i = 0; i < services->count; i++) {
		struct running *running = &services->items[i];

		if (running->pid == pid) {
			service_ended(services, running, pid, status);
			return true;
		}
		if (running->probe == pid) {
			running->probe = 0;
			if (running->readiness)
				readiness_command_ended(running->readiness, status, clock_ms());
			/* Nothing else would wake PID 1 for it. */
			step_readiness(services, running);
			return true;
		}
	}
	return false;
}

static void guest_describe(void *argument, struct text_buffer *out)
{
	const struct services *services = argument;

	services_write(services->list, out);
}

struct server_guest services_guest(struct services *services)
{
	return (struct server_guest){ .argument = services,
				      .start = guest_start,
				      .prepare = guest_prepare,
				      .step = guest_step,
				      .child_ended = guest_child_ended,
				      .stop = guest_stop,
				      .restart = guest_restart,
				      .rest = guest_rest,
				      .signal = guest_signal,
				      .look = guest_look,
				      .variables = guest_variables,
				      .describe = guest_describe };
}

int services_new(const struct service_list *list, int log_directory_fd, struct services **ret_services,
		 struct error *error)
{
	struct services *services = calloc(1, sizeof(*services));

	if (services)
		services->items = calloc(list->count + 1, sizeof(*services->items));
	if (!services || !services->items)
		abort();
	services->list = list;
	services->log_directory_fd = log_directory_fd;
	services->count = list->count;
	for (size_t i = 0; i < list->count; i++) {
		struct running *running = &services->items[i];
		int result = list->items[i].has_readiness ? readiness_options_check(&list->items[i].ready, error) : 0;

		running->service = &list->items[i];
		running->log.fd = -1;
		for (int stream = 0; stream < READINESS_STREAM_COUNT; stream++)
			running->output_fds[stream] = -1;
		if (result < 0) {
			services_free(services);
			return error_context(error, "service %s", list->items[i].name);
		}
	}
	for (size_t i = 0; i < list->count; i++)
		for (size_t j = 0; j < list->count; j++)
			services->items[i].is_job |= names(&list->items[j].after_end, list->items[i].name);
	*ret_services = services;
	return 0;
}

void services_free(struct services *services)
{
	if (!services)
		return;
	for (size_t i = 0; i < services->count; i++) {
		log_close(&services->items[i].log);
		readiness_free(&services->items[i].readiness);
		for (int stream = 0; stream < READINESS_STREAM_COUNT; stream++)
			fd_close(&services->items[i].output_fds[stream]);
	}
	text_list_release(&services->variables);
	free(services->items);
	free(services);
}
