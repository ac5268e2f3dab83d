/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/options.h"

#include <string.h>

#include "base/macro.h"
#include "base/text.h"
#include "sandbox/pool/lease.h"
#include "sandbox/pool/pool.h"
#include "sandbox/verbs/option_values.h"

static const struct option_choice bundles[] = {
	{ .word = "failed", .value = 1 },
	{ 0 },
};

static const struct option_choice homes[] = {
	{ .word = "cow", .value = HOME_COPY_ON_WRITE },
	{ .word = "empty", .value = HOME_EMPTY },
	{ 0 },
};

static const struct option_choice networks[] = {
	{ .word = "private", .value = NETWORK_PRIVATE },
	{ .word = "online", .value = NETWORK_ONLINE },
	{ .word = "outbound", .value = NETWORK_OUTBOUND },
	{ .word = "host", .value = NETWORK_HOST },
	{ .word = "none", .value = NETWORK_PRIVATE, .is_alias = true }, /* docker's has a loopback too */
	{ 0 },
};

static const struct option_choice keeps[] = {
	{ .word = "always", .value = KEEP_ALWAYS, .is_alias = true },
	{ .word = "failed", .value = KEEP_FAILED },
	{ .word = "never", .value = KEEP_NEVER },
	{ 0 },
};

static const struct option_choice units[] = {
	{ .word = "worker", .value = UNIT_WORKER },
	{ .word = "file", .value = UNIT_FILE },
	{ .word = "fail", .value = UNIT_FAIL },
	{ .word = "never", .value = UNIT_NEVER },
	{ 0 },
};

static const struct option_choice retries[] = {
	{ .word = "red", .value = UNIT_RETRY_RED },
	{ .word = "green", .value = UNIT_RETRY_GREEN },
	{ 0 },
};

static const struct option_choice resets[] = {
	{ .word = "each", .value = POOL_LEASE_RESET_EACH },
	{ .word = "fail", .value = POOL_LEASE_RESET_FAIL },
	{ .word = "never", .value = POOL_LEASE_RESET_NEVER },
	{ 0 },
};

static const struct option_choice formats[] = {
	{ .word = "table", .value = FORMAT_TABLE },
	{ .word = "json", .value = FORMAT_JSON },
	{ 0 },
};

static const struct option_choice report_formats[] = {
	{ .word = "html", .value = FORMAT_TABLE },
	{ .word = "junit", .value = FORMAT_JUNIT },
	{ .word = "json", .value = FORMAT_JSON },
	{ 0 },
};

static const struct option_choice settings_formats[] = {
	{ .word = "yaml", .value = FORMAT_YAML },
	{ .word = "json", .value = FORMAT_JSON },
	{ 0 },
};

static const struct option_choice environment_filters[] = {
	{ .word = "short", .value = ENVIRONMENT_FILTER_SHORT },
	{ .word = "strict", .value = ENVIRONMENT_FILTER_STRICT },
	{ 0 },
};

static const struct option_choice seccomp_profiles[] = {
	{ .word = "default", .value = SECCOMP_DEFAULT },
	{ .word = "strict", .value = SECCOMP_STRICT },
	{ .word = "off", .value = SECCOMP_OFF },
	{ 0 },
};

/* Values of options without effect: with any other they would have one. */
static const struct option_choice truths[] = { { .word = "true" }, { 0 } };
static const struct option_choice privates[] = { { .word = "private" }, { 0 } };
static const struct option_choice user_namespaces[] = { { .word = "host" }, { .word = "keep-id" }, { 0 } };

/* The offset of a member, which must be of that type: what the setter writes. */
#define FIELD(type, member)                                                                                            \
	(offsetof(struct invocation, member) + 0 * sizeof(_Generic(((struct invocation *)0)->member, type : 1)))

#define SET(setter)		   .set = setter
#define FLAG(member)		   .set = option_set_flag, .field = FIELD(bool, member)
#define TEXT(member)		   .set = option_set_text, .field = FIELD(char *, member)
#define SIGNAL(member)		   .set = option_set_signal, .field = FIELD(int, member)
#define PAIR(member)		   .set = option_set_pair, .field = FIELD(struct text_list, member)
#define RANGE(member, from, to)	   .field = FIELD(uint64_t, member), .min = from, .max = to
#define NUMBER(member, from, to)   .set = option_set_number, RANGE(member, from, to)
#define SIZE(member, from, to)	   .set = option_set_size, RANGE(member, from, to)
#define DURATION(member, from, to) .set = option_set_duration, RANGE(member, from, to)
#define CHOICE(member, words)                                                                                          \
	.set = option_set_choice, .field = FIELD(unsigned, member), .choices = words, .complete = COMPLETE_CHOICE

