/* SPDX-License-Identifier: Apache-2.0 */
/* The session extension's declarations are behind these, https://sqlite.org/sessionintro.html section 2. */
#define SQLITE_ENABLE_SESSION
#define SQLITE_ENABLE_PREUPDATE_HOOK
#include "overlay/changeset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macro.h"

#define STEP_APPLY   "apply the changeset to"
#define REMEDY_STALE "nothing was changed; the rows must be as they were where the changeset begins"

void changeset_release(struct changeset *changeset)
{
	text_buffer_release(&changeset->bytes);
	text_list_release(&changeset->left);
	changeset->changes = 0;
}

/* ---- writing ---- */

struct writing {
	struct changeset *changeset;
	const char *refused; /* why the rows of the present table are left out; NULL: they are not */
	bool has_header;
};

static void add_byte(struct text_buffer *out, unsigned value)
{
	unsigned char byte = (unsigned char)value;

	text_buffer_add(out, &byte, 1);
}

static void add_big_endian(struct text_buffer *out, uint64_t value)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		add_byte(out, (unsigned)(value >> shift) & 0xff);
}

/* SQLite's varint of up to 32 bits: seven bits a byte, the highest first. */
static void add_varint(struct text_buffer *out, uint64_t value)
{
	unsigned char bytes[10];
	size_t count = 0;

	do {
		bytes[count] = (unsigned char)((value & 0x7f) | (count > 0 ? 0x80 : 0));
		count++;
		value >>= 7;
	} while (value > 0);
	while (count > 0)
		add_byte(out, bytes[--count]);
}

/* The type as SQLite numbers it, then the value; 0: undefined. */
static void add_value(struct text_buffer *out, const struct rows_value *value)
{
	uint64_t bits;

	switch (value->type) {
	case QUERY_INTEGER:
		add_byte(out, SQLITE_INTEGER);
		add_big_endian(out, (uint64_t)value->integer);
		return;
	case QUERY_REAL:
		add_byte(out, SQLITE_FLOAT);
		memcpy(&bits, &value->real, sizeof(bits));
		add_big_endian(out, bits);
		return;
	case QUERY_TEXT:
	case QUERY_BLOB:
		add_byte(out, value->type == QUERY_TEXT ? SQLITE_TEXT : SQLITE_BLOB);
		add_varint(out, value->size);
		text_buffer_add(out, value->bytes, value->size);
		return;
	case QUERY_NULL:
		add_byte(out, SQLITE_NULL);
		return;
	}
}

static const char *why_refused(const struct rows_table *table)
{
	if (table->problem)
		return table->problem;
	if (strncasecmp(table->name, "sqlite_", 7) == 0)
		return "it is SQLite's own";
	if (table->is_virtual)
		return "it is a virtual table";
	if (!table->has_primary_key)
		return "it has no primary key, or a row with NULL in it";
	if (table->fate == ROWS_DROPPED)
		return "it was dropped";
	return table->fate == ROWS_ALTERED ? "it was altered" : NULL;
}

static int write_table(void *argument, const struct rows_table *table, struct error *error)
{
	struct writing *writing = argument;

	(void)error;
	writing->refused = why_refused(table);
	writing->has_header = false;
	return 0;
}

static void add_header(struct text_buffer *out, const struct rows_table *table)
{
	add_byte(out, 'T');
	add_varint(out, table->column_count);
	for (unsigned i = 0; i < table->column_count; i++)
		add_byte(out, table->key[i]);
	text_buffer_add(out, table->name, strlen(table->name) + 1);
}

static void add_record(struct text_buffer *out, const struct rows_table *table, const struct rows_value *values)
{
	for (unsigned i = 0; i < table->column_count; i++)
		add_value(out, &values[i]);
}

/* The key and what changed, as it was; then what changed, as it is. */
static void add_update(struct text_buffer *out, const struct rows_table *table, const struct rows_value *before,
		       const struct rows_value *after)
{
	for (unsigned i = 0; i < table->column_count; i++) {
		if (table->key[i] || !rows_value_is_same(&before[i], &after[i]))
			add_value(out, &before[i]);
		else
			add_byte(out, 0);
	}
	for (unsigned i = 0; i < table->column_count; i++) {
		if (!table->key[i] && !rows_value_is_same(&before[i], &after[i]))
			add_value(out, &after[i]);
		else
			add_byte(out, 0);
	}
}

