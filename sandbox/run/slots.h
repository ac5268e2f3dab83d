/* SPDX-License-Identifier: Apache-2.0 */
/* All worlds of a test run: those in their places, made when first asked for, and the spares.
 *
 * Where units are to begin in worlds that nobody has used (unit.h), each place has a spare: another world of the same
 * number, from the same seed, started as soon as the one in place is leased or, where only a red test makes it due, as
 * soon as that is told. A lease takes the spare as it stands, its servers answering, and the used world ends behind.
 * One that died or could not be made is said, and the lease waits for one that is made then. */
#ifndef SBX_RUN_SLOTS_H
#define SBX_RUN_SLOTS_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/run/slot.h"

enum {
	SLOTS_MAX = 256,
	SLOTS_POLLED_MAX = 3 * SLOTS_MAX,
};

struct slots {
	struct slot_source source;
	struct freeze *freeze;	       /* borrowed: the source's, taken anew where a lease wants it */
	struct slot *items[SLOTS_MAX]; /* made when first asked for */
	unsigned count;
	struct slot *spares[SLOTS_MAX]; /* for that place: a world that nobody has used; NULL: none */
	struct slot **used;		/* worlds whose place a spare has taken; to be ended */
	size_t used_count;
};

/** Ends all of them. */
void slots_release(struct slots *slots);

/** The world in which tests of that number run now; NULL: there is none. */
struct slot *slots_now(const struct slots *slots, int64_t number);

/** A place for a lease that no other is to have, a ready one first: so that as many worlds start at once as there are
 *  who wait. It is promised then. @wanted  its number, below 0: any   @return NULL: none is free */
struct slot *slots_choose(struct slots *slots, int wanted);
/** Forgets what was promised. */
void slots_begin_choice(struct slots *slots);

/** What stands between a lease and the world of its place: gone a step towards. The place may have another world then.
 *  @after  as freeze_take_after()'s   @return 1 it can be granted, 0 not yet, or -errno */
int slots_prepare(struct slots *slots, unsigned index, unsigned after, struct error *error);
/** The same for a world that nobody has used, beside that of the place, which stays as it is: the place's spare. */
int slots_prepare_aside(struct slots *slots, unsigned index, unsigned after, struct error *error);

/** Starts spares for whom the next unit is to have one, by what is known now. */
void slots_start_spares(struct slots *slots);
/** It is to end, when there is time for it. Takes an empty place. */
void slots_retire(struct slots *slots, struct slot **slot);
/** There is time. */
void slots_end_used(struct slots *slots);

/** What to wait for. @return how many */
size_t slots_poll(const struct slots *slots, struct pollfd *polled);
/** Hears those that have something to say. @polled, @count  slots_poll()'s, and how many places there were then */
void slots_hear(struct slots *slots, const struct pollfd *polled, unsigned count);

#endif
