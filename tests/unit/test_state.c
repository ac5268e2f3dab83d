/* SPDX-License-Identifier: Apache-2.0 */
/* Where sbx keeps its files: found by the environment, made when needed, refused when not the caller's own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/text.h"
#include "sandbox/registry/state.h"
#include "tests/unit/scratch.h"

enum { FOREIGN_UID = 4711 };

struct place {
	char *root;
	char *home;
	char *runtime;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	place->root = scratch_make(NULL);
	if (!place->root)
		return -1;
	/* Any bytes are legal in a path. */
	place->home = text_format("%s/h\xff \n'%%", place->root);
	place->runtime = text_format("%s/run", place->root);
	(void)unsetenv("XDG_STATE_HOME");
	(void)setenv("XDG_RUNTIME_DIR", place->runtime, 1);
	*state = place;
	return mkdir(place->home, 0755) < 0 || mkdir(place->runtime, 0700) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	int result = scratch_remove(&place->root);

	free(place->home);
	free(place->runtime);
	free(place);
	return result;
}

static char *below(const char *directory, const char *path)
{
	return path_join(directory, path);
}

static void assert_directory(const char *directory, const char *path, mode_t mode)
{
	owned_text full = below(directory, path);
	struct stat status;

	if (lstat(full, &status) < 0 || !S_ISDIR(status.st_mode))
		fail_msg("%s is no directory", full);
	assert_int_equal(status.st_mode & 07777, mode);
}

static void assert_nothing(const char *directory, const char *path)
{
	owned_text full = below(directory, path);
	struct stat status;

	if (lstat(full, &status) == 0)
		fail_msg("%s is there", full);
}

static int open_state(const char *home, enum state_missing missing, struct error *error)
{
	struct state_paths paths;
	owned_fd fd = -1;
	int result;

	state_paths_find(home, &paths);
	result = state_open(&paths, missing, &fd, error);
	state_paths_release(&paths);
	assert_true(result == 0 ? fd >= 0 : fd == -1);
	if (result == 0)
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	return result;
}

static int open_runtime(const char *home, enum state_missing missing, struct error *error)
{
	struct state_paths paths;
	owned_fd fd = -1;
	int result;

	state_paths_find(home, &paths);
	result = state_open_runtime(&paths, missing, &fd, error);
	state_paths_release(&paths);
	return result;
}

static void test_paths_follow_the_environment(void **state)
{
	struct state_paths paths;

	(void)state;
	(void)setenv("XDG_STATE_HOME", "/x/state", 1);
	(void)setenv("XDG_RUNTIME_DIR", "/x/run", 1);
	state_paths_find("/x/home", &paths);
	assert_string_equal(paths.state, "/x/state/sbx");
	assert_int_equal(paths.runtime_count, 2);
	assert_string_equal(paths.runtime[0].path, "/x/run/sbx");
	assert_string_equal(paths.runtime[1].path, "/x/state/sbx/run");
	state_paths_release(&paths);

	/* Relative ones do not count. */
	(void)setenv("XDG_STATE_HOME", "state", 1);
	(void)setenv("XDG_RUNTIME_DIR", "", 1);
	state_paths_find("/x/home", &paths);
	assert_string_equal(paths.state, "/x/home/.local/state/sbx");
	assert_string_equal(paths.runtime[0].path, "/x/home/.local/state/sbx/run");
	assert_int_equal(paths.runtime[1].kind, STATE_PLACE_GUESSED);
	state_paths_release(&paths);

	(void)unsetenv("XDG_STATE_HOME");
	state_paths_find("home", &paths);
	assert_null(paths.state);
	state_paths_release(&paths);
	state_paths_find(NULL, &paths);
	assert_null(paths.state);
	state_paths_release(&paths);
	state_paths_release(&paths);
}

static void test_nothing_is_made_by_looking(void **state)
{
	struct place *place = *state;
	struct error error = { 0 };

	assert_int_equal(open_state(place->home, STATE_LEAVE, &error), -ENOENT);
	assert_int_equal(error.number, ENOENT);
	assert_int_equal(open_runtime(place->home, STATE_LEAVE, &error), -ENOENT);
	assert_nothing(place->home, ".local");
	assert_nothing(place->runtime, "sbx");
}

