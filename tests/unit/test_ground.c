/* SPDX-License-Identifier: Apache-2.0 */
/* What a seed stands on: globs, what counts as a change, and what is not read again; and which commit a tree is at. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/git.h"
#include "base/path.h"
#include "base/text.h"
#include "sandbox/registry/ground.h"
#include "tests/unit/scratch.h"

#define DAY_NS (INT64_C(86400) * 1000000000)

struct place {
	char *tree;
	struct error error;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	place->tree = scratch_make(NULL);
	*state = place;
	return place->tree ? 0 : -1;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	int result = scratch_remove(&place->tree);

	free(place);
	return result;
}

static void write_text(const struct place *place, const char *name, const char *text)
{
	owned_text path = path_join(place->tree, name);
	owned_text parent = path_parent(path);
	owned_fd fd = -1;

	assert_int_equal(path_make_directories(AT_FDCWD, parent, 0755), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* The paths that a glob matches, relative to the tree, with a space behind each. */
static char *match(struct place *place, const char *glob)
{
	owned_ground ground = { 0 };
	owned_list globs = { 0 };
	struct text_buffer found = { 0 };
	int result;

	text_list_add(&globs, glob);
	result = ground_add_inputs(&ground, place->tree, &globs, NULL, &place->error);
	if (result < 0)
		return text_format("%d", result);
	for (size_t i = 0; i < ground.count; i++)
		text_buffer_format(&found, "%s ", path_below(ground.items[i].path, place->tree));
	return found.bytes;
}

static void assert_matches(struct place *place, const char *glob, const char *want)
{
	owned_text found = match(place, glob);

	if (!text_equal(found, want))
		fail_msg("%s matches '%s', not '%s'", glob, found, want);
}

static void test_globs(void **state)
{
	struct place *place = *state;
	owned_text link = path_join(place->tree, "link");
	owned_text file_link = path_join(place->tree, "file-link");

	write_text(place, "package-lock.json", "1");
	write_text(place, "a/b/c.sql", "1");
	write_text(place, "a/b.sql", "1");
	write_text(place, "a/.hidden/x.sql", "1");
	write_text(place, "a/.env", "1");
	write_text(place, "a/b/with space", "1");
	assert_int_equal(symlink("a", link), 0);
	assert_int_equal(symlink("package-lock.json", file_link), 0);
	assert_matches(place, "package-lock.json", "package-lock.json ");
	assert_matches(place, "./package-*", "package-lock.json ");
	assert_matches(place, "**/*.sql", "a/b.sql a/b/c.sql ");
	assert_matches(place, "a/**", "a/b.sql a/b/c.sql a/b/with space ");
	assert_matches(place, "a", "a/b.sql a/b/c.sql a/b/with space ");
	assert_matches(place, "a/*", "a/b.sql a/b/c.sql a/b/with space ");
	assert_matches(place, "a/.env", "a/.env ");
	assert_matches(place, "a/.hidden/*", "a/.hidden/x.sql ");
	assert_matches(place, "a/**/c.sql", "a/b/c.sql ");
	assert_matches(place, "**/**/c.sql", "a/b/c.sql ");
	assert_matches(place, "[p]ackage?lock.json", "package-lock.json ");
	/* To a file: what it leads to; to a directory: not followed. */
	assert_matches(place, "file-link", "file-link ");
	assert_matches(place, "link/*", "-2");
}

static void test_globs_that_are_refused(void **state)
{
	struct place *place = *state;

	write_text(place, "file", "1");
	assert_matches(place, "nothing/*", "-2");
	assert_string_equal(place->error.object, "nothing/*");
	assert_matches(place, "../*", "-22");
	assert_matches(place, "/etc/passwd", "-22");
	assert_matches(place, ".", "-22");
	assert_matches(place, "file/x", "-2");
}

static void add(struct ground *ground, struct place *place, const struct text_list *globs, const struct ground *then)
{
	assert_int_equal(ground_add_inputs(ground, place->tree, globs, then, &place->error), 0);
}

static int compare(const struct ground *then, struct place *place, const struct text_list *globs, const char *want)
{
	owned_list changed = { 0 };
	int count = ground_compare(then, place->tree, globs, &changed, &place->error);

	if (want) {
		owned_text text = path_join(place->tree, want);

		assert_string_equal(changed.items[0], text);
	}
	return count;
}

static void test_what_counts_as_a_change(void **state)
{
	struct place *place = *state;
	owned_ground ground = { 0 };
	owned_list globs = { 0 };
	owned_text one = path_join(place->tree, "one");

	write_text(place, "one", "1");
	write_text(place, "two", "2");
	text_list_add(&globs, "*");
	add(&ground, place, &globs, NULL);
	assert_int_equal(compare(&ground, place, &globs, NULL), 0);
	/* Written anew with the same bytes. */
	write_text(place, "one", "1");
	assert_int_equal(compare(&ground, place, &globs, NULL), 0);
	/* Other bytes of the same size, within the same tick of the clock or not. */
	write_text(place, "one", "x");
	assert_int_equal(compare(&ground, place, &globs, "one has changed"), 1);
	assert_int_equal(unlink(one), 0);
	assert_int_equal(compare(&ground, place, &globs, "one is not there any more"), 1);
	write_text(place, "one", "1");
	write_text(place, "three", "3");
	assert_int_equal(compare(&ground, place, &globs, "three is new"), 1);
}

