/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/database.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/content.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "base/sqlite.h"

#define STEP_FIND  "look for databases"
#define STEP_COPY  "copy the database"
#define STEP_CHECK "check the copy of the database"

static const char header_magic[16] = "SQLite format 3"; /* with its NUL: https://sqlite.org/fileformat2.html 1.3 */

const char *const database_sidecars[3] = { "-journal", "-wal", "-shm" };

bool database_owns_file(const char *database, const char *path)
{
	size_t length = strlen(database);

	if (strncmp(path, database, length) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(database_sidecars); i++)
		if (text_equal(path + length, database_sidecars[i]))
			return true;
	return path[length] == '\0';
}

/* -- the source ------------------------------------------------------------------------------------------------- */

/* A database by its real directory and name: sidecars lie beside the real file, and nothing is resolved twice. */
struct source {
	const char *path; /* as the user gave it, for messages */
	int directory_fd; /* O_PATH */
	char *name;
	struct stat status;
};

static void source_release(struct source *source)
{
	fd_close(&source->directory_fd);
	text_free(&source->name);
}

static int refuse_type(const char *path, mode_t mode, const char *step, struct error *error)
{
	if (S_ISREG(mode))
		return 0;
	if (S_ISDIR(mode))
		return error_set(error, .number = EISDIR, .step = step, .object = path,
				 .cause = "it is a directory, not a database file");
	return error_set(error, .number = EINVAL, .step = step, .object = path,
			 .cause = "it is not a regular file, but a pipe, a socket or a device");
}

/* O_PATH opens no pipe and no device: nothing hangs, nothing rewinds. */
static int resolve(const char *path, const char *step, char **ret_path, struct stat *ret_status, struct error *error)
{
	owned_fd fd = path_open(AT_FDCWD, path, O_PATH, 0, PATH_FOLLOW);
	int result = fd < 0 ? fd : 0;

	if (result == 0 && fstat(fd, ret_status) < 0)
		result = -errno;
	if (result < 0)
		return error_set(error, .number = -result, .step = step, .object = path,
				 .remedy = result == -ENOENT ? "name the file that the program opens" : NULL);
	result = refuse_type(path, ret_status->st_mode, step, error);
	if (result < 0)
		return result;
	result = path_of_fd(fd, ret_path);
	if (result < 0)
		return error_set(error, .number = -result, .step = step, .object = path);
	return 0;
}

int database_resolve(const char *path, char **ret_path, struct error *error)
{
	struct stat status;

	return resolve(path, STEP_COPY, ret_path, &status, error);
}

static int source_open(const char *path, const char *step, struct source *ret_source, struct error *error)
{
	owned_text real = NULL;
	owned_text parent = NULL;
	struct stat by_name;
	struct source source = { .path = path };
	int result = resolve(path, step, &real, &source.status, error);

	if (result < 0)
		return result;
	parent = path_parent(real);
	source.directory_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (source.directory_fd < 0)
		return error_set(error, .number = errno, .step = step, .object = path);
	source.name = text_duplicate(path_name(real));

	/* The kernel's text for the object may by now name another one: replaced, or covered by a mount. */
	if (fstatat(source.directory_fd, source.name, &by_name, AT_SYMLINK_NOFOLLOW) < 0 ||
	    by_name.st_ino != source.status.st_ino || by_name.st_dev != source.status.st_dev) {
		source_release(&source);
		return error_set(
			error, .number = ESTALE, .step = step, .object = path,
			.cause = "the file was moved or replaced meanwhile, or its directory is covered by a mount");
	}
	*ret_source = source;
	return 0;
}

int database_locate(const char *path, const char *step, int *ret_directory, char **ret_name, struct error *error)
{
	struct source source;
	int result = source_open(path, step, &source, error);

	if (result < 0)
		return result;
	*ret_directory = fd_take(&source.directory_fd);
	*ret_name = source.name;
	return 0;
}

