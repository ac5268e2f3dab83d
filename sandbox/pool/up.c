/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. One process makes all worlds at once and drives them from one poll loop: signals, a time limit, each
 * world's PID 1, and what is new in their logs. Services are started, watched and logged by the PID 1 of each world
 * (services.h), which tells what becomes of them.
 *
 * In the foreground this process stays and owns the worlds: its end is theirs. It shows the logs, makes a world anew
 * that has died or is to be renewed, and ends when it is told to, when all worlds were stopped, or when all services
 * have ended by themselves. Ctrl-C ends the services in good order, a second one at once.
 *
 * Spares (pool.h) are worlds like the others, but that none is made anew for its place: as many are started, in any
 * free place, as stand unused too few.
 *
 * Detached, it lets go of the worlds once all are ready: from then on each PID 1 is on its own, holds its lock and the
 * claim of the pool's directory, and restarts its services by their policy. Whoever leases (lease.h) has a world that
 * has died made anew: up_refill(). */
#include "sandbox/pool/up.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/process.h"
#include "base/table.h"
#include "sandbox/pool/declared.h"
#include "sandbox/pool/logs.h"
#include "sandbox/pool/member.h"
#include "sandbox/pool/progress.h"
#include "sandbox/pool/services.h"
#include "sandbox/pool/shared.h"
#include "sandbox/registry/collect.h"
#include "sandbox/registry/lock.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/identity.h"

enum {
	DEATHS_MAX = 3,	  /* of a world in a row without having been ready: it is not made anew again */
	LOOK_MS = 100,	  /* at the logs, where the machine has no inotify instance left; at the live lines' times */
	FIXED_POLLED = 3, /* signals, timer, logs */
};

struct up;

struct slot {
	struct up *up;
	unsigned index;
	char *name;  /* "NAME.w2"; NULL: no world is to be there */
	char *place; /* "w2" */
	struct member member;
	struct service_list list;
	struct services *services;
	struct server_guest guest;
	bool *has_ended; /* of each service: by itself */
	unsigned deaths;
	bool was_ready;
	bool is_stopped; /* on purpose: not made anew */
	bool is_renewed;
	bool is_taken; /* a spare: by a lease, so it ends soon */
};

struct up {
	const struct up_options *options;
	struct spec spec;
	struct spec shared_spec; /* of the world of the shared services: other ports are published */
	const struct state_paths *places;
	struct pool *pool;
	struct slot *slots; /* of workers, then of spares */
	unsigned count;
	unsigned workers;
	struct progress *progress;
	struct logs *logs;
	int signal_fd;
	int timer_fd;
	bool is_refill;
	bool all_were_ready;
	bool is_stopping;
	int stopped_by; /* signal */
	bool is_killed;
	unsigned worst_status; /* of services that ended by themselves */
	bool has_failed;
	bool has_failed_to_show; /* the logs: its reader has gone */
	struct error *error;
};

static void say(struct up *up, const struct slot *slot, const char *line)
{
	owned_text message = slot ? text_format("%s: %s", slot->place, line) : text_duplicate(line);

	if (up->progress)
		progress_say(up->progress, message);
	else
		up->options->say(message);
}

static void say_error(struct up *up, const struct slot *slot, const struct error *error)
{
	char text[2 * sizeof(*error)];

	error_format(error, text, sizeof(text));
	say(up, slot, text);
}

static bool is_spare(const struct slot *slot)
{
	return slot->index >= slot->up->workers;
}

static bool is_shared(const struct slot *slot)
{
	return slot->index == pool_places(&slot->up->pool->description);
}

static void set_phase(struct up *up, const struct slot *slot, enum progress_state state, const char *phase)
{
	if (up->progress && !is_spare(slot))
		progress_set(up->progress, slot->index, state, phase, clock_ms());
}

static void fail(struct up *up, const struct slot *slot, const struct error *error)
{
	if (up->has_failed)
		return;
	*up->error = *error;
	if (!text_starts_with(error->context, "worker "))
		(void)error_context(up->error, "worker %s", slot->place);
	set_phase(up, slot, PROGRESS_BAD, "failed");
	up->has_failed = true;
}

