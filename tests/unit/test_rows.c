/* SPDX-License-Identifier: Apache-2.0 */
/* Two databases compared, changesets made and applied. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/sqlite.h"
#include "base/text.h"
#include "overlay/changeset.h"
#include "overlay/rows.h"
#include "tests/unit/scratch.h"

static void run(const struct scratch *place, const char *name, const char *sql)
{
	owned_text path = text_format("%s/%s", place->path, name);
	sqlite3 *database = NULL;
	char *message = NULL;

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

/* ---- what is told, as text ---- */

static int on_schema(void *argument, const char *type, const char *name, enum rows_fate fate, struct error *error)
{
	(void)error;
	text_buffer_format(argument, "%s %s %d\n", type, name, fate);
	return 0;
}

static int on_table(void *argument, const struct rows_table *table, struct error *error)
{
	(void)error;
	if (table->problem)
		text_buffer_format(argument, "%s: %s\n", table->name, table->problem);
	return 0;
}

static void add_values(struct text_buffer *out, const struct rows_table *table, const struct rows_value *values)
{
	for (unsigned i = 0; i < table->column_count && values; i++) {
		owned_text text = rows_value_text(&values[i]);

		text_buffer_format(out, " %s%s=%s", table->key[i] ? "*" : "", table->columns[i], text);
	}
}

static int on_row(void *argument, enum rows_kind kind, const struct rows_table *table, const struct rows_value *before,
		  const struct rows_value *after, struct error *error)
{
	(void)error;
	text_buffer_format(argument, "%c %s", kind, table->name);
	add_values(argument, table, before);
	if (before && after)
		text_buffer_add_text(argument, " ->");
	add_values(argument, table, after);
	text_buffer_add_text(argument, "\n");
	return 0;
}

static struct rows_request request_of(const struct scratch *place)
{
	return (struct rows_request){
		.before = { .path = "before",
			    .directory_fd = place->fd,
			    .name = "before",
			    .rule = SQLITE_RULE_AT_REST },
		.after = { .path = "after", .directory_fd = place->fd, .name = "after", .rule = SQLITE_RULE_WRITE },
	};
}

static void assert_differs(const struct scratch *place, const char *want)
{
	owned_buffer told = { 0 };
	struct rows_request request = request_of(place);
	const struct rows_sink sink = {
		.argument = &told, .schema = on_schema, .table = on_table, .row = on_row, .end = NULL
	};
	struct rows_result result;
	struct error error = { 0 };

	text_buffer_add_text(&told, "");
	if (rows_compare(&request, &sink, &result, &error) < 0)
		fail_msg("%s: %s (%s)", error.step, error.cause, error.context);
	assert_string_equal(told.bytes, want);
}

/* ---- rows ---- */

static void test_rows_tells_inserted_updated_deleted(void **state)
{
	const struct scratch *place = *state;

	run(place, "before",
	    "CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO p VALUES(1, 'a'), (2, 'b')");
	run(place, "after",
	    "CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO p VALUES(2, 'c'), (3, NULL)");
	assert_differs(place, "D p *id=1 name=a\nU p *id=2 name=b -> *id=2 name=c\nI p *id=3 name=NULL\n");
}

static void test_rows_are_the_same_by_type_and_bytes(void **state)
{
	const struct scratch *place = *state;
	static const char made[] = "CREATE TABLE p(id INTEGER PRIMARY KEY, a, b TEXT COLLATE NOCASE)";

	run(place, "before", made);
	run(place, "after", made);
	run(place, "before", "INSERT INTO p VALUES(1, 1, 'x'), (2, 'q', 'Case'), (3, x'00', ''), (4, 0.1, NULL)");
	run(place, "after", "INSERT INTO p VALUES(1, 1.0, 'x'), (2, 'q', 'case'), (3, x'00', NULL), (4, 0.1, NULL)");
	assert_differs(place, "U p *id=1 a=1 b=x -> *id=1 a=1.0 b=x\n"
			      "U p *id=2 a=q b=Case -> *id=2 a=q b=case\n"
			      "U p *id=3 a=x'00' b= -> *id=3 a=x'00' b=NULL\n");
}

