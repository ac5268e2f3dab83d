/* SPDX-License-Identifier: Apache-2.0 */
/* A directory in /var/tmp that belongs to a claimed directory of the state directory (claim.h), for what cannot lie
 * below HOME: the seeds of a run, since overlayfs refuses a lower layer that lies inside another one (ELOOP), and HOME
 * is a lower layer of each world.
 *
 * A symbolic link "place" in the claimed directory leads there. Whoever removes the claimed directory removes the place
 * first, so what a killed sbx left is collected like all else (collect.h). Worlds have a /var/tmp of their own.
 *
 * Whoever works on what lies there without the claim (worlds that start from a named seed) holds two shared locks on
 * the place itself: flock(2), which removal takes alone, and one of fcntl(2), which can be asked for without taking it.
 * Programs that clean /var/tmp by age pass over a directory that is locked (systemd, tmpfiles.d(5)). */
#ifndef SBX_REGISTRY_PLACE_H
#define SBX_REGISTRY_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** Makes the place of a claimed directory, mode 0700. @claim_fd borrowed   @ret_path absolute, the caller's */
int place_make(int claim_fd, char **ret_path, struct error *error);

/** Takes the shared locks on a place that is open; they last until the last copy of the descriptor is closed.
 *  @return 0, -EBUSY it is being removed, or -errno */
int place_hold(int fd);

/** Opens the place with the shared locks, which last until the last copy of the descriptor is closed.
 *  @ret_path  absolute, the caller's
 *  @return 0, -ENOENT there is none, -EBUSY it is being removed, or -errno; `error` is not filled */
int place_share(int claim_fd, int *ret_fd, char **ret_path);

/** Whether somebody shares it. Whoever shares, removes or asks at that moment is not disturbed. */
bool place_is_shared(int claim_fd);

/** Adds the process ids of those who took its shared locks: of the sbx that started the worlds, which share it.
 *  @claim_fd  borrowed   @return how many, `max` at most; 0: nobody, or it cannot be known (/proc/locks) */
size_t place_list_sharers(int claim_fd, int64_t *ret_pids, size_t max);

/** Removes it with all that is in it; that there is none is success; -EBUSY: somebody shares it. The link is checked:
 *  only a directory of the caller's own, of the name that place_make() gives, is removed. @claim_fd borrowed */
int place_remove(int claim_fd, struct error *error);

#endif
