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
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/policy/environment.h"
#include "sandbox/worker/log.h"
#include "sandbox/worker/spawn.h"

enum {
	LOG_BYTES_MAX = 64 << 20,
	TAIL_SIZE = 400, /* of the output, for the error of one that fails */
	READS_PER_STEP = 16,
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
	pid_t probe; /* the `cmd` of its readiness, while it runs */
};

struct services {
	struct running *items;
	size_t count;
	int log_directory_fd;
	struct server *server;
	bool all_ready_told;
};

/* ---- lists ---- */

struct service *service_list_add(struct service_list *list)
{
	list->items = reallocarray(list->items, list->count + 1, sizeof(*list->items));
	if (!list->items)
		abort();
	list->items[list->count] = (struct service){ .stop_signal = SIGTERM };
	return &list->items[list->count++];
}

void service_list_release(struct service_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct service *service = &list->items[i];

		text_free(&service->name);
		text_list_release(&service->command);
		text_list_release(&service->set);
		text_list_release(&service->unset);
		text_free(&service->directory);
		readiness_options_release(&service->ready);
		text_list_release(&service->after);
	}
	free(list->items);
	*list = (struct service_list){ 0 };
}

/* ---- news ---- */

struct services_news services_news_unpack(int64_t number)
{
	return (struct services_news){ .index = (unsigned)(number >> 8), .state = (enum service_state)(number & 0xff) };
}

static void tell(struct services *services, size_t index, enum service_state state, const struct error *error)
{
	server_tell_owner(services->server, (int64_t)(index << 8) | state, error);
}

static void set_state(struct services *services, struct running *running, enum service_state state,
		      const struct error *error)
{
	running->state = state;
	tell(services, (size_t)(running - services->items), state, error);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* With the last words of the service, where it had some: they say more than any status. */
static void fail(struct services *services, struct running *running, int number, const char *cause)
{
	struct error error = { 0 };
	owned_text remedy = running->tail[0] ? text_format("its last output: %s", running->tail) : NULL;

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
	owned_list environment = { 0 };
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

	environment_apply(&world->plan->environment, &service->set, &service->unset, &environment);
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

static void start(struct services *services, struct running *running)
{
	const struct service *service = running->service;
	struct error error = { 0 };
	int result = open_log(services, running, &error);

	if (result == 0 && service->has_readiness)
		result = readiness_new(&service->ready, now_ms(), &running->readiness, &error);
	if (result == 0)
		result = start_process(services, running, &error);
	if (result < 0) {
		(void)error_context(&error, "service %s", service->name);
		set_state(services, running, SERVICE_FAILED, &error);
		return;
	}
	set_state(services, running, service->has_readiness ? SERVICE_STARTED : SERVICE_READY, NULL);
}

static const struct running *find(const struct services *services, const char *name)
{
	for (size_t i = 0; i < services->count; i++)
		if (text_equal(services->items[i].service->name, name))
			return &services->items[i];
	return NULL;
}

static bool may_start(const struct services *services, const struct running *running)
{
	for (size_t i = 0; i < running->service->after.count; i++) {
		const struct running *other = find(services, running->service->after.items[i]);

		if (other && other->state != SERVICE_READY)
			return false;
	}
	return true;
}

static void start_what_can(struct services *services)
{
	bool all_ready = true;

	for (size_t i = 0; i < services->count; i++) {
		if (services->items[i].state == SERVICE_WAITING && may_start(services, &services->items[i]))
			start(services, &services->items[i]);
		all_ready &= services->items[i].state == SERVICE_READY;
	}
	if (all_ready && !services->all_ready_told) {
		services->all_ready_told = true;
		tell(services, 0, SERVICES_ALL_READY, NULL);
	}
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
		readiness_command_ended(running->readiness, EXIT_SBX_FAILED << 8, now_ms());
}

static void step_readiness(struct services *services, struct running *running)
{
	struct error error = { 0 };

	if (running->state != SERVICE_STARTED)
		return;
	if (running->probe == 0 && readiness_wants_command(running->readiness, now_ms()))
		start_probe(services, running);
	switch (readiness_step(running->readiness, now_ms(), &error)) {
	case READINESS_WAITING:
		return;
	case READINESS_READY:
		set_state(services, running, SERVICE_READY, NULL);
		return;
	case READINESS_FAILED:
		fail(services, running, error.number, error.cause);
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
	start_what_can(services);
	for (size_t i = 0; i < services->count; i++) {
		struct running *running = &services->items[i];

		for (int stream = 0; stream < READINESS_STREAM_COUNT && count < room; stream++)
			if (running->output_fds[stream] >= 0)
				polled[count++] =
					(struct pollfd){ .fd = running->output_fds[stream], .events = POLLIN };
		if (running->state != SERVICE_STARTED)
			continue;
		if (count + READINESS_POLLFDS_MAX <= room)
			count += readiness_pollfds(running->readiness, polled + count);
		*ret_deadline_ms = MIN(*ret_deadline_ms, readiness_deadline(running->readiness));
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

static void service_ended(struct services *services, struct running *running, int status)
{
	char signal_name[32];
	owned_text how = WIFSIGNALED(status)
				 ? text_format("it was ended by %s",
					       process_signal_name(WTERMSIG(status), signal_name, sizeof(signal_name)))
				 : text_format("it ended with status %d", WEXITSTATUS(status));

	running->pid = 0;
	for (int stream = 0; stream < READINESS_STREAM_COUNT; stream++)
		if (running->output_fds[stream] >= 0)
			hear_output(running, (enum readiness_stream)stream);
	if (running->state == SERVICE_READY) {
		struct error error = { 0 };

		(void)error_set(&error, .number = ECHILD, .step = "keep the service alive",
				.object = running->service->name, .cause = how,
				.remedy = running->tail[0] ? running->tail : NULL);
		set_state(services, running, SERVICE_ENDED, &error);
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
			service_ended(services, running, status);
			return true;
		}
		if (running->probe == pid) {
			running->probe = 0;
			readiness_command_ended(running->readiness, status, now_ms());
			return true;
		}
	}
	return false;
}

struct server_guest services_guest(struct services *services)
{
	return (struct server_guest){ .argument = services,
				      .start = guest_start,
				      .prepare = guest_prepare,
				      .step = guest_step,
				      .child_ended = guest_child_ended };
}

int services_new(const struct service_list *list, int log_directory_fd, struct services **ret_services,
		 struct error *error)
{
	struct services *services = calloc(1, sizeof(*services));

	if (services)
		services->items = calloc(list->count + 1, sizeof(*services->items));
	if (!services || !services->items)
		abort();
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
	free(services->items);
	free(services);
}
