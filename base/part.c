/* SPDX-License-Identifier: Apache-2.0 */
#include "base/part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "base/tree.h"

#define PREFIX ".sbx-"
#define SUFFIX ".part"

enum { ATTEMPTS = 100 };

bool part_is_name(const char *name)
{
	return text_starts_with(name, PREFIX) && text_ends_with(name, SUFFIX);
}

static int is_part(const struct dirent *entry)
{
	return part_is_name(entry->d_name);
}

static bool is_at(int parent_fd, const char *name, int fd)
{
	struct stat own;
	struct stat there;

	return fstat(fd, &own) == 0 && fstatat(parent_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       own.st_dev == there.st_dev && own.st_ino == there.st_ino && own.st_uid == geteuid();
}

/* What cannot be removed now is the next one's. */
static void remove_interrupted(int parent_fd)
{
	struct dirent **found = NULL;
	int count = scandirat(parent_fd, ".", &found, is_part, NULL);

	for (int i = 0; i < count; i++) {
		owned_fd fd = openat(parent_fd, found[i]->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_at(parent_fd, found[i]->d_name, fd))
			(void)tree_remove(parent_fd, found[i]->d_name, NULL);
		free(found[i]);
	}
	free(found);
}

static int open_new(int parent_fd, const char *name, mode_t mode)
{
	if (!S_ISDIR(mode))
		return openat(parent_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (mkdirat(parent_fd, name, mode & 07777) < 0)
		return -1;
	return openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int make(int parent_fd, mode_t mode, struct part *ret_part)
{
	remove_interrupted(parent_fd);
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		uint64_t number;
		owned_text name = NULL;
		owned_fd fd = -1;

		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -errno;
		name = text_format(PREFIX "%016" PRIx64 SUFFIX, number);
		fd = open_new(parent_fd, name, mode);
		if (fd < 0 && errno != EEXIST && errno != ENOENT)
			return -errno;
		/* Another one may have met it before it was locked. */
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_at(parent_fd, name, fd))
			continue;
		ret_part->parent_fd = parent_fd;
		ret_part->fd = fd_take(&fd);
		ret_part->name = name;
		name = NULL;
		return 0;
	}
	return -EBUSY;
}

int part_make_file(int parent_fd, mode_t mode, struct part *ret_part)
{
	return make(parent_fd, S_IFREG | mode, ret_part);
}

int part_make_directory(int parent_fd, struct part *ret_part)
{
	return make(parent_fd, S_IFDIR | 0700, ret_part);
}

/* Not each file system knows RENAME_NOREPLACE (NFS does not); a link is never made over another name. */
static int move_new(int from_fd, const char *from, int to_fd, const char *to)
{
	if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL || linkat(from_fd, from, to_fd, to, 0) < 0)
		return -errno;
	return unlinkat(from_fd, from, 0) < 0 ? -errno : 0;
}

int part_finish(struct part *part, const char *inside, const char *name)
{
	owned_fd file_fd = inside ? openat(part->fd, inside, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	int result;

	if ((inside && file_fd < 0) || fsync(inside ? file_fd : part->fd) < 0)
		return -errno;
	result = move_new(inside ? part->fd : part->parent_fd, inside ? inside : part->name, part->parent_fd, name);
	if (result == 0 && !inside)
		text_free(&part->name);
	return result;
}

int part_replace(struct part *part, const char *name)
{
	if (renameat(part->parent_fd, part->name, part->parent_fd, name) == 0) {
		text_free(&part->name);
		return 0;
	}
	/* No directory takes the place of one that holds something. With the part's name that one goes by
	 * part_close(). */
	if (errno != EEXIST && errno != ENOTEMPTY)
		return -errno;
	return renameat2(part->parent_fd, part->name, part->parent_fd, name, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

void part_close(struct part *part)
{
	int saved_errno = errno;

	if (part->name)
		(void)tree_remove(part->parent_fd, part->name, NULL);
	fd_close(&part->fd);
	text_free(&part->name);
	errno = saved_errno;
}
