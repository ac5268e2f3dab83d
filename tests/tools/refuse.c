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

struct call {
	const char *name;
	unsigned number;
	unsigned first_argument; /* 0: whatever it is */
};

static const struct call calls[] = {
	{ .name = "clone3", .number = SYS_clone3 },
	{ .name = "openat2", .number = SYS_openat2 },
	{ .name = "open_tree", .number = SYS_open_tree },
	{ .name = "move_mount", .number = SYS_move_mount },
	{ .name = "mount_setattr", .number = SYS_mount_setattr },
	{ .name = "close_range", .number = SYS_close_range },
	{ .name = "landlock_create_ruleset", .number = SYS_landlock_create_ruleset },
	{ .name = "landlock_add_rule", .number = SYS_landlock_add_rule },
	{ .name = "landlock_restrict_self", .number = SYS_landlock_restrict_self },
	{ .name = "statx", .number = SYS_statx },
	{ .name = "memfd_create", .number = SYS_memfd_create },
	{ .name = "keyctl", .number = SYS_keyctl },
	{ .name = "mount", .number = SYS_mount },
	{ .name = "pdeathsig", .number = SYS_prctl, .first_argument = PR_SET_PDEATHSIG },
};

static const struct {
	const char *name;
	unsigned number;
} numbers[] = { { "ENOSYS", ENOSYS }, { "EPERM", EPERM }, { "EACCES", EACCES }, { "0", 0 } };

static const struct call *find_call(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (strcmp(calls[i].name, name) == 0)
			return &calls[i];
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
	struct sock_filter code[5 * ARRAY_SIZE(calls) + 1];
	struct sock_fprog program = { .filter = code };
	unsigned short length = 0;

	if (argc < 4) {
		(void)fprintf(stderr, "usage: refuse ERRNO CALL[,CALL…] COMMAND…\n");
		return 2;
	}
	for (char *name = strtok(argv[2], ","); name && length + 6u <= ARRAY_SIZE(code); name = strtok(NULL, ",")) {
		const struct call *call = find_call(name);
		const struct sock_filter row[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call->number, 0, call->first_argument ? 3 : 1),
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call->first_argument, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | find_number(argv[1])),
		};

		for (size_t i = 0; i < ARRAY_SIZE(row); i++)
			if (call->first_argument || (i != 2 && i != 3))
				code[length++] = row[i];
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