/* ---- what the worlds tell ---- */

static const char *service_name(const struct slot *slot, unsigned index)
{
	return index < slot->list.count ? slot->list.items[index].name : "";
}

static void set_service_phase(struct up *up, const struct slot *slot, unsigned index, const char *what)
{
	owned_text phase = text_format("%s %s", service_name(slot, index), what);

	set_phase(up, slot, PROGRESS_BUSY, phase);
}

/* One that nobody expects to stay and that ended well is no failure: it may have put its server behind. */
static void say_end(struct up *up, const struct slot *slot, const struct services_news *news, const struct error *error)
{
	bool is_server = news->index >= slot->list.count || slot->list.items[news->index].has_readiness;
	owned_text line = NULL;

	if (news->status != 0 || is_server) {
		say_error(up, slot, error);
		return;
	}
	line = text_format("%s has ended with status 0; what it left behind goes on", service_name(slot, news->index));
	say(up, slot, line);
}

static void hear(void *argument, struct member *member, const struct reply *reply)
{
	struct slot *slot = argument;
	struct up *up = slot->up;
	struct services_news news = services_news_unpack(reply->number);

	slot->is_taken |= reply->kind == REPLY_TAKEN;
	if (reply->kind != REPLY_SERVICE)
		return;
	switch (news.state) {
	case SERVICE_WAITING:
		break;
	case SERVICE_STARTED:
		set_service_phase(up, slot, news.index, "starts");
		break;
	case SERVICE_READY:
		if (!slot->was_ready)
			set_service_phase(up, slot, news.index,
					  news.index < slot->list.count && !slot->list.items[news.index].has_readiness
						  ? "runs, no readiness check"
						  : "is ready");
		break;
	case SERVICE_COMPLETED:
		set_service_phase(up, slot, news.index, "is done");
		break;
	case SERVICE_RESTARTING:
		say_error(up, slot, &reply->error);
		set_service_phase(up, slot, news.index, "is started anew");
		break;
	case SERVICE_FAILED:
		member_fail(member, &reply->error);
		break;
	case SERVICE_ENDED:
		/* Nobody will be there to say so later. */
		if (up->options->is_detached && news.status != 0) {
			member_fail(member, &reply->error);
			break;
		}
		say_end(up, slot, &news, &reply->error);
		if (news.index < slot->list.count)
			slot->has_ended[news.index] = true;
		up->worst_status = MAX(up->worst_status, news.status);
		break;
	case SERVICES_ALL_READY:
		member_set_ready(member);
		slot->was_ready = true;
		slot->deaths = 0;
		set_phase(up, slot, PROGRESS_GOOD, "ready");
		break;
	case SERVICES_STOPPED:
		slot->is_stopped = true;
		break;
	case SERVICES_RENEWED:
		slot->is_renewed = true;
		break;
	}
}

/* ---- one world ---- */

static int fill_services(struct up *up, struct slot *slot, struct error *error)
{
	const struct declared_options declared = { .project = up->options->project,
						   .caller = environ,
						   .worker = slot->index,
						   .workers = up->workers,
						   .shared = is_shared(slot) ? DECLARED_ONLY_SHARED
									     : DECLARED_WITHOUT_SHARED };
	int result = 0;

	if (up->spec.payload.count > 0)
		declared_add_command(&slot->list, "main", &up->spec.payload, slot->index, up->workers);
	else
		result = declared_services(&declared, &slot->list, error);
	slot->has_ended = calloc(slot->list.count + 1, sizeof(*slot->has_ended));
	if (!slot->has_ended)
		abort();
	return result;
}

/* The files of a world's predecessor are added to; what it says of its end is not. */
static int open_log_directory(struct up *up, const struct slot *slot, int *ret_fd, struct error *error)
{
	const char *name = slot->place;
	int fd = -1;

	if ((mkdirat(up->pool->fd, name, 0700) == 0 || errno == EEXIST))
		fd = openat(up->pool->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, .number = errno, .step = "make the directory of the logs", .object = name);
	(void)unlinkat(fd, SERVICES_STOPPED_FILE, 0);
	*ret_fd = fd;
	return 0;
}

