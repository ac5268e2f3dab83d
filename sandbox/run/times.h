/* SPDX-License-Identifier: Apache-2.0 */
/* How long each item of a list took last time, kept for the order of the next run: the longest first, so that none of
 * them begins when the others are done. A file in the state directory for each tree and command, named by their hashes;
 * they belong to the runs of the tree, and go when the last of these has gone.
 *
 * It is opened on the host and filled in world R, so what it says is no more trusted than the tests. */
#ifndef SBX_RUN_TIMES_H
#define SBX_RUN_TIMES_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct times {
	struct text_list items; /* sorted */
	uint64_t *ms;
};

void times_release(struct times *times);
#define owned_times __attribute__((cleanup(times_release))) struct times

/** Opens the file for these words in this tree, made where it is missing; the oldest ones go when there are many.
 *  @ret_fd  the caller's, to be read and written   Errors: of the state directory */
int times_open(const char *tree, char *const *words, size_t count, int *ret_fd, struct error *error);

enum times_prune { TIMES_LOOK, TIMES_REMOVE };

/** Removes those of trees that are not among these. That there are none is success.
 *  @trees  of the runs that stay   @ret_names  added to: those removed, or that would be */
int times_prune(int state_fd, const struct text_list *trees, enum times_prune mode, struct text_list *ret_names,
		struct error *error);

/** What is in there; nothing where it is none of ours. @fd  -1: nothing */
void times_read(int fd, struct times *ret_times);
/** @return false: not known */
bool times_find(const struct times *times, const char *item, uint64_t *ret_ms);
/** Replaces it. An interrupted write is read as nothing. @fd  -1: nothing is done   @ms  of each item */
void times_write(int fd, char *const *items, const uint64_t *ms, size_t count);

#endif