static void test_missing_directories_are_made_for_the_caller_alone(void **state)
{
	struct place *place = *state;
	struct error error = { 0 };

	(void)umask(0);
	assert_int_equal(open_state(place->home, STATE_MAKE, &error), 0);
	assert_directory(place->home, ".local", 0700);
	assert_directory(place->home, ".local/state/sbx", 0700);
	assert_int_equal(open_runtime(place->home, STATE_MAKE, &error), 0);
	assert_directory(place->runtime, "sbx", 0700);
	assert_int_equal(open_state(place->home, STATE_LEAVE, &error), 0);
	(void)umask(022);
}

static void test_an_open_directory_is_closed_to_others(void **state)
{
	struct place *place = *state;
	owned_text path = below(place->runtime, "sbx");
	struct error error = { 0 };

	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(open_runtime(place->home, STATE_MAKE, &error), 0);
	assert_directory(place->runtime, "sbx", 0700);
}

static void test_a_symlink_is_refused_by_name(void **state)
{
	struct place *place = *state;
	owned_text state_home = below(place->home, ".local/state");
	owned_text link = below(state_home, "sbx");
	owned_text elsewhere = below(place->root, "elsewhere");
	struct error error = { 0 };

	assert_int_equal(mkdir(elsewhere, 0700), 0);
	assert_int_equal(path_make_directories(AT_FDCWD, state_home, 0700), 0);
	assert_int_equal(symlink(elsewhere, link), 0);
	assert_int_equal(open_state(place->home, STATE_MAKE, &error), -ENOTDIR);
	assert_string_equal(error.object, link);
	assert_string_equal(error.cause, "it is a symbolic link");
	/* For the lock files below it as well, though no link leads to those themselves. */
	(void)unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(open_runtime(place->home, STATE_MAKE, &error), -ENOTDIR);
	assert_nothing(elsewhere, "run");
	/* A dangling one, too. */
	assert_int_equal(rmdir(elsewhere), 0);
	assert_int_equal(open_state(place->home, STATE_MAKE, &error), -ENOTDIR);
	assert_nothing(place->root, "elsewhere");
}

static void test_a_file_in_its_place_is_refused_by_name(void **state)
{
	struct place *place = *state;
	owned_text file = below(place->home, ".local");
	owned_fd fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct error error = { 0 };

	assert_true(fd >= 0);
	assert_true(open_state(place->home, STATE_MAKE, &error) < 0);
	assert_string_not_equal(error.object, "");
}

static void test_a_part_that_is_a_symlink_is_refused_with_its_path(void **state)
{
	struct place *place = *state;
	owned_text kept = below(place->home, ".local/state/sbx/kept");
	owned_text elsewhere = below(place->root, "elsewhere");
	struct error error = { 0 };
	struct state_paths paths;
	owned_fd state_fd = -1;
	owned_fd fd = -1;

	state_paths_find(place->home, &paths);
	assert_int_equal(state_open(&paths, STATE_MAKE, &state_fd, &error), 0);
	/* One of this test's own: followed, its mode would be changed. */
	assert_int_equal(mkdir(elsewhere, 0755), 0);
	assert_int_equal(symlink(elsewhere, kept), 0);
	assert_int_equal(state_open_part(state_fd, STATE_KEPT, STATE_MAKE, &fd, &error), -ENOTDIR);
	assert_string_equal(error.object, kept);
	assert_directory(place->root, "elsewhere", 0755);
	error = (struct error){ 0 };
	assert_int_equal(state_open_part(state_fd, STATE_UPPERS, STATE_LEAVE, &fd, &error), -ENOENT);
	assert_non_null(strstr(error.object, "/.local/state/sbx/uppers"));
	assert_int_equal(state_open_part(state_fd, STATE_UPPERS, STATE_MAKE, &fd, &error), 0);
	assert_directory(place->home, ".local/state/sbx/uppers", 0700);
	state_paths_release(&paths);
}

static void skip_unless_root(void)
{
	if (geteuid() != 0) {
		print_message("skipped: chown needs root\n");
		skip();
	}
}

