/* SPDX-License-Identifier: Apache-2.0 */
/* The copy-on-write view of directories: which overlays there are, and how they are made and mounted.
 *
 * Life cycle, all of it inside the world's own mount namespace, in this order: layers_open() with the paths wanted,
 * layers_prepare() makes the writable directories, then what must be there before the app sees it is put into them
 * (layers_hide(), layers_place()), layers_mount() mounts. Afterwards the descriptors stay: the writable layer can be
 * read while mounted, never written (finding 49).
 *
 *   fact  since  source                                  what follows                        test
 *   F9    5.11   overlayfs.rst "userxattr"; fs/overlayfs  layers are named /proc/self/fd/N    001-run.bats
 *   F22   -      clone_private_mount(), fs/namespace.c    a mount below a layer: split        020-layers.bats
 *   F36   -      overlayfs.rst "redirect_dir"             one overlay where it can be one     001-run.bats
 *   F10   5.10   overlayfs.rst "Volatile mount"           work directories are never reused   020-layers.bats
 *   F38   -      FILESYSTEM_MAX_STACK_DEPTH, linux/fs.h   two overlays, not three: named      020-layers.bats */
#ifndef SBX_OVERLAY_LAYERS_H
#define SBX_OVERLAY_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"

enum layer_kind {
	LAYER_OVERLAY, /* the lower directory, merged with a writable one */
	LAYER_PLAIN,   /* a writable directory alone: an empty HOME, the frame of a split directory, a copy */
	LAYER_BIND,    /* part of a split directory that is only shown, read-only */
};

/* What a directory is for: decides how it is split when a mount lies below it (finding 37). */
enum layer_purpose {
	LAYER_FOR_COPY,	 /* filled by the caller: part of an overlay where it lies in one, else LAYER_PLAIN */
	LAYER_FOR_TREE,	 /* each name in it gets one, its files are copied; an error names a mount further down */
	LAYER_FOR_HOME,	 /* the usual writable directories get one, the rest is shown read-only */
	LAYER_FOR_OTHER, /* a database's directory, -v …:O: not split, an error names the mount */
};

/* Which names a directory may hold: what is not in here is not there. */
struct layer_names {
	bool is_read;
	bool is_whole; /* else nothing is known */
	uint64_t bits[64];
};

/* The directories that most of the hidden paths lie in. */
enum layer_listed { LISTED_ROOT, LISTED_CONFIG, LISTED_SHARE, LISTED_COUNT };

struct layer {
	enum layer_kind kind;
	char *path;   /* absolute, canonical: where the worker sees it */
	int lower_fd; /* its lower directory, O_PATH; -1: none */
	int upper_fd; /* its writable directory; -1: LAYER_BIND */
	int work_fd;  /* overlayfs's own; closed once mounted */
	int seed_fd;  /* its directory in the seed, O_PATH; -1: none */
	/* The seed's directory is a lower layer of the mount. Else what it holds is in the writable one, too. */
	bool is_stacked;
	struct layer_names names[LISTED_COUNT];
	bool is_file;	  /* LAYER_BIND of a file */
	bool takes_files; /* the frame of a split directory in which files are the worker's own copies */
};

/* What a split leaves out: credentials, and databases with what lies beside them. Borrowed until layers_close(); NULL:
 * none. Not copied, since no more than one start in many needs them. */
struct layers_skip {
	const struct text_list *paths; /* absolute */
	const struct text_list *databases;
};

enum layers_place_of_making {
	LAYERS_SOMEWHERE,  /* nothing is left mounted before layers_mount() */
	LAYERS_IN_A_WORLD, /* in a mount namespace that ends with the layers: what would only cost time to undo stays */
};

bool layers_skips(const struct layers_skip *skip, const char *path);

struct layers {
	struct layer *items; /* parents before what lies in them */
	size_t count;
	bool is_split; /* some directory had to be split: said in `inspect` */
	struct layers_skip skip;
	enum layers_place_of_making made;
	struct text_list hidden; /* paths hidden by layers_hide(), absolute: diff and seeds skip them */
	/* What layers_hide() met that no writable layer holds: shown by the root or read-only, to be covered. */
	struct text_list outside;
};

struct layer_request {
	const char *path;   /* absolute, canonical */
	const char *source; /* its lower directory if that is another; NULL: path itself */
	enum layer_purpose purpose;
	bool without_lower; /* an empty directory: LAYER_PLAIN */
};

/** Opens the layers for the paths asked for. A path that lies below another on the same file system becomes a part of
 * it.
 *  @made  LAYERS_IN_A_WORLD: the caller's mount namespace is changed
 *  Errors: EINVAL naming the mount that lies below and the remedy. To be closed with layers_close() in any case. */
int layers_open(struct layers *layers, const struct layer_request *requests, size_t count,
		const struct layers_skip *skip, enum layers_place_of_making made, struct error *error);
void layers_close(struct layers *layers);

enum seed_use {
	SEED_STARTS,   /* the layers start from it */
	SEED_COMPARES, /* they hold it already: it says what they started from */
};

/** Takes the seed (overlay/seed.h) for the layers, which must be the ones that it was made of. Between layers_open()
 *  and layers_prepare(). A layer that is not stacked (no overlay, or the seed lies inside its lower directory) gets a
 *  copy in layers_prepare(); a caller may make that so for others, too.
 *  @seed_fd  borrowed, O_PATH will do; opened in this mount namespace
 *  Errors: ESTALE they are not; EBADMSG it has no such layer */
int layers_take_seed(struct layers *layers, int seed_fd, enum seed_use use, struct error *error);

/** Makes upper-N and work-N for each layer below `base_fd`, which lies on a file system that takes user xattrs.
 * Existing upper-N (a kept worker's) are taken as they are, work-N are always new.
 *  Errors: ESTALE layers_write_names() noted other layers there; as mkdir(2); of copying a split directory's files */
int layers_prepare(struct layers *layers, int base_fd, struct error *error);

/** Notes which directory each upper-N belongs to, for whoever enters them again: layers_prepare() compares. */
int layers_write_names(const struct layers *layers, int base_fd, struct error *error);
#define LAYERS_NAMES "layers"

/** Removes the work-N below `base_fd`, after the world's end. */
void layers_remove_work(int base_fd);

/** The innermost layer that holds `path` (absolute), or NULL. */
struct layer *layers_find(const struct layers *layers, const char *path);

/** The directories that a layer shows, highest first: the writable one, the seed's, the lower one.
 *  @ret_fds  borrowed   @return how many */
size_t layers_list_directories(const struct layer *layer, int ret_fds[static 3]);

/** Opens the directory of the writable layer that stands for the parent of `path`, made with the lower one's modes.
 *  @ret_parent_fd the caller's   @ret_name points into `path`
 *  @return 0, -ENOENT: no layer holds it, or the parent does not exist, -ELOOP: a symlink on the way, or -errno */
int layers_place(const struct layers *layers, const char *path, int *ret_parent_fd, const char **ret_name);

/** Hides `path`, if it exists, by a whiteout in the writable layer. What a symlink leads to is hidden too, if it lies
 * in a layer; else the way ends in `outside`.
 *  @return 1 hidden, 0 there is nothing to hide, or -errno with error filled */
int layers_hide(struct layers *layers, const char *path, struct error *error);

/** Mounts all layers at their paths. */
int layers_mount(struct layers *layers, struct error *error);

/** Opens the directory of a new mount point: exists, or is made (possible in private directories). @return fd or -errno
 */
int layers_open_target(const char *path, bool is_file);

#endif
