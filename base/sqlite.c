/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"

#define LAYER_LITERAL	"sbx-literal"
#define LAYER_UNTOUCHED "sbx-untouched"
#define LAYER_AT_ONCE	"sbx-at-once"

static sqlite3_vfs *unix_layer(void)
{
	return sqlite3_vfs_find("unix");
}

/* Names are taken as they are. The unix layer would lstat and readlink each component, "/proc/self/fd/N" too. */
static int layer_full_pathname(sqlite3_vfs *layer, const char *name, int size, char *ret_name)
{
	size_t length = strlen(name);

	(void)layer;
	if (length >= (size_t)size)
		return SQLITE_CANTOPEN;
	memcpy(ret_name, name, length + 1);
	return SQLITE_OK;
}

/* A WAL is asked for with READWRITE|CREATE even by a read-only connection (sqlite3WalOpen), and would be made. */
static int untouched_open(sqlite3_vfs *layer, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	if (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) {
		flags &= ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
		flags |= SQLITE_OPEN_READONLY;
	}
	return unix_layer()->xOpen(layer, name, file, flags, ret_flags);
}

/* A read-only connection removes the -wal and the -journal that lie beside an empty database (pagerOpenWalIfPresent,
 * hasHotJournal). */
static int untouched_delete(sqlite3_vfs *layer, const char *name, int sync_directory)
{
	(void)layer, (void)name, (void)sync_directory;
	return SQLITE_IOERR_DELETE;
}

/* Where a WAL's index is being changed a reader tries a hundred times and sleeps in between, ten seconds in all
 * (walTryBeginRead), whatever its busy handler says. Of a writer that stands still the hundredth try is as good as the
 * second. */
static int skip_sleep(sqlite3_vfs *layer, int microseconds)
{
	(void)layer;
	return microseconds;
}

/* As root SQLite gives each -journal, -wal and -shm that it opens to the owner of the database, those opened for
 * reading as well, which changes their ctime at least. */
static int fchown_of_writable(int fd, uid_t uid, gid_t gid)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY ? 0 : fchown(fd, uid, gid);
}

/* Copies of the unix layer, as SQLite's own "unix-none" and "unix-dotfile" are: all its methods work on a copy, since
 * they take from it pAppData and mxPathname only. */
static int register_layers(void)
{
	static sqlite3_vfs literal, untouched, at_once;
	int code = sqlite3_initialize();

	if (code != SQLITE_OK || literal.zName)
		return code;
	if (!unix_layer())
		return SQLITE_ERROR;

	literal = *unix_layer();
	literal.zName = LAYER_LITERAL;
	literal.xFullPathname = layer_full_pathname;

	untouched = literal;
	untouched.zName = LAYER_UNTOUCHED;
	untouched.xOpen = untouched_open;
	untouched.xDelete = untouched_delete;

	at_once = untouched;
	at_once.zName = LAYER_AT_ONCE;
	at_once.xSleep = skip_sleep;

	code = literal.xSetSystemCall(&literal, "fchown", (sqlite3_syscall_ptr)fchown_of_writable);
	if (code == SQLITE_OK)
		code = sqlite3_vfs_register(&literal, 0);
	if (code == SQLITE_OK)
		code = sqlite3_vfs_register(&untouched, 0);
	return code == SQLITE_OK ? sqlite3_vfs_register(&at_once, 0) : code;
}

/* All but letters, digits and "-._" as %XX. No name can be taken for a parameter. */
static void add_encoded(struct text_buffer *uri, const char *name)
{
	for (const unsigned char *byte = (const unsigned char *)name; *byte; byte++) {
		bool is_plain = (*byte >= 'a' && *byte <= 'z') || (*byte >= 'A' && *byte <= 'Z') ||
				(*byte >= '0' && *byte <= '9') || strchr("-._", *byte);

		if (is_plain)
			text_buffer_add(uri, byte, 1);
		else
			text_buffer_format(uri, "%%%02X", *byte);
	}
}

int sqlite_open(int directory_fd, const char *name, enum sqlite_rule rule, sqlite3 **ret_database)
{
	static const struct {
		int flags;
		const char *layer;
		/* readonly_shm: walro.test; without it a reader's lock marks are written into the -shm. */
		const char *parameters;
	} rules[] = {
		[SQLITE_RULE_UNTOUCHED] = { SQLITE_OPEN_READONLY, LAYER_UNTOUCHED, "?readonly_shm=1" },
		[SQLITE_RULE_UNTOUCHED_AT_ONCE] = { SQLITE_OPEN_READONLY, LAYER_AT_ONCE, "?readonly_shm=1" },
		[SQLITE_RULE_AT_REST] = { SQLITE_OPEN_READONLY, LAYER_UNTOUCHED, "?immutable=1" },
		[SQLITE_RULE_WRITE] = { SQLITE_OPEN_READWRITE, LAYER_LITERAL, "" },
		[SQLITE_RULE_CREATE] = { SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, LAYER_LITERAL, "" },
	};
	char directory[FD_PROC_PATH_SIZE];
	owned_buffer uri = { 0 };
	owned_database database = NULL;
	int code = register_layers();

	if (code != SQLITE_OK)
		return code;
	text_buffer_format(&uri, "file://%s/", fd_proc_path(directory_fd, directory));
	add_encoded(&uri, name);
	text_buffer_add_text(&uri, rules[rule].parameters);

	code = sqlite3_open_v2(uri.bytes, &database, rules[rule].flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
			       rules[rule].layer);
	if (code != SQLITE_OK)
		return database ? sqlite3_extended_errcode(database) : code;

	(void)sqlite3_extended_result_codes(database, 1);
	(void)sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* The last one to close would merge the WAL into the database: not on somebody else's. */
	if (rule != SQLITE_RULE_WRITE && rule != SQLITE_RULE_CREATE)
		(void)sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	*ret_database = database;
	database = NULL;
	return SQLITE_OK;
}

