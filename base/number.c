/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macro.h"

/* strtoull(3) takes spaces, signs and, silently, negative numbers: only digits get that far. */
static int parse_digits(const char *text, const char **ret_end, uint64_t *ret_value)
{
	char *end = NULL;
	unsigned long long value;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	*ret_end = end;
	*ret_value = value;
	return 0;
}

int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	const char *end = NULL;
	uint64_t value = 0;
	int result = parse_digits(text, &end, &value);

	if (result == -EINVAL || (result == 0 && *end != '\0'))
		return -EINVAL;
	if (result < 0 || value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int number_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct {
		const char *name;
		unsigned shift;
	} units[] = {
		{ "", 0 },     { "b", 0 },  { "k", 10 },  { "kb", 10 },	 { "kib", 10 }, { "m", 20 },  { "mb", 20 },
		{ "mib", 20 }, { "g", 30 }, { "gb", 30 }, { "gib", 30 }, { "t", 40 },	{ "tb", 40 }, { "tib", 40 },
	};
	const char *end = NULL;
	uint64_t value = 0;
	int result = parse_digits(text, &end, &value);

	if (result < 0)
		return result;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcasecmp(end, units[i].name) != 0)
			continue;
		if (value > (UINT64_MAX >> units[i].shift))
			return -ERANGE;
		*ret_bytes = value << units[i].shift;
		return 0;
	}
	return -EINVAL;
}

int number_parse_duration(const char *text, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	const char *end = NULL;
	uint64_t whole = 0;
	uint64_t thousandths = 0;
	int result = parse_digits(text, &end, &whole);

	if (result < 0)
		return result;
	if (*end == '.') {
		unsigned weight = 100;

		end++;
		if (!isdigit((unsigned char)*end))
			return -EINVAL;
		for (; isdigit((unsigned char)*end); end++, weight /= 10) {
			if (weight == 0)
				return -EINVAL;
			thousandths += (uint64_t)(*end - '0') * weight;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		/* A hundred years is beyond every timer, and leaves room for the sums below. */
		if (whole > UINT64_C(100) * 366 * 86400000 / units[i].ms)
			return -ERANGE;
		*ret_ms = whole * units[i].ms + thousandths * units[i].ms / 1000;
		return 0;
	}
	return -EINVAL;
}

char *number_format_size(uint64_t bytes, char *text, unsigned size)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(names)) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(text, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, names[unit]);
	return text;
}
