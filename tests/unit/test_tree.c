/* SPDX-License-Identifier: Apache-2.0 */
/* Removing and copying trees. Started as root it runs twice, as root and as an ordinary user, because root is refused
 * next to nothing. Mounts are made in a user and mount namespace of a child. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/descent.h"
#include "base/fd.h"
#include "base/inodes.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "base/tree.h"

enum { DEEP = 10000, ROUNDS = 60, FEW_FDS = 64, OTHER_USER = 65534, CANNOT = 77 };

/* -- a place on disk, with a directory from/ and a directory to/ ------------------------------------------------------
 */

struct place {
	char *root;
	int fd;
	int from;
	int to;
	struct error error;
};

static int make_dir(int dirfd, const char *name)
{
	int fd;

	if (mkdirat(dirfd, name, 0755) < 0 && errno != EEXIST)
		return -1;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

static int set_up_below(void **state, const char *base)
{
	struct place *place = calloc(1, sizeof(*place));

	place->root = text_format("%s/sbx-tree.XXXXXX", base);
	if (!mkdtemp(place->root))
		return -1;
	place->fd = open(place->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	place->from = make_dir(place->fd, "from");
	place->to = make_dir(place->fd, "to");
	*state = place;
	return place->to < 0 ? -1 : 0;
}

static int set_up(void **state)
{
	const char *base = getenv("TMPDIR");

	return set_up_below(state, base && base[0] == '/' ? base : "/tmp");
}

/* Where thousands of renames a second wait for no journal. */
static int set_up_in_memory(void **state)
{
	return access("/dev/shm", W_OK | X_OK) == 0 ? set_up_below(state, "/dev/shm") : set_up(state);
}

static int tear_down(void **state)
{
	struct place *place = *state;
	owned_text parent = path_parent(place->root);
	owned_fd parent_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result = tree_remove(parent_fd, path_name(place->root), NULL);

	fd_close(&place->from);
	fd_close(&place->to);
	fd_close(&place->fd);
	free(place->root);
	free(place);
	return result;
}

static void write_at(int dirfd, const char *name, const char *text)
{
	owned_fd fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void assert_text(int dirfd, const char *name, const char *text)
{
	owned_text got = NULL;

	assert_int_equal(fd_read_file(dirfd, name, 0, &got, NULL), 0);
	assert_string_equal(got, text);
}

static struct stat status_at(int dirfd, const char *name)
{
	struct stat status;

	assert_int_equal(fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW), 0);
	return status;
}

static bool exists(int dirfd, const char *name)
{
	struct stat status;

	return fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_succeeds(const struct place *place, int result)
{
	char text[2048];

	if (result >= 0)
		return;
	(void)error_format(&place->error, text, sizeof(text));
	fail_msg("%s", text);
}

static int copy(struct place *place, const struct tree_copy_options *options, const char *name)
{
	return tree_copy(options, place->from, name, place->to, name, NULL, &place->error);
}

static const struct tree_copy_options plain = { .bytes_max = 0 };

static bool is_root(void)
{
	return geteuid() == 0;
}

/* Lowers the number of descriptors for as long as a test runs. */
static struct rlimit limit_fds(rlim_t count)
{
	struct rlimit old;
	struct rlimit few;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ .rlim_cur = count, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	return old;
}

static void make_deep(int dirfd, int depth)
{
	owned_fd fd = fd_duplicate(dirfd);

	for (int i = 0; i < depth; i++) {
		owned_fd above = fd_take(&fd);

		assert_int_equal(mkdirat(above, "d", 0755), 0);
		fd = openat(above, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(fd >= 0);
	}
	write_at(fd, "bottom", "here");
}

static int depth_of(int dirfd)
{
	owned_fd fd = fd_duplicate(dirfd);
	int depth = 0;

	for (;; depth++) {
		owned_fd above = fd_take(&fd);

		fd = openat(above, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0) {
			assert_text(above, "bottom", "here");
			return depth;
		}
	}
}

static const char *const odd_names[] = {
	"line\nbreak", "\x1b[31mred", "\xff\xfe\x80", "-rf", " ", "*", "..x", ".", "a\\b'c\"d",
};

static char *long_name(void)
{
	char *name = malloc(NAME_MAX + 1);

	memset(name, 'n', NAME_MAX);
	name[NAME_MAX] = '\0';
	return name;
}

/* Runs `body` in a child with namespaces of its own, where it may mount. */
static int in_namespace(int (*body)(struct place *), struct place *place)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		owned_text uids = text_format("%d %d 1", (int)geteuid(), (int)geteuid());
		owned_text gids = text_format("%d %d 1", (int)getegid(), (int)getegid());
		owned_fd fd = -1;

		(void)prctl(PR_SET_DUMPABLE, 1);
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			_exit(CANNOT);
		fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
		(void)fd_write_all(fd, "deny", 4);
		fd_close(&fd);
		fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
		if (fd_write_all(fd, uids, strlen(uids)) < 0)
			_exit(CANNOT);
		fd_close(&fd);
		fd = open("/proc/self/gid_map", O_WRONLY | O_CLOEXEC);
		if (fd_write_all(fd, gids, strlen(gids)) < 0)
			_exit(CANNOT);
		/* The descriptors belong to the other mount namespace. */
		place->fd = open(place->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		place->from = openat(place->fd, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		place->to = openat(place->fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		_exit(body(place));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CANNOT) {
		if (getenv("SBX_MUST_WORK"))
			fail_msg("user namespaces are needed here");
		skip();
	}
	return WEXITSTATUS(status);
}

/* In a child: says which line was not as it should be. */
#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);      \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

static int mount_tmpfs(const struct place *place, const char *name, const char *type, const char *options)
{
	owned_text path = text_format("%s/%s", place->root, name);

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -1;
	return mount("none", path, type, MS_NOSUID | MS_NODEV, options);
}

/* -- removing -------------------------------------------------------------------------------------------------------
 */

static void test_remove_takes_a_tree_with_closed_directories(void **state)
{
	struct place *place = *state;
	owned_fd work = make_dir(place->from, "work");
	owned_fd inner = make_dir(work, "work");
	owned_fd searchable = make_dir(work, "searchable");

	write_at(inner, "file", "x");
	write_at(searchable, "file", "x");
	assert_int_equal(fchmod(inner, 0), 0);
	assert_int_equal(fchmod(searchable, 0100), 0);
	assert_int_equal(fchmod(work, 0500), 0);
	assert_succeeds(place, tree_remove(place->from, "work", &place->error));
	assert_false(exists(place->from, "work"));
}

static void test_remove_needs_few_descriptors_for_ten_thousand_levels(void **state)
{
	struct place *place = *state;
	owned_fd top = make_dir(place->from, "top");
	struct rlimit old = limit_fds(FEW_FDS);
	int result;

	make_deep(top, DEEP);
	result = tree_remove(place->from, "top", &place->error);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_succeeds(place, result);
	assert_false(exists(place->from, "top"));
}

/* Every level above the open ones is opened again, and has more than it was left for. */
static void test_remove_takes_what_lies_beside_the_way_at_every_level(void **state)
{
	struct place *place = *state;
	owned_fd top = make_dir(place->from, "top");
	owned_fd fd = fd_duplicate(top);

	for (int i = 0; i < 100; i++) {
		owned_fd above = fd_take(&fd);

		for (int k = 0; k < 20; k++) {
			char name[16];
			owned_fd side = -1;

			(void)snprintf(name, sizeof(name), "%d", k);
			side = make_dir(above, name);
			write_at(side, "file", "x");
			(void)snprintf(name, sizeof(name), "f%d", k);
			write_at(above, name, "x");
		}
		fd = make_dir(above, "next");
	}
	assert_succeeds(place, tree_remove(place->from, "top", &place->error));
	assert_false(exists(place->from, "top"));
}

static void test_remove_of_nothing_succeeds(void **state)
{
	struct place *place = *state;

	assert_int_equal(tree_remove(place->from, "nothing", &place->error), 0);
}

static void test_remove_refuses_what_is_no_name(void **state)
{
	struct place *place = *state;
	static const char *const names[] = { "", ".", "..", "a/b", "/", "/etc" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(tree_remove(place->from, names[i], &place->error), -EINVAL);
}

static void test_remove_takes_the_link_and_not_what_it_leads_to(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");

	write_at(place->to, "precious", "kept");
	assert_int_equal(symlinkat("../../to", tree, "out"), 0);
	assert_int_equal(symlinkat("../to", place->from, "out"), 0);
	assert_succeeds(place, tree_remove(place->from, "tree", &place->error));
	assert_succeeds(place, tree_remove(place->from, "out", &place->error));
	assert_false(exists(place->from, "out"));
	assert_text(place->to, "precious", "kept");
}

static void test_remove_takes_any_name(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	owned_text longest = long_name();

	for (size_t i = 0; i < ARRAY_SIZE(odd_names); i++) {
		owned_fd directory = -1;

		if (!tree_is_entry_name(odd_names[i]))
			continue;
		directory = make_dir(tree, odd_names[i]);
		write_at(directory, odd_names[i], "x");
		write_at(directory, longest, "x");
	}
	assert_succeeds(place, tree_remove(place->from, "tree", &place->error));
	assert_false(exists(place->from, "tree"));
}

static int remove_with_mounts(struct place *place)
{
	owned_fd tree = make_dir(place->from, "tree");
	owned_text mounted = text_format("%s/from/tree/mounted", place->root);
	owned_text precious = text_format("%s/to", place->root);
	owned_fd beside = make_dir(tree, "beside");

	CHECK(beside >= 0 && mkdirat(tree, "mounted", 0755) == 0);
	CHECK(mkdirat(tree, "z-after", 0755) == 0);
	write_at(place->to, "precious", "kept");
	/* Of the same file system: st_dev does not tell. */
	CHECK(mount(precious, mounted, NULL, MS_BIND, NULL) == 0);
	CHECK(tree_remove(place->from, "tree", &place->error) == -EXDEV);
	CHECK(strcmp(place->error.object, "tree/mounted") == 0);
	CHECK(strcmp(place->error.cause, "a file system is mounted there") == 0);
	CHECK(exists(place->to, "precious"));
	CHECK(exists(tree, "mounted"));
	CHECK(!exists(tree, "beside"));
	CHECK(!exists(tree, "z-after"));
	return 0;
}

static void test_remove_crosses_no_mount_and_goes_on_with_the_rest(void **state)
{
	assert_int_equal(in_namespace(remove_with_mounts, *state), 0);
}

/* Swaps a directory with a symbolic link until it is killed. */
static pid_t start_swapping(int dirfd, const char *directory, const char *link)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			(void)renameat2(dirfd, directory, dirfd, link, RENAME_EXCHANGE);
			(void)usleep(10); /* else nobody else gets the directory's lock for seconds */
		}
	}
	assert_true(pid > 0);
	return pid;
}

static void stop(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_remove_follows_no_link_that_is_swapped_in(void **state)
{
	struct place *place = *state;
	owned_fd precious = make_dir(place->to, "precious");

	write_at(precious, "file", "kept");
	assert_int_equal(fchmod(precious, 0755), 0);
	for (int round = 0; round < ROUNDS; round++) {
		owned_fd tree = make_dir(place->from, "tree");
		owned_fd victim = make_dir(tree, "victim");
		pid_t pid;

		for (int i = 0; i < 10; i++) {
			char name[16];

			(void)snprintf(name, sizeof(name), "file%d", i);
			write_at(victim, i ? name : "file", "x");
		}
		(void)fchmod(victim, 0); /* so that its mode has to be changed by name as well */
		assert_int_equal(symlinkat("../../to/precious", tree, "link"), 0);
		pid = start_swapping(tree, "victim", "link");
		(void)tree_remove(place->from, "tree", NULL);
		stop(pid);
		assert_text(precious, "file", "kept");
		assert_int_equal(status_at(place->to, "precious").st_mode & 07777, 0755);
		assert_succeeds(place, tree_remove(place->from, "tree", &place->error));
	}
}

static void test_remove_comes_to_an_end_while_somebody_adds(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned i = 0;; i++) {
			char name[16];

			(void)snprintf(name, sizeof(name), "%u", i % 5000);
			(void)mkdirat(tree, name, 0755);
		}
	}
	(void)tree_remove(place->from, "tree", NULL);
	stop(pid);
	assert_succeeds(place, tree_remove(place->from, "tree", &place->error));
	assert_false(exists(place->from, "tree"));
}

static void test_trash_takes_a_closed_directory_and_leaves_nothing(void **state)
{
	struct place *place = *state;
	owned_fd runs = make_dir(place->from, "runs");
	owned_fd run = make_dir(runs, "r1");

	write_at(run, "file", "x");
	assert_int_equal(fchmod(run, 0), 0);
	assert_succeeds(place, tree_trash(place->from, "runs/r1", &place->error));
	assert_false(exists(runs, "r1"));
	assert_succeeds(place, tree_trash(place->from, "runs/r1", &place->error));
	assert_succeeds(place, tree_trash(place->from, "no/such", &place->error));
	assert_succeeds(place, tree_trash(place->from, "runs", &place->error));
	assert_false(exists(place->from, "runs"));
	assert_int_equal(unlinkat(place->from, "trash", AT_REMOVEDIR), 0); /* it is empty */
}

static void test_trash_follows_no_link(void **state)
{
	struct place *place = *state;

	write_at(place->to, "precious", "kept");
	assert_int_equal(symlinkat("../to", place->from, "link"), 0);
	assert_true(tree_trash(place->from, "link/precious", &place->error) < 0);
	assert_true(tree_trash(place->from, "../to/precious", &place->error) < 0);
	assert_int_equal(symlinkat("../to", place->from, "trash"), 0);
	write_at(place->from, "old", "x");
	assert_true(tree_trash(place->from, "old", &place->error) < 0);
	assert_true(tree_empty_trash(place->from, &place->error) < 0);
	assert_text(place->to, "precious", "kept");
}

static void test_trash_is_emptied_of_what_a_crash_left(void **state)
{
	struct place *place = *state;
	owned_fd trash = make_dir(place->from, "trash");
	owned_fd left = make_dir(trash, "0123456789abcdef");

	write_at(left, "file", "x");
	write_at(trash, "fedcba9876543210", "x");
	assert_int_equal(fchmod(left, 0), 0);
	assert_succeeds(place, tree_empty_trash(place->from, &place->error));
	assert_int_equal(unlinkat(place->from, "trash", AT_REMOVEDIR), 0);
	assert_succeeds(place, tree_empty_trash(place->from, &place->error));
}

/* -- copying --------------------------------------------------------------------------------------------------------
 */

static void test_copy_keeps_bytes_modes_times_attributes_links_and_pipes(void **state)
{
	struct place *place = *state;
	struct timespec times[] = { { 1000000000, 111111111 }, { 1234567890, 987654321 } };
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd inner = make_dir(tree, "inner");
	owned_fd file = -1;
	owned_fd copied = -1;
	char value[16];
	static const char *const names[] = { "tree", "tree/inner", "tree/inner/file", "tree/link", "tree/pipe" };

	write_at(inner, "file", "content");
	file = openat(inner, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(symlinkat("/no/such/place", tree, "link"), 0);
	assert_int_equal(mkfifoat(tree, "pipe", 0600), 0);
	assert_int_equal(fchmodat(tree, "pipe", 0622, 0), 0);
	(void)fsetxattr(file, "user.note", "hello", 5, 0);
	(void)fsetxattr(inner, "user.note", "hallo", 5, 0);
	assert_int_equal(fchmod(file, 0461), 0);
	for (size_t i = ARRAY_SIZE(names); i-- > 0;)
		assert_int_equal(utimensat(place->from, names[i], times, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(fchmod(inner, 0551), 0);
	assert_int_equal(fchmod(tree, 01773), 0);

	assert_succeeds(place, copy(place, &plain, "tree"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct stat a = status_at(place->from, names[i]);
		struct stat b = status_at(place->to, names[i]);

		assert_int_equal(a.st_mode, b.st_mode);
		assert_int_equal(b.st_mtim.tv_sec, 1234567890);
		assert_int_equal(b.st_mtim.tv_nsec, 987654321);
	}
	assert_text(place->to, "tree/inner/file", "content");
	copied = openat(place->to, "tree/inner/file", O_RDONLY | O_CLOEXEC);
	if (fgetxattr(file, "user.note", value, sizeof(value)) == 5) {
		assert_int_equal(fgetxattr(copied, "user.note", value, sizeof(value)), 5);
		fd_close(&copied);
		copied = openat(place->to, "tree/inner", O_RDONLY | O_CLOEXEC);
		assert_int_equal(fgetxattr(copied, "user.note", value, sizeof(value)), 5);
		assert_memory_equal(value, "hallo", 5);
	}
}

static void test_copy_takes_a_single_file_and_the_directory_itself(void **state)
{
	struct place *place = *state;
	owned_fd target = make_dir(place->to, "target");

	write_at(place->from, "file", "content");
	assert_succeeds(place, tree_copy(&plain, place->from, "file", place->to, "other", NULL, &place->error));
	assert_text(place->to, "other", "content");
	assert_succeeds(place, tree_copy(&plain, place->from, ".", target, ".", NULL, &place->error));
	assert_text(target, "file", "content");
	assert_succeeds(place, tree_copy(&plain, place->from, ".", place->to, "whole", NULL, &place->error));
	assert_text(place->to, "whole/file", "content");
	assert_int_equal(copy(place, &plain, "missing"), -ENOENT);
	assert_string_equal(place->error.object, "missing");
	assert_int_equal(copy(place, &plain, "../from"), -EINVAL);
}

static void test_copy_drops_setuid_and_setgid_unless_asked(void **state)
{
	struct place *place = *state;
	struct tree_copy_options keeping = { .keep_setid = true };
	owned_fd tree = make_dir(place->from, "tree");

	write_at(tree, "program", "#!");
	assert_int_equal(fchmodat(tree, "program", 06755, 0), 0);
	assert_int_equal(fchmod(tree, 02755), 0);
	assert_succeeds(place, copy(place, &plain, "tree"));
	assert_int_equal(status_at(place->to, "tree/program").st_mode & 07777, 0755);
	assert_int_equal(status_at(place->to, "tree").st_mode & 07777, 02755);
	assert_succeeds(place, copy(place, &keeping, "tree"));
	assert_int_equal(status_at(place->to, "tree/program").st_mode & 07777, 06755);
}

static void test_copy_keeps_hard_links_together(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd inner = make_dir(tree, "inner");
	struct tree_copy_result result;
	struct stat first;

	write_at(tree, "a", "linked");
	for (int i = 0; i < 200; i++) {
		char name[24];

		(void)snprintf(name, sizeof(name), "l%d", i);
		assert_int_equal(linkat(tree, "a", inner, name, 0), 0);
		(void)snprintf(name, sizeof(name), "alone%d", i);
		write_at(tree, name, "x");
	}
	assert_int_equal(linkat(tree, "a", place->from, "outside", 0), 0);
	assert_succeeds(place, tree_copy(&plain, place->from, "tree", place->to, "tree", &result, &place->error));
	first = status_at(place->to, "tree/a");
	assert_int_equal(first.st_nlink, 201);
	assert_int_equal(status_at(place->to, "tree/inner/l77").st_ino, first.st_ino);
	assert_int_equal(result.bytes, 6 + 200);
	assert_int_equal(result.entries, 2 + 201 + 200);
	/* Again, over what is there. */
	assert_succeeds(place, copy(place, &plain, "tree"));
	assert_int_equal(status_at(place->to, "tree/a").st_nlink, 201);
	assert_false(status_at(place->to, "tree/a").st_ino == first.st_ino);
}

static void test_copy_links_below_a_path_that_is_too_long_for_the_kernel(void **state)
{
	struct place *place = *state;
	owned_fd top = make_dir(place->from, "top");
	owned_text longest = long_name();
	owned_fd fd = fd_duplicate(top);
	owned_fd to = -1;
	struct stat a;
	struct stat b;

	for (int i = 0; i < 40; i++) {
		owned_fd above = fd_take(&fd);

		fd = make_dir(above, longest);
	}
	write_at(fd, "a", "linked");
	assert_int_equal(linkat(fd, "a", top, "b", 0), 0);
	assert_int_equal(linkat(fd, "a", fd, "c", 0), 0);
	assert_succeeds(place, copy(place, &plain, "top"));
	to = openat(place->to, "top", O_RDONLY | O_CLOEXEC);
	b = status_at(to, "b");
	for (int i = 0; i < 40; i++) {
		owned_fd above = fd_take(&to);

		to = openat(above, longest, O_RDONLY | O_CLOEXEC);
	}
	a = status_at(to, "c");
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_nlink, 3);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void test_copy_of_a_sparse_gigabyte_stays_sparse_and_takes_no_time(void **state)
{
	struct place *place = *state;
	owned_fd file = openat(place->from, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	struct tree_copy_options capped = { .bytes_max = 1 << 20 };
	struct tree_copy_result result;
	uint64_t start;
	char byte = 0;
	owned_fd copied = -1;

	assert_int_equal(ftruncate(file, (off_t)1 << 30), 0);
	assert_int_equal(pwrite(file, "x", 1, (off_t)512 << 20), 1);
	start = now_ms();
	assert_succeeds(place, tree_copy(&capped, place->from, "sparse", place->to, "sparse", &result, &place->error));
	assert_true(now_ms() - start < 1000);
	assert_int_equal(status_at(place->to, "sparse").st_size, (off_t)1 << 30);
	assert_true(status_at(place->to, "sparse").st_blocks < 64);
	copied = openat(place->to, "sparse", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(copied, &byte, 1, (off_t)512 << 20), 1);
	assert_int_equal(byte, 'x');
	assert_true(result.bytes > 0 && result.bytes <= 65536);
}

static void test_copy_needs_few_descriptors_for_ten_thousand_levels(void **state)
{
	struct place *place = *state;
	owned_fd top = make_dir(place->from, "top");
	owned_fd copied = -1;
	struct rlimit old;
	int result;

	make_deep(top, DEEP);
	old = limit_fds(FEW_FDS);
	result = copy(place, &plain, "top");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_succeeds(place, result);
	copied = openat(place->to, "top", O_RDONLY | O_CLOEXEC);
	assert_int_equal(depth_of(copied), DEEP);
}

static void test_copy_takes_any_name(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	owned_text longest = long_name();

	write_at(tree, longest, "x");
	for (size_t i = 0; i < ARRAY_SIZE(odd_names); i++)
		if (tree_is_entry_name(odd_names[i]))
			write_at(tree, odd_names[i], odd_names[i]);
	assert_succeeds(place, copy(place, &plain, "tree"));
	for (size_t i = 0; i < ARRAY_SIZE(odd_names); i++) {
		owned_text path = text_format("tree/%s", odd_names[i]);

		if (tree_is_entry_name(odd_names[i]))
			assert_text(place->to, path, odd_names[i]);
	}
	/* What already has the longest name can be replaced, too. */
	write_at(tree, longest, "y");
	assert_succeeds(place, copy(place, &plain, "tree"));
}

static void test_copy_skips_sockets_and_counts_them(void **state)
{
	struct place *place = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char link[FD_PROC_PATH_SIZE];
	struct tree_copy_result result;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", fd_proc_path(tree, link));
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_succeeds(place, tree_copy(&plain, place->from, "tree", place->to, "tree", &result, &place->error));
	assert_int_equal(result.sockets_skipped, 1);
	assert_false(exists(place->to, "tree/s"));
}

/* finding 47: a removed name in a layer is the character device 0:0, which an ordinary user may make. */
static void test_copy_refuses_or_skips_devices_and_keeps_whiteouts_when_asked(void **state)
{
	struct place *place = *state;
	struct tree_copy_options skipping = { .skip_devices = true };
	struct tree_copy_options keeping = { .keep_whiteouts = true };
	owned_fd tree = make_dir(place->from, "tree");
	struct tree_copy_result result;
	struct stat whiteout;

	assert_int_equal(mknodat(tree, "gone", S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(copy(place, &plain, "tree"), -EPERM);
	assert_string_equal(place->error.object, "tree/gone");
	assert_string_equal(place->error.cause, "it is a device");
	assert_succeeds(place, tree_copy(&skipping, place->from, "tree", place->to, "tree", &result, &place->error));
	assert_int_equal(result.devices_skipped, 1);
	assert_false(exists(place->to, "tree/gone"));
	write_at(place->to, "tree/gone", "in the way");
	assert_succeeds(place, copy(place, &keeping, "tree"));
	whiteout = status_at(place->to, "tree/gone");
	assert_true(S_ISCHR(whiteout.st_mode) && whiteout.st_rdev == 0);
}

static void test_copy_does_not_look_behind_links(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	char target[16];

	assert_int_equal(symlinkat("/etc", tree, "etc"), 0);
	assert_int_equal(symlinkat("/etc/passwd", tree, "passwd"), 0);
	assert_succeeds(place, copy(place, &plain, "tree"));
	assert_int_equal(readlinkat(place->to, "tree/etc", target, sizeof(target)), 4);
	assert_int_equal(readlinkat(place->to, "tree/passwd", target, sizeof(target)), 11);
}

static void test_copy_merges_directories_and_replaces_files(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd target = make_dir(place->to, "tree");
	owned_fd held = -1;
	char byte;

	write_at(tree, "file", "new");
	write_at(tree, "over-link", "new");
	assert_int_equal(symlinkat("new", tree, "link"), 0);
	assert_int_equal(fchmod(tree, 0750), 0);
	write_at(target, "file", "old");
	write_at(target, "mine", "mine");
	write_at(target, "link", "was a file");
	write_at(place->to, "precious", "kept");
	assert_int_equal(symlinkat("../precious", target, "over-link"), 0);
	held = openat(target, "file", O_RDONLY | O_CLOEXEC);

	assert_succeeds(place, copy(place, &plain, "tree"));
	assert_text(target, "file", "new");
	assert_int_equal(pread(held, &byte, 1, 0), 1);
	assert_int_equal(byte, 'o'); /* replaced, not written over */
	assert_text(target, "mine", "mine");
	assert_text(place->to, "precious", "kept"); /* not written through */
	assert_text(target, "over-link", "new");
	assert_true(S_ISREG(status_at(target, "over-link").st_mode));
	assert_true(S_ISLNK(status_at(target, "link").st_mode));
	assert_int_equal(status_at(place->to, "tree").st_mode & 07777, 0750);
}

static void test_copy_keeps_what_exists_when_asked(void **state)
{
	struct place *place = *state;
	struct tree_copy_options keeping = { .keep_existing = true };
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd target = make_dir(place->to, "tree");
	struct tree_copy_result result;

	write_at(tree, "file", "new");
	write_at(tree, "added", "new");
	assert_int_equal(fchmod(tree, 0700), 0);
	write_at(target, "file", "old");
	assert_succeeds(place, tree_copy(&keeping, place->from, "tree", place->to, "tree", &result, &place->error));
	assert_text(target, "file", "old");
	assert_text(target, "added", "new");
	assert_int_equal(status_at(place->to, "tree").st_mode & 07777, 0755);
	assert_int_equal(result.entries, 1);
	assert_int_equal(result.kept, 2);
}

static void test_copy_never_swaps_a_directory_for_something_else(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd target = make_dir(place->to, "tree");
	owned_fd a = make_dir(target, "a");

	write_at(a, "precious", "kept");
	write_at(tree, "a", "a file");
	assert_int_equal(copy(place, &plain, "tree"), -EISDIR);
	assert_string_equal(place->error.object, "tree/a");
	assert_string_equal(place->error.cause, "at its place in the target is a directory");
	assert_text(a, "precious", "kept");

	assert_int_equal(unlinkat(tree, "a", 0), 0);
	assert_int_equal(mkdirat(tree, "b", 0755), 0);
	write_at(target, "b", "kept");
	assert_int_equal(copy(place, &plain, "tree"), -ENOTDIR);
	assert_string_equal(place->error.object, "tree/b");
	assert_text(target, "b", "kept");

	assert_int_equal(unlinkat(target, "b", 0), 0);
	assert_int_equal(symlinkat("../..", target, "b"), 0);
	assert_int_equal(copy(place, &plain, "tree"), -ENOTDIR);
}

static void test_copy_stops_at_its_caps_and_says_so(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	struct tree_copy_options exact = { .bytes_max = 30, .entries_max = 5 };
	struct tree_copy_options fewer_bytes = { .bytes_max = 29 };
	struct tree_copy_options fewer_entries = { .entries_max = 4 };

	for (int i = 0; i < 3; i++) {
		char name[] = { 'f', (char)('0' + i), '\0' };

		write_at(tree, name, "0123456789");
	}
	write_at(tree, "empty", "");
	assert_succeeds(place, copy(place, &exact, "tree"));
	assert_int_equal(copy(place, &fewer_bytes, "tree"), -EFBIG);
	assert_string_equal(place->error.cause, "there is more data than the limit of 29 bytes");
	assert_int_equal(copy(place, &fewer_entries, "tree"), -E2BIG);
	assert_string_equal(place->error.cause, "there are more entries than the limit of 4");
}

static int copy_to_full_disk(struct place *place)
{
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd small = -1;
	char *block = calloc(1, 1 << 20);

	CHECK(block != NULL);
	memset(block, 'x', 1 << 20);
	for (int i = 0; i < 3; i++) {
		char name[] = { 'f', (char)('0' + i), '\0' };
		owned_fd fd = openat(tree, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		CHECK(fd_write_all(fd, block, 1 << 20) == 0);
	}
	free(block);
	CHECK(mount_tmpfs(place, "small", "tmpfs", "size=2560k") == 0);
	small = openat(place->fd, "small", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(tree_copy(&plain, place->from, "tree", small, "tree", NULL, &place->error) == -ENOSPC);
	CHECK(strncmp(place->error.object, "tree/f", 6) == 0);
	/* The file that did not fit has not got its name. */
	CHECK(!exists(small, place->error.object));
	return 0;
}

static void test_copy_to_a_full_disk_names_the_file(void **state)
{
	assert_int_equal(in_namespace(copy_to_full_disk, *state), 0);
}

static void test_copy_into_itself_is_refused(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd inner = make_dir(tree, "inner");

	write_at(tree, "file", "x");
	assert_int_equal(tree_copy(&plain, place->from, "tree", inner, "copy", NULL, &place->error), -EINVAL);
	assert_string_equal(place->error.cause, "a directory cannot be copied into itself");
	assert_string_equal(place->error.object, "tree/inner/copy");
	assert_int_equal(tree_copy(&plain, place->from, "tree", place->from, "tree", NULL, &place->error), -EINVAL);
	assert_int_equal(tree_copy(&plain, place->from, ".", place->from, "tree", NULL, &place->error), -EINVAL);
}

static void test_copy_opens_what_its_owner_closed_and_closes_it_again(void **state)
{
	struct place *place = *state;
	struct tree_copy_options forcing = { .force_access = true };
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd closed = make_dir(tree, "closed");
	owned_fd readable = make_dir(tree, "readable");
	static const char *const paths[] = { "tree/closed", "tree/readable", "tree/file" };
	static const mode_t modes[] = { 0, 0400, 0200 };

	write_at(closed, "file", "inside");
	write_at(readable, "file", "inside");
	write_at(tree, "file", "content");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_int_equal(fchmodat(place->from, paths[i], modes[i], 0), 0);
	if (!is_root()) {
		assert_int_equal(copy(place, &plain, "tree"), -EACCES);
		assert_succeeds(place, tree_remove(place->to, "tree", &place->error));
	}
	assert_succeeds(place, copy(place, &forcing, "tree"));
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		assert_int_equal(status_at(place->from, paths[i]).st_mode & 07777, modes[i]);
		assert_int_equal(status_at(place->to, paths[i]).st_mode & 07777, modes[i]);
		assert_int_equal(fchmodat(place->to, paths[i], 0700, 0), 0);
	}
	assert_text(place->to, "tree/closed/file", "inside");
	assert_text(place->to, "tree/readable/file", "inside");
	assert_text(place->to, "tree/file", "content");
}

static void test_copy_that_fails_closes_again_what_it_opened(void **state)
{
	struct place *place = *state;
	struct tree_copy_options forcing = { .force_access = true, .bytes_max = 1 };
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd closed = make_dir(tree, "closed");
	owned_fd inner = make_dir(closed, "inner");

	write_at(inner, "file", "too much");
	assert_int_equal(fchmod(inner, 0), 0);
	assert_int_equal(fchmod(closed, 0), 0);
	assert_int_equal(copy(place, &forcing, "tree"), -EFBIG);
	assert_int_equal(status_at(place->from, "tree/closed").st_mode & 07777, 0);
	assert_int_equal(fchmod(closed, 0700), 0);
	assert_int_equal(status_at(closed, "inner").st_mode & 07777, 0);
}

struct seen {
	unsigned count;
	bool root_was_empty;
	bool path_was_right;
};

static int filter_by_name(void *data, const struct tree_entry *entry, struct error *error)
{
	struct seen *seen = data;

	seen->root_was_empty |= entry->path[0] == '\0';
	seen->path_was_right |= strcmp(entry->path, "inner/file") == 0 && strcmp(entry->name, "file") == 0;
	seen->count++;
	if (strcmp(entry->name, "bad") == 0)
		return error_set(error, .number = EILSEQ, .step = "judge", .object = entry->path);
	return strcmp(entry->name, "left-out") == 0 ? TREE_SKIP : TREE_TAKE;
}

static void test_copy_asks_the_filter_about_each_entry(void **state)
{
	struct place *place = *state;
	struct seen seen = { 0 };
	struct tree_copy_options filtering = { .filter = filter_by_name, .filter_data = &seen };
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd left_out = make_dir(tree, "left-out");
	owned_fd inner = make_dir(tree, "inner");

	write_at(left_out, "file", "x");
	write_at(inner, "file", "x");
	assert_succeeds(place, tree_copy(&filtering, place->from, "tree", place->to, "t", NULL, &place->error));
	assert_int_equal(seen.count, 4);
	assert_true(seen.root_was_empty);
	assert_true(seen.path_was_right);
	assert_false(exists(place->to, "t/left-out"));
	assert_succeeds(place, tree_copy(&filtering, tree, ".", place->to, "t", NULL, &place->error));
	write_at(inner, "bad", "x");
	assert_int_equal(tree_copy(&filtering, tree, ".", place->to, "t", NULL, &place->error), -EILSEQ);
	assert_string_equal(place->error.object, "inner/bad");
}

static void test_copy_reads_nothing_through_a_link_swapped_into_the_source(void **state)
{
	struct place *place = *state;
	owned_fd secrets = make_dir(place->fd, "secrets");
	owned_fd deeper = make_dir(place->to, "deeper"); /* the copied link leads nowhere from here */
	unsigned finished = 0;

	write_at(secrets, "secret", "secret");
	for (int round = 0; round < ROUNDS; round++) {
		owned_fd tree = make_dir(place->from, "tree");
		owned_fd victim = make_dir(tree, "victim");
		pid_t pid;

		write_at(victim, "file", "x");
		assert_int_equal(symlinkat("../../secrets", tree, "link"), 0);
		pid = start_swapping(tree, "victim", "link");
		finished += tree_copy(&plain, place->from, "tree", deeper, "tree", NULL, &place->error) == 0;
		stop(pid);
		assert_false(exists(deeper, "tree/victim/secret"));
		assert_false(exists(deeper, "tree/link/secret"));
		assert_succeeds(place, tree_remove(place->from, "tree", &place->error));
		assert_succeeds(place, tree_remove(deeper, "tree", &place->error));
	}
	assert_true(finished > 0);
}

/* A file that is swapped with a link and with a pipe, at once. */
static void test_copy_of_a_file_swapped_for_a_pipe_does_not_wait(void **state)
{
	struct place *place = *state;

	for (int round = 0; round < ROUNDS; round++) {
		owned_fd tree = make_dir(place->from, "tree");
		pid_t pid;

		write_at(tree, "file", "x");
		assert_int_equal(mkfifoat(tree, "pipe", 0644), 0);
		pid = start_swapping(tree, "file", "pipe");
		(void)copy(place, &plain, "tree");
		stop(pid);
		assert_succeeds(place, tree_remove(place->from, "tree", &place->error));
		assert_succeeds(place, tree_remove(place->to, "tree", &place->error));
	}
}

static void test_copy_writes_nothing_through_a_link_swapped_into_the_target(void **state)
{
	struct place *place = *state;
	owned_fd outside = make_dir(place->fd, "outside");
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd victim = make_dir(tree, "victim");
	struct stat before;

	for (int i = 0; i < 20; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "file%d", i);
		write_at(victim, name, "x");
	}
	before = status_at(place->fd, "outside");
	for (int round = 0; round < ROUNDS; round++) {
		owned_fd target = make_dir(place->to, "tree");
		pid_t pid;

		(void)mkdirat(target, "victim", 0755);
		assert_int_equal(symlinkat("../../outside", target, "link"), 0);
		pid = start_swapping(target, "victim", "link");
		(void)copy(place, &plain, "tree");
		stop(pid);
		assert_false(exists(outside, "file0"));
		assert_false(exists(outside, "file19"));
		assert_int_equal(status_at(place->fd, "outside").st_mtim.tv_nsec, before.st_mtim.tv_nsec);
		assert_succeeds(place, tree_remove(place->to, "tree", &place->error));
	}
}

/* The directory that is being copied moves out of the tree: its ".." is then another one. */
static void test_copy_notices_that_the_directory_it_is_in_was_moved_away(void **state)
{
	struct place *place = *state;
	owned_fd top = make_dir(place->from, "top");
	struct descent way;

	make_deep(top, DESCENT_OPEN_MAX + 10);
	assert_int_equal(descent_start(&way, place->from, 0), 0);
	assert_int_equal(descent_enter(&way, "top", NULL), 0);
	for (int i = 0; i < DESCENT_OPEN_MAX + 10; i++)
		assert_int_equal(descent_enter(&way, "d", NULL), 0);
	assert_int_equal(renameat(place->from, "top/d/d/d", place->to, "moved"), 0);
	for (int i = 0; i < DESCENT_OPEN_MAX; i++)
		assert_true(descent_leave(&way, NULL) >= 0);
	for (int i = 0; i < 10; i++) {
		int result = descent_leave(&way, NULL);

		if (result < 0) {
			assert_int_equal(result, -ESTALE);
			descent_end(&way);
			return;
		}
	}
	fail_msg("the way led through a directory that is not the tree's");
}

static void test_copy_of_a_growing_directory_ends_at_its_cap(void **state)
{
	struct place *place = *state;
	struct tree_copy_options capped = { .entries_max = 3000 };
	owned_fd tree = make_dir(place->from, "tree");
	pid_t pid = fork();
	int result;

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned i = 0; i < 30000; i++) {
			char name[16];

			(void)snprintf(name, sizeof(name), "%u", i);
			(void)mkdirat(tree, name, 0755);
		}
		(void)pause();
	}
	result = copy(place, &capped, "tree");
	stop(pid);
	assert_true(result == 0 || result == -E2BIG);
}

static void test_copy_survives_a_directory_that_changes_all_the_time(void **state)
{
	struct place *place = *state;
	owned_fd tree = make_dir(place->from, "tree");
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned i = 0;; i++) {
			char name[16];
			owned_fd fd = -1;

			(void)snprintf(name, sizeof(name), "%u", i % 50);
			(void)unlinkat(tree, name, 0);
			(void)unlinkat(tree, name, AT_REMOVEDIR);
			if (i % 3 == 0) {
				(void)mkdirat(tree, name, 0755);
				continue;
			}
			fd = openat(tree, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
			(void)!write(fd, name, strlen(name));
			(void)!ftruncate(fd, i % 7);
		}
	}
	for (int round = 0; round < 100; round++) {
		int result = copy(place, &plain, "tree");

		/* What was a file in the first round can be a directory in the second. */
		if (result != -EISDIR && result != -ENOTDIR && result != -ELOOP && result != -ESTALE)
			assert_succeeds(place, result);
		(void)tree_remove(place->to, "tree", NULL);
	}
	stop(pid);
}

static int copy_with_mounts(struct place *place)
{
	struct tree_copy_options crossing = { .cross_mounts = true };
	owned_fd tree = make_dir(place->from, "tree");
	owned_fd inner = -1;

	CHECK(mkdirat(tree, "mounted", 0755) == 0);
	CHECK(mount_tmpfs(place, "from/tree/mounted", "tmpfs", NULL) == 0);
	inner = openat(tree, "mounted", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_at(inner, "file", "x");
	CHECK(copy(place, &plain, "tree") == -EXDEV);
	CHECK(strcmp(place->error.object, "tree/mounted") == 0);
	CHECK(copy(place, &crossing, "tree") == 0);
	CHECK(exists(place->to, "tree/mounted/file"));
	return 0;
}

static void test_copy_crosses_mounts_only_when_asked(void **state)
{
	assert_int_equal(in_namespace(copy_with_mounts, *state), 0);
}

/* user::rw-, user:1:rw-, group::r--, mask::rw-, other::--- in the form of linux/posix_acl_xattr.h. */
static const unsigned char access_list[] = {
	2,  0, 0, 0,			 /* version */
	1,  0, 6, 0, 255, 255, 255, 255, /* owner */
	2,  0, 6, 0, 0,	  0,   0,   0,	 /* a named user; its number is filled in */
	4,  0, 4, 0, 255, 255, 255, 255, /* group */
	16, 0, 6, 0, 255, 255, 255, 255, /* mask */
	32, 0, 0, 0, 255, 255, 255, 255, /* others */
};

static int copy_without_lists(struct place *place)
{
	unsigned char list[sizeof(access_list)];
	uint32_t user = (uint32_t)geteuid();
	owned_fd ram = -1;
	owned_fd file = -1;
	struct tree_copy_result result;

	memcpy(list, access_list, sizeof(list));
	memcpy(list + 16, &user, sizeof(user));
	write_at(place->from, "file", "x");
	file = openat(place->from, "file", O_RDWR | O_CLOEXEC);
	if (fsetxattr(file, "system.posix_acl_access", list, sizeof(list), 0) < 0)
		return CANNOT;
	CHECK((status_at(place->from, "file").st_mode & 07777) == 0660);
	CHECK(copy(place, &plain, "file") == 0);
	CHECK((status_at(place->to, "file").st_mode & 07777) == 0660);
	fd_close(&file);
	file = openat(place->to, "file", O_RDWR | O_CLOEXEC);
	CHECK(fgetxattr(file, "system.posix_acl_access", NULL, 0) == sizeof(list));
	/* ramfs has no attributes: the group must not get what only the named user had. */
	CHECK(mount_tmpfs(place, "ram", "ramfs", NULL) == 0);
	ram = openat(place->fd, "ram", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(tree_copy(&plain, place->from, "file", ram, "file", &result, &place->error) == 0);
	CHECK((status_at(ram, "file").st_mode & 07777) == 0640);
	CHECK(result.attributes_skipped > 0);
	return 0;
}

static void test_copy_without_its_access_list_gives_the_group_no_more(void **state)
{
	assert_int_equal(in_namespace(copy_without_lists, *state), 0);
}

static int copy_between_file_systems(struct place *place)
{
	owned_fd other = -1;
	owned_fd file = openat(place->from, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	struct stat copied;
	owned_text text = NULL;
	size_t size;

	/* Data, hole, data, hole. */
	CHECK(ftruncate(file, 3 << 20) == 0);
	CHECK(pwrite(file, "begin", 5, 0) == 5);
	CHECK(pwrite(file, "middle", 6, 2 << 20) == 6);
	CHECK(mount_tmpfs(place, "other", "tmpfs", NULL) == 0);
	other = openat(place->fd, "other", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(tree_copy(&plain, place->from, "file", other, "file", NULL, &place->error) == 0);
	copied = status_at(other, "file");
	CHECK(copied.st_size == 3 << 20 && copied.st_blocks < 64);
	CHECK(fd_read_file(other, "file", 4 << 20, &text, &size) == 0 && size == 3 << 20);
	CHECK(memcmp(text, "begin", 6) == 0 && memcmp(text + (2 << 20), "middle", 7) == 0);
	/* A file of the kernel's, whose size says 0. */
	fd_close(&file);
	file = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(tree_copy(&plain, file, "status", other, "status", NULL, &place->error) == 0);
	CHECK(status_at(other, "status").st_size > 100);
	return 0;
}

static void test_copy_goes_from_one_file_system_to_another(void **state)
{
	assert_int_equal(in_namespace(copy_between_file_systems, *state), 0);
}

static void test_inodes_finds_each_of_a_hundred_thousand(void **state)
{
	struct inodes inodes = { 0 };
	bool is_new;

	(void)state;
	for (ino_t i = 0; i < 100000; i++) {
		(void)inodes_look_up(&inodes, i % 3, i, &is_new);
		assert_true(is_new);
	}
	for (ino_t i = 0; i < 100000; i++) {
		assert_int_equal(inodes_look_up(&inodes, i % 3, i, &is_new)->inode, i);
		assert_false(is_new);
	}
	assert_int_equal(inodes.count, 100000);
	inodes_release(&inodes);
}

#define M(name) cmocka_unit_test_setup_teardown(name, set_up_in_memory, tear_down)
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		T(test_remove_takes_a_tree_with_closed_directories),
		T(test_remove_needs_few_descriptors_for_ten_thousand_levels),
		T(test_remove_takes_what_lies_beside_the_way_at_every_level),
		T(test_remove_of_nothing_succeeds),
		T(test_remove_refuses_what_is_no_name),
		T(test_remove_takes_the_link_and_not_what_it_leads_to),
		T(test_remove_takes_any_name),
		T(test_remove_crosses_no_mount_and_goes_on_with_the_rest),
		M(test_remove_follows_no_link_that_is_swapped_in),
		M(test_remove_comes_to_an_end_while_somebody_adds),
		T(test_trash_takes_a_closed_directory_and_leaves_nothing),
		T(test_trash_follows_no_link),
		T(test_trash_is_emptied_of_what_a_crash_left),
		T(test_copy_keeps_bytes_modes_times_attributes_links_and_pipes),
		T(test_copy_takes_a_single_file_and_the_directory_itself),
		T(test_copy_drops_setuid_and_setgid_unless_asked),
		T(test_copy_keeps_hard_links_together),
		T(test_copy_links_below_a_path_that_is_too_long_for_the_kernel),
		T(test_copy_of_a_sparse_gigabyte_stays_sparse_and_takes_no_time),
		T(test_copy_needs_few_descriptors_for_ten_thousand_levels),
		T(test_copy_takes_any_name),
		T(test_copy_skips_sockets_and_counts_them),
		T(test_copy_refuses_or_skips_devices_and_keeps_whiteouts_when_asked),
		T(test_copy_does_not_look_behind_links),
		T(test_copy_merges_directories_and_replaces_files),
		T(test_copy_keeps_what_exists_when_asked),
		T(test_copy_never_swaps_a_directory_for_something_else),
		T(test_copy_stops_at_its_caps_and_says_so),
		T(test_copy_to_a_full_disk_names_the_file),
		T(test_copy_into_itself_is_refused),
		T(test_copy_opens_what_its_owner_closed_and_closes_it_again),
		T(test_copy_that_fails_closes_again_what_it_opened),
		T(test_copy_asks_the_filter_about_each_entry),
		M(test_copy_reads_nothing_through_a_link_swapped_into_the_source),
		M(test_copy_of_a_file_swapped_for_a_pipe_does_not_wait),
		M(test_copy_writes_nothing_through_a_link_swapped_into_the_target),
		T(test_copy_notices_that_the_directory_it_is_in_was_moved_away),
		M(test_copy_of_a_growing_directory_ends_at_its_cap),
		M(test_copy_survives_a_directory_that_changes_all_the_time),
		T(test_copy_crosses_mounts_only_when_asked),
		T(test_copy_without_its_access_list_gives_the_group_no_more),
		T(test_copy_goes_from_one_file_system_to_another),
		cmocka_unit_test(test_inodes_finds_each_of_a_hundred_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	int status = 0;
	int failed;
	pid_t pid;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);

	if (!is_root())
		return run_all();
	failed = run_all();
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(OTHER_USER, OTHER_USER, OTHER_USER) < 0 ||
		    setresuid(OTHER_USER, OTHER_USER, OTHER_USER) < 0)
			_exit(1);
		(void)prctl(PR_SET_DUMPABLE, 1); /* so that /proc/self is ours again */
		exit(run_all());
	}
	(void)waitpid(pid, &status, 0);
	return failed || status != 0;
}
