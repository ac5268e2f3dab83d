/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. Two ways go down side by side, one through the source, one through the target; an entry is made by one
 * of the makers below, directories get their attributes when they are left. A maker creates its object exclusively. If
 * the name is taken, it makes it under a name of chance instead, which then takes the place of the old. */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/content.h"
#include "base/descent.h"
#include "base/fd.h"
#include "base/inodes.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/tree.h"

#define STEP_COPY "copy"

enum { LOOKS_MAX = 10 }; /* at an entry that becomes another each time it is opened */

/* A directory on the way: what is to be done when it is left. */
struct level {
	struct stat source;
	bool was_closed;       /* the source's mode was changed for us to get in */
	bool is_left_as_it_is; /* the target was there, and is to be kept */
};

struct copy {
	const struct tree_copy_options *options;
	struct tree_copy_result result;
	struct descent source;
	struct descent target;
	struct level *levels; /* [depth - 1] of both ways; [0], the parents, is not used */
	size_t level_capacity;
	struct inodes linked;
	uint64_t met;	       /* entries, but for those that the filter left out */
	char *attribute_names; /* buffers of XATTR_LIST_MAX, XATTR_SIZE_MAX bytes; made when the first is met */
	char *attribute_value;
	struct error *error;
};

/* What a maker is given. */
struct making {
	struct copy *copy;
	const struct tree_entry *entry;
	const char *target_name;
	bool is_another; /* the source is no longer what the entry says: removed, or something else has its name */
};

typedef int maker(struct making *making, const char *as);

/* -- errors ------------------------------------------------------------------------------------------------------ */

/* The path of an entry as the user knows it: from what is copied on, with its name. */
static char *shown_path(const struct copy *copy, const char *name)
{
	const char *path = descent_path(&copy->source);

	if (strncmp(path, "./", 2) == 0)
		path += 2;
	else if (strcmp(path, ".") == 0)
		path = "";
	return text_format("%s%s%s", path, path[0] && name[0] ? "/" : "", name);
}

static int fail_because(struct copy *copy, const char *name, int number, const char *cause)
{
	owned_text path = shown_path(copy, name);

	return error_set(copy->error, .number = number, .step = STEP_COPY, .object = path, .cause = cause);
}

static int fail(struct copy *copy, const char *name, int result)
{
	const char *cause = NULL;

	switch (-result) {
	case EXDEV:
		cause = "a file system is mounted there";
		break;
	case ESTALE:
		cause = "it was moved or replaced while it was copied";
		break;
	case ELOOP:
		cause = "it was replaced by a symbolic link while it was copied";
		break;
	case EOVERFLOW: /* finding 8 */
		cause = "the directory that it goes to belongs to an owner who does not exist in the worker";
		break;
	}
	return fail_because(copy, name, -result, cause);
}

static int fail_over_bytes(struct copy *copy, const char *name)
{
	char cause[96];

	(void)snprintf(cause, sizeof(cause), "there is more data than the limit of %llu bytes",
		       (unsigned long long)copy->options->bytes_max);
	return fail_because(copy, name, EFBIG, cause);
}

static int fail_over_entries(struct copy *copy, const char *name)
{
	char cause[96];

	(void)snprintf(cause, sizeof(cause), "there are more entries than the limit of %llu",
		       (unsigned long long)copy->options->entries_max);
	return fail_because(copy, name, E2BIG, cause);
}

/* -- attributes -------------------------------------------------------------------------------------------------- */

static bool is_copied_attribute(const char *attribute)
{
	return text_starts_with(attribute, "user.") || text_starts_with(attribute, "system.posix_acl_");
}

/* The group's bits of a file with an access list are the list's mask. Without the list they would give the group what
 * only somebody named in it had: then they are taken from the list's own entry for the group. Layout: version, then
 * (tag, permissions, id) of 2, 2 and 4 little-endian bytes; linux/posix_acl_xattr.h. */
static mode_t mode_without_list(mode_t mode, const unsigned char *list, size_t size)
{
	enum { HEADER = 4, ENTRY = 8, TAG_GROUP = 0x04 };

	for (size_t at = HEADER; at + ENTRY <= size; at += ENTRY)
		if (list[at] == TAG_GROUP && list[at + 1] == 0)
			return mode & ~(mode_t)(S_IRWXG & ~((list[at + 2] & 7u) << 3));
	return mode & ~(mode_t)S_IRWXG;
}