static bool has_other_values(const struct rows_table *table, const struct rows_value *before,
			     const struct rows_value *after)
{
	for (unsigned i = 0; i < table->column_count; i++)
		if (!table->key[i] && !rows_value_is_same(&before[i], &after[i]))
			return true;
	return false;
}

static void add_change(struct text_buffer *out, const struct rows_table *table, int operation,
		       const struct rows_value *values)
{
	add_byte(out, (unsigned)operation);
	add_byte(out, 0); /* not made by a trigger, as far as it is known */
	add_record(out, table, values);
}

static int write_row(void *argument, enum rows_kind kind, const struct rows_table *table,
		     const struct rows_value *before, const struct rows_value *after, struct error *error)
{
	struct writing *writing = argument;
	struct text_buffer *out = &writing->changeset->bytes;

	if (writing->refused)
		return 0;
	if (!writing->has_header)
		add_header(out, table);
	writing->has_header = true;
	writing->changeset->changes++;
	if (kind == ROWS_UPDATED && has_other_values(table, before, after)) {
		add_byte(out, SQLITE_UPDATE);
		add_byte(out, 0);
		add_update(out, table, before, after);
	} else {
		/* A key that became another one of the same value, 1 and 1.0, is no update to SQLite. */
		if (before)
			add_change(out, table, SQLITE_DELETE, before);
		if (after)
			add_change(out, table, SQLITE_INSERT, after);
	}
	if (out->length > CHANGESET_BYTES_MAX)
		return error_set(error, .number = EFBIG, .step = "make a changeset",
				 .cause = "more than 256 MiB of rows differ",
				 .remedy = "take the whole database instead: sbx db export");
	return 0;
}

static int write_end(void *argument, const struct rows_table *table, uint64_t inserted, uint64_t updated,
		     uint64_t deleted, struct error *error)
{
	struct writing *writing = argument;
	unsigned long long rows = inserted + updated + deleted;

	(void)error;
	/* A counter follows from the rows. */
	if (writing->refused && strcasecmp(table->name, "sqlite_sequence") != 0)
		text_list_take(&writing->changeset->left,
			       text_format("table %s: %s (%llu rows)", table->name, writing->refused, rows));
	return 0;
}

static int write_schema(void *argument, const char *type, const char *name, enum rows_fate fate, struct error *error)
{
	static const char *const words[] = {
		[ROWS_MADE] = "made", [ROWS_DROPPED] = "dropped", [ROWS_ALTERED] = "altered"
	};
	struct writing *writing = argument;

	(void)error;
	text_list_take(&writing->changeset->left,
		       text_format("%s %s: that it was %s is no row", type, name, words[fate]));
	return 0;
}

int changeset_make(const struct rows_request *request, struct changeset *ret_changeset, struct error *error)
{
	struct writing writing = { .changeset = ret_changeset };
	const struct rows_sink sink = {
		.argument = &writing, .schema = write_schema, .table = write_table, .row = write_row, .end = write_end
	};
	struct rows_result ignored;

	return rows_compare(request, &sink, &ignored, error);
}

/* ---- applying ---- */

struct applying {
	const struct changeset_target *target;
	sqlite3 *database;
	uint64_t changes;
	uint64_t conflicts;
	struct text_buffer told;
	bool has_checked_keys;
};

static void applying_release(struct applying *applying)
{
	sqlite_close(&applying->database);
	text_buffer_release(&applying->told);
}

static int fail(const struct applying *applying, int code, struct error *error)
{
	if ((code & 0xff) == SQLITE_CORRUPT)
		return error_set(error, .number = EBADMSG, .step = STEP_APPLY, .object = applying->target->path,
				 .cause = "the file is no changeset, or it is cut short",
				 .remedy = "make one with: sbx db diff WORKER --changeset FILE");
	return sqlite_fail(applying->database, code, STEP_APPLY, applying->target->path, error);
}

static int refuse_table(const struct applying *applying, const char *table, const char *what, struct error *error)
{
	owned_text cause = text_format("table %s %s", table, what);

	return error_set(error, .number = ESTALE, .step = STEP_APPLY, .object = applying->target->path, .cause = cause,
			 .remedy = "apply it to a database with the same schema as the one that it was made from");
}

