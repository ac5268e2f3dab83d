/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/environment.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "sandbox/policy/secrets.h"

enum {
	FILE_SIZE_MAX = 16 << 20, /* more than execve(2) would ever take */
};

void environment_options_init(struct environment_options *options)
{
	*options = (struct environment_options){ 0 };
}

static void changes_release(struct environment_changes *changes)
{
	for (size_t i = 0; i < changes->count; i++)
		free(changes->items[i].text);
	free(changes->items);
	*changes = (struct environment_changes){ 0 };
}

void environment_options_release(struct environment_options *options)
{
	changes_release(&options->from_files);
	changes_release(&options->changes);
	environment_options_init(options);
}

/* Takes over `text`. */
static void changes_add(struct environment_changes *changes, enum environment_change_kind kind, char *text)
{
	/* Grown at powers of two. */
	if ((changes->count & (changes->count - 1)) == 0) {
		size_t room = changes->count ? 2 * changes->count : 1;

		changes->items = reallocarray(changes->items, room, sizeof(*changes->items));
		if (!changes->items)
			abort();
	}
	changes->items[changes->count++] = (struct environment_change){ kind, text };
}

int environment_options_set(struct environment_options *options, const char *text, struct error *error)
{
	if (text[0] == '\0' || text[0] == '=')
		return error_set(error, .number = EINVAL, .step = "set the variable", .object = text,
				 .cause = "it has no name",
				 .remedy = "write it as NAME=VALUE, or NAME for the caller's value");
	changes_add(&options->changes, strchr(text, '=') ? ENVIRONMENT_SET : ENVIRONMENT_PASS, text_duplicate(text));
	return 0;
}

int environment_options_unset(struct environment_options *options, const char *name, struct error *error)
{
	if (name[0] == '\0' || strchr(name, '='))
		return error_set(error, .number = EINVAL, .step = "remove the variable", .object = name,
				 .cause = "that is no name of a variable");
	changes_add(&options->changes, ENVIRONMENT_UNSET, text_duplicate(name));
	return 0;
}

/* ---- files ---- */

/* One line, without its end. @return 0 or -EINVAL with *ret_cause set */
static int read_line(struct environment_changes *changes, const char *line, size_t length, const char **ret_cause)
{
	const char *end = line + length;
	const char *equals;
	const char *name_end;

	while (line < end && isspace((unsigned char)*line))
		line++;
	if (line == end || *line == '#')
		return 0;
	equals = memchr(line, '=', (size_t)(end - line));
	name_end = equals ? equals : end;
	if (memchr(line, '\0', (size_t)(end - line)))
		*ret_cause = "it holds a NUL byte";
	else if (equals == line)
		*ret_cause = "it has no name before the '='";
	for (const char *byte = line; byte < name_end && !*ret_cause; byte++)
		if (isspace((unsigned char)*byte))
			*ret_cause = "its name holds a blank";
	if (*ret_cause)
		return -EINVAL;
	changes_add(changes, equals ? ENVIRONMENT_SET : ENVIRONMENT_PASS, strndup(line, (size_t)(end - line)));
	return 0;
}

int environment_options_read_text(struct environment_options *options, const char *name, const char *text, size_t size,
				  struct error *error)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	struct environment_changes *changes = &options->from_files;
	size_t count_before = changes->count;
	const char *end = text + size;
	const char *cause = NULL;

	if (size >= 3 && memcmp(text, byte_order_mark, 3) == 0)
		text += 3;
	for (unsigned number = 1; text < end; number++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;
		size_t length = (size_t)(line_end - text);

		if (length > 0 && text[length - 1] == '\r')
			length--;
		if (read_line(changes, text, length, &cause) < 0) {
			owned_text object = text_format("%s:%u", name, number);

			while (changes->count > count_before)
				free(changes->items[--changes->count].text);
			return error_set(error, .number = EINVAL, .step = "read the environment file", .object = object,
					 .cause = cause,
					 .remedy = "a line is NAME=VALUE, NAME, or a comment that begins with #");
		}
		text = newline ? newline + 1 : end;
	}
	return 0;
}

