/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "base/tree.h"
#include "sandbox/pool/queue.h"

#define PARENT "/tmp/"
static char place[] = PARENT "sbx-queue.XXXXXX";
static int place_fd = -1;

static int make_place(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(place));
	place_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return place_fd < 0;
}

static int remove_place(void **state)
{
	int parent_fd = open(PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = tree_remove(parent_fd, place + strlen(PARENT), NULL);

	(void)state;
	(void)close(parent_fd);
	(void)close(place_fd);
	return result;
}

static uint64_t soon(uint64_t ms)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + ms;
}

/* A child that takes a ticket, says so, and holds it until it is killed. */
static pid_t start_holder(void)
{
	int ends[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct ticket ticket;

		if (queue_enter(place_fd, "q", &ticket, NULL) < 0 || write(ends[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	(void)close(ends[0]);
	(void)close(ends[1]);
	return pid;
}

static void end_holder(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_alone_is_first(void **state)
{
	struct ticket ticket;

	(void)state;
	assert_int_equal(queue_enter(place_fd, "q", &ticket, NULL), 0);
	assert_int_equal(queue_wait(&ticket, UINT64_MAX, NULL), 0);
	queue_leave(&ticket);
	queue_leave(&ticket);
}

/* finding 42 */
static void test_waits_for_who_came_before(void **state)
{
	pid_t first = start_holder();
	pid_t second = start_holder();
	struct ticket ticket;
	struct error error = { 0 };

	(void)state;
	assert_int_equal(queue_enter(place_fd, "q", &ticket, NULL), 0);
	assert_int_equal(queue_wait(&ticket, soon(30), &error), -ETIMEDOUT);
	/* One in the middle that is killed is passed over. */
	end_holder(second);
	assert_int_equal(queue_wait(&ticket, soon(30), &error), -ETIMEDOUT);
	assert_int_equal(queue_wait(&ticket, 0, &error), -ETIMEDOUT);
	end_holder(first);
	assert_int_equal(queue_wait(&ticket, soon(10000), NULL), 0);
	queue_leave(&ticket);
}

static size_t count_files(const char *prefix)
{
	struct dirent **found = NULL;
	int count = scandirat(place_fd, ".", &found, NULL, NULL);
	size_t fitting = 0;

	for (int i = 0; i < count; i++) {
		fitting += strncmp(found[i]->d_name, prefix, strlen(prefix)) == 0;
		free(found[i]);
	}
	free(found);
	return fitting;
}

/* Whether the process waits for a lock of flock(2) on the file. @inode 0: any */
static bool waits_for_a_lock(pid_t pid, ino_t inode)
{
	FILE *file = fopen("/proc/locks", "re");
	char line[256];
	bool waits = false;

	while (file && fgets(line, sizeof(line), file)) {
		unsigned long found;
		int waiter;

		/* 1: -> FLOCK  ADVISORY  READ  4711 08:01:12345 0 EOF */
		waits = waits || (sscanf(line, "%*s -> FLOCK ADVISORY %*s %d %*x:%*x:%lu", &waiter, &found) == 2 &&
				  waiter == pid && (inode == 0 || found == inode));
	}
	if (file)
		(void)fclose(file);
	return waits;
}

static void test_the_end_of_a_turn_wakes_who_waits(void **state)
{
	const uint64_t deadlines[] = { soon(20000), UINT64_MAX };
	pid_t waiter = getpid();
	struct ticket ticket;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++) {
		pid_t first = start_holder();
		pid_t killer;

		assert_int_equal(queue_enter(place_fd, "q", &ticket, NULL), 0);
		killer = fork();
		if (killer == 0) {
			for (uint64_t end = soon(5000); !waits_for_a_lock(waiter, 0) && soon(0) < end;)
				(void)sched_yield();
			_exit(kill(first, SIGKILL));
		}
		assert_int_equal(queue_wait(&ticket, deadlines[i], NULL), 0);
		queue_leave(&ticket);
		/* Not before: it is somebody's end that was waited for. */
		assert_int_equal(waitpid(first, NULL, 0), first);
		assert_int_equal(waitpid(killer, NULL, 0), killer);
	}
}

/* Whoever takes a number is alone at it: else one could stand in the directory that is not locked yet, and be taken
 * for one that has ended. */
static void test_one_at_a_time_takes_a_number(void **state)
{
	int door_fd = openat(place_fd, "ticket.d.door", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct itimerval soon_enough = { .it_value = { .tv_usec = 50000 } };
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(flock(door_fd, LOCK_EX), 0);
	pid = fork();
	if (pid == 0) {
		struct ticket ticket;

		/* Its default is death: that of one that waits. */
		(void)setitimer(ITIMER_REAL, &soon_enough, NULL);
		_exit(queue_enter(place_fd, "d", &ticket, NULL) < 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
	assert_int_equal(count_files("ticket.d."), 1);
	(void)close(door_fd);
}

/* Else it would be alone behind a door that nobody else comes to. */
static void test_a_door_that_was_removed_is_looked_for_anew(void **state)
{
	int door_fd = openat(place_fd, "ticket.g.door", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat old;
	struct stat new;
	int new_fd;
	pid_t pid;

	(void)state;
	assert_int_equal(fstat(door_fd, &old) | flock(door_fd, LOCK_EX), 0);
	pid = fork();
	if (pid == 0) {
		struct ticket ticket;

		(void)close(door_fd);
		_exit(queue_enter(place_fd, "g", &ticket, NULL) < 0 ? 1 : 0);
	}
	for (uint64_t end = soon(20000); !waits_for_a_lock(pid, old.st_ino) && soon(0) < end;)
		(void)sched_yield();
	queue_remove(place_fd, "g");
	new_fd = openat(place_fd, "ticket.g.door", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(fstat(new_fd, &new) | flock(new_fd, LOCK_EX), 0);
	(void)close(door_fd);
	for (uint64_t end = soon(20000); !waits_for_a_lock(pid, new.st_ino) && soon(0) < end;)
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	end_holder(pid);
	(void)close(new_fd);
	queue_remove(place_fd, "g");
}

static void test_who_comes_later_is_not_waited_for(void **state)
{
	struct ticket ticket;
	pid_t later;

	(void)state;
	assert_int_equal(queue_enter(place_fd, "q", &ticket, NULL), 0);
	later = start_holder();
	assert_int_equal(queue_wait(&ticket, soon(10000), NULL), 0);
	end_holder(later);
	queue_leave(&ticket);
}

static void test_queues_do_not_know_each_other(void **state)
{
	pid_t other = start_holder();
	struct ticket ticket;

	(void)state;
	for (const char *const *name = (const char *const[]){ "q.w1", "r", NULL }; *name; name++) {
		assert_int_equal(queue_enter(place_fd, *name, &ticket, NULL), 0);
		assert_int_equal(queue_wait(&ticket, soon(10000), NULL), 0);
		queue_leave(&ticket);
	}
	end_holder(other);
}

/* From now on getdents64(2) fails in this process. */
static void refuse_to_list(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getdents64, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(2);
}

/* Taken as "nobody is before it", two would be in one world. */
static void test_a_list_that_cannot_be_read_is_nobodys_turn(void **state)
{
	pid_t first = start_holder();
	struct ticket ticket;
	struct ticket blind;
	struct error error = { 0 };
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(queue_enter(place_fd, "q", &ticket, NULL), 0);
	blind = ticket;
	blind.directory_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(queue_wait(&blind, soon(10000), &error), -ENOTDIR);
	assert_string_equal(error.step, "wait for one's turn");
	(void)close(blind.directory_fd);
	pid = fork();
	if (pid == 0) {
		refuse_to_list();
		/* Nor can one queue up behind them. */
		_exit(queue_wait(&ticket, soon(10000), NULL) == -EIO && queue_enter(place_fd, "q", &blind, NULL) == -EIO
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	queue_leave(&ticket);
	end_holder(first);
}

static void test_a_ticket_that_cannot_be_made_is_an_error(void **state)
{
	struct ticket ticket = TICKET_NONE;
	struct error error = { 0 };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(queue_enter(fd, "q", &ticket, &error), -ENOTDIR);
	assert_string_equal(error.object, "q");
	assert_int_equal(ticket.fd, -1);
	(void)close(fd);
	/* Nobody is led elsewhere, and without the door no number is taken. */
	assert_int_equal(symlinkat("elsewhere", place_fd, "ticket.s.door"), 0);
	assert_int_equal(queue_enter(place_fd, "s", &ticket, &error), -ELOOP);
	assert_int_equal(count_files("ticket.s."), 1);
	assert_int_equal(count_files("elsewhere"), 0);
	queue_remove(place_fd, "s");
}

/* The killed one's ticket goes with who waited for it, one's own with its end, the rest by queue_remove(), which
 * leaves other queues alone. */
static void test_what_is_left_is_removed(void **state)
{
	pid_t killed = start_holder();
	struct ticket ticket;
	struct ticket other;

	(void)state;
	queue_remove(place_fd, "q");
	assert_int_equal(count_files("ticket.q."), 0);
	end_holder(killed);
	killed = start_holder();
	assert_int_equal(queue_enter(place_fd, "q", &ticket, NULL), 0);
	assert_int_equal(queue_enter(place_fd, "qq", &other, NULL), 0);
	end_holder(killed);
	assert_int_equal(count_files("ticket.q."), 3); /* two tickets and the door */
	assert_int_equal(queue_wait(&ticket, soon(10000), NULL), 0);
	assert_int_equal(count_files("ticket.q."), 2);
	queue_leave(&ticket);
	assert_int_equal(count_files("ticket.q."), 1);
	queue_remove(place_fd, "q");
	assert_int_equal(count_files("ticket.q."), 0);
	assert_int_equal(count_files("ticket.qq."), 2);
	queue_leave(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone_is_first),
		cmocka_unit_test(test_waits_for_who_came_before),
		cmocka_unit_test(test_the_end_of_a_turn_wakes_who_waits),
		cmocka_unit_test(test_one_at_a_time_takes_a_number),
		cmocka_unit_test(test_a_door_that_was_removed_is_looked_for_anew),
		cmocka_unit_test(test_who_comes_later_is_not_waited_for),
		cmocka_unit_test(test_queues_do_not_know_each_other),
		cmocka_unit_test(test_a_list_that_cannot_be_read_is_nobodys_turn),
		cmocka_unit_test(test_a_ticket_that_cannot_be_made_is_an_error),
		cmocka_unit_test(test_what_is_left_is_removed),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
