/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: each time the task leaves behind what it saw, below the world's snapshots in ".blame", where the
 * payload has no path to: a copy of each database, 0, 1, …, and "state", the list of these and of the changed files.
 * The next one compares with that. A database to which nobody has committed since (reset_rows.h) is not read again. */
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
#include "base/number.h"
#include "base/path.h"
#include "overlay/database.h"
#include "overlay/reset_rows.h"
#include "sandbox/worker/task_parts.h"

#define PLACE	       ".blame"
#define STATE	       "state"
#define STATE_NEW      "state.new"
#define COPY_NEW       "new"
#define STEP_BLAME     "see what a test left behind"
#define SIGNATURE_NONE " -" /* fits no other, nor itself */

enum {
	STATE_SIZE_MAX = 64 << 20,
	FILES_TOLD_MAX = 200,
	BUSY_TIMEOUT_MS = 2000,
};

/* A file or a database, as it was. */
struct mark {
	char kind; /* of a file: A, C, D; of a database: its copy's number, as a text, in `note` */
	char *path;
	char *note; /* differs when it changed; of a database: "NUMBER SIGNATURE", a signature of "-" never fits */
};

struct marks {
	struct mark *items;
	size_t count;
};

static void marks_release(struct marks *marks)
{
	for (size_t i = 0; i < marks->count; i++) {
		text_free(&marks->items[i].path);
		text_free(&marks->items[i].note);
	}
	free(marks->items);
	*marks = (struct marks){ 0 };
}
#define owned_marks __attribute__((cleanup(marks_release))) struct marks

/* @note  taken over */
static void add_mark(struct marks *marks, char kind, const char *path, char *note)
{
	if ((marks->count & (marks->count - 1)) == 0) {
		marks->items = reallocarray(marks->items, MAX(marks->count * 2, (size_t)16), sizeof(*marks->items));
		if (!marks->items)
			abort();
	}
	marks->items[marks->count++] = (struct mark){ .kind = kind, .path = text_duplicate(path), .note = note };
}

static int compare_marks(const void *a, const void *b)
{
	return strcmp(((const struct mark *)a)->path, ((const struct mark *)b)->path);
}

struct blaming {
	const struct world *world;
	int place_fd;
	bool is_first;
	struct text_list databases; /* paths that the world has now */
	struct marks files_before;
	struct marks files;
	struct marks databases_before;
	struct marks databases_now;
	struct task_output output;
	struct text_buffer problems;
	unsigned missed;
	bool has_databases;
};

static void blaming_release(struct blaming *blaming)
{
	fd_close(&blaming->place_fd);
	text_list_release(&blaming->databases);
	marks_release(&blaming->files_before);
	marks_release(&blaming->files);
	marks_release(&blaming->databases_before);
	marks_release(&blaming->databases_now);
	task_output_release(&blaming->output);
	text_buffer_release(&blaming->problems);
}

/* ---- what was seen last: records of three texts, each with its NUL ---- */

static void read_records(struct blaming *blaming, const char *text, size_t size)
{
	const char *end = text + size;

	while (text < end) {
		const char *kind = text;
		const char *path = kind + strlen(kind) + 1;
		const char *note = path < end ? path + strlen(path) + 1 : end;

		if (note >= end)
			return;
		add_mark(kind[0] == 'B' ? &blaming->databases_before : &blaming->files_before, kind[0], path,
			 text_duplicate(note));
		text = note + strlen(note) + 1;
	}
}

static int open_place(struct blaming *blaming, struct error *error)
{
	owned_fd snapshots_fd = task_open_snapshots(blaming->world, false);
	owned_text text = NULL;
	size_t size = 0;
	int result = snapshots_fd;

	if (result >= 0 && mkdirat(snapshots_fd, PLACE, 0700) < 0 && errno != EEXIST)
		result = -errno;
	if (result >= 0)
		result = path_open(snapshots_fd, PLACE, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	if (result >= 0) {
		blaming->place_fd = result;
		result = fd_read_file(result, STATE, STATE_SIZE_MAX, &text, &size);
	}
	if (result == -ENOENT && blaming->place_fd >= 0) {
		blaming->is_first = true;
		return 0;
	}
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_BLAME);
	read_records(blaming, text, size);
	return 0;
}

