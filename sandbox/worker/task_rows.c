/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a live database is read through the merged view, in one transaction, so that its programs' locks and
 * SQLite's meet. What the world was filled with is in the layers below, which the view covers: the seed's copy at rest,
 * or the source on the host, whose own programs may be writing to it; it is read without a trace (base/sqlite.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "overlay/changeset.h"
#include "overlay/database.h"
#include "overlay/rows.h"
#include "sandbox/worker/task_parts.h"

enum {
	TABLE_BYTES_MAX = 64 << 20, /* a table is laid out as a whole */
	VALUE_SHOWN_MAX = 120,	    /* bytes of one value in a table */
	FEW_ROWS = 20,		    /* of a table, where a few are wanted */
};

/* ---- what it was ---- */

/* A database, and what it is compared with. */
struct pair {
	const char *path;
	struct rows_request request;
	const char *against; /* in words */
	int before_fd;
	char *before_name;
	int after_fd;
	char *after_name;
};

static void pair_release(struct pair *pair)
{
	fd_close(&pair->before_fd);
	fd_close(&pair->after_fd);
	text_free(&pair->before_name);
	text_free(&pair->after_name);
}

/* @return 1 found, 0 there is none, or -errno */
static int find_below(int layer_fd, const char *below, int *ret_directory, char **ret_name)
{
	owned_text parent = path_parent(below);
	owned_fd directory =
		layer_fd < 0 ? -ENOENT : path_open(layer_fd, parent, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	struct stat status;

	if (directory < 0)
		return directory == -ENOENT || directory == -ENOTDIR ? 0 : directory;
	if (fstatat(directory, path_name(below), &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(status.st_mode))
		return S_ISCHR(status.st_mode) ? 1 : 0; /* a whiteout: it was not there, whatever lies below */
	*ret_directory = fd_take(&directory);
	*ret_name = text_duplicate(path_name(below));
	return 1;
}

/* The host's file, to which its programs may be writing. In WAL mode SQLite cannot read one that no program has open
 * without making files beside it: then it is at rest, if there is nothing in its WAL. */
static enum sqlite_rule rule_of_source(const struct pair *pair)
{
	owned_text wal = text_format("%s-wal", pair->before_name);
	owned_database database = NULL;
	struct stat status;
	int64_t ignored;
	int code = sqlite_open(pair->before_fd, pair->before_name, SQLITE_RULE_UNTOUCHED, &database);

	if (code == SQLITE_OK)
		code = sqlite_number(database, "SELECT count(*) FROM sqlite_schema", &ignored);
	if ((code & 0xff) != SQLITE_CANTOPEN)
		return SQLITE_RULE_UNTOUCHED;
	return fstatat(pair->before_fd, wal, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_size > 0
		       ? SQLITE_RULE_UNTOUCHED
		       : SQLITE_RULE_AT_REST;
}

static int find_start(const struct world *world, struct pair *pair, struct error *error)
{
	enum sqlite_rule rule = SQLITE_RULE_AT_REST;
	const struct layer *layer = layers_find(&world->layers, pair->path);
	const char *below = layer && !text_equal(layer->path, pair->path) ? path_below(pair->path, layer->path) : NULL;
	int result = 0;

	pair->against = "nothing: it was not there at the start";
	if (below) {
		result = find_below(layer->seed_fd, below, &pair->before_fd, &pair->before_name);
		if (result == 1 && pair->before_fd >= 0)
			pair->against = "the seed";
	}
	if (below && result == 0) {
		result = find_below(layer->lower_fd, below, &pair->before_fd, &pair->before_name);
		if (result == 1 && pair->before_fd >= 0) {
			pair->against = "the host's file as it is now";
			rule = rule_of_source(pair);
		}
	}
	if (result < 0)
		return error_set(error, .number = -result, .step = "find what the worker started with",
				 .object = pair->path, .remedy = "compare with another worker: --against WORKER");
	pair->request.before = (struct rows_side){
		.path = pair->path, .directory_fd = pair->before_fd, .name = pair->before_name, .rule = rule
	};
	return 0;
}

/* One that the app has removed is a database without tables. */
static int find_live(struct pair *pair, struct error *error)
{
	int result = database_locate(pair->path, "compare the rows of", &pair->after_fd, &pair->after_name, error);

	if (result < 0 && (result != -ENOENT || !pair->before_name))
		return result;
	if (result < 0)
		*error = (struct error){ 0 };
	pair->request.after = (struct rows_side){
		.path = pair->path, .directory_fd = pair->after_fd, .name = pair->after_name, .rule = SQLITE_RULE_WRITE
	};
	return 0;
}

/* ---- telling ---- */

static const char *const kinds[] = {
	[ROWS_INSERTED] = "inserted",
	[ROWS_UPDATED] = "updated",
	[ROWS_DELETED] = "deleted",
};

static const char *const fates[] = {
	[ROWS_SAME] = "same",
	[ROWS_MADE] = "made",
	[ROWS_DROPPED] = "dropped",
	[ROWS_ALTERED] = "altered",
};

struct telling {
	struct task_output output;
	bool has_items; /* the JSON array that is open has some */
	bool has_rows;
	bool is_short;		   /* FEW_ROWS a table, long values cut, nothing is written */
	unsigned rows;		   /* of the table so far */
	struct text_buffer schema; /* JSON objects */
	struct table table;
	size_t table_bytes;
};

static void telling_release(struct telling *telling)
{
	table_release(&telling->table);
	text_buffer_release(&telling->schema);
	task_output_release(&telling->output);
}

static struct query_value shown_value(const struct rows_value *value, char **ret_text)
{
	struct query_value shown = { .type = value->type, .bytes = value->bytes, .size = value->size };

	if (value->type == QUERY_INTEGER || value->type == QUERY_REAL) {
		*ret_text = rows_value_text(value);
		shown.bytes = *ret_text;
		shown.size = strlen(shown.bytes);
	}
	return shown;
}

/* ---- as JSON ---- */

static int go_on(struct telling *telling, struct error *error)
{
	return telling->is_short ? 0 : task_output_continue(&telling->output, error);
}

/* By hand, since what stands before may have been written already. */
static void begin_item(struct telling *telling, bool *has_items)
{
	text_buffer_add_text(&telling->output.buffer, *has_items ? ",\n" : "\n");
	*has_items = true;
}

static int json_schema(void *argument, const char *type, const char *name, enum rows_fate fate, struct error *error)
{
	struct telling *telling = argument;

	(void)error;
	if (telling->schema.length > 0)
		text_buffer_add_text(&telling->schema, ",");
	json_begin_object(&telling->schema, NULL);
	json_add_text(&telling->schema, "type", type);
	json_add_text(&telling->schema, "name", name);
	json_add_text(&telling->schema, "change", fates[fate]);
	json_end_object(&telling->schema);
	return 0;
}

static int json_table(void *argument, const struct rows_table *table, struct error *error)
{
	struct telling *telling = argument;
	struct text_buffer *out = &telling->output.buffer;

	begin_item(telling, &telling->has_items);
	json_begin_object(out, NULL);
	json_add_text(out, "name", table->name);
	json_add_text(out, "change", fates[table->fate]);
	json_add_text(out, "problem", table->problem);
	json_begin_array(out, "key");
	for (unsigned i = 0; i < table->column_count; i++)
		if (table->key[i])
			json_add_text(out, NULL, table->columns[i]);
	json_end_array(out);
	json_begin_array(out, "rows");
	telling->has_rows = false;
	telling->rows = 0;
	return go_on(telling, error);
}

static void add_values(const struct telling *telling, struct text_buffer *out, const char *name,
		       const struct rows_table *table, const struct rows_value *values)
{
	if (!values) {
		json_add_null(out, name);
		return;
	}
	json_begin_object(out, name);
	for (unsigned i = 0; i < table->column_count; i++) {
		owned_text text = NULL;
		struct query_value shown = shown_value(&values[i], &text);
		owned_text cut = NULL;

		/* With a NUL behind it, as text has to have. */
		if (telling->is_short && shown.size > VALUE_SHOWN_MAX) {
			cut = strndup(shown.bytes, VALUE_SHOWN_MAX);
			if (!cut)
				abort();
			shown.size = shown.type == QUERY_TEXT ? strlen(cut) : VALUE_SHOWN_MAX;
			shown.bytes = shown.type == QUERY_TEXT ? cut : shown.bytes;
		}

		task_add_json_value(out, table->columns[i], &shown);
	}
	json_end_object(out);
}

static int json_row(void *argument, enum rows_kind kind, const struct rows_table *table,
		    const struct rows_value *before, const struct rows_value *after, struct error *error)
{
	struct telling *telling = argument;
	struct text_buffer *out = &telling->output.buffer;

	if (telling->is_short && telling->rows++ >= FEW_ROWS)
		return 0;
	begin_item(telling, &telling->has_rows);
	json_begin_object(out, NULL);
	json_add_text(out, "change", kinds[kind]);
	add_values(telling, out, "before", table, before);
	add_values(telling, out, "after", table, after);
	json_end_object(out);
	return go_on(telling, error);
}

static void add_counts(struct text_buffer *out, uint64_t inserted, uint64_t updated, uint64_t deleted)
{
	json_add_number(out, "inserted", (int64_t)inserted);
	json_add_number(out, "updated", (int64_t)updated);
	json_add_number(out, "deleted", (int64_t)deleted);
}

static int json_end(void *argument, const struct rows_table *table, uint64_t inserted, uint64_t updated,
		    uint64_t deleted, struct error *error)
{
	struct telling *telling = argument;
	struct text_buffer *out = &telling->output.buffer;

	(void)table;
	text_buffer_add_text(out, "]");
	add_counts(out, inserted, updated, deleted);
	json_end_object(out);
	return go_on(telling, error);
}

static int tell_json(struct telling *telling, const struct pair *pair, struct rows_result *ret_counts,
		     struct error *error)
{
	const struct rows_sink sink = {
		.argument = telling, .schema = json_schema, .table = json_table, .row = json_row, .end = json_end
	};
	struct text_buffer *out = &telling->output.buffer;
	int result;

	json_begin_object(out, NULL);
	json_add_text(out, "database", pair->path);
	json_add_text(out, "against", pair->against);
	json_begin_array(out, "tables");
	telling->has_items = false;
	result = rows_compare(&pair->request, &sink, ret_counts, error);
	if (result < 0)
		return result;
	text_buffer_add_text(out, "]");
	text_buffer_format(out, ",\"schema\":[%s]", telling->schema.length > 0 ? telling->schema.bytes : "");
	add_counts(out, ret_counts->inserted, ret_counts->updated, ret_counts->deleted);
	json_end_object(out);
	return go_on(telling, error);
}

int task_tell_rows(const char *path, const char *against, const struct rows_request *request, struct text_buffer *out,
		   struct rows_result *ret_counts, struct error *error)
{
	__attribute__((cleanup(telling_release))) struct telling telling = { .output = { .fd = -1 }, .is_short = true };
	const struct pair pair = { .path = path, .request = *request, .against = against };
	int result = tell_json(&telling, &pair, ret_counts, error);

	if (result == 0)
		text_buffer_add(out, telling.output.buffer.bytes, telling.output.buffer.length);
	return result;
}

/* ---- as a table ---- */

static const struct table_column columns[] = {
	{ "table", "TABLE", TABLE_TEXT, 0, NULL },
	{ "change", "CHANGE", TABLE_TEXT, 0, NULL },
	{ "key", "KEY", TABLE_TEXT, 0, NULL },
	{ "values", "VALUES", TABLE_TEXT, 0, NULL },
};

static int add_line(struct telling *telling, const char *table, const char *change, const char *key, const char *values,
		    struct error *error)
{
	telling->table_bytes += strlen(table) + strlen(key) + strlen(values) + 4 * sizeof(void *);
	if (telling->table_bytes > TABLE_BYTES_MAX)
		return error_set(error, .number = EFBIG, .step = "show the rows as a table",
				 .cause = "there is too much for one table",
				 .remedy = "use --format json, which has no bound");
	table_add_text(&telling->table, table);
	table_add_text(&telling->table, change);
	table_add_text(&telling->table, key);
	table_add_text(&telling->table, values);
	return 0;
}

static int table_schema(void *argument, const char *type, const char *name, enum rows_fate fate, struct error *error)
{
	owned_text what = text_format("%s %s", type, fates[fate]);

	return add_line(argument, name, what, "", "", error);
}

static int table_table(void *argument, const struct rows_table *table, struct error *error)
{
	if (!table->problem)
		return 0;
	return add_line(argument, table->name, "not compared", "", table->problem, error);
}

/* 'text', 5, x'00ff' (500 bytes), NULL: texts in quotes, so that they are no numbers. */
static void add_value(struct text_buffer *out, const struct rows_value *value)
{
	owned_text text = rows_value_text(value);
	size_t length = strlen(text);
	char shown[VALUE_SHOWN_MAX];

	text_copy(shown, sizeof(shown), text);
	text_buffer_format(out, value->type == QUERY_TEXT ? "'%s" : "%s", shown);
	if (strlen(shown) < length)
		text_buffer_format(out, "... (%zu bytes)", value->size);
	else if (value->type == QUERY_TEXT)
		text_buffer_add_text(out, "'");
}

static int table_row(void *argument, enum rows_kind kind, const struct rows_table *table,
		     const struct rows_value *before, const struct rows_value *after, struct error *error)
{
	const struct rows_value *values = after ? after : before;
	owned_buffer key = { 0 };
	owned_buffer rest = { 0 };

	text_buffer_add_text(&key, "");
	text_buffer_add_text(&rest, "");
	for (unsigned i = 0; i < table->column_count; i++) {
		struct text_buffer *out = table->key[i] ? &key : &rest;
		bool is_changed = kind == ROWS_UPDATED && !rows_value_is_same(&before[i], &after[i]);

		if (kind == ROWS_UPDATED && !is_changed && !table->key[i])
			continue;
		text_buffer_format(out, "%s%s=", out->length > 0 ? ", " : "", table->columns[i]);
		if (is_changed) {
			add_value(out, &before[i]);
			text_buffer_add_text(out, " -> ");
		}
		add_value(out, &values[i]);
	}
	return add_line(argument, table->name, kinds[kind], key.bytes, rest.bytes, error);
}

static int tell_table(struct telling *telling, const struct pair *pair, struct error *error)
{
	const struct rows_sink sink = {
		.argument = telling, .schema = table_schema, .table = table_table, .row = table_row
	};
	const struct table_options options = { .no_trunc = true };
	struct text_buffer *out = &telling->output.buffer;
	struct rows_result counts;
	owned_text shown = text_escaped(pair->path);
	int result = rows_compare(&pair->request, &sink, &counts, error);

	if (result < 0)
		return result;
	text_buffer_format(out, "%s: %llu inserted, %llu updated, %llu deleted (against %s)\n", shown,
			   (unsigned long long)counts.inserted, (unsigned long long)counts.updated,
			   (unsigned long long)counts.deleted, pair->against);
	if (telling->table.cell_count > 0)
		table_format(&telling->table, &options, out);
	return task_output_continue(&telling->output, error);
}

/* ---- all ---- */

/* What the databases are compared with. */
struct comparison {
	const struct world *world;
	bool has_copies; /* else with their start */
	const char *name;
	struct task_copies copies;
	struct text_list paths; /* of the databases to be compared */
};

static void comparison_release(struct comparison *comparison)
{
	task_copies_close(&comparison->copies);
	text_list_release(&comparison->paths);
}

static bool has_path(const struct text_list *paths, const char *path)
{
	for (size_t i = 0; i < paths->count; i++)
		if (text_equal(paths->items[i], path))
			return true;
	return false;
}

static int comparison_open(struct comparison *comparison, int directory_fd, const char *database, const char *against,
			   struct error *error)
{
	static const char snapshot[] = "snapshot/";
	struct text_list *paths = &comparison->paths;
	owned_text chosen = NULL;
	int result = 0;

	comparison->copies.directory_fd = -1;
	comparison->has_copies = against[0] != '\0';
	if (text_starts_with(against, snapshot)) {
		comparison->name = "the snapshot";
		result = task_copies_open_snapshot(comparison->world, against + strlen(snapshot), &comparison->copies,
						   error);
	} else if (comparison->has_copies) {
		comparison->name = "the other worker";
		result = task_copies_open(directory_fd, &comparison->copies, error);
	}
	if (result < 0)
		return result;
	if (database[0]) {
		result = task_database_choose(comparison->world, database, &chosen, error);
		if (chosen)
			text_list_add(paths, chosen);
		return result;
	}
	result = task_database_gather(comparison->world, paths, error);
	/* Those that are gone. */
	for (size_t i = 0; i < comparison->copies.paths.count && paths->count > 0 && result == 0; i++)
		if (paths->count > 1 && !has_path(paths, comparison->copies.paths.items[i]))
			text_list_add(paths, comparison->copies.paths.items[i]);
	if (result == 0 && paths->count == 0)
		for (size_t i = 0; i < comparison->copies.paths.count; i++)
			text_list_add(paths, comparison->copies.paths.items[i]);
	return result;
}

static int find_before(const struct comparison *comparison, struct pair *pair, struct error *error)
{
	int number;

	if (!comparison->has_copies)
		return find_start(comparison->world, pair, error);
	number = task_copies_find(&comparison->copies, pair->path, comparison->paths.count == 1);
	pair->before_name = number < 0 ? NULL : text_format("%d", number);
	pair->against = comparison->name;
	pair->request.before = (struct rows_side){ .path = pair->path,
						   .directory_fd = comparison->copies.directory_fd,
						   .name = pair->before_name,
						   .rule = SQLITE_RULE_AT_REST };
	return 0;
}

static int pair_open(const struct comparison *comparison, const char *path, struct pair *pair, struct error *error)
{
	int result;

	*pair = (struct pair){ .path = path, .before_fd = -1, .after_fd = -1 };
	result = find_before(comparison, pair, error);
	return result < 0 ? result : find_live(pair, error);
}

static int diff_one(const struct comparison *comparison, const char *path, enum table_format format,
		    struct telling *telling, struct error *error)
{
	__attribute__((cleanup(pair_release))) struct pair pair;
	struct rows_result ignored;
	int result = pair_open(comparison, path, &pair, error);

	if (result < 0)
		return result;
	telling->table = (struct table){ .columns = columns, .column_count = ARRAY_SIZE(columns) };
	telling->table_bytes = 0;
	result = format == TABLE_FORMAT_JSON ? tell_json(telling, &pair, &ignored, error)
					     : tell_table(telling, &pair, error);
	table_release(&telling->table);
	text_buffer_release(&telling->schema);
	return result;
}

int task_database_diff(const struct world *world, const int *fds, enum table_format format, const char *database,
		       const char *against, struct error *error)
{
	__attribute__((cleanup(telling_release))) struct telling telling = { .output = { .fd = fds[0] } };
	__attribute__((cleanup(comparison_release))) struct comparison comparison = { .world = world };
	bool is_json = format == TABLE_FORMAT_JSON;
	bool has_databases = false;
	int result = comparison_open(&comparison, fds[1], database, against, error);

	if (is_json)
		text_buffer_add_text(&telling.output.buffer, "[");
	for (size_t i = 0; i < comparison.paths.count && result == 0; i++) {
		if (is_json)
			begin_item(&telling, &has_databases);
		result = diff_one(&comparison, comparison.paths.items[i], format, &telling, error);
	}
	if (result < 0)
		return result;
	text_buffer_add_text(&telling.output.buffer, is_json ? "\n]\n" : "");
	return task_output_end(&telling.output, error);
}

/* ---- changesets ---- */

static int answer(int out_fd, uint64_t changes, const char *name, const struct text_list *list, struct error *error)
{
	owned_output output = { .fd = out_fd };

	json_begin_object(&output.buffer, NULL);
	json_add_number(&output.buffer, "changes", (int64_t)changes);
	json_add_list(&output.buffer, name, list);
	json_end_object(&output.buffer);
	text_buffer_add_text(&output.buffer, "\n");
	return task_output_end(&output, error);
}

int task_database_changeset(const struct world *world, const int *fds, const char *database, const char *against,
			    struct error *error)
{
	__attribute__((cleanup(comparison_release))) struct comparison comparison = { .world = world };
	__attribute__((cleanup(pair_release))) struct pair pair = { .before_fd = -1, .after_fd = -1 };
	owned_output output = { .fd = fds[2] };
	owned_changeset changeset = { 0 };
	owned_text path = NULL;
	int result = task_database_choose(world, database, &path, error);

	if (result == 0)
		result = comparison_open(&comparison, fds[1], path, against, error);
	if (result == 0)
		result = pair_open(&comparison, path, &pair, error);
	if (result == 0)
		result = changeset_make(&pair.request, &changeset, error);
	if (result < 0)
		return result;
	text_buffer_add(&output.buffer, changeset.bytes.bytes, changeset.bytes.length);
	result = task_output_end(&output, error);
	return result < 0 ? result : answer(fds[0], changeset.changes, "left", &changeset.left, error);
}

/* Tables that an application keeps up by triggers, which do not run. */
static int list_virtual(const char *path, struct text_list *ret_tables, struct error *error)
{
	owned_database opened = NULL;
	owned_statement statement = NULL;
	owned_fd directory_fd = -1;
	owned_text name = NULL;
	int result = database_locate(path, "apply the changeset to", &directory_fd, &name, error);
	int code;

	if (result < 0)
		return result;
	code = sqlite_open(directory_fd, name, SQLITE_RULE_WRITE, &opened);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(opened,
					  "SELECT name FROM main.sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'",
					  -1, &statement, NULL);
	while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		const char *table = (const char *)sqlite3_column_text(statement, 0);

		text_list_add(ret_tables, table ? table : "");
		code = SQLITE_OK;
	}
	return code == SQLITE_DONE ? 0 : sqlite_fail(opened, code, "apply the changeset to", path, error);
}

static int read_changeset(int fd, char **ret_bytes, size_t *ret_size, struct error *error)
{
	struct stat status;
	ssize_t size = -1;
	char *bytes = NULL;

	if (fstat(fd, &status) < 0)
		return error_set(error, .number = errno, .step = "read the changeset");
	if (!S_ISREG(status.st_mode) || status.st_size > CHANGESET_BYTES_MAX)
		return error_set(error, .number = S_ISREG(status.st_mode) ? EFBIG : EINVAL,
				 .step = "read the changeset",
				 .cause = S_ISREG(status.st_mode) ? "it has more than 256 MiB" : "it is no file");
	bytes = malloc((size_t)status.st_size + 1);
	if (!bytes)
		abort();
	size = fd_read_all(fd, bytes, (size_t)status.st_size);
	if (size < 0) {
		free(bytes);
		return error_set(error, .number = (int)-size, .step = "read the changeset");
	}
	*ret_bytes = bytes;
	*ret_size = (size_t)size;
	return 0;
}

int task_database_apply(const struct world *world, int out_fd, int file_fd, const char *database, struct error *error)
{
	owned_list tables = { 0 };
	owned_text path = NULL;
	owned_text bytes = NULL;
	owned_text name = NULL;
	owned_fd directory_fd = -1;
	struct changeset_target target;
	uint64_t changes = 0;
	size_t size = 0;
	int result = task_database_choose(world, database, &path, error);

	if (result == 0)
		result = read_changeset(file_fd, &bytes, &size, error);
	if (result == 0)
		result = database_locate(path, "apply the changeset to", &directory_fd, &name, error);
	if (result < 0)
		return result;
	target = (struct changeset_target){ .path = path, .directory_fd = directory_fd, .name = name };
	result = changeset_apply(&target, bytes, size, &changes, error);
	if (result == 0)
		result = list_virtual(path, &tables, error);
	return result < 0 ? result : answer(out_fd, changes, "rebuild", &tables, error);
}
