/* SPDX-License-Identifier: Apache-2.0 */
/* Who left something in a world, and under which name: what the runner tells and what is seen come in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/run/blame.h"

static struct blame_entry entry_of(uint64_t sequence, const char *world, const char *test, const char *line)
{
	struct blame_entry entry = { .sequence = sequence, .world = text_duplicate(world), .is_tests = true };

	entry.name.test = text_duplicate(test);
	entry.left_nothing = !line;
	if (line)
		text_list_add(&entry.lines, line);
	return entry;
}

static struct blame blame_of(void)
{
	struct blame blame = { .is_wanted = true, .tree = "/srv/app", .count = 4 };

	blame.entries = calloc(blame.count, sizeof(*blame.entries));
	blame.entries[0] = entry_of(1, "first", "a", "A file");
	blame.entries[1] = entry_of(2, "second", "b", "A file");
	blame.entries[2] = entry_of(3, "first", "c", NULL);
	blame.entries[3] = entry_of(4, "first", "d", "C file");
	return blame;
}

static bool add_test(void *argument, const struct blame_entry *entry)
{
	text_buffer_add_text(argument, entry->name.test);
	return true;
}

static bool add_first(void *argument, const struct blame_entry *entry)
{
	(void)add_test(argument, entry);
	return false;
}

static void test_suspects_are_those_of_that_world_the_last_first(void **state)
{
	struct blame blame = blame_of();
	owned_buffer told = { 0 };
	owned_buffer first = { 0 };
	owned_buffer before = { 0 };

	(void)state;
	assert_int_equal(blame_suspects(&blame, "first", UINT64_MAX, add_test, &told), 2);
	assert_string_equal(told.bytes, "da");
	assert_int_equal(blame_suspects(&blame, "first", 4, add_test, &before), 1);
	assert_string_equal(before.bytes, "a");
	assert_int_equal(blame_suspects(&blame, "first", UINT64_MAX, add_first, &first), 1);
	assert_string_equal(first.bytes, "d");
	assert_int_equal(blame_suspects(&blame, "third", UINT64_MAX, add_first, &first), 0);
	blame_release(&blame);
}

static void test_names_are_below_the_tree_and_found_by_id(void **state)
{
	struct blame blame = blame_of();
	const struct events_test told = { .id = "d", .title = "leaves", .file = "/srv/app/e2e/a.spec.ts", .line = 7 };
	const struct events_test other = { .id = "z", .title = "elsewhere", .file = "/else.spec.ts", .slot = 1 };
	const struct events_test hosted = { .id = "y", .title = "hosted", .file = "/srv/app/setup.ts", .slot = -1 };

	(void)state;
	blame_tell_name(&blame, &told, true);
	assert_string_equal(blame.entries[3].name.title, "leaves");
	assert_string_equal(blame.entries[3].name.file, "e2e/a.spec.ts");
	assert_int_equal(blame.entries[3].name.line, 7);
	assert_null(blame.entries[0].name.title);
	/* One that was not looked at yet waits, and is the name of its lease. */
	blame_tell_name(&blame, &other, true);
	assert_string_equal(blame.running[1].file, "/else.spec.ts");
	assert_int_equal(blame.name_count, 1);
	blame_tell_name(&blame, &hosted, true);
	assert_int_equal(blame.name_count, 1);
	blame_release(&blame);
}

static void test_nothing_is_remembered_where_nobody_asked(void **state)
{
	struct blame blame = { 0 };
	const struct events_test told = { .id = "d", .title = "t", .file = "f" };

	(void)state;
	blame_tell_name(&blame, &told, true);
	assert_int_equal(blame.name_count, 0);
	blame_tell(&blame);
	blame_release(&blame);
}

static void test_a_wish_to_be_looked_at_is_read(void **state)
{
	static const char line[] = "{\"type\":\"look\",\"slot\":3,\"test\":\"a-b\",\"number\":7}";
	static const char *const others[] = { "{\"type\":\"test\",\"slot\":3,\"test\":\"a\",\"number\":7}", "{}", "",
					      "{\"type\":\"look\",\"slot\":3,\"number\":7}",
					      "{\"type\":\"look\",\"test\":\"a\",\"number\":7}" };
	struct events_look look = { 0 };

	(void)state;
	assert_int_equal(events_read_look(line, strlen(line), &look), 0);
	assert_int_equal(look.slot, 3);
	assert_int_equal(look.number, 7);
	assert_string_equal(look.test, "a-b");
	text_free(&look.test);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_true(events_read_look(others[i], strlen(others[i]), &look) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suspects_are_those_of_that_world_the_last_first),
		cmocka_unit_test(test_names_are_below_the_tree_and_found_by_id),
		cmocka_unit_test(test_nothing_is_remembered_where_nobody_asked),
		cmocka_unit_test(test_a_wish_to_be_looked_at_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