int environment_options_read_file(struct environment_options *options, const char *path, struct error *error)
{
	owned_text text = NULL;
	size_t size = 0;
	int result = fd_read_file(AT_FDCWD, strcmp(path, "-") == 0 ? "/dev/stdin" : path, FILE_SIZE_MAX, &text, &size);

	if (result < 0)
		return error_set(error, .number = -result, .step = "read the environment file", .object = path);
	return environment_options_read_text(options, path, text, size, error);
}

/* ---- the environment ---- */

/* A variable on its way. Removed ones keep their place, so that the order is that of first mention. */
struct variable {
	const char *name; /* start of "NAME=VALUE", borrowed */
	size_t name_length;
	bool is_removed;
	bool is_dropped; /* by the filter, as a credential */
};

/* All variables in order, and their places by name: open addressing, at most half full. */
struct variables {
	struct variable *items;
	size_t count;
	uint32_t *places; /* index + 1; 0: free */
	size_t place_mask;
};

static size_t count_entries(char *const *entries)
{
	size_t count = 0;

	while (entries && entries[count])
		count++;
	return count;
}

static void variables_init(struct variables *variables, size_t count_max)
{
	size_t places = 16;

	while (places < 2 * count_max)
		places *= 2;
	*variables = (struct variables){ .items = calloc(count_max + 1, sizeof(*variables->items)),
					 .places = calloc(places, sizeof(*variables->places)),
					 .place_mask = places - 1 };
	if (!variables->items || !variables->places)
		abort();
}

static void variables_release(struct variables *variables)
{
	free(variables->items);
	free(variables->places);
}

/* FNV-1a. */
static size_t hash(const char *name, size_t length)
{
	uint64_t value = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < length; i++)
		value = (value ^ (unsigned char)name[i]) * UINT64_C(1099511628211);
	return (size_t)(value ^ (value >> 32));
}

/* The place of the name in the index: the one it has, or the free one that it would get. */
static uint32_t *find_place(const struct variables *variables, const char *name, size_t length)
{
	for (size_t place = hash(name, length) & variables->place_mask;; place = (place + 1) & variables->place_mask) {
		uint32_t index = variables->places[place];

		assert(index <= variables->count);
		if (index == 0 || (variables->items[index - 1].name_length == length &&
				   memcmp(variables->items[index - 1].name, name, length) == 0))
			return &variables->places[place];
	}
}

static struct variable *put(struct variables *variables, const char *entry, size_t name_length)
{
	uint32_t *place = find_place(variables, entry, name_length);
	struct variable *variable;

	if (*place == 0)
		*place = (uint32_t)++variables->count;
	variable = &variables->items[*place - 1];
	*variable = (struct variable){ .name = entry, .name_length = name_length };
	return variable;
}

/* Entries without a name or without '=' are kept out. */
static void put_all(struct variables *variables, char *const *entries)
{
	for (; entries && *entries; entries++) {
		size_t length = strcspn(*entries, "=");

		if (length > 0 && (*entries)[length] == '=')
			(void)put(variables, *entries, length);
	}
}

static void filter_out(struct variables *variables, enum environment_filter filter)
{
	for (size_t i = 0; i < variables->count; i++) {
		struct variable *variable = &variables->items[i];
		enum secrets_kind kind = secrets_classify_variable(variable->name, variable->name_length);

		if (kind == SECRETS_NONE && filter == ENVIRONMENT_FILTER_STRICT &&
		    secrets_looks_like_credential(variable->name, variable->name_length))
			kind = SECRETS_CREDENTIAL;
		variable->is_removed = kind != SECRETS_NONE;
		variable->is_dropped = kind == SECRETS_CREDENTIAL;
	}
}

