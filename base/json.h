/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (RFC 8259): written into a text_buffer, read strictly, and any bytes carried through.
 *
 * Bytes that are not UTF-8 (a file name may hold any but NUL) are written as U+DC80…U+DCFF, a lone low surrogate for
 * the bytes 0x80…0xff, and become the same bytes again when read: Python's "surrogateescape". What is written is ASCII
 * where it could command a terminal (controls, DEL, C1) and UTF-8 elsewhere.
 *
 * The reader is our own and not SQLite's JSON functions, which the program holds anyway: for the rows of a listing
 * those take about ten times as long (a statement per member; test_json prints both), cannot tell a lone surrogate from
 * the byte it stands for, and would need a connection where a lock file is read. It is strict, because what it reads
 * may come from elsewhere: no comments, no trailing commas, no raw control characters, valid UTF-8 only, one value and
 * then the end. It is bounded: JSON_DEPTH_MAX levels of nesting and of the stack, JSON_SIZE_MAX bytes, memory in
 * proportion. */
#ifndef SBX_BASE_JSON_H
#define SBX_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum {
	JSON_DEPTH_MAX = 64,
	JSON_SIZE_MAX = 16 << 20,
};

/* ---- Writing --------------------------------------------------------------------------------------------------------
 *
 * Each function adds one value to `out`: with a `name` as a member of the object that is open, with NULL as an element
 * of the array that is open or as a whole text. The comma before it is set by the byte that stands before it, so there
 * is no writer to carry around: none at the very start, after an opening bracket or after a newline (JSON lines). That
 * each begin has its end is the caller's duty. */

void json_begin_object(struct text_buffer *out, const char *name);
void json_end_object(struct text_buffer *out);
void json_begin_array(struct text_buffer *out, const char *name);
void json_end_array(struct text_buffer *out);

/** A string; NULL becomes null. */
void json_add_text(struct text_buffer *out, const char *name, const char *text);
void json_add_number(struct text_buffer *out, const char *name, int64_t number);
void json_add_bool(struct text_buffer *out, const char *name, bool value);
void json_add_null(struct text_buffer *out, const char *name);
/** An array of strings. */
void json_add_list(struct text_buffer *out, const char *name, const struct text_list *list);
/** What is JSON already. */
void json_add_raw(struct text_buffer *out, const char *name, const char *json);

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

enum json_type {
	JSON_MISSING, /* no such member, no such element */
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_TEXT,
	JSON_ARRAY,
	JSON_OBJECT,
};

/* A text that was read. May be read into again, which reuses its memory. Borrows the text. */
struct json {
	const char *text;
	struct json_node *nodes;
	size_t count;
	size_t capacity;
};

/* A value in it; valid until the next json_read() or json_release(). */
struct json_value {
	const struct json *json;
	uint32_t index; /* UINT32_MAX: missing; what is asked of it is missing, too */
};

/** Reads `size` bytes. @json {0} or used before; empty after a failure
 *  Errors: EBADMSG not JSON (the cause says what and at which byte), E2BIG too deep or too long. */
int json_read(struct json *json, const char *text, size_t size, struct error *error);
void json_release(struct json *json);
#define owned_json __attribute__((cleanup(json_release))) struct json

struct json_value json_root(const struct json *json);
enum json_type json_type(struct json_value value);
/** The member of that name; of several the first. */
struct json_value json_member(struct json_value object, const char *name);
/** for (v = json_first(array); json_type(v); v = json_next(v)): elements of an array, member values of an object. */
struct json_value json_first(struct json_value container);
struct json_value json_next(struct json_value value);

/** The name of a member that json_first(), json_next() or json_member() found. @ret_name the caller's
 *  Errors: ENOENT no member, EINVAL holds a NUL. */
int json_name(struct json_value member, char **ret_name);
/** A string's bytes. @ret_text the caller's   Errors: ENOENT missing or null, EINVAL another type or holds a NUL. */
int json_text(struct json_value value, char **ret_text);
/** Whether it is this very string. */
bool json_text_is(struct json_value value, const char *text);
/** A whole number. Errors: ENOENT missing or null, EINVAL another type or a fraction, ERANGE. */
int json_number(struct json_value value, int64_t *ret_number);
int json_bool(struct json_value value, bool *ret_value);
/** Of what may be missing, or null: the target stays as it is then. @return false: it is there, and of another type, or
 *  a number outside min..max */
bool json_optional_text(struct json_value value, char **target);
bool json_optional_list(struct json_value value, struct text_list *target);
bool json_optional_number(struct json_value value, int64_t min, int64_t max, int64_t *target);
/** An array of strings, added to `list`, which stays as it was on failure. Errors: as json_text(). */
int json_list(struct json_value value, struct text_list *list);
/** The value as it stands in the text. NULL where it is missing. */
const char *json_raw(struct json_value value, size_t *ret_length);

#endif
