/* SPDX-License-Identifier: Apache-2.0 */
/* sbx lease: a command in a free world, for as long as it runs. */
#include "sandbox/run/lease.h"

#include <signal.h>
#include <unistd.h>

#include "sandbox/verbs/verbs.h"

int verb_lease(struct invocation *invocation, struct error *error)
{
	struct lease_options options = { .slot = (int)invocation->slot - 1,
					 .after = (unsigned)invocation->after,
					 .retry = (unsigned)invocation->retry,
					 .project = invocation->project,
					 .spec = &invocation->spec };
	int exit_code = EXIT_SBX_FAILED;
	int number = 0;
	int result = lease_run(&options, &exit_code, &number, error);

	/* Whoever waits for this process shall see what became of the command. */
	if (number != 0) {
		(void)signal(number, SIG_DFL);
		(void)kill(getpid(), number);
	}
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}
