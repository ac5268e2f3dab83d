/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/report_html.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "sandbox/run/report.h"

/* ---- escaping ---- */

#define ESC '\x1b'

/* The length of a terminal's sequence at `text`, which begins with ESC: ECMA-48, 5.4 (CSI) and 8.3.89 (OSC). */
static size_t sequence_length(const char *text)
{
	size_t length = 1;

	if (text[1] == '[') {
		for (length = 2; text[length] >= 0x20 && text[length] <= 0x3f; length++)
			;
		return text[length] >= 0x40 && text[length] <= 0x7e ? length + 1 : length;
	}
	if (text[1] == ']' || text[1] == 'P' || text[1] == '_' || text[1] == '^') {
		for (length = 2; text[length] && text[length] != '\a' && text[length] != '\n'; length++)
			if (text[length] == ESC)
				return text[length + 1] == '\\' ? length + 2 : length;
		return text[length] == '\a' ? length + 1 : length;
	}
	/* ESC and one final byte, with intermediate ones between. */
	while (text[length] >= 0x20 && text[length] <= 0x2f)
		length++;
	return text[length] >= 0x30 && text[length] <= 0x7e ? length + 1 : length;
}

/* What turns the order of the text around it: a title must not look like another one. */
static bool is_direction(uint32_t code)
{
	return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

static void add_character(struct text_buffer *out, uint32_t code, const char *bytes, size_t length)
{
	char encoded[4];

	switch (code) {
	case '<':
		text_buffer_add_text(out, "&lt;");
		return;
	case '>':
		text_buffer_add_text(out, "&gt;");
		return;
	case '&':
		text_buffer_add_text(out, "&amp;");
		return;
	case '"':
		text_buffer_add_text(out, "&quot;");
		return;
	case '\'':
		text_buffer_add_text(out, "&#39;");
		return;
	case '\r': /* of \r\n */
		return;
	default:
		break;
	}
	if (code < 0x20 && code != '\n' && code != '\t')
		/* Control pictures: U+2400 and what follows. */
		text_buffer_add(out, encoded, utf8_encode(0x2400 + code, encoded));
	else if (code == 0x7f)
		text_buffer_add_text(out, "\u2421");
	else if ((code >= 0x80 && code < 0xa0) || is_direction(code) || (code & 0xfffe) == 0xfffe)
		text_buffer_add_text(out, "\ufffd");
	else
		text_buffer_add(out, bytes, length);
}

void report_add_html(struct text_buffer *out, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		uint32_t code = 0;
		size_t length;

		if (*text == ESC) {
			length = sequence_length(text);
		} else {
			length = utf8_decode(text, left, &code);
			if (length > 0)
				add_character(out, code, text, length);
			else
				text_buffer_add_text(out, "\ufffd");
			length = length ? length : 1;
		}
		text += length;
		left -= length;
	}
}

void html_add(struct text_buffer *out, const char *markup, ...)
{
	va_list arguments;

	va_start(arguments, markup);
	for (const char *percent; (percent = strchr(markup, '%')) != NULL;) {
		text_buffer_add(out, markup, (size_t)(percent - markup));
		markup = percent + 2;
		if (percent[1] == 's') {
			const char *text = va_arg(arguments, const char *);

			report_add_html(out, text ? text : "");
		} else if (percent[1] == 'u') {
			text_buffer_format(out, "%u", va_arg(arguments, unsigned));
		} else if (percent[1] == 'z') {
			text_buffer_format(out, "%zu", va_arg(arguments, size_t));
			markup = percent + strlen("%zu");
		} else if (percent[1] == 'l') {
			text_buffer_format(out, "%lld", va_arg(arguments, long long));
			markup = percent + strlen("%lld");
		} else {
			assert(percent[1] == '%');
			text_buffer_add_text(out, "%");
		}
	}
	va_end(arguments);
	text_buffer_add_text(out, markup);
}

char *html_duration(int64_t ms, char text[static HTML_DURATION_SIZE])
{
	long long whole = ms < 0 ? 0 : (long long)ms;

	if (whole < 1000)
		(void)snprintf(text, HTML_DURATION_SIZE, "%lld ms", whole);
	else if (whole < 60000)
		(void)snprintf(text, HTML_DURATION_SIZE, "%lld.%lld s", whole / 1000, whole % 1000 / 100);
	else if (whole < 3600000)
		(void)snprintf(text, HTML_DURATION_SIZE, "%lld min %lld s", whole / 60000, whole / 1000 % 60);
	else
		(void)snprintf(text, HTML_DURATION_SIZE, "%lld h %lld min", whole / 3600000, whole / 60000 % 60);
	return text;
}
