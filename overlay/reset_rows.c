/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/reset_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "overlay/database.h"

#define STEP_RESTORE "put back the rows of"

enum {
	WAL_INDEX_BYTES = 32 << 10, /* of its first piece, https://sqlite.org/walformat.html */
	PAUSE_US = 300,
	PIECE = 256 << 10, /* as both are read; a multiple of each page size */
};

/* ---- marks ---- */

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
	ret_mark->changed_ns = clock_to_ns(&status.st_ctim);
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

bool reset_rows_is_same_mark(const struct reset_rows_mark *one, const struct reset_rows_mark *other)
{
	return one->inode == other->inode && one->bytes == other->bytes && one->changed_ns == other->changed_ns &&
	       one->wal_inode == other->wal_inode && one->wal_bytes == other->wal_bytes &&
	       memcmp(one->header, other->header, sizeof(one->header)) == 0 &&
	       memcmp(one->wal_index, other->wal_index, sizeof(one->wal_index)) == 0;
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
	bool is_source_wal;
	uint64_t deadline_ms;
};

static void restoring_release(struct restoring *restoring)
{
	sqlite_close(&restoring->source);
	sqlite_close(&restoring->target);
}

static bool is_busy(int code)
{
	return (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED;
}

static bool may_wait(const struct restoring *restoring)
{
	const struct timespec pause = { .tv_nsec = PAUSE_US * 1000L };

	if (clock_ms() >= restoring->deadline_ms)
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

/* By its header: what is read as it lies there is said to have no journal at all. */
static int read_source_mode(struct restoring *restoring)
{
	uint8_t header[20] = { 0 };
	sqlite3_file *file = NULL;
	int code = sqlite3_file_control(restoring->source, "main", SQLITE_FCNTL_FILE_POINTER, &file);

	if (code == SQLITE_OK && file && file->pMethods)
		(void)file->pMethods->xRead(file, header, sizeof(header), 0); /* an empty one is in rollback mode */
	restoring->is_source_wal = header[19] == 2;
	return code;
}

static int open_both(struct restoring *restoring, bool is_new, struct error *error)
{
	const struct reset_rows_request *request = restoring->request;
	int code = sqlite_open(request->source_fd, request->source_name, request->source_rule, &restoring->source);

	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(restoring->source, RESET_ROWS_BUSY_MS);
	if (code == SQLITE_OK)
		code = read_source_mode(restoring);
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

static int copy_all(struct restoring *restoring, struct reset_rows_result *result, struct error *error)
{
	int64_t version = read_version(restoring);
	int64_t page_size = 0;
	uint64_t pages = 0;
	/* In WAL mode the same would leave that mode. */
	int code = restoring->is_wal ? SQLITE_OK : sqlite_run(restoring->target, "PRAGMA journal_mode=MEMORY");
	int status = code == SQLITE_OK ? copy_pages(restoring, &pages, error)
				       : fail(restoring->target, code, restoring->request->path, error);

	if (status < 0)
		return status;
	(void)sqlite_number(restoring->target, "PRAGMA page_size", &page_size);
	result->bytes = pages * (uint64_t)page_size;
	/* All that follows may find others at work, and then stays as it is. */
	if (restoring->is_wal)
		(void)sqlite_run(restoring->target, "PRAGMA wal_checkpoint(TRUNCATE)");
	if (restoring->is_wal && !restoring->is_source_wal)
		result->stays_wal = sqlite_run(restoring->target, "PRAGMA journal_mode=DELETE") != SQLITE_OK;
	result->has_mark =
		version >= 0 && read_open_mark(restoring, &result->mark) && read_version(restoring) == version;
	return 0;
}

/* Of one that is gone: with another database they would be that one's. */
static int remove_sidecars(const struct reset_rows_request *request, struct error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(database_sidecars); i++) {
		owned_text name = text_format("%s%s", request->target_name, database_sidecars[i]);

		if (unlinkat(request->target_fd, name, 0) < 0 && errno != ENOENT)
			return error_set(error, .number = errno, .step = STEP_RESTORE, .object = request->path);
	}
	return 0;
}

/* ---- the pages that differ ---- */

enum {
	JOURNAL_SECTOR = 512,	/* its header is padded to that */
	JOURNAL_MAX = 64 << 20, /* beyond, the backup API is as fast, and needs less memory */
	CHANGE_COUNTER = 24,	/* offsets in the header of the database, fileformat2.html 1.3 */
	SCHEMA_COOKIE = 40,
	VERSION_VALID_FOR = 92,
};

static const uint8_t journal_magic[8] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put32(uint8_t *bytes, uint32_t number)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(number >> (24 - 8 * i));
}

struct side {
	sqlite3_file *file;
	sqlite3_int64 bytes;
	uint8_t *piece;
	uint8_t header[100];
};

struct patching {
	struct side live;
	struct side start;
	uint32_t page_size;
	struct text_buffer journal; /* its records */
	uint32_t records;
};

static void patching_release(struct patching *patching)
{
	free(patching->live.piece);
	free(patching->start.piece);
	text_buffer_release(&patching->journal);
}

static bool open_side(sqlite3 *database, struct side *side)
{
	return sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &side->file) == SQLITE_OK &&
	       side->file && side->file->pMethods &&
	       side->file->pMethods->xFileSize(side->file, &side->bytes) == SQLITE_OK && side->bytes >= 512 &&
	       side->file->pMethods->xRead(side->file, side->header, sizeof(side->header), 0) == SQLITE_OK;
}

