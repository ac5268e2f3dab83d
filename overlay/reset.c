/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/reset.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/tree.h"
#include "overlay/copy.h"
#include "overlay/format.h"

#define STEP_RESET "put back"

enum { PIECE = 256 << 10 };

/* ---- notes ---- */

void reset_notes_release(struct reset_notes *notes)
{
	free(notes->items);
	*notes = (struct reset_notes){ 0 };
}

static int compare_notes(const void *a, const void *b)
{
	const struct reset_note *one = a;
	const struct reset_note *other = b;

	return (one->inode > other->inode) - (one->inode < other->inode);
}

static void sort_notes(struct reset_notes *notes)
{
	if (notes->count > 1)
		qsort(notes->items, notes->count, sizeof(*notes->items), compare_notes);
}

static bool has_note(const struct reset_notes *notes, const struct stat *status)
{
	struct reset_note wanted = { .inode = status->st_ino };
	const struct reset_note *found =
		notes->count ? bsearch(&wanted, notes->items, notes->count, sizeof(wanted), compare_notes) : NULL;

	return found && found->changed_ns == clock_to_ns(&status->st_ctim);
}

static void add_note(struct reset_notes *notes, const struct stat *status)
{
	if (notes->count == notes->capacity) {
		notes->capacity = notes->capacity ? 2 * notes->capacity : 64;
		notes->items = reallocarray(notes->items, notes->capacity, sizeof(*notes->items));
		if (!notes->items)
			abort();
	}
	notes->items[notes->count++] =
		(struct reset_note){ .inode = status->st_ino, .changed_ns = clock_to_ns(&status->st_ctim) };
}

int reset_notes_read(int directory_fd, const char *name, struct reset_notes *ret_notes)
{
	owned_text bytes = NULL;
	size_t size = 0;
	int result = fd_read_file(directory_fd, name, 0, &bytes, &size);

	*ret_notes = (struct reset_notes){ 0 };
	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return result;
	if (size == 0 || size % sizeof(struct reset_note) != 0)
		return 0;
	ret_notes->items = malloc(size);
	if (!ret_notes->items)
		abort();
	memcpy(ret_notes->items, bytes, size);
	ret_notes->count = ret_notes->capacity = size / sizeof(struct reset_note);
	return 0;
}

int reset_notes_write(int directory_fd, const char *name, const struct reset_notes *notes)
{
	owned_fd fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd_write_all(fd, (const char *)notes->items, notes->count * sizeof(*notes->items));
}

/* ---- the plan ---- */

/* One difference, in the order in which diff_layers() tells them: a directory before what is in it. */
struct step {
	char *path;
	bool is_there;
	bool was_there;
	struct stat status;
	struct stat before;
	int before_fd; /* the layer that shows how it was, borrowed */
};

struct reset_plan {
	const struct reset_layer *layer;
	struct step *steps;
	size_t count;
	size_t capacity;

	/* While it is made. */
	const struct reset_notes *known;
	struct reset_notes *notes;
	int64_t tick_ns;	  /* the kernel's time when the walk began */
	char *left;		  /* the last directory that is left alone; what is in it comes next */
	char *removed;		  /* the last directory that is gone as a whole */
	uint64_t removed_entries; /* in it */
	uint64_t differences;
	struct error *error;
};

void reset_plan_free(struct reset_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->count; i++)
		free(plan->steps[i].path);
	free(plan->steps);
	free(plan->left);
	free(plan->removed);
	free(plan);
}

static bool is_only_time(const struct step *step)
{
	return step->is_there && step->was_there && S_ISDIR(step->status.st_mode) &&
	       step->status.st_mode == step->before.st_mode;
}

bool reset_plan_is_empty(const struct reset_plan *plan)
{
	return plan->count == 0;
}

static bool lies_below(const char *path, const char *directory)
{
	size_t length = directory ? strlen(directory) : 0;

	return directory && strncmp(path, directory, length) == 0 && path[length] == '/';
}

static int refuse(const char *path, const char *cause, struct error *error)
{
	return error_set(error, .number = ENOTSUP, .step = STEP_RESET, .object = path, .cause = cause,
			 .remedy = "a new world is as it was: --restart");
}