/* Whether `name``suffix` is there and not empty; *ret_status is filled then. */
static bool has_sidecar(int directory_fd, const char *name, const char *suffix, struct stat *ret_status)
{
	owned_text sidecar = text_format("%s%s", name, suffix);

	return fstatat(directory_fd, sidecar, ret_status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(ret_status->st_mode);
}

static int open_sidecar(int directory_fd, const char *name, const char *suffix, int flags)
{
	owned_text sidecar = text_format("%s%s", name, suffix);

	return path_open(directory_fd, sidecar, flags | O_NOFOLLOW, 0600, PATH_BENEATH);
}

/* -- waiting ---------------------------------------------------------------------------------------------------- */

/* A short moment: a writer that never rests leaves gaps of less than a millisecond, and SQLite's own handler, which
 * waits up to 100 ms between two looks, misses most (two such writers: median 50 ms with this, 130 ms with up to 3 ms).
 * Of random length, so that it does not beat in time with the writer: finding 52. */
static void pause_for_writer(void)
{
	struct timespec now;
	struct timespec moment = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	moment.tv_nsec = 50000 + (now.tv_nsec / 7) % 400000;
	(void)nanosleep(&moment, NULL);
}

static int on_busy(void *argument, int attempt)
{
	const uint64_t *deadline_us = argument;

	(void)attempt;
	if (clock_us() >= *deadline_us)
		return 0;
	pause_for_writer();
	return 1;
}

/* -- the copy --------------------------------------------------------------------------------------------------- */

enum outcome {
	COPY_DONE,
	COPY_AGAIN,   /* somebody's lock, or the state changed under us */
	COPY_BY_HAND, /* SQLite would have to write to the source before it can read it */
};

/* The application's own collations and functions, of which the copy's connection knows only the names. */
struct unknown {
	bool is_met;
	unsigned functions;
};

#define UNKNOWN_FUNCTIONS_MAX 64

struct copy {
	const struct database_snapshot_request *request;
	struct source source;
	int target_fd; /* the file, made by us; its sidecars are SQLite's */
	sqlite3 *target;
	uint64_t deadline_us;
	enum database_recovery recovery;
	struct unknown unknown;
};

static void copy_release(struct copy *copy)
{
	sqlite_close(&copy->target);
	fd_close(&copy->target_fd);
	source_release(&copy->source);
}

static int fail_full(const struct copy *copy, int number, struct error *error)
{
	char size[32];
	bool is_outside = copy->request->is_outside;
	owned_text cause = text_format("%s is full, the database has %s",
				       is_outside ? "the disk that it is copied to" : "the writable layer",
				       number_format_size((uint64_t)copy->source.status.st_size, size, sizeof(size)));

	return error_set(error, .number = number, .step = STEP_COPY, .object = copy->source.path, .cause = cause,
			 .remedy = is_outside
					   ? NULL
					   : "give the writable layer more room with --size, or put it on a disk with "
					     "--scratch DIR");
}

static int fail_system(const struct copy *copy, int number, struct error *error)
{
	if (number == ENOSPC || number == EDQUOT)
		return fail_full(copy, number, error);
	return error_set(error, .number = number, .step = STEP_COPY, .object = copy->source.path);
}

/* One that was found in the tree, a fixture perhaps, can be left out. */
static const char *remedy_of_damage(const struct copy *copy)
{
	return copy->request->is_outside
		       ? "the source is damaged: restore it from a backup, or try: sqlite3 FILE .recover"
		       : "the source is damaged: restore it from a backup, or try: sqlite3 FILE .recover; or leave it "
			 "out: --db FILE copies only what it names, --db none nothing";
}

static int fail_sqlite(const struct copy *copy, sqlite3 *database, int code, const char *step, struct error *error)
{
	if ((code & 0xff) == SQLITE_FULL)
		return fail_full(copy, ENOSPC, error);
	(void)sqlite_fail(database, code, step, copy->source.path, error);
	if ((code & 0xff) == SQLITE_CORRUPT)
		text_copy(error->remedy, sizeof(error->remedy), remedy_of_damage(copy));
	return -error->number;
}

/* Everything on the target goes through this one connection: locking_mode=EXCLUSIVE keeps a WAL's index on the heap, so
 * that no -shm is made; no sync, since nothing reads the copy before it is finished. `is_new`: the file is empty, and
 * needs no journal, being thrown away on failure. On a copy made by hand that pragma would change the journal mode. */
static int target_open(struct copy *copy, bool is_new, struct error *error)
{
	int code = sqlite_open(copy->request->target_fd, copy->request->target_name, SQLITE_RULE_WRITE, &copy->target);

	if (code == SQLITE_OK)
		code = sqlite_run(copy->target, is_new ? "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=MEMORY;"
							 "PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY"
						       : "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=OFF;"
							 "PRAGMA temp_store=MEMORY");
	if (code != SQLITE_OK)
		return fail_sqlite(copy, copy->target, code, STEP_COPY, error);
	/* Its triggers and views are the application's business. */
	(void)sqlite3_db_config(copy->target, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	(void)sqlite3_db_config(copy->target, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	return 0;
}

static int outcome_of(int code)
{
	switch (code) {
	case SQLITE_DONE:
		return COPY_DONE;
	case SQLITE_READONLY_RECOVERY: /* another process is recovering the WAL right now */
	case SQLITE_READONLY_CANTINIT: /* … or making its -shm */
		return COPY_AGAIN;
	case SQLITE_READONLY_ROLLBACK:
		return COPY_BY_HAND;
	default:
		break;
	}
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_PROTOCOL:
		return COPY_AGAIN;
	case SQLITE_CANTOPEN: /* -wal or -shm is missing */
		return COPY_BY_HAND;
	default:
		return -1;
	}
}

/* COPY_AGAIN and COPY_BY_HAND leave an error too, for the case that nothing better comes. */
static int copy_by_backup(struct copy *copy, struct error *error)
{
	owned_database source = NULL;
	sqlite3_backup *backup;
	int outcome;
	int code = sqlite_open(copy->source.directory_fd, copy->source.name,
			       copy->request->without_waiting ? SQLITE_RULE_UNTOUCHED_AT_ONCE : SQLITE_RULE_UNTOUCHED,
			       &source);

	if (code == SQLITE_OK) {
		(void)sqlite3_busy_handler(source, on_busy, &copy->deadline_us);
		backup = sqlite3_backup_init(copy->target, "main", source, "main");
		code = backup ? sqlite3_backup_step(backup, -1) : sqlite3_extended_errcode(copy->target);
		(void)sqlite3_backup_finish(backup);
	}
	outcome = outcome_of(code);
	if (outcome == COPY_DONE)
		return COPY_DONE;
	code = fail_sqlite(copy, copy->target, code, STEP_COPY, error);
	return outcome < 0 ? code : outcome;
}

/* SQLite's lock bytes, https://sqlite.org/fileformat2.html#the_lock_byte_page and os_unix.c. */
#define LOCK_PENDING	 0x40000000
#define LOCK_RESERVED	 (LOCK_PENDING + 1)
#define LOCK_SHARED	 (LOCK_PENDING + 2)
#define LOCK_SHARED_SIZE 510

/* Who holds it, as far as can be seen: a process of another PID namespace has no number here. */
static int fail_busy(const struct copy *copy, struct error *error)
{
	owned_fd fd = path_open(copy->source.directory_fd, copy->source.name, O_RDONLY, 0, PATH_BENEATH);
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = LOCK_PENDING, .l_len = 512 };
	bool is_seen = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
	owned_text file = text_format("/proc/%d/comm", is_seen ? lock.l_pid : 0);
	owned_text command = NULL;
	owned_text cause = NULL;

	if (is_seen && fd_read_file(AT_FDCWD, file, 0, &command, NULL) == 0)
		command[strcspn(command, "\n")] = '\0';
	cause = !is_seen  ? text_duplicate("another program keeps it locked")
		: command ? text_format("process %d keeps it locked (%s)", lock.l_pid, command)
			  : text_format("process %d keeps it locked", lock.l_pid);
	return error_set(error, .number = EBUSY, .step = STEP_COPY, .object = copy->source.path, .cause = cause,
			 .remedy = "let that program end its transaction, then try again");
}

static int set_lock(int fd, short type, off_t start, off_t length)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length };

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* SQLite's SHARED lock, as unixLock() takes it; an open file description lock, which meets SQLite's POSIX locks but
 * ends with this very descriptor. @return 0, -EAGAIN when a writer is there, or -errno */
