/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a run: events.jsonl in its directory, one JSON object a line, what `sbx report` is made from.
 *
 * Each line has at_ns (CLOCK_REALTIME, by the supervisor) and type. `worker` is a world's number, -1 is R's. What a
 * line does not know is left out; readers pass over types and members that they do not know.
 *
 *	run	{event:"begin", version:1, id, sbx, host, tree, command[], workers, alone, shard?}  {event:"end", exit_code}
 *	world	{worker, name, event, detail?}; event: enum journal_event's word
 *	runner	{line{}}	what the runner told (hook.h section 3), as it is: it cannot pass for any other type
 *	changes	{worker, test, retry, since_ms, files[{kind, path, at?}], missed}	what the world of a red test had
 *		changed by its end: `at` tells what that test changed from what those before it did
 *	rows	{worker, test, retry, databases[], problem?}	the rows in which that world differed from its seed by then:
 *		what TASK_DB_DIFF tells (scripts/schema/db-diff.json), or why it could not
 *	left	{worker, world, sequence, test, title, file, line, lines[], left{}}	what a test left behind, with --blame, in
 *		words and as TASK_BLAME's answer
 *	fresh	{test, title, file, line, verdict:"passes only when fresh"|"fails when fresh", suspects[{test, title, file,
 *		line, left[]}], silent[{test, title, file, line}], silent_missed}	a red test was tried once more in a fresh
 *		world: who left something in the one where it failed, and who was there and left nothing
 *	kept	{worker, test, name, databases[], logs, servers}	the world of a red test was kept under that name;
 *		servers: it had some, which sbx open starts
 *	bundle	{worker, test, path}	the same, as a file for sbx replay */
#ifndef SBX_RUN_JOURNAL_H
#define SBX_RUN_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/shard.h"

enum {
	JOURNAL_RUNNER = -1,	  /* as a worker's number */
	JOURNAL_FILES_MAX = 1000, /* told of one test */
};

/* What a red test did in a world that nobody had used. */
#define JOURNAL_PASSES_FRESH "passes only when fresh"
#define JOURNAL_FAILS_FRESH  "fails when fresh"

enum journal_event {
	JOURNAL_START,	/* its world is being made, its services started */
	JOURNAL_READY,	/* idle */
	JOURNAL_LEASE,	/* a test process, or a command, has it */
	JOURNAL_FREE,	/* no longer: idle */
	JOURNAL_FREEZE, /* R stands still */
	JOURNAL_THAW,
	JOURNAL_RESET, /* files and rows go back to the seed; READY or LEASE follows */
	JOURNAL_CRASH, /* a service, or the world's PID 1, has ended: detail */
	JOURNAL_END,
	JOURNAL_EVENTS,
};

/* A world that was kept. */
struct journal_kept {
	const char *test; /* its id */
	const char *name;
	const struct text_list *databases;
	bool has_logs;
	bool has_servers;
};

extern const char *const journal_event_words[JOURNAL_EVENTS];

/* A red test, as far as the journal names it. */
struct journal_test {
	const char *id;
	int64_t retry;
	int64_t started_ms; /* CLOCK_REALTIME */
};

/* All functions: a line that cannot be written is missed, and no reason to end a run. */

/** @is_alone  R is the world of the tests */
void journal_begin(struct run_directory *directory, const char *tree, const struct text_list *command, unsigned workers,
		   bool is_alone, const struct shard *shard);
void journal_end(struct run_directory *directory, int exit_code);
/** @detail  NULL: none */
void journal_world(struct run_directory *directory, int worker, const char *name, enum journal_event event,
		   const char *detail);
/** A line of the runner's. One that is no JSON object is left out. */
void journal_runner(struct run_directory *directory, const char *line, size_t size);
/** Asks a live world for the files and rows that changed in it. */
void journal_changes(struct run_directory *directory, int worker, const struct member *member,
		     const struct journal_test *test);
void journal_kept(struct run_directory *directory, int worker, const struct journal_kept *kept);
/** @path  of its file, absolute */
void journal_bundle(struct run_directory *directory, int worker, const char *test, const char *path);

/** For what others tell, blame.c and again.c: a line is begun, its members are added, and it is written at its end.
 *  @line  {0}; the caller's */
void journal_begin_line(struct text_buffer *line, const char *type);
void journal_end_line(struct run_directory *directory, struct text_buffer *line);

#endif
