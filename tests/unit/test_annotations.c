/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/run/annotations.h"
#include <cmocka.h>

static void hear(struct annotations *annotations, const char *id, bool ok, bool is_fresh)
{
	const struct events_test test = { .id = id,
					  .title = id,
					  .file = "/work/shop/e2e/a.spec.ts",
					  .line = 7,
					  .message = "\033[31mtwo\033[39m\nlines, 100 %",
					  .ok = ok,
					  .is_fresh = is_fresh };

	annotations_hear(annotations, &test);
}

static void test_red_tests_are_told_at_their_place(void **state)
{
	struct annotations annotations = { 0 };
	owned_buffer out = { 0 };

	(void)state;
	hear(&annotations, "pays: 5, 6", false, false);
	annotations_write(&annotations, "/work/shop", &out);
	annotations_write(&annotations, "/work/sho", &out);
	assert_string_equal(
		out.bytes, "::error file=e2e/a.spec.ts,line=7,title=pays%3A 5%2C 6::two%0Alines, 100 %25\n"
			   "::error file=/work/shop/e2e/a.spec.ts,line=7,title=pays%3A 5%2C 6::two%0Alines, 100 %25\n");
	annotations_release(&annotations);
}

static void test_the_last_try_counts(void **state)
{
	struct annotations annotations = { 0 };
	owned_buffer out = { 0 };

	(void)state;
	hear(&annotations, "flaky", false, false);
	hear(&annotations, "again", false, false);
	hear(&annotations, "green", true, false);
	hear(&annotations, "flaky", true, false);
	hear(&annotations, "again", false, false);
	/* Passes only where nobody was before. */
	hear(&annotations, "again", true, true);
	annotations_write(&annotations, NULL, &out);
	assert_ptr_equal(strstr(out.bytes, "::error"), out.bytes);
	assert_non_null(strstr(out.bytes, "title=again::"));
	assert_null(strstr(out.bytes + 1, "::error"));
	annotations_release(&annotations);
}

static void test_no_more_than_a_step_shows(void **state)
{
	struct annotations annotations = { 0 };
	owned_buffer out = { 0 };
	unsigned lines = 0;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		owned_text id = text_format("red %u", i);

		hear(&annotations, id, false, false);
	}
	annotations_write(&annotations, NULL, &out);
	for (const char *at = out.bytes; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	assert_int_equal(lines, 10);
	annotations_release(&annotations);
}

static void test_an_item_has_no_file(void **state)
{
	struct annotations annotations = { 0 };
	const struct events_test test = { .id = "1", .title = "t/one.t", .file = "/work/shop", .message = "" };
	owned_buffer out = { 0 };

	(void)state;
	annotations_hear(&annotations, &test);
	annotations_write(&annotations, NULL, &out);
	assert_string_equal(out.bytes, "::error title=t/one.t::failed\n");
	annotations_release(&annotations);
}

static void test_the_error_that_ends_a_run_is_one_line(void **state)
{
	struct error error = { 0 };
	owned_buffer out = { 0 };

	(void)state;
	(void)error_set(&error, .number = 22, .step = "spread the tests", .cause = "none began", .remedy = "use -n 1");
	annotations_write_error(&error, &out);
	assert_string_equal(out.bytes, "::error title=sbx::cannot spread the tests: none began%0A  use -n 1\n");
}

static void test_only_a_job_of_github_wants_them(void **state)
{
	(void)state;
	(void)unsetenv("GITHUB_ACTIONS");
	assert_false(annotations_are_wanted());
	(void)setenv("GITHUB_ACTIONS", "true", 1);
	assert_true(annotations_are_wanted());
	(void)unsetenv("GITHUB_ACTIONS");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_red_tests_are_told_at_their_place),
		cmocka_unit_test(test_the_last_try_counts),
		cmocka_unit_test(test_no_more_than_a_step_shows),
		cmocka_unit_test(test_an_item_has_no_file),
		cmocka_unit_test(test_the_error_that_ends_a_run_is_one_line),
		cmocka_unit_test(test_only_a_job_of_github_wants_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
