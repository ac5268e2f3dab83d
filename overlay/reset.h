/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the files of a layer back to what it started from, under programs that run on.
 *
 * Everything is done through the mount that programs see, never in the writable directory behind it (finding 49): a
 * file that was changed is rewritten in place, so that whoever has it open reads what is there again; what was added is
 * removed, what was removed is made anew. Restored are bytes, types, permission bits, `user.…` attributes, link targets
 * and times of change. Owners are the caller's in any case. Left alone are sockets, which belong to a server that
 * lives, and what the caller says: databases, which have a way of their own (reset_rows.h), and mount points. Nobody is
 * stopped: what a program writes meanwhile stays, or is found by the next reset.
 *
 * Three steps, each for all layers before the next begins: reset_plan() finds out what is to be done, and whether it
 * can be done so; reset_apply() does it; reset_confirm() looks again and notes what is as it was. What was noted is not
 * compared again while inode number and time of the last change are the same. A file that changed within the kernel's
 * tick before it was looked at is not noted: a later change may have the same time.
 *
 * What cannot be done so is ENOTSUP with the cause, before anything was changed: more than RESET_REMOVED_MAX entries in
 * a removed directory, hard links that were torn, a working directory that is gone, directories that cannot be read.
 *
 * Where programs see the layer, as a process that may write no more than they may. */
#ifndef SBX_OVERLAY_RESET_H
#define SBX_OVERLAY_RESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "overlay/diff.h"

enum { RESET_REMOVED_MAX = 1000 };

/* Entries of a writable directory that were seen to be as they were. */
struct reset_note {
	uint64_t inode;
	int64_t changed_ns;
};

struct reset_notes {
	struct reset_note *items; /* by inode */
	size_t count;
	size_t capacity;
};

void reset_notes_release(struct reset_notes *notes);
/** Reads and writes them. None, or a damaged file, are no notes. @return 0 or -errno */
int reset_notes_read(int directory_fd, const char *name, struct reset_notes *ret_notes);
int reset_notes_write(int directory_fd, const char *name, const struct reset_notes *notes);

struct reset_layer {
	/* As for diff_layers(), with one upper layer. */
	const int *layers;
	size_t layer_count;
	bool is_first_lower_held;
	const struct text_list *marks;
	int merged_fd; /* what programs see: the root of the mount; borrowed, O_PATH will do */
	/* Working directories that were removed under a process, relative to the layer; may be NULL. */
	const struct text_list *lost;
	/* Whether an entry is not this one's business, nor what is in it. */
	bool (*is_left)(void *data, const struct diff_entry *entry);
	void *data;
};

struct reset_plan;

/** @notes     of the last confirmation; are replaced by those of this one, complete where there is nothing to do
 *  @ret_plan  the caller's, reset_plan_free()   Errors: ENOTSUP, above; those of diff_layers() */
int reset_plan_make(const struct reset_layer *layer, struct reset_notes *notes, struct reset_plan **ret_plan,
		    struct error *error);
void reset_plan_free(struct reset_plan *plan);
#define owned_reset_plan __attribute__((cleanup(reset_plan_freep))) struct reset_plan *
static inline void reset_plan_freep(struct reset_plan **plan)
{
	reset_plan_free(*plan);
}

bool reset_plan_is_empty(const struct reset_plan *plan);

struct reset_result {
	uint64_t rewritten; /* bytes, permission bits, attributes or times of what is there */
	uint64_t removed;
	uint64_t restored; /* was not there */
	uint64_t bytes;	   /* written */
};

/** @ret_result  is added to; on failure too, and then the layer is neither as it was nor as it started */
int reset_apply(const struct reset_plan *plan, struct reset_result *ret_result, struct error *error);

/** @notes  those that reset_plan_make() left, replaced   @ret_differences  what is not as it was: written meanwhile */
int reset_confirm(const struct reset_layer *layer, struct reset_notes *notes, uint64_t *ret_differences,
		  struct error *error);

#endif
