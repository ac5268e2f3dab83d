/* SPDX-License-Identifier: Apache-2.0 */
/* How long each item of a list took last time, kept for the order of the next run: the longest first, so that none of
 * them begins when the others are done. A file in the state directory for each tree and command.
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

/** Opens the file for these words, made where it is missing; the oldest ones go when there are many.
 *  @ret_fd  the caller's, to be read and written   Errors: of the state directory */
int times_open(char *const *words, size_t count, int *ret_fd, struct error *error);

/** What is in there; nothing where it is none of ours. @fd  -1: nothing */
void times_read(int fd, struct times *ret_times);
/** @return false: not known */
bool times_find(const struct times *times, const char *item, uint64_t *ret_ms);
/** Replaces it. An interrupted write is read as nothing. @fd  -1: nothing is done   @ms  of each item */
void times_write(int fd, char *const *items, const uint64_t *ms, size_t count);

#endif