static void test_rows_of_all_kinds_of_keys(void **state)
{
	const struct scratch *place = *state;
	static const char made[] = "CREATE TABLE w(a TEXT, b INT, v, PRIMARY KEY(b, a)) WITHOUT ROWID;"
				   "CREATE TABLE n(k TEXT COLLATE NOCASE PRIMARY KEY, v);"
				   "CREATE TABLE r(x, rowid, _rowid_); CREATE TABLE q(x, rowid, oid, _rowid_)";

	run(place, "before", made);
	run(place, "after", made);
	run(place, "before",
	    "INSERT INTO w VALUES('x', 2, 1), ('y', 1, 1); INSERT INTO n VALUES('B', 1), ('a', 1), (NULL, 1);"
	    "INSERT INTO r VALUES(1, 1, 1)");
	run(place, "after",
	    "INSERT INTO w VALUES('x', 2, 2), ('x', 1, 1), ('y', 1, 1); INSERT INTO n VALUES('B', 1), ('a', 2), (NULL, "
	    "1);"
	    "INSERT INTO r VALUES(1, 1, 1), (1, 1, 1); INSERT INTO q VALUES(1, 1, 1, 1)");
	/* A key with NULL in it is none. */
	assert_differs(place, "U n *_rowid_=2 k=a v=1 -> *_rowid_=2 k=a v=2\n"
			      "q: it has no primary key, and columns named rowid, oid and _rowid_\n"
			      "I r *oid=2 x=1 rowid=1 _rowid_=1\n"
			      "I w *a=x *b=1 v=1\n"
			      "U w *a=x *b=2 v=1 -> *a=x *b=2 v=2\n");
}

static void test_rows_with_a_key_of_other_case_are_two(void **state)
{
	const struct scratch *place = *state;

	run(place, "before",
	    "CREATE TABLE n(k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY); INSERT INTO n VALUES('b'), ('C')");
	run(place, "after",
	    "CREATE TABLE n(k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY); INSERT INTO n VALUES('B'), ('C')");
	assert_differs(place, "I n *k=B\nD n *k=b\n");
}

static void test_rows_names_the_schema(void **state)
{
	const struct scratch *place = *state;

	run(place, "before",
	    "CREATE TABLE gone(a); INSERT INTO gone VALUES(1); CREATE TABLE alt(id INTEGER PRIMARY KEY, a);"
	    "INSERT INTO alt VALUES(1, 1); CREATE TABLE pk(a PRIMARY KEY, b); CREATE INDEX i ON alt(a);"
	    "CREATE VIEW v AS SELECT 1");
	run(place, "after",
	    "CREATE TABLE made(a INTEGER PRIMARY KEY); INSERT INTO made VALUES(1);"
	    "CREATE TABLE alt(id INTEGER PRIMARY KEY, a, b); INSERT INTO alt VALUES(1, 2, 3);"
	    "CREATE TABLE pk(a, b PRIMARY KEY); CREATE VIEW v AS SELECT 2;"
	    "CREATE TRIGGER t AFTER INSERT ON made BEGIN SELECT 1; END");
	assert_differs(place, "index i 2\ntable alt 3\ntable gone 2\ntable made 1\ntable pk 3\ntrigger t 1\nview v 3\n"
			      "U alt *id=1 a=1 -> *id=1 a=2\nD gone *_rowid_=1 a=1\nI made *a=1\n"
			      "pk: its primary key is another one\n");
}

static void test_rows_of_generated_columns_and_full_text(void **state)
{
	const struct scratch *place = *state;
	static const char made[] =
		"CREATE TABLE g(id INTEGER PRIMARY KEY, a, b AS (a * 2) STORED, c AS (a * 3));"
		"CREATE VIRTUAL TABLE f USING fts5(body); CREATE VIRTUAL TABLE t USING rtree(id, x, y);"
		"CREATE TABLE s(id INTEGER PRIMARY KEY AUTOINCREMENT)";

	run(place, "before", made);
	run(place, "after", made);
	run(place, "after",
	    "INSERT INTO g VALUES(1, 5); INSERT INTO f VALUES('hello'); INSERT INTO t VALUES(1, 2, 3);"
	    "INSERT INTO s DEFAULT VALUES; DELETE FROM s");
	assert_differs(place, "I f *_rowid_=1 body=hello\nI g *id=1 a=5\nI sqlite_sequence *name=s seq=1\n"
			      "I t *_rowid_=1 id=1 x=2.0 y=3.0\n");
}