#define OPTION(...) { __VA_ARGS__ },
#define ALIAS(word, sign, whose, row, ...)                                                                             \
	{ .kind = OPTION_ALIAS, .name = word, .letter = sign, .verbs = whose, .target = row, __VA_ARGS__ },
#define NO_EFFECT(word, sign, whose, why)                                                                              \
	{ .kind = OPTION_NO_EFFECT,                                                                                    \
	  .name = word,                                                                                                \
	  .letter = sign,                                                                                              \
	  .verbs = whose,                                                                                              \
	  .help = why,                                                                                                 \
	  .value = "true",                                                                                             \
	  .value_optional = true,                                                                                      \
	  .choices = truths,                                                                                           \
	  .example = "true",                                                                                           \
	  SET(option_set_nothing) },
#define NO_EFFECT_VALUE(word, whose, words, valid, why)                                                                \
	{ .kind = OPTION_NO_EFFECT,                                                                                    \
	  .name = word,                                                                                                \
	  .verbs = whose,                                                                                              \
	  .help = why,                                                                                                 \
	  .value = "MODE",                                                                                             \
	  .choices = words,                                                                                            \
	  .example = valid,                                                                                            \
	  SET(option_set_nothing) },
#define REFUSED(word, sign, what, whose, why, instead)                                                                 \
	{ .kind = OPTION_REFUSED,                                                                                      \
	  .name = word,                                                                                                \
	  .letter = sign,                                                                                              \
	  .value = what,                                                                                               \
	  .verbs = whose,                                                                                              \
	  .help = why,                                                                                                 \
	  .remedy = instead },

const struct option option_table[] = {
#include "sandbox/verbs/options.def"
};
const size_t option_count = ARRAY_SIZE(option_table);

const char *const option_group_titles[OPTION_GROUP_COUNT] = {
	[OPTION_GROUP_FILES] = "Files",
	[OPTION_GROUP_DATABASE] = "Databases",
	[OPTION_GROUP_ENVIRONMENT] = "Environment",
	[OPTION_GROUP_NETWORK] = "Network",
	[OPTION_GROUP_LIMITS] = "Limits",
	[OPTION_GROUP_TIME] = "Time and signals",
	[OPTION_GROUP_SECURITY] = "Security",
	[OPTION_GROUP_WORKER] = "The worker",
	[OPTION_GROUP_CHOICE] = "Options",
	[OPTION_GROUP_OUTPUT] = "Output",
};

bool option_belongs(const struct option *option, const struct verb *verb)
{
	size_t length = strlen(verb->name);
	const char *word = option->verbs;

	/* `config` takes what has a key in sbx.yaml, so that it can show what a line makes of the file. */
	if (option->key && text_equal(verb->name, "config"))
		return true;
	while (word) {
		if (strncmp(word, verb->name, length) == 0 && (word[length] == ' ' || word[length] == '\0'))
			return true;
		word = strchr(word, ' ');
		word = word ? word + 1 : NULL;
	}
	return !option->verbs;
}

bool option_is_shown(const struct option *option)
{
	return option->kind == OPTION_PLAIN && !option->is_internal;
}

const struct option *option_find(const struct verb *verb, const char *name, size_t length)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];

		if (strncmp(option->name, name, length) == 0 && option->name[length] == '\0' &&
		    option_belongs(option, verb))
			return option;
	}
	return NULL;
}

const struct option *option_find_letter(const struct verb *verb, char letter)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].letter == letter && option_belongs(&option_table[i], verb))
			return &option_table[i];
	return NULL;
}

const struct option *option_resolve(const struct verb *verb, const struct option *option)
{
	return option->kind == OPTION_ALIAS ? option_find(verb, option->target, strlen(option->target)) : option;
}

const struct option *option_nearest(const struct verb *verb, const char *name)
{
	const struct option *nearest = NULL;
	unsigned least = 0;

	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];
		unsigned distance = text_distance(option->name, name);

		if (option_belongs(option, verb) && distance <= 1 + strlen(name) / 4 &&
		    (!nearest || distance < least)) {
			nearest = option;
			least = distance;
		}
	}
	return nearest;
}
