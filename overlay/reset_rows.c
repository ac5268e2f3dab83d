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
#include "overlay/wal.h"

#define STEP_RESTORE "put back the rows of"

enum {
	WAL_INDEX_BYTES = 32 << 10, /* of its first piece, https://sqlite.org/walformat.html */
	PAUSE_US = 300,
	PIECE = 256 << 10, /* as both are read; a multiple of each page size */
	MEMORY_JOURNAL_MAX = 64 << 20,
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
	uint64_t target_bytes;
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

static int run_patiently(const struct restoring *restoring, const char *sql)
{
	int code;

	do
		code = sqlite_run(restoring->target, sql);
	while (is_busy(code) && may_wait(restoring));
	return code;
}

static int fail(sqlite3 *database, int code, const char *path, struct error *error)
{
	if (is_busy(code))
		return error_set(error, .number = EBUSY, .step = STEP_RESTORE, .object = path,
				 .cause = "a program keeps it locked: a transaction that does not end",
				 .remedy = "let it end its transaction, then try again");
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
	/* The world does not outlive a crash. The first that reads, so the first that meets a lock. */
	if (code == SQLITE_OK)
		code = run_patiently(restoring, "PRAGMA synchronous=OFF; PRAGMA cache_size=-65536");
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
				 .cause = "its page size was changed, and in WAL mode it cannot be changed back");
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

/* All that is done here may find others at work, and then stays as it is. @version  before anybody else could commit;
 * < 0: somebody has */
static void settle(struct restoring *restoring, int64_t version, struct reset_rows_result *result)
{
	if (restoring->is_wal)
		(void)sqlite_run(restoring->target, "PRAGMA wal_checkpoint(TRUNCATE)");
	if (restoring->is_wal && !restoring->is_source_wal)
		result->stays_wal = sqlite_run(restoring->target, "PRAGMA journal_mode=DELETE") != SQLITE_OK;
	result->has_mark =
		version >= 0 && read_open_mark(restoring, &result->mark) && read_version(restoring) == version;
}

static int copy_all(struct restoring *restoring, struct reset_rows_result *result, struct error *error)
{
	int64_t version = read_version(restoring);
	int64_t page_size = 0;
	uint64_t pages = 0;
	/* In WAL mode the same would leave that mode. */
	bool in_memory = !restoring->is_wal && restoring->target_bytes <= MEMORY_JOURNAL_MAX;
	int code = in_memory ? sqlite_run(restoring->target, "PRAGMA journal_mode=MEMORY") : SQLITE_OK;
	int status = code == SQLITE_OK ? copy_pages(restoring, &pages, error)
				       : fail(restoring->target, code, restoring->request->path, error);

	if (status < 0)
		return status;
	(void)sqlite_number(restoring->target, "PRAGMA page_size", &page_size);
	result->bytes = pages * (uint64_t)page_size;
	settle(restoring, version, result);
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
	JOURNAL_SECTOR = 512,	  /* its header is padded to that */
	LOCK_OFFSET = 0x40000000, /* the page that holds it is never read or written, fileformat2.html 1.4 */
	FILE_VERSIONS = 18, /* offsets in the header of the database, fileformat2.html 1.3: for writing, for reading */
	CHANGE_COUNTER = 24,
	PAGE_COUNT = 28,
	SCHEMA_COOKIE = 40,
	LARGEST_ROOT = 52,
	INCREMENTAL = 64,
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
	const struct restoring *restoring;
	struct side live;
	struct side start;
	uint32_t page_size;
	uint32_t live_pages;
	uint32_t start_pages;
	uint32_t changed; /* pages that are put back */
	struct wal *wal;  /* the live one's, in WAL mode */
	/* In rollback mode: the journal that SQLite is to roll back. */
	int journal_fd; /* -1: nothing differs so far */
	uint32_t nonce;
	struct text_buffer records; /* not written yet */
	uint64_t journal_bytes;
	int journal_number; /* errno of what could not be written; 0: all could */
};

static void patching_release(struct patching *patching)
{
	free(patching->live.piece);
	free(patching->start.piece);
	text_buffer_release(&patching->records);
	fd_close(&patching->journal_fd);
	wal_close(&patching->wal);
}

/* ---- as a rollback journal ---- */

static bool write_at(struct patching *patching, const void *bytes, size_t size, uint64_t at)
{
	for (size_t done = 0; done < size && patching->journal_number == 0;) {
		ssize_t written =
			pwrite(patching->journal_fd, (const uint8_t *)bytes + done, size - done, (off_t)(at + done));

		if (written <= 0)
			patching->journal_number = written < 0 ? errno : ENOSPC;
		else
			done += (size_t)written;
	}
	return patching->journal_number == 0;
}

static void flush_records(struct patching *patching)
{
	if (write_at(patching, patching->records.bytes, patching->records.length, patching->journal_bytes))
		patching->journal_bytes += patching->records.length;
	patching->records.length = 0;
}

/* One that is there is another connection's, which it keeps open: without a header it is none. */
static void open_journal(struct patching *patching)
{
	const struct reset_rows_request *request = patching->restoring->request;
	owned_text name = text_format("%s-journal", request->target_name);

	patching->journal_fd = path_open(request->target_fd, name, O_RDWR | O_CREAT, 0600, PATH_BENEATH);
	if (patching->journal_fd < 0)
		patching->journal_number = -patching->journal_fd;
	patching->journal_bytes = JOURNAL_SECTOR;
}

static void add_record(struct patching *patching, uint32_t number, const uint8_t *page)
{
	uint8_t word[4];
	uint32_t sum = patching->nonce;

	if (patching->journal_fd < 0 && patching->journal_number == 0)
		open_journal(patching);
	for (int64_t at = (int64_t)patching->page_size - 200; at > 0; at -= 200)
		sum += page[at];
	put32(word, number);
	text_buffer_add(&patching->records, word, sizeof(word));
	text_buffer_add(&patching->records, page, patching->page_size);
	put32(word, sum);
	text_buffer_add(&patching->records, word, sizeof(word));
	if (patching->records.length >= PIECE)
		flush_records(patching);
}

static void remove_journal(struct patching *patching)
{
	const struct reset_rows_request *request = patching->restoring->request;
	owned_text name = text_format("%s-journal", request->target_name);

	if (patching->journal_fd >= 0 && ftruncate(patching->journal_fd, 0) == 0)
		(void)unlinkat(request->target_fd, name, 0);
}

/* The header last: without it the file is no journal. */
static bool end_journal(struct patching *patching)
{
	uint8_t header[JOURNAL_SECTOR] = { 0 };

	memcpy(header, journal_magic, sizeof(journal_magic));
	put32(header + 8, patching->changed);
	put32(header + 12, patching->nonce);
	put32(header + 16, patching->start_pages);
	put32(header + 20, JOURNAL_SECTOR);
	put32(header + 24, patching->page_size);
	flush_records(patching);
	return write_at(patching, header, sizeof(header), 0);
}

/* ---- which pages ---- */

static int read_at(const struct side *side, sqlite3_int64 at, int size)
{
	int code = side->file->pMethods->xRead(side->file, side->piece, size, at);

	return code == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : code; /* filled up with zeros */
}

static bool open_side(sqlite3 *database, struct side *side)
{
	side->piece = malloc(PIECE);
	if (!side->piece)
		abort();
	if (sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &side->file) != SQLITE_OK ||
	    !side->file || !side->file->pMethods ||
	    side->file->pMethods->xFileSize(side->file, &side->bytes) != SQLITE_OK || side->bytes < 512 ||
	    read_at(side, 0, sizeof(side->header)) != SQLITE_OK)
		return false;
	memcpy(side->header, side->piece, sizeof(side->header));
	return true;
}

