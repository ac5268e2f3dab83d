/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/descent.h"
#include "base/fd.h"
#include "base/inodes.h"
#include "base/path.h"
#include "overlay/format.h"

#define STEP_COPY "copy the layer"

static bool is_mark(const struct text_list *marks, const char *path)
{
	for (size_t i = 0; marks && i < marks->count; i++)
		if (text_equal(marks->items[i], path))
			return true;
	return false;
}

static int filter_entry(void *data, const struct tree_entry *entry, struct error *error)
{
	const struct layer_copy_options *options = data;

	if (options->skip_marks && format_is_whiteout(entry->status) && is_mark(options->marks, entry->path))
		return TREE_SKIP;
	return options->filter ? options->filter(options->filter_data, entry, error) : TREE_TAKE;
}

static int filter_attribute(void *data, const struct tree_entry *entry, const char *attribute, const void *value,
			    size_t size)
{
	(void)data;
	if (format_is_visible(attribute))
		return TREE_TAKE;
	if (!text_equal(attribute, FORMAT_OPAQUE) || !S_ISDIR(entry->status->st_mode))
		return TREE_SKIP;
	/* Without it what the worker removed would come back. */
	return size == 1 && memcmp(value, "y", 1) == 0 ? TREE_TAKE_OR_FAIL : TREE_SKIP;
}

static struct tree_copy_options copying_of(const struct layer_copy_options *options)
{
	return (struct tree_copy_options){
		.bytes_max = options->bytes_max,
		.entries_max = options->entries_max,
		.keep_setid = options->keep_setid,
		.keep_whiteouts = true,
		.force_access = true,
		.filter = filter_entry,
		.attribute_filter = filter_attribute,
		.filter_data = (void *)options, /* read only: the filters take it as const */
	};
}

int layer_copy(const struct layer_copy_options *options, int upper_fd, int target_parent_fd, const char *target_name,
	       struct tree_copy_result *ret, struct error *error)
{
	struct tree_copy_options copying = copying_of(options);
	int result;

	/* Made here, exclusively, so that it is ours to remove when the copy fails. */
	if (!tree_is_entry_name(target_name) || mkdirat(target_parent_fd, target_name, 0700) < 0)
		return error_set(error, .number = tree_is_entry_name(target_name) ? errno : EINVAL, .step = STEP_COPY,
				 .object = target_name);
	result = tree_copy(&copying, upper_fd, ".", target_parent_fd, target_name, ret, error);
	if (result < 0)
		(void)tree_remove(target_parent_fd, target_name, NULL);
	return result;
}

/* The options, and where the layer below was copied to. */
struct merging {
	const struct layer_copy_options *options;
	int target_fd;
};

