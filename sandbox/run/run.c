/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. This process supervises; it owns all worlds, and everything ends with it.
 *
 * World R holds the runner, with the caller's own descriptors. The hook that is loaded into the runner (hook.h) makes
 * of each test process that the runner forks a lease: a client inside R (lease.h) that connects to the one socket R
 * has, and starts the test process in the world it is given. Before the first of them R is *frozen*: all its processes
 * are stopped for a moment, its databases and files copied to the run's directory. That seed is the start of each
 * world, in which the servers are started anew. So what globalSetup and setup projects did is there N times, on the
 * same ports.
 *
 * Where units are to begin in worlds that nobody has used (unit.h), each world has a spare: another one of the same
 * number, from the same seed, started as soon as the world is leased or, where only a red test makes it due, as soon as
 * that is told. A lease takes the spare as it stands, its servers answering, and the used world ends behind. One that
 * died or could not be made is said, and the lease waits for one that is made then.
 *
 * The loop waits for: signals, the time limit, R's PID 1, R's socket and what connected to it, the worlds' PID 1s.
 * After each event run_advance() looks whether a waiting lease can be granted or what has to be done for it. A freeze
 * blocks the loop for some milliseconds, in which R stands still anyway. */
#include "sandbox/run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/process.h"
#include "overlay/seed.h"
#include "sandbox/pool/declared.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/advice.h"
#include "sandbox/run/again.h"
#include "sandbox/run/artifacts.h"
#include "sandbox/run/blame.h"
#include "sandbox/run/checks.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/events.h"
#include "sandbox/run/evidence.h"
#include "sandbox/run/expense.h"
#include "sandbox/run/harvest.h"
#include "sandbox/run/hook.h"
#include "sandbox/run/job.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/lease.h"
#include "sandbox/run/servers.h"
#include "sandbox/run/unit.h"
#include "sandbox/worker/annex.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/attach.h"
#include "sandbox/worker/reset.h"
#include "sandbox/worker/spawn.h"

enum {
	SLOTS_MAX = 256,
	PEERS_MAX = 1024,
	FIXED_POLLED = 4, /* signals, timer, R, R's socket */
	/* A job that is cancelled on GitHub gets SIGINT, SIGTERM 7.5 s later, and SIGKILL 2.5 s after that: the copies
	 * of the artifacts must be whole by then. */
	CANCEL_MS = 1000,
	EXIT_OF_RED_TESTS = 1, /* as Playwright has it */
};

enum peer_kind {
	PEER_NEW,     /* has not said what it is */
	PEER_EVENTS,  /* hook or reporter: JSON lines */
	PEER_WAITING, /* wants a world */
	PEER_HOLDING, /* has one */
};

/* A connection from inside R. */
struct peer {
	int fd;
	enum peer_kind kind;
	struct text_buffer input;
	struct lease_request request;
	struct slot *slot; /* PEER_HOLDING */
	uint64_t blamed;   /* the blame's sequence as it began */
};

/* A world of the run. */
struct slot {
	struct member member;
	struct servers *list;	       /* what its present world starts; NULL */
	struct servers_world *servers; /* of its present world; NULL */
	char *name;		       /* "RUN.w2" */
	unsigned index;
	unsigned generation; /* of the freeze it stems from */
	struct peer *holder;
	struct slot *aside;	 /* the holder's, which nobody else has used, beside this one's world; NULL */
	bool is_awaited;	 /* a spare: by a lease, which fails if it dies */
	bool will_want_aside;	 /* a test there has failed in its last own try */
	struct again_past again; /* with --retry-fresh: the tests that have been in its present world */
	bool is_promised;	 /* to one who waits; for the time of advance() */
	unsigned leases;
	struct evidence_cause red; /* its world is to be kept for, when the lease ends */
	struct unit_past past;	   /* of its present world */
	bool trouble_told;	   /* of its present world */
	bool is_ready_told;	   /* the journal was, of its present world */
};

struct run {
	const struct run_options *options;
	struct spec spec;	    /* the options', in the shape of R and the worlds; borrows all texts */
	struct spec runner_spec;    /* R's own: the same, and the files of the CI job */
	struct volume_list volumes; /* its volumes */
	struct run_directory directory;
	struct member runner; /* world R */
	char *runner_name;
	struct slot *slots[SLOTS_MAX]; /* made when first asked for */
	unsigned slot_count;
	struct slot *spares[SLOTS_MAX]; /* for that place: a world that nobody has used; NULL: none */
	struct slot **used;		/* worlds whose place a spare has taken; to be ended */
	size_t used_count;
	struct peer **peers; /* in the order in which they came */
	size_t peer_count;
	struct events events;
	struct servers *declared;	       /* what R starts for sbx.yaml; NULL: nothing */
	struct servers_world *runner_services; /* those, on their way; NULL */
	struct listeners listeners;	       /* of R, as it was when it was frozen last */
	int runner_log_fd;		       /* where their logs are; -1 */
	bool has_begun;			       /* the runner has */
	bool expense_told;
	bool are_resting; /* R's services of sbx.yaml */
	struct evidence evidence;
	struct evidence_cause red; /* of R */
	struct again again;
	struct harvest harvest;
	struct checks checks;
	struct blame blame;

	bool is_frozen;
	unsigned generation; /* of the newest freeze: hosted processes that had ended by then */
	unsigned freezes;
	struct seed seed;

	int signal_fd;
	int timer_fd;
	bool is_stopping;
	bool is_interrupted; /* by SIGINT */
	bool timed_out;
	bool has_ended; /* the runner has */
	int status;
	bool has_failed;
	struct error *error;
};

static void fail(struct run *run)
{
	run->has_failed = true;
}

/* With one world R is that world; unless tests are to begin in worlds that R, which goes on, cannot be. */
static bool is_runner_the_world(const struct run *run)
{
	return run->options->workers == 1 && !unit_word(&run->options->units) && !run->options->units.retry &&
	       !run->options->blame;
}

/* ---- world R ---- */

static void hear_runner(void *argument, struct member *member, const struct reply *reply)
{
	struct run *run = argument;

	if (run->runner_services)
		servers_hear(run->runner_services, member, reply);
	if (reply->kind == REPLY_EXITED) {
		run->has_ended = true;
		run->status = (int)reply->number;
	}
	if (reply->kind == REPLY_ADVICE) {
		char text[2 * sizeof(reply->error)];

		error_format(&reply->error, text, sizeof(text));
		run->options->say(text);
	}
}

static const char *environment_value(const struct text_list *environment, const char *name)
{
	size_t length = strlen(name);
	const char *value = NULL;

	for (size_t i = 0; i < environment->count; i++)
		if (strncmp(environment->items[i], name, length) == 0 && environment->items[i][length] == '=')
			value = environment->items[i] + length + 1;
	return value;
}

