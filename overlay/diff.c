/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. Each layer has its own way down (base/descent.h); a directory is in sight of two views: the new one, of
 * all layers, and the old one, of the lower layers. A view is a set of layers, one bit each, as overlayfs merges them:
 * from the highest down, cut off by a whiteout, an opaque directory or anything that is no directory. So an entry is
 * looked up once in each view, and the difference of the two results is the answer. */
#include "overlay/diff.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/content.h"
#include "base/descent.h"
#include "base/fd.h"
#include "overlay/format.h"

#define STEP_DIFF "compare"

typedef uint32_t view; /* bit i: layer i */
static_assert(DIFF_LAYERS_MAX <= 32, "a view has a bit for each layer");

/* A directory on the way. */
struct place {
	view new;
	view old;
	view entered;		/* layers whose way ends here */
	struct text_list names; /* sorted, each once */
	size_t next;
	size_t path_length;
};

struct diff {
	const struct diff_request *request;
	diff_callback *callback;
	void *data;
	struct descent ways[DIFF_LAYERS_MAX];
	struct place *places;
	size_t depth;
	size_t capacity;
	struct text_buffer path; /* of the entry that is looked at */
	struct diff_result result;
	struct error *error;
};

/* What a view shows under a name. */
struct found {
	int layer; /* -1: nothing */
	struct stat status;
	struct timespec changed; /* of what was met first, be it a whiteout; zero: nothing was */
	view directories;	 /* of a directory: the layers that make it up */
};

static const char *path_of(const struct diff *diff)
{
	return diff->path.bytes ? diff->path.bytes : "";
}

static int fail(struct diff *diff, int result)
{
	return error_set(diff->error, .number = -result, .step = STEP_DIFF, .object = path_of(diff),
			 .cause = result == -ESTALE ? "it was moved meanwhile" : NULL);
}

static bool has(view layers, size_t layer)
{
	return layers >> layer & 1;
}

static view upper_layers(const struct diff *diff)
{
	return ((view)1 << diff->request->upper_count) - 1;
}

static bool is_mark(const struct diff *diff)
{
	const struct text_list *marks = diff->request->marks;

	for (size_t i = 0; marks && i < marks->count; i++)
		if (text_equal(marks->items[i], path_of(diff)))
			return true;
	return false;
}

/* -- looking up ------------------------------------------------------------------------------------------------------
 */

static bool is_opaque_below(const struct descent *way, const char *name)
{
	owned_fd fd = descent_open(way, name, O_RDONLY | O_DIRECTORY);

	return fd >= 0 && format_is_opaque(fd);
}

static struct found look_up(const struct diff *diff, view layers, const char *name)
{
	struct found found = { .layer = -1 };

