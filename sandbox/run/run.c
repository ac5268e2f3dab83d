/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. This process supervises; it owns all worlds, and everything ends with it.
 *
 * World R holds the runner, with the caller's own descriptors. The hook that is loaded into the runner (hook.h) makes
 * of each test process that the runner forks a lease: a client inside R (lease.h) that connects to the one socket R
 * has, and starts the test process in the world it is given. Before the first of them R is *frozen*: all its processes
 * are stopped for a moment, its databases and files copied to the run's directory. That seed is the start of each
 * world, in which the servers are started anew. So what globalSetup and setup projects did is there N times, on the
 * same ports. World R is runner.c, its freeze freeze.c, a world slot.c, all of them and their spares slots.c.
 *
 * The loop waits for: signals, the time limit, R's PID 1, R's socket and what connected to it, the worlds' PID 1s.
 * After each event advance() looks whether a waiting lease can be granted or what has to be done for it. */
#include "sandbox/run/run.h"

#include <errno.h>
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
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/advice.h"
#include "sandbox/run/again.h"
#include "sandbox/run/annotations.h"
#include "sandbox/run/artifacts.h"
#include "sandbox/run/blame.h"
#include "sandbox/run/checks.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/events.h"
#include "sandbox/run/evidence.h"
#include "sandbox/run/expense.h"
#include "sandbox/run/freeze.h"
#include "sandbox/run/harvest.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/lease.h"
#include "sandbox/run/runner.h"
#include "sandbox/run/servers.h"
#include "sandbox/run/slots.h"
#include "sandbox/worker/spawn.h"

enum {
	PEERS_MAX = 1024,
	FIXED_POLLED = 4, /* signals, timer, R, R's socket */
	/* A job that is cancelled on GitHub gets SIGINT, SIGTERM 7.5 s later, and SIGKILL 2.5 s after that: the copies
	 * of the artifacts must be whole by then. */
	CANCEL_MS = 1000,
	/* npm passes a Ctrl-C on to what has it already, from the terminal: those are one. As long as Playwright's. */
	SAME_INTERRUPT_MS = 1000,
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

struct run {
	const struct run_options *options;
	struct spec spec; /* the options', in the shape of the worlds; borrows all texts */
	struct run_directory directory;
	struct runner runner; /* world R */
	struct freeze freeze;
	struct slots slots;
	struct peer **peers; /* in the order in which they came */
	size_t peer_count;
	bool expense_told;
	struct evidence evidence;
	struct evidence_cause red; /* of R */
	struct again again;
	struct harvest harvest;
	struct checks checks;
	struct blame blame;
	struct annotations annotations;

	int signal_fd;
	int timer_fd;
	bool is_stopping;
	bool is_interrupted;	 /* by SIGINT */
	uint64_t interrupted_ms; /* by the first one */
	bool is_impatient;	 /* and by a second one */
	bool timed_out;
	bool has_failed;
	struct error *error;
};

static void fail(struct run *run)
{
	run->has_failed = true;
}

/* ---- the worlds ---- */

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
				       .workers = run->options->workers ? run->options->workers : run->slots.count };
	struct error error = { 0 };
	owned_fd connection = -1;
	bool is_fresh = peer->request.flags & LEASE_REQUEST_FRESH;
	struct slot *world = is_fresh ? run->slots.spares[slot->index] : slot;

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
	slot->is_held = true;
	if (is_fresh) {
		slot->aside = world;
		slot->will_want_aside = false;
		run->slots.spares[slot->index] = NULL;
	} else {
		slot->past.was_leased = true;
	}
	slot->leases++;
	slot_journal(slot, JOURNAL_LEASE, NULL);
	/* Once: the other worlds' are the same. While the test process begins. */
	if (!run->expense_told && slot->servers)
		expense_tell(slot->list, slot->servers, slot->member.launched.pid, run->spec.verbose,
			     run->options->say);
	run->expense_told = true;
}

