/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/network.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fd.h"
#include "sandbox/worker/ports.h"

static int check_publish(const struct worker_plan *plan, const char *text, struct error *error)
{
	const char *cause = NULL;
	const char *remedy = NULL;
	struct publish_rule rule;
	int result = publish_parse(text, &rule, error);

	if (result < 0)
		return result;
	if (plan->spec->network == NETWORK_HOST) {
		cause = "with --net host its ports are the host's already";
		remedy = "leave -p out, or give the worker a network of its own";
	} else if (plan->worker_count > 1 && rule.host_port != 0) {
		cause = "several workers cannot share one port of the host";
		remedy = "write 0 for the host's port: each worker gets a free one, and 'sbx port' says which";
	} else if (plan->spec->ways.publish.count > PORTS_MAX) {
		cause = "a worker can have 64 of them";
		remedy = "publish fewer";
	}
	return cause ? error_set(error, .number = EINVAL, .step = "publish the port", .object = text, .cause = cause,
				 .remedy = remedy)
		     : 0;
}

static int publish(struct worker_plan *plan, struct error *error)
{
	const struct text_list *texts = &plan->spec->ways.publish;
	int result = 0;

	plan->published = calloc(texts->count + 1, sizeof(*plan->published));
	if (!plan->published)
		abort();
	for (size_t i = 0; i < texts->count && result == 0; i++) {
		struct published *published = &plan->published[i];
		bool is_chosen;

		result = check_publish(plan, texts->items[i], error);
		if (result < 0)
			break;
		(void)publish_parse(texts->items[i], &published->rule, NULL);
		is_chosen = published->rule.host_port == 0;
		result = publish_open_listener(&published->rule, &published->listener_fd, error);
		if (result < 0)
			break;
		plan->published_count++;
		if (is_chosen) {
			owned_text text = publish_format(&published->rule);

			text_list_take(&plan->messages, text_format("published: %s", text));
		}
	}
	return result;
}

int network_plan(struct worker_plan *plan, struct error *error)
{
	return publish(plan, error);
}

void network_handed_over(struct worker_plan *plan)
{
	for (size_t i = 0; i < plan->published_count; i++)
		fd_close(&plan->published[i].listener_fd);
}

void network_release(struct worker_plan *plan)
{
	network_handed_over(plan);
	free(plan->published);
	plan->published = NULL;
	plan->published_count = 0;
}
