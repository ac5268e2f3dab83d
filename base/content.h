/* SPDX-License-Identifier: Apache-2.0 */
/* The data of regular files: copied with its holes, and compared. */
#ifndef SBX_BASE_CONTENT_H
#define SBX_BASE_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

/** Copies all data of a file into an empty one: by sharing its extents (FICLONE), else extent by extent inside the
 * kernel, else by hand; holes stay holes. A file that grows meanwhile is copied to the size it had, one that shrinks to
 * its end. A file whose size reads 0 is read to its end all the same (16 MiB at most): the kernel's own say so.
 *  @source_fd   open for reading   @target_fd  open for writing, empty
 *  @bytes_max   of data
 *  @ret_bytes   of data, holes not counted; set on failure too
 *  @return 0, 1: there is more than bytes_max, or -errno */
int content_copy(int source_fd, int target_fd, uint64_t bytes_max, uint64_t *ret_bytes);

/** Whether two files, open for reading, hold the same bytes. @return 1, 0 or -errno */
int content_equal(int a_fd, int b_fd);

#endif
