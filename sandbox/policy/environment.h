/* SPDX-License-Identifier: Apache-2.0 */
/* The payload's environment: the caller's, less what leads out of the world and well-known credentials (secrets.def).
 *
 * Suites need variables of their own (E2E_PASSWORD, connection strings), so names that merely look like a credential
 * pass unless the filter is strict. Any bytes are legal in names and values; entries without a name or without '=' are
 * kept out, environ(7). Host side, before clone. */
#ifndef SBX_POLICY_ENVIRONMENT_H
#define SBX_POLICY_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

enum environment_filter {
	ENVIRONMENT_FILTER_SHORT,  /* known names */
	ENVIRONMENT_FILTER_STRICT, /* patterns as well */
};

enum environment_change_kind {
	ENVIRONMENT_SET,  /* NAME=VALUE */
	ENVIRONMENT_PASS, /* NAME: the caller's value, filtered or not; nothing where the caller has none */
	ENVIRONMENT_UNSET,
};

struct environment_change {
	enum environment_change_kind kind;
	char *text;
};

struct environment_changes {
	struct environment_change *items;
	size_t count;
};

struct environment_options {
	bool clear; /* --clearenv: start from nothing */
	enum environment_filter filter;
	struct environment_changes from_files; /* --env-file, in order; as in docker, weaker than every -e */
	struct environment_changes changes;    /* -e and --unsetenv, in order */
};

void environment_options_init(struct environment_options *options);
void environment_options_release(struct environment_options *options);

/** -e NAME=VALUE or -e NAME. @return 0, or -EINVAL (no name) */
int environment_options_set(struct environment_options *options, const char *text, struct error *error);
/** --unsetenv NAME. @return 0, or -EINVAL (no name, or one with '=') */
int environment_options_unset(struct environment_options *options, const char *name, struct error *error);
/** --env-file FILE, in docker's grammar: a line is NAME=VALUE, NAME, a comment (#) or empty; blanks before the name are
 *  skipped, a value is taken as it stands, quotes and all. "-" is standard input.
 *  @return 0, or -errno (-EINVAL: a line is malformed; -EFBIG: more than 16 MiB), nothing kept */
int environment_options_read_file(struct environment_options *options, const char *path, struct error *error);
/** The same for a text; `name` is what errors call it. */
int environment_options_read_text(struct environment_options *options, const char *name, const char *text, size_t size,
				  struct error *error);

/** Builds the environment, each name once, the last one winning. From weak to strong: what is inherited, `defaults`,
 *  the files, the options, `forced`.
 *  @caller    as environ(7)
 *  @defaults  NAME=VALUE…, NULL-terminated or NULL: as HOME and PWD inside; left out with --clearenv
 *  @forced    NAME=VALUE…, NULL-terminated or NULL: as SBX=1 and SBX_WORKER; nothing the user says changes them
 *  @ret_environment  the caller's to release, as execve(2) takes it
 *  @ret_dropped      names of credentials that were filtered and not passed in spite of it, in order; channels to the
 *                    host are not among them: they would not have worked. The caller's to release; may be NULL */
void environment_build(char *const *caller, const struct environment_options *options, char *const *defaults,
		       char *const *forced, struct text_list *ret_environment, struct text_list *ret_dropped);

/** What the options change, for a command in a world that has its environment already: --env-file and -e, the latter
 *  stronger, and --unsetenv. -e NAME takes the caller's value.
 *  @ret_set, @ret_unset  the caller's to release, as environment_apply() takes them */
void environment_list_changes(char *const *caller, const struct environment_options *options, struct text_list *ret_set,
			      struct text_list *ret_unset);

/** Parts an environment into what may be told to others and the names of what may be a credential or leads to the host,
 *  by all of secrets.def. @ret_plain, @ret_names  the caller's to release */
void environment_split_secrets(const struct text_list *environment, struct text_list *ret_plain,
			       struct text_list *ret_names);

/** `base` without the names of `unset`, then with each NAME=VALUE of `set`, the last one winning.
 *  @ret_environment  the caller's to release */
void environment_apply(const struct text_list *base, const struct text_list *set, const struct text_list *unset,
		       struct text_list *ret_environment);

#endif
