/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/manual.h"

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "sandbox/verbs/help.h"
#include "sandbox/verbs/options.h"
#include "sandbox/verbs/verbs.h"

/* Adds text that roff reads as itself: the names of groff_char(7) for what it would change, \& before what it would
 * take for a request at the start of a line. */
static void add_plain(const char *words, struct text_buffer *text)
{
	static const struct {
		const char *plain;
		const char *roff;
	} special[] = {
		{ "\\", "\\e" },  { "-", "\\-" },    { "'", "\\(aq" },	{ "`", "\\(ga" }, { "^", "\\(ha" },
		{ "~", "\\(ti" }, { "\"", "\\(dq" }, { "…", "\\&..." }, { "›", "\\(fc" },
	};
	bool at_start = text->length == 0 || text->bytes[text->length - 1] == '\n';

	if (at_start && *words == '.')
		text_buffer_add_text(text, "\\&");
	while (*words) {
		const char *roff = NULL;
		size_t length = 1;

		for (size_t i = 0; i < ARRAY_SIZE(special) && !roff; i++) {
			if (!text_starts_with(words, special[i].plain))
				continue;
			roff = special[i].roff;
			length = strlen(special[i].plain);
		}
		text_buffer_add(text, roff ? roff : words, roff ? strlen(roff) : length);
		words += length;
	}
}

/* The same, broken into lines at spaces: roff(7) wants them short, and fills its own. A paragraph of the text ends with
 * an empty line. */
static void add_paragraphs(const char *words, struct text_buffer *text)
{
	enum { LINE_LENGTH = 60 };
	size_t line = 0;

	while (*words) {
		size_t length = strcspn(words, " \n");
		owned_text word = text_format("%.*s", (int)length, words);

		line += length + 1;
		add_plain(word, text);
		words += length;
		if (text_starts_with(words, "\n\n"))
			text_buffer_add_text(text, "\n.PP\n");
		else if (*words)
			text_buffer_add_text(text, line > LINE_LENGTH ? "\n" : " ");
		if (line > LINE_LENGTH || *words == '\n')
			line = 0;
		words += strspn(words, " \n");
	}
	text_buffer_add_text(text, "\n");
}

static void add_section(const char *title, struct text_buffer *text)
{
	text_buffer_format(text, ".SH %s\n", title);
}

/* ".TP", a line in bold, a paragraph. */
static void add_item(const char *item, const char *words, struct text_buffer *text)
{
	text_buffer_add_text(text, ".TP\n\\fB");
	add_plain(item, text);
	text_buffer_add_text(text, "\\fR\n");
	add_paragraphs(words, text);
}

static void add_sentence(const char *words, struct text_buffer *text)
{
	owned_text sentence = text_format("%s.", words);

	add_paragraphs(sentence, text);
}

/* ---- commands ---- */

static void add_verb(const struct verb *verb, struct text_buffer *text)
{
	text_buffer_format(text, ".SS sbx %s\n", verb->name);
	text_buffer_format(text, "\\fBsbx %s\\fR [\\fIOPTION\\fR\\&...]%s", verb->name, verb->usage[0] ? " " : "");
	add_plain(verb->usage, text);
	text_buffer_add_text(text, "\n.PP\n");
	add_sentence(verb->help, text);
	if (verb->details) {
		text_buffer_add_text(text, ".PP\n");
		add_paragraphs(verb->details, text);
	}
	for (const char *const *example = verb->examples; example && *example; example += 2) {
		text_buffer_add_text(text, ".PP\n.EX\n");
		add_plain(example[0], text);
		text_buffer_add_text(text, "\n.EE\n.RS\n");
		add_sentence(example[1], text);
		text_buffer_add_text(text, ".RE\n");
	}
}

/* ---- options ---- */

static void add_option(const struct option *option, struct text_buffer *text)
{
	text_buffer_add_text(text, ".TP\n");
	if (option->letter) {
		text_buffer_add_text(text, "\\fB");
		add_plain((const char[]){ '-', option->letter, '\0' }, text);
		text_buffer_add_text(text, "\\fR, ");
	}
	text_buffer_add_text(text, "\\fB");
	add_plain("--", text);
	add_plain(option->name, text);
	text_buffer_add_text(text, "\\fR");
	if (option->value) {
		text_buffer_add_text(text, option->value_optional ? "[=\\fI" : " \\fI");
		add_plain(option->value, text);
		text_buffer_add_text(text, option->value_optional ? "\\fR]" : "\\fR");
	}
	text_buffer_add_text(text, "\n");
	if (option->verbs)
		text_buffer_format(text, "(%s)\n", option->verbs);
	add_sentence(option->help, text);
	if (option->details)
		add_paragraphs(option->details, text);
	if (option->repeats)
		text_buffer_add_text(text, "May be given several times.\n");
	if (option->example) {
		owned_text example = help_format_example(option);

		text_buffer_add_text(text, "Example: ");
		add_plain(example, text);
		text_buffer_add_text(text, "\n");
	}
}

