/* SPDX-License-Identifier: Apache-2.0 */
/* refuse ERRNO CALL[,CALL…] COMMAND…: runs a command for which the kernel answers ERRNO (ENOSYS, EPERM, EACCES) to
 * these system calls: an older kernel, or a container's filter. The idea is crun's tests/no_openat2.c. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *name;
	unsigned number;
} calls[] = {
	{ "clone3", SYS_clone3 },
	{ "openat2", SYS_openat2 },
	{ "open_tree", SYS_open_tree },
	{ "move_mount", SYS_move_mount },
	{ "mount_setattr", SYS_mount_setattr },
	{ "close_range", SYS_close_range },
	{ "landlock_create_ruleset", SYS_landlock_create_ruleset },
	{ "landlock_add_rule", SYS_landlock_add_rule },
	{ "landlock_restrict_self", SYS_landlock_restrict_self },
	{ "statx", SYS_statx },
	{ "memfd_create", SYS_memfd_create },
	{ "keyctl", SYS_keyctl },
	{ "mount", SYS_mount },
};

static const struct {
	const char *name;
	unsigned number;
} numbers[] = { { "ENOSYS", ENOSYS }, { "EPERM", EPERM }, { "EACCES", EACCES } };

static unsigned find_call(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].number;
	(void)fprintf(stderr, "refuse: no call '%s' in its list\n", name);
	exit(2);
}

static unsigned find_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (strcmp(numbers[i].name, name) == 0)
			return numbers[i].number;
	(void)fprintf(stderr, "refuse: no errno '%s' in its list\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct sock_filter code[2 * ARRAY_SIZE(calls) + 2];
	struct sock_fprog program = { .filter = code };
	unsigned short length = 0;

	if (argc < 4) {
		(void)fprintf(stderr, "usage: refuse ERRNO CALL[,CALL…] COMMAND…\n");
		return 2;
	}
	code[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (char *name = strtok(argv[2], ","); name && length + 3u <= ARRAY_SIZE(code); name = strtok(NULL, ",")) {
		code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, find_call(name), 0, 1);
		code[length++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | find_number(argv[1]));
	}
	code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = length;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		perror("refuse: load the filter");
		return 2;
	}
	(void)execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
