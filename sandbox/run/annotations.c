/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/annotations.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"

enum {
	SHOWN_MAX = 10, /* of one kind in one step, says GitHub */
	MESSAGE_LENGTH_MAX = 2000,
};

struct annotation {
	char *id;
	char *title;
	char *file;
	char *message;
	int64_t line;
};

bool annotations_are_wanted(void)
{
	const char *actions = getenv("GITHUB_ACTIONS");

	return actions && text_equal(actions, "true");
}

static void release_item(struct annotation *item)
{
	text_free(&item->id);
	text_free(&item->title);
	text_free(&item->file);
	text_free(&item->message);
}

static struct annotation *find(const struct annotations *annotations, const char *id)
{
	for (size_t i = 0; i < annotations->count; i++)
		if (text_equal(annotations->items[i].id, id))
			return &annotations->items[i];
	return NULL;
}

static void forget(struct annotations *annotations, struct annotation *item)
{
	size_t behind = annotations->count - (size_t)(item - annotations->items) - 1;

	release_item(item);
	memmove(item, item + 1, behind * sizeof(*item));
	annotations->count--;
}

static struct annotation *add(struct annotations *annotations)
{
	annotations->items = reallocarray(annotations->items, annotations->count + 1, sizeof(*annotations->items));
	if (!annotations->items)
		abort();
	return &annotations->items[annotations->count++];
}

void annotations_hear(struct annotations *annotations, const struct events_test *test)
{
	struct annotation *item = find(annotations, test->id);

	/* What passes only in a world that nobody has used leaves the run red. */
	if (test->is_interrupted || (test->is_fresh && test->ok))
		return;
	if (test->ok) {
		if (item)
			forget(annotations, item);
		return;
	}
	if (item)
		release_item(item);
	else
		item = add(annotations);
	*item = (struct annotation){ .id = text_duplicate(test->id),
				     .title = text_duplicate(test->title),
				     .file = text_duplicate(test->file),
				     .message = text_duplicate(test->message),
				     .line = test->line };
}

void annotations_release(struct annotations *annotations)
{
	for (size_t i = 0; i < annotations->count; i++)
		release_item(&annotations->items[i]);
	free(annotations->items);
	*annotations = (struct annotations){ 0 };
}

/* ---- lines ---- */

/* The length of a terminal's command at `text`, ECMA-48 5.4: runners colour their messages. 0: there is none */
static size_t measure_command(const char *text)
{
	size_t length = 2;

	if (text[0] != '\033' || text[1] != '[')
		return 0;
	while (text[length] >= 0x20 && text[length] < 0x40)
		length++;
	return text[length] ? length + 1 : length;
}

/* As @actions/core writes them. @is_property  also what parts properties */
static void add_escaped(struct text_buffer *out, const char *text, size_t length_max, bool is_property)
{
	for (size_t at = 0; at < length_max && text[at];) {
		size_t command = measure_command(text + at);
		unsigned char letter = (unsigned char)text[at];

		if (command > 0) {
			at += command;
			continue;
		}
		if (strchr("%\r\n", letter) || (is_property && strchr(":,", letter)))
			text_buffer_format(out, "%%%02X", letter);
		else if (letter >= 0x20 || letter == '\t')
			text_buffer_add(out, text + at, 1);
		at++;
	}
}

static void write_item(const struct annotation *item, const char *workspace, struct text_buffer *out)
{
	bool is_below = workspace && item->file[0] == '/' && path_is_below(item->file, workspace);

	text_buffer_add_text(out, "::error ");
	if (item->file[0] && item->line > 0) {
		text_buffer_add_text(out, "file=");
		add_escaped(out, is_below ? path_below(item->file, workspace) : item->file, SIZE_MAX, true);
		text_buffer_format(out, ",line=%lld,", (long long)item->line);
	}
	text_buffer_add_text(out, "title=");
	add_escaped(out, item->title, SIZE_MAX, true);
	text_buffer_add_text(out, "::");
	add_escaped(out, item->message[0] ? item->message : "failed", MESSAGE_LENGTH_MAX, false);
	text_buffer_add_text(out, "\n");
}

void annotations_write(const struct annotations *annotations, const char *workspace, struct text_buffer *out)
{
	for (size_t i = 0; i < annotations->count && i < SHOWN_MAX; i++)
		write_item(&annotations->items[i], workspace, out);
}

void annotations_write_error(const struct error *error, struct text_buffer *out)
{
	char text[2 * sizeof(*error)];

	error_format(error, text, sizeof(text));
	text_buffer_add_text(out, "::error title=sbx::");
	add_escaped(out, text, SIZE_MAX, false);
	text_buffer_add_text(out, "\n");
}

/* ---- said ---- */

static void say(const struct text_buffer *lines)
{
	/* Without stderr there is nobody to tell. */
	if (lines->length > 0)
		(void)fd_write_all(STDERR_FILENO, lines->bytes, lines->length);
}

void annotations_tell(const struct annotations *annotations, const struct events *events)
{
	owned_buffer lines = { 0 };

	if (!annotations_are_wanted() || events->has_annotations)
		return;
	annotations_write(annotations, getenv("GITHUB_WORKSPACE"), &lines);
	say(&lines);
}

void annotations_tell_error(const struct error *error)
{
	owned_buffer lines = { 0 };

	if (!annotations_are_wanted())
		return;
	annotations_write_error(error, &lines);
	say(&lines);
}
