/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sandbox/run/events.h"
#include <cmocka.h>

struct told {
	unsigned count;
	char id[64];
	int64_t slot;
	int64_t retries;
	int64_t start_ms;
	bool is_fresh;
	bool ok;
	bool is_interrupted;
};

static void note(void *argument, const struct events_test *test)
{
	struct told *told = argument;

	told->count++;
	text_copy(told->id, sizeof(told->id), test->id);
	told->slot = test->slot;
	told->retries = test->retries;
	told->is_fresh = test->is_fresh;
	told->start_ms = test->started_ms;
	told->ok = test->ok;
	told->is_interrupted = test->is_interrupted;
}

static struct told take(struct events *events, const char *line)
{
	struct told told = { 0 };

	events_take(events, line, strlen(line), note, &told);
	return told;
}

static void test_events_tell_of_a_red_test_and_its_world(void **state)
{
	struct events events = { 0 };
	struct told told = take(&events, "{\"type\":\"test\",\"event\":\"end\",\"id\":\"a-b\",\"hosted\":false,"
					 "\"retries\":2,\"fresh\":true,\"startedMs\":1700000000123,"
					 "\"slot\":3,\"status\":\"failed\",\"ok\":false}");

	(void)state;
	assert_int_equal(told.count, 1);
	assert_string_equal(told.id, "a-b");
	assert_int_equal(told.slot, 3);
	assert_int_equal(told.retries, 2);
	assert_true(told.is_fresh);
	assert_true(told.start_ms == 1700000000123);
	assert_false(told.ok);
	assert_false(told.is_interrupted);
	assert_int_equal(events.tests_failed, 1);
	assert_int_equal(take(&events, "{\"type\":\"test\",\"event\":\"begin\",\"slot\":3}").count, 0);
	events_release(&events);
}

static void test_events_place_a_hosted_test_in_the_runners_world(void **state)
{
	static const char line[] = "{\"type\":\"test\",\"event\":\"end\",\"hosted\":true,\"slot\":0,\"ok\":false}";
	struct events events = { 0 };

	(void)state;
	/* The runner gives it the number of a world that it does not run in. */
	assert_int_equal(take(&events, line).slot, -1);
	events_release(&events);
}

static void test_events_know_an_interrupted_test(void **state)
{
	static const char line[] =
		"{\"type\":\"test\",\"event\":\"end\",\"slot\":0,\"status\":\"interrupted\",\"ok\":false}";
	struct events events = { 0 };

	(void)state;
	assert_true(take(&events, line).is_interrupted);
	events_release(&events);
}

static void test_events_pass_over_what_they_do_not_understand(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"7",
		"{\"type\":7}",
		"{\"type\":\"test\",\"event\":\"end\",\"slot\":\"0\"}",
		"{\"type\":\"config\",\"artifacts\":{\"directories\":[\"relative\",7]}}",
	};
	struct events events = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		(void)take(&events, lines[i]);
	assert_int_equal(events.artifact_directories.count, 0);
	events_release(&events);
}

static void test_events_know_when_there_may_be_no_tests(void **state)
{
	static const struct {
		const char *hello;
		bool may;
	} cases[] = {
		{ "{\"type\":\"hello\",\"runner\":\"vitest\",\"argv\":[\"node\",\"vitest.mjs\",\"run\"]}", false },
		{ "{\"type\":\"hello\",\"runner\":\"vitest\",\"argv\":[\"node\",\"vitest.mjs\",\"list\"]}", true },
		{ "{\"type\":\"hello\",\"runner\":\"vitest\",\"argv\":[\"node\",\"vitest.mjs\",\"lists\"]}", false },
		{ "{\"type\":\"hello\",\"runner\":\"vitest\",\"argv\":[\"run\",\"--changed=main\"]}", true },
		{ "{\"type\":\"hello\",\"runner\":\"jest\",\"argv\":[]}", true },
		{ "{\"type\":\"hello\",\"runner\":\"playwright\",\"argv\":[\"test\"]}", false },
		{ "{\"type\":\"hello\",\"runner\":\"playwright\",\"argv\":[\"test\",\"--help\"]}", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct events events = { 0 };

		events_take(&events, cases[i].hello, strlen(cases[i].hello), NULL, NULL);
		assert_int_equal(events_may_have_had_no_tests(&events), cases[i].may);
		/* Playwright has told what there is. */
		events_take(&events, "{\"type\":\"config\"}", 17, NULL, NULL);
		if (text_equal(events.runner, "playwright"))
			assert_true(events_may_have_had_no_tests(&events));
		events_release(&events);
	}
}

static void test_events_know_a_command_that_runs_no_tests(void **state)
{
	static const struct {
		const char *const command[8];
		bool is_idle;
	} cases[] = {
		{ { "npx", "playwright", "merge-reports", "all" }, true },
		{ { "node", "node_modules/playwright/cli.js", "merge-reports", "all" }, true },
		{ { "env", "CI=1", "/app/node_modules/.bin/playwright", "merge-reports", "all" }, true },
		/* What else they run is not known. */
		{ { "npm", "run", "merge-reports", "all" }, false },
		{ { "sh", "-c", "playwright merge-reports all; mocha" }, false },
		{ { "npx", "playwright", "merge-reports", "all", "more" }, false },
		{ { "merge-reports", "all" }, false },
	};
	static const char line[] =
		"{\"type\":\"idle\",\"runner\":\"playwright\",\"words\":[\"merge-reports\",\"all\"]}";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct events events = { 0 };
		owned_list command = { 0 };

		for (size_t j = 0; cases[i].command[j]; j++)
			text_list_add(&command, cases[i].command[j]);
		assert_false(events_is_idle(&events, &command));
		(void)take(&events, line);
		assert_int_equal(events_is_idle(&events, &command), cases[i].is_idle);
		/* Another one of its processes tests. */
		(void)take(&events, "{\"type\":\"hello\",\"runner\":\"playwright\",\"argv\":[\"test\"]}");
		assert_false(events_is_idle(&events, &command));
		events_release(&events);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_know_a_command_that_runs_no_tests),
		cmocka_unit_test(test_events_know_when_there_may_be_no_tests),
		cmocka_unit_test(test_events_tell_of_a_red_test_and_its_world),
		cmocka_unit_test(test_events_place_a_hosted_test_in_the_runners_world),
		cmocka_unit_test(test_events_know_an_interrupted_test),
		cmocka_unit_test(test_events_pass_over_what_they_do_not_understand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
