/* SPDX-License-Identifier: Apache-2.0 */
/* sbx inspect: all that is known of workers. JSON is an array with one object each; for people the same, indented.
 *
 * Three sources make one object: the row (what the listing knows), how it ended (kept ones), and its description, which
 * PID 1 of a live one gives and which is stored with a kept one. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/table.h"
#include "sandbox/verbs/answer.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"

/* ---- for programs ---- */

static void add_time(struct text_buffer *out, const char *name, int64_t time_ns)
{
	char text[TABLE_TIME_SIZE];

	json_add_text(out, name, time_ns > 0 ? table_time(time_ns, text) : NULL);
}

/* The members that each worker has, the same in each version: null or empty where nothing is known. */
static void add_row(struct text_buffer *out, const struct resolved_worker *found)
{
	const struct worker_row *row = &found->worker.row;

	json_add_text(out, "id", row->id);
	json_add_text(out, "name", row->name);
	json_add_text(out, "state", found->is_live ? "live" : "kept");
	/* What a kept one was last is not what it does: it has ended. */
	json_add_text(out, "phase", found->is_live ? row->phase : NULL);
	json_add_text(out, "run", row->run);
	json_add_text(out, "tree", row->tree);
	json_add_list(out, "command", &row->command);
	json_add_bool(out, "command_cut", row->is_command_cut);
	json_add_list(out, "labels", &row->labels);
	json_add_list(out, "ports", &row->ports);
	json_add_text(out, "keep", row->keep);
	add_time(out, "started", row->started_ns);
	if (found->is_live) {
		json_add_number(out, "pid", row->pid);
		json_add_number(out, "sbx_pid", row->sbx_pid);
		json_add_number(out, "payload_pid", row->payload_pid);
		return;
	}
	add_time(out, "ended", found->worker.ended_ns);
	json_add_number(out, "exit_status", found->worker.exit_status);
	json_add_number(out, "bytes", found->worker.bytes);
	json_add_number(out, "entries", found->worker.entries);
}

/* Adds the members of a description. Those that the row has already are the row's. */
static int add_description(struct text_buffer *out, const struct text_buffer *row, const char *text, size_t size,
			   struct error *error)
{
	owned_json known = { 0 };
	owned_json json = { 0 };
	int result = json_read(&json, text, size, error);

	if (result == 0)
		result = json_read(&known, row->bytes, row->length, error);
	if (result == 0 && json_type(json_root(&json)) != JSON_OBJECT)
		result = error_set(error, .number = EBADMSG, .step = "read the description of the worker",
				   .cause = "it is no JSON object");
	if (result < 0)
		return result;
	for (struct json_value member = json_first(json_root(&json)); json_type(member); member = json_next(member)) {
		owned_text name = NULL;
		owned_text value = NULL;
		size_t length = 0;
		const char *raw = json_raw(member, &length);

		if (json_name(member, &name) < 0 || json_type(json_member(json_root(&known), name)) != JSON_MISSING)
			continue;
		value = text_format("%.*s", (int)length, raw);
		json_add_raw(out, name, value);
	}
	return 0;
}

static int describe_live(const char *word, struct text_buffer *description, struct error *error)
{
	owned_visit visit = NULL;
	int result = visit_open(word, RESOLVE_LIVE, &visit, error);

	if (result == 0)
		result = answer_task(visit, (struct task){ .kind = TASK_INSPECT }, description, error);
	return result < 0 ? result : 0;
}

static int describe_kept(const struct resolved_worker *found, struct text_buffer *description, struct error *error)
{
	owned_kept_worker worker = { 0 };
	owned_text spec = NULL;
	owned_fd kept_fd = -1;
	int result = state_open_part(found->state_fd, STATE_KEPT, STATE_LEAVE, &kept_fd, error);

	if (result == 0)
		result = kept_read(kept_fd, found->worker.row.id, &worker, &spec, error);
	if (result == 0 && spec)
		text_buffer_add_text(description, spec);
	return result;
}

