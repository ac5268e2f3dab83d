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
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mount.h"
#include "base/path.h"
#include "base/tree.h"
#include "overlay/copy.h"
#include "overlay/database.h"
#include "overlay/format.h"
#include "overlay/mountinfo.h"

enum {
	SPLIT_ENTRIES_MAX = 4096,
	SPLIT_FILE_BYTES_MAX = 64 << 20, /* all files of one split directory together: copied at each start */
	SPLIT_HOME_DEPTH_MAX = 3,	 /* .local/share/NAME: below it only what is at the mount is read-only */
	NAMES_MAX = 1024,		 /* read of a directory; of a longer one nothing is known */
	HIDE_DEPTH_MAX = 8,		 /* symlinks followed from one hidden path */
};

#define OVERLAYFS_SUPER_MAGIC 0x794c7630 /* linux/magic.h */

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
	*layer = (struct layer){ .kind = kind,
				 .path = text_duplicate(path),
				 .lower_fd = lower_fd,
				 .upper_fd = -1,
				 .work_fd = -1,
				 .seed_fd = -1 };
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
		fd_close(&layer->seed_fd);
	}
	free(layers->items);
	text_list_release(&layers->hidden);
	text_list_release(&layers->outside);
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
 * In a world the clone is left there, over the directory itself, where the overlay covers it: to let go of it is an
 * unmount, for which the kernel waits until every processor has noticed (namespace_unlock() in fs/namespace.c), those
 * included that are busy with the network namespace. */
static bool has_mounts_below(const struct layers *layers, int lower_fd)
{
	owned_fd clone = mount_clone(lower_fd, "", 0);

	if (clone >= 0 && layers->made == LAYERS_IN_A_WORLD)
		(void)mount_attach(clone, lower_fd);
	return clone == -EINVAL;
}

static bool list_has(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(list->items[i], text))
			return true;
	return false;
}

bool layers_skips(const struct layers_skip *skip, const char *path)
{
	for (size_t i = 0; skip->databases && i < skip->databases->count; i++)
		if (database_owns_file(skip->databases->items[i], path))
			return true;
	return skip->paths && list_has(skip->paths, path);
}

/* Whether an overlay of this directory is what it needs, and why it cannot be one. */
static int error_mount_below(const char *path, const struct mount_list *mounts, const char *copied, struct error *error)
{
	const struct mount_entry *mount = mountinfo_below(mounts, path);
	char cause[256];
	char remedy[384];

	(void)snprintf(cause, sizeof(cause), "a mount lies below it: %s (%s)", mount ? mount->point : "unknown",
		       mount ? mount->type : "unknown");
	(void)snprintf(remedy, sizeof(remedy), "copy the directory with --copy %s, or unmount %s", copied,
		       mount ? mount->point : "it");
	return error_set(error, .number = EINVAL, .step = "mount the overlay", .object = path, .cause = cause,
			 .remedy = remedy);
}

/* Splitting: the directory becomes a frame of our own, in which each entry finds its place (finding 37). */
struct split {
	struct layers *layers;
	const struct layer_request *request;
	const struct layer_request *const *requests; /* all of them */
	size_t request_count;
	struct mount_list mounts;
	struct error *error;
};

static int split_directory(struct split *split, const char *path, int lower_fd, bool is_writable, unsigned depth);

static bool is_writable_home_directory(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(writable_home_directories); i++)
		if (text_equal(name, writable_home_directories[i]))
			return true;
	return false;
}

/* Asked for by itself: its own request makes its layer. */
static bool is_requested(const struct split *split, const char *path)
{
	for (size_t i = 0; i < split->request_count; i++)
		if (text_equal(split->requests[i]->path, path))
			return true;
	return false;
}

static bool has_requests_below(const struct split *split, const char *path)
{
	for (size_t i = 0; i < split->request_count; i++)
		if (path_is_below(split->requests[i]->path, path))
			return true;
	return false;
}

