/* SPDX-License-Identifier: Apache-2.0 */
/* The option table: one row is all there is to know of an option.
 *
 * The rows stand in options.def. Parser, `--help`, `sbx help`, the completions of three shells and the manual are made
 * from them, so none of these can miss one; tests/unit/test_options.c proves it row by row. */
#ifndef SBX_VERBS_OPTIONS_H
#define SBX_VERBS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/verbs/invocation.h"
#include "sandbox/verbs/verbs.h"

/* Headings of help and manual, in this order. */
enum option_group {
	OPTION_GROUP_FILES,
	OPTION_GROUP_DATABASE,
	OPTION_GROUP_ENVIRONMENT,
	OPTION_GROUP_NETWORK,
	OPTION_GROUP_LIMITS,
	OPTION_GROUP_TIME,
	OPTION_GROUP_SECURITY,
	OPTION_GROUP_WORKER,
	OPTION_GROUP_CHOICE,
	OPTION_GROUP_OUTPUT,
	OPTION_GROUP_COUNT,
};

enum option_kind {
	OPTION_PLAIN,
	OPTION_ALIAS,	  /* another tool's name for the row `target`; not in help, nor in completion */
	OPTION_NO_EFFECT, /* what it asks for is so anyway, as `help` says; not in help, nor in completion */
	OPTION_REFUSED,	  /* another tool's: `help` says why not, `remedy` what to use; likewise */
};

/* One of the words that a value may be. A list of them ends with a NULL word. */
struct option_choice {
	const char *word;
	unsigned value;
	bool is_alias; /* accepted, not shown */
};

struct option;
typedef int option_setter(struct invocation *invocation, const struct option *option, const char *value,
			  struct error *error);

struct option {
	const char *name;    /* without dashes; unique in its verbs */
	char letter;	     /* or 0 */
	const char *value;   /* what it is called in help; NULL: takes none */
	bool value_optional; /* then it is given as --name=VALUE only; the setter gets NULL without it */
	bool is_internal;    /* sbx calls itself with it: not in help, nor in completion */
	bool repeats;	     /* adds up; the others: the last one counts */
	const char *verbs;   /* names, separated by a space; NULL: all */
	enum option_kind kind;
	enum option_group group;
	const char *help;    /* one line */
	const char *details; /* more, for `sbx help VERB` and the manual */
	const char *remedy;
	const char *key;     /* of sbx.yaml; NULL: has none */
	const char *example; /* a value that is valid, for manual and tests */

	option_setter *set;
	size_t field; /* offset in struct invocation */
	uint64_t min;
	uint64_t max;
	const struct option_choice *choices;
	enum completion complete;
	const char *target; /* OPTION_ALIAS */
	const char *preset; /* OPTION_ALIAS without a value of its own: the value it stands for */
};

extern const struct option option_table[];
extern const size_t option_count;
extern const char *const option_group_titles[OPTION_GROUP_COUNT];

/** Whether `verb` takes the option. */
bool option_belongs(const struct option *option, const struct verb *verb);
/** Whether help and completion show it. */
bool option_is_shown(const struct option *option);
/** The row of `verb` by long name or by letter, or NULL. */
const struct option *option_find(const struct verb *verb, const char *name, size_t length);
const struct option *option_find_letter(const struct verb *verb, char letter);
/** The row of `verb` whose long name is nearest, or NULL where none is near. */
const struct option *option_nearest(const struct verb *verb, const char *name);
/** The row that an alias stands for; any other row itself. */
const struct option *option_resolve(const struct verb *verb, const struct option *option);

#endif
