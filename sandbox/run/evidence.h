/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence: the world of a failed test, kept as it was when the test ended, before another test changes it.
 *
 * How it works. The runner tells of a red test before it ends the test process (hook.h section 3): evidence_note()
 * remembers it for its world, and when the lease ends evidence_keep() copies files, rows and logs into a kept worker
 * (registry/kept.h) under a name and an id of its own. The world itself goes on. With one world, which is R, the copy
 * is made at once. How many and how much is capped, so that a suite that is red throughout fills no disk. */
#ifndef SBX_RUN_EVIDENCE_H
#define SBX_RUN_EVIDENCE_H

#include "base/error.h"
#include "base/text.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/events.h"
#include "sandbox/run/recipe.h"
#include "sandbox/worker/spec.h"

enum {
	EVIDENCE_WORLDS_MAX = 10,
	EVIDENCE_BYTES_MAX = 256 << 20, /* of all together */
};

/* A red test whose world is to be kept. {0}: none. */
struct evidence_cause {
	char *id;
	char *place; /* FILE:LINE, the file as below the tree; or "item 3" */
	char *title;
	int64_t retry;
	int64_t exit_code;    /* of an item's command; 0: it is none */
	int64_t started_ms;   /* CLOCK_REALTIME */
	bool is_to_keep;      /* else only what it changed is told */
	struct recipe recipe; /* its part of it */
};

void evidence_cause_release(struct evidence_cause *cause);

struct evidence {
	enum keep_mode mode;
	struct run_directory *directory; /* borrowed */
	const struct events *events;	 /* borrowed: what the runner is */
	launch_say *say;
	struct evidence_item {
		char *name; /* of the kept worker */
		char *text; /* "FILE:LINE TITLE" */
		char *id;   /* of the test; "" for a world kept as the run ended */
		struct text_list databases;
		char *place;	    /* FILE:LINE */
		char *bundle;	    /* path of its file; NULL: none */
		bool is_repeatable; /* a replay of its bundle knows what to run */
		bool has_logs;
		char *kept_id;
		int worker; /* its number */
	} items[EVIDENCE_WORLDS_MAX];
	size_t count;
	struct text_list outputs; /* id, text, …: of red items whose worlds are not kept yet */
	uint64_t bytes;
	unsigned missed; /* beyond the caps */
};

void evidence_release(struct evidence *evidence);

/** Remembers a red test for the world that it ran in; the first one of a lease stays. Green and interrupted ones are no
 *  cause; of further tries of one that is kept already, only what they changed is told.
 *  @tree  of the world   @cause  the world's, empty or not */
void evidence_note(const struct evidence *evidence, const struct events_test *test, const char *tree,
		   struct evidence_cause *cause);

/** Tells the journal what the world of the cause noted has changed, and keeps it. The cause is empty then; without one
 *  it does nothing. What goes wrong is said: the run goes on.
 *  @services  that it runs, for who looks into it later; NULL: none
 *  @worker  its number, JOURNAL_RUNNER for R
 *  @log_directory  of its services, relative to the run's directory; NULL: none */
void evidence_keep(struct evidence *evidence, const struct member *member, const struct service_list *services,
		   int worker, const char *log_directory, struct evidence_cause *cause);

/** At the run's end: keeps a world as it is, where all are asked for (--keep), or where the runner failed and never
 *  said which test. @has_failed  the runner, one that tells of no tests, and not
 *  since it was told to end */
void evidence_keep_last(struct evidence *evidence, const struct member *member, const struct service_list *services,
			int worker, const char *log_directory, bool has_failed);

/** Makes a bundle of each world that was kept, for another machine: PLACE.sbx in the directory, which is made where it
 *  is missing. What goes wrong is said. After the end of the worlds. */
void evidence_bundle(struct evidence *evidence, const char *directory);

/** What a red item printed, for `sbx logs` of its kept world, be it kept by now or a moment later. */
void evidence_add_output(struct evidence *evidence, const char *id, const char *text);

/** The last lines of a run: for each kept world the commands that open it. */
void evidence_tell(const struct evidence *evidence);

#endif