/* What the runner gets on top of the world's environment: hook.h section 1. */
static void fill_runner_environment(const struct run *run, struct text_list *set)
{
	const char *options = environment_value(&run->runner.plan.environment, "NODE_OPTIONS");
	const char *path = environment_value(&run->runner.plan.environment, "PATH");

	text_list_take(set, text_format("NODE_OPTIONS=%s%s" HOOK_OPTION, options ? options : "",
					options && options[0] ? " " : ""));
	text_list_take(set, text_format("PATH=" ANNEX_DIRECTORY ":%s", path ? path : "/usr/local/bin:/usr/bin:/bin"));
	text_list_add(set, "SBX_LEASE=" ANNEX_PROGRAM);
	text_list_add(set, LEASE_ENVIRONMENT_SOCKET "=" ANNEX_SOCKET);
	if (run->options->arguments) {
		owned_buffer words = { 0 };

		json_add_list(&words, NULL, run->options->arguments);
		text_list_take(set, text_format("SBX_ARGUMENTS=%s", words.bytes));
	}
	if (run->options->shard.count > 0)
		text_list_take(set,
			       text_format("SBX_SHARD=%u/%u", run->options->shard.index, run->options->shard.count));
	if (run->options->workers > 0)
		text_list_take(set, text_format("SBX_WORKERS=%u", run->options->workers));
	if (unit_word(&run->options->units))
		text_list_take(set, text_format("SBX_UNIT=%s", unit_word(&run->options->units)));
	if (run->options->units.retry)
		text_list_add(set, "SBX_RETRY=fresh");
	if (run->options->blame)
		text_list_add(set, "SBX_BLAME=1");
	/* Its server would block the end, on a port of R that no browser reaches. */
	text_list_add(set, "PLAYWRIGHT_HTML_OPEN=never");
	/* Shared by the test processes: what the runner leaves there for them, and warm caches. */
	text_list_add(set, "TMPDIR=" ANNEX_TEMPORARY);
}

/* What sbx.yaml declares is up in R before the runner, whose globalSetup may ask it. */
static int prepare_declared(struct run *run, const char *logs, struct member_options *options, struct error *error)
{
	struct servers_source source = { .project = run->options->project,
					 .workers = run->options->workers,
					 .has_shared = true };
	owned_fd log_fd = -1;
	int result = servers_read(&source, &run->declared, error);

	if (result < 0 || servers_list(run->declared)->count == 0)
		return result;
	result = run_directory_make(&run->directory, logs, &log_fd, error);
	options->log_directory = logs;
	if (result == 0)
		result = servers_enter(run->declared, log_fd, &run->runner, options, &run->runner_services, error);
	for (size_t i = 0; i < servers_list(run->declared)->count; i++) {
		owned_text line = run->options->workers == 1
					  ? NULL
					  : declared_describe_shared(&servers_list(run->declared)->items[i]);

		if (line)
			run->options->say(line);
	}
	/* Closed with the run: PID 1 has its copy only once it has begun. */
	run->runner_log_fd = fd_take(&log_fd);
	return result;
}

static int start_runner(struct run *run, struct error *error)
{
	struct annex_file files[HOOK_FILE_COUNT];
	struct member_options options = { .spec = &run->runner_spec,
					  .name = run->runner_name,
					  .run = run->directory.id,
					  .index = is_runner_the_world(run) ? 0 : -1,
					  .log_fd = -1,
					  .annex = {
						  .files = files, .file_count = HOOK_FILE_COUNT, .is_wanted = true } };
	owned_text logs = run_directory_path(&run->directory, "r");
	int result;

	for (unsigned i = 0; i < HOOK_FILE_COUNT; i++) {
		struct hook_file file = hook_file(i);

		files[i] = (struct annex_file){ .name = file.name, .data = file.text, .size = file.size };
	}
	run->runner_spec = run->spec;
	job_add_files(&run->spec.volumes, &run->volumes);
	run->runner_spec.volumes = run->volumes;
	/* Of R alone: the worlds have the same ports, and N of them. */
	run->spec.ways.publish = (struct text_list){ 0 };
	result = prepare_declared(run, logs, &options, error);
	run->runner.hear = hear_runner;
	run->runner.argument = run;
	if (result == 0)
		result = member_begin(&run->runner, &options, NULL, 0, run->options->say, error);
	if (result < 0)
		return result;
	run->checks.tree = run->blame.tree = run->runner.plan.tree;
	for (size_t i = 0; i < run->runner.plan.messages.count; i++)
		run->options->say(run->runner.plan.messages.items[i]);
	return 0;
}

/* The runner itself: when the services of sbx.yaml are ready in R, as they would be where it runs without sbx. */
static int start_command(struct run *run, struct error *error)
{
	struct attach_options command = {
		.spec = &run->spec, .is_main = true, .no_terminal = true, .directory = run->spec.workdir
	};
	owned_list set = { 0 };
	struct relay *relay = NULL;
	int result;

	fill_runner_environment(run, &set);
	command.set = set;
	result = attach_start(run->runner.launched.control_fd, &command, &relay, error);
	relay_close(relay); /* it handed the caller's descriptors on, which is all there is to relay */
	run->has_begun = result == 0;
	journal_world(&run->directory, JOURNAL_RUNNER, run->runner_name, JOURNAL_READY, NULL);
	return result;
}

static void signal_runner(const struct run *run, int number)
{
	struct request_header header = { .kind = REQUEST_SIGNAL, .argument = number };

	/* A PID 1 that is gone is seen at the connection's end. */
	(void)request_send(run->runner.launched.control_fd, &header, NULL, NULL);
}

/* A job of R's services would go on beside those of the worlds: one e-mail more than there are worlds. */
static void rest_services(struct run *run)
{
	struct request_header header = { .kind = REQUEST_REST };

	if (!run->events.may_rest || run->are_resting || !run->runner_services)
		return;
	run->are_resting = true;
	/* A PID 1 that is gone is seen at the connection's end. */
	(void)request_send(run->runner.launched.control_fd, &header, NULL, NULL);
}

/* ---- freezing R ---- */

static int freeze(struct run *run, struct error *error)
{
	struct task task = { .kind = TASK_FREEZE };
	owned_text path = NULL;
	owned_fd seed_fd = -1;
	owned_fd out_fd = -1;
	owned_fd connection = -1;
	int result = run_directory_make_seed(&run->directory, run->freezes, &path, &seed_fd, error);

	if (result == 0)
		result = run_directory_open_file(&run->directory, "freeze.json", &out_fd, error);
	if (result == 0)
		result = member_connect(&run->runner, CONNECT_FREE, &connection, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < run->runner.plan.databases.count; i++)
		text_list_add(&task.arguments, run->runner.plan.databases.items[i]);
	task.fds[task.fd_count++] = seed_fd;
	task.fds[task.fd_count++] = out_fd;
	result = ask_task(connection, &task, error);
	text_list_release(&task.arguments);
	if (result < 0)
		return error_context(error, "freeze");
	seed_release(&run->seed);
	result = seed_open(path, &run->seed, error);
	if (result < 0)
		return result;
	run->is_frozen = true;
	run->freezes++;
	run->generation = run->events.hosted_ended;
	return 0;
}

