/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"

/* Out of memory for a few bytes of text: there is nothing left to report with. */
static void *must_have(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

/* Length of the UTF-8 sequence at `bytes`, or 0 where it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *bytes)
{
	unsigned char lead = bytes[0];
	size_t length;

	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		length = 2;
	else if (lead >= 0xe0 && lead <= 0xef)
		length = 3;
	else if (lead >= 0xf0 && lead <= 0xf4)
		length = 4;
	else
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	if ((lead == 0xe0 && bytes[1] < 0xa0) || (lead == 0xed && bytes[1] > 0x9f) ||
	    (lead == 0xf0 && bytes[1] < 0x90) || (lead == 0xf4 && bytes[1] > 0x8f))
		return 0;
	return length;
}

void text_append(char *target, size_t size, const char *source)
{
	size_t used = strnlen(target, size);
	size_t room = size > used ? size - used - 1 : 0;
	size_t length = strlen(source);

	if (length > room) {
		length = room;
		while (length > 0 && ((unsigned char)source[length] & 0xc0) == 0x80)
			length--;
	}
	memcpy(target + used, source, length);
	if (used < size)
		target[used + length] = '\0';
}

void text_copy(char *target, size_t size, const char *source)
{
	if (size == 0)
		return;
	target[0] = '\0';
	text_append(target, size, source);
}

/* @has_lines  newlines and tabs stay */
static void escape(char *target, size_t size, const char *source, bool has_lines)
{
	const unsigned char *bytes = (const unsigned char *)source;
	size_t used = 0;

	if (size == 0)
		return;
	while (*bytes) {
		size_t length = utf8_length(bytes);
		/* C1 controls, U+0080 to U+009F, command some terminals as well. */
		bool is_control =
			bytes[0] < 0x20 || bytes[0] == 0x7f || (bytes[0] == 0xc2 && length == 2 && bytes[1] < 0xa0);
		char shown[16];

		if (has_lines && (bytes[0] == '\n' || bytes[0] == '\t'))
			is_control = false;
		if (length == 0 || is_control) {
			if (bytes[0] == '\n' || bytes[0] == '\t')
				(void)snprintf(shown, sizeof(shown), "\\%c", bytes[0] == '\n' ? 'n' : 't');
			else if (length == 2)
				(void)snprintf(shown, sizeof(shown), "\\x%02x\\x%02x", bytes[0], bytes[1]);
			else
				(void)snprintf(shown, sizeof(shown), "\\x%02x", bytes[0]);
			length = MAX(length, (size_t)1);
		} else {
			memcpy(shown, bytes, length);
			shown[length] = '\0';
		}
		if (used + strlen(shown) + 1 > size)
			break;
		memcpy(target + used, shown, strlen(shown));
		used += strlen(shown);
		bytes += length;
	}
	target[used] = '\0';
}

void text_escape(char *target, size_t size, const char *source)
{
	escape(target, size, source, false);
}

void text_escape_lines(char *target, size_t size, const char *source)
{
	escape(target, size, source, true);
}

static char *escaped(const char *source, bool has_lines)
{
	size_t size = 4 * strlen(source) + 1; /* \xNN is the longest that a byte becomes */
	char *text = must_have(malloc(size));

	escape(text, size, source, has_lines);
	return text;
}

char *text_escaped(const char *source)
{
	return escaped(source, false);
}

char *text_escaped_lines(const char *source)
{
	return escaped(source, true);
}

bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool text_starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *text, const char *suffix)
{
	size_t length = strlen(text);
	size_t suffix_length = strlen(suffix);

	return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

void text_free(char **text)
{
	free(*text);
	*text = NULL;
}

char *text_format(const char *format, ...)
{
	va_list arguments;
	char *text = NULL;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	return must_have(length < 0 ? NULL : text);
}

char *text_duplicate(const char *text)
{
	return text ? must_have(strdup(text)) : NULL;
}

void text_buffer_release(struct text_buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct text_buffer){ 0 };
}

void text_buffer_add(struct text_buffer *buffer, const void *bytes, size_t length)
{
	if (buffer->capacity - buffer->length <= length) {
		size_t capacity = buffer->capacity ? buffer->capacity : 64;

		while (capacity - buffer->length <= length) {
			if (capacity > SIZE_MAX / 2)
				abort();
			capacity *= 2;
		}
		buffer->bytes = must_have(realloc(buffer->bytes, capacity));
		buffer->capacity = capacity;
	}
	if (length > 0)
		memcpy(buffer->bytes + buffer->length, bytes, length);
	buffer->length += length;
	buffer->bytes[buffer->length] = '\0';
}

void text_buffer_add_text(struct text_buffer *buffer, const char *text)
{
	text_buffer_add(buffer, text, strlen(text));
}

void text_buffer_format(struct text_buffer *buffer, const char *format, ...)
{
	va_list arguments;
	char *text = NULL;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0)
		abort();
	text_buffer_add(buffer, text, (size_t)length);
	free(text);
}

void text_list_release(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct text_list){ 0 };
}

void text_list_take(struct text_list *list, char *text)
{
	/* Grown at powers of two, with one place for the NULL. */
	if ((list->count & (list->count + 1)) == 0)
		list->items = must_have(realloc(list->items, (2 * list->count + 2) * sizeof(*list->items)));
	list->items[list->count++] = must_have(text);
	list->items[list->count] = NULL;
}

void text_list_add(struct text_list *list, const char *text)
{
	text_list_take(list, text_duplicate(text));
}

unsigned text_distance(const char *a, const char *b)
{
	enum { LENGTH_MAX = 64 };
	size_t a_length = strnlen(a, LENGTH_MAX);
	size_t b_length = strnlen(b, LENGTH_MAX);
	unsigned rows[3][LENGTH_MAX + 1];

	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i - 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);

			best = MIN(best, above[j] + 1);
			best = MIN(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, rows[(i - 2) % 3][j - 2] + 1);
			row[j] = best;
		}
	}
	return rows[a_length % 3][b_length];
}

/* ---- words of a shell ---- */

char *text_quote_word(const char *word)
{
	struct text_buffer out = { 0 };

	if (word[0] &&
	    strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@+%") == strlen(word))
		return text_duplicate(word);
	text_buffer_add_text(&out, "'");
	for (; *word; word++) {
		if (*word == '\'')
			text_buffer_add_text(&out, "'\\''");
		else
			text_buffer_add(&out, word, 1);
	}
	text_buffer_add_text(&out, "'");
	return out.bytes;
}

char *text_join_words(const struct text_list *words)
{
	struct text_buffer out = { 0 };

	text_buffer_add_text(&out, "");
	for (size_t i = 0; i < words->count; i++) {
		owned_text word = text_quote_word(words->items[i]);

		text_buffer_format(&out, "%s%s", i > 0 ? " " : "", word);
	}
	return out.bytes;
}