/* What the log has of a page, over what the file has. */
static int read_log(const struct patching *patching, uint32_t number, uint8_t *page)
{
	int code = patching->wal ? wal_read_page(patching->wal, number, page) : SQLITE_NOTFOUND;

	return code == SQLITE_NOTFOUND ? SQLITE_OK : code;
}

/* @return an SQLite result code; SQLITE_NOTFOUND: their pages cannot be compared */
static int open_sides(struct patching *patching)
{
	const struct restoring *restoring = patching->restoring;
	const uint8_t *size = patching->start.header + 16;
	int code = SQLITE_OK;

	if (!open_side(restoring->target, &patching->live) || !open_side(restoring->source, &patching->start))
		return SQLITE_NOTFOUND;
	patching->page_size = (uint32_t)(size[0] << 8 | size[1]);
	patching->page_size = patching->page_size == 1 ? 65536 : patching->page_size;
	if (patching->page_size < 512 || PIECE % patching->page_size != 0 ||
	    patching->live.bytes % patching->page_size != 0 || patching->start.bytes % patching->page_size != 0)
		return SQLITE_NOTFOUND;
	patching->live_pages = (uint32_t)(patching->live.bytes / patching->page_size);
	patching->start_pages = (uint32_t)(patching->start.bytes / patching->page_size);
	if (!restoring->is_wal)
		return SQLITE_OK;
	code = wal_open(restoring->target, patching->page_size, &patching->wal);
	if (code == SQLITE_OK && read_at(&patching->live, 0, (int)patching->page_size) == SQLITE_OK)
		code = read_log(patching, 1, patching->live.piece);
	if (code != SQLITE_OK)
		return code;
	memcpy(patching->live.header, patching->live.piece, sizeof(patching->live.header));
	if (wal_page_count(patching->wal) > 0)
		patching->live_pages = wal_page_count(patching->wal);
	return SQLITE_OK;
}

