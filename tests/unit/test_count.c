/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "sandbox/pool/count.h"
#include "sandbox/worker/machine.h"

static const struct count_machine machine = {
	.processors = 8, .memory_bytes = UINT64_C(4096) << 20, .inotify_instances = 100, .namespaces = 1000
};

static void test_parse(void **state)
{
	struct count count;

	(void)state;
	assert_int_equal(count_parse("4", &count), 0);
	assert_int_equal(count.number, 4);
	assert_int_equal(count_parse("50%", &count), 0);
	assert_int_equal(count.percent, 50);
	assert_int_equal(count.number, 0);
	assert_int_equal(count_parse("auto", &count), 0);
	assert_true(count.is_auto);
	assert_int_equal(count_parse("0", &count), -ERANGE);
	assert_int_equal(count_parse("257", &count), -ERANGE);
	assert_int_equal(count_parse("10000%", &count), 0);
	assert_int_equal(count_parse("10001%", &count), -ERANGE);
	assert_int_equal(count_parse("%", &count), -EINVAL);
	assert_int_equal(count_parse("", &count), -EINVAL);
	assert_int_equal(count_parse(" 4", &count), -EINVAL);
	assert_int_equal(count_parse("Auto", &count), -EINVAL);
}

static void test_percent_is_playwrights(void **state)
{
	(void)state;
	assert_int_equal(count_percent(50, 8), 4);
	assert_int_equal(count_percent(50, 3), 1);
	assert_int_equal(count_percent(10, 2), 1);
	assert_int_equal(count_percent(100, 8), 8);
}

static void check(unsigned want, const char *bound, const struct count_machine *of, const struct count_size *size)
{
	char reason[COUNT_REASON_SIZE];

	assert_int_equal(count_fit(of, size, reason), want);
	assert_non_null(strstr(reason, bound));
}

static void test_the_least_binds_and_is_named(void **state)
{
	struct count_machine few = machine;

	(void)state;
	check(8, "bound by processors", &machine, NULL);
	check(8, "a worker takes 1 MiB of 4096 MiB, 1 of 100 inotify", &machine, &(struct count_size){ 1 << 20, 1 });
	assert_int_equal(count_fit(&machine, NULL, NULL), 8);
	check(4, "bound by memory", &machine, &(struct count_size){ UINT64_C(1000) << 20, 1 });
	check(3, "bound by inotify", &machine, &(struct count_size){ 1 << 20, 30 });
	few.namespaces = 2;
	check(2, "bound by namespaces", &few, &(struct count_size){ 1 << 20, 1 });
	/* One is tried in any case: it says better what is missing. */
	check(1, "bound by memory", &machine, &(struct count_size){ UINT64_C(5000) << 20, 1 });
}

static void test_what_cannot_be_told_does_not_bind(void **state)
{
	(void)state;
	check(8, "bound by processors", &(struct count_machine){ .processors = 8 },
	      &(struct count_size){ UINT64_C(1000) << 20, 30 });
	check(8, "bound by processors", &machine, &(struct count_size){ 0 });
}

/* A "PID 1" whose only child has the memory and the two inotify instances, a name that looks like the rest of its line
 * in stat, and a child of its own with a variable. @return its pid; they end when the caller closes life[1] */
static pid_t start_family(const int life[2], int ready_fd)
{
	enum { MEMORY = 16 << 20 };
	char byte;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)close(life[1]);
	if (fork() == 0) {
		char *memory = malloc(MEMORY);

		(void)prctl(PR_SET_NAME, "x) R 1 (", 0, 0, 0);
		if (!memory || inotify_init1(IN_CLOEXEC) < 0 || inotify_init1(IN_CLOEXEC) < 0)
			_exit(1);
		memset(memory, 1, MEMORY);
		if (fork() == 0) {
			(void)dup2(life[0], 0);
			/* Says so itself, so that it is there when it has been heard. */
			(void)dup2(ready_fd, 1);
			(void)execle("/bin/sh", "sh", "-c", "echo; read line", NULL,
				     (char *[]){ (char *)"A=b", (char *)"COUNT_MARK=1", NULL });
			_exit(1);
		}
		(void)close(ready_fd);
		(void)!read(life[0], &byte, 1);
		_exit(memory[1]);
	}
	/* Whoever waits for the word that all is ready must see that nobody is left to say it. */
	(void)close(ready_fd);
	(void)!read(life[0], &byte, 1);
	_exit(0);
}