static int copy_attribute(struct making *making, int source_fd, int target_fd, const char *attribute, mode_t *mode)
{
	struct copy *copy = making->copy;
	ssize_t size = fgetxattr(source_fd, attribute, copy->attribute_value, XATTR_SIZE_MAX);
	int decision = TREE_TAKE;

	if (size < 0)
		return 0; /* gone, or not ours to read */
	if (copy->options->attribute_filter)
		decision = copy->options->attribute_filter(copy->options->filter_data, making->entry, attribute,
							   copy->attribute_value, (size_t)size);
	if (decision == TREE_SKIP || fsetxattr(target_fd, attribute, copy->attribute_value, (size_t)size, 0) == 0)
		return decision < 0 ? decision : 0;
	if (decision == TREE_TAKE_OR_FAIL)
		return -errno;
	copy->result.attributes_skipped++;
	if (text_equal(attribute, "system.posix_acl_access"))
		*mode = mode_without_list(*mode, (const unsigned char *)copy->attribute_value, (size_t)size);
	return 0;
}

static int copy_attributes(struct making *making, int source_fd, int target_fd, mode_t *mode)
{
	struct copy *copy = making->copy;
	ssize_t size;

	if (!copy->attribute_names) {
		copy->attribute_names = malloc(XATTR_LIST_MAX);
		copy->attribute_value = malloc(XATTR_SIZE_MAX);
		if (!copy->attribute_names || !copy->attribute_value)
			return -ENOMEM;
	}
	size = flistxattr(source_fd, copy->attribute_names, XATTR_LIST_MAX);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(copy->attribute_names + at) + 1) {
		const char *attribute = copy->attribute_names + at;
		int result = is_copied_attribute(attribute)
				     ? copy_attribute(making, source_fd, target_fd, attribute, mode)
				     : 0;

		if (result < 0)
			return result;
	}
	return 0; /* a file system without attributes has none to copy */
}

static mode_t mode_for_copy(const struct copy *copy, const struct stat *status)
{
	mode_t mode = status->st_mode & 07777;

	/* A directory's setgid bit hands its group down, it gives nobody a right. */
	if (!copy->options->keep_setid)
		mode &= ~(mode_t)(S_ISUID | (S_ISDIR(status->st_mode) ? 0 : S_ISGID));
	return mode;
}

/* In this order: an attribute needs write permission, and it changes no time that is set last. */
static int finish_open(struct making *making, int source_fd, int target_fd)
{
	const struct stat *status = making->entry->status;
	struct timespec times[] = { status->st_atim, status->st_mtim };
	mode_t mode = mode_for_copy(making->copy, status);
	int result = copy_attributes(making, source_fd, target_fd, &mode);

	if (result < 0)
		return result;
	if (fchmod(target_fd, mode) < 0 || futimens(target_fd, times) < 0)
		return -errno;
	return 0;
}

/* -- makers: each makes one kind of entry, exclusively, and leaves nothing behind when it fails -------------------- */

static int target_dir(const struct copy *copy)
{
	return descent_fd(&copy->target);
}

static int forget(const struct making *making, const char *as, int result)
{
	(void)unlinkat(target_dir(making->copy), as, 0);
	return result;
}

