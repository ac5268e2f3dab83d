/* SPDX-License-Identifier: Apache-2.0 */
/* Writable layers as directories: copied so that they can serve again, measured, probed.
 *
 *   fact  since  source                                          what follows                              test
 *   F35   6.6    tmpfs takes user xattrs                         layer_probe_xattr(), never the version    test_layer.c
 *   F47   5.8    vfs_mknod(): WHITEOUT_DEV                       whiteouts are copied without privilege    test_layer.c
 *   F48   6.7    overlayfs.rst "Nesting overlayfs mounts"        what a payload set stays escaped          test_layer.c
 *   F49   -      reading the upper while mounted is fine         a live worker's layer can be copied       test_layer.c
 */
#ifndef SBX_OVERLAY_COPY_H
#define SBX_OVERLAY_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "base/tree.h"

struct layer_copy_options {
	uint64_t bytes_max;   /* of data; 0: no limit */
	uint64_t entries_max; /* 0: no limit */
	/* Whiteouts that sbx itself put there (credential stores), relative to the layer; may be NULL. */
	const struct text_list *marks;
	bool skip_marks; /* leave them out; else they are kept, as every whiteout is */
	bool keep_setid; /* else the setuid and setgid bits of files are dropped: the copy lies on the host's own disk
			  */
	tree_entry_filter *filter; /* leaves out more (database sidecars …); may be NULL */
	void *filter_data;
};

/** Copies a writable layer to a new directory, which can then be a lower layer, or an upper one with a fresh work
 * directory. Whiteouts and opaque directories are kept. overlayfs's other attributes, which are valid for the old mount
 * only, are dropped. What a program in the worker set under these names stays escaped: unescaped it would command the
 * next mount. Files and directories closed to their owner are copied too. On failure nothing is left.
 *  @upper_fd     borrowed, O_PATH will do; may be mounted; who still writes there gets a copy of no single instant
 *  @target_name  one path component, must not exist; on a file system with user attributes, not on an overlay
 *  @ret          may be NULL
 *  Errors: EEXIST, EOPNOTSUPP no user attributes there, and those of tree_copy(). */
int layer_copy(const struct layer_copy_options *options, int upper_fd, int target_parent_fd, const char *target_name,
	       struct tree_copy_result *ret, struct error *error);

/** Lays a writable layer over the copy of the one below it, so that both become one layer: what the upper one removed
 * or replaced is taken away, and its whiteouts and opaque directories are kept, for what lies below both.
 *  @target_name  as layer_copy() made it; left half done on failure   Otherwise as layer_copy(). */
int layer_merge(const struct layer_copy_options *options, int upper_fd, int target_parent_fd, const char *target_name,
		struct tree_copy_result *ret, struct error *error);

/** Whether the file system of this directory can hold a writable layer: it takes user.overlay.… attributes.
 *  @dirfd  O_PATH will do; must be writable   @return 1, 0 or -errno */
int layer_probe_xattr(int dirfd);

/** Marks a directory in a writable layer as hiding what lies below it, before the mount. Of anything but a directory
 * that is true already: it succeeds.
 *  @name  one path component */
int layer_make_opaque(int parent_fd, const char *name, struct error *error);

/** For tree_copy() of plain files into a writable layer: leaves out attributes that overlayfs would take for its own.
 */
int layer_plain_attribute(void *data, const struct tree_entry *entry, const char *attribute, const void *value,
			  size_t size);

/** What a layer takes of its file system. Directories that cannot be read count as empty; who writes meanwhile may be
 * half counted.
 *  @ret_bytes  allocated, a file with several names once   @ret_entries  whiteouts included, the root not */
int layer_size(int upper_fd, uint64_t *ret_bytes, uint64_t *ret_entries, struct error *error);

#endif
