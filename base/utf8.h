/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 has it (no overlong forms, no surrogates), and how wide a terminal shows it.
 *
 * wcwidth(3) is of no use here: it needs a locale, and a static program that has none takes every byte above 0x7f for
 * unprintable. */
#ifndef SBX_BASE_UTF8_H
#define SBX_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/** Decodes the character at `bytes`, of which `size` may be read.
 *  @ret_code  its code point; untouched where there is none
 *  @return its length, 1 to 4, or 0: not UTF-8, cut off, or size is 0 */
size_t utf8_decode(const char *bytes, size_t size, uint32_t *ret_code);

/** Encodes a code point that is no surrogate and at most U+10FFFF. @return the length, 1 to 4 */
size_t utf8_encode(uint32_t code, char bytes[static 4]);

/** Columns that a terminal gives a code point: 0 (combining, joiner), 1, or 2 (East Asian wide, emoji). */
unsigned utf8_width(uint32_t code);

/** Columns of a text; a byte that is not UTF-8 counts 1. */
size_t utf8_text_width(const char *text);

/** Length in bytes of the longest beginning of `text` that is at most `width_max` columns wide; combining characters
 *  stay with the one they follow. */
size_t utf8_length_of_width(const char *text, size_t width_max);

#endif
