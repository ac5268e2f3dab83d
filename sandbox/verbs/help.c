/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/help.h"

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"

enum {
	WIDTH = 80,
	VERB_COLUMN = 14,
	OPTION_COLUMN = 30,
	DETAILS_INDENT = 8,
};

/* ---- layout ---- */

/* Characters, not bytes: one per code point is right for what the tables hold. */
static size_t width_of(const char *text, size_t length)
{
	size_t width = 0;

	for (size_t i = 0; i < length; i++)
		width += ((unsigned char)text[i] & 0xc0) != 0x80;
	return width;
}

static void add_spaces(struct text_buffer *text, size_t count)
{
	text_buffer_format(text, "%*s", (int)count, "");
}

/* Adds words up to WIDTH, the first at `column`, where the line stands already, further lines indented to it. A '\n' of
 * the text begins a new line. Ends with a newline. */
static void add_wrapped(struct text_buffer *text, const char *words, size_t column)
{
	size_t at = column;

	while (*words) {
		size_t length = strcspn(words, " \n");
		size_t width = width_of(words, length);

		if (at > column && at + 1 + width > WIDTH) {
			text_buffer_add_text(text, "\n");
			add_spaces(text, column);
			at = column;
		}
		if (at > column)
			text_buffer_add_text(text, " ");
		text_buffer_add(text, words, length);
		at += width + (at > column);
		words += length;
		for (; *words == ' ' || *words == '\n'; words++) {
			if (*words == ' ')
				continue;
			text_buffer_add_text(text, "\n");
			if (words[1] != '\n')
				add_spaces(text, column);
			at = column;
		}
	}
	text_buffer_add_text(text, "\n");
}

/* A left part, then its explanation at `column`, or on the next line where the left part is too long for it. */
static void add_row(struct text_buffer *text, const char *left, size_t column, const char *help)
{
	size_t width = width_of(left, strlen(left));

	text_buffer_add_text(text, left);
	if (width + 1 >= column) {
		text_buffer_add_text(text, "\n");
		width = 0;
	}
	add_spaces(text, column - width);
	add_wrapped(text, help, column);
}

/* ---- the overview ---- */

static const char introduction[] = "sbx: run servers and tests in rootless sandboxes, many side by side\n"
				   "\n"
				   "Each worker sees your files at their usual paths, has every port to itself and a\n"
				   "copy of the database. Nothing it does changes the host. No daemon, no image.\n"
				   "\n"
				   "usage: sbx COMMAND [OPTION…] …\n"
				   "\n"
				   "First steps\n"
				   "  sbx doctor                   is this machine ready, and if not, what to do\n"
				   "  sbx run -- dotnet App.dll    your app on its usual port, once or ten times\n"
				   "  sbx run -- bash              look around inside, break things\n";

void help_write_overview(struct text_buffer *text)
{
	text_buffer_add_text(text, introduction);
	for (unsigned group = 0; group < VERB_GROUP_COUNT; group++) {
		bool is_empty = true;

		for (size_t i = 0; i < verb_count; i++) {
			const struct verb *verb = &verb_table[i];
			owned_text left = text_format("  %s", verb->name);

			if (verb->group != group || verb->hidden)
				continue;
			if (is_empty)
				text_buffer_format(text, "\n%s\n", verb_group_titles[group]);
			is_empty = false;
			add_row(text, left, VERB_COLUMN, verb->help);
		}
	}
	text_buffer_add_text(text, "\n'sbx COMMAND --help' lists the options, 'sbx help COMMAND' explains them.\n");
}

/* ---- one command ---- */

void help_write_usage(const struct verb *verb, struct text_buffer *text)
{
	text_buffer_format(text, "usage: sbx %s [OPTION…]%s%s", verb->name, verb->usage[0] ? " " : "", verb->usage);
}

void help_write_option(const struct option *option, struct text_buffer *text)
{
	text_buffer_format(text, "--%s", option->name);
	if (option->value)
		text_buffer_format(text, option->value_optional ? "[=%s]" : " %s", option->value);
}

char *help_format_example(const struct option *option)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,+%";
	const char *quote = option->example[strspn(option->example, plain)] == '\0' ? "" : "'";

	if (strchr(option->example, '\''))
		quote = "\"";
	return text_format("--%s%c%s%s%s", option->name, option->value_optional ? '=' : ' ', quote, option->example,
			   quote);
}

static void add_option(const struct option *option, enum help_depth depth, struct text_buffer *text)
{
	owned_buffer left = { 0 };

	if (option->letter)
		text_buffer_format(&left, "  -%c, ", option->letter);
	else
		text_buffer_add_text(&left, "      ");
	help_write_option(option, &left);
	add_row(text, left.bytes, OPTION_COLUMN, option->help);
	if (depth == HELP_SHORT)
		return;
	if (option->details) {
		add_spaces(text, DETAILS_INDENT);
		add_wrapped(text, option->details, DETAILS_INDENT);
	}
	if (option->repeats)
		text_buffer_format(text, "%*sMay be given several times.\n", DETAILS_INDENT, "");
	if (option->example) {
		owned_text example = help_format_example(option);

		text_buffer_format(text, "%*sExample: %s\n", DETAILS_INDENT, "", example);
	}
}

static void add_options(const struct verb *verb, enum help_depth depth, struct text_buffer *text)
{
	for (unsigned group = 0; group < OPTION_GROUP_COUNT; group++) {
		bool is_empty = true;

		for (size_t i = 0; i < option_count; i++) {
			const struct option *option = &option_table[i];

			if (option->group != group || !option_is_shown(option) || !option_belongs(option, verb))
				continue;
			if (is_empty)
				text_buffer_format(text, "\n%s\n", option_group_titles[group]);
			is_empty = false;
			add_option(option, depth, text);
		}
	}
}

void help_write_verb(const struct verb *verb, enum help_depth depth, struct text_buffer *text)
{
	help_write_usage(verb, text);
	text_buffer_format(text, "\n\nsbx %s: %s\n", verb->name, verb->help);
	if (verb->details) {
		text_buffer_add_text(text, "\n");
		add_wrapped(text, verb->details, 0);
	}
	add_options(verb, depth, text);
	if (verb->examples)
		text_buffer_add_text(text, "\nExamples\n");
	for (const char *const *example = verb->examples; example && *example; example += 2) {
		text_buffer_format(text, "  %s\n      ", example[0]);
		add_wrapped(text, example[1], 6);
	}
	if (depth == HELP_SHORT && verb->command != COMMAND_NONE)
		text_buffer_format(text, "\n'sbx help %s' explains each option.\n", verb->name);
}

int verb_help(struct invocation *invocation, struct error *error)
{
	owned_buffer text = { 0 };
	const char *name = invocation->operands.count > 0 ? invocation->operands.items[0] : NULL;
	const struct verb *verb = name ? verb_find(name) : NULL;
	int result;

	if (name && !verb)
		return verb_fail_unknown(name, error);
	if (verb)
		help_write_verb(verb, HELP_LONG, &text);
	else
		help_write_overview(&text);
	result = fd_write_all(STDOUT_FILENO, text.bytes, text.length);
	return result < 0 ? error_set(error, .number = -result, .step = "print the help") : 0;
}
