/* SPDX-License-Identifier: Apache-2.0 */
/* The command that runs a red test alone, of runners that are asked by file and name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/run/hook.h"
#include "sandbox/run/recipe.h"

struct row {
	const char *runner;
	const char *arguments;
	const char *file; /* NULL: it told of no test */
	const char *title;
	const char *wanted;
};

static void split(const char *words, struct text_list *list)
{
	owned_text copy = text_duplicate(words);
	char *rest = copy;

	for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
		text_list_add(list, word);
}

static void check(const struct row *row)
{
	owned_recipe recipe = { 0 };
	owned_list command = { 0 };
	owned_text config = NULL;
	owned_text path = NULL;
	owned_buffer joined = { 0 };

	recipe.runner = text_duplicate(row->runner);
	split(row->arguments, &recipe.arguments);
	recipe.file = row->file ? text_duplicate(row->file) : NULL;
	recipe.title = row->title ? text_duplicate(row->title) : NULL;
	assert_int_equal(recipe_make_command(&recipe, &command, &config, &path), row->wanted ? 0 : -ENOENT);
	assert_null(config);
	if (!row->wanted)
		return;
	for (size_t i = 0; i < command.count; i++)
		text_buffer_format(&joined, "%s%s", i > 0 ? " " : "", command.items[i]);
	assert_string_equal(joined.bytes, row->wanted);
}

static void test_recipe_runs_a_test_of_jest_alone(void **state)
{
	static const struct row rows[] = {
		/* What chose files goes, what may be an option's value stays. */
		{ "jest", "/opt/node /m/jest.js --maxWorkers=4 --workerIdleMemoryLimit=100% unit --rootDir src",
		  "/a/b.test.js", "a (b) is red",
		  "node /m/jest.js --workerIdleMemoryLimit=100% --rootDir src --runInBand --globalSetup= "
		  "--globalTeardown= "
		  "--testNamePattern=^a \\(b\\) is red$ --runTestsByPath /a/b.test.js" },
		{ "jest", "/opt/node /m/jest.js -w 2 -t other --shard=1/2 -o --globalSetup ./s.js --ci -- x",
		  "/a/b.test.js", "red",
		  "node /m/jest.js --ci --runInBand --globalSetup= --globalTeardown= --testNamePattern=^red$ "
		  "--runTestsByPath /a/b.test.js" },
		{ "jest", "node /m/jest.js", "/a/b.test.js", HOOK_TITLE_UNREAD,
		  "node /m/jest.js --runInBand --globalSetup= --globalTeardown= --runTestsByPath /a/b.test.js" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

static void test_recipe_runs_a_test_of_vitest_alone(void **state)
{
	static const struct row rows[] = {
		{ "vitest", "node /m/vitest.mjs run --pool=forks --dir unit shop -w --maxWorkers=4", "/a/b.test.js",
		  "a > b",
		  "node /m/vitest.mjs run --pool=forks --dir unit -w --no-file-parallelism --testNamePattern=^a > b$ "
		  "/a/b.test.js" },
		{ "vitest", "node /m/vitest.mjs shop", "/a/b.test.js", "b",
		  "node /m/vitest.mjs --no-file-parallelism --testNamePattern=^b$ /a/b.test.js" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

static void test_recipe_without_a_test_runs_all_files_one_at_a_time(void **state)
{
	static const struct row rows[] = {
		{ "jest", "node /m/jest.js -w 4 unit -t some -- x", NULL, NULL,
		  "node /m/jest.js unit -t some --runInBand --globalSetup= --globalTeardown= -- x" },
		{ "vitest", "node /m/vitest.mjs run unit", NULL, NULL,
		  "node /m/vitest.mjs run unit --no-file-parallelism" },
		{ "mocha", "node /m/mocha.js", "/a/b.test.js", "b", NULL },
		{ "jest", "node", "/a/b.test.js", "b", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recipe_runs_a_test_of_jest_alone),
		cmocka_unit_test(test_recipe_runs_a_test_of_vitest_alone),
		cmocka_unit_test(test_recipe_without_a_test_runs_all_files_one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
