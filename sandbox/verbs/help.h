/* SPDX-License-Identifier: Apache-2.0 */
/* The help that sbx prints, made from the tables of commands and options. */
#ifndef SBX_VERBS_HELP_H
#define SBX_VERBS_HELP_H

#include "base/text.h"
#include "sandbox/verbs/options.h"
#include "sandbox/verbs/verbs.h"

enum help_depth {
	HELP_SHORT, /* --help: one line for each option */
	HELP_LONG,  /* sbx help VERB: all that there is to say */
};

/** What `sbx --help` prints: the commands by task. */
void help_write_overview(struct text_buffer *text);
/** "usage: sbx run [OPTION…] [--] COMMAND [ARGUMENT…]", without a newline. */
void help_write_usage(const struct verb *verb, struct text_buffer *text);
/** What `sbx VERB --help` and `sbx help VERB` print. */
void help_write_verb(const struct verb *verb, enum help_depth depth, struct text_buffer *text);
/** How an option is written: "--tree DIR", "--keep[=failed]". */
void help_write_option(const struct option *option, struct text_buffer *text);

/** "--why 'Orders › ships'", as a shell wants it. @return the caller's */
char *help_format_example(const struct option *option);

#endif