/* The last entry of that name, as everywhere here. */
static const char *find_inherited(char *const *caller, const char *name, size_t length)
{
	const char *found = NULL;

	for (; caller && *caller; caller++)
		if (strncmp(*caller, name, length) == 0 && (*caller)[length] == '=')
			found = *caller;
	return found;
}

static void change(struct variables *variables, const struct environment_changes *changes, char *const *caller)
{
	for (size_t i = 0; i < changes->count; i++) {
		const struct environment_change *item = &changes->items[i];
		size_t length = strcspn(item->text, "=");
		const char *inherited;

		switch (item->kind) {
		case ENVIRONMENT_SET:
			(void)put(variables, item->text, length);
			break;
		case ENVIRONMENT_PASS:
			inherited = find_inherited(caller, item->text, length);
			if (inherited)
				(void)put(variables, inherited, length);
			break;
		case ENVIRONMENT_UNSET:
			put(variables, item->text, length)->is_removed = true;
			break;
		}
	}
}

void environment_build(char *const *caller, const struct environment_options *options, char *const *defaults,
		       char *const *forced, struct text_list *ret_environment, struct text_list *ret_dropped)
{
	struct variables variables;

	variables_init(&variables, count_entries(caller) + count_entries(defaults) + count_entries(forced) +
					   options->from_files.count + options->changes.count);
	if (!options->clear) {
		put_all(&variables, caller);
		filter_out(&variables, options->filter);
		put_all(&variables, defaults);
	}
	change(&variables, &options->from_files, caller);
	change(&variables, &options->changes, caller);
	put_all(&variables, forced);

	*ret_environment = (struct text_list){ 0 };
	if (ret_dropped)
		*ret_dropped = (struct text_list){ 0 };
	for (size_t i = 0; i < variables.count; i++) {
		const struct variable *variable = &variables.items[i];

		if (!variable->is_removed)
			text_list_add(ret_environment, variable->name);
		else if (variable->is_dropped && ret_dropped)
			text_list_take(ret_dropped, strndup(variable->name, variable->name_length));
	}
	variables_release(&variables);
}

void environment_list_changes(char *const *caller, const struct environment_options *options, struct text_list *ret_set,
			      struct text_list *ret_unset)
{
	struct variables variables;

	variables_init(&variables, options->from_files.count + options->changes.count);
	change(&variables, &options->from_files, caller);
	change(&variables, &options->changes, caller);
	*ret_set = (struct text_list){ 0 };
	*ret_unset = (struct text_list){ 0 };
	for (size_t i = 0; i < variables.count; i++) {
		const struct variable *variable = &variables.items[i];

		if (variable->is_removed)
			text_list_take(ret_unset, strndup(variable->name, variable->name_length));
		else
			text_list_add(ret_set, variable->name);
	}
	variables_release(&variables);
}

void environment_apply(const struct text_list *base, const struct text_list *set, const struct text_list *unset,
		       struct text_list *ret_environment)
{
	struct variables variables;

	variables_init(&variables, base->count + set->count + unset->count);
	put_all(&variables, base->items);
	for (size_t i = 0; i < unset->count; i++)
		put(&variables, unset->items[i], strlen(unset->items[i]))->is_removed = true;
	put_all(&variables, set->items);
	*ret_environment = (struct text_list){ 0 };
	for (size_t i = 0; i < variables.count; i++)
		if (!variables.items[i].is_removed)
			text_list_add(ret_environment, variables.items[i].name);
	variables_release(&variables);
}

void environment_split_secrets(const struct text_list *environment, struct text_list *ret_plain,
			       struct text_list *ret_names)
{
	for (size_t i = 0; i < environment->count; i++) {
		const char *text = environment->items[i];
		size_t length = strcspn(text, "=");

		if (secrets_classify_variable(text, length) == SECRETS_NONE &&
		    !secrets_looks_like_credential(text, length))
			text_list_add(ret_plain, text);
		else
			text_list_take(ret_names, text_format("%.*s", (int)length, text));
	}
}