/* What is known without the worker is shown in any case; that it does not answer is told beside it. */
static int inspect(const struct invocation *invocation, const struct state_paths *places, const char *word,
		   void *argument, struct error *error)
{
	struct text_buffer *out = argument;
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_buffer description = { 0 };
	owned_buffer row = { 0 };
	owned_buffer object = { 0 };
	int result = resolve_worker(places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);

	(void)invocation;
	if (result < 0)
		return result;
	json_begin_object(&row, NULL);
	add_row(&row, &found);
	json_end_object(&row);
	result = found.is_live ? describe_live(word, &description, error) : describe_kept(&found, &description, error);
	text_buffer_add(&object, row.bytes, row.length - 1); /* without its end */
	if (result == 0 && description.length > 0)
		result = add_description(&object, &row, description.bytes, description.length, error);
	json_end_object(&object);
	json_add_raw(out, NULL, object.bytes);
	return result;
}

/* ---- for people ---- */

/* A scalar, as it is shown; NULL for one that is not. */
static char *format_scalar(struct json_value value)
{
	size_t length = 0;
	const char *raw = json_raw(value, &length);
	owned_text text = NULL;

	if (json_type(value) != JSON_TEXT)
		return text_format("%.*s", (int)length, raw);
	if (json_text(value, &text) < 0)
		return text_duplicate("");
	return text_escaped(text);
}

static bool is_scalar(struct json_value value)
{
	enum json_type type = json_type(value);

	return type == JSON_TEXT || type == JSON_NUMBER || type == JSON_BOOL;
}

/* Nothing is known, or there is nothing. */
static bool is_empty(struct json_value value)
{
	enum json_type type = json_type(value);

	return type == JSON_NULL ||
	       ((type == JSON_ARRAY || type == JSON_OBJECT) && json_type(json_first(value)) == JSON_MISSING);
}

static void add_value(struct text_buffer *out, struct json_value value, int indent);

/* "- " before what a list holds: of an object before its first member. */
static void add_elements(struct text_buffer *out, struct json_value array, int indent)
{
	for (struct json_value element = json_first(array); json_type(element); element = json_next(element)) {
		owned_text text = is_scalar(element) ? format_scalar(element) : NULL;

		if (text) {
			text_buffer_format(out, "%*s- %s\n", indent, "", text);
		} else if (!is_empty(element)) {
			size_t at = out->length;

			add_value(out, element, indent + 2);
			if (out->length > at + (size_t)indent)
				out->bytes[at + (size_t)indent] = '-';
		}
	}
}

static void add_members(struct text_buffer *out, struct json_value object, int indent)
{
	for (struct json_value member = json_first(object); json_type(member); member = json_next(member)) {
		owned_text name = NULL;
		owned_text text = is_scalar(member) ? format_scalar(member) : NULL;

		if (is_empty(member) || json_name(member, &name) < 0)
			continue;
		for (char *letter = name; *letter; letter++)
			*letter = *letter == '_' ? ' ' : *letter;
		text_buffer_format(out, "%*s%s:%s%s\n", indent, "", name, text ? " " : "", text ? text : "");
		if (!text)
			add_value(out, member, indent + 2);
	}
}

/* Bounded by JSON_DEPTH_MAX. */
static void add_value(struct text_buffer *out, struct json_value value, int indent)
{
	if (json_type(value) == JSON_OBJECT)
		add_members(out, value, indent);
	else
		add_elements(out, value, indent);
}

static int format_for_people(const struct text_buffer *objects, struct text_buffer *out, struct error *error)
{
	owned_json json = { 0 };
	int result = json_read(&json, objects->bytes, objects->length, error);

	if (result < 0)
		return result;
	for (struct json_value object = json_first(json_root(&json)); json_type(object); object = json_next(object)) {
		if (out->length > 0)
			text_buffer_add_text(out, "\n");
		add_members(out, object, 0);
	}
	return 0;
}

int verb_inspect(struct invocation *invocation, struct error *error)
{
	owned_buffer objects = { 0 };
	owned_buffer text = { 0 };
	int worst;
	int result;

	json_begin_array(&objects, NULL);
	worst = workers_each(invocation, 0, RESOLVE_LIVE | RESOLVE_KEPT, inspect, &objects, error);
	json_end_array(&objects);
	if (worst < 0)
		return worst;
	result = 0;
	if (invocation->format == FORMAT_JSON)
		text_buffer_format(&text, "%s\n", objects.bytes);
	else
		result = format_for_people(&objects, &text, error);
	if (result == 0)
		result = output_write(&text, "what is known of the worker", error);
	return result < 0 ? result : worst;
}
