/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of sbx: one row of verbs.def and one file VERB.c each. The table drives dispatch, help, completion,
 * manual. */
#ifndef SBX_VERBS_VERBS_H
#define SBX_VERBS_VERBS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "sandbox/verbs/invocation.h"

/* By task, in the order of `sbx --help`. */
enum verb_group {
	VERB_GROUP_RUN,
	VERB_GROUP_LOOK,
	VERB_GROUP_DATA,
	VERB_GROUP_END,
	VERB_GROUP_SBX,
	VERB_GROUP_COUNT,
};

/* What follows the operands. */
enum verb_command {
	COMMAND_NONE,	  /* nothing; options may stand behind operands too, as in docker and podman */
	COMMAND_OPTIONAL, /* a command for the world; the first word that is no option ends the options */
	COMMAND_REQUIRED,
	COMMAND_AFTER_DASHES, /* optional, and behind -- only: options may stand behind operands too */
};

/* What a word completes to. */
enum completion {
	COMPLETE_NOTHING,
	COMPLETE_CHOICE, /* the row's choices */
	COMPLETE_FILE,
	COMPLETE_DIRECTORY,
	COMPLETE_WORKER,
	COMPLETE_VARIABLE, /* names of environment variables */
	COMPLETE_SIGNAL,
	COMPLETE_VERB,
	COMPLETE_WORKER_PATH, /* a file, or WORKER: */
};

#define OPERANDS_ANY ((size_t)-1)

struct verb {
	const char *name;
	int (*run)(struct invocation *invocation, struct error *error); /* exit status, or -errno with error filled */
	enum verb_group group;
	bool hidden;	   /* neither in help nor in completion */
	const char *usage; /* what follows the options */
	size_t operands_min;
	size_t operands_max;
	enum verb_command command;
	enum completion complete;    /* of the operands */
	const char *const *choices;  /* of the first operand, NULL-terminated */
	const char *help;	     /* one line */
	const char *details;	     /* paragraphs, separated by empty lines */
	const char *const *examples; /* command, explanation, …, NULL */
};

extern const struct verb verb_table[];
extern const size_t verb_count;
extern const char *const verb_group_titles[VERB_GROUP_COUNT];

/** The verb of that name, or NULL. */
const struct verb *verb_find(const char *name);
/** The visible verb whose name is nearest, or NULL where none is near. */
const struct verb *verb_nearest(const char *name);
/** Fills `error` for a command that does not exist, with the nearest one as the remedy. @return -EINVAL */
int verb_fail_unknown(const char *name, struct error *error);

#define VERB(verb, ...) int verb_##verb(struct invocation *invocation, struct error *error);
#include "sandbox/verbs/verbs.def"
#undef VERB

#endif
