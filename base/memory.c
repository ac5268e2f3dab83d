/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* As much of the stack as is looked at. Below a stack the kernel keeps more than that free (stack_guard_gap, 1 MiB), so
 * that nothing else is hit. */
enum { STACK_BYTES = 256 << 10 };

void memory_give_back(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	char *here = __builtin_frame_address(0);
	/* The page of this frame and the one below, which calls from here use. */
	char *end = here - ((uintptr_t)here & (page - 1)) - page;

	(void)malloc_trim(0);
	/* Pages that are not mapped are passed over, and told as ENOMEM at the end. */
	(void)madvise(end - STACK_BYTES, STACK_BYTES, MADV_DONTNEED);
}
