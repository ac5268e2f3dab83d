/* SPDX-License-Identifier: Apache-2.0 */
/* A world of a test run: started from the freeze with servers of its own, leased to one test process after the other,
 * brought back to the seed, replaced. Which of them is whose stands in slots.h. */
#ifndef SBX_RUN_SLOT_H
#define SBX_RUN_SLOT_H

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/again.h"
#include "sandbox/run/evidence.h"
#include "sandbox/run/freeze.h"
#include "sandbox/run/harvest.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/runner.h"
#include "sandbox/run/servers.h"
#include "sandbox/run/unit.h"
#include "sandbox/worker/spec.h"

/* What all worlds of a run are made of; borrowed by each. */
struct slot_source {
	const struct spec *spec;
	struct runner *runner;
	const struct freeze *freeze;
	struct harvest *harvest; /* takes what they wrote */
};

/* In its name. */
enum slot_kind {
	SLOT_IN_PLACE = 'w', /* where tests of that number run */
	SLOT_SPARE = 's',    /* nobody has used it */
	SLOT_USED = 'e',     /* about to end */
};

struct slot {
	const struct slot_source *source;
	enum slot_kind kind;
	struct member member;
	struct servers *list;	       /* what its present world starts; NULL */
	struct servers_world *servers; /* of its present world; NULL */
	char *name;		       /* "RUN.w2" */
	unsigned index;
	unsigned generation;	 /* of the freeze it stems from */
	bool is_held;		 /* by a lease */
	struct slot *aside;	 /* the holder's, which nobody else has used, beside this one's world; NULL */
	bool is_awaited;	 /* a spare: by a lease, which fails if it dies */
	bool will_want_aside;	 /* a test there has failed in its last own try */
	struct again_past again; /* with --retry-fresh: the tests that have been in its present world */
	bool is_promised;	 /* to one who waits; for the time of one look at all of them */
	unsigned leases;
	struct evidence_cause red; /* its world is to be kept for, when the lease ends */
	struct unit_past past;	   /* of its present world */
	bool trouble_told;	   /* of its present world */
	bool is_ready_told;	   /* the journal was, of its present world */
};

/** An absent one. @return the caller's, slot_free() */
struct slot *slot_new(const struct slot_source *source, enum slot_kind kind, unsigned index);
/** Ends it, and what is aside of it. Takes none. */
void slot_free(struct slot **slot);
/** In what `sbx ps` shows, and for who looks for it by name. */
void slot_rename(struct slot *slot, enum slot_kind kind);

/** Begins a world from the newest freeze. Errors: of its services, of member_begin() */
int slot_start(struct slot *slot, struct error *error);
/** Ends its world; it can begin again. */
void slot_end(struct slot *slot);
/** Brings the world back to the seed in place, its servers running. What cannot be done so is said and ends the world,
 *  since a half reset one would be nobody's. */
void slot_reset(struct slot *slot);

/** Takes all messages that are there: what a world has told by now counts for the test that ended in it. */
void slot_hear(struct slot *slot);
/** Takes what it wrote that is to be kept; before its end. */
void slot_take_harvest(struct slot *slot);
/** Of a world in its place: what spares and used ones do is nothing that tests meet. @detail  NULL: none */
void slot_journal(struct slot *slot, enum journal_event event, const char *detail);

#endif
