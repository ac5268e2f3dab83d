/* SPDX-License-Identifier: Apache-2.0 */
/* Consistent copies of SQLite databases. Each test that copies compares the source's directory byte for byte, before
 * and after, and most run twice: as they are, and under a recursively read-only root as at the start of a world. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mount.h"
#include "base/sqlite.h"
#include "base/text.h"
#include "overlay/database.h"

#define EXPECTED_SUM 100000

/* -- a directory for the source, one for the copy ------------------------------------------------------------------ */

struct place {
	char *root;
	char *source; /* root/source */
	char *target; /* root/target */
	char *before; /* picture of the source directory */
};

/* A writer must not outlive a test that is killed: it would go on for ever. */
static pid_t fork_bound(void)
{
	pid_t pid = fork();

	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static char *at(const struct place *place, const char *name)
{
	return text_format("%s/%s", place->source, name);
}

static char *copied(const struct place *place, const char *name)
{
	return text_format("%s/%s", place->target, name);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *base = getenv("TMPDIR");

	place->root = text_format("%s/sbx-database.XXXXXX", base && base[0] == '/' ? base : "/tmp");
	if (!mkdtemp(place->root))
		return -1;
	place->source = text_format("%s/source", place->root);
	place->target = text_format("%s/target", place->root);
	*state = place;
	return mkdir(place->source, 0755) < 0 || mkdir(place->target, 0755) < 0 ? -1 : 0;
}

static void remove_tree(const char *path)
{
	pid_t pid = fork_bound();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
		_exit(127);
	}
	(void)waitpid(pid, NULL, 0);
}

static int tear_down(void **state)
{
	struct place *place = *state;

	(void)chmod(place->source, 0755);
	remove_tree(place->root);
	free(place->root);
	free(place->source);
	free(place->target);
	free(place->before);
	free(place);
	return 0;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	owned_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, bytes, size), 0);
}

static char *read_file(const char *path, size_t *ret_size)
{
	char *text = NULL;

	assert_int_equal(fd_read_file(AT_FDCWD, path, (size_t)1 << 30, &text, ret_size), 0);
	return text;
}

