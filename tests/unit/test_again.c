/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "base/text.h"
#include "sandbox/run/again.h"

enum { TICK_MS = 4 };

static void test_again_finds_who_wrote_a_file_last(void **state)
{
	struct again_test tests[] = { { .began_ms = 1000, .ended_ms = 1100 }, { .began_ms = 1102, .ended_ms = 1200 } };
	struct again_past past = { tests, ARRAY_SIZE(tests) };
	static const struct {
		int64_t changed_ms;
		int want;
	} cases[] = {
		{ 900, -1 }, /* before all of them */
		{ 995, -1 }, /* a tick and more before */
		{ 996, 0 },  /* a file's time is up to a tick too old */
		{ 1050, 0 }, /* while it ran */
		{ 1100, 0 }, /* at its end, and a tick may reach into the next one */
		{ 1101, 1 }, /* between the two, where the next may have begun in that tick */
		{ 1150, 1 }, /* while the other ran */
		{ 9000, 1 }, /* long after: whatever it left running */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(again_find_author(&past, cases[i].changed_ms, TICK_MS), cases[i].want);
	assert_int_equal(again_find_author(&(struct again_past){ 0 }, 0, TICK_MS), -1);
}

static struct text_buffer said;

static void say(const char *line)
{
	text_buffer_format(&said, "%s\n", line);
}

static void test_again_tells_only_what_passes_only_when_fresh_and_no_escapes(void **state)
{
	char *left[] = { (char *)"a", (char *)"b\x1b[31m", (char *)"c", (char *)"d", (char *)"e" };
	struct again_suspect suspects[] = {
		{ .test = { .title = (char *)"leaves", .file = (char *)"t/a.js", .line = 3 },
		  .left = { left, ARRAY_SIZE(left) } }
	};
	struct again_test silent[] = { { .title = (char *)"asks", .file = (char *)"t/a.js", .line = 5 },
				       { .title = (char *)"asks\x1b[2J", .file = (char *)"t/a.js", .line = 4 } };
	struct again_case cases[] = {
		{ .id = (char *)"1",
		  .title = (char *)"one",
		  .file = (char *)"t/b.js",
		  .line = 7,
		  .suspects = suspects,
		  .suspect_count = 1,
		  .is_looked_at = true,
		  .silent = silent,
		  .silent_count = ARRAY_SIZE(silent),
		  .silent_missed = 2,
		  .verdict = AGAIN_PASSES_ONLY_FRESH },
		{ .id = (char *)"2",
		  .title = (char *)"two",
		  .file = (char *)"t/b.js",
		  .line = 9,
		  .verdict = AGAIN_FAILS_FRESH },
		{ .id = (char *)"3", .title = (char *)"three", .file = (char *)"t/b.js", .line = 11 },
	};
	struct again again = { cases, ARRAY_SIZE(cases) };

	(void)state;
	again_tell(&again, true, say);
	assert_string_equal(said.bytes,
			    "passes only when fresh: t/b.js:7 one\n"
			    "  suspected: t/a.js:3 leaves, which left a, b\\x1b[31m, c, d and 1 more\n"
			    "  or the memory of a server, changed by one that left nothing to be seen: t/a.js:5 asks, "
			    "t/a.js:4 asks\\x1b[2J and 2 more; sbx test --why tells more\n"
			    "1 test passes only when fresh, which leaves the run red, whatever the runner says; "
			    "--retry-fresh=green lets it pass\n");
	/* Nothing is pinned on anybody where nothing was found, or could not be. */
	text_buffer_release(&said);
	cases[0].suspect_count = 0;
	cases[0].silent_count = 1;
	cases[0].silent_missed = 0;
	again_tell(&again, true, say);
	assert_non_null(strstr(said.bytes, "  no earlier test of its world left a file there\n"
					   "  the memory of a server? There were before it: t/a.js:5 asks; sbx test "
					   "--why tells more\n"));
	text_buffer_release(&said);
	cases[0].silent_count = 0;
	again_tell(&again, true, say);
	assert_non_null(strstr(said.bytes, "  no test was in that world before it: chance"));
	text_buffer_release(&said);
	cases[0].is_looked_at = false;
	again_tell(&again, true, say);
	assert_non_null(strstr(said.bytes, "could not be looked at"));
	again.items++;
	again.count--;
	text_buffer_release(&said);
	again_tell(&again, true, say);
	assert_int_equal(said.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_again_finds_who_wrote_a_file_last),
		cmocka_unit_test(test_again_tells_only_what_passes_only_when_fresh_and_no_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