/* SQLite passes over the changes of a table that it cannot find or that has another shape, without a word. */
static int check_table(const struct applying *applying, const char *table, int columns, const unsigned char *is_key,
		       struct error *error)
{
	static const char sql[] = "SELECT pk FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0 ORDER BY cid";
	owned_statement statement = NULL;
	int code = sqlite3_prepare_v2(applying->database, sql, -1, &statement, NULL);
	bool is_same = true;
	int count = 0;

	if (code == SQLITE_OK)
		code = sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC);
	while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (count < columns && is_key[count] != sqlite3_column_int(statement, 0))
			is_same = false;
		count++;
		code = SQLITE_OK;
	}
	if (code != SQLITE_DONE)
		return fail(applying, code, error);
	if (strncasecmp(table, "sqlite_", 7) == 0)
		return refuse_table(applying, table, "is SQLite's own", error);
	if (count == 0)
		return refuse_table(applying, table, "is not there", error);
	if (count != columns || !is_same)
		return refuse_table(applying, table, "has other columns, or another primary key", error);
	return 0;
}

/* ---- the form of one ---- */

/* What is left to read. SQLite 3.40's own reader goes round for ever in a header that is cut, reads behind the end, and
 * follows a null pointer where an update lacks its key: so nothing is given to it before its form has been looked at
 * (sqlite3session.c, "CHANGESET FORMAT"). */
struct reader {
	const unsigned char *at;
	const unsigned char *end;
	/* Of the table whose changes follow: a byte for each column, whether it is of the primary key. */
	const unsigned char *is_key;
	uint64_t columns;
};

/* Columns that a record may leave out, since they have not changed. */
enum record {
	RECORD_WHOLE,  /* none: a row that comes or goes */
	RECORD_BEFORE, /* of an update, all but the key */
	RECORD_AFTER,  /* of an update, all */
};

static bool skip(struct reader *reader, uint64_t size)
{
	if (size > (uint64_t)(reader->end - reader->at))
		return false;
	reader->at += size;
	return true;
}

static bool read_byte(struct reader *reader, unsigned *ret_byte)
{
	if (reader->at == reader->end)
		return false;
	*ret_byte = *reader->at++;
	return true;
}

/* SQLite's: seven bits a byte, the highest first, and all eight of the ninth. */
static bool read_varint(struct reader *reader, uint64_t *ret_value)
{
	uint64_t value = 0;
	unsigned byte;

	for (unsigned i = 0; i < 9; i++) {
		if (!read_byte(reader, &byte))
			return false;
		value = i == 8 ? value << 8 | byte : value << 7 | (byte & 0x7f);
		if (!(byte & 0x80))
			break;
	}
	*ret_value = value;
	return true;
}

static bool may_lack(const struct reader *reader, enum record record, uint64_t column)
{
	return record == RECORD_AFTER || (record == RECORD_BEFORE && !reader->is_key[column]);
}

static bool read_record(struct reader *reader, enum record record)
{
	for (uint64_t i = 0; i < reader->columns; i++) {
		uint64_t size = 0;
		unsigned type;

		if (!read_byte(reader, &type))
			return false;
		if (type == SQLITE_INTEGER || type == SQLITE_FLOAT)
			size = 8;
		else if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
			if (!read_varint(reader, &size))
				return false;
		} else if (type != SQLITE_NULL && (type != 0 || !may_lack(reader, record, i)))
			return false;
		if (!skip(reader, size))
			return false;
	}
	return true;
}

/* 'T', the number of columns, a byte for each that says whether it is of the primary key, the name of the table. */
static bool read_header(struct reader *reader)
{
	const unsigned char *end;

	if (!read_varint(reader, &reader->columns) || reader->columns == 0 || reader->columns > UINT16_MAX)
		return false;
	reader->is_key = reader->at;
	if (!skip(reader, reader->columns))
		return false;
	end = memchr(reader->at, 0, (size_t)(reader->end - reader->at));
	if (!end)
		return false;
	reader->at = end + 1;
	return true;
}

static bool is_whole(const void *bytes, size_t size)
{
	struct reader reader = { .at = bytes, .end = (const unsigned char *)bytes + size };
	unsigned kind;
	unsigned indirect;

	while (read_byte(&reader, &kind)) {
		bool is_good;

		if (kind == 'T')
			is_good = read_header(&reader);
		else if (kind == SQLITE_INSERT || kind == SQLITE_DELETE)
			is_good = read_byte(&reader, &indirect) && read_record(&reader, RECORD_WHOLE);
		else
			is_good = kind == SQLITE_UPDATE && read_byte(&reader, &indirect) &&
				  read_record(&reader, RECORD_BEFORE) && read_record(&reader, RECORD_AFTER);
		if (!is_good || reader.columns == 0)
			return false;
	}
	return true;
}

