/* SPDX-License-Identifier: Apache-2.0 */
/* What a red item printed, on its way from the items' runner in R to the kept worker with its world. */
#ifndef SBX_RUN_ITEMS_OUTPUT_H
#define SBX_RUN_ITEMS_OUTPUT_H

#include <stddef.h>

enum { ITEMS_OUTPUT_TOLD_MAX = 64 << 10 }; /* its end */

/** Tells the supervisor. @events_fd  -1: nobody hears   @number  of the item */
void items_output_tell(int events_fd, unsigned number, const char *bytes, size_t size);

#endif
