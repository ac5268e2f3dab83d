/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers share. Each fuzz_INPUT.c feeds one kind of outside input to the functions that read it, and aborts
 * where they break a promise of their header; the sanitizers see the rest. libFuzzer calls fuzz_one() (`make fuzz
 * FUZZ=INPUT`), and so does replay.c, which any compiler builds, for the files of corpus/INPUT (`make fuzz-replay`). */
#ifndef SBX_TESTS_FUZZ_FUZZ_H
#define SBX_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

/** libFuzzer's entry: 0, always. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As assert(3), which a build may leave out. */
#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                        \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

/** The input as a string, in memory of just its size, so that a byte read behind it is seen. @return the caller's */
char *fuzz_text(const uint8_t *data, size_t size);

/** The next part of the input, up to a NUL or its end, as a string. @return the caller's; "" where nothing is left */
char *fuzz_part(const uint8_t **data, size_t *size);

/** A directory in memory for functions that read files, made once a process. @return its descriptor, borrowed */
int fuzz_directory(void);
/** Writes the input to a file in it. */
void fuzz_write(const char *path, const void *data, size_t size);

#endif