void sqlite_close(sqlite3 **database)
{
	int saved_errno = errno;

	/* _v2: with a statement forgotten it becomes a zombie instead of a leak that keeps its locks. */
	(void)sqlite3_close_v2(*database);
	*database = NULL;
	errno = saved_errno;
}

void sqlite_finalize(sqlite3_stmt **statement)
{
	(void)sqlite3_finalize(*statement);
	*statement = NULL;
}

int sqlite_run(sqlite3 *database, const char *sql)
{
	return sqlite3_exec(database, sql, NULL, NULL, NULL);
}

int sqlite_number(sqlite3 *database, const char *sql, int64_t *ret_number)
{
	owned_statement statement = NULL;
	int code = sqlite3_prepare_v2(database, sql, -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret_number = sqlite3_column_int64(statement, 0);
	return code;
}

/* What a result code means. An extended code stands before its primary one: the first row that fits is taken.
 * https://sqlite.org/rescode.html */
static const struct meaning {
	int code;
	int number; /* 0: the system's errno, else EIO */
	const char *cause;
	const char *remedy;
} meanings[] = {
	{ SQLITE_READONLY_ROLLBACK, EROFS,
	  "a program died while writing to it, and its journal cannot be rolled back here",
	  "open it once with the program, or with sqlite3, so that it is recovered" },
	{ SQLITE_READONLY_DBMOVED, ESTALE, "the file was moved or replaced meanwhile", NULL },
	{ SQLITE_IOERR_NOMEM, ENOMEM, "no memory is left", NULL },
	{ SQLITE_IOERR_CORRUPTFS, EUCLEAN, "the file system reports that it is damaged", "check the file system" },
	{ SQLITE_NOTADB, EBADMSG, "it is not an SQLite database, or it is encrypted", NULL },
	{ SQLITE_CORRUPT, EUCLEAN, "the database is damaged",
	  "check it with: sqlite3 FILE 'PRAGMA integrity_check'; restore it from a backup, or try: sqlite3 FILE "
	  ".recover" },
	{ SQLITE_BUSY, EBUSY, "another program keeps it locked", "let it end its transaction, then try again" },
	{ SQLITE_LOCKED, EBUSY, "another statement keeps it locked", NULL },
	{ SQLITE_FULL, ENOSPC, "no space is left", NULL },
	{ SQLITE_NOMEM, ENOMEM, "no memory is left", NULL },
	{ SQLITE_READONLY, EROFS, "it is read-only", NULL },
	{ SQLITE_INTERRUPT, ETIMEDOUT, "it took too long", NULL },
	{ SQLITE_TOOBIG, EFBIG, "a value is too big", NULL },
	{ SQLITE_CANTOPEN, 0, NULL, NULL },
	{ SQLITE_IOERR, 0, NULL, NULL },
	{ SQLITE_PERM, EACCES, NULL, NULL },
	{ SQLITE_AUTH, EACCES, NULL, NULL },
};

static const struct meaning *find_meaning(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
		if (meanings[i].code == code || meanings[i].code == (code & 0xff))
			return &meanings[i];
	return NULL;
}

int sqlite_fail(sqlite3 *database, int code, const char *step, const char *object, struct error *error)
{
	const struct meaning *meaning = find_meaning(code);
	int system = database ? sqlite3_system_errno(database) : 0;

	if (!meaning)
		return error_set(error, .number = EINVAL, .step = step, .object = object,
				 .cause = database && sqlite3_errcode(database) != SQLITE_OK ? sqlite3_errmsg(database)
											     : sqlite3_errstr(code));
	if (meaning->number == 0 && system > 0)
		return error_set(error, .number = system, .step = step, .object = object);
	return error_set(error, .number = meaning->number > 0 ? meaning->number : EIO, .step = step, .object = object,
			 .cause = meaning->cause ? meaning->cause : sqlite3_errstr(code), .remedy = meaning->remedy);
}

/* SQLite's unix layer refers to dlopen(3), for extensions, which no connection here loads. A static binary could not:
 * it would take the shared libraries of the very same glibc at run time, out of the tree it has just entered. The
 * static link leads that reference here (--wrap), so that the linker has nothing to warn of and its warnings can be
 * errors. A function named dlopen would not do, as it does for the name look-ups in netns/netlink.c: glibc's own
 * start-up code takes in libc.a's dlopen.o, whose warning stands at each reference to the name. */
void *__wrap_dlopen(const char *path, int mode);

void *__wrap_dlopen(const char *path, int mode)
{
	(void)path, (void)mode;
	return NULL;
}