static int lock_shared(int fd)
{
	int result = set_lock(fd, F_RDLCK, LOCK_PENDING, 1);

	if (result == 0) {
		result = set_lock(fd, F_RDLCK, LOCK_SHARED, LOCK_SHARED_SIZE);
		(void)set_lock(fd, F_UNLCK, LOCK_PENDING, 1);
	}
	return result == -EACCES ? -EAGAIN : result;
}

/* Whether a living writer is between its first change and its commit: then the journal is its own, and nothing of its
 * transaction is in the database, because for that it would need us to give up the SHARED lock. */
static bool is_reserved(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_RESERVED, .l_len = 1 };

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int copy_file(int from_fd, int to_fd)
{
	uint64_t bytes;

	return content_copy(from_fd, to_fd, UINT64_MAX, &bytes);
}

static int copy_sidecar(const struct copy *copy, const char *suffix)
{
	owned_fd from = open_sidecar(copy->source.directory_fd, copy->source.name, suffix, O_RDONLY);
	owned_fd to = from < 0 ? -1
			       : open_sidecar(copy->request->target_fd, copy->request->target_name, suffix,
					      O_WRONLY | O_CREAT | O_EXCL);

	if (from < 0 || to < 0)
		return from < 0 ? from : to;
	return copy_file(from, to);
}