static void write_records(const struct marks *marks, struct text_buffer *out)
{
	for (size_t i = 0; i < marks->count; i++) {
		const char kind[] = { marks->items[i].kind, '\0' };

		text_buffer_add(out, kind, sizeof(kind));
		text_buffer_add(out, marks->items[i].path, strlen(marks->items[i].path) + 1);
		text_buffer_add(out, marks->items[i].note, strlen(marks->items[i].note) + 1);
	}
}

static int write_state(const struct blaming *blaming, struct error *error)
{
	owned_buffer out = { 0 };
	owned_fd fd = openat(blaming->place_fd, STATE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int result;

	write_records(&blaming->databases_now, &out);
	write_records(&blaming->files, &out);
	result = fd < 0 ? -errno : fd_write_all(fd, out.bytes ? out.bytes : "", out.length);
	if (result == 0 && renameat(blaming->place_fd, STATE_NEW, blaming->place_fd, STATE) < 0)
		result = -errno;
	return result < 0 ? error_set(error, .number = -result, .step = STEP_BLAME) : 0;
}

/* ---- rows ---- */

/* Before the copy is made: what is written after that is met next time. Members one by one: between them lie bytes that
 * mean nothing. */
static char *signature_of(const char *path)
{
	struct reset_rows_mark mark = { 0 };
	struct error ignored = { 0 };
	owned_buffer out = { 0 };
	owned_fd directory_fd = -1;
	owned_text name = NULL;

	if (database_locate(path, STEP_BLAME, &directory_fd, &name, &ignored) < 0 ||
	    reset_rows_read_mark(directory_fd, name, &mark) < 0)
		return text_duplicate(SIGNATURE_NONE);
	text_buffer_format(&out, " %llu %llu %lld %llu %llu ", (unsigned long long)mark.inode,
			   (unsigned long long)mark.bytes, (long long)mark.changed_ns,
			   (unsigned long long)mark.wal_inode, (unsigned long long)mark.wal_bytes);
	for (size_t i = 0; i < sizeof(mark.header); i++)
		text_buffer_format(&out, "%02x", mark.header[i]);
	for (size_t i = 0; i < sizeof(mark.wal_index); i++)
		text_buffer_format(&out, "%02x", mark.wal_index[i]);
	return text_duplicate(out.bytes);
}

static const struct mark *find_before(const struct marks *marks, const char *path)
{
	for (size_t i = 0; i < marks->count; i++)
		if (text_equal(marks->items[i].path, path))
			return &marks->items[i];
	return NULL;
}

/* The number of its copy stands first. */
static unsigned number_of(const struct mark *mark)
{
	owned_text number = strndup(mark->note, strcspn(mark->note, " "));
	uint64_t value = 0;

	(void)number_parse(number ? number : "", 0, UINT32_MAX - 1, &value);
	return (unsigned)value;
}

static void add_problem(struct blaming *blaming, const char *path, const struct error *problem)
{
	char text[2 * sizeof(*problem)];

	error_format(problem, text, sizeof(text));
	if (blaming->problems.length > 0)
		text_buffer_add_text(&blaming->problems, ",");
	json_begin_object(&blaming->problems, NULL);
	json_add_text(&blaming->problems, "database", path);
	json_add_text(&blaming->problems, "problem", text);
	json_end_object(&blaming->problems);
}

/* @before, @after  names of copies; NULL: there was none */
static int tell_rows(struct blaming *blaming, const char *path, const char *before, const char *after,
		     struct error *error)
{
	const struct rows_request request = {
		.before = { .path = path,
			    .directory_fd = blaming->place_fd,
			    .name = before,
			    .rule = SQLITE_RULE_AT_REST },
		.after = { .path = path,
			   .directory_fd = blaming->place_fd,
			   .name = after,
			   .rule = SQLITE_RULE_AT_REST },
	};
	struct text_buffer *out = &blaming->output.buffer;
	owned_buffer told = { 0 };
	struct rows_result counts;
	int result = task_tell_rows(path, "the test before", &request, &told, &counts, error);

	if (result < 0 || counts.inserted + counts.updated + counts.deleted + counts.schema == 0)
		return result;
	text_buffer_add_text(out, blaming->has_databases ? ",\n" : "\n");
	text_buffer_add(out, told.bytes, told.length);
	blaming->has_databases = true;
	return 0;
}

static unsigned free_number(const struct blaming *blaming)
{
	const struct marks *const lists[] = { &blaming->databases_before, &blaming->databases_now };
	unsigned free = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t j = 0; j < lists[i]->count; j++) {
			unsigned taken = number_of(&lists[i]->items[j]);

			free = MAX(free, taken + 1);
		}
	return free;
}

