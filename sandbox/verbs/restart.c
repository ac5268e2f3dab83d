/* SPDX-License-Identifier: Apache-2.0 */
/* sbx restart: ends the services of workers and starts them anew, says whose are ready again. */
#include <stdio.h>

#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/visit.h"

static int restart(const struct invocation *invocation, const struct state_paths *places, const char *word,
		   void *argument, struct error *error)
{
	uint64_t grace_ms =
		invocation->stop_timeout_ms == STOP_TIMEOUT_UNSET ? ASK_OWN_GRACE : invocation->stop_timeout_ms;
	owned_visit visit = NULL;
	int result = visit_open(word, RESOLVE_LIVE, &visit, error);

	(void)places;
	(void)argument;
	if (result == 0)
		result = visit_restart(visit, grace_ms, error);
	if (result == 0)
		(void)printf("%s\n",
			     visit_worker(visit)->worker.row.name); /* main() looks whether it could be written */
	return result < 0 ? error_context(error, "worker %s", word) : 0;
}

int verb_restart(struct invocation *invocation, struct error *error)
{
	return workers_each_at_once(invocation, 0, RESOLVE_LIVE, restart, NULL, error);
}