/* Whether they can differ in rows only: page size, reserved bytes, rollback mode, text encoding, vacuum mode. */
static bool are_alike(const struct patching *patching)
{
	const uint8_t *live = patching->live.header;
	const uint8_t *start = patching->start.header;

	return memcmp(live, start, 23) == 0 && live[18] == 1 && live[19] == 1 &&
	       memcmp(live + 52, start + 52, 8) == 0 && patching->live.bytes % patching->page_size == 0 &&
	       patching->start.bytes % patching->page_size == 0;
}

static void add_record(struct patching *patching, uint32_t number, const uint8_t *page, uint32_t nonce)
{
	uint8_t word[4];
	uint32_t sum = nonce;

	for (int64_t at = (int64_t)patching->page_size - 200; at > 0; at -= 200)
		sum += page[at];
	put32(word, number);
	text_buffer_add(&patching->journal, word, sizeof(word));
	text_buffer_add(&patching->journal, page, patching->page_size);
	put32(word, sum);
	text_buffer_add(&patching->journal, word, sizeof(word));
	patching->records++;
}

/* The start's first page, but that nobody's cache of another state may be taken for one of this. A schema that changed
 * has another number; numbers only grow, so that equal ones mean the same schema. */
static void renumber(uint8_t *page, const uint8_t *live)
{
	uint32_t counter = get32(live + CHANGE_COUNTER) + 1;

	put32(page + CHANGE_COUNTER, counter);
	put32(page + VERSION_VALID_FOR, counter);
	if (get32(page + SCHEMA_COOKIE) != get32(live + SCHEMA_COOKIE))
		put32(page + SCHEMA_COOKIE, get32(live + SCHEMA_COOKIE) + 1);
}

static bool is_first_page_same(const uint8_t *live, const uint8_t *start, uint32_t page_size)
{
	return memcmp(live, start, CHANGE_COUNTER) == 0 &&
	       memcmp(live + CHANGE_COUNTER + 4, start + CHANGE_COUNTER + 4, SCHEMA_COOKIE - CHANGE_COUNTER - 4) == 0 &&
	       memcmp(live + SCHEMA_COOKIE + 4, start + SCHEMA_COOKIE + 4, VERSION_VALID_FOR - SCHEMA_COOKIE - 4) ==
		       0 &&
	       memcmp(live + 100, start + 100, page_size - 100) == 0;
}

static int read_piece(const struct side *side, sqlite3_int64 at, int size)
{
	int code = side->file->pMethods->xRead(side->file, side->piece, size, at);

	return code == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : code; /* filled up with zeros */
}

/* @return SQLITE_OK, SQLITE_TOOBIG or another code */
static int compare_pages(struct patching *patching, uint32_t nonce)
{
	const uint32_t size = patching->page_size;
	bool is_first_same = true;

	for (sqlite3_int64 at = 0; at < patching->start.bytes; at += PIECE) {
		int bytes = (int)MIN((sqlite3_int64)PIECE, patching->start.bytes - at);
		int code = read_piece(&patching->start, at, bytes);

		if (code == SQLITE_OK)
			code = read_piece(&patching->live, at, bytes);
		if (code != SQLITE_OK)
			return code;
		for (int i = 0; i < bytes; i += (int)size) {
			const uint8_t *page = patching->start.piece + i;
			bool is_new = at + i >= patching->live.bytes;

			if (at + i == 0)
				is_first_same = is_first_page_same(patching->live.piece, page, size);
			else if (is_new || memcmp(page, patching->live.piece + i, size) != 0)
				add_record(patching, (uint32_t)((at + i) / size) + 1, page, nonce);
		}
		if (patching->journal.length > JOURNAL_MAX)
			return SQLITE_TOOBIG;
	}
	if (patching->records > 0 || !is_first_same || patching->live.bytes != patching->start.bytes) {
		int code = read_piece(&patching->start, 0, (int)size);

		if (code != SQLITE_OK)
			return code;
		renumber(patching->start.piece, patching->live.header);
		add_record(patching, 1, patching->start.piece, nonce);
	}
	return SQLITE_OK;
}

/* The header last: without it the file is no journal. One that is there is another connection's, which it keeps
 * open. */
