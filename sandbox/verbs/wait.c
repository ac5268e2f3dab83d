/* SPDX-License-Identifier: Apache-2.0 */
/* sbx wait: one exit status a line, in the order of the operands, as docker and podman print them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/visit.h"

static int wait_for(const struct invocation *invocation, const struct state_paths *places, const char *word,
		    void *argument, struct error *error)
{
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_visit visit = NULL;
	int exit_code = 0;
	int result = resolve_worker(places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);

	(void)invocation;
	(void)argument;
	if (result == 0 && found.is_live)
		result = visit_open(word, RESOLVE_LIVE, &visit, error);
	if (visit)
		result = visit_wait(visit, &exit_code, error);
	if (result == 0)
		(void)printf("%" PRId64 "\n", found.is_live ? exit_code : found.worker.exit_status);
	/* At once: whoever reads a pipe may act on the first while the second still runs. */
	if (fflush(stdout) != 0)
		return error_set(error, .number = errno, .step = "print the exit status of", .object = word);
	return result;
}

int verb_wait(struct invocation *invocation, struct error *error)
{
	return workers_each_at_once(invocation, 0, RESOLVE_LIVE, wait_for, NULL, error);
}
