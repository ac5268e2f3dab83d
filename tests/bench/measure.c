/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/process.h"
#include "tests/bench/clock.h"

struct child {
	char *const *argv;
	char *const *environment;
	const char *directory;
	int fds[3];
	bool ends_with_parent;
};

static int run_child(void *argument)
{
	const struct child *child = argument;
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (child->ends_with_parent)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (int number = 0; number <= 2; number++)
		if (dup2(child->fds[number], number) < 0)
			return EXIT_SBX_FAILED;
	if (chdir(child->directory) < 0)
		return EXIT_SBX_FAILED;
	(void)execve(child->argv[0], child->argv, child->environment);
	return EXIT_NOT_FOUND;
}

int measure_open(struct measure *measure, char *const *environment)
{
	*measure = (struct measure){
		.environment = environment,
		.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC),
		.output_fd = memfd_create("output", MFD_CLOEXEC),
		.complaint_fd = memfd_create("complaint", MFD_CLOEXEC),
	};
	return measure->null_fd < 0 || measure->output_fd < 0 || measure->complaint_fd < 0 ? -errno : 0;
}

void measure_close(struct measure *measure)
{
	fd_close(&measure->null_fd);
	fd_close(&measure->output_fd);
	fd_close(&measure->complaint_fd);
}

static int empty(int fd)
{
	return ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

static void read_beginning(int fd, char *text, size_t size)
{
	ssize_t length = pread(fd, text, size - 1, 0);

	text[MAX(length, 0)] = '\0';
}

int measure_run(const struct measure *measure, char *const *argv, const char *directory, bool wants_output,
		struct measure_result *ret_result)
{
	struct child child = {
		.argv = argv,
		.environment = measure->environment,
		.directory = directory,
		.fds = { measure->null_fd, wants_output ? measure->output_fd : measure->null_fd,
			 measure->complaint_fd },
	};
	uint64_t before;
	int status;
	pid_t pid;
	int result = empty(measure->complaint_fd);

	if (result == 0 && wants_output)
		result = empty(measure->output_fd);
	if (result < 0)
		return result;
	before = clock_now_ns();
	pid = process_spawn(run_child, &child);
	result = pid < 0 ? pid : process_wait(pid, &status);
	if (result < 0)
		return result;
	ret_result->wall_ns = clock_now_ns() - before;
	ret_result->exit_code = process_exit_code(status);
	ret_result->output[0] = '\0';
	ret_result->complaint[0] = '\0';
	if (wants_output)
		read_beginning(measure->output_fd, ret_result->output, sizeof(ret_result->output));
	if (ret_result->exit_code != 0)
		read_beginning(measure->complaint_fd, ret_result->complaint, sizeof(ret_result->complaint));
	return 0;
}

pid_t measure_start(const struct measure *measure, char *const *argv, const char *directory, int *ret_output_fd)
{
	int ends[2];
	struct child child = {
		.argv = argv,
		.environment = measure->environment,
		.directory = directory,
		.ends_with_parent = true,
	};
	int result = fd_pipe(ends, 0);
	pid_t pid;

	if (result < 0)
		return result;
	child.fds[0] = measure->null_fd;
	child.fds[1] = ends[1];
	child.fds[2] = measure->complaint_fd;
	pid = process_spawn(run_child, &child);
	fd_close(&ends[1]);
	if (pid < 0)
		fd_close(&ends[0]);
	else
		*ret_output_fd = ends[0];
	return pid;
}

int measure_find_program(const char *name, const char *search, char **ret_path)
{
	owned_text copy = text_duplicate(search);
	char *rest = copy;

	if (strchr(name, '/')) {
		*ret_path = text_duplicate(name);
		return 0;
	}
	for (const char *directory = strsep(&rest, ":"); directory; directory = strsep(&rest, ":")) {
		owned_text path = path_join(directory, name);

		if (access(path, X_OK) == 0) {
			*ret_path = path;
			path = NULL;
			return 0;
		}
	}
	return -ENOENT;
}