/* Grants what can be granted, the longest waiting first, and does what the others wait for. */
static void advance(struct run *run)
{
	slots_begin_choice(&run->slots);
	for (size_t i = 0; i < run->peer_count && !run->has_failed; i++) {
		struct peer *peer = run->peers[i];
		struct slot *slot;
		unsigned index;
		int result;

		if (peer->kind != PEER_WAITING || peer->fd < 0 || run->runner.has_ended)
			continue;
		slot = slots_choose(&run->slots, peer->request.slot);
		if (!slot)
			continue;
		index = slot->index;
		result = peer->request.flags & LEASE_REQUEST_FRESH
				 ? slots_prepare_aside(&run->slots, index, peer->request.after, run->error)
				 : slots_prepare(&run->slots, index, peer->request.after, run->error);
		if (result > 0)
			grant_lease(run, peer, run->slots.items[index]);
		/* The runner would go on for each test to find the same: the run has failed, and R ends with it. The
		 * lease stays unanswered, or the same would be said twice, and red tests after it. */
		if (result < 0)
			fail(run);
	}
	slots_end_used(&run->slots);
	if (!run->runner.has_ended && !run->has_failed)
		slots_start_spares(&run->slots);
}

/* ---- what comes from R ---- */

static void begin_stop(struct run *run, uint64_t grace_ms);

static void explain_red_test(struct run *run, const struct events_test *test)
{
	struct slot *slot = slots_now(&run->slots, test->slot);
	struct error error = { 0 };
	owned_text name = NULL;
	owned_text line = NULL;

	if (!slot || test->ok)
		return;
	slot_hear(slot);
	if (!slot->trouble_told)
		return;
	(void)servers_trouble(slot->servers, &error);
	name = text_format("w%u", slot->index);
	line = advice_text(ADVICE_TEST_SERVER_DIED,
			   ADVICE_WORDS(test->title, name, error.object[0] ? error.object : "its PID 1"));
	run->options->say(line);
}

/* Asked of its world while that is as the test left it. */
static void explain_refused(struct run *run, const struct events_test *test, const struct slot *slot)
{
	uint16_t port = slot && !test->ok ? checks_refused_port(&run->checks, test->message) : 0;
	owned_listeners world = { 0 };
	owned_text where = NULL;

	if (port == 0 || slot->member.state != MEMBER_READY || slot->trouble_told ||
	    listeners_of_world(&slot->member, &world, NULL) < 0)
		return;
	where = text_format("w%u", slot->index);
	checks_nobody(&run->checks, port, &world, where);
}

/* Of a suite whose red tests are tried once more, in a fresh world. */
static void hear_try(struct run *run, const struct events_test *test, struct slot *slot)
{
	const char *tree = run->runner.member.plan.tree;

	if (test->is_fresh) {
		const struct again_case *item = again_decide(&run->again, test);

		if (item)
			again_log(item, &run->directory);
		return;
	}
	again_add(&slot->again, test, tree);
	if (test->ok || test->is_interrupted || test->retry < test->retries || slot->member.state != MEMBER_READY)
		return;
	slot->will_want_aside = true;
	again_suspect(&run->again, test, tree, &slot->again, &slot->member);
	again_take_blame(&run->again, test, &slot->again, &run->blame, slot->member.listing.row.id);
}

