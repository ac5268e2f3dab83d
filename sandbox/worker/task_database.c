/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: databases are those that were copied into the world and those that programs made in the tree since. All
 * of them are opened through the merged view, where their programs have them open too (overlay/query.h). Names, values
 * and SQLite's own structures are the payload's; nothing here trusts them. */
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
#include "overlay/database.h"
#include "overlay/query.h"
#include "sandbox/worker/task_parts.h"

enum {
	LIST_BUSY_TIMEOUT_MS = 1000, /* a listing goes on without a database that is locked for longer */
	TABLE_BYTES_MAX = 64 << 20,  /* a table is laid out as a whole */
};

/* ---- how they were filled ---- */

void world_database_note(struct world_database *database, int directory_fd, const char *name)
{
	struct stat status;

	if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return; /* then it is not known, and `diff` lists it */
	database->is_noted = true;
	database->bytes = (uint64_t)status.st_size;
	database->modified_ns = clock_to_ns(&status.st_mtim);
	database->mode = status.st_mode;
}

void world_databases_release(struct world_database *databases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(databases[i].path);
		free(databases[i].detail);
	}
	free(databases);
}

enum database_state task_database_state(const struct world_database *database)
{
	owned_text wal = text_format("%s-wal", database->path);
	struct stat status;

	if (lstat(database->path, &status) < 0 || !S_ISREG(status.st_mode))
		return DATABASE_UNKNOWN;
	if (database->is_noted && (database->bytes != (uint64_t)status.st_size || database->mode != status.st_mode ||
				   database->modified_ns != clock_to_ns(&status.st_mtim)))
		return DATABASE_CHANGED;
	/* Rows that are in the WAL only; one that was merged and begun anew went into the file. */
	if (lstat(wal, &status) == 0 && status.st_size > 0)
		return DATABASE_CHANGED;
	return database->is_noted ? DATABASE_AS_FILLED : DATABASE_UNKNOWN;
}

/* ---- which there are ---- */

static const struct world_database *find_filled(const struct world *world, const char *path)
{
	for (size_t i = 0; i < world->database_count; i++)
		if (text_equal(world->databases[i].path, path))
			return &world->databases[i];
	return NULL;
}

int task_database_gather(const struct world *world, struct text_list *ret_paths, struct error *error)
{
	struct database_discovery found = { 0 };
	owned_fd tree_fd = path_open(AT_FDCWD, world->plan->tree, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);
	int result;

	if (tree_fd < 0)
		return error_set(error, .number = -tree_fd, .step = "open the tree", .object = world->plan->tree);
	for (size_t i = 0; i < world->database_count; i++)
		text_list_add(ret_paths, world->databases[i].path);
	result = database_discover(tree_fd, &found, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < found.names.count; i++) {
		owned_text path = path_join(world->plan->tree, found.names.items[i]);

		if (!find_filled(world, path))
			text_list_add(ret_paths, path);
	}
	database_discovery_release(&found);
	return 0;
}

static int refuse_choice(const struct text_list *paths, struct error *error)
{
	owned_buffer cause = { 0 };

	if (paths->count == 0)
		return error_set(error, .number = ENOENT, .step = "choose a database",
				 .cause = "the worker has none in its tree, and none was named when it started",
				 .remedy = "name one with --db PATH");
	text_buffer_add_text(&cause, "there are several: ");
	for (size_t i = 0; i < paths->count; i++)
		text_buffer_format(&cause, "%s%s", i > 0 ? ", " : "", paths->items[i]);
	return error_set(error, .number = EINVAL, .step = "choose a database", .cause = cause.bytes,
			 .remedy = "name one with --db PATH");
}

int task_database_choose(const struct world *world, const char *word, char **ret_path, struct error *error)
{
	owned_text below_tree = path_join(world->plan->tree, word);
	owned_text ending = text_format("/%s", word);
	owned_list paths = { 0 };
	const char *match = NULL;
	int result;

	if (word[0] == '/' || (word[0] != '\0' && faccessat(AT_FDCWD, below_tree, F_OK, 0) == 0)) {
		*ret_path = text_duplicate(word[0] == '/' ? word : below_tree);
		return 0;
	}
	result = task_database_gather(world, &paths, error);
	if (result < 0)
		return result;
	if (word[0] == '\0' && paths.count != 1)
		return refuse_choice(&paths, error);
	for (size_t i = 0; i < paths.count; i++) {
		if (word[0] != '\0' && !text_ends_with(paths.items[i], ending))
			continue;
		if (match)
			return refuse_choice(&paths, error);
		match = paths.items[i];
	}
	*ret_path = text_duplicate(match ? match : below_tree);
	return 0;
}

/* ---- db ls ---- */

static const struct table_column list_columns[] = {
	{ "path", "PATH", TABLE_TEXT, 0, NULL },	{ "bytes", "SIZE", TABLE_BYTES, 0, NULL },
	{ "journal", "JOURNAL", TABLE_TEXT, 0, NULL },	{ "tables", "TABLES", TABLE_NUMBER, 0, NULL },
	{ "changed", "CHANGED", TABLE_TRUTH, 0, NULL }, { "problem", "PROBLEM", TABLE_TEXT, 0, NULL },
};

