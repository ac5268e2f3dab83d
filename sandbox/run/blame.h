/* SPDX-License-Identifier: Apache-2.0 */
/* Blame: what each test of a run left behind in its world, files and rows.
 *
 * How it works. A world is looked at (TASK_BLAME) when its first lease begins, when a test has ended, and when a lease
 * ends; each look tells what changed since the one before. With Playwright the test process stands still between two
 * tests until its world has been looked at (hook.h section 4), so what is found is that test's own, with what its
 * servers did meanwhile. What a process does after its last test (afterAll, teardown of fixtures) counts for that test.
 * Of commands that tell of no tests on the way (items, Jest, Vitest) a look comes after each lease; the tests that are
 * told of for that world by then give the name.
 *
 * What is in no file of tree or HOME and in no row, a server's memory or a cookie, is not seen: that is for --fresh and
 * --retry-fresh, which have it in common with nobody.
 *
 * Memory: what is told; BLAME_ENTRIES_MAX. */
#ifndef SBX_RUN_BLAME_H
#define SBX_RUN_BLAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/events.h"

enum { BLAME_ENTRIES_MAX = 10000, BLAME_TOLD_MAX = 20, BLAME_SLOTS_MAX = 256 };

/* What a test is called; {0}: not known. */
struct blame_name {
	char *test; /* its id */
	char *file; /* below the tree where it lies there; or "item 3" */
	int64_t line;
	char *title;
};

/* What one test left behind. */
struct blame_entry {
	uint64_t sequence; /* in the order of the looks, from 1 on */
	unsigned slot;	   /* the world's number */
	char *world;	   /* and its id: a slot may have had several worlds, one after the other */
	struct blame_name name;
	char *left;		/* the answer to TASK_BLAME, JSON */
	struct text_list lines; /* the same for people: "TestDb.db Orders: 1 inserted (Id=4)", "A uploads/1.png" */
	bool is_tests;		/* it was named by a test */
	bool left_nothing;
};

struct blame {
	bool is_wanted;
	struct run_directory *directory; /* borrowed */
	void (*say)(const char *line);
	const char *tree; /* borrowed */
	struct blame_entry *entries;
	size_t count;
	struct blame_name *names; /* of tests that ended before they were looked at */
	size_t name_count;
	struct blame_name running[BLAME_SLOTS_MAX]; /* told of, while the lease goes on */
	uint64_t sequence;
	unsigned missed;
	unsigned failures; /* looks that failed: the first is said */
};

void blame_release(struct blame *blame);

/** Looks at a world before its first test, or after it was brought back to the seed: what is found is nobody's. */
void blame_begin(struct blame *blame, const struct member *member);
/** A test has ended: what was found since the last look is its own.
 *  @test  its id */
void blame_test(struct blame *blame, const struct member *member, unsigned slot, const char *test);
/** A lease has ended: what was found since belongs to its last test, or to the command.
 *  @sequence  blame->sequence when the lease began */
void blame_lease(struct blame *blame, const struct member *member, unsigned slot, uint64_t sequence);
/** A test was told of, whose world may have been looked at already or is yet to be.
 *  @is_leased  its slot is, still */
void blame_tell_name(struct blame *blame, const struct events_test *test, bool is_leased);

/** Tells `each` who left something in a world before a moment, the last one first.
 *  @world  its id   @before  a sequence; UINT64_MAX: all   @each  returns false to end it
 *  @return how many were told */
typedef bool blame_each(void *argument, const struct blame_entry *entry);
size_t blame_suspects(const struct blame *blame, const char *world, uint64_t before, blame_each *each, void *argument);

/** The end of a run: says what was left behind, test by test, and writes it to the journal (type "left"). */
void blame_tell(struct blame *blame);

#endif