static bool is_in_mode(const uint8_t *header, bool is_wal)
{
	return header[FILE_VERSIONS] == 1 + is_wal && header[FILE_VERSIONS + 1] == 1 + is_wal;
}

/* fact R5. Where it is not, SQLite changes the first page when the transaction begins, so its COMMIT writes over what
 * was committed here; and with the start's numbers made new, nobody would doubt its count any more. */
static bool has_true_count(const uint8_t *header, uint32_t pages)
{
	return get32(header + PAGE_COUNT) == pages;
}

/* Whether they differ in rows only, and maybe in one being in WAL mode: page size, reserved bytes, text encoding,
 * vacuum mode. With the full one SQLite may move pages at any commit, also of a transaction that changed nothing. */
static bool are_alike(const struct patching *patching)
{
	const uint8_t *live = patching->live.header;
	const uint8_t *start = patching->start.header;
	bool is_full_vacuum = get32(live + LARGEST_ROOT) != 0 && get32(live + INCREMENTAL) == 0;

	return memcmp(live, start, FILE_VERSIONS) == 0 && is_in_mode(live, patching->wal) &&
	       is_in_mode(start, patching->restoring->is_source_wal) &&
	       memcmp(live + FILE_VERSIONS + 2, start + FILE_VERSIONS + 2, 3) == 0 &&
	       memcmp(live + LARGEST_ROOT, start + LARGEST_ROOT, 8) == 0 &&
	       has_true_count(live, patching->live_pages) && has_true_count(start, patching->start_pages) &&
	       get32(live + INCREMENTAL) == get32(start + INCREMENTAL) && !(patching->wal && is_full_vacuum);
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
	memcpy(page + FILE_VERSIONS, live + FILE_VERSIONS, 2);
}

static bool is_first_page_same(const uint8_t *live, const uint8_t *start, uint32_t page_size)
{
	return memcmp(live, start, FILE_VERSIONS) == 0 &&
	       memcmp(live + FILE_VERSIONS + 2, start + FILE_VERSIONS + 2, CHANGE_COUNTER - FILE_VERSIONS - 2) == 0 &&
	       memcmp(live + CHANGE_COUNTER + 4, start + CHANGE_COUNTER + 4, SCHEMA_COOKIE - CHANGE_COUNTER - 4) == 0 &&
	       memcmp(live + SCHEMA_COOKIE + 4, start + SCHEMA_COOKIE + 4, VERSION_VALID_FOR - SCHEMA_COOKIE - 4) ==
		       0 &&
	       memcmp(live + 100, start + 100, page_size - 100) == 0;
}

/* @page_count  0: more are to come */
static int put_page(struct patching *patching, uint32_t number, const uint8_t *page, uint32_t page_count)
{
	patching->changed++;
	if (patching->wal)
		return wal_add(patching->wal, number, page, page_count);
	add_record(patching, number, page);
	return patching->journal_number == 0 ? SQLITE_OK : SQLITE_IOERR_WRITE;
}

static int compare_page(struct patching *patching, uint32_t number, uint8_t *live, const uint8_t *start)
{
	const uint32_t size = patching->page_size;
	int code = read_log(patching, number, live);

	if (code != SQLITE_OK || number == LOCK_OFFSET / size + 1)
		return code;
	return number <= patching->live_pages && memcmp(start, live, size) == 0 ? SQLITE_OK
										: put_page(patching, number, start, 0);
}

