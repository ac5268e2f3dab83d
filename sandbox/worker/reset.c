/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/reset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/path.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/task.h"

enum { ANSWER_MAX = 1 << 20 };

void reset_answer_release(struct reset_answer *answer)
{
	text_list_release(&answer->databases);
	text_list_release(&answer->stays_wal);
	text_free(&answer->json);
}

static uint64_t number_of(struct json_value root, const char *name)
{
	int64_t number = 0;

	(void)json_number(json_member(root, name), &number);
	return number > 0 ? (uint64_t)number : 0;
}

int reset_ask(int socket, enum reset_what what, struct reset_answer *ret_answer, struct error *error)
{
	struct task task = { .kind = TASK_RESET };
	owned_json json = { 0 };
	int result;

	text_list_add(&task.arguments, what == RESET_ROWS ? "rows" : "all");
	result = ask_task_for_text(socket, &task, ANSWER_MAX, &ret_answer->json, error);
	text_list_release(&task.arguments);
	if (result >= 0)
		result = json_read(&json, ret_answer->json, strlen(ret_answer->json), error);
	if (result < 0)
		return result;
	ret_answer->files = number_of(json_root(&json), "files");
	ret_answer->meanwhile = number_of(json_root(&json), "meanwhile");
	ret_answer->row_bytes = number_of(json_root(&json), "rows_bytes");
	ret_answer->microseconds = number_of(json_root(&json), "microseconds");
	if (json_list(json_member(json_root(&json), "databases"), &ret_answer->databases) < 0 ||
	    json_list(json_member(json_root(&json), "stays_wal"), &ret_answer->stays_wal) < 0)
		return error_set(error, .number = EBADMSG, .step = "read the answer of the worker");
	return 0;
}

char *reset_format(const struct reset_answer *answer)
{
	owned_buffer line = { 0 };

	if (answer->files > 0)
		text_buffer_format(&line, "%llu file%s, ", (unsigned long long)answer->files,
				   answer->files == 1 ? "" : "s");
	for (size_t i = 0; i < answer->databases.count; i++)
		text_buffer_format(&line, "%s%s", i == 0 ? "rows of " : ", ", path_name(answer->databases.items[i]));
	if (answer->databases.count > 0)
		text_buffer_format(&line, " (%llu KiB), ", (unsigned long long)(answer->row_bytes >> 10));
	if (answer->files == 0 && answer->databases.count == 0)
		text_buffer_add_text(&line, "nothing had changed, ");
	if (answer->meanwhile > 0)
		text_buffer_format(&line, "%llu written again meanwhile, ", (unsigned long long)answer->meanwhile);
	for (size_t i = 0; i < answer->stays_wal.count; i++)
		text_buffer_format(&line, "%s stays in WAL mode, ", path_name(answer->stays_wal.items[i]));
	text_buffer_format(&line, "%.1f ms", (double)answer->microseconds / 1000);
	/* The names of databases may be a payload's. */
	return text_escaped(line.bytes);
}
