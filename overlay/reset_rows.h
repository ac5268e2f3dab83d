/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the rows of a live database back to those of another one, while programs have it open.
 *
 * Everything is written under SQLite's own locks: so each connection sees the old rows or the new ones, and none a
 * mixture. Three ways:
 *   In rollback mode the pages that differ are written into a rollback journal, as those that a transaction had before,
 *   while the database is locked; then SQLite rolls them back, this connection or whoever reads first, as it does after
 *   a crash. It costs what reading both files does, and a kill at any moment leaves the old rows or the new ones. The
 *   numbers by which other connections see that their caches are old go up, never back.
 *   In WAL mode they are committed to the log, as another process would do it that has the database open: wal.h. A kill
 *   leaves the old rows or the new ones as well, and readers do not wait.
 *   Where the two differ in more than rows (page size, vacuum mode), and from a file that programs of the host may be
 *   at work with, the backup API copies all pages. A process that is killed in the middle of that may leave a damaged
 *   database in rollback mode (the journal of a small one is in memory), and its world has to be replaced.
 * Waits for readers and writers up to a bound, and on failure nothing has changed.
 *
 * Whether anybody wrote since is told by a mark: what the file system and SQLite's own counters say of the file and of
 * its WAL. Every committed transaction changes it.
 *
 *   fact  since  source                                           what follows                     test
 *   R1    -      fileformat2.html 1.3.7, wal.c WalIndexHdr        a mark sees each commit          test_reset_rows.c
 *   R4    -      fileformat2.html 3, pager.c hasHotJournal()      any connection puts pages back   test_reset_rows.c
 *   R2    -      sqlite3_backup_step(): WAL keeps its page size   another page size: ENOTSUP       test_reset_rows.c
 *   R5    -      btree.c sqlite3BtreeBeginTrans(): "db-size"      a count is mended at BEGIN       test_reset_rows.c
 *   R3    -      backup.c: "iDestSchema+1"                        others read the schema anew      test_reset_rows.c
 *
 * As base/sqlite.h: in a process that has no other connection to either, where programs see the live one. */
#ifndef SBX_OVERLAY_RESET_ROWS_H
#define SBX_OVERLAY_RESET_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sqlite.h"

#define RESET_ROWS_BUSY_MS 5000

struct reset_rows_mark {
	uint64_t inode;
	uint64_t bytes;
	int64_t changed_ns;
	uint64_t wal_inode; /* of a WAL that is not empty; 0: there is none */
	uint64_t wal_bytes;
	uint8_t header[100];
	uint8_t wal_index[48];
};

/** Reads the mark of a database. No connection to it may be open in this process.
 *  @directory_fd borrowed, O_PATH will do   @return 0 or -errno: -ENOENT there is none, -EINVAL it is no file */
int reset_rows_read_mark(int directory_fd, const char *name, struct reset_rows_mark *ret_mark);

/** Whether nobody wrote between two of them. */
bool reset_rows_is_same_mark(const struct reset_rows_mark *one, const struct reset_rows_mark *other);

struct reset_rows_request {
	int source_fd; /* directory; borrowed, O_PATH will do */
	const char *source_name;
	enum sqlite_rule source_rule;
	int target_fd; /* the live one's directory */
	const char *target_name;
	const char *path;	  /* of the live one, for messages */
	unsigned busy_timeout_ms; /* 0: RESET_ROWS_BUSY_MS */
};

struct reset_rows_result {
	uint64_t bytes; /* of the pages that were put back */
	bool was_made;	/* there was none */
	bool stays_wal; /* the programs that have it open keep it in WAL mode, in which the source is not */
	bool has_mark;	/* nobody has written since */
	struct reset_rows_mark mark;
};

/** Errors: EBUSY locked too long; ENOTSUP it has another page size and is in WAL mode; ENOSPC; EROFS, EUCLEAN … of
 *  sqlite_fail(). */
int reset_rows(const struct reset_rows_request *request, struct reset_rows_result *ret_result, struct error *error);

#endif