/* What a seed of one layer would hide of the tree: that it changed, removed, made. */
static void test_what_a_seed_hides(void **state)
{
	struct place *place = *state;
	owned_text seed = path_join(place->tree, ".seed");
	owned_buffer layers = { 0 };
	owned_list databases = { 0 };
	owned_list globs = { 0 };
	owned_ground ground = { 0 };
	owned_fd seed_fd = -1;

	write_text(place, "changed", "1");
	write_text(place, "removed", "1");
	write_text(place, "data.db", "1");
	write_text(place, "there/old", "1");
	write_text(place, ".seed/upper-0/changed", "2");
	write_text(place, ".seed/upper-0/data.db", "2");
	write_text(place, ".seed/upper-0/made.db", "2");
	write_text(place, ".seed/upper-0/there/made", "2");
	write_text(place, ".seed/upper-0/new/deep/one", "2");
	write_text(place, ".seed/upper-0/new/two", "2");
	seed_fd = open(seed, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mknodat(seed_fd, "upper-0/removed", S_IFCHR, 0), 0);
	assert_int_equal(mknodat(seed_fd, "upper-0/removed-gone", S_IFCHR, 0), 0);
	text_buffer_format(&layers, "c%c%s%c", 0, place->tree, 0);
	assert_int_equal(fd_write_durable(seed_fd, "layers", layers.bytes, layers.length), 0);
	text_list_take(&databases, path_join(place->tree, "data.db"));
	text_list_take(&databases, path_join(place->tree, "made.db"));

	assert_int_equal(ground_add_covered(&ground, seed_fd, place->tree, &databases, &place->error), 0);
	assert_int_equal(ground.count, 5);
	assert_string_equal(path_name(ground.items[0].path), "changed");
	assert_string_equal(path_name(ground.items[1].path), "removed");
	assert_int_equal(ground.items[1].kind, GROUND_COVERED);
	assert_string_equal(path_name(ground.items[2].path), "made.db");
	assert_string_equal(path_name(ground.items[3].path), "new"); /* and nothing in it */
	assert_string_equal(path_name(ground.items[4].path), "made");
	assert_int_equal(ground.items[4].kind, GROUND_MADE);
	assert_int_equal(compare(&ground, place, &globs, NULL), 0);

	write_text(place, "removed", "other");
	assert_int_equal(compare(&ground, place, &globs, "removed has changed"), 1);
	write_text(place, "removed", "1");
	write_text(place, "there/made", "");
	assert_int_equal(compare(&ground, place, &globs, "there/made is new, and the seed has its own"), 1);
	write_text(place, "new/three", "");
	assert_int_equal(compare(&ground, place, &globs, "new is new, and the seed has its own"), 2);
}

/* Made to look as if it had been noted a day ago, and had another content then. */
static void test_unchanged_is_not_read_again(void **state)
{
	struct place *place = *state;
	owned_ground then = { 0 };
	owned_ground now = { 0 };
	owned_ground racy = { 0 };
	owned_list globs = { 0 };

	write_text(place, "one", "1");
	text_list_add(&globs, "one");
	add(&then, place, &globs, NULL);
	memset(then.items[0].hash, 'a', SHA256_TEXT_SIZE - 1);
	/* Noted while a change could still show the same times: it is read. */
	add(&racy, place, &globs, &then);
	assert_string_not_equal(racy.items[0].hash, then.items[0].hash);
	then.items[0].noted_ns += DAY_NS;
	add(&now, place, &globs, &then);
	assert_string_equal(now.items[0].hash, then.items[0].hash);
	/* Another size, time or inode, and it is read. */
	ground_release(&now);
	then.items[0].modified_ns--;
	add(&now, place, &globs, &then);
	assert_string_not_equal(now.items[0].hash, then.items[0].hash);
}

static void test_write_ahead_log_counts(void **state)
{
	struct place *place = *state;
	owned_ground ground = { 0 };
	owned_list databases = { 0 };
	owned_list globs = { 0 };

	text_list_take(&databases, path_join(place->tree, "app.db"));
	write_text(place, "app.db", "x");
	write_text(place, "app.db-wal", "");
	assert_int_equal(ground_add_databases(&ground, &databases, NULL, &place->error), 0);
	assert_int_equal(ground.count, 1);
	write_text(place, "app.db-wal", "row");
	ground_release(&ground);
	assert_int_equal(ground_add_databases(&ground, &databases, NULL, &place->error), 0);
	assert_int_equal(ground.count, 2);
	write_text(place, "app.db-wal", "two");
	assert_int_equal(compare(&ground, place, &globs, "app.db-wal has changed"), 1);
}

