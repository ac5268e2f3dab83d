/* SPDX-License-Identifier: Apache-2.0 */
/* Lock files: the truth about which workers live.
 *
 * How it works. Each live worker has one file, "lock.NAME", in the runtime directory. Its directory entry reserves the
 * name (O_EXCL), its flock(2) says that the worker lives, its content is the worker's row. Sbx makes it before clone,
 * so that sbx and the world's PID 1 share one open file description: the lock is held for exactly as long as one of
 * them lives, whatever ends them, and neither a reused process id nor a reboot can fool anybody.
 *
 *   LOCK_EX (flock)       held by the living, by nobody else, ever
 *   LOCK_SH (flock)       tried for a moment by whoever asks; got it = the worker is dead, or not born yet
 *   F_OFD_SETLK, write    held by a collector on top of LOCK_SH: one at a time may unlink a dead worker's file
 *
 * flock and fcntl locks do not see each other on a local file system, so asking and collecting never look like living.
 * A maker that meets a collector between its open and its lock waits for it, finds its file unlinked, and makes
 * another.
 *
 * The row is one line of JSON, padded with spaces to a multiple of ROW_ALIGNMENT and ended by a newline, written by one
 * pwrite(2). That is not atomic against a reader: a checksum in its first member tells a torn row, and readers retry.
 *
 * A file name of its own for the socket of a worker ("socket.NAME") is given here, too, because it is removed with the
 * lock. Names begin with a letter or digit, so the prefixes cannot collide. */
#ifndef SBX_REGISTRY_LOCK_H
#define SBX_REGISTRY_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/registry/row.h"

enum {
	ROW_ALIGNMENT = 4096,
	ROW_SIZE_MAX = 64 << 10,
};

#define LOCK_PREFIX	    "lock."
#define SOCKET_PREFIX	    "socket."
#define LOCK_FILE_NAME_SIZE (sizeof(SOCKET_PREFIX) + NAME_LENGTH_MAX)

/* A held lock. {.fd = -1}: none. */
struct lock {
	int fd;		  /* CLOEXEC; PID 1 has it by being a copy of the caller */
	int directory_fd; /* borrowed: must outlive the lock */
	size_t size;	  /* of the file */
	char name[NAME_LENGTH_MAX + 1];
};

/** Makes the lock file of a new worker, locked, with its row in it. Fills row->id, started_ns and sbx_pid, and the name
 * and run where they are NULL, with the id. A name whose holder is just ending is waited for, 100 ms at most.
 *  @directory_fd  the runtime directory, borrowed
 *  @return 0; -EEXIST: a live worker has that name; -EINVAL: no legal name; anything else: the directory cannot be
 * used, and the worker can run unlisted */
int lock_create(int directory_fd, struct worker_row *row, struct lock *ret_lock, struct error *error);

/** Replaces the row. A command too long for it is cut. By one process only. */
int lock_write_row(struct lock *lock, const struct worker_row *row, struct error *error);

/** Replaces the ports in the row, through the lock's own descriptor: for PID 1, which has nothing else of it, once the
 *  maker writes no more. @return 0 or -errno */
int lock_replace_ports(int lock_fd, const struct text_list *ports, struct error *error);

/** Gives a live worker another name: its files move, and nobody takes it for dead meanwhile. The row is the caller's
 *  next step. By its maker only.
 *  Errors: EEXIST, a live worker has that name; EINVAL, no legal one; of rename(2), and it has its old name still */
int lock_rename(struct lock *lock, const char *name, struct error *error);

/** The end of the worker: removes its files and lets go. Takes the empty value and a second call. */
void lock_release(struct lock *lock);

/** Lets go without removing: PID 1 holds on. */
void lock_close(struct lock *lock);

/** The file name of the worker's socket. Returns `file`. */
char *lock_socket_name(const char *name, char file[static LOCK_FILE_NAME_SIZE]);

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

struct lock_entry {
	char name[NAME_LENGTH_MAX + 1];
	size_t directory; /* index into what was listed */
	bool is_live;
	bool has_row; /* else it is being born, or was written by another program */
	struct worker_row row;
};

struct lock_list {
	struct lock_entry *items;
	size_t count;
};

void lock_list_release(struct lock_list *list);
#define owned_lock_list __attribute__((cleanup(lock_list_release))) struct lock_list

/** Reads all lock files, live and stale, of several runtime directories, oldest worker first. Disturbs nobody.
 *  @ret_list  the caller's   @return 0 or -errno of reading a directory */
int lock_list(const int *directory_fds, size_t directory_count, struct lock_list *ret_list, struct error *error);

/** The same by name and without the rows, for whoever wants to know only who lives: each start does, and a thousand
 *  workers that start at once have a million rows. */
int lock_list_names(const int *directory_fds, size_t directory_count, struct lock_list *ret_list, struct error *error);

/** Reads one lock file. @ret_entry  to be released with its row   @return 1; 0: there is none; or -errno */
int lock_read(int directory_fd, const char *name, struct lock_entry *ret_entry);

/** Whether a live worker holds this lock file. @return 1, 0 (stale or missing), or -errno */
int lock_is_held(int directory_fd, const char *name);

/** Waits until no live worker holds this lock file any more. That there is none is success. */
int lock_wait(int directory_fd, const char *name, struct error *error);

/* ---- Collecting -------------------------------------------------------------------------------------------------- */

/** Removes what a dead worker left: its directory below --scratch DIR, its socket, its lock file, in this order, so
 * that a collector that is killed leaves the pointer to the rest.
 *  @return 0, -EBUSY (its worker lives, or another collector is at it), -ENOENT */
int lock_collect(int directory_fd, const char *name, struct error *error);

#endif
