/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"

void events_release(struct events *events)
{
	text_free(&events->runner);
	text_free(&events->version);
	text_list_release(&events->arguments);
	text_free(&events->directory);
	text_free(&events->output_id);
	text_free(&events->output);
	text_free(&events->complaint);
	text_free(&events->refusal);
	text_free(&events->refusal_remedy);
	text_free(&events->config);
	text_list_release(&events->idle);
	text_list_release(&events->unready);
	text_list_release(&events->artifact_directories);
	text_list_release(&events->artifact_files);
	*events = (struct events){ 0 };
}

static void replace_text(char **target, struct json_value value)
{
	char *text = NULL;

	if (json_text(value, &text) < 0)
		return;
	text_free(target);
	*target = text;
}

static unsigned read_count(struct json_value value)
{
	int64_t number = 0;

	return json_number(value, &number) == 0 && number > 0 ? (unsigned)MIN(number, (int64_t)1000000) : 0;
}

static void add_absolute(struct json_value list, struct text_list *target)
{
	owned_list all = { 0 };

	if (json_list(list, &all) < 0)
		return;
	for (size_t i = 0; i < all.count; i++)
		if (all.items[i][0] == '/')
			text_list_add(target, all.items[i]);
}

static void take_hello(struct events *events, struct json_value root)
{
	owned_text asked = NULL;
	uint64_t number;

	events->has_hello = true;
	replace_text(&events->runner, json_member(root, "runner"));
	replace_text(&events->version, json_member(root, "runnerVersion"));
	text_list_release(&events->arguments);
	events->arguments = (struct text_list){ 0 };
	(void)json_list(json_member(root, "argv"), &events->arguments);
	replace_text(&events->directory, json_member(root, "cwd"));
	(void)json_number(json_member(root, "pid"), &events->pid);
	(void)json_bool(json_member(root, "alone"), &events->is_alone);
	/* By itself where GitHub Actions has it run. */
	events->has_annotations = text_equal(events->runner, "vitest");
	/* "50%" is not counted. */
	if (json_text(json_member(root, "workersAsked"), &asked) == 0 &&
	    number_parse(asked, 1, UINT16_MAX, &number) == 0)
		events->workers_asked = (int64_t)number;
}

static void take_config(struct events *events, struct json_value root)
{
	struct json_value artifacts = json_member(root, "artifacts");
	size_t length = 0;
	const char *raw = json_raw(root, &length);

	events->has_config = true;
	(void)json_bool(json_member(root, "servicesKnown"), &events->services_known);
	(void)json_bool(json_member(root, "fullyParallel"), &events->is_fully_parallel);
	(void)json_bool(json_member(root, "annotates"), &events->has_annotations);
	text_list_release(&events->artifact_directories);
	text_list_release(&events->artifact_files);
	events->artifact_directories = (struct text_list){ 0 };
	events->artifact_files = (struct text_list){ 0 };
	add_absolute(json_member(artifacts, "directories"), &events->artifact_directories);
	add_absolute(json_member(artifacts, "files"), &events->artifact_files);
	text_free(&events->config);
	events->config = strndup(raw, length);
}

static void take_hosted(struct events *events, struct json_value root)
{
	unsigned ended = read_count(json_member(root, "ended"));

	if (json_text_is(json_member(root, "event"), "begin"))
		events->hosted_begun++;
	else
		events->hosted_ended = MAX(events->hosted_ended, ended);
}

static void add_attachments(struct json_value list, struct text_list *target)
{
	for (struct json_value item = json_first(list); json_type(item); item = json_next(item)) {
		owned_text path = NULL;

		if (json_text(json_member(item, "path"), &path) == 0 && path[0] == '/')
			text_list_add(target, path);
	}
}

static void take_test(struct events *events, struct json_value root, events_test_ended *callback, void *argument)
{
	owned_text id = NULL;
	owned_text title = NULL;
	owned_text file = NULL;
	owned_text project = NULL;
	owned_list attachments = { 0 };
	owned_list command = { 0 };
	owned_text directory = NULL;
	bool is_hosted = false;
	owned_text message = NULL;
	struct events_test test = { .slot = -1 };

	if (!json_text_is(json_member(root, "event"), "end"))
		return;
	(void)json_text(json_member(root, "id"), &id);
	(void)json_text(json_member(root, "title"), &title);
	(void)json_text(json_member(root, "file"), &file);
	(void)json_number(json_member(root, "line"), &test.line);
	(void)json_number(json_member(root, "slot"), &test.slot);
	(void)json_number(json_member(root, "retry"), &test.retry);
	(void)json_number(json_member(root, "retries"), &test.retries);
	(void)json_bool(json_member(root, "fresh"), &test.is_fresh);
	(void)json_number(json_member(root, "durationMs"), &test.duration_ms);
	(void)json_number(json_member(root, "startedMs"), &test.started_ms);
	(void)json_number(json_member(root, "exitCode"), &test.exit_code);
	if (test.exit_code < 0 || test.exit_code > UINT8_MAX)
		test.exit_code = 0;
	(void)json_list(json_member(root, "command"), &command);
	(void)json_text(json_member(root, "directory"), &directory);
	(void)json_text(json_member(root, "message"), &message);
	(void)json_text(json_member(root, "project"), &project);
	add_attachments(json_member(root, "attachments"), &attachments);
	(void)json_bool(json_member(root, "ok"), &test.ok);
	(void)json_bool(json_member(root, "hosted"), &is_hosted);
	/* The runner gives those that stay in R a number as well. */
	if (is_hosted)
		test.slot = -1;
	test.is_interrupted = json_text_is(json_member(root, "status"), "interrupted");
	test.id = id ? id : "";
	test.title = title ? title : "";
	test.file = file ? file : "";
	test.message = message ? message : "";
	test.project = project ? project : "";
	test.attachments = &attachments;
	test.command = &command;
	test.directory = directory;
	events->tests_ended++;
	events->tests_failed += !test.ok;
	if (callback)
		callback(argument, &test);
}

