/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macro.h"
#include "sandbox/run/unit.h"

static void test_unit_takes_the_world_that_is_due(void **state)
{
	static const struct {
		struct unit_choice choice;
		struct unit_past past;
		enum unit_world want;
	} cases[] = {
		{ { 0 }, { .was_leased = true, .was_red = true }, UNIT_WORLD_AS_IT_IS },
		{ { .fresh = UNIT_WORKER }, { 0 }, UNIT_WORLD_AS_IT_IS },
		{ { .fresh = UNIT_WORKER }, { .was_leased = true }, UNIT_WORLD_FRESH },
		{ { .fresh = UNIT_FILE }, { .was_leased = true }, UNIT_WORLD_FRESH },
		{ { .fresh = UNIT_FAIL }, { .was_leased = true }, UNIT_WORLD_AS_IT_IS },
		{ { .fresh = UNIT_FAIL }, { .was_leased = true, .was_red = true }, UNIT_WORLD_FRESH },
		{ { .reset = UNIT_WORKER }, { .was_leased = true }, UNIT_WORLD_RESET },
		{ { .reset = UNIT_FAIL }, { .was_leased = true }, UNIT_WORLD_AS_IT_IS },
		{ { .fresh = UNIT_FAIL, .reset = UNIT_FILE }, { .was_leased = true }, UNIT_WORLD_RESET },
		{ { .fresh = UNIT_FAIL, .reset = UNIT_FILE },
		  { .was_leased = true, .was_red = true },
		  UNIT_WORLD_FRESH },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(unit_choose(&cases[i].choice, &cases[i].past), cases[i].want);
}

static void test_unit_word_is_of_the_unit_that_begins_more_often(void **state)
{
	static const struct unit_choice none = { 0 };
	static const struct unit_choice worker = { .fresh = UNIT_WORKER };
	static const struct unit_choice both = { .fresh = UNIT_FAIL, .reset = UNIT_FILE };
	static const struct unit_choice reset = { .reset = UNIT_FAIL };

	(void)state;
	assert_null(unit_word(&none));
	assert_string_equal(unit_word(&worker), "worker");
	assert_string_equal(unit_word(&both), "file");
	assert_string_equal(unit_word(&reset), "fail");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit_takes_the_world_that_is_due),
		cmocka_unit_test(test_unit_word_is_of_the_unit_that_begins_more_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