static int follow_logs(struct up *up, const struct slot *slot, int log_fd, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < slot->list.count && result == 0; i++) {
		owned_text prefix = slot->list.count > 1 ? text_format("%s %s", slot->place, slot->list.items[i].name)
							 : text_duplicate(slot->place);

		result = logs_add(up->logs, log_fd, slot->list.items[i].name, prefix, error);
	}
	return result;
}

static int start_world(struct up *up, struct slot *slot, struct error *error)
{
	owned_text log_path = text_format("%s/%s", up->pool->path, slot->place);
	owned_fd log_fd = -1;
	struct member_options options = { .spec = is_shared(slot) ? &up->shared_spec : &up->spec,
					  .name = slot->name,
					  .run = up->pool->id,
					  .index = is_shared(slot) ? -1 : (int)slot->index,
					  .count = is_shared(slot) ? 0 : up->workers,
					  .log_directory = log_path,
					  .is_to_detach = up->options->is_detached,
					  .hold_fd = up->pool->fd };
	bool is_first = !slot->has_ended;
	int result = is_first ? fill_services(up, slot, error) : 0;

	if (result == 0)
		result = open_log_directory(up, slot, &log_fd, error);
	if (result == 0 && is_first && up->logs)
		result = follow_logs(up, slot, log_fd, error);
	if (result == 0)
		result = services_new(&slot->list, log_fd, &slot->services, error);
	if (result == 0 && up->pool->description.has_shared && !is_shared(slot))
		result = shared_connect(up->places, up->pool, up->options->project, &options.shared, error);
	if (result < 0)
		return result;
	slot->guest = services_guest(slot->services);
	options.guest = &slot->guest;
	options.log_fd = log_fd;
	slot->member.hear = hear;
	slot->member.argument = slot;
	slot->was_ready = slot->is_stopped = slot->is_renewed = slot->is_taken = false;
	set_phase(up, slot, PROGRESS_BUSY, "starts");
	return member_begin(&slot->member, &options, NULL, 0, up->options->say, error);
}

static void end_world(struct slot *slot)
{
	member_end(&slot->member);
	services_free(slot->services);
	slot->services = NULL;
}

/* It has died, or was ended. */
static void settle_dead(struct up *up, struct slot *slot)
{
	struct error error = slot->member.error;
	bool is_meant = slot->is_stopped || slot->is_renewed || up->is_stopping;
	bool is_renewed = slot->is_renewed;
	bool was_ready = slot->was_ready;

	if (!is_meant)
		(void)error_context(&error, "worker %s", slot->place);
	end_world(slot);
	if (up->is_stopping || slot->is_stopped) {
		set_phase(up, slot, PROGRESS_BUSY, "ended");
		return;
	}
	if (!is_meant && (!up->all_were_ready || up->options->is_detached)) {
		fail(up, slot, &error);
		return;
	}
	if (!is_meant) {
		say_error(up, NULL, &error);
		slot->deaths = was_ready ? 1 : slot->deaths + 1;
	}
	if (slot->deaths >= DEATHS_MAX) {
		fail(up, slot, &error);
		return;
	}
	for (size_t i = 0; i < slot->list.count; i++)
		slot->has_ended[i] = false;
	if (is_shared(slot)) {
		fail(up, slot, &error);
		return;
	}
	if (is_spare(slot)) {
		text_free(&slot->name); /* which of them is next is start_spares()' business */
		return;
	}
	if (!is_renewed)
		say(up, slot, "made anew");
	if (start_world(up, slot, &error) < 0)
		fail(up, slot, &error);
}

static unsigned count_unused_spares(const struct up *up)
{
	unsigned count = 0;

	for (unsigned i = up->workers; i < pool_places(&up->pool->description); i++)
		count += up->slots[i].member.state != MEMBER_ABSENT && !up->slots[i].is_taken;
	return count;
}

/* As many as are too few, where there is a place for them. One whose world died three times in a row fails the pool, as
 * a worker does. */
