/* SPDX-License-Identifier: Apache-2.0 */
/* sbx exec: one more command in a worker. */
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/visit.h"

int verb_exec(struct invocation *invocation, struct error *error)
{
	owned_visit visit = NULL;
	struct relay_result command = { 0 };
	int exit_code = EXIT_SBX_FAILED;
	int result = visit_open(invocation->operands.items[0], RESOLVE_LIVE | RESOLVE_KEPT, &visit, error);

	if (result < 0)
		return result;
	result = visit_run_command(visit, &invocation->spec, &command, &exit_code, error);
	visit_close(visit);
	visit = NULL;
	if (result == 0)
		relay_raise(&command);
	/* A command that could not be executed has an exit status of its own, and an error to be told as well. */
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}
