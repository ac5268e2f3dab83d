/* SPDX-License-Identifier: Apache-2.0 */
/* Lock files: held is alive, whatever ends the holder; a name has one holder; what the dead left is collected and
 * nothing else. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/registry/claim.h"
#include "sandbox/registry/collect.h"
#include "sandbox/registry/lock.h"
#include "tests/unit/scratch.h"

struct place {
	char *root;
	struct state_paths paths;
	int runtime_fd;
	int state_fd;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	place->root = scratch_make(NULL);
	if (!place->root)
		return -1;
	(void)unsetenv("XDG_STATE_HOME");
	(void)setenv("XDG_RUNTIME_DIR", place->root, 1);
	state_paths_find(place->root, &place->paths);
	*state = place;
	return state_open_runtime(&place->paths, STATE_MAKE, &place->runtime_fd, NULL) < 0 ||
			       state_open(&place->paths, STATE_MAKE, &place->state_fd, NULL) < 0
		       ? -1
		       : 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	int result;

	fd_close(&place->runtime_fd);
	fd_close(&place->state_fd);
	result = scratch_remove(&place->root);
	state_paths_release(&place->paths);
	free(place);
	return result;
}

static bool is_there(int directory_fd, const char *name)
{
	return faccessat(directory_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static size_t count_entries(int directory_fd)
{
	struct dirent **found = NULL;
	int count = scandirat(directory_fd, ".", &found, NULL, NULL);

	for (int i = 0; i < count; i++)
		free(found[i]);
	free(found);
	return (size_t)count - 2;
}

static int make(int directory_fd, const char *name, struct lock *lock, struct error *error)
{
	owned_row row = { .name = text_duplicate(name) };

	text_list_add(&row.command, "dotnet");
	text_list_add(&row.command, "a\xff\n");
	return lock_create(directory_fd, &row, lock, error);
}

static void list(const struct place *place, struct lock_list *ret_list)
{
	struct error error;

	assert_int_equal(lock_list(&place->runtime_fd, 1, ret_list, &error), 0);
}

static void collect(const struct place *place, struct collect_report *report)
{
	struct error error = { 0 };

	assert_int_equal(collect_dead(&place->paths, COLLECT_REMOVE, report, &error), 0);
}

/* Runs `body` in a child that is killed once it said that it is ready. Returns when it is dead. */
static void run_and_kill(void (*body)(const struct place *), const struct place *place)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		body(place);
		(void)!write(ready[1], "x", 1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* -- one holder ---------------------------------------------------------------------------------------------------- */

static void test_a_worker_is_listed_while_it_lives_and_gone_after(void **state)
{
	struct place *place = *state;
	owned_lock_list before = { 0 };
	owned_lock_list after = { 0 };
	struct error error = { 0 };
	struct lock lock = { .fd = -1 };
	const struct worker_row *row;

	assert_int_equal(make(place->runtime_fd, NULL, &lock, &error), 0);
	assert_int_equal(fcntl(lock.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	list(place, &before);
	assert_int_equal(before.count, 1);
	assert_true(before.items[0].is_live);
	assert_true(before.items[0].has_row);
	row = &before.items[0].row;
	assert_string_equal(row->name, row->id);
	assert_string_equal(row->run, row->id);
	assert_string_equal(row->name, lock.name);
	assert_int_equal(row->sbx_pid, getpid());
	assert_int_equal(row->command.count, 2);
	assert_string_equal(row->command.items[1], "a\xff\n");
	lock_release(&lock);
	lock_release(&lock);
	list(place, &after);
	assert_int_equal(after.count, 0);
	assert_int_equal(count_entries(place->runtime_fd), 0);
}

static void test_a_row_is_one_line_of_fixed_size(void **state)
{
	struct place *place = *state;
	struct lock lock = { .fd = -1 };
	owned_row row = { .name = text_duplicate("w1") };
	struct stat status;
	char *text = NULL;
	size_t size;

	assert_int_equal(lock_create(place->runtime_fd, &row, &lock, NULL), 0);
	assert_int_equal(fd_read_file(place->runtime_fd, "lock.w1", 0, &text, &size), 0);
	assert_int_equal(size, ROW_ALIGNMENT);
	assert_ptr_equal(strchr(text, '\n'), text + size - 1);
	assert_int_equal(fstat(lock.fd, &status), 0);
	/* Sticky: no cleaner of XDG_RUNTIME_DIR takes it. */
	assert_int_equal(status.st_mode & 07777, 01600);

	/* It never shrinks, so that no rest of a longer row stays behind. */
	row.tree = malloc(5001);
	memset(row.tree, 'x', 5000);
	row.tree[5000] = '\0';
	assert_int_equal(lock_write_row(&lock, &row, NULL), 0);
	text_free(&row.tree);
	assert_int_equal(lock_write_row(&lock, &row, NULL), 0);
	assert_int_equal(fstat(lock.fd, &status), 0);
	assert_int_equal(status.st_size, 2 * ROW_ALIGNMENT);
	free(text);
	lock_release(&lock);
}

static void test_every_member_of_a_row_comes_back(void **state)
{
	struct place *place = *state;
	struct lock lock = { .fd = -1 };
	owned_lock_list found = { 0 };
	owned_row row = {
		.name = text_duplicate("W.1_-"),
		.run = text_duplicate("run"),
		.tree = text_duplicate("/t\xff\n"),
		.phase = text_duplicate("running"),
		.keep = text_duplicate("failed"),
		.scratch = text_duplicate("/s"),
		.log_directory = text_duplicate("/l"),
		.boot_id = text_duplicate("b"),
		.pid = 1,
		.sbx_pid = 2,
		.payload_pid = INT64_MAX,
		.started_ns = 4,
	};
	owned_buffer written = { 0 };
	owned_buffer read = { 0 };

	text_list_add(&row.command, "");
	text_list_add(&row.ports, "127.0.0.1:1:2");
	text_list_add(&row.labels, "K=V\x80");
	text_list_add(&row.degraded, "disk upper");
	row.is_command_cut = true;
	assert_int_equal(lock_create(place->runtime_fd, &row, &lock, NULL), 0);
	list(place, &found);
	worker_row_write(&row, &written);
	worker_row_write(&found.items[0].row, &read);
	assert_string_equal(read.bytes, written.bytes);
	lock_release(&lock);
}

static void test_a_long_command_is_cut_and_a_long_path_refused(void **state)
{
	struct place *place = *state;
	struct lock lock = { .fd = -1 };
	owned_lock_list found = { 0 };
	owned_row row = { .name = text_duplicate("w1") };
	struct error error = { 0 };

	for (int i = 0; i < 20000; i++)
		text_list_add(&row.command, "\xff\xff\xff\xff");
	assert_int_equal(lock_create(place->runtime_fd, &row, &lock, &error), 0);
	list(place, &found);
	assert_true(found.items[0].row.is_command_cut);
	assert_true(found.items[0].row.command.count > 100);
	/* The caller's row is whole. */
	assert_int_equal(row.command.count, 20000);
	row.tree = malloc(ROW_SIZE_MAX + 1);
	memset(row.tree, 'x', ROW_SIZE_MAX);
	row.tree[ROW_SIZE_MAX] = '\0';
	assert_int_equal(lock_write_row(&lock, &row, &error), -E2BIG);
	lock_release(&lock);
}

static void test_a_name_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = { "",
					   ".",
					   "..",
					   "-a",
					   "_a",
					   ".a",
					   "a/b",
					   "a b",
					   "a\n",
					   "\033[2J",
					   "a\xff",
					   "ä",
					   "0123456789012345678901234567890123456789012345678901234567890123" };
	static const char *const good[] = { "a", "0", "w1", "A-b_c.d",
					    "012345678901234567890123456789012345678901234567890123456789012" };
	struct place *place = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct lock lock = { .fd = -1 };
		struct error error = { 0 };
		char shown[2048];

		assert_int_equal(make(place->runtime_fd, bad[i], &lock, &error), -EINVAL);
		(void)error_format(&error, shown, sizeof(shown));
		assert_null(strchr(shown, '\033'));
	}
	assert_int_equal(count_entries(place->runtime_fd), 0);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct lock lock = { .fd = -1 };

		assert_int_equal(make(place->runtime_fd, good[i], &lock, NULL), 0);
		lock_release(&lock);
	}
}

