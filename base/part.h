/* SPDX-License-Identifier: Apache-2.0 */
/* What gets its name once it is whole: a file, or a directory in which others make one.
 *
 * Until then it lies beside its place as ".sbx-NUMBER.part", which nobody looks at, locked by flock(2) for as long as
 * any process has its descriptor open. So what a killed process left is known, and goes when the next one is made
 * there: nothing half made has a name, and nothing of it stays for ever. */
#ifndef SBX_BASE_PART_H
#define SBX_BASE_PART_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct part {
	int fd;	       /* to be written; -1: none */
	int parent_fd; /* borrowed */
	char *name;    /* NULL: it has its own name by now */
};

#define PART_NONE                                                                                                      \
	{                                                                                                              \
		.fd = -1, .parent_fd = -1                                                                              \
	}

/** Makes an empty one, and removes there what killed processes left of theirs.
 *  @parent_fd  of the directory, borrowed until part_close()   @mode  less the umask
 *  @ret_part   part_close() in any case   @return 0 or -errno */
int part_make_file(int parent_fd, mode_t mode, struct part *ret_part);
int part_make_directory(int parent_fd, struct part *ret_part);

/** Brings it to the disk and gives it its name, in the same directory. @inside  of a directory: the file in it that
 *  gets the name; else NULL   @return 0 or -errno; -EEXIST there is one of that name, which stays as it is */
int part_finish(struct part *part, const char *inside, const char *name);

/** Gives it its name, in place of what has that, which is there until then and is removed; a directory's place is taken
 *  by a directory alone. Nothing is brought to the disk. @return 0 or -errno */
int part_replace(struct part *part, const char *name);

/** Whether a name is that of one which has none of its own yet. */
bool part_is_name(const char *name);

/** Removes what has no name yet. Takes PART_NONE and a second call. */
void part_close(struct part *part);
#define owned_part __attribute__((cleanup(part_close))) struct part

#endif
