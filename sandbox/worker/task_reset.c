/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the start of a world is what its layers began from. Where that is the tree, its databases are copied
 * anew from their sources; where it is a seed, that holds them. A world of a pool without a seed has servers that have
 * long migrated their databases and written files when somebody uses it first: to go back behind that would break them.
 * So PID 1 keeps what the world is at the moment in which all its services were ready, in the form of a seed, in the
 * scratch beside the writable layers, where no path of the world leads:
 *
 *   layers/reset/start/   upper-N, layers, seed.json: task_keep_start()
 *   layers/reset/rows     struct row_note for each of the start's databases: how it was when its rows were the start's
 *   layers/reset/files-N  overlay/reset.h's notes of layer N
 *   layers/reset/begun    there while a reset is changing things: one that never ended left a world that nobody may use
 *
 * The fork first looks at what other processes hold (removed working directories, databases that were deleted under
 * them), then it is confined as one that writes where the payload may, then it plans, and only if all can be done in
 * place it begins. Files come before databases, whose directories they are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "base/tree.h"
#include "overlay/database.h"
#include "overlay/reset.h"
#include "overlay/reset_rows.h"
#include "overlay/seed.h"
#include "sandbox/worker/task_parts.h"

#define STEP_RESET "reset the worker"
#define DIRECTORY  "layers/reset"
#define START	   "start"
#define ROWS	   "rows"
#define BEGUN	   "begun"
#define REMEDY	   "a new world is as it was: --restart"

enum {
	LINK_MAX = 4096,
	NAME_SIZE = 32,
	ROWS_MAX = 2 * DATABASE_FOUND_MAX,
};

struct row_note {
	uint64_t is_known;
	struct reset_rows_mark mark;
};

/* A database of the start. */
struct rows {
	char *path;
	bool is_of_start; /* else it was met among the files that changed */
	struct row_note note;
	bool is_due;
	bool is_restored;
};

struct task_reset {
	const struct world *world;
	int directory_fd; /* DIRECTORY */
	int start_fd;	  /* START in it; -1: the layers began from a seed, or from the tree */
	struct rows rows[ROWS_MAX];
	size_t row_count;
	size_t start_count;
	struct text_list lost; /* working directories that are gone, absolute */
	uint64_t begun_us;

	struct layer_work {
		const struct layer *layer;
		char notes_name[NAME_SIZE];
		int layers[4]; /* borrowed but for the kept one */
		size_t layer_count;
		int kept_fd;
		int merged_fd;
		struct text_list marks;
		struct text_list mount_points;
		struct text_list lost; /* relative */
		struct reset_notes notes;
		struct reset_layer request;
		struct reset_plan *plan;
		struct task_reset *reset;
	} * works;
	size_t work_count;

	bool has_touched_files;
	struct reset_result files;
	uint64_t row_bytes;
	uint64_t meanwhile;
	struct text_list stays_wal;
};

void task_reset_end(struct task_reset *reset)
{
	if (!reset)
		return;
	for (size_t i = 0; i < reset->row_count; i++)
		free(reset->rows[i].path);
	for (size_t i = 0; i < reset->work_count; i++) {
		struct layer_work *work = &reset->works[i];

		fd_close(&work->kept_fd);
		fd_close(&work->merged_fd);
		text_list_release(&work->marks);
		text_list_release(&work->mount_points);
		text_list_release(&work->lost);
		reset_notes_release(&work->notes);
		reset_plan_free(work->plan);
	}
	free(reset->works);
	text_list_release(&reset->lost);
	text_list_release(&reset->stays_wal);
	fd_close(&reset->start_fd);
	fd_close(&reset->directory_fd);
	free(reset);
}

static int refuse(const char *object, const char *cause, struct error *error)
{
	return error_set(error, .number = ENOTSUP, .step = STEP_RESET, .object = object, .cause = cause,
			 .remedy = REMEDY);
}

/* ---- its start ---- */