/* What the worlds start. */
static int read_servers(const struct run *run, unsigned worker, bool has_shared, struct servers **ret_servers,
			struct error *error)
{
	struct servers_source source = { .project = run->options->project,
					 .events = &run->events,
					 .worker = worker,
					 .workers = run->options->workers,
					 .has_shared = has_shared };

	return servers_read(&source, ret_servers, error);
}

/* What listens in R as its servers are up must be what the worlds will have. */
static int check_runner(struct run *run, struct error *error)
{
	struct servers *all = NULL;
	int result = read_servers(run, 0, true, &all, error);

	listeners_release(&run->listeners);
	if (result == 0)
		result = listeners_of_world(&run->runner, &run->listeners, error);
	if (result == 0)
		result = checks_listeners(&run->checks, &run->events, servers_list(all), &run->listeners,
					  &run->runner.plan.environment, error);
	servers_free(all);
	return result;
}

/* ---- the worlds ---- */

/* @kind  'w'; 's': a spare; 'e': used, about to end */
static struct slot *new_slot(const struct run *run, char kind, unsigned index)
{
	struct slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		abort();
	member_init(&slot->member);
	slot->index = index;
	slot->name = text_format("%s.%c%u", run->directory.id, kind, index);
	return slot;
}

/* In what `sbx ps` shows, and for who looks for it by name. */
static void rename_world(const struct run *run, struct slot *slot, char kind)
{
	text_free(&slot->name);
	slot->name = text_format("%s.%c%u", run->directory.id, kind, slot->index);
	member_rename(&slot->member, slot->name);
}

static struct slot *get_slot(struct run *run, unsigned index)
{
	if (!run->slots[index])
		run->slots[index] = new_slot(run, 'w', index);
	run->slot_count = MAX(run->slot_count, index + 1);
	return run->slots[index];
}

/* R's services that are `shared`: the world has their ports. */
static int share_services(const struct run *run, struct member_options *options, struct error *error)
{
	int result = 0;

	if (run->declared && run->spec.network != NETWORK_HOST)
		result = declared_shared_ports(servers_list(run->declared), &options->shared, error);
	return result < 0 || options->shared.count == 0
		       ? result
		       : member_connect(&run->runner, CONNECT_SHARER, &options->shared.fd, error);
}

/* Of a world in its place: what spares and used ones do is nothing that tests meet. */
static void journal_slot(struct run *run, struct slot *slot, enum journal_event event, const char *detail)
{
	if (run->slots[slot->index] != slot)
		return;
	slot->is_ready_told = event == JOURNAL_READY || (slot->is_ready_told && event != JOURNAL_START);
	journal_world(&run->directory, (int)slot->index, slot->name, event, detail);
}

static int start_world(struct run *run, struct slot *slot, struct error *error)
{
	struct member_options options = { .spec = &run->spec,
					  .name = slot->name,
					  .run = run->directory.id,
					  .index = (int)slot->index,
					  .count = run->options->workers,
					  .seed = &run->seed,
					  .log_fd = -1 };
	owned_text logs = run_directory_path(&run->directory, "w%u", slot->index);
	owned_fd log_fd = -1;
	struct graft *grafts = NULL;
	size_t graft_count = 0;
	owned_artifacts artifacts = { 0 };
	int result;

	artifacts_list(&run->runner, &run->events, run->options->project, &artifacts);
	result = artifacts_take_grafts(&run->runner, &artifacts, &grafts, &graft_count, error);
	if (result == 0)
		result = run_directory_make(&run->directory, logs, &log_fd, error);
	if (result == 0)
		result = read_servers(run, slot->index, false, &slot->list, error);
	if (result == 0) {
		servers_expect(slot->list, &run->listeners);
		result = servers_enter(slot->list, log_fd, &slot->member, &options, &slot->servers, error);
	}
	if (result == 0)
		result = share_services(run, &options, error);
	if (result < 0)
		return result;
	options.log_directory = logs;
	slot->generation = run->generation;
	slot->past = (struct unit_past){ 0 };
	again_past_release(&slot->again);
	slot->trouble_told = false;
	journal_slot(run, slot, JOURNAL_START, NULL);
	return member_begin(&slot->member, &options, grafts, graft_count, run->options->say, error);
}

static void end_world(struct run *run, struct slot *slot)
{
	if (slot->member.state != MEMBER_ABSENT)
		journal_slot(run, slot, JOURNAL_END, NULL);
	member_end(&slot->member);
	servers_release_world(slot->servers);
	servers_free(slot->list);
	slot->servers = NULL;
	slot->list = NULL;
}

static void free_slot(struct run *run, struct slot **slot)
{
	if (!*slot)
		return;
	end_world(run, *slot);
	free_slot(run, &(*slot)->aside);
	evidence_cause_release(&(*slot)->red);
	again_past_release(&(*slot)->again);
	text_free(&(*slot)->name);
	free(*slot);
	*slot = NULL;
}

static void take_harvest(struct run *run, const struct member *member, unsigned number)
{
	owned_artifacts artifacts = { 0 };

	artifacts_list(&run->runner, &run->events, run->options->project, &artifacts);
	harvest_take(&run->harvest, member, number, &artifacts, &run->events);
}

/* Whether what the tests of a world ask is gone: a service that ended, and did not leave its server behind. */
static bool is_hurt(const struct slot *slot, struct error *error)
{
	owned_listeners listeners = { 0 };

	if (slot->member.state != MEMBER_READY || servers_trouble(slot->servers, error) == 0)
		return false;
	return listeners_of_world(&slot->member, &listeners, NULL) < 0 ||
	       !servers_answer(slot->list, error->object, &listeners);
}

/* Said when it happens: the tests that fail until the world is given back are explained by it. */
static void tell_trouble(struct run *run, struct slot *slot)
{
	struct error error = { 0 };
	char text[2 * sizeof(error)];
	owned_text name = text_format("w%u", slot->index);
	owned_text output = NULL;
	owned_text line = NULL;
	enum advice which = ADVICE_SERVER_DIED;

	if (slot->trouble_told)
		return;
	if (slot->member.state == MEMBER_DEAD && slot->past.was_leased) {
		error = slot->member.error;
		which = ADVICE_WORLD_DIED;
	} else if (!is_hurt(slot, &error)) {
		return;
	}
	slot->trouble_told = true;
	output = text_format("its last output: %s", error.remedy[0] ? error.remedy : "none");
	error.remedy[0] = '\0';
	error_format(&error, text, sizeof(text));
	journal_slot(run, slot, JOURNAL_CRASH, text);
	line = advice_text(which, ADVICE_WORDS(name, text, output));
	run->options->say(line);
}

/* ---- spares ---- */

static void say_no_spare(const struct run *run, unsigned index, const struct error *error)
{
	char text[2 * sizeof(*error)];
	owned_text line = NULL;

	error_format(error, text, sizeof(text));
	line = text_format("w%u has no spare world, and the next test waits for one: %s", index, text);
	run->options->say(line);
}

