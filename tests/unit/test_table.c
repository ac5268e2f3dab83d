/* SPDX-License-Identifier: Apache-2.0 */
/* Listings: one description of the columns, a table for people and JSON for programs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/macro.h"
#include "base/table.h"

#define SECOND INT64_C(1000000000)

static const struct table_column columns[] = {
	{ "name", "NAME", TABLE_TEXT, 8, NULL },       { "status", "EXIT", TABLE_NUMBER, 0, NULL },
	{ "bytes", "SIZE", TABLE_BYTES, 0, NULL },     { "tree", NULL, TABLE_TEXT, 0, NULL },
	{ "started", "STARTED", TABLE_TIME, 0, NULL }, { "is_live", "LIVE", TABLE_TRUTH, 0, NULL },
	{ "command", "COMMAND", TABLE_LIST, 0, " " },
};

static const int64_t now_ns = 1772366400 * SECOND;

static void add_row(struct table *table, const char *name, int64_t status, int64_t age_seconds, const char *command)
{
	owned_list list = { 0 };

	text_list_add(&list, "dotnet");
	text_list_add(&list, command);
	table_add_text(table, name);
	table_add_number(table, status);
	table_add_number(table, 1536 * 1024);
	table_add_text(table, "/t\xff");
	table_add_number(table, now_ns - age_seconds * SECOND);
	table_add_number(table, status == 0);
	table_add_list(table, &list);
}

static struct table make_table(void)
{
	return (struct table){ .columns = columns, .column_count = ARRAY_SIZE(columns) };
}

static void assert_shown(const struct table *table, const struct table_options *options, const char *want)
{
	owned_buffer out = { 0 };

	table_format(table, options, &out);
	assert_string_equal(out.bytes, want);
}

static void test_columns_are_aligned_and_numbers_stand_right(void **state)
{
	owned_table table = make_table();

	(void)state;
	add_row(&table, "w1", 0, 59, "App.dll");
	add_row(&table, "w10", 137, 7200, "B.dll");
	assert_shown(&table, &(struct table_options){ .now_ns = now_ns },
		     "NAME  EXIT     SIZE  STARTED         LIVE  COMMAND\n"
		     "w1       0  1.5 MiB  59 seconds ago  yes   dotnet App.dll\n"
		     "w10    137  1.5 MiB  2 hours ago     no    dotnet B.dll\n");
}

static void test_wide_and_combining_characters_keep_the_columns(void **state)
{
	owned_table table = make_table();

	(void)state;
	add_row(&table, "\xe6\x97\xa5", 0, 0, "a");
	add_row(&table, "e\xcc\x81", 0, 1, "b");
	assert_shown(&table, &(struct table_options){ .now_ns = now_ns },
		     "NAME  EXIT     SIZE  STARTED       LIVE  COMMAND\n"
		     "\xe6\x97\xa5       0  1.5 MiB  just now      yes   dotnet a\n"
		     "e\xcc\x81        0  1.5 MiB  1 second ago  yes   dotnet b\n");
}

static void test_a_long_cell_is_cut_unless_asked_not_to(void **state)
{
	owned_table table = make_table();

	(void)state;
	add_row(&table, "abcdefghij", 0, 60, "x");
	assert_shown(&table, &(struct table_options){ .now_ns = now_ns },
		     "NAME      EXIT     SIZE  STARTED       LIVE  COMMAND\n"
		     "abcdefg…     0  1.5 MiB  1 minute ago  yes   dotnet x\n");
	assert_shown(&table, &(struct table_options){ .now_ns = now_ns, .no_trunc = true },
		     "NAME        EXIT     SIZE  STARTED       LIVE  COMMAND\n"
		     "abcdefghij     0  1.5 MiB  1 minute ago  yes   dotnet x\n");
	assert_shown(&table, &(struct table_options){ .now_ns = now_ns, .width = 50 },
		     "NAME      EXIT     SIZE  STARTED       LIVE  COMM…\n"
		     "abcdefg…     0  1.5 MiB  1 minute ago  yes   dotn…\n");
}

static void test_no_cell_can_command_the_terminal_or_break_its_line(void **state)
{
	owned_table table = make_table();
	owned_buffer out = { 0 };

	(void)state;
	add_row(&table, "\033]0;x\a", 0, 60, "a\nb\x9b\xc2\x9b");
	table_format(&table, &(struct table_options){ .now_ns = now_ns, .no_trunc = true }, &out);
	assert_null(strchr(out.bytes, '\033'));
	assert_non_null(strstr(out.bytes, "\\x1b]0;x\\x07"));
	assert_non_null(strstr(out.bytes, "dotnet a\\nb\\x9b\\xc2\\x9b\n"));
}

static void test_json_has_every_column_with_its_type(void **state)
{
	owned_table table = make_table();
	owned_buffer out = { 0 };
	owned_json json = { 0 };

	(void)state;
	add_row(&table, "w1", 3, 60, "a\xff");
	table_add_missing(&table);
	for (size_t i = 1; i < ARRAY_SIZE(columns); i++)
		table_add_missing(&table);
	table_format(&table, &(struct table_options){ .format = TABLE_FORMAT_JSON }, &out);
	assert_string_equal(
		out.bytes,
		"[\n"
		"{\"name\":\"w1\",\"status\":3,\"bytes\":1572864,\"tree\":\"/t\\udcff\","
		"\"started\":\"2026-03-01T11:59:00.000Z\",\"is_live\":false,\"command\":[\"dotnet\",\"a\\udcff\"]},\n"
		"{\"name\":null,\"status\":null,\"bytes\":null,\"tree\":null,\"started\":null,"
		"\"is_live\":null,\"command\":null}\n"
		"]\n");
	assert_int_equal(json_read(&json, out.bytes, out.length, NULL), 0);
}

static void test_an_empty_listing_has_its_heads_or_is_an_empty_array(void **state)
{
	owned_table table = make_table();

	(void)state;
	assert_shown(&table, &(struct table_options){ 0 }, "NAME  EXIT  SIZE  STARTED  LIVE  COMMAND\n");
	assert_shown(&table, &(struct table_options){ .format = TABLE_FORMAT_JSON }, "[]\n");
}

static void test_missing_cells_are_empty_and_leave_no_space_at_the_end(void **state)
{
	static const struct table_column two[] = { { "a", "A", TABLE_TEXT, 0, NULL },
						   { "b", "B", TABLE_TEXT, 0, NULL } };
	owned_table table = { .columns = two, .column_count = 2 };

	(void)state;
	table_add_text(&table, "x");
	table_add_text(&table, NULL);
	assert_shown(&table, &(struct table_options){ 0 }, "A  B\nx\n");
}

static void test_colour_is_outside_of_what_is_aligned(void **state)
{
	static const struct table_column two[] = { { "a", "A", TABLE_TEXT, 0, NULL },
						   { "b", "B", TABLE_TEXT, 0, NULL } };
	owned_table table = { .columns = two, .column_count = 2 };

	(void)state;
	table_add_text(&table, "live");
	table_set_style(&table, TABLE_GOOD);
	table_add_text(&table, "y");
	assert_shown(&table, &(struct table_options){ .has_colour = true },
		     "\033[1mA\033[0m     \033[1mB\033[0m\n\033[32mlive\033[0m  y\n");
}

static void test_no_color_wins_and_a_pipe_has_none(void **state)
{
	struct table_options options;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	(void)unsetenv("NO_COLOR");
	(void)unsetenv("FORCE_COLOR");
	table_options_init(&options, ends[1]);
	assert_false(options.has_colour);
	assert_int_equal(options.width, 0);
	assert_true(options.now_ns > now_ns - 3650 * 86400 * SECOND);
	(void)setenv("FORCE_COLOR", "1", 1);
	table_options_init(&options, ends[1]);
	assert_true(options.has_colour);
	(void)setenv("NO_COLOR", "1", 1);
	table_options_init(&options, ends[1]);
	assert_false(options.has_colour);
	(void)unsetenv("NO_COLOR");
	(void)unsetenv("FORCE_COLOR");
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void test_formats_are_parsed(void **state)
{
	enum table_format format = TABLE_FORMAT_TABLE;

	(void)state;
	assert_int_equal(table_parse_format("json", &format), 0);
	assert_int_equal(format, TABLE_FORMAT_JSON);
	assert_int_equal(table_parse_format("table", &format), 0);
	assert_int_equal(format, TABLE_FORMAT_TABLE);
	assert_int_equal(table_parse_format("{{.ID}}", &format), -EINVAL);
}

static void test_times_are_utc_to_the_millisecond(void **state)
{
	char text[TABLE_TIME_SIZE];

	(void)state;
	assert_string_equal(table_time(0, text), "1970-01-01T00:00:00.000Z");
	assert_string_equal(table_time(now_ns + 7999999, text), "2026-03-01T12:00:00.007Z");
	assert_string_equal(table_time(-1, text), "1969-12-31T23:59:59.999Z");
	assert_string_equal(table_time(INT64_MAX, text), "2262-04-11T23:47:16.854Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_are_aligned_and_numbers_stand_right),
		cmocka_unit_test(test_wide_and_combining_characters_keep_the_columns),
		cmocka_unit_test(test_a_long_cell_is_cut_unless_asked_not_to),
		cmocka_unit_test(test_no_cell_can_command_the_terminal_or_break_its_line),
		cmocka_unit_test(test_json_has_every_column_with_its_type),
		cmocka_unit_test(test_an_empty_listing_has_its_heads_or_is_an_empty_array),
		cmocka_unit_test(test_missing_cells_are_empty_and_leave_no_space_at_the_end),
		cmocka_unit_test(test_colour_is_outside_of_what_is_aligned),
		cmocka_unit_test(test_no_color_wins_and_a_pipe_has_none),
		cmocka_unit_test(test_formats_are_parsed),
		cmocka_unit_test(test_times_are_utc_to_the_millisecond),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
