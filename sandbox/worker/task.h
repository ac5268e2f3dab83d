/* SPDX-License-Identifier: Apache-2.0 */
/* Work that sbx itself does inside a world for a command on the host: list what changed, copy files, ask a database,
 * keep the worker.
 *
 * A task runs in a fork of PID 1, in the world's mounts: no binary is placed in a world, and files are seen as the
 * payload sees them (a live database may only be opened there: POSIX locks on the merged file and on the one in the
 * upper directory do not meet). The fork stays out of the payload's reach (not dumpable). It opens what it needs, then
 * task_confine() takes its capabilities and loads the READER filter, and only then it reads what the payload wrote:
 * all of that is hostile input. Landlock keeps it from writing but to the directory passed (cp out, keep) or where the
 * payload may write too (cp in, db). Results go to descriptors that the command passed; errors are told by task_run()'s
 * caller (server.c), which also closes what a task has no use for before (the lock, the listener, the owner's socket):
 * the filter lets a process use what it holds.
 *
 * Answers. Tables are escaped for a terminal, without colour and never cut; JSON is an array of objects, one a line.
 *   TASK_DIFF      table: "A PATH", "C PATH", "D PATH" a line; JSON: kind, path, type (file, directory, link, pipe,
 *                  socket, device), mode ("0644"), bytes. Paths are absolute, as the worker sees them. What sbx put
 *                  there is not listed: hidden credentials, mount points, sidecars of the databases that it filled in,
 *                  and such a database itself unless somebody wrote to it since (its size, time, bits, or rows in its
 *                  WAL; not whether these rows differ in the end). Only the layers are looked at: /tmp, /run and
 *                  /dev/shm are private in any case, and a read-write volume is the host's.
 *   TASK_COPY_…    nothing. As `podman cp`: into a directory that exists, else under the new name; "DIR/." copies what
 *                  is in DIR; "DIR/" must be a directory. Symbolic links are copied, not followed, but for those on the
 *                  way and, inside, at the end of the target. The host's name is one component below the directory
 *                  passed, or "."; links on the host are the caller's to follow before. No setuid or setgid bit of a
 *                  file, no device and no socket is copied, and nothing of /proc. A database that is copied out by
 *                  itself is taken as of one instant, with the rows in its WAL; inside a directory files are copied as
 *                  they are.
 *   TASK_DB_LIST   path, bytes (of its pages), journal (mode), tables (number), changed (since the world was filled;
 *                  missing: not known), problem (why it cannot be read). Those filled in, and those that programs made
 *                  in the tree's root and first level.
 *   TASK_DB_QUERY  one table, or one JSON array, for each statement that has columns. Reading only. In JSON a blob is a
 *                  text of hexadecimal digits, and infinity 9.0e+999 (as SQLite's own shell has it).
 *   TASK_KEEP      a JSON object on one line: entries, bytes (of data), sockets_skipped. On failure the caller removes
 *                  the directory. While processes live it is taken as TASK_FREEZE does, and they go on afterwards. In
 *                  a world that began from a seed that is in the layers kept, and lies beside them for `diff`.
 *   TASK_FREEZE    a JSON object on one line: databases (paths that the seed holds), entries, bytes, stops (how often
 *                  the world had to be stopped), milliseconds, not_seeded (paths of databases that lie in no layer:
 *                  in /tmp, say), left (databases that are in the seed as they were found, with their journals,
 *                  because they are locked for ever, damaged, or more than 64), ef_lock (databases in which Entity
 *                  Framework Core's lock row was left: it would wait for ever). The world stands still while it is
 *                  copied. ETIMEDOUT where a database named stays locked for 5 s. On failure the caller removes the
 *                  directory.
 *   TASK_BUNDLE    as TASK_FREEZE; what the world began from lies beside, as TASK_KEEP leaves it.
 *   TASK_CLONE     messages on the socket: a byte that says how many descriptors come with it (at most 16), detached
 *                  mounts in the order of the paths. struct graft has them shown in other worlds.
 *   TASK_DB_DIFF   the rows that differ (overlay/rows.h), and the parts of the schema. JSON: an array with an object
 *                  for each database, as scripts/schema/db-diff.json says.
 *   TASK_DB_CHANGESET  {"changes": how many, "left": [what differs and is in no changeset]}; the changeset in the file.
 *   TASK_DB_APPLY  {"changes": how many, "rebuild": [full-text tables that do not follow by themselves]}
 *   TASK_DB_COPY   nothing. The directory holds consistent, checked copies 0, 1, … and seed.json, the list of their
 *                  paths (overlay/seed.h), written last.
 *   TASK_DB_SNAPSHOT, TASK_DB_RESTORE  {"databases": [paths]}. A snapshot lies in the world, out of the payload's
 *                  reach, and ends with it; one of the same name is replaced. Restoring is reset_rows() for each.
 *   TASK_DB_SNAPSHOTS  name, databases, bytes.
 *   TASK_BLAME     {"first": whether there was none before, "files": [{"kind", "path"}], "missed": how many more,
 *                  "databases": [as TASK_DB_DIFF has them, a few rows of each table], "problems": [{"database",
 *                  "problem"}]}. Files as TASK_DIFF lists them, but for databases, of which the rows are told.
 *   TASK_LISTENERS a JSON array: port, address, family ("ipv4", "ipv6"), pid, command (array), environment (array),
 *                  cwd; the last four null where no process was found.
 *   TASK_RESET     a JSON object on one line: files (put back: rewritten, removed, restored), bytes (of them),
 *   databases
 *                  (paths), rows_bytes, meanwhile (files that are not as they were, since somebody wrote to them
 *                  again), stays_wal (databases that programs keep in WAL mode), microseconds. All of it zero: nothing
 *                  had changed. Back to the seed; in a world that has services and no seed, to the moment when they
 *                  were all ready; else to the tree, with the rows that the databases' sources have now. Tree and HOME,
 *                  and databases: /tmp, /run, /dev/shm and volumes stay as they are. Nobody is stopped. ENOTSUP: it
 *                  cannot be done in place, and nothing was changed; after other failures it may be done in part, and
 *                  then the world is leased no more (server.c). */
