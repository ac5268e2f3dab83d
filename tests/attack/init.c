/* SPDX-License-Identifier: Apache-2.0 */
/* On PID 1: finding 39 and finding 40. With the argument "unfiltered" what the filter alone refuses is left out. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/attack/attack.h"

static void look(void)
{
	static const struct {
		const char *path;
		int flags;
	} files[] = {
		{ "/proc/1/mem", O_RDWR },
		{ "/proc/1/mem", O_RDONLY },
		{ "/proc/1/environ", O_RDONLY },
		{ "/proc/1/maps", O_RDONLY },
		{ "/proc/1/auxv", O_RDONLY },
		{ "/proc/1/root/", O_RDONLY },
		{ "/proc/1/cwd/", O_RDONLY },
		{ "/proc/1/exe", O_RDONLY },
		{ "/proc/1/fd/0", O_RDONLY },
		{ "/proc/1/fd/3", O_RDWR },
		{ "/proc/1/ns/mnt", O_RDONLY },
		{ "/proc/1/uid_map", O_WRONLY },
		{ "/proc/1/setgroups", O_WRONLY },
		/* From here on guarded by nothing but the owner of /proc/1, which for real root is the payload too. */
		{ "/proc/1/fd", O_RDONLY },
		{ "/proc/1/fdinfo", O_RDONLY },
		{ "/proc/1/map_files", O_RDONLY },
		{ "/proc/1/oom_score_adj", O_RDWR },
		{ "/proc/1/clear_refs", O_WRONLY },
		{ "/proc/1/coredump_filter", O_RDWR },
	};
	enum { BY_OWNER = 13 };
	struct stat status;
	bool owns = stat("/proc/1", &status) == 0 && status.st_uid == geteuid();

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int fd = i >= BY_OWNER && owns ? -1 : open(files[i].path, files[i].flags | O_CLOEXEC);
		char byte[8];

		/* Some of them open for everybody and refuse the first read or write. */
		if (fd >= 0 && files[i].flags == O_RDONLY && read(fd, byte, sizeof(byte)) < 0 && errno != EISDIR) {
			(void)close(fd);
			continue;
		}
		if (fd >= 0 && files[i].flags != O_RDONLY && write(fd, "1", 1) < 0) {
			(void)close(fd);
			continue;
		}
		must_fail(fd, files[i].path);
	}
}

static void reach_into(void)
{
	char byte = 0;
	struct iovec here = { .iov_base = &byte, .iov_len = 1 };
	struct iovec there = { .iov_base = (void *)0x400000, .iov_len = 1 };

	must_fail(ptrace(PTRACE_ATTACH, 1, 0, 0), "ptrace attach");
	must_fail(ptrace(PTRACE_SEIZE, 1, 0, 0), "ptrace seize");
	must_fail(process_vm_readv(1, &here, 1, &there, 1, 0), "process_vm_readv");
	must_fail(process_vm_writev(1, &here, 1, &there, 1, 0), "process_vm_writev");
	must_fail(syscall(SYS_pidfd_getfd, (int)syscall(SYS_pidfd_open, 1, 0), 0, 0), "pidfd_getfd");
	must_fail(syscall(SYS_kcmp, 1, getpid(), 0, 0, 0), "kcmp");
	must_fail(syscall(SYS_move_pages, 1, 0, NULL, NULL, NULL, 0), "move_pages");
}

static void steer(bool is_filtered)
{
	struct rlimit limit = { 64, 64 };
	struct sched_param parameters = { 0 };
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	must_fail(sched_setaffinity(1, sizeof(one), &one), "sched_setaffinity");
	must_fail(sched_setscheduler(1, SCHED_IDLE, &parameters), "sched_setscheduler");
	must_fail(setpriority(PRIO_PROCESS, 1, 19), "setpriority");
	must_fail(syscall(SYS_ioprio_set, 1, 1, (3 << 13) | 7), "ioprio_set");
	must_fail(setpgid(1, getpid()), "setpgid");
	if (!is_filtered)
		return;
	for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
		must_fail_with(syscall(SYS_prlimit64, 1, resource, &limit, NULL), EPERM, "prlimit64 of PID 1");
		must_fail_with(syscall(SYS_prlimit64, (1L << 32) | 1, resource, &limit, NULL), EPERM,
			       "prlimit64 of PID 1 with a high bit");
	}
}

static void end(void)
{
	siginfo_t information = { .si_code = SI_QUEUE };
	int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);

	/* It answers 0 and nothing happens, pid_namespaces(7): after all of them PID 1 still starts things. */
	for (int number = 1; number <= 64; number++) {
		(void)kill(1, number);
		(void)syscall(SYS_tkill, 1, number);
		(void)syscall(SYS_rt_sigqueueinfo, 1, number, &information);
		(void)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	bool is_filtered = argc < 2 || strcmp(argv[1], "unfiltered") != 0;

	look();
	reach_into();
	steer(is_filtered);
	end();
	return attack_end();
}
