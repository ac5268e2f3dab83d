/* SPDX-License-Identifier: Apache-2.0 */
/* The hook's files, embedded. What they do is tested with real runners: tests/runners/hook-test. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "sandbox/run/hook.h"

static void test_hook_files_are_those_of_the_tree(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HOOK_FILE_COUNT; i++) {
		struct hook_file file = hook_file(i);
		owned_text path = text_format("sandbox/run/hook/%s", file.name);
		owned_text text = NULL;
		size_t size = 0;

		assert_int_equal(fd_read_file(AT_FDCWD, path, 0, &text, &size), 0);
		assert_true(file.size == size);
		assert_memory_equal(file.text, text, size);
		assert_int_equal(file.text[size], '\0');
	}
}

static void test_hook_files_speak_the_same_words_as_the_header(void **state)
{
	static const char *const words[] = { "SBX_LEASE", "SBX_RUN_SOCKET", "SBX_WORKERS", "SBX_UNIT",
					     "--slot",	  "--after",	    "--project",   "--retry",
					     "--pass-fd", "SBX_RETRY",	    "--fresh" };

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_non_null(strstr(hook_file(0).text, words[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hook_files_are_those_of_the_tree),
		cmocka_unit_test(test_hook_files_speak_the_same_words_as_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
