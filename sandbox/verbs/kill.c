/* SPDX-License-Identifier: Apache-2.0 */
/* sbx kill: a signal for the commands of workers. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/visit.h"

static int send_signal(const struct invocation *invocation, const struct state_paths *places, const char *word,
		       void *argument, struct error *error)
{
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_visit visit = NULL;
	int result = resolve_worker(places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);

	(void)argument;
	if (result < 0)
		return result;
	if (!found.is_live)
		return error_set(error, .number = ESRCH, .step = "send a signal to", .object = word,
				 .cause = "this worker has ended, only its files are kept",
				 .remedy = "'sbx rm' removes them, 'sbx shell' enters them");
	result = visit_open(word, RESOLVE_LIVE, &visit, error);
	if (result == 0)
		result = visit_signal(visit, invocation->signal ? invocation->signal : SIGKILL, error);
	if (result == 0)
		(void)printf("%s\n", found.worker.row.name); /* main() looks whether it could be written */
	return result;
}

int verb_kill(struct invocation *invocation, struct error *error)
{
	return workers_each(invocation, 0, RESOLVE_LIVE, send_signal, NULL, error);
}
