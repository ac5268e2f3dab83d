/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/invocation.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "sandbox/verbs/help.h"
#include "sandbox/verbs/options.h"
#include "sandbox/verbs/settings.h"
#include "sandbox/verbs/verbs.h"

void invocation_init(struct invocation *invocation)
{
	*invocation = (struct invocation){ .tail = TAIL_ALL, .stop_timeout_ms = STOP_TIMEOUT_UNSET };
	spec_init(&invocation->spec);
}

void invocation_release(struct invocation *invocation)
{
	spec_release(&invocation->spec);
	text_free(&invocation->database);
	text_free(&invocation->against);
	text_free(&invocation->changeset);
	text_free(&invocation->file);
	project_settings_release(&invocation->given);
	text_free(&invocation->project);
	text_free(&invocation->worker_count);
	text_free(&invocation->refill);
	text_free(&invocation->why);
	text_free(&invocation->items);
	text_free(&invocation->shard);
	text_free(&invocation->junit);
	text_free(&invocation->bundle_directory);
	text_free(&invocation->output);
	text_list_release(&invocation->artifacts);
	text_list_release(&invocation->filters);
	text_free(&invocation->seed);
	text_list_release(&invocation->inputs);
	text_list_release(&invocation->operands);
	text_list_release(&invocation->notes);
}

/* ---- options ---- */

static int fail_option(const char *written, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = "use", .object = written, .cause = cause, .remedy = remedy);
}

static int refuse_option(const struct option *option, const char *written, struct error *error)
{
	return fail_option(written, option->help, option->remedy, error);
}

/* Any other command that has an option of this name. */
static const struct verb *find_owner(const char *name)
{
	for (size_t i = 0; i < verb_count; i++) {
		const struct option *option = option_find(&verb_table[i], name, strlen(name));

		if (option && option->kind == OPTION_PLAIN)
			return &verb_table[i];
	}
	return NULL;
}

/* @name  without dashes; "" for a letter */
static int fail_unknown_option(const struct verb *verb, const char *name, const char *written, struct error *error)
{
	const struct option *nearest = option_nearest(verb, name);
	const struct verb *owner = find_owner(name);
	owned_text cause = owner ? text_format("it is an option of 'sbx %s', not of 'sbx %s'", owner->name, verb->name)
				 : text_format("'sbx %s' has no such option", verb->name);
	owned_text hint = nearest && !owner ? text_format("did you mean --%s? ", nearest->name) : text_duplicate("");
	owned_text remedy =
		text_format("%s'sbx %s --help' lists them%s", hint, verb->name,
			    verb->command == COMMAND_NONE ? "" : "; what belongs to the command stands behind it");

	return fail_option(written, cause, remedy, error);
}

static int fail_missing_value(const struct verb *verb, const struct option *option, const char *written,
			      struct error *error)
{
	const struct option *row = option_resolve(verb, option);
	owned_text cause = text_format("its value is missing: %s", row->value);
	owned_text remedy = text_format("as in %s %s", written, row->example);

	return fail_option(written, cause, remedy, error);
}

/* Hands a value to the row's setter. @value NULL: none was given */
static int apply_option(struct invocation *invocation, const struct option *option, const char *value,
			struct error *error)
{
	const struct option *row = option_resolve(invocation->verb, option);
	const char *given = option->preset ? option->preset : value;

	if (row->key)
		project_settings_add(&invocation->given, row->key,
				     !given && row->value && row->choices ? row->choices[0].word : given, 0, 0);
	return row->set(invocation, row, given, error);
}

/* "--name", "--name=value", "--name value". @return how many arguments it took, or -errno */
static int parse_long(struct invocation *invocation, char *const *arguments, struct error *error)
{
	const char *name = arguments[0] + strlen("--");
	size_t length = strcspn(name, "=");
	owned_text written = text_format("--%.*s", (int)MIN(length, (size_t)256), name);
	const struct option *option = option_find(invocation->verb, name, length);
	const char *value = name[length] == '=' ? name + length + 1 : NULL;
	int used = 1;
	int result;

	if (!option)
		return fail_unknown_option(invocation->verb, written + strlen("--"), written, error);
	if (option->kind == OPTION_REFUSED)
		return refuse_option(option, written, error);
	if (value && !option->value)
		return fail_option(written, "it takes no value", NULL, error);
	if (!value && option->value && !option->value_optional) {
		value = arguments[used++];
		if (!value)
			return fail_missing_value(invocation->verb, option, written, error);
	}
	result = apply_option(invocation, option, value, error);
	return result < 0 ? result : used;
}

/* A letter that cannot be had. A whole word behind one dash is a slip for two. */
static int fail_letter(const struct verb *verb, const char *argument, char letter, struct error *error)
{
	const char written[] = { '-', letter, '\0' };
	const char *word = argument + 1;
	const struct option *meant = word[1] ? option_find(verb, word, strcspn(word, "=")) : NULL;
	const struct option *refused = option_find_letter(verb, letter);
	owned_text remedy = NULL;

	if (meant) {
		remedy = text_format("did you mean --%s?", meant->name);
		return fail_option(argument, "a long option has two dashes", remedy, error);
	}
	return refused ? refuse_option(refused, written, error) : fail_unknown_option(verb, "", written, error);
}

/* docker's -h NAME is --hostname. Taken as help it would run nothing, and exit with 0 in some script. */
static int check_help_letter(const struct verb *verb, const char *rest, const char *next, struct error *error)
{
	if (verb->command == COMMAND_NONE || verb->command == COMMAND_AFTER_DASHES || (*rest == '\0' && !next))
		return 0;
	return fail_option("-h", "it asks for help here, and more follows it", "use --hostname NAME, or --help", error);
}

