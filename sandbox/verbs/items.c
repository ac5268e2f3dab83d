/* SPDX-License-Identifier: Apache-2.0 */
/* sbx items: in world R, the runner that `sbx test --items` starts. What happens then stands in sandbox/run/items.c. */
#include "sandbox/run/items.h"

#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"

int verb_items(struct invocation *invocation, struct error *error)
{
	struct items_plan plan;
	int exit_code = EXIT_SBX_FAILED;
	int result = items_plan_unpack(invocation->operands.items[0], &plan, error);

	if (result == 0)
		result = items_run(&plan, &invocation->spec.payload, say_line, &exit_code, error);
	items_plan_release(&plan);
	return result < 0 ? result : exit_code;
}
