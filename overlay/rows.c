/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/rows.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macro.h"
#include "base/text.h"

#define STEP_ROWS "compare the rows of"

struct side {
	const struct rows_side *asked;
	sqlite3 *database;
	char *encoding;
};

struct comparison {
	struct side before;
	struct side after;
	const struct rows_sink *sink;
	struct rows_result *result;
};

static int fail(const struct side *side, int code, struct error *error)
{
	return sqlite_fail(side->database, code, STEP_ROWS, side->asked->path, error);
}

/* ---- opening ---- */

static int read_encoding(struct side *side, struct error *error)
{
	owned_statement statement = NULL;
	int code = sqlite3_prepare_v2(side->database, "PRAGMA encoding", -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code != SQLITE_ROW)
		return fail(side, code, error);
	side->encoding = text_duplicate((const char *)sqlite3_column_text(statement, 0));
	return 0;
}

/* A transaction that sees one state until the end; the first read takes its lock. */
static int side_open(struct side *side, unsigned busy_ms, struct error *error)
{
	const struct rows_side *asked = side->asked;
	int64_t ignored;
	int code = asked->name ? sqlite_open(asked->directory_fd, asked->name, asked->rule, &side->database)
			       : sqlite3_open(":memory:", &side->database);

	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(side->database, (int)MIN(busy_ms, (unsigned)INT32_MAX));
	if (code == SQLITE_OK)
		code = sqlite_run(side->database, "PRAGMA temp_store=MEMORY; PRAGMA query_only=ON; BEGIN");
	if (code == SQLITE_OK)
		code = sqlite_number(side->database, "SELECT count(*) FROM sqlite_schema", &ignored);
	if (code != SQLITE_ROW)
		return fail(side, code, error);
	return read_encoding(side, error);
}

static void comparison_release(struct comparison *comparison)
{
	sqlite_close(&comparison->before.database);
	sqlite_close(&comparison->after.database);
	text_free(&comparison->before.encoding);
	text_free(&comparison->after.encoding);
}

/* ---- the schema ---- */

struct part {
	char *type;
	char *name;
	char *sql;
	bool is_virtual;
	bool without_rowid;
};

struct parts {
	struct part *items;
	size_t count;
};

static void parts_release(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++) {
		text_free(&parts->items[i].type);
		text_free(&parts->items[i].name);
		text_free(&parts->items[i].sql);
	}
	free(parts->items);
	*parts = (struct parts){ 0 };
}
#define owned_parts __attribute__((cleanup(parts_release))) struct parts

static char *column_copy(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text_duplicate(text ? text : "");
}

/* The schema's parts but for SQLite's own, and for shadow tables, which are their virtual table's business. */
#define PARTS_OF                                                                                                       \
	"SELECT s.type, s.name, coalesce(s.sql, ''), coalesce(l.type, '') = 'virtual', coalesce(l.wr, 0)"              \
	" FROM main.sqlite_schema AS s LEFT JOIN pragma_table_list AS l ON l.schema = 'main' AND l.name = s.name"      \
	" AND s.type = 'table' WHERE coalesce(l.type, '') <> 'shadow' AND "

static const char parts_of_schema[] =
	PARTS_OF "s.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY s.type COLLATE BINARY, s.name COLLATE BINARY";
static const char parts_with_rows[] = PARTS_OF "s.type = 'table' AND s.name NOT LIKE 'sqlite!_stat%' ESCAPE '!'"
					       " ORDER BY s.name COLLATE BINARY";

