/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

#include "base/macro.h"

size_t utf8_decode(const char *bytes, size_t size, uint32_t *ret_code)
{
	/* The least code point of each length: below it the form is overlong. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char lead = size > 0 ? (unsigned char)bytes[0] : 0x80;
	size_t length = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
	uint32_t code = length == 1 ? lead : lead & (0xffu >> (length + 1));

	if (length == 0 || length > size)
		return 0;
	for (size_t i = 1; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if ((byte & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (byte & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return length;
}

size_t utf8_encode(uint32_t code, char bytes[static 4])
{
	static const unsigned char leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = length - 1; i > 0; i--) {
		bytes[i] = (char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	bytes[0] = (char)(leads[length] | code);
	return length;
}

struct range {
	uint32_t first;
	uint32_t last;
};

static bool is_in(const struct range *ranges, size_t count, uint32_t code)
{
	size_t low = 0;

	while (low < count) {
		size_t middle = low + (count - low) / 2;

		if (code > ranges[middle].last)
			low = middle + 1;
		else if (code < ranges[middle].first)
			count = middle;
		else
			return true;
	}
	return false;
}

/* Whole blocks rather than each assigned character: Unicode's EastAsianWidth.txt (W, F) and general categories Mn, Me,
 * Cf, rounded to what names and commands hold. A wrong guess shifts one column of one line. */
static const struct range zero_width[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 },	  { 0x0591, 0x05bd }, { 0x0610, 0x061a }, { 0x064b, 0x065f },
	{ 0x06d6, 0x06dc }, { 0x0900, 0x0902 },	  { 0x0941, 0x0948 }, { 0x0e34, 0x0e3a }, { 0x0e47, 0x0e4e },
	{ 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },	  { 0x200b, 0x200f }, { 0x202a, 0x202e }, { 0x2060, 0x206f },
	{ 0x20d0, 0x20ff }, { 0x302a, 0x302d },	  { 0x3099, 0x309a }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
	{ 0xfeff, 0xfeff }, { 0xe0000, 0xe0fff },
};

static const struct range double_width[] = {
	{ 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x2329, 0x232a },	  { 0x23e9, 0x23ec },	{ 0x25fd, 0x25fe },
	{ 0x2614, 0x2615 },   { 0x2648, 0x2653 },   { 0x26aa, 0x26ab },	  { 0x2705, 0x2705 },	{ 0x270a, 0x270b },
	{ 0x2728, 0x2728 },   { 0x274c, 0x274c },   { 0x2753, 0x2755 },	  { 0x2795, 0x2797 },	{ 0x2e80, 0x303e },
	{ 0x3041, 0x33ff },   { 0x3400, 0x4dbf },   { 0x4e00, 0xa4cf },	  { 0xa960, 0xa97f },	{ 0xac00, 0xd7a3 },
	{ 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },	  { 0xffe0, 0xffe6 },	{ 0x16fe0, 0x18aff },
	{ 0x1b000, 0x1b2ff }, { 0x1f18e, 0x1f18e }, { 0x1f191, 0x1f19a }, { 0x1f200, 0x1f320 }, { 0x1f32d, 0x1f64f },
	{ 0x1f680, 0x1f6ff }, { 0x1f7e0, 0x1f7eb }, { 0x1f90c, 0x1f9ff }, { 0x1fa70, 0x1faff }, { 0x20000, 0x3fffd },
};

unsigned utf8_width(uint32_t code)
{
	if (code < 0x300)
		return 1;
	if (is_in(zero_width, ARRAY_SIZE(zero_width), code))
		return 0;
	return is_in(double_width, ARRAY_SIZE(double_width), code) ? 2 : 1;
}

/* The character at `text`, or the one byte that is none. Returns its length; 0 at the end. */
static size_t next_character(const char *text, unsigned *ret_width)
{
	uint32_t code;
	size_t length = utf8_decode(text, strnlen(text, 4), &code);

	if (text[0] == '\0')
		return 0;
	*ret_width = length > 0 ? utf8_width(code) : 1;
	return length > 0 ? length : 1;
}

size_t utf8_text_width(const char *text)
{
	size_t total = 0;
	size_t length;
	unsigned width;

	while ((length = next_character(text, &width)) > 0) {
		total += width;
		text += length;
	}
	return total;
}

size_t utf8_length_of_width(const char *text, size_t width_max)
{
	size_t used = 0;
	size_t total = 0;
	size_t length;
	unsigned width;

	while ((length = next_character(text + used, &width)) > 0 && total + width <= width_max) {
		total += width;
		used += length;
	}
	return used;
}
