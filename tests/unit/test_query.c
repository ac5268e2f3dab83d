/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to one database: what they answer, and what they cannot do. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/sqlite.h"
#include "base/text.h"
#include "overlay/query.h"

struct place {
	char *directory;
	char *database;
};

static void run(const char *path, const char *sql)
{
	sqlite3 *database = NULL;
	char *message = NULL;

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *base = getenv("TMPDIR");

	place->directory = text_format("%s/sbx-query.XXXXXX", base && base[0] == '/' ? base : "/tmp");
	if (!mkdtemp(place->directory))
		return -1;
	place->database = text_format("%s/App.db", place->directory);
	run(place->database, "PRAGMA journal_mode=wal; CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT);"
			     "CREATE INDEX person_name ON person(name);"
			     "INSERT INTO person VALUES(1, 'Ada'), (2, 'Grace')");
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	owned_text command = text_format("rm -rf '%s'", place->directory);
	int result = system(command);

	free(place->directory);
	free(place->database);
	free(place);
	return result;
}

/* All answers as one text: "[a|b] 1|Ada ; 2|Grace ;" */
static int add_columns(void *argument, unsigned statement, unsigned count, const char *const *names,
		       struct error *error)
{
	(void)error;
	text_buffer_format(argument, "%u[", statement);
	for (unsigned i = 0; i < count; i++)
		text_buffer_format(argument, "%s%s", i ? "|" : "", names[i]);
	text_buffer_add_text(argument, "] ");
	return 0;
}

static int add_row(void *argument, unsigned count, const struct query_value *values, struct error *error)
{
	(void)error;
	for (unsigned i = 0; i < count; i++) {
		text_buffer_add_text(argument, i ? "|" : "");
		if (values[i].type == QUERY_NULL)
			text_buffer_add_text(argument, "NULL");
		else
			text_buffer_add(argument, values[i].bytes, values[i].size);
	}
	text_buffer_add_text(argument, " ; ");
	return 0;
}

struct answer {
	int result;
	struct query_result query;
	struct error error;
	char text[1000];
	char error_text[2000];
};

static struct answer ask(const struct place *place, struct query query)
{
	owned_buffer text = { 0 };
	const struct query_sink sink = { .argument = &text, .columns = add_columns, .row = add_row };
	struct answer answer = { 0 };

	if (!query.path)
		query.path = place->database;
	answer.result = query_run(&query, &sink, &answer.query, &answer.error);
	text_copy(answer.text, sizeof(answer.text), text.bytes ? text.bytes : "");
	(void)error_format(&answer.error, answer.error_text, sizeof(answer.error_text));
	return answer;
}

static void assert_answers(const struct place *place, const char *sql, const char *expected)
{
	struct answer answer = ask(place, (struct query){ .sql = sql });

	if (answer.result < 0)
		fail_msg("%s: %s", sql, answer.error_text);
	assert_string_equal(answer.text, expected);
}

static void assert_refuses(const struct place *place, struct query query, int number, const char *words)
{
	struct answer answer = ask(place, query);

	if (answer.result != -number || !strstr(answer.error_text, words))
		fail_msg("%s: wanted %d '%s', got %d: %s", query.sql, -number, words, answer.result, answer.error_text);
}

static void rows_come_with_names_types_and_bytes(void **state)
{
	assert_answers(*state, "SELECT id, name FROM person ORDER BY id", "0[id|name] 1|Ada ; 2|Grace ; ");
	assert_answers(*state, "SELECT 1 AS a, 2.5, NULL, 'x', x'6162', 9223372036854775807, ''",
		       "0[a|2.5|NULL|'x'|x'6162'|9223372036854775807|''] 1|2.5|NULL|x|ab|9223372036854775807| ; ");
	assert_answers(*state, "SELECT name FROM person WHERE 0", "0[name] ");
}

static void several_statements_answer_in_order_and_empty_ones_are_passed_over(void **state)
{
	assert_answers(*state, " ; -- nothing\n SELECT 1; /* here */ ; SELECT count(*) AS n FROM person; ",
		       "0[1] 1 ; 1[n] 2 ; ");
	assert_answers(*state, "", "");
}

