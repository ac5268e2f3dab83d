/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/sqlite.h"
#include "base/text.h"
#include "overlay/database.h"

#define STEP_QUERY "query the database"
/* Instructions of SQLite's machine between two looks at the clock: about 0.1 ms. */
#define CLOCK_INTERVAL 10000

/* A query while it runs. */
struct asking {
	const struct query *query;
	const struct query_sink *sink;
	struct query_result result;
	sqlite3 *database;
	uint64_t deadline_ms; /* 0: none */
	const char *refused;  /* why the authorizer did not let something through */
	bool is_telling;      /* the statement just prepared is one of telling_pragmas */
};

static int on_clock(void *argument)
{
	const struct asking *asking = argument;

	return clock_ms() >= asking->deadline_ms;
}

/* -- what is let through ------------------------------------------------------------------------------------------ */

/* Pragmas that only tell something: those may be asked for without leave to write. Some take a name, by which the
 * others would be set. https://sqlite.org/pragma.html */
static const struct telling_pragma {
	const char *name;
	bool takes_name;
} telling_pragmas[] = {
	{ "application_id", false },  { "auto_vacuum", false },	     { "collation_list", false },
	{ "compile_options", false }, { "data_version", false },     { "database_list", false },
	{ "encoding", false },	      { "foreign_key_check", true }, { "foreign_key_list", true },
	{ "foreign_keys", false },    { "freelist_count", false },   { "function_list", false },
	{ "index_info", true },	      { "index_list", true },	     { "index_xinfo", true },
	{ "integrity_check", true },  { "journal_mode", false },     { "module_list", false },
	{ "page_count", false },      { "page_size", false },	     { "pragma_list", false },
	{ "quick_check", true },      { "schema_version", false },   { "table_info", true },
	{ "table_list", true },	      { "table_xinfo", true },	     { "user_version", false },
};

static bool is_telling(const char *pragma, const char *argument)
{
	for (size_t i = 0; i < ARRAY_SIZE(telling_pragmas); i++)
		if (strcasecmp(pragma, telling_pragmas[i].name) == 0)
			return !argument || telling_pragmas[i].takes_name;
	return false;
}

/* VACUUM attaches the empty name, a temporary database; VACUUM INTO and ATTACH name a file. */
static int authorize(void *argument, int action, const char *first, const char *second, const char *database,
		     const char *trigger)
{
	struct asking *asking = argument;

	(void)database, (void)trigger;
	if (action == SQLITE_ATTACH && !(asking->query->is_writable && first && first[0] == '\0')) {
		asking->refused = "a query sees one database, and can neither attach nor write another file";
		return SQLITE_DENY;
	}
	if (action != SQLITE_PRAGMA || asking->query->is_writable)
		return SQLITE_OK;
	asking->is_telling = first && is_telling(first, second);
	if (asking->is_telling)
		return SQLITE_OK;
	asking->refused = "this PRAGMA can change the database or what the query may do";
	return SQLITE_DENY;
}

/* -- one statement --------------------------------------------------------------------------------------------------
 */

static int fail(const struct asking *asking, int code, struct error *error)
{
	if ((code & 0xff) == SQLITE_AUTH && asking->refused)
		return error_set(error, .number = EACCES, .step = STEP_QUERY, .object = asking->query->path,
				 .cause = asking->refused);
	return sqlite_fail(asking->database, code, STEP_QUERY, asking->query->path, error);
}

static int tell_columns(const struct asking *asking, sqlite3_stmt *statement, unsigned number, unsigned count,
			struct error *error)
{
	const char **names = calloc(count, sizeof(*names));
	int result = names ? 0 : error_set(error, .number = ENOMEM, .step = STEP_QUERY, .object = asking->query->path);

	for (unsigned i = 0; i < count && names; i++) {
		names[i] = sqlite3_column_name(statement, (int)i);
		if (!names[i])
			names[i] = "";
	}
	if (result == 0)
		result = asking->sink->columns(asking->sink->argument, number, count, names, error);
	free(names);
	return result;
}

static struct query_value value_of(sqlite3_stmt *statement, int column)
{
	static const enum query_type types[] = {
		[SQLITE_NULL] = QUERY_NULL, [SQLITE_INTEGER] = QUERY_INTEGER, [SQLITE_FLOAT] = QUERY_REAL,
		[SQLITE_TEXT] = QUERY_TEXT, [SQLITE_BLOB] = QUERY_BLOB,
	};
	struct query_value value = { .type = types[sqlite3_column_type(statement, column)] };

