/* SPDX-License-Identifier: Apache-2.0 */
/* A report as JSON, and back: what a machine exports another one merges. scripts/schema/report.json has the form. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/macro.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/report.h"
#include "sandbox/run/report_model.h"

enum { VERSION = 1 };

/* ---- writing ---- */

static void add_optional(struct text_buffer *out, const char *name, const char *text)
{
	if (text)
		json_add_text(out, name, text);
}

static void write_changes(const struct report_try *try, struct text_buffer *out)
{
	if (!try->has_changes)
		return;
	json_begin_array(out, "files");
	for (size_t i = 0; i < try->file_count; i++) {
		char kind[] = { try->files[i].kind, '\0' };

		json_begin_object(out, NULL);
		json_add_text(out, "kind", kind);
		json_add_text(out, "path", try->files[i].path);
		if (try->files[i].at_ms > 0)
			json_add_number(out, "at_ms", try->files[i].at_ms);
		json_end_object(out);
	}
	json_end_array(out);
	json_add_number(out, "files_missed", try->files_missed);
}

static void write_rows(const struct report_try *try, struct text_buffer *out)
{
	if (try->rows)
		json_add_raw(out, "rows", try->rows);
	add_optional(out, "rows_problem", try->rows_problem);
}

static void write_log(const struct report_try *try, struct text_buffer *out)
{
	json_begin_array(out, "log");
	for (size_t i = 0; i < try->line_count; i++) {
		json_begin_object(out, NULL);
		json_add_number(out, "at_ms", try->lines[i].at_ms);
		json_add_text(out, "service", try->lines[i].service);
		json_add_text(out, "stream", try->lines[i].is_error ? "stderr" : "stdout");
		json_add_text(out, "text", try->lines[i].text);
		json_end_object(out);
	}
	json_end_array(out);
	json_add_number(out, "log_missed", try->lines_missed);
}

static void write_try(const struct report_try *try, struct text_buffer *out)
{
	char worker[REPORT_WORKER_SIZE];

	json_begin_object(out, NULL);
	json_add_text(out, "worker", report_worker_word(try->worker, worker));
	json_add_number(out, "retry", try->retry);
	json_add_number(out, "start_ms", try->start_ms);
	json_add_number(out, "end_ms", try->end_ms);
	json_add_bool(out, "ok", try->ok);
	add_optional(out, "status", try->status);
	add_optional(out, "message", try->message);
	if (try->kept) {
		json_add_text(out, "kept", try->kept);
		json_add_list(out, "databases", &try->databases);
		json_add_bool(out, "servers", try->has_servers);
	}
	add_optional(out, "bundle", try->bundle);
	if (try->attachment_count > 0) {
		json_begin_array(out, "attachments");
		for (size_t i = 0; i < try->attachment_count; i++) {
			json_begin_object(out, NULL);
			json_add_text(out, "name", try->attachments[i].name);
			json_add_text(out, "path", try->attachments[i].path);
			json_end_object(out);
		}
		json_end_array(out);
	}
	write_changes(try, out);
	write_rows(try, out);
	if (!try->ok)
		write_log(try, out);
	json_end_object(out);
}

static void write_test(const struct report_test *test, struct text_buffer *out)
{
	json_begin_object(out, NULL);
	json_add_text(out, "id", test->id);
	json_add_text(out, "project", test->project);
	json_add_text(out, "title", test->title);
	json_add_text(out, "file", test->file);
	json_add_number(out, "line", test->line);
	json_add_text(out, "outcome", report_outcome_words[test->outcome]);
	json_begin_array(out, "tries");
	for (size_t i = 0; i < test->try_count; i++)
		write_try(&test->tries[i], out);
	json_end_array(out);
	json_end_object(out);
}

static void write_worker(const struct report_worker *worker, struct text_buffer *out)
{
	char word[REPORT_WORKER_SIZE];

	json_begin_object(out, NULL);
	json_add_text(out, "worker", report_worker_word(worker->number, word));
	add_optional(out, "name", worker->name);
	json_begin_array(out, "spans");
	for (size_t i = 0; i < worker->span_count; i++) {
		json_begin_object(out, NULL);
		json_add_text(out, "kind", report_span_words[worker->spans[i].kind]);
		json_add_number(out, "start_ms", worker->spans[i].start_ms);
		json_add_number(out, "end_ms", worker->spans[i].end_ms);
		add_optional(out, "detail", worker->spans[i].detail);
		json_end_object(out);
	}
	json_end_array(out);
	json_end_object(out);
}

