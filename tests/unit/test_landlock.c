/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/landlock.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "sandbox/policy/capabilities.h"
#include "tests/unit/namespace.h"

/* A directory of this test with two directories below it: may be written, may not. */
struct place {
	char path[64];
	int allowed_fd;
	int forbidden_fd;
};

static int setup(void **state)
{
	static struct place place;

	snprintf(place.path, sizeof(place.path), "/tmp/sbx-landlock-XXXXXX");
	if (!mkdtemp(place.path))
		return -1;
	if (chdir(place.path) < 0 || mkdir("allowed", 0755) < 0 || mkdir("forbidden", 0755) < 0 ||
	    mkdir("allowed/d", 0755) < 0 || mkdir("allowed/empty", 0755) < 0 || mkdir("forbidden/d", 0755) < 0 ||
	    mknod("forbidden/file", S_IFREG | 0644, 0) < 0)
		return -1;
	place.allowed_fd = open("allowed", O_PATH | O_DIRECTORY | O_CLOEXEC);
	place.forbidden_fd = open("forbidden", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = &place;
	return place.allowed_fd >= 0 && place.forbidden_fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct place *place = *state;
	char command[96];

	snprintf(command, sizeof(command), "rm -rf '%s'", place->path);
	return system(command);
}

static void need_landlock(void)
{
	if (landlock_level() == 0) {
		fprintf(stderr, "skipped: this kernel has no Landlock of ABI 2\n");
		assert_null(getenv("SBX_MUST_WORK"));
		skip();
	}
}

static int confine_to(const struct landlock_rules *rules)
{
	struct error error = { 0 };
	int level;

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	level = landlock_confine(rules, &error);
	if (level < 0) {
		char text[512];

		error_format(&error, text, sizeof(text));
		fprintf(stderr, "%s\n", text);
	}
	return level;
}

static int can_write(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int changes_are_allowed_only_beneath(void *argument)
{
	const struct place *place = argument;
	struct landlock_rules rules = { .writable_fds = &place->allowed_fd, .writable_count = 1 };

	EXPECT(confine_to(&rules) == landlock_level());
	EXPECT(can_write("allowed/new", O_CREAT | O_EXCL));
	EXPECT(truncate("allowed/new", 0) == 0);
	EXPECT(mknod("allowed/socket", S_IFSOCK | 0644, 0) == 0 && rmdir("allowed/empty") == 0);
	EXPECT(mkdir("allowed/dir", 0755) == 0 && symlink("x", "allowed/link") == 0);
	EXPECT(mknod("allowed/fifo", S_IFIFO | 0644, 0) == 0);
	EXPECT(rename("allowed/new", "allowed/dir/moved") == 0);
	EXPECT(link("allowed/dir/moved", "allowed/d/linked") == 0);
	EXPECT(unlink("allowed/link") == 0 && unlink("allowed/fifo") == 0);

	EXPECT(open("forbidden/file", O_RDONLY | O_CLOEXEC) >= 0);
	EXPECT(!can_write("forbidden/file", 0) && errno == EACCES);
	EXPECT(truncate("forbidden/file", 0) < 0 && errno == EACCES);
	EXPECT(!can_write("forbidden/new", O_CREAT) && errno == EACCES);
	EXPECT(mkdir("forbidden/dir", 0755) < 0 && errno == EACCES);
	EXPECT(rmdir("forbidden/d") < 0 && errno == EACCES);
	EXPECT(symlink("x", "forbidden/link") < 0 && errno == EACCES);
	EXPECT(mknod("forbidden/fifo", S_IFIFO | 0644, 0) < 0 && errno == EACCES);
	EXPECT(mknod("forbidden/device", S_IFCHR | 0644, makedev(1, 3)) < 0 && errno == EACCES);
	EXPECT(mknod("forbidden/disk", S_IFBLK | 0644, makedev(7, 0)) < 0 && errno == EACCES);
	EXPECT(mknod("forbidden/socket", S_IFSOCK | 0644, 0) < 0 && errno == EACCES);
	EXPECT(unlink("forbidden/file") < 0 && errno == EACCES);
	EXPECT(rename("allowed/dir/moved", "forbidden/file") < 0 && errno == EACCES);
	EXPECT(link("allowed/dir/moved", "forbidden/linked") < 0 && errno == EACCES);
	return INSIDE_OK;
}

static int a_writable_file_is_no_writable_directory(void *argument)
{
	int fd = open("forbidden/file", O_PATH | O_CLOEXEC);
	struct landlock_rules rules = { .writable_fds = &fd, .writable_count = 1 };

	(void)argument;
	EXPECT(confine_to(&rules) > 0);
	EXPECT(can_write("forbidden/file", O_TRUNC));
	EXPECT(unlink("forbidden/file") < 0 && errno == EACCES);
	return INSIDE_OK;
}

static int what_was_passed_may_be_opened_anew(void *argument)
{
	const int passed[] = { 1, 2, 150, 9, 10, 11 };
	struct landlock_rules rules = { .passed_fds = passed, .passed_count = ARRAY_SIZE(passed) };
	int ends[2];

	(void)argument;
	EXPECT(dup2(open("forbidden/file", O_WRONLY | O_APPEND | O_CLOEXEC), 1) == 1);
	EXPECT(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[1], 9) == 9);
	EXPECT(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 10) == 10);
	EXPECT(mknod("forbidden/fifo", S_IFIFO | 0644, 0) == 0);
	EXPECT(dup2(open("forbidden/fifo", O_RDWR | O_CLOEXEC), 11) == 11);
	EXPECT(confine_to(&rules) > 0);
	EXPECT(can_write("/proc/self/fd/1", O_TRUNC));
	EXPECT(can_write("/proc/self/fd/9", 0));
	/* As programs do with /dev/stdout, be it a terminal. */
	EXPECT(can_write("/proc/self/fd/10", 0));
	EXPECT(can_write("/proc/self/fd/11", 0));
	EXPECT(!can_write("/dev/zero", 0) && errno == EACCES);
	EXPECT(!can_write("allowed/d/x", O_CREAT) && errno == EACCES);
	return INSIDE_OK;
}

