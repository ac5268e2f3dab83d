/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/statistics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"

void samples_release(struct samples *samples)
{
	free(samples->values);
	*samples = (struct samples){ 0 };
}

void samples_add(struct samples *samples, double value)
{
	if ((samples->count & (samples->count - 1)) == 0) {
		samples->values = reallocarray(samples->values, samples->count ? 2 * samples->count : 1,
					       sizeof(*samples->values));
		if (!samples->values)
			abort();
	}
	samples->values[samples->count++] = value;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a;
	double right = *(const double *)b;

	return (left > right) - (left < right);
}

/* Linear between the two nearest, as R's and numpy's default. */
static double quantile(const struct samples *sorted, double part)
{
	double place = part * (double)(sorted->count - 1);
	size_t below = (size_t)place;
	size_t above = MIN(below + 1, sorted->count - 1);

	return sorted->values[below] + (place - (double)below) * (sorted->values[above] - sorted->values[below]);
}

struct summary samples_summary(const struct samples *samples)
{
	struct samples sorted = { 0 };
	struct summary summary;

	assert(samples->count > 0);
	for (size_t i = 0; i < samples->count; i++)
		samples_add(&sorted, samples->values[i]);
	qsort(sorted.values, sorted.count, sizeof(*sorted.values), compare);
	summary = (struct summary){ quantile(&sorted, 0.5), quantile(&sorted, 0.25), quantile(&sorted, 0.75) };
	samples_release(&sorted);
	return summary;
}

struct summary samples_ratio(const struct samples *samples, const struct samples *reference)
{
	struct samples ratios = { 0 };
	struct summary summary;

	for (size_t i = 0; i < MIN(samples->count, reference->count); i++)
		samples_add(&ratios, samples->values[i] / reference->values[i]);
	summary = samples_summary(&ratios);
	samples_release(&ratios);
	return summary;
}
