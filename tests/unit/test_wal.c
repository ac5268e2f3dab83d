/* SPDX-License-Identifier: Apache-2.0 */
/* Pages committed to a write-ahead log by hand: what SQLite makes of them, through its index and by recovery. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/sqlite.h"
#include "base/text.h"
#include "overlay/wal.h"
#include "tests/unit/scratch.h"
#include "tests/unit/sql.h"

enum { PAGE = 1024 };

static void shell(const struct scratch *place, const char *command)
{
	owned_text line = text_format("cd '%s' && %s", place->path, command);

	assert_int_equal(system(line), 0);
}

static sqlite3 *open_rows(const struct scratch *place, const char *name)
{
	sqlite3 *database = NULL;

	assert_int_equal(sqlite_open(place->fd, name, SQLITE_RULE_CREATE, &database), SQLITE_OK);
	sql_run(database, "PRAGMA synchronous=OFF");
	return database;
}

/* In WAL mode, of pages of 1 KiB, about `rows` of them; whatever is committed stays in the log. */
static sqlite3 *make(const struct scratch *place, const char *name, int rows, int seed)
{
	owned_text sql = text_format("PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
				     "CREATE TABLE item(id INTEGER PRIMARY KEY, value);"
				     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
				     " INSERT INTO item SELECT i, printf('%%0900d', i * %d) FROM n;"
				     "PRAGMA wal_checkpoint(TRUNCATE)",
				     rows, seed);
	sqlite3 *database = open_rows(place, name);

	sql_run(database, sql);
	return database;
}