static int set_times(const struct making *making, const char *as)
{
	const struct stat *status = making->entry->status;
	struct timespec times[] = { status->st_atim, status->st_mtim };

	return utimensat(target_dir(making->copy), as, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Notes it when a source could not be opened because it is not what it was. */
static int note_another(struct making *making, int result)
{
	making->is_another = result == -ENOENT || result == -ESTALE || result == -ELOOP || result == -ENOTDIR;
	return result;
}

/* Opens a regular file for reading, also one that its owner closed. */
static int open_source(const struct making *making)
{
	const struct tree_entry *entry = making->entry;
	const struct copy *copy = making->copy;
	const struct stat *status = entry->status;
	owned_fd fd = descent_open(&copy->source, entry->name, O_RDONLY | O_NOATIME);
	struct stat opened;

	if (fd == -EACCES && copy->options->force_access) {
		int result = descent_set_mode(&copy->source, entry->name, status, status->st_mode | S_IRUSR);

		if (result < 0)
			return result == -EPERM ? -EACCES : result;
		fd = descent_open(&copy->source, entry->name, O_RDONLY | O_NOATIME);
		/* Back to what it was; what it might have become meanwhile was nobody's intent. */
		(void)descent_set_mode(&copy->source, entry->name, status, status->st_mode);
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &opened) < 0)
		return -errno;
	return S_ISREG(opened.st_mode) ? fd_take(&fd) : -ESTALE;
}

static int fill_file(struct making *making, int target_fd)
{
	struct copy *copy = making->copy;
	uint64_t bytes_max = copy->options->bytes_max;
	uint64_t bytes_left = bytes_max ? bytes_max - copy->result.bytes : UINT64_MAX;
	owned_fd source_fd = open_source(making);
	uint64_t bytes = 0;
	int result;

	if (source_fd < 0)
		return note_another(making, source_fd);
	result = content_copy(source_fd, target_fd, bytes_left, &bytes);
	if (result == 1)
		return fail_over_bytes(copy, making->entry->name);
	if (result == 0)
		result = finish_open(making, source_fd, target_fd);
	if (result == 0)
		copy->result.bytes += bytes;
	return result;
}

static int make_file(struct making *making, const char *as)
{
	owned_fd fd = openat(target_dir(making->copy), as, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int result;

	if (fd < 0)
		return -errno;
	result = fill_file(making, fd);
	return result < 0 ? forget(making, as, result) : 0;
}

static int make_symlink(struct making *making, const char *as)
{
	const struct tree_entry *entry = making->entry;
	char target[PATH_MAX]; /* the kernel makes none that is longer */
	ssize_t length = readlinkat(entry->parent_fd, entry->name, target, sizeof(target) - 1);
	int result;

	if (length < 0)
		return note_another(making, errno == EINVAL ? -ESTALE : -errno);
	target[length] = '\0';
	if (symlinkat(target, target_dir(making->copy), as) < 0)
		return -errno;
	result = set_times(making, as);
	return result < 0 ? forget(making, as, result) : 0;
}

static int make_fifo(struct making *making, const char *as)
{
	struct copy *copy = making->copy;
	struct stat made;
	int result;

	if (mknodat(target_dir(copy), as, S_IFIFO | 0600, 0) < 0)
		return -errno;
	result = fstatat(target_dir(copy), as, &made, AT_SYMLINK_NOFOLLOW) < 0
			 ? -errno
			 : descent_set_mode(&copy->target, as, &made, mode_for_copy(copy, making->entry->status));
	if (result == 0)
		result = set_times(making, as);
	return result < 0 ? forget(making, as, result) : 0;
}

/* A character device 0:0 needs no privilege (finding 47); its mode and times mean nothing. */
static int make_whiteout(struct making *making, const char *as)
{
	return mknodat(target_dir(making->copy), as, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
}

/* Opens the directory of a path below the first level, which may be longer than PATH_MAX: piece by piece. */
static int open_parent(const struct descent *target, const char *path)
{
	owned_descent way = { 0 };
	int result = descent_start(&way, descent_start_fd(target), target->rules | DESCENT_UNREADABLE);

	for (const char *end; result == 0 && (end = strchr(path, '/')) != NULL; path = end + 1) {
		owned_text name = strndup(path, (size_t)(end - path));

		result = name ? descent_enter(&way, name, NULL) : -ENOMEM;
	}
	return result < 0 ? result : fd_duplicate(descent_fd(&way));
}

/* Links to the first copy of a file that has several names. Whoever writes to the target meanwhile could have put
 * another file there: what counts is what was linked. */
static int make_link(struct making *making, const char *as)
{
	const struct stat *source = making->entry->status;
	struct copy *copy = making->copy;
	const struct inodes_entry *first = inodes_look_up(&copy->linked, source->st_dev, source->st_ino, NULL);
	const char *slash = strrchr(first->path, '/');
	owned_fd parent_fd = open_parent(&copy->target, first->path);
	struct stat linked;

	if (parent_fd < 0)
		return parent_fd;
	if (linkat(parent_fd, slash ? slash + 1 : first->path, target_dir(copy), as, 0) < 0)
		return -errno;
	if (fstatat(target_dir(copy), as, &linked, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return linked.st_ino == first->copy_inode ? 0 : forget(making, as, -ESTALE);
}

/* -- entries ------------------------------------------------------------------------------------------------------- */

/* Makes the entry under another name and puts it into the place of what is there. */
static int replace(struct making *making, maker *make)
{
	int dirfd = target_dir(making->copy);
	uint64_t number;
	char as[32];
	int result;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -errno;
	(void)snprintf(as, sizeof(as), ".sbx-%016llx", (unsigned long long)number);
	result = make(making, as);
	if (result < 0)
		return result;
	if (renameat(dirfd, as, dirfd, making->target_name) < 0)
		return forget(making, as, -errno);
	/* Two names of one file: rename(2) does nothing then, and says so to nobody. */
	(void)unlinkat(dirfd, as, 0);
	return 0;
}

/* @return 1 made, 0 kept what was there, or -errno */
static int place(struct making *making, maker *make)
{
	struct copy *copy = making->copy;
	int result = make(making, making->target_name);
	struct stat existing;

	if (result != -EEXIST)
		return result < 0 ? result : 1;
	if (fstatat(target_dir(copy), making->target_name, &existing, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(existing.st_mode))
		return -EISDIR;
	if (copy->options->keep_existing) {
		copy->result.kept++;
		return 0;
	}
	result = replace(making, make);
	return result < 0 ? result : 1;
}

/* Notes where the first copy of a file with several names lies. */
static void note_first(struct making *making)
{
	const struct stat *source = making->entry->status;
	struct copy *copy = making->copy;
	const char *path = descent_path(&copy->target);
	struct inodes_entry *first;
	struct stat made;

	if (source->st_nlink < 2 || fstatat(target_dir(copy), making->target_name, &made, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	first = inodes_look_up(&copy->linked, source->st_dev, source->st_ino, NULL);
	free(first->path);
	first->path = text_format("%s%s%s", path, path[0] ? "/" : "", making->target_name);
	first->copy_inode = made.st_ino;
}

/* A link to the first copy where there is one and the file system admits it, else a copy of its own. */
static int place_or_link(struct making *making, maker *make)
{
	const struct stat *source = making->entry->status;
	struct copy *copy = making->copy;
	int result = -ENOENT;

	if (source->st_nlink > 1 && inodes_look_up(&copy->linked, source->st_dev, source->st_ino, NULL)->path)
		result = place(making, make_link);
	if (result < 0 && result != -EISDIR) {
		result = place(making, make);
		if (result == 1)
			note_first(making);
	}
	copy->result.entries += result == 1;
	return result < 0 ? result : 0;
}

static int copy_device(struct making *making)
{
	struct copy *copy = making->copy;
	const struct stat *status = making->entry->status;

	if (S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0) && copy->options->keep_whiteouts) {
		int result = place(making, make_whiteout);

		copy->result.entries += result == 1;
		return result < 0 ? result : 0;
	}
	if (copy->options->skip_devices) {
		copy->result.devices_skipped++;
		return 0;
	}
	return fail_because(copy, making->entry->name, EPERM, "it is a device");
}

/* Makes room for one level more than there is. */
static int reserve_level(struct copy *copy)
{
	size_t depth = copy->source.depth;

	if (depth >= copy->level_capacity) {
		size_t capacity = copy->level_capacity ? 2 * copy->level_capacity : 16;
		struct level *levels = realloc(copy->levels, capacity * sizeof(*levels));

		if (!levels)
			return -ENOMEM;
		copy->levels = levels;
		copy->level_capacity = capacity;
	}
	copy->levels[depth] = (struct level){ 0 };
	return 0;
}

/* @return 1: its mode had to be changed, 0 or -errno */
static int enter_source(struct copy *copy, const struct tree_entry *entry, struct stat *ret_status)
{
	mode_t needed = S_IRUSR | S_IXUSR;
	int result = descent_enter(&copy->source, entry->name, ret_status);
	bool is_closed = result == -EACCES ||
			 (result == 0 && geteuid() == ret_status->st_uid && (ret_status->st_mode & needed) != needed);

	if (!is_closed || !copy->options->force_access)
		return result;
	if (result == 0)
		return fchmod(descent_fd(&copy->source), (ret_status->st_mode & 07777) | needed) == 0;
	result = descent_set_mode(&copy->source, entry->name, entry->status, entry->status->st_mode | needed);
	if (result < 0)
		return result == -EPERM ? -EACCES : result;
	result = descent_enter(&copy->source, entry->name, ret_status);
	ret_status->st_mode = entry->status->st_mode;
	return result < 0 ? result : 1;
}

static bool is_same_directory(const struct descent_level *a, const struct descent_level *b)
{
	return a->device == b->device && a->inode == b->inode;
}

/* The source's last level is the target's, or the very copy that is being made: it would find itself for ever. */
static bool is_own_target(const struct copy *copy)
{
	const struct descent_level *source = &copy->source.levels[copy->source.depth - 1];

	return is_same_directory(source, &copy->target.levels[copy->target.depth - 1]) ||
	       is_same_directory(source, &copy->target.levels[1]);
}

static int enter_target(struct copy *copy, const char *name, bool *ret_existed)
{
	int result;

	*ret_existed = mkdirat(target_dir(copy), name, 0700) < 0;
	if (*ret_existed && errno != EEXIST)
		return fail(copy, "", -errno);
	result = descent_enter(&copy->target, name, NULL);
	if (result == -ENOTDIR || result == -ELOOP)
		return fail_because(copy, "", ENOTDIR, "at its place in the target is something else than a directory");
	if (result == -EXDEV)
		return fail_because(copy, "", EXDEV, "a file system is mounted at its place in the target");
	if (result < 0)
		return fail(copy, "", result);
	if (is_own_target(copy))
		return fail_because(copy, "", EINVAL, "a directory cannot be copied into itself");
	return 0;
}

/* Enters a directory on both sides. */
static int copy_directory(struct making *making)
{
	struct copy *copy = making->copy;
	struct stat status;
	struct level *level;
	bool existed;
	int result = reserve_level(copy);

	if (result < 0)
		return result;
	result = enter_source(copy, making->entry, &status);
	if (result < 0)
		return note_another(making, result);
	level = &copy->levels[copy->source.depth - 1];
	*level = (struct level){ .source = status, .was_closed = result == 1 };
	result = enter_target(copy, making->target_name, &existed);
	if (result < 0)
		return result;
	level->is_left_as_it_is = existed && copy->options->keep_existing;
	copy->result.kept += level->is_left_as_it_is;
	copy->result.entries += !level->is_left_as_it_is;
	return 0;
}

/* Leaves a directory on both sides and finishes the target's. */
static int leave_directory(struct copy *copy)
{
	const struct level *level = &copy->levels[copy->source.depth - 1];
	owned_text path = shown_path(copy, "");
	struct tree_entry entry = { .path = strchrnul(descent_path(&copy->source), '/'), .status = &level->source };
	struct making making = { .copy = copy, .entry = &entry };
	owned_text name = text_duplicate(descent_name(&copy->source));
	owned_text below = text_duplicate(entry.path[0] ? entry.path + 1 : "");
	owned_fd source_fd = -1;
	owned_fd target_fd = -1;
	int result = descent_leave(&copy->source, &source_fd);

	if (result >= 0)
		result = descent_leave(&copy->target, &target_fd);
	entry.path = below;
	entry.name = name;
	entry.parent_fd = descent_fd(&copy->source);
	if (result >= 0 && !level->is_left_as_it_is)
		result = finish_open(&making, source_fd, target_fd);
	if (source_fd >= 0 && level->was_closed)
		(void)fchmod(source_fd, level->source.st_mode & 07777);
	if (result < 0)
		return error_set(copy->error, .number = -result, .step = STEP_COPY, .object = path,
				 .cause = result == -ESTALE ? "it was moved or replaced while it was copied" : NULL);
	return 0;
}

static int copy_by_type(struct making *making)
{
	switch (making->entry->status->st_mode & S_IFMT) {
	case S_IFREG:
		return place_or_link(making, make_file);
	case S_IFLNK:
		return place_or_link(making, make_symlink);
	case S_IFIFO:
		return place_or_link(making, make_fifo);
	case S_IFCHR:
	case S_IFBLK:
		return copy_device(making);
	case S_IFSOCK:
		making->copy->result.sockets_skipped++;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static bool is_top(const struct copy *copy)
{
	return copy->source.depth == 1;
}

static int copy_made(struct making *making)
{
	struct copy *copy = making->copy;
	const char *name = making->entry->name;
	int result = S_ISDIR(making->entry->status->st_mode) ? copy_directory(making) : copy_by_type(making);

	if (result >= 0 || making->is_another || copy->error->number != 0)
		return result;
	if (result == -EISDIR)
		return fail_because(copy, name, EISDIR, "at its place in the target is a directory");
	return fail(copy, name, result);
}

/* Looks at an entry and copies what it is now. @ret_is_another  as in struct making */
static int look_and_copy(struct copy *copy, const char *name, const char *target_name, const char *path,
			 bool *ret_is_another)
{
	struct stat status;
	struct tree_entry entry = { .path = path, .name = name, .status = &status };
	struct making making = { .copy = copy, .entry = &entry, .target_name = target_name };
	int result = TREE_TAKE;

	*ret_is_another = false;
	entry.parent_fd = descent_fd(&copy->source);
	if (fstatat(entry.parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT || is_top(copy))
			return fail(copy, name, -errno);
		copy->result.vanished++;
		return 0;
	}
	if (copy->options->filter)
		result = copy->options->filter(copy->options->filter_data, &entry, copy->error);
	if (result == TREE_SKIP || result < 0)
		return result;
	result = copy_made(&making);
	*ret_is_another = making.is_another;
	return result;
}

static int copy_entry(struct copy *copy, const char *name, const char *target_name)
{
	const struct tree_copy_options *options = copy->options;
	const char *way = strchrnul(descent_path(&copy->source), '/');
	owned_text path = is_top(copy) ? text_duplicate("")
				       : text_format("%s%s%s", way[0] ? way + 1 : "", way[0] ? "/" : "", name);

	if (options->entries_max && copy->met++ >= options->entries_max)
		return fail_over_entries(copy, name);
	for (int look = 1;; look++) {
		bool is_another;
		int result = look_and_copy(copy, name, target_name, path, &is_another);

		if (!is_another)
			return result;
		if (look == LOOKS_MAX)
			return fail(copy, name, result);
	}
}

static int copy_tree(struct copy *copy, const char *source_name, const char *target_name)
{
	int result = copy_entry(copy, source_name, target_name);

	while (result >= 0 && copy->source.depth > 1) {
		const char *name;
		int more = descent_next(&copy->source, &name);

		if (more < 0)
			return fail(copy, "", more);
		result = more ? copy_entry(copy, name, name) : leave_directory(copy);
	}
	return result < 0 ? result : 0;
}

/* After a failure: source directories that were opened for a moment are closed again. */
static void restore_modes(struct copy *copy)
{
	while (copy->source.depth > 1) {
		const struct level *level = &copy->levels[copy->source.depth - 1];
		owned_fd left_fd = -1;

		if (descent_leave(&copy->source, &left_fd) < 0)
			return;
		if (level->was_closed)
			(void)fchmod(left_fd, level->source.st_mode & 07777);
	}
}

static void copy_release(struct copy *copy)
{
	descent_end(&copy->source);
	descent_end(&copy->target);
	inodes_release(&copy->linked);
	free(copy->levels);
	free(copy->attribute_names);
	free(copy->attribute_value);
}

static bool is_copy_name(const char *name)
{
	return tree_is_entry_name(name) || text_equal(name, ".");
}

int tree_copy(const struct tree_copy_options *options, int source_parent_fd, const char *source_name,
	      int target_parent_fd, const char *target_name, struct tree_copy_result *ret, struct error *error)
{
	struct error own_error = { 0 };
	__attribute__((cleanup(copy_release))) struct copy copy = { .options = options,
								    .error = error ? error : &own_error };
	unsigned rules = options->cross_mounts ? DESCENT_CROSS_MOUNTS : 0;
	int result;

	*copy.error = (struct error){ 0 };
	if (!is_copy_name(source_name) || !is_copy_name(target_name))
		return error_set(error, .number = EINVAL, .step = STEP_COPY, .object = source_name);
	result = descent_start(&copy.source, source_parent_fd, rules);
	if (result == 0)
		result = descent_start(&copy.target, target_parent_fd, rules);
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_COPY, .object = source_name);
	result = copy_tree(&copy, source_name, target_name);
	if (result < 0)
		restore_modes(&copy);
	if (ret)
		*ret = copy.result;
	return result;
}
