/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

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
	end_holder(first);
	assert_int_equal(queue_wait(&ticket, soon(10000), NULL), 0);
	queue_leave(&ticket);
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
	assert_int_equal(queue_enter(place_fd, "q.w1", &ticket, NULL), 0);
	assert_int_equal(queue_wait(&ticket, soon(10000), NULL), 0);
	queue_leave(&ticket);
	end_holder(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone_is_first),
		cmocka_unit_test(test_waits_for_who_came_before),
		cmocka_unit_test(test_who_comes_later_is_not_waited_for),
		cmocka_unit_test(test_queues_do_not_know_each_other),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
