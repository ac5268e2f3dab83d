/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes on their way to a person's eyes: escaped, cut, measured, compared; names of attributes of a layer. */
#include <string.h>

#include "base/table.h"
#include "base/utf8.h"
#include "overlay/format.h"
#include "tests/fuzz/fuzz.h"

static void check_commands_nothing(const char *shown)
{
	uint32_t code = 0;

	while (*shown) {
		size_t length = utf8_decode(shown, strlen(shown), &code);

		MUST(length > 0);
		/* Controls, DEL, C1. */
		MUST(code >= ' ' && (code < 0x7f || code >= 0xa0));
		shown += length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_text text = fuzz_text(data, size);
	size_t room = 4 * strlen(text) + 1;
	owned_text shown = calloc(1, room);
	char small[16];

	MUST(shown);
	text_escape(shown, room, text);
	check_commands_nothing(shown);
	text_escape(small, sizeof(small), text);
	check_commands_nothing(small);
	text_copy(small, sizeof(small), text);
	text_append(small, sizeof(small), text);
	MUST(strlen(small) < sizeof(small));
	MUST(utf8_text_width(text) <= 2 * strlen(text));
	for (size_t width = 0; width < 8; width++)
		MUST(utf8_length_of_width(text, width) <= strlen(text));
	MUST(text_distance(text, text) == 0);
	(void)text_distance(text, "environment");
	(void)format_is_visible(text);
	return 0;
}
