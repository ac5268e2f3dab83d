/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/slot.h"

#include <poll.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/text.h"
#include "sandbox/run/advice.h"
#include "sandbox/run/artifacts.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/listeners.h"
#include "sandbox/worker/machine.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/reset.h"

struct slot *slot_new(const struct slot_source *source, enum slot_kind kind, unsigned index)
{
	struct slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		abort();
	member_init(&slot->member);
	slot->source = source;
	slot->kind = kind;
	slot->index = index;
	slot->name = text_format("%s.%c%u", source->runner->directory->id, kind, index);
	return slot;
}

void slot_rename(struct slot *slot, enum slot_kind kind)
{
	slot->kind = kind;
	text_free(&slot->name);
	slot->name = text_format("%s.%c%u", slot->source->runner->directory->id, kind, slot->index);
	member_rename(&slot->member, slot->name);
}

void slot_journal(struct slot *slot, enum journal_event event, const char *detail)
{
	if (slot->kind != SLOT_IN_PLACE)
		return;
	slot->is_ready_told = event == JOURNAL_READY || (slot->is_ready_told && event != JOURNAL_START);
	journal_world(slot->source->runner->directory, (int)slot->index, slot->name, event, detail);
}

/* Where the process ids of the run's next world begin: each has a part of the range, after that of R, which has the
 * first. One that makes more processes than that, and the one after as many as there are parts, go on in another's,
 * where two processes have to meet in time too.
 * @return 0: as R's, since the range cannot be known */
static unsigned next_last_pid(struct runner *runner)
{
	const unsigned part = 4096;
	uint64_t max = 0;

	if (machine_read_number("/proc/sys/kernel/pid_max", &max) < 0 || max < UINT64_C(2) * part || max > INT32_MAX)
		return 0;
	return part * (1 + runner->worlds_begun++ % ((unsigned)(max / part) - 1));
}

int slot_start(struct slot *slot, struct error *error)
{
	const struct slot_source *source = slot->source;
	struct runner *runner = source->runner;
	struct member_options options = { .spec = source->spec,
					  .name = slot->name,
					  .run = runner->directory->id,
					  .index = (int)slot->index,
					  .count = runner->options->workers,
					  .seed = &source->freeze->seed,
					  .last_pid = next_last_pid(runner),
					  .log_fd = -1 };
	owned_text logs = run_directory_path(runner->directory, "w%u", slot->index);
	owned_fd log_fd = -1;
	struct graft *grafts = NULL;
	size_t graft_count = 0;
	owned_artifacts artifacts = { 0 };
	int result;

	artifacts_list(&runner->member, &runner->events, runner->options->project, &artifacts);
	result = artifacts_take_grafts(&runner->member, &artifacts, &grafts, &graft_count, error);
	if (result == 0)
		result = run_directory_make(runner->directory, logs, &log_fd, error);
	if (result == 0)
		result = runner_read_servers(runner, slot->index, false, &slot->list, error);
	if (result == 0) {
		servers_expect(slot->list, &runner->listeners);
		result = servers_enter(slot->list, log_fd, &slot->member, &options, &slot->servers, error);
	}
	if (result == 0)
		result = runner_share_services(runner, &options, error);
	if (result < 0)
		return result;
	options.log_directory = logs;
	slot->generation = source->freeze->generation;
	slot->past = (struct unit_past){ 0 };
	again_past_release(&slot->again);
	slot->trouble_told = false;
	slot_journal(slot, JOURNAL_START, NULL);
	return member_begin(&slot->member, &options, grafts, graft_count, runner->options->say, error);
}

void slot_end(struct slot *slot)
{
	if (slot->member.state != MEMBER_ABSENT)
		slot_journal(slot, JOURNAL_END, NULL);
	member_end(&slot->member);
	servers_release_world(slot->servers);
	servers_free(slot->list);
	slot->servers = NULL;
	slot->list = NULL;
}

void slot_free(struct slot **slot)
{
	if (!*slot)
		return;
	slot_end(*slot);
	slot_free(&(*slot)->aside);
	evidence_cause_release(&(*slot)->red);
	again_past_release(&(*slot)->again);
	text_free(&(*slot)->name);
	free(*slot);
	*slot = NULL;
}

void slot_take_harvest(struct slot *slot)
{
	const struct runner *runner = slot->source->runner;
	owned_artifacts artifacts = { 0 };

	artifacts_list(&runner->member, &runner->events, runner->options->project, &artifacts);
	harvest_take(slot->source->harvest, &slot->member, slot->index, &artifacts, &runner->events);
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
static void tell_trouble(struct slot *slot)
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
	slot_journal(slot, JOURNAL_CRASH, text);
	line = advice_text(which, ADVICE_WORDS(name, text, output));
	slot->source->runner->options->say(line);
}

void slot_hear(struct slot *slot)
{
	struct pollfd polled = { .fd = member_fd(&slot->member), .events = POLLIN };

	while (polled.fd >= 0 && poll(&polled, 1, 0) > 0) {
		member_hear(&slot->member, slot->source->runner->options->say);
		polled.fd = member_fd(&slot->member);
	}
	if (slot->member.state == MEMBER_READY && !slot->is_ready_told)
		slot_journal(slot, JOURNAL_READY, NULL);
	tell_trouble(slot);
}

void slot_reset(struct slot *slot)
{
	owned_reset_answer answer = { 0 };
	owned_text what = NULL;
	owned_text line = NULL;
	owned_fd connection = -1;
	struct error error = { 0 };
	int result;

	/* What it wrote that is to be kept is gone afterwards. */
	slot_take_harvest(slot);
	slot_journal(slot, JOURNAL_RESET, NULL);
	result = member_connect(&slot->member, CONNECT_FREE, &connection, &error);
	if (result == 0)
		result = reset_ask(connection, RESET_ALL, &answer, &error);
	slot->past = (struct unit_past){ 0 };
	if (result >= 0) {
		what = reset_format(&answer);
		line = text_format("w%u reset: %s", slot->index, what);
		slot_journal(slot, JOURNAL_READY, what);
	} else {
		char text[2 * sizeof(error)];

		error.remedy[0] = '\0';
		error_format(&error, text, sizeof(text));
		line = text_format("w%u gets a new world: %s", slot->index, text);
		slot_end(slot);
	}
	slot->source->runner->options->say(line);
}