static void add_options(struct text_buffer *text)
{
	add_section("OPTIONS", text);
	text_buffer_add_text(text, "In brackets: the commands that take the option; without, all do.\n"
				   "Behind \\fBrun\\fR and \\fBexec\\fR the first word that is no option ends them.\n");
	for (unsigned group = 0; group < OPTION_GROUP_COUNT; group++) {
		text_buffer_format(text, ".SS %s\n", option_group_titles[group]);
		for (size_t i = 0; i < option_count; i++)
			if (option_table[i].group == group && option_is_shown(&option_table[i]))
				add_option(&option_table[i], text);
	}
}

/* Options of other tools: what becomes of them. */
static void add_foreign_options(struct text_buffer *text)
{
	add_section("OPTIONS OF OTHER TOOLS", text);
	text_buffer_add_text(text, "What docker, podman and bubblewrap call otherwise, need, or do otherwise.\n");
	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];
		owned_text name = option->letter ? text_format("-%c, --%s", option->letter, option->name)
						 : text_format("--%s", option->name);
		owned_text words = NULL;

		if (option->kind == OPTION_ALIAS)
			words = text_format("Another name for --%s%s%s.", option->target, option->preset ? "=" : "",
					    option->preset ? option->preset : "");
		else if (option->kind == OPTION_NO_EFFECT)
			words = text_format("Accepted, without effect: %s.", option->help);
		else if (option->kind == OPTION_REFUSED)
			words = text_format("Refused: %s. Instead: %s.", option->help, option->remedy);
		if (words)
			add_item(name, words, text);
	}
}

/* ---- the rest ---- */

static const char *const exit_codes[][2] = {
	{ "0-123", "The command's own." },
	{ "124", "The command was ended by --timeout." },
	{ "125", "sbx itself failed; stderr says at what, on what, why, and what to do." },
	{ "126", "The command could not be executed." },
	{ "127", "The command was not found." },
	{ "128+n", "The command was ended by signal n." },
};

static const char *const variables[][2] = {
	{ "SBX", "Set to 1 inside." },
	{ "SBX_RUN", "The id of the run, inside." },
	{ "SBX_UPPER", "tmpfs or disk: where writable layers lie. Otherwise in memory, or on disk where the kernel's "
		       "tmpfs cannot hold "
		       "them (before 6.6)." },
	{ "SBX_WORKER", "Inside: the number of the worker, from 0." },
	{ "SBX_WORKERS", "Inside: how many workers the run has." },
	{ "HOME",
	  "The home directory that is shown copy-on-write; if it is not absolute or not the caller's own, that of "
	  "the user database." },
	{ "XDG_RUNTIME_DIR", "Locks and sockets of live workers lie in its directory sbx." },
	{ "XDG_STATE_HOME", "Kept workers, and writable layers that lie on disk, are in its directory sbx (default: "
			    "~/.local/state)." },
};

static void add_items(const char *title, const char *const (*items)[2], size_t count, struct text_buffer *text)
{
	add_section(title, text);
	for (size_t i = 0; i < count; i++)
		add_item(items[i][0], items[i][1], text);
}

void manual_write(struct text_buffer *text)
{
	text_buffer_add_text(text, ".\\\" Made from sbx's own tables of commands and options.\n"
				   ".TH SBX 1 \"\" \"sbx " SBX_VERSION "\" \"User Commands\"\n");
	add_section("NAME", text);
	text_buffer_add_text(text, "sbx \\- run servers and tests in rootless sandboxes, many side by side\n");
	add_section("SYNOPSIS", text);
	text_buffer_add_text(
		text, "\\fBsbx\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR\\&...] [\\fIOPERAND\\fR\\&...]\n.br\n"
		      "\\fBsbx run\\fR [\\fIOPTION\\fR\\&...] [\\-\\-] \\fIPROGRAM\\fR [\\fIARGUMENT\\fR\\&...]\n");
	add_section("DESCRIPTION", text);
	add_paragraphs(
		"Each worker sees the files of the caller at their usual paths, has every port to itself and its own "
		"copy of the "
		"database. Nothing that it does changes the host. There is no daemon, no image, and no root.",
		text);
	add_section("COMMANDS", text);
	for (size_t i = 0; i < verb_count; i++)
		if (!verb_table[i].hidden)
			add_verb(&verb_table[i], text);
	add_options(text);
	add_foreign_options(text);
	add_items("EXIT STATUS", exit_codes, ARRAY_SIZE(exit_codes), text);
	add_items("ENVIRONMENT", variables, ARRAY_SIZE(variables), text);
	add_section("SEE ALSO", text);
	text_buffer_add_text(text, ".BR bwrap (1),\n.BR docker (1),\n.BR namespaces (7),\n.BR podman (1),\n"
				   ".BR seccomp (2),\n.BR user_namespaces (7)\n");
}

int verb_man(struct invocation *invocation, struct error *error)
{
	owned_buffer text = { 0 };
	int result;

	(void)invocation;
	manual_write(&text);
	result = fd_write_all(STDOUT_FILENO, text.bytes, text.length);
	return result < 0 ? error_set(error, .number = -result, .step = "print the manual page") : 0;
}