/* What is asked of each, in this order. */
static const char list_questions[] = "PRAGMA journal_mode; PRAGMA page_size; PRAGMA page_count;"
				     "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND"
				     " name NOT LIKE 'sqlite!_%' ESCAPE '!'";

struct listed {
	unsigned statement;
	char journal[16];
	uint64_t numbers[4]; /* by statement; [0] is not used */
};

static int listed_columns(void *argument, unsigned statement, unsigned count, const char *const *names,
			  struct error *error)
{
	struct listed *listed = argument;

	(void)count, (void)names, (void)error;
	listed->statement = statement;
	return 0;
}

static int listed_row(void *argument, unsigned count, const struct query_value *values, struct error *error)
{
	struct listed *listed = argument;

	(void)count, (void)error;
	if (listed->statement == 0 && values[0].bytes)
		text_copy(listed->journal, sizeof(listed->journal), values[0].bytes);
	else if (listed->statement < ARRAY_SIZE(listed->numbers) && values[0].bytes)
		(void)number_parse(values[0].bytes, 0, INT64_MAX, &listed->numbers[listed->statement]);
	return 0;
}

static void add_database(struct table *table, const struct world *world, const char *path)
{
	const struct world_database *filled = find_filled(world, path);
	enum database_state state = filled ? task_database_state(filled) : DATABASE_UNKNOWN;
	struct listed listed = { 0 };
	struct query query = { .path = path, .sql = list_questions, .busy_timeout_ms = LIST_BUSY_TIMEOUT_MS };
	struct query_sink sink = { .argument = &listed, .columns = listed_columns, .row = listed_row };
	struct query_result ignored;
	struct error error = { 0 };
	uint64_t bytes;

	table_add_text(table, path);
	if (query_run(&query, &sink, &ignored, &error) < 0) {
		for (size_t i = 0; i < 4; i++)
			table_add_missing(table);
		table_add_text(table, error.cause[0] ? error.cause : strerror(error.number));
		return;
	}
	if (__builtin_mul_overflow(listed.numbers[1], listed.numbers[2], &bytes))
		bytes = 0;
	table_add_number(table, (int64_t)bytes);
	table_add_text(table, listed.journal);
	table_add_number(table, (int64_t)listed.numbers[3]);
	if (state == DATABASE_UNKNOWN)
		table_add_missing(table);
	else
		table_add_number(table, state == DATABASE_CHANGED);
	table_add_missing(table);
}

int task_database_list(const struct world *world, int out_fd, enum table_format format, struct error *error)
{
	struct table_options options = { .format = format, .no_trunc = true };
	owned_table table = { .columns = list_columns, .column_count = ARRAY_SIZE(list_columns) };
	owned_output output = { .fd = out_fd };
	owned_list paths = { 0 };
	int result = task_database_gather(world, &paths, error);

	if (result < 0)
		return result;
	for (size_t i = 0; i < paths.count; i++)
		add_database(&table, world, paths.items[i]);
	table_format(&table, &options, &output.buffer);
	return task_output_end(&output, error);
}

/* ---- db query ---- */

struct answer {
	enum table_format format;
	struct task_output output;
	/* The statement whose rows come in. */
	struct text_list names;
	struct table_column *columns; /* of a table */
	struct table table;
	size_t table_bytes;
	bool is_open;
	bool has_rows;
	bool has_answers;
};

static void end_statement(struct answer *answer)
{
	struct table_options options = { .no_trunc = true };

	if (!answer->is_open)
		return;
	if (answer->format == TABLE_FORMAT_JSON)
		text_buffer_add_text(&answer->output.buffer, answer->has_rows ? "\n]\n" : "]\n");
	else
		table_format(&answer->table, &options, &answer->output.buffer);
	table_release(&answer->table);
	text_list_release(&answer->names);
	free(answer->columns);
	answer->columns = NULL;
	answer->table_bytes = 0;
	answer->is_open = false;
	answer->has_answers = true;
}

static void answer_release(struct answer *answer)
{
	table_release(&answer->table);
	text_list_release(&answer->names);
	free(answer->columns);
	task_output_release(&answer->output);
}

static int on_columns(void *argument, unsigned statement, unsigned count, const char *const *names, struct error *error)
{
	struct answer *answer = argument;
	bool is_table = answer->format == TABLE_FORMAT_TABLE;

	(void)statement;
	end_statement(answer);
	if (answer->has_answers && is_table)
		text_buffer_add_text(&answer->output.buffer, "\n");
	answer->columns = calloc(count, sizeof(*answer->columns));
	if (!answer->columns)
		abort();
	for (unsigned i = 0; i < count; i++)
		/* The payload chose the names: a head must not command the terminal any more than a cell. */
		text_list_take(&answer->names, is_table ? text_escaped(names[i]) : text_duplicate(names[i]));
	for (unsigned i = 0; i < count; i++)
		answer->columns[i] = (struct table_column){ .name = answer->names.items[i],
							    .title = answer->names.items[i],
							    .kind = TABLE_TEXT };
	answer->table = (struct table){ .columns = answer->columns, .column_count = count };
	answer->is_open = true;
	answer->has_rows = false;
	if (!is_table)
		json_begin_array(&answer->output.buffer, NULL);
	return task_output_continue(&answer->output, error);
}

