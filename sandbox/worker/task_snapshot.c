/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a set of copies is a directory with 0, 1, … and the list of what they are copies of, written last, so
 * that one without was never finished. Those of a snapshot lie below the world's layers, in "snapshots/NAME": on the
 * same file system, in its limits, gone with it, and where no path of the payload's leads. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/part.h"
#include "base/path.h"
#include "overlay/database.h"
#include "overlay/reset_rows.h"
#include "overlay/seed.h"
#include "sandbox/worker/task_parts.h"

#define SNAPSHOTS    "snapshots"
#define STEP_TAKE    "take the snapshot"
#define STEP_RESTORE "put the rows back into"
#define STEP_OPEN    "open the snapshot"

enum { LIST_SIZE_MAX = 1 << 20 };

/* ---- a set of copies ---- */

enum target { TARGET_LAYER, TARGET_OUTSIDE };

static int copies_make(const struct world *world, int directory_fd, enum target target, const char *database,
		       struct text_list *ret_paths, struct error *error)
{
	owned_text chosen = NULL;
	int result = database[0] ? task_database_choose(world, database, &chosen, error)
				 : task_database_gather(world, ret_paths, error);

	if (chosen)
		text_list_add(ret_paths, chosen);
	if (result == 0 && ret_paths->count == 0)
		return error_set(error, .number = ENOENT, .step = "copy the databases", .cause = "the worker has none");
	for (size_t i = 0; i < ret_paths->count && result == 0; i++) {
		owned_text name = text_format("%zu", i);
		const struct database_snapshot_request request = { .source = ret_paths->items[i],
								   .target_fd = directory_fd,
								   .target_name = name,
								   .is_outside = target == TARGET_OUTSIDE };
		struct database_report ignored;

		result = database_snapshot(&request, &ignored, error);
	}
	return result < 0 ? result : seed_write(directory_fd, ret_paths, error);
}

