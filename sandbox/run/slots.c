/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/slots.h"

#include <stdlib.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"

struct slot *slots_now(const struct slots *slots, int64_t number)
{
	struct slot *slot = number >= 0 && number < SLOTS_MAX ? slots->items[number] : NULL;

	return slot && slot->aside ? slot->aside : slot;
}

static struct slot *get_slot(struct slots *slots, unsigned index)
{
	if (!slots->items[index])
		slots->items[index] = slot_new(&slots->source, SLOT_IN_PLACE, index);
	slots->count = MAX(slots->count, index + 1);
	return slots->items[index];
}

static void say_no_spare(const struct slots *slots, unsigned index, const struct error *error)
{
	char text[2 * sizeof(*error)];
	owned_text line = NULL;

	error_format(error, text, sizeof(text));
	line = text_format("w%u has no spare world, and the next test waits for one: %s", index, text);
	slots->source.runner->options->say(line);
}

/* Whoever asks next waits for a world that is made then. */
static void drop_spare(struct slots *slots, unsigned index, const struct error *error)
{
	if (error)
		say_no_spare(slots, index, error);
	slot_free(&slots->spares[index]);
}

/* What it cannot have now is said; the lease that needs it fails then if that is so still. */
static void start_spare(struct slots *slots, unsigned index)
{
	struct error error = { 0 };

	if (slots->spares[index] || !slots->freeze->is_taken)
		return;
	slots->spares[index] = slot_new(&slots->source, SLOT_SPARE, index);
	if (slot_start(slots->spares[index], &error) < 0)
		drop_spare(slots, index, &error);
}

void slots_retire(struct slots *slots, struct slot **slot)
{
	if (!*slot)
		return;
	slots->used = reallocarray(slots->used, slots->used_count + 1, sizeof(struct slot *));
	if (!slots->used)
		abort();
	slots->used[slots->used_count++] = *slot;
	slot_rename(*slot, SLOT_USED);
	*slot = NULL;
}

void slots_start_spares(struct slots *slots)
{
	for (unsigned i = 0; i < slots->count; i++)
		if (slots->items[i] && slots->items[i]->is_held && !slots->items[i]->aside &&
		    (slots->items[i]->will_want_aside ||
		     unit_choose(&slots->source.runner->options->units, &slots->items[i]->past) == UNIT_WORLD_FRESH))
			start_spare(slots, i);
}

/* The next unit in that place is to have a world that nobody has used. A spare takes it, by name too, as it stands or
 * is on its way; the used one ends when the lease has what it waits for. */
static void replace_used(struct slots *slots, unsigned index)
{
	struct slot *used = slots->items[index];
	struct slot *spare = slots->spares[index];

	if (spare && (spare->member.state == MEMBER_DEAD || spare->generation < slots->freeze->generation)) {
		drop_spare(slots, index, spare->member.state == MEMBER_DEAD ? &spare->member.error : NULL);
		spare = NULL;
	}
	if (!spare)
		spare = slot_new(&slots->source, SLOT_SPARE, index);
	spare->leases = used->leases;
	slot_journal(used, JOURNAL_END, NULL);
	slots->spares[index] = NULL;
	slots->items[index] = spare;
	slots_retire(slots, &used);
	slot_rename(spare, SLOT_IN_PLACE);
	if (spare->member.state != MEMBER_ABSENT)
		slot_journal(spare, JOURNAL_START, NULL);
	if (spare->member.state == MEMBER_READY)
		slot_journal(spare, JOURNAL_READY, NULL);
}

void slots_end_used(struct slots *slots)
{
	for (size_t i = 0; i < slots->used_count; i++) {
		slot_take_harvest(slots->used[i]);
		slot_free(&slots->used[i]);
	}
	slots->used_count = 0;
}

int slots_prepare(struct slots *slots, unsigned index, unsigned after, struct error *error)
{
	struct slot *slot = slots->items[index];
	int result = 0;

	if (slot->is_held)
		return 0;
	if (unit_choose(&slots->source.runner->options->units, &slot->past) == UNIT_WORLD_FRESH) {
		replace_used(slots, index);
		slot = slots->items[index];
	}
	if (slot->member.state == MEMBER_READY && (slot->generation < after || slot->trouble_told)) {
		/* It lacks what a setup project did since, or a server. */
		slot_take_harvest(slot);
		slot_end(slot);
	} else if (slot->trouble_told) {
		slot_end(slot); /* its PID 1 is gone */
	} else if (slot->member.state == MEMBER_READY &&
		   unit_choose(&slots->source.runner->options->units, &slot->past) == UNIT_WORLD_RESET) {
		slot_reset(slot);
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
		slot_end(slot);
		return -MAX(error->number, 1);
	case MEMBER_ABSENT:
		break;
	}
	result = freeze_take_after(slots->freeze, after, error);
	return result < 0 ? result : slot_start(slot, error);
}

