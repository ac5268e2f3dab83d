/* SPDX-License-Identifier: Apache-2.0 */
/* A changeset from anywhere, applied; and two databases whose SQL the input chose, compared. The input's first byte
 * says which. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/sqlite.h"
#include "overlay/changeset.h"
#include "tests/fuzz/fuzz.h"

#define NAME_BEFORE "before.db"
#define NAME_AFTER  "after.db"

static void fill(const char *name, const char *sql)
{
	owned_database database = NULL;

	(void)unlinkat(fuzz_directory(), name, 0);
	MUST(sqlite_open(fuzz_directory(), name, SQLITE_RULE_CREATE, &database) == SQLITE_OK);
	(void)sqlite3_limit(database, SQLITE_LIMIT_LENGTH, 100000);
	(void)sqlite3_limit(database, SQLITE_LIMIT_VDBE_OP, 10000);
	(void)sqlite_run(database, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF");
	(void)sqlite_run(database, sql);
}

static void check_apply(const uint8_t *data, size_t size)
{
	static const char schema[] = "CREATE TABLE p(id INTEGER PRIMARY KEY, a, b);"
				     "CREATE TABLE w(a, n, v, PRIMARY KEY(n, a)) WITHOUT ROWID;"
				     "INSERT INTO p VALUES(1, 'x', 2), (2, NULL, x'00'); INSERT INTO w VALUES(1, 2, 3)";
	const struct changeset_target target = { .path = NAME_AFTER,
						 .directory_fd = fuzz_directory(),
						 .name = NAME_AFTER };
	owned_database database = NULL;
	struct error error = { 0 };
	uint64_t changes = UINT64_MAX;
	int64_t sum = 0;

	fill(NAME_AFTER, schema);
	if (changeset_apply(&target, data, size, &changes, &error) < 0)
		MUST(error.number != 0 && error.cause[0]);
	else
		MUST(changes != UINT64_MAX);
	/* All or nothing. */
	MUST(sqlite_open(fuzz_directory(), NAME_AFTER, SQLITE_RULE_WRITE, &database) == SQLITE_OK);
	MUST(sqlite_number(database, "SELECT count(*) FROM p WHERE id IN (1, 2)", &sum) == SQLITE_ROW);
	MUST(error.number == 0 || sum == 2);
	(void)unlinkat(fuzz_directory(), NAME_AFTER, 0);
}

/* What leads from one to the other, applied, makes the one the other, where nothing had to be left out. */
static void check_compare(const uint8_t *data, size_t size)
{
	const struct rows_request request = {
		.before = { NAME_BEFORE, fuzz_directory(), NAME_BEFORE, SQLITE_RULE_WRITE },
		.after = { NAME_AFTER, fuzz_directory(), NAME_AFTER, SQLITE_RULE_WRITE },
	};
	const struct changeset_target target = { .path = NAME_BEFORE,
						 .directory_fd = fuzz_directory(),
						 .name = NAME_BEFORE };
	static const struct rows_sink sink = { 0 };
	owned_text common = fuzz_part(&data, &size);
	owned_text before = fuzz_part(&data, &size);
	owned_text after = fuzz_part(&data, &size);
	owned_text sql_before = text_format("%s;%s", common, before);
	owned_text sql_after = text_format("%s;%s", common, after);
	owned_changeset changeset = { 0 };
	struct rows_result result;
	struct error error = { 0 };
	uint64_t changes = 0;

	fill(NAME_BEFORE, sql_before);
	fill(NAME_AFTER, sql_after);
	if (changeset_make(&request, &changeset, &error) == 0 && changeset.left.count == 0 &&
	    changeset_apply(&target, changeset.bytes.bytes ? changeset.bytes.bytes : "", changeset.bytes.length,
			    &changes, &error) == 0) {
		struct error ignored = { 0 };

		MUST(rows_compare(&request, &sink, &result, &ignored) == 0);
		MUST(result.inserted + result.updated + result.deleted == 0);
	}
	(void)unlinkat(fuzz_directory(), NAME_BEFORE, 0);
	(void)unlinkat(fuzz_directory(), NAME_AFTER, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 's')
		check_compare(data + 1, size - 1);
	else
		check_apply(data + 1, size - 1);
	return 0;
}
