/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/process.h"

enum {
	OUTPUT_MAX = 4 << 20,
	ANSWER_MS = 10000,
};

/* In the new process. */
static _Noreturn void run_program(const struct program *program, int output_fd)
{
	owned_fd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (size_t i = 0; program->variables && i + 1 < program->variables->count; i += 2)
		if (setenv(program->variables->items[i], program->variables->items[i + 1], 1) < 0)
			_exit(EXIT_NOT_FOUND);
	if (null_fd >= 0 && chdir(program->directory) == 0 && dup2(null_fd, STDIN_FILENO) >= 0 &&
	    dup2(null_fd, STDERR_FILENO) >= 0 && dup2(output_fd, STDOUT_FILENO) >= 0)
		(void)execvp(program->arguments[0], (char *const *)program->arguments);
	_exit(EXIT_NOT_FOUND);
}

int program_ask(const struct program *program, struct text_buffer *output)
{
	char bytes[16 << 10];
	owned_fd read_fd = -1;
	int status = 0;
	bool is_late = false;
	int ends[2];
	pid_t pid;
	int result = fd_pipe(ends, 0);

	if (result < 0)
		return result;
	read_fd = ends[0];
	pid = process_fork();
	if (pid == 0)
		run_program(program, ends[1]);
	(void)close(ends[1]);
	if (pid < 0)
		return pid;
	for (;;) {
		struct pollfd polled = { .fd = read_fd, .events = POLLIN };
		ssize_t got;
		int ready = RETRY_EINTR(poll(&polled, 1, ANSWER_MS));

		is_late = ready == 0 || output->length > OUTPUT_MAX;
		got = is_late ? 0 : RETRY_EINTR(read(read_fd, bytes, sizeof(bytes)));
		if (got <= 0)
			break;
		text_buffer_add(output, bytes, (size_t)got);
	}
	if (is_late)
		(void)kill(pid, SIGKILL);
	result = process_wait(pid, &status);
	return result < 0 ? result : is_late || !WIFEXITED(status) ? -EIO : WEXITSTATUS(status);
}

char *program_ask_line(const char *name, const char *argument, const char *more, const char *directory)
{
	const char *const arguments[] = { name, argument, more, NULL };
	const struct program program = { .arguments = arguments, .directory = directory };
	owned_buffer output = { 0 };

	if (program_ask(&program, &output) != 0 || output.length == 0)
		return NULL;
	output.bytes[strcspn(output.bytes, "\r\n")] = '\0';
	return output.bytes[0] ? text_duplicate(output.bytes) : NULL;
}
