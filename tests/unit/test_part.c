/* SPDX-License-Identifier: Apache-2.0 */
/* What gets its name once it is whole: nothing half made has one, and nothing of a killed process stays. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/part.h"
#include "base/path.h"
#include "base/text.h"
#include "tests/unit/scratch.h"

static bool is_there(const struct scratch *place, const char *name)
{
	return faccessat(place->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_holds(const struct scratch *place, const char *name, const char *want)
{
	owned_text text = NULL;

	assert_int_equal(fd_read_file(place->fd, name, 0, &text, NULL), 0);
	assert_string_equal(text, want);
}

static void write_file(int directory_fd, const char *name, const char *text)
{
	assert_int_equal(fd_write_durable(directory_fd, name, text, strlen(text)), 0);
}

static void test_a_file_has_its_name_once_it_is_whole(void **state)
{
	const struct scratch *place = *state;
	owned_part part = PART_NONE;
	owned_part other = PART_NONE;
	owned_text name = NULL;

	assert_int_equal(part_make_file(place->fd, 0640, &part), 0);
	name = text_duplicate(part.name);
	assert_int_equal(fd_write_all(part.fd, "one", 3), 0);
	assert_false(is_there(place, "wanted"));
	assert_int_equal(part_finish(&part, NULL, "wanted"), 0);
	assert_holds(place, "wanted", "one");
	assert_false(is_there(place, name));
	part_close(&part);
	assert_holds(place, "wanted", "one");

	/* No other one is written over. */
	assert_int_equal(part_make_file(place->fd, 0640, &other), 0);
	assert_int_equal(part_finish(&other, NULL, "wanted"), -EEXIST);
	assert_true(is_there(place, other.name));
	text_free(&name);
	name = text_duplicate(other.name);
	part_close(&other);
	part_close(&other);
	assert_false(is_there(place, name));
	assert_holds(place, "wanted", "one");
}

static void test_a_file_out_of_a_directory(void **state)
{
	const struct scratch *place = *state;
	owned_part part = PART_NONE;

	assert_int_equal(part_make_directory(place->fd, &part), 0);
	write_file(part.fd, "0", "copy");
	write_file(part.fd, "beside", "it");
	assert_int_equal(part_finish(&part, "1", "wanted"), -ENOENT);
	assert_int_equal(part_finish(&part, "0", "wanted"), 0);
	part_close(&part);
	assert_holds(place, "wanted", "copy");
}

static void test_a_directory_takes_the_place_of_another(void **state)
{
	const struct scratch *place = *state;

	for (unsigned i = 0; i < 2; i++) {
		owned_part part = PART_NONE;
		owned_text name = NULL;

		assert_int_equal(part_make_directory(place->fd, &part), 0);
		name = text_duplicate(part.name);
		write_file(part.fd, "which", i == 0 ? "first" : "second");
		assert_int_equal(part_replace(&part, "wanted"), 0);
		part_close(&part);
		assert_holds(place, "wanted/which", i == 0 ? "first" : "second");
		assert_false(is_there(place, name));
	}
}

/* As one that is killed: its descriptor goes, its file stays. @return its name */
static char *leave_one(const struct scratch *place, int (*make)(const struct scratch *place, struct part *part))
{
	int ends[2];
	char name[64] = "";
	pid_t pid;

	assert_int_equal(fd_pipe(ends, 0), 0);
	pid = fork();
	if (pid == 0) {
		struct part part = PART_NONE;

		if (make(place, &part) == 0)
			(void)!write(ends[1], part.name, strlen(part.name));
		(void)raise(SIGKILL);
	}
	close(ends[1]);
	assert_true(read(ends[0], name, sizeof(name) - 1) > 0);
	close(ends[0]);
	(void)waitpid(pid, NULL, 0);
	return text_duplicate(name);
}

static int leave_file(const struct scratch *place, struct part *part)
{
	return part_make_file(place->fd, 0600, part);
}

static int leave_directory(const struct scratch *place, struct part *part)
{
	int result = part_make_directory(place->fd, part);

	return result < 0 ? result : fd_write_durable(part->fd, "0", "half", 4);
}

static void test_what_a_killed_one_left_goes_with_the_next(void **state)
{
	const struct scratch *place = *state;
	owned_part living = PART_NONE;
	owned_part next = PART_NONE;
	owned_text file = NULL;
	owned_text directory = NULL;

	assert_int_equal(part_make_directory(place->fd, &living), 0);
	write_file(place->fd, ".sbx-of-somebody-else", "");
	write_file(place->fd, "sbx-.part", "");
	assert_int_equal(symlinkat("sbx-.part", place->fd, ".sbx-link.part"), 0);
	file = leave_one(place, leave_file);
	assert_true(is_there(place, file));
	directory = leave_one(place, leave_directory);
	assert_false(is_there(place, file));
	assert_true(is_there(place, directory));
	assert_int_equal(part_make_file(place->fd, 0600, &next), 0);
	assert_false(is_there(place, directory));
	assert_true(is_there(place, living.name));
	assert_true(is_there(place, ".sbx-of-somebody-else"));
	assert_true(is_there(place, "sbx-.part"));
	assert_true(is_there(place, ".sbx-link.part"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_file_has_its_name_once_it_is_whole),
		TEST(test_a_file_out_of_a_directory),
		TEST(test_a_directory_takes_the_place_of_another),
		TEST(test_what_a_killed_one_left_goes_with_the_next),
	};

	return cmocka_run_group_tests_name("part", tests, NULL, NULL);
}
