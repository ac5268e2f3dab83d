/* SPDX-License-Identifier: Apache-2.0 */
/* A seed: a frozen set of changes on top of the tree, made once, the start of many worlds.
 *
 * It is a directory on a file system that takes user attributes:
 *   upper-N/   what was written, one for each layer of the world it was made in, as layers_prepare() numbers them
 *   layers     which directory each belongs to: layers_write_names()
 *   seed.json  {"databases": [paths]}: those that stand in an upper-N as consistent, checked copies without sidecars
 *   seed.json is written last: without it the seed was never finished
 * A world takes upper-N as a lower layer above its own lower one; a database in it is copied into the world's writable
 * layer before the mount, since a live database must never show through from a lower layer (finding 12).
 *
 * overlayfs refuses a lower layer that lies in another one (ELOOP, ovl_check_overlapping_layers()): of a seed below
 * HOME, HOME's layer is copied into each world instead. So its place is better outside of HOME and the tree. */
#ifndef SBX_OVERLAY_SEED_H
#define SBX_OVERLAY_SEED_H

#include "base/error.h"
#include "base/text.h"

/* Beside a kept worker's own layers, in the same form: what it started from. */
#define SEED_BESIDE "seed"

struct seed {
	char *path; /* absolute: overlay layers must be opened in the world's own mount namespace */
	struct text_list databases;
};

/** Reads one. @ret_seed seed_release()   Errors: ENOENT, EBADMSG */
int seed_open(const char *path, struct seed *ret_seed, struct error *error);
void seed_release(struct seed *seed);

/** The databases of one whose directory is open. @ret_databases the caller's   Errors: as seed_open() */
int seed_read_databases(int directory_fd, struct text_list *ret_databases, struct error *error);

/** Lists the directories that the seed's layers belong to, upper-0's first. @seed_fd borrowed   @ret_paths added to
 *  Errors: ENOENT, EBADMSG */
int seed_read_layers(int seed_fd, struct text_list *ret_paths, struct error *error);

/** Writes seed.json. @directory_fd borrowed */
int seed_write(int directory_fd, const struct text_list *databases, struct error *error);

#endif
