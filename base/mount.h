/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts as descriptors: open_tree(2), move_mount(2), mount_setattr(2), since kernel 5.12.
 *
 * glibc has wrappers since 2.36 only, and its <sys/mount.h> of that version collides with <linux/mount.h>: hence our
 * own thin ones. All errors are set here with the step given by the caller. */
#ifndef SBX_BASE_MOUNT_H
#define SBX_BASE_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum mount_flag {
	MOUNT_RECURSIVE = 1 << 0,
	MOUNT_READ_ONLY = 1 << 1,
	MOUNT_NO_SUID = 1 << 2,
	MOUNT_NO_DEVICES = 1 << 3,
	MOUNT_NO_EXEC = 1 << 4,
	MOUNT_PRIVATE = 1 << 5, /* nothing propagates in or out any more */
};

/** Clones the mount at `path` below `dirfd` ("" for dirfd itself) as a detached one, with all below it where `flags`
 * has MOUNT_RECURSIVE. Non-recursive is EINVAL in a user namespace when locked mounts lie below: mount_namespaces(7).
 *  @return a descriptor of the caller's, or -errno (bare: the caller knows the step) */
int mount_clone(int dirfd, const char *path, unsigned flags);

/** Attaches a detached mount, or moves an attached one, onto the object `target_fd` stands for. @return 0 or -errno */
int mount_attach(int mount_fd, int target_fd);

/** Sets attributes of the mount at `path` below `dirfd`. @return 0 or -errno */
int mount_restrict(int dirfd, const char *path, unsigned flags);

/** Binds the directory or file `source_fd` onto `target_fd`, restricted by `flags`. @return 0 or -errno */
int mount_bind(int source_fd, int target_fd, unsigned flags);

#endif