static void start_spares(struct up *up)
{
	unsigned unused = count_unused_spares(up);

	for (unsigned i = up->workers; i < pool_places(&up->pool->description) && unused < up->pool->description.spares;
	     i++) {
		struct slot *slot = &up->slots[i];
		struct error error = { 0 };

		if (slot->member.state != MEMBER_ABSENT || slot->is_stopped)
			continue;
		if (!slot->name)
			slot->name = pool_worker_name(up->pool, i);
		if (start_world(up, slot, &error) < 0) {
			fail(up, slot, &error);
			return;
		}
		unused++;
	}
}

/* ---- all of them ---- */

static bool are_all(const struct up *up, enum member_state state)
{
	for (unsigned i = 0; i < up->count; i++)
		if (up->slots[i].name && up->slots[i].member.state != state)
			return false;
	return true;
}

/* Nothing runs any more: not for one that was never to run anything. */
static bool have_all_ended(const struct up *up)
{
	bool any = false;

	for (unsigned i = 0; i < up->count; i++) {
		const struct slot *slot = &up->slots[i];

		if (slot->member.state == MEMBER_ABSENT || is_shared(slot))
			continue;
		if (slot->member.state != MEMBER_READY)
			return false;
		for (size_t j = 0; j < slot->list.count; j++) {
			if (!slot->has_ended[j])
				return false;
			any = true;
		}
		if (slot->list.count == 0)
			return false;
	}
	return any;
}

static void begin_stop(struct up *up)
{
	struct request_header header = { .kind = REQUEST_STOP, .argument = -1 };

	if (up->is_stopping) {
		up->is_killed = true;
		for (unsigned i = 0; i < up->count; i++)
			fd_close(&up->slots[i].member.launched.control_fd);
		return;
	}
	up->is_stopping = true;
	for (unsigned i = 0; i < up->count; i++) {
		struct slot *slot = &up->slots[i];

		if (slot->member.state == MEMBER_ABSENT)
			continue;
		set_phase(up, slot, PROGRESS_BUSY, "ends");
		/* A PID 1 that is gone is seen at the connection's end. */
		(void)request_send(slot->member.launched.control_fd, &header, NULL, NULL);
	}
}

static void hear_signals(struct up *up)
{
	struct signalfd_siginfo information;

	while (read(up->signal_fd, &information, sizeof(information)) == (ssize_t)sizeof(information)) {
		up->stopped_by = (int)information.ssi_signo;
		begin_stop(up);
	}
}

static void hear_timer(struct up *up)
{
	uint64_t expirations;

	(void)!read(up->timer_fd, &expirations, sizeof(expirations));
	for (unsigned i = 0; i < up->count && !up->has_failed; i++)
		if (up->slots[i].name && up->slots[i].member.state != MEMBER_READY) {
			struct error error = { 0 };

			(void)error_set(&error, .number = ETIMEDOUT, .step = "wait until it is ready",
					.object = up->slots[i].name, .cause = "the time of --wait-timeout is over",
					.remedy = "'sbx up' without -d shows what it writes meanwhile");
			fail(up, &up->slots[i], &error);
		}
}

static void show_logs(struct up *up)
{
	struct error error = { 0 };

	if (!up->logs || up->has_failed_to_show || !logs_has_news(up->logs))
		return;
	if (up->progress)
		progress_hide(up->progress);
	/* A pipe whose reader has gone: as with any program that writes there, it is the end. */
	if (logs_show(up->logs, &error) < 0) {
		up->has_failed_to_show = true;
		if (!up->is_stopping)
			begin_stop(up);
	}
	if (up->progress && !up->all_were_ready)
		progress_show(up->progress);
}

static size_t prepare_poll(const struct up *up, struct pollfd *polled)
{
	size_t count = 0;

	polled[count++] = (struct pollfd){ .fd = up->signal_fd, .events = POLLIN };
	polled[count++] = (struct pollfd){ .fd = up->timer_fd, .events = POLLIN };
	polled[count++] = (struct pollfd){ .fd = up->logs ? logs_fd(up->logs) : -1, .events = POLLIN };
	for (unsigned i = 0; i < up->count; i++)
		polled[count++] = (struct pollfd){ .fd = member_fd(&up->slots[i].member), .events = POLLIN };
	return count;
}

