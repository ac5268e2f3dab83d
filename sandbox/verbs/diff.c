/* SPDX-License-Identifier: Apache-2.0 */
/* sbx diff: the files that a worker added, changed or deleted. */
#include <unistd.h>

#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/visit.h"

int verb_diff(struct invocation *invocation, struct error *error)
{
	struct task task = { .kind = TASK_DIFF, .fds = { STDOUT_FILENO }, .fd_count = 1 };
	owned_visit visit = NULL;
	int result = visit_open(invocation->operands.items[0], RESOLVE_LIVE | RESOLVE_KEPT, &visit, error);

	if (result < 0)
		return result;
	text_list_add(&task.arguments, invocation->format == FORMAT_JSON ? "json" : "table");
	result = visit_run_task(visit, &task, error);
	text_list_release(&task.arguments);
	return result;
}