static void test_ended(void *argument, const struct events_test *test)
{
	struct run *run = argument;
	bool is_in_world = test->slot >= 0 && !runner_is_the_world(&run->runner);
	struct slot *slot = is_in_world ? slots_now(&run->slots, test->slot) : NULL;

	if (slot && !test->ok && !test->is_interrupted)
		slot->past.was_red = true;
	if (slot && run->options->units.retry)
		hear_try(run, test, slot);
	if (slot || !is_in_world)
		evidence_note(&run->evidence, test, run->runner.member.plan.tree, slot ? &slot->red : &run->red);
	checks_test(&run->checks, test, clock_ms());
	explain_red_test(run, test);
	explain_refused(run, test, slot);
	annotations_hear(&run->annotations, test);
	blame_tell_name(&run->blame, test, slot && slot->is_held);
	if (run->options->hear_test && !run->options->hear_test(run->options->argument, test)) {
		runner_signal(&run->runner, SIGINT);
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
	slot = slots_now(&run->slots, look.slot);
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
			events_take(&run->runner.events, start, size, test_ended, run);
		}
		if (run->runner.events.output_id) {
			evidence_add_output(&run->evidence, run->runner.events.output_id, run->runner.events.output);
			text_free(&run->runner.events.output_id);
		}
		if (!run->has_failed && checks_events(&run->checks, &run->runner.events,
						      &run->runner.member.plan.environment, run->error) < 0)
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
		owned_fd fd = accept4(run->runner.member.annex_fd, NULL, NULL, SOCK_CLOEXEC);
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

	if (runner_read_servers(&run->runner, (unsigned)MAX(worker, 0), true, &all, NULL) == 0) {
		servers_expect(all, &run->runner.listeners);
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
		keep_world(run, &run->runner.member, JOURNAL_RUNNER, &run->red, false);
	for (size_t i = 0; i < run->peer_count; i++)
		if (run->peers[i]->fd < 0 && run->peers[i]->slot)
			keep_slot(run, slots_now(&run->slots, run->peers[i]->slot->index));
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
			slot_journal(peer->slot, JOURNAL_FREE, NULL);
			blame_lease(&run->blame, &slots_now(&run->slots, peer->slot->index)->member, peer->slot->index,
				    peer->blamed);
			peer->slot->is_held = false;
			slots_retire(&run->slots, &peer->slot->aside);
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
	run->is_stopping = run->checks.is_ending = true;
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
	if (!run->runner.has_begun) {
		give_up_start(run, ETIMEDOUT, "the time of --timeout is over");
		return;
	}
	if (run->is_stopping) {
		runner_signal(&run->runner, SIGKILL);
		return;
	}
	run->timed_out = true;
	run->options->say("the time of --timeout is over: the runner is told to end");
	runner_signal(&run->runner, run->spec.stop_signal);
	begin_stop(run, run->spec.stop_timeout_ms);
}

/* Ctrl-Z: R first, then this process, whose shell waits for that; and both go on when the shell says so. With STOP,
 * since R's processes are a session of their own, where the kernel drops a TSTP (setpgid(2): an orphaned process
 * group). */
static void pause_all(const struct run *run)
{
	runner_signal(&run->runner, SIGSTOP);
	(void)kill(getpid(), SIGSTOP);
	runner_signal(&run->runner, SIGCONT);
}

/* The second one is of somebody who does not want to wait for what the first began. */
static void hear_interrupt(struct run *run)
{
	uint64_t now_ms = clock_ms();

	if (!run->is_interrupted) {
		run->interrupted_ms = now_ms;
	} else if (now_ms - run->interrupted_ms >= SAME_INTERRUPT_MS && !run->is_impatient) {
		run->is_impatient = run->is_stopping = true;
		start_timer(run, MIN(run->spec.stop_timeout_ms, (uint64_t)CANCEL_MS));
	}
	run->is_interrupted = true;
}

static void hear_signals(struct run *run)
{
	struct signalfd_siginfo information;

	while (read(run->signal_fd, &information, sizeof(information)) == (ssize_t)sizeof(information)) {
		if (!run->runner.has_begun) {
			give_up_start(run, ECANCELED, "it was interrupted");
			continue;
		}
		if (information.ssi_signo == SIGTSTP) {
			pause_all(run);
			continue;
		}
		run->checks.is_ending = true;
		runner_signal(&run->runner, (int)information.ssi_signo);
		if (information.ssi_signo == SIGTERM || information.ssi_signo == SIGHUP)
			begin_stop(run, run->is_interrupted ? MIN(run->spec.stop_timeout_ms, (uint64_t)CANCEL_MS)
							    : run->spec.stop_timeout_ms);
		if (information.ssi_signo == SIGINT)
			hear_interrupt(run);
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
	polled[count++] = (struct pollfd){ .fd = member_fd(&run->runner.member), .events = POLLIN };
	polled[count++] = (struct pollfd){ .fd = run->runner.member.annex_fd, .events = POLLIN };
	for (size_t i = 0; i < run->peer_count; i++)
		polled[count++] = (struct pollfd){ .fd = run->peers[i]->fd, .events = POLLIN };
	return count + slots_poll(&run->slots, polled + count);
}

static void step(struct run *run)
{
	struct pollfd polled[FIXED_POLLED + PEERS_MAX + SLOTS_POLLED_MAX];
	size_t peers = run->peer_count;
	unsigned places = run->slots.count;

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
	slots_hear(&run->slots, polled + FIXED_POLLED + peers, places);
	if (polled[2].revents)
		member_hear(&run->runner.member, run->options->say);
	if (run->runner.member.state == MEMBER_READY && !run->runner.has_begun && !run->has_failed &&
	    runner_start_command(&run->runner, run->error) < 0)
		fail(run);
	if (polled[3].revents)
		accept_peers(run);
	if (polled[1].revents)
		hear_timer(run);
	if (polled[0].revents)
		hear_signals(run);
	keep_evidence(run);
	forget_peers(run);
	runner_rest_services(&run->runner);
	if (run->runner.member.state == MEMBER_DEAD && !run->runner.has_ended && !run->has_failed) {
		*run->error = run->runner.member.error;
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

	for (unsigned i = 0; i < run->slots.count; i++)
		used += run->slots.items[i] && run->slots.items[i]->leases > 0;
	if (run->runner.events.refusal)
		return error_set(error, .number = ENOTSUP, .step = "spread the tests over worlds",
				 .cause = run->runner.events.refusal, .remedy = run->runner.events.refusal_remedy);
	if (run->options->shard.count > 0 && process_exit_code(run->runner.status) == 0 &&
	    !shard_is_taken(&run->options->shard, &run->runner.events.arguments))
		return error_set(error, .number = ENOTSUP, .step = "run a shard of the tests",
				 .cause = "no runner took --shard, so each machine would have run all of them",
				 .remedy = "sbx test --shard is for Playwright, Jest, Vitest and --items");
	if (runner_is_the_world(&run->runner) || run->runner.events.is_alone || used > 0 ||
	    run->runner.events.hosted_begun > 0 || process_exit_code(run->runner.status) != 0)
		return 0;
	worlds = run->options->workers ? text_format("%u", run->options->workers) : text_duplicate("the");
	if (events_is_idle(&run->runner.events, &run->spec.payload))
		return 0;
	if (!run->runner.events.has_hello && run->runner.events.idle.count > 0) {
		owned_text idle = text_join_words(&run->runner.events.idle);

		return advice_refuse(ADVICE_ONLY_NO_TEST_COMMAND, ADVICE_WORDS(worlds, idle), error);
	}
	if (!run->runner.events.has_hello)
		return advice_refuse(ADVICE_NO_RUNNER, ADVICE_WORDS(worlds), error);
	if (run->runner.events.tests_ended > 0)
		return advice_refuse(ADVICE_NO_WORLD, ADVICE_WORDS(worlds), error);
	/* Nothing ran: --list, no tests found. */
	return events_may_have_had_no_tests(&run->runner.events)
		       ? 0
		       : advice_refuse(ADVICE_NO_TEST, ADVICE_WORDS(worlds, run->runner.events.runner), error);
}

/* What is to be kept of the worlds as they are when the runner has ended. */
static void keep_last(struct run *run)
{
	bool is_told_to_end = run->is_interrupted || (run->is_stopping && !run->timed_out);
	bool has_failed = process_exit_code(run->runner.status) != 0 && !run->runner.events.has_config &&
			  run->runner.events.tests_failed == 0 && !is_told_to_end;

	for (unsigned i = 0; i < run->slots.count; i++) {
		struct slot *slot = run->slots.items[i];

		if (!slot)
			continue;
		keep_slot(run, slot);
		if (slot->leases > 0)
			keep_world(run, &slot->member, (int)i, NULL, has_failed);
	}
	if (runner_is_the_world(&run->runner))
		keep_world(run, &run->runner.member, JOURNAL_RUNNER, NULL, has_failed);
}

static void harvest_all(struct run *run, const struct artifacts *artifacts)
{
	const struct member *runner = &run->runner.member;

	for (unsigned i = 0; i < run->slots.count; i++)
		if (run->slots.items[i])
			slot_take_harvest(run->slots.items[i]);
	harvest_take(&run->harvest, runner, HARVEST_WORLDS_MAX - 1, artifacts, &run->runner.events);
	harvest_finish(&run->harvest, runner);
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
		*ret_exit_code = process_exit_code(run->runner.status);
		return;
	}
	artifacts_list(&run->runner.member, &run->runner.events, run->options->project, &artifacts);
	if (artifacts_copy_out(&run->runner.member, &artifacts, &error) < 0) {
		char text[2 * sizeof(error)];
		owned_text line = NULL;

		error_format(&error, text, sizeof(text));
		line = text_format("artifacts are not complete: %s", text);
		run->options->say(line);
	}
	artifacts_tell_outside(&run->runner.member, &artifacts, run->options->say);
	harvest_all(run, &artifacts);
	keep_last(run);
	blame_tell(&run->blame);
	checks_end(&run->checks, &run->runner.events);
	*ret_exit_code = run->timed_out ? EXIT_TIMED_OUT : process_exit_code(run->runner.status);
	if (*ret_exit_code == 0 && is_red_by_fresh_only(run))
		*ret_exit_code = EXIT_OF_RED_TESTS;
}

static void release(struct run *run)
{
	for (size_t i = 0; i < run->peer_count; i++)
		fd_close(&run->peers[i]->fd);
	forget_peers(run);
	free(run->peers);
	slots_release(&run->slots);
	runner_release(&run->runner);
	evidence_cause_release(&run->red);
	checks_release(&run->checks);
	blame_release(&run->blame);
	harvest_release(&run->harvest);
	freeze_release(&run->freeze);
	fd_close(&run->signal_fd);
	fd_close(&run->timer_fd);
	run_directory_remove_seeds(&run->directory);
}

/* The run has failed while its runner goes on: what that has done by now is there for somebody to look at. */
static void stop_runner(struct run *run)
{
	int ignored;

	if (run->runner.member.state != MEMBER_READY || !run->runner.has_begun)
		return;
	if (!run->runner.has_ended) {
		runner_signal(&run->runner, run->spec.stop_signal);
		begin_stop(run, MIN(run->spec.stop_timeout_ms, (uint64_t)CANCEL_MS));
	}
	while (!run->runner.has_ended && run->runner.member.state == MEMBER_READY)
		step(run);
	finish(run, &ignored);
}

static int run_loop(struct run *run, struct error *error)
{
	int result = runner_begin(&run->runner, &run->spec, error);

	/* Of R alone: the worlds have the same ports, and N of them. */
	run->spec.ways.publish = (struct text_list){ 0 };
	if (result < 0)
		return result;
	run->checks.tree = run->blame.tree = run->runner.member.plan.tree;
	journal_begin(&run->directory, run->runner.member.plan.tree,
		      run->options->command ? run->options->command : &run->spec.payload, run->options->workers,
		      runner_is_the_world(&run->runner), &run->options->shard);
	journal_world(&run->directory, JOURNAL_RUNNER, run->runner.name, JOURNAL_START, NULL);
	if (run->spec.timeout_ms > 0)
		start_timer(run, run->spec.timeout_ms);
	while (!run->runner.has_ended && !run->has_failed)
		step(run);
	if (run->has_failed)
		stop_runner(run);
	return run->has_failed ? -MAX(run->error->number, 1) : 0;
}

/* Nothing was tested, and the items' runner has said why. @result  of the run: where that failed, a service say, its
 * logs are looked for */
static bool is_list_missing(const struct run *run, int result, int exit_code)
{
	return result == 0 && run->options->command && exit_code == EXIT_SBX_FAILED &&
	       run->runner.events.tests_ended == 0;
}

int run_suite(const struct run_options *options, int *ret_exit_code, struct error *error)
{
	struct run run = { .options = options,
			   .spec = *options->spec,
			   .directory = RUN_DIRECTORY_NONE,
			   .harvest = HARVEST_NONE,
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
	runner_init(&run.runner, options, &run.directory);
	run.freeze = (struct freeze){ .runner = &run.runner, .checks = &run.checks };
	run.slots = (struct slots){
		.source = { .spec = &run.spec, .runner = &run.runner, .freeze = &run.freeze, .harvest = &run.harvest },
		.freeze = &run.freeze,
	};
	run.harvest.directory = &run.directory;
	run.harvest.say = options->say;
	run.evidence = (struct evidence){
		.mode = run.spec.keep, .directory = &run.directory, .events = &run.runner.events, .say = options->say
	};
	run.blame = (struct blame){ .is_wanted = options->blame, .directory = &run.directory, .say = options->say };
	/* R and its PID 1 stay until the artifacts are copied out of it. */
	run.spec.keep = KEEP_ALWAYS;
	result = run_directory_open(&run.directory, error);
	if (result < 0)
		return result;
	(void)sigprocmask(SIG_SETMASK, NULL, &before);
	result = take_signals(&run, &before, error);
	if (result == 0)
		result = run_loop(&run, error);
	if (result == 0) {
		finish(&run, ret_exit_code);
		result = check_isolation(&run, error);
	}
	journal_end(&run.directory, result < 0 ? spawn_exit_code(error) : *ret_exit_code);
	if (!options->hear_test)
		annotations_tell(&run.annotations, &run.runner.events);
	annotations_release(&run.annotations);
	release(&run);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (options->bundle_directory)
		evidence_bundle(&run.evidence, options->bundle_directory);
	again_tell(&run.again, is_red_by_fresh_only(&run), options->say);
	again_release(&run.again);
	evidence_tell(&run.evidence);
	evidence_release(&run.evidence);
	if (is_list_missing(&run, result, *ret_exit_code))
		run_directory_forget(&run.directory);
	run_directory_close(&run.directory);
	if (result < 0)
		/* A runner that does not exist, or cannot be executed, has a status of its own. */
		*ret_exit_code = spawn_exit_code(error);
	return result;
}