static int list_parts(const struct side *side, const char *sql, struct parts *ret_parts, struct error *error)
{
	owned_statement statement = NULL;
	int code = sqlite3_prepare_v2(side->database, sql, -1, &statement, NULL);

	while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct part part = { .type = column_copy(statement, 0),
				     .name = column_copy(statement, 1),
				     .sql = column_copy(statement, 2),
				     .is_virtual = sqlite3_column_int(statement, 3),
				     .without_rowid = sqlite3_column_int(statement, 4) };

		ret_parts->items = reallocarray(ret_parts->items, ret_parts->count + 1, sizeof(*ret_parts->items));
		if (!ret_parts->items)
			abort();
		ret_parts->items[ret_parts->count++] = part;
		if (ret_parts->count > (size_t)4 * ROWS_TABLES_MAX)
			return error_set(error, .number = E2BIG, .step = STEP_ROWS, .object = side->asked->path,
					 .cause = "it has too many tables and indexes");
		code = SQLITE_OK;
	}
	return code == SQLITE_DONE ? 0 : fail(side, code, error);
}

static int compare_parts(const struct part *a, const struct part *b)
{
	int order = strcmp(a->type, b->type);

	return order != 0 ? order : strcmp(a->name, b->name);
}

typedef int pair_action(struct comparison *comparison, const struct part *before, const struct part *after,
			struct error *error);

/* Calls for each part: both sides' where they have it both. */
static int each_pair(struct comparison *comparison, const char *sql, pair_action *action, struct error *error)
{
	owned_parts before = { 0 };
	owned_parts after = { 0 };
	size_t i = 0;
	size_t j = 0;
	int result = list_parts(&comparison->before, sql, &before, error);

	if (result == 0)
		result = list_parts(&comparison->after, sql, &after, error);
	while (result == 0 && (i < before.count || j < after.count)) {
		int order = i == before.count  ? 1
			    : j == after.count ? -1
					       : compare_parts(&before.items[i], &after.items[j]);
		const struct part *part_before = order <= 0 ? &before.items[i] : NULL;
		const struct part *part_after = order >= 0 ? &after.items[j] : NULL;

		assert(part_before || part_after);
		result = action(comparison, part_before, part_after, error);
		i += order <= 0;
		j += order >= 0;
	}
	return result;
}

static enum rows_fate fate_of(const struct part *before, const struct part *after)
{
	if (!before || !after)
		return before ? ROWS_DROPPED : ROWS_MADE;
	return text_equal(before->sql, after->sql) ? ROWS_SAME : ROWS_ALTERED;
}

static int tell_part(struct comparison *comparison, const struct part *before, const struct part *after,
		     struct error *error)
{
	const struct part *part = after ? after : before;
	enum rows_fate fate = fate_of(before, after);

	if (fate == ROWS_SAME)
		return 0;
	comparison->result->schema++;
	return comparison->sink->schema
		       ? comparison->sink->schema(comparison->sink->argument, part->type, part->name, fate, error)
		       : 0;
}

/* ---- the shape of a table ---- */

struct column {
	char *name;
	unsigned key; /* its place in the primary key, from 1 on; 0: it is not in it */
	bool may_be_null;
};

struct shape {
	struct column *columns;
	unsigned count;
	unsigned key_count;
	const char *rowid; /* a name under which it can be asked; NULL: the primary key is the key */
	const char *problem;
};

static void shape_release(struct shape *shape)
{
	for (unsigned i = 0; i < shape->count; i++)
		text_free(&shape->columns[i].name);
	free(shape->columns);
	*shape = (struct shape){ 0 };
}
#define owned_shape __attribute__((cleanup(shape_release))) struct shape

static const struct column *find_column(const struct shape *shape, const char *name)
{
	for (unsigned i = 0; i < shape->count; i++)
		if (strcasecmp(shape->columns[i].name, name) == 0)
			return &shape->columns[i];
	return NULL;
}

/* Hidden and generated columns are none that anybody writes. */
static int read_columns(const struct side *side, const struct part *part, struct shape *ret_shape, struct error *error)
{
	static const char sql[] = "SELECT name, pk, \"notnull\" OR (pk AND type = 'INTEGER' COLLATE NOCASE)"
				  " FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0 ORDER BY cid";
	owned_statement statement = NULL;
	int code = sqlite3_prepare_v2(side->database, sql, -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_bind_text(statement, 1, part->name, -1, SQLITE_STATIC);
	while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct column column = { .name = column_copy(statement, 0),
					 .key = (unsigned)sqlite3_column_int(statement, 1),
					 .may_be_null = !part->without_rowid && !sqlite3_column_int(statement, 2) };

		ret_shape->columns =
			reallocarray(ret_shape->columns, ret_shape->count + 1, sizeof(*ret_shape->columns));
		if (!ret_shape->columns)
			abort();
		ret_shape->columns[ret_shape->count++] = column;
		ret_shape->key_count += column.key > 0;
		code = SQLITE_OK;
	}
	return code == SQLITE_DONE ? 0 : fail(side, code, error);
}

