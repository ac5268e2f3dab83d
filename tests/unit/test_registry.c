/* SPDX-License-Identifier: Apache-2.0 */
/* Kept workers and their registry: the directories are the truth, the database is a cache that nothing can break. */
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/registry/claim.h"
#include "sandbox/registry/collect.h"
#include "sandbox/registry/registry.h"
#include "sandbox/registry/resolve.h"
#include "tests/unit/scratch.h"

struct place {
	char *root;
	struct state_paths paths;
	int runtime_fd;
	int state_fd;
	char *database; /* path of registry.db */
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	place->root = scratch_make(NULL);
	if (!place->root)
		return -1;
	(void)unsetenv("XDG_STATE_HOME");
	(void)setenv("XDG_RUNTIME_DIR", place->root, 1);
	state_paths_find(place->root, &place->paths);
	place->database = path_join(place->paths.state, REGISTRY_FILE);
	*state = place;
	return state_open_runtime(&place->paths, STATE_MAKE, &place->runtime_fd, NULL) < 0 ||
			       state_open(&place->paths, STATE_MAKE, &place->state_fd, NULL) < 0
		       ? -1
		       : 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	int result;

	fd_close(&place->runtime_fd);
	fd_close(&place->state_fd);
	(void)chmod(place->paths.state, 0700);
	result = scratch_remove(&place->root);
	state_paths_release(&place->paths);
	free(place->database);
	free(place);
	return result;
}

