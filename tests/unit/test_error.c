/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: four parts, cut to size, and the table of causes that run and doctor share. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/macro.h"

static const struct {
	const char *step;
	int number;
	const char *cause;
	const char *remedy;
} table[] = {
#define E(step, number, cause, remedy) { step, number, cause, remedy },
#include "base/error.def"
#undef E
};

static void test_each_row_of_the_table_is_reached(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error error;

		/* A row below one whose step is a prefix of its own, with the same number, would never be read. */
		assert_int_equal(error_set(&error, .number = table[i].number, .step = table[i].step), -table[i].number);
		assert_string_equal(error.cause, table[i].cause);
		assert_string_equal(error.remedy, table[i].remedy ? table[i].remedy : "");
	}
}

static void test_each_row_fits_whole(void **state)
{
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_true(table[i].cause[0] != '\0');
		assert_in_range(strlen(table[i].step), 0, sizeof(error.step) - 1);
		assert_in_range(strlen(table[i].cause), 0, sizeof(error.cause) - 1);
		assert_in_range(table[i].remedy ? strlen(table[i].remedy) : 0, 0, sizeof(error.remedy) - 1);
	}
}

static void assert_explained(const char *step, int number, const char *cause, const char *remedy)
{
	struct error error;

	(void)error_set(&error, .number = number, .step = step, .object = "X");
	if (!strstr(error.cause, cause) || !strstr(error.remedy, remedy))
		fail_msg("cannot %s, errno %d: cause '%s' should have '%s', remedy '%s' should have '%s'", step, number,
			 error.cause, cause, error.remedy, remedy);
}

static void test_misleading_numbers_are_explained(void **state)
{
	(void)state;
	assert_explained("create the namespaces", ENOSPC, "user.max_*_namespaces", "sysctl");
	assert_explained("create the namespaces", EAGAIN, "RLIMIT_NPROC", "ulimit -u");
	assert_explained("mount a fresh /proc", EPERM, "masked", "systempaths=unconfined");
	assert_explained("write the id map", EACCES, "AppArmor", "apparmor_parser");
	assert_explained("mount the scratch", EACCES, "AppArmor", "sbx doctor");
	assert_explained("mount the overlay", EINVAL, "a mount lies below it", "--copy");
	assert_explained("make the root read-only", ENOSYS, "mount_setattr(2)", "5.12");
	assert_explained("leave the caller's keyring", EDQUOT, "keys", "kernel.keys.maxkeys");
	assert_explained("mount the volume", ENOSPC, "mount-max", "fs.mount-max");
}

static void test_numbers_that_mean_the_same_at_any_step(void **state)
{
	(void)state;
	assert_explained("do what no table knows", ENOSYS, "too old", "5.12");
	assert_explained("do what no table knows", EMFILE, "RLIMIT_NOFILE", "ulimit -n");
	assert_explained("do what no table knows", ENFILE, "fs.file-max", "sysctl");
	assert_explained("do what no table knows", ENOLCK, "NFS", "XDG_STATE_HOME");
	assert_explained("do what no table knows", ENOENT, "", "");
}

static void test_what_the_caller_says_stays(void **state)
{
	struct error error;

	(void)state;
	(void)error_set(&error, .number = EMFILE, .step = "open", .cause = "own cause", .remedy = "own remedy");
	assert_string_equal(error.cause, "own cause");
	assert_string_equal(error.remedy, "own remedy");
	/* A cause of its own, and no remedy: the table's would be for another cause, but is better than none. */
	(void)error_set(&error, .number = EMFILE, .step = "open", .cause = "own cause");
	assert_string_equal(error.cause, "own cause");
	assert_string_equal(error.remedy, "ulimit -n 4096");
}

static void test_errno_and_null_are_kept(void **state)
{
	(void)state;
	errno = EXDEV;
	assert_int_equal(error_set(NULL, .number = ENOENT, .step = "x"), -ENOENT);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(error_set(NULL, .step = "x"), -EINVAL);
}

static void test_format_escapes_and_names_all_parts(void **state)
{
	struct error error;
	char text[512];

	(void)state;
	(void)error_set(&error, .number = ENOENT, .step = "open the tree", .object = "a\033[31m\n");
	(void)error_context(&error, "worker %s", "w2");
	(void)error_format(&error, text, sizeof(text));
	assert_string_equal(text, "worker w2: cannot open the tree 'a\\x1b[31m\\n': No such file or directory");
	(void)error_set(&error, .number = ENOENT, .step = "open", .cause = "gone", .remedy = "bring it back");
	assert_int_equal(error_format(&error, text, sizeof(text)), strlen("cannot open: gone\n  bring it back"));
	assert_string_equal(text, "cannot open: gone\n  bring it back");
	/* The end of a service's log, in its own lines. */
	(void)error_set(&error, .number = EIO, .step = "start", .cause = "x",
			.remedy = "its last output: a\n\033]0;b\a");
	(void)error_format(&error, text, sizeof(text));
	assert_string_equal(text, "cannot start: x\n  its last output: a\n\\x1b]0;b\\x07");
}

static void test_parts_are_cut_at_characters(void **state)
{
	char object[1024];
	struct error error;

	(void)state;
	/* Two bytes each, and room for 511: the last one does not fit whole. */
	for (size_t i = 0; i + 1 < sizeof(object); i += 2)
		memcpy(object + i, "ü", 2);
	object[sizeof(object) - 2] = '\0';
	(void)error_set(&error, .number = EIO, .step = "x", .object = object);
	assert_int_equal(strlen(error.object), sizeof(error.object) - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_row_of_the_table_is_reached),
		cmocka_unit_test(test_each_row_fits_whole),
		cmocka_unit_test(test_misleading_numbers_are_explained),
		cmocka_unit_test(test_numbers_that_mean_the_same_at_any_step),
		cmocka_unit_test(test_what_the_caller_says_stays),
		cmocka_unit_test(test_errno_and_null_are_kept),
		cmocka_unit_test(test_format_escapes_and_names_all_parts),
		cmocka_unit_test(test_parts_are_cut_at_characters),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
