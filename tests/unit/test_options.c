/* SPDX-License-Identifier: Apache-2.0 */
/* The option table, row by row: that each reaches the parser, both helps, three completions and the manual, and that
 * what people get wrong is told. The table is the one place where an option is described; this is the proof. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/tree.h"
#include "sandbox/verbs/completion.h"
#include "sandbox/verbs/help.h"
#include "sandbox/verbs/invocation.h"
#include "sandbox/verbs/manual.h"
#include "sandbox/verbs/option_values.h"
#include "sandbox/verbs/options.h"
#include "sandbox/verbs/settings.h"
#include "sandbox/verbs/start.h"
#include "sandbox/verbs/verbs.h"

/* A directory in which the examples of the table hold: the files that they name are there. */
static char place[] = "/tmp/sbx-options.XXXXXX";

static int set_up(void **state)
{
	int fd;

	(void)state;
	if (!mkdtemp(place) || chdir(place) < 0)
		return -1;
	fd = open(".env", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "A=1\n", 4) != 4)
		return -1;
	/* --pass-fd 3 and --status-fd 1 need them open. */
	if (fd != 3 && dup3(fd, 3, O_CLOEXEC) < 0)
		return -1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return chdir("/tmp") < 0 || tree_remove(AT_FDCWD, place + strlen("/tmp/"), NULL) < 0 ? -1 : 0;
}

/* ---- helpers ---- */

/* Adds to `words` what the verb needs besides options. */
static void add_operands(const struct verb *verb, struct text_list *words)
{
	for (size_t i = 0; i < verb->operands_min; i++)
		text_list_add(words, verb->choices && i == 0 ? verb->choices[0] : "worker");
	if (verb->command == COMMAND_REQUIRED) {
		text_list_add(words, "--");
		text_list_add(words, "true");
	}
}

/* VERB OPTION [VALUE] OPERAND…; NULLs are left out. */
static int parse(const struct verb *verb, const char *option, const char *value, struct invocation *ret_invocation,
		 struct error *error)
{
	owned_list words = { 0 };

	text_list_add(&words, verb->name);
	if (option)
		text_list_add(&words, option);
	if (value)
		text_list_add(&words, value);
	add_operands(verb, &words);
	memset(ret_invocation, 0, sizeof(*ret_invocation));
	memset(error, 0, sizeof(*error));
	invocation_init(ret_invocation);
	return invocation_parse(ret_invocation, words.items, error);
}

static void assert_parses(const struct verb *verb, const char *option, const char *value,
			  struct invocation *ret_invocation)
{
	struct error error;

	if (parse(verb, option, value, ret_invocation, &error) != 0)
		fail_msg("sbx %s %s %s: %s: %s", verb->name, option, value ? value : "", error.object, error.cause);
}

/* @return whether two lines, their operands aside, mean the same */
static bool mean_the_same(struct invocation *a, struct invocation *b)
{
	struct invocation *both[] = { a, b };

	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		text_list_release(&both[i]->operands);
		text_list_release(&both[i]->spec.payload);
		project_settings_release(&both[i]->given);
		both[i]->arguments = NULL;
	}
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Calls `check` for each option of each verb. */
static void for_each_row(void (*check)(const struct verb *verb, const struct option *option))
{
	size_t rows = 0;

	for (size_t i = 0; i < verb_count; i++) {
		for (size_t j = 0; j < option_count; j++) {
			if (!option_belongs(&option_table[j], &verb_table[i]))
				continue;
			check(&verb_table[i], &option_table[j]);
			rows++;
		}
	}
	assert_true(rows > 100);
}

/* One space for each run of spaces and newlines: line breaks are the layout's. */
static char *flatten(const char *text)
{
	struct text_buffer flat = { 0 };

	for (; *text; text++) {
		bool is_space = *text == ' ' || *text == '\n' || *text == '\t';

		if (!is_space)
			text_buffer_add(&flat, text, 1);
		else if (flat.length > 0 && flat.bytes[flat.length - 1] != ' ')
			text_buffer_add(&flat, " ", 1);
	}
	text_buffer_add_text(&flat, "");
	return flat.bytes;
}