static int what_is_passed_for_reading_stays_so(void *argument)
{
	const int passed[] = { 0 };
	struct landlock_rules rules = { .passed_fds = passed, .passed_count = ARRAY_SIZE(passed) };

	(void)argument;
	EXPECT(dup2(open("forbidden/file", O_RDONLY | O_CLOEXEC), 0) == 0);
	EXPECT(confine_to(&rules) > 0);
	EXPECT(!can_write("/proc/self/fd/0", 0) && errno == EACCES);
	return INSIDE_OK;
}

static int with_nested_namespaces_mounts_work(void *argument)
{
	struct landlock_rules rules = { .allow_userns = true, .scope_for_host_network = true };

	(void)argument;
	EXPECT(confine_to(&rules) >= 0);
	EXPECT(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
	EXPECT(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	EXPECT(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0);
	return INSIDE_OK;
}

static int nothing_wanted_is_level_0(void *argument)
{
	struct landlock_rules rules = { .allow_userns = true };

	(void)argument;
	EXPECT(confine_to(&rules) == 0);
	EXPECT(can_write("forbidden/file", 0));
	return INSIDE_OK;
}

static int mounts_are_refused(void *argument)
{
	struct landlock_rules rules = { 0 };

	(void)argument;
	EXPECT(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	EXPECT(confine_to(&rules) > 0);
	EXPECT(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0 && errno == EPERM);
	return INSIDE_OK;
}

static int the_scope_holds(void *argument)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "\0sbx-landlock-test" };
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + sizeof("\0sbx-landlock-test") - 1;
	const struct place *place = argument;
	struct landlock_rules rules = { .allow_userns = true,
					.scope_for_host_network = true,
					.writable_fds = &place->allowed_fd,
					.writable_count = 1 };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0);
	EXPECT(kill(getppid(), 0) == 0);
	EXPECT(confine_to(&rules) > 0);
	EXPECT(connect(client, (struct sockaddr *)&address, length) < 0 && errno == EPERM);
	EXPECT(kill(getppid(), 0) < 0 && errno == EPERM);
	return INSIDE_OK;
}