static void test_a_foreign_directory_is_refused_and_the_state_directory_taken(void **state)
{
	struct place *place = *state;
	owned_text path = below(place->runtime, "sbx");
	struct error error = { 0 };

	skip_unless_root();
	assert_int_equal(mkdir(path, 0777), 0);
	assert_int_equal(chown(path, FOREIGN_UID, FOREIGN_UID), 0);
	assert_int_equal(open_runtime(place->home, STATE_MAKE, &error), 1);
	assert_directory(place->home, ".local/state/sbx/run", 0700);
	assert_true(open_runtime(NULL, STATE_MAKE, &error) < 0);
	assert_string_equal(error.cause, "it belongs to another user");
}

static void test_nothing_is_made_in_somebody_elses_home(void **state)
{
	struct place *place = *state;
	struct error error = { 0 };

	skip_unless_root();
	assert_int_equal(chown(place->home, FOREIGN_UID, FOREIGN_UID), 0);
	assert_int_equal(chown(place->runtime, FOREIGN_UID, FOREIGN_UID), 0);
	assert_int_equal(open_state(place->home, STATE_MAKE, &error), -EPERM);
	assert_int_equal(open_runtime(place->home, STATE_MAKE, &error), -EPERM);
	assert_nothing(place->home, ".local");
	assert_nothing(place->runtime, "sbx");
}

static void test_a_runtime_directory_that_does_not_exist_is_not_made(void **state)
{
	struct place *place = *state;
	owned_text gone = below(place->root, "gone");
	struct error error = { 0 };

	(void)setenv("XDG_RUNTIME_DIR", gone, 1);
	assert_int_equal(open_runtime(place->home, STATE_MAKE, &error), 1);
	assert_nothing(place->root, "gone");
}

static void test_no_home_at_all_is_a_named_error(void **state)
{
	struct error error = { 0 };

	(void)state;
	(void)unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(open_state(NULL, STATE_MAKE, &error), -ENOENT);
	assert_string_equal(error.cause, "there is no home directory");
	assert_true(open_runtime(NULL, STATE_MAKE, &error) < 0);
	assert_string_not_equal(error.cause, "");
}

/* In a mount namespace of its own, the home read-only. */
static int try_read_only(const struct place *place)
{
	struct error error = { 0 };

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(place->root, place->root, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, place->root, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return 2;
	if (open_state(place->home, STATE_MAKE, &error) != -EROFS ||
	    open_runtime(place->home, STATE_MAKE, &error) != -EROFS)
		return 3;
	return strcmp(error.cause, "its place cannot be written") == 0 ? 0 : 4;
}

static void test_a_read_only_place_is_told_as_such(void **state)
{
	pid_t pid;
	int status = 0;

	skip_unless_root();
	pid = fork();
	if (pid == 0)
		_exit(try_read_only(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_each_runtime_directory_is_looked_at_once(void **state)
{
	struct place *place = *state;
	owned_text state_home = below(place->root, "state");
	owned_runtimes runtimes = { 0 };
	struct error error = { 0 };
	struct state_paths paths;

	/* Both places are the same directory. */
	(void)setenv("XDG_STATE_HOME", state_home, 1);
	state_paths_find(place->home, &paths);
	free(paths.runtime[0].path);
	paths.runtime[0].path = text_duplicate(paths.runtime[1].path);
	assert_int_equal(path_make_directories(AT_FDCWD, paths.runtime[0].path, 0700), 0);
	state_open_runtimes(&paths, &runtimes);
	assert_int_equal(runtimes.count, 1);
	state_runtimes_close(&runtimes);
	/* Two that are two: the workers of both are to be found. */
	free(paths.runtime[0].path);
	paths.runtime[0].path = below(place->runtime, "sbx");
	assert_int_equal(path_make_directories(AT_FDCWD, paths.runtime[0].path, 0700), 0);
	state_open_runtimes(&paths, &runtimes);
	assert_int_equal(runtimes.count, 2);
	state_paths_release(&paths);
	(void)error;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_paths_follow_the_environment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_is_made_by_looking, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing_directories_are_made_for_the_caller_alone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_an_open_directory_is_closed_to_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_symlink_is_refused_by_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_file_in_its_place_is_refused_by_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_part_that_is_a_symlink_is_refused_with_its_path, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_foreign_directory_is_refused_and_the_state_directory_taken,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_is_made_in_somebody_elses_home, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_runtime_directory_that_does_not_exist_is_not_made, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_no_home_at_all_is_a_named_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_read_only_place_is_told_as_such, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_each_runtime_directory_is_looked_at_once, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
