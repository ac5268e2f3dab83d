/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that somebody is using: claimed by flock(2) on the directory itself.
 *
 * A disk upper, a kept worker that is being written or entered again, a piece of trash being removed: each is a
 * directory that must not be touched by others while its user lives and may be removed by anybody once it does not. The
 * lock lives on the open file description, so it follows the descriptor over clone (sbx and the world's PID 1 share
 * it), ends with the last of them however they end, and is seen across pid namespaces and containers that share a home
 * directory, which no process id in a file is. */
#ifndef SBX_REGISTRY_CLAIM_H
#define SBX_REGISTRY_CLAIM_H

#include <stdbool.h>

#include "base/error.h"

/** Makes the directory `name` below `parent_fd`, mode 0700, claimed. Safe against collectors, which take what is not
 *  claimed. @ret_fd the claim, the caller's: kept open for as long as the directory is used   Errors: EEXIST, as
 * mkdir(2) */
int claim_make(int parent_fd, const char *name, int *ret_fd, struct error *error);

/** Claims one that exists. @ret_fd as above   @return 0, -EBUSY somebody uses it, -ENOENT, -ENOTDIR (a symlink too);
 * `error` is filled */
int claim_take(int parent_fd, const char *name, int *ret_fd, struct error *error);

/** Whether `name` below `parent_fd` still is what `fd` stands for. */
bool claim_is_at(int parent_fd, const char *name, int fd);

/** Removes a claimed directory of the state directory: moved to the trash first, so that it is gone at once and whole,
 * or where it is if it cannot be moved. What then stays in the trash is the next collector's, and no error.
 *  @path  relative to state_fd: "kept/ID"   @fd  the claim; stays the caller's   Errors: ENOENT, as unlinkat(2) */
int claim_remove(int state_fd, const char *path, int fd, struct error *error);

#endif