static void assert_has(const char *text, const char *part, const char *whose)
{
	owned_text flat = flatten(text);
	owned_text wanted = flatten(part);

	if (!strstr(flat, wanted))
		fail_msg("%s: lacks \"%s\"", whose, wanted);
}

/* The part of `text` from `from` to the next `to`; the caller's. */
static char *section(const char *text, const char *from, const char *to)
{
	const char *start = strstr(text, from);
	const char *end = start ? strstr(start + strlen(from), to) : NULL;

	if (!start || !end)
		fail_msg("there is no section from \"%s\"", from);
	return text_format("%.*s", (int)(end - start), start);
}

/* ---- the table itself ---- */

static void check_row(const struct verb *verb, const struct option *option)
{
	size_t same_name = 0;
	size_t same_letter = 0;

	for (size_t i = 0; i < option_count; i++) {
		const struct option *other = &option_table[i];

		if (!option_belongs(other, verb))
			continue;
		same_name += text_equal(other->name, option->name);
		same_letter += option->letter && other->letter == option->letter;
	}
	if (same_name != 1 || same_letter > 1)
		fail_msg("sbx %s: --%s or its letter stands twice", verb->name, option->name);
	if (option->kind == OPTION_ALIAS) {
		assert_non_null(option_find(verb, option->target, strlen(option->target)));
		return;
	}
	assert_non_null(option->help);
	if (option->kind == OPTION_REFUSED) {
		assert_non_null(option->remedy);
		return;
	}
	assert_non_null(option->set);
	if (option->value && !option->example)
		fail_msg("--%s takes a value and has no example", option->name);
}

static void test_rows_are_whole_and_unique(void **state)
{
	(void)state;
	for_each_row(check_row);
}

static void test_rows_name_commands_that_exist(void **state)
{
	(void)state;
	for (size_t i = 0; i < option_count; i++) {
		owned_text names = text_duplicate(option_table[i].verbs ? option_table[i].verbs : "run");
		char *rest = names;

		for (char *name = strsep(&rest, " "); name; name = strsep(&rest, " "))
			if (!verb_find(name))
				fail_msg("--%s is said to belong to '%s', which is none", option_table[i].name, name);
	}
}

/* ---- the parser ---- */

static void check_taken(const struct verb *verb, const struct option *option, const char *written, const char *value)
{
	__attribute__((cleanup(invocation_release))) struct invocation without;
	__attribute__((cleanup(invocation_release))) struct invocation with;
	bool is_same;

	assert_parses(verb, NULL, NULL, &without);
	assert_parses(verb, written, value, &with);
	if (option->kind == OPTION_NO_EFFECT) {
		assert_int_equal(with.notes.count, 1);
		text_list_release(&with.notes);
	}
	is_same = mean_the_same(&without, &with);
	if (is_same != (option->kind == OPTION_NO_EFFECT))
		fail_msg("sbx %s %s %s: %s", verb->name, written, value ? value : "",
			 is_same ? "changes nothing" : "has an effect");
}

static void check_refused(const struct verb *verb, const struct option *option)
{
	owned_text written = text_format("--%s", option->name);
	owned_invocation invocation = { 0 };
	struct error error;

	assert_int_equal(parse(verb, written, option->value ? "1" : NULL, &invocation, &error), -EINVAL);
	assert_string_equal(error.object, written);
	assert_string_equal(error.cause, option->help);
	assert_string_equal(error.remedy, option->remedy);
}

static void check_parser(const struct verb *verb, const struct option *option)
{
	const struct option *row = option_resolve(verb, option);
	const char *value = option->value ? row->example : NULL;
	owned_text written = text_format("--%s", option->name);
	owned_text joined = value ? text_format("--%s=%s", option->name, value) : NULL;
	owned_text letter = option->letter ? text_format("-%c", option->letter) : NULL;
	owned_text glued = letter && value ? text_format("-%c%s", option->letter, value) : NULL;

	if (option->kind == OPTION_REFUSED) {
		check_refused(verb, option);
		return;
	}
	/* docker's letter for the host name: nothing may stand behind it where a command does. */
	if (option->letter == 'h' && verb->command != COMMAND_NONE)
		text_free(&letter);
	check_taken(verb, option, written, option->value_optional ? NULL : value);
	if (joined)
		check_taken(verb, option, joined, NULL);
	if (letter)
		check_taken(verb, option, letter, option->value_optional ? NULL : value);
	if (glued && !option->value_optional)
		check_taken(verb, option, glued, NULL);
}

