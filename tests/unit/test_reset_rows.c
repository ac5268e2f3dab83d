/* SPDX-License-Identifier: Apache-2.0 */
/* Rows put back into a live database: under open connections, in both journal modes, and what a mark sees. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "overlay/reset_rows.h"
#include "tests/unit/scratch.h"
#include "tests/unit/sql.h"

static sqlite3 *open_live(const struct scratch *place, const char *name)
{
	owned_text path = text_format("%s/%s", place->path, name);
	sqlite3 *database = NULL;

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	(void)sqlite3_busy_timeout(database, 5000);
	return database;
}

static void make(const struct scratch *place, const char *name, const char *mode)
{
	owned_text sql = text_format("PRAGMA journal_mode=%s; CREATE TABLE item(id INTEGER PRIMARY KEY, name);"
				     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
				     " INSERT INTO item SELECT i, hex(randomblob(100)) FROM n",
				     mode);
	sqlite3 *database = open_live(place, name);

	sql_run(database, sql);
	(void)sqlite3_close(database);
}

static void copy(const struct scratch *place)
{
	owned_text command = text_format("cp '%s/start' '%s/live'", place->path, place->path);

	assert_int_equal(system(command), 0);
}

static int reset(const struct scratch *place, unsigned busy_ms, struct reset_rows_result *result, struct error *error)
{
	const struct reset_rows_request request = { .source_fd = place->fd,
						    .source_name = "start",
						    .source_rule = SQLITE_RULE_AT_REST,
						    .target_fd = place->fd,
						    .target_name = "live",
						    .path = "live",
						    .busy_timeout_ms = busy_ms };

	return reset_rows(&request, result, error);
}

/* Where holes are read in no time. */
static int set_up_in_memory(void **state)
{
	return scratch_set_up_in(state, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL);
}

static const char changes[] = "DELETE FROM item WHERE id % 7 = 0; UPDATE item SET name = 'x' WHERE id < 100;"
			      "CREATE TABLE made AS SELECT * FROM item; CREATE INDEX byname ON item(name)";

/* Another process has it locked: POSIX locks of one process do not exclude each other. @return its end goes with
 * that */
static int lock_in_child(const struct scratch *place)
{
	int down[2];
	int up[2];
	char byte;

	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	if (fork() == 0) {
		(void)close(down[1]);
		sql_run(open_live(place, "live"), "BEGIN IMMEDIATE; DELETE FROM item");
		(void)!write(up[1], "r", 1);
		(void)!read(down[0], &byte, 1);
		_exit(0);
	}
	(void)close(down[0]);
	(void)close(up[1]);
	assert_int_equal(read(up[0], &byte, 1), 1);
	(void)close(up[0]);
	return down[1];
}