/* Of a layer that a program of the world wrote, and not of the tree: there a copy-up tears hard links in any world. */
static bool is_own_link(const struct reset_plan *plan, const struct diff_entry *entry)
{
	return entry->before && !S_ISDIR(entry->before->st_mode) && entry->before->st_nlink > 1 &&
	       entry->before_layer + 1 < plan->layer->layer_count;
}

/* A process that has a directory which is gone as its working directory would not find back into a new one. */
static int check_lost(const struct reset_layer *layer, struct error *error)
{
	for (size_t i = 0; layer->lost && i < layer->lost->count; i++)
		for (size_t j = 1; j < layer->layer_count; j++) {
			owned_fd fd = path_open(layer->layers[j], layer->lost->items[i], O_PATH | O_DIRECTORY, 0,
						PATH_BENEATH);

			if (fd >= 0)
				return refuse(layer->lost->items[i],
					      "it is the working directory of a process, and was removed under it",
					      error);
		}
	return 0;
}

static int check_step(struct reset_plan *plan, const struct diff_entry *entry)
{
	if (is_own_link(plan, entry) && (!entry->status || entry->status->st_nlink != entry->before->st_nlink))
		return refuse(entry->path, "it was one of several names of a file, which are torn apart", plan->error);
	if (entry->status && entry->before)
		return 0;
	if (entry->status || !lies_below(entry->path, plan->removed)) {
		free(plan->removed);
		plan->removed = entry->status ? NULL : text_duplicate(entry->path);
		plan->removed_entries = 0;
	} else if (++plan->removed_entries > RESET_REMOVED_MAX) {
		return refuse(plan->removed, "it was removed, and held more than 1000 entries", plan->error);
	}
	return 0;
}

static void leave_alone(struct reset_plan *plan, const char *path)
{
	free(plan->left);
	plan->left = text_duplicate(path);
}

/* What is not to be put back: a socket is of no use to anybody but to the server that made it. */
static bool is_left(struct reset_plan *plan, const struct diff_entry *entry)
{
	if (lies_below(entry->path, plan->left))
		return true;
	if (plan->layer->is_left && plan->layer->is_left(plan->layer->data, entry)) {
		leave_alone(plan, entry->path);
		return true;
	}
	return entry->status && !entry->before && S_ISSOCK(entry->status->st_mode);
}

static int take_difference(void *data, const struct diff_entry *entry)
{
	struct reset_plan *plan = data;
	struct step *step;
	int result;

	if (is_left(plan, entry))
		return 0;
	result = check_step(plan, entry);
	if (result < 0)
		return result;
	if (plan->count == plan->capacity) {
		plan->capacity = plan->capacity ? 2 * plan->capacity : 64;
		plan->steps = reallocarray(plan->steps, plan->capacity, sizeof(*plan->steps));
		if (!plan->steps)
			abort();
	}
	step = &plan->steps[plan->count++];
	*step = (struct step){ .path = text_duplicate(entry->path),
			       .is_there = entry->status != NULL,
			       .was_there = entry->before != NULL,
			       .before_fd = entry->before ? plan->layer->layers[entry->before_layer] : -1 };
	if (entry->status)
		step->status = *entry->status;
	if (entry->before)
		step->before = *entry->before;
	return 0;
}

static void note(struct reset_plan *plan, const struct stat *status)
{
	if (clock_to_ns(&status->st_ctim) < plan->tick_ns)
		add_note(plan->notes, status);
}

static bool is_known(void *data, const struct stat *status)
{
	struct reset_plan *plan = data;

	if (!has_note(plan->known, status))
		return false;
	add_note(plan->notes, status);
	return true;
}

static void is_same(void *data, const struct stat *status)
{
	note(data, status);
}