static void add_name(struct text_buffer *sql, const char *name)
{
	text_buffer_add_text(sql, "\"");
	for (const char *c = name; *c; c++) {
		if (*c == '"')
			text_buffer_add_text(sql, "\"");
		text_buffer_add(sql, c, 1);
	}
	text_buffer_add_text(sql, "\"");
}

static int find_null_keys(const struct side *side, const struct part *part, const struct shape *shape, bool *ret_found,
			  struct error *error)
{
	owned_buffer sql = { 0 };
	const char *between = " WHERE ";
	int64_t found = 0;
	int code;

	text_buffer_add_text(&sql, "SELECT EXISTS(SELECT 1 FROM main.");
	add_name(&sql, part->name);
	for (unsigned i = 0; i < shape->count; i++) {
		if (shape->columns[i].key == 0 || !shape->columns[i].may_be_null)
			continue;
		text_buffer_add_text(&sql, between);
		add_name(&sql, shape->columns[i].name);
		text_buffer_add_text(&sql, " IS NULL");
		between = " OR ";
	}
	text_buffer_add_text(&sql, ")");
	*ret_found = false;
	if (text_equal(between, " WHERE "))
		return 0;
	code = sqlite_number(side->database, sql.bytes, &found);
	*ret_found = found != 0;
	return code == SQLITE_ROW ? 0 : fail(side, code, error);
}

static void use_rowid(struct shape *shape)
{
	static const char *const names[] = { "_rowid_", "rowid", "oid" };

	for (unsigned i = 0; i < ARRAY_SIZE(names) && !shape->rowid; i++)
		if (!find_column(shape, names[i]))
			shape->rowid = names[i];
	if (!shape->rowid)
		shape->problem = "it has no primary key, and columns named rowid, oid and _rowid_";
}

/* SQLite's own table has a key, though it does not say so. */
static void use_sequence(struct shape *shape)
{
	for (unsigned i = 0; i < shape->count; i++)
		if (text_equal(shape->columns[i].name, "name")) {
			shape->columns[i].key = 1;
			shape->key_count = 1;
		}
}

static int read_shape(const struct side *side, const struct part *part, struct shape *ret_shape, struct error *error)
{
	bool has_null_keys = false;
	int result = read_columns(side, part, ret_shape, error);

	if (result < 0)
		return result;
	if (text_equal(part->name, "sqlite_sequence"))
		use_sequence(ret_shape);
	if (ret_shape->key_count > 0 && !part->without_rowid && !part->is_virtual)
		result = find_null_keys(side, part, ret_shape, &has_null_keys, error);
	if (result == 0 && !part->without_rowid && (ret_shape->key_count == 0 || has_null_keys || part->is_virtual))
		use_rowid(ret_shape);
	return result;
}

/* ---- one table ---- */

/* What both sides are asked for: the columns told, and which of them, in which order, are the key. */
struct table {
	struct rows_table told;
	const char **columns;
	unsigned char *places;
	unsigned *key; /* numbers of columns */
	unsigned key_count;
	unsigned count;
	const char *rowid;
	uint64_t inserted;
	uint64_t updated;
	uint64_t deleted;
	bool is_told;
};

static void table_drop(struct table *table)
{
	free(table->columns);
	free(table->places);
	free(table->key);
}