static int split_directory_entry(struct split *split, const char *path, int entry_fd, bool is_writable, unsigned depth)
{
	bool is_home = split->request->purpose == LAYER_FOR_HOME;
	bool can_go_on = is_home ? depth < SPLIT_HOME_DEPTH_MAX : has_requests_below(split, path);

	if (!is_writable || !has_mounts_below(split->layers, entry_fd)) {
		add_layer(split->layers, is_writable ? LAYER_OVERLAY : LAYER_BIND, path, entry_fd);
		return 0;
	}
	if (can_go_on)
		return split_directory(split, path, entry_fd, is_writable, depth + 1);
	if (is_home) {
		/* A container store, a mounted drive: to be seen, as the rest of a split HOME is. */
		add_layer(split->layers, LAYER_BIND, path, entry_fd);
		return 0;
	}
	fd_close(&entry_fd);
	return error_mount_below(path, &split->mounts, path, split->error);
}

static int split_entry(struct split *split, const char *directory, int lower_fd, const char *name, bool is_writable,
		       unsigned depth)
{
	owned_text path = path_join(directory, name);
	owned_fd entry_fd = -1;
	struct stat status;

	if (layers_skips(&split->layers->skip, path) || is_requested(split, path))
		return 0;
	entry_fd = openat(lower_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (entry_fd < 0 || fstat(entry_fd, &status) < 0)
		return 0; /* gone, or not to be looked at: then the app could not either */
	if (S_ISDIR(status.st_mode))
		return split_directory_entry(split, path, fd_take(&entry_fd),
					     is_writable || is_writable_home_directory(name), depth);
	/* What can be read is copied where it is to be written, by fill_frame(), which makes symlinks anew, too. */
	if (S_ISREG(status.st_mode) &&
	    (!is_writable || faccessat(lower_fd, name, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) < 0))
		add_layer(split->layers, LAYER_BIND, path, fd_take(&entry_fd))->is_file = true;
	return 0;
}

/* Takes over lower_fd. */
static int split_directory(struct split *split, const char *path, int lower_fd, bool is_writable, unsigned depth)
{
	owned_fd lower = lower_fd;
	owned_fd read_fd = openat(lower, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = read_fd < 0 ? NULL : fdopendir(read_fd);
	size_t entries = 0;
	struct dirent *entry;
	int result = 0;

	if (!directory)
		return error_mount_below(path, &split->mounts, path, split->error);
	(void)fd_take(&read_fd); /* closedir's now */
	add_layer(split->layers, LAYER_PLAIN, path, fd_duplicate(lower))->takes_files = is_writable;
	while (result == 0 && (entry = readdir(directory)) != NULL) {
		if (text_equal(entry->d_name, ".") || text_equal(entry->d_name, ".."))
			continue;
		if (++entries > SPLIT_ENTRIES_MAX)
			result = error_set(split->error, .number = E2BIG, .step = "split the directory", .object = path,
					   .cause = "it has too many entries, and a mount lies below it",
					   .remedy = "unmount what lies below it, or name it with --copy");
		else
			result = split_entry(split, path, lower, entry->d_name, is_writable, depth);
	}
	(void)closedir(directory);
	return result;
}

/* Takes over lower_fd. */
static int split_request(struct layers *layers, const struct layer_request *request, int lower_fd,
			 const struct layer_request *const *requests, size_t request_count, struct error *error)
{
	owned_fd lower = lower_fd;
	struct split split = { .layers = layers,
			       .request = request,
			       .requests = requests,
			       .request_count = request_count,
			       .error = error };
	int result = mountinfo_read(&split.mounts, error);

	if (result < 0)
		return result;
	if (request->purpose == LAYER_FOR_OTHER)
		result = error_mount_below(request->source ? request->source : request->path, &split.mounts,
					   request->path, error);
	else
		result = split_directory(&split, request->path, fd_take(&lower), request->purpose == LAYER_FOR_TREE, 1);
	layers->is_split = true;
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

static int open_request(struct layers *layers, const struct layer_request *request,
			const struct layer_request *const *requests, size_t count, struct error *error)
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
	if (request->purpose == LAYER_FOR_COPY) {
		add_layer(layers, LAYER_PLAIN, request->path, -1);
		return 0;
	}
	if (has_mounts_below(layers, lower_fd))
		return split_request(layers, request, fd_take(&lower_fd), requests, count, error);
	add_layer(layers, LAYER_OVERLAY, request->path, fd_take(&lower_fd));
	return 0;
}

/* A parent's path is a prefix of its child's and so comes first. Of two requests for one path the one with the lower
 * purpose is taken. */
static int compare_requests(const void *a, const void *b)
{
	const struct layer_request *one = *(const struct layer_request *const *)a;
	const struct layer_request *other = *(const struct layer_request *const *)b;
	int order = strcmp(one->path, other->path);

	return order ? order : (int)one->purpose - (int)other->purpose;
}

int layers_open(struct layers *layers, const struct layer_request *requests, size_t count,
		const struct layers_skip *skip, enum layers_place_of_making made, struct error *error)
{
	const struct layer_request **sorted = calloc(count + 1, sizeof(*sorted));
	int result = 0;

	if (!sorted)
		abort();

	*layers = (struct layers){ .skip = *skip, .made = made };
	for (size_t i = 0; i < count; i++)
		sorted[i] = &requests[i];
	qsort(sorted, count, sizeof(*sorted), compare_requests);
	for (size_t i = 0; i < count && result == 0; i++) {
		if (i > 0 && text_equal(sorted[i]->path, sorted[i - 1]->path))
			continue;
		result = open_request(layers, sorted[i], sorted, count, error);
	}
	free(sorted);
	return result;
}

/* The merged root takes mode and times from the upper directory: they shall be the lower one's.
 * @return 1: it is new, 0: it was there, or -errno */
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
	return is_new;
}

struct frame {
	const struct layers *layers;
	const struct layer *layer;
};

/* The entries of a frame that no layer shows: symlinks, and files where the worker is to change them. */
static int take_frame_entry(void *data, const struct tree_entry *entry, struct error *error)
{
	const struct frame *frame = data;
	owned_text path = NULL;
	const struct layer *layer;

	(void)error;
	if (entry->path[0] == '\0')
		return TREE_TAKE;
	path = path_join(frame->layer->path, entry->path);
	layer = layers_find(frame->layers, path);
	if (layers_skips(&frame->layers->skip, path) || (layer && text_equal(layer->path, path)))
		return TREE_SKIP;
	if (S_ISLNK(entry->status->st_mode) || S_ISFIFO(entry->status->st_mode))
		return TREE_TAKE;
	return S_ISREG(entry->status->st_mode) && frame->layer->takes_files ? TREE_TAKE : TREE_SKIP;
}

static int fill_frame(const struct layers *layers, const struct layer *layer, struct error *error)
{
	struct frame frame = { .layers = layers, .layer = layer };
	const struct tree_copy_options options = { .bytes_max = SPLIT_FILE_BYTES_MAX,
						   .force_access = false,
						   .filter = take_frame_entry,
						   .attribute_filter = layer_plain_attribute,
						   .filter_data = &frame };
	int result = tree_copy(&options, layer->lower_fd, ".", layer->upper_fd, ".", NULL, error);

	if (result == -EFBIG)
		return error_set(error, .number = EFBIG, .step = "split the directory", .object = layer->path,
				 .cause =
					 "a mount lies below it, and its files, which have to be copied then, are more "
					 "than 64 MiB",
				 .remedy = "unmount what lies below it, or name the directory itself with --copy");
	if (result < 0)
		return error_context(error, "%s", path_name(layer->path));
	return 0;
}

/* overlayfs refuses the work directory of an earlier volatile mount, and left a closed directory in it (finding 10). */
static int make_work(int base_fd, size_t number, struct layer *layer, struct error *error)
{
	char name[32];
	int result;

	(void)snprintf(name, sizeof(name), "work-%zu", number);
	if (mkdirat(base_fd, name, 0700) < 0) {
		if (errno != EEXIST)
			return error_set(error, .number = errno, .step = "make the work directory",
					 .object = layer->path);
		result = tree_remove(base_fd, name, error);
		if (result < 0)
			return result;
		if (mkdirat(base_fd, name, 0700) < 0)
			return error_set(error, .number = errno, .step = "make the work directory",
					 .object = layer->path);
	}
	layer->work_fd = openat(base_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (layer->work_fd < 0)
		return error_set(error, .number = errno, .step = "open the work directory", .object = layer->path);
	return 0;
}

/* What the layers are, one after another: kind, path, each ended by a NUL. */
static void write_names(const struct layers *layers, struct text_buffer *text)
{
	for (size_t i = 0; i < layers->count; i++) {
		text_buffer_format(text, "%d", (int)layers->items[i].kind);
		text_buffer_add(text, "", 1);
		text_buffer_add(text, layers->items[i].path, strlen(layers->items[i].path) + 1);
	}
}

int layers_write_names(const struct layers *layers, int base_fd, struct error *error)
{
	owned_buffer text = { 0 };
	owned_fd fd = openat(base_fd, LAYERS_NAMES, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int result = fd < 0 ? -errno : 0;

	write_names(layers, &text);
	if (result == 0)
		result = fd_write_all(fd, text.bytes ? text.bytes : "", text.length);
	if (result < 0)
		return error_set(error, .number = -result, .step = "note the layers", .object = LAYERS_NAMES);
	return 0;
}

/* A layer's number is its place in the list, which changes with the mounts below a tree: then upper-3 of the earlier
 * time would become that of another directory. @return 1 the same, 0 none are noted there, or -errno */
static int check_names(const struct layers *layers, int base_fd, const struct error_parts *stale, struct error *error)
{
	owned_buffer wanted = { 0 };
	owned_text found = NULL;
	size_t length;
	int result = fd_read_file(base_fd, LAYERS_NAMES, 16 << 20, &found, &length);

	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return error_set(error, .number = -result, .step = "read the layers", .object = LAYERS_NAMES);
	write_names(layers, &wanted);
	if (length == wanted.length && (length == 0 || memcmp(found, wanted.bytes, length) == 0))
		return 1;
	return error_set_parts(error, *stale);
}

static int check_kept_names(const struct layers *layers, int base_fd, struct error *error)
{
	static const struct error_parts stale = {
		.number = ESTALE,
		.step = "take the kept layers",
		.cause = "the worker's directories are made up of other layers now: a mount came to lie below them, or "
			 "went",
		.remedy = "mount or unmount what was there at the time ('sbx inspect' shows it)",
	};

	return check_names(layers, base_fd, &stale, error);
}

/* ---- the seed ---- */

/* Whether the seed's directory lies in this layer's lower one: overlayfs refuses to stack it on that then. */
static bool lies_in_lower(const struct layer *layer, int seed_fd)
{
	owned_text seed = NULL;
	owned_text lower = NULL;

	return path_of_fd(seed_fd, &seed) == 0 && path_of_fd(layer->lower_fd, &lower) == 0 &&
	       path_is_below(seed, lower);
}

int layers_take_seed(struct layers *layers, int seed_fd, enum seed_use use, struct error *error)
{
	static const struct error_parts stale = {
		.number = ESTALE,
		.step = "take the seed",
		.cause = "it was made of other directories: of another tree or HOME, with other databases or volumes, "
			 "or a mount came to lie below them since",
		.remedy = "make the seed anew",
	};
	int result = check_names(layers, seed_fd, &stale, error);

	if (result == 0)
		return error_set(error, .number = EBADMSG, .step = "take the seed",
				 .cause = "it does not say of which directories it was made");
	for (size_t i = 0; i < layers->count && result > 0; i++) {
		struct layer *layer = &layers->items[i];
		char name[32];

		if (layer->kind == LAYER_BIND)
			continue;
		(void)snprintf(name, sizeof(name), "upper-%zu", i);
		layer->seed_fd = openat(seed_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (layer->seed_fd < 0)
			return error_set(error, .number = errno == ENOENT ? EBADMSG : errno, .step = "take the seed",
					 .object = layer->path,
					 .cause = errno == ENOENT ? "it lacks this layer" : NULL);
		layer->is_stacked =
			use == SEED_STARTS && layer->kind == LAYER_OVERLAY && !lies_in_lower(layer, layer->seed_fd);
	}
	return result < 0 ? result : 0;
}

size_t layers_list_directories(const struct layer *layer, int ret_fds[static 3])
{
	size_t count = 0;

	if (layer->upper_fd >= 0)
		ret_fds[count++] = layer->upper_fd;
	if (layer->seed_fd >= 0)
		ret_fds[count++] = layer->seed_fd;
	if (layer->lower_fd >= 0)
		ret_fds[count++] = layer->lower_fd;
	return count;
}

/* All of it, for a layer that does not show the seed from below. Where a kept worker's is already it stays. */
static int copy_seed(const struct layer *layer, int base_fd, const char *name, struct error *error)
{
	static const struct layer_copy_options options = { 0 };
	struct stat status;
	int result;

	if (fstatat(base_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	result = layer_copy(&options, layer->seed_fd, base_fd, name, NULL, error);
	return result < 0 ? error_context(error, "seed of %s", layer->path) : 0;
}

static int prepare_layer(struct layers *layers, int base_fd, size_t number, struct error *error)
{
	struct layer *layer = &layers->items[number];
	char name[32];
	int result;

	(void)snprintf(name, sizeof(name), "upper-%zu", number);
	result = layer->seed_fd >= 0 && !layer->is_stacked ? copy_seed(layer, base_fd, name, error) : 0;
	if (result < 0)
		return result;
	result = make_upper(base_fd, name, layer->is_stacked ? layer->seed_fd : layer->lower_fd, &layer->upper_fd);
	if (result < 0)
		return error_set(error, .number = -result, .step = "make the writable layer", .object = layer->path);
	if (layer->kind == LAYER_OVERLAY)
		return make_work(base_fd, number, layer, error);
	return result == 1 && layer->lower_fd >= 0 ? fill_frame(layers, layer, error) : 0;
}

int layers_prepare(struct layers *layers, int base_fd, struct error *error)
{
	int result = check_kept_names(layers, base_fd, error);

	for (size_t i = 0; i < layers->count && result >= 0; i++)
		if (layers->items[i].kind != LAYER_BIND)
			result = prepare_layer(layers, base_fd, i, error);
	return result < 0 ? result : 0;
}

void layers_remove_work(int base_fd)
{
	struct dirent *entry;
	owned_fd read_fd = openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = read_fd < 0 ? NULL : fdopendir(read_fd);

	if (!directory)
		return;
	(void)fd_take(&read_fd); /* closedir's now */
	while ((entry = readdir(directory)) != NULL)
		if (text_starts_with(entry->d_name, "work-"))
			(void)tree_remove(base_fd, entry->d_name, NULL);
	(void)closedir(directory);
}

/* What lies below the writable layer, at one directory: the seed's, then the lower one; -1: none there. */
struct below {
	int seed_fd;
	int lower_fd;
};

static void below_close(struct below *below)
{
	fd_close(&below->seed_fd);
	fd_close(&below->lower_fd);
}

/* @return 0 or -errno */
static int below_open(const struct layer *layer, struct below *ret_below)
{
	if (layer->is_stacked) {
		ret_below->seed_fd = fd_duplicate(layer->seed_fd);
		if (ret_below->seed_fd < 0)
			return ret_below->seed_fd;
	}
	if (layer->lower_fd >= 0) {
		ret_below->lower_fd = fd_duplicate(layer->lower_fd);
		if (ret_below->lower_fd < 0)
			return ret_below->lower_fd;
	}
	return 0;
}

/* @return 0, or -errno: -ENOENT where it is not there, or the seed says that it was removed */
static int below_look(const struct below *below, const char *name, struct stat *ret_status)
{
	if (below->seed_fd >= 0 && fstatat(below->seed_fd, name, ret_status, AT_SYMLINK_NOFOLLOW) == 0)
		return format_is_whiteout(ret_status) ? -ENOENT : 0;
	if (below->lower_fd < 0)
		return -ENOENT;
	return fstatat(below->lower_fd, name, ret_status, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* What is there no directory ends here: the other one may go on. @return 0 or -errno */
static int below_step(int *fd, const char *name)
{
	int next = *fd < 0 ? -1 : openat(*fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int number = *fd < 0 || next >= 0 ? 0 : errno;

	fd_close(fd);
	*fd = next;
	return number == ENOENT || number == ENOTDIR || number == ELOOP ? 0 : -number;
}

/* Goes down into a directory. @return 0 or -errno */
static int below_enter(struct below *below, const char *name)
{
	struct stat status;
	bool is_in_seed = below->seed_fd >= 0 && fstatat(below->seed_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
	int result = below_step(&below->seed_fd, name);

	if (result == 0)
		result = below_step(&below->lower_fd, name);
	if (result == 0 && is_in_seed) {
		owned_fd fd = below->seed_fd < 0 ? -1 : openat(below->seed_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || format_is_opaque(fd))
			fd_close(&below->lower_fd);
	}
	return result;
}

/* One step of layers_place(): the directory `name` of the writable layer, made as the one below is. */
static int descend(int *upper_fd, struct below *below, const char *name)
{
	struct stat status;
	int next;

	if (below_look(below, name, &status) < 0) {
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
	return below_enter(below, name);
}

int layers_place(const struct layers *layers, const char *path, int *ret_parent_fd, const char **ret_name)
{
	const struct layer *layer = layers_find(layers, path);
	__attribute__((cleanup(below_close))) struct below below = { -1, -1 };
	owned_fd upper_fd = -1;
	const char *rest;
	int result;

	if (!layer || layer->kind == LAYER_BIND || text_equal(path, layer->path))
		return -ENOENT;
	upper_fd = fd_duplicate(layer->upper_fd);
	if (upper_fd < 0)
		return upper_fd;
	result = below_open(layer, &below);
	if (result < 0)
		return result;
	rest = path_below(path, layer->path);
	for (;;) {
		size_t length = strcspn(rest, "/");
		char name[NAME_MAX + 1];

		if (rest[length] == '\0')
			break;
		if (length > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, rest, length);
		name[length] = '\0';
		result = descend(&upper_fd, &below, name);
		if (result < 0)
			return result;
		rest += length + 1;
	}
	*ret_parent_fd = fd_take(&upper_fd);
	*ret_name = rest;
	return 0;
}

/* @return 0, 1: something of the worker's own is there, which hides what lies below as well, or -errno */
static int make_whiteout(int parent_fd, const char *name)
{
	struct stat status;

	/* A character device 0:0 needs no privilege since 5.8 (vfs_mknod(): "WHITEOUT_DEV"). */
	if (mknodat(parent_fd, name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	return fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && format_is_whiteout(&status) ? 0 : 1;
}

/* Whether the seed removed or replaced something on the way: then what lies below it is hidden by that, and what is
 * there was written in the world that the seed was made of. */
static bool seed_covers(const struct layer *layer, const char *path)
{
	owned_fd fd = fd_duplicate(layer->seed_fd);
	owned_text copy = text_duplicate(path);
	char *rest = copy;

	for (char *name = strsep(&rest, "/"); name; name = strsep(&rest, "/")) {
		owned_fd parent_fd = fd_take(&fd);
		struct stat status;

		if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return false;
		fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || format_is_opaque(fd))
			return true;
	}
	return false;
}

static int error_hide(int number, const char *path, struct error *error)
{
	return error_set(error, .number = number, .step = "hide the credentials", .object = path);
}

static const char *const listed_directories[] = {
	[LISTED_ROOT] = ".", [LISTED_CONFIG] = ".config", [LISTED_SHARE] = ".local/share"
};

/* FNV-1a, as an index into the bits. */
static unsigned hash_name(const char *name, size_t length)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	return (hash ^ hash >> 16) & (64 * 64 - 1);
}

static void read_names(const struct layer *layer, const char *path, struct layer_names *names)
{
	owned_fd fd = path_open(layer->lower_fd, path, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	size_t left = NAMES_MAX;
	const struct dirent *entry = NULL;

	names->is_read = true;
	/* It is not there, and no symlink was met on the way. */
	names->is_whole = fd == -ENOENT;
	if (!directory)
		return;
	(void)fd_take(&fd); /* closedir's now */
	errno = 0;
	while (left-- > 0 && (entry = readdir(directory)) != NULL) {
		unsigned bit = hash_name(entry->d_name, strlen(entry->d_name));

		names->bits[bit / 64] |= UINT64_C(1) << bit % 64;
	}
	names->is_whole = !entry && errno == 0;
	(void)closedir(directory);
}

/* Whether a glance says so. A start asks for some 140 names, of which hardly any exist: a directory read once is
 * cheaper than a look at each. Only where overlayfs takes the directory, which it does if names mean what they spell
 * (no folding of case, ovl_dentry_weird() in fs/overlayfs/util.c). */
static bool is_surely_absent(struct layer *layer, const char *path)
{
	enum layer_listed listed = LISTED_ROOT;
	struct layer_names *names;
	unsigned bit;

	if (layer->kind != LAYER_OVERLAY)
		return false;
	for (enum layer_listed i = LISTED_CONFIG; i < LISTED_COUNT; i++)
		if (path_is_below(path, listed_directories[i]) && path_below(path, listed_directories[i])[0] != '\0') {
			path = path_below(path, listed_directories[i]);
			listed = i;
		}
	names = &layer->names[listed];
	if (!names->is_read)
		read_names(layer, listed_directories[listed], names);
	bit = hash_name(path, strcspn(path, "/"));
	return names->is_whole && !(names->bits[bit / 64] & UINT64_C(1) << bit % 64);
}

/* Follows one path by hand: where a component is a symlink, that link is hidden and the path it stood for comes next.
 */
static int hide_one(struct layers *layers, const char *path, char **ret_next, struct error *error)
{
	struct layer *layer = layers_find(layers, path);
	const char *rest;

	if (!layer || layer->kind == LAYER_BIND) {
		text_list_add(&layers->outside, path);
		return 0;
	}
	if (layer->lower_fd < 0 || text_equal(path, layer->path))
		return 0;
	rest = path_below(path, layer->path);
	if (is_surely_absent(layer, rest))
		return 0;
	for (const char *end = rest;; end++) {
		owned_text relative = NULL;
		owned_text partial = NULL;
		owned_fd parent_fd = -1;
		struct stat status;
		const char *name;
		int result;

		end = strchrnul(end, '/');
		relative = strndup(rest, (size_t)(end - rest));
		if (!relative)
			abort();
		if (fstatat(layer->lower_fd, relative, &status, AT_SYMLINK_NOFOLLOW) < 0) {
			/* What does not exist or cannot be reached need not be hidden. Anything else may hide it from
			 * us and not from the payload. */
			if (errno == ENOENT || errno == ENOTDIR || errno == EACCES)
				return 0;
			return error_hide(errno, path, error);
		}
		if (*end != '\0' && !S_ISLNK(status.st_mode))
			continue;
		partial = path_join(layer->path, relative);
		if (S_ISLNK(status.st_mode)) {
			char target[PATH_MAX];
			ssize_t length = readlinkat(layer->lower_fd, relative, target, sizeof(target) - 1);

			if (length < 0)
				return error_hide(errno, partial, error);
			if (length > 0) {
				owned_text directory = path_parent(partial);
				owned_text resolved = NULL;

				target[length] = '\0';
				resolved = path_normal(directory, target);
				*ret_next = path_join(resolved, *end ? end + 1 : "");
			}
		}
		if (layer->kind == LAYER_PLAIN)
			return 0; /* who filled the frame left it out */
		if (layer->is_stacked && seed_covers(layer, relative))
			return 0;
		result = layers_place(layers, partial, &parent_fd, &name);
		/* A kept worker removed or replaced a directory on the way: what lies below is hidden by that. */
		if (result == -ENOTDIR || result == -ELOOP)
			return 0;
		if (result == 0)
			result = make_whiteout(parent_fd, name);
		if (result < 0)
			return error_hide(-result, partial, error);
		if (result == 0)
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

/* The kernel says EINVAL for all that it does not like of a lower directory, and the reason to its log only. */
static int error_overlay(const struct layer *layer, int number, struct error *error)
{
	struct statfs status;
	const char *cause = NULL;
	const char *remedy = NULL;

	if (number == EINVAL && fstatfs(layer->lower_fd, &status) == 0 && status.f_type == OVERLAYFS_SUPER_MAGIC) {
		cause = "it lies on stacked overlays already, and the kernel stacks no more than two";
		remedy = "put the directory on a volume or a disk, or copy it with --copy";
	}
	if (number == ELOOP && layer->is_stacked) {
		cause = "the seed lies in the very directory that it changes";
		remedy = "keep seeds outside of HOME and the tree";
	}
	return error_set(error, .number = number, .step = "mount the overlay", .object = layer->path, .cause = cause,
			 .remedy = remedy);
}

static int mount_overlay(struct layer *layer, int target_fd, struct error *error)
{
	char target[FD_PROC_PATH_SIZE];
	char options[256];
	char seed[FD_PROC_PATH_SIZE + 1] = "";

	if (layer->is_stacked)
		(void)snprintf(seed, sizeof(seed), "/proc/self/fd/%d:", layer->seed_fd);
	/* Descriptors for names: no byte of a path can break the option string, no path is too long, and the host's
	 * paths do not show in mountinfo. They were opened after the namespace was made, else: EINVAL (finding 9). */
	(void)snprintf(options, sizeof(options),
		       "lowerdir=%s/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,"
		       "userxattr,volatile,index=off,xino=off",
		       seed, layer->lower_fd, layer->upper_fd, layer->work_fd);
	if (mount("overlay", fd_proc_path(target_fd, target), "overlay", MS_NOSUID, options) < 0)
		return error_overlay(layer, errno, error);
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