static void write_run(const struct report_run *run, struct text_buffer *out)
{
	json_begin_object(out, NULL);
	json_add_text(out, "id", run->id);
	add_optional(out, "host", run->host);
	add_optional(out, "sbx", run->sbx);
	add_optional(out, "tree", run->tree);
	add_optional(out, "shard", run->shard);
	add_optional(out, "runner", run->runner);
	json_add_list(out, "command", &run->command);
	json_add_number(out, "worlds", run->worlds);
	json_add_number(out, "start_ms", run->start_ms);
	json_add_number(out, "end_ms", run->end_ms);
	if (run->exit_code >= 0)
		json_add_number(out, "exit_code", run->exit_code);
	json_begin_object(out, "outcomes");
	for (size_t i = 0; i < REPORT_OUTCOMES; i++)
		json_add_number(out, report_outcome_words[i], run->outcomes[i]);
	json_end_object(out);
	json_begin_array(out, "workers");
	for (size_t i = 0; i < run->worker_count; i++)
		write_worker(&run->workers[i], out);
	json_end_array(out);
	json_begin_array(out, "tests");
	for (size_t i = 0; i < run->test_count; i++)
		write_test(&run->tests[i], out);
	json_end_array(out);
	report_blame_write_json(run, out);
	json_end_object(out);
}

void report_write_json(const struct report *report, struct text_buffer *out)
{
	json_begin_object(out, NULL);
	json_add_number(out, "version", VERSION);
	json_begin_array(out, "runs");
	for (size_t i = 0; i < report->run_count; i++)
		write_run(&report->runs[i], out);
	json_end_array(out);
	json_end_object(out);
	text_buffer_add_text(out, "\n");
}

/* ---- reading ---- */

int report_read_worker_word(struct json_value value)
{
	owned_text word = NULL;
	int number = 0;

	if (json_text(value, &word) < 0 || word[0] != 'w')
		return JOURNAL_RUNNER;
	for (const char *digit = word + 1; *digit >= '0' && *digit <= '9' && number < REPORT_WORKERS_MAX; digit++)
		number = 10 * number + (*digit - '0');
	return MIN(number, REPORT_WORKERS_MAX - 2);
}

static unsigned read_word(struct json_value value, const char *const *words, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (json_text_is(value, words[i]))
			return i;
	return 0;
}

#define FOR_EACH(item, container)                                                                                      \
	for (struct json_value item = json_first(container); json_type(item) != JSON_MISSING; item = json_next(item))

static void read_log(struct report_try *try, struct json_value list)
{
	FOR_EACH(item, list)
	{
		struct report_line *line;

		if (try->line_count >= REPORT_LOG_LINES_MAX)
			return;
		line = REPORT_ADD(&try->lines, &try->line_count);
		line->at_ms = report_take_count(item, "at_ms", REPORT_TIME_MAX);
		line->service = report_take_text(item, "service", "");
		line->text = report_take_text(item, "text", "");
		line->is_error = json_text_is(json_member(item, "stream"), "stderr");
	}
}

static void read_try(struct report_try *try, struct json_value object)
{
	try->worker = report_read_worker_word(json_member(object, "worker"));
	try->retry = report_take_count(object, "retry", INT32_MAX);
	try->start_ms = report_take_count(object, "start_ms", REPORT_TIME_MAX);
	try->end_ms = report_take_count(object, "end_ms", REPORT_TIME_MAX);
	(void)json_bool(json_member(object, "ok"), &try->ok);
	try->status = report_take_text(object, "status", NULL);
	try->message = report_take_text(object, "message", NULL);
	try->kept = report_take_text(object, "kept", NULL);
	(void)json_list(json_member(object, "databases"), &try->databases);
	(void)json_bool(json_member(object, "servers"), &try->has_servers);
	try->bundle = report_take_text(object, "bundle", NULL);
	report_take_attachments(try, json_member(object, "attachments"));
	try->has_changes = json_type(json_member(object, "files")) == JSON_ARRAY;
	report_take_files(try, json_member(object, "files"), "at_ms");
	try->files_missed = report_take_count(object, "files_missed", INT32_MAX);
	try->rows = report_take_raw_array(json_member(object, "rows"));
	try->rows_problem = report_take_text(object, "rows_problem", NULL);
	read_log(try, json_member(object, "log"));
	try->lines_missed = report_take_count(object, "log_missed", INT32_MAX);
}

