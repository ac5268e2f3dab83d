/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite with house rules: files named by descriptor, connections opened by a named rule, errors in four parts.
 *
 * A database is (directory fd, name), never a path: SQLite's own unix layer resolves symbolic links in what it is
 * given, so "/proc/self/fd/N/name" would be turned back into a text path, which may lead elsewhere (a covered mount, a
 * renamed directory) or be too long (512 bytes). A copy of that layer which takes names literally ends this. It is
 * registered inside SQLite at the first open; that is SQLite's only way, and the one thing here that outlives a call. A
 * name is percent-encoded byte for byte, so that none is ever parsed as a URI (Debian compiles SQLITE_USE_URI=1).
 *
 * The directory descriptor must stay open as long as the connection, and /proc must be mounted.
 *
 * POSIX locks belong to (process, inode): closing *any* descriptor of a database file drops the locks that SQLite holds
 * on it in this process (https://sqlite.org/howtocorrupt.html section 2.2). So no file may be opened and closed by hand
 * while a connection to it is open here. */
#ifndef SBX_BASE_SQLITE_H
#define SBX_BASE_SQLITE_H

#include <stdint.h>

#include <sqlite3.h>

#include "base/error.h"

enum sqlite_rule {
	/* Reads without a trace: no byte of the database or its -shm changes, no sidecar is made or removed, even
	 * where the file system would allow it. What SQLite would have to write for (a hot journal, a WAL without its
	 * -shm) is an error: SQLITE_READONLY_ROLLBACK, SQLITE_CANTOPEN. */
	SQLITE_RULE_UNTOUCHED,
	/* The same, and never waits: SQLITE_BUSY or SQLITE_PROTOCOL where a writer stands still in the middle. */
	SQLITE_RULE_UNTOUCHED_AT_ONCE,
	/* A copy that nobody writes to, without sidecars: no locks, and in WAL mode as well. */
	SQLITE_RULE_AT_REST,
	SQLITE_RULE_WRITE,  /* an existing one; read-only where the file's permissions say so */
	SQLITE_RULE_CREATE, /* made where it is missing */
};

/** Opens a database: defensive, extended result codes, no extension loading, schema not trusted, no busy timeout.
 *  @directory_fd  borrowed, O_PATH will do; must outlive the connection   @name  one path component, any bytes
 *  @ret_database  the caller's, sqlite_close()
 *  @return an SQLite result code: callers decide by it, and report with sqlite_fail() */
int sqlite_open(int directory_fd, const char *name, enum sqlite_rule rule, sqlite3 **ret_database);

/** Closes *database, if any, and sets it to NULL. All statements must have been finalized. Keeps errno. */
void sqlite_close(sqlite3 **database);
#define owned_database __attribute__((cleanup(sqlite_close))) sqlite3 *

/** Finalizes *statement, if any, and sets it to NULL. */
void sqlite_finalize(sqlite3_stmt **statement);
#define owned_statement __attribute__((cleanup(sqlite_finalize))) sqlite3_stmt *

/** Runs statements, ignoring their rows. @return an SQLite result code */
int sqlite_run(sqlite3 *database, const char *sql);
/** The first column of the first row as a number. @return SQLITE_ROW, SQLITE_DONE (no row) or an error code */
int sqlite_number(sqlite3 *database, const char *sql, int64_t *ret_number);

/** Makes a struct error of a result code: errno, cause and remedy by one table, SQLite's own message where the table
 *  has none. @database  whose message and system errno are read; may be NULL   @return -errno */
int sqlite_fail(sqlite3 *database, int code, const char *step, const char *object, struct error *error);

#endif
