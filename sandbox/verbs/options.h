/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `sbx run`: one table drives the parser and the help. */
#ifndef SBX_VERBS_OPTIONS_H
#define SBX_VERBS_OPTIONS_H

#include <stdio.h>

#include "base/error.h"
#include "sandbox/worker/spec.h"

/** Parses the words after the verb. The first one that is no option, or what follows "--", begins the command.
 *  @return 0, 1 when help was asked for, or -errno */
int options_parse(char *const *words, struct spec *spec, struct error *error);

/** Prints the table. */
void options_print_help(FILE *stream);

#endif