/* All pages of the file `start`, in place of those of the database. */
static void commit_file(const struct scratch *place, sqlite3 *database, const char *start)
{
	owned_fd fd = openat(place->fd, start, O_RDONLY | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t page[PAGE];
	owned_wal wal = NULL;

	assert_true(fd >= 0 && size > 0 && size % PAGE == 0);
	while (sqlite_run(database, "BEGIN IMMEDIATE") != SQLITE_OK)
		(void)sched_yield();
	assert_int_equal(wal_open(database, PAGE, &wal), SQLITE_OK);
	for (off_t at = 0; at < size; at += PAGE) {
		assert_int_equal(pread(fd, page, PAGE, at), PAGE);
		assert_int_equal(
			wal_add(wal, (uint32_t)(at / PAGE) + 1, page, at + PAGE == size ? (uint32_t)(size / PAGE) : 0),
			SQLITE_OK);
	}
	assert_int_equal(wal_commit(wal), SQLITE_OK);
	sql_run(database, "COMMIT");
}

static void assert_whole(sqlite3 *database, int rows, int seed)
{
	assert_int_equal(
		sql_number(database, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
	assert_int_equal(sql_number(database, "SELECT count(*) FROM item"), rows);
	assert_int_equal(sql_number(database, "SELECT sum(value) FROM item"), (int64_t)rows * (rows + 1) / 2 * seed);
}

/* What somebody finds who has database and log, and no index. */
static void assert_recovered(const struct scratch *place, int rows, int seed)
{
	sqlite3 *database;

	shell(place, "cp live copied && cp live-wal copied-wal");
	database = open_rows(place, "copied");
	assert_whole(database, rows, seed);
	sqlite_close(&database);
	shell(place, "rm -f copied*");
}

/* fact W1, W2 */
static void what_is_committed_is_seen_and_recovered(void **state)
{
	/* Into an empty log, behind frames of SQLite's, and over the ends of the index's pieces, of 4062 and 4096. */
	static const int counts[] = { 10, 700, 4058, 4100, 9000 };
	struct scratch *place = *state;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		int rows = counts[i];
		sqlite3 *start = make(place, "start", rows, 3);
		sqlite3 *live = make(place, "live", 50, 5);
		sqlite3 *other = open_rows(place, "live");

		assert_whole(other, 50, 5); /* it has pages in its cache */
		sqlite_close(&start);
		commit_file(place, live, "start");
		assert_whole(other, rows, 3);
		assert_whole(live, rows, 3);
		assert_recovered(place, rows, 3);
		sql_run(other, "UPDATE item SET value = 2 * value; DELETE FROM item WHERE id > 9");
		assert_whole(live, 9, 6);
		assert_recovered(place, 9, 6);
		commit_file(place, live, "start");
		assert_whole(other, rows, 3);
		assert_recovered(place, rows, 3);
		sql_run(live, "PRAGMA wal_checkpoint(TRUNCATE)");
		assert_whole(live, rows, 3);
		assert_whole(other, rows, 3);
		sqlite_close(&other);
		sqlite_close(&live);
		shell(place, "rm -f start* live*");
	}
}

static void a_page_is_read_as_it_was_committed_last(void **state)
{
	struct scratch *place = *state;
	sqlite3 *live = make(place, "live", 5000, 7);
	owned_wal wal = NULL;
	owned_fd fd = -1;
	uint8_t page[PAGE];
	uint8_t wanted[PAGE];
	unsigned in_log = 0;

	sql_run(live, "UPDATE item SET value = 1 WHERE id % 3 = 0; UPDATE item SET value = 2 WHERE id % 5 = 0");
	sql_run(live, "DELETE FROM item WHERE id > 4000");
	/* As SQLite puts it together. */
	shell(place, "cp live whole && cp live-wal whole-wal && sqlite3 whole 'PRAGMA wal_checkpoint(TRUNCATE)'");
	fd = openat(place->fd, "whole", O_RDONLY | O_CLOEXEC);
	sql_run(live, "BEGIN IMMEDIATE");
	assert_int_equal(wal_open(live, PAGE, &wal), SQLITE_OK);
	assert_int_equal((off_t)wal_page_count(wal) * PAGE, lseek(fd, 0, SEEK_END));
	for (uint32_t i = 1; i <= wal_page_count(wal); i++) {
		if (wal_read_page(wal, i, page) == SQLITE_NOTFOUND)
			continue;
		in_log++;
		assert_int_equal(pread(fd, wanted, PAGE, (off_t)(i - 1) * PAGE), PAGE);
		assert_memory_equal(page, wanted, PAGE);
	}
	assert_true(in_log > 1000);
	sql_run(live, "ROLLBACK");
	sqlite_close(&live);
}

static void a_reader_keeps_what_it_began_with(void **state)
{
	struct scratch *place = *state;
	sqlite3 *start = make(place, "start", 600, 3);
	sqlite3 *live = make(place, "live", 50, 5);
	sqlite3 *reader = open_rows(place, "live");
	sqlite3 *writer = open_rows(place, "live");

	sqlite_close(&start);
	sql_run(reader, "BEGIN");
	assert_whole(reader, 50, 5);
	commit_file(place, live, "start");
	assert_whole(reader, 50, 5);
	sql_run(writer, "UPDATE item SET value = 2 * value");
	assert_whole(reader, 50, 5);
	/* One that read before others wrote may not write on that. */
	assert_int_equal(sqlite3_exec(reader, "DELETE FROM item", NULL, NULL, NULL), SQLITE_BUSY_SNAPSHOT);
	sql_run(reader, "ROLLBACK");
	assert_whole(reader, 600, 6);
	sqlite_close(&writer);
	sqlite_close(&reader);
	sqlite_close(&live);
}

/* A transaction too large for its cache has frames in the log and in the index before it is committed. */
static void what_a_killed_writer_left_does_not_count(void **state)
{
	struct scratch *place = *state;
	sqlite3 *start = make(place, "start", 40, 3);
	sqlite3 *live = make(place, "live", 5000, 5);
	pid_t pid;

	sql_run(live, "UPDATE item SET value = 5 WHERE id = 1");
	pid = fork();
	if (pid == 0) {
		sqlite3 *writer = open_rows(place, "live");

		sql_run(writer, "PRAGMA cache_size=10; BEGIN; UPDATE item SET value = 1");
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	sqlite_close(&start);
	commit_file(place, live, "start");
	assert_whole(live, 40, 3);
	assert_recovered(place, 40, 3);
	sqlite_close(&live);
}

/* Frames that were added and never committed, as of one that was killed. */
static void what_was_not_committed_does_not_count(void **state)
{
	struct scratch *place = *state;
	sqlite3 *live = make(place, "live", 300, 5);
	uint8_t page[PAGE];
	owned_wal wal = NULL;

	memset(page, 0xff, sizeof(page));
	sql_run(live, "UPDATE item SET value = 4 * value");
	sql_run(live, "BEGIN IMMEDIATE");
	assert_int_equal(wal_open(live, PAGE, &wal), SQLITE_OK);
	for (uint32_t i = 1; i < 200; i++)
		assert_int_equal(wal_add(wal, i, page, 0), SQLITE_OK);
	sql_run(live, "ROLLBACK");
	assert_whole(live, 300, 20);
	assert_recovered(place, 300, 20);
	sql_run(live, "UPDATE item SET value = 2 * value");
	assert_whole(live, 300, 40);
	assert_recovered(place, 300, 40);
	sqlite_close(&live);
}

enum { LEAF = 10 }; /* holds rows, the last digit of the first of them as its last byte */

static void read_leaf(const struct scratch *place, uint8_t page[static PAGE], uint8_t digit)
{
	owned_fd fd = openat(place->fd, "live", O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, page, PAGE, (off_t)(LEAF - 1) * PAGE), PAGE);
	page[PAGE - 1] = digit;
}

/* @pages  of the database */
static void commit_leaf(const struct scratch *place, sqlite3 *database, uint8_t digit, uint32_t pages)
{
	uint8_t page[PAGE];
	owned_wal wal = NULL;

	read_leaf(place, page, digit);
	sql_run(database, "BEGIN IMMEDIATE");
	assert_int_equal(wal_open(database, PAGE, &wal), SQLITE_OK);
	assert_int_equal(wal_add(wal, LEAF, page, pages), SQLITE_OK);
	assert_int_equal(wal_commit(wal), SQLITE_OK);
	sql_run(database, "COMMIT");
}

static int64_t count_digit(sqlite3 *database, char digit)
{
	owned_text sql = text_format("SELECT count(*) FROM item WHERE value LIKE '%%%c'", digit);

	return sql_number(database, sql);
}

/* fact W1. Its entries in the index are in the way of the next writer, who removes them, and no others. */
static void places_that_a_killed_writer_took_are_free_again(void **state)
{
	struct scratch *place = *state;
	sqlite3 *live = make(place, "live", 50, 20);
	sqlite3 *other = open_rows(place, "live");
	uint8_t page[PAGE];
	owned_wal wal = NULL;
	uint32_t pages;

	sql_run(live, "UPDATE item SET value = 1 WHERE id = 1");
	read_leaf(place, page, '3');
	sql_run(live, "BEGIN IMMEDIATE");
	assert_int_equal(wal_open(live, PAGE, &wal), SQLITE_OK);
	pages = wal_page_count(wal);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(wal_add(wal, LEAF, page, 0), SQLITE_OK);
	wal_close(&wal);
	sql_run(live, "ROLLBACK");
	assert_int_equal(count_digit(other, '3'), 0);
	commit_leaf(place, live, '7', pages);
	assert_int_equal(count_digit(other, '7'), 1);
	assert_int_equal(sql_number(other, "SELECT value FROM item WHERE id = 1"), 1);
	assert_int_equal(sql_number(other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
			 1);
	sqlite_close(&other);
	sqlite_close(&live);
}

/* fileformat2.html 4.1: after a crash of the machine a frame may be lost and those behind it not. The log begins anew
 * with one that is like it: had it the old salts, those behind it would follow. */
static void frames_of_a_log_that_was_lost_do_not_come_back(void **state)
{
	struct scratch *place = *state;
	sqlite3 *live = make(place, "live", 50, 20);
	sqlite3 *copied;
	uint32_t pages = (uint32_t)sql_number(live, "PRAGMA page_count");
	owned_fd fd = -1;

	commit_leaf(place, live, '3', pages);
	commit_leaf(place, live, '7', pages);
	assert_int_equal(count_digit(live, '7'), 1);
	shell(place, "cp live copied && cp live-wal copied-wal");
	fd = openat(place->fd, "copied-wal", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "lost", 4, 100), 4);
	copied = open_rows(place, "copied");
	assert_int_equal(count_digit(copied, '3') + count_digit(copied, '7'), 0);
	commit_leaf(place, copied, '3', pages);
	shell(place, "cp copied again && cp copied-wal again-wal");
	sqlite_close(&copied);
	copied = open_rows(place, "again");
	assert_int_equal(count_digit(copied, '3'), 1);
	assert_int_equal(count_digit(copied, '7'), 0);
	sqlite_close(&copied);
	sqlite_close(&live);
}

/* Readers and writers of other processes at work meanwhile: each update changes all rows by the same. */
static void nobody_sees_a_mixture(void **state)
{
	enum { READERS = 2, ROUNDS = 100 };
	struct scratch *place = *state;
	sqlite3 *start = make(place, "start", 300, 3);
	sqlite3 *live = make(place, "live", 300, 3);
	pid_t pids[READERS + 1];
	int status;

	sqlite_close(&start);
	for (int i = 0; i <= READERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			sqlite3 *own = open_rows(place, "live");
			int64_t sum = -1;

			(void)sqlite3_busy_timeout(own, 60000);
			while (i == READERS && sqlite_run(own, "UPDATE item SET value = value + 1") == SQLITE_OK)
				;
			while (i < READERS &&
			       sqlite_number(own,
					     "SELECT CASE WHEN max(value - 3 * id) = min(value - 3 * id)"
					     " AND count(*) = 300 THEN 1 ELSE 0 END FROM item",
					     &sum) == SQLITE_ROW &&
			       sum == 1)
				;
			_exit(1);
		}
	}
	for (int i = 0; i < ROUNDS; i++) {
		commit_file(place, live, "start");
		if (i % 10 == 0)
			(void)sqlite_run(live, "PRAGMA wal_checkpoint(TRUNCATE)");
	}
	for (int i = 0; i <= READERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, WNOHANG), 0); /* it found nothing wrong */
		assert_int_equal(kill(pids[i], SIGKILL), 0);
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
	}
	assert_int_equal(sql_number(live, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
			 1);
	sqlite_close(&live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_committed_is_seen_and_recovered, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(a_page_is_read_as_it_was_committed_last, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(a_reader_keeps_what_it_began_with, scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(what_a_killed_writer_left_does_not_count, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(what_was_not_committed_does_not_count, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(places_that_a_killed_writer_took_are_free_again, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(frames_of_a_log_that_was_lost_do_not_come_back, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(nobody_sees_a_mixture, scratch_set_up, scratch_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