static void test_parser_takes_each_row_with_its_example(void **state)
{
	(void)state;
	for_each_row(check_parser);
}

static void check_missing_value(const struct verb *verb, const struct option *option)
{
	owned_text written = text_format("--%s", option->name);
	owned_invocation invocation = { 0 };
	struct error error = { 0 };
	char *words[] = { (char *)verb->name, written, NULL };

	if (!option->value || option->value_optional || option->kind == OPTION_REFUSED)
		return;
	invocation_init(&invocation);
	assert_int_equal(invocation_parse(&invocation, words, &error), -EINVAL);
	assert_has(error.cause, "its value is missing", written);
	assert_has(error.remedy, option_resolve(verb, option)->example, written);
}

static void test_parser_names_a_missing_value(void **state)
{
	(void)state;
	for_each_row(check_missing_value);
}

static void check_needless_value(const struct verb *verb, const struct option *option)
{
	owned_text written = text_format("--%s=1", option->name);
	owned_invocation invocation = { 0 };
	struct error error;

	if (option->value || option->kind == OPTION_REFUSED)
		return;
	assert_int_equal(parse(verb, written, NULL, &invocation, &error), -EINVAL);
	assert_string_equal(error.cause, "it takes no value");
}

static void test_parser_refuses_a_value_where_there_is_none(void **state)
{
	(void)state;
	for_each_row(check_needless_value);
}

static void check_empty_value(const struct verb *verb, const struct option *option)
{
	owned_text written = text_format("--%s=", option->name);
	owned_invocation invocation = { 0 };
	struct error error;

	if (!option->value || option->kind == OPTION_REFUSED)
		return;
	if (parse(verb, written, NULL, &invocation, &error) == 0)
		fail_msg("sbx %s %s: an empty value is taken", verb->name, written);
	assert_true(error.step[0] && error.cause[0]);
}

static void test_parser_refuses_an_empty_value(void **state)
{
	(void)state;
	for_each_row(check_empty_value);
}

static void check_junk_number(const struct verb *verb, const struct option *option)
{
	static const char *const junk[] = { "1x",
					    "-1",
					    " 1",
					    "1 ",
					    "+1",
					    "0x10",
					    "1e3",
					    "1.5.5",
					    "\n1",
					    "1\n",
					    "nan",
					    "18446744073709551616",
					    "99999999999999999999999999",
					    "1,5" };
	option_setter *const numeric[] = { option_set_number,	    option_set_size,  option_set_duration,
					   option_set_scratch_size, option_set_tail,  option_set_pass_fd,
					   option_set_status_fd,    option_set_signal };
	bool is_numeric = false;

	for (size_t i = 0; i < ARRAY_SIZE(numeric); i++)
		is_numeric = is_numeric || option->set == numeric[i];
	for (size_t i = 0; i < ARRAY_SIZE(junk) && is_numeric; i++) {
		owned_text written = text_format("--%s=%s", option->name, junk[i]);
		owned_invocation invocation = { 0 };
		struct error error;

		if (parse(verb, written, NULL, &invocation, &error) == 0)
			fail_msg("sbx %s %s is taken", verb->name, written);
		assert_string_equal(error.object, junk[i]);
		assert_true(error.cause[0] && error.remedy[0]);
	}
}

static void test_parser_refuses_junk_numbers(void **state)
{
	(void)state;
	for_each_row(check_junk_number);
}