static int check_tables(struct applying *applying, const void *bytes, int size, struct error *error)
{
	owned_text last = NULL;
	sqlite3_changeset_iter *iterator = NULL;
	int code = sqlite3changeset_start(&iterator, size, (void *)bytes);
	int result = 0;

	while (code == SQLITE_OK && result == 0 && (code = sqlite3changeset_next(iterator)) == SQLITE_ROW) {
		unsigned char *is_key = NULL;
		const char *table = NULL;
		int columns = 0;
		int ignored;

		code = sqlite3changeset_op(iterator, &table, &columns, &ignored, &ignored);
		if (code == SQLITE_OK)
			code = sqlite3changeset_pk(iterator, &is_key, &columns);
		applying->changes++;
		if (code != SQLITE_OK || (last && text_equal(table, last)))
			continue;
		text_free(&last);
		last = text_duplicate(table);
		result = check_table(applying, table, columns, is_key, error);
	}
	if (code == SQLITE_ROW || code == SQLITE_DONE)
		code = SQLITE_OK;
	(void)sqlite3changeset_finalize(iterator);
	if (result < 0)
		return result;
	return code == SQLITE_OK ? 0 : fail(applying, code, error);
}

static const char *conflict_word(int conflict)
{
	switch (conflict) {
	case SQLITE_CHANGESET_DATA:
		return "has other values by now";
	case SQLITE_CHANGESET_NOTFOUND:
		return "is not there any more";
	case SQLITE_CHANGESET_CONFLICT:
		return "is there already";
	default:
		return "breaks a constraint";
	}
}

static void add_key(struct text_buffer *out, sqlite3_changeset_iter *iterator, int operation, int columns)
{
	unsigned char *is_key = NULL;
	const char *between = " (";

	if (sqlite3changeset_pk(iterator, &is_key, &columns) != SQLITE_OK)
		return;
	for (int i = 0; i < columns; i++) {
		sqlite3_value *value = NULL;
		const char *text;

		if (!is_key[i])
			continue;
		if ((operation == SQLITE_INSERT ? sqlite3changeset_new(iterator, i, &value)
						: sqlite3changeset_old(iterator, i, &value)) != SQLITE_OK)
			continue;
		text = value ? (const char *)sqlite3_value_text(value) : NULL;
		text_buffer_format(out, "%s%.40s", between, text ? text : "");
		between = ", ";
	}
	if (between[0] == ',')
		text_buffer_add_text(out, ")");
}

/* Goes on, so that several can be named; the transaction is rolled back after the first. */
static int on_conflict(void *argument, int conflict, sqlite3_changeset_iter *iterator)
{
	struct applying *applying = argument;
	const char *table = NULL;
	int columns = 0;
	int operation = 0;
	int ignored;

	if (applying->conflicts++ >= CHANGESET_CONFLICTS_TOLD_MAX)
		return SQLITE_CHANGESET_OMIT;
	if (applying->told.length > 0)
		text_buffer_add_text(&applying->told, "; ");
	if (sqlite3changeset_op(iterator, &table, &columns, &operation, &ignored) == SQLITE_OK) {
		text_buffer_format(&applying->told, "%s", table);
		add_key(&applying->told, iterator, operation, columns);
		text_buffer_add_text(&applying->told, " ");
	}
	text_buffer_add_text(&applying->told, conflict_word(conflict));
	return SQLITE_CHANGESET_OMIT;
}

static int fail_conflicts(const struct applying *applying, struct error *error)
{
	owned_text cause = applying->conflicts > CHANGESET_CONFLICTS_TOLD_MAX
				   ? text_format("%llu conflicts: %s; …", (unsigned long long)applying->conflicts,
						 applying->told.bytes)
				   : text_duplicate(applying->told.bytes);

	return error_set(error, .number = ESTALE, .step = STEP_APPLY, .object = applying->target->path, .cause = cause,
			 .remedy = REMEDY_STALE);
}

/* ---- foreign keys ---- */

/* They are looked at before and afterwards, and are not enforced in between: what a cascade did to other rows is in the
 * changeset, and would not be found there any more if it happened a second time (SQLite has a flag for that from 3.44
 * on). What was broken before is no fault of the changeset: an app that does not enforce them has such rows. */
