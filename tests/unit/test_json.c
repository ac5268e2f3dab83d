/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is written is read again, any bytes included; what is not JSON is refused, whatever it is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/json.h"
#include "base/macro.h"
#include "base/utf8.h"

static void assert_written(struct text_buffer *out, const char *want)
{
	assert_string_equal(out->bytes, want);
	text_buffer_release(out);
}

static void test_commas_stand_between_values_and_nowhere_else(void **state)
{
	struct text_buffer out = { 0 };
	char *items[] = { (char *)"x[", (char *)"y{", NULL };
	struct text_list list = { .items = items, .count = 2 };

	(void)state;
	json_begin_object(&out, NULL);
	json_add_text(&out, "a", "1");
	json_add_number(&out, "b", INT64_MIN);
	json_add_bool(&out, "c", true);
	json_add_null(&out, "d");
	json_begin_array(&out, "e");
	json_end_array(&out);
	json_begin_object(&out, "f");
	json_end_object(&out);
	json_add_list(&out, "g", &list);
	json_add_text(&out, "h", NULL);
	json_add_raw(&out, "i", "[1,2]");
	json_end_object(&out);
	text_buffer_add(&out, "\n", 1);
	json_add_bool(&out, NULL, false);
	assert_written(&out, "{\"a\":\"1\",\"b\":-9223372036854775808,\"c\":true,\"d\":null,\"e\":[],\"f\":{},"
			     "\"g\":[\"x[\",\"y{\"],\"h\":null,\"i\":[1,2]}\nfalse");
}

static void test_bytes_that_are_not_utf8_become_lone_low_surrogates(void **state)
{
	struct text_buffer out = { 0 };

	(void)state;
	json_add_text(&out, NULL, "a\x80\xff\xc3\xa9\xc3");
	assert_written(&out, "\"a\\udc80\\udcff\xc3\xa9\\udcc3\"");
	/* A surrogate encoded by hand is not UTF-8: byte by byte. */
	json_add_text(&out, NULL, "\xed\xb2\x80");
	assert_written(&out, "\"\\udced\\udcb2\\udc80\"");
}

static void test_what_commands_a_terminal_is_escaped(void **state)
{
	struct text_buffer out = { 0 };

	(void)state;
	json_add_text(&out, NULL, "\033[2J\x7f\xc2\x9b\n\t\"\\/\x01");
	assert_written(&out, "\"\\u001b[2J\\u007f\\u009b\\n\\t\\\"\\\\/\\u0001\"");
}

static char *round_trip(const char *text)
{
	owned_buffer out = { 0 };
	owned_json json = { 0 };
	struct error error = { 0 };
	char *back = NULL;

	json_add_text(&out, NULL, text);
	assert_int_equal(json_read(&json, out.bytes, out.length, &error), 0);
	assert_int_equal(json_text(json_root(&json), &back), 0);
	assert_true(json_text_is(json_root(&json), text));
	return back;
}

static void test_every_byte_and_every_pair_of_bytes_comes_back(void **state)
{
	(void)state;
	for (unsigned first = 1; first < 256; first++) {
		for (unsigned second = 0; second < 256; second++) {
			char text[] = { (char)first, (char)second, 'z', '\0' };
			char *back = round_trip(text);

			assert_string_equal(back, text);
			free(back);
		}
	}
}

static void test_random_bytes_come_back(void **state)
{
	(void)state;
	srand(7);
	for (int i = 0; i < 20000; i++) {
		char text[24];
		size_t length = (size_t)rand() % (sizeof(text) - 1);
		char *back;

		/* Around the borders of UTF-8, where the mistakes are. */
		for (size_t j = 0; j < length; j++)
			text[j] = "\x41\x7f\x80\x9f\xa0\xbf\xc0\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff\\\"u"[rand() % 19];
		text[length] = '\0';
		back = round_trip(text);
		assert_string_equal(back, text);
		free(back);
	}
}

static int read_text(struct json *json, const char *text, struct error *error)
{
	return json_read(json, text, strlen(text), error);
}

static void test_members_and_elements_are_found(void **state)
{
	owned_json json = { 0 };
	struct error error = { 0 };
	struct json_value array;
	int64_t number = 0;
	int64_t sum = 0;
	bool truth = false;
	char *text = NULL;

	(void)state;
	assert_int_equal(read_text(&json,
				   " { \"a\" : [ 1 , [2,{\"a\":9}] , -3 ] , \"\\u0062\" : \"x\\ud83d\\ude00\" ,"
				   "\"c\":{},\"d\":true,\"e\":null,\"a\":7}\r\n",
				   &error),
			 0);
	array = json_member(json_root(&json), "a");
	assert_int_equal(json_type(array), JSON_ARRAY);
	for (struct json_value item = json_first(array); json_type(item); item = json_next(item)) {
		if (json_type(item) == JSON_NUMBER) {
			assert_int_equal(json_number(item, &number), 0);
			sum += number;
		} else {
			assert_int_equal(json_type(item), JSON_ARRAY);
			assert_int_equal(json_number(item, &number), -EINVAL);
		}
	}
	assert_int_equal(sum, -2);
	assert_int_equal(json_text(json_member(json_root(&json), "b"), &text), 0);
	assert_string_equal(text, "x\xf0\x9f\x98\x80");
	text_free(&text);
	assert_int_equal(json_name(json_member(json_root(&json), "b"), &text), 0);
	assert_string_equal(text, "b");
	text_free(&text);
	assert_int_equal(json_type(json_first(json_member(json_root(&json), "c"))), JSON_MISSING);
	assert_int_equal(json_bool(json_member(json_root(&json), "d"), &truth), 0);
	assert_true(truth);
	assert_int_equal(json_text(json_member(json_root(&json), "e"), &text), -ENOENT);
	/* What is missing can be asked on. */
	assert_int_equal(json_number(json_member(json_member(json_root(&json), "no"), "way"), &number), -ENOENT);
	assert_int_equal(json_type(json_next(json_member(json_root(&json), "no"))), JSON_MISSING);
}