static void test_rows_of_other_encodings(void **state)
{
	const struct scratch *place = *state;
	struct rows_request request = request_of(place);
	const struct rows_sink sink = { 0 };
	struct rows_result result;
	struct error error = { 0 };
	/* In UTF-16 the order of bytes is another one than in UTF-8: U+E000 stands behind a surrogate. */
	static const char made[] = "PRAGMA encoding='UTF-16le'; CREATE TABLE p(k TEXT NOT NULL PRIMARY KEY);"
				   "INSERT INTO p VALUES(char(0x1F600)), (char(0xE000)), ('z')";

	run(place, "before", made);
	run(place, "after", made);
	run(place, "after", "DELETE FROM p WHERE k = char(0xE000)");
	assert_differs(place, "D p *k=\xee\x80\x80\n");

	assert_int_equal(unlinkat(place->fd, "before", 0), 0);
	run(place, "before", "CREATE TABLE p(k TEXT NOT NULL PRIMARY KEY)");
	assert_int_equal(rows_compare(&request, &sink, &result, &error), -EINVAL);
	assert_non_null(strstr(error.cause, "encodings"));
}

static void test_rows_without_one_side(void **state)
{
	const struct scratch *place = *state;
	struct rows_request request = request_of(place);
	const struct rows_sink sink = { 0 };
	struct rows_result result;
	struct error error = { 0 };

	run(place, "after", "CREATE TABLE p(a); INSERT INTO p VALUES(1), (2)");
	request.before.name = NULL;
	assert_int_equal(rows_compare(&request, &sink, &result, &error), 0);
	assert_int_equal(result.inserted, 2);
	assert_int_equal(result.schema, 1);
	request.before = request.after;
	request.after.name = NULL;
	assert_int_equal(rows_compare(&request, &sink, &result, &error), 0);
	assert_int_equal(result.deleted, 2);
}

