/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks the port forwarder from inside its world, as a payload of the same uid would: each way to a descriptor of
 * another process is tried on every other process. A line for each that worked; exit status 0 when none did, 1 when
 * something was got, 2 when there was nothing to attack.
 *   steal [--kill]    --kill: sends each KILL afterwards, but for PID 1 and this one */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int stolen;

static void got(pid_t pid, const char *what)
{
	printf("got %s of %d\n", what, pid);
	stolen++;
}

static void try_file(pid_t pid, const char *name, int flags)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0) {
		char byte;

		/* What can be opened without the right to look at the process says so when it is read. */
		if ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_PATH | O_DIRECTORY)) || read(fd, &byte, 1) > 0)
			got(pid, name);
		(void)close(fd);
	}
}

static void try_descriptors(pid_t pid)
{
	long pidfd = syscall(SYS_pidfd_open, pid, 0);

	for (int number = 0; pidfd >= 0 && number < 64; number++) {
		char name[32];
		char path[64];
		char target[64];

		if (syscall(SYS_pidfd_getfd, pidfd, number, 0) >= 0)
			got(pid, "a descriptor by pidfd_getfd");
		(void)snprintf(name, sizeof(name), "fd/%d", number);
		try_file(pid, name, O_RDONLY);
		(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
		if (readlink(path, target, sizeof(target)) > 0)
			got(pid, "the name of a descriptor");
		(void)snprintf(name, sizeof(name), "fdinfo/%d", number);
		try_file(pid, name, O_RDONLY);
	}
}

static void try_all(pid_t pid)
{
	static const char *const files[] = { "environ", "auxv", "maps", "syscall", "stack" };
	char byte;
	struct iovec here = { &byte, 1 };
	struct iovec there = { (void *)try_all, 1 };
	struct rlimit limit;

	if (ptrace(PTRACE_ATTACH, pid, 0, 0) == 0)
		got(pid, "control by PTRACE_ATTACH");
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0)
		got(pid, "control by PTRACE_SEIZE");
	if (syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0) == 1)
		got(pid, "memory by process_vm_readv");
	if (syscall(SYS_process_vm_writev, pid, &here, 1, &there, 1, 0) == 1)
		got(pid, "memory by process_vm_writev");
	/* To what it is: without a filter that is allowed (finding 40), and the world shall live on. */
	if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0 && prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0)
		got(pid, "its limits by prlimit64");
	try_file(pid, "mem", O_RDWR);
	try_file(pid, "mem", O_RDONLY);
	try_file(pid, "root", O_PATH);
	try_file(pid, "cwd", O_PATH);
	try_file(pid, "ns/net", O_RDONLY);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		try_file(pid, files[i], O_RDONLY);
	try_descriptors(pid);
}

int main(int count, char **arguments)
{
	bool kills = count > 1 && strcmp(arguments[1], "--kill") == 0;
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	int tried = 0;

	while (directory && (entry = readdir(directory)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		char path[64];
		char name[32] = "";
		FILE *file;

		if (!isdigit((unsigned char)entry->d_name[0]) || pid == getpid() || pid == getppid())
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		file = fopen(path, "re");
		if (file) {
			(void)!fscanf(file, "%31s", name);
			(void)fclose(file);
		}
		/* sbx's own processes: PID 1 and its forks. */
		if (strcmp(name, "sbx") != 0)
			continue;
		tried += pid != 1;
		try_all(pid);
		if (kills && pid != 1 && kill(pid, SIGKILL) < 0)
			printf("cannot kill %d: %s\n", pid, strerror(errno));
	}
	printf("tried %d, got %d\n", tried, stolen);
	return tried == 0 ? 2 : stolen > 0;
}
