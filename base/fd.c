/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/macro.h"

enum { FDS_PER_MESSAGE_MAX = 16 };

void fd_close(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		(void)close(*fd); /* Linux frees the number whatever close(2) says. */
	*fd = -1;
	errno = saved_errno;
}

int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

char *fd_proc_path(int fd, char path[static FD_PROC_PATH_SIZE])
{
	(void)snprintf(path, FD_PROC_PATH_SIZE, "/proc/self/fd/%d", fd);
	return path;
}

int fd_write_all(int fd, const void *data, size_t size)
{
	const char *bytes = data;

	while (size > 0) {
		ssize_t written = RETRY_EINTR(write(fd, bytes, size));

		if (written < 0)
			return -errno;
		bytes += written;
		size -= (size_t)written;
	}
	return 0;
}

ssize_t fd_read_all(int fd, void *data, size_t size)
{
	char *bytes = data;
	size_t total = 0;

	while (total < size) {
		ssize_t got = RETRY_EINTR(read(fd, bytes + total, size - total));

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		total += (size_t)got;
	}
	return (ssize_t)total;
}

int fd_read_file(int dirfd, const char *path, size_t size_max, char **ret_text, size_t *ret_size)
{
	owned_fd fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t limit = size_max ? size_max : (size_t)1 << 20;
	size_t capacity = MIN(limit, (size_t)4096) + 1;
	size_t total = 0;
	char *text;

	if (fd < 0)
		return -errno;
	text = malloc(capacity);
	if (!text)
		return -ENOMEM;
	for (;;) {
		ssize_t got = fd_read_all(fd, text + total, capacity - 1 - total);
		char *grown;

		if (got < 0) {
			free(text);
			return (int)got;
		}
		total += (size_t)got;
		if (total < capacity - 1)
			break;
		if (total > limit) {
			free(text);
			return -EFBIG;
		}
		/* One byte more than the limit tells "too long" from "just fits". */
		capacity = MIN(2 * capacity, limit + 2);
		grown = realloc(text, capacity);
		if (!grown) {
			free(text);
			return -ENOMEM;
		}
		text = grown;
	}
	text[total] = '\0';
	*ret_text = text;
	if (ret_size)
		*ret_size = total;
	return 0;
}

int fd_write_durable(int directory_fd, const char *name, const void *data, size_t size)
{
	owned_fd fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int result;

	if (fd < 0)
		return -errno;
	result = fd_write_all(fd, data, size);
	if (result < 0)
		return result;
	return fsync(fd) < 0 || fsync(directory_fd) < 0 ? -errno : 0;
}

int fd_pipe(int ends[static 2], int flags)
{
	return pipe2(ends, O_CLOEXEC | flags) < 0 ? -errno : 0;
}

int fd_duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

int fd_ensure_standard(void)
{
	for (int number = 0; number <= 2; number++) {
		int fd;

		if (fcntl(number, F_GETFD) >= 0)
			continue;
		/* The wrong direction on purpose, as the GNU tools do: reading a closed stdin, or writing to a closed
		 * stdout, stays an error (EBADF) instead of a silent success. Lower numbers are taken, so this is it.
		 */
		fd = open("/dev/null", (number == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return -errno;
	}
	return 0;
}

int fd_close_others(const int *kept, size_t count)
{
	unsigned next = 0;

	for (;;) {
		unsigned nearest = ~0u;

		for (size_t i = 0; i < count; i++)
			if (kept[i] >= 0 && (unsigned)kept[i] >= next && (unsigned)kept[i] < nearest)
				nearest = (unsigned)kept[i];
		if (nearest == ~0u)
			break;
		if (nearest > next && syscall(SYS_close_range, next, nearest - 1, 0) < 0)
			return -errno;
		next = nearest + 1;
	}
	return syscall(SYS_close_range, next, ~0u, 0) < 0 ? -errno : 0;
}

int fd_send(int socket, const void *data, size_t size, const int *fds, size_t fd_count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * FDS_PER_MESSAGE_MAX)];
	} control = { 0 };
	struct iovec vector = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	ssize_t sent;

	if (fd_count > FDS_PER_MESSAGE_MAX)
		return -E2BIG;
	if (fd_count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * fd_count);
	}
	sent = RETRY_EINTR(sendmsg(socket, &message, MSG_NOSIGNAL));
	if (sent < 0)
		return -errno;
	return (size_t)sent == size ? 0 : -EMSGSIZE;
}

ssize_t fd_receive(int socket, void *data, size_t size, int *fds, size_t fd_max, size_t *ret_fd_count, int flags)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * FDS_PER_MESSAGE_MAX)];
	} control;
	struct iovec vector = { .iov_base = data, .iov_len = size };
	struct msghdr message = { .msg_iov = &vector,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	int received[FDS_PER_MESSAGE_MAX];
	size_t count = 0;
	ssize_t got = RETRY_EINTR(recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags));

	if (got < 0)
		return -errno;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
		size_t bytes;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = MIN(header->cmsg_len - CMSG_LEN(0), sizeof(int) * (FDS_PER_MESSAGE_MAX - count));
		memcpy(received + count, CMSG_DATA(header), bytes);
		count += bytes / sizeof(int);
	}
	if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || count > fd_max) {
		for (size_t i = 0; i < count; i++)
			fd_close(&received[i]);
		return -EBADMSG;
	}
	if (count > 0) /* fds may be NULL where none are taken */
		memcpy(fds, received, count * sizeof(int));
	*ret_fd_count = count;
	return got;
}
