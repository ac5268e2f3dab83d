/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/pool/count.h"

static const struct count_machine machine = {
	.processors = 8, .memory_bytes = UINT64_C(4096) << 20, .inotify_instances = 100, .namespaces = 1000
};

static void test_parse(void **state)
{
	struct count count;

	(void)state;
	assert_int_equal(count_parse("4", &count), 0);
	assert_int_equal(count.number, 4);
	assert_int_equal(count_parse("50%", &count), 0);
	assert_int_equal(count.percent, 50);
	assert_int_equal(count.number, 0);
	assert_int_equal(count_parse("auto", &count), 0);
	assert_true(count.is_auto);
	assert_int_equal(count_parse("0", &count), -ERANGE);
	assert_int_equal(count_parse("257", &count), -ERANGE);
	assert_int_equal(count_parse("%", &count), -EINVAL);
	assert_int_equal(count_parse("", &count), -EINVAL);
	assert_int_equal(count_parse(" 4", &count), -EINVAL);
	assert_int_equal(count_parse("Auto", &count), -EINVAL);
}

static void test_percent_is_playwrights(void **state)
{
	(void)state;
	assert_int_equal(count_percent(50, 8), 4);
	assert_int_equal(count_percent(50, 3), 1);
	assert_int_equal(count_percent(10, 2), 1);
	assert_int_equal(count_percent(100, 8), 8);
}

static void check(unsigned want, const char *bound, const struct count_machine *of, const struct count_size *size)
{
	char reason[COUNT_REASON_SIZE];

	assert_int_equal(count_fit(of, size, reason), want);
	assert_non_null(strstr(reason, bound));
}

static void test_the_least_binds_and_is_named(void **state)
{
	struct count_machine few = machine;

	(void)state;
	check(8, "bound by processors", &machine, NULL);
	check(8, "bound by processors", &machine, &(struct count_size){ 1 << 20, 1 });
	check(4, "bound by memory", &machine, &(struct count_size){ UINT64_C(1000) << 20, 1 });
	check(3, "bound by inotify", &machine, &(struct count_size){ 1 << 20, 30 });
	few.namespaces = 2;
	check(2, "bound by namespaces", &few, &(struct count_size){ 1 << 20, 1 });
	/* One is tried in any case: it says better what is missing. */
	check(1, "bound by memory", &machine, &(struct count_size){ UINT64_C(5000) << 20, 1 });
}

static void test_what_cannot_be_told_does_not_bind(void **state)
{
	(void)state;
	check(8, "bound by processors", &(struct count_machine){ .processors = 8 },
	      &(struct count_size){ UINT64_C(1000) << 20, 30 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_percent_is_playwrights),
		cmocka_unit_test(test_the_least_binds_and_is_named),
		cmocka_unit_test(test_what_cannot_be_told_does_not_bind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
