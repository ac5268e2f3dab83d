/* SPDX-License-Identifier: Apache-2.0 */
/* Lists taken apart, commands made of them, what is remembered of their times, and their plan on its way into world
 * R. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "sandbox/run/items.h"
#include "sandbox/run/times.h"

static void assert_list(const struct text_list *list, const char *wanted)
{
	owned_buffer joined = { 0 };

	for (size_t i = 0; i < list->count; i++)
		text_buffer_format(&joined, "%s%s", i > 0 ? "|" : "", list->items[i]);
	assert_string_equal(joined.bytes ? joined.bytes : "", wanted);
}

static void assert_items(const char *text, const char *wanted)
{
	owned_list items = { 0 };

	assert_int_equal(items_parse(text, strlen(text), &items, NULL), 0);
	assert_list(&items, wanted);
}

static void test_items_are_lines_or_a_json_array(void **state)
{
	(void)state;
	assert_items("", "");
	assert_items("\n\n\r\n", "");
	assert_items("a\nb c\n\n d ", "a|b c| d ");
	assert_items("a\r\nb\r\n", "a|b");
	assert_items("[\"A.B\", \"C\\nD\"]\n", "A.B|C\nD");
	assert_items(" \n[]\n", "");
	/* A name in brackets is a name. */
	assert_items("Welcome!\n[\"A\", \"B\"]\n[\"C\"]\n\x1b[0m", "A|B|C");
	assert_items("[slow] a\n[fast] b\n", "[slow] a|[fast] b");
}

static void test_items_refuse_an_array_of_something_else(void **state)
{
	owned_list items = { 0 };
	struct error error = { 0 };
	const char *text = "[\"a\", 1]";

	(void)state;
	assert_int_equal(items_parse(text, strlen(text), &items, &error), -EINVAL);
	assert_string_equal(error.step, "take the list apart");
	assert_string_equal(error.cause, "it is a JSON array of something else than texts");
}

/* @command, @items  words with | between them */
static void assert_command(const char *command, const char *items, unsigned number, const char *wanted)
{
	owned_list words = { 0 };
	owned_list list = { 0 };
	owned_list filled = { 0 };
	owned_text command_copy = text_duplicate(command);
	owned_text items_copy = text_duplicate(items);

	char *rest = command_copy;

	for (char *word = strsep(&rest, "|"); word; word = strsep(&rest, "|"))
		text_list_add(&words, word);
	rest = items_copy;
	for (char *word = strsep(&rest, "|"); word; word = strsep(&rest, "|"))
		text_list_add(&list, word);
	items_fill_command(&words, list.items, list.count, number, &filled);
	assert_list(&filled, wanted);
}

static void test_command_has_the_item_where_the_braces_stand(void **state)
{
	(void)state;
	assert_command("prove|{}", "a.t", 1, "prove|a.t");
	assert_command("t|--filter=~{}.|-o|out/{#}.trx", "N.C", 12, "t|--filter=~N.C.|-o|out/12.trx");
	/* What an item says of braces is its own. */
	assert_command("t|{}", "{#}{}", 3, "t|{#}{}");
	assert_command("t|-c|{}", "{}", 3, "t|-c|{}");
}

static void test_batch_repeats_the_option_before_the_item(void **state)
{
	(void)state;
	assert_command("t|-class|{}|-trx|{#}", "A|B", 2, "t|-class|A|-class|B|-trx|2");
	assert_command("prove|{}", "a|b|c", 1, "prove|a|b|c");
	assert_command("-t|{}", "a|b", 1, "-t|a|b");
	assert_command("t|--|{}", "a|b", 1, "t|--|a|b");
	assert_command("t|-c={}|x", "a|b", 1, "t|-c=a|-c=b|x");
	assert_command("t|-|{}", "a|b", 1, "t|-|a|b");
}