static bool has_same_keys(const struct shape *a, const struct shape *b)
{
	if (!a->rowid != !b->rowid || (a->rowid && !text_equal(a->rowid, b->rowid)))
		return false;
	if (a->rowid)
		return true;
	for (unsigned i = 0; i < a->count; i++) {
		const struct column *other = find_column(b, a->columns[i].name);

		if (a->columns[i].key != (other ? other->key : 0))
			return false;
	}
	return a->key_count == b->key_count;
}

/* @other  of the side before, where the table is on both */
static void table_fill(struct table *table, const struct shape *shape, const struct shape *other)
{
	size_t most = (size_t)shape->count + 1;

	table->columns = calloc(most, sizeof(*table->columns));
	table->places = calloc(most, sizeof(*table->places));
	table->key = calloc(most, sizeof(*table->key));
	if (!table->columns || !table->places || !table->key)
		abort();
	table->rowid = shape->rowid;
	if (shape->rowid) {
		table->columns[0] = shape->rowid;
		table->places[0] = 1;
		table->key_count = 1;
		table->count = 1;
	}
	for (unsigned i = 0; i < shape->count; i++) {
		const struct column *column = &shape->columns[i];
		unsigned number = table->count;

		if (other && !find_column(other, column->name))
			continue;
		table->columns[number] = column->name;
		if (!shape->rowid && column->key > 0 && column->key <= shape->key_count) {
			table->places[number] = (unsigned char)column->key;
			table->key[column->key - 1] = number;
			table->key_count++;
		}
		table->count++;
	}
	table->told.column_count = table->count;
	table->told.columns = table->columns;
	table->told.key = table->places;
	table->told.has_primary_key = !shape->rowid;
}

static int prepare_rows(const struct side *side, const struct table *table, sqlite3_stmt **ret_statement,
			struct error *error)
{
	owned_buffer sql = { 0 };
	int code;

	text_buffer_add_text(&sql, "SELECT ");
	for (unsigned i = 0; i < table->count; i++) {
		text_buffer_add_text(&sql, i > 0 ? ", t." : "t.");
		if (i == 0 && table->rowid)
			text_buffer_add_text(&sql, table->rowid);
		else
			add_name(&sql, table->columns[i]);
	}
	text_buffer_add_text(&sql, " FROM main.");
	add_name(&sql, table->told.name);
	text_buffer_add_text(&sql, " AS t ORDER BY ");
	for (unsigned i = 0; i < table->key_count; i++) {
		text_buffer_add_text(&sql, i > 0 ? ", t." : "t.");
		if (table->rowid)
			text_buffer_add_text(&sql, table->rowid);
		else
			add_name(&sql, table->columns[table->key[i]]);
		text_buffer_add_text(&sql, " COLLATE BINARY");
	}
	code = sqlite3_prepare_v2(side->database, sql.bytes, -1, ret_statement, NULL);
	return code == SQLITE_OK ? 0 : fail(side, code, error);
}

/* ---- values ---- */

static enum query_type type_of(sqlite3_stmt *statement, int column)
{
	switch (sqlite3_column_type(statement, column)) {
	case SQLITE_INTEGER:
		return QUERY_INTEGER;
	case SQLITE_FLOAT:
		return QUERY_REAL;
	case SQLITE_TEXT:
		return QUERY_TEXT;
	case SQLITE_BLOB:
		return QUERY_BLOB;
	default:
		return QUERY_NULL;
	}
}

/* Text as its bytes are in the database, whose order is what SQLite's BINARY goes by, in UTF-16 too. */
static struct rows_value raw_value(sqlite3_stmt *statement, unsigned number)
{
	int column = (int)number;
	struct rows_value value = { .type = type_of(statement, column) };

	if (value.type == QUERY_INTEGER)
		value.integer = sqlite3_column_int64(statement, column);
	if (value.type == QUERY_REAL)
		value.real = sqlite3_column_double(statement, column);
	if (value.type == QUERY_TEXT || value.type == QUERY_BLOB) {
		value.bytes = sqlite3_column_blob(statement, column);
		value.size = (size_t)sqlite3_column_bytes(statement, column);
	}
	return value;
}