/* Whoever asks next waits for a world that is made then. */
static void drop_spare(struct run *run, unsigned index, const struct error *error)
{
	if (error)
		say_no_spare(run, index, error);
	free_slot(run, &run->spares[index]);
}

/* What it cannot have now is said; the lease that needs it fails then if that is so still. */
static void start_spare(struct run *run, unsigned index)
{
	struct error error = { 0 };

	if (run->spares[index] || !run->is_frozen || run->has_ended || run->has_failed)
		return;
	run->spares[index] = new_slot(run, 's', index);
	if (start_world(run, run->spares[index], &error) < 0)
		drop_spare(run, index, &error);
}

/* It is to end, when there is time for it. Takes an empty place. */
static void retire(struct run *run, struct slot **slot)
{
	if (!*slot)
		return;
	run->used = reallocarray(run->used, run->used_count + 1, sizeof(struct slot *));
	if (!run->used)
		abort();
	run->used[run->used_count++] = *slot;
	rename_world(run, *slot, 'e');
	*slot = NULL;
}

/* For whom the next unit is to have one, by what is known now. */
static void start_spares(struct run *run)
{
	for (unsigned i = 0; i < run->slot_count; i++)
		if (run->slots[i] && run->slots[i]->holder && !run->slots[i]->aside &&
		    (run->slots[i]->will_want_aside ||
		     unit_choose(&run->options->units, &run->slots[i]->past) == UNIT_WORLD_FRESH))
			start_spare(run, i);
}

/* The next unit in that place is to have a world that nobody has used. A spare takes it, by name too, as it stands or
 * is on its way; the used one ends when the lease has what it waits for. */
static void replace_used(struct run *run, unsigned index)
{
	struct slot *used = run->slots[index];
	struct slot *spare = run->spares[index];

	if (spare && (spare->member.state == MEMBER_DEAD || spare->generation < run->generation)) {
		drop_spare(run, index, spare->member.state == MEMBER_DEAD ? &spare->member.error : NULL);
		spare = NULL;
	}
	if (!spare)
		spare = new_slot(run, 's', index);
	spare->leases = used->leases;
	journal_slot(run, used, JOURNAL_END, NULL);
	run->spares[index] = NULL;
	run->slots[index] = spare;
	retire(run, &used);
	rename_world(run, spare, 'w');
	if (spare->member.state != MEMBER_ABSENT)
		journal_slot(run, spare, JOURNAL_START, NULL);
	if (spare->member.state == MEMBER_READY)
		journal_slot(run, spare, JOURNAL_READY, NULL);
}

static void end_used(struct run *run)
{
	for (size_t i = 0; i < run->used_count; i++) {
		take_harvest(run, &run->used[i]->member, run->used[i]->index);
		free_slot(run, &run->used[i]);
	}
	run->used_count = 0;
}

static int freeze_for(struct run *run, unsigned after, struct error *error)
{
	int result;

	if (run->is_frozen && run->generation >= after)
		return 0;
	result = check_runner(run, error);
	if (result < 0)
		return result;
	journal_world(&run->directory, JOURNAL_RUNNER, run->runner_name, JOURNAL_FREEZE, NULL);
	result = freeze(run, error);
	journal_world(&run->directory, JOURNAL_RUNNER, run->runner_name, JOURNAL_THAW, NULL);
	return result;
}

/* In place, its servers running. What cannot be done so is a new world, since a half reset one would be nobody's. */
static void reset_world(struct run *run, struct slot *slot)
{
	owned_reset_answer answer = { 0 };
	owned_text what = NULL;
	owned_text line = NULL;
	owned_fd connection = -1;
	struct error error = { 0 };
	int result;

	/* What it wrote that is to be kept is gone afterwards. */
	take_harvest(run, &slot->member, slot->index);
	journal_world(&run->directory, (int)slot->index, slot->name, JOURNAL_RESET, NULL);
	result = member_connect(&slot->member, CONNECT_FREE, &connection, &error);
	if (result == 0)
		result = reset_ask(connection, RESET_ALL, &answer, &error);
	slot->past = (struct unit_past){ 0 };
	if (result >= 0) {
		what = reset_format(&answer);
		line = text_format("w%u reset: %s", slot->index, what);
		journal_world(&run->directory, (int)slot->index, slot->name, JOURNAL_READY, what);
	} else {
		char text[2 * sizeof(error)];

		error.remedy[0] = '\0';
		error_format(&error, text, sizeof(text));
		line = text_format("w%u gets a new world: %s", slot->index, text);
		end_world(run, slot);
	}
	run->options->say(line);
}

/* What stands between a lease and its world: gone a step towards. @return 1 it can be granted, 0 not yet, or -errno */
static int prepare_world(struct run *run, unsigned index, unsigned after, struct error *error)
{
	struct slot *slot = run->slots[index];
	int result = 0;

	if (slot->holder)
		return 0;
	if (unit_choose(&run->options->units, &slot->past) == UNIT_WORLD_FRESH) {
		replace_used(run, index);
		slot = run->slots[index];
	}
	if (slot->member.state == MEMBER_READY && (slot->generation < after || slot->trouble_told)) {
		/* It lacks what a setup project did since, or a server. */
		take_harvest(run, &slot->member, slot->index);
		end_world(run, slot);
	} else if (slot->trouble_told) {
		end_world(run, slot); /* its PID 1 is gone */
	} else if (slot->member.state == MEMBER_READY &&
		   unit_choose(&run->options->units, &slot->past) == UNIT_WORLD_RESET) {
		reset_world(run, slot);
	}
	switch (slot->member.state) {
	case MEMBER_READY:
		return 1;
	case MEMBER_STARTING:
	case MEMBER_WAITING:
		return 0;
	case MEMBER_DEAD:
		*error = slot->member.error;
		(void)error_context(error, "world w%u", slot->index);
		end_world(run, slot);
		return -MAX(error->number, 1);
	case MEMBER_ABSENT:
		break;
	}
	result = freeze_for(run, after, error);
	return result < 0 ? result : start_world(run, slot, error);
}

/* The same for a world that nobody has used, beside that of the place, which stays as it is. */
static int prepare_aside(struct run *run, unsigned index, unsigned after, struct error *error)
{
	struct slot *spare = run->spares[index];
	int result;

	if (run->slots[index]->holder)
		return 0;
	if (spare && spare->generation < after) {
		drop_spare(run, index, NULL);
		spare = NULL;
	}
	if (!spare) {
		result = freeze_for(run, after, error);
		if (result < 0)
			return result;
		spare = run->spares[index] = new_slot(run, 's', index);
		spare->is_awaited = true;
		return start_world(run, spare, error);
	}
	spare->is_awaited = true;
	if (spare->member.state == MEMBER_DEAD) {
		*error = spare->member.error;
		(void)error_context(error, "fresh world of w%u", index);
		return -MAX(error->number, 1);
	}
	return spare->member.state == MEMBER_READY;
}

/* ---- leases ---- */

static void refuse_lease(struct peer *peer, const struct error *error)
{
	struct lease_answer answer = { .version = LEASE_VERSION, .number = MAX(error->number, 1), .error = *error };

	(void)fd_send(peer->fd, &answer, sizeof(answer), NULL, 0);
	fd_close(&peer->fd);
}

