/* SPDX-License-Identifier: Apache-2.0 */
/* The results: as a table for people, as JSON for what comes after. */
#ifndef SBX_TESTS_BENCH_REPORT_H
#define SBX_TESTS_BENCH_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "tests/bench/rows.h"
#include "tests/bench/statistics.h"

struct outcome {
	const struct row *row;
	const struct row_group *group;
	char *version;	    /* of a peer; NULL: the program is ours */
	char *not_measured; /* why; NULL: it was */
	struct samples samples;
};

struct report {
	const struct outcome *outcomes; /* group by group */
	size_t count;
	uint64_t rounds;
	uint64_t seed;
};

void report_print(const struct report *report);
void report_format_json(const struct report *report, struct text_buffer *out);

#endif
