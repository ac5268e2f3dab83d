/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/output.h"

#include <unistd.h>

#include "base/fd.h"
#include "sandbox/verbs/say.h"

void output_note(const struct error *note)
{
	char text[2 * sizeof(*note)];
	owned_text line = NULL;

	if (note->number == 0)
		return;
	error_format(note, text, sizeof(text));
	line = text_format("note: %s", text);
	say_line(line);
}

int output_write(const struct text_buffer *text, const char *what, struct error *error)
{
	int result = fd_write_all(STDOUT_FILENO, text->bytes, text->length);
	owned_text step = result < 0 ? text_format("print %s", what) : NULL;

	return result < 0 ? error_set(error, .number = -result, .step = step) : 0;
}

int output_table(const struct table *table, const struct invocation *invocation, struct error *error)
{
	struct table_options options;
	owned_buffer text = { 0 };

	table_options_init(&options, STDOUT_FILENO);
	options.format = invocation->format == FORMAT_JSON ? TABLE_FORMAT_JSON : TABLE_FORMAT_TABLE;
	options.no_trunc = invocation->whole;
	table_format(table, &options, &text);
	return output_write(&text, "the listing", error);
}
