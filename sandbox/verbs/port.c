/* SPDX-License-Identifier: Apache-2.0 */
/* sbx port: the published ports of a live worker. The listing is its row's, which its PID 1 keeps right. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/number.h"
#include "netns/publish.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/visit.h"

/* "127.0.0.1:8080", as it is written in a URL. */
static char *format_host(const struct publish_rule *rule)
{
	owned_text whole = publish_format(rule);

	return text_format("%.*s", (int)(strrchr(whole, ':') - whole), whole);
}

static void add_port(const struct invocation *invocation, const struct publish_rule *rule, bool is_asked_for,
		     struct text_buffer *out)
{
	owned_text host = format_host(rule);

	if (invocation->format == FORMAT_JSON) {
		json_begin_object(out, NULL);
		json_add_number(out, "port", rule->port);
		json_add_text(out, "protocol", "tcp");
		json_add_text(out, "host", rule->host);
		json_add_number(out, "host_port", rule->host_port);
		json_end_object(out);
	} else if (is_asked_for) {
		text_buffer_format(out, "%s\n", host);
	} else {
		text_buffer_format(out, "%u/tcp -> %s\n", rule->port, host);
	}
}

/* @asked  0: all   @return how many */
static size_t add_ports(const struct invocation *invocation, const struct worker_row *row, uint64_t asked,
			struct text_buffer *out)
{
	size_t count = 0;

	if (invocation->format == FORMAT_JSON)
		json_begin_array(out, NULL);
	for (size_t i = 0; i < row->ports.count; i++) {
		struct publish_rule rule;

		/* The row may be another version's. */
		if (publish_parse(row->ports.items[i], &rule, NULL) < 0 || (asked != 0 && rule.port != asked))
			continue;
		add_port(invocation, &rule, asked != 0, out);
		count++;
	}
	if (invocation->format == FORMAT_JSON) {
		json_end_array(out);
		text_buffer_add_text(out, "\n");
	}
	return count;
}

static int list(const struct invocation *invocation, struct error *error)
{
	char *const *operands = invocation->operands.items;
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_places places = { 0 };
	owned_buffer out = { 0 };
	uint64_t asked = 0;
	int result = identity_find_places(&places, error);

	if (invocation->operands.count > 1 && number_parse(operands[1], 1, UINT16_MAX, &asked) < 0)
		return error_set(error, .number = EINVAL, .step = "look for the port", .object = operands[1],
				 .cause = "it is not the number of one", .remedy = "write: sbx port WORKER 5555");
	if (result == 0)
		result = resolve_worker(&places, operands[0], RESOLVE_LIVE, &found, error);
	if (result < 0)
		return result;
	if (add_ports(invocation, &found.worker.row, asked, &out) == 0 && asked != 0)
		return error_set(error, .number = ENOENT, .step = "look for the port", .object = operands[1],
				 .cause = "it is not published",
				 .remedy = "publish it with: sbx port add WORKER 0:PORT");
	return output_write(&out, "the published ports", error);
}

static int add(const char *worker, const char *text, struct error *error)
{
	owned_visit visit = NULL;
	owned_buffer out = { 0 };
	owned_text host = NULL;
	struct publish_rule rule;
	int result = publish_parse(text, &rule, error);

	if (result == 0)
		result = visit_open(worker, RESOLVE_LIVE, &visit, error);
	if (result == 0)
		result = visit_publish(visit, &rule, ASK_FOR_GOOD, error);
	if (result < 0)
		return result;
	host = format_host(&rule);
	text_buffer_format(&out, "%s\n", host);
	return output_write(&out, "the published port", error);
}

static int take_back(const char *worker, const char *text, struct error *error)
{
	owned_visit visit = NULL;
	int result = visit_open(worker, RESOLVE_LIVE, &visit, error);

	if (result == 0)
		result = visit_unpublish(visit, text, error);
	return result < 0 ? result : 0;
}

int verb_port(struct invocation *invocation, struct error *error)
{
	char *const *operands = invocation->operands.items;

	if (invocation->operands.count < 3)
		return list(invocation, error);
	if (text_equal(operands[0], "add"))
		return add(operands[1], operands[2], error);
	if (text_equal(operands[0], "rm"))
		return take_back(operands[1], operands[2], error);
	return error_set(error, .number = EINVAL, .step = "do with a port", .object = operands[0],
			 .cause = "there is no such thing to do",
			 .remedy = "write: sbx port add|rm WORKER [[IP:]HOST:]PORT");
}