static void take_idle(struct events *events, struct json_value root)
{
	owned_text runner = NULL;
	owned_list words = { 0 };

	if (json_text(json_member(root, "runner"), &runner) < 0 || json_list(json_member(root, "words"), &words) < 0)
		return;
	text_list_release(&events->idle);
	events->idle = (struct text_list){ 0 };
	text_list_add(&events->idle, runner);
	for (size_t i = 0; i < words.count; i++)
		text_list_add(&events->idle, words.items[i]);
}

static void take_unready(struct events *events, struct json_value root)
{
	owned_text service = NULL;
	owned_text port = NULL;
	owned_list open = { 0 };

	if (json_text(json_member(root, "service"), &service) < 0 || json_text(json_member(root, "port"), &port) < 0 ||
	    json_list(json_member(root, "open"), &open) < 0 || events->unready.count > 0)
		return;
	text_list_add(&events->unready, service);
	text_list_add(&events->unready, port);
	for (size_t i = 0; i < open.count; i++)
		text_list_add(&events->unready, open.items[i]);
}

static void take_output(struct events *events, struct json_value root)
{
	text_free(&events->output_id);
	replace_text(&events->output_id, json_member(root, "id"));
	replace_text(&events->output, json_member(root, "text"));
	if (!events->output || !events->output_id)
		text_free(&events->output_id);
}

bool events_may_have_had_no_tests(const struct events *events)
{
	static const char *const words[] = { "--help", "-h",	  "--version",	       "-v",	   "-V",
					     "list",   "related", "--passWithNoTests", "--changed" };
	bool is_playwright = text_equal(events->runner, "playwright");

	if (is_playwright ? events->has_config : !text_equal(events->runner, "vitest"))
		return true;
	for (size_t i = 0; i < events->arguments.count; i++)
		for (size_t j = 0; j < ARRAY_SIZE(words); j++)
			if (text_starts_with(events->arguments.items[i], words[j]) &&
			    strchr("=", events->arguments.items[i][strlen(words[j])]))
				return true;
	return false;
}

bool events_is_idle(const struct events *events, const struct text_list *command)
{
	size_t words = events->idle.count;
	const char *program;

	if (events->has_hello || words == 0 || command->count < words)
		return false;
	program = path_name(command->items[command->count - words]);
	if (!text_equal(program, events->idle.items[0]) && !text_equal(program, "cli.js"))
		return false;
	for (size_t i = 1; i < words; i++)
		if (!text_equal(command->items[command->count - words + i], events->idle.items[i]))
			return false;
	return true;
}

void events_take(struct events *events, const char *line, size_t size, events_test_ended *callback, void *argument)
{
	owned_json json = { 0 };
	struct json_value root;
	struct json_value type;

	if (json_read(&json, line, size, NULL) < 0)
		return;
	root = json_root(&json);
	type = json_member(root, "type");
	if (json_text_is(type, "hello"))
		take_hello(events, root);
	else if (json_text_is(type, "config"))
		take_config(events, root);
	else if (json_text_is(type, "begin"))
		events->wanted = read_count(json_member(root, "workers"));
	else if (json_text_is(type, "hosted"))
		take_hosted(events, root);
	else if (json_text_is(type, "test"))
		take_test(events, root, callback, argument);
	else if (json_text_is(type, "output"))
		take_output(events, root);
	else if (json_text_is(type, "idle"))
		take_idle(events, root);
	else if (json_text_is(type, "unready"))
		take_unready(events, root);
	else if (json_text_is(type, "complaint"))
		replace_text(&events->complaint, json_member(root, "text"));
	else if (json_text_is(type, "rest"))
		events->may_rest = true;
	else if (json_text_is(type, "end"))
		events->has_ended = true;
	else if (json_text_is(type, "refuse")) {
		replace_text(&events->refusal, json_member(root, "message"));
		replace_text(&events->refusal_remedy, json_member(root, "remedy"));
	}
}

int events_read_look(const char *line, size_t size, struct events_look *ret_look)
{
	struct events_look look = { .slot = -1 };
	owned_json json = { 0 };
	struct json_value root;

	if (json_read(&json, line, size, NULL) < 0)
		return -EBADMSG;
	root = json_root(&json);
	if (!json_text_is(json_member(root, "type"), "look") ||
	    json_number(json_member(root, "slot"), &look.slot) < 0 ||
	    json_number(json_member(root, "number"), &look.number) < 0 ||
	    json_text(json_member(root, "test"), &look.test) < 0)
		return -EBADMSG;
	*ret_look = look;
	return 0;
}