static void test_large_file_by_its_ends_and_time(void **state)
{
	struct place *place = *state;
	owned_text path = path_join(place->tree, "large");
	owned_ground ground = { 0 };
	owned_list globs = { 0 };
	owned_fd fd = -1;

	write_text(place, "large", "begin");
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)GROUND_HASHED_MAX + (8 << 20)), 0);
	text_list_add(&globs, "large");
	add(&ground, place, &globs, NULL);
	assert_int_equal(compare(&ground, place, &globs, NULL), 0);
	assert_int_equal(pwrite(fd, "x", 1, 32 << 20), 1);
	assert_int_equal(futimens(fd, (struct timespec[]){ { .tv_sec = 1 }, { .tv_sec = 2 } }), 0);
	assert_int_equal(compare(&ground, place, &globs, "large has changed"), 1);
}

static void test_survives_json(void **state)
{
	struct place *place = *state;
	owned_ground ground = { 0 };
	owned_ground read = { 0 };
	owned_list globs = { 0 };
	owned_buffer text = { 0 };
	owned_json json = { 0 };

	write_text(place, "odd\xff \n\"", "1");
	write_text(place, "two", "2");
	text_list_add(&globs, "*");
	add(&ground, place, &globs, NULL);
	ground.items[1].kind = GROUND_MADE; /* has no hash */
	memset(ground.items[1].hash, 0, SHA256_TEXT_SIZE);
	json_begin_object(&text, NULL);
	ground_write(&ground, "ground", &text);
	json_end_object(&text);
	assert_int_equal(json_read(&json, text.bytes, text.length, NULL), 0);
	assert_int_equal(ground_read(json_member(json_root(&json), "ground"), &read), 0);
	assert_int_equal(read.count, 2);
	for (size_t i = 0; i < read.count; i++) {
		assert_string_equal(read.items[i].path, ground.items[i].path);
		assert_string_equal(read.items[i].hash, ground.items[i].hash);
		assert_int_equal(read.items[i].changed_ns, ground.items[i].changed_ns);
		assert_int_equal(read.items[i].kind, ground.items[i].kind);
	}
}

static void test_damaged_json_is_refused(void **state)
{
	static const char *const damaged[] = {
		"{}",
		"[{}]",
		"[1]",
		("[{\"kind\":\"input\",\"path\":\"/x\",\"bytes\":1,\"modified_ns\":1,\"changed_ns\":1,\"inode\":1,"
		 "\"noted_ns\":1,\"sha256\":\"short\"}]"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		owned_ground ground = { 0 };
		owned_json json = { 0 };

		assert_int_equal(json_read(&json, damaged[i], strlen(damaged[i]), NULL), 0);
		assert_int_equal(ground_read(json_root(&json), &ground), -EBADMSG);
	}
}

/* ---- git ---- */

#define COMMIT_A "1254149b340502b144530bf7b96498ae630e8939"
#define COMMIT_B "ed1ffbb05545ea54a08435dee266112d52e130b1"

static void assert_commit(const struct place *place, const char *below, const char *want)
{
	owned_text directory = path_join(place->tree, below);
	owned_text found = git_find_commit(directory);

	if (!text_equal(found ? found : "none", want))
		fail_msg("%s is at %s, not %s", below, found ? found : "none", want);
}

static void test_commit_of_a_tree(void **state)
{
	struct place *place = *state;

	write_text(place, "app/src/file", "");
	write_text(place, "app/.git/HEAD", "ref: refs/heads/main\n");
	assert_commit(place, "app", "none");
	write_text(place, "app/.git/packed-refs",
		   "# pack-refs\n" COMMIT_B " refs/heads/other\n" COMMIT_A " refs/heads/main\n");
	assert_commit(place, "app/src", COMMIT_A);
	write_text(place, "app/.git/refs/heads/main", COMMIT_B "\n");
	assert_commit(place, "app", COMMIT_B);
	write_text(place, "app/.git/HEAD", COMMIT_A "\n");
	assert_commit(place, "app", COMMIT_A);
	write_text(place, "app/.git/HEAD", "ref: ../../../secret\n");
	write_text(place, "secret", COMMIT_A "\n");
	assert_commit(place, "app", "none");
	write_text(place, "app/.git/HEAD", "no commit\n");
	assert_commit(place, "app", "none");
	/* A worktree. */
	write_text(place, "app/.git/HEAD", "ref: refs/heads/main\n");
	write_text(place, "app/.git/worktrees/w/HEAD", "ref: refs/heads/branch\n");
	write_text(place, "app/.git/worktrees/w/commondir", "../..\n");
	write_text(place, "app/.git/refs/heads/branch", COMMIT_A "\n");
	write_text(place, "w/.git", "gitdir: ../app/.git/worktrees/w\n");
	assert_commit(place, "w", COMMIT_A);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_globs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_globs_that_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_counts_as_a_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_a_seed_hides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unchanged_is_not_read_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_write_ahead_log_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large_file_by_its_ends_and_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_survives_json, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_json_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_commit_of_a_tree, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
