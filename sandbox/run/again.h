/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that pass only in a world that nobody has used: `sbx test --retry-fresh`.
 *
 * How it works. The tests of each world are written down as they end (again_add()). When one has failed in all of its
 * own tries, its world is looked at before another test comes there (again_suspect()): each file in which the world
 * differs from the seed was left by the test during which it was last written, told by the file's time; those tests,
 * but for the red one itself, are suspects, the latest first. The runner tries it once more, in a fresh world. Passes
 * it there, it is a case: told in the last lines of the run, and as a line of its events.jsonl (journal.h, "fresh").
 *
 * What a server keeps in its memory leaves no file, nor can it be seen which rows of a database a test has changed,
 * only that it was one that changed the database last. So those of which nothing was found are named as well, apart:
 * whoever was there before is suspected of what nobody can see. */
#ifndef SBX_RUN_AGAIN_H
#define SBX_RUN_AGAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/blame.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/events.h"

/* A test that has been in a world. */
struct again_test {
	char *id;
	char *title;
	char *file; /* below the tree where it lies there */
	int64_t line;
	int64_t began_ms; /* since the epoch */
	int64_t ended_ms;
};

/* All that have been in one world, in order. {0}: none. */
struct again_past {
	struct again_test *items;
	size_t count;
};

void again_past_release(struct again_past *past);
/** @tree  of the world */
void again_add(struct again_past *past, const struct events_test *test, const char *tree);
/** Which test of `past` last wrote a file: the one that ran then, or had run last. Times of files are as coarse as the
 *  kernel's tick: a test that ended within the tick goes before one that began in it.
 *  @changed_ms  of the file   @tick_ms  of the kernel   @return its index, or -1: it is older than all */
int again_find_author(const struct again_past *past, int64_t changed_ms, int64_t tick_ms);

/* A red test that is tried once more. */
struct again_case {
	char *id;
	char *title;
	char *file;
	int64_t line;
	enum again_verdict { AGAIN_UNKNOWN, AGAIN_PASSES_ONLY_FRESH, AGAIN_FAILS_FRESH } verdict;
	struct again_suspect {
		struct again_test test;
		struct text_list left; /* paths, as below the tree where they lie there; or blame's lines */
	} * suspects;
	size_t suspect_count;
	bool is_looked_at; /* what follows, and who is suspected, is known */
	/* Of which nothing was found, the latest first, each once. */
	struct again_test *silent;
	size_t silent_count;
	size_t silent_missed; /* before these */
};

struct again {
	struct again_case *items;
	size_t count;
};

void again_release(struct again *again);

/** A test has failed in its last own try, in the world that `member` is, where `past` has been, itself included. What
 *  cannot be looked at leaves no suspect. */
void again_suspect(struct again *again, const struct events_test *test, const char *tree, const struct again_past *past,
		   const struct member *member);
/** With --blame each test's own leavings are known, rows as well: they are the suspects then, in place of those.
 *  @past  as again_suspect() had it   @world  the id of the one in which the test failed */
void again_take_blame(struct again *again, const struct events_test *test, const struct again_past *past,
		      const struct blame *blame, const char *world);
/** The try in a fresh world has ended. @return the case, borrowed; NULL: of no test that again_suspect() knows */
const struct again_case *again_decide(struct again *again, const struct events_test *test);
/** As a line of the run's journal. */
void again_log(const struct again_case *item, struct run_directory *directory);

unsigned again_count(const struct again *again, enum again_verdict verdict);
/** The last lines of a run. @is_failure  whether they leave the run red */
void again_tell(const struct again *again, bool is_failure, launch_say *say);

#endif