static int open_directory(const struct tree_entry *entry)
{
	return openat(entry->parent_fd, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_opaque_directory(const struct tree_entry *entry)
{
	mode_t mode = entry->status->st_mode & 07777;
	owned_fd fd = -1;

	if (!S_ISDIR(entry->status->st_mode))
		return false;
	fd = open_directory(entry);
	/* Its owner, the caller, closed it: opened for a moment, as the copy does it. */
	if (fd < 0 && errno == EACCES && fchmodat(entry->parent_fd, entry->name, mode | S_IRUSR | S_IXUSR, 0) == 0) {
		fd = open_directory(entry);
		(void)!fchmodat(entry->parent_fd, entry->name, mode, 0);
	}
	return fd >= 0 && format_is_opaque(fd);
}

/* Takes away what the entry hides: tree_copy() would merge a directory with a directory, and put nothing else in the
 * place of one. */
static int make_room(const struct merging *merging, const struct tree_entry *entry, struct error *error)
{
	owned_text parent = path_parent(entry->path);
	owned_fd parent_fd = -1;
	struct stat below;
	bool is_directory;

	if (entry->path[0] == '\0')
		return 0;
	parent_fd = path_open(merging->target_fd, parent, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	if (parent_fd < 0)
		return error_set(error, .number = -parent_fd, .step = STEP_COPY, .object = entry->path);
	if (fstatat(parent_fd, path_name(entry->path), &below, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	is_directory = S_ISDIR(below.st_mode);
	if (is_directory == S_ISDIR(entry->status->st_mode) && !(is_directory && is_opaque_directory(entry)))
		return 0;
	return tree_remove(parent_fd, path_name(entry->path), error);
}

static int filter_merged_entry(void *data, const struct tree_entry *entry, struct error *error)
{
	const struct merging *merging = data;
	int decision = filter_entry((void *)merging->options, entry, error);
	int result = decision == TREE_TAKE ? make_room(merging, entry, error) : 0;

	return result < 0 ? result : decision;
}

int layer_merge(const struct layer_copy_options *options, int upper_fd, int target_parent_fd, const char *target_name,
		struct tree_copy_result *ret, struct error *error)
{
	struct tree_copy_options copying = copying_of(options);
	owned_fd target_fd = path_open(target_parent_fd, target_name, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	struct merging merging = { .options = options, .target_fd = target_fd };

	if (target_fd < 0)
		return error_set(error, .number = -target_fd, .step = STEP_COPY, .object = target_name);
	copying.filter = filter_merged_entry;
	copying.filter_data = &merging;
	return tree_copy(&copying, upper_fd, ".", target_parent_fd, target_name, ret, error);
}

int layer_probe_xattr(int dirfd)
{
	static const char name[] = FORMAT_OWN "sbx";
	owned_fd fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fsetxattr(fd, name, "y", 1, 0) < 0)
		/* EPERM: a file system that reserves them for others. */
		return errno == EOPNOTSUPP || errno == EPERM ? 0 : -errno;
	return fremovexattr(fd, name) < 0 ? -errno : 1;
}

int layer_make_opaque(int parent_fd, const char *name, struct error *error)
{
	owned_fd fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return 0;
	if (fd < 0 || fsetxattr(fd, FORMAT_OPAQUE, "y", 1, 0) < 0)
		return error_set(error, .number = errno, .step = "make the directory opaque", .object = name);
	return 0;
}

int layer_plain_attribute(void *data, const struct tree_entry *entry, const char *attribute, const void *value,
			  size_t size)
{
	(void)data;
	(void)entry;
	(void)value;
	(void)size;
	return text_starts_with(attribute, FORMAT_OWN) ? TREE_SKIP : TREE_TAKE;
}

struct measuring {
	struct descent way;
	struct inodes linked;
	uint64_t bytes;
	uint64_t entries;
};

static void measuring_release(struct measuring *measuring)
{
	descent_end(&measuring->way);
	inodes_release(&measuring->linked);
}

static int measure_entry(struct measuring *measuring, const char *name)
{
	struct stat status;
	bool is_new = true;

	if (fstatat(descent_fd(&measuring->way), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* gone, or not to be looked at */
	measuring->entries++;
	if (status.st_nlink > 1 && !S_ISDIR(status.st_mode))
		(void)inodes_look_up(&measuring->linked, status.st_dev, status.st_ino, &is_new);
	if (is_new)
		measuring->bytes += (uint64_t)status.st_blocks * 512;
	if (S_ISDIR(status.st_mode)) {
		int result = descent_enter(&measuring->way, name, NULL);

		return result == -ENOMEM || result == -EMFILE || result == -ENFILE ? result : 0;
	}
	return 0;
}

static int measure(struct measuring *measuring)
{
	for (;;) {
		const char *name;
		int more = descent_next(&measuring->way, &name);
		int result = 0;

		if (more > 0)
			result = measure_entry(measuring, name);
		else if (measuring->way.depth == 1)
			return more;
		else
			result = descent_leave(&measuring->way, NULL);
		if (result < 0)
			return result;
	}
}

int layer_size(int upper_fd, uint64_t *ret_bytes, uint64_t *ret_entries, struct error *error)
{
	__attribute__((cleanup(measuring_release))) struct measuring measuring = { 0 };
	int result = descent_start(&measuring.way, upper_fd, 0);

	if (result == 0)
		result = measure(&measuring);
	if (result < 0)
		return error_set(error, .number = -result, .step = "measure the layer",
				 .object = descent_path(&measuring.way));
	*ret_bytes = measuring.bytes;
	*ret_entries = measuring.entries;
	return 0;
}
