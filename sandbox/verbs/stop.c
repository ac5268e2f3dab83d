/* SPDX-License-Identifier: Apache-2.0 */
/* sbx stop: ends workers in good order, and says which have ended. */
#include <errno.h>
#include <stdio.h>

#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/visit.h"

static int stop(const struct invocation *invocation, const struct state_paths *places, const char *word, void *argument,
		struct error *error)
{
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_visit visit = NULL;
	int result = resolve_worker(places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);

	(void)argument;
	/* A kept worker has ended already: as asked. */
	if (result == 0 && found.is_live)
		result = visit_open(word, RESOLVE_LIVE, &visit, error);
	if (visit)
		result = visit_stop(visit, invocation->stop_timeout_ms, error);
	if (result == 0)
		(void)printf("%s\n", found.worker.row.name); /* main() looks whether it could be written */
	return result;
}

int verb_stop(struct invocation *invocation, struct error *error)
{
	return workers_each_at_once(invocation, 0, RESOLVE_LIVE, stop, NULL, error);
}
