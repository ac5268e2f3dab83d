/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/text.h"
#include "base/tree.h"

bool claim_is_at(int parent_fd, const char *name, int fd)
{
	struct stat own;
	struct stat there;

	return fstat(fd, &own) == 0 && fstatat(parent_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       own.st_dev == there.st_dev && own.st_ino == there.st_ino;
}

/* The bare half: no error text. -ESTALE: it was moved away meanwhile. */
static int open_and_lock(int parent_fd, const char *name, int *ret_fd)
{
	owned_fd fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (!claim_is_at(parent_fd, name, fd))
		return -ESTALE;
	*ret_fd = fd_take(&fd);
	return 0;
}

int claim_make(int parent_fd, const char *name, int *ret_fd, struct error *error)
{
	/* A collector may meet the directory between our mkdir and our lock: then it is moved to the trash within
	 * moments, and made anew. */
	enum { ATTEMPTS = 200 };
	const struct timespec moment = { .tv_nsec = 1000000 };
	bool is_ours = false;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		int result;

		if (mkdirat(parent_fd, name, 0700) == 0)
			is_ours = true;
		else if (errno != EEXIST || !is_ours)
			return error_set(error, .number = errno, .step = "make the directory", .object = name);
		result = open_and_lock(parent_fd, name, ret_fd);
		if (result == 0)
			return 0;
		if (result != -EBUSY && result != -ESTALE && result != -ENOENT) {
			(void)unlinkat(parent_fd, name, AT_REMOVEDIR);
			return error_set(error, .number = -result, .step = "lock the directory", .object = name);
		}
		if (result == -EBUSY)
			(void)nanosleep(&moment, NULL);
	}
	return error_set(error, .number = EBUSY, .step = "lock the directory", .object = name,
			 .cause = "another sbx command keeps it locked");
}

int claim_take(int parent_fd, const char *name, int *ret_fd, struct error *error)
{
	int result = open_and_lock(parent_fd, name, ret_fd);

	if (result == 0)
		return 0;
	if (result == -ESTALE)
		result = -ENOENT;
	return error_set(error, .number = -result, .step = "lock the directory", .object = name,
			 .cause = result == -EBUSY ? "a live worker or another sbx command uses it" : NULL);
}

int claim_remove(int state_fd, const char *path, int fd, struct error *error)
{
	owned_text parent = path_parent(path);
	owned_fd parent_fd = -1;

	if (!claim_is_at(state_fd, path, fd))
		return error_set(error, .number = ENOENT, .step = "remove the directory", .object = path);
	(void)tree_trash(state_fd, path, NULL);
	if (!claim_is_at(state_fd, path, fd))
		return 0;
	parent_fd = openat(state_fd, parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (parent_fd < 0)
		return error_set(error, .number = errno, .step = "remove the directory", .object = path);
	return tree_remove(parent_fd, path_name(path), error);
}
