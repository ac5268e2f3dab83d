/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/sqlite.h"
#include "sandbox/registry/state.h"

enum {
	APPLICATION_ID = 0x73627831, /* "sbx1" */
	SCHEMA_VERSION = 1,
	/* A writer waits; who only reads has the directories to turn to. */
	WAIT_WRITE_MS = 5000,
	WAIT_READ_MS = 500,
};

/* One entry brings the schema from its index to the next version. What a user may ask for with sqlite3 is a column of
 * its own; `row` holds all of it, as worker.json has it. */
static const char *const migrations[SCHEMA_VERSION] = {
	"CREATE TABLE kept ("
	" id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, run TEXT, tree TEXT, command TEXT,"
	" created INTEGER, ended INTEGER, exit_status INTEGER, bytes INTEGER, entries INTEGER,"
	" labels TEXT, directory TEXT, row TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX kept_name ON kept (name);",
};

struct registry {
	sqlite3 *database;
	int64_t deadline_ms; /* for waiting on locks */
};

/* Jittered, so that sixteen that were locked out at once do not come back at once. */
static int wait_for_lock(void *argument, int attempts)
{
	const struct registry *registry = argument;
	unsigned char random = 128;
	struct timespec pause;

	if ((int64_t)clock_ms() >= registry->deadline_ms)
		return 0;
	(void)!getrandom(&random, sizeof(random), GRND_INSECURE);
	pause = (struct timespec){ .tv_nsec = MIN(attempts + 1, 40) * (500000L + random * 4000L) };
	(void)nanosleep(&pause, NULL);
	return 1;
}

static void registry_close(struct registry *registry)
{
	sqlite_close(&registry->database);
}
#define owned_registry __attribute__((cleanup(registry_close))) struct registry

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Brings an empty or older database to our schema. SQLITE_SCHEMA: it is newer. SQLITE_NOTADB: not ours. */
static int migrate(sqlite3 *database)
{
	int64_t application = 0;
	int64_t version = 0;
	int64_t tables = 0;
	int code = sqlite_number(database, "PRAGMA application_id", &application);

	if (code == SQLITE_ROW)
		code = sqlite_number(database, "PRAGMA user_version", &version);
	if (code == SQLITE_ROW)
		code = sqlite_number(database, "SELECT count(*) FROM sqlite_schema", &tables);
	if (code != SQLITE_ROW)
		return code;
	if (application != APPLICATION_ID && tables > 0)
		return SQLITE_NOTADB;
	if (version > SCHEMA_VERSION)
		return SQLITE_SCHEMA;

	code = SQLITE_OK;
	for (int64_t at = version; at < SCHEMA_VERSION && code == SQLITE_OK; at++)
		code = sqlite_run(database, migrations[at]);
	if (code == SQLITE_OK && version < SCHEMA_VERSION) {
		char pragmas[96];

		(void)snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id=%d; PRAGMA user_version=%d",
			       APPLICATION_ID, SCHEMA_VERSION);
		code = sqlite_run(database, pragmas);
	}
	return code;
}

/* Opens it and begins a transaction in which it is ours. */
static int open_once(struct registry *registry, int state_fd)
{
	int code = sqlite_open(state_fd, REGISTRY_FILE, SQLITE_RULE_CREATE, &registry->database);

	if (code != SQLITE_OK)
		return code;
	(void)sqlite3_busy_handler(registry->database, wait_for_lock, registry);
	code = sqlite_run(registry->database,
			  "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE");
	if (code == SQLITE_OK)
		code = migrate(registry->database);
	return code;
}