/* Puts back what differs, the first page last. @return an SQLite result code */
static int compare_pages(struct patching *patching)
{
	const uint32_t size = patching->page_size;
	bool is_first_same = true;
	int code = SQLITE_OK;

	for (sqlite3_int64 at = 0; at < patching->start.bytes && code == SQLITE_OK; at += PIECE) {
		int bytes = (int)MIN((sqlite3_int64)PIECE, patching->start.bytes - at);
		int first = 0;

		code = read_at(&patching->start, at, bytes);
		if (code == SQLITE_OK)
			code = read_at(&patching->live, at, bytes);
		if (code == SQLITE_OK && at == 0) {
			code = read_log(patching, 1, patching->live.piece);
			is_first_same = is_first_page_same(patching->live.piece, patching->start.piece, size);
			first = (int)size;
		}
		for (int i = first; i < bytes && code == SQLITE_OK; i += (int)size)
			code = compare_page(patching, (uint32_t)((at + i) / size) + 1, patching->live.piece + i,
					    patching->start.piece + i);
	}
	if (code != SQLITE_OK ||
	    (patching->changed == 0 && is_first_same && patching->live_pages == patching->start_pages))
		return code;
	code = read_at(&patching->start, 0, (int)size);
	if (code != SQLITE_OK)
		return code;
	renumber(patching->start.piece, patching->live.header);
	return put_page(patching, 1, patching->start.piece, patching->start_pages);
}

/* ---- putting them back ---- */

/* SQLite does it, this connection or whoever reads first: should it be busy, whoever has it reads the start's rows. */
static int roll_back(struct restoring *restoring, const struct patching *patching, struct reset_rows_result *result)
{
	int64_t ignored;
	int code;

	(void)sqlite_run(restoring->target, "ROLLBACK");
	do
		code = sqlite_number(restoring->target, "PRAGMA schema_version", &ignored);
	while (is_busy(code) && may_wait(restoring));
	if (code != SQLITE_ROW)
		return code;
	result->has_mark = read_open_mark(restoring, &result->mark) &&
			   get32(result->mark.header + CHANGE_COUNTER) ==
				   get32(patching->live.header + CHANGE_COUNTER) + (patching->changed > 0);
	return SQLITE_OK;
}

static int commit(struct restoring *restoring, struct patching *patching, struct reset_rows_result *result)
{
	int64_t version = read_version(restoring); /* while nobody else can write */
	uint8_t state[WAL_STATE_BYTES];
	int code = wal_commit(patching->wal);

	if (code == SQLITE_OK)
		code = sqlite_run(restoring->target, "COMMIT");
	if (code != SQLITE_OK)
		return code;
	/* To this connection the pages are somebody else's. */
	if (patching->changed > 0) {
		wal_read_state(patching->wal, state);
		version = read_version(restoring);
		if (!read_open_mark(restoring, &result->mark) ||
		    memcmp(result->mark.wal_index + WAL_STATE_OFFSET, state, sizeof(state)) != 0)
			version = -1;
	}
	settle(restoring, version, result);
	return SQLITE_OK;
}

/* @return 1 they are put back, 0 that is not the way for these two, or -errno */
static int patch(struct restoring *restoring, struct reset_rows_result *result, struct error *error)
{
	__attribute__((cleanup(patching_release))) struct patching patching = { .restoring = restoring,
										.journal_fd = -1 };
	const char *path = restoring->request->path;
	int code;

	if (restoring->request->source_rule != SQLITE_RULE_AT_REST || (restoring->is_source_wal && !restoring->is_wal))
		return 0;
	code = run_patiently(restoring, "BEGIN EXCLUSIVE");
	if (code != SQLITE_OK)
		return is_busy(code) ? fail(restoring->target, code, path, error) : 0;
	sqlite3_randomness((int)sizeof(patching.nonce), &patching.nonce);
	code = open_sides(&patching);
	if (code == SQLITE_OK)
		code = are_alike(&patching) ? compare_pages(&patching) : SQLITE_NOTFOUND;
	if (code == SQLITE_OK && !patching.wal && patching.changed > 0 && !end_journal(&patching))
		code = SQLITE_IOERR_WRITE;
	if (code != SQLITE_OK) {
		remove_journal(&patching);
		(void)sqlite_run(restoring->target, "ROLLBACK");
		return 0;
	}
	code = patching.wal ? commit(restoring, &patching, result) : roll_back(restoring, &patching, result);
	if (code != SQLITE_OK)
		return fail(restoring->target, code, path, error);
	result->bytes = (uint64_t)patching.changed * patching.page_size;
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
	restoring.target_bytes = restored.was_made ? 0 : (uint64_t)status.st_size;
	result = restored.was_made ? remove_sidecars(request, error) : 0;
	if (result == 0)
		result = open_both(&restoring, restored.was_made, error);
	if (result < 0)
		return result;
	result = restored.was_made ? 0 : patch(&restoring, &restored, error);
	if (result == 0)
		result = copy_all(&restoring, &restored, error);
	if (result < 0)
		return result;
	*ret_result = restored;
	return 0;
}