static void grant_lease(struct run *run, struct peer *peer, struct slot *slot)
{
	struct lease_answer answer = { .version = LEASE_VERSION,
				       .worker = slot->index,
				       .workers = run->options->workers ? run->options->workers : run->slot_count };
	struct error error = { 0 };
	owned_fd connection = -1;
	bool is_fresh = peer->request.flags & LEASE_REQUEST_FRESH;
	struct slot *world = is_fresh ? run->spares[slot->index] : slot;

	if (!world->past.was_leased)
		blame_begin(&run->blame, &world->member);
	if (member_connect(&world->member, CONNECT_RESTRICTED, &connection, &error) < 0) {
		refuse_lease(peer, &error);
		return;
	}
	if (fd_send(peer->fd, &answer, sizeof(answer), &connection, 1) < 0) {
		fd_close(&peer->fd);
		return;
	}
	peer->kind = PEER_HOLDING;
	peer->slot = slot;
	peer->blamed = run->blame.sequence;
	slot->holder = peer;
	if (is_fresh) {
		slot->aside = world;
		slot->will_want_aside = false;
		run->spares[slot->index] = NULL;
	} else {
		slot->past.was_leased = true;
	}
	slot->leases++;
	journal_slot(run, slot, JOURNAL_LEASE, NULL);
	/* Once: the other worlds' are the same. While the test process begins. */
	if (!run->expense_told && slot->servers)
		expense_tell(slot->list, slot->servers, slot->member.launched.pid, run->spec.verbose,
			     run->options->say);
	run->expense_told = true;
}

/* One that no other is to have, a ready one first: so that as many worlds start at once as there are who wait. */
static struct slot *choose_slot(struct run *run, const struct peer *peer)
{
	unsigned count = run->options->workers ? MIN(run->options->workers, (unsigned)SLOTS_MAX) : SLOTS_MAX;

	if (peer->request.slot >= 0)
		return get_slot(run, (unsigned)peer->request.slot % count);
	for (unsigned i = 0; i < MIN(count, run->slot_count); i++) {
		struct slot *slot = get_slot(run, i);

		if (!slot->holder && !slot->is_promised && slot->member.state == MEMBER_READY)
			return slot;
	}
	for (unsigned i = 0; i < count; i++) {
		struct slot *slot = get_slot(run, i);

		if (!slot->holder && !slot->is_promised)
			return slot;
	}
	return NULL;
}

/* Grants what can be granted, the longest waiting first, and does what the others wait for. */
static void advance(struct run *run)
{
	for (unsigned i = 0; i < run->slot_count; i++)
		if (run->slots[i])
			run->slots[i]->is_promised = false;
	for (size_t i = 0; i < run->peer_count && !run->has_failed; i++) {
		struct peer *peer = run->peers[i];
		struct slot *slot;
		unsigned index;
		int result;

		if (peer->kind != PEER_WAITING || peer->fd < 0 || run->has_ended)
			continue;
		slot = choose_slot(run, peer);
		if (!slot)
			continue;
		index = slot->index;
		slot->is_promised = true;
		result = peer->request.flags & LEASE_REQUEST_FRESH
				 ? prepare_aside(run, index, peer->request.after, run->error)
				 : prepare_world(run, index, peer->request.after, run->error);
		if (result > 0)
			grant_lease(run, peer, run->slots[index]);
		/* The runner would go on for each test to find the same: the run has failed, and R ends with it. The
		 * lease stays unanswered, or the same would be said twice, and red tests after it. */
		if (result < 0)
			fail(run);
	}
	end_used(run);
	start_spares(run);
}

/* ---- what comes from R ---- */

static void begin_stop(struct run *run, uint64_t grace_ms);

/* What a world has told by now counts for the test that ended in it. */
static void hear_world(struct run *run, struct slot *slot)
{
	struct pollfd polled = { .fd = member_fd(&slot->member), .events = POLLIN };

	while (polled.fd >= 0 && poll(&polled, 1, 0) > 0) {
		member_hear(&slot->member, run->options->say);
		polled.fd = member_fd(&slot->member);
	}
	if (slot->member.state == MEMBER_READY && !slot->is_ready_told)
		journal_slot(run, slot, JOURNAL_READY, NULL);
	tell_trouble(run, slot);
}

static void hear_spare(struct run *run, unsigned index)
{
	struct slot *spare = run->spares[index];

	member_hear(&spare->member, run->options->say);
	if (spare->member.state == MEMBER_DEAD && !spare->is_awaited)
		drop_spare(run, index, &spare->member.error);
}

/* The world in which tests of that number run now; NULL: there is none. */
static struct slot *world_of(const struct run *run, int64_t number)
{
	struct slot *slot = number >= 0 && number < SLOTS_MAX ? run->slots[number] : NULL;

	return slot && slot->aside ? slot->aside : slot;
}

static void explain_red_test(struct run *run, const struct events_test *test)
{
	struct slot *slot = world_of(run, test->slot);
	struct error error = { 0 };
	owned_text name = NULL;
	owned_text line = NULL;

	if (!slot || test->ok)
		return;
	hear_world(run, slot);
	if (!slot->trouble_told)
		return;
	(void)servers_trouble(slot->servers, &error);
	name = text_format("w%u", slot->index);
	line = advice_text(ADVICE_TEST_SERVER_DIED,
			   ADVICE_WORDS(test->title, name, error.object[0] ? error.object : "its PID 1"));
	run->options->say(line);
}

/* Of a suite whose red tests are tried once more, in a fresh world. */
static void hear_try(struct run *run, const struct events_test *test, struct slot *slot)
{
	const char *tree = run->runner.plan.tree;

	if (test->is_fresh) {
		const struct again_case *item = again_decide(&run->again, test);
		owned_buffer line = { 0 };

		if (!item)
			return;
		again_write(item, &line);
		run_directory_log_event(&run->directory, line.bytes, line.length);
		return;
	}
	again_add(&slot->again, test, tree);
	if (test->ok || test->is_interrupted || test->retry < test->retries || slot->member.state != MEMBER_READY)
		return;
	slot->will_want_aside = true;
	again_suspect(&run->again, test, tree, &slot->again, &slot->member);
	again_take_blame(&run->again, test, &run->blame, slot->member.listing.row.id);
}

static void test_ended(void *argument, const struct events_test *test)
{
	struct run *run = argument;
	bool is_in_world = test->slot >= 0 && !is_runner_the_world(run);
	struct slot *slot = is_in_world ? world_of(run, test->slot) : NULL;

	if (slot && !test->ok && !test->is_interrupted)
		slot->past.was_red = true;
	if (slot && run->options->units.retry)
		hear_try(run, test, slot);
	if (slot || !is_in_world)
		evidence_note(&run->evidence, test, run->runner.plan.tree, slot ? &slot->red : &run->red);
	checks_test(&run->checks, test, clock_ms());
	explain_red_test(run, test);
	blame_tell_name(&run->blame, test, slot && slot->holder);
	if (run->options->hear_test && !run->options->hear_test(run->options->argument, test)) {
		signal_runner(run, SIGINT);
		begin_stop(run, run->spec.stop_timeout_ms);
	}
}

