/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of this process, as the kernel counts it.
 *
 * sbx has two processes for each world that do nothing for as long as it lives. What they needed to set it up stays
 * theirs (pages of the heap, of the stack), a hundred KiB a world, unless they say that they need it no more. */
#ifndef SBX_BASE_MEMORY_H
#define SBX_BASE_MEMORY_H

/* Who has waited so long waits on: what is given back sooner is only needed again. */
enum { MEMORY_IDLE_MS = 1000 };

/** Gives back to the kernel the free pages of the heap and of the stack below the caller. Nothing is lost; what is
 *  needed again costs a page fault. malloc_trim(3), madvise(2) MADV_DONTNEED. */
void memory_give_back(void);

#endif
