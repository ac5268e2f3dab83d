/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU-bound program: arithmetic, and sorting more memory than the inner caches hold, for compute MILLISECONDS. Prints
 * passes per second. It makes no system calls but for the clock's, which needs none: the sandbox has no part in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/clock.h"

enum { NUMBERS = 1 << 18 }; /* 2 MiB */

static uint64_t next_random(uint64_t *state)
{
	/* xorshift64*, Marsaglia 2003 */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static void sort_by_byte(const uint64_t *from, uint64_t *to, unsigned shift)
{
	size_t starts[257] = { 0 };

	for (size_t i = 0; i < NUMBERS; i++)
		starts[(from[i] >> shift & 0xff) + 1]++;
	for (size_t byte = 0; byte < 256; byte++)
		starts[byte + 1] += starts[byte];
	for (size_t i = 0; i < NUMBERS; i++)
		to[starts[from[i] >> shift & 0xff]++] = from[i];
}

static void pass(uint64_t *numbers, uint64_t *spare, uint64_t *state)
{
	for (size_t i = 0; i < NUMBERS; i++)
		numbers[i] = next_random(state);
	for (unsigned shift = 0; shift < 64; shift += 16) {
		sort_by_byte(numbers, spare, shift);
		sort_by_byte(spare, numbers, shift + 8);
	}
}

int main(int argc, char **argv)
{
	uint64_t milliseconds = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t *numbers = calloc(NUMBERS, sizeof(*numbers));
	uint64_t *spare = calloc(NUMBERS, sizeof(*spare));
	uint64_t state = 88172645463325252;
	uint64_t passes = 0;
	uint64_t start;
	uint64_t now;

	if (!numbers || !spare || milliseconds == 0) {
		(void)fprintf(stderr, "usage: compute MILLISECONDS\n");
		return 2;
	}
	pass(numbers, spare, &state); /* the pages are there then */
	start = clock_now_ns();
	do {
		pass(numbers, spare, &state);
		passes++;
		now = clock_now_ns();
	} while (now - start < milliseconds * 1000000);
	for (size_t i = 1; i < NUMBERS; i++)
		if (numbers[i - 1] > numbers[i])
			return 1;
	(void)printf("%.3f\n", (double)passes * 1e9 / (double)(now - start));
	free(numbers);
	free(spare);
	return 0;
}
