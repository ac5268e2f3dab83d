/* SPDX-License-Identifier: Apache-2.0 */
/* The one parser for numbers, the one for sizes, the one for durations: no sign, no space, no junk, range-checked. */
#ifndef SBX_BASE_NUMBER_H
#define SBX_BASE_NUMBER_H

#include <stdint.h>

/** Parses a whole decimal number. @return 0, -EINVAL (not a number) or -ERANGE (outside min..max) */
int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
/** Parses a size: digits with an optional unit b, k, m, g or t (powers of 1024, either case, "kb"/"kib" too).
 *  @return 0, -EINVAL, -ERANGE   @ret_bytes in bytes */
int number_parse_size(const char *text, uint64_t *ret_bytes);
/** Parses a duration: seconds with up to three decimals, or with a unit ms, s, m, h, d.
 *  @return 0, -EINVAL, -ERANGE   @ret_ms in milliseconds */
int number_parse_duration(const char *text, uint64_t *ret_ms);
/** Formats a size for people: "1.5 MiB". */
char *number_format_size(uint64_t bytes, char *text, unsigned size);

#endif