static void test_numbers_are_whole_and_in_range(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t number;
	} cases[] = {
		{ "0", 0, 0 },
		{ "-0", 0, 0 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "-9223372036854775809", -ERANGE, 0 },
		{ "99999999999999999999999999", -ERANGE, 0 },
		{ "1.5", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		owned_json json = { 0 };
		int64_t number = 0;

		assert_int_equal(read_text(&json, cases[i].text, NULL), 0);
		assert_int_equal(json_number(json_root(&json), &number), cases[i].result);
		assert_true(number == cases[i].number);
	}
}

static void test_what_is_not_json_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		"{",
		"}",
		"[",
		"]",
		"[1",
		"[1,",
		"[1,]",
		"[,1]",
		"[1 2]",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{1:1}",
		"{\"a\" 1}",
		"{\"a\":1 \"b\":2}",
		"nul",
		"nulll",
		"True",
		"tru",
		"+1",
		"01",
		"1.",
		".5",
		"-",
		"1e",
		"1e+",
		"0x10",
		"NaN",
		"Infinity",
		"1 2",
		"[] []",
		"\"",
		"\"a",
		"\"\\\"",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\u12g4\"",
		"\"\\ud800\"",
		"\"\\ud800x\"",
		"\"\\ud800\\u0041\"",
		"\"\\udc00\"",
		"\"\\udc7f\"",
		"\"\\udd00\"",
		"\"\n\"",
		"\"\t\"",
		"\"\x01\"",
		"\"\x80\"",
		"\"\xc3\"",
		"\"\xed\xa0\x80\"",
		"\"\xf4\x90\x80\x80\"",
		"'a'",
		"// x\n1",
		"[1]x",
		"\xef\xbb\xbf[]",
		"\f[]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		owned_json json = { 0 };
		struct error error = { 0 };
		int result = read_text(&json, cases[i], &error);

		if (result != -EBADMSG)
			fail_msg("'%s' gave %d", cases[i], result);
		assert_int_equal(json_type(json_root(&json)), JSON_MISSING);
		assert_non_null(strstr(error.cause, "at byte"));
	}
}

static void test_every_cut_of_a_text_is_refused(void **state)
{
	static const char text[] =
		"{\"a\":[1,-2.5e+3,\"\\u00e9\\ud83d\\ude00\xc3\xa9\"],\"b\":{\"c\":null,\"d\":true}}";

	(void)state;
	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		owned_json json = { 0 };
		/* In memory of just that size, so that a sanitizer sees a read beyond it. */
		char *part = malloc(size ? size : 1);

		memcpy(part, text, size);
		assert_int_equal(json_read(&json, part, size, NULL), -EBADMSG);
		free(part);
	}
}

static void test_a_nul_byte_ends_nothing(void **state)
{
	owned_json json = { 0 };
	char *text = NULL;

	(void)state;
	assert_int_equal(json_read(&json, "[1]\0[2]", 7, NULL), -EBADMSG);
	assert_int_equal(json_read(&json, "\"a\0b\"", 5, NULL), -EBADMSG);
	assert_int_equal(read_text(&json, "\"a\\u0000b\"", NULL), 0);
	assert_int_equal(json_text(json_root(&json), &text), -EINVAL);
	assert_false(json_text_is(json_root(&json), "a"));
}

static void test_depth_and_length_are_bounded(void **state)
{
	owned_json json = { 0 };
	char deep[2 * JSON_DEPTH_MAX + 4];
	char *hostile = malloc(1 << 20);

	(void)state;
	memset(deep, '[', JSON_DEPTH_MAX);
	memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_int_equal(json_read(&json, deep, 2 * JSON_DEPTH_MAX, NULL), 0);
	memset(deep, '[', JSON_DEPTH_MAX + 1);
	memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_read(&json, deep, 2 * JSON_DEPTH_MAX + 2, NULL), -E2BIG);
	memset(hostile, '[', 1 << 20);
	assert_int_equal(json_read(&json, hostile, 1 << 20, NULL), -E2BIG);
	free(hostile);
	assert_int_equal(json_read(&json, "", (size_t)JSON_SIZE_MAX + 1, NULL), -E2BIG);
}