/* A journal whose first byte is not zero waits to be rolled back (hasHotJournal in pager.c). One that ends in the name
 * of a super-journal belongs to a transaction over several databases, whose outcome that file decides: by its path,
 * which a recovery of the copy must not touch.
 * @return 1 hot, 0 not, -ENOTSUP of several databases, or -errno */
static int journal_is_hot(const struct copy *copy)
{
	static const unsigned char magic[8] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };
	unsigned char first = 0, tail[16];
	struct stat status;
	owned_fd fd = open_sidecar(copy->source.directory_fd, copy->source.name, "-journal", O_RDONLY | O_NONBLOCK);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &status) < 0)
		return fd < 0 ? fd : -errno;
	if (!S_ISREG(status.st_mode) || pread(fd, &first, 1, 0) != 1 || first == 0)
		return 0;
	if (pread(fd, tail, sizeof(tail), status.st_size - (off_t)sizeof(tail)) == (ssize_t)sizeof(tail) &&
	    memcmp(tail + 8, magic, sizeof(magic)) == 0)
		return -ENOTSUP;
	return 1;
}

static int fail_sidecar(const struct copy *copy, int result, const char *suffix, struct error *error)
{
	owned_text object = text_format("%s%s", copy->source.path, suffix);

	if (result == -ENOTSUP)
		return error_set(error, .number = ENOTSUP, .step = STEP_COPY, .object = copy->source.path,
				 .cause = "a program died while it wrote to several databases in one transaction",
				 .remedy = "open it once with the program, or with sqlite3, so that it is recovered");
	if (result == -ENOSPC || result == -EDQUOT)
		return fail_full(copy, -result, error);
	return error_set(error, .number = -result, .step = STEP_COPY, .object = object);
}

/* Both sidecars of a WAL are there: in use after all, or left by a dead one. SQLite can read both, if it may. */
static int check_sidecars_readable(const struct copy *copy, struct error *error)
{
	for (size_t i = 1; i < ARRAY_SIZE(database_sidecars); i++) {
		owned_fd fd =
			open_sidecar(copy->source.directory_fd, copy->source.name, database_sidecars[i], O_RDONLY);

		if (fd < 0 && fd != -ENOENT)
			return fail_sidecar(copy, fd, database_sidecars[i], error);
	}
	return COPY_AGAIN;
}

/* Main file, -journal and -wal as they are, under the lock that keeps them so; recovered afterwards, in the copy. */
static int copy_by_hand(struct copy *copy, struct error *error)
{
	const struct source *source = &copy->source;
	struct stat status;
	bool has_wal;
	int hot;
	owned_fd fd = path_open(source->directory_fd, source->name, O_RDONLY, 0, PATH_BENEATH);
	int result = fd < 0 ? fd : lock_shared(fd);

	if (result == -EAGAIN) {
		(void)error_set(error, .number = EBUSY, .step = STEP_COPY, .object = source->path);
		return COPY_AGAIN;
	}
	if (result < 0)
		return fail_system(copy, -result, error);

	hot = is_reserved(fd) ? 0 : journal_is_hot(copy);
	if (hot < 0)
		return fail_sidecar(copy, hot, "-journal", error);
	has_wal = has_sidecar(source->directory_fd, source->name, "-wal", &status);
	if (has_wal && has_sidecar(source->directory_fd, source->name, "-shm", &status))
		return check_sidecars_readable(copy, error);

	result = copy_file(fd, copy->target_fd);
	if (result < 0)
		return fail_system(copy, -result, error);
	result = hot ? copy_sidecar(copy, "-journal") : 0;
	if (result < 0)
		return fail_sidecar(copy, result, "-journal", error);
	result = has_wal ? copy_sidecar(copy, "-wal") : 0;
	if (result < 0)
		return fail_sidecar(copy, result, "-wal", error);

	/* Both there now: somebody opened it in WAL mode meanwhile. Nobody can have closed it again without a trace. */
	if (has_sidecar(source->directory_fd, source->name, "-shm", &status) &&
	    has_sidecar(source->directory_fd, source->name, "-wal", &status))
		return COPY_AGAIN;
	copy->recovery = hot ? DATABASE_RECOVERED_ROLLBACK : DATABASE_RECOVERED_NOTHING;
	if (!hot && has_wal)
		copy->recovery = DATABASE_RECOVERED_WAL;
	return COPY_DONE;
}