static void test_plan_arrives_as_it_was(void **state)
{
	struct items_plan plan;
	struct items_plan read;
	owned_text packed = NULL;

	(void)state;
	items_plan_init(&plan);
	plan.list = text_duplicate("ls \"t\"/*.t\n\xff");
	plan.batch = 7;
	plan.workers = 3;
	plan.shard.index = 2;
	plan.shard.count = 5;
	plan.times_fd = 9;
	text_list_add(&plan.directories, "/a b");
	packed = items_plan_pack(&plan);
	assert_int_equal(items_plan_unpack(packed, &read, NULL), 0);
	assert_string_equal(read.list, plan.list);
	assert_int_equal(read.batch, 7);
	assert_int_equal(read.workers, 3);
	assert_int_equal(read.shard.index, 2);
	assert_int_equal(read.shard.count, 5);
	assert_int_equal(read.times_fd, 9);
	assert_null(read.junit);
	assert_list(&read.directories, "/a b");
	items_plan_release(&plan);
	items_plan_release(&read);
}

static void test_plan_of_something_else_is_refused(void **state)
{
	static const char *const others[] = { "", "{}", "[]", "{\"list\":\"ls\",\"batch\":0,\"workers\":1}",
					      ("{\"list\":\"ls\",\"batch\":1,\"workers\":0,\"shard\":0,\"shards\":0,"
					       "\"directories\":[],\"times_fd\":-1}") };

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct items_plan read;

		assert_int_equal(items_plan_unpack(others[i], &read, NULL), -EBADMSG);
		items_plan_release(&read);
	}
}

static void test_command_without_braces_is_refused(void **state)
{
	struct items_plan plan;
	struct spec spec;
	struct error error = { 0 };

	(void)state;
	items_plan_init(&plan);
	spec_init(&spec);
	text_list_add(&spec.payload, "prove");
	assert_int_equal(items_prepare(&spec, "/tree", &plan, &error), -EINVAL);
	assert_string_equal(error.cause, "it has no {}, where the item stands");
	spec_release(&spec);
	items_plan_release(&plan);
}

static void test_times_are_read_as_they_were_written(void **state)
{
	char names[][8] = { "b", "a", "c \"q\"\n" };
	char *const items[] = { names[0], names[1], names[2] };
	const uint64_t ms[] = { 20, 10, UINT32_MAX };
	owned_times times = { 0 };
	owned_fd fd = memfd_create("times", MFD_CLOEXEC);
	uint64_t found = 0;

	(void)state;
	times_write(fd, items, ms, 3);
	/* Shorter than what is there. */
	times_write(fd, items, ms, 3);
	times_read(fd, &times);
	for (size_t i = 0; i < 3; i++) {
		assert_true(times_find(&times, items[i], &found));
		assert_int_equal(found, ms[i]);
	}
	assert_false(times_find(&times, "d", &found));
}

static void test_times_of_nobody_are_none(void **state)
{
	static const char *const others[] = { "", "x", "[1]", "{\"a\":\"b\",\"c\":-1}" };

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		owned_fd fd = memfd_create("times", MFD_CLOEXEC);
		owned_times times = { 0 };
		uint64_t found;

		assert_int_equal(fd_write_all(fd, others[i], strlen(others[i])), 0);
		times_read(fd, &times);
		assert_false(times_find(&times, "a", &found));
		assert_false(times_find(&times, "c", &found));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items_are_lines_or_a_json_array),
		cmocka_unit_test(test_items_refuse_an_array_of_something_else),
		cmocka_unit_test(test_command_has_the_item_where_the_braces_stand),
		cmocka_unit_test(test_batch_repeats_the_option_before_the_item),
		cmocka_unit_test(test_plan_arrives_as_it_was),
		cmocka_unit_test(test_plan_of_something_else_is_refused),
		cmocka_unit_test(test_command_without_braces_is_refused),
		cmocka_unit_test(test_times_are_read_as_they_were_written),
		cmocka_unit_test(test_times_of_nobody_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