static bool is_there(const struct place *place, const char *path)
{
	return faccessat(place->state_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct kept_worker make_worker(const char *id, const char *name)
{
	struct kept_worker worker = { .ended_ns = 2, .exit_status = 137, .bytes = 4096, .entries = 3 };

	worker.row.id = text_duplicate(id);
	worker.row.name = text_duplicate(name);
	worker.row.tree = text_duplicate("/tree\xff");
	worker.row.started_ns = 1;
	text_list_add(&worker.row.command, "dotnet");
	text_list_add(&worker.row.labels, "a=b");
	return worker;
}

static void keep(const struct place *place, const char *id, const char *name)
{
	owned_draft draft = { .fd = -1 };
	owned_kept_worker worker = make_worker(id, name);
	struct error error = { 0 };

	assert_int_equal(kept_begin(place->state_fd, id, &draft, &error), 0);
	assert_int_equal(mkdirat(draft.fd, "upper-0", 0700), 0);
	assert_int_equal(kept_commit(&draft, &worker, "{\"home\":\"cow\"}", &error), 0);
}

static void keep_and_add(const struct place *place, const char *id, const char *name)
{
	owned_kept_worker worker = make_worker(id, name);
	struct error note;

	keep(place, id, name);
	registry_add_kept(place->state_fd, &worker, &note);
	assert_int_equal(note.number, 0);
}

/* Lists, and says which ids there are: "id id". */
static char *listed(const struct place *place, int want_note)
{
	owned_kept_list list = { 0 };
	struct text_buffer ids = { 0 };
	struct error note;
	struct error error = { 0 };

	assert_int_equal(registry_list(place->state_fd, &list, &note, &error), 0);
	if (note.number != want_note)
		fail_msg("note: %d, %s: %s", note.number, note.step, note.cause);
	text_buffer_add_text(&ids, "");
	for (size_t i = 0; i < list.count; i++)
		text_buffer_format(&ids, "%s%s", i ? " " : "", list.items[i].row.id);
	return ids.bytes;
}

static void assert_listed(const struct place *place, int want_note, const char *want)
{
	owned_text ids = listed(place, want_note);

	assert_string_equal(ids, want);
}

static void sql(const struct place *place, const char *statements)
{
	sqlite3 *database = NULL;

	assert_int_equal(sqlite3_open(place->database, &database), SQLITE_OK);
	if (sqlite3_exec(database, statements, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", statements, sqlite3_errmsg(database));
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static char *ask(const struct place *place, const char *query)
{
	sqlite3_stmt *statement = NULL;
	sqlite3 *database = NULL;
	char *answer;

	assert_int_equal(sqlite3_open_v2(place->database, &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(database, query, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	answer = text_duplicate((const char *)sqlite3_column_text(statement, 0));
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close(database);
	return answer;
}

static void assert_answer(const struct place *place, const char *query, const char *want)
{
	owned_text answer = ask(place, query);

	assert_string_equal(answer, want);
}

/* Writes over the whole file. */
static void damage(const struct place *place)
{
	owned_fd fd = open(place->database, O_WRONLY | O_CLOEXEC);
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	for (off_t i = 0; i < status.st_size; i += 16)
		assert_int_equal(pwrite(fd, "no database here", 16, i), 16);
}

#define ID1 "0000000001"
#define ID2 "0000000002"
#define ID3 "0000000003"

/* -- directories --------------------------------------------------------------------------------------------------- */

static void test_a_kept_worker_comes_back_whole(void **state)
{
	struct place *place = *state;
	owned_kept_worker worker = { 0 };
	owned_text spec = NULL;
	owned_fd kept = -1;
	struct error error = { 0 };

	keep(place, ID1, "w1");
	assert_int_equal(state_open_part(place->state_fd, STATE_KEPT, STATE_LEAVE, &kept, &error), 0);
	assert_int_equal(kept_read(kept, ID1, &worker, &spec, &error), 0);
	assert_string_equal(worker.row.name, "w1");
	assert_string_equal(worker.row.tree, "/tree\xff");
	assert_int_equal(worker.exit_status, 137);
	assert_int_equal(worker.bytes, 4096);
	assert_string_equal(spec, "{\"home\":\"cow\"}");
	assert_true(is_there(place, "kept/" ID1 "/upper-0"));
}

static void test_a_draft_that_is_not_committed_leaves_nothing(void **state)
{
	struct place *place = *state;
	struct kept_draft draft = { .fd = -1 };
	owned_kept_worker worker = make_worker(ID1, "w1");
	struct error error = { 0 };

	assert_int_equal(kept_begin(place->state_fd, ID1, &draft, &error), 0);
	assert_int_equal(mkdirat(draft.fd, "upper-0", 0000), 0);
	assert_int_equal(kept_commit(&draft, &worker, "{not json", &error), -EBADMSG);
	assert_listed(place, 0, "");
	kept_draft_close(&draft);
	kept_draft_close(&draft);
	assert_true(is_there(place, "kept"));
	assert_int_not_equal(unlinkat(place->state_fd, "kept", AT_REMOVEDIR), -1);
}

static void test_the_draft_of_a_killed_sbx_is_collected_and_a_living_ones_is_not(void **state)
{
	struct place *place = *state;
	owned_collect_report report = { 0 };
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct kept_draft draft;

		if (kept_begin(place->state_fd, ID1, &draft, NULL) == 0)
			(void)!write(ready[1], "x", 1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(collect_dead(&place->paths, COLLECT_REMOVE, &report, NULL), 0);
	assert_int_equal(report.directories.count, 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(collect_dead(&place->paths, COLLECT_REMOVE, &report, NULL), 0);
	assert_int_equal(report.directories.count, 1);
	assert_false(is_there(place, "kept/.draft-" ID1));
	(void)close(ready[0]);
	(void)close(ready[1]);
}

static void test_an_id_is_kept_once(void **state)
{
	struct place *place = *state;
	owned_draft draft = { .fd = -1 };
	owned_kept_worker worker = make_worker(ID1, "other");
	struct error error = { 0 };

	keep(place, ID1, "w1");
	assert_int_equal(kept_begin(place->state_fd, ID1, &draft, &error), 0);
	assert_int_equal(kept_commit(&draft, &worker, NULL, &error), -EEXIST);
}

static void test_a_kept_worker_that_is_entered_cannot_be_removed_or_entered(void **state)
{
	struct place *place = *state;
	owned_fd inside = -1;
	owned_fd again = -1;
	struct error error = { 0 };

	keep(place, ID1, "w1");
	assert_int_equal(kept_enter(place->state_fd, ID1, &inside, &error), 0);
	assert_int_equal(kept_enter(place->state_fd, ID1, &again, &error), -EBUSY);
	assert_int_equal(kept_remove(place->state_fd, ID1, &error), -EBUSY);
	assert_int_equal(collect_dead(&place->paths, COLLECT_REMOVE, NULL, &error), 0);
	assert_true(is_there(place, "kept/" ID1));
	fd_close(&inside);
	assert_int_equal(kept_remove(place->state_fd, ID1, &error), 0);
	assert_false(is_there(place, "kept/" ID1));
	assert_int_equal(kept_remove(place->state_fd, ID1, &error), -ENOENT);
	/* Nothing in the trash either. */
	assert_int_equal(unlinkat(place->state_fd, "trash", AT_REMOVEDIR), 0);
}

static void test_a_damaged_worker_is_left_out_and_counted(void **state)
{
	struct place *place = *state;
	owned_kept_list list = { 0 };
	size_t damaged = 0;
	owned_fd fd = -1;

	keep(place, ID1, "w1");
	keep(place, ID2, "w2");
	fd = openat(place->state_fd, "kept/" ID1 "/worker.json", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(fd_write_all(fd, "{}", 2), 0);
	assert_int_equal(kept_list_directories(place->state_fd, &list, &damaged, NULL), 0);
	assert_int_equal(list.count, 1);
	assert_int_equal(damaged, 1);
	assert_listed(place, 0, ID2);
}

/* -- the registry -------------------------------------------------------------------------------------------------- */

static void test_listing_nothing_makes_nothing(void **state)
{
	struct place *place = *state;

	assert_listed(place, 0, "");
	assert_false(is_there(place, REGISTRY_FILE));
}

static void test_rows_come_and_go(void **state)
{
	struct place *place = *state;
	struct error note;

	keep_and_add(place, ID2, "w2");
	keep_and_add(place, ID1, "w1");
	assert_listed(place, 0, ID1 " " ID2);
	assert_answer(place, "SELECT group_concat(name) FROM (SELECT name FROM kept ORDER BY id)", "w1,w2");
	assert_answer(place, "SELECT directory || command || labels FROM kept", "kept/" ID1 "[\"dotnet\"][\"a=b\"]");
	assert_int_equal(kept_remove(place->state_fd, ID1, NULL), 0);
	registry_remove(place->state_fd, ID1, &note);
	assert_int_equal(note.number, 0);
	assert_answer(place, "SELECT group_concat(id) FROM kept", ID2);
	assert_listed(place, 0, ID2);
}

static void test_a_row_holds_all_that_the_directory_holds(void **state)
{
	struct place *place = *state;
	owned_kept_list rows = { 0 };
	owned_kept_list directories = { 0 };
	owned_buffer one = { 0 };
	owned_buffer other = { 0 };

	keep_and_add(place, ID1, "w1");
	assert_int_equal(registry_list(place->state_fd, &rows, NULL, NULL), 0);
	assert_int_equal(kept_list_directories(place->state_fd, &directories, NULL, NULL), 0);
	worker_row_write(&rows.items[0].row, &one);
	worker_row_write(&directories.items[0].row, &other);
	assert_string_equal(one.bytes, other.bytes);
	assert_int_equal(rows.items[0].ended_ns, directories.items[0].ended_ns);
	assert_int_equal(rows.items[0].exit_status, directories.items[0].exit_status);
	assert_int_equal(rows.items[0].bytes, directories.items[0].bytes);
	assert_int_equal(rows.items[0].entries, directories.items[0].entries);
}

static void test_what_happened_without_the_registry_is_found(void **state)
{
	struct place *place = *state;

	keep_and_add(place, ID1, "w1");
	keep(place, ID2, "w2");
	assert_int_equal(kept_remove(place->state_fd, ID1, NULL), 0);
	assert_listed(place, 0, ID2);
	assert_answer(place, "SELECT group_concat(id) FROM kept", ID2);
}

static void test_a_deleted_registry_is_made_again(void **state)
{
	struct place *place = *state;

	keep_and_add(place, ID1, "w1");
	assert_int_equal(unlink(place->database), 0);
	assert_listed(place, 0, ID1);
	assert_answer(place, "SELECT group_concat(id) FROM kept", ID1);
	assert_int_equal(unlink(place->database), 0);
	assert_int_equal(registry_rebuild(place->state_fd, NULL), 0);
	assert_answer(place, "SELECT group_concat(id) FROM kept", ID1);
}

static void test_a_damaged_registry_is_set_aside_and_made_again(void **state)
{
	struct place *place = *state;

	keep_and_add(place, ID1, "w1");
	damage(place);
	assert_listed(place, 0, ID1);
	assert_true(is_there(place, REGISTRY_FILE_DAMAGED));
	assert_answer(place, "SELECT group_concat(id) FROM kept", ID1);
}

static void test_damage_behind_the_header_is_found(void **state)
{
	struct place *place = *state;
	owned_fd fd = -1;
	struct stat status;
	char page[4096];

	keep_and_add(place, ID1, "w1");
	fd = open(place->database, O_RDWR | O_CLOEXEC);
	memset(page, 0x5a, sizeof(page));
	assert_int_equal(fstat(fd, &status), 0);
	for (off_t i = 4096; i < status.st_size; i += 4096)
		assert_int_equal(pwrite(fd, page, sizeof(page), i), sizeof(page));
	fd_close(&fd);
	assert_listed(place, 0, ID1);
	assert_true(is_there(place, REGISTRY_FILE_DAMAGED));
}

static void test_a_row_that_is_no_row_is_damage(void **state)
{
	struct place *place = *state;

	keep_and_add(place, ID1, "w1");
	sql(place, "UPDATE kept SET row = '{}'");
	assert_listed(place, 0, ID1);
	assert_true(is_there(place, REGISTRY_FILE_DAMAGED));
}

static void test_a_journal_left_behind_never_enters_the_new_registry(void **state)
{
	struct place *place = *state;
	owned_text journal = text_format("%s-journal", place->database);
	owned_fd fd = -1;

	keep_and_add(place, ID1, "w1");
	damage(place);
	fd = open(journal, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(fd_write_all(fd, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7 and rubbish", 20), 0);
	fd_close(&fd);
	assert_listed(place, 0, ID1);
	assert_answer(place, "SELECT group_concat(id) FROM kept", ID1);
}

static void test_an_empty_file_becomes_the_registry(void **state)
{
	struct place *place = *state;

	keep_and_add(place, ID1, "w1");
	assert_int_equal(truncate(place->database, 0), 0);
	assert_listed(place, 0, ID1);
	assert_answer(place, "SELECT group_concat(id) FROM kept", ID1);
}

static void test_a_newer_registry_is_left_alone(void **state)
{
	struct place *place = *state;
	owned_text before = NULL;
	owned_text after = NULL;
	size_t before_size;
	size_t after_size;
	struct error note;
	owned_kept_worker worker = make_worker(ID2, "w2");

	keep_and_add(place, ID1, "w1");
	sql(place, "PRAGMA user_version = 99; CREATE TABLE news (x)");
	assert_int_equal(fd_read_file(AT_FDCWD, place->database, 0, &before, &before_size), 0);
	keep(place, ID2, "w2");
	registry_add_kept(place->state_fd, &worker, &note);
	assert_int_equal(note.number, EPROTONOSUPPORT);
	assert_listed(place, EPROTONOSUPPORT, ID1 " " ID2);
	assert_int_equal(fd_read_file(AT_FDCWD, place->database, 0, &after, &after_size), 0);
	assert_int_equal(before_size, after_size);
	assert_memory_equal(before, after, before_size);
	assert_false(is_there(place, REGISTRY_FILE_DAMAGED));
}

static void test_a_locked_registry_does_not_hold_a_listing_up(void **state)
{
	struct place *place = *state;
	sqlite3 *holder = NULL;
	struct timespec start;
	struct timespec end;

	keep_and_add(place, ID1, "w1");
	keep(place, ID2, "w2");
	assert_int_equal(sqlite3_open(place->database, &holder), SQLITE_OK);
	assert_int_equal(sqlite3_exec(holder, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	assert_listed(place, EBUSY, ID1 " " ID2);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec <= 2);
	(void)sqlite3_close(holder);
	assert_listed(place, 0, ID1 " " ID2);
}

static void test_a_registry_that_cannot_be_written_is_replaced_by_the_directories(void **state)
{
	struct place *place = *state;

	keep(place, ID1, "w1");
	assert_int_equal(mkdir(place->database, 0700), 0);
	{
		owned_kept_list list = { 0 };
		struct error note;

		assert_int_equal(registry_list(place->state_fd, &list, &note, NULL), 0);
		assert_int_not_equal(note.number, 0);
		assert_int_equal(list.count, 1);
	}
	assert_int_equal(rmdir(place->database), 0);
	/* And a symlink is not followed. */
	assert_int_equal(symlink("/tmp/sbx-must-not-be-made", place->database), 0);
	{
		owned_kept_list list = { 0 };
		struct error note;

		assert_int_equal(registry_list(place->state_fd, &list, &note, NULL), 0);
		assert_int_equal(list.count, 1);
		assert_int_equal(access("/tmp/sbx-must-not-be-made", F_OK), -1);
	}
}

/* finding 19: the WAL of the SQLite that is linked may be one that loses its reset. */
static void test_the_journal_is_never_a_wal(void **state)
{
	struct place *place = *state;

	keep_and_add(place, ID1, "w1");
	assert_answer(place, "PRAGMA journal_mode", "delete"); /* of a new connection: the file is not in WAL mode */
	assert_false(is_there(place, REGISTRY_FILE "-wal"));
}

static void test_sixteen_keep_and_remove_and_damage_at_once(void **state)
{
	enum { CROWD = 16, ROUNDS = 6 };
	struct place *place = *state;
	owned_kept_list directories = { 0 };
	owned_buffer want = { 0 };
	pid_t pids[CROWD];

	for (int i = 0; i < CROWD; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		for (int j = 0; j < ROUNDS; j++) {
			owned_text id = text_format("00000%02d%03d", i, j);
			owned_kept_worker worker = make_worker(id, "w");
			owned_kept_list list = { 0 };
			struct error note;

			keep(place, id, "w");
			registry_add_kept(place->state_fd, &worker, &note);
			if (i == 0)
				damage(place);
			if (j % 2 && kept_remove(place->state_fd, id, NULL) == 0)
				registry_remove(place->state_fd, id, &note);
			if (registry_list(place->state_fd, &list, &note, NULL) < 0)
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < CROWD; i++) {
		int status = 0;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(kept_list_directories(place->state_fd, &directories, NULL, NULL), 0);
	assert_int_equal(directories.count, CROWD * ROUNDS / 2);
	for (size_t i = 0; i < directories.count; i++)
		text_buffer_format(&want, "%s%s", i ? " " : "", directories.items[i].row.id);
	assert_listed(place, 0, want.bytes);
	assert_answer(place, "PRAGMA integrity_check", "ok");
}

/* -- which worker is meant ----------------------------------------------------------------------------------------- */

static int resolve(const struct place *place, const char *word, unsigned scope, struct resolved_worker *resolved,
		   struct error *error)
{
	return resolve_worker(&place->paths, word, scope, resolved, error);
}

static void hold(const struct place *place, const char *name, struct lock *lock)
{
	owned_row row = { .name = text_duplicate(name) };

	assert_int_equal(lock_create(place->runtime_fd, &row, lock, NULL), 0);
}

static void test_a_worker_is_found_by_name_id_and_prefix(void **state)
{
	static const char *const words[] = { "w1", ID1, "000000000" };
	struct place *place = *state;
	struct error error = { 0 };

	keep(place, ID1, "w1");
	keep(place, "1111111111", "w2");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		owned_resolved resolved = { .runtime_fd = -1, .state_fd = -1 };

		assert_int_equal(resolve(place, words[i], RESOLVE_LIVE | RESOLVE_KEPT, &resolved, &error), 0);
		assert_false(resolved.is_live);
		assert_string_equal(resolved.worker.row.id, ID1);
		assert_true(resolved.state_fd >= 0);
		assert_int_equal(resolved.runtime_fd, -1);
	}
	/* Two characters are no prefix. */
	assert_int_equal(resolve(place, "00", RESOLVE_KEPT, &(struct resolved_worker){ 0 }, &error), -ENOENT);
	assert_int_equal(resolve(place, "w1", RESOLVE_LIVE, &(struct resolved_worker){ 0 }, &error), -ENOENT);
}

static void test_a_live_worker_goes_before_a_kept_one(void **state)
{
	struct place *place = *state;
	owned_resolved live = { .runtime_fd = -1, .state_fd = -1 };
	owned_resolved kept = { .runtime_fd = -1, .state_fd = -1 };
	struct lock lock = { .fd = -1 };
	struct error error = { 0 };

	keep(place, ID1, "w1");
	hold(place, "w1", &lock);
	assert_int_equal(resolve(place, "w1", RESOLVE_LIVE | RESOLVE_KEPT, &live, &error), 0);
	assert_true(live.is_live);
	assert_int_equal(live.worker.row.sbx_pid, getpid());
	assert_true(live.runtime_fd >= 0);
	assert_int_equal(resolve(place, "w1", RESOLVE_KEPT, &kept, &error), 0);
	assert_false(kept.is_live);
	/* A dead one's lock file is no worker. */
	lock_close(&lock);
	assert_int_equal(resolve(place, "w1", RESOLVE_LIVE, &(struct resolved_worker){ 0 }, &error), -ENOENT);
}

static void test_several_of_one_name_are_listed_in_the_error(void **state)
{
	struct place *place = *state;
	struct error error = { 0 };

	keep(place, ID1, "w1");
	keep(place, ID2, "w1");
	assert_int_equal(resolve(place, "w1", RESOLVE_KEPT, &(struct resolved_worker){ 0 }, &error), -EEXIST);
	assert_non_null(strstr(error.cause, "2 workers"));
	assert_non_null(strstr(error.cause, ID1));
	assert_non_null(strstr(error.cause, ID2));
	assert_int_equal(resolve(place, "000", RESOLVE_KEPT, &(struct resolved_worker){ 0 }, &error), -EEXIST);
}

static void test_a_kept_one_is_not_called_unknown_where_a_live_one_is_wanted(void **state)
{
	struct place *place = *state;
	struct error error = { 0 };

	keep(place, ID1, "red");
	assert_int_equal(resolve(place, "red", RESOLVE_LIVE, &(struct resolved_worker){ 0 }, &error), -ENOENT);
	assert_string_equal(error.cause, "it has ended, and was kept");
	assert_non_null(strstr(error.remedy, "sbx open red"));
	assert_int_equal(resolve(place, "blue", RESOLVE_LIVE, &(struct resolved_worker){ 0 }, &error), -ENOENT);
	assert_string_equal(error.cause, "there is no worker");
}

static void test_none_offers_the_nearest_name(void **state)
{
	struct place *place = *state;
	struct error error = { 0 };

	assert_int_equal(resolve(place, "x", RESOLVE_KEPT, &(struct resolved_worker){ 0 }, &error), -ENOENT);
	assert_string_equal(error.cause, "there is no worker");
	keep(place, ID1, "frontend");
	assert_int_equal(resolve(place, "fronted", RESOLVE_KEPT, &(struct resolved_worker){ 0 }, &error), -ENOENT);
	assert_non_null(strstr(error.remedy, "frontend"));
	assert_int_equal(resolve(place, "zz\033\xff", RESOLVE_KEPT, &(struct resolved_worker){ 0 }, &error), -ENOENT);
	assert_null(strstr(error.remedy, "frontend"));
}

static void test_a_thousand_kept_workers_are_listed_in_milliseconds(void **state)
{
	enum { WORKERS = 1000 };
	struct place *place = *state;
	struct timespec start;
	double times[3];

	for (int i = 0; i < WORKERS; i++) {
		owned_text path = text_format("kept/%010d", i);
		owned_text file = text_format("%s/worker.json", path);
		owned_text text = text_format(
			"{\"worker\":{\"id\":\"%010d\",\"name\":\"w%d\",\"tree\":\"/t\"},\"end\":{}}", i, i);
		owned_fd fd = -1;

		(void)mkdirat(place->state_fd, "kept", 0700);
		assert_int_equal(mkdirat(place->state_fd, path, 0700), 0);
		fd = openat(place->state_fd, file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	}
	for (int i = 0; i < 3; i++) {
		owned_kept_list list = { 0 };
		struct timespec end;

		(void)clock_gettime(CLOCK_MONOTONIC, &start);
		if (i < 2)
			assert_int_equal(registry_list(place->state_fd, &list, NULL, NULL), 0);
		else
			assert_int_equal(kept_list_directories(place->state_fd, &list, NULL, NULL), 0);
		(void)clock_gettime(CLOCK_MONOTONIC, &end);
		times[i] = (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
		assert_int_equal(list.count, WORKERS);
	}
	print_message("1,000 kept workers: rebuilt in %.1f ms, listed in %.1f ms, from the directories in %.1f ms\n",
		      times[0], times[1], times[2]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_kept_worker_comes_back_whole),
		TEST(test_a_draft_that_is_not_committed_leaves_nothing),
		TEST(test_the_draft_of_a_killed_sbx_is_collected_and_a_living_ones_is_not),
		TEST(test_an_id_is_kept_once),
		TEST(test_a_kept_worker_that_is_entered_cannot_be_removed_or_entered),
		TEST(test_a_damaged_worker_is_left_out_and_counted),
		TEST(test_listing_nothing_makes_nothing),
		TEST(test_rows_come_and_go),
		TEST(test_a_row_holds_all_that_the_directory_holds),
		TEST(test_what_happened_without_the_registry_is_found),
		TEST(test_a_deleted_registry_is_made_again),
		TEST(test_a_damaged_registry_is_set_aside_and_made_again),
		TEST(test_damage_behind_the_header_is_found),
		TEST(test_a_row_that_is_no_row_is_damage),
		TEST(test_a_journal_left_behind_never_enters_the_new_registry),
		TEST(test_an_empty_file_becomes_the_registry),
		TEST(test_a_newer_registry_is_left_alone),
		TEST(test_a_locked_registry_does_not_hold_a_listing_up),
		TEST(test_a_registry_that_cannot_be_written_is_replaced_by_the_directories),
		TEST(test_the_journal_is_never_a_wal),
		TEST(test_sixteen_keep_and_remove_and_damage_at_once),
		TEST(test_a_worker_is_found_by_name_id_and_prefix),
		TEST(test_a_live_worker_goes_before_a_kept_one),
		TEST(test_several_of_one_name_are_listed_in_the_error),
		TEST(test_a_kept_one_is_not_called_unknown_where_a_live_one_is_wanted),
		TEST(test_none_offers_the_nearest_name),
		TEST(test_a_thousand_kept_workers_are_listed_in_milliseconds),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
