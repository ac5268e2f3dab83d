/* SPDX-License-Identifier: Apache-2.0 */
/* The network namespace that is made beside its user. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "netns/maker.h"
#include "tests/unit/namespace.h"

enum { MAKERS = 300 };

static int enters(void *argument)
{
	struct netns_maker maker = NETNS_MAKER_NONE;
	struct error error = { 0 };
	struct stat before;
	struct stat after;

	(void)argument;
	EXPECT(stat("/proc/self/ns/net", &before) == 0);
	EXPECT(netns_maker_start(&maker, &error) == 0);
	EXPECT(netns_maker_enter(&maker, &error) == 0);
	EXPECT(netns_maker_wait(&maker, &error) == 0);
	EXPECT(stat("/proc/self/ns/net", &after) == 0);
	EXPECT(before.st_ino != after.st_ino);
	EXPECT(maker.network_fd == -1);
	return INSIDE_OK;
}

static void test_the_namespace_is_made_and_entered(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, 0, enters, NULL);
}

static bool has_ended(const struct netns_maker *maker)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)maker->helper.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

/* Both have one `errno`. A helper that puts back what it read there before is enough to make a caller that just failed
 * with EEXIST believe in ENOENT: seen as one failed start of some hundred thousand, with 130 databases. */
static int keeps_errno(void *argument)
{
	(void)argument;
	for (int i = 0; i < MAKERS; i++) {
		struct netns_maker maker = NETNS_MAKER_NONE;
		struct error error = { 0 };

		EXPECT(netns_maker_start(&maker, &error) == 0);
		do {
			for (int number = 1; number < 2000; number++) {
				volatile int *mine = &errno;

				*mine = number;
				EXPECT(*mine == number);
			}
		} while (!has_ended(&maker));
		EXPECT(netns_maker_wait(&maker, &error) == 0);
		fd_close(&maker.network_fd);
	}
	return INSIDE_OK;
}

static void test_the_helper_leaves_its_users_errno_alone(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, 0, keeps_errno, NULL);
}

/* What the helper meets is told, whatever the caller's calls left in `errno` meanwhile: cause and remedy hang on it. */
static int tells_its_own(void *argument)
{
	(void)argument;
	write_text("/proc/sys/user/max_net_namespaces", "0");
	for (int i = 0; i < MAKERS; i++) {
		struct netns_maker maker = NETNS_MAKER_NONE;
		struct error error = { 0 };

		EXPECT(netns_maker_start(&maker, &error) == 0);
		do
			for (int j = 0; j < 2000; j++)
				*(volatile int *)&errno = EEXIST;
		while (!has_ended(&maker));
		EXPECT(netns_maker_wait(&maker, &error) == -ENOSPC);
		EXPECT(error.number == ENOSPC);
	}
	return INSIDE_OK;
}

static void test_a_failure_is_told_by_its_own_number(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, 0, tells_its_own, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_namespace_is_made_and_entered),
		cmocka_unit_test(test_the_helper_leaves_its_users_errno_alone),
		cmocka_unit_test(test_a_failure_is_told_by_its_own_number),
	};

	return cmocka_run_group_tests_name("maker", tests, NULL, NULL);
}