static void test_parser_refuses_junk_limits(void **state)
{
	static const char *const lines[][2] = {
		{ "--pids-limit", "1x" },
		{ "--pids-limit", " 1" },
		{ "--pids-limit", "18446744073709551616" },
		{ "--ulimit", "nofile" },
		{ "--ulimit", "nofile=1x" },
		{ "--ulimit", "nofile=2:1" },
		{ "--ulimit", "no=1" },
		{ "--cpuset-cpus", "2-1" },
		{ "--cpuset-cpus", "a" },
		{ "--size", "0" },
		{ "--inodes", "0" },
		{ "--tmpfs", "/x:size=1y" },
		{ "--tmpfs", "/x:mode=1" },
		{ "-v", "/a:/b" },
		{ "-v", "/a:/b:rx" },
		{ "-v", "/a:/b:ro:z" },
		{ "-v", ":/b:ro" },
		{ "--db", "" },
		{ "--env", "=x" },
		{ "--home", "cows" },
		{ "--net", "bridge" },
		{ "--seccomp", "unconfined" },
		{ "--stop-signal", "SIGNOPE" },
		{ "--add-host", "a" },
		{ "--add-host", "a b:127.0.0.1" },
		{ "--hostname", "a_/b" },
		{ "--label", "=x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		owned_invocation invocation = { 0 };
		struct error error;

		if (parse(verb_find("run"), lines[i][0], lines[i][1], &invocation, &error) == 0)
			fail_msg("sbx run %s %s is taken", lines[i][0], lines[i][1]);
		assert_true(error.step[0] && error.cause[0]);
	}
}

static void test_parser_refuses_bad_names(void **state)
{
	static const char *const names[] = {
		"",	"a/b",
		"a\nb", "\033[31m",
		"-a",	".a",
		"a b",	"a:b",
		"\xff", "..",
		"/",	"ä",
		"a\tb", "a123456789012345678901234567890123456789012345678901234567890123"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		owned_text written = text_format("--name=%s", names[i]);
		owned_invocation invocation = { 0 };
		struct error error;
		char text[2 * sizeof(error)];

		if (parse(verb_find("run"), written, NULL, &invocation, &error) == 0)
			fail_msg("name number %zu is taken", i);
		error_format(&error, text, sizeof(text));
		assert_null(strchr(text, '\033'));
		/* One line for the error, one for the remedy: the name's own newline is none of them. */
		assert_true(!strchr(text, '\n') || strchr(text, '\n') == strrchr(text, '\n'));
	}
}

static void test_parser_offers_the_nearest_option(void **state)
{
	static const struct {
		const char *verb;
		const char *written;
		const char *offer;
	} slips[] = {
		{ "run", "--tre", "--tree" },	  { "run", "--time-out", "--timeout" },
		{ "run", "--volum", "--volume" }, { "logs", "--folow", "--follow" },
		{ "rm", "--forse", "--force" },	  { "ps", "--al", "--all" },
		{ "run", "-tree", "--tree" },	  { "ps", "--tree", "sbx run" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(slips); i++) {
		owned_invocation invocation = { 0 };
		struct error error;
		char text[2 * sizeof(error)];

		assert_int_equal(parse(verb_find(slips[i].verb), slips[i].written, NULL, &invocation, &error), -EINVAL);
		error_format(&error, text, sizeof(text));
		assert_has(text, slips[i].offer, slips[i].written);
	}
}

static void test_parser_offers_the_nearest_command(void **state)
{
	static const char *const slips[][2] = { { "rnu", "sbx run" },
						{ "exce", "sbx exec" },
						{ "pss", "sbx ps" },
						{ "inspet", "sbx inspect" },
						{ "", "sbx --help" },
						{ "-x", "behind the command" },
						{ "node", "sbx run -- PROGRAM" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(slips); i++) {
		owned_invocation invocation = { 0 };
		struct error error = { 0 };
		char *words[] = { (char *)slips[i][0], NULL };
		char text[2 * sizeof(error)];

		invocation_init(&invocation);
		assert_int_equal(invocation_parse(&invocation, words, &error), -EINVAL);
		error_format(&error, text, sizeof(text));
		assert_has(text, slips[i][1], slips[i][0]);
	}
}

static void test_parser_stops_at_the_command(void **state)
{
	char *words[] = { (char *)"exec", (char *)"--env", (char *)"A=1", (char *)"w1",
			  (char *)"ls",	  (char *)"--all", NULL };
	owned_invocation invocation = { 0 };
	struct error error = { 0 };

	(void)state;
	invocation_init(&invocation);
	assert_int_equal(invocation_parse(&invocation, words, &error), 0);
	assert_int_equal(invocation.operands.count, 1);
	assert_string_equal(invocation.operands.items[0], "w1");
	assert_int_equal(invocation.spec.payload.count, 2);
	assert_string_equal(invocation.spec.payload.items[1], "--all");
}

/* ---- help ---- */

static void check_help(const struct verb *verb, const struct option *option)
{
	owned_text whose = text_format("help of %s --%s", verb->name, option->name);
	owned_buffer left = { 0 };
	owned_buffer brief = { 0 };
	owned_buffer whole = { 0 };

	help_write_verb(verb, HELP_SHORT, &brief);
	help_write_verb(verb, HELP_LONG, &whole);
	help_write_option(option, &left);
	if (!option_is_shown(option)) {
		owned_text word = text_format(" --%s ", option->name);
		const struct option *target = option_resolve(verb, option);

		/* Another tool's word is not taught. */
		if (target == option && strstr(brief.bytes, word))
			fail_msg("%s is shown", whose);
		return;
	}
	text_buffer_format(&left, " %s", option->help);
	assert_has(brief.bytes, left.bytes, whose);
	assert_has(whole.bytes, left.bytes, whose);
	if (option->details)
		assert_has(whole.bytes, option->details, whose);
	if (option->example)
		assert_has(whole.bytes, option->example, whose);
}

static void test_help_has_each_row(void **state)
{
	(void)state;
	for_each_row(check_help);
}

static void test_overview_has_each_command(void **state)
{
	owned_buffer text = { 0 };

	(void)state;
	help_write_overview(&text);
	for (size_t i = 0; i < verb_count; i++) {
		owned_text line = text_format("%s %s", verb_table[i].name, verb_table[i].help);

		if (!verb_table[i].hidden)
			assert_has(text.bytes, line, "the overview");
	}
}

/* ---- completions ---- */

static void check_bash(const struct verb *verb, const struct option *option)
{
	owned_text whose = text_format("bash completion of %s --%s", verb->name, option->name);
	owned_text head = text_format("\n\t%s) REPLY='", verb->name);
	owned_text word = text_format(" --%s ", option->name);
	owned_buffer text = { 0 };
	owned_text options = NULL;
	owned_text padded = NULL;

	completion_write_bash(&text);
	options = section(text.bytes, head, "' ;;");
	padded = text_format("%s ", options);
	if (!!strstr(padded, word) != option_is_shown(option))
		fail_msg("%s: %s", whose, option_is_shown(option) ? "is missing" : "is offered");
	if (option_is_shown(option) && option->value) {
		owned_text value =
			text_format("\t%s:--%s%s", verb->name, option->name, option->value_optional ? "=" : "");

		assert_has(text.bytes, value, whose);
	}
}

static void check_zsh(const struct verb *verb, const struct option *option)
{
	owned_text whose = text_format("zsh completion of %s --%s", verb->name, option->name);
	owned_text head = text_format("\n_sbx_verb_%s()\n", verb->name);
	owned_text word = text_format("--%s%s", option->name, option->value ? option->value_optional ? "=-" : "=" : "");
	owned_buffer text = { 0 };
	owned_text function = NULL;
	const char *found;

	completion_write_zsh(&text);
	function = section(text.bytes, head, "\n}\n");
	found = strstr(function, word);
	/* Behind it its help, in brackets, at once or behind the end of a brace. */
	while (found && !text_starts_with(found + strlen(word), "}'[") && !text_starts_with(found + strlen(word), "["))
		found = strstr(found + 1, word);
	if (!!found != option_is_shown(option))
		fail_msg("%s: %s", whose, option_is_shown(option) ? "is missing" : "is offered");
}

static void check_fish(const struct verb *verb, const struct option *option)
{
	owned_text whose = text_format("fish completion of %s --%s", verb->name, option->name);
	owned_text line = text_format("\ncomplete -c sbx -n '__sbx_takes_options %s' -l %s ", verb->name, option->name);
	owned_buffer text = { 0 };

	completion_write_fish(&text);
	if (!!strstr(text.bytes, line) != option_is_shown(option))
		fail_msg("%s: %s", whose, option_is_shown(option) ? "is missing" : "is offered");
}

static void test_completions_have_each_row(void **state)
{
	(void)state;
	for_each_row(check_bash);
	for_each_row(check_zsh);
	for_each_row(check_fish);
}

/* ---- the manual ---- */

/* As the manual writes it. */
static char *in_roff(const char *text)
{
	struct text_buffer roff = { 0 };

	for (; *text; text++) {
		if (*text == '-')
			text_buffer_add_text(&roff, "\\");
		text_buffer_add(&roff, text, 1);
	}
	text_buffer_add_text(&roff, "");
	return roff.bytes;
}

static void check_manual(const struct verb *verb, const struct option *option)
{
	owned_text name = text_format("--%s", option->name);
	owned_text roff = in_roff(name);
	owned_text whose = text_format("manual of %s %s", verb->name, name);
	owned_text options = NULL;
	owned_buffer text = { 0 };
	owned_text ended = text_format("%s\\fR", roff);

	if (option->is_internal)
		return;
	manual_write(&text);
	options = option_is_shown(option) ? section(text.bytes, ".SH OPTIONS\n", ".SH OPTIONS OF OTHER TOOLS")
					  : section(text.bytes, ".SH OPTIONS OF OTHER TOOLS", ".SH EXIT STATUS");
	assert_has(options, ended, whose);
}

static void test_manual_has_each_row(void **state)
{
	(void)state;
	for_each_row(check_manual);
}

static void test_content_of_a_seed_depends_on_keys_that_exist(void **state)
{
	struct invocation invocation = { 0 };
	struct project project = { 0 };
	owned_list list = { 0 };

	(void)state;
	for (const char *const *key = start_content_keys; *key; key++) {
		if (!settings_option(*key))
			fail_msg("no option has the key %s", *key);
		project_settings_add(&project.settings, *key, "x", 1, 1);
	}
	/* On which it does not. */
	project_settings_add(&project.settings, "spares", "2", 1, 1);
	project_settings_add(&invocation.given, "timeout", "5s", 0, 0);
	project_settings_add(&invocation.given, "stop_grace_period", "5s", 0, 0);
	project_settings_add(&invocation.given, "keep", "always", 0, 0);
	start_list_content(&invocation, &project, &list);
	for (size_t i = 0; i < list.count; i++)
		if (!start_content_keys[i] ||
		    strncmp(list.items[i], start_content_keys[i], strlen(list.items[i]) - 2) != 0)
			fail_msg("%s", list.items[i]);
	assert_null(start_content_keys[list.count]);
	project_settings_release(&project.settings);
	project_settings_release(&invocation.given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_whole_and_unique),
		cmocka_unit_test(test_rows_name_commands_that_exist),
		cmocka_unit_test(test_parser_takes_each_row_with_its_example),
		cmocka_unit_test(test_parser_names_a_missing_value),
		cmocka_unit_test(test_parser_refuses_a_value_where_there_is_none),
		cmocka_unit_test(test_parser_refuses_an_empty_value),
		cmocka_unit_test(test_parser_refuses_junk_numbers),
		cmocka_unit_test(test_parser_refuses_junk_limits),
		cmocka_unit_test(test_parser_refuses_bad_names),
		cmocka_unit_test(test_parser_offers_the_nearest_option),
		cmocka_unit_test(test_parser_offers_the_nearest_command),
		cmocka_unit_test(test_parser_stops_at_the_command),
		cmocka_unit_test(test_help_has_each_row),
		cmocka_unit_test(test_overview_has_each_command),
		cmocka_unit_test(test_completions_have_each_row),
		cmocka_unit_test(test_manual_has_each_row),
		cmocka_unit_test(test_content_of_a_seed_depends_on_keys_that_exist),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