static char *hexadecimal(const struct query_value *value)
{
	char *text = malloc(2 * value->size + 1);

	if (!text)
		abort();
	for (size_t i = 0; i < value->size; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", (unsigned char)value->bytes[i]);
	text[2 * value->size] = '\0';
	return text;
}

/* ---- one value ---- */

/* A text may hold NULs, which strings here cannot: the JSON of its pieces, joined. */
static void add_json_text(struct text_buffer *out, const char *name, const struct query_value *value)
{
	owned_buffer joined = { 0 };
	const char *end = value->bytes + value->size;

	for (const char *piece = value->bytes; piece <= end; piece += strlen(piece) + 1) {
		owned_buffer json = { 0 };

		json_add_text(&json, NULL, piece);
		text_buffer_add_text(&joined, piece == value->bytes ? "\"" : "\\u0000");
		text_buffer_add(&joined, json.bytes + 1, json.length - 2);
	}
	text_buffer_add_text(&joined, "\"");
	json_add_raw(out, name, joined.bytes);
}

void task_add_json_value(struct text_buffer *out, const char *name, const struct query_value *value)
{
	owned_text hex = NULL;

	switch (value->type) {
	case QUERY_NULL:
		json_add_null(out, name);
		return;
	case QUERY_INTEGER:
		json_add_raw(out, name, value->bytes);
		return;
	case QUERY_REAL:
		/* JSON has no infinity; what SQLite's own shell writes reads back as one. */
		json_add_raw(out, name,
			     text_equal(value->bytes, "Inf")	? "9.0e+999"
			     : text_equal(value->bytes, "-Inf") ? "-9.0e+999"
								: value->bytes);
		return;
	case QUERY_TEXT:
		add_json_text(out, name, value);
		return;
	case QUERY_BLOB:
		hex = hexadecimal(value);
		json_add_text(out, name, hex);
		return;
	}
}

static void add_cell(struct answer *answer, const struct query_value *value)
{
	owned_text hex = NULL;
	owned_text literal = NULL;

	answer->table_bytes += value->size;
	switch (value->type) {
	case QUERY_NULL:
		table_add_missing(&answer->table);
		return;
	case QUERY_BLOB:
		hex = hexadecimal(value);
		literal = text_format("x'%s'", hex);
		table_add_text(&answer->table, literal);
		return;
	case QUERY_INTEGER:
	case QUERY_REAL:
	case QUERY_TEXT:
		table_add_text(&answer->table, value->bytes);
		return;
	}
}

static int on_row(void *argument, unsigned count, const struct query_value *values, struct error *error)
{
	struct answer *answer = argument;
	struct text_buffer *out = &answer->output.buffer;

	if (answer->format == TABLE_FORMAT_JSON) {
		text_buffer_add_text(out, answer->has_rows ? ",\n" : "\n");
		json_begin_object(out, NULL);
		for (unsigned i = 0; i < count; i++)
			task_add_json_value(out, answer->names.items[i], &values[i]);
		json_end_object(out);
		answer->has_rows = true;
		return task_output_continue(&answer->output, error);
	}
	for (unsigned i = 0; i < count; i++)
		add_cell(answer, &values[i]);
	answer->table_bytes += count * sizeof(struct query_value);
	if (answer->table_bytes > TABLE_BYTES_MAX)
		return error_set(error, .number = EFBIG, .step = "show the rows as a table",
				 .cause = "there is too much for one table",
				 .remedy = "ask for less (LIMIT), or use --format json, which has no bound");
	return 0;
}

int task_database_query(const struct world *world, int out_fd, enum table_format format, const char *database,
			const char *sql, struct error *error)
{
	__attribute__((cleanup(answer_release))) struct answer answer = { .format = format,
									  .output = { .fd = out_fd } };
	struct query_sink sink = { .argument = &answer, .columns = on_columns, .row = on_row };
	owned_text path = NULL;
	struct query query = { .sql = sql };
	struct query_result ignored;
	int result = task_database_choose(world, database, &path, error);

	if (result < 0)
		return result;
	query.path = path;
	result = query_run(&query, &sink, &ignored, error);
	/* What came before the statement that failed is an answer all the same. */
	if (result >= 0 || format == TABLE_FORMAT_TABLE)
		end_statement(&answer);
	if (result < 0) {
		(void)task_output_end(&answer.output, NULL);
		return result;
	}
	return task_output_end(&answer.output, error);
}
