/* SPDX-License-Identifier: Apache-2.0 */
/* The form of a writable layer on its file system, as overlayfs with `userxattr` writes and reads it.
 *
 *   "removed"           a character device 0:0, a whiteout
 *   "nothing below"     a directory with user.overlay.opaque=y
 *   user.overlay.…      overlayfs's own notes (origin, impure, …), for this mount alone; never seen through it
 *   user.overlay.overlay.…  what a program in the worker set as user.overlay.…: escaped since 6.7, refused before, and
 *                       shown to it under the name it knows (finding 48)
 *
 * Source: Documentation/filesystems/overlayfs.rst "whiteouts and opaque directories", "Nesting overlayfs mounts". */
#ifndef SBX_OVERLAY_FORMAT_H
#define SBX_OVERLAY_FORMAT_H

#include <stdbool.h>
#include <sys/stat.h>

#define FORMAT_OPAQUE  "user.overlay.opaque"
#define FORMAT_OWN     "user.overlay."
#define FORMAT_ESCAPED "user.overlay.overlay."

bool format_is_whiteout(const struct stat *status);

/** Whether a directory, open for reading, hides what lies below it. One that cannot be asked does not. */
bool format_is_opaque(int fd);

/** Whether programs in the worker see an attribute of a layer: it is not overlayfs's own. One that is escaped they see
 * under another name. */
bool format_is_visible(const char *attribute);

#endif