static void hear_world(struct up *up, struct member *member)
{
	/* What is weaker than usual is said while it is made. */
	bool may_say = up->progress && member->state == MEMBER_STARTING;

	if (may_say)
		progress_hide(up->progress);
	member_hear(member, up->options->say);
	if (may_say)
		progress_show(up->progress);
}

static void step(struct up *up)
{
	struct pollfd polled[FIXED_POLLED + COUNT_WORKERS_MAX + 2 * POOL_SPARES_MAX];
	size_t count = prepare_poll(up, polled);
	bool must_look = up->logs && logs_fd(up->logs) < 0;

	if (poll(polled, count, must_look ? LOOK_MS : -1) < 0)
		return;
	for (unsigned i = 0; i < up->count; i++)
		if (polled[FIXED_POLLED + i].revents)
			hear_world(up, &up->slots[i].member);
	show_logs(up);
	if (polled[0].revents)
		hear_signals(up);
	if (polled[1].revents)
		hear_timer(up);
	for (unsigned i = 0; i < up->count && !up->has_failed; i++)
		if (up->slots[i].member.state == MEMBER_DEAD || (up->is_killed && up->slots[i].name))
			settle_dead(up, &up->slots[i]);
	if (up->all_were_ready && !up->is_stopping && !up->has_failed && !up->options->is_detached)
		start_spares(up);
}

/* ---- beginning ---- */