static void read_test(struct report_run *run, struct json_value object)
{
	struct report_test *test;

	if (run->test_count >= REPORT_TESTS_MAX || json_type(json_first(json_member(object, "tries"))) == JSON_MISSING)
		return;
	test = REPORT_ADD(&run->tests, &run->test_count);
	test->id = report_take_text(object, "id", "");
	test->project = report_take_text(object, "project", "");
	test->title = report_take_text(object, "title", "");
	test->file = report_take_text(object, "file", "");
	test->line = report_take_count(object, "line", INT32_MAX);
	FOR_EACH(item, json_member(object, "tries"))
	if (test->try_count < REPORT_TRIES_MAX)
		read_try(REPORT_ADD(&test->tries, &test->try_count), item);
}

static void read_worker(struct report_run *run, struct json_value object)
{
	struct report_worker *worker;

	if (run->worker_count >= REPORT_WORKERS_MAX)
		return;
	worker = REPORT_ADD(&run->workers, &run->worker_count);
	worker->number = report_read_worker_word(json_member(object, "worker"));
	worker->name = report_take_text(object, "name", NULL);
	FOR_EACH(item, json_member(object, "spans"))
	{
		struct report_span *span;
		int64_t end_ms;

		if (worker->span_count >= REPORT_SPANS_MAX)
			return;
		span = REPORT_ADD(&worker->spans, &worker->span_count);
		span->kind = (enum report_span_kind)read_word(json_member(item, "kind"), report_span_words,
							      REPORT_SPAN_KINDS);
		span->start_ms = report_take_count(item, "start_ms", REPORT_TIME_MAX);
		end_ms = report_take_count(item, "end_ms", REPORT_TIME_MAX);
		span->end_ms = MAX(end_ms, span->start_ms);
		span->detail = report_take_text(item, "detail", NULL);
	}
}

static void read_run(struct report_run *run, struct json_value object)
{
	int64_t end_ms = report_take_count(object, "end_ms", REPORT_TIME_MAX);

	run->id = report_take_text(object, "id", "");
	run->host = report_take_text(object, "host", NULL);
	run->sbx = report_take_text(object, "sbx", NULL);
	run->tree = report_take_text(object, "tree", NULL);
	run->shard = report_take_text(object, "shard", NULL);
	run->runner = report_take_text(object, "runner", NULL);
	(void)json_list(json_member(object, "command"), &run->command);
	run->worlds = report_take_count(object, "worlds", INT32_MAX);
	run->start_ms = report_take_count(object, "start_ms", REPORT_TIME_MAX);
	run->end_ms = MAX(end_ms, run->start_ms);
	run->exit_code = report_take_exit_code(object);
	FOR_EACH(item, json_member(object, "workers"))
	read_worker(run, item);
	FOR_EACH(item, json_member(object, "tests"))
	read_test(run, item);
	report_blame_read_json(run, object);
	report_run_finish(run);
}

int report_add_json(struct report *report, const char *text, size_t size, const char *path, struct error *error)
{
	owned_json json = { 0 };
	struct error unread = { 0 };
	struct json_value runs;

	if (json_read(&json, text, size, &unread) < 0)
		return error_set(error, .number = unread.number, .step = "read the report", .object = path,
				 .cause = unread.cause,
				 .remedy = "name a file that sbx report --format json -o FILE wrote");
	runs = json_member(json_root(&json), "runs");
	if (report_take_number(json_root(&json), "version", 0) != VERSION || json_type(runs) != JSON_ARRAY)
		return error_set(error, .number = EBADMSG, .step = "read the report", .object = path,
				 .cause = "it is not what sbx report --format json of this version writes",
				 .remedy = "write it anew there, with this version");
	FOR_EACH(item, runs)
	{
		struct report_run *run = report_add_run(report, error);

		if (!run)
			return -E2BIG;
		read_run(run, item);
	}
	return 0;
}