/* One that cannot be copied, since it is locked or damaged, is compared next time. */
static int look_at_database(struct blaming *blaming, const char *path, struct error *error)
{
	const struct mark *before = find_before(&blaming->databases_before, path);
	const char *seen = before ? strchr(before->note, ' ') : NULL;
	const struct database_snapshot_request request = { .source = path,
							   .target_fd = blaming->place_fd,
							   .target_name = COPY_NEW,
							   .busy_timeout_ms = BUSY_TIMEOUT_MS };
	owned_text signature = signature_of(path);
	owned_text number = text_format("%u", before ? number_of(before) : free_number(blaming));
	struct database_report ignored;
	struct error problem = { 0 };
	int result;

	if (seen && text_equal(seen, signature) && !text_equal(signature, SIGNATURE_NONE)) {
		add_mark(&blaming->databases_now, 'B', path, text_duplicate(before->note));
		return 0;
	}
	(void)unlinkat(blaming->place_fd, COPY_NEW, 0); /* of a task that was killed */
	result = database_snapshot(&request, &ignored, &problem);
	if (result == 0 && !blaming->is_first)
		result = tell_rows(blaming, path, before ? number : NULL, COPY_NEW, &problem);
	if (result < 0) {
		(void)unlinkat(blaming->place_fd, COPY_NEW, 0);
		add_problem(blaming, path, &problem);
		if (before)
			add_mark(&blaming->databases_now, 'B', path, text_format("%s" SIGNATURE_NONE, number));
		return 0;
	}
	if (renameat(blaming->place_fd, COPY_NEW, blaming->place_fd, number) < 0)
		return error_set(error, .number = errno, .step = STEP_BLAME, .object = path);
	add_mark(&blaming->databases_now, 'B', path, text_format("%s%s", number, signature));
	return 0;
}

static bool has_path(const struct text_list *paths, const char *path)
{
	for (size_t i = 0; i < paths->count; i++)
		if (text_equal(paths->items[i], path))
			return true;
	return false;
}

static int look_at_databases(struct blaming *blaming, struct error *error)
{
	owned_list paths = { 0 };
	int result = task_database_gather(blaming->world, &paths, error);

	for (size_t i = 0; i < paths.count; i++)
		if (access(paths.items[i], F_OK) == 0)
			text_list_add(&blaming->databases, paths.items[i]);
	for (size_t i = 0; i < blaming->databases.count && result == 0; i++)
		result = look_at_database(blaming, blaming->databases.items[i], error);
	/* Those that are gone. */
	for (size_t i = 0; i < blaming->databases_before.count && result == 0; i++) {
		const struct mark *before = &blaming->databases_before.items[i];
		owned_text number = text_format("%u", number_of(before));
		struct error problem = { 0 };

		if (has_path(&blaming->databases, before->path))
			continue;
		if (tell_rows(blaming, before->path, number, NULL, &problem) < 0)
			add_problem(blaming, before->path, &problem);
		(void)unlinkat(blaming->place_fd, number, 0);
	}
	return result;
}