static int note_broken_keys(struct applying *applying, struct error *error)
{
	int code = sqlite_run(applying->database, "CREATE TEMP TABLE broken AS SELECT * FROM pragma_foreign_key_check");

	/* A key that refers to what cannot be referred to: nobody can have it enforced. */
	applying->has_checked_keys = code == SQLITE_OK;
	return code == SQLITE_OK || code == SQLITE_ERROR ? 0 : fail(applying, code, error);
}

static int check_keys(const struct applying *applying, struct error *error)
{
	owned_statement statement = NULL;
	owned_text cause = NULL;
	int code = applying->has_checked_keys
			   ? sqlite3_prepare_v2(applying->database,
						"SELECT \"table\", parent FROM (SELECT * FROM pragma_foreign_key_check"
						" EXCEPT SELECT * FROM temp.broken) LIMIT 1",
						-1, &statement, NULL)
			   : SQLITE_OK;

	if (code == SQLITE_OK)
		code = statement ? sqlite3_step(statement) : SQLITE_DONE;
	if (code == SQLITE_DONE)
		return 0;
	if (code != SQLITE_ROW)
		return fail(applying, code, error);
	cause = text_format("foreign keys would be broken: a row of %s refers to one of %s that is not there",
			    (const char *)sqlite3_column_text(statement, 0),
			    (const char *)sqlite3_column_text(statement, 1));
	return error_set(error, .number = ESTALE, .step = STEP_APPLY, .object = applying->target->path, .cause = cause,
			 .remedy = REMEDY_STALE);
}

/* ---- the whole of it ---- */

static int open_target(struct applying *applying, struct error *error)
{
	const struct changeset_target *target = applying->target;
	unsigned busy_ms = target->busy_timeout_ms ? target->busy_timeout_ms : ROWS_BUSY_TIMEOUT_MS;
	int code = sqlite_open(target->directory_fd, target->name, SQLITE_RULE_WRITE, &applying->database);

	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(applying->database, (int)MIN(busy_ms, (unsigned)INT32_MAX));
	if (code == SQLITE_OK)
		code = sqlite_run(applying->database, "PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=OFF");
	if (code == SQLITE_OK)
		code = sqlite3_db_config(applying->database, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	if (code == SQLITE_OK)
		code = sqlite_run(applying->database, "BEGIN IMMEDIATE");
	return code == SQLITE_OK ? 0 : fail(applying, code, error);
}

int changeset_apply(const struct changeset_target *target, const void *bytes, size_t size, uint64_t *ret_changes,
		    struct error *error)
{
	__attribute__((cleanup(applying_release))) struct applying applying = { .target = target };
	uint64_t before;
	int result;
	int code;

	if (size > CHANGESET_BYTES_MAX)
		return error_set(error, .number = EFBIG, .step = STEP_APPLY, .object = target->path,
				 .cause = "the changeset has more than 256 MiB");
	if (!is_whole(bytes, size))
		return fail(&applying, SQLITE_CORRUPT, error);
	result = open_target(&applying, error);
	if (result == 0)
		result = check_tables(&applying, bytes, (int)size, error);
	if (result == 0)
		result = note_broken_keys(&applying, error);
	if (result < 0)
		return result;
	before = (uint64_t)sqlite3_total_changes(applying.database);
	/* Closing the connection rolls back what is not committed. */
	code = sqlite3changeset_apply(applying.database, (int)size, (void *)bytes, NULL, on_conflict, &applying);
	if (applying.conflicts > 0)
		return fail_conflicts(&applying, error);
	/* Whatever else it may pass over in silence. */
	if (code == SQLITE_OK && (uint64_t)sqlite3_total_changes(applying.database) - before < applying.changes)
		return error_set(error, .number = ESTALE, .step = STEP_APPLY, .object = target->path,
				 .cause = "SQLite passed over some of its changes",
				 .remedy = "nothing was changed; apply it to a database with the same schema");
	if (code == SQLITE_OK)
		result = check_keys(&applying, error);
	if (result < 0)
		return result;
	if (code == SQLITE_OK)
		code = sqlite_run(applying.database, "COMMIT");
	if (code != SQLITE_OK)
		return fail(&applying, code, error);
	*ret_changes = applying.changes;
	return 0;
}