#ifndef SBX_WORKER_TASK_H
#define SBX_WORKER_TASK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/worker/world.h"

enum task_kind {
	TASK_INSPECT = 1, /* fds: out. Writes describe_world()'s JSON object */
	TASK_DIFF,     /* fds: out. arguments: "table" or "json", then any absolute paths: only what lies below one */
	TASK_COPY_OUT, /* fds: host directory. arguments: path inside, name there */
	TASK_COPY_IN,  /* fds: host directory. arguments: name there, path inside */
	TASK_DB_LIST,  /* fds: out. arguments: "table" or "json" */
	TASK_DB_QUERY, /* fds: out. arguments: "table" or "json", database (path, or "" for the only one), SQL */
	TASK_KEEP,     /* fds: the kept worker's directory, out. arguments: bytes at most, or none. Copies the layers to
		    * upper-N */
	TASK_FREEZE,   /* fds: the seed's directory (empty, on disk), out. arguments: databases named, absolute paths */
	TASK_BUNDLE,   /* fds: a directory (empty, on disk), out. What a bundle is made from */
	TASK_CLONE,    /* fds: a socket. arguments: absolute paths of directories, made where they are missing */
	TASK_LISTENERS, /* fds: out. The TCP sockets that listen in the world's network */
	/* What is compared with: "" for what the world was filled with, "snapshot/NAME" of this world, or "copies" in
	 * the directory passed, as TASK_DB_COPY leaves them. A database: a path, its end, or "" for all, where one is
	 * needed for the only one. */
	TASK_DB_DIFF,	   /* fds: out, a directory. arguments: "table" or "json", database, what it is compared with */
	TASK_DB_CHANGESET, /* fds: out, a directory, a file. arguments: database, what it is compared with */
	TASK_DB_APPLY,	   /* fds: out, a file that is a changeset. arguments: database */
	TASK_DB_COPY,	   /* fds: an empty directory on the host. arguments: database, "one" or "all": what "" is */
	TASK_DB_SNAPSHOT,  /* fds: out. arguments: database, name */
	TASK_DB_RESTORE,   /* fds: out. arguments: database, name */
	TASK_DB_SNAPSHOTS, /* fds: out. arguments: "table" or "json" */
	TASK_RESET,	   /* fds: out. arguments: "all" or "rows" */
	TASK_BLAME,	   /* fds: out. What changed since it was done last */
};

enum { TASK_FDS_MAX = 4 };

struct task {
	enum task_kind kind;
	struct text_list arguments;
	int fds[TASK_FDS_MAX]; /* borrowed */
	size_t fd_count;
};

/** Does it. In a fork of PID 1 that does nothing else and ends after it.
 *  @return exit status for the command (0 as a rule), or -errno with error filled */
int task_run(const struct world *world, const struct task *task, struct error *error);

/** Keeps what the world is at this moment, for TASK_RESET: PID 1's own task, in a fork like the others. */
int task_run_keep_start(const struct world *world, struct error *error);

/** Whether a reset was begun in this world that did not come to its end. */
bool task_is_reset_unfinished(const struct world *world);

/** TASK_LISTENERS, of the network and the processes that the caller sees: on the host as well, unconfined. */
int task_listeners(int out_fd, struct error *error);

/** Gives up what reading needs no more: all capabilities (NO_NEW_PRIVS as well), and every system call that the READER
 *  filter does not name, which kills from then on. @return 0 or -errno */
int task_confine(struct error *error);

#endif
