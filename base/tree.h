/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of files: removed and copied below descriptors.
 *
 * Whoever owns the tree may be at work in it meanwhile, and may be hostile: no symbolic link is followed, no mount is
 * crossed unless asked, nothing outside of the two directories given is reached. Depth costs no descriptors and no
 * stack (base/descent.h). Names are any bytes. Error objects are paths relative to the directory given.
 *
 *   fact  since  source                                      what follows                              test
 *   F10   -      overlayfs leaves work/work with mode 000    a closed directory of ours is opened      test_tree.c
 *   F47   5.8    vfs_mknod() in fs/namei.c: WHITEOUT_DEV     whiteouts are made without privilege      test_layer.c */
#ifndef SBX_BASE_TREE_H
#define SBX_BASE_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"

/** Removes a file or a directory with all that is in it. That there is none is success. Directories that their owner,
 * the caller, closed (mode 000) are opened first. Past what cannot be removed it goes on with the rest, and reports the
 * first failure.
 *  @parent_fd  borrowed, O_PATH or AT_FDCWD will do   @name  one path component, neither "." nor ".." */
int tree_remove(int parent_fd, const char *name, struct error *error);

/** The same in two steps: renamed into `trash` below `state_fd` (made where missing, mode 0700), so that it is gone at
 *  once, then removed. What a crash leaves there is tree_empty_trash()'s.
 *  @path  relative to state_fd, on the same file system; no symbolic link on the way, no ".." */
int tree_trash(int state_fd, const char *path, struct error *error);
/** Removes what lies in `trash` below `state_fd`; that there is none is success. */
int tree_empty_trash(int state_fd, struct error *error);

/* An entry on its way into a copy. */
struct tree_entry {
	const char *path; /* relative to what is copied; "" for that itself */
	const char *name; /* below parent_fd */
	int parent_fd;	  /* borrowed */
	const struct stat *status;
};

enum tree_decision {
	TREE_SKIP, /* the entry, and what is in it; an attribute */
	TREE_TAKE,
	TREE_TAKE_OR_FAIL, /* an attribute without which the copy would be wrong: others that the target's file system
			    * does not take are counted and left out */
};

/** Decides about an entry; is asked again when it became another in the meantime. @return an enum tree_decision, or
 * -errno with error filled: the copy ends */
typedef int tree_entry_filter(void *data, const struct tree_entry *entry, struct error *error);
/** Decides about an extended attribute, "user.…" or "system.posix_acl_…". @return an enum tree_decision */
typedef int tree_attribute_filter(void *data, const struct tree_entry *entry, const char *attribute, const void *value,
				  size_t size);

struct tree_copy_options {
	uint64_t bytes_max;   /* of data, holes not counted; 0: no limit */
	uint64_t entries_max; /* met, whether copied or not; 0: no limit */
	bool cross_mounts;    /* else the directory on which a file system is mounted is an error */
	bool keep_existing;   /* what the target has already stays as it is; directories are still merged */
	bool keep_setid;      /* else a file's setuid and setgid bits are dropped (a directory's setgid is kept) */
	bool keep_whiteouts;  /* character devices 0:0, overlayfs's mark for "removed", are made anew */
	bool skip_devices;    /* left out and counted; else a device node is an error */
	bool force_access;    /* files and directories that their owner, the caller, closed are opened for a moment */
	tree_entry_filter *filter;		 /* may be NULL */
	tree_attribute_filter *attribute_filter; /* may be NULL: all are taken */
	void *filter_data;
};

struct tree_copy_result {
	uint64_t entries;	     /* made or replaced */
	uint64_t bytes;		     /* of data, holes not counted */
	uint64_t kept;		     /* were there already, keep_existing */
	uint64_t sockets_skipped;    /* a copied socket leads nowhere */
	uint64_t devices_skipped;    /* skip_devices */
	uint64_t attributes_skipped; /* the target's file system does not take them */
	uint64_t vanished;	     /* removed by others before they could be copied */
};

/** Copies a file or a tree: data (shared extents where the file system can, holes stay holes), permission bits, times,
 * "user.…" attributes, POSIX access lists, symbolic links as they are, named pipes, hard links among what is copied.
 * Ownership is the caller's. Memory: one small record per directory on the way and per hard-linked file.
 * As `cp -a` where something is at the target: directories are merged, other things replaced, each at once by a
 * rename; a directory never takes the place of something else or the other way round. A file appears under its name
 * only when it is whole, unless the copy is interrupted. On failure the part copied so far is left.
 *  @source_name, @target_name  one path component each; "." for the directory given itself
 *  @ret     NULL: not wanted; filled on failure too
 *  Errors: EFBIG, E2BIG over the caps; EISDIR, ENOTDIR what is at the target; EXDEV a mount; ESTALE moved meanwhile;
 *  EPERM a device; EINVAL into itself; ENOSPC, EDQUOT, EACCES and others of the system calls. */
int tree_copy(const struct tree_copy_options *options, int source_parent_fd, const char *source_name,
	      int target_parent_fd, const char *target_name, struct tree_copy_result *ret, struct error *error);

/** Whether this is one path component that names an entry: not empty, no slash, neither "." nor "..". */
bool tree_is_entry_name(const char *name);

#endif
