/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/descent.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/text.h"

#define TRASH	    "trash"
#define STEP_REMOVE "remove"

enum { REFILLS_MAX = 1000 }; /* directories into which somebody puts new entries while we empty them */

bool tree_is_entry_name(const char *name)
{
	return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

struct removal {
	struct descent way;  /* level 1 is the parent of what is removed */
	size_t failed_depth; /* the levels up to here hold something that stays */
	unsigned refills;
	int result; /* of the first failure */
	struct error *error;
};

static const char *cause_of(int number)
{
	switch (number) {
	case EXDEV:
		return "a file system is mounted there";
	case ESTALE:
		return "it was moved meanwhile";
	default:
		return NULL;
	}
}

static void fail_removal(struct removal *removal, const char *name, int number)
{
	removal->failed_depth = removal->way.depth;
	if (removal->result == 0) {
		owned_text path = path_join(descent_path(&removal->way), name);

		removal->result = error_set(removal->error, .number = number, .step = STEP_REMOVE,
					    .object = path[0] == '/' ? path + 1 : path, .cause = cause_of(number));
	}
}

/* Enters a directory, opened to its owner where it was closed. */
static int enter_to_remove(struct removal *removal, const char *name)
{
	struct descent *way = &removal->way;
	struct stat status;
	int result = descent_enter(way, name, &status);

	if (result == -EACCES) {
		if (fstatat(descent_fd(way), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		result = descent_set_mode(way, name, &status, status.st_mode | S_IRWXU);
		if (result == 0)
			result = descent_enter(way, name, &status);
	}
	if (result < 0)
		return result;
	/* Readable is not enough. If this fails, the failure to remove what is inside says so. */
	if ((status.st_mode & S_IRWXU) != S_IRWXU)
		(void)fchmod(descent_fd(way), (status.st_mode & 07777) | S_IRWXU);
	return 0;
}

static void remove_entry(struct removal *removal, const char *name)
{
	int dirfd = descent_fd(&removal->way);
	int result;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return;
	/* EISDIR is Linux's answer, EPERM that of POSIX. An empty directory goes whatever its mode. */
	if (errno != EISDIR && errno != EPERM) {
		fail_removal(removal, name, errno);
		return;
	}
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return;
	/* EBUSY: a mount point; entering it tells whether it is one of ours. */
	if (errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY) {
		fail_removal(removal, name, errno == ENOTDIR ? EPERM : errno);
		return;
	}
	result = enter_to_remove(removal, name);
	if (result < 0 && result != -ENOENT)
		fail_removal(removal, name, -result);
}

/* Leaves an emptied directory and removes it. */
static int leave_removed(struct removal *removal)
{
	struct descent *way = &removal->way;
	bool is_empty = removal->failed_depth < way->depth;
	owned_text name = text_duplicate(descent_name(way));
	int result = descent_leave(way, NULL);

	if (result < 0) {
		fail_removal(removal, "", -result);
		return result;
	}
	if (removal->failed_depth > way->depth)
		removal->failed_depth = way->depth;
	/* Where the level was opened again, all that was read of it before is gone: offsets of a shrinking directory
	 * mean nothing on a tmpfs before 6.6. */
	if (result == 1 && removal->failed_depth < way->depth)
		descent_rewind(way);
	if (!is_empty || unlinkat(descent_fd(way), name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if ((errno == ENOTEMPTY || errno == EEXIST) && removal->refills++ < REFILLS_MAX) {
		result = enter_to_remove(removal, name);
		if (result == 0)
			return 0;
		errno = -result;
	}
	if (errno != ENOENT)
		fail_removal(removal, name, errno);
	return 0;
}

static void remove_tree(struct removal *removal, const char *name)
{
	struct descent *way = &removal->way;

	remove_entry(removal, name);
	while (way->depth > 1) {
		const char *next;
		int more = descent_next(way, &next);

		if (more > 0) {
			remove_entry(removal, next);
			continue;
		}
		if (more < 0)
			fail_removal(removal, "", -more);
		if (leave_removed(removal) < 0)
			return;
	}
}

int tree_remove(int parent_fd, const char *name, struct error *error)
{
	struct removal removal = { .error = error };
	int result;

	if (!tree_is_entry_name(name))
		return error_set(error, .number = EINVAL, .step = STEP_REMOVE, .object = name);
	result = descent_start(&removal.way, parent_fd, 0);
	if (result < 0)
		return error_set(error, .number = -result, .step = "open the directory of", .object = name);
	remove_tree(&removal, name);
	descent_end(&removal.way);
	return removal.result;
}

static int open_trash(int state_fd, bool make)
{
	if (make && mkdirat(state_fd, TRASH, 0700) < 0 && errno != EEXIST)
		return -errno;
	return path_open(state_fd, TRASH, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
}

/* Renaming a directory writes its ".." entry: the owner must be able to write to it. */
static int open_to_owner(int parent_fd, const char *name)
{
	owned_descent parent = { 0 };
	struct stat status;
	int result = descent_start(&parent, parent_fd, 0);

	if (result < 0)
		return result;
	if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return descent_set_mode(&parent, name, &status, status.st_mode | S_IRWXU);
}

static int move_to_trash(int parent_fd, const char *name, int trash_fd, char *ret_name, size_t size)
{
	bool is_opened = false;

	for (int attempt = 0; attempt < 100; attempt++) {
		uint64_t number;

		if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
			return -EIO;
		(void)snprintf(ret_name, size, "%016llx", (unsigned long long)number);
		if (renameat2(parent_fd, name, trash_fd, ret_name, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno == EACCES && !is_opened) {
			is_opened = true;
			(void)open_to_owner(parent_fd, name); /* else the next attempt says EACCES again */
			continue;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int tree_trash(int state_fd, const char *path, struct error *error)
{
	const char *name = path_name(path);
	owned_text parent = path_parent(path);
	owned_fd parent_fd = -1;
	owned_fd trash_fd = -1;
	char trash_name[17] = "";
	int result;

	if (!tree_is_entry_name(name))
		return error_set(error, .number = EINVAL, .step = STEP_REMOVE, .object = path);
	parent_fd = path_open(state_fd, parent, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	if (parent_fd == -ENOENT)
		return 0;
	if (parent_fd < 0)
		return error_set(error, .number = -parent_fd, .step = STEP_REMOVE, .object = path);
	trash_fd = open_trash(state_fd, true);
	if (trash_fd < 0)
		return error_set(error, .number = -trash_fd, .step = "open the directory", .object = TRASH);
	result = move_to_trash(parent_fd, name, trash_fd, trash_name, sizeof(trash_name));
	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_REMOVE, .object = path);
	return tree_remove(trash_fd, trash_name, error);
}

int tree_empty_trash(int state_fd, struct error *error)
{
	owned_fd trash_fd = open_trash(state_fd, false);
	owned_descent trash = { 0 };
	const char *name;
	int result;
	int more;

	if (trash_fd == -ENOENT)
		return 0;
	result = trash_fd < 0 ? trash_fd : descent_start(&trash, trash_fd, 0);
	if (result < 0)
		return error_set(error, .number = -result, .step = "open the directory", .object = TRASH);
	while ((more = descent_next(&trash, &name)) > 0) {
		int removed = tree_remove(trash_fd, name, result < 0 ? NULL : error);

		if (result == 0)
			result = removed;
	}
	if (more < 0 && result == 0)
		result = error_set(error, .number = -more, .step = "read the directory", .object = TRASH);
	return result;
}
