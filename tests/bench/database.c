/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite as a server under test uses it.
 *
 *	database commits FILE delete|wal MILLISECONDS   a new database; one row per transaction; prints commits per
 *second database fill FILE MEBIBYTES                    a database of that size, in rows of 1 KiB
 *
 * synchronous stays FULL, SQLite's default: each commit is on the disk, as far as the file system makes that true. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/clock.h"

static int fail(sqlite3 *database, const char *step)
{
	(void)fprintf(stderr, "database: %s: %s\n", step, sqlite3_errmsg(database));
	(void)sqlite3_close(database);
	return 1;
}

static sqlite3 *create(const char *path)
{
	static const char *const sidecars[] = { "", "-wal", "-shm", "-journal" };
	char name[4096];
	sqlite3 *database;

	for (size_t i = 0; i < sizeof(sidecars) / sizeof(sidecars[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, sidecars[i]);
		if (unlink(name) < 0 && errno != ENOENT) {
			(void)fprintf(stderr, "database: %s: %s\n", name, strerror(errno));
			return NULL;
		}
	}
	if (sqlite3_open(path, &database) != SQLITE_OK) {
		(void)fail(database, "open");
		return NULL;
	}
	return database;
}

static int commits(const char *path, const char *journal, uint64_t milliseconds)
{
	sqlite3 *database = create(path);
	sqlite3_stmt *insert;
	char sql[128];
	uint64_t count = 0;
	uint64_t start;
	uint64_t now;

	if (!database)
		return 1;
	(void)snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s; CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT)",
		       journal);
	if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(database, "INSERT INTO row (text) VALUES ('a row as an application writes it')", -1,
			       &insert, NULL) != SQLITE_OK)
		return fail(database, "create");
	start = clock_now_ns();
	do {
		if (sqlite3_step(insert) != SQLITE_DONE)
			return fail(database, "commit");
		(void)sqlite3_reset(insert);
		count++;
		now = clock_now_ns();
	} while (now - start < milliseconds * 1000000);
	(void)printf("%.1f\n", (double)count * 1e9 / (double)(now - start));
	(void)sqlite3_finalize(insert);
	(void)sqlite3_close(database);
	return 0;
}

static int fill(const char *path, long mebibytes)
{
	static const char sql[] = "CREATE TABLE row (id INTEGER PRIMARY KEY, bytes BLOB);"
				  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %ld)"
				  "INSERT INTO row (bytes) SELECT randomblob(1000) FROM n";
	sqlite3 *database = create(path);
	char text[sizeof(sql) + 32];

	if (!database)
		return 1;
	(void)snprintf(text, sizeof(text), sql, mebibytes * 1024);
	if (sqlite3_exec(database, text, NULL, NULL, NULL) != SQLITE_OK)
		return fail(database, "fill");
	(void)sqlite3_close(database);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "commits") == 0)
		return commits(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "fill") == 0)
		return fill(argv[2], strtol(argv[3], NULL, 10));
	(void)fprintf(stderr, "usage: database commits FILE delete|wal MILLISECONDS | database fill FILE MEBIBYTES\n");
	return 2;
}