int slots_prepare_aside(struct slots *slots, unsigned index, unsigned after, struct error *error)
{
	struct slot *spare = slots->spares[index];
	int result;

	if (slots->items[index]->is_held)
		return 0;
	if (spare && spare->generation < after) {
		drop_spare(slots, index, NULL);
		spare = NULL;
	}
	if (!spare) {
		result = freeze_take_after(slots->freeze, after, error);
		if (result < 0)
			return result;
		spare = slots->spares[index] = slot_new(&slots->source, SLOT_SPARE, index);
		spare->is_awaited = true;
		return slot_start(spare, error);
	}
	spare->is_awaited = true;
	if (spare->member.state == MEMBER_DEAD) {
		*error = spare->member.error;
		(void)error_context(error, "fresh world of w%u", index);
		return -MAX(error->number, 1);
	}
	return spare->member.state == MEMBER_READY;
}

static struct slot *find_free(struct slots *slots, int wanted)
{
	unsigned count = slots->source.runner->options->workers
				 ? MIN(slots->source.runner->options->workers, (unsigned)SLOTS_MAX)
				 : SLOTS_MAX;

	if (wanted >= 0)
		return get_slot(slots, (unsigned)wanted % count);
	for (unsigned i = 0; i < MIN(count, slots->count); i++) {
		struct slot *slot = get_slot(slots, i);

		if (!slot->is_held && !slot->is_promised && slot->member.state == MEMBER_READY)
			return slot;
	}
	for (unsigned i = 0; i < count; i++) {
		struct slot *slot = get_slot(slots, i);

		if (!slot->is_held && !slot->is_promised)
			return slot;
	}
	return NULL;
}

struct slot *slots_choose(struct slots *slots, int wanted)
{
	struct slot *slot = find_free(slots, wanted);

	if (slot)
		slot->is_promised = true;
	return slot;
}

void slots_begin_choice(struct slots *slots)
{
	for (unsigned i = 0; i < slots->count; i++)
		if (slots->items[i])
			slots->items[i]->is_promised = false;
}

size_t slots_poll(const struct slots *slots, struct pollfd *polled)
{
	size_t count = 0;

	for (unsigned i = 0; i < slots->count; i++)
		polled[count++] = (struct pollfd){ .fd = slots->items[i] ? member_fd(&slots->items[i]->member) : -1,
						   .events = POLLIN };
	for (unsigned i = 0; i < slots->count; i++)
		polled[count++] = (struct pollfd){ .fd = slots->spares[i] ? member_fd(&slots->spares[i]->member) : -1,
						   .events = POLLIN };
	for (unsigned i = 0; i < slots->count; i++)
		polled[count++] = (struct pollfd){ .fd = slots->items[i] && slots->items[i]->aside
								 ? member_fd(&slots->items[i]->aside->member)
								 : -1,
						   .events = POLLIN };
	return count;
}

static void hear_spare(struct slots *slots, unsigned index)
{
	struct slot *spare = slots->spares[index];

	member_hear(&spare->member, slots->source.runner->options->say);
	if (spare->member.state == MEMBER_DEAD && !spare->is_awaited)
		drop_spare(slots, index, &spare->member.error);
}

void slots_hear(struct slots *slots, const struct pollfd *polled, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (polled[i].revents && slots->items[i])
			slot_hear(slots->items[i]);
	for (unsigned i = 0; i < count; i++)
		if (polled[count + i].revents && slots->spares[i])
			hear_spare(slots, i);
	for (unsigned i = 0; i < count; i++)
		if (polled[2UL * count + i].revents && slots->items[i] && slots->items[i]->aside)
			slot_hear(slots->items[i]->aside);
}

void slots_release(struct slots *slots)
{
	/* All at once, so that the kernel's work is done side by side. */
	for (unsigned i = 0; i < slots->count; i++) {
		if (slots->items[i])
			fd_close(&slots->items[i]->member.launched.control_fd);
		if (slots->spares[i])
			fd_close(&slots->spares[i]->member.launched.control_fd);
	}
	for (unsigned i = 0; i < slots->count; i++) {
		slot_free(&slots->items[i]);
		slot_free(&slots->spares[i]);
	}
	free(slots->used); /* slots_end_used() has ended them */
}
