/* SPDX-License-Identifier: Apache-2.0 */
/* sbx shell: the caller's shell in a worker. */
#include <stdlib.h>
#include <unistd.h>

#include "base/path.h"
#include "sandbox/verbs/shell.h"
#include "sandbox/verbs/verbs.h"

/* $SHELL, where it is one: accounts that nobody logs in to name a program there that only refuses. */
const char *shell_choose(void)
{
	const char *shell = getenv("SHELL");
	const char *name = shell ? path_name(shell) : "";

	if (!shell || shell[0] != '/' || text_equal(name, "nologin") || text_equal(name, "false") ||
	    access(shell, X_OK) < 0)
		return "/bin/sh";
	return shell;
}

int verb_shell(struct invocation *invocation, struct error *error)
{
	text_list_add(&invocation->spec.payload, shell_choose());
	return verb_exec(invocation, error);
}
