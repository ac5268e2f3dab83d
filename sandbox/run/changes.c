/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/changes.h"

#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/log.h"

static void tell(struct json_value item, changes_each *each, void *argument)
{
	struct change change = { 0 };
	owned_text kind = NULL;
	owned_text path = NULL;
	owned_text changed = NULL;
	uint64_t changed_ns = 0;

	if (json_text(json_member(item, "kind"), &kind) < 0 || json_text(json_member(item, "path"), &path) < 0)
		return;
	change.kind = kind[0];
	change.path = path;
	change.is_file = json_text_is(json_member(item, "type"), "file");
	if (json_text(json_member(item, "changed"), &changed) == 0 && log_parse_since(changed, 0, &changed_ns) == 0)
		change.changed_ms = (int64_t)(changed_ns / 1000000);
	each(argument, &change);
}

int changes_read(const struct member *member, const char *place, changes_each *each, void *argument,
		 struct error *error)
{
	struct task task = { .kind = TASK_DIFF };
	owned_json json = { 0 };
	owned_text answer = NULL;
	owned_fd connection = -1;
	int result = member_connect(member, false, &connection, error);

	text_list_add(&task.arguments, "json");
	text_list_add(&task.arguments, place);
	if (result >= 0)
		result = ask_task_for_text(connection, &task, JSON_SIZE_MAX, &answer, error);
	text_list_release(&task.arguments);
	if (result >= 0)
		result = json_read(&json, answer, strlen(answer), error);
	if (result < 0)
		return error_context(error, "changes of world %s", member->listing.row.name);
	for (struct json_value item = json_first(json_root(&json)); json_type(item) != JSON_MISSING;
	     item = json_next(item))
		tell(item, each, argument);
	return 0;
}
