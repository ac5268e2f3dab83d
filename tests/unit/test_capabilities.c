/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/capabilities.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "tests/unit/namespace.h"

/* The five sets as /proc/self/status has them, after exec too when this is a shell. */
static int count_lines_that_are_not_empty_sets(const char *text)
{
	static const char *const names[] = { "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:" };
	int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *line = strstr(text, names[i]);

		if (!line || strncmp(line + strlen(names[i]), "\t0000000000000000\n", 18) != 0) {
			fprintf(stderr, "set is not empty: %.26s\n", line ? line : names[i]);
			bad++;
		}
	}
	return bad;
}

static int sets_are_empty(void *argument)
{
	static char text[16384];
	struct error error = { 0 };
	int fd;

	(void)argument;
	EXPECT(capabilities_drop_all(&error) == 0);
	fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	EXPECT(count_lines_that_are_not_empty_sets(text) == 0);
	EXPECT(prctl(PR_CAPBSET_READ, 0) == 0 && prctl(PR_CAPBSET_READ, cap_max_bits() - 1) == 0);
	EXPECT(prctl(PR_GET_SECUREBITS) ==
	       (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
		SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED));
	EXPECT(prctl(PR_SET_KEEPCAPS, 1) < 0 && errno == EPERM);
	return INSIDE_OK;
}

static int nothing_comes_back_by_exec(void *argument)
{
	(void)argument;
	EXPECT(capabilities_drop_all(NULL) == 0);
	execl("/bin/sh", "sh", "-c",
	      "while read -r name value; do case $name in Cap*) [ \"$value\" = 0000000000000000 ] || exit 99;; esac; "
	      "done "
	      "</proc/self/status",
	      (char *)NULL);
	return INSIDE_FAILED;
}

static int a_mount_is_refused(void *argument)
{
	(void)argument;
	EXPECT(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	EXPECT(capabilities_drop_all(NULL) == 0);
	EXPECT(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0 && errno == EPERM);
	return INSIDE_OK;
}

static int a_process_without_setpcap_is_told(void *argument)
{
	struct error error = { 0 };

	(void)argument;
	EXPECT(capabilities_drop_all(&error) == 0);
	EXPECT(capabilities_drop_all(&error) == -EPERM);
	EXPECT(strcmp(error.step, "empty the bounding set of capabilities") == 0);
	return INSIDE_OK;
}

/* From now on the kernel seems not to know the capability, as far as dropping it goes. */
static void refuse_to_drop(cap_value_t capability)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_CAPBSET_DROP, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)capability, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* Taken for the end of the list, all from it on would stay. */
static int a_capability_that_stays_is_told(void *argument)
{
	struct error error = { 0 };

	(void)argument;
	refuse_to_drop(CAP_SYS_ADMIN);
	EXPECT(capabilities_drop_all(&error) == -EINVAL);
	EXPECT(strcmp(error.step, "empty the bounding set of capabilities") == 0);
	EXPECT(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1);
	return INSIDE_OK;
}

static void test_a_capability_that_the_kernel_does_not_drop_is_an_error(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, 0, a_capability_that_stays_is_told, NULL);
}

static void test_every_set_is_empty_and_locked_for_the_callers_own_uid(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, geteuid(), sets_are_empty, NULL);
}

static void test_every_set_is_empty_and_locked_for_uid_0_inside(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, 0, sets_are_empty, NULL);
}

static void test_exec_as_uid_0_inside_gives_nothing_back(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, 0, nothing_comes_back_by_exec, NULL);
}

static void test_exec_as_own_uid_gives_nothing_back(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, geteuid(), nothing_comes_back_by_exec, NULL);
}

static void test_mounting_is_refused_afterwards(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER | CLONE_NEWNS, 0, a_mount_is_refused, NULL);
}

static void test_a_process_without_cap_setpcap_gets_an_error(void **state)
{
	(void)state;
	assert_inside(CLONE_NEWUSER, 0, a_process_without_setpcap_is_told, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_set_is_empty_and_locked_for_the_callers_own_uid),
		cmocka_unit_test(test_every_set_is_empty_and_locked_for_uid_0_inside),
		cmocka_unit_test(test_exec_as_uid_0_inside_gives_nothing_back),
		cmocka_unit_test(test_exec_as_own_uid_gives_nothing_back),
		cmocka_unit_test(test_mounting_is_refused_afterwards),
		cmocka_unit_test(test_a_process_without_cap_setpcap_gets_an_error),
		cmocka_unit_test(test_a_capability_that_the_kernel_does_not_drop_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
