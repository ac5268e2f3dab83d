/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a program of this host, found by PATH, what it prints. Host side: whoever asks sees to it that nothing runs
 * which a tree brings along. */
#ifndef SBX_RUN_PROGRAM_H
#define SBX_RUN_PROGRAM_H

#include "base/text.h"

struct program {
	const char *const *arguments;	   /* NULL-terminated, the name first */
	const char *directory;		   /* where it runs */
	const struct text_list *variables; /* NAME, value, NAME, value …, over this process's own; NULL: none */
};

/** Runs it, without input, its messages dropped, for 10 s and 4 MiB at most.
 *  @output  added to   @return its exit status, or -errno: it ended otherwise, took too long or said too much */
int program_ask(const struct program *program, struct text_buffer *output);

/** The first line that NAME ARGUMENT MORE prints. @more  may be NULL
 *  @return the caller's; NULL: none, or it failed */
char *program_ask_line(const char *name, const char *argument, const char *more, const char *directory);

#endif
