/* SPDX-License-Identifier: Apache-2.0 */
/* The world's file system: the host's root read-only, private directories, the copy-on-write layers, volumes.
 *
 * Inside PID 1, after the id maps are written, in the order of the list in child.c. The host's root is not cloned and
 * pivoted into, as is usual: this mount namespace is a copy already, so it is made read-only in place and covered where
 * it must not show; mounts of an outer user namespace are locked (mount_namespaces(7)), so what is covered stays so. It
 * saves a recursive clone, pivot_root(2) and the detaching of the old root, and leaves no old root to forget.
 *
 * One scratch tmpfs holds all that is private (one cap for all of it). It is mounted where one of its own directories
 * covers it later (finding 55), so that no path leads to the writable layers. */
#ifndef SBX_WORKER_ROOTFS_H
#define SBX_WORKER_ROOTFS_H

#include "base/error.h"
#include "sandbox/worker/world.h"

/* Each returns 0 or -errno with `error` filled. */
int rootfs_take_volumes(struct world *world, struct error *error);
int rootfs_open_layers(struct world *world, struct error *error);
int rootfs_seal_host(struct world *world, struct error *error);
int rootfs_mount_scratch(struct world *world, struct error *error);
int rootfs_fill_layers(struct world *world, struct error *error);
int rootfs_mount_devices(struct world *world, struct error *error);
int rootfs_mount_proc(struct world *world, struct error *error);
int rootfs_protect_proc(struct world *world, struct error *error); /* its settings must be written before */
int rootfs_mount_sys(struct world *world, struct error *error);
int rootfs_mount_private(struct world *world, struct error *error);
int rootfs_mount_layers(struct world *world, struct error *error);
int rootfs_write_etc(struct world *world, struct error *error);
int rootfs_attach_volumes(struct world *world, struct error *error);
int rootfs_cover_sockets(struct world *world, struct error *error);
int rootfs_open_writable(struct world *world, struct error *error);
int rootfs_seal_homes(struct world *world, struct error *error);

#endif
