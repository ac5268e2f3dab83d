/* SPDX-License-Identifier: Apache-2.0 */
/* What in a tree will not work in a worker: looked for when somebody asks, or when a command failed; never at a start,
 * since it grows with the tree.
 *
 *   fact  since  source                                       what follows                             test
 *   F8    -      ovl_copy_up_one() -> ovl_set_attr(): an      changing such a file, or making one in   020-layers.bats
 *                owner that the user namespace does not map   such a directory, is EOVERFLOW
 *   F22   -      clone_private_mount(), fs/namespace.c        no overlay over a directory with mounts  020-layers.bats
 *
 * On the host, or in the world on lower layers. No symlink is followed, no mount crossed, nothing is changed. */
#ifndef SBX_OVERLAY_SCAN_H
#define SBX_OVERLAY_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "overlay/layers.h"

enum scan_trouble {
	SCAN_FOREIGN_OWNER, /* its owner or group is not the caller's own, the only ones that a worker knows */
	SCAN_MOUNT,	    /* something is mounted there; what is in it is not looked at */
	SCAN_UNREADABLE,    /* a directory that cannot be read; what is in it is not looked at */
};

struct scan_finding {
	enum scan_trouble trouble;
	const char *path;	   /* relative to the tree, "." for itself; any bytes; valid during the call only */
	const struct stat *status; /* of it; all zero where it could not be had */
};

struct scan_options {
	uid_t uid; /* the caller's: what a worker maps, identity.h */
	gid_t gid;
	uint64_t time_ms_max; /* 0: no limit, here and below */
	uint64_t entries_max;
	unsigned depth_max; /* 1: the tree itself and the names in it */
};

struct scan_result {
	uint64_t entries; /* looked at, the tree itself included */
	uint64_t foreign;
	uint64_t mounts;
	uint64_t unreadable;
	bool is_cut; /* a limit of the options, or the callback, ended it */
};

/** Called for each finding; an entry may have two (a foreign directory that cannot be read). @return 0 to go on, 1: to
 * end the scan */
typedef int scan_callback(void *data, const struct scan_finding *finding);

/** Looks at all entries of a tree. One system call an entry and two a directory.
 *  @tree_fd     borrowed, O_PATH will do
 *  @callback    may be NULL: only counted
 *  @ret_result  may be NULL; filled on failure too
 *  Errors: as of opening and listing the tree itself; what vanishes meanwhile is none. */
int scan_tree(int tree_fd, const struct scan_options *options, scan_callback *callback, void *data,
	      struct scan_result *ret_result, struct error *error);

/** After a command failed: whether its tree, or a name right in it, belongs to somebody whom the worker does not know,
 * so that changing it fails with EOVERFLOW ("Value too large for defined data type"), which programs report as
 * anything. Only so near, and not in HOME: what lies deeper seldom is why, and a note that is wrong as a rule is read
 * by nobody. In PID 1 or a fork of it, or on the host.
 *  @tree  absolute, canonical
 *  @note  number EOVERFLOW, object: the first such path, cause, remedy; untouched where there is none
 *  @return 1 filled, 0 nothing found */
int scan_explain_foreign(const struct layers *layers, const char *tree, uid_t uid, gid_t gid, struct error *note);

#endif
