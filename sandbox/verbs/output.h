/* SPDX-License-Identifier: Apache-2.0 */
/* What commands print: results to stdout, messages to stderr. */
#ifndef SBX_VERBS_OUTPUT_H
#define SBX_VERBS_OUTPUT_H

#include "base/error.h"
#include "base/table.h"
#include "base/text.h"
#include "sandbox/verbs/invocation.h"

/** For what went wrong without doing harm: "sbx: note: …" on stderr. Nothing where nothing went wrong. */
void output_note(const struct error *note);

/** Writes a result to stdout. @what  completes "cannot print": "the help" */
int output_write(const struct text_buffer *text, const char *what, struct error *error);
/** Writes a listing to stdout, as --format and --no-trunc say. */
int output_table(const struct table *table, const struct invocation *invocation, struct error *error);

#endif