static void remove_sidecars(const struct copy *copy)
{
	for (size_t i = 0; i < ARRAY_SIZE(database_sidecars); i++) {
		owned_text name = text_format("%s%s", copy->request->target_name, database_sidecars[i]);

		(void)unlinkat(copy->request->target_fd, name, 0);
	}
}

/* Reads once, which rolls back a journal and takes in a WAL; close_copy() puts that into the file. */
static int recover_copy(struct copy *copy, struct error *error)
{
	int64_t ignored;
	int result = target_open(copy, false, error);
	int code;

	if (result < 0)
		return result;
	code = sqlite_number(copy->target, "SELECT count(*) FROM sqlite_master", &ignored);
	if (code != SQLITE_ROW)
		return fail_sqlite(copy, copy->target, code, STEP_COPY, error);
	return 0;
}

static int copy_once(struct copy *copy, struct error *error)
{
	int outcome = target_open(copy, true, error);

	if (outcome == 0)
		outcome = copy_by_backup(copy, error);
	if (outcome != COPY_BY_HAND)
		return outcome;

	sqlite_close(&copy->target);
	if (ftruncate(copy->target_fd, 0) < 0)
		return fail_system(copy, errno, error);
	outcome = copy_by_hand(copy, error);
	if (outcome == COPY_DONE)
		return recover_copy(copy, error);
	return outcome;
}

static int copy_with_retries(struct copy *copy, unsigned *ret_attempts, struct error *error)
{
	for (unsigned attempt = 0;; attempt++) {
		int outcome = copy_once(copy, error);

		if (outcome == COPY_DONE) {
			*ret_attempts = attempt + 1;
			return 0;
		}
		if (outcome < 0)
			return outcome;
		if (clock_us() >= copy->deadline_us)
			return error->number == EBUSY || copy->request->without_waiting ? fail_busy(copy, error)
											: -error->number;
		sqlite_close(&copy->target);
		if (ftruncate(copy->target_fd, 0) < 0)
			return fail_system(copy, errno, error);
		remove_sidecars(copy);
		pause_for_writer();
	}
}

/* -- the check -------------------------------------------------------------------------------------------------- */

/* A copy may be whole and still hold what a constraint forbids ("NULL value in Orders.Note"); the program lives with it
 * on the host, and so it does here. Torn pages are told in other words, and before any of these. */
static bool is_about_content(const char *message, bool is_unknown_met)
{
	return strstr(message, " value in ") || (is_unknown_met && text_starts_with(message, "row "));
}

/* Any order will do: what depends on it counts for nothing then. */
static int compare_bytes(void *unused, int a_length, const void *a, int b_length, const void *b)
{
	int order = memcmp(a, b, (size_t)MIN(a_length, b_length));

	(void)unused;
	return order != 0 ? order : a_length - b_length;
}

static void on_unknown_collation(void *argument, sqlite3 *database, int encoding, const char *name)
{
	struct unknown *unknown = argument;

	unknown->is_met = true;
	(void)sqlite3_create_collation_v2(database, name, encoding, NULL, compare_bytes, NULL);
}

static void answer_null(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count, (void)values;
	sqlite3_result_null(context);
}

/* SQLite asks for unknown collations, but not for functions: those are known by the message only (resolve.c). */
static bool add_unknown_function(sqlite3 *database, struct unknown *unknown)
{
	const char *message = sqlite3_errmsg(database);
	const char *start = strstr(message, "unknown function: ");
	char name[256];
	size_t length;

	if (!start || unknown->functions++ == UNKNOWN_FUNCTIONS_MAX)
		return false;
	start += strlen("unknown function: ");
	length = strlen(start);
	if (!text_ends_with(start, "()") || length - 2 >= sizeof(name))
		return false;
	memcpy(name, start, length - 2);
	name[length - 2] = '\0';
	unknown->is_met = true;
	return sqlite3_create_function_v2(database, name, -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
					  NULL, answer_null, NULL, NULL, NULL) == SQLITE_OK;
}

static int prepare_check(struct copy *copy, sqlite3_stmt **ret_statement)
{
	const char *pragma = copy->request->verify_full ? "PRAGMA integrity_check" : "PRAGMA quick_check";
	int code;

	(void)sqlite3_collation_needed(copy->target, &copy->unknown, on_unknown_collation);
	/* A CHECK says nothing about the copy. */
	(void)sqlite_run(copy->target, "PRAGMA ignore_check_constraints=ON");
	do
		code = sqlite3_prepare_v2(copy->target, pragma, -1, ret_statement, NULL);
	while (code == SQLITE_ERROR && add_unknown_function(copy->target, &copy->unknown));
	return code;
}

