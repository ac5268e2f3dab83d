/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/answer.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"

/* From its start: the position is shared with whoever wrote. */
static int read_back(int fd, struct text_buffer *answer)
{
	char bytes[16384];
	off_t at = 0;

	for (;;) {
		ssize_t size = pread(fd, bytes, sizeof(bytes), at);

		if (size <= 0)
			return size < 0 ? -errno : 0;
		at += size;
		if (at > (off_t)ANSWER_SIZE_MAX)
			return -EFBIG;
		text_buffer_add(answer, bytes, (size_t)size);
	}
}

int answer_task(struct visit *visit, struct task task, struct text_buffer *answer, struct error *error)
{
	/* A file and no pipe: nobody has to read while the task writes. */
	owned_fd fd = memfd_create("sbx answer", MFD_CLOEXEC);
	int status;
	int result;

	if (fd < 0)
		return error_set(error, .number = errno, .step = "make a file for the answer of the worker");
	task.fds[0] = fd;
	task.fd_count = MAX(task.fd_count, (size_t)1);
	status = visit_run_task(visit, &task, error);
	if (status < 0)
		return status;
	result = read_back(fd, answer);
	return result < 0 ? error_set(error, .number = -result, .step = "read the answer of the worker") : status;
}
