/* SPDX-License-Identifier: Apache-2.0 */
#include "base/descent.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

enum {
	NAMES_SIZE = 16 * 1024,
	ATTEMPTS_MAX = 1000, /* EAGAIN of openat2(2): a rename elsewhere raced with ".." */
};

static int open_once(int dirfd, const char *name, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = resolve | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	/* openat2(2) knows which flags O_PATH admits: EINVAL for the others. */
	if (!(flags & O_PATH))
		how.flags |= O_NOCTTY | O_NONBLOCK;
	for (int attempt = 0;; attempt++) {
		long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if ((errno != EAGAIN && errno != EINTR) || attempt == ATTEMPTS_MAX)
			return -errno;
	}
}

static int open_under(const struct descent *descent, const char *name, int flags, uint64_t resolve)
{
	int dirfd = descent_fd(descent);
	int fd;

	if (!(descent->rules & DESCENT_CROSS_MOUNTS))
		resolve |= RESOLVE_NO_XDEV;
	fd = open_once(dirfd, name, flags, resolve);
	if (fd == -EPERM && flags & O_NOATIME) /* it is for the owner, open(2) */
		fd = open_once(dirfd, name, flags & ~O_NOATIME, resolve);
	return fd;
}

static int open_directory(const struct descent *descent, const char *name, uint64_t resolve)
{
	int fd = open_under(descent, name, O_RDONLY | O_DIRECTORY | O_NOATIME, resolve);

	if (fd == -EACCES && descent->rules & DESCENT_UNREADABLE)
		fd = open_under(descent, name, O_PATH | O_DIRECTORY, resolve);
	return fd;
}

static struct descent_level *last_level(const struct descent *descent)
{
	assert(descent->depth > 0);
	return &descent->levels[descent->depth - 1];
}

static void close_level(struct descent_level *level)
{
	fd_close(&level->fd);
	free(level->names);
	level->names = NULL;
}

static int add_level(struct descent *descent, int fd, struct stat *ret_status)
{
	owned_fd taken = fd;
	struct stat status;

	if (fstat(taken, &status) < 0)
		return -errno;
	if (descent->depth == descent->capacity) {
		size_t capacity = descent->capacity ? 2 * descent->capacity : DESCENT_OPEN_MAX;
		struct descent_level *levels = realloc(descent->levels, capacity * sizeof(*levels));

		if (!levels)
			return -ENOMEM;
		descent->levels = levels;
		descent->capacity = capacity;
	}
	descent->levels[descent->depth++] = (struct descent_level){
		.fd = fd_take(&taken),
		.device = status.st_dev,
		.inode = status.st_ino,
		.path_length = descent->path.length,
	};
	if (ret_status)
		*ret_status = status;
	return 0;
}

int descent_start(struct descent *descent, int fd, unsigned rules)
{
	int opened;

	*descent = (struct descent){ .rules = rules };
	opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (opened < 0 && errno == EACCES)
		opened = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (opened < 0)
		return -errno;
	return add_level(descent, opened, NULL);
}

void descent_end(struct descent *descent)
{
	for (size_t i = 0; i < descent->depth; i++)
		close_level(&descent->levels[i]);
	free(descent->levels);
	text_buffer_release(&descent->path);
	*descent = (struct descent){ 0 };
}

int descent_enter(struct descent *descent, const char *name, struct stat *ret_status)
{
	size_t parent_length = descent->path.length;
	int result;
	int fd;

	if (descent->depth >= DESCENT_DEPTH_MAX)
		return -ENAMETOOLONG;
	fd = open_directory(descent, name, RESOLVE_BENEATH);
	if (fd < 0)
		return fd;
	if (descent->depth > 1)
		text_buffer_add(&descent->path, "/", 1);
	text_buffer_add_text(&descent->path, name);
	result = add_level(descent, fd, ret_status);
	if (result < 0) {
		descent->path.length = parent_length;
		descent->path.bytes[parent_length] = '\0';
		return result;
	}
	/* Never the first: it is what the caller gave. */
	if (descent->depth > DESCENT_OPEN_MAX + 1)
		close_level(&descent->levels[descent->depth - 1 - DESCENT_OPEN_MAX]);
	return 0;
}

