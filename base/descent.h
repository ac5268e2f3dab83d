/* SPDX-License-Identifier: Apache-2.0 */
/* A way down a tree of directories and back up, of any length, with few descriptors and no recursion.
 *
 * Only the first and the last DESCENT_OPEN_MAX levels of the way are open. A level above them is opened again through
 * ".." on the way back, and must be the very directory it was (device and inode): who moves directories about meanwhile
 * gets -ESTALE, never a walk through somewhere else. Names are resolved one at a time with openat2(2): no symbolic link
 * is followed and, unless asked, no mount is crossed. The kernel's RESOLVE_NO_XDEV sees bind mounts of the same file
 * system too, which a comparison of st_dev does not, and is not misled by overlayfs, where it differs without a mount.
 *
 * Each level can be listed; the place in the listing survives the closing of its descriptor. */
#ifndef SBX_BASE_DESCENT_H
#define SBX_BASE_DESCENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/text.h"

enum {
	DESCENT_OPEN_MAX = 16,
	DESCENT_DEPTH_MAX = 65536, /* a tree that grows faster than it is walked comes to an end */
};

enum descent_rule {
	DESCENT_CROSS_MOUNTS = 1 << 0,
	/* A directory that may be searched but not read is entered too; listing it is -EACCES. */
	DESCENT_UNREADABLE = 1 << 1,
};

struct descent_level {
	int fd; /* -1: closed for now */
	dev_t device;
	ino_t inode;
	off_t next;    /* where the listing goes on, as getdents64(2) gave it */
	char *names;   /* what of it was read ahead; NULL: nothing */
	size_t used;   /* … of which this much was handed out */
	size_t filled; /* … and this much is there */
	size_t path_length;
};

struct descent {
	struct descent_level *levels;
	size_t depth; /* 1: at the start */
	size_t capacity;
	unsigned rules;
	struct text_buffer path;
};

/** Starts at the directory `fd`, borrowed, O_PATH or AT_FDCWD will do. It may be unreadable under any rules.
 *  @rules  of enum descent_rule   @return 0 or -errno; to be ended with descent_end() in any case */
int descent_start(struct descent *descent, int fd, unsigned rules);
void descent_end(struct descent *descent);
#define owned_descent __attribute__((cleanup(descent_end))) struct descent

/** Enters a directory of the last level; "." is one.
 *  @ret_status  of it; may be NULL
 *  @return 0 or -errno: -ENOTDIR or -ELOOP it is none, -EXDEV a mount, -ENAMETOOLONG deeper than DESCENT_DEPTH_MAX */
int descent_enter(struct descent *descent, const char *name, struct stat *ret_status);

/** Goes back one level; not from the start.
 *  @ret_left_fd  the directory that was left, the caller's; NULL: it is closed
 *  @return 0, 1: the level had to be opened again, or -errno (-ESTALE), after which only descent_end() is possible */
int descent_leave(struct descent *descent, int *ret_left_fd);

/** The last level, borrowed. */
int descent_fd(const struct descent *descent);
/** The first level, borrowed: open all the time. */
int descent_start_fd(const struct descent *descent);
/** The way from the start, names joined by slashes; "" at the start. Valid until the next call. */
const char *descent_path(const struct descent *descent);
/** The name of the last level, "" at the start. Valid as descent_path(). */
const char *descent_name(const struct descent *descent);

/** The next name of the last level, in the file system's order, without "." and "..".
 *  @ret_name  valid until the next call on this descent   @return 1, 0 at the end, or -errno */
int descent_next(struct descent *descent, const char **ret_name);
/** Lets the listing of the last level begin anew. */
void descent_rewind(struct descent *descent);

/** Opens an entry of the last level under the same rules; CLOEXEC, NOFOLLOW and, but for O_PATH, NONBLOCK and NOCTTY
 *  are added: a pipe of that name does not block. O_NOATIME is a wish. @return fd or -errno */
int descent_open(const struct descent *descent, const char *name, int flags);

/** Sets permission bits of an entry of the last level, which must be the one described by `status`; no symbolic link is
 * followed. Needs kernel 6.6 or a mounted /proc. @return 0 or -errno (-ESTALE: it is another one by now) */
int descent_set_mode(const struct descent *descent, const char *name, const struct stat *status, mode_t mode);

#endif
