/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: resolved once, into a descriptor, with a named set of rules; plus the little text work that is left. */
#ifndef SBX_BASE_PATH_H
#define SBX_BASE_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* How openat2(2) may resolve. */
enum path_rule {
	PATH_FOLLOW,	 /* symlinks followed, magic links of /proc not */
	PATH_NO_SYMLINK, /* no symlink anywhere in the path */
	PATH_BENEATH,	 /* never out of the directory, no symlink */
};

/** Opens `path` below `dirfd`; CLOEXEC and NOCTTY are added. @return fd or -errno */
int path_open(int dirfd, const char *path, int flags, mode_t mode, enum path_rule rule);

/** The canonical absolute path of what `path` (relative to the current directory) names. realpath(3) without its limit
 * of 4,096 bytes: the kernel's own answer for an opened descriptor. @ret_path the caller's   @return 0 or -errno */
int path_canonical(const char *path, char **ret_path);
/** The same of the current directory, with the words that a user needs where it is gone. */
int path_find_current(char **ret_path, struct error *error);
/** The same for an open descriptor. ENOENT: it was deleted. */
int path_of_fd(int fd, char **ret_path);

/** Whether `path` is `directory` or lies below it; both absolute and without "." and "..". */
bool path_is_below(const char *path, const char *directory);
/** What follows `directory` in `path`, "" for itself; only if path_is_below(). */
const char *path_below(const char *path, const char *directory);
/** `directory`/`name` without a doubled slash. */
char *path_join(const char *directory, const char *name);
/** The part before the last slash ("/" at least). */
char *path_parent(const char *path);
/** The part after the last slash. */
const char *path_name(const char *path);
/** Absolute and without ".", ".." and doubled slashes, as text: symlinks are not looked at. `base` absolute. */
char *path_normal(const char *base, const char *path);

/** Makes each missing directory of `path` below `dirfd`, symlinks followed. @return 0 or -errno */
int path_make_directories(int dirfd, const char *path, mode_t mode);

#endif
