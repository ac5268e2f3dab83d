/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/reset_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#define STEP_RESTORE "put back the rows of"

enum {
	WAL_INDEX_BYTES = 32 << 10, /* of its first piece, https://sqlite.org/walformat.html */
	PAUSE_US = 300,
};

/* ---- marks ---- */

static int64_t nanoseconds(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* What the file system says. */
static int look(int directory_fd, const char *name, struct reset_rows_mark *ret_mark)
{
	owned_text wal = text_format("%s-wal", name);
	struct stat status;

	memset(ret_mark, 0, sizeof(*ret_mark)); /* they are compared byte for byte */
	if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	ret_mark->inode = status.st_ino;
	ret_mark->bytes = (uint64_t)status.st_size;
	ret_mark->changed_ns = nanoseconds(&status.st_ctim);
	if (fstatat(directory_fd, wal, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_size > 0) {
		ret_mark->wal_inode = status.st_ino;
		ret_mark->wal_bytes = (uint64_t)status.st_size;
	}
	return 0;
}

static void read_bytes(int directory_fd, const char *name, void *bytes, size_t size)
{
	owned_fd fd = path_open(directory_fd, name, O_RDONLY | O_NONBLOCK, 0, PATH_BENEATH);

	if (fd < 0 || pread(fd, bytes, size, 0) != (ssize_t)size)
		memset(bytes, 0, size);
}

int reset_rows_read_mark(int directory_fd, const char *name, struct reset_rows_mark *ret_mark)
{
	struct reset_rows_mark mark;
	int result = look(directory_fd, name, &mark);

	if (result < 0)
		return result;
	read_bytes(directory_fd, name, mark.header, sizeof(mark.header));
	if (mark.wal_bytes > 0) {
		owned_text index = text_format("%s-shm", name);

		read_bytes(directory_fd, index, mark.wal_index, sizeof(mark.wal_index));
	}
	*ret_mark = mark;
	return 0;
}

/* ---- restoring ---- */

struct restoring {
	const struct reset_rows_request *request;
	sqlite3 *source;
	sqlite3 *target;
	bool is_wal;
	uint64_t deadline_ms;
};

static void restoring_release(struct restoring *restoring)
{
	sqlite_close(&restoring->source);
	sqlite_close(&restoring->target);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool is_busy(int code)
{
	return (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED;
}

static bool may_wait(const struct restoring *restoring)
{
	const struct timespec pause = { .tv_nsec = PAUSE_US * 1000 };

	if (now_ms() >= restoring->deadline_ms)
		return false;
	(void)nanosleep(&pause, NULL);
	return true;
}

static int fail(sqlite3 *database, int code, const char *path, struct error *error)
{
	if (is_busy(code))
		return error_set(error, .number = EBUSY, .step = STEP_RESTORE, .object = path,
				 .cause = "a program keeps it locked: a transaction that does not end",
				 .remedy = "let it end, or take a new world: --restart");
	return sqlite_fail(database, code, STEP_RESTORE, path, error);
}

/* The mode in which the file is, without changing it. */
static int read_mode(sqlite3 *database, bool *ret_is_wal)
{
	owned_statement statement = NULL;
	int code = sqlite3_prepare_v2(database, "PRAGMA journal_mode", -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code != SQLITE_ROW)
		return code;
	*ret_is_wal = text_equal((const char *)sqlite3_column_text(statement, 0), "wal");
	return SQLITE_OK;
}

static int open_both(struct restoring *restoring, bool is_new, struct error *error)
{
	const struct reset_rows_request *request = restoring->request;
	int code = sqlite_open(request->source_fd, request->source_name, request->source_rule, &restoring->source);

	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(restoring->source, RESET_ROWS_BUSY_MS);
	if (code != SQLITE_OK) {
		(void)fail(restoring->source, code, request->path, error);
		return error_context(error, "the database that it started with");
	}
	code = sqlite_open(request->target_fd, request->target_name, is_new ? SQLITE_RULE_CREATE : SQLITE_RULE_WRITE,
			   &restoring->target);
	/* The world does not outlive a crash. */
	if (code == SQLITE_OK)
		code = sqlite_run(restoring->target, "PRAGMA synchronous=OFF; PRAGMA cache_size=-65536");
	while (code == SQLITE_OK && is_busy(code = read_mode(restoring->target, &restoring->is_wal)) &&
	       may_wait(restoring))
		code = SQLITE_OK;
	/* In WAL mode the same would leave that mode. */
	if (code == SQLITE_OK && !restoring->is_wal)
		code = sqlite_run(restoring->target, "PRAGMA journal_mode=MEMORY");
	return code == SQLITE_OK ? 0 : fail(restoring->target, code, request->path, error);
}

static int copy_pages(struct restoring *restoring, uint64_t *ret_pages, struct error *error)
{
	sqlite3_backup *backup = sqlite3_backup_init(restoring->target, "main", restoring->source, "main");
	int code = SQLITE_OK;

	if (!backup)
		return fail(restoring->target, sqlite3_errcode(restoring->target), restoring->request->path, error);
	do
		code = sqlite3_backup_step(backup, -1);
	while (is_busy(code) && may_wait(restoring));
	*ret_pages = (uint64_t)sqlite3_backup_pagecount(backup);
	if (code == SQLITE_DONE)
		code = SQLITE_OK;
	if (sqlite3_backup_finish(backup) != SQLITE_OK && code == SQLITE_OK)
		code = sqlite3_errcode(restoring->target);
	if (code == SQLITE_READONLY && restoring->is_wal)
		return error_set(error, .number = ENOTSUP, .step = STEP_RESTORE, .object = restoring->request->path,
				 .cause = "its page size was changed, and in WAL mode it cannot be changed back",
				 .remedy = "a new world is as it was: --restart");
	return code == SQLITE_OK ? 0 : fail(restoring->target, code, restoring->request->path, error);
}

/* The mark as this connection sees it: no second descriptor of these files may be opened here, base/sqlite.h. */
static bool read_open_mark(struct restoring *restoring, struct reset_rows_mark *ret_mark)
{
	const struct reset_rows_request *request = restoring->request;
	sqlite3_file *file = NULL;
	void volatile *index = NULL;

	if (look(request->target_fd, request->target_name, ret_mark) < 0 ||
	    sqlite3_file_control(restoring->target, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || !file ||
	    !file->pMethods || file->pMethods->xRead(file, ret_mark->header, sizeof(ret_mark->header), 0) != SQLITE_OK)
		return false;
	if (ret_mark->wal_bytes == 0)
		return true;
	if (file->pMethods->iVersion < 2 || file->pMethods->xShmMap(file, 0, WAL_INDEX_BYTES, 0, &index) != SQLITE_OK ||
	    !index)
		return false;
	for (size_t i = 0; i < sizeof(ret_mark->wal_index); i++)
		ret_mark->wal_index[i] = ((const uint8_t volatile *)index)[i];
	return true;
}

/* SQLite's number of what others have committed; not changed by what this connection does. */
static int64_t read_version(const struct restoring *restoring)
{
	int64_t version = -1;

	return sqlite_number(restoring->target, "PRAGMA data_version", &version) == SQLITE_ROW ? version : -1;
}

/* Of one that is gone: with another database they would be that one's. */
static int remove_sidecars(const struct reset_rows_request *request, struct error *error)
{
	static const char *const suffixes[] = { "-journal", "-wal", "-shm" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		owned_text name = text_format("%s%s", request->target_name, suffixes[i]);

		if (unlinkat(request->target_fd, name, 0) < 0 && errno != ENOENT)
			return error_set(error, .number = errno, .step = STEP_RESTORE, .object = request->path);
	}
	return 0;
}

int reset_rows(const struct reset_rows_request *request, struct reset_rows_result *ret_result, struct error *error)
{
	__attribute__((cleanup(restoring_release))) struct restoring restoring = { .request = request };
	struct reset_rows_result restored = { 0 };
	struct stat status;
	int64_t page_size = 0;
	int64_t version;
	uint64_t pages = 0;
	bool is_source_wal = false;
	int result;

	restoring.deadline_ms = now_ms() + (request->busy_timeout_ms ? request->busy_timeout_ms : RESET_ROWS_BUSY_MS);
	restored.was_made = fstatat(request->target_fd, request->target_name, &status, AT_SYMLINK_NOFOLLOW) < 0;
	result = restored.was_made ? remove_sidecars(request, error) : 0;
	if (result == 0)
		result = open_both(&restoring, restored.was_made, error);
	if (result < 0)
		return result;
	version = read_version(&restoring);
	result = copy_pages(&restoring, &pages, error);
	if (result < 0)
		return result;
	(void)sqlite_number(restoring.target, "PRAGMA page_size", &page_size);
	restored.bytes = pages * (uint64_t)page_size;
	/* All that follows may find others at work, and then stays as it is. */
	if (restoring.is_wal) {
		(void)sqlite_run(restoring.target, "PRAGMA wal_checkpoint(TRUNCATE)");
		if (read_mode(restoring.source, &is_source_wal) == SQLITE_OK && !is_source_wal)
			restored.stays_wal = sqlite_run(restoring.target, "PRAGMA journal_mode=DELETE") != SQLITE_OK;
	}
	restored.has_mark =
		version >= 0 && read_open_mark(&restoring, &restored.mark) && read_version(&restoring) == version;
	*ret_result = restored;
	return 0;
}