static int walk(struct reset_plan *plan, diff_callback *callback, struct reset_notes *notes, struct error *error)
{
	const struct reset_layer *layer = plan->layer;
	struct reset_notes known = *notes;
	struct reset_notes found = { 0 };
	struct diff_result result = { 0 };
	struct diff_request request = { .layers = layer->layers,
					.layer_count = layer->layer_count,
					.upper_count = 1,
					.is_first_lower_held = layer->is_first_lower_held,
					.marks = layer->marks,
					.with_times = true,
					.with_what_was_gone = true,
					.is_known = is_known,
					.is_same = is_same };
	struct timespec tick;
	int status;

	(void)clock_gettime(CLOCK_REALTIME_COARSE, &tick);
	plan->tick_ns = clock_to_ns(&tick);
	plan->known = &known;
	plan->notes = &found;
	plan->error = error;
	status = diff_layers(&request, callback, plan, &result, error);
	sort_notes(&found);
	reset_notes_release(&known);
	*notes = found;
	plan->known = plan->notes = NULL;
	if (status == 0 && result.unreadable > 0)
		return refuse("the layer", "directories in it cannot be read by their owner", error);
	return status;
}

int reset_plan_make(const struct reset_layer *layer, struct reset_notes *notes, struct reset_plan **ret_plan,
		    struct error *error)
{
	owned_reset_plan plan = calloc(1, sizeof(*plan));
	int result;

	if (!plan)
		abort();
	plan->layer = layer;
	result = check_lost(layer, error);
	if (result == 0)
		result = walk(plan, take_difference, notes, error);
	if (result < 0)
		return result;
	*ret_plan = plan;
	plan = NULL;
	return 0;
}

static int count_difference(void *data, const struct diff_entry *entry)
{
	struct reset_plan *plan = data;

	if (is_left(plan, entry))
		return 0;
	/* The time of a directory is another as soon as anybody makes or removes a file in it. */
	plan->differences += !entry->status || !entry->before || !S_ISDIR(entry->status->st_mode) ||
			     entry->status->st_mode != entry->before->st_mode;
	return 0;
}

int reset_confirm(const struct reset_layer *layer, struct reset_notes *notes, uint64_t *ret_differences,
		  struct error *error)
{
	owned_reset_plan plan = calloc(1, sizeof(*plan));
	int result;

	if (!plan)
		abort();
	plan->layer = layer;
	result = walk(plan, count_difference, notes, error);
	*ret_differences += plan->differences;
	return result;
}

/* ---- doing it ---- */

struct applying {
	const struct reset_plan *plan;
	struct reset_result *result;
	struct error *error;
	char *pieces[2];
};

static int fail(const struct applying *applying, const struct step *step, int result)
{
	bool is_full = result == -ENOSPC || result == -EDQUOT;

	return error_set(applying->error, .number = -result, .step = STEP_RESET, .object = step->path,
			 .cause = is_full ? "the writable layer is full" : NULL,
			 .remedy = is_full ? "raise --size, or --inodes; a new world is as it was: --restart" : NULL);
}

