/* SPDX-License-Identifier: Apache-2.0 */
/* From words to a verb, and from its result to an exit status. Nothing else of sbx prints errors or exits. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/verbs/help.h"
#include "sandbox/verbs/invocation.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"

static int print_verb_help(const struct verb *verb, struct error *error)
{
	owned_buffer text = { 0 };
	int result;

	help_write_verb(verb, HELP_SHORT, &text);
	result = fd_write_all(STDOUT_FILENO, text.bytes, text.length);
	return result < 0 ? error_set(error, .number = -result, .step = "print the help") : 0;
}

static void print_overview_as_error(void)
{
	owned_buffer text = { 0 };

	help_write_overview(&text);
	text_buffer_add_text(&text, "\n");
	/* Without stderr there is nobody to tell. */
	(void)fd_write_all(STDERR_FILENO, text.bytes, text.length);
}

static int run_verb(struct invocation *invocation, struct error *error)
{
	int status;

	for (size_t i = 0; invocation->spec.verbose && i < invocation->notes.count; i++)
		say_line(invocation->notes.items[i]);
	status = invocation->verb->run(invocation, error);
	/* What a listing could not write must not pass for written: a full disk, a closed pipe. */
	if (status == 0 && fflush(stdout) != 0)
		return error_set(error, .number = errno, .step = "write the output");
	return status;
}

int main(int argc, char **argv)
{
	char *const nothing[] = { NULL };
	owned_invocation invocation = { 0 };
	struct error error = { 0 };
	int status = fd_ensure_standard();

	if (status < 0) {
		(void)error_set(&error, .number = -status, .step = "open /dev/null for a closed standard stream");
		say_error(&error);
		return EXIT_SBX_FAILED;
	}
	/* A file that may not grow (RLIMIT_FSIZE) is an error with words then, and not the end of sbx. */
	(void)signal(SIGXFSZ, SIG_IGN);
	invocation_init(&invocation);
	/* execve(2) with an empty argv: Linux puts an empty word there only since 5.18. */
	if (argc < 2)
		print_overview_as_error();
	status = invocation_parse(&invocation, argc < 2 ? nothing : argv + 1, &error);
	if (status == 0)
		status = invocation.help ? print_verb_help(invocation.verb, &error) : run_verb(&invocation, &error);
	/* A command that could not be executed has an exit status of its own, and an error to be told as well. */
	if (error.step[0] != '\0')
		say_error(&error);
	return status < 0 ? EXIT_SBX_FAILED : status;
}