static int check_copy(struct copy *copy, struct database_report *report, struct error *error)
{
	owned_statement statement = NULL;
	int code = prepare_check(copy, &statement);

	while (code == SQLITE_OK || code == SQLITE_ROW) {
		const char *message;

		code = sqlite3_step(statement);
		if (code != SQLITE_ROW)
			break;
		message = (const char *)sqlite3_column_text(statement, 0);
		if (!message || text_equal(message, "ok"))
			continue;
		if (!is_about_content(message, copy->unknown.is_met))
			return error_set(error, .number = EUCLEAN, .step = STEP_CHECK, .object = copy->source.path,
					 .cause = message, .remedy = remedy_of_damage(copy));
		if (report->warning[0] == '\0')
			text_copy(report->warning, sizeof(report->warning), message);
	}
	if (code != SQLITE_DONE)
		return fail_sqlite(copy, copy->target, code, STEP_CHECK, error);
	return 0;
}

/* EF Core inserts row 1 before it migrates, deletes it afterwards, and polls for ever while it is there:
 * SqliteHistoryRepository.AcquireDatabaseLock, https://github.com/dotnet/efcore/issues/38958 */
static int look_for_ef_lock(struct copy *copy, struct database_report *report, struct error *error)
{
	int64_t found = 0;
	int code = sqlite_number(copy->target,
				 "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '__EFMigrationsLock'",
				 &found);

	if (code == SQLITE_ROW)
		code = sqlite_number(copy->target, "SELECT EXISTS(SELECT 1 FROM \"__EFMigrationsLock\")", &found);
	report->ef_lock_found = code == SQLITE_ROW && found;
	if (report->ef_lock_found && copy->request->fix_ef_lock) {
		code = sqlite_run(copy->target, "DELETE FROM \"__EFMigrationsLock\"");
		report->ef_lock_fixed = code == SQLITE_OK;
	}
	if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE)
		return fail_sqlite(copy, copy->target, code, "look for EF Core's migration lock in", error);
	return 0;
}

/* -- the end ---------------------------------------------------------------------------------------------------- */

/* The closing connection merges its WAL and removes it, but reports nothing: so both are seen to. */
static int close_copy(struct copy *copy, struct error *error)
{
	struct stat status;
	int code = sqlite_run(copy->target, "PRAGMA wal_checkpoint(TRUNCATE)");

	if (code != SQLITE_OK)
		return fail_sqlite(copy, copy->target, code, STEP_COPY, error);
	sqlite_close(&copy->target);
	if (has_sidecar(copy->request->target_fd, copy->request->target_name, "-wal", &status) && status.st_size > 0)
		return error_set(error, .number = EIO, .step = STEP_COPY, .object = copy->source.path,
				 .cause = "its WAL could not be merged into the copy");
	/* A rolled back journal stays in exclusive mode, with a header of zeros. */
	remove_sidecars(copy);
	return 0;
}

/* What the source allows, to the same people. Where the owner cannot be kept (an unmapped or foreign one), the caller
 * is the owner, and may at least what somebody other than the owner may. */
static int copy_attributes(const struct copy *copy)
{
	const struct stat *source = &copy->source.status;
	mode_t mode = source->st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
	struct stat status;

	if (fstat(copy->target_fd, &status) < 0)
		return -errno;
	if ((status.st_uid != source->st_uid || status.st_gid != source->st_gid) &&
	    fchown(copy->target_fd, source->st_uid, source->st_gid) < 0) {
		(void)!fchown(copy->target_fd, (uid_t)-1, source->st_gid); /* at least the group, best effort */
		if (status.st_uid != source->st_uid)
			mode |= S_IRUSR | (mode & (S_IWGRP | S_IWOTH) ? S_IWUSR : 0);
	}
	return fchmod(copy->target_fd, mode) < 0 ? -errno : 0;
}

static int sync_copy(const struct copy *copy)
{
	owned_fd directory = openat(copy->request->target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fsync(copy->target_fd) < 0 || directory < 0 || fsync(directory) < 0)
		return -errno;
	return 0;
}

