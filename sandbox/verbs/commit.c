/* SPDX-License-Identifier: Apache-2.0 */
/* sbx commit: a worker as it is becomes a seed. A live one stands still while it is copied, and goes on. */
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/registry/seeds.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/seeding.h"
#include "sandbox/worker/visit.h"

int verb_commit(struct invocation *invocation, struct error *error)
{
	const char *word = invocation->operands.items[0];
	const char *name = invocation->operands.items[1];
	struct seeding_options options = { .name = name, .origin = "commit", .say = say_line };
	struct seeding seeding = SEEDING_NONE;
	owned_visit visit = NULL;
	int result = seed_check_name(name, error);

	if (result == 0)
		result = visit_open(word, RESOLVE_LIVE | RESOLVE_KEPT, &visit, error);
	if (result < 0)
		return result;
	options.tree = visit_worker(visit)->worker.row.tree;
	result = seeding_begin(&seeding, &options, NULL, error);
	if (result == 0)
		result = seeding_start(&seeding, error);
	if (result == 0) {
		struct task task = seeding_task(&seeding);

		result = visit_run_task(visit, &task, error);
	}
	if (result == 0)
		result = seeding_finish(&seeding, error);
	seeding_close(&seeding);
	return result < 0 ? error_context(error, "worker %s", word) : result;
}