static void test_rows_refuses_what_is_no_database(void **state)
{
	const struct scratch *place = *state;
	struct rows_request request = request_of(place);
	const struct rows_sink sink = { 0 };
	struct rows_result result;
	struct error error = { 0 };
	owned_fd fd = openat(place->fd, "before", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(fd_write_all(fd,
				      "this is certainly not one, and long enough for a header of a hundred bytes, "
				      "which SQLite wants to see first",
				      108),
			 0);
	run(place, "after", "CREATE TABLE p(a)");
	assert_int_equal(rows_compare(&request, &sink, &result, &error), -EBADMSG);
}

static void test_value_text_reads_back(void **state)
{
	struct rows_value value = { .type = QUERY_REAL, .real = 0.1 + 0.2 };
	owned_text text = rows_value_text(&value);
	owned_text one = NULL;

	(void)state;
	assert_true(strtod(text, NULL) == value.real);
	value.real = 1.0;
	one = rows_value_text(&value);
	assert_string_equal(one, "1.0");
}

/* ---- changesets ---- */

static void make(const struct scratch *place, struct changeset *changeset)
{
	struct rows_request request = request_of(place);
	struct error error = { 0 };

	if (changeset_make(&request, changeset, &error) < 0)
		fail_msg("%s: %s", error.step, error.cause);
}

static int apply(const struct scratch *place, const struct changeset *changeset, struct error *error)
{
	const struct changeset_target target = { .path = "before", .directory_fd = place->fd, .name = "before" };
	uint64_t changes = 0;
	int result = changeset_apply(&target, changeset->bytes.bytes, changeset->bytes.length, &changes, error);

	if (result == 0)
		assert_int_equal(changes, changeset->changes);
	return result;
}

static const char changing[] =
	"CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT, r REAL, b BLOB, g AS (id + 1) STORED);"
	"CREATE TABLE w(a TEXT, n INT, v, PRIMARY KEY(n, a)) WITHOUT ROWID;"
	"CREATE TABLE u(id INTEGER PRIMARY KEY, k UNIQUE);"
	"CREATE TABLE l(what); CREATE TRIGGER t AFTER INSERT ON p BEGIN INSERT INTO l VALUES(new.id); END;"
	"INSERT INTO p VALUES(1, 'a', 1.5, x'00ff'), (2, 'b', 0.1, NULL); INSERT INTO w VALUES('x', 1, 'old');"
	"INSERT INTO u VALUES(1, 'one'), (2, 'two'); DELETE FROM l";

static void test_changeset_leads_from_before_to_after(void **state)
{
	const struct scratch *place = *state;
	owned_changeset changeset = { 0 };
	struct error error = { 0 };
	char name[400];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	run(place, "before", changing);
	run(place, "after", changing);
	{
		owned_text insert = text_format("DROP TRIGGER t; INSERT INTO p VALUES(3, '%s', -1e300, x'')", name);

		run(place, "after", insert);
	}
	run(place, "after",
	    "DELETE FROM p WHERE id = 1; UPDATE p SET r = r + 0.2 WHERE id = 2; UPDATE w SET v = NULL;"
	    "INSERT INTO w VALUES('x', -9223372036854775808, 'new'); UPDATE u SET k = 'three' WHERE id = 2;"
	    "UPDATE u SET k = 'two' WHERE id = 1;"
	    "CREATE TRIGGER t AFTER INSERT ON p BEGIN INSERT INTO l VALUES(new.id); END");
	make(place, &changeset);
	assert_int_equal(changeset.left.count, 0);
	if (apply(place, &changeset, &error) < 0)
		fail_msg("%s: %s", error.step, error.cause);
	assert_differs(place, "");
	/* A second time nothing fits, and nothing is changed. */
	assert_int_equal(apply(place, &changeset, &error), -ESTALE);
	assert_non_null(strstr(error.cause, "p (1) is not there any more"));
	assert_differs(place, "");
}

static void test_changeset_names_what_it_cannot_hold(void **state)
{
	const struct scratch *place = *state;
	owned_changeset changeset = { 0 };

	run(place, "before", "CREATE TABLE l(x); CREATE TABLE d(id INTEGER PRIMARY KEY); INSERT INTO d VALUES(1)");
	run(place, "after", "CREATE TABLE l(x); INSERT INTO l VALUES(1); CREATE VIRTUAL TABLE f USING fts5(body)");
	make(place, &changeset);
	assert_int_equal(changeset.changes, 0);
	assert_int_equal(changeset.left.count, 4);
	assert_string_equal(changeset.left.items[0], "table d: that it was dropped is no row");
	assert_string_equal(changeset.left.items[2], "table d: it was dropped (1 rows)");
	assert_string_equal(changeset.left.items[3],
			    "table l: it has no primary key, or a row with NULL in it (1 rows)");
}

static void test_changeset_is_refused_by_another_schema(void **state)
{
	const struct scratch *place = *state;
	owned_changeset changeset = { 0 };
	struct error error = { 0 };

	run(place, "before", "CREATE TABLE p(id INTEGER PRIMARY KEY, a)");
	run(place, "after", "CREATE TABLE p(id INTEGER PRIMARY KEY, a); INSERT INTO p VALUES(1, 1)");
	make(place, &changeset);
	run(place, "before", "ALTER TABLE p ADD COLUMN b");
	assert_int_equal(apply(place, &changeset, &error), -ESTALE);
	assert_non_null(strstr(error.cause, "table p has other columns"));
	run(place, "before", "DROP TABLE p");
	assert_int_equal(apply(place, &changeset, &error), -ESTALE);
	assert_non_null(strstr(error.cause, "table p is not there"));
}

static void test_changeset_keeps_foreign_keys(void **state)
{
	const struct scratch *place = *state;
	owned_changeset changeset = { 0 };
	struct error error = { 0 };
	static const char made[] =
		"CREATE TABLE o(id INTEGER PRIMARY KEY);"
		"CREATE TABLE i(id INTEGER PRIMARY KEY, o REFERENCES o(id)); INSERT INTO o VALUES(1)";

	run(place, "before", made);
	run(place, "after", made);
	run(place, "after", "INSERT INTO i VALUES(1, 1)");
	make(place, &changeset);
	run(place, "before", "DELETE FROM o");
	assert_int_equal(apply(place, &changeset, &error), -ESTALE);
	assert_string_equal(error.cause,
			    "foreign keys would be broken: a row of i refers to one of o that is not there");
	/* What was broken before stays so. */
	run(place, "before", "INSERT INTO o VALUES(1); INSERT INTO i VALUES(9, 9)");
	assert_int_equal(apply(place, &changeset, &error), 0);
}

/* As Entity Framework Core makes them: the parents' name sorts before the children's. */
static void test_changeset_of_what_keys_did_by_themselves(void **state)
{
	const struct scratch *place = *state;
	owned_changeset changeset = { 0 };
	struct error error = { 0 };
	static const char made[] =
		"CREATE TABLE a(id INTEGER PRIMARY KEY);"
		"CREATE TABLE b(id INTEGER PRIMARY KEY, a NOT NULL REFERENCES a(id) ON DELETE CASCADE ON UPDATE "
		"CASCADE);"
		"CREATE TABLE c(id INTEGER PRIMARY KEY, a REFERENCES a(id) ON DELETE SET NULL);"
		"INSERT INTO a VALUES(1), (2), (3); INSERT INTO b VALUES(1, 1), (2, 1), (3, 2), (4, 3);"
		"INSERT INTO c VALUES(1, 1), (2, 3)";

	run(place, "before", made);
	run(place, "after", made);
	run(place, "after", "PRAGMA foreign_keys=ON; DELETE FROM a WHERE id = 1; UPDATE a SET id = 9 WHERE id = 2");
	make(place, &changeset);
	if (apply(place, &changeset, &error) < 0)
		fail_msg("%s: %s", error.step, error.cause);
	assert_differs(place, "");
}

static void test_changeset_that_is_cut_or_garbage_is_refused(void **state)
{
	const struct scratch *place = *state;
	owned_changeset changeset = { 0 };
	struct error error = { 0 };
	uint64_t changes;
	const struct changeset_target target = { .path = "before", .directory_fd = place->fd, .name = "before" };

	run(place, "before", "CREATE TABLE p(id INTEGER PRIMARY KEY, a)");
	run(place, "after", "CREATE TABLE p(id INTEGER PRIMARY KEY, a); INSERT INTO p VALUES(1, 'some text')");
	make(place, &changeset);
	/* In memory of just its size, so that a byte read behind it is seen. */
	for (size_t size = 1; size < changeset.bytes.length; size++) {
		char *cut = malloc(size);
		int result;

		memcpy(cut, changeset.bytes.bytes, size);
		result = changeset_apply(&target, cut, size, &changes, &error);
		free(cut);
		if (result < 0)
			assert_true(result == -EBADMSG || result == -ESTALE);
		else
			assert_int_equal(changes, 0); /* the head of a table without rows */
	}
	assert_int_equal(changeset_apply(&target, "garbage", 7, &changes, &error), -EBADMSG);
}

#define ROWS_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROWS_TEST(test_rows_tells_inserted_updated_deleted),
		ROWS_TEST(test_rows_are_the_same_by_type_and_bytes),
		ROWS_TEST(test_rows_of_all_kinds_of_keys),
		ROWS_TEST(test_rows_with_a_key_of_other_case_are_two),
		ROWS_TEST(test_rows_names_the_schema),
		ROWS_TEST(test_rows_of_generated_columns_and_full_text),
		ROWS_TEST(test_rows_of_other_encodings),
		ROWS_TEST(test_rows_without_one_side),
		ROWS_TEST(test_rows_refuses_what_is_no_database),
		ROWS_TEST(test_value_text_reads_back),
		ROWS_TEST(test_changeset_leads_from_before_to_after),
		ROWS_TEST(test_changeset_names_what_it_cannot_hold),
		ROWS_TEST(test_changeset_is_refused_by_another_schema),
		ROWS_TEST(test_changeset_keeps_foreign_keys),
		ROWS_TEST(test_changeset_of_what_keys_did_by_themselves),
		ROWS_TEST(test_changeset_that_is_cut_or_garbage_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
