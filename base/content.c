/* SPDX-License-Identifier: Apache-2.0 */
#include "base/content.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macro.h"

enum {
	BUFFER_SIZE = 128 * 1024,
	KERNEL_STEP = 16 << 20, /* of one copy_file_range(2): it cannot be interrupted by a signal but a deadly one */
	SIZELESS_MAX = 16 << 20,
};

struct copying {
	int source_fd;
	int target_fd;
	uint64_t bytes_max;
	uint64_t bytes;
	bool by_hand; /* copy_file_range(2) does not serve here */
	char *buffer;
};

static int write_at(int fd, const char *bytes, size_t size, off_t at)
{
	while (size > 0) {
		ssize_t written = RETRY_EINTR(pwrite(fd, bytes, size, at));

		if (written < 0)
			return -errno;
		bytes += written;
		size -= (size_t)written;
		at += written;
	}
	return 0;
}

/* @return bytes, 0 at the end of the source, or -errno */
static ssize_t copy_by_hand(struct copying *copying, off_t at, size_t size)
{
	ssize_t length;
	int result;

	if (!copying->buffer)
		copying->buffer = malloc(BUFFER_SIZE);
	if (!copying->buffer)
		return -ENOMEM;
	length = RETRY_EINTR(pread(copying->source_fd, copying->buffer, MIN(size, (size_t)BUFFER_SIZE), at));
	if (length < 0)
		return -errno;
	result = write_at(copying->target_fd, copying->buffer, (size_t)length, at);
	return result < 0 ? result : length;
}

static ssize_t copy_in_kernel(struct copying *copying, off_t at, size_t size)
{
	off_t source_at = at;
	off_t target_at = at;

	return RETRY_EINTR(copy_file_range(copying->source_fd, &source_at, copying->target_fd, &target_at,
					   MIN(size, (size_t)KERNEL_STEP), 0));
}

/* Copies one piece at `at`. @return bytes, 0 at the end of the source, or -errno */
static ssize_t copy_piece(struct copying *copying, off_t at, size_t size)
{
	ssize_t length = copying->by_hand ? -1 : copy_in_kernel(copying, at, size);

	if (!copying->by_hand && length < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG))
		return -errno;
	/* 0 is also the answer for files that have no pages, copy_file_range(2) BUGS. Every other errno (EXDEV, EINVAL,
	 * EOPNOTSUPP, ENOSYS, EPERM of a filter …) says that this way does not serve. */
	if (length <= 0) {
		copying->by_hand = true;
		length = copy_by_hand(copying, at, size);
	}
	if (length > 0)
		copying->bytes += (uint64_t)length;
	return length;
}

/* @return 0, 1: there is more data than allowed, or -errno */
static int copy_extent(struct copying *copying, off_t at, off_t end)
{
	while (at < end) {
		ssize_t length;

		if (copying->bytes >= copying->bytes_max)
			return 1;
		length = copy_piece(copying, at, MIN((uint64_t)(end - at), copying->bytes_max - copying->bytes));
		if (length <= 0)
			return (int)length;
		at += length;
	}
	return 0;
}

/* lseek(2): ENXIO when no data follows. A file system that does not know holes says that all is data. */
static int copy_extents(struct copying *copying, off_t size)
{
	for (off_t at = 0; at < size;) {
		off_t data = lseek(copying->source_fd, at, SEEK_DATA);
		off_t hole;
		int result;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0) {
			data = at;
			hole = size;
		} else {
			hole = lseek(copying->source_fd, data, SEEK_HOLE);
		}
		if (data >= size)
			return 0;
		/* Where somebody punches holes meanwhile, a hole may begin at once: on we must go. */
		if (hole <= data || hole > size)
			hole = hole < 0 || hole > size ? size : data + 1;
		result = copy_extent(copying, data, hole);
		if (result != 0)
			return result;
		at = hole;
	}
	return 0;
}

static int share_extents(struct copying *copying, const struct stat *status)
{
	uint64_t bytes = MIN((uint64_t)status->st_size, (uint64_t)status->st_blocks * 512);

	if (bytes > copying->bytes_max || ioctl(copying->target_fd, FICLONE, copying->source_fd) < 0)
		return -EOPNOTSUPP;
	copying->bytes = bytes;
	return 0;
}

static int copy_sizeless(struct copying *copying)
{
	char byte;
	ssize_t length = RETRY_EINTR(pread(copying->source_fd, &byte, 1, 0));

	if (length <= 0)
		return length < 0 ? -errno : 0; /* it is empty indeed */
	copying->by_hand = true;
	return copy_extent(copying, 0, SIZELESS_MAX);
}

static int copy_all(struct copying *copying)
{
	struct stat status;
	int result;

	if (fstat(copying->source_fd, &status) < 0)
		return -errno;
	if (status.st_size == 0)
		return copy_sizeless(copying);
	if (share_extents(copying, &status) == 0)
		return 0;
	result = copy_extents(copying, status.st_size);
	if (result != 0)
		return result;
	/* The hole at the end. A file that shrank shows zeros there, as one that is copied while it is written may. */
	return ftruncate(copying->target_fd, status.st_size) < 0 ? -errno : 0;
}

int content_copy(int source_fd, int target_fd, uint64_t bytes_max, uint64_t *ret_bytes)
{
	struct copying copying = { .source_fd = source_fd, .target_fd = target_fd, .bytes_max = bytes_max };
	int result = copy_all(&copying);

	free(copying.buffer);
	*ret_bytes = copying.bytes;
	return result;
}

static ssize_t read_full_at(int fd, char *buffer, size_t size, off_t at)
{
	size_t total = 0;

	while (total < size) {
		ssize_t length = RETRY_EINTR(pread(fd, buffer + total, size - total, at + (off_t)total));

		if (length < 0)
			return -errno;
		if (length == 0)
			break;
		total += (size_t)length;
	}
	return (ssize_t)total;
}

/* Where the next data begins, `size` if there is none. */
static off_t next_data(int fd, off_t at, off_t size)
{
	off_t data = lseek(fd, at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? size : at;
	return MIN(data, size);
}

/* What is a hole in both is equal: a sparse gigabyte costs nothing. */
static int compare_with_buffer(int a_fd, int b_fd, off_t size, char *buffer)
{
	off_t at = 0;

	for (;;) {
		off_t a_data = next_data(a_fd, at, size);
		off_t b_data = next_data(b_fd, at, size);
		ssize_t a_length;
		ssize_t b_length;

		at = MIN(a_data, b_data);
		if (at >= size)
			return 1;
		a_length = read_full_at(a_fd, buffer, BUFFER_SIZE, at);
		b_length = read_full_at(b_fd, buffer + BUFFER_SIZE, BUFFER_SIZE, at);
		if (a_length < 0 || b_length < 0)
			return a_length < 0 ? (int)a_length : (int)b_length;
		if (a_length != b_length || memcmp(buffer, buffer + BUFFER_SIZE, (size_t)a_length) != 0)
			return 0;
		if (a_length == 0)
			return 1; /* both shrank meanwhile */
		at += a_length;
	}
}

int content_equal(int a_fd, int b_fd)
{
	struct stat a;
	struct stat b;
	char *buffer;
	int result;

	if (fstat(a_fd, &a) < 0 || fstat(b_fd, &b) < 0)
		return -errno;
	if (a.st_size != b.st_size)
		return 0;
	buffer = malloc(2 * (size_t)BUFFER_SIZE);
	if (!buffer)
		return -ENOMEM;
	result = compare_with_buffer(a_fd, b_fd, a.st_size, buffer);
	free(buffer);
	return result;
}
