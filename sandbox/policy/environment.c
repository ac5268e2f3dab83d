/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/environment.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox/policy/secrets.h"

void environment_options_release(struct environment_options *options)
{
	text_list_release(&options->sets);
	text_list_release(&options->unsets);
}

static bool has_name(const char *entry, const char *name, size_t length)
{
	return strncmp(entry, name, length) == 0 && (entry[length] == '=' || entry[length] == '\0');
}

static bool is_named(const struct text_list *list, const char *name, size_t length)
{
	for (size_t i = 0; i < list->count; i++)
		if (has_name(list->items[i], name, length))
			return true;
	return false;
}

static const char *find(char *const *environment, const char *name, size_t length)
{
	for (size_t i = 0; environment && environment[i]; i++)
		if (strncmp(environment[i], name, length) == 0 && environment[i][length] == '=')
			return environment[i];
	return NULL;
}

static void add_inherited(const char *entry, const struct environment_options *options, struct text_list *environment,
			  struct text_list *dropped)
{
	size_t length = strcspn(entry, "=");

	if (entry[length] == '\0' || length == 0 || is_named(&options->unsets, entry, length) ||
	    is_named(&options->sets, entry, length))
		return;
	switch (secrets_classify_variable(entry, length)) {
	case SECRETS_CREDENTIAL: {
		char *name = strndup(entry, length);

		text_list_take(dropped, name);
		return;
	}
	case SECRETS_CHANNEL:
		return;
	case SECRETS_NONE:
		text_list_add(environment, entry);
	}
}

void environment_build(char *const *caller, const struct environment_options *options, struct text_list *ret_environment,
		       struct text_list *ret_dropped)
{
	for (size_t i = 0; !options->clear && caller[i]; i++)
		add_inherited(caller[i], options, ret_environment, ret_dropped);
	for (size_t i = 0; i < options->sets.count; i++) {
		const char *set = options->sets.items[i];
		size_t length = strcspn(set, "=");
		const char *entry = set[length] == '=' ? set : find(caller, set, length);
		bool is_overridden = false;

		for (size_t later = i + 1; later < options->sets.count; later++)
			is_overridden |= has_name(options->sets.items[later], set, length);
		if (entry && !is_overridden)
			text_list_add(ret_environment, entry);
	}
}