static int finish_copy(struct copy *copy, struct database_report *report, struct error *error)
{
	unsigned char version = 0; /* byte 18 of the header: the file format write version, 2 is WAL */
	struct stat status = { 0 };
	int result = copy_attributes(copy);

	if (result == 0 && copy->request->sync)
		result = sync_copy(copy);
	if (result == 0 && fstat(copy->target_fd, &status) < 0)
		result = -errno;
	if (result < 0)
		return fail_system(copy, -result, error);
	report->bytes = (uint64_t)status.st_size;
	report->journal_mode = pread(copy->target_fd, &version, 1, 18) == 1 && version == 2 ? "wal" : "rollback";
	report->recovery = copy->recovery;
	return 0;
}

/* A file of zero bytes is a database to which nobody has written; a -wal or -journal beside it means nothing (SQLite
 * deletes both). */
static int make_copy(struct copy *copy, struct database_report *report, struct error *error)
{
	uint64_t start = clock_us();
	uint64_t copied;
	int result = 0;

	if (copy->source.status.st_size == 0)
		return finish_copy(copy, report, error);
	result = copy_with_retries(copy, &report->attempts, error);
	copied = clock_us();
	report->copy_us = copied - start;
	if (result == 0)
		result = check_copy(copy, report, error);
	report->check_us = clock_us() - copied;
	if (result == 0)
		result = look_for_ef_lock(copy, report, error);
	if (result == 0)
		result = close_copy(copy, error);
	if (result == 0)
		result = finish_copy(copy, report, error);
	return result;
}

/* Made by us, exclusively and for the caller alone until it is whole. SQLite would open an existing one. */
static int target_create(struct copy *copy, struct error *error)
{
	const struct database_snapshot_request *request = copy->request;
	struct stat status;

	for (size_t i = 0; i < ARRAY_SIZE(database_sidecars); i++)
		if (has_sidecar(request->target_fd, request->target_name, database_sidecars[i], &status))
			return error_set(error, .number = EEXIST, .step = STEP_COPY, .object = copy->source.path,
					 .cause = "a sidecar file lies at the place of the copy already");
	copy->target_fd =
		path_open(request->target_fd, request->target_name, O_RDWR | O_CREAT | O_EXCL, 0600, PATH_BENEATH);
	if (copy->target_fd < 0)
		return fail_system(copy, -copy->target_fd, error);
	return 0;
}

int database_snapshot(const struct database_snapshot_request *request, struct database_report *ret_report,
		      struct error *error)
{
	__attribute__((cleanup(copy_release))) struct copy copy = { .request = request,
								    .source = { .directory_fd = -1 },
								    .target_fd = -1 };
	struct database_report report = { .attempts = 1 };
	struct error local = { 0 };
	struct error *told = error ? error : &local;
	uint64_t start_us = clock_us();
	unsigned timeout_ms = request->busy_timeout_ms ? request->busy_timeout_ms : DATABASE_BUSY_TIMEOUT_MS;
	int result = source_open(request->source, STEP_COPY, &copy.source, told);

	if (result < 0)
		return result;
	copy.deadline_us = request->without_waiting ? 0 : start_us + (uint64_t)timeout_ms * 1000;
	result = target_create(&copy, told);
	if (result < 0)
		return result;

	result = make_copy(&copy, &report, told);
	if (result < 0) {
		sqlite_close(&copy.target);
		remove_sidecars(&copy);
		(void)unlinkat(request->target_fd, request->target_name, 0);
		return result;
	}
	report.duration_us = clock_us() - start_us;
	*ret_report = report;
	return 0;
}

/* -- the search ------------------------------------------------------------------------------------------------- */

struct search {
	int tree_fd;
	char *tree_path; /* NULL until a symbolic link is met */
	unsigned names_left;
	struct database_discovery found;
};

static bool is_database_name(const char *name)
{
	static const char *const suffixes[] = { ".db", ".sqlite", ".sqlite3", ".db3" };
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(suffixes); i++)
		if (strcasecmp(dot, suffixes[i]) == 0)
			return true;
	return false;
}

/* What holds thousands of names, or none of the application's data. */
static bool is_skipped_directory(const char *name)
{
	static const char *const skipped[] = { "node_modules", "bower_components", ".git", ".hg", ".svn", ".jj" };

	for (size_t i = 0; i < ARRAY_SIZE(skipped); i++)
		if (strcmp(name, skipped[i]) == 0)
			return true;
	return false;
}

enum first_bytes { FIRST_BYTES_OTHER, FIRST_BYTES_NONE, FIRST_BYTES_SQLITE };

