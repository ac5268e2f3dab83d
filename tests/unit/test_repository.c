/* SPDX-License-Identifier: Apache-2.0 */
/* Which repository a tree lies in, and what is read of one, where others may write as well. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/git.h"
#include "base/path.h"
#include "base/text.h"
#include "sandbox/worker/repository.h"
#include "tests/unit/scratch.h"

enum { NOBODY = 65534 };

static void test_a_mark_is_the_callers_as_the_directory_is(void **state)
{
	const struct scratch *place = *state;
	owned_text mark = path_join(place->path, ".git");
	owned_text tree = path_join(place->path, "tree");
	owned_text found = NULL;

	assert_int_equal(mkdir(mark, 0755), 0);
	assert_int_equal(mkdir(tree, 0755), 0);
	found = repository_find(tree, NULL);
	assert_string_equal(found, place->path);
	if (geteuid() != 0)
		return; /* nobody else can be given anything */
	/* As in root's own /tmp: all of it would be shown, and be where artifacts go. */
	assert_int_equal(lchown(mark, NOBODY, NOBODY), 0);
	assert_null(repository_find(tree, NULL));
	assert_int_equal(lchown(mark, 0, 0), 0);
	assert_int_equal(lchown(place->path, NOBODY, NOBODY), 0);
	assert_null(repository_find(tree, NULL));
}

static void test_what_nobody_writes_to_is_not_waited_for(void **state)
{
	const struct scratch *place = *state;
	owned_text mark = path_join(place->path, ".git");
	owned_text head = path_join(mark, "HEAD");

	assert_int_equal(mkfifo(mark, 0644), 0);
	assert_null(git_find_commit(place->path));
	assert_int_equal(unlink(mark), 0);
	assert_int_equal(mkdir(mark, 0755), 0);
	assert_int_equal(mkfifo(head, 0644), 0);
	assert_null(git_find_commit(place->path));
	assert_null(git_find_commit_at(place->path, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_mark_is_the_callers_as_the_directory_is, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(test_what_nobody_writes_to_is_not_waited_for, scratch_set_up,
						scratch_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