int task_open_start(const struct world *world, struct error *error)
{
	int fd;

	if (mkdirat(world->scratch_fd, DIRECTORY, 0700) < 0 && errno != EEXIST)
		return error_set(error, .number = errno, .step = "make a directory of the scratch",
				 .object = DIRECTORY);
	fd = path_open(world->scratch_fd, DIRECTORY, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	return fd < 0 ? error_set(error, .number = -fd, .step = "open a directory of the scratch", .object = DIRECTORY)
		      : fd;
}

static void add_rows(struct task_reset *reset, const char *path, bool is_of_start)
{
	for (size_t i = 0; i < reset->row_count; i++)
		if (text_equal(reset->rows[i].path, path))
			return;
	if (reset->row_count < ROWS_MAX)
		reset->rows[reset->row_count++] =
			(struct rows){ .path = text_duplicate(path), .is_of_start = is_of_start };
	reset->start_count += is_of_start;
}

/* What --copy and a split filled in lies in the writable layer alone. */
static bool is_filled(const struct world *world)
{
	const struct volume_list *volumes = &world->plan->spec->volumes;

	for (size_t i = 0; i < volumes->count; i++)
		if (volumes->items[i].kind == VOLUME_COPY)
			return true;
	for (size_t i = 0; i < world->layers.count; i++)
		if (world->layers.items[i].takes_files)
			return true;
	return false;
}

static int find_start(struct task_reset *reset, struct error *error)
{
	const struct world *world = reset->world;
	owned_list databases = { 0 };
	int result = 0;

	if (world->plan->is_entered_again)
		return error_set(error, .number = ENOTSUP, .step = STEP_RESET,
				 .cause = "it was kept as it was, to be looked at",
				 .remedy = "start a new one; 'sbx rm' removes this one");
	reset->start_fd = path_open(reset->directory_fd, START, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	if (reset->start_fd >= 0)
		result = seed_read_databases(reset->start_fd, &databases, error);
	else if (world->plan->seed)
		for (size_t i = 0; i < world->plan->seed->databases.count; i++)
			text_list_add(&databases, world->plan->seed->databases.items[i]);
	else if (world->plan->guest)
		return refuse("", "what it was when its services were ready could not be kept", error);
	else if (world->plan->moved)
		return refuse("", "it began with the files of a bundle, which are not kept apart", error);
	else if (is_filled(world))
		return refuse("", "it began with copies (--copy, or a split tree), which are not kept apart", error);
	else
		for (size_t i = 0; i < world->database_count; i++)
			text_list_add(&databases, world->databases[i].path);
	if (databases.count > DATABASE_FOUND_MAX)
		return refuse("", "it has more than 64 databases", error);
	for (size_t i = 0; i < databases.count && result == 0; i++)
		add_rows(reset, databases.items[i], true);
	return result;
}

static void read_row_notes(struct task_reset *reset)
{
	owned_text bytes = NULL;
	size_t size = 0;

	if (fd_read_file(reset->directory_fd, ROWS, 0, &bytes, &size) < 0 ||
	    size != reset->start_count * sizeof(struct row_note))
		return;
	for (size_t i = 0; i < reset->start_count; i++)
		memcpy(&reset->rows[i].note, bytes + i * sizeof(struct row_note), sizeof(struct row_note));
}

static int write_row_notes(int directory_fd, const struct rows *rows, size_t count)
{
	owned_fd fd = openat(directory_fd, ROWS, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int result = fd < 0 ? -errno : 0;

	for (size_t i = 0; i < count && result == 0; i++)
		result = fd_write_all(fd, (const char *)&rows[i].note, sizeof(rows[i].note));
	return result;
}

bool task_is_reset_unfinished(const struct world *world)
{
	return faccessat(world->scratch_fd, DIRECTORY "/" BEGUN, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- what others hold ---- */

#define GONE " (deleted)"

static bool read_gone(int directory_fd, const char *name, char path[static LINK_MAX])
{
	ssize_t length = readlinkat(directory_fd, name, path, LINK_MAX - 1);

	if (length <= (ssize_t)strlen(GONE))
		return false;
	path[length] = '\0';
	if (!text_ends_with(path, GONE))
		return false;
	path[length - (ssize_t)strlen(GONE)] = '\0';
	return true;
}

static bool is_rows_path(const struct task_reset *reset, const char *path)
{
	for (size_t i = 0; i < reset->row_count; i++)
		if (text_equal(reset->rows[i].path, path))
			return true;
	return false;
}

/* Whoever has a database open that is gone would go on with the old one. */
static int look_at_files(const struct task_reset *reset, int process_fd, struct error *error)
{
	owned_fd fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int result = 0;

	if (!directory)
		return 0; /* it has ended */
	(void)fd_take(&fd);
	while (result == 0 && (entry = readdir(directory))) {
		char path[LINK_MAX];

		if (read_gone(dirfd(directory), entry->d_name, path) && is_rows_path(reset, path))
			result = refuse(path, "it was deleted or replaced, and a process has the old one open", error);
	}
	(void)closedir(directory);
	return result;
}

/* A database whose file is another one by now, or none. */
static bool is_any_replaced(const struct task_reset *reset)
{
	for (size_t i = 0; i < reset->row_count; i++) {
		const struct rows *rows = &reset->rows[i];
		struct stat status;

		if (lstat(rows->path, &status) < 0 || !rows->note.is_known || status.st_ino != rows->note.mark.inode)
			return true;
	}
	return false;
}

static int look_at_processes(struct task_reset *reset, struct error *error)
{
	owned_fd fd = path_open(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, 0, PATH_FOLLOW);
	bool with_files = is_any_replaced(reset);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int result = 0;

	if (!directory)
		return error_set(error, .number = fd < 0 ? -fd : errno, .step = "list the processes");
	(void)fd_take(&fd);
	while (result == 0 && (entry = readdir(directory))) {
		owned_fd process_fd = -1;
		char path[LINK_MAX];
		uint64_t pid;

		if (number_parse(entry->d_name, 1, INT32_MAX, &pid) < 0)
			continue;
		process_fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process_fd >= 0 && read_gone(process_fd, "cwd", path))
			text_list_add(&reset->lost, path);
		if (process_fd >= 0 && with_files && (pid_t)pid != getpid() && pid != 1)
			result = look_at_files(reset, process_fd, error);
	}
	(void)closedir(directory);
	return result;
}

int task_reset_begin(const struct world *world, struct task_reset **ret_reset, struct error *error)
{
	struct task_reset *reset = calloc(1, sizeof(*reset));
	int result;

	if (!reset)
		abort();
	reset->world = world;
	reset->begun_us = clock_us();
	reset->start_fd = -1;
	reset->directory_fd = task_open_start(world, error);
	result = MIN(reset->directory_fd, 0);
	if (result == 0)
		result = find_start(reset, error);
	if (result == 0) {
		read_row_notes(reset);
		result = look_at_processes(reset, error);
	}
	if (result < 0)
		task_reset_end(reset);
	else
		*ret_reset = reset;
	return result;
}

int task_reset_fd(const struct task_reset *reset)
{
	return reset->directory_fd;
}

/* ---- the plan for files ---- */

static bool is_left(void *data, const struct diff_entry *entry)
{
	struct layer_work *work = data;
	struct task_reset *reset = work->reset;
	owned_text path = path_join(work->layer->path, entry->path);

	if (task_is_mount_point(&work->mount_points, entry, path))
		return true;
	for (size_t i = 0; i < reset->row_count; i++)
		if (database_owns_file(reset->rows[i].path, path))
			return true;
	/* One that lies too deep to be found at the start: programs have it open as they have the others. */
	if (entry->kind == DIFF_CHANGED && S_ISREG(entry->status->st_mode) && S_ISREG(entry->before->st_mode) &&
	    reset->row_count < ROWS_MAX) {
		owned_text parent = path_parent(path);
		owned_fd parent_fd = path_open(AT_FDCWD, parent, O_PATH | O_DIRECTORY, 0, PATH_NO_SYMLINK);

		if (parent_fd >= 0 && database_has_header(parent_fd, path_name(path))) {
			add_rows(reset, path, false);
			return true;
		}
	}
	return false;
}

static int open_work(struct task_reset *reset, struct layer_work *work, const struct layer *layer, size_t number,
		     struct error *error)
{
	int own[3];
	size_t own_count = layers_list_directories(layer, own);
	char name[NAME_SIZE];

	*work = (struct layer_work){ .layer = layer, .kept_fd = -1, .merged_fd = -1, .reset = reset };
	(void)snprintf(work->notes_name, sizeof(work->notes_name), "files-%zu", number);
	(void)snprintf(name, sizeof(name), "upper-%zu", number);
	work->layers[work->layer_count++] = own[0];
	if (reset->start_fd >= 0) {
		work->kept_fd = path_open(reset->start_fd, name, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
		if (work->kept_fd < 0)
			return error_set(error, .number = -work->kept_fd, .step = "open what it started with",
					 .object = layer->path);
		work->layers[work->layer_count++] = work->kept_fd;
	}
	for (size_t i = 1; i < own_count; i++)
		work->layers[work->layer_count++] = own[i];
	work->merged_fd = path_open(AT_FDCWD, layer->path, O_PATH | O_DIRECTORY, 0, PATH_NO_SYMLINK);
	if (work->merged_fd < 0)
		return error_set(error, .number = -work->merged_fd, .step = "open the layer", .object = layer->path);
	task_list_marks(reset->world, layer, &work->marks);
	task_list_mount_points(reset->world, layer, &work->mount_points);
	for (size_t i = 0; i < reset->lost.count; i++)
		if (path_is_below(reset->lost.items[i], layer->path) &&
		    layers_find(&reset->world->layers, reset->lost.items[i]) == layer)
			text_list_add(&work->lost, path_below(reset->lost.items[i], layer->path));
	work->request = (struct reset_layer){ .layers = work->layers,
					      .layer_count = work->layer_count,
					      .is_first_lower_held =
						      work->kept_fd >= 0 || (layer->seed_fd >= 0 && !layer->is_stacked),
					      .marks = &work->marks,
					      .merged_fd = work->merged_fd,
					      .lost = &work->lost,
					      .is_left = is_left,
					      .data = work };
	return 0;
}

static int plan_files(struct task_reset *reset, struct error *error)
{
	const struct layers *layers = &reset->world->layers;
	int result = 0;

	reset->works = calloc(layers->count + 1, sizeof(*reset->works));
	if (!reset->works)
		abort();
	for (size_t i = 0; i < layers->count && result == 0; i++) {
		struct layer_work *work = &reset->works[reset->work_count];

		if (layers->items[i].upper_fd < 0)
			continue;
		reset->work_count++;
		result = open_work(reset, work, &layers->items[i], i, error);
		if (result == 0)
			(void)reset_notes_read(reset->directory_fd, work->notes_name, &work->notes);
		if (result == 0)
			result = reset_plan_make(&work->request, &work->notes, &work->plan, error);
		if (result < 0)
			return error_context(error, "layer %s", layers->items[i].path);
	}
	return result;
}

/* ---- the plan for rows ---- */

static int open_parent(const char *path, const char **ret_name)
{
	owned_text parent = path_parent(path);

	*ret_name = path_name(path);
	return path_open(AT_FDCWD, parent, O_PATH | O_DIRECTORY, 0, PATH_NO_SYMLINK);
}

static const struct world_database *find_filled(const struct world *world, const char *path)
{
	for (size_t i = 0; i < world->database_count; i++)
		if (text_equal(world->databases[i].path, path))
			return &world->databases[i];
	return NULL;
}

static bool is_as_it_was(const struct task_reset *reset, const struct rows *rows, const struct reset_rows_mark *mark)
{
	const struct world_database *filled = find_filled(reset->world, rows->path);

	if (rows->note.is_known)
		return reset_rows_is_same_mark(&rows->note.mark, mark);
	return rows->is_of_start && reset->start_fd < 0 && filled && filled->is_noted &&
	       task_database_state(filled) == DATABASE_AS_FILLED;
}

/* @return how many databases are due, or -errno */
static int plan_rows(struct task_reset *reset, struct error *error)
{
	int due = 0;

	for (size_t i = 0; i < reset->row_count; i++) {
		struct rows *rows = &reset->rows[i];
		struct reset_rows_mark mark;
		const char *name;
		owned_fd parent_fd = open_parent(rows->path, &name);
		int result = parent_fd < 0 ? parent_fd : reset_rows_read_mark(parent_fd, name, &mark);

		if (result < 0 && result != -ENOENT)
			return refuse(rows->path, "it is no file any more", error);
		rows->is_due = result == -ENOENT || !is_as_it_was(reset, rows, &mark);
		due += rows->is_due;
		if (!rows->is_due && !rows->note.is_known) {
			rows->note = (struct row_note){ .is_known = true, .mark = mark };
		}
	}
	return due;
}

/* The directory of the start that holds a database. */
static int open_source(struct task_reset *reset, const struct rows *rows, enum sqlite_rule *ret_rule,
		       const char **ret_name)
{
	const struct layer *layer = layers_find(&reset->world->layers, rows->path);
	size_t number = layer ? (size_t)(layer - reset->world->layers.items) : 0;
	owned_text parent = layer ? path_parent(rows->path) : NULL;
	const char *below = layer && path_is_below(parent, layer->path) ? path_below(parent, layer->path) : "";
	owned_fd kept_fd = -1;
	int directory_fd;
	int fd = -ENOENT;

	if (!layer)
		return -ENOENT;
	*ret_name = path_name(rows->path);
	if (below[0] == '\0')
		below = ".";
	*ret_rule = SQLITE_RULE_AT_REST;
	if (reset->start_fd >= 0) {
		char name[NAME_SIZE];

		(void)snprintf(name, sizeof(name), "upper-%zu", number);
		kept_fd = path_open(reset->start_fd, name, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	}
	directory_fd = kept_fd >= 0 ? kept_fd : layer->seed_fd;
	if (directory_fd >= 0)
		fd = path_open(directory_fd, below, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	if (fd >= 0 && faccessat(fd, *ret_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return fd;
	fd_close(&fd);
	/* In the tree, whose programs may be at work with it. */
	*ret_rule = SQLITE_RULE_UNTOUCHED;
	return layer->lower_fd < 0 ? -ENOENT : path_open(layer->lower_fd, below, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
}

/* ---- doing it ---- */

static int restore_one(struct task_reset *reset, struct rows *rows, struct error *error)
{
	struct reset_rows_request request = { .path = rows->path };
	struct reset_rows_result restored = { 0 };
	owned_fd source_fd = open_source(reset, rows, &request.source_rule, &request.source_name);
	owned_fd target_fd = open_parent(rows->path, &request.target_name);
	struct stat status;
	int result = MIN(source_fd, target_fd);

	if (result < 0)
		return error_set(error, .number = -result, .step = "put back the rows of", .object = rows->path,
				 .remedy = REMEDY);
	request.source_fd = source_fd;
	request.target_fd = target_fd;
	result = reset_rows(&request, &restored, error);
	/* Nobody needs to mend what is put back anyway, and a new world waits for nobody. */
	if (result == -EBADMSG || result == -EUCLEAN || result == -ENOTSUP)
		text_copy(error->remedy, sizeof(error->remedy), REMEDY);
	if (result == -EBUSY)
		text_copy(error->remedy, sizeof(error->remedy), "let it end, or take a new world: --restart");
	if (result < 0)
		return result;
	if (restored.was_made && (fstatat(source_fd, request.source_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
				  fchmodat(target_fd, request.target_name, status.st_mode & 0777, 0) < 0))
		return error_set(error, .number = errno, .step = "put back the mode of", .object = rows->path);
	rows->is_restored = true;
	rows->note = (struct row_note){ .is_known = restored.has_mark && !restored.was_made, .mark = restored.mark };
	reset->row_bytes += restored.bytes;
	if (restored.stays_wal)
		text_list_add(&reset->stays_wal, rows->path);
	return 0;
}

static int begin(struct task_reset *reset, struct error *error)
{
	owned_fd fd = openat(reset->directory_fd, BEGUN, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? error_set(error, .number = errno, .step = STEP_RESET, .object = BEGUN,
				  .cause = errno == ENOSPC ? "the writable layer is full" : NULL, .remedy = REMEDY)
		      : 0;
}

static bool is_there(const struct rows *rows)
{
	struct stat status;

	return lstat(rows->path, &status) == 0;
}

/* Rows before files, since a lock may be waited for in vain; but a database that is gone comes after its directory. */
static int apply_all(struct task_reset *reset, bool has_files, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < reset->row_count && result == 0; i++)
		if (reset->rows[i].is_due && is_there(&reset->rows[i]))
			result = restore_one(reset, &reset->rows[i], error);
	reset->has_touched_files = has_files && result == 0;
	for (size_t i = 0; i < reset->work_count && has_files && result == 0; i++)
		result = reset_apply(reset->works[i].plan, &reset->files, error);
	for (size_t i = 0; i < reset->row_count && result == 0; i++)
		if (reset->rows[i].is_due && !reset->rows[i].is_restored)
			result = restore_one(reset, &reset->rows[i], error);
	for (size_t i = 0; i < reset->work_count && has_files && result == 0; i++)
		if (!reset_plan_is_empty(reset->works[i].plan))
			result = reset_confirm(&reset->works[i].request, &reset->works[i].notes, &reset->meanwhile,
					       error);
	return result;
}

/* Rows that could not be put back are as they were (reset_rows.h); files may be half done. */
static bool is_untouched(const struct task_reset *reset)
{
	for (size_t i = 0; i < reset->row_count; i++)
		if (reset->rows[i].is_restored)
			return false;
	return !reset->has_touched_files;
}

static int apply(struct task_reset *reset, bool has_files, struct error *error)
{
	bool was_begun = faccessat(reset->directory_fd, BEGUN, F_OK, 0) == 0;
	int result = begin(reset, error);

	if (result < 0)
		return result;
	result = apply_all(reset, has_files, error);
	if (result < 0 && (was_begun || !is_untouched(reset)))
		return result;
	if (unlinkat(reset->directory_fd, BEGUN, 0) < 0 && result == 0)
		result = error_set(error, .number = errno, .step = STEP_RESET, .object = BEGUN);
	return result;
}

/* What cannot be noted is compared the next time. */
static void write_notes(const struct task_reset *reset)
{
	for (size_t i = 0; i < reset->work_count; i++)
		if (reset->works[i].plan &&
		    reset_notes_write(reset->directory_fd, reset->works[i].notes_name, &reset->works[i].notes) < 0)
			(void)unlinkat(reset->directory_fd, reset->works[i].notes_name, 0);
	if (write_row_notes(reset->directory_fd, reset->rows, reset->start_count) < 0)
		(void)unlinkat(reset->directory_fd, ROWS, 0);
}

static void answer(const struct task_reset *reset, struct text_buffer *out)
{
	owned_list databases = { 0 };

	for (size_t i = 0; i < reset->row_count; i++)
		if (reset->rows[i].is_restored)
			text_list_add(&databases, reset->rows[i].path);
	json_begin_object(out, NULL);
	json_add_number(out, "files", (int64_t)(reset->files.rewritten + reset->files.removed + reset->files.restored));
	json_add_number(out, "rewritten", (int64_t)reset->files.rewritten);
	json_add_number(out, "removed", (int64_t)reset->files.removed);
	json_add_number(out, "restored", (int64_t)reset->files.restored);
	json_add_number(out, "bytes", (int64_t)reset->files.bytes);
	json_add_list(out, "databases", &databases);
	json_add_number(out, "rows_bytes", (int64_t)reset->row_bytes);
	json_add_number(out, "meanwhile", (int64_t)reset->meanwhile);
	json_add_list(out, "stays_wal", &reset->stays_wal);
	json_add_number(out, "microseconds", (int64_t)(clock_us() - reset->begun_us));
	json_end_object(out);
	text_buffer_add(out, "\n", 1);
}

int task_reset(struct task_reset *reset, const char *what, int out_fd, struct error *error)
{
	owned_output output = { .fd = out_fd };
	bool with_files = text_equal(what, "all");
	bool has_files = false;
	int due;
	int result = with_files ? plan_files(reset, error) : 0;

	if (!with_files && !text_equal(what, "rows"))
		return error_set(error, .number = EINVAL, .step = STEP_RESET, .object = what);
	if (result < 0)
		return result;
	due = plan_rows(reset, error);
	if (due < 0)
		return due;
	for (size_t i = 0; i < reset->work_count; i++)
		has_files |= !reset_plan_is_empty(reset->works[i].plan);
	/* One that was interrupted is done when all is seen to be as it was. */
	if (has_files || due > 0 || faccessat(reset->directory_fd, BEGUN, F_OK, 0) == 0)
		result = apply(reset, has_files, error);
	if (result < 0)
		return result;
	write_notes(reset);
	answer(reset, &output.buffer);
	return task_output_end(&output, error);
}

/* ---- keeping the start ---- */

/* How the databases are before they are copied: if that is how they are found later, nobody has written since. */
static void note_rows(const struct world *world, struct rows *rows)
{
	for (size_t i = 0; i < world->database_count; i++) {
		const char *name;
		owned_fd parent_fd = open_parent(world->databases[i].path, &name);

		rows[i].path = world->databases[i].path;
		rows[i].note.is_known =
			parent_fd >= 0 && reset_rows_read_mark(parent_fd, name, &rows[i].note.mark) == 0;
	}
}

static int keep_layers(const struct world *world, struct stopper *stopper, int directory_fd, struct error *error)
{
	struct rows before[DATABASE_FOUND_MAX] = { 0 };
	struct rows found[DATABASE_FOUND_MAX] = { 0 };
	owned_list databases = { 0 };
	owned_fd start_fd = -1;
	int result;

	if (mkdirat(directory_fd, START, 0700) < 0)
		return error_set(error, .number = errno, .step = "keep what the worker starts with");
	start_fd = path_open(directory_fd, START, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	if (start_fd < 0 || world->database_count > DATABASE_FOUND_MAX)
		return error_set(error, .number = start_fd < 0 ? -start_fd : E2BIG,
				 .step = "keep what the worker starts with");
	note_rows(world, before);
	result = task_keep_layers(world, stopper, start_fd, &databases, error);
	for (size_t i = 0; i < databases.count && result == 0; i++)
		for (size_t j = 0; j < world->database_count; j++)
			if (text_equal(databases.items[i], before[j].path))
				found[i].note = before[j].note;
	if (result == 0)
		(void)write_row_notes(directory_fd, found, databases.count);
	return result;
}

int task_keep_start(const struct world *world, struct stopper *stopper, int directory_fd, struct error *error)
{
	int result = keep_layers(world, stopper, directory_fd, error);

	/* Half of it would be worse than nothing. */
	if (result < 0)
		(void)tree_remove(directory_fd, START, NULL);
	return result;
}