	/* The type first: column_text() changes it. A blob asked for as text would be converted in a UTF-16 database.
	 */
	value.bytes = value.type == QUERY_BLOB ? sqlite3_column_blob(statement, column)
					       : (const char *)sqlite3_column_text(statement, column);
	value.size = (size_t)sqlite3_column_bytes(statement, column);
	if (!value.bytes && value.type != QUERY_NULL)
		value.bytes = ""; /* an empty blob */
	return value;
}

/* @return 1: go on, 0: enough rows, or an error */
static int tell_row(struct asking *asking, sqlite3_stmt *statement, unsigned count, struct query_value *values,
		    struct error *error)
{
	int result;

	if (asking->query->rows_max > 0 && asking->result.rows == asking->query->rows_max) {
		asking->result.is_cut = true;
		return 0;
	}
	for (unsigned i = 0; i < count; i++)
		values[i] = value_of(statement, (int)i);
	result = asking->sink->row(asking->sink->argument, count, values, error);
	asking->result.rows++;
	return result < 0 ? result : 1;
}

static int tell_rows(struct asking *asking, sqlite3_stmt *statement, unsigned count, struct query_value *values,
		     struct error *error)
{
	int code;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		int result = tell_row(asking, statement, count, values, error);

		if (result <= 0)
			return result;
	}
	return code == SQLITE_DONE ? 0 : fail(asking, code, error);
}

static int run_statement(struct asking *asking, sqlite3_stmt *statement, unsigned number, struct error *error)
{
	unsigned count = (unsigned)sqlite3_column_count(statement);
	struct query_value *values = calloc(count + 1, sizeof(*values));
	int result = 0;

	if (!values)
		return error_set(error, .number = ENOMEM, .step = STEP_QUERY, .object = asking->query->path);
	if (count > 0)
		result = tell_columns(asking, statement, number, count, error);
	if (result >= 0)
		result = tell_rows(asking, statement, count, values, error);
	free(values);
	return result;
}

static int run_all(struct asking *asking, struct error *error)
{
	const char *rest = asking->query->sql;

	for (unsigned number = 0; *rest && !asking->result.is_cut;) {
		owned_statement statement = NULL;
		int code, result;

		asking->is_telling = false;
		code = sqlite3_prepare_v2(asking->database, rest, -1, &statement, &rest);
		if (code != SQLITE_OK)
			return fail(asking, code, error);
		if (!statement)
			continue; /* a comment or a lone semicolon */
		/* "PRAGMA journal_mode" counts as a change to SQLite, even where it only asks. */
		if (!asking->query->is_writable && !asking->is_telling && !sqlite3_stmt_readonly(statement))
			return error_set(error, .number = EROFS, .step = STEP_QUERY, .object = asking->query->path,
					 .cause = "the statement would change the database",
					 .remedy = "change rows with: sbx db shell WORKER");
		result = run_statement(asking, statement, number++, error);
		if (result < 0)
			return result;
	}
	return 0;
}

static void set_bounds(struct asking *asking)
{
	const struct query *query = asking->query;
	unsigned busy_ms = query->busy_timeout_ms ? query->busy_timeout_ms : QUERY_BUSY_TIMEOUT_MS;

	if (query->timeout_ms > 0) {
		asking->deadline_ms = clock_ms() + query->timeout_ms;
		busy_ms = MIN(busy_ms, query->timeout_ms);
		sqlite3_progress_handler(asking->database, CLOCK_INTERVAL, on_clock, asking);
	}
	(void)sqlite3_busy_timeout(asking->database, (int)MIN(busy_ms, (unsigned)INT32_MAX));
	(void)sqlite3_set_authorizer(asking->database, authorize, asking);
}

int query_run(const struct query *query, const struct query_sink *sink, struct query_result *ret_result,
	      struct error *error)
{
	owned_fd directory_fd = -1;
	owned_text name = NULL;
	owned_database database = NULL;
	struct asking asking = { .query = query, .sink = sink };
	int result = database_locate(query->path, STEP_QUERY, &directory_fd, &name, error);
	int code;

	if (result < 0)
		return result;
	code = sqlite_open(directory_fd, name, SQLITE_RULE_WRITE, &database);
	/* Sorting must not need a writable /tmp. */
	if (code == SQLITE_OK)
		code = sqlite_run(database, query->is_writable ? "PRAGMA temp_store=MEMORY"
							       : "PRAGMA temp_store=MEMORY; PRAGMA query_only=ON");
	asking.database = database;
	if (code != SQLITE_OK)
		return fail(&asking, code, error);
	set_bounds(&asking);
	result = run_all(&asking, error);
	if (result < 0)
		return result;
	asking.result.changes = (uint64_t)sqlite3_total_changes(database);
	*ret_result = asking.result;
	return 0;
}
