/* SPDX-License-Identifier: Apache-2.0 */
/* Samples, and what is said of them: the median and the quartiles, which a few disturbed samples do not move. */
#ifndef SBX_TESTS_BENCH_STATISTICS_H
#define SBX_TESTS_BENCH_STATISTICS_H

#include <stddef.h>

struct samples {
	double *values; /* in the order of the rounds */
	size_t count;
};

void samples_release(struct samples *samples);
void samples_add(struct samples *samples, double value);

struct summary {
	double median;
	double low;  /* first quartile */
	double high; /* third quartile */
};

/** Of at least one sample. */
struct summary samples_summary(const struct samples *samples);

/** The same of the ratios within each round. What disturbs a whole round, another load or a change of clock speed,
 *  disturbs both and cancels out. */
struct summary samples_ratio(const struct samples *samples, const struct samples *reference);

#endif
