/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/layers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mount.h"
#include "base/path.h"
#include "overlay/mountinfo.h"

enum {
	SPLIT_ENTRIES_MAX = 4096,
	SPLIT_FILE_BYTES_MAX = 64 << 20, /* all files of a split directory's first level together */
	HIDE_DEPTH_MAX = 8,		 /* symlinks followed from one hidden path */
};

/* The directories of HOME that programs write into as a matter of course. */
static const char *const writable_home_directories[] = {
	".angular", ".aspnet", ".cache", ".config", ".dotnet", ".local", ".npm", ".nuget",
};

static struct layer *add_layer(struct layers *layers, enum layer_kind kind, const char *path, int lower_fd)
{
	struct layer *layer;

	if ((layers->count & (layers->count - 1)) == 0) {
		size_t room = layers->count ? 2 * layers->count : 1;

		layers->items = realloc(layers->items, room * sizeof(*layers->items));
		if (!layers->items)
			abort();
	}
	layer = &layers->items[layers->count++];
	*layer = (struct layer){
		.kind = kind, .path = text_duplicate(path), .lower_fd = lower_fd, .upper_fd = -1, .work_fd = -1
	};
	return layer;
}

void layers_close(struct layers *layers)
{
	for (size_t i = 0; i < layers->count; i++) {
		struct layer *layer = &layers->items[i];

		free(layer->path);
		fd_close(&layer->lower_fd);
		fd_close(&layer->upper_fd);
		fd_close(&layer->work_fd);
	}
	free(layers->items);
	text_list_release(&layers->hidden);
	text_list_release(&layers->skip);
	*layers = (struct layers){ 0 };
}

struct layer *layers_find(const struct layers *layers, const char *path)
{
	struct layer *best = NULL;

	for (size_t i = 0; i < layers->count; i++)
		if (path_is_below(path, layers->items[i].path) &&
		    (!best || strlen(layers->items[i].path) > strlen(best->path)))
			best = &layers->items[i];
	return best;
}

/* Whether mounts lie below this directory: cloning it alone is refused then, with the very test that overlayfs makes
 * for a lower directory (has_locked_children() in fs/namespace.c), at a tenth of the price of reading the mount list.
 */
static bool has_mounts_below(int lower_fd)
{
	owned_fd clone = mount_clone(lower_fd, "", 0);

	return clone == -EINVAL;
}

static bool list_has(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(list->items[i], text))
			return true;
	return false;
}

static int error_mount_below(const char *path, const struct mount_entry *mount, struct error *error)
{
	char cause[256];
	char remedy[384];

	(void)snprintf(cause, sizeof(cause), "a mount lies below it: %s (%s)", mount ? mount->point : "unknown",
		       mount ? mount->type : "unknown");
	(void)snprintf(remedy, sizeof(remedy), "unmount %s, or choose a tree without it", mount ? mount->point : "it");
	return error_set(error, .number = EINVAL, .step = "mount the overlay", .object = path, .cause = cause,
			 .remedy = remedy);
}

/* Splitting: the directory becomes a frame of our own, in which each first-level entry finds its place (finding 37). */
struct split {
	struct layers *layers;
	const struct text_list *skip;
	struct mount_list mounts;
	const char *path;
	int lower_fd;
};

static bool is_writable_home_directory(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(writable_home_directories); i++)
		if (text_equal(name, writable_home_directories[i]))
			return true;
	return false;
}

static void split_directory_entry(struct split *split, const char *path, int entry_fd)
{
	bool wants_overlay = is_writable_home_directory(path_name(path)) && !has_mounts_below(entry_fd);

	add_layer(split->layers, wants_overlay ? LAYER_OVERLAY : LAYER_BIND, path, entry_fd);
}

