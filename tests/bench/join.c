/* SPDX-License-Identifier: Apache-2.0 */
/* The least that any program must do to start a command in a world that lives: join PID COMMAND [ARGUMENT…]
 * All namespaces of a process in one setns(2) on its pidfd (kernel 5.8), then fork and exec. Neither filter nor limits,
 * nor a terminal, nor closed descriptors. `sbx exec` is measured as a multiple of it. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *step)
{
	(void)fprintf(stderr, "join: %s: %s\n", step, strerror(errno));
	return 125;
}

int main(int argc, char **argv)
{
	enum {
		NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			     CLONE_NEWCGROUP,
	};
	int pidfd;
	int status;
	pid_t pid;

	if (argc < 3) {
		(void)fprintf(stderr, "usage: join PID COMMAND [ARGUMENT…]\n");
		return 2;
	}
	pidfd = (int)syscall(SYS_pidfd_open, atoi(argv[1]), 0);
	if (pidfd < 0)
		return fail("pidfd_open");
	if (setns(pidfd, NAMESPACES) < 0)
		return fail("setns");
	pid = fork();
	if (pid < 0)
		return fail("fork");
	if (pid == 0) {
		(void)execv(argv[2], argv + 2);
		_exit(fail(argv[2]));
	}
	if (waitpid(pid, &status, 0) < 0)
		return fail("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