/* A test process stands still until its world has been looked at, and this is answered: hook.h section 4. */
static bool take_look(struct run *run, struct peer *peer, const char *line, size_t size)
{
	struct events_look look;
	owned_text answer = NULL;
	struct slot *slot;

	if (!run->options->blame || events_read_look(line, size, &look) < 0)
		return false;
	slot = world_of(run, look.slot);
	if (slot)
		blame_test(&run->blame, &slot->member, slot->index, look.test);
	answer = text_format("%lld\n", (long long)look.number);
	(void)!send(peer->fd, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
	text_free(&look.test);
	return true;
}

static void take_lines(struct run *run, struct peer *peer)
{
	char *start = peer->input.bytes;
	size_t left = peer->input.length;
	char *end;

	while (left > 0 && (end = memchr(start, '\n', left)) != NULL) {
		size_t size = (size_t)(end - start);

		if (!take_look(run, peer, start, size)) {
			journal_runner(&run->directory, start, size);
			events_take(&run->events, start, size, test_ended, run);
		}
		if (run->events.output_id) {
			evidence_add_output(&run->evidence, run->events.output_id, run->events.output);
			text_free(&run->events.output_id);
		}
		if (!run->has_failed &&
		    checks_events(&run->checks, &run->events, &run->runner.plan.environment, run->error) < 0)
			fail(run);
		left -= size + 1;
		start = end + 1;
	}
	memmove(peer->input.bytes, start, left);
	peer->input.length = left;
	if (left > EVENTS_LINE_MAX)
		fd_close(&peer->fd);
}

static void take_request(struct peer *peer)
{
	if (peer->input.length < sizeof(peer->request))
		return;
	memcpy(&peer->request, peer->input.bytes, sizeof(peer->request));
	if (peer->request.version != LEASE_VERSION)
		fd_close(&peer->fd);
	else
		peer->kind = PEER_WAITING;
}

static void take_input(struct run *run, struct peer *peer)
{
	uint32_t magic;

	if (peer->kind == PEER_NEW && peer->input.length >= sizeof(magic)) {
		memcpy(&magic, peer->input.bytes, sizeof(magic));
		if (magic != LEASE_MAGIC)
			peer->kind = PEER_EVENTS;
	}
	if (peer->kind == PEER_EVENTS)
		take_lines(run, peer);
	else if (peer->kind == PEER_NEW)
		take_request(peer);
}

static void hear_peer(struct run *run, struct peer *peer)
{
	char bytes[64 << 10];

	/* All that is there: what a runner told before it asked for a lease has to be known first. */
	while (peer->fd >= 0) {
		ssize_t got = RETRY_EINTR(recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT));

		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			fd_close(&peer->fd);
			return;
		}
		text_buffer_add(&peer->input, bytes, (size_t)got);
		take_input(run, peer);
	}
}

static void accept_peers(struct run *run)
{
	for (;;) {
		owned_fd fd = accept4(run->runner.annex_fd, NULL, NULL, SOCK_CLOEXEC);
		struct peer *peer;

		if (fd < 0 || run->peer_count >= PEERS_MAX)
			return;
		peer = calloc(1, sizeof(*peer));
		run->peers = reallocarray(run->peers, run->peer_count + 1, sizeof(struct peer *));
		if (!peer || !run->peers)
			abort();
		peer->fd = fd_take(&fd);
		run->peers[run->peer_count++] = peer;
	}
}

/* With the servers that who looks into it later is to have: those that are shared as well, and R's, which the runner
 * started. @cause  NULL: at the run's end */
static void keep_world(struct run *run, const struct member *member, int worker, struct evidence_cause *cause,
		       bool has_failed)
{
	owned_text logs = worker == JOURNAL_RUNNER ? NULL : text_format("w%d", worker);
	const struct service_list *services = NULL;
	struct servers *all = NULL;

	if (read_servers(run, (unsigned)MAX(worker, 0), true, &all, NULL) == 0) {
		servers_expect(all, &run->listeners);
		services = servers_list(all);
	}
	if (cause)
		evidence_keep(&run->evidence, member, services, worker, logs, cause);
	else
		evidence_keep_last(&run->evidence, member, services, worker, logs, has_failed);
	servers_free(all);
}

static void keep_slot(struct run *run, struct slot *slot)
{
	if (slot->red.id)
		keep_world(run, &slot->member, (int)slot->index, &slot->red, false);
}

/* Worlds that a red test has left, before the next one comes; R, which nobody leaves, at once. */
static void keep_evidence(struct run *run)
{
	if (run->red.id)
		keep_world(run, &run->runner, JOURNAL_RUNNER, &run->red, false);
	for (size_t i = 0; i < run->peer_count; i++)
		if (run->peers[i]->fd < 0 && run->peers[i]->slot)
			keep_slot(run, world_of(run, run->peers[i]->slot->index));
}

static void forget_peers(struct run *run)
{
	size_t kept = 0;

	for (size_t i = 0; i < run->peer_count; i++) {
		struct peer *peer = run->peers[i];

		if (peer->fd >= 0) {
			run->peers[kept++] = peer;
			continue;
		}
		/* Its payload ends with its connection to the world's PID 1. */
		if (peer->slot) {
			journal_slot(run, peer->slot, JOURNAL_FREE, NULL);
			blame_lease(&run->blame, &world_of(run, peer->slot->index)->member, peer->slot->index,
				    peer->blamed);
			peer->slot->holder = NULL;
			retire(run, &peer->slot->aside);
		}
		text_buffer_release(&peer->input);
		free(peer);
	}
	run->peer_count = kept;
}

/* ---- signals and time ---- */

static void start_timer(const struct run *run, uint64_t ms)
{
	struct itimerspec timer = { .it_value = { .tv_sec = (time_t)(ms / 1000),
						  .tv_nsec = (long)(ms % 1000) * 1000000 } };

	(void)timerfd_settime(run->timer_fd, 0, &timer, NULL);
}

static void begin_stop(struct run *run, uint64_t grace_ms)
{
	if (run->is_stopping)
		return;
	run->is_stopping = true;
	start_timer(run, MAX(grace_ms, UINT64_C(1)));
}

/* There is nobody yet to pass a signal to. */
static void give_up_start(struct run *run, int number, const char *cause)
{
	(void)error_set(run->error, .number = number, .step = "start the services", .cause = cause);
	fail(run);
}

static void hear_timer(struct run *run)
{
	uint64_t expirations;

	(void)!read(run->timer_fd, &expirations, sizeof(expirations));
	if (!run->has_begun) {
		give_up_start(run, ETIMEDOUT, "the time of --timeout is over");
		return;
	}
	if (run->is_stopping) {
		signal_runner(run, SIGKILL);
		return;
	}
	run->timed_out = true;
	run->options->say("the time of --timeout is over: the runner is told to end");
	signal_runner(run, run->spec.stop_signal);
	begin_stop(run, run->spec.stop_timeout_ms);
}

