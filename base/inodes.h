/* SPDX-License-Identifier: Apache-2.0 */
/* Files met before: a table of (device, inode), for what has more than one name. */
#ifndef SBX_BASE_INODES_H
#define SBX_BASE_INODES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct inodes_entry {
	dev_t device;
	ino_t inode;
	bool is_used;
	/* What the table's owner notes: where the file's first copy lies, and which inode it has. */
	char *path; /* from malloc, the table's */
	ino_t copy_inode;
};

struct inodes {
	struct inodes_entry *entries; /* open addressing, at most three quarters full */
	size_t count;
	size_t capacity; /* a power of two */
};

/** Looks a file up and adds it where it is new. Aborts when there is no memory.
 *  @ret_is_new  may be NULL   @return valid until the next call */
struct inodes_entry *inodes_look_up(struct inodes *inodes, dev_t device, ino_t inode, bool *ret_is_new);
void inodes_release(struct inodes *inodes);

#endif