static bool exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static uint64_t hash(uint64_t value, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		value = (value ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3;
	return value;
}

/* Names, inodes, modes, sizes, times and a hash of the bytes of all that lies in a directory. */
static char *take_picture(const char *directory)
{
	struct text_buffer text = { 0 };
	owned_text pattern = text_format("cd '%s' && ls -A", directory);
	FILE *names = popen(pattern, "re");
	char name[300];

	assert_non_null(names);
	while (fgets(name, sizeof(name), names)) {
		owned_text path = NULL;
		struct stat status;
		uint64_t sum = 0xcbf29ce484222325;

		name[strcspn(name, "\n")] = '\0';
		path = text_format("%s/%s", directory, name);
		if (lstat(path, &status) < 0)
			continue;
		if (S_ISREG(status.st_mode) && access(path, R_OK) == 0) {
			size_t size;
			owned_text bytes = read_file(path, &size);

			sum = hash(sum, bytes, size);
		}
		text_buffer_format(&text, "%s ino %lu mode %o size %ld mtime %ld.%09ld ctime %ld.%09ld hash %lx\n",
				   name, status.st_ino, status.st_mode, (long)status.st_size,
				   (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec, (long)status.st_ctim.tv_sec,
				   status.st_ctim.tv_nsec, sum);
	}
	assert_int_equal(pclose(names), 0);
	return text.bytes ? text.bytes : text_duplicate("");
}

/* In a child: to open and close a database by hand drops the locks that SQLite holds on it in this process. */
static char *picture(const char *directory)
{
	const size_t size = 1 << 16;
	char *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *text;
	pid_t pid = fork_bound();

	if (pid == 0) {
		text_copy(shared, size, take_picture(directory));
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	text = text_duplicate(shared);
	(void)munmap(shared, size);
	return text;
}

static void remember_source(struct place *place)
{
	free(place->before);
	place->before = picture(place->source);
}

static void assert_source_unchanged(const struct place *place)
{
	owned_text now = picture(place->source);

	assert_string_equal(place->before, now);
}

/* -- SQLite, as an application uses it -------------------------------------------------------------------------------
 */

static void app_run(sqlite3 *database, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
}

static sqlite3 *app_open(const char *path)
{
	sqlite3 *database = NULL;

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	(void)sqlite3_busy_timeout(database, 10000);
	return database;
}

static void app_make(const char *path, const char *journal_mode, const char *sql)
{
	sqlite3 *database = app_open(path);
	owned_text pragma = text_format("PRAGMA journal_mode=%s", journal_mode);

	app_run(database, pragma);
	app_run(database, sql);
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static int64_t app_number(const char *path, const char *sql)
{
	sqlite3 *database = app_open(path);
	sqlite3_stmt *statement = NULL;
	int64_t number = -1;

	if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(database));
	if (sqlite3_step(statement) == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close(database);
	return number;
}

static const char accounts[] = "CREATE TABLE account(id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, note TEXT);"
			       "CREATE INDEX account_note ON account(note);"
			       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
			       " INSERT INTO account SELECT i, 100, hex(randomblob(60)) FROM n";

/* Runs `body` in a process of its own, which is to die by SIGKILL or end with 0. */
static void in_child(void (*body)(const char *path), const char *path)
{
	int status;
	pid_t pid = fork_bound();

	if (pid == 0) {
		body(path);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
		    (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

static void must(bool is_true)
{
	if (!is_true)
		_exit(99);
}

static sqlite3 *child_open(const char *path, const char *sql)
{
	sqlite3 *database = NULL;

	must(sqlite3_open(path, &database) == SQLITE_OK);
	(void)sqlite3_busy_timeout(database, 60000); /* a writer that never rests starves others */
	must(sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK);
	return database;
}

/* An application in a process of its own that has the database open until app_stop(): SQLite shares what it knows of a
 * file among all connections of a process, over fork(2) too. */
struct app {
	pid_t pid;
	int stop_fd;
};

static struct app app_start(const char *path, const char *sql)
{
	struct app app;
	int ready[2], stop[2];
	char byte = 0;

	assert_int_equal(fd_pipe(ready, 0), 0);
	assert_int_equal(fd_pipe(stop, 0), 0);
	app.pid = fork_bound();
	if (app.pid == 0) {
		close(stop[1]);
		(void)child_open(path, sql);
		must(write(ready[1], "r", 1) == 1);
		(void)!read(stop[0], &byte, 1);
		_exit(0);
	}
	close(ready[1]);
	close(stop[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	app.stop_fd = stop[1];
	return app;
}

static void app_stop(struct app *app)
{
	int status;

	fd_close(&app->stop_fd);
	assert_int_equal(waitpid(app->pid, &status, 0), app->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Dies in the middle of a transaction whose pages partly stand in the database already: a hot journal stays. */
static void die_with_hot_journal(const char *path)
{
	(void)child_open(path, "PRAGMA cache_size=2; PRAGMA cache_spill=1; BEGIN; UPDATE account SET amount = 0,"
			       " note = hex(randomblob(60))");
	(void)raise(SIGKILL);
}

/* Dies with all its transactions in the -wal. */
static void die_with_wal(const char *path)
{
	(void)child_open(path,
			 "PRAGMA wal_autocheckpoint=0; UPDATE account SET amount = 101 WHERE id = 1;"
			 "UPDATE account SET amount = 99 WHERE id = 2; INSERT INTO account VALUES(5000, 0, 'in wal')");
	(void)raise(SIGKILL);
}

/* -- the snapshot, plain and in a world ------------------------------------------------------------------------------
 */

enum mounts { WRITABLE, READ_ONLY };
static const char *const mount_names[] = { "writable mount", "read-only mount" };

struct outcome {
	int result;
	bool is_skipped;
	struct database_report report;
	struct error error;
};

static int write_text(const char *path, const char *text)
{
	owned_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* New user and mount namespaces in which the caller has all capabilities. @return 0 or -errno */
static int enter_namespaces(void)
{
	owned_text uid_map = text_format("%u %u 1", geteuid(), geteuid());
	owned_text gid_map = text_format("%u %u 1", getegid(), getegid());
	int result = unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? -errno : 0;

	result = result < 0 ? result : write_text("/proc/self/setgroups", "deny");
	result = result < 0 ? result : write_text("/proc/self/uid_map", uid_map);
	result = result < 0 ? result : write_text("/proc/self/gid_map", gid_map);
	return result < 0 ? result : mount_restrict(AT_FDCWD, "/", MOUNT_RECURSIVE | MOUNT_PRIVATE);
}

/* The target as a writable detached mount, everything else read-only. @return fd of the target or -errno */
static int enter_read_only(const char *target)
{
	int result = enter_namespaces();
	int fd = result < 0 ? result : mount_clone(AT_FDCWD, target, 0);

	if (fd < 0)
		return fd;
	result = mount_restrict(AT_FDCWD, "/", MOUNT_RECURSIVE | MOUNT_READ_ONLY);
	return result < 0 ? result : fd;
}

/* In a child always: a test must not hold descriptors of the source while the snapshot runs, and vice versa. */
static struct outcome snapshot(const struct place *place, struct database_snapshot_request request, enum mounts mounts)
{
	struct outcome *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct outcome outcome;
	int status;
	pid_t pid;

	assert_ptr_not_equal(shared, MAP_FAILED);
	pid = fork_bound();
	if (pid == 0) {
		request.target_fd = mounts == WRITABLE ? open(place->target, O_PATH | O_DIRECTORY | O_CLOEXEC)
						       : enter_read_only(place->target);
		shared->is_skipped = mounts == READ_ONLY && request.target_fd < 0;
		if (!shared->is_skipped)
			shared->result = database_snapshot(&request, &shared->report, &shared->error);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the snapshot crashed: wait status %d", status);
	outcome = *shared;
	(void)munmap(shared, sizeof(*shared));
	if (outcome.is_skipped && getenv("SBX_MUST_WORK"))
		fail_msg("user namespaces are not permitted here");
	return outcome;
}

static void assert_nothing_but(const char *directory, const char *name)
{
	owned_text command = text_format("ls -A '%s'", directory);
	owned_text expected = text_format("%s\n", name);
	char list[4096];
	FILE *stream = popen(command, "re");
	size_t length = fread(list, 1, sizeof(list) - 1, stream);

	list[length] = '\0';
	(void)pclose(stream);
	assert_string_equal(list, name[0] ? expected : "");
}

static void empty_target(const struct place *place)
{
	owned_text command = text_format("rm -rf '%s'/* '%s'/.[!.]*", place->target, place->target);

	assert_int_equal(system(command), 0);
}

/* Succeeds, leaves the source as it was and one file in the target: checked on both kinds of mount. `look` examines it.
 */
static void assert_copies(struct place *place, const char *name, struct database_snapshot_request options,
			  void (*look)(const char *copy, const struct database_report *report))
{
	owned_text source = at(place, name);
	owned_text copy = copied(place, "copy.db");

	remember_source(place);
	for (unsigned mounts = WRITABLE; mounts <= READ_ONLY; mounts++) {
		struct outcome outcome;
		char text[2000];

		options.source = source;
		options.target_name = "copy.db";
		outcome = snapshot(place, options, mounts);
		if (outcome.is_skipped)
			continue;
		(void)error_format(&outcome.error, text, sizeof(text));
		if (outcome.result < 0)
			fail_msg("%s: %s", mount_names[mounts], text);
		assert_source_unchanged(place);
		assert_nothing_but(place->target, "copy.db");
		if (look)
			look(copy, &outcome.report);
		empty_target(place);
	}
}

/* Fails with this errno and these words, leaves the source as it was and nothing in the target. */
static void assert_refuses(struct place *place, const char *name, struct database_snapshot_request options, int number,
			   const char *words)
{
	owned_text source = at(place, name);

	remember_source(place);
	for (unsigned mounts = WRITABLE; mounts <= READ_ONLY; mounts++) {
		struct outcome outcome;
		char text[2000];

		options.source = source;
		options.target_name = "copy.db";
		outcome = snapshot(place, options, mounts);
		if (outcome.is_skipped)
			continue;
		(void)error_format(&outcome.error, text, sizeof(text));
		if (outcome.result != -number || !strstr(text, words))
			fail_msg("%s: wanted %d '%s', got %d: %s", mount_names[mounts], -number, words, outcome.result,
				 text);
		assert_source_unchanged(place);
		assert_nothing_but(place->target, "");
	}
}

static const struct database_snapshot_request plain = { .target_fd = -1 };

static void look_at_accounts(const char *copy, const struct database_report *report)
{
	struct stat status;

	assert_int_equal(app_number(copy, "SELECT sum(amount) FROM account"), EXPECTED_SUM);
	assert_int_equal(app_number(copy, "SELECT count(*) FROM account WHERE note IS NOT NULL"), 1000);
	assert_int_equal(stat(copy, &status), 0);
	assert_int_equal(status.st_size, report->bytes);
}

/* -- journal modes at rest -------------------------------------------------------------------------------------------
 */

static void look_at_rollback(const char *copy, const struct database_report *report)
{
	assert_string_equal(report->journal_mode, "rollback");
	assert_int_equal(report->recovery, DATABASE_RECOVERED_NOTHING);
	assert_int_equal(report->attempts, 1);
	look_at_accounts(copy, report);
}

static void a_database_in_rollback_mode_is_copied_and_the_source_untouched(void **state)
{
	struct place *place = *state;
	static const char *const modes[] = { "delete", "truncate", "persist" };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		owned_text name = text_format("%s.db", modes[i]);
		owned_text path = at(place, name);

		app_make(path, modes[i], accounts);
		assert_copies(place, name, plain, look_at_rollback);
	}
}

static void look_at_wal(const char *copy, const struct database_report *report)
{
	assert_string_equal(report->journal_mode, "wal");
	look_at_accounts(copy, report);
	assert_int_equal(app_number(copy, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"), 1);
}

static void a_closed_database_in_wal_mode_is_copied_without_leaving_sidecars(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");

	app_make(path, "wal", accounts);
	assert_nothing_but(place->source, "App.db");
	assert_copies(place, "App.db", plain, look_at_wal);
}

static void an_open_database_in_wal_mode_is_copied_with_what_is_in_its_wal(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	struct app app;

	app_make(path, "wal", accounts);
	app = app_start(path, "PRAGMA wal_autocheckpoint=0; UPDATE account SET amount = 50 WHERE id = 1;"
			      "UPDATE account SET amount = 150 WHERE id = 2");
	assert_copies(place, "App.db", plain, look_at_wal);
	app_stop(&app);
}

static void look_at_killed_wal(const char *copy, const struct database_report *report)
{
	assert_string_equal(report->journal_mode, "wal");
	assert_int_equal(app_number(copy, "SELECT count(*) FROM account WHERE note = 'in wal'"), 1);
	assert_int_equal(app_number(copy, "SELECT sum(amount) FROM account"), EXPECTED_SUM);
}

static void a_killed_writer_s_wal_is_in_the_copy(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text shm = at(place, "App.db-shm");

	app_make(path, "wal", accounts);
	in_child(die_with_wal, path);
	assert_true(exists(shm));
	assert_copies(place, "App.db", plain, look_at_killed_wal);
}

static void look_at_recovered_wal(const char *copy, const struct database_report *report)
{
	assert_int_equal(report->recovery, DATABASE_RECOVERED_WAL);
	look_at_killed_wal(copy, report);
}

static void an_idle_wal_without_shm_in_a_read_only_directory_is_recovered_in_the_copy(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text shm = at(place, "App.db-shm");

	app_make(path, "wal", accounts);
	in_child(die_with_wal, path);
	assert_int_equal(unlink(shm), 0);
	assert_int_equal(chmod(place->source, 0555), 0);
	assert_copies(place, "App.db", plain, look_at_recovered_wal);
}

static void make_all_in_wal(const char *path)
{
	sqlite3 *database = child_open(path, "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0");

	must(sqlite3_exec(database, accounts, NULL, NULL, NULL) == SQLITE_OK);
	(void)raise(SIGKILL);
}

static void a_database_whose_data_is_all_in_its_wal_is_whole_in_the_copy(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text shm = at(place, "App.db-shm");
	struct stat status;

	in_child(make_all_in_wal, path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 4096);
	assert_copies(place, "App.db", plain, look_at_wal);
	assert_int_equal(unlink(shm), 0);
	assert_copies(place, "App.db", plain, look_at_wal);
}

static void a_stale_shm_without_a_wal_does_not_disturb(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text shm = at(place, "App.db-shm");
	char zeros[32768] = { 0 };

	app_make(path, "wal", accounts);
	write_file(shm, zeros, sizeof(zeros));
	assert_copies(place, "App.db", plain, look_at_wal);
}

static void look_at_hot(const char *copy, const struct database_report *report)
{
	assert_int_equal(report->recovery, DATABASE_RECOVERED_ROLLBACK);
	assert_string_equal(report->journal_mode, "rollback");
	look_at_accounts(copy, report);
}

static void a_hot_journal_is_rolled_back_in_the_copy_and_stays_in_the_source(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text journal = at(place, "App.db-journal");

	app_make(path, "delete", accounts);
	in_child(die_with_hot_journal, path);
	assert_true(exists(journal));
	assert_copies(place, "App.db", plain, look_at_hot);
	/* … and it was a real one: the application itself gets the same answer from it. */
	assert_int_equal(app_number(path, "SELECT sum(amount) FROM account"), EXPECTED_SUM);
	assert_false(exists(journal));
}

static void look_at_rollback_by_hand(const char *copy, const struct database_report *report)
{
	assert_int_equal(report->recovery, DATABASE_RECOVERED_WAL);
	assert_string_equal(report->journal_mode, "rollback");
	look_at_accounts(copy, report);
}

static void the_journal_of_a_living_writer_is_not_rolled_back(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text stray = at(place, "App.db-wal"); /* without its -shm: SQLite cannot read the database in place */
	struct app app;

	app_make(path, "delete", accounts);
	app = app_start(path, "PRAGMA synchronous=OFF; BEGIN IMMEDIATE; UPDATE account SET amount = 0");
	write_file(stray, "garbage", 7);
	assert_copies(place, "App.db", plain, look_at_rollback_by_hand);
	app_stop(&app);
}

static void a_hot_journal_of_several_databases_is_refused_by_name(void **state)
{
	struct place *place = *state;
	static const unsigned char tail[16] = {
		0, 0, 0, 9, 0, 0, 0, 0, 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7
	};
	owned_text path = at(place, "App.db");
	owned_text journal = at(place, "App.db-journal");

	app_make(path, "delete", accounts);
	in_child(die_with_hot_journal, path);
	{
		owned_fd fd = open(journal, O_WRONLY | O_APPEND | O_CLOEXEC);

		assert_int_equal(fd_write_all(fd, tail, sizeof(tail)), 0);
	}
	assert_refuses(place, "App.db", plain, ENOTSUP, "several databases in one transaction");
}

/* -- writers at work -------------------------------------------------------------------------------------------------
 */

/* Moves amounts between accounts for ever, in one transaction each: the sum never changes. */
static void transfer_for_ever(const char *path)
{
	sqlite3 *database = child_open(path, "PRAGMA cache_size=4");
	sqlite3_stmt *statements[4];
	static const char *const sql[] = {
		"BEGIN IMMEDIATE",
		"UPDATE account SET amount = amount - 7, note = hex(randomblob(60)) WHERE id % 97 = abs(random() % 97)",
		"UPDATE account SET amount = amount + (100000 - (SELECT sum(amount) FROM account)) WHERE id = 1",
		"COMMIT",
	};

	for (size_t i = 0; i < ARRAY_SIZE(sql); i++)
		must(sqlite3_prepare_v2(database, sql[i], -1, &statements[i], NULL) == SQLITE_OK);
	for (;;) {
		for (size_t i = 0; i < ARRAY_SIZE(sql); i++) {
			int code = sqlite3_step(statements[i]);

			(void)sqlite3_reset(statements[i]);
			if (code == SQLITE_BUSY && i == 0)
				break;
			must(code == SQLITE_DONE);
		}
	}
}

static void copy_while_writing(struct place *place, const char *mode, unsigned copies)
{
	owned_text path = at(place, "App.db");
	owned_text copy = copied(place, "copy.db");
	pid_t writers[2];
	unsigned changes = 0;
	int64_t last = 0;

	app_make(path, mode, accounts);
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		writers[i] = fork_bound();
		if (writers[i] == 0)
			transfer_for_ever(path);
	}
	for (unsigned i = 0; i < copies; i++) {
		struct outcome outcome =
			snapshot(place,
				 (struct database_snapshot_request){
					 .source = path, .target_name = "copy.db", .verify_full = true },
				 i % 2 ? READ_ONLY : WRITABLE);
		char text[2000];
		int64_t state;

		if (outcome.is_skipped)
			continue;
		(void)error_format(&outcome.error, text, sizeof(text));
		if (outcome.result < 0)
			fail_msg("copy %u: %s", i, text);
		assert_nothing_but(place->target, "copy.db");
		assert_int_equal(app_number(copy, "SELECT sum(amount) FROM account"), EXPECTED_SUM);
		state = app_number(copy, "SELECT sum(amount * id) FROM account");
		changes += state != last;
		last = state;
		empty_target(place);
	}
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		int status;

		assert_int_equal(waitpid(writers[i], &status, WNOHANG), 0); /* still writing */
		(void)kill(writers[i], SIGKILL);
		(void)waitpid(writers[i], &status, 0);
	}
	assert_true(changes > copies / 2); /* they did write, between the copies */
}

static void finding_13_a_hundred_copies_under_writers_in_rollback_mode_are_all_consistent(void **state)
{
	copy_while_writing(*state, "delete", 100);
}

static void finding_13_a_hundred_copies_under_writers_in_wal_mode_are_all_consistent(void **state)
{
	copy_while_writing(*state, "wal", 100);
}

/* Opens, writes and closes again and again: sidecars come and go. */
static void come_and_go(const char *path)
{
	for (;;) {
		sqlite3 *database =
			child_open(path, "BEGIN IMMEDIATE; UPDATE account SET amount = amount - 1 WHERE id = 1;"
					 "UPDATE account SET amount = amount + 1 WHERE id = 2; COMMIT");

		(void)sqlite3_close(database);
	}
}

static void change_half(const char *path)
{
	(void)child_open(path, "PRAGMA cache_size=2; BEGIN IMMEDIATE;"
			       "UPDATE account SET amount = 1, note = hex(randomblob(60)) WHERE id % 2");
	(void)raise(SIGKILL);
}

/* Dies in the middle of a transaction again and again; each time the next one recovers the database and writes. */
static void crash_and_recover(const char *path)
{
	for (;;) {
		sqlite3 *database;
		pid_t pid = fork_bound();

		if (pid == 0)
			change_half(path);
		must(waitpid(pid, NULL, 0) == pid);
		database = child_open(path, "UPDATE account SET amount = amount - 1 WHERE id = 3; UPDATE account SET"
					    " amount = amount + 1 WHERE id = 3");
		(void)sqlite3_close(database);
	}
}

static void copy_a_hundred_times(struct place *place, const char *mode, void (*writer)(const char *path),
				 unsigned *recovered)
{
	owned_text path = at(place, "App.db");
	owned_text copy = copied(place, "copy.db");
	pid_t pid;
	int status;

	app_make(path, mode, accounts);
	pid = fork_bound();
	if (pid == 0) {
		(void)setpgid(0, 0);
		writer(path);
	}
	for (unsigned i = 0; i < 100; i++) {
		struct outcome outcome =
			snapshot(place,
				 (struct database_snapshot_request){
					 .source = path, .target_name = "copy.db", .verify_full = true },
				 i % 2 ? READ_ONLY : WRITABLE);
		char text[2000];
		int64_t sum;

		if (outcome.is_skipped)
			continue;
		(void)error_format(&outcome.error, text, sizeof(text));
		if (outcome.result < 0)
			fail_msg("copy %u: %s", i, text);
		recovered[outcome.report.recovery]++;
		assert_nothing_but(place->target, "copy.db");
		sum = app_number(copy, "SELECT sum(amount) FROM account");
		if (sum != EXPECTED_SUM &&
		    sum != EXPECTED_SUM - 1) /* crash_and_recover takes one in a transaction of its own */
			fail_msg("copy %u: sum %ld", i, (long)sum);
		empty_target(place);
	}
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* still at work */
	(void)kill(-pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
}

static void copies_are_consistent_while_sidecars_come_and_go(void **state)
{
	unsigned recovered[3] = { 0 };

	copy_a_hundred_times(*state, "wal", come_and_go, recovered);
}

static void copies_are_consistent_while_writers_in_rollback_mode_die_and_recover(void **state)
{
	unsigned recovered[3] = { 0 };

	copy_a_hundred_times(*state, "delete", crash_and_recover, recovered);
	assert_true(recovered[DATABASE_RECOVERED_ROLLBACK] > 0); /* else it did not meet what it is for */
}

static void copies_are_consistent_while_writers_in_wal_mode_die_and_recover(void **state)
{
	unsigned recovered[3] = { 0 };

	copy_a_hundred_times(*state, "wal", crash_and_recover, recovered);
}

#define LARGE_ROWS 4000

/* Rests, opens, changes every page of a large database through a WAL, merges it, closes: again and again. */
static void come_rarely(const char *path)
{
	for (unsigned i = 0;; i++) {
		sqlite3 *database;

		(void)usleep(1000 * (i * 37 % 60));
		database = child_open(path,
				      "UPDATE large SET amount = amount + iif(id % 2, 1, -1); PRAGMA wal_checkpoint");
		(void)sqlite3_close(database);
	}
}

static void a_wal_that_appears_while_the_files_are_copied_starts_the_copy_again(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text copy = copied(place, "copy.db");
	unsigned again = 0;
	int status;
	pid_t pid;

	app_make(path, "wal",
		 "CREATE TABLE large(id INTEGER PRIMARY KEY, amount INTEGER, bytes BLOB);"
		 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
		 " INSERT INTO large SELECT i, 100, zeroblob(4000) FROM n");
	pid = fork_bound();
	if (pid == 0)
		come_rarely(path);
	/* Until it has met what it is for; 2,000 copies without that mean that it never will. */
	for (unsigned i = 0; i < 40 || (again == 0 && i < 2000); i++) {
		struct outcome outcome =
			snapshot(place, (struct database_snapshot_request){ .source = path, .target_name = "copy.db" },
				 WRITABLE);
		char text[2000];

		(void)error_format(&outcome.error, text, sizeof(text));
		if (outcome.result < 0)
			fail_msg("copy %u: %s", i, text);
		again += outcome.report.attempts > 1;
		assert_int_equal(app_number(copy, "SELECT sum(amount) FROM large"), LARGE_ROWS * 100);
		assert_int_equal(app_number(copy, "SELECT count(DISTINCT amount - iif(id % 2, 1, -1)"
						  " * (SELECT amount - 100 FROM large WHERE id = 1)) FROM large"),
				 1);
		empty_target(place);
	}
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	assert_true(again > 0);
}

static void a_lock_held_too_long_is_named_with_the_process_that_holds_it(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text words = NULL;
	struct app app;

	app_make(path, "delete", accounts);
	app = app_start(path, "BEGIN EXCLUSIVE");
	words = text_format("process %d keeps it locked", app.pid);
	assert_refuses(place, "App.db", (struct database_snapshot_request){ .busy_timeout_ms = 100 }, EBUSY, words);
	app_stop(&app);
}

static void hold_for_300_ms(const char *path)
{
	sqlite3 *database = child_open(path, "BEGIN EXCLUSIVE");

	(void)usleep(300000);
	must(sqlite3_exec(database, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
	(void)sqlite3_close(database);
}

static void a_lock_held_for_a_moment_is_waited_for(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	struct outcome outcome;
	pid_t pid;

	app_make(path, "delete", accounts);
	pid = fork_bound();
	if (pid == 0) {
		hold_for_300_ms(path);
		_exit(0);
	}
	(void)usleep(100000);
	outcome = snapshot(place, (struct database_snapshot_request){ .source = path, .target_name = "copy.db" },
			   WRITABLE);
	assert_int_equal(outcome.result, 0);
	assert_true(outcome.report.duration_us > 100000);
	(void)waitpid(pid, NULL, 0);
}

/* -- what is no database ---------------------------------------------------------------------------------------------
 */

static void look_at_empty(const char *copy, const struct database_report *report)
{
	struct stat status;

	assert_int_equal(stat(copy, &status), 0);
	assert_int_equal(status.st_size, 0);
	assert_int_equal(report->bytes, 0);
}

static void an_empty_file_is_an_empty_database(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "empty.db");
	owned_text wal = at(place, "empty.db-wal");

	write_file(path, "", 0);
	assert_copies(place, "empty.db", plain, look_at_empty);
	write_file(wal, "stale", 5); /* SQLite itself would delete it */
	assert_copies(place, "empty.db", plain, look_at_empty);
}

static void what_is_no_database_or_encrypted_is_refused_by_name(void **state)
{
	struct place *place = *state;
	owned_text text = at(place, "notes.db");
	owned_text encrypted = at(place, "encrypted.db");
	owned_text tiny = at(place, "tiny.db");
	unsigned char noise[8192];

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (unsigned char)(i * 167 + i / 251 + 13);
	write_file(text, "this is a text\n", 15);
	write_file(encrypted, noise, sizeof(noise));
	write_file(tiny, "SQ", 2);
	assert_refuses(place, "notes.db", plain, EBADMSG, "not an SQLite database, or it is encrypted");
	assert_refuses(place, "encrypted.db", plain, EBADMSG, "not an SQLite database, or it is encrypted");
	assert_refuses(place, "tiny.db", plain, EBADMSG, "not an SQLite database, or it is encrypted");
}

static void a_damaged_database_is_refused_by_name(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	char garbage[2000];

	app_make(path, "delete", accounts);
	memset(garbage, 0xa5, sizeof(garbage));
	{
		owned_fd fd = open(path, O_WRONLY | O_CLOEXEC);

		assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 5L * 4096), sizeof(garbage));
	}
	assert_refuses(place, "App.db", plain, EUCLEAN, "restore it from a backup");
}

static void a_database_cut_short_is_refused_by_name(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");

	app_make(path, "delete", accounts);
	assert_int_equal(truncate(path, 8 * 4096), 0);
	assert_refuses(place, "App.db", plain, EUCLEAN, "damaged");
	/* A fixture, perhaps, that a worker does without. */
	assert_refuses(place, "App.db", plain, EUCLEAN, "--db none");
}

static void a_missing_file_a_directory_and_a_pipe_are_refused_at_once(void **state)
{
	struct place *place = *state;
	owned_text directory = at(place, "directory.db");
	owned_text pipe = at(place, "pipe.db");
	owned_text dangling = at(place, "dangling.db");

	assert_int_equal(mkdir(directory, 0755), 0);
	assert_int_equal(mkfifo(pipe, 0644), 0);
	assert_int_equal(symlink("nowhere.db", dangling), 0);
	(void)alarm(10);
	assert_refuses(place, "missing.db", plain, ENOENT, "name the file that the program opens");
	assert_refuses(place, "dangling.db", plain, ENOENT, "No such file");
	assert_refuses(place, "directory.db", plain, EISDIR, "it is a directory");
	assert_refuses(place, "pipe.db", plain, EINVAL, "not a regular file");
	(void)alarm(0);
}

static void an_unreadable_file_is_refused_by_name(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	struct outcome outcome;

	app_make(path, "delete", accounts);
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(chmod(place->root, 0755), 0);
	assert_int_equal(chmod(place->target, 0777), 0);
	/* Root reads all, as one does with the capabilities of one's own user namespace: hence no read-only mount here.
	 */
	if (getuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	outcome = snapshot(place, (struct database_snapshot_request){ .source = path, .target_name = "copy.db" },
			   WRITABLE);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(outcome.result, -EACCES);
	assert_nothing_but(place->target, "");
}

/* -- names, places, attributes ----------------------------------------------------------------------------------------
 */

static void a_symbolic_link_is_followed_to_the_place_of_the_sidecars(void **state)
{
	struct place *place = *state;
	owned_text directory = at(place, "data");
	owned_text real = at(place, "data/Real.db");
	owned_text link = at(place, "App.db");
	owned_text resolved = NULL;
	struct error error;

	assert_int_equal(mkdir(directory, 0755), 0);
	app_make(real, "wal", accounts);
	in_child(die_with_wal, real);
	assert_int_equal(symlink("data/Real.db", link), 0);
	assert_int_equal(database_resolve(link, &resolved, &error), 0);
	assert_string_equal(resolved, real);
	assert_copies(place, "App.db", plain, look_at_killed_wal);
}

static void any_bytes_are_legal_in_names(void **state)
{
	struct place *place = *state;
	static const char *const names[] = {
		"file:x.db?mode=memory",
		"a b%20c#d?e&f=g.db",
		"\xff\xfe\x01\n.db",
		"'\"\\;--.db",
		" .db",
		":memory:",
		"file:",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		owned_text path = at(place, names[i]);
		owned_text copy = copied(place, names[i]);
		owned_text plain_name = at(place, "plain.db");
		struct outcome outcome;

		app_make(plain_name, i % 2 ? "wal" : "delete", accounts);
		assert_int_equal(rename(plain_name, path), 0);
		outcome = snapshot(place, (struct database_snapshot_request){ .source = path, .target_name = names[i] },
				   READ_ONLY);
		if (outcome.is_skipped)
			skip();
		assert_int_equal(outcome.result, 0);
		assert_true(exists(copy));
		assert_int_equal(rename(copy, plain_name), 0);
		assert_int_equal(app_number(plain_name, "SELECT sum(amount) FROM account"), EXPECTED_SUM);
		assert_int_equal(unlink(plain_name), 0);
	}
}

static void a_path_longer_than_sqlite_s_own_limit_works(void **state)
{
	struct place *place = *state;
	char part[201];
	owned_text path = NULL;
	struct outcome outcome;

	memset(part, 'd', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	path = text_duplicate(place->source);
	for (unsigned i = 0; i < 10; i++) {
		char *deeper = text_format("%s/%s", path, part);

		free(path);
		path = deeper;
		assert_int_equal(mkdir(path, 0755), 0);
	}
	{
		owned_text start = at(place, "App.db");
		char *last = text_format("%s/App.db", path);

		free(path);
		path = last;
		app_make(start, "wal", accounts);
		assert_int_equal(rename(start, path), 0);
	}
	outcome = snapshot(place, (struct database_snapshot_request){ .source = path, .target_name = "copy.db" },
			   WRITABLE);
	assert_int_equal(outcome.result, 0);
}

static void permissions_are_the_source_s(void **state)
{
	struct place *place = *state;
	static const mode_t modes[] = { 0600, 0640, 0664, 0444, 0666 };
	owned_text path = at(place, "App.db");
	owned_text copy = copied(place, "copy.db");

	app_make(path, "delete", accounts);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct stat status;
		struct outcome outcome;

		assert_int_equal(chmod(path, modes[i]), 0);
		outcome =
			snapshot(place, (struct database_snapshot_request){ .source = path, .target_name = "copy.db" },
				 WRITABLE);
		assert_int_equal(outcome.result, 0);
		assert_int_equal(stat(copy, &status), 0);
		assert_int_equal(status.st_mode & 07777, modes[i]);
		assert_int_equal(status.st_uid, geteuid());
		empty_target(place);
	}
}

static void what_lies_at_the_place_of_the_copy_is_not_overwritten(void **state)
{
	struct place *place = *state;
	static const char *const names[] = { "copy.db", "copy.db-wal", "copy.db-journal" };
	owned_text path = at(place, "App.db");

	app_make(path, "delete", accounts);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		owned_text there = copied(place, names[i]);
		owned_text kept = NULL;
		struct outcome outcome;

		write_file(there, "mine", 4);
		outcome =
			snapshot(place, (struct database_snapshot_request){ .source = path, .target_name = "copy.db" },
				 WRITABLE);
		assert_int_equal(outcome.result, -EEXIST);
		kept = read_file(there, NULL);
		assert_string_equal(kept, "mine");
		assert_nothing_but(place->target, names[i]);
		empty_target(place);
	}
}

/* -- EF Core's lock, odd schemas --------------------------------------------------------------------------------------
 */

#define EF_LOCK                                                                                                        \
	"CREATE TABLE \"__EFMigrationsLock\"(\"Id\" INTEGER NOT NULL CONSTRAINT \"PK___EFMigrationsLock\" PRIMARY "    \
	"KEY,"                                                                                                         \
	" \"Timestamp\" TEXT NOT NULL);"

static void look_at_found_lock(const char *copy, const struct database_report *report)
{
	assert_true(report->ef_lock_found);
	assert_false(report->ef_lock_fixed);
	assert_int_equal(app_number(copy, "SELECT count(*) FROM \"__EFMigrationsLock\""), 1);
}

static void look_at_fixed_lock(const char *copy, const struct database_report *report)
{
	assert_true(report->ef_lock_found);
	assert_true(report->ef_lock_fixed);
	assert_int_equal(app_number(copy, "SELECT count(*) FROM \"__EFMigrationsLock\""), 0);
	look_at_accounts(copy, report);
}

static void look_at_no_lock(const char *copy, const struct database_report *report)
{
	assert_false(report->ef_lock_found);
	assert_false(report->ef_lock_fixed);
	look_at_accounts(copy, report);
}

static void finding_24_a_stale_migration_lock_is_named_and_removed_from_the_copy_when_asked(void **state)
{
	struct place *place = *state;
	static const char *const modes[] = { "delete", "wal" };
	const struct database_snapshot_request fix = { .fix_ef_lock = true };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		owned_text name = text_format("%s.db", modes[i]);
		owned_text path = at(place, name);

		app_make(path, modes[i], accounts);
		assert_copies(place, name, fix, look_at_no_lock);
		app_make(path, modes[i], EF_LOCK);
		assert_copies(place, name, fix, look_at_no_lock);
		app_make(path, modes[i],
			 "INSERT INTO \"__EFMigrationsLock\" VALUES(1, '2026-01-01');"
			 "CREATE TRIGGER trap AFTER DELETE ON \"__EFMigrationsLock\" BEGIN DELETE FROM account; END");
		assert_copies(place, name, plain, look_at_found_lock);
		assert_copies(place, name, fix, look_at_fixed_lock);
	}
}

static int descending(void *unused, int a_length, const void *a, int b_length, const void *b)
{
	int order = memcmp(b, a, (size_t)MIN(a_length, b_length));

	(void)unused;
	return order != 0 ? order : b_length - a_length;
}

static void always_true(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count, (void)values;
	sqlite3_result_int(context, 1);
}

static void a_schema_with_the_application_s_own_collations_and_functions_is_accepted(void **state)
{
	struct place *place = *state;
	const struct database_snapshot_request verify = { .verify_full = true };
	owned_text path = at(place, "App.db");
	sqlite3 *app = app_open(path);

	assert_int_equal(sqlite3_create_collation(app, "DESCENDING", SQLITE_UTF8, NULL, descending), SQLITE_OK);
	assert_int_equal(sqlite3_create_function(app, "is_fine", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
						 always_true, NULL, NULL),
			 SQLITE_OK);
	app_run(app, accounts);
	app_run(app, "CREATE TABLE own(a TEXT COLLATE DESCENDING CHECK (is_fine(a)), b TEXT, c AS (is_fine(b)),"
		     " d AS (is_fine(b)) STORED);"
		     "CREATE INDEX own_a ON own(a); CREATE INDEX own_b ON own(b) WHERE is_fine(b);"
		     "CREATE INDEX own_e ON own(is_fine(b));"
		     "INSERT INTO own(a, b) SELECT note, note FROM account;"
		     "CREATE TABLE keyed(a TEXT COLLATE DESCENDING PRIMARY KEY, b) WITHOUT ROWID;"
		     "INSERT INTO keyed SELECT note, id FROM account");
	assert_int_equal(sqlite3_close(app), SQLITE_OK);
	assert_copies(place, "App.db", plain, look_at_accounts);
	assert_copies(place, "App.db", verify, look_at_accounts);
}

static void look_at_warning(const char *copy, const struct database_report *report)
{
	look_at_accounts(copy, report);
	assert_string_equal(report->warning, "NULL value in strict_one.a");
}

static void rows_that_break_a_constraint_are_a_warning_not_a_failure(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");

	app_make(path, "delete", accounts);
	app_make(path, "delete",
		 "CREATE TABLE checked(a CHECK (a > 0)); PRAGMA ignore_check_constraints=ON; INSERT INTO checked "
		 "VALUES(-1)");
	assert_copies(place, "App.db", plain, look_at_accounts);
	app_make(path, "delete",
		 "CREATE TABLE strict_one(a); INSERT INTO strict_one VALUES(NULL); PRAGMA writable_schema=ON;"
		 "UPDATE sqlite_master SET sql = 'CREATE TABLE strict_one(a NOT NULL)' WHERE name = 'strict_one'");
	assert_copies(place, "App.db", plain, look_at_warning);
}

static void every_page_size_and_vacuum_mode_is_kept(void **state)
{
	struct place *place = *state;

	for (unsigned size = 512; size <= 65536; size *= 2) {
		for (unsigned wal = 0; wal < 2; wal++) {
			owned_text name = text_format("%u-%u.db", size, wal);
			owned_text path = at(place, name);
			owned_text sql = text_format(
				"PRAGMA page_size=%u; PRAGMA auto_vacuum=%u; VACUUM; PRAGMA journal_mode=%s;"
				"PRAGMA user_version=7; PRAGMA application_id=99; %s",
				size, wal + 1, wal ? "wal" : "delete", accounts);

			app_make(path, "delete", sql);
			assert_int_equal(app_number(path, "PRAGMA page_size"), size);
			assert_copies(place, name, plain, wal ? look_at_wal : look_at_rollback);
			remove_tree(path);
		}
	}
}

/* -- room
 * -------------------------------------------------------------------------------------------------------------- */

static void a_full_target_names_the_flag_that_gives_room(void **state)
{
	struct place *place = *state;
	static const char *const modes[] = { "delete", "wal" };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		owned_text name = text_format("%s.db", modes[i]);
		owned_text path = at(place, name);
		int status;
		pid_t pid;

		app_make(path, modes[i], accounts);
		app_make(path, modes[i], "CREATE TABLE big AS SELECT randomblob(1000000) AS b FROM account LIMIT 3");
		pid = fork_bound();
		if (pid == 0) {
			struct database_snapshot_request request = { .source = path, .target_name = "copy.db" };
			struct database_report report;
			struct error error = { 0 };
			char text[2000];

			if (enter_namespaces() < 0 || mount("tmpfs", place->target, "tmpfs", 0, "size=1m,mode=700") < 0)
				_exit(77);
			request.target_fd = open(place->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
			must(database_snapshot(&request, &report, &error) == -ENOSPC);
			(void)error_format(&error, text, sizeof(text));
			must(strstr(text, "--size") && strstr(text, "MiB"));
			must(faccessat(request.target_fd, "copy.db", F_OK, 0) < 0);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
			assert_null(getenv("SBX_MUST_WORK"));
			skip();
		}
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void no_descriptor_is_left_open(void **state)
{
	struct place *place = *state;
	owned_text path = at(place, "App.db");
	owned_text wal = at(place, "Wal.db");
	owned_text text = at(place, "notes.db");
	const char *sources[] = { path, wal, text };

	app_make(path, "delete", accounts);
	app_make(wal, "wal", accounts);
	write_file(text, "this is a text\n", 15);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		owned_fd target = open(place->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
		struct database_snapshot_request request = { .source = sources[i],
							     .target_fd = target,
							     .target_name = "c" };
		struct database_report report;
		struct error error;
		int first, second;

		/* Once before counting: SQLite keeps /dev/urandom's answer, not its descriptor. */
		(void)database_snapshot(&request, &report, &error);
		empty_target(place);
		first = open("/dev/null", O_RDONLY | O_CLOEXEC);
		close(first);
		(void)database_snapshot(&request, &report, &error);
		empty_target(place);
		second = open("/dev/null", O_RDONLY | O_CLOEXEC);
		close(second);
		assert_int_equal(first, second);
	}
}

/* -- the search
 * -------------------------------------------------------------------------------------------------------- */

static struct database_discovery discover(const struct place *place)
{
	owned_fd tree = open(place->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct database_discovery found = { 0 };
	struct error error;

	assert_int_equal(database_discover(tree, &found, &error), 0);
	return found;
}

static void make(const struct place *place, const char *name, const char *bytes, size_t size)
{
	owned_text path = at(place, name);

	write_file(path, bytes, size);
}

static void make_directory(const struct place *place, const char *name)
{
	owned_text path = at(place, name);

	assert_int_equal(mkdir(path, 0755), 0);
}

static void make_link(const struct place *place, const char *name, const char *target)
{
	owned_text path = at(place, name);

	assert_int_equal(symlink(target, path), 0);
}

#define HEADER "SQLite format 3\0rest"

static void only_databases_in_the_root_and_first_level_are_found(void **state)
{
	struct place *place = *state;
	static const char *const expected[] = { "App.db",   "Data/x.sqlite3", "Data/y.DB3", "a.sqlite",
						"empty.db", "sub/Real.db",    "z\n\xff.db" };
	owned_text outside = text_format("%s/outside.db", place->root);
	struct database_discovery found;

	write_file(outside, HEADER, sizeof(HEADER));
	make(place, "App.db", HEADER, sizeof(HEADER));
	make(place, "App.db-wal", "wal", 3);
	make(place, "a.sqlite", HEADER, sizeof(HEADER));
	make(place, "empty.db", "", 0);
	make(place, "z\n\xff.db", HEADER, sizeof(HEADER));
	make(place, "notes.db", "this is no database", 19);
	make(place, "short.db", "SQLite", 6);
	make(place, "App.db.bak", HEADER, sizeof(HEADER));
	make(place, "database", HEADER, sizeof(HEADER));
	make_directory(place, "Data");
	make(place, "Data/x.sqlite3", HEADER, sizeof(HEADER));
	make(place, "Data/y.DB3", HEADER, sizeof(HEADER));
	make_directory(place, "Data/deeper");
	make(place, "Data/deeper/z.db", HEADER, sizeof(HEADER));
	make_directory(place, "directory.db");
	make_directory(place, "node_modules");
	make(place, "node_modules/n.db", HEADER, sizeof(HEADER));
	make_directory(place, ".git");
	make(place, ".git/g.db", HEADER, sizeof(HEADER));
	make_directory(place, "sub");
	make(place, "sub/Real.db", HEADER, sizeof(HEADER));
	make_link(place, "link.db", "sub/Real.db");
	make_link(place, "sub/again.db", "../App.db");
	make_link(place, "out.db", "../outside.db");
	make_link(place, "dangling.db", "nowhere");
	make_link(place, "loop.db", "loop.db");
	make_link(place, "linked-directory", "..");
	{
		owned_text pipe = at(place, "pipe.db");

		assert_int_equal(mkfifo(pipe, 0644), 0);
	}
	(void)alarm(10);
	found = discover(place);
	(void)alarm(0);
	assert_int_equal(found.names.count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(found.names.items[i], expected[i]);
	assert_int_equal(found.outside.count, 1);
	assert_string_equal(found.outside.items[0], "out.db");
	assert_false(found.is_cut);
	database_discovery_release(&found);
	database_discovery_release(&found);
}

static void the_search_is_bounded_and_says_so(void **state)
{
	struct place *place = *state;
	struct database_discovery found;

	for (unsigned i = 0; i < DATABASE_FOUND_MAX + 1; i++) {
		owned_text name = text_format("%03u.db", i);

		make(place, name, HEADER, sizeof(HEADER));
	}
	found = discover(place);
	assert_int_equal(found.names.count, DATABASE_FOUND_MAX);
	assert_true(found.is_cut);
	database_discovery_release(&found);
}

static void a_tree_with_more_names_than_the_bound_is_searched_as_far_as_that(void **state)
{
	struct place *place = *state;
	struct database_discovery found;

	make_directory(place, "many");
	for (unsigned i = 0; i < DATABASE_NAMES_MAX + 10; i++) {
		owned_text name = text_format("many/%u", i);

		make(place, name, "", 0);
	}
	found = discover(place);
	assert_true(found.is_cut);
	database_discovery_release(&found);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_database_in_rollback_mode_is_copied_and_the_source_untouched),
		TEST(a_closed_database_in_wal_mode_is_copied_without_leaving_sidecars),
		TEST(an_open_database_in_wal_mode_is_copied_with_what_is_in_its_wal),
		TEST(a_killed_writer_s_wal_is_in_the_copy),
		TEST(an_idle_wal_without_shm_in_a_read_only_directory_is_recovered_in_the_copy),
		TEST(a_database_whose_data_is_all_in_its_wal_is_whole_in_the_copy),
		TEST(a_stale_shm_without_a_wal_does_not_disturb),
		TEST(a_hot_journal_is_rolled_back_in_the_copy_and_stays_in_the_source),
		TEST(the_journal_of_a_living_writer_is_not_rolled_back),
		TEST(a_hot_journal_of_several_databases_is_refused_by_name),
		TEST(finding_13_a_hundred_copies_under_writers_in_rollback_mode_are_all_consistent),
		TEST(finding_13_a_hundred_copies_under_writers_in_wal_mode_are_all_consistent),
		TEST(copies_are_consistent_while_sidecars_come_and_go),
		TEST(copies_are_consistent_while_writers_in_rollback_mode_die_and_recover),
		TEST(copies_are_consistent_while_writers_in_wal_mode_die_and_recover),
		TEST(a_wal_that_appears_while_the_files_are_copied_starts_the_copy_again),
		TEST(a_lock_held_too_long_is_named_with_the_process_that_holds_it),
		TEST(a_lock_held_for_a_moment_is_waited_for),
		TEST(an_empty_file_is_an_empty_database),
		TEST(what_is_no_database_or_encrypted_is_refused_by_name),
		TEST(a_damaged_database_is_refused_by_name),
		TEST(a_database_cut_short_is_refused_by_name),
		TEST(a_missing_file_a_directory_and_a_pipe_are_refused_at_once),
		TEST(an_unreadable_file_is_refused_by_name),
		TEST(a_symbolic_link_is_followed_to_the_place_of_the_sidecars),
		TEST(any_bytes_are_legal_in_names),
		TEST(a_path_longer_than_sqlite_s_own_limit_works),
		TEST(permissions_are_the_source_s),
		TEST(what_lies_at_the_place_of_the_copy_is_not_overwritten),
		TEST(finding_24_a_stale_migration_lock_is_named_and_removed_from_the_copy_when_asked),
		TEST(a_schema_with_the_application_s_own_collations_and_functions_is_accepted),
		TEST(rows_that_break_a_constraint_are_a_warning_not_a_failure),
		TEST(every_page_size_and_vacuum_mode_is_kept),
		TEST(a_full_target_names_the_flag_that_gives_room),
		TEST(no_descriptor_is_left_open),
		TEST(only_databases_in_the_root_and_first_level_are_found),
		TEST(the_search_is_bounded_and_says_so),
		TEST(a_tree_with_more_names_than_the_bound_is_searched_as_far_as_that),
	};

	return cmocka_run_group_tests_name("database", tests, NULL, NULL);
}