static int write_journal(const struct restoring *restoring, const struct patching *patching, uint32_t nonce)
{
	const struct reset_rows_request *request = restoring->request;
	owned_text name = text_format("%s-journal", request->target_name);
	uint8_t header[JOURNAL_SECTOR] = { 0 };
	owned_fd fd = path_open(request->target_fd, name, O_RDWR | O_CREAT, 0600, PATH_BENEATH);
	size_t done = 0;

	if (fd < 0)
		return fd;
	while (done < patching->journal.length) {
		ssize_t written = pwrite(fd, patching->journal.bytes + done, patching->journal.length - done,
					 (off_t)(JOURNAL_SECTOR + done));

		if (written <= 0) {
			int result = written < 0 ? -errno : -ENOSPC;

			if (ftruncate(fd, 0) == 0)
				(void)unlinkat(request->target_fd, name, 0);
			return result;
		}
		done += (size_t)written;
	}
	memcpy(header, journal_magic, sizeof(journal_magic));
	put32(header + 8, patching->records);
	put32(header + 12, nonce);
	put32(header + 16, (uint32_t)(patching->start.bytes / patching->page_size));
	put32(header + 20, JOURNAL_SECTOR);
	put32(header + 24, patching->page_size);
	if (pwrite(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header))
		return 0;
	return ftruncate(fd, 0) < 0 ? -errno : -ENOSPC;
}

static int run_patiently(const struct restoring *restoring, const char *sql)
{
	int code;

	do
		code = sqlite_run(restoring->target, sql);
	while (is_busy(code) && may_wait(restoring));
	return code;
}

/* @return 1 they are put back, 0 that is not the way for these two, or -errno */
static int patch_pages(struct restoring *restoring, struct reset_rows_result *result, struct error *error)
{
	__attribute__((cleanup(patching_release))) struct patching patching = { 0 };
	const char *path = restoring->request->path;
	struct timespec now;
	uint32_t nonce;
	int64_t ignored;
	int written;
	int code;

	if (restoring->is_wal || restoring->is_source_wal || restoring->request->source_rule != SQLITE_RULE_AT_REST)
		return 0;
	code = run_patiently(restoring, "BEGIN EXCLUSIVE");
	if (code != SQLITE_OK)
		return is_busy(code) ? fail(restoring->target, code, path, error) : 0;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	nonce = (uint32_t)now.tv_nsec;
	patching.live.piece = malloc(PIECE);
	patching.start.piece = malloc(PIECE);
	if (!patching.live.piece || !patching.start.piece)
		abort();
	code = SQLITE_TOOBIG;
	if (open_side(restoring->target, &patching.live) && open_side(restoring->source, &patching.start)) {
		patching.page_size = (uint32_t)(patching.start.header[16] << 8 | patching.start.header[17]);
		patching.page_size = patching.page_size == 1 ? 65536 : patching.page_size;
		if (patching.page_size >= 512 && are_alike(&patching))
			code = compare_pages(&patching, nonce);
	}
	written = code == SQLITE_OK && patching.records > 0 ? write_journal(restoring, &patching, nonce) : 0;
	(void)sqlite_run(restoring->target, "ROLLBACK");
	if (code != SQLITE_OK)
		return 0;
	if (written < 0)
		return error_set(error, .number = -written, .step = STEP_RESTORE, .object = path,
				 .cause = written == -ENOSPC ? "no space is left" : NULL);
	/* From here on they are the start's: should it be busy, whoever has it reads them. */
	do
		code = sqlite_number(restoring->target, "PRAGMA schema_version", &ignored);
	while (is_busy(code) && may_wait(restoring));
	if (code != SQLITE_ROW)
		return fail(restoring->target, code, path, error);
	result->bytes = (uint64_t)patching.records * patching.page_size;
	result->has_mark = read_open_mark(restoring, &result->mark) &&
			   get32(result->mark.header + CHANGE_COUNTER) ==
				   get32(patching.live.header + CHANGE_COUNTER) + (patching.records > 0);
	return 1;
}

/* ---- all of it ---- */

int reset_rows(const struct reset_rows_request *request, struct reset_rows_result *ret_result, struct error *error)
{
	__attribute__((cleanup(restoring_release))) struct restoring restoring = { .request = request };
	struct reset_rows_result restored = { 0 };
	struct stat status;
	int result;

	restoring.deadline_ms = clock_ms() + (request->busy_timeout_ms ? request->busy_timeout_ms : RESET_ROWS_BUSY_MS);
	restored.was_made = fstatat(request->target_fd, request->target_name, &status, AT_SYMLINK_NOFOLLOW) < 0;
	result = restored.was_made ? remove_sidecars(request, error) : 0;
	if (result == 0)
		result = open_both(&restoring, restored.was_made, error);
	if (result < 0)
		return result;
	result = restored.was_made ? 0 : patch_pages(&restoring, &restored, error);
	if (result == 0)
		result = copy_all(&restoring, &restored, error);
	if (result < 0)
		return result;
	*ret_result = restored;
	return 0;
}