static enum first_bytes look_at_file(int directory_fd, const char *name, enum path_rule rule)
{
	char header[sizeof(header_magic)];
	struct stat status;
	/* O_NONBLOCK: a pipe of that name is opened without waiting for its other end. */
	owned_fd fd = path_open(directory_fd, name, O_RDONLY | O_NONBLOCK, 0, rule);

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return FIRST_BYTES_OTHER;
	if (status.st_size == 0)
		return FIRST_BYTES_NONE;
	return pread(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
			       memcmp(header, header_magic, sizeof(header)) == 0
		       ? FIRST_BYTES_SQLITE
		       : FIRST_BYTES_OTHER;
}

bool database_has_header(int directory_fd, const char *name)
{
	return look_at_file(directory_fd, name, PATH_BENEATH) == FIRST_BYTES_SQLITE;
}

/* Whether a regular file is empty or begins as SQLite's do. */
static bool is_database_file(int directory_fd, const char *name, enum path_rule rule)
{
	return look_at_file(directory_fd, name, rule) != FIRST_BYTES_OTHER;
}

static bool list_holds(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

static void add_found(struct search *search, const char *name)
{
	if (list_holds(&search->found.names, name))
		return;
	if (search->found.names.count == DATABASE_FOUND_MAX)
		search->found.is_cut = true;
	else
		text_list_add(&search->found.names, name);
}

/* The database is the file, not the link: the copy belongs to the file's place, and two links are one database. */
static void look_at_link(struct search *search, int directory_fd, const char *name, const char *shown)
{
	owned_text real = NULL;
	owned_fd fd = path_open(directory_fd, name, O_PATH, 0, PATH_FOLLOW);

	if (fd < 0 || path_of_fd(fd, &real) < 0 || !is_database_file(directory_fd, name, PATH_FOLLOW))
		return;
	if (!search->tree_path && path_of_fd(search->tree_fd, &search->tree_path) < 0)
		return;
	if (path_is_below(real, search->tree_path))
		add_found(search, path_below(real, search->tree_path));
	else if (search->found.outside.count < DATABASE_FOUND_MAX)
		text_list_add(&search->found.outside, shown);
}

static unsigned char type_of(int directory_fd, const struct dirent *entry)
{
	struct stat status;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type;
	if (fstatat(directory_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return (unsigned char)IFTODT(status.st_mode);
}

static int search_directory(struct search *search, const char *below);

static void look_at_name(struct search *search, int directory_fd, const char *below, const struct dirent *entry)
{
	const char *name = entry->d_name;
	bool is_candidate = is_database_name(name);
	bool is_root = below[0] == '\0';
	unsigned char type = is_candidate || is_root ? type_of(directory_fd, entry) : DT_UNKNOWN;
	owned_text shown = NULL;

	if (type == DT_DIR && is_root && !is_skipped_directory(name)) {
		(void)search_directory(search, name); /* unreadable: passed over */
		return;
	}
	if (!is_candidate || (type != DT_REG && type != DT_LNK))
		return;
	shown = is_root ? text_duplicate(name) : path_join(below, name);
	if (type == DT_LNK)
		look_at_link(search, directory_fd, name, shown);
	else if (is_database_file(directory_fd, name, PATH_BENEATH))
		add_found(search, shown);
}

/* @below  "" for the tree's root, else the name of a first-level directory */
static int search_directory(struct search *search, const char *below)
{
	int fd = path_open(search->tree_fd, below[0] ? below : ".", O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		int result = fd < 0 ? fd : -errno;

		fd_close(&fd);
		return result;
	}
	while ((entry = readdir(directory)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (search->names_left == 0) {
			search->found.is_cut = true;
			break;
		}
		search->names_left--;
		look_at_name(search, dirfd(directory), below, entry);
	}
	(void)closedir(directory);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int database_discover(int tree_fd, struct database_discovery *ret_found, struct error *error)
{
	struct search search = { .tree_fd = tree_fd, .names_left = DATABASE_NAMES_MAX };
	int result = search_directory(&search, "");

	text_free(&search.tree_path);
	if (result < 0) {
		database_discovery_release(&search.found);
		return error_set(error, .number = -result, .step = STEP_FIND);
	}
	if (search.found.names.count > 1)
		qsort(search.found.names.items, search.found.names.count, sizeof(char *), compare_names);
	*ret_found = search.found;
	return 0;
}

void database_discovery_release(struct database_discovery *found)
{
	text_list_release(&found->names);
	text_list_release(&found->outside);
	found->is_cut = false;
}
