/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker changed: its writable layers, compared with what they cover.
 *
 * As `podman diff`, with two differences that serve who reads it. C means a difference that a program could see: type,
 * permission bits, bytes, link target, attributes. A file that was only opened for writing, touched, or renamed away
 * and back is copied up, and is not listed; podman lists it. And a directory is not listed because something in it
 * changed, only for its own permission bits or attributes; podman lists each parent as C. Times and owners are not
 * compared. Of a removed directory, or one replaced by something else, the directory alone is listed, not what was in
 * it; of a new one, all that is in it. */
#ifndef SBX_OVERLAY_DIFF_H
#define SBX_OVERLAY_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"

enum { DIFF_LAYERS_MAX = 16 };

enum diff_kind { DIFF_ADDED = 'A', DIFF_CHANGED = 'C', DIFF_DELETED = 'D' };

struct diff_entry {
	enum diff_kind kind;
	const char *path;   /* relative to the layers, any bytes: escaping is the printer's */
	mode_t mode;	    /* type and permissions; of what was deleted: as they were */
	uint64_t bytes;	    /* size of a regular file; 0 for others */
	int64_t changed_ns; /* when the upper layer's entry was changed last, CLOCK_REALTIME; 0: it has none */
	/* Both borrowed until the callback returns; NULL: it is not there. */
	const struct stat *status; /* as it is */
	const struct stat *before;
	size_t before_layer; /* which layer showed it; only with `before` */
};

/** Is told each difference: a directory before what is in it, names of one directory in the order of their bytes.
 *  @return 0, or anything else to end the walk: diff_layers() returns it */
typedef int diff_callback(void *data, const struct diff_entry *entry);

struct diff_request {
	const int *layers;  /* directories, highest first; borrowed, O_PATH will do */
	size_t layer_count; /* at most DIFF_LAYERS_MAX */
	size_t upper_count; /* the first of them are what changed; the others what it is compared with, may be none */
	/* The first layer after them is what the upper ones were copied from: it says what was, and not what is. */
	bool is_first_lower_held;
	/* Whiteouts that sbx itself put there, relative to the layers; what they hide counts as not there. May be NULL.
	 */
	const struct text_list *marks;

	/* For one who puts things back. */
	bool with_times;	 /* other times of change are a difference, too */
	bool with_what_was_gone; /* of a removed or replaced directory all that was in it is listed, after it */
	/* Of each entry of the upper layers before it is compared. @return whether it is known to be the same: then
	 * only what is in it is looked at. May be NULL */
	bool (*is_known)(void *data, const struct stat *status);
	/* Of each that was compared and is the same, as it was before that. May be NULL */
	void (*is_same)(void *data, const struct stat *status);
};

struct diff_result {
	uint64_t added;
	uint64_t changed;
	uint64_t deleted;
	uint64_t unreadable; /* directories that could not be looked into, or at only one side */
};

/** Walks the upper layers and tells what differs. Reading is all it does; the layers may be mounted and in use. Memory:
 * the names of the directories on the way.
 *  @ret  may be NULL; filled on failure too */
int diff_layers(const struct diff_request *request, diff_callback *callback, void *data, struct diff_result *ret,
		struct error *error);

#endif
