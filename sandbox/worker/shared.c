/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/shared.h"

#include <unistd.h>

#include "base/text.h"
#include "netns/publish.h"
#include "netns/reach.h"
#include "sandbox/worker/ask.h"

static int enter_port(int socket, uint16_t port, struct error *error)
{
	struct publish_rule published = { .host = PUBLISH_HOST, .host_port = port, .port = port };
	struct reach_rule wanted = { .name = "localhost", .address = PUBLISH_HOST, .port = port };
	int fds[REACH_LISTENERS_MAX];
	size_t count = 0;
	int result = reach_listen(&wanted, fds, &count, error);

	for (size_t i = 0; i < count; i++) {
		if (result >= 0)
			result = ask_publish(socket, &published, fds[i], ASK_CONNECTED, error);
		(void)close(fds[i]);
	}
	return result < 0 ? error_context(error, "shared port %u", port) : 0;
}

int shared_enter(const struct worker_plan *plan, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < plan->shared.count && result == 0; i++)
		result = enter_port(plan->shared.fd, plan->shared.ports[i], error);
	return result;
}
