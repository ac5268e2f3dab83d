/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of this process's namespace, from /proc/self/mountinfo (proc(5)). Read only where something went wrong: it
 * costs a microsecond a mount. */
#ifndef SBX_OVERLAY_MOUNTINFO_H
#define SBX_OVERLAY_MOUNTINFO_H

#include <stddef.h>

#include "base/error.h"

struct mount_entry {
	char *point; /* absolute, unescaped */
	char *type;  /* "ext4", "fuse.sshfs" */
	char *options;
};

struct mount_list {
	struct mount_entry *items;
	size_t count;
};

/** Parses the text of a mountinfo file; lines that cannot be read are passed over. */
void mountinfo_parse(const char *text, struct mount_list *ret_list);
/** Reads this process's. @return 0 or -errno with error filled */
int mountinfo_read(struct mount_list *ret_list, struct error *error);
void mountinfo_release(struct mount_list *list);

/** The first mount strictly below `directory`, or NULL. */
const struct mount_entry *mountinfo_below(const struct mount_list *list, const char *directory);
/** The mount exactly at `path`, or NULL. */
const struct mount_entry *mountinfo_at(const struct mount_list *list, const char *path);
/** The mount that holds `path` (the longest that is a prefix), or NULL. */
const struct mount_entry *mountinfo_holding(const struct mount_list *list, const char *path);

#endif
