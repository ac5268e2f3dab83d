/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/run/expense.h"

static void test_dear_is_long_or_large(void **state)
{
	(void)state;
	assert_false(expense_is_dear(5000, 700000000));
	assert_true(expense_is_dear(5001, 0));
	assert_true(expense_is_dear(0, 700000001));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dear_is_long_or_large) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
