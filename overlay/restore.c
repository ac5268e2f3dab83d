/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/sqlite.h"
#include "base/text.h"
#include "overlay/database.h"

#define STEP_RESTORE "put the rows back into"

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One that a program has removed is made anew. */
static int locate(const struct restore_request *request, int *ret_directory, char **ret_name,
		  enum sqlite_rule *ret_rule, struct error *error)
{
	owned_text parent = path_parent(request->path);
	int result = database_locate(request->path, STEP_RESTORE, ret_directory, ret_name, error);

	*ret_rule = SQLITE_RULE_WRITE;
	if (result != -ENOENT)
		return result;
	*ret_directory = path_open(AT_FDCWD, parent, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);
	if (*ret_directory < 0)
		return result;
	*error = (struct error){ 0 };
	*ret_name = text_duplicate(path_name(request->path));
	*ret_rule = SQLITE_RULE_CREATE;
	return 0;
}

/* The backup API asks no busy handler for the lock on its target. Short pauses: a program's transactions are. */
static int step(sqlite3_backup *backup, uint64_t deadline_ms)
{
	static const struct timespec moment = { .tv_nsec = 500000 };
	int code;

	do {
		code = sqlite3_backup_step(backup, -1);
		if ((code & 0xff) != SQLITE_BUSY && (code & 0xff) != SQLITE_LOCKED)
			return code;
		(void)nanosleep(&moment, NULL);
	} while (now_ms() < deadline_ms);
	return code;
}

static int fail(sqlite3 *database, int code, const char *path, struct error *error)
{
	if ((code & 0xff) == SQLITE_READONLY)
		return error_set(error, .number = EXDEV, .step = STEP_RESTORE, .object = path,
				 .cause = "its page size was changed since, or it is read-only",
				 .remedy = "begin with a new world: sbx reset --restart");
	return sqlite_fail(database, code, STEP_RESTORE, path, error);
}

int database_restore(const struct restore_request *request, struct error *error)
{
	unsigned busy_ms = request->busy_timeout_ms ? request->busy_timeout_ms : RESTORE_BUSY_TIMEOUT_MS;
	struct error local = { 0 };
	struct error *told = error ? error : &local;
	owned_fd directory_fd = -1;
	owned_text name = NULL;
	owned_database source = NULL;
	owned_database target = NULL;
	sqlite3_backup *backup;
	enum sqlite_rule rule;
	int result = locate(request, &directory_fd, &name, &rule, told);
	int code;

	if (result < 0)
		return result;
	code = sqlite_open(request->directory_fd, request->name, SQLITE_RULE_AT_REST, &source);
	if (code != SQLITE_OK)
		return fail(source, code, request->path, told);
	code = sqlite_open(directory_fd, name, rule, &target);
	if (code == SQLITE_OK)
		code = sqlite_run(target, "PRAGMA temp_store=MEMORY");
	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(target, (int)busy_ms);
	if (code != SQLITE_OK)
		return fail(target, code, request->path, told);
	backup = sqlite3_backup_init(target, "main", source, "main");
	if (!backup)
		return fail(target, sqlite3_extended_errcode(target), request->path, told);
	code = step(backup, now_ms() + busy_ms);
	(void)sqlite3_backup_finish(backup);
	return code == SQLITE_DONE ? 0 : fail(target, code, request->path, told);
}