int task_copies_open(int directory_fd, struct task_copies *ret_copies, struct error *error)
{
	owned_fd fd = path_open(directory_fd, ".", O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	owned_text text = NULL;
	owned_json json = { 0 };
	int result = fd < 0 ? fd : fd_read_file(fd, "seed.json", LIST_SIZE_MAX, &text, NULL);

	if (result == 0)
		result = json_read(&json, text, strlen(text), NULL);
	if (result == 0)
		result = json_list(json_member(json_root(&json), "databases"), &ret_copies->paths);
	if (result < 0)
		return error_set(error, .number = -result, .step = "read the list of copies");
	ret_copies->directory_fd = fd_take(&fd);
	return 0;
}

void task_copies_close(struct task_copies *copies)
{
	fd_close(&copies->directory_fd);
	text_list_release(&copies->paths);
}

int task_copies_find(const struct task_copies *copies, const char *path, bool is_only)
{
	for (size_t i = 0; i < copies->paths.count; i++)
		if (text_equal(copies->paths.items[i], path))
			return (int)i;
	return is_only && copies->paths.count == 1 ? 0 : -1;
}

/* ---- where snapshots are ---- */

int task_open_snapshots(const struct world *world, bool is_to_make)
{
	owned_fd base_fd = openat(world->scratch_fd, "layers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd;

	if (base_fd < 0 || (is_to_make && mkdirat(base_fd, SNAPSHOTS, 0700) < 0 && errno != EEXIST))
		return -errno;
	fd = openat(base_fd, SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int check_name(const char *name, struct error *error)
{
	if (name[0] != '\0' && name[0] != '.' && !strchr(name, '/') && strlen(name) <= 100)
		return 0;
	return error_set(
		error, .number = EINVAL, .step = "name the snapshot", .object = name,
		.cause = "it is one word of at most 100 bytes, without a slash, that does not begin with a dot");
}

int task_copies_open_snapshot(const struct world *world, const char *name, struct task_copies *ret_copies,
			      struct error *error)
{
	owned_fd snapshots_fd = -1;
	owned_fd fd = -1;
	int result = check_name(name, error);

	if (result < 0)
		return result;
	snapshots_fd = task_open_snapshots(world, false);
	fd = snapshots_fd < 0 ? snapshots_fd
			      : path_open(snapshots_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, PATH_BENEATH);
	if (fd < 0)
		return error_set(error, .number = -fd, .step = STEP_OPEN, .object = name,
				 .cause = fd == -ENOENT ? "the worker has none of that name" : NULL,
				 .remedy = fd == -ENOENT ? "take one with: sbx db snapshot WORKER NAME" : NULL);
	return task_copies_open(fd, ret_copies, error);
}

/* ---- taking one ---- */

static int answer(int out_fd, const struct text_list *paths, struct error *error)
{
	owned_output output = { .fd = out_fd };

	json_begin_object(&output.buffer, NULL);
	json_add_list(&output.buffer, "databases", paths);
	json_end_object(&output.buffer);
	text_buffer_add_text(&output.buffer, "\n");
	return task_output_end(&output, error);
}

int task_database_snapshot(const struct world *world, int out_fd, const char *database, const char *name,
			   struct error *error)
{
	owned_fd snapshots_fd = -1;
	owned_part part = PART_NONE;
	owned_list paths = { 0 };
	int result = check_name(name, error);

	if (result < 0)
		return result;
	snapshots_fd = task_open_snapshots(world, false);
	result = snapshots_fd < 0 ? snapshots_fd : part_make_directory(snapshots_fd, &part);
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_TAKE, .object = name);
	result = copies_make(world, part.fd, TARGET_LAYER, database, &paths, error);
	if (result < 0)
		return result;
	result = part_replace(&part, name);
	return result < 0 ? error_set(error, .number = -result, .step = STEP_TAKE, .object = name)
			  : answer(out_fd, &paths, error);
}

int task_database_copy(const struct world *world, int directory_fd, const char *database, const char *many,
		       struct error *error)
{
	owned_list paths = { 0 };
	owned_text only = NULL;
	int result = 0;

	if (text_equal(many, "one"))
		result = task_database_choose(world, database, &only, error);
	if (only)
		database = only;
	return result < 0 ? result : copies_make(world, directory_fd, TARGET_OUTSIDE, database, &paths, error);
}

/* ---- going back to one ---- */

/* One that a program has removed is made anew. */
static int put_back(const struct task_copies *copies, size_t number, struct error *error)
{
	const char *path = copies->paths.items[number];
	owned_text copy = text_format("%zu", number);
	owned_text parent = path_parent(path);
	owned_text name = NULL;
	owned_fd directory_fd = -1;
	struct reset_rows_request request = {
		.source_fd = copies->directory_fd, .source_name = copy, .source_rule = SQLITE_RULE_AT_REST, .path = path
	};
	struct reset_rows_result ignored = { 0 };
	int result = database_locate(path, STEP_RESTORE, &directory_fd, &name, error);

	if (result == -ENOENT) {
		directory_fd = path_open(AT_FDCWD, parent, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);
		if (directory_fd < 0)
			return result;
		*error = (struct error){ 0 };
		name = text_duplicate(path_name(path));
	} else if (result < 0) {
		return result;
	}
	request.target_fd = directory_fd;
	request.target_name = name;
	return reset_rows(&request, &ignored, error);
}

int task_database_restore(const struct world *world, int out_fd, const char *database, const char *name,
			  struct error *error)
{
	owned_copies copies = { .directory_fd = -1 };
	owned_list restored = { 0 };
	owned_text chosen = NULL;
	int result = task_copies_open_snapshot(world, name, &copies, error);

	if (result == 0 && database[0])
		result = task_database_choose(world, database, &chosen, error);
	if (result == 0 && chosen && task_copies_find(&copies, chosen, false) < 0)
		return error_set(error, .number = ENOENT, .step = STEP_RESTORE, .object = chosen,
				 .cause = "the snapshot has no such database");
	for (size_t i = 0; i < copies.paths.count && result == 0; i++) {
		if (chosen && !text_equal(chosen, copies.paths.items[i]))
			continue;
		result = put_back(&copies, i, error);
		text_list_add(&restored, copies.paths.items[i]);
	}
	return result < 0 ? result : answer(out_fd, &restored, error);
}

/* ---- which there are ---- */

static const struct table_column columns[] = {
	{ "name", "NAME", TABLE_TEXT, 0, NULL },
	{ "databases", "DATABASES", TABLE_LIST, 0, NULL },
	{ "bytes", "SIZE", TABLE_BYTES, 0, NULL },
};

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(int snapshots_fd, struct text_list *ret_names)
{
	int fd = openat(snapshots_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		int result = -errno;

		fd_close(&fd);
		return result;
	}
	while ((entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.')
			text_list_add(ret_names, entry->d_name);
	(void)closedir(directory);
	if (ret_names->count > 1)
		qsort(ret_names->items, ret_names->count, sizeof(char *), compare_texts);
	return 0;
}

static uint64_t count_bytes(const struct task_copies *copies)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < copies->paths.count; i++) {
		owned_text name = text_format("%zu", i);
		struct stat status;

		if (fstatat(copies->directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)status.st_size;
	}
	return bytes;
}

int task_database_snapshots(const struct world *world, int out_fd, enum table_format format, struct error *error)
{
	const struct table_options options = { .format = format, .no_trunc = true };
	owned_table table = { .columns = columns, .column_count = ARRAY_SIZE(columns) };
	owned_output output = { .fd = out_fd };
	owned_list names = { 0 };
	owned_fd snapshots_fd = task_open_snapshots(world, false);
	int result = snapshots_fd < 0 ? snapshots_fd : list_names(snapshots_fd, &names);

	if (result < 0 && result != -ENOENT)
		return error_set(error, .number = -result, .step = "list the worker's snapshots");
	for (size_t i = 0; i < names.count; i++) {
		owned_copies copies = { .directory_fd = -1 };

		result = task_copies_open_snapshot(world, names.items[i], &copies, error);
		if (result < 0)
			return result;
		table_add_text(&table, names.items[i]);
		table_add_list(&table, &copies.paths);
		table_add_number(&table, (int64_t)count_bytes(&copies));
	}
	table_format(&table, &options, &output.buffer);
	return task_output_end(&output, error);
}
