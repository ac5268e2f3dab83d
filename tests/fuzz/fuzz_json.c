/* SPDX-License-Identifier: Apache-2.0 */
/* JSON. What was read is written and read again, and must be the same then. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "tests/fuzz/fuzz.h"

static void write_again(struct json_value value, const char *name, struct text_buffer *out)
{
	owned_text text = NULL;
	int64_t number = 0;
	size_t length = 0;
	bool is_true = false;
	const char *raw;

	switch (json_type(value)) {
	case JSON_MISSING:
		abort();
	case JSON_NULL:
		json_add_null(out, name);
		break;
	case JSON_BOOL:
		MUST(json_bool(value, &is_true) == 0);
		json_add_bool(out, name, is_true);
		break;
	case JSON_NUMBER:
		raw = json_raw(value, &length);
		if (json_number(value, &number) == 0) {
			json_add_number(out, name, number);
		} else {
			text = fuzz_text((const uint8_t *)raw, length);
			json_add_raw(out, name, text);
		}
		break;
	case JSON_TEXT:
		/* One with a NUL in it has no string in C. */
		if (json_text(value, &text) == 0) {
			MUST(json_text_is(value, text));
			json_add_text(out, name, text);
		} else {
			json_add_null(out, name);
		}
		break;
	case JSON_ARRAY:
		json_begin_array(out, name);
		for (struct json_value item = json_first(value); json_type(item); item = json_next(item))
			write_again(item, NULL, out);
		json_end_array(out);
		break;
	case JSON_OBJECT:
		json_begin_object(out, name);
		for (struct json_value item = json_first(value); json_type(item); item = json_next(item)) {
			owned_text key = NULL;

			if (json_name(item, &key) == 0) {
				MUST(json_type(json_member(value, key)) != JSON_MISSING);
				write_again(item, key, out);
			}
		}
		json_end_object(out);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_json first = { 0 };
	owned_json second = { 0 };
	owned_buffer written = { 0 };
	owned_buffer again = { 0 };
	owned_list list = { 0 };
	struct error error = { 0 };
	int result = json_read(&first, (const char *)data, size, &error);

	MUST(result == 0 || result == -EBADMSG || result == -E2BIG);
	if (result < 0) {
		MUST(error.cause[0] != '\0' && json_type(json_root(&first)) == JSON_MISSING);
		return 0;
	}
	(void)json_list(json_root(&first), &list);
	write_again(json_root(&first), NULL, &written);
	MUST(json_read(&second, written.bytes, written.length, &error) == 0);
	write_again(json_root(&second), NULL, &again);
	MUST(written.length == again.length && memcmp(written.bytes, again.bytes, again.length) == 0);
	return 0;
}
