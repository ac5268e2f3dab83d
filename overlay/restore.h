/* SPDX-License-Identifier: Apache-2.0 */
/* Rows put back: a database becomes what a copy of it was, under the programs that have it open.
 *
 * Through SQLite's backup API into the live file, as one transaction with SQLite's own locks: other connections see the
 * old rows or the new ones, and read the schema anew afterwards. In rollback mode it waits for readers to end; in WAL
 * mode readers keep what they see. The file stays the same one (inode, permission bits, journal mode). A connection
 * that is in the middle of a transaction goes on with it and, where it has read already and writes then, gets
 * SQLITE_BUSY (SNAPSHOT), as after anybody's commit.
 *
 * Must run in the mount namespace of the programs, and in a process that has no other connection to the database open:
 * base/sqlite.h. */
#ifndef SBX_OVERLAY_RESTORE_H
#define SBX_OVERLAY_RESTORE_H

#include "base/error.h"

#define RESTORE_BUSY_TIMEOUT_MS 5000

struct restore_request {
	const char *path;	  /* the live one; made where it is missing, if its directory is there */
	int directory_fd;	  /* of the copy, borrowed */
	const char *name;	  /* a copy at rest, as database_snapshot() makes them */
	unsigned busy_timeout_ms; /* 0: RESTORE_BUSY_TIMEOUT_MS */
};

/** Puts the rows back.
 *  Errors: EBUSY somebody reads or writes for too long, EXDEV the page size is another one and the database is in WAL
 *  mode, ENOSPC, and those of database_locate() */
int database_restore(const struct restore_request *request, struct error *error);

#endif