/* ---- files ---- */

static int on_file(void *argument, const struct diff_entry *entry, const char *path)
{
	struct blaming *blaming = argument;

	for (size_t i = 0; i < blaming->databases.count; i++)
		if (database_owns_file(blaming->databases.items[i], path))
			return 0;
	for (size_t i = 0; i < blaming->databases_before.count; i++)
		if (database_owns_file(blaming->databases_before.items[i].path, path))
			return 0;
	add_mark(&blaming->files, (char)entry->kind, path,
		 text_format("%lld %llu %o", S_ISDIR(entry->mode) ? 0LL : (long long)entry->changed_ns,
			     (unsigned long long)entry->bytes, (unsigned)entry->mode));
	return 0;
}

static void tell_file(struct blaming *blaming, unsigned *count, char kind, const char *path)
{
	struct text_buffer *out = &blaming->output.buffer;
	const char text[] = { kind, '\0' };

	if ((*count)++ >= FILES_TOLD_MAX) {
		blaming->missed++;
		return;
	}
	json_begin_object(out, NULL);
	json_add_text(out, "kind", text);
	json_add_text(out, "path", path);
	json_end_object(out);
}

/* What had been changed and is not any more: removed again, or brought back. */
static char kind_of_undone(const struct mark *before)
{
	return before->kind == 'A' ? 'D' : before->kind == 'D' ? 'A' : 'C';
}

static char kind_of_changed(const struct mark *before, const struct mark *now)
{
	if (before->kind == 'D' || now->kind == 'D')
		return now->kind == 'D' ? 'D' : 'A';
	return 'C';
}

static void tell_files(struct blaming *blaming)
{
	const struct marks *before = &blaming->files_before;
	const struct marks *now = &blaming->files;
	unsigned count = 0;

	for (size_t i = 0, j = 0; i < before->count || j < now->count;) {
		int order = i == before->count ? 1
			    : j == now->count  ? -1
					       : compare_marks(&before->items[i], &now->items[j]);

		if (order < 0)
			tell_file(blaming, &count, kind_of_undone(&before->items[i]), before->items[i].path);
		else if (order > 0)
			tell_file(blaming, &count, now->items[j].kind, now->items[j].path);
		else if (before->items[i].kind != now->items[j].kind ||
			 !text_equal(before->items[i].note, now->items[j].note))
			tell_file(blaming, &count, kind_of_changed(&before->items[i], &now->items[j]),
				  now->items[j].path);
		i += order <= 0;
		j += order >= 0;
	}
}

int task_blame(const struct world *world, int out_fd, struct error *error)
{
	__attribute__((cleanup(blaming_release))) struct blaming blaming = { .world = world,
									     .place_fd = -1,
									     .output = { .fd = out_fd } };
	struct text_buffer *out = &blaming.output.buffer;
	int result = open_place(&blaming, error);

	if (result < 0)
		return result;
	json_begin_object(out, NULL);
	json_add_bool(out, "first", blaming.is_first);
	json_begin_array(out, "databases");
	result = look_at_databases(&blaming, error);
	text_buffer_add_text(out, "]");
	json_begin_array(out, "files");
	if (result == 0)
		result = task_diff_each(world, on_file, &blaming, error);
	if (result < 0)
		return result;
	if (blaming.files.count > 1)
		qsort(blaming.files.items, blaming.files.count, sizeof(struct mark), compare_marks);
	if (!blaming.is_first)
		tell_files(&blaming);
	json_end_array(out);
	json_add_number(out, "missed", blaming.missed);
	text_buffer_format(out, ",\"problems\":[%s]", blaming.problems.length > 0 ? blaming.problems.bytes : "");
	json_end_object(out);
	text_buffer_add_text(out, "\n");
	result = write_state(&blaming, error);
	return result < 0 ? result : task_output_end(&blaming.output, error);
}
