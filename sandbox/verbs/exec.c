/* SPDX-License-Identifier: Apache-2.0 */
/* sbx exec: one more command in a worker. */
#include "sandbox/verbs/command.h"
#include "sandbox/verbs/verbs.h"

int verb_exec(struct invocation *invocation, struct error *error)
{
	owned_visit visit = NULL;
	int result = visit_open(invocation->operands.items[0], RESOLVE_LIVE | RESOLVE_KEPT, &visit, error);

	return result < 0 ? result : command_run(&visit, &invocation->spec, error);
}