static int take_signals(struct up *up, sigset_t *ret_before, struct error *error)
{
	static const int heard[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action;
	sigset_t taken;

	sigemptyset(&taken);
	for (size_t i = 0; i < ARRAY_SIZE(heard); i++)
		if (sigaction(heard[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&taken, heard[i]);
	up->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	up->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (up->signal_fd < 0 || up->timer_fd < 0)
		return error_set(error, .number = errno, .step = "listen for signals");
	(void)sigprocmask(SIG_BLOCK, &taken, ret_before);
	(void)signal(SIGPIPE, SIG_IGN);
	return 0;
}

static void start_timer(const struct up *up)
{
	uint64_t ms = up->options->wait_timeout_ms;
	struct itimerspec timer = { .it_value = { .tv_sec = (time_t)(ms / 1000),
						  .tv_nsec = (long)(ms % 1000) * 1000000 } };

	(void)timerfd_settime(up->timer_fd, 0, &timer, NULL);
}

static void stop_timer(const struct up *up)
{
	struct itimerspec timer = { 0 };

	(void)timerfd_settime(up->timer_fd, 0, &timer, NULL);
}

static void make_slots(struct up *up, unsigned workers)
{
	unsigned count;

	up->workers = up->pool->description.workers = workers;
	count = pool_worlds(&up->pool->description);
	up->slots = calloc(count, sizeof(*up->slots));
	if (!up->slots)
		abort();
	up->count = count;
	up->shared_spec = up->spec;
	up->shared_spec.ways.publish = *up->options->shared_publish;
	for (unsigned i = 0; i < count; i++) {
		up->slots[i].up = up;
		up->slots[i].index = i;
		up->slots[i].place = pool_place_name(&up->pool->description, i);
		member_init(&up->slots[i].member);
	}
}

static void free_slots(struct up *up)
{
	/* All at once, so that the kernel's work is done side by side. */
	for (unsigned i = 0; i < up->count; i++)
		fd_close(&up->slots[i].member.launched.control_fd);
	for (unsigned i = 0; i < up->count; i++) {
		struct slot *slot = &up->slots[i];

		end_world(slot);
		service_list_release(&slot->list);
		free(slot->has_ended);
		text_free(&slot->name);
		text_free(&slot->place);
	}
	free(up->slots);
	up->slots = NULL;
	up->count = 0;
}

static void begin_showing(struct up *up)
{
	struct table_options output;
	owned_text title = text_format("sbx up: %u worker%s", up->workers, up->workers == 1 ? "" : "s");
	struct progress_options progress = { .fd = STDERR_FILENO,
					     .mode = progress_choose_mode(STDERR_FILENO, up->workers),
					     .workers = up->workers,
					     .title = title };
	struct logs_options logs = { .fds = { STDOUT_FILENO, STDOUT_FILENO }, .tail = LOG_TAIL_ALL };

	if (up->is_refill)
		return;
	table_options_init(&output, STDERR_FILENO);
	progress.has_colour = output.has_colour;
	progress.width = output.width;
	up->progress = progress_new(&progress);
	if (up->options->is_detached)
		return;
	table_options_init(&output, STDOUT_FILENO);
	logs.has_colour = output.has_colour;
	up->logs = logs_new(&logs);
}

/* Until all are ready. */
static int wait_until_ready(struct up *up)
{
	if (up->options->wait_timeout_ms > 0)
		start_timer(up);
	while (!up->has_failed && !up->is_stopping && !are_all(up, MEMBER_READY))
		step(up);
	stop_timer(up);
	if (up->has_failed)
		return -MAX(up->error->number, 1);
	if (!up->is_stopping) {
		up->all_were_ready = true;
		if (up->progress)
			progress_finish(up->progress);
	}
	return 0;
}

/* Those that have a name, all at once. */
static int start_worlds(struct up *up, unsigned first, struct error *error)
{
	int result = 0;

	for (unsigned i = first; i < up->count && result == 0; i++)
		if (up->slots[i].name && up->slots[i].member.state == MEMBER_ABSENT) {
			result = start_world(up, &up->slots[i], error);
			if (result < 0)
				(void)error_context(error, "worker %s", up->slots[i].place);
		}
	return result;
}

static void name_slots(struct up *up)
{
	for (unsigned i = 0; i < up->workers + up->pool->description.spares; i++)
		up->slots[i].name = pool_worker_name(up->pool, i);
}

/* ---- how many ---- */

static unsigned known_count(const struct up_options *options, const struct count_machine *machine)
{
	if (options->count.number)
		return options->count.number;
	return options->count.percent ? count_percent(options->count.percent, machine->processors) : 1;
}

/* Before the workers, whose services may ask those that are shared. */
static int start_shared(struct up *up, struct error *error)
{
	struct slot *slot = &up->slots[pool_places(&up->pool->description)];
	int result;

	if (!up->pool->description.has_shared)
		return 0;
	slot->name = pool_worker_name(up->pool, slot->index);
	result = start_world(up, slot, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < slot->list.count && !up->is_refill; i++) {
		owned_text line = declared_describe_shared(&slot->list.items[i]);

		if (line)
			say(up, NULL, line);
	}
	while (!up->has_failed && !up->is_stopping && slot->member.state != MEMBER_READY)
		step(up);
	return up->has_failed ? -MAX(up->error->number, 1) : 0;
}

/* -n auto: the first worker shows what one takes. Where that many fit it stays; else all is begun anew, since it was
 * told how many there are. */
static int start_auto(struct up *up, const struct count_machine *machine, struct error *error)
{
	char reason[COUNT_REASON_SIZE];
	struct count_size size;
	unsigned count = up->workers;
	unsigned spares = up->pool->description.spares;
	unsigned fits;
	int result = start_shared(up, error);

	if (result == 0)
		result = start_world(up, &up->slots[0], error);
	if (result < 0)
		return result;
	while (!up->has_failed && !up->is_stopping && up->slots[0].member.state != MEMBER_READY)
		step(up);
	if (up->has_failed)
		return -MAX(up->error->number, 1);
	count_measure(up->slots[0].member.launched.pid, &size);
	fits = count_fit(machine, &size, reason);
	say(up, NULL, reason);
	fits = fits > spares ? fits - spares : 1;
	if (fits < count) {
		free_slots(up);
		make_slots(up, fits);
		name_slots(up);
		result = start_shared(up, error);
		return result < 0 ? result : start_worlds(up, 0, error);
	}
	return start_worlds(up, 1, error);
}

/* ---- the end ---- */

static int detach_all(struct up *up, struct error *error)
{
	int result = 0;

	for (unsigned i = 0; i < up->count && result == 0; i++) {
		if (up->slots[i].name)
			result = member_detach(&up->slots[i].member, error);
		/* A lease had it already, and has ended. */
		if (result < 0 && up->slots[i].is_taken) {
			*error = (struct error){ 0 };
			result = 0;
		}
	}
	if (result < 0)
		return result;
	up->pool->description.is_detached = true;
	return up->is_refill ? 0 : pool_write(up->pool, error);
}

/* Until it is told to end, or nothing is left to look after. */
static int stay(struct up *up)
{
	while (!up->has_failed && !are_all(up, MEMBER_ABSENT)) {
		step(up);
		if (!up->is_stopping && have_all_ended(up))
			begin_stop(up);
	}
	return up->has_failed ? -MAX(up->error->number, 1) : 0;
}

static void release(struct up *up)
{
	free_slots(up);
	if (up->logs && !up->has_failed_to_show) {
		if (up->progress)
			progress_hide(up->progress);
		(void)logs_finish(up->logs, NULL);
	}
	logs_free(up->logs);
	progress_free(up->progress);
	fd_close(&up->signal_fd);
	fd_close(&up->timer_fd);
}

/* ---- up ---- */

/* What is true of all of them once, what is each one's own for each. */
static void say_messages(struct up *up, const struct slot *slot)
{
	const struct text_list *messages = &slot->member.plan.messages;

	for (size_t i = 0; i < messages->count; i++) {
		bool is_own = text_starts_with(messages->items[i], "published:");

		if (is_own || slot->index == 0)
			say(up, is_own ? slot : NULL, messages->items[i]);
	}
}

static int start_pool(struct up *up, struct error *error)
{
	struct count_machine machine;
	bool is_auto = up->options->count.is_auto;
	int result;

	count_read_machine(&machine);
	up->pool->description.spares = up->options->spares;
	up->pool->description.has_shared = up->spec.payload.count == 0 && shared_is_declared(up->options->project);
	make_slots(up, is_auto ? count_fit(&machine, NULL, NULL) : known_count(up->options, &machine));
	begin_showing(up);
	name_slots(up);
	if (is_auto)
		result = start_auto(up, &machine, error);
	else
		result = start_shared(up, error);
	if (result == 0 && !is_auto && !up->is_stopping)
		result = start_worlds(up, 0, error);
	if (result < 0)
		return result;
	/* From now on `down` finds it. */
	for (unsigned i = 0; i < up->count; i++)
		say_messages(up, &up->slots[i]);
	pool_describe(up->pool, up->options->description, up->slots[0].member.plan.tree,
		      &up->slots[0].member.plan.environment);
	return pool_write(up->pool, error);
}

static void say_ready(struct up *up)
{
	owned_text line =
		text_format("%u worker%s ready: sbx lease -- COMMAND, sbx exec w0 COMMAND, sbx logs w0, sbx down",
			    up->workers, up->workers == 1 ? " is" : "s are");

	say(up, NULL, line);
	for (size_t i = 0; i < up->slots[0].list.count; i++)
		if (!up->slots[0].list.items[i].has_readiness && !up->slots[0].has_ended[i]) {
			owned_text untold = text_format("%s: started, no readiness check; `ready:` in sbx.yaml is one",
							up->slots[0].list.items[i].name);

			say(up, NULL, untold);
		}
}

static int run_pool(struct up *up, struct error *error)
{
	int result = start_pool(up, error);

	if (result == 0)
		result = wait_until_ready(up);
	if (result < 0)
		return result;
	if (!up->is_stopping && up->options->is_detached) {
		result = detach_all(up, error);
		if (result == 0)
			say_ready(up);
		return result;
	}
	if (!up->is_stopping && up->progress)
		say_ready(up);
	return stay(up);
}

int up_run(const struct up_options *options, int *ret_exit_code, struct error *error)
{
	owned_pool pool = POOL_NONE;
	struct state_paths places = { 0 };
	struct up up = { .options = options,
			 .spec = *options->spec,
			 .pool = &pool,
			 .signal_fd = -1,
			 .timer_fd = -1,
			 .error = error };
	owned_text tree = NULL;
	sigset_t before;
	bool is_left;
	int result = identity_find_places(&places, error);

	*ret_exit_code = EXIT_SBX_FAILED;
	if (result < 0)
		return result;
	up.places = &places;
	if (path_canonical(options->spec->tree ? options->spec->tree : ".", &tree) == 0)
		pool_remove_dead(&places, tree);
	(void)collect_dead(&places, COLLECT_REMOVE, NULL, NULL);
	(void)sigprocmask(SIG_SETMASK, NULL, &before);
	result = pool_make(&places, &pool, error);
	if (result == 0) {
		pool.description.name = text_duplicate(options->name ? options->name : pool.id);
		result = take_signals(&up, &before, error);
	}
	if (result == 0)
		result = run_pool(&up, error);
	is_left = result == 0 && pool.description.is_detached;
	if (result == 0)
		*ret_exit_code = up.stopped_by ? 128 + up.stopped_by : (int)up.worst_status;
	release(&up);
	if (is_left)
		(void)printf("%s\n", pool.description.name); /* main() looks whether it could be written */
	else if (pool.fd >= 0) {
		pool_remove_queues(&places, &pool);
		(void)pool_remove(&pool, NULL);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	state_paths_release(&places);
	return result;
}

/* ---- refill ---- */

static bool is_missing(const struct state_paths *places, const struct pool *pool, unsigned index)
{
	owned_fd fd = -1;

	return !pool_is_stopped(pool, index) && pool_connect(places, pool, index, &fd, NULL) < 0;
}

static unsigned count_missing_spares(const struct state_paths *places, const struct pool *pool)
{
	unsigned unused = 0;

	for (unsigned i = pool->description.workers; i < pool_places(&pool->description); i++) {
		owned_fd fd = -1;

		if (pool_connect(places, pool, i, &fd, NULL) == 0)
			unused += ask_whether_unused(fd);
	}
	return pool->description.spares - MIN(unused, pool->description.spares);
}

static int refill(struct up *up, const struct state_paths *places, struct error *error)
{
	unsigned spares = count_missing_spares(places, up->pool);
	unsigned missing = 0;
	int result = 0;

	make_slots(up, up->pool->description.workers);
	/* First: the others get their ports of it. */
	if (up->pool->description.has_shared && is_missing(places, up->pool, pool_places(&up->pool->description))) {
		result = start_shared(up, error);
		if (result < 0 || up->is_stopping)
			return result;
		missing++;
	}
	for (unsigned i = 0; i < pool_places(&up->pool->description); i++)
		if ((i < up->workers || spares > 0) && is_missing(places, up->pool, i)) {
			spares -= i >= up->workers;
			up->slots[i].name = pool_worker_name(up->pool, i);
			missing++;
		}
	if (missing == 0)
		return 0;
	if (result == 0)
		result = start_worlds(up, 0, error);
	if (result == 0)
		result = wait_until_ready(up);
	return result == 0 && !up->is_stopping ? detach_all(up, error) : result;
}

int up_refill(const struct up_options *options, struct pool *pool, struct error *error)
{
	struct state_paths places = { 0 };
	struct up up = { .options = options,
			 .spec = *options->spec,
			 .pool = pool,
			 .signal_fd = -1,
			 .timer_fd = -1,
			 .is_refill = true,
			 .error = error };
	owned_fd lock_fd = -1;
	sigset_t before;
	int result = identity_find_places(&places, error);

	if (result < 0)
		return result;
	up.places = &places;
	result = pool_lock_refill(pool, POOL_REFILL_WAIT, &lock_fd, error);
	if (result == 0)
		result = pool_claim(pool, error);
	if (result == 0)
		result = take_signals(&up, &before, error);
	if (result == 0)
		result = refill(&up, &places, error);
	/* What those left that are made anew. */
	(void)collect_dead(&places, COLLECT_REMOVE, NULL, NULL);
	release(&up);
	state_paths_release(&places);
	return result;
}
