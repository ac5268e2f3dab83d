/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "base/utf8.h"

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static void add_string(struct text_buffer *out, const char *text);

/* What stands before a value: the comma, and the name of a member. */
static void begin_value(struct text_buffer *out, const char *name)
{
	char last = out->length > 0 ? out->bytes[out->length - 1] : '[';

	/* An opening bracket as the last byte is always a bracket: a string ends with its quote. */
	if (last != '{' && last != '[' && last != '\n')
		text_buffer_add(out, ",", 1);
	if (name) {
		add_string(out, name);
		text_buffer_add(out, ":", 1);
	}
}

static void add_escape(struct text_buffer *out, uint32_t unit)
{
	static const char digits[] = "0123456789abcdef";
	char escape[] = { '\\',
			  'u',
			  digits[unit >> 12 & 0xf],
			  digits[unit >> 8 & 0xf],
			  digits[unit >> 4 & 0xf],
			  digits[unit & 0xf] };

	text_buffer_add(out, escape, sizeof(escape));
}

static bool is_plain(unsigned char byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void add_string(struct text_buffer *out, const char *text)
{
	size_t size = strlen(text);

	text_buffer_add(out, "\"", 1);
	for (size_t at = 0; at < size;) {
		size_t run = 0;
		uint32_t code;
		size_t length;

		while (at + run < size && is_plain((unsigned char)text[at + run]))
			run++;
		text_buffer_add(out, text + at, run);
		at += run;
		if (at == size)
			break;

		length = utf8_decode(text + at, size - at, &code);
		if (length == 0)
			add_escape(out, 0xdc00u + (unsigned char)text[at]);
		else if (code == '"' || code == '\\')
			text_buffer_add(out, code == '"' ? "\\\"" : "\\\\", 2);
		else if (code == '\n' || code == '\t')
			text_buffer_add(out, code == '\n' ? "\\n" : "\\t", 2);
		else if (code < 0xa0)
			add_escape(out, code);
		else
			text_buffer_add(out, text + at, length);
		at += MAX(length, (size_t)1);
	}
	text_buffer_add(out, "\"", 1);
}

void json_begin_object(struct text_buffer *out, const char *name)
{
	begin_value(out, name);
	text_buffer_add(out, "{", 1);
}

void json_end_object(struct text_buffer *out)
{
	text_buffer_add(out, "}", 1);
}

void json_begin_array(struct text_buffer *out, const char *name)
{
	begin_value(out, name);
	text_buffer_add(out, "[", 1);
}

void json_end_array(struct text_buffer *out)
{
	text_buffer_add(out, "]", 1);
}

void json_add_raw(struct text_buffer *out, const char *name, const char *json)
{
	begin_value(out, name);
	text_buffer_add_text(out, json);
}

void json_add_text(struct text_buffer *out, const char *name, const char *text)
{
	if (!text) {
		json_add_null(out, name);
		return;
	}
	begin_value(out, name);
	add_string(out, text);
}

void json_add_number(struct text_buffer *out, const char *name, int64_t number)
{
	char digits[24];

	(void)snprintf(digits, sizeof(digits), "%lld", (long long)number);
	json_add_raw(out, name, digits);
}

void json_add_bool(struct text_buffer *out, const char *name, bool value)
{
	json_add_raw(out, name, value ? "true" : "false");
}

void json_add_null(struct text_buffer *out, const char *name)
{
	json_add_raw(out, name, "null");
}

void json_add_list(struct text_buffer *out, const char *name, const struct text_list *list)
{
	json_begin_array(out, name);
	for (size_t i = 0; i < list->count; i++)
		json_add_text(out, NULL, list->items[i]);
	json_end_array(out);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

#define MISSING UINT32_MAX

/* Values in the order of the text; the name of a member is a node of its own just before its value. */
struct json_node {
	uint32_t start; /* of the raw text, quotes and brackets included */
	uint32_t length;
	uint32_t next; /* the next value of the same container; MISSING: the last */
	uint8_t type;
	bool is_member;	 /* a value whose name stands before it */
	bool is_empty;	 /* a container without values */
	bool is_escaped; /* a string with a backslash in it */
};

struct reader {
	struct json *json;
	const char *text;
	size_t size;
	size_t at;
	const char *wrong; /* what is wrong at `at`; NULL: nothing yet */
	int number;
};

static int fail(struct reader *reader, const char *wrong)
{
	reader->wrong = wrong;
	reader->number = EBADMSG;
	return -EBADMSG;
}

static int fail_too_big(struct reader *reader, const char *wrong)
{
	reader->wrong = wrong;
	reader->number = E2BIG;
	return -E2BIG;
}

static void skip_space(struct reader *reader)
{
	while (reader->at < reader->size && strchr(" \t\n\r", reader->text[reader->at]) &&
	       reader->text[reader->at] != '\0')
		reader->at++;
}

static bool take(struct reader *reader, char byte)
{
	if (reader->at == reader->size || reader->text[reader->at] != byte)
		return false;
	reader->at++;
	return true;
}

static uint32_t add_node(struct reader *reader, enum json_type type)
{
	struct json *json = reader->json;

	if (json->count == json->capacity) {
		size_t capacity = json->capacity ? 2 * json->capacity : 64;
		struct json_node *grown = realloc(json->nodes, capacity * sizeof(*grown));

		if (!grown)
			abort(); /* as text_buffer does */
		json->nodes = grown;
		json->capacity = capacity;
	}
	json->nodes[json->count] =
		(struct json_node){ .start = (uint32_t)reader->at, .next = MISSING, .type = (uint8_t)type };
	return (uint32_t)json->count++;
}

static void end_node(struct reader *reader, uint32_t index)
{
	struct json_node *node = &reader->json->nodes[index];

	node->length = (uint32_t)reader->at - node->start;
}

/* The four digits after "\u". Returns -1 where there are none. */
static int32_t read_unit(const char *text, size_t size)
{
	int32_t unit = 0;

	if (size < 6 || text[0] != '\\' || text[1] != 'u')
		return -1;
	for (size_t i = 2; i < 6; i++) {
		char byte = text[i];
		int digit = byte >= '0' && byte <= '9'	 ? byte - '0'
			    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
			    : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
							 : -1;

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* Decodes the character at `text`, inside a string, into its bytes. Returns how much of `text` it took, 0 where it is
 * none. The one place that knows what a string may hold: the reader checks with it, json_text() decodes with it. */
static size_t decode_character(const char *text, size_t size, char bytes[static 4], size_t *ret_length)
{
	static const char escapes[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	const char *escape;
	uint32_t code;
	int32_t unit;
	int32_t low;

	if (text[0] != '\\') {
		*ret_length = (unsigned char)text[0] < 0x20 ? 0 : utf8_decode(text, size, &code);
		memcpy(bytes, text, *ret_length);
		return *ret_length;
	}
	if (size < 2)
		return 0;
	escape = text[1] ? strchr(escapes, text[1]) : NULL;
	if (escape) {
		bytes[0] = meant[escape - escapes];
		*ret_length = 1;
		return 2;
	}
	unit = read_unit(text, size);
	if (unit < 0)
		return 0;
	if (unit >= 0xdc80 && unit <= 0xdcff) {
		bytes[0] = (char)(unit - 0xdc00);
		*ret_length = 1;
		return 6;
	}
	if (unit < 0xd800 || unit > 0xdfff) {
		*ret_length = utf8_encode((uint32_t)unit, bytes);
		return 6;
	}
	low = unit <= 0xdbff ? read_unit(text + 6, size - 6) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*ret_length = utf8_encode((uint32_t)(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)), bytes);
	return 12;
}

static int read_string(struct reader *reader)
{
	uint32_t index = add_node(reader, JSON_TEXT);
	char bytes[4];
	size_t length;

	if (!take(reader, '"'))
		return fail(reader, "a string was expected");
	for (;;) {
		const char *here = reader->text + reader->at;
		const char *end = reader->text + reader->size;
		size_t taken;

		while (here < end && is_plain((unsigned char)*here))
			here++;
		reader->at = (size_t)(here - reader->text);
		if (here == end || *here == '"')
			break;
		taken = decode_character(here, (size_t)(end - here), bytes, &length);
		if (taken == 0)
			return fail(reader, "a string holds what it may not");
		reader->json->nodes[index].is_escaped |= *here == '\\';
		reader->at += taken;
	}
	if (!take(reader, '"'))
		return fail(reader, "a string does not end");
	end_node(reader, index);
	return 0;
}

static bool take_digits(struct reader *reader)
{
	size_t start = reader->at;

	while (reader->at < reader->size && reader->text[reader->at] >= '0' && reader->text[reader->at] <= '9')
		reader->at++;
	return reader->at > start;
}

static int read_number(struct reader *reader)
{
	uint32_t index = add_node(reader, JSON_NUMBER);

	(void)take(reader, '-');
	if (!take(reader, '0') && !take_digits(reader))
		return fail(reader, "a value was expected");
	if (take(reader, '.') && !take_digits(reader))
		return fail(reader, "digits were expected");
	if (take(reader, 'e') || take(reader, 'E')) {
		if (!take(reader, '+'))
			(void)take(reader, '-');
		if (!take_digits(reader))
			return fail(reader, "digits were expected");
	}
	end_node(reader, index);
	return 0;
}

static int read_word(struct reader *reader, enum json_type type, const char *word)
{
	uint32_t index = add_node(reader, type);
	size_t length = strlen(word);

	if (reader->size - reader->at < length || memcmp(reader->text + reader->at, word, length) != 0)
		return fail(reader, "a value was expected");
	reader->at += length;
	end_node(reader, index);
	return 0;
}

static int read_value(struct reader *reader, unsigned depth);

static int read_member_name(struct reader *reader)
{
	int result;

	skip_space(reader);
	result = read_string(reader);
	if (result < 0)
		return result;
	skip_space(reader);
	return take(reader, ':') ? 0 : fail(reader, "':' was expected");
}

static int read_container(struct reader *reader, enum json_type type, unsigned depth)
{
	uint32_t index = add_node(reader, type);
	char end = type == JSON_OBJECT ? '}' : ']';
	uint32_t previous = MISSING;
	bool is_done;

	if (depth == JSON_DEPTH_MAX)
		return fail_too_big(reader, "it is nested too deep");
	reader->at++;
	skip_space(reader);
	is_done = take(reader, end);
	reader->json->nodes[index].is_empty = is_done;
	while (!is_done) {
		uint32_t value;
		int result = type == JSON_OBJECT ? read_member_name(reader) : 0;

		if (result < 0)
			return result;
		value = (uint32_t)reader->json->count;
		result = read_value(reader, depth + 1);
		if (result < 0)
			return result;
		reader->json->nodes[value].is_member = type == JSON_OBJECT;
		if (previous != MISSING)
			reader->json->nodes[previous].next = value;
		previous = value;
		skip_space(reader);
		is_done = take(reader, end);
		if (!is_done && !take(reader, ','))
			return fail(reader,
				    type == JSON_OBJECT ? "',' or '}' was expected" : "',' or ']' was expected");
	}
	end_node(reader, index);
	return 0;
}

static int read_value(struct reader *reader, unsigned depth)
{
	skip_space(reader);
	switch (reader->at < reader->size ? reader->text[reader->at] : '\0') {
	case '{':
		return read_container(reader, JSON_OBJECT, depth);
	case '[':
		return read_container(reader, JSON_ARRAY, depth);
	case '"':
		return read_string(reader);
	case 't':
		return read_word(reader, JSON_BOOL, "true");
	case 'f':
		return read_word(reader, JSON_BOOL, "false");
	case 'n':
		return read_word(reader, JSON_NULL, "null");
	default:
		return read_number(reader);
	}
}

int json_read(struct json *json, const char *text, size_t size, struct error *error)
{
	struct reader reader = { .json = json, .text = text, .size = size };
	char cause[128];
	int result;

	json->text = text;
	json->count = 0;
	if (size > JSON_SIZE_MAX)
		result = fail_too_big(&reader, "it is too long");
	else
		result = read_value(&reader, 0);
	skip_space(&reader);
	if (result == 0 && reader.at < size)
		result = fail(&reader, "something follows the value");
	if (result == 0)
		return 0;
	json->count = 0;
	(void)snprintf(cause, sizeof(cause), "%s, at byte %zu", reader.wrong, reader.at);
	return error_set(error, .number = reader.number, .step = "read JSON", .cause = cause);
}

void json_release(struct json *json)
{
	free(json->nodes);
	*json = (struct json){ 0 };
}

static struct json_value value_at(const struct json *json, uint32_t index)
{
	return (struct json_value){ .json = json, .index = index };
}

static const struct json_node *node_of(struct json_value value)
{
	return value.index == MISSING ? NULL : &value.json->nodes[value.index];
}

struct json_value json_root(const struct json *json)
{
	return value_at(json, json->count > 0 ? 0 : MISSING);
}

enum json_type json_type(struct json_value value)
{
	const struct json_node *node = node_of(value);

	return node ? (enum json_type)node->type : JSON_MISSING;
}

struct json_value json_first(struct json_value container)
{
	const struct json_node *node = node_of(container);

	if (!node || node->is_empty || (node->type != JSON_OBJECT && node->type != JSON_ARRAY))
		return value_at(container.json, MISSING);
	return value_at(container.json, container.index + (node->type == JSON_OBJECT ? 2 : 1));
}

struct json_value json_next(struct json_value value)
{
	const struct json_node *node = node_of(value);

	return value_at(value.json, node ? node->next : MISSING);
}

/* Without the quotes. */
static const char *string_of(struct json_value value, size_t *ret_size)
{
	const struct json_node *node = node_of(value);

	assert(node && node->type == JSON_TEXT);
	*ret_size = node->length - 2;
	return value.json->text + node->start + 1;
}

bool json_text_is(struct json_value value, const char *text)
{
	const char *string;
	size_t size;

	if (json_type(value) != JSON_TEXT)
		return false;
	string = string_of(value, &size);
	if (!node_of(value)->is_escaped)
		return strlen(text) == size && memcmp(text, string, size) == 0;
	for (size_t at = 0; at < size;) {
		char bytes[4];
		size_t length;

		at += decode_character(string + at, size - at, bytes, &length);
		/* strncmp stops at the end of `text`; a NUL in the string never equals it. */
		if (strncmp(text, bytes, length) != 0 || memchr(bytes, '\0', length))
			return false;
		text += length;
	}
	return *text == '\0';
}

struct json_value json_member(struct json_value object, const char *name)
{
	if (json_type(object) != JSON_OBJECT)
		return value_at(object.json, MISSING);
	for (struct json_value value = json_first(object); json_type(value); value = json_next(value))
		if (json_text_is(value_at(value.json, value.index - 1), name))
			return value;
	return value_at(object.json, MISSING);
}

int json_name(struct json_value member, char **ret_name)
{
	const struct json_node *node = node_of(member);

	if (!node || !node->is_member)
		return -ENOENT;
	return json_text(value_at(member.json, member.index - 1), ret_name);
}

/* What a value that is not of the wanted type is. */
static int refuse(struct json_value value)
{
	return json_type(value) <= JSON_NULL ? -ENOENT : -EINVAL;
}

int json_text(struct json_value value, char **ret_text)
{
	const char *string;
	owned_text text = NULL;
	size_t used = 0;
	size_t size;

	if (json_type(value) != JSON_TEXT)
		return refuse(value);
	string = string_of(value, &size);
	/* A decoded string is never longer than what it was written as. */
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	for (size_t at = 0; at < size;) {
		char bytes[4];
		size_t length = 0;

		at += decode_character(string + at, size - at, bytes, &length);
		if (memchr(bytes, '\0', length))
			return -EINVAL;
		memcpy(text + used, bytes, length);
		used += length;
	}
	text[used] = '\0';
	*ret_text = text;
	text = NULL;
	return 0;
}

int json_number(struct json_value value, int64_t *ret_number)
{
	const struct json_node *node = node_of(value);
	bool is_negative;
	int64_t number = 0;

	if (json_type(value) != JSON_NUMBER)
		return refuse(value);
	is_negative = value.json->text[node->start] == '-';
	for (uint32_t i = is_negative; i < node->length; i++) {
		char digit = value.json->text[node->start + i];

		if (digit < '0' || digit > '9')
			return -EINVAL;
		/* Summed up on the negative side, which reaches one further. */
		if (__builtin_mul_overflow(number, 10, &number) || __builtin_sub_overflow(number, digit - '0', &number))
			return -ERANGE;
	}
	if (!is_negative && __builtin_sub_overflow((int64_t)0, number, &number))
		return -ERANGE;
	*ret_number = number;
	return 0;
}

int json_bool(struct json_value value, bool *ret_value)
{
	if (json_type(value) != JSON_BOOL)
		return refuse(value);
	*ret_value = value.json->text[node_of(value)->start] == 't';
	return 0;
}

int json_list(struct json_value value, struct text_list *list)
{
	owned_list read = { 0 };

	if (json_type(value) != JSON_ARRAY)
		return refuse(value);
	for (struct json_value item = json_first(value); json_type(item); item = json_next(item)) {
		owned_text text = NULL;
		int result = json_text(item, &text);

		if (result < 0)
			return result;
		text_list_take(&read, text);
		text = NULL;
	}
	for (size_t i = 0; i < read.count; i++) {
		text_list_take(list, read.items[i]);
		read.items[i] = NULL;
	}
	return 0;
}

bool json_optional_text(struct json_value value, char **target)
{
	int result = json_text(value, target);

	return result == 0 || result == -ENOENT;
}

bool json_optional_list(struct json_value value, struct text_list *target)
{
	return json_type(value) <= JSON_NULL || json_list(value, target) == 0;
}

bool json_optional_number(struct json_value value, int64_t min, int64_t max, int64_t *target)
{
	int64_t number = 0;
	int result = json_number(value, &number);

	if (result == -ENOENT)
		return true;
	if (result < 0 || number < min || number > max)
		return false;
	*target = number;
	return true;
}

const char *json_raw(struct json_value value, size_t *ret_length)
{
	const struct json_node *node = node_of(value);

	if (!node)
		return NULL;
	*ret_length = node->length;
	return value.json->text + node->start;
}