/* The directory of a path below `root_fd`. @ret_name points into `path` */
static int open_parent(int root_fd, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	owned_text parent = slash ? strndup(path, (size_t)(slash - path)) : text_duplicate(".");

	if (!parent)
		abort();
	*ret_name = slash ? slash + 1 : path;
	return path_open(root_fd, parent, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
}

static bool changes_type(const struct step *step)
{
	return step->is_there && step->was_there && (step->status.st_mode & S_IFMT) != (step->before.st_mode & S_IFMT);
}

static bool is_replaced(const struct step *step)
{
	return changes_type(step) ||
	       (step->is_there && step->was_there && !S_ISREG(step->before.st_mode) && !S_ISDIR(step->before.st_mode));
}

/* A directory that its owner closed meanwhile differs, and gets its bits back in the end. */
static int remove_entry(int parent_fd, const char *name, int flags)
{
	if (unlinkat(parent_fd, name, flags) == 0)
		return 0;
	if (errno != EACCES || fchmodat(parent_fd, ".", 0700, 0) < 0)
		return -errno;
	return unlinkat(parent_fd, name, flags) < 0 ? -errno : 0;
}

/* Gone already, or not empty since a program writes there at this moment: that is none of this reset's any more. */
static int remove_step(struct applying *applying, const struct step *step)
{
	const char *name;
	owned_fd parent_fd = open_parent(applying->plan->layer->merged_fd, step->path, &name);
	int result = parent_fd;

	if (parent_fd >= 0)
		result = remove_entry(parent_fd, name, S_ISDIR(step->status.st_mode) ? AT_REMOVEDIR : 0);
	if (result == 0 && !step->was_there)
		applying->result->removed++;
	return result == -ENOENT || (result == -ENOTEMPTY && !step->was_there) ? 0 : MIN(result, 0);
}

static int make_step(struct applying *applying, const struct step *step)
{
	static const struct tree_copy_options options = { .keep_setid = true,
							  .force_access = true,
							  .attribute_filter = layer_plain_attribute };
	const char *name;
	const char *before_name;
	owned_fd parent_fd = open_parent(applying->plan->layer->merged_fd, step->path, &name);
	owned_fd before_fd = open_parent(step->before_fd, step->path, &before_name);
	struct tree_copy_result copied = { 0 };
	int result;

	if (parent_fd < 0 || before_fd < 0)
		return MIN(parent_fd, before_fd);
	if (faccessat(parent_fd, ".", W_OK | X_OK, 0) < 0 && errno == EACCES && fchmodat(parent_fd, ".", 0700, 0) < 0)
		return -errno;
	if (S_ISDIR(step->before.st_mode)) {
		result = mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST ? -errno : 0;
	} else if (S_ISSOCK(step->before.st_mode)) {
		return 0; /* who listened on it has to make it anew */
	} else {
		result = tree_copy(&options, before_fd, before_name, parent_fd, name, &copied, applying->error);
		applying->result->bytes += copied.bytes;
	}
	if (result == 0 && !step->is_there)
		applying->result->restored++;
	return result;
}

/* Piece by piece, and only those that differ: who has it mapped never finds it shorter than it was and will be. */
static int rewrite(struct applying *applying, int from_fd, int to_fd, off_t size)
{
	off_t at = 0;

	for (size_t i = 0; i < 2; i++)
		if (!applying->pieces[i] && !(applying->pieces[i] = malloc(PIECE)))
			abort();
	while (at < size) {
		ssize_t got = pread(from_fd, applying->pieces[0], PIECE, at);
		ssize_t have = got > 0 ? pread(to_fd, applying->pieces[1], (size_t)got, at) : 0;

		if (got < 0 || have < 0)
			return -errno;
		if (got == 0)
			break;
		if (have != got || memcmp(applying->pieces[0], applying->pieces[1], (size_t)got) != 0) {
			ssize_t written = pwrite(to_fd, applying->pieces[0], (size_t)got, at);

			if (written != got)
				return written < 0 ? -errno : -ENOSPC;
			applying->result->bytes += (uint64_t)got;
		}
		at += got;
	}
	return ftruncate(to_fd, at) < 0 ? -errno : 0;
}

static int list_attributes(int fd, struct text_list *ret_names)
{
	owned_text names = malloc(XATTR_LIST_MAX);
	ssize_t size = names ? flistxattr(fd, names, XATTR_LIST_MAX) : -1;

	if (size < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1)
		if (text_starts_with(names + at, "user.") && !text_starts_with(names + at, FORMAT_OWN))
			text_list_add(ret_names, names + at);
	return 0;
}

static bool has_name(const struct text_list *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (text_equal(names->items[i], name))
			return true;
	return false;
}

static int restore_attributes(int from_fd, int to_fd)
{
	owned_list before = { 0 };
	owned_list now = { 0 };
	owned_text value = NULL;
	int result = list_attributes(from_fd, &before);

	if (result == 0)
		result = list_attributes(to_fd, &now);
	for (size_t i = 0; i < now.count && result == 0; i++)
		if (!has_name(&before, now.items[i]) && fremovexattr(to_fd, now.items[i]) < 0 && errno != ENODATA)
			result = -errno;
	for (size_t i = 0; i < before.count && result == 0; i++) {
		ssize_t size;

		if (!value && !(value = malloc(XATTR_SIZE_MAX)))
			abort();
		size = fgetxattr(from_fd, before.items[i], value, XATTR_SIZE_MAX);
		if (size < 0 || fsetxattr(to_fd, before.items[i], value, (size_t)size, 0) < 0)
			result = -errno;
	}
	return result;
}

/* Open for reading and, a file, for writing, whatever its permission bits say: those come later. */
static int open_own(int parent_fd, const char *name, int flags)
{
	int fd = path_open(parent_fd, name, flags, 0, PATH_BENEATH);

	if (fd != -EACCES)
		return fd;
	if (fchmodat(parent_fd, name, 0700, 0) < 0)
		return -errno;
	return path_open(parent_fd, name, flags, 0, PATH_BENEATH);
}

/* Bits, attributes and times. */
static int restore_status(const struct step *step, int from_fd, int to_fd)
{
	struct timespec times[2] = { step->before.st_atim, step->before.st_mtim };
	int result = restore_attributes(from_fd, to_fd);

	if (result == 0 && (fchmod(to_fd, step->before.st_mode & 07777) < 0 || futimens(to_fd, times) < 0))
		result = -errno;
	return result;
}

static int rewrite_step(struct applying *applying, const struct step *step)
{
	const char *name;
	const char *before_name;
	owned_fd parent_fd = open_parent(applying->plan->layer->merged_fd, step->path, &name);
	owned_fd before_parent_fd = open_parent(step->before_fd, step->path, &before_name);
	owned_fd from_fd = -1;
	owned_fd to_fd = -1;
	struct stat status;
	int result;

	if (parent_fd < 0 || before_parent_fd < 0)
		return MIN(parent_fd, before_parent_fd);
	from_fd = path_open(before_parent_fd, before_name, O_RDONLY, 0, PATH_BENEATH);
	if (from_fd < 0)
		return from_fd;
	to_fd = open_own(parent_fd, name, O_RDWR | O_NONBLOCK | O_NOCTTY);
	if (to_fd < 0)
		return to_fd;
	if (fstat(to_fd, &status) < 0)
		return -errno;
	/* A name of another file by now: that one keeps what it holds. */
	if (status.st_nlink > 1 && step->before.st_nlink == 1) {
		fd_close(&to_fd);
		return unlinkat(parent_fd, name, 0) < 0 ? -errno : make_step(applying, step);
	}
	result = rewrite(applying, from_fd, to_fd, step->before.st_size);
	if (result == 0)
		result = restore_status(step, from_fd, to_fd);
	if (result == 0)
		applying->result->rewritten++;
	return result;
}

static int restore_directory(struct applying *applying, const struct step *step)
{
	const char *name;
	owned_fd parent_fd = open_parent(applying->plan->layer->merged_fd, step->path, &name);
	owned_fd from_fd = path_open(step->before_fd, step->path, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	owned_fd to_fd = -1;
	int result;

	if (parent_fd < 0 || from_fd < 0)
		return MIN(parent_fd, from_fd);
	to_fd = open_own(parent_fd, name, O_RDONLY | O_DIRECTORY);
	result = to_fd < 0 ? to_fd : restore_status(step, from_fd, to_fd);
	if (result == 0 && step->is_there && !is_only_time(step) && !changes_type(step))
		applying->result->rewritten++;
	return result;
}

static void applying_release(struct applying *applying)
{
	for (size_t i = 0; i < 2; i++)
		free(applying->pieces[i]);
}

int reset_apply(const struct reset_plan *plan, struct reset_result *ret_result, struct error *error)
{
	__attribute__((cleanup(applying_release))) struct applying applying = { .plan = plan,
										.result = ret_result,
										.error = error };
	int result = 0;

	/* What is in a directory before the directory itself. */
	for (size_t i = plan->count; i-- > 0 && result == 0;) {
		const struct step *step = &plan->steps[i];

		if (step->is_there && (!step->was_there || is_replaced(step)))
			result = remove_step(&applying, step);
		if (result < 0)
			return fail(&applying, step, result);
	}
	for (size_t i = 0; i < plan->count; i++) {
		const struct step *step = &plan->steps[i];

		if (!step->was_there)
			continue;
		if (!step->is_there || is_replaced(step)) {
			result = make_step(&applying, step);
			ret_result->rewritten += result == 0 && step->is_there;
		} else if (S_ISREG(step->before.st_mode)) {
			result = rewrite_step(&applying, step);
		}
		if (result < 0)
			return fail(&applying, step, result);
	}
	/* Directories last: what was made in them gave them another time, and their bits may forbid it. */
	for (size_t i = plan->count; i-- > 0;) {
		const struct step *step = &plan->steps[i];

		if (step->was_there && S_ISDIR(step->before.st_mode))
			result = restore_directory(&applying, step);
		if (result < 0)
			return fail(&applying, step, result);
	}
	return 0;
}
