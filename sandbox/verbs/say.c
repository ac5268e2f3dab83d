/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/say.h"

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

void say_line(const char *line)
{
	/* Paths, titles and output of whatever runs inside may be in it: a terminal must not be commanded by them. */
	owned_text shown = text_escaped_lines(line);
	owned_text message = text_format("sbx: %s\n", shown);

	/* Without stderr there is nobody to tell. */
	(void)fd_write_all(STDERR_FILENO, message, strlen(message));
}

void say_error(const struct error *error)
{
	char text[2 * sizeof(*error)];

	error_format(error, text, sizeof(text));
	say_line(text);
}

void say_timed_out(uint64_t timeout_ms)
{
	owned_text line =
		text_format("the command was ended: the time of --timeout is over (%g s)", (double)timeout_ms / 1000);

	say_line(line);
}