static int without_no_new_privs_it_is_an_error(void *argument)
{
	struct landlock_rules rules = { 0 };
	struct error error = { 0 };

	(void)argument;
	EXPECT(capabilities_drop_all(&error) == 0);
	EXPECT(landlock_confine(&rules, &error) == -EPERM);
	EXPECT(strcmp(error.step, "confine with Landlock") == 0);
	return INSIDE_OK;
}

static int a_closed_place_is_an_error(void *argument)
{
	const int closed = 321;
	struct landlock_rules rules = { .writable_fds = &closed, .writable_count = 1 };

	(void)argument;
	EXPECT(confine_to(&rules) == -EBADF);
	return INSIDE_OK;
}

/* Left out, it could not be written; and what cannot be told of one cannot be told of the others. */
static int a_place_without_a_rule_is_an_error(void *argument)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct landlock_rules rules = { .writable_fds = &fd, .writable_count = 1 };

	(void)argument;
	EXPECT(confine_to(&rules) == -EBADFD);
	return INSIDE_OK;
}

static int it_is_quick(void *argument)
{
	const struct place *place = argument;
	int fds[12];
	struct landlock_rules rules = { .writable_fds = fds, .writable_count = ARRAY_SIZE(fds) };
	struct timespec start;
	struct timespec end;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = place->allowed_fd;
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	EXPECT(landlock_confine(&rules, NULL) >= 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (getenv("SBX_PRINT_TIMES"))
		fprintf(stderr, "landlock_confine: %.1f us\n",
			(double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3);
	return INSIDE_OK;
}

#define TEST(name, flags, uid, body)                                                                                   \
	static void name(void **state)                                                                                 \
	{                                                                                                              \
		need_landlock();                                                                                       \
		assert_inside(flags, uid, body, *state);                                                               \
	}

TEST(test_changes_are_allowed_only_beneath_the_given_places, 0, 0, changes_are_allowed_only_beneath)
TEST(test_a_file_among_the_places_may_be_written_but_not_removed, 0, 0, a_writable_file_is_no_writable_directory)
TEST(test_a_passed_descriptor_may_be_opened_anew_for_writing, 0, 0, what_was_passed_may_be_opened_anew)
TEST(test_a_descriptor_passed_for_reading_cannot_be_opened_for_writing, 0, 0, what_is_passed_for_reading_stays_so)
TEST(test_nested_namespaces_may_mount_when_they_are_allowed, 0, 0, with_nested_namespaces_mounts_work)
TEST(test_nothing_wanted_confines_nothing, 0, 0, nothing_wanted_is_level_0)
TEST(test_mounts_are_refused_under_rules_for_files, CLONE_NEWUSER | CLONE_NEWNS, 0, mounts_are_refused)
TEST(test_without_no_new_privileges_it_is_an_error, CLONE_NEWUSER, 0, without_no_new_privs_it_is_an_error)
TEST(test_a_closed_place_is_an_error, 0, 0, a_closed_place_is_an_error)
TEST(test_a_place_that_can_have_no_rule_is_an_error, 0, 0, a_place_without_a_rule_is_an_error)
TEST(test_it_takes_little_time, 0, 0, it_is_quick)

static void test_with_the_hosts_network_abstract_sockets_and_signals_stay_inside(void **state)
{
	if (landlock_level() < 6) {
		fprintf(stderr, "skipped: this kernel has no Landlock of ABI 6\n");
		skip();
	}
	assert_inside(0, 0, the_scope_holds, *state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_changes_are_allowed_only_beneath_the_given_places),
		T(test_a_file_among_the_places_may_be_written_but_not_removed),
		T(test_a_passed_descriptor_may_be_opened_anew_for_writing),
		T(test_a_descriptor_passed_for_reading_cannot_be_opened_for_writing),
		T(test_nested_namespaces_may_mount_when_they_are_allowed),
		T(test_nothing_wanted_confines_nothing),
		T(test_mounts_are_refused_under_rules_for_files),
		T(test_without_no_new_privileges_it_is_an_error),
		T(test_a_closed_place_is_an_error),
		T(test_a_place_that_can_have_no_rule_is_an_error),
		T(test_it_takes_little_time),
		T(test_with_the_hosts_network_abstract_sockets_and_signals_stay_inside),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