/* "-x", "-xVALUE", "-x=VALUE", "-x VALUE", "-xyz". @return how many arguments it took, or -errno */
static int parse_letters(struct invocation *invocation, char *const *arguments, struct error *error)
{
	for (const char *letter = arguments[0] + 1; *letter; letter++) {
		const struct option *option = option_find_letter(invocation->verb, *letter);
		const char written[] = { '-', *letter, '\0' };
		const char *rest = letter + 1;
		int used = 1;
		int result = 0;

		if (!option || option->kind == OPTION_REFUSED)
			return fail_letter(invocation->verb, arguments[0], *letter, error);
		if (*letter == 'h')
			result = check_help_letter(invocation->verb, rest, arguments[1], error);
		if (result < 0)
			return result;
		if (!option->value || option->value_optional) {
			result = apply_option(invocation, option, NULL, error);
			if (result < 0)
				return result;
			continue;
		}
		if (*rest == '=')
			rest++; /* as docker and podman take it */
		else if (*rest == '\0')
			rest = arguments[used++];
		if (!rest)
			return fail_missing_value(invocation->verb, option, written, error);
		result = apply_option(invocation, option, rest, error);
		return result < 0 ? result : used;
	}
	return 1;
}

/* ---- the whole line ---- */

static int fail_operands(const struct verb *verb, const char *object, const char *cause, struct error *error)
{
	owned_buffer usage = { 0 };

	help_write_usage(verb, &usage);
	return error_set(error, .number = EINVAL, .step = "understand the command line", .object = object,
			 .cause = cause, .remedy = usage.bytes);
}

static int check_operands(const struct invocation *invocation, struct error *error)
{
	const struct verb *verb = invocation->verb;
	const struct text_list *operands = &invocation->operands;

	if (operands->count < verb->operands_min && !invocation->all) {
		owned_text cause = text_format("'sbx %s' needs more: %s", verb->name, verb->usage);

		return fail_operands(verb, NULL, cause, error);
	}
	if (operands->count > verb->operands_max)
		return fail_operands(verb, operands->items[verb->operands_max], "it is one word too many", error);
	if (verb->command == COMMAND_REQUIRED && invocation->spec.payload.count == 0)
		return fail_operands(verb, NULL, "the command to run is missing", error);
	return 0;
}

/* A verb that runs a command ends its options at the first word that is none, POSIX's way (XBD 12.2, guideline 9), so
 * that the command's own options stay its own. The others take options anywhere, as docker's and podman's do. */
static int parse_rest(struct invocation *invocation, char *const *arguments, struct error *error)
{
	const struct verb *verb = invocation->verb;
	bool options_ended = false;

	while (*arguments) {
		const char *argument = *arguments;
		int used = 1;

		if (!options_ended && text_equal(argument, "--")) {
			options_ended = true;
		} else if (!options_ended && argument[0] == '-' && argument[1] != '\0') {
			used = argument[1] == '-' ? parse_long(invocation, arguments, error)
						  : parse_letters(invocation, arguments, error);
			if (used < 0 || invocation->help)
				return MIN(used, 0);
		} else if (verb->command == COMMAND_AFTER_DASHES ? options_ended : verb->command != COMMAND_NONE) {
			break;
		} else {
			text_list_add(&invocation->operands, argument);
		}
		arguments += used;
	}
	if (verb->command == COMMAND_NONE)
		return 0;
	while (*arguments && invocation->operands.count < verb->operands_max && verb->command != COMMAND_AFTER_DASHES)
		text_list_add(&invocation->operands, *arguments++);
	/* sbx exec WORKER -- COMMAND */
	if (*arguments && invocation->operands.count > 0 && text_equal(*arguments, "--"))
		arguments++;
	while (*arguments)
		text_list_add(&invocation->spec.payload, *arguments++);
	return 0;
}

/* What every program answers to, without a command. */
static const struct {
	const char *written;
	const char *verb;
} first_words[] = {
	{ "--help", "help" },
	{ "-h", "help" },
	{ "--version", "version" },
};

int invocation_parse(struct invocation *invocation, char *const *arguments, struct error *error)
{
	const char *name = arguments[0];
	int result;

	invocation->arguments = arguments;
	if (!name)
		return error_set(error, .number = EINVAL, .step = "start", .cause = "the command is missing",
				 .remedy = "'sbx --help' lists the commands");
	for (size_t i = 0; i < ARRAY_SIZE(first_words); i++)
		if (text_equal(name, first_words[i].written))
			name = first_words[i].verb;
	invocation->verb = verb_find(name);
	if (!invocation->verb && name[0] == '-')
		return fail_option(name, "an option stands behind the command it belongs to",
				   "as in 'sbx run --tree DIR -- PROGRAM'; 'sbx --help' lists the commands", error);
	if (!invocation->verb)
		return verb_fail_unknown(name, error);
	result = parse_rest(invocation, arguments + 1, error);
	if (result < 0 || invocation->help)
		return result;
	return check_operands(invocation, error);
}

int invocation_add_project(struct invocation *invocation, const struct project *project, struct error *error)
{
	owned_invocation fresh;
	int result = 0;

	invocation_init(&fresh);
	fresh.verb = invocation->verb;
	for (size_t i = 0; i < project->settings.count && result == 0; i++)
		result = settings_apply(&fresh, &project->settings.items[i], project, &invocation->given, error);
	if (result == 0)
		result = invocation_parse(&fresh, invocation->arguments, error);
	if (result < 0)
		return result;
	settings_take_place(project, &fresh.spec);
	invocation_release(invocation);
	*invocation = fresh;
	invocation_init(&fresh);
	return 0;
}
