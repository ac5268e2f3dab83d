/* SPDX-License-Identifier: Apache-2.0 */
#include "base/xml.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

void xml_begin(struct xml *xml, const char *text, size_t size)
{
	*xml = (struct xml){ .text = text, .size = size };
	if (size >= strlen(BYTE_ORDER_MARK) && memcmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
		xml->offset = strlen(BYTE_ORDER_MARK);
}

static bool starts_with(const struct xml *xml, const char *what)
{
	size_t length = strlen(what);

	return xml->size - xml->offset >= length && memcmp(xml->text + xml->offset, what, length) == 0;
}

/* @return the offset of `what` at or behind `from`, or SIZE_MAX */
static size_t find(const struct xml *xml, size_t from, const char *what)
{
	const char *found = memmem(xml->text + from, xml->size - from, what, strlen(what));

	return found ? (size_t)(found - xml->text) : SIZE_MAX;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool ends_name(char c)
{
	return is_blank(c) || c == '>' || c == '/' || c == '=' || c == '<' || c == '"' || c == '\'';
}

static size_t name_end(const struct xml *xml, size_t offset)
{
	while (offset < xml->size && !ends_name(xml->text[offset]))
		offset++;
	return offset;
}

static void set_name(const struct xml *xml, size_t start, size_t end, struct xml_token *token)
{
	const char *colon = memchr(xml->text + start, ':', end - start);

	token->name = colon ? colon + 1 : xml->text + start;
	token->name_length = (size_t)(xml->text + end - token->name);
}

/* Of a comment and the like. @return 0 or -EBADMSG */
static int skip_to(struct xml *xml, size_t from, const char *end)
{
	size_t found = find(xml, xml->offset + from, end);

	if (found == SIZE_MAX)
		return -EBADMSG;
	xml->offset = found + strlen(end);
	return 0;
}

/* A DTD by reference is passed over; one with content could define entities. */
static int skip_doctype(struct xml *xml)
{
	size_t end = find(xml, xml->offset, ">");

	if (end == SIZE_MAX || xml->has_root || memchr(xml->text + xml->offset, '[', end - xml->offset))
		return -EBADMSG;
	xml->offset = end + 1;
	return 0;
}

/* @return the offset of the '>' that ends a tag, past quoted values, or SIZE_MAX */
static size_t tag_end(const struct xml *xml, size_t offset)
{
	char quote = 0;

	for (; offset < xml->size; offset++) {
		char c = xml->text[offset];

		if (c == '<')
			return SIZE_MAX; /* in a value, too */
		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '>')
			return offset;
	}
	return SIZE_MAX;
}

static int take_open(struct xml *xml, struct xml_token *token)
{
	size_t start = xml->offset + 1;
	size_t end = name_end(xml, start);
	size_t close = tag_end(xml, end);

	if (end == start || close == SIZE_MAX || xml->depth == XML_DEPTH_MAX || (xml->depth == 0 && xml->has_root))
		return -EBADMSG;
	set_name(xml, start, end, token);
	xml->open[xml->depth++] = (struct xml_name){ .start = start, .length = end - start };
	xml->has_root = true;
	token->kind = XML_OPEN;
	token->start = xml->offset;
	token->end = close + 1;
	token->depth = xml->depth;
	xml->closes = xml->text[close - 1] == '/';
	xml->offset = close + 1;
	return 1;
}

static int take_close(struct xml *xml, struct xml_token *token)
{
	size_t start = xml->offset + 2;
	size_t end = name_end(xml, start);
	size_t close = find(xml, end, ">");
	const struct xml_name *open = xml->depth > 0 ? &xml->open[xml->depth - 1] : NULL;

	if (close == SIZE_MAX || !open || open->length != end - start ||
	    memcmp(xml->text + open->start, xml->text + start, end - start) != 0)
		return -EBADMSG;
	for (size_t i = end; i < close; i++)
		if (!is_blank(xml->text[i]))
			return -EBADMSG;
	set_name(xml, start, end, token);
	token->kind = XML_CLOSE;
	token->start = xml->offset;
	token->end = close + 1;
	token->depth = xml->depth--;
	xml->offset = close + 1;
	return 1;
}

/* <a/> has been told as open: it closes where it ends. */
static int take_empty(struct xml *xml, struct xml_token *token)
{
	const struct xml_name *open = &xml->open[xml->depth - 1];

	set_name(xml, open->start, open->start + open->length, token);
	token->kind = XML_CLOSE;
	token->start = token->end = xml->offset;
	token->depth = xml->depth--;
	xml->closes = false;
	return 1;
}

static int take_text(struct xml *xml, size_t start, size_t end, size_t next, bool is_raw, struct xml_token *token)
{
	*token = (struct xml_token){
		.kind = XML_TEXT, .start = start, .end = end, .depth = xml->depth, .is_raw = is_raw
	};
	xml->offset = next;
	return 1;
}

/* Outside of the root there is only space. */
static int take_outside(struct xml *xml)
{
	while (xml->offset < xml->size && xml->text[xml->offset] != '<')
		if (!is_blank(xml->text[xml->offset++]))
			return -EBADMSG;
	return 0;
}

int xml_next(struct xml *xml, struct xml_token *ret_token)
{
	int result = 0;

	*ret_token = (struct xml_token){ 0 };
	if (xml->closes)
		return take_empty(xml, ret_token);
	while (result == 0) {
		if (xml->depth == 0 && take_outside(xml) < 0)
			return -EBADMSG;
		if (xml->offset >= xml->size)
			return xml->depth == 0 && xml->has_root ? 0 : -EBADMSG;
		if (xml->text[xml->offset] != '<') {
			size_t end = find(xml, xml->offset, "<");

			return end == SIZE_MAX ? -EBADMSG : take_text(xml, xml->offset, end, end, false, ret_token);
		}
		if (starts_with(xml, "<!--")) {
			result = skip_to(xml, 4, "-->");
		} else if (starts_with(xml, "<![CDATA[")) {
			size_t start = xml->offset + strlen("<![CDATA[");
			size_t end = find(xml, start, "]]>");

			return xml->depth == 0 || end == SIZE_MAX
				       ? -EBADMSG
				       : take_text(xml, start, end, end + 3, true, ret_token);
		} else if (starts_with(xml, "<?")) {
			result = skip_to(xml, 2, "?>");
		} else if (starts_with(xml, "<!DOCTYPE")) {
			result = skip_doctype(xml);
		} else if (starts_with(xml, "</")) {
			return take_close(xml, ret_token);
		} else {
			return take_open(xml, ret_token);
		}
	}
	return result;
}

bool xml_is(const struct xml_token *token, const char *name)
{
	return token->kind != XML_TEXT && token->name_length == strlen(name) &&
	       memcmp(token->name, name, token->name_length) == 0;
}

/* ---- entities ---- */

static const struct entity {
	const char *name;
	char character;
} entities[] = {
	{ "lt", '<' }, { "gt", '>' }, { "amp", '&' }, { "quot", '"' }, { "apos", '\'' },
};

static bool is_character(uint32_t code)
{
	return code == '\t' || code == '\n' || code == '\r' ||
	       (code >= 0x20 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) && code != 0xfffe &&
		code != 0xffff);
}