static bool is_damage(int code)
{
	return (code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static char *list_as_json(const struct text_list *list)
{
	struct text_buffer text = { 0 };

	json_add_list(&text, NULL, list);
	return text.bytes;
}

static char *row_as_json(const struct worker_row *row)
{
	struct text_buffer text = { 0 };

	json_begin_object(&text, NULL);
	worker_row_write(row, &text);
	json_end_object(&text);
	return text.bytes;
}

static int insert(sqlite3 *database, const struct kept_worker *worker)
{
	owned_statement statement = NULL;
	const char *const texts[] = { worker->row.id, worker->row.name, worker->row.run, worker->row.tree };
	const int64_t numbers[] = { worker->row.started_ns, worker->ended_ns, worker->exit_status, worker->bytes,
				    worker->entries };
	int at = 0;
	int code = sqlite3_prepare_v2(database, "INSERT OR REPLACE INTO kept VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", -1,
				      &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		(void)sqlite3_bind_text(statement, ++at, texts[i], -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(statement, ++at, list_as_json(&worker->row.command), -1, free);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		(void)sqlite3_bind_int64(statement, ++at, numbers[i]);
	(void)sqlite3_bind_text(statement, ++at, list_as_json(&worker->row.labels), -1, free);
	(void)sqlite3_bind_text(statement, ++at, text_format("%s/%s", state_part_name(STATE_KEPT), worker->row.id), -1,
				free);
	(void)sqlite3_bind_text(statement, ++at, row_as_json(&worker->row), -1, free);
	code = sqlite3_step(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int forget(sqlite3 *database, const char *id)
{
	owned_statement statement = NULL;
	int code = sqlite3_prepare_v2(database, "DELETE FROM kept WHERE id = ?", -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	(void)sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* One step of an ordered walk over the registry's rows. SQLITE_ROW, SQLITE_DONE or an error. */
static int next_row(sqlite3_stmt *statement, struct json *json, struct kept_worker *worker)
{
	int code = sqlite3_step(statement);
	const char *row;

	if (code != SQLITE_ROW)
		return code;
	row = (const char *)sqlite3_column_text(statement, 0);
	if (!row || json_read(json, row, (size_t)sqlite3_column_bytes(statement, 0), NULL) < 0 ||
	    worker_row_read(json_root(json), &worker->row) < 0)
		return SQLITE_CORRUPT;
	worker->ended_ns = sqlite3_column_int64(statement, 1);
	worker->exit_status = sqlite3_column_int64(statement, 2);
	worker->bytes = sqlite3_column_int64(statement, 3);
	worker->entries = sqlite3_column_int64(statement, 4);
	return SQLITE_ROW;
}

static int read_rows(sqlite3 *database, struct kept_list *list)
{
	owned_statement statement = NULL;
	owned_json json = { 0 };
	int code = sqlite3_prepare_v2(database, "SELECT row, ended, exit_status, bytes, entries FROM kept ORDER BY id",
				      -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	for (;;) {
		owned_kept_worker worker = { 0 };

		code = next_row(statement, &json, &worker);
		if (code != SQLITE_ROW)
			return code == SQLITE_DONE ? SQLITE_OK : code;
		kept_list_take(list, &worker);
	}
}

/* ---- The directories are the truth ------------------------------------------------------------------------------- */

static int is_worker(const struct dirent *entry)
{
	return kept_is_worker(entry->d_name);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

struct names {
	struct dirent **items;
	int count;
};

static void names_release(struct names *names)
{
	for (int i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
}
#define owned_names __attribute__((cleanup(names_release))) struct names

/* Walks rows and directories side by side, both in order: adds what only the disk has, forgets what only the registry
 * has. */
static int reconcile(sqlite3 *database, int state_fd)
{
	owned_kept_list rows = { 0 };
	owned_names names = { 0 };
	owned_fd kept_fd = -1;
	int code = read_rows(database, &rows);
	size_t row = 0;
	int name = 0;

	if (state_open_part(state_fd, STATE_KEPT, STATE_LEAVE, &kept_fd, NULL) == 0)
		names.count = scandirat(kept_fd, ".", &names.items, is_worker, by_bytes);
	if (names.count < 0)
		return SQLITE_CANTOPEN;
	while (code == SQLITE_OK && (row < rows.count || name < names.count)) {
		owned_kept_worker worker = { 0 };
		int order = row == rows.count	  ? 1
			    : name == names.count ? -1
						  : strcmp(rows.items[row].row.id, names.items[name]->d_name);

		if (order < 0)
			code = forget(database, rows.items[row].row.id);
		else if (order > 0 && kept_read(kept_fd, names.items[name]->d_name, &worker, NULL, NULL) == 0)
			code = insert(database, &worker);
		row += order <= 0;
		name += order >= 0;
	}
	return code;
}

/* ---- What callers ask -------------------------------------------------------------------------------------------- */

struct request {
	const struct kept_worker *added; /* or */
	const char *removed;		 /* or */
	struct kept_list *listed;
};

static int answer(struct registry *registry, int state_fd, const struct request *request)
{
	int code = reconcile(registry->database, state_fd);

	if (code == SQLITE_OK && request->added)
		code = insert(registry->database, request->added);
	if (code == SQLITE_OK && request->removed)
		code = forget(registry->database, request->removed);
	if (code == SQLITE_OK && request->listed)
		code = read_rows(registry->database, request->listed);
	return code == SQLITE_OK ? sqlite_run(registry->database, "COMMIT") : code;
}

/* Moves a damaged registry out of the way. One at a time: a second one would move away what the first has made anew, so
 * it looks again under the lock. The journal goes first: beside a new database it would be taken for that one's own and
 * rolled back into it. */
static void set_aside(int state_fd)
{
	static const char *const suffixes[] = { "-journal", "-wal", "-shm", "" };
	owned_fd guard = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct registry again = { .deadline_ms = (int64_t)clock_ms() + WAIT_READ_MS };
	int code;

	if (guard < 0 || RETRY_EINTR(flock(guard, LOCK_EX)) < 0)
		return;
	code = open_once(&again, state_fd);
	if (code == SQLITE_OK)
		code = answer(&again, state_fd, &(struct request){ 0 });
	registry_close(&again);
	for (size_t i = 0; i < ARRAY_SIZE(suffixes) && is_damage(code); i++) {
		owned_text from = text_format(REGISTRY_FILE "%s", suffixes[i]);
		owned_text to = text_format(REGISTRY_FILE_DAMAGED "%s", suffixes[i]);

		if (renameat(state_fd, from, state_fd, to) < 0)
			(void)unlinkat(state_fd, to, 0); /* of an earlier one, which it does not fit */
	}
}

static int ask(int state_fd, int64_t wait_ms, const struct request *request, struct error *error)
{
	int code = SQLITE_OK;

	for (int attempt = 0; attempt < 2; attempt++) {
		owned_registry registry = { .deadline_ms = (int64_t)clock_ms() + wait_ms };

		code = open_once(&registry, state_fd);
		if (code == SQLITE_OK)
			code = answer(&registry, state_fd, request);
		if (code == SQLITE_OK)
			return 0;
		if (code == SQLITE_SCHEMA)
			return error_set(error, .number = EPROTONOSUPPORT, .step = "use the registry",
					 .object = REGISTRY_FILE, .cause = "a newer sbx wrote it; it is left alone");
		if (request->listed)
			kept_list_release(request->listed);
		if (!is_damage(code))
			return sqlite_fail(registry.database, code, "use the registry", REGISTRY_FILE, error);
		registry_close(&registry);
		set_aside(state_fd);
	}
	return sqlite_fail(NULL, code, "use the registry", REGISTRY_FILE, error);
}

static void clear(struct error *note)
{
	if (note)
		*note = (struct error){ 0 };
}

void registry_add_kept(int state_fd, const struct kept_worker *worker, struct error *note)
{
	clear(note);
	(void)ask(state_fd, WAIT_WRITE_MS, &(struct request){ .added = worker }, note);
}

void registry_remove(int state_fd, const char *id, struct error *note)
{
	clear(note);
	(void)ask(state_fd, WAIT_WRITE_MS, &(struct request){ .removed = id }, note);
}

int registry_list(int state_fd, struct kept_list *ret_list, struct error *note, struct error *error)
{
	owned_kept_list list = { 0 };

	clear(note);
	/* Nothing was ever kept: nothing is made for it. */
	if (faccessat(state_fd, state_part_name(STATE_KEPT), F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
		*ret_list = (struct kept_list){ 0 };
		return 0;
	}
	if (ask(state_fd, WAIT_READ_MS, &(struct request){ .listed = &list }, note) < 0)
		return kept_list_directories(state_fd, ret_list, NULL, error);
	*ret_list = list;
	list = (struct kept_list){ 0 };
	return 0;
}

int registry_rebuild(int state_fd, struct error *error)
{
	return ask(state_fd, WAIT_WRITE_MS, &(struct request){ 0 }, error);
}
