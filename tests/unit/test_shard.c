/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of a suite a machine runs: as said, and as each service tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "sandbox/run/shard.h"

static void test_shard_is_one_of_so_many(void **state)
{
	static const char *const others[] = { "",      "1",   "/",    "0/2",  "3/2",	"1/0",
					      "1/2/3", "a/b", "-1/2", " 1/2", "1/10001" };
	struct shard shard = SHARD_NONE;

	(void)state;
	assert_int_equal(shard_parse("2/4", &shard, NULL), 0);
	assert_int_equal(shard.index, 2);
	assert_int_equal(shard.count, 4);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(shard_parse(others[i], &shard, NULL), -EINVAL);
}

static void assert_found(unsigned index, unsigned count, const char *environment)
{
	owned_list list = { 0 };
	owned_text copy = text_duplicate(environment);
	char *rest = NULL;
	struct shard shard = SHARD_NONE;
	struct error error = { 0 };

	for (char *entry = strtok_r(copy, " ", &rest); entry; entry = strtok_r(NULL, " ", &rest))
		text_list_add(&list, entry);
	assert_int_equal(shard_find(list.items, &shard, &error), 0);
	assert_int_equal(shard.index, index);
	assert_int_equal(shard.count, count);
}

static void assert_not_found(const char *environment, int number, const char *object, const char *cause)
{
	owned_list list = { 0 };
	owned_text copy = text_duplicate(environment);
	char *rest = NULL;
	struct shard shard = SHARD_NONE;
	struct error error = { 0 };

	for (char *entry = strtok_r(copy, " ", &rest); entry; entry = strtok_r(NULL, " ", &rest))
		text_list_add(&list, entry);
	assert_int_equal(shard_find(list.items, &shard, &error), -number);
	assert_string_equal(error.object, object);
	assert_string_equal(error.cause, cause);
	assert_true(error.remedy[0] != '\0');
}

static void test_each_service_counts_in_its_way(void **state)
{
	(void)state;
	assert_found(1, 3, "CI_NODE_INDEX=1 CI_NODE_TOTAL=3");
	assert_found(3, 3, "CI_NODE_INDEX=3 CI_NODE_TOTAL=3");
	assert_found(1, 3, "CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=3");
	assert_found(4, 4, "BUILDKITE_PARALLEL_JOB=3 BUILDKITE_PARALLEL_JOB_COUNT=4");
	assert_found(2, 4, "SYSTEM_JOBPOSITIONINPHASE=2 SYSTEM_TOTALJOBSINPHASE=4");
	assert_found(5, 8, "JOB_COMPLETION_INDEX=4 JOB_COMPLETIONS=8");
	/* --array=10-18:4 is three tasks: 10, 14, 18. */
	assert_found(2, 3,
		     "SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=4");
	assert_found(1, 4, "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=0");
	/* What is said is stronger. */
	assert_found(7, 9, "CI_NODE_INDEX=1 CI_NODE_TOTAL=3 SBX_SHARD=7/9");
}

static void test_what_tells_no_shard_is_named(void **state)
{
	(void)state;
	assert_not_found(
		"HOME=/ CI_NODE_TOTAL=1", ENOENT, "",
		"nothing here tells one: no SBX_SHARD, GitLab, CircleCI, Buildkite, Azure, Slurm array or indexed job");
	assert_not_found("JOB_COMPLETION_INDEX=4", EINVAL, "JOB_COMPLETIONS",
			 "JOB_COMPLETION_INDEX is set by an indexed job, and JOB_COMPLETIONS is not");
	assert_not_found("CI_NODE_INDEX=0 CI_NODE_TOTAL=3", EINVAL, "CI_NODE_INDEX=0",
			 "GitLab tells it, and that is out of range");
	assert_not_found("CI_NODE_INDEX=4 CI_NODE_TOTAL=3", EINVAL, "CI_NODE_INDEX=4",
			 "GitLab tells it, and that is out of range");
	assert_not_found("SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_COUNT=3", EINVAL, "SLURM_ARRAY_TASK_MIN",
			 "SLURM_ARRAY_TASK_ID is set by a Slurm array, and SLURM_ARRAY_TASK_MIN is not");
	assert_not_found("SBX_SHARD=x", EINVAL, "x", "it is not I/N with I from 1 to N");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shard_is_one_of_so_many),
		cmocka_unit_test(test_each_service_counts_in_its_way),
		cmocka_unit_test(test_what_tells_no_shard_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
