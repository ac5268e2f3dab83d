/* SPDX-License-Identifier: Apache-2.0 */
/* The write-ahead log of an open database: which page lies where in it, and pages committed to it.
 *
 * SQLite has no call that writes one page: its backup API writes all of them, which for 10 MiB of which one page
 * differs costs several times what reading them does. So the frames are written here, through SQLite's own files and
 * locks, as any other process that has the database open would commit them: their format and that of the index in
 * shared memory are fixed between versions and documented (fileformat2.html 4, walformat.html), since programs with
 * different versions of SQLite share them. Nobody needs to wait or to recover anything: readers go on with their
 * snapshot, and whoever begins after wal_commit() sees all of it. A kill before that leaves frames that nobody looks
 * at.
 *
 * What it leans on, of SQLite's: with the write lock nobody else appends, restarts the log or recovers the index; our
 * read mark (or the lock that says "nothing of the log") keeps a checkpoint from writing to the database behind what we
 * read, and from taking frames that are added here before they are committed. A checkpoint never shortens the log while
 * we have that mark, so frames are appended also behind a log that is in the database already; to begin it anew is left
 * to checkpoints, which the caller runs.
 *
 * Life cycle: BEGIN IMMEDIATE on the connection, which takes the write lock and keeps the log from being restarted;
 * wal_open(); reading; wal_add() for each page and wal_commit(), or neither; wal_close(); COMMIT, which has nothing to
 * write and lets go of the lock. Not ROLLBACK, after which the connection would take what it has in its cache for what
 * was committed here. The database's header must have the right number of pages: else SQLite changes the first page as
 * BEGIN IMMEDIATE is run, and COMMIT writes over these frames.
 *
 *   fact  since   source                                what follows                              test
 *   W1    3.7.0   walformat.html 2.2                    the index's fields and its hash tables    test_wal.c
 *   W2    3.7.0   fileformat2.html 4.2                  what a frame's checksum is made of        test_wal.c */
#ifndef SBX_OVERLAY_WAL_H
#define SBX_OVERLAY_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

struct wal;

enum { WAL_STATE_BYTES = 24 };

/** @database  in WAL mode, its write lock held; must outlive the result
 *  @ret_wal   the caller's, wal_close()
 *  @return an SQLite result code; SQLITE_NOTFOUND: it cannot be read so (another byte order, another version) */
int wal_open(sqlite3 *database, uint32_t page_size, struct wal **ret_wal);
void wal_close(struct wal **wal);
#define owned_wal __attribute__((cleanup(wal_close))) struct wal *

/** How many pages the database has; 0: the log does not say, but the file's size does. */
uint32_t wal_page_count(const struct wal *wal);

/** Reads a page if the log has it. @return SQLITE_OK, SQLITE_NOTFOUND (it is as the file has it), or an error code */
int wal_read_page(const struct wal *wal, uint32_t number, uint8_t *page);

/** Writes a page that the next commit has. @page_count  0; of the last one before wal_commit(): of the database */
int wal_add(struct wal *wal, uint32_t number, const uint8_t *page, uint32_t page_count);
/** Nothing, without one that was added. */
int wal_commit(struct wal *wal);

/** What tells the last commit from all others: WAL_STATE_BYTES from WAL_STATE_OFFSET of the index. */
enum { WAL_STATE_OFFSET = 16 };
void wal_read_state(const struct wal *wal, uint8_t state[static WAL_STATE_BYTES]);

#endif