bool xml_is_text(const char *text, size_t size)
{
	while (size > 0) {
		uint32_t code = 0;
		size_t length = utf8_decode(text, size, &code);

		if (length == 0 || !is_character(code))
			return false;
		text += length;
		size -= length;
	}
	return true;
}

/* "#38" or "#x26". @return 0: it is none */
static uint32_t number_of(const char *name, size_t length)
{
	unsigned base = length > 1 && name[1] == 'x' ? 16 : 10;
	uint32_t code = 0;

	for (size_t i = base == 16 ? 2 : 1; i < length; i++) {
		static const char digits[] = "0123456789abcdef";
		char c = (char)(name[i] >= 'A' && name[i] <= 'F' ? name[i] - 'A' + 'a' : name[i]);
		const char *digit = c ? memchr(digits, c, base) : NULL;

		if (!digit || code > 0x10ffff)
			return 0;
		code = code * base + (uint32_t)(digit - digits);
	}
	return is_character(code) ? code : 0;
}

/* @return how much of the text it took */
static size_t add_entity(const char *text, size_t size, struct text_buffer *out)
{
	enum { LENGTH_MAX = 10 };
	const char *end = memchr(text, ';', size < LENGTH_MAX ? size : LENGTH_MAX);
	size_t length = end ? (size_t)(end - text) - 1 : 0;
	uint32_t code;

	for (size_t i = 0; end && i < sizeof(entities) / sizeof(entities[0]); i++)
		if (length == strlen(entities[i].name) && memcmp(text + 1, entities[i].name, length) == 0) {
			text_buffer_add(out, &entities[i].character, 1);
			return length + 2;
		}
	code = end && length > 1 && text[1] == '#' ? number_of(text + 1, length) : 0;
	if (code) {
		char bytes[4];

		text_buffer_add(out, bytes, utf8_encode(code, bytes));
		return length + 2;
	}
	text_buffer_add(out, text, 1);
	return 1;
}