static void what_an_application_has_not_closed_is_seen(void **state)
{
	struct place *place = *state;
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(fd_pipe(ready, 0), 0);
	pid = fork();
	if (pid == 0) {
		sqlite3 *database = NULL;

		(void)sqlite3_open(place->database, &database);
		(void)sqlite3_exec(database,
				   "PRAGMA wal_autocheckpoint=0; INSERT INTO person VALUES(3, 'Edsger'); BEGIN;"
				   "INSERT INTO person VALUES(4, 'not yet')",
				   NULL, NULL, NULL);
		(void)!write(ready[1], "r", 1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_answers(place, "SELECT count(*) AS n FROM person", "0[n] 3 ; ");
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	assert_answers(place, "SELECT count(*) AS n FROM person", "0[n] 3 ; ");
	close(ready[0]);
	close(ready[1]);
}

static void nothing_is_changed_unless_asked(void **state)
{
	static const char *const statements[] = {
		"INSERT INTO person VALUES(3, 'x')",
		"DELETE FROM person",
		"UPDATE person SET name = 'x'",
		"DROP TABLE person",
		"CREATE TABLE t(a)",
		"CREATE TEMP TABLE t(a)",
		"VACUUM",
		"REINDEX",
		"ANALYZE",
		"BEGIN IMMEDIATE",
		"SELECT 1; SELECT 2; DELETE FROM person",
		"WITH x AS (SELECT 1) DELETE FROM person WHERE id IN (SELECT * FROM x) RETURNING id",
	};
	static const char *const pragmas[] = {
		"PRAGMA query_only=OFF; DELETE FROM person",
		"PRAGMA user_version=5",
		"PRAGMA user_version(5)",
		"PRAGMA journal_mode=DELETE",
		"PRAGMA writable_schema=ON",
		"PRAGMA wal_checkpoint",
		"PRAGMA optimize",
		"PRAGMA incremental_vacuum",
		"PRAGMA journal_mode(delete)",
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++)
		assert_refuses(place, (struct query){ .sql = statements[i] }, EROFS, "would change the database");
	for (size_t i = 0; i < sizeof(pragmas) / sizeof(*pragmas); i++)
		assert_refuses(place, (struct query){ .sql = pragmas[i] }, EACCES, "PRAGMA");
	assert_answers(place, "SELECT count(*) AS n FROM person; PRAGMA user_version; PRAGMA journal_mode",
		       "0[n] 2 ; 1[user_version] 0 ; 2[journal_mode] wal ; ");
	assert_answers(place, "PRAGMA table_info(person)",
		       "0[cid|name|type|notnull|dflt_value|pk] 0|id|INTEGER|0|NULL|1 ; 1|name|TEXT|0|NULL|0 ; ");
	assert_answers(place, "PRAGMA quick_check", "0[quick_check] ok ; ");
	assert_int_equal(ask(place, (struct query){ .sql = "EXPLAIN QUERY PLAN SELECT 1" }).result, 0);
}

static void what_is_asked_for_is_changed_and_counted(void **state)
{
	struct answer answer =
		ask(*state, (struct query){ .sql = "INSERT INTO person VALUES(3, 'x') RETURNING id; DELETE FROM person"
						   " WHERE id < 3; VACUUM; PRAGMA user_version=5",
					    .is_writable = true });

	assert_int_equal(answer.result, 0);
	assert_int_equal(answer.query.changes, 3);
	assert_string_equal(answer.text, "0[id] 3 ; ");
	assert_answers(*state, "SELECT * FROM person; PRAGMA user_version", "0[id|name] 3|x ; 1[user_version] 5 ; ");
}

static void no_other_file_is_reached(void **state)
{
	struct place *place = *state;
	owned_text other = text_format("%s/other.db", place->directory);
	owned_text attach = text_format("ATTACH '%s' AS o", other);
	owned_text computed = text_format("ATTACH '%s' || '' AS o", other);
	owned_text into = text_format("VACUUM INTO '%s'", other);
	const char *sql[] = { attach, computed, into };
	struct stat status;

	for (size_t i = 0; i < 3; i++)
		for (unsigned is_writable = 0; is_writable < 2; is_writable++)
			(void)ask(place, (struct query){ .sql = sql[i], .is_writable = is_writable }).result;
	assert_refuses(place, (struct query){ .sql = attach, .is_writable = true }, EACCES, "can neither attach");
	assert_refuses(place, (struct query){ .sql = into, .is_writable = true }, EACCES, "can neither attach");
	assert_refuses(place, (struct query){ .sql = attach }, EACCES, "can neither attach");
	assert_refuses(place, (struct query){ .sql = "SELECT load_extension('x')", .is_writable = true }, EINVAL,
		       "not authorized");
	assert_true(lstat(other, &status) < 0);
}

static void wrong_sql_is_told_in_sqlite_s_words(void **state)
{
	assert_refuses(*state, (struct query){ .sql = "SELCT 1" }, EINVAL, "near \"SELCT\": syntax error");
	assert_refuses(*state, (struct query){ .sql = "SELECT * FROM persons" }, EINVAL, "no such table: persons");
	assert_refuses(*state, (struct query){ .sql = "INSERT INTO person VALUES(1, 'x')", .is_writable = true },
		       EINVAL, "UNIQUE constraint failed: person.id");
}

static void time_and_rows_are_bounded(void **state)
{
	static const char endless[] =
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT %s FROM n";
	owned_text counting = text_format(endless, "count(*)");
	owned_text listing = text_format(endless, "i");
	owned_text more = text_format("%s; DELETE FROM person", listing);
	struct answer answer;

	(void)alarm(20);
	assert_refuses(*state, (struct query){ .sql = counting, .timeout_ms = 50 }, ETIMEDOUT, "took too long");
	answer = ask(*state, (struct query){ .sql = more, .rows_max = 3, .is_writable = true });
	(void)alarm(0);
	assert_int_equal(answer.result, 0);
	assert_string_equal(answer.text, "0[i] 1 ; 2 ; 3 ; ");
	assert_true(answer.query.is_cut);
	assert_int_equal(answer.query.rows, 3);
	assert_answers(*state, "SELECT count(*) AS n FROM person", "0[n] 2 ; ");
	answer = ask(*state, (struct query){ .sql = "SELECT id FROM person", .rows_max = 2 });
	assert_false(answer.query.is_cut);
}

static void a_lock_held_too_long_is_named(void **state)
{
	struct place *place = *state;
	int ready[2];
	char byte;
	pid_t pid;

	run(place->database, "PRAGMA journal_mode=delete");
	assert_int_equal(fd_pipe(ready, 0), 0);
	pid = fork();
	if (pid == 0) {
		sqlite3 *database = NULL;

		(void)sqlite3_open(place->database, &database);
		(void)sqlite3_exec(database, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
		(void)!write(ready[1], "r", 1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_refuses(place, (struct query){ .sql = "SELECT * FROM person", .busy_timeout_ms = 50 }, EBUSY, "locked");
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void a_file_that_is_no_database_is_told(void **state)
{
	struct place *place = *state;
	owned_text missing = text_format("%s/missing.db", place->directory);
	owned_text text = text_format("%s/text.db", place->directory);
	FILE *stream = fopen(text, "we");

	assert_non_null(stream);
	(void)fputs("no database, but longer than a header, and then some\n", stream);
	(void)fclose(stream);
	assert_refuses(place, (struct query){ .path = missing, .sql = "SELECT 1" }, ENOENT, "No such file");
	assert_refuses(place, (struct query){ .path = place->directory, .sql = "SELECT 1" }, EISDIR, "a directory");
	assert_refuses(place, (struct query){ .path = text, .sql = "SELECT * FROM sqlite_master" }, EBADMSG,
		       "not an SQLite database");
}

static int refuse_row(void *argument, unsigned count, const struct query_value *values, struct error *error)
{
	(void)argument, (void)count, (void)values;
	return error_set(error, .number = EPIPE, .step = "write the rows");
}

static void a_callback_that_fails_ends_the_query(void **state)
{
	struct place *place = *state;
	owned_buffer text = { 0 };
	const struct query query = { .path = place->database, .sql = "SELECT * FROM person" };
	const struct query_sink sink = { .argument = &text, .columns = add_columns, .row = refuse_row };
	struct query_result result = { 0 };
	struct error error;

	assert_int_equal(query_run(&query, &sink, &result, &error), -EPIPE);
	assert_string_equal(error.step, "write the rows");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(rows_come_with_names_types_and_bytes),
		TEST(several_statements_answer_in_order_and_empty_ones_are_passed_over),
		TEST(what_an_application_has_not_closed_is_seen),
		TEST(nothing_is_changed_unless_asked),
		TEST(what_is_asked_for_is_changed_and_counted),
		TEST(no_other_file_is_reached),
		TEST(wrong_sql_is_told_in_sqlite_s_words),
		TEST(time_and_rows_are_bounded),
		TEST(a_lock_held_too_long_is_named),
		TEST(a_file_that_is_no_database_is_told),
		TEST(a_callback_that_fails_ends_the_query),
	};

	return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
