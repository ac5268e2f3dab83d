/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of the fault tests: ends with 0 and says "protected" only where every protection of a worker is in place.
 * Whatever went wrong while the worker was made, either this says so or sbx ended with 125: nothing between (P7). It
 * also writes into the tree and into HOME, where its caller looks for it afterwards (P1). */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int failures;

static void check(bool holds, const char *what)
{
	if (holds)
		return;
	failures++;
	printf("not protected: %s\n", what);
}

static void check_status(void)
{
	static const char none[] = "0000000000000000";
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	int sets = 0;
	int flags = 0;

	while (file && fgets(line, sizeof(line), file)) {
		sets += strncmp(line, "Cap", 3) == 0 && strstr(line, none) != NULL;
		flags += strcmp(line, "NoNewPrivs:\t1\n") == 0 || strcmp(line, "Seccomp:\t2\n") == 0;
	}
	if (file)
		(void)fclose(file);
	check(sets == 5, "a set of capabilities is not empty");
	check(flags == 2, "new privileges are possible, or no filter is loaded");
}

static bool can_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static void check_files(void)
{
	char path[4096];
	struct stat status;

	check(!can_open("/sbx-posture", O_WRONLY | O_CREAT), "the root can be written");
	check(!can_open("/etc/sbx-posture", O_WRONLY | O_CREAT), "/etc can be written");
	check(!can_open("/proc/sys/vm/drop_caches", O_WRONLY), "a setting of the kernel can be written");
	check(!can_open("/proc/1/environ", O_RDONLY), "PID 1 can be looked into");
	check(stat("/tmp", &status) == 0 && (status.st_mode & 07777) == 01777, "/tmp has not mode 1777");
	(void)snprintf(path, sizeof(path), "%s/.ssh/id", getenv("HOME"));
	check(!can_open(path, O_RDONLY), "a credential of HOME can be read");
	(void)snprintf(path, sizeof(path), "%s/sbx-posture", getenv("HOME"));
	check(can_open(path, O_WRONLY | O_CREAT), "HOME cannot be written");
	check(can_open("sbx-posture", O_WRONLY | O_CREAT), "the tree cannot be written");
}

static void check_namespaces(void)
{
	check(syscall(SYS_unshare, CLONE_NEWUSER) < 0, "a nested user namespace can be made");
	check(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) < 0, "keyrings can be reached");
	check(getpid() < 20, "it is not in a PID namespace of its own");
	check(getsid(0) == getpid(), "it is in somebody else's session");
	check(access("/sys/class/net/lo", F_OK) == 0, "/sys is not the world's");
}

static void check_limits(void)
{
	struct rlimit limit = { 0 };

	for (int number = 3; number < 64; number++)
		check(fcntl(number, F_GETFD) < 0, "a descriptor above 2 is open");
	check(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur <= 1, "cores are not limited");
	check(getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur <= 8192, "processes are not limited");
}

int main(void)
{
	char byte;

	/* It ends when its caller lets it: each_syscall.c. */
	while (read(0, &byte, 1) > 0)
		;
	check_status();
	check_files();
	check_namespaces();
	check_limits();
	if (failures == 0)
		(void)puts("protected");
	return failures == 0 ? 0 : 1;
}
