/* SPDX-License-Identifier: Apache-2.0 */
/* What an idle process gives back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "base/memory.h"

enum { BLOCKS = 64, BLOCK_BYTES = 8 << 10, DEPTH = 20, FRAME_BYTES = 8 << 10 };

/* AddressSanitizer keeps what was freed, to see it used: only the stack's part goes back then. */
#if defined(__SANITIZE_ADDRESS__)
enum { FREED_BYTES = 0 };
#else
enum { FREED_BYTES = BLOCKS * BLOCK_BYTES };
#endif

static unsigned long anonymous_kib(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	char line[256];
	unsigned long kib = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "Anonymous:", strlen("Anonymous:")) == 0)
			kib = strtoul(line + strlen("Anonymous:"), NULL, 10);
	(void)fclose(file);
	assert_int_not_equal(kib, 0);
	return kib;
}

static void use_heap(void)
{
	void *blocks[BLOCKS];
	void *pin;

	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		blocks[i] = malloc(BLOCK_BYTES);
		assert_non_null(blocks[i]);
		memset(blocks[i], 1, BLOCK_BYTES);
	}
	/* Without it free(3) might shrink the heap by itself. */
	pin = malloc(1);
	assert_non_null(pin);
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		free(blocks[i]);
	free(pin);
}

static int use_stack(int depth)
{
	volatile char frame[FRAME_BYTES];

	memset((char *)(uintptr_t)frame, depth, sizeof(frame));
	return depth == 0 ? frame[0] : use_stack(depth - 1) + frame[sizeof(frame) - 1];
}

static void test_what_is_free_goes_back(void **state)
{
	unsigned long used;
	unsigned long left;

	(void)state;
	use_heap();
	assert_int_not_equal(use_stack(DEPTH), 0);
	used = anonymous_kib();
	memory_give_back();
	left = anonymous_kib();
	/* All but some pages that are used at the borders. */
	assert_in_range(left, 0, used - (FREED_BYTES + DEPTH * FRAME_BYTES) / 1024 + 128);
}

static void test_what_is_in_use_stays(void **state)
{
	char mine[FRAME_BYTES];
	char *block = malloc(BLOCK_BYTES);

	(void)state;
	assert_non_null(block);
	memset(mine, 7, sizeof(mine));
	memset(block, 7, BLOCK_BYTES);
	memory_give_back();
	assert_memory_equal(mine, block, sizeof(mine));
	assert_int_equal(block[BLOCK_BYTES - 1], 7);
	free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_free_goes_back),
		cmocka_unit_test(test_what_is_in_use_stays),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
