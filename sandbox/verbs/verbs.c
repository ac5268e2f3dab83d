/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/verbs.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/text.h"

const struct verb verb_table[] = {
#define VERB(verb, ...) { .name = #verb, .run = verb_##verb, __VA_ARGS__ },
#include "sandbox/verbs/verbs.def"
#undef VERB
};
const size_t verb_count = ARRAY_SIZE(verb_table);

const char *const verb_group_titles[VERB_GROUP_COUNT] = {
	[VERB_GROUP_RUN] = "Run", [VERB_GROUP_LOOK] = "Look",	   [VERB_GROUP_DATA] = "Files and rows",
	[VERB_GROUP_END] = "End", [VERB_GROUP_SBX] = "sbx itself",
};

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < verb_count; i++)
		if (text_equal(verb_table[i].name, name))
			return &verb_table[i];
	return NULL;
}

const struct verb *verb_nearest(const char *name)
{
	const struct verb *nearest = NULL;
	unsigned least = 0;

	for (size_t i = 0; i < verb_count; i++) {
		const struct verb *verb = &verb_table[i];
		unsigned distance = text_distance(verb->name, name);

		if (!verb->hidden && distance <= 1 + strlen(name) / 4 && (!nearest || distance < least)) {
			nearest = verb;
			least = distance;
		}
	}
	return nearest;
}

int verb_fail_unknown(const char *name, struct error *error)
{
	const struct verb *nearest = verb_nearest(name);
	owned_text remedy =
		nearest ? text_format("did you mean 'sbx %s'? 'sbx --help' lists the commands", nearest->name)
			: text_duplicate("'sbx --help' lists the commands; a program is run by 'sbx run -- PROGRAM'");

	return error_set(error, .number = EINVAL, .step = "find the command", .object = name,
			 .cause = name[0] ? "sbx has none of that name" : "its name is empty", .remedy = remedy);
}