static void split_entry(struct split *split, const char *name)
{
	owned_text path = path_join(split->path, name);
	owned_fd entry_fd = -1;
	struct stat status;

	if (list_has(split->skip, path))
		return;
	entry_fd = openat(split->lower_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (entry_fd < 0 || fstat(entry_fd, &status) < 0)
		return; /* gone, or not to be looked at: then the app could not either */
	/* Symlinks are made anew by fill_frame(); sockets and the like are no use in a copy. */
	if (S_ISDIR(status.st_mode))
		split_directory_entry(split, path, fd_take(&entry_fd));
	else if (S_ISREG(status.st_mode))
		add_layer(split->layers, LAYER_BIND, path, fd_take(&entry_fd))->is_file = true;
}

static int split_directory(struct layers *layers, const struct layer_request *request, int lower_fd,
			   const struct text_list *skip, struct error *error)
{
	struct split split = { .layers = layers, .skip = skip, .path = request->path };
	owned_fd read_fd = openat(lower_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t entries = 0;
	struct dirent *entry;
	DIR *directory;
	int result;

	result = mountinfo_read(&split.mounts, error);
	if (result < 0)
		return result;
	if (request->purpose != LAYER_FOR_HOME || read_fd < 0) {
		result = error_mount_below(request->path, mountinfo_below(&split.mounts, request->path), error);
		mountinfo_release(&split.mounts);
		return result;
	}
	layers->is_split = true;
	add_layer(layers, LAYER_PLAIN, request->path, lower_fd);
	split.lower_fd = lower_fd;
	directory = fdopendir(fd_take(&read_fd));
	while (directory && result == 0 && (entry = readdir(directory)) != NULL) {
		if (text_equal(entry->d_name, ".") || text_equal(entry->d_name, ".."))
			continue;
		if (++entries > SPLIT_ENTRIES_MAX)
			result = error_set(error, .number = E2BIG, .step = "split the directory",
					   .object = request->path,
					   .cause = "it has too many entries, and a mount lies below it",
					   .remedy = "unmount what lies below it");
		else
			split_entry(&split, entry->d_name);
	}
	if (directory)
		(void)closedir(directory);
	mountinfo_release(&split.mounts);
	return result;
}

/* What is a prefix of a layer already: below its path, on its file system, so that no mount lies between them. */
static bool is_part_of(const struct layer *layer, const char *path, int path_fd)
{
	struct stat outer;
	struct stat inner;

	return layer && layer->kind == LAYER_OVERLAY && path_is_below(path, layer->path) &&
	       fstat(layer->lower_fd, &outer) == 0 && fstat(path_fd, &inner) == 0 && outer.st_dev == inner.st_dev;
}

static int open_request(struct layers *layers, const struct layer_request *request, const struct text_list *skip,
			struct error *error)
{
	const char *source = request->source ? request->source : request->path;
	owned_fd lower_fd = -1;
	struct stat status;

	if (request->without_lower) {
		add_layer(layers, LAYER_PLAIN, request->path, -1);
		return 0;
	}
	lower_fd = path_open(AT_FDCWD, source, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);
	if (lower_fd < 0 || fstat(lower_fd, &status) < 0)
		return error_set(error, .number = lower_fd < 0 ? -lower_fd : errno, .step = "open the directory",
				 .object = source);
	if (!request->source && is_part_of(layers_find(layers, request->path), request->path, lower_fd))
		return 0;
	if (has_mounts_below(lower_fd))
		return split_directory(layers, request, fd_take(&lower_fd), skip, error);
	add_layer(layers, LAYER_OVERLAY, request->path, fd_take(&lower_fd));
	return 0;
}

static int compare_requests(const void *a, const void *b)
{
	return strcmp((*(const struct layer_request *const *)a)->path, (*(const struct layer_request *const *)b)->path);
}

int layers_open(struct layers *layers, const struct layer_request *requests, size_t count, const struct text_list *skip,
		struct error *error)
{
	const struct layer_request **sorted = calloc(count + 1, sizeof(*sorted));
	int result = 0;

	if (!sorted)
		abort();

	*layers = (struct layers){ 0 };
	for (size_t i = 0; i < skip->count; i++)
		text_list_add(&layers->skip, skip->items[i]);
	for (size_t i = 0; i < count; i++)
		sorted[i] = &requests[i];
	/* A parent's path is a prefix of its child's and so comes first. */
	qsort(sorted, count, sizeof(*sorted), compare_requests);
	for (size_t i = 0; i < count && result == 0; i++) {
		if (i > 0 && text_equal(sorted[i]->path, sorted[i - 1]->path))
			continue;
		result = open_request(layers, sorted[i], skip, error);
	}
	free(sorted);
	return result;
}

/* The merged root takes mode and times from the upper directory: they shall be the lower one's. */
static int make_upper(int base_fd, const char *name, int lower_fd, int *ret_fd)
{
	struct stat status = { .st_mode = 0700 };
	bool is_new = mkdirat(base_fd, name, 0700) == 0;
	owned_fd fd = -1;

	if (!is_new && errno != EEXIST)
		return -errno;
	fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (is_new && ((lower_fd >= 0 && fstat(lower_fd, &status) < 0) || fchmod(fd, status.st_mode & 07777) < 0))
		return -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Symlinks of a split directory's first level are made anew in its frame: there is no overlay to show them. */
static int fill_frame(const struct layer *layer, const struct text_list *hidden, struct error *error)
{
	owned_fd read_fd = openat(layer->lower_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = read_fd < 0 ? NULL : fdopendir(read_fd);
	struct dirent *entry;
	int result = 0;

	if (!directory)
		return error_set(error, .number = errno, .step = "read the directory", .object = layer->path);
	read_fd = -1; /* closedir's now */
	while (result == 0 && (entry = readdir(directory)) != NULL) {
		owned_text path = path_join(layer->path, entry->d_name);
		char target[PATH_MAX];
		ssize_t length = readlinkat(layer->lower_fd, entry->d_name, target, sizeof(target) - 1);

		if (length < 0 || list_has(hidden, path))
			continue;
		target[length] = '\0';
		if (symlinkat(target, layer->upper_fd, entry->d_name) < 0 && errno != EEXIST)
			result = error_set(error, .number = errno, .step = "make the link", .object = path);
	}
	(void)closedir(directory);
	return result;
}

int layers_prepare(struct layers *layers, int base_fd, struct error *error)
{
	for (size_t i = 0; i < layers->count; i++) {
		struct layer *layer = &layers->items[i];
		char name[32];
		int result;

		if (layer->kind == LAYER_BIND)
			continue;
		(void)snprintf(name, sizeof(name), "upper-%zu", i);
		result = make_upper(base_fd, name, layer->lower_fd, &layer->upper_fd);
		if (result < 0)
			return error_set(error, .number = -result, .step = "make the writable layer",
					 .object = layer->path);
		if (layer->kind == LAYER_PLAIN) {
			if (layer->lower_fd >= 0)
				result = fill_frame(layer, &layers->skip, error);
			if (result < 0)
				return result;
			continue;
		}
		(void)snprintf(name, sizeof(name), "work-%zu", i);
		/* overlayfs refuses a work directory of an earlier volatile mount (finding 10). */
		if (mkdirat(base_fd, name, 0700) < 0)
			return error_set(error, .number = errno, .step = "make the work directory",
					 .object = layer->path);
		layer->work_fd = openat(base_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (layer->work_fd < 0)
			return error_set(error, .number = errno, .step = "open the work directory",
					 .object = layer->path);
	}
	return 0;
}

/* One step of layers_place(): the directory `name` of the writable layer, made as the lower one is. */
static int descend(int *upper_fd, int *lower_fd, const char *name)
{
	struct stat status;
	int next;

	if (fstatat(*lower_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
		/* Only in the writable layer (a kept worker's): it has to be there. */
		if (fstatat(*upper_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
	}
	if (S_ISLNK(status.st_mode))
		return -ELOOP;
	if (!S_ISDIR(status.st_mode))
		return -ENOTDIR;
	if (mkdirat(*upper_fd, name, 0700) == 0) {
		if (fchmodat(*upper_fd, name, status.st_mode & 07777, 0) < 0)
			return -errno;
	} else if (errno != EEXIST) {
		return -errno;
	}
	next = openat(*upper_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0)
		return -errno;
	fd_close(upper_fd);
	*upper_fd = next;
	next = openat(*lower_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	fd_close(lower_fd);
	*lower_fd = next;
	return 0;
}

int layers_place(const struct layers *layers, const char *path, int *ret_parent_fd, const char **ret_name)
{
	const struct layer *layer = layers_find(layers, path);
	owned_fd upper_fd = -1;
	owned_fd lower_fd = -1;
	const char *rest;

	if (!layer || layer->kind == LAYER_BIND || text_equal(path, layer->path))
		return -ENOENT;
	upper_fd = fd_duplicate(layer->upper_fd);
	lower_fd = layer->lower_fd < 0 ? -1 : fd_duplicate(layer->lower_fd);
	if (upper_fd < 0)
		return upper_fd;
	rest = path_below(path, layer->path);
	for (;;) {
		size_t length = strcspn(rest, "/");
		char name[NAME_MAX + 1];
		int result;

		if (rest[length] == '\0')
			break;
		if (length > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, rest, length);
		name[length] = '\0';
		result = descend(&upper_fd, &lower_fd, name);
		if (result < 0)
			return result;
		rest += length + 1;
	}
	*ret_parent_fd = fd_take(&upper_fd);
	*ret_name = rest;
	return 0;
}

static int make_whiteout(int parent_fd, const char *name)
{
	/* A character device 0:0 needs no privilege since 5.8 (vfs_mknod(): "WHITEOUT_DEV"). */
	if (mknodat(parent_fd, name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	return errno == EEXIST ? 0 : -errno;
}

/* Follows one path by hand: where a component is a symlink, that link is hidden and the path it stood for comes next.
 */
static int hide_one(struct layers *layers, const char *path, char **ret_next, struct error *error)
{
	const struct layer *layer = layers_find(layers, path);
	const char *rest;

	if (!layer || layer->lower_fd < 0 || layer->kind == LAYER_BIND || text_equal(path, layer->path))
		return 0;
	rest = path_below(path, layer->path);
	for (const char *end = rest;; end++) {
		owned_text relative = NULL;
		owned_text partial = NULL;
		owned_fd parent_fd = -1;
		struct stat status;
		const char *name;
		int result;

		end = strchrnul(end, '/');
		relative = strndup(rest, (size_t)(end - rest));
		if (!relative || fstatat(layer->lower_fd, relative, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return 0;
		if (*end != '\0' && !S_ISLNK(status.st_mode))
			continue;
		partial = path_join(layer->path, relative);
		if (S_ISLNK(status.st_mode)) {
			char target[PATH_MAX];
			ssize_t length = readlinkat(layer->lower_fd, relative, target, sizeof(target) - 1);

			if (length > 0) {
				owned_text directory = path_parent(partial);
				owned_text resolved = NULL;

				target[length] = '\0';
				resolved = path_normal(directory, target);
				*ret_next = path_join(resolved, *end ? end + 1 : "");
			}
		}
		result = layers_place(layers, partial, &parent_fd, &name);
		if (result == 0)
			result = make_whiteout(parent_fd, name);
		if (result < 0)
			return error_set(error, .number = -result, .step = "hide the credentials", .object = partial);
		text_list_add(&layers->hidden, partial);
		return 1;
	}
}

int layers_hide(struct layers *layers, const char *path, struct error *error)
{
	owned_text current = text_duplicate(path);
	int hidden = 0;

	for (int depth = 0; current && depth < HIDE_DEPTH_MAX; depth++) {
		char *next = NULL;
		int result = hide_one(layers, current, &next, error);

		text_free(&current);
		current = next;
		if (result < 0)
			return result;
		hidden |= result;
	}
	return hidden;
}

int layers_open_target(const char *path, bool is_file)
{
	int fd = path_open(AT_FDCWD, path, O_PATH, 0, PATH_FOLLOW);

	if (fd != -ENOENT)
		return fd;
	if (is_file) {
		owned_text parent = path_parent(path);
		owned_fd file = -1;
		int result = path_make_directories(AT_FDCWD, parent, 0755);

		if (result < 0)
			return result;
		file = path_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644, PATH_FOLLOW);
		if (file < 0)
			return file;
	} else {
		int result = path_make_directories(AT_FDCWD, path, 0755);

		if (result < 0)
			return result;
	}
	return path_open(AT_FDCWD, path, O_PATH, 0, PATH_FOLLOW);
}

static int mount_overlay(struct layer *layer, int target_fd, struct error *error)
{
	char target[FD_PROC_PATH_SIZE];
	char options[256];

	/* Descriptors for names: no byte of a path can break the option string, no path is too long, and the host's
	 * paths do not show in mountinfo. They were opened after the namespace was made, else: EINVAL (finding 9). */
	(void)snprintf(options, sizeof(options),
		       "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,"
		       "userxattr,volatile,index=off,xino=off",
		       layer->lower_fd, layer->upper_fd, layer->work_fd);
	if (mount("overlay", fd_proc_path(target_fd, target), "overlay", MS_NOSUID, options) < 0)
		return error_set(error, .number = errno, .step = "mount the overlay", .object = layer->path);
	fd_close(&layer->work_fd);
	return 0;
}

static int mount_layer(struct layer *layer, struct error *error)
{
	owned_fd target_fd = layers_open_target(layer->path, layer->is_file);
	int result;

	if (target_fd < 0)
		return error_set(error, .number = -target_fd, .step = "open the mount point", .object = layer->path);
	switch (layer->kind) {
	case LAYER_OVERLAY:
		return mount_overlay(layer, target_fd, error);
	case LAYER_PLAIN:
		result = mount_bind(layer->upper_fd, target_fd, MOUNT_NO_SUID);
		break;
	case LAYER_BIND:
		result = mount_bind(layer->lower_fd, target_fd, MOUNT_RECURSIVE | MOUNT_READ_ONLY | MOUNT_NO_SUID);
		fd_close(&layer->lower_fd);
		break;
	default:
		result = -EINVAL;
	}
	if (result < 0)
		return error_set(error, .number = -result, .step = "bind the directory", .object = layer->path);
	return 0;
}

int layers_mount(struct layers *layers, struct error *error)
{
	for (size_t i = 0; i < layers->count; i++) {
		int result = mount_layer(&layers->items[i], error);

		if (result < 0)
			return result;
	}
	return 0;
}