/* Ctrl-Z: R first, then this process, whose shell waits for that; and both go on when the shell says so. With STOP,
 * since R's processes are a session of their own, where the kernel drops a TSTP (setpgid(2): an orphaned process
 * group). */
static void pause_all(const struct run *run)
{
	signal_runner(run, SIGSTOP);
	(void)kill(getpid(), SIGSTOP);
	signal_runner(run, SIGCONT);
}

static void hear_signals(struct run *run)
{
	struct signalfd_siginfo information;

	while (read(run->signal_fd, &information, sizeof(information)) == (ssize_t)sizeof(information)) {
		if (!run->has_begun) {
			give_up_start(run, ECANCELED, "it was interrupted");
			continue;
		}
		if (information.ssi_signo == SIGTSTP) {
			pause_all(run);
			continue;
		}
		signal_runner(run, (int)information.ssi_signo);
		if (information.ssi_signo == SIGTERM || information.ssi_signo == SIGHUP)
			begin_stop(run, run->is_interrupted ? MIN(run->spec.stop_timeout_ms, (uint64_t)CANCEL_MS)
							    : run->spec.stop_timeout_ms);
		run->is_interrupted |= information.ssi_signo == SIGINT;
	}
}

static int take_signals(struct run *run, sigset_t *ret_before, struct error *error)
{
	static const int heard[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP };
	struct sigaction action;
	sigset_t taken;

	sigemptyset(&taken);
	for (size_t i = 0; i < ARRAY_SIZE(heard); i++)
		if (sigaction(heard[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&taken, heard[i]);
	run->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	run->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (run->signal_fd < 0 || run->timer_fd < 0)
		return error_set(error, .number = errno, .step = "listen for signals");
	(void)sigprocmask(SIG_BLOCK, &taken, ret_before);
	(void)signal(SIGPIPE, SIG_IGN);
	return 0;
}

/* ---- the loop ---- */

static size_t prepare_poll(const struct run *run, struct pollfd *polled)
{
	size_t count = 0;

	polled[count++] = (struct pollfd){ .fd = run->signal_fd, .events = POLLIN };
	polled[count++] = (struct pollfd){ .fd = run->timer_fd, .events = POLLIN };
	polled[count++] = (struct pollfd){ .fd = member_fd(&run->runner), .events = POLLIN };
	polled[count++] = (struct pollfd){ .fd = run->runner.annex_fd, .events = POLLIN };
	for (size_t i = 0; i < run->peer_count; i++)
		polled[count++] = (struct pollfd){ .fd = run->peers[i]->fd, .events = POLLIN };
	for (unsigned i = 0; i < run->slot_count; i++)
		polled[count++] = (struct pollfd){ .fd = run->slots[i] ? member_fd(&run->slots[i]->member) : -1,
						   .events = POLLIN };
	for (unsigned i = 0; i < run->slot_count; i++)
		polled[count++] = (struct pollfd){ .fd = run->spares[i] ? member_fd(&run->spares[i]->member) : -1,
						   .events = POLLIN };
	for (unsigned i = 0; i < run->slot_count; i++)
		polled[count++] = (struct pollfd){ .fd = run->slots[i] && run->slots[i]->aside
								 ? member_fd(&run->slots[i]->aside->member)
								 : -1,
						   .events = POLLIN };
	return count;
}

static void step(struct run *run)
{
	struct pollfd polled[FIXED_POLLED + PEERS_MAX + 3 * SLOTS_MAX];
	size_t peers = run->peer_count;
	unsigned slots = run->slot_count;

	if (poll(polled, prepare_poll(run, polled), -1) < 0)
		return;
	/* Hook and reporter before leases: what they told before a lease, or its end, must count for it. poll(2) looks
	 * at one after the other, so they are read even where it saw nothing. */
	for (size_t i = 0; i < peers; i++)
		if (run->peers[i]->kind == PEER_EVENTS)
			hear_peer(run, run->peers[i]);
	for (size_t i = 0; i < peers; i++)
		if (polled[FIXED_POLLED + i].revents && run->peers[i]->fd >= 0 && run->peers[i]->kind != PEER_EVENTS)
			hear_peer(run, run->peers[i]);
	for (unsigned i = 0; i < slots; i++)
		if (polled[FIXED_POLLED + peers + i].revents && run->slots[i])
			hear_world(run, run->slots[i]);
	for (unsigned i = 0; i < slots; i++)
		if (polled[FIXED_POLLED + peers + slots + i].revents && run->spares[i])
			hear_spare(run, i);
	for (unsigned i = 0; i < slots; i++)
		if (polled[FIXED_POLLED + peers + 2UL * slots + i].revents && run->slots[i] && run->slots[i]->aside)
			hear_world(run, run->slots[i]->aside);
	if (polled[2].revents)
		member_hear(&run->runner, run->options->say);
	if (run->runner.state == MEMBER_READY && !run->has_begun && !run->has_failed &&
	    start_command(run, run->error) < 0)
		fail(run);
	if (polled[3].revents)
		accept_peers(run);
	if (polled[1].revents)
		hear_timer(run);
	if (polled[0].revents)
		hear_signals(run);
	keep_evidence(run);
	forget_peers(run);
	rest_services(run);
	if (run->runner.state == MEMBER_DEAD && !run->has_ended && !run->has_failed) {
		*run->error = run->runner.error;
		fail(run);
	}
	advance(run);
}

/* ---- the end ---- */

/* Green without isolation would be the worst that can come of this (P7). */
static int check_isolation(const struct run *run, struct error *error)
{
	owned_text worlds = NULL;
	unsigned used = 0;

	for (unsigned i = 0; i < run->slot_count; i++)
		used += run->slots[i] && run->slots[i]->leases > 0;
	if (run->events.refusal)
		return error_set(error, .number = ENOTSUP, .step = "spread the tests over worlds",
				 .cause = run->events.refusal, .remedy = run->events.refusal_remedy);
	if (run->options->shard.count > 0 && process_exit_code(run->status) == 0 &&
	    !shard_is_taken(&run->options->shard, &run->events.arguments))
		return error_set(error, .number = ENOTSUP, .step = "run a shard of the tests",
				 .cause = "no runner took --shard, so each machine would have run all of them",
				 .remedy = "sbx test --shard is for Playwright, Jest, Vitest and --items");
	if (is_runner_the_world(run) || run->events.is_alone || used > 0 || run->events.hosted_begun > 0 ||
	    process_exit_code(run->status) != 0)
		return 0;
	worlds = run->options->workers ? text_format("%u", run->options->workers) : text_duplicate("N");
	if (!run->events.has_hello)
		return advice_refuse(ADVICE_NO_RUNNER, ADVICE_WORDS(worlds), error);
	/* Nothing ran: --list, no tests found. */
	return run->events.tests_ended == 0 ? 0 : advice_refuse(ADVICE_NO_WORLD, ADVICE_WORDS(worlds), error);
}

/* What is to be kept of the worlds as they are when the runner has ended. */
static void keep_last(struct run *run)
{
	bool is_told_to_end = run->is_interrupted || (run->is_stopping && !run->timed_out);
	bool has_failed = process_exit_code(run->status) != 0 && !run->events.has_config && !is_told_to_end;

	for (unsigned i = 0; i < run->slot_count; i++) {
		struct slot *slot = run->slots[i];

		if (!slot)
			continue;
		keep_slot(run, slot);
		if (slot->leases > 0)
			keep_world(run, &slot->member, (int)i, NULL, has_failed);
	}
	if (is_runner_the_world(run))
		keep_world(run, &run->runner, JOURNAL_RUNNER, NULL, has_failed);
}

static void harvest_all(struct run *run)
{
	for (unsigned i = 0; i < run->slot_count; i++)
		if (run->slots[i])
			take_harvest(run, &run->slots[i]->member, i);
	take_harvest(run, &run->runner, HARVEST_WORLDS_MAX - 1);
	harvest_finish(&run->harvest, &run->runner);
}

static bool is_red_by_fresh_only(const struct run *run)
{
	return run->options->units.retry == UNIT_RETRY_RED && again_count(&run->again, AGAIN_PASSES_ONLY_FRESH) > 0;
}

static void finish(struct run *run, int *ret_exit_code)
{
	struct error error = { 0 };
	owned_artifacts artifacts = { 0 };

	if (run->options->without_artifacts) {
		*ret_exit_code = process_exit_code(run->status);
		return;
	}
	artifacts_list(&run->runner, &run->events, run->options->project, &artifacts);
	if (artifacts_copy_out(&run->runner, &artifacts, &error) < 0) {
		char text[2 * sizeof(error)];
		owned_text line = NULL;

		error_format(&error, text, sizeof(text));
		line = text_format("artifacts are not complete: %s", text);
		run->options->say(line);
	}
	artifacts_tell_outside(&run->runner, &artifacts, run->options->say);
	harvest_all(run);
	keep_last(run);
	blame_tell(&run->blame);
	checks_end(&run->checks, &run->events);
	*ret_exit_code = run->timed_out ? EXIT_TIMED_OUT : process_exit_code(run->status);
	if (*ret_exit_code == 0 && is_red_by_fresh_only(run))
		*ret_exit_code = EXIT_OF_RED_TESTS;
}

static void release(struct run *run)
{
	for (size_t i = 0; i < run->peer_count; i++)
		fd_close(&run->peers[i]->fd);
	forget_peers(run);
	free(run->peers);
	/* All at once, so that the kernel's work is done side by side. */
	for (unsigned i = 0; i < run->slot_count; i++) {
		if (run->slots[i])
			fd_close(&run->slots[i]->member.launched.control_fd);
		if (run->spares[i])
			fd_close(&run->spares[i]->member.launched.control_fd);
	}
	for (unsigned i = 0; i < run->slot_count; i++) {
		free_slot(run, &run->slots[i]);
		free_slot(run, &run->spares[i]);
	}
	free(run->used); /* advance() has ended them */
	member_end(&run->runner);
	evidence_cause_release(&run->red);
	job_release_files(&run->volumes);
	servers_release_world(run->runner_services);
	servers_free(run->declared);
	fd_close(&run->runner_log_fd);
	listeners_release(&run->listeners);
	checks_release(&run->checks);
	blame_release(&run->blame);
	harvest_release(&run->harvest);
	events_release(&run->events);
	seed_release(&run->seed);
	text_free(&run->runner_name);
	fd_close(&run->signal_fd);
	fd_close(&run->timer_fd);
	run_directory_remove_seeds(&run->directory);
}

/* The run has failed while its runner goes on: what that has done by now is there for somebody to look at. */
static void stop_runner(struct run *run)
{
	int ignored;

	if (run->runner.state != MEMBER_READY || !run->has_begun)
		return;
	if (!run->has_ended) {
		signal_runner(run, run->spec.stop_signal);
		begin_stop(run, MIN(run->spec.stop_timeout_ms, (uint64_t)CANCEL_MS));
	}
	while (!run->has_ended && run->runner.state == MEMBER_READY)
		step(run);
	finish(run, &ignored);
}

static int run_loop(struct run *run, struct error *error)
{
	int result = start_runner(run, error);

	if (result < 0)
		return result;
	journal_begin(&run->directory, run->runner.plan.tree, &run->spec.payload, run->options->workers,
		      is_runner_the_world(run), &run->options->shard);
	journal_world(&run->directory, JOURNAL_RUNNER, run->runner_name, JOURNAL_START, NULL);
	if (run->spec.timeout_ms > 0)
		start_timer(run, run->spec.timeout_ms);
	while (!run->has_ended && !run->has_failed)
		step(run);
	if (run->has_failed)
		stop_runner(run);
	return run->has_failed ? -MAX(run->error->number, 1) : 0;
}

int run_suite(const struct run_options *options, int *ret_exit_code, struct error *error)
{
	struct run run = { .options = options,
			   .spec = *options->spec,
			   .directory = RUN_DIRECTORY_NONE,
			   .harvest = HARVEST_NONE,
			   .runner_log_fd = -1,
			   .signal_fd = -1,
			   .timer_fd = -1,
			   .error = error };
	sigset_t before;
	int result;

	*ret_exit_code = EXIT_SBX_FAILED;
	checks_init(&run.checks, &run.spec, options->workers, options->say);
	result = checks_command(&run.checks, error);
	if (result < 0)
		return result;
	member_init(&run.runner);
	run.harvest.directory = &run.directory;
	run.harvest.say = options->say;
	run.evidence = (struct evidence){
		.mode = run.spec.keep, .directory = &run.directory, .events = &run.events, .say = options->say
	};
	run.blame = (struct blame){ .is_wanted = options->blame, .directory = &run.directory, .say = options->say };
	/* R and its PID 1 stay until the artifacts are copied out of it. */
	run.spec.keep = KEEP_ALWAYS;
	result = run_directory_open(&run.directory, error);
	if (result < 0)
		return result;
	run.runner_name = text_format("%s.r", run.directory.id);
	(void)sigprocmask(SIG_SETMASK, NULL, &before);
	result = take_signals(&run, &before, error);
	if (result == 0)
		result = run_loop(&run, error);
	if (result == 0) {
		finish(&run, ret_exit_code);
		result = check_isolation(&run, error);
	}
	journal_end(&run.directory, result < 0 ? spawn_exit_code(error) : *ret_exit_code);
	release(&run);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (options->bundle_directory)
		evidence_bundle(&run.evidence, options->bundle_directory);
	again_tell(&run.again, is_red_by_fresh_only(&run), options->say);
	again_release(&run.again);
	evidence_tell(&run.evidence);
	evidence_release(&run.evidence);
	run_directory_close(&run.directory);
	if (result < 0)
		/* A runner that does not exist, or cannot be executed, has a status of its own. */
		*ret_exit_code = spawn_exit_code(error);
	return result;
}