static void test_random_damage_never_breaks_the_reader(void **state)
{
	static const char seed[] =
		"{\"id\":\"3k9f2c7a01\",\"command\":[\"dotnet\",\"\\udcff\"],\"pid\":12,\"x\":{\"y\":[true]}}";

	(void)state;
	srand(11);
	for (int i = 0; i < 200000; i++) {
		owned_json json = { 0 };
		char text[sizeof(seed)];

		memcpy(text, seed, sizeof(seed));
		for (int j = rand() % 4; j >= 0; j--)
			text[(size_t)rand() % (sizeof(seed) - 1)] = (char)rand();
		if (json_read(&json, text, sizeof(seed) - 1, NULL) == 0) {
			owned_list list = { 0 };

			(void)json_list(json_member(json_root(&json), "command"), &list);
		}
	}
}

static void test_widths_are_those_of_a_terminal(void **state)
{
	(void)state;
	assert_int_equal(utf8_text_width("abc"), 3);
	assert_int_equal(utf8_text_width("\xc3\xa9"), 1);
	assert_int_equal(utf8_text_width("e\xcc\x81"), 1);
	assert_int_equal(utf8_text_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
	assert_int_equal(utf8_text_width("\xf0\x9f\x98\x80"), 2);
	assert_int_equal(utf8_text_width("\xff"), 1);
	assert_int_equal(utf8_length_of_width("\xe6\x97\xa5\xe6\x9c\xac", 3), 3);
	assert_int_equal(utf8_length_of_width("e\xcc\x81x", 1), 3);
}

/* -- why not SQLite's functions ------------------------------------------------------------------------------------ */

static double now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void test_reading_a_thousand_rows_is_a_matter_of_milliseconds(void **state)
{
	static const char row[] =
		"{\"check\":\"0123456789abcdef\",\"version\":1,\"id\":\"3k9f2c7a01\",\"name\":\"w1\",\"run\":"
		"\"3k9f2c7a00\","
		"\"tree\":\"/home/me/src/shop\",\"command\":[\"dotnet\",\"App.dll\",\"--urls\",\"http://"
		"localhost:5555\"],"
		"\"phase\":\"running\",\"keep\":\"failed\",\"pid\":123456,\"sbx_pid\":123450,\"payload_pid\":2,"
		"\"started_ns\":1772366400000000000,\"labels\":[\"branch=main\"],\"degraded\":[\"disk upper\"]}";
	static const char *const members[] = { "id",	     "name",   "run",	  "tree",    "command",
					       "phase",	     "keep",   "pid",	  "sbx_pid", "payload_pid",
					       "started_ns", "labels", "degraded" };
	sqlite3_stmt *statement = NULL;
	sqlite3 *database = NULL;
	owned_json json = { 0 };
	double own;
	double theirs;

	(void)state;
	own = now();
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(json_read(&json, row, sizeof(row) - 1, NULL), 0);
		for (size_t j = 0; j < ARRAY_SIZE(members); j++)
			assert_int_not_equal(json_type(json_member(json_root(&json), members[j])), JSON_MISSING);
	}
	own = now() - own;

	theirs = now();
	assert_int_equal(sqlite3_open(":memory:", &database), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(database, "SELECT json_extract(?1, ?2)", -1, &statement, NULL), SQLITE_OK);
	for (int i = 0; i < 1000; i++) {
		(void)sqlite3_bind_text(statement, 1, row, sizeof(row) - 1, SQLITE_STATIC);
		for (size_t j = 0; j < ARRAY_SIZE(members); j++) {
			char path[32];

			(void)snprintf(path, sizeof(path), "$.%s", members[j]);
			(void)sqlite3_bind_text(statement, 2, path, -1, SQLITE_TRANSIENT);
			assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
			(void)sqlite3_column_text(statement, 0);
			(void)sqlite3_reset(statement);
		}
	}
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close(database);
	theirs = now() - theirs;
	print_message("1,000 rows of %zu bytes, %zu members: own reader %.2f ms, SQLite %.2f ms\n", sizeof(row) - 1,
		      ARRAY_SIZE(members), own, theirs);
	assert_true(own < 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commas_stand_between_values_and_nowhere_else),
		cmocka_unit_test(test_bytes_that_are_not_utf8_become_lone_low_surrogates),
		cmocka_unit_test(test_what_commands_a_terminal_is_escaped),
		cmocka_unit_test(test_every_byte_and_every_pair_of_bytes_comes_back),
		cmocka_unit_test(test_random_bytes_come_back),
		cmocka_unit_test(test_members_and_elements_are_found),
		cmocka_unit_test(test_numbers_are_whole_and_in_range),
		cmocka_unit_test(test_what_is_not_json_is_refused),
		cmocka_unit_test(test_every_cut_of_a_text_is_refused),
		cmocka_unit_test(test_a_nul_byte_ends_nothing),
		cmocka_unit_test(test_depth_and_length_are_bounded),
		cmocka_unit_test(test_random_damage_never_breaks_the_reader),
		cmocka_unit_test(test_widths_are_those_of_a_terminal),
		cmocka_unit_test(test_reading_a_thousand_rows_is_a_matter_of_milliseconds),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