static int open_again(const struct descent *descent, struct descent_level *level)
{
	owned_fd fd = open_directory(descent, "..", 0);
	struct stat status;

	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_dev != level->device || status.st_ino != level->inode)
		return -ESTALE;
	level->fd = fd_take(&fd);
	return 1;
}

int descent_leave(struct descent *descent, int *ret_left_fd)
{
	struct descent_level *left = last_level(descent);
	struct descent_level *above = left - 1;
	int result = 0;

	assert(descent->depth > 1);
	if (above->fd < 0)
		result = open_again(descent, above);
	if (result < 0)
		return result;
	if (ret_left_fd)
		*ret_left_fd = fd_take(&left->fd);
	close_level(left);
	descent->depth--;
	descent->path.length = above->path_length;
	descent->path.bytes[above->path_length] = '\0';
	return result;
}

int descent_fd(const struct descent *descent)
{
	return last_level(descent)->fd;
}

int descent_start_fd(const struct descent *descent)
{
	assert(descent->depth > 0);
	return descent->levels[0].fd;
}

const char *descent_path(const struct descent *descent)
{
	return descent->path.bytes ? descent->path.bytes : "";
}

const char *descent_name(const struct descent *descent)
{
	const char *path = descent_path(descent);
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Reads on: from the start, from where an earlier descriptor of this level was, or from where this one is, which are
 * all the same to lseek(2). */
static int read_names(struct descent_level *level)
{
	ssize_t filled;

	if (!level->names) {
		level->names = malloc(NAMES_SIZE);
		if (!level->names)
			return -ENOMEM;
		if (lseek(level->fd, level->next, SEEK_SET) < 0)
			return errno == EBADF ? -EACCES : -errno; /* O_PATH, see DESCENT_UNREADABLE */
	}
	filled = getdents64(level->fd, level->names, NAMES_SIZE);
	if (filled < 0)
		return errno == ENOENT ? 0 : -errno; /* ENOENT: the directory was removed meanwhile */
	level->used = 0;
	level->filled = (size_t)filled;
	return filled > 0;
}

int descent_next(struct descent *descent, const char **ret_name)
{
	struct descent_level *level = last_level(descent);

	for (;;) {
		const struct dirent64 *entry;

		if (!level->names || level->used == level->filled) {
			int more = read_names(level);

			if (more <= 0)
				return more;
		}
		entry = (const struct dirent64 *)(const void *)(level->names + level->used);
		level->used += entry->d_reclen;
		level->next = entry->d_off;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		*ret_name = entry->d_name;
		return 1;
	}
}

void descent_rewind(struct descent *descent)
{
	struct descent_level *level = last_level(descent);

	free(level->names);
	level->names = NULL;
	level->next = 0;
}

int descent_open(const struct descent *descent, const char *name, int flags)
{
	return open_under(descent, name, flags, RESOLVE_BENEATH);
}

/* fchmodat2(2), since 6.6: the headers of glibc 2.36 do not know it. The same number on every architecture. */
#define NUMBER_FCHMODAT2 452

int descent_set_mode(const struct descent *descent, const char *name, const struct stat *status, mode_t mode)
{
	/* Held first, changed then: fchmodat(2) by name would follow a link put in its place. */
	owned_fd fd = descent_open(descent, name, O_PATH);
	char path[FD_PROC_PATH_SIZE];
	struct stat held;

	if (fd < 0)
		return fd;
	if (fstat(fd, &held) < 0)
		return -errno;
	if (held.st_dev != status->st_dev || held.st_ino != status->st_ino)
		return -ESTALE;
	if (S_ISLNK(held.st_mode))
		return 0; /* has none */
	if (syscall(NUMBER_FCHMODAT2, fd, "", mode & 07777, AT_EMPTY_PATH) == 0)
		return 0;
	/* Older, or refused by a filter that does not know it. */
	return chmod(fd_proc_path(fd, path), mode & 07777) < 0 ? -errno : 0;
}
