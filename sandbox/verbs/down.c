/* SPDX-License-Identifier: Apache-2.0 */
/* sbx down: ends pools. */
#include <errno.h>
#include <stdio.h>

#include "base/path.h"
#include "sandbox/pool/down.h"
#include "sandbox/pool/pool.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/identity.h"

static bool is_meant(const struct invocation *invocation, const struct pool *pool, const char *here)
{
	const char *name = invocation->spec.name;

	if (invocation->all)
		return true;
	if (name)
		return text_equal(pool->description.name, name) || text_equal(pool->id, name);
	return path_is_below(here, pool->description.tree);
}

int verb_down(struct invocation *invocation, struct error *error)
{
	uint64_t grace_ms =
		invocation->stop_timeout_ms == STOP_TIMEOUT_UNSET ? ASK_OWN_GRACE : invocation->stop_timeout_ms;
	owned_places places = { 0 };
	owned_pool_list list = { 0 };
	owned_text here = NULL;
	size_t count = 0;
	int status = 0;
	int result = path_find_current(&here, error);

	if (result < 0)
		return result;
	if (invocation->all && invocation->spec.name)
		return error_set(error, .number = EINVAL, .step = "choose the pool", .object = invocation->spec.name,
				 .cause = "--all and --name contradict each other", .remedy = "leave one of them out");
	result = identity_find_places(&places, error);
	if (result == 0)
		result = pool_list(&places, &list, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < list.count; i++) {
		struct error failure = { 0 };

		if (!is_meant(invocation, &list.items[i], here))
			continue;
		count++;
		if (down_run(&places, &list.items[i], grace_ms, &failure) == 0) {
			(void)printf("%s\n", list.items[i].description.name); /* main() looks after it */
			continue;
		}
		say_error(&failure);
		status = EXIT_SBX_FAILED;
	}
	if (count == 0 && invocation->spec.name)
		return error_set(error, .number = ENOENT, .step = "find the pool", .object = invocation->spec.name,
				 .cause = "there is none of that name", .remedy = "'sbx ps' lists the workers");
	if (count == 0)
		say_line(invocation->all ? "there is no pool" : "there is no pool in this tree");
	return status;
}