static void add_decoded(const char *text, size_t size, struct text_buffer *out)
{
	while (size > 0) {
		size_t taken = text[0] == '&' ? 0 : size;
		const char *entity = memchr(text, '&', size);

		if (taken && entity)
			taken = (size_t)(entity - text);
		if (taken)
			text_buffer_add(out, text, taken);
		else
			taken = add_entity(text, size, out);
		text += taken;
		size -= taken;
	}
}

void xml_add_decoded(const struct xml *xml, const struct xml_token *token, struct text_buffer *out)
{
	const char *text = xml->text + token->start;

	if (token->is_raw)
		text_buffer_add(out, text, token->end - token->start);
	else
		add_decoded(text, token->end - token->start, out);
}

char *xml_attribute(const struct xml *xml, const struct xml_token *token, const char *name)
{
	size_t offset = (size_t)(token->name - xml->text) + token->name_length;
	size_t length = strlen(name);

	for (;;) {
		size_t start;
		size_t end;
		size_t value_end;

		while (offset < token->end && is_blank(xml->text[offset]))
			offset++;
		start = offset;
		end = name_end(xml, start);
		offset = end;
		while (offset < token->end && is_blank(xml->text[offset]))
			offset++;
		if (end == start || offset >= token->end || xml->text[offset] != '=')
			return NULL;
		offset++;
		while (offset < token->end && is_blank(xml->text[offset]))
			offset++;
		if (offset >= token->end || (xml->text[offset] != '"' && xml->text[offset] != '\''))
			return NULL;
		value_end = offset + 1;
		while (value_end < token->end && xml->text[value_end] != xml->text[offset])
			value_end++;
		if (end - start == length && memcmp(xml->text + start, name, length) == 0) {
			struct text_buffer value = { 0 };

			add_decoded(xml->text + offset + 1, value_end - offset - 1, &value);
			return value.bytes ? value.bytes : text_duplicate("");
		}
		offset = value_end + 1;
	}
}

void xml_add_escaped(struct text_buffer *out, const char *text, size_t size)
{
	while (size > 0) {
		uint32_t code = 0;
		size_t length = utf8_decode(text, size, &code);

		if (length == 0 || !is_character(code))
			text_buffer_add_text(out, "\xef\xbf\xbd");
		else if (code == '<')
			text_buffer_add_text(out, "&lt;");
		else if (code == '>')
			text_buffer_add_text(out, "&gt;");
		else if (code == '&')
			text_buffer_add_text(out, "&amp;");
		else if (code == '"')
			text_buffer_add_text(out, "&quot;");
		else
			text_buffer_add(out, text, length);
		length = length ? length : 1;
		text += length;
		size -= length;
	}
}
