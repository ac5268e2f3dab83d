/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/tree.h"
#include "sandbox/registry/claim.h"

#define PLACE_LINK   "place"
#define PLACE_PARENT "/var/tmp"
#define PLACE_PREFIX "sbx-layers-"

/* The link first: of what is killed in between it leads to nothing, and is gone with the claimed directory. */
static int try_make(int claim_fd, const char *path)
{
	if (symlinkat(path, claim_fd, PLACE_LINK) < 0)
		return -errno;
	if (mkdir(path, 0700) < 0) {
		int number = errno;

		(void)unlinkat(claim_fd, PLACE_LINK, 0);
		return -number;
	}
	return 0;
}

int place_make(int claim_fd, char **ret_path, struct error *error)
{
	enum { ATTEMPTS = 16 };
	owned_text path = NULL;
	int result = -EEXIST;

	for (int attempt = 0; attempt < ATTEMPTS && result == -EEXIST; attempt++) {
		uint64_t number;

		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return error_set(error, .number = errno, .step = "make a name for the directory of seeds");
		text_free(&path);
		path = text_format(PLACE_PARENT "/" PLACE_PREFIX "%016" PRIx64, number);
		result = try_make(claim_fd, path);
	}
	if (result < 0)
		return error_set(error, .number = -result, .step = "make a directory for seeds", .object = path);
	*ret_path = path;
	path = NULL;
	return 0;
}

static ssize_t read_link(int claim_fd, char target[static PATH_MAX])
{
	ssize_t length = readlinkat(claim_fd, PLACE_LINK, target, PATH_MAX - 1);

	target[MAX(length, (ssize_t)0)] = '\0';
	return length < 0 ? -errno : length;
}

/* The name below the parent, or NULL where the link leads elsewhere: then nothing was made by us. */
static const char *check_link(const char *target)
{
	const char *name = target + strlen(PLACE_PARENT "/");

	if (!text_starts_with(target, PLACE_PARENT "/" PLACE_PREFIX) || !tree_is_entry_name(name))
		return NULL;
	return name;
}

/* Opens what the link leads to, if it is a directory of ours. @ret_name points into `target` */
static int open_place(int claim_fd, char target[static PATH_MAX], int *ret_parent_fd, const char **ret_name)
{
	ssize_t length = read_link(claim_fd, target);
	owned_fd fd = -1;
	struct stat status;

	*ret_parent_fd = -1;
	/* Only what is certainly not there is ENOENT: without the link nobody would find the place again. */
	if (length < 0)
		return (int)length == -EINVAL ? -ENOENT : (int)length;
	*ret_name = check_link(target);
	if (!*ret_name)
		return -ENOENT;
	*ret_parent_fd = open(PLACE_PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_parent_fd < 0)
		return -errno;
	fd = openat(*ret_parent_fd, *ret_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP ? -ENOENT : -errno;
	if (fstat(fd, &status) < 0)
		return -errno;
	return status.st_uid == geteuid() ? fd_take(&fd) : -ENOENT;
}

int place_hold(int fd)
{
	struct flock range = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return fcntl(fd, F_OFD_SETLK, &range) < 0 ? -errno : 0;
}

int place_share(int claim_fd, int *ret_fd, char **ret_path)
{
	char target[PATH_MAX];
	owned_fd parent_fd = -1;
	const char *name;
	owned_fd fd = open_place(claim_fd, target, &parent_fd, &name);
	int result = fd < 0 ? fd : place_hold(fd);

	if (result < 0)
		return result;
	/* Removed between the two. */
	if (!claim_is_at(parent_fd, name, fd))
		return -ENOENT;
	*ret_fd = fd_take(&fd);
	*ret_path = text_duplicate(target);
	return 0;
}

/* proc_locks(5), "3: FLOCK  ADVISORY  READ 29007 fe:00:975044 0 EOF". The device is left out: that of btrfs is another
 * one there than in stat(2). */
static bool read_sharer(const char *line, uint64_t inode, int64_t *ret_pid)
{
	unsigned long long found = 0;
	long long pid = 0;

	if (sscanf(line, "%*[^:]: FLOCK %*s READ %lld %*[0-9a-f]:%*[0-9a-f]:%llu", &pid, &found) != 2 ||
	    found != inode || pid <= 0)
		return false;
	*ret_pid = pid;
	return true;
}

size_t place_list_sharers(int claim_fd, int64_t *ret_pids, size_t max)
{
	char target[PATH_MAX];
	owned_fd parent_fd = -1;
	const char *name;
	owned_fd fd = open_place(claim_fd, target, &parent_fd, &name);
	owned_text locks = NULL;
	struct stat status;
	size_t count = 0;

	if (fd < 0 || fstat(fd, &status) < 0 || fd_read_file(-1, "/proc/locks", 0, &locks, NULL) < 0)
		return 0;
	for (const char *line = locks; *line && count < max;) {
		count += read_sharer(line, status.st_ino, &ret_pids[count]);
		line = strchrnul(line, '\n');
		line += *line == '\n';
	}
	return count;
}

bool place_is_shared(int claim_fd)
{
	char target[PATH_MAX];
	owned_fd parent_fd = -1;
	const char *name;
	owned_fd fd = open_place(claim_fd, target, &parent_fd, &name);
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	/* Asked for only. A flock(2) would have to be taken, and whoever looked or removed at that moment would take us
	 * for a world. */
	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

int place_remove(int claim_fd, struct error *error)
{
	char target[PATH_MAX];
	owned_fd parent_fd = -1;
	const char *name;
	owned_fd fd = open_place(claim_fd, target, &parent_fd, &name);
	int result = 0;

	if (fd < 0 && fd != -ENOENT)
		return error_set(error, .number = -fd, .step = "open the directory of the seeds", .object = target);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(error, .number = EBUSY, .step = "remove the directory of the seeds", .object = target,
				 .cause = "a live worker started from it");
	if (fd >= 0)
		result = tree_remove(parent_fd, name, error);
	if (result == 0)
		(void)unlinkat(claim_fd, PLACE_LINK, 0);
	return result;
}