static void check_mode(struct scratch *place, const char *mode)
{
	struct reset_rows_result result = { 0 };
	struct reset_rows_mark mark;
	struct error error = { 0 };
	sqlite3 *other;

	make(place, "start", mode);
	copy(place);
	for (int round = 0; round < 5; round++) {
		other = open_live(place, "live");
		sql_run(other, changes);
		(void)sqlite3_close(other);
		assert_int_equal(reset(place, 0, &result, &error), 0);
		assert_true(result.has_mark);
		assert_int_equal(reset_rows_read_mark(place->fd, "live", &mark), 0);
		assert_memory_equal(&mark, &result.mark, sizeof(mark));
		other = open_live(place, "live");
		assert_int_equal(sql_number(other, "SELECT count(*) FROM item"), 2000);
		assert_int_equal(sql_number(other, "SELECT count(*) FROM sqlite_schema"), 1);
		assert_int_equal(
			sql_number(other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
			1);
		sql_run(other, "INSERT INTO item(name) VALUES('mark')");
		(void)sqlite3_close(other);
		assert_int_equal(reset_rows_read_mark(place->fd, "live", &mark), 0);
		assert_memory_not_equal(&mark, &result.mark, sizeof(mark));
	}
}

static void rows_come_back_in_rollback_mode(void **state)
{
	check_mode(*state, "DELETE");
}

static void rows_come_back_in_wal_mode(void **state)
{
	check_mode(*state, "WAL");
}

static void check_pages(struct scratch *place, const char *mode)
{
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	sqlite3 *other;

	make(place, "start", mode);
	copy(place);
	assert_int_equal(reset(place, 0, &result, &error), 0);
	assert_int_equal(result.bytes, 0);
	other = open_live(place, "live");
	sql_run(other, "UPDATE item SET name = 'x' WHERE id = 1000");
	(void)sqlite3_close(other);
	assert_int_equal(reset(place, 0, &result, &error), 0);
	assert_in_range(result.bytes, 1, 4 * 4096);
}

static void only_pages_that_differ_are_written(void **state)
{
	check_pages(*state, "DELETE");
}

static void only_pages_that_differ_are_logged(void **state)
{
	check_pages(*state, "WAL");
}

/* The start is not: what switched the live one may still be at work. */
static void one_that_was_switched_to_wal_is_logged_and_switched_back(void **state)
{
	struct scratch *place = *state;
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	sqlite3 *other;

	make(place, "start", "DELETE");
	copy(place);
	other = open_live(place, "live");
	sql_run(other, "PRAGMA journal_mode=WAL");
	sql_run(other, changes);
	assert_int_equal(reset(place, 0, &result, &error), 0);
	assert_true(result.stays_wal && result.has_mark);
	assert_int_equal(sql_number(other, "SELECT count(*) FROM item WHERE name <> 'x'"), 2000);
	assert_int_equal(sql_number(other, "SELECT count(*) FROM sqlite_schema"), 1);
	(void)sqlite3_close(other);
	assert_int_equal(reset(place, 0, &result, &error), 0);
	assert_false(result.stays_wal);
	assert_int_equal(result.bytes, 0);
	other = open_live(place, "live");
	assert_int_equal(sql_number(other, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'delete'"),
			 1);
	assert_int_equal(sql_number(other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
			 1);
	(void)sqlite3_close(other);
}

/* Killed when a file would grow beyond so many bytes: in the middle of a journal, or of a log. */
static void check_kill(struct scratch *place, const char *mode)
{
	enum { STEP = 40000, MOST = 2000000 };
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	unsigned killed = 0;
	bool is_done = false;

	make(place, "start", mode);
	for (rlim_t limit = STEP; !is_done && limit < MOST; limit += STEP) {
		sqlite3 *other;
		int status;
		pid_t pid;
		int64_t rows;

		copy(place);
		other = open_live(place, "live");
		sql_run(other, changes);
		sql_run(other, "PRAGMA wal_checkpoint(TRUNCATE)");
		pid = fork();
		if (pid == 0) {
			(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
			(void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){ limit, limit });
			_exit(reset(place, 0, &result, &error) != 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		is_done = WIFEXITED(status);
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ;
		rows = sql_number(other, "SELECT count(*) FROM item");
		assert_true(rows == 2000 || (!is_done && rows == 2000 - 2000 / 7));
		assert_int_equal(sql_number(other, "SELECT count(*) FROM sqlite_schema"), rows == 2000 ? 1 : 3);
		assert_int_equal(
			sql_number(other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
			1);
		assert_int_equal(reset(place, 0, &result, &error), 0);
		assert_int_equal(sql_number(other, "SELECT count(*) FROM item"), 2000);
		(void)sqlite3_close(other);
		assert_int_equal(unlinkat(place->fd, "live", 0), 0);
	}
	assert_true(is_done && killed > 3);
}

static void a_kill_leaves_the_old_rows_or_the_new_ones(void **state)
{
	check_kill(*state, "DELETE");
}

static void a_kill_leaves_the_old_rows_or_the_new_ones_in_wal_mode(void **state)
{
	check_kill(*state, "WAL");
}

/* The file system is full in the middle of it: of a log, which is all that would grow. */
static void a_full_disk_leaves_the_old_rows_and_is_named(void **state)
{
	struct scratch *place = *state;
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	sqlite3 *other;

	make(place, "start", "WAL");
	copy(place);
	other = open_live(place, "live");
	sql_run(other, changes);
	sql_run(other, "PRAGMA wal_checkpoint(TRUNCATE)");
	for (rlim_t limit = 0; limit < 200000; limit += 50000) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			(void)signal(SIGXFSZ, SIG_IGN);
			(void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){ limit, limit });
			_exit(reset(place, 0, &result, &error) < 0 && strcmp(error.object, "live") == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_equal(sql_number(other, "SELECT count(*) FROM item"), 2000 - 2000 / 7);
		sql_run(other, "UPDATE item SET name = name || 'x' WHERE id = 5");
		assert_int_equal(
			sql_number(other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
			1);
	}
	assert_int_equal(reset(place, 0, &result, &error), 0);
	assert_int_equal(sql_number(other, "SELECT count(*) FROM item WHERE name <> 'x'"), 2000);
	(void)sqlite3_close(other);
}

/* A database of 2 GiB that takes no space: its rows, and pages that are free, which nobody reads. Beyond 1 GiB lies the
 * page that holds SQLite's locks and is none. */
static void make_large(const struct scratch *place, const char *mode)
{
	enum { PAGE = 65536, PAGES = 33000, LOCK_PAGE = 0x40000000 / PAGE + 1, HEADER = 28, TRUNK_MOST = 16000 };
	owned_text sql = text_format("PRAGMA page_size=65536; PRAGMA journal_mode=%s;"
				     "CREATE TABLE item(id INTEGER PRIMARY KEY, name);"
				     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
				     " INSERT INTO item SELECT i, hex(randomblob(100)) FROM n",
				     mode);
	sqlite3 *database = open_live(place, "start");
	uint32_t used;
	uint32_t header[3] = { htobe32(PAGES) };
	uint32_t free_pages = 0;
	owned_fd fd = -1;

	sql_run(database, sql);
	used = (uint32_t)sql_number(database, "PRAGMA page_count");
	(void)sqlite3_close(database);
	fd = openat(place->fd, "start", O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)PAGES * PAGE), 0);
	header[1] = htobe32(used + 1);
	for (uint32_t next = used + 1; next <= PAGES;) {
		static uint32_t trunk[TRUNK_MOST + 2];
		uint32_t own = next++;
		uint32_t count = 0;

		for (; next <= PAGES && count < TRUNK_MOST; next++)
			if (next != LOCK_PAGE)
				trunk[2 + count++] = htobe32(next);
		trunk[0] = htobe32(next <= PAGES ? next : 0);
		trunk[1] = htobe32(count);
		assert_int_equal(pwrite(fd, trunk, (2 + count) * sizeof(uint32_t), (off_t)(own - 1) * PAGE),
				 (2 + count) * sizeof(uint32_t));
		free_pages += 1 + count;
	}
	header[2] = htobe32(free_pages);
	assert_int_equal(pwrite(fd, header, sizeof(header), HEADER), sizeof(header));
}

/* AddressSanitizer keeps up to 256 MiB of what was freed, to see it used, and notes of an eighth of all. */
#if defined(__SANITIZE_ADDRESS__)
enum { WATCHER_MIB = 320 };
#else
enum { WATCHER_MIB = 0 };
#endif

static void check_large(struct scratch *place, const char *mode)
{
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	struct rusage usage;
	sqlite3 *other;
	int status;
	pid_t pid;

	make_large(place, mode);
	copy(place); /* which keeps holes */
	other = open_live(place, "live");
	/* A row in the last free page, which the free list's end gives first, and another free list. */
	sql_run(other, "UPDATE item SET name = 'x' WHERE id = 7; CREATE TABLE made AS SELECT * FROM item");
	pid = fork();
	if (pid == 0) {
		status = reset(place, 0, &result, &error);
		_exit(status == 0 && result.bytes < 64 << 20 ? 0 : 1);
	}
	assert_int_equal(wait4(pid, &status, 0, &usage), pid);
	assert_int_equal(status, 0);
	assert_in_range(usage.ru_maxrss, 1, (64 + WATCHER_MIB) << 10); /* KiB */
	assert_int_equal(sql_number(other, "SELECT count(*) FROM item WHERE name <> 'x'"), 2000);
	assert_int_equal(sql_number(other, "SELECT count(*) FROM sqlite_schema"), 1);
	(void)sqlite3_close(other);
}

static void two_gibibytes_take_little_memory(void **state)
{
	check_large(*state, "DELETE");
}

static void two_gibibytes_take_little_memory_in_wal_mode(void **state)
{
	check_large(*state, "WAL");
}

/* fact R1, R3: a connection that cached another state with the same numbers would go on with that. */
/* As clients of before SQLite 3.7.0 leave it, and tools that write files of their own: its header says another number
 * of pages, and that it need not be right. SQLite mends it as soon as somebody begins to write. */
static void forget_page_count(const struct scratch *place, const char *name)
{
	owned_fd fd = openat(place->fd, name, O_WRONLY | O_CLOEXEC);
	static const uint8_t one[4] = { 0, 0, 0, 1 };
	static const uint8_t never[4] = { 0 };

	assert_int_equal(pwrite(fd, one, sizeof(one), 28), sizeof(one));
	assert_int_equal(pwrite(fd, never, sizeof(never), 92), sizeof(never));
}

/* fact R5 */
static void a_page_count_that_is_not_right_is_nobodys(void **state)
{
	static const char *const modes[] = { "DELETE", "WAL" };
	static const char *const names[] = { "live", "start" };
	struct scratch *place = *state;

	for (size_t i = 0; i < 4; i++) {
		struct reset_rows_result result = { 0 };
		struct error error = { 0 };
		sqlite3 *other;

		make(place, "start", modes[i / 2]);
		copy(place);
		other = open_live(place, "live");
		sql_run(other, changes);
		(void)sqlite3_close(other);
		forget_page_count(place, names[i % 2]);
		assert_int_equal(reset(place, 0, &result, &error), 0);
		other = open_live(place, "live");
		assert_int_equal(sql_number(other, "SELECT count(*) FROM item"), 2000);
		assert_int_equal(sql_number(other, "SELECT count(*) FROM sqlite_schema"), 1);
		assert_int_equal(
			sql_number(other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
			1);
		(void)sqlite3_close(other);
		assert_int_equal(unlinkat(place->fd, "start", 0), 0);
		assert_int_equal(unlinkat(place->fd, "live", 0), 0);
	}
}

static void numbers_never_go_back(void **state)
{
	struct scratch *place = *state;
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	int64_t schema;
	int64_t last = 0;

	make(place, "start", "DELETE");
	copy(place);
	for (int round = 0; round < 4; round++) {
		sqlite3 *other = open_live(place, "live");

		sql_run(other, changes);
		schema = sql_number(other, "PRAGMA schema_version");
		assert_true(schema > last);
		last = schema;
		(void)sqlite3_close(other);
		assert_int_equal(reset(place, 0, &result, &error), 0);
	}
}

static void another_page_size_comes_back(void **state)
{
	struct scratch *place = *state;
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	sqlite3 *other;

	make(place, "start", "DELETE");
	copy(place);
	other = open_live(place, "live");
	sql_run(other, "PRAGMA page_size=8192; VACUUM");
	(void)sqlite3_close(other);
	assert_int_equal(reset(place, 0, &result, &error), 0);
	other = open_live(place, "live");
	assert_int_equal(sql_number(other, "PRAGMA page_size"), 4096);
	(void)sqlite3_close(other);
}

static void one_that_is_gone_is_made(void **state)
{
	struct scratch *place = *state;
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	sqlite3 *other;

	make(place, "start", "DELETE");
	assert_int_equal(reset(place, 0, &result, &error), 0);
	assert_true(result.was_made);
	other = open_live(place, "live");
	assert_int_equal(sql_number(other, "SELECT count(*) FROM item"), 2000);
	(void)sqlite3_close(other);
}

static void a_lock_is_waited_for_and_named(void **state)
{
	struct scratch *place = *state;
	struct reset_rows_result result = { 0 };
	struct error error = { 0 };
	int lock;

	make(place, "start", "DELETE");
	copy(place);
	lock = lock_in_child(place);
	assert_int_equal(reset(place, 50, &result, &error), -EBUSY);
	assert_string_equal(error.object, "live");
	(void)close(lock);
	(void)wait(NULL);
	assert_int_equal(reset(place, 0, &result, &error), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_come_back_in_rollback_mode, scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(rows_come_back_in_wal_mode, scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(only_pages_that_differ_are_written, scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(only_pages_that_differ_are_logged, scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(one_that_was_switched_to_wal_is_logged_and_switched_back,
						scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(a_kill_leaves_the_old_rows_or_the_new_ones, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(a_kill_leaves_the_old_rows_or_the_new_ones_in_wal_mode, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(a_page_count_that_is_not_right_is_nobodys, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(numbers_never_go_back, scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(another_page_size_comes_back, scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(a_full_disk_leaves_the_old_rows_and_is_named, scratch_set_up,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(two_gibibytes_take_little_memory, set_up_in_memory, scratch_tear_down),
		cmocka_unit_test_setup_teardown(two_gibibytes_take_little_memory_in_wal_mode, set_up_in_memory,
						scratch_tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_gone_is_made, scratch_set_up, scratch_tear_down),
		cmocka_unit_test_setup_teardown(a_lock_is_waited_for_and_named, scratch_set_up, scratch_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
