/* SPDX-License-Identifier: Apache-2.0 */
/* Databases: consistent, checked SQLite copies for a world's writable layer, and finding the files that need one.
 *
 * A plain copy of a database in use is torn: 9 of 100 in WAL mode, 17 of 100 with a rollback journal (finding 13). And
 * a database that shows through from a lower layer mixes two states: new bytes by read(2), old ones by an old mapping,
 * locks that no longer meet (finding 12). So the copy is put into the upper directory before the overlay is mounted.
 *
 * How it works. The source is read by SQLite's backup API in one step, on a connection that leaves no trace: not a byte
 * of the database, its -wal or -shm changes, no sidecar comes or goes, on a read-only mount as on a writable one.
 * Where SQLite would have to write before it could read, because a writer died and left a journal, or because a WAL is
 * there without its -shm, the files are copied as they are while SQLite's own SHARED lock is held on the source, and
 * the recovery happens in the copy. That is safe: under this lock nobody rolls a journal back, writes to a database in
 * rollback mode, or removes a -wal or -shm; so if not both of -wal and -shm are there afterwards, nobody had the
 * database open in WAL mode in between (https://sqlite.org/lockingv3.html, https://sqlite.org/walformat.html).
 * The copy is then checked, through the one connection that ever opens it, and closed without sidecars.
 *
 * Must run in a single-threaded process that has no other connection to the source open: see base/sqlite.h. */
#ifndef SBX_OVERLAY_DATABASE_H
#define SBX_OVERLAY_DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/* Bounds of the search: it is on the path of every start. */
#define DATABASE_NAMES_MAX 10000
#define DATABASE_FOUND_MAX 64
/* How long a snapshot waits for a lock when the request does not say. */
#define DATABASE_BUSY_TIMEOUT_MS 5000

/* What a search found. */
struct database_discovery {
	struct text_list names;	  /* relative to the tree, sorted, symbolic links resolved, each file once */
	struct text_list outside; /* symbolic links to databases out of the tree: not among the names */
	bool is_cut;		  /* more than DATABASE_NAMES_MAX names or DATABASE_FOUND_MAX databases */
};

/** Finds databases in the root and the first level of a tree: `*.db *.sqlite *.sqlite3 *.db3` whose header says SQLite,
 *  or that are empty (an SQLite database before its first write). Directories that hold packages or version control
 *  (node_modules, .git, …) are not entered, unreadable ones and unreadable files are passed over.
 *  @tree_fd   borrowed, O_PATH will do
 *  @ret_found the caller's, database_discovery_release()
 *  Errors: as openat(2) of the tree, getdents(2). */
int database_discover(int tree_fd, struct database_discovery *ret_found, struct error *error);
void database_discovery_release(struct database_discovery *found);

/** The real path of a database file, symbolic links followed, as SQLite does it to find the sidecars: where its copy
 *  belongs. Named errors for what is missing, a directory, a pipe or a device; none of them is opened.
 *  @ret_path  absolute, the caller's */
int database_resolve(const char *path, char **ret_path, struct error *error);

/** The same as (directory, name), as base/sqlite.h wants it.
 *  @step           what the errors say
 *  @ret_directory  O_PATH, the caller's   @ret_name  the caller's */
int database_locate(const char *path, const char *step, int *ret_directory, char **ret_name, struct error *error);

/** Whether a regular file begins as SQLite's do; symbolic links are not followed. Not while a connection to it is open
 *  in this process: base/sqlite.h. @directory_fd borrowed, O_PATH will do */
bool database_has_header(int directory_fd, const char *name);

/* What SQLite puts behind a database's name for what it keeps beside it. */
extern const char *const database_sidecars[3];

/** Whether `path` names the database or what SQLite keeps beside it: -journal, -wal, -shm. Names only. */
bool database_owns_file(const char *database, const char *path);

struct database_snapshot_request {
	const char *source;	  /* a path; symbolic links are followed, database_resolve() */
	int target_fd;		  /* directory that gets the copy, borrowed, O_PATH will do; nobody else writes there */
	const char *target_name;  /* one path component, any bytes; must not exist, nor its sidecars */
	bool verify_full;	  /* integrity_check in place of quick_check: looks up every index entry as well */
	bool fix_ef_lock;	  /* removes what finding 24 describes, in the copy */
	bool is_outside;	  /* of a writable layer: what is full then is the target's disk */
	bool sync;		  /* the target is on disk and must survive a crash */
	unsigned busy_timeout_ms; /* 0: DATABASE_BUSY_TIMEOUT_MS */
	bool without_waiting;	  /* one try: EBUSY at once, since whoever holds the lock stands still */
};

enum database_recovery {
	DATABASE_RECOVERED_NOTHING,
	DATABASE_RECOVERED_ROLLBACK, /* a writer had died: its unfinished transaction was rolled back in the copy */
	DATABASE_RECOVERED_WAL,	     /* transactions that were in an idle -wal only are in the copy */
};

struct database_report {
	uint64_t bytes;
	uint64_t duration_us;
	uint64_t copy_us;	  /* of it: while the source was being read */
	uint64_t check_us;	  /* of it: the check */
	unsigned attempts;	  /* 1, more when locks or races made it start again */
	const char *journal_mode; /* the copy's, as the source's: "wal" or "rollback", static */
	enum database_recovery recovery;
	/* A row in __EFMigrationsLock: EF Core 9 and later would wait for ever at its start (finding 24). */
	bool ef_lock_found;
	bool ef_lock_fixed;
	char warning[256]; /* what the check said that is no damage (a NULL in a NOT NULL column); empty: nothing */
};

/** Makes a copy of the database as it is at one instant between two transactions of whoever writes to it, and checks
 *  it. Waits for locks up to the busy timeout. On failure the target directory is as it was. Permission bits and the
 *  journal mode are the source's, its owner too where that is allowed.
 *  Errors: EBUSY locked too long, EBADMSG not a database or encrypted, EUCLEAN damaged, ENOSPC target full, EEXIST,
 *  EISDIR, ENOTSUP a transaction over several databases was interrupted, and those of the system calls. */
int database_snapshot(const struct database_snapshot_request *request, struct database_report *ret_report,
		      struct error *error);

#endif