	for (size_t i = 0; i < diff->request->layer_count; i++) {
		struct stat status;

		if (!has(layers, i) || fstatat(descent_fd(&diff->ways[i]), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (found.layer < 0)
			found.changed = status.st_ctim;
		if (format_is_whiteout(&status) || (found.layer >= 0 && !S_ISDIR(status.st_mode)))
			break;
		if (found.layer < 0) {
			found.layer = (int)i;
			found.status = status;
		}
		if (!S_ISDIR(status.st_mode))
			break;
		found.directories |= (view)1 << i;
		if (is_opaque_below(&diff->ways[i], name))
			break;
	}
	return found;
}

/* -- comparing -------------------------------------------------------------------------------------------------------
 */

/* The names of what programs in the worker can see. */
static void list_attributes(int fd, struct text_list *ret_names)
{
	owned_text names = malloc(XATTR_LIST_MAX);
	ssize_t size = names ? flistxattr(fd, names, XATTR_LIST_MAX) : 0;

	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1)
		if (text_starts_with(names + at, "user.") && format_is_visible(names + at))
			text_list_add(ret_names, names + at);
}

static bool has_attribute(int fd, const char *attribute, const char *value, ssize_t size)
{
	owned_text other = malloc(XATTR_SIZE_MAX);

	return other && fgetxattr(fd, attribute, other, XATTR_SIZE_MAX) == size &&
	       memcmp(value, other, (size_t)size) == 0;
}

/* All layers escape alike, so names need no translation. */
static bool has_same_attributes(int a_fd, int b_fd)
{
	owned_list a = { 0 };
	owned_list b = { 0 };

	list_attributes(a_fd, &a);
	list_attributes(b_fd, &b);
	if (a.count != b.count)
		return false;
	for (size_t i = 0; i < a.count; i++) {
		owned_text value = malloc(XATTR_SIZE_MAX);
		ssize_t size = value ? fgetxattr(a_fd, a.items[i], value, XATTR_SIZE_MAX) : -1;

		if (size >= 0 && !has_attribute(b_fd, a.items[i], value, size))
			return false;
	}
	return true;
}

/* What cannot be opened cannot be told to be the same: cautiously, it is not. */
static bool is_same_open(const struct descent *a, const struct descent *b, const char *name, bool is_directory)
{
	int flags = O_RDONLY | O_NOATIME | (is_directory ? O_DIRECTORY : 0);
	owned_fd a_fd = descent_open(a, name, flags);
	owned_fd b_fd = descent_open(b, name, flags);

	if (a_fd < 0 || b_fd < 0)
		return is_directory; /* its bits are the same; what is in it is another question */
	return has_same_attributes(a_fd, b_fd) && (is_directory || content_equal(a_fd, b_fd) == 1);
}

static bool is_same_link(int a_dirfd, int b_dirfd, const char *name)
{
	char a[PATH_MAX];
	char b[PATH_MAX];
	ssize_t a_length = readlinkat(a_dirfd, name, a, sizeof(a));

	return a_length >= 0 && readlinkat(b_dirfd, name, b, sizeof(b)) == a_length &&
	       memcmp(a, b, (size_t)a_length) == 0;
}

static bool has_same_times(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool is_same(const struct diff *diff, const struct found *new, const struct found *old, const char *name)
{
	const struct descent *new_way = &diff->ways[new->layer];
	const struct descent *old_way = &diff->ways[old->layer];

	if (new->status.st_mode != old->status.st_mode)
		return false;
	if (diff->request->with_times && !has_same_times(&new->status, &old->status))
		return false;
	switch (new->status.st_mode &S_IFMT) {
	case S_IFREG:
		return new->status.st_size == old->status.st_size &&is_same_open(new_way, old_way, name, false);
	case S_IFDIR:
		return is_same_open(new_way, old_way, name, true);
	case S_IFLNK:
		return is_same_link(descent_fd(new_way), descent_fd(old_way), name);
	case S_IFCHR:
	case S_IFBLK:
		return new->status.st_rdev == old->status.st_rdev;
	default:
		return true;
	}
}

/* -- walking ---------------------------------------------------------------------------------------------------------
 */

static int tell(struct diff *diff, enum diff_kind kind, const struct found *new, const struct found *old)
{
	const struct stat *status = kind == DIFF_DELETED ? &old->status : &new->status;
	struct diff_entry entry = {
		.kind = kind,
		.path = path_of(diff),
		.mode = status->st_mode,
		.bytes = S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0,
		.changed_ns = clock_to_ns(&new->changed),
		.status = new->layer < 0 ? NULL : &new->status,
		.before = old->layer < 0 ? NULL : &old->status,
		.before_layer = old->layer < 0 ? 0 : (size_t)old->layer,
	};

	diff->result.added += kind == DIFF_ADDED;
	diff->result.changed += kind == DIFF_CHANGED;
	diff->result.deleted += kind == DIFF_DELETED;
	return diff->callback(diff->data, &entry);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(struct text_list *names)
{
	size_t kept = 0;

	if (names->count < 2)
		return;
	qsort(names->items, names->count, sizeof(*names->items), compare_names);
	for (size_t i = 0; i < names->count; i++) {
		if (kept > 0 && strcmp(names->items[kept - 1], names->items[i]) == 0)
			free(names->items[i]);
		else
			names->items[kept++] = names->items[i];
	}
	names->count = kept;
	names->items[kept] = NULL;
}

/* Lists the names that can differ: those of the upper layers and, where these hide lower ones, the hidden. */
static void list_names(struct diff *diff, struct place *place)
{
	view listed = (place->new &upper_layers(diff)) | (place->old & ~place->new);

	for (size_t i = 0; i < diff->request->layer_count; i++) {
		const char *name;
		int more = 0;

		while (has(listed & place->entered, i) && (more = descent_next(&diff->ways[i], &name)) > 0)
			text_list_add(&place->names, name);
		diff->result.unreadable += more < 0;
	}
	sort_names(&place->names);
}

static struct place *add_place(struct diff *diff)
{
	if (diff->depth == diff->capacity) {
		size_t capacity = diff->capacity ? 2 * diff->capacity : 16;

		diff->places = realloc(diff->places, capacity * sizeof(*diff->places));
		if (!diff->places)
			abort();
		diff->capacity = capacity;
	}
	diff->places[diff->depth] = (struct place){ .path_length = diff->path.length };
	return &diff->places[diff->depth++];
}

static void enter(struct diff *diff, view new, view old, const char *name)
{
	struct place *place = add_place(diff);

	for (size_t i = 0; i < diff->request->layer_count; i++) {
		if (!has(new | old, i))
			continue;
		if (descent_enter(&diff->ways[i], name, NULL) == 0)
			place->entered |= (view)1 << i;
		else
			diff->result.unreadable++;
	}
	place->new = new & place->entered;
	place->old = old & place->entered;
	list_names(diff, place);
}

static int leave(struct diff *diff)
{
	struct place *place = &diff->places[diff->depth - 1];
	view entered = place->entered;

	text_list_release(&place->names);
	diff->depth--;
	for (size_t i = 0; diff->depth > 0 && i < diff->request->layer_count; i++) {
		int result = has(entered, i) ? descent_leave(&diff->ways[i], NULL) : 0;

		if (result < 0)
			return fail(diff, result);
	}
	return 0;
}

static int compare_both(struct diff *diff, const struct found *new, const struct found *old, const char *name)
{
	const struct diff_request *request = diff->request;

	if (request->is_known && request->is_known(diff->data, &new->status))
		return 0;
	if (!is_same(diff, new, old, name))
		return tell(diff, DIFF_CHANGED, new, old);
	if (request->is_same)
		request->is_same(diff->data, &new->status);
	return 0;
}

static int compare_entry(struct diff *diff, const struct place *place, const char *name)
{
	struct found new = look_up(diff, place->new, name);
	struct found old = look_up(diff, place->old, name);
	int result = 0;

	if (old.layer >= 0 && is_mark(diff))
		old = (struct found){ .layer = -1 };
	if (new.layer >= 0 && !has(upper_layers(diff), (size_t) new.layer))
		return 0;
	if (new.layer < 0 && old.layer < 0)
		return 0;
	if (new.layer < 0)
		result = tell(diff, DIFF_DELETED, &new, &old);
	else if (old.layer < 0)
		result = tell(diff, DIFF_ADDED, &new, &old);
	else
		result = compare_both(diff, &new, &old, name);
	if (result == 0 &&
	    ((new.layer >= 0 && S_ISDIR(new.status.st_mode)) || (diff->request->with_what_was_gone && old.directories)))
		enter(diff, new.directories, old.directories, name);
	return result;
}

static void set_path(struct diff *diff, const struct place *place, const char *name)
{
	diff->path.length = place->path_length;
	if (place->path_length > 0)
		text_buffer_add(&diff->path, "/", 1);
	text_buffer_add_text(&diff->path, name);
}

static int walk(struct diff *diff)
{
	while (diff->depth > 0) {
		struct place *place = &diff->places[diff->depth - 1];
		int result;

		if (place->next == place->names.count) {
			result = leave(diff);
		} else {
			const char *name = place->names.items[place->next++];

			set_path(diff, place, name);
			result = compare_entry(diff, place, name);
		}
		if (result != 0)
			return result;
	}
	return 0;
}

static int start(struct diff *diff)
{
	struct place *place = add_place(diff);

	for (size_t i = 0; i < diff->request->layer_count; i++) {
		int result = descent_start(&diff->ways[i], diff->request->layers[i], DESCENT_UNREADABLE);

		if (result < 0)
			return fail(diff, result);
		place->entered |= (view)1 << i;
	}
	place->new = place->entered;
	place->old = place->entered & ~upper_layers(diff);
	if (diff->request->is_first_lower_held)
		place->new &= ~((view)1 << diff->request->upper_count);
	list_names(diff, place);
	return 0;
}

static void diff_release(struct diff *diff)
{
	for (size_t i = 0; i < diff->depth; i++)
		text_list_release(&diff->places[i].names);
	for (size_t i = 0; i < DIFF_LAYERS_MAX; i++)
		descent_end(&diff->ways[i]);
	free(diff->places);
	text_buffer_release(&diff->path);
}

int diff_layers(const struct diff_request *request, diff_callback *callback, void *data, struct diff_result *ret,
		struct error *error)
{
	__attribute__((cleanup(diff_release))) struct diff diff = {
		.request = request, .callback = callback, .data = data, .error = error
	};
	int result;

	if (request->layer_count > DIFF_LAYERS_MAX || request->upper_count > request->layer_count)
		return error_set(error, .number = EINVAL, .step = STEP_DIFF, .cause = "there are too many layers");
	result = start(&diff);
	if (result == 0)
		result = walk(&diff);
	if (ret)
		*ret = diff.result;
	return result;
}