/* Above every limit of the kernel's, PID_MAX_LIMIT in include/linux/threads.h. */
enum { PID_OF_NONE = 1 << 23 };

static void test_a_world_is_its_first_process_and_all_below(void **state)
{
	struct count_size before;
	struct count_size size;
	int life[2];
	int ready[2];
	char byte;
	pid_t pid;
	int others_fd;

	(void)state;
	assert_int_equal(pipe2(life, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	count_measure(getpid(), &before);
	pid = start_family(life, ready[1]);
	(void)close(ready[1]);
	others_fd = inotify_init1(IN_CLOEXEC); /* this one's, above the family */
	assert_true(others_fd >= 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	count_measure(pid, &size);
	assert_int_equal(size.inotify_instances, 2);
	assert_true(size.memory_bytes >= before.memory_bytes + (16 << 20));
	count_measure(getpid(), &size);
	assert_int_equal(size.inotify_instances, before.inotify_instances + 2);
	assert_true(count_memory_of(pid, "COUNT_MARK=1") > 0);
	assert_true(count_memory_of(pid, "COUNT_MARK=1") < 16 << 20); /* of the one that has it */
	assert_true(count_memory_of(getpid(), "COUNT_MARK=1") > 0);
	assert_int_equal(count_memory_of(PID_OF_NONE, "COUNT_MARK=1"), 0);
	assert_int_equal(count_memory_of(pid, "COUNT_MARK=2"), 0);
	assert_int_equal(count_memory_of(pid, "COUNT_MARK"), 0);
	(void)close(life[1]); /* an end of file for all of them */
	(void)close(life[0]);
	(void)close(ready[0]);
	(void)close(others_fd);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	count_measure(pid, &size);
	assert_int_equal(size.memory_bytes, before.memory_bytes);
}

static void test_what_others_have_is_not_left(void **state)
{
	enum { TAKEN = 16 };
	struct count_machine before;
	struct count_machine found;
	int fds[TAKEN];
	int taken = 0;

	(void)state;
	count_read_machine(&before);
	while (taken < TAKEN && (fds[taken] = inotify_init1(IN_CLOEXEC)) >= 0)
		taken++;
	count_read_machine(&found);
	/* Others of this user take and give back meanwhile, but not as many. */
	assert_true(found.inotify_instances == 1 ||
		    found.inotify_instances + (uint64_t)taken / 2 <= before.inotify_instances);
	while (taken > 0)
		(void)close(fds[--taken]);
}

static void test_the_least_limit_of_namespaces_is_meant(void **state)
{
	struct count_machine found;
	bool is_one = false;

	(void)state;
	count_read_machine(&found);
	for (size_t i = 0; i < machine_namespace_count; i++) {
		owned_text path = text_format("/proc/sys/user/%s", machine_namespaces[i].limit);
		uint64_t limit = 0;

		if (machine_read_number(path, &limit) < 0)
			continue;
		assert_true(found.namespaces <= limit || limit == 0);
		is_one = is_one || found.namespaces == limit || limit == 0;
	}
	assert_true(is_one);
}

static void test_this_machine_has_something_of_each(void **state)
{
	struct count_machine found;
	cpu_set_t one;
	cpu_set_t all;
	int cpu = sched_getcpu();

	(void)state;
	count_read_machine(&found);
	assert_true(found.processors > 0);
	assert_true(found.memory_bytes > 1 << 20);
	assert_true(found.inotify_instances > 0);
	assert_true(found.namespaces > 0);
	/* Those that this process may use, not those that there are. */
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	count_read_machine(&found);
	assert_int_equal(found.processors, 1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_percent_is_playwrights),
		cmocka_unit_test(test_the_least_binds_and_is_named),
		cmocka_unit_test(test_what_cannot_be_told_does_not_bind),
		cmocka_unit_test(test_a_world_is_its_first_process_and_all_below),
		cmocka_unit_test(test_what_others_have_is_not_left),
		cmocka_unit_test(test_the_least_limit_of_namespaces_is_meant),
		cmocka_unit_test(test_this_machine_has_something_of_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
