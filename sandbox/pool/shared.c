/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/shared.h"

#include <errno.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/pool/declared.h"
#include "sandbox/worker/ask.h"

bool shared_is_declared(const struct project *project)
{
	for (size_t i = 0; project && i < project->services.count; i++)
		if (project->services.items[i].shared)
			return true;
	return false;
}

int shared_connect(const struct state_paths *places, const struct pool *pool, const struct project *project,
		   struct shared_ports *ret_shared, struct error *error)
{
	const struct declared_options options = { .project = project,
						  .caller = environ,
						  .workers = pool->description.workers,
						  .shared = DECLARED_ONLY_SHARED };
	struct service_list list = { 0 };
	struct shared_ports shared = { 0 };
	owned_fd fd = -1;
	int result = declared_services(&options, &list, error);

	if (result == 0)
		result = declared_shared_ports(&list, &shared, error);
	service_list_release(&list);
	if (result == 0 && pool_is_stopped(pool, pool_places(&pool->description)))
		result = error_set(error, .number = ESRCH, .step = "reach the world", .object = pool->description.name,
				   .cause = "it was stopped with 'sbx stop'",
				   .remedy = "'sbx down' and 'sbx up -d' start the pool anew");
	if (result == 0)
		result = pool_connect(places, pool, pool_places(&pool->description), &fd, error);
	/* The worker's PID 1 has it from then on, and needs no more. */
	if (result == 0)
		result = ask_to_narrow(fd, error);
	if (result < 0)
		return error_context(error, "shared services");
	shared.fd = fd_take(&fd);
	*ret_shared = shared;
	return 0;
}