static void test_a_name_has_one_live_holder(void **state)
{
	struct place *place = *state;
	struct lock first = { .fd = -1 };
	struct lock second = { .fd = -1 };
	struct error error = { 0 };

	assert_int_equal(make(place->runtime_fd, "w1", &first, &error), 0);
	assert_int_equal(make(place->runtime_fd, "w1", &second, &error), -EEXIST);
	assert_string_equal(error.cause, "a live worker has it");
	assert_int_equal(lock_is_held(place->runtime_fd, "w1"), 1);
	assert_int_equal(lock_is_held(place->runtime_fd, "w2"), 0);
	lock_release(&first);
	assert_int_equal(make(place->runtime_fd, "w1", &second, &error), 0);
	lock_release(&second);
}

static void test_a_renamed_worker_lives_under_its_new_name_with_its_socket(void **state)
{
	struct place *place = *state;
	struct lock first = { .fd = -1 };
	struct lock other = { .fd = -1 };
	struct error error = { 0 };
	char file[LOCK_FILE_NAME_SIZE];
	owned_fd socket_fd = -1;

	assert_int_equal(make(place->runtime_fd, "s1", &first, NULL), 0);
	assert_int_equal(make(place->runtime_fd, "w2", &other, NULL), 0);
	socket_fd = openat(place->runtime_fd, lock_socket_name("s1", file), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(socket_fd >= 0);
	assert_int_equal(lock_rename(&first, "w2", &error), -EEXIST);
	assert_int_equal(lock_rename(&first, "no/name", &error), -EINVAL);
	assert_int_equal(lock_is_held(place->runtime_fd, "s1"), 1);
	assert_int_equal(lock_rename(&first, "w1", &error), 0);
	assert_int_equal(lock_is_held(place->runtime_fd, "s1"), 0);
	assert_int_equal(lock_is_held(place->runtime_fd, "w1"), 1);
	assert_true(is_there(place->runtime_fd, lock_socket_name("w1", file)));
	lock_release(&other);
	lock_release(&first);
	assert_int_equal(count_entries(place->runtime_fd), 0);
}

static void test_a_name_being_given_up_is_waited_for(void **state)
{
	struct place *place = *state;
	struct lock first = { .fd = -1 };
	struct lock second = { .fd = -1 };
	int status = 0;
	pid_t pid;

	assert_int_equal(make(place->runtime_fd, "w1", &first, NULL), 0);
	pid = fork();
	if (pid == 0) {
		(void)usleep(30000);
		_exit(0); /* the second holder of the same description, dead without a word */
	}
	lock_close(&first);
	assert_int_equal(make(place->runtime_fd, "w1", &second, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	lock_release(&second);
}

static void test_asking_is_not_living(void **state)
{
	struct place *place = *state;
	struct lock lock = { .fd = -1 };
	owned_lock_list found = { 0 };
	owned_fd asker = -1;

	assert_int_equal(make(place->runtime_fd, "w1", &lock, NULL), 0);
	lock_close(&lock);
	asker = openat(place->runtime_fd, "lock.w1", O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(asker, LOCK_SH), 0);
	list(place, &found);
	assert_false(found.items[0].is_live);
	assert_int_equal(lock_is_held(place->runtime_fd, "w1"), 0);
	assert_int_equal(make(place->runtime_fd, "w1", &lock, NULL), 0);
	lock_release(&lock);
}

/* -- the end ------------------------------------------------------------------------------------------------------- */

static void hold_with_socket(const struct place *place)
{
	char file[LOCK_FILE_NAME_SIZE];
	struct lock lock;

	if (make(place->runtime_fd, "w1", &lock, NULL) < 0 ||
	    mknodat(place->runtime_fd, lock_socket_name("w1", file), S_IFSOCK | 0600, 0) < 0)
		_exit(1);
}

static void test_a_killed_holder_leaves_one_lock_that_is_collected_with_its_socket(void **state)
{
	struct place *place = *state;
	owned_collect_report report = { 0 };
	owned_lock_list found = { 0 };

	run_and_kill(hold_with_socket, place);
	list(place, &found);
	assert_int_equal(found.count, 1);
	assert_false(found.items[0].is_live);
	assert_true(found.items[0].has_row);
	assert_int_equal(collect_dead(&place->paths, COLLECT_LOOK, &report, NULL), 0);
	assert_int_equal(report.workers.count, 1);
	assert_int_equal(count_entries(place->runtime_fd), 2);
	collect_report_release(&report);
	collect(place, &report);
	assert_int_equal(report.workers.count, 1);
	assert_string_equal(report.workers.items[0], "w1");
	assert_int_equal(count_entries(place->runtime_fd), 0);
}

static void test_the_lock_lives_as_long_as_the_last_of_its_holders(void **state)
{
	struct place *place = *state;
	struct lock lock = { .fd = -1 };
	int status;
	pid_t pid;

	assert_int_equal(make(place->runtime_fd, "w1", &lock, NULL), 0);
	pid = fork();
	if (pid == 0)
		for (;;)
			(void)pause();
	lock_close(&lock);
	assert_int_equal(lock_is_held(place->runtime_fd, "w1"), 1);
	assert_int_equal(lock_collect(place->runtime_fd, "w1", NULL), -EBUSY);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(lock_is_held(place->runtime_fd, "w1"), 0);
	assert_int_equal(lock_collect(place->runtime_fd, "w1", NULL), 0);
	assert_int_equal(lock_collect(place->runtime_fd, "w1", NULL), -ENOENT);
}

static void test_release_leaves_a_file_that_is_somebody_elses_by_now(void **state)
{
	struct place *place = *state;
	struct lock first = { .fd = -1 };
	struct lock second = { .fd = -1 };

	assert_int_equal(make(place->runtime_fd, "w1", &first, NULL), 0);
	assert_int_equal(unlinkat(place->runtime_fd, "lock.w1", 0), 0);
	assert_int_equal(make(place->runtime_fd, "w1", &second, NULL), 0);
	lock_release(&first);
	assert_int_equal(lock_is_held(place->runtime_fd, "w1"), 1);
	lock_release(&second);
}

static void test_what_is_no_row_is_listed_without_and_collected(void **state)
{
	static const char *const contents[] = { "", "x", "{}",
						"{\"check\":\"0000000000000000\",\"id\":\"0123456789\"}\n", "\0\0\0" };
	struct place *place = *state;
	owned_lock_list found = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		owned_text name = text_format("lock.w%zu", i);
		owned_fd fd = openat(place->runtime_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		assert_int_equal(fd_write_all(fd, contents[i], i == 4 ? 3 : strlen(contents[i])), 0);
	}
	/* Neither a symlink nor a pipe is followed, read from, or waited for. */
	assert_int_equal(symlinkat("/etc/passwd", place->runtime_fd, "lock.link"), 0);
	assert_int_equal(mkfifoat(place->runtime_fd, "lock.pipe", 0600), 0);
	assert_int_equal(mkdirat(place->runtime_fd, "other", 0700), 0);
	list(place, &found);
	assert_true(found.count >= ARRAY_SIZE(contents));
	for (size_t i = 0; i < found.count; i++) {
		assert_false(found.items[i].has_row);
		assert_false(found.items[i].is_live);
	}
	(void)collect_dead(&place->paths, COLLECT_REMOVE, NULL, NULL);
	assert_false(is_there(place->runtime_fd, "lock.w0"));
	assert_false(is_there(place->runtime_fd, "lock.w4"));
	assert_true(is_there(place->runtime_fd, "other"));
	assert_true(access("/etc/passwd", F_OK) == 0);
}

/* -- directories of the dead --------------------------------------------------------------------------------------- */

static int upper_part(const struct place *place)
{
	int fd = -1;

	assert_int_equal(state_open_part(place->state_fd, STATE_UPPERS, STATE_MAKE, &fd, NULL), 0);
	return fd;
}

static void fill(int parent_fd, const char *name)
{
	owned_fd fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* As overlayfs leaves it: finding 10. */
	assert_int_equal(mkdirat(fd, "work", 0700), 0);
	assert_int_equal(mkdirat(fd, "work/work", 0000), 0);
}

static void test_an_upper_is_collected_when_nobody_claims_it(void **state)
{
	struct place *place = *state;
	owned_collect_report report = { 0 };
	owned_fd uppers = upper_part(place);
	owned_fd claim = -1;
	struct error error = { 0 };

	assert_int_equal(claim_make(uppers, "0000000001", &claim, &error), 0);
	fill(uppers, "0000000001");
	assert_int_equal(claim_make(uppers, "0000000001", &(int){ -1 }, &error), -EEXIST);
	assert_int_equal(claim_take(uppers, "0000000001", &(int){ -1 }, &error), -EBUSY);
	collect(place, &report);
	assert_int_equal(report.directories.count, 0);
	assert_true(is_there(uppers, "0000000001"));
	fd_close(&claim);
	collect(place, &report);
	assert_int_equal(report.directories.count, 1);
	assert_string_equal(report.directories.items[0], "uppers/0000000001");
	assert_int_equal(count_entries(uppers), 0);
}

static void test_a_symlink_among_the_uppers_is_not_followed(void **state)
{
	struct place *place = *state;
	owned_text victim = path_join(place->root, "victim");
	owned_fd uppers = upper_part(place);

	assert_int_equal(mkdir(victim, 0700), 0);
	assert_int_equal(symlinkat(victim, uppers, "0000000001"), 0);
	(void)collect_dead(&place->paths, COLLECT_REMOVE, NULL, NULL);
	assert_int_equal(access(victim, F_OK), 0);
}

static void test_trash_is_emptied(void **state)
{
	struct place *place = *state;
	owned_fd trash = -1;

	assert_int_equal(state_open_part(place->state_fd, STATE_TRASH, STATE_MAKE, &trash, NULL), 0);
	assert_int_equal(mkdirat(trash, "old", 0700), 0);
	fill(trash, "old");
	collect(place, NULL);
	assert_int_equal(count_entries(trash), 0);
}

static void test_a_scratch_directory_elsewhere_goes_with_its_lock(void **state)
{
	struct place *place = *state;
	owned_text scratch = path_join(place->root, "scratch");
	owned_row row = { .name = text_duplicate("w1"), .scratch = text_duplicate(scratch) };
	struct lock lock = { .fd = -1 };
	owned_text name = NULL;
	owned_fd parent = -1;
	owned_fd claim = -1;

	assert_int_equal(mkdir(scratch, 0700), 0);
	parent = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(lock_create(place->runtime_fd, &row, &lock, NULL), 0);
	name = text_format(SCRATCH_PREFIX "%s", row.id);
	assert_int_equal(claim_make(parent, name, &claim, NULL), 0);
	fill(parent, name);
	assert_int_equal(mkdirat(parent, "mine", 0700), 0);

	lock_close(&lock);
	/* Still claimed: neither it nor the lock that points to it is touched. */
	collect(place, NULL);
	assert_true(is_there(parent, name));
	assert_true(is_there(place->runtime_fd, "lock.w1"));
	fd_close(&claim);
	collect(place, NULL);
	assert_false(is_there(parent, name));
	assert_true(is_there(parent, "mine"));
	assert_false(is_there(place->runtime_fd, "lock.w1"));
}

/* -- many at once -------------------------------------------------------------------------------------------------- */

enum { CROWD = 16, CROWD_NAMES = 3, CROWD_MS = 1500 };

struct crowd {
	atomic_int holders[CROWD_NAMES]; /* 1: somebody believes to hold that name */
	atomic_int wrong;
	atomic_int made;
	atomic_int refused;
	atomic_int collected;
	atomic_int killed;
};

static int64_t now_ms(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void complain(struct crowd *crowd, const char *what)
{
	(void)!write(STDERR_FILENO, what, strlen(what));
	atomic_fetch_add(&crowd->wrong, 1);
}

static bool still_has(const struct lock *lock)
{
	char file[LOCK_FILE_NAME_SIZE];

	(void)snprintf(file, sizeof(file), "lock.%s", lock->name);
	return claim_is_at(lock->directory_fd, file, lock->fd);
}

static void crowd_hold(const struct place *place, struct crowd *crowd, int choice, bool dies)
{
	static const char *const names[CROWD_NAMES] = { "w0", "w1", "w2" };
	const char *name = choice < CROWD_NAMES ? names[choice] : NULL;
	struct lock lock = { .fd = -1 };
	struct error error = { 0 };
	int result = make(place->runtime_fd, name, &lock, &error);

	if (result == -EEXIST && name) {
		atomic_fetch_add(&crowd->refused, 1);
		return;
	}
	if (result < 0) {
		complain(crowd, "a lock could not be made\n");
		return;
	}
	atomic_fetch_add(&crowd->made, 1);
	if (name && atomic_exchange(&crowd->holders[choice], 1) != 0)
		complain(crowd, "two hold one name\n");
	(void)usleep((useconds_t)(rand() % 2000));
	if (!still_has(&lock))
		complain(crowd, "a live lock was collected\n");
	/* Before the lock is let go, so that the next holder never sees it. */
	if (name)
		atomic_store(&crowd->holders[choice], 0);
	if (dies) {
		atomic_fetch_add(&crowd->killed, 1);
		(void)kill(getpid(), SIGKILL);
	}
	lock_release(&lock);
}

static void crowd_hold_and_die(const struct place *place, struct crowd *crowd, int choice)
{
	pid_t pid = fork();

	if (pid == 0) {
		crowd_hold(place, crowd, choice, true);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

static void crowd_look(const struct place *place, struct crowd *crowd)
{
	owned_lock_list found = { 0 };

	if (lock_list(&place->runtime_fd, 1, &found, NULL) < 0)
		complain(crowd, "the locks could not be listed\n");
}

static void crowd_collect(const struct place *place, struct crowd *crowd)
{
	owned_collect_report report = { 0 };

	if (collect_dead(&place->paths, COLLECT_REMOVE, &report, NULL) < 0)
		complain(crowd, "the dead could not be collected\n");
	atomic_fetch_add(&crowd->collected, (int)report.workers.count);
}

static void crowd_claim(const struct place *place, struct crowd *crowd)
{
	owned_fd uppers = -1;
	owned_fd claim = -1;
	char id[ID_LENGTH + 1];

	(void)state_open_part(place->state_fd, STATE_UPPERS, STATE_MAKE, &uppers, NULL);
	if (claim_make(uppers, id_make(id), &claim, NULL) < 0) {
		complain(crowd, "an upper could not be made\n");
		return;
	}
	(void)usleep((useconds_t)(rand() % 1000));
	if (!claim_is_at(uppers, id, claim))
		complain(crowd, "a claimed upper was collected\n");
}

static void crowd_member(const struct place *place, struct crowd *crowd, unsigned seed)
{
	int64_t end = now_ms() + CROWD_MS;

	srand(seed);
	while (now_ms() < end) {
		int choice = rand() % (CROWD_NAMES + 2);

		switch (rand() % 8) {
		case 0:
			crowd_hold_and_die(place, crowd, choice);
			break;
		case 1:
			crowd_look(place, crowd);
			break;
		case 2:
		case 3:
			crowd_collect(place, crowd);
			break;
		case 4:
			crowd_claim(place, crowd);
			break;
		default:
			crowd_hold(place, crowd, choice, false);
		}
	}
}

static void test_sixteen_make_die_list_and_collect_at_once(void **state)
{
	struct place *place = *state;
	struct crowd *crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	owned_fd uppers = upper_part(place);
	pid_t pids[CROWD];

	for (unsigned i = 0; i < CROWD; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			crowd_member(place, crowd, i);
			_exit(0);
		}
	}
	for (size_t i = 0; i < CROWD; i++) {
		int status = 0;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	print_message("%d made, %d refused, %d killed, %d collected\n", crowd->made, crowd->refused, crowd->killed,
		      crowd->collected);
	assert_int_equal(crowd->wrong, 0);
	assert_true(crowd->killed > 0 && crowd->collected > 0 && crowd->refused > 0);
	collect(place, NULL);
	assert_int_equal(count_entries(place->runtime_fd), 0);
	assert_int_equal(count_entries(uppers), 0);
	(void)munmap(crowd, sizeof(*crowd));
}

/* -- torn rows ----------------------------------------------------------------------------------------------------- */

static void write_forever(struct lock *lock)
{
	owned_row row = { .name = text_duplicate("w1"), .id = text_duplicate("0123456789") };

	for (int64_t i = 0;; i++) {
		/* All of the row says the same number, over several pages. */
		row.pid = row.payload_pid = i % 100 + 1;
		text_list_release(&row.labels);
		for (int64_t j = 0; j < 40 * row.pid; j++)
			text_list_take(&row.labels, text_format("%lld", (long long)row.pid));
		(void)lock_write_row(lock, &row, NULL);
	}
}

static void test_a_row_is_never_read_torn(void **state)
{
	enum { READS = 3000 };
	struct place *place = *state;
	struct lock lock = { .fd = -1 };
	size_t unread = 0;
	pid_t pid;

	assert_int_equal(make(place->runtime_fd, "w1", &lock, NULL), 0);
	pid = fork();
	if (pid == 0)
		write_forever(&lock);
	for (int i = 0; i < READS; i++) {
		owned_lock_list found = { 0 };
		const struct worker_row *row;

		list(place, &found);
		assert_int_equal(found.count, 1);
		unread += !found.items[0].has_row;
		row = &found.items[0].row;
		if (!found.items[0].has_row || row->pid == 0)
			continue;
		assert_int_equal(row->pid, row->payload_pid);
		assert_int_equal(row->labels.count, 40 * row->pid);
		assert_int_equal(strtol(row->labels.items[row->labels.count - 1], NULL, 10), row->pid);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	print_message("%zu of %d reads gave up, against a writer that never rests\n", unread, READS);
	assert_true(unread < READS / 100);
	lock_release(&lock);
}

/* -- places that fail ---------------------------------------------------------------------------------------------- */

static int try_full_and_read_only(const struct place *place)
{
	struct lock lock = { .fd = -1 };
	owned_fd fd = -1;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", place->root, "tmpfs", 0, "size=4k,nr_inodes=16") < 0)
		return 2;
	fd = open(place->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (make(fd, "w1", &lock, NULL) != 0 || make(fd, "w2", &(struct lock){ .fd = -1 }, NULL) != -ENOSPC)
		return 3;
	/* What failed left nothing. */
	if (is_there(fd, "lock.w2") || !is_there(fd, "lock.w1"))
		return 4;
	lock_close(&lock); /* a file open for writing keeps it writable */
	if (mount(NULL, place->root, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0 ||
	    make(fd, "w3", &(struct lock){ .fd = -1 }, NULL) != -EROFS)
		return 5;
	return 0;
}

static void test_a_full_or_read_only_place_is_an_error_that_leaves_nothing(void **state)
{
	int status = 0;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("skipped: mount needs root\n");
		skip();
	}
	pid = fork();
	if (pid == 0)
		_exit(try_full_and_read_only(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_no_descriptor_left_is_an_error_that_leaves_nothing(void **state)
{
	struct place *place = *state;
	struct rlimit limit;
	struct rlimit none;
	struct lock lock = { .fd = -1 };

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(make(place->runtime_fd, "w1", &lock, NULL), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(count_entries(place->runtime_fd), 0);
}

/* -- time ---------------------------------------------------------------------------------------------------------- */

static double elapsed_ms(const struct timespec *since)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - since->tv_sec) * 1e3 + (double)(now.tv_nsec - since->tv_nsec) / 1e6;
}

static void test_a_thousand_locks_are_listed_in_milliseconds(void **state)
{
	enum { LOCKS = 1000 };
	struct place *place = *state;
	struct lock *locks = calloc(LOCKS, sizeof(*locks));
	struct rlimit limit;
	struct timespec start;
	double made;
	double best = 1e9;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)4096);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < LOCKS; i++)
		assert_int_equal(make(place->runtime_fd, NULL, &locks[i], NULL), 0);
	made = elapsed_ms(&start);
	for (int i = 0; i < 5; i++) {
		owned_lock_list found = { 0 };
		double time;

		(void)clock_gettime(CLOCK_MONOTONIC, &start);
		list(place, &found);
		time = elapsed_ms(&start);
		best = MIN(best, time);
		assert_int_equal(found.count, LOCKS);
		for (size_t j = 0; j < LOCKS; j++)
			assert_true(found.items[j].is_live && found.items[j].has_row);
	}
	print_message("1,000 locks: made in %.1f ms, listed in %.1f ms\n", made, best);
	for (int i = 0; i < LOCKS; i++)
		lock_release(&locks[i]);
	assert_int_equal(count_entries(place->runtime_fd), 0);
	free(locks);
}

static void test_ids_are_distinct_and_sort_by_age(void **state)
{
	char first[ID_LENGTH + 1];
	char last[ID_LENGTH + 1];
	struct timespec second = { .tv_sec = 1, .tv_nsec = 10000000 };

	(void)state;
	id_make(first);
	assert_true(id_is_prefix(first, ID_LENGTH));
	assert_int_equal(name_check(first, NULL), 0);
	(void)nanosleep(&second, NULL);
	id_make(last);
	assert_true(strcmp(first, last) < 0);
	assert_true(id_is_prefix("3k9", 3));
	assert_false(id_is_prefix("3k", 3));
	assert_false(id_is_prefix("3ki", 3));
	assert_false(id_is_prefix("01234567890", 3));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_worker_is_listed_while_it_lives_and_gone_after),
		TEST(test_a_row_is_one_line_of_fixed_size),
		TEST(test_every_member_of_a_row_comes_back),
		TEST(test_a_long_command_is_cut_and_a_long_path_refused),
		TEST(test_a_name_that_is_none_is_refused),
		TEST(test_a_name_has_one_live_holder),
		TEST(test_a_renamed_worker_lives_under_its_new_name_with_its_socket),
		TEST(test_a_name_being_given_up_is_waited_for),
		TEST(test_asking_is_not_living),
		TEST(test_a_killed_holder_leaves_one_lock_that_is_collected_with_its_socket),
		TEST(test_the_lock_lives_as_long_as_the_last_of_its_holders),
		TEST(test_release_leaves_a_file_that_is_somebody_elses_by_now),
		TEST(test_what_is_no_row_is_listed_without_and_collected),
		TEST(test_an_upper_is_collected_when_nobody_claims_it),
		TEST(test_a_symlink_among_the_uppers_is_not_followed),
		TEST(test_trash_is_emptied),
		TEST(test_a_scratch_directory_elsewhere_goes_with_its_lock),
		TEST(test_sixteen_make_die_list_and_collect_at_once),
		TEST(test_a_row_is_never_read_torn),
		TEST(test_a_full_or_read_only_place_is_an_error_that_leaves_nothing),
		TEST(test_no_descriptor_left_is_an_error_that_leaves_nothing),
		TEST(test_a_thousand_locks_are_listed_in_milliseconds),
		TEST(test_ids_are_distinct_and_sort_by_age),
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