static struct rows_value told_value(sqlite3_stmt *statement, unsigned number)
{
	struct rows_value value = raw_value(statement, number);

	if (value.type == QUERY_TEXT) {
		value.bytes = sqlite3_column_text(statement, (int)number);
		value.size = (size_t)sqlite3_column_bytes(statement, (int)number);
	}
	if (!value.bytes)
		value.bytes = "";
	return value;
}

static int compare_bytes(const struct rows_value *a, const struct rows_value *b)
{
	size_t least = MIN(a->size, b->size);
	int order = least > 0 ? memcmp(a->bytes, b->bytes, least) : 0;

	return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* As sqlite3IntFloatCompare(): a double cannot hold each 64-bit number. */
static int compare_mixed(int64_t integer, double real)
{
	int64_t whole;

	if (real < -9223372036854775808.0)
		return 1;
	if (real >= 9223372036854775808.0)
		return -1;
	whole = (int64_t)real;
	if (integer != whole)
		return integer < whole ? -1 : 1;
	return ((double)whole > real) - ((double)whole < real);
}

static int compare_numbers(const struct rows_value *a, const struct rows_value *b)
{
	if (a->type == QUERY_INTEGER && b->type == QUERY_INTEGER)
		return (a->integer > b->integer) - (a->integer < b->integer);
	if (a->type == QUERY_REAL && b->type == QUERY_REAL)
		return (a->real > b->real) - (a->real < b->real);
	return a->type == QUERY_INTEGER ? compare_mixed(a->integer, b->real) : -compare_mixed(b->integer, a->real);
}

/* SQLite's order: NULL, numbers, texts, blobs; https://sqlite.org/datatype3.html 4.1 */
static int compare_values(const struct rows_value *a, const struct rows_value *b)
{
	static const int ranks[] = {
		[QUERY_NULL] = 0, [QUERY_INTEGER] = 1, [QUERY_REAL] = 1, [QUERY_TEXT] = 2, [QUERY_BLOB] = 3,
	};

	if (ranks[a->type] != ranks[b->type])
		return ranks[a->type] < ranks[b->type] ? -1 : 1;
	if (a->type == QUERY_NULL)
		return 0;
	return ranks[a->type] == 1 ? compare_numbers(a, b) : compare_bytes(a, b);
}

bool rows_value_is_same(const struct rows_value *a, const struct rows_value *b)
{
	return a->type == b->type && compare_values(a, b) == 0;
}

char *rows_value_text(const struct rows_value *value)
{
	owned_buffer blob = { 0 };
	char number[64];

	switch (value->type) {
	case QUERY_INTEGER:
		return text_format("%lld", (long long)value->integer);
	case QUERY_REAL:
		/* What reads back as the same one, and is short where it can be. */
		sqlite3_snprintf(sizeof(number), number, "%!.15g", value->real);
		if (strtod(number, NULL) != value->real)
			sqlite3_snprintf(sizeof(number), number, "%!.17g", value->real);
		return text_duplicate(number);
	case QUERY_TEXT:
		text_buffer_add(&blob, value->bytes, value->size);
		return text_duplicate(blob.bytes ? blob.bytes : "");
	case QUERY_BLOB:
		text_buffer_add_text(&blob, "x'");
		for (size_t i = 0; i < value->size; i++)
			text_buffer_format(&blob, "%02x", ((const unsigned char *)value->bytes)[i]);
		text_buffer_add_text(&blob, "'");
		return text_duplicate(blob.bytes);
	case QUERY_NULL:
		break;
	}
	return text_duplicate("NULL");
}

/* ---- the merge ---- */

struct merge {
	struct comparison *comparison;
	struct table *table;
	sqlite3_stmt *before;
	sqlite3_stmt *after;
	bool has_before;
	bool has_after;
	struct rows_value *values; /* of both, one after the other */
};

static void merge_release(struct merge *merge)
{
	sqlite_finalize(&merge->before);
	sqlite_finalize(&merge->after);
	free(merge->values);
}

static int step(const struct side *side, sqlite3_stmt *statement, bool *ret_has, struct error *error)
{
	int code = statement ? sqlite3_step(statement) : SQLITE_DONE;

	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return fail(side, code, error);
	*ret_has = code == SQLITE_ROW;
	return 0;
}

static int compare_keys(const struct merge *merge)
{
	int order = 0;

	for (unsigned i = 0; i < merge->table->key_count && order == 0; i++) {
		struct rows_value before = raw_value(merge->before, merge->table->key[i]);
		struct rows_value after = raw_value(merge->after, merge->table->key[i]);

		order = compare_values(&before, &after);
	}
	return order;
}

static bool has_same_values(const struct merge *merge)
{
	for (unsigned i = 0; i < merge->table->count; i++) {
		struct rows_value before = raw_value(merge->before, i);
		struct rows_value after = raw_value(merge->after, i);

		if (!rows_value_is_same(&before, &after))
			return false;
	}
	return true;
}

static int tell_table(struct comparison *comparison, struct table *table, struct error *error)
{
	const struct rows_sink *sink = comparison->sink;

	if (table->is_told)
		return 0;
	table->is_told = true;
	return sink->table ? sink->table(sink->argument, &table->told, error) : 0;
}

static int tell_row(struct merge *merge, enum rows_kind kind, struct error *error)
{
	const struct rows_sink *sink = merge->comparison->sink;
	struct table *table = merge->table;
	struct rows_value *before = merge->values;
	struct rows_value *after = merge->values + table->count;
	int result = tell_table(merge->comparison, table, error);

	table->inserted += kind == ROWS_INSERTED;
	table->updated += kind == ROWS_UPDATED;
	table->deleted += kind == ROWS_DELETED;
	if (result < 0 || !sink->row)
		return result;
	for (unsigned i = 0; i < table->count; i++) {
		if (kind != ROWS_INSERTED)
			before[i] = told_value(merge->before, i);
		if (kind != ROWS_DELETED)
			after[i] = told_value(merge->after, i);
	}
	return sink->row(sink->argument, kind, &table->told, kind == ROWS_INSERTED ? NULL : before,
			 kind == ROWS_DELETED ? NULL : after, error);
}

/* One row of either side, or a pair with the same key. */
static int merge_next(struct merge *merge, struct error *error)
{
	struct comparison *comparison = merge->comparison;
	int order = !merge->has_before ? 1 : !merge->has_after ? -1 : compare_keys(merge);
	int result = 0;

	if (order != 0)
		result = tell_row(merge, order < 0 ? ROWS_DELETED : ROWS_INSERTED, error);
	else if (!has_same_values(merge))
		result = tell_row(merge, ROWS_UPDATED, error);
	if (result == 0 && order <= 0)
		result = step(&comparison->before, merge->before, &merge->has_before, error);
	if (result == 0 && order >= 0)
		result = step(&comparison->after, merge->after, &merge->has_after, error);
	return result;
}

static int merge_rows(struct comparison *comparison, struct table *table, bool is_before, bool is_after,
		      struct error *error)
{
	__attribute__((cleanup(merge_release))) struct merge merge = {
		.comparison = comparison,
		.table = table,
		.values = calloc((size_t)table->count * 2, sizeof(struct rows_value)),
	};
	int result = 0;

	if (!merge.values)
		abort();
	if (is_before)
		result = prepare_rows(&comparison->before, table, &merge.before, error);
	if (result == 0 && is_after)
		result = prepare_rows(&comparison->after, table, &merge.after, error);
	if (result == 0)
		result = step(&comparison->before, merge.before, &merge.has_before, error);
	if (result == 0)
		result = step(&comparison->after, merge.after, &merge.has_after, error);
	while (result == 0 && (merge.has_before || merge.has_after))
		result = merge_next(&merge, error);
	return result;
}

/* ---- a table of either side or both ---- */

static int tell_end(struct comparison *comparison, struct table *table, struct error *error)
{
	const struct rows_sink *sink = comparison->sink;

	comparison->result->inserted += table->inserted;
	comparison->result->updated += table->updated;
	comparison->result->deleted += table->deleted;
	if (!table->is_told || !sink->end)
		return 0;
	return sink->end(sink->argument, &table->told, table->inserted, table->updated, table->deleted, error);
}

static int tell_problem(struct comparison *comparison, struct table *table, const char *problem, struct error *error)
{
	int result;

	table->told.problem = problem;
	comparison->result->problems++;
	result = tell_table(comparison, table, error);
	return result < 0 ? result : tell_end(comparison, table, error);
}

/* Whether its module is not in this SQLite: then nobody here can read its rows. */
static bool is_foreign(const struct part *part, const struct shape *shape)
{
	return part && part->is_virtual && shape->count == 0;
}

static int compare_shapes(struct comparison *comparison, struct table *table, struct shape *before, struct shape *after,
			  const struct part *part_before, const struct part *part_after, struct error *error)
{
	struct shape *shape = part_after ? after : before;

	/* A key with NULL on one side alone. */
	if (part_before && part_after && !before->rowid != !after->rowid && before->key_count > 0 &&
	    after->key_count > 0) {
		use_rowid(before);
		use_rowid(after);
	}
	if (is_foreign(part_before, before) || is_foreign(part_after, after))
		return tell_problem(comparison, table, "its module is not in this SQLite", error);
	if (before->problem || after->problem)
		return tell_problem(comparison, table, before->problem ? before->problem : after->problem, error);
	if (part_before && part_after && !has_same_keys(before, after))
		return tell_problem(comparison, table, "its primary key is another one", error);
	table_fill(table, shape, part_before && part_after ? before : NULL);
	if (table->count == 0 || table->key_count == 0)
		return tell_problem(comparison, table, "it has no columns that can be compared", error);
	return merge_rows(comparison, table, part_before, part_after, error);
}

static int compare_table(struct comparison *comparison, const struct part *part_before, const struct part *part_after,
			 struct error *error)
{
	const struct part *part = part_after ? part_after : part_before;
	__attribute__((cleanup(table_drop))) struct table table = {
		.told = { .name = part->name,
			  .fate = fate_of(part_before, part_after),
			  .is_virtual = part->is_virtual },
	};
	owned_shape before = { 0 };
	owned_shape after = { 0 };
	int result = part_before ? read_shape(&comparison->before, part_before, &before, error) : 0;

	if (result == 0 && part_after)
		result = read_shape(&comparison->after, part_after, &after, error);
	if (result == 0)
		result = compare_shapes(comparison, &table, &before, &after, part_before, part_after, error);
	if (result < 0)
		return error_context(error, "table %s", part->name);
	return table.told.problem ? 0 : tell_end(comparison, &table, error);
}

int rows_compare(const struct rows_request *request, const struct rows_sink *sink, struct rows_result *ret_result,
		 struct error *error)
{
	__attribute__((cleanup(comparison_release))) struct comparison comparison = {
		.before = { .asked = &request->before },
		.after = { .asked = &request->after },
		.sink = sink,
		.result = ret_result,
	};
	unsigned busy_ms = request->busy_timeout_ms ? request->busy_timeout_ms : ROWS_BUSY_TIMEOUT_MS;
	int result;

	*ret_result = (struct rows_result){ 0 };
	result = side_open(&comparison.before, busy_ms, error);
	if (result == 0)
		result = side_open(&comparison.after, busy_ms, error);
	/* An empty database has none yet. */
	if (result == 0 && request->before.name && !text_equal(comparison.before.encoding, comparison.after.encoding))
		return error_set(error, .number = EINVAL, .step = STEP_ROWS, .object = request->after.path,
				 .cause = "the two databases have different text encodings");
	if (result == 0)
		result = each_pair(&comparison, parts_of_schema, tell_part, error);
	if (result == 0)
		result = each_pair(&comparison, parts_with_rows, compare_table, error);
	return result;
}
