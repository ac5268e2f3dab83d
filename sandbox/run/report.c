/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the journal is read line by line. A test begins and ends by the runner's lines, in the world that these
 * name; world lines open and close the spans between. What belongs to a red test (changes, kept worlds) comes later and
 * is found by the test's id. At the end the log lines of red tests are looked up by their times. */
#include "sandbox/run/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/events.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/report_model.h"

const char *const report_outcome_words[REPORT_OUTCOMES] = {
	[REPORT_PASSED] = "passed",	    [REPORT_FLAKY] = "flaky",	[REPORT_SKIPPED] = "skipped",
	[REPORT_UNFINISHED] = "unfinished", [REPORT_FAILED] = "failed",
};

const char *const report_span_words[REPORT_SPAN_KINDS] = {
	[REPORT_STARTING] = "start", [REPORT_IDLE] = "idle",	   [REPORT_LEASED] = "lease",
	[REPORT_FROZEN] = "freeze",  [REPORT_RESETTING] = "reset", [REPORT_CRASHED] = "crash",
};

/* ---- the model ---- */

void *report_grow(void *items, size_t count, size_t size)
{
	void *grown = items;

	/* Doubled: whenever the count is a power of two. */
	if ((count & (count - 1)) == 0)
		grown = reallocarray(items, count ? 2 * count : 1, size);
	if (!grown)
		abort();
	memset((char *)grown + count * size, 0, size);
	return grown;
}

static void try_release(struct report_try *try)
{
	text_free(&try->status);
	text_free(&try->message);
	text_free(&try->kept);
	text_free(&try->bundle);
	text_free(&try->rows);
	text_free(&try->rows_problem);
	text_list_release(&try->databases);
	for (size_t i = 0; i < try->attachment_count; i++) {
		text_free(&try->attachments[i].name);
		text_free(&try->attachments[i].path);
	}
	for (size_t i = 0; i < try->file_count; i++)
		text_free(&try->files[i].path);
	for (size_t i = 0; i < try->line_count; i++) {
		text_free(&try->lines[i].service);
		text_free(&try->lines[i].text);
	}
	free(try->attachments);
	free(try->files);
	free(try->lines);
}

static void test_release(struct report_test *test)
{
	text_free(&test->id);
	text_free(&test->project);
	text_free(&test->title);
	text_free(&test->file);
	for (size_t i = 0; i < test->try_count; i++)
		try_release(&test->tries[i]);
	free(test->tries);
}

void report_run_release(struct report_run *run)
{
	text_free(&run->id);
	text_free(&run->host);
	text_free(&run->sbx);
	text_free(&run->tree);
	text_free(&run->shard);
	text_free(&run->runner);
	text_list_release(&run->command);
	for (size_t i = 0; i < run->worker_count; i++) {
		text_free(&run->workers[i].name);
		for (size_t j = 0; j < run->workers[i].span_count; j++)
			text_free(&run->workers[i].spans[j].detail);
		free(run->workers[i].spans);
	}
	free(run->workers);
	for (size_t i = 0; i < run->test_count; i++)
		test_release(&run->tests[i]);
	free(run->tests);
	report_blame_release(run);
	*run = (struct report_run){ 0 };
}

void report_release(struct report *report)
{
	for (size_t i = 0; i < report->run_count; i++)
		report_run_release(&report->runs[i]);
	free(report->runs);
	*report = (struct report){ 0 };
}

int64_t report_test_ms(const struct report_test *test)
{
	int64_t ms = 0;

	for (size_t i = 0; i < test->try_count; i++)
		if (test->tries[i].end_ms > test->tries[i].start_ms)
			ms += test->tries[i].end_ms - test->tries[i].start_ms;
	return ms;
}

char *report_worker_word(int number, char text[static REPORT_WORKER_SIZE])
{
	(void)snprintf(text, REPORT_WORKER_SIZE, number < 0 ? "R" : "w%d", number);
	return text;
}

void report_count(const struct report *report, unsigned ret_outcomes[static REPORT_OUTCOMES])
{
	memset(ret_outcomes, 0, REPORT_OUTCOMES * sizeof(*ret_outcomes));
	for (size_t i = 0; i < report->run_count; i++)
		for (size_t j = 0; j < REPORT_OUTCOMES; j++)
			ret_outcomes[j] += report->runs[i].outcomes[j];
}

/* The last try decides; one before it that was red makes it flaky. */
static enum report_outcome find_outcome(const struct report_test *test)
{
	const struct report_try *last = &test->tries[test->try_count - 1];

	if (last->end_ms == 0 || text_equal(last->status, "interrupted"))
		return REPORT_UNFINISHED;
	if (!last->ok)
		return REPORT_FAILED;
	if (text_equal(last->status, "skipped"))
		return REPORT_SKIPPED;
	for (size_t i = 0; i + 1 < test->try_count; i++)
		if (!test->tries[i].ok)
			return REPORT_FLAKY;
	return REPORT_PASSED;
}

static int compare_tests(const void *a, const void *b)
{
	const struct report_test *first = a;
	const struct report_test *second = b;
	int order = strcmp(first->file, second->file);

	if (order == 0)
		order = (first->line > second->line) - (first->line < second->line);
	if (order == 0)
		order = strcmp(first->title, second->title);
	return order ? order : strcmp(first->project, second->project);
}

static int compare_workers(const void *a, const void *b)
{
	return ((const struct report_worker *)a)->number - ((const struct report_worker *)b)->number;
}

void report_run_finish(struct report_run *run)
{
	if (run->test_count > 1)
		qsort(run->tests, run->test_count, sizeof(*run->tests), compare_tests);
	if (run->worker_count > 1)
		qsort(run->workers, run->worker_count, sizeof(*run->workers), compare_workers);
	memset(run->outcomes, 0, sizeof(run->outcomes));
	for (size_t i = 0; i < run->test_count; i++) {
		run->tests[i].outcome = find_outcome(&run->tests[i]);
		run->outcomes[run->tests[i].outcome]++;
	}
}

/* ---- reading a journal ---- */

struct report_reader {
	struct report_run *run; /* borrowed */
	unsigned spans;
	/* Tests by id and project, open addressing: a run may have many, and each line looks one up. */
	size_t *slots; /* index + 1 */
	size_t slot_count;
	bool is_open[REPORT_WORKERS_MAX]; /* its last span goes on; by number + 1 */
	bool is_alone;			  /* the runner's own world is the tests' */
};

struct report_reader *report_reader_new(struct report_run *run)
{
	struct report_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		abort();
	reader->run = run;
	run->exit_code = -1;
	return reader;
}

static uint64_t hash_of(const char *id, const char *project)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (const char *c = id; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
	hash = (hash ^ '\n') * UINT64_C(1099511628211);
	for (const char *c = project; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
	return hash;
}

static void rehash(struct report_reader *reader)
{
	free(reader->slots);
	reader->slot_count = reader->slot_count ? 2 * reader->slot_count : 256;
	reader->slots = calloc(reader->slot_count, sizeof(*reader->slots));
	if (!reader->slots)
		abort();
	for (size_t i = 0; i < reader->run->test_count; i++) {
		size_t at = hash_of(reader->run->tests[i].id, reader->run->tests[i].project) % reader->slot_count;

		while (reader->slots[at])
			at = (at + 1) % reader->slot_count;
		reader->slots[at] = i + 1;
	}
}

/* @return NULL where there is none and it is not to be made, or there are too many */
static struct report_test *find_test(struct report_reader *reader, const char *id, const char *project, bool is_made)
{
	struct report_run *run = reader->run;
	struct report_test *test;
	size_t at;

	if (2 * (run->test_count + 1) > reader->slot_count)
		rehash(reader);
	for (at = hash_of(id, project) % reader->slot_count; reader->slots[at]; at = (at + 1) % reader->slot_count) {
		test = &run->tests[reader->slots[at] - 1];
		if (text_equal(test->id, id) && text_equal(test->project, project))
			return test;
	}
	if (!is_made || run->test_count >= REPORT_TESTS_MAX)
		return NULL;
	test = REPORT_ADD(&run->tests, &run->test_count);
	reader->slots[at] = run->test_count;
	test->id = text_duplicate(id);
	test->project = text_duplicate(project);
	return test;
}

static void take_text(struct json_value object, const char *name, char **target)
{
	char *text = NULL;

	if (json_text(json_member(object, name), &text) < 0)
		return;
	text_free(target);
	*target = text;
}

char *report_take_text(struct json_value object, const char *name, const char *otherwise)
{
	char *text = NULL;

	take_text(object, name, &text);
	return text ? text : text_duplicate(otherwise);
}

int64_t report_take_number(struct json_value object, const char *name, int64_t otherwise)
{
	int64_t number = otherwise;

	(void)json_number(json_member(object, name), &number);
	return number;
}

int64_t report_take_count(struct json_value object, const char *name, int64_t max)
{
	int64_t number = report_take_number(object, name, 0);

	return number < 0 || number > max ? 0 : number;
}

static struct report_worker *find_worker(struct report_reader *reader, int64_t number)
{
	struct report_run *run = reader->run;
	struct report_worker *worker;

	if (number < JOURNAL_RUNNER || number >= REPORT_WORKERS_MAX - 1)
		return NULL;
	for (size_t i = 0; i < run->worker_count; i++)
		if (run->workers[i].number == number)
			return &run->workers[i];
	worker = REPORT_ADD(&run->workers, &run->worker_count);
	worker->number = (int)number;
	return worker;
}

/* ---- worlds ---- */

static void close_span(struct report_reader *reader, struct report_worker *worker, int64_t at_ms)
{
	bool *is_open = &reader->is_open[worker->number + 1];

	if (*is_open)
		worker->spans[worker->span_count - 1].end_ms =
			MAX(at_ms, worker->spans[worker->span_count - 1].start_ms);
	*is_open = false;
}

static struct report_span *open_span(struct report_reader *reader, struct report_worker *worker,
				     enum report_span_kind kind, int64_t at_ms)
{
	struct report_span *span;

	close_span(reader, worker, at_ms);
	if (reader->spans >= REPORT_SPANS_MAX)
		return NULL;
	reader->spans++;
	span = REPORT_ADD(&worker->spans, &worker->span_count);
	*span = (struct report_span){ .kind = kind, .start_ms = at_ms, .end_ms = at_ms };
	reader->is_open[worker->number + 1] = true;
	return span;
}

/* What a world does from an event on; -1: nothing, it has ended. */
static int span_after(enum journal_event event)
{
	switch (event) {
	case JOURNAL_START:
		return REPORT_STARTING;
	case JOURNAL_READY:
	case JOURNAL_FREE:
	case JOURNAL_THAW:
		return REPORT_IDLE;
	case JOURNAL_LEASE:
		return REPORT_LEASED;
	case JOURNAL_FREEZE:
		return REPORT_FROZEN;
	case JOURNAL_RESET:
		return REPORT_RESETTING;
	case JOURNAL_CRASH:
		return REPORT_CRASHED;
	default:
		return -1;
	}
}

static void take_world(struct report_reader *reader, struct json_value root, int64_t at_ms)
{
	struct report_worker *worker = find_worker(reader, report_take_number(root, "worker", INT64_MIN));
	owned_text word = NULL;
	struct report_span *span = NULL;
	int kind;

	if (!worker || json_text(json_member(root, "event"), &word) < 0)
		return;
	take_text(root, "name", &worker->name);
	for (unsigned i = 0; i < JOURNAL_EVENTS; i++) {
		if (!text_equal(word, journal_event_words[i]))
			continue;
		kind = span_after((enum journal_event)i);
		if (kind < 0)
			close_span(reader, worker, at_ms);
		else
			span = open_span(reader, worker, (enum report_span_kind)kind, at_ms);
	}
	if (span)
		take_text(root, "detail", &span->detail);
}

/* ---- the run ---- */

int64_t report_take_exit_code(struct json_value object)
{
	int64_t code = report_take_number(object, "exit_code", -1);

	return code < 0 || code > UINT8_MAX ? -1 : code;
}

static void take_run(struct report_reader *reader, struct json_value root, int64_t at_ms)
{
	struct report_run *run = reader->run;

	if (json_text_is(json_member(root, "event"), "end")) {
		run->end_ms = at_ms;
		run->exit_code = report_take_exit_code(root);
		return;
	}
	run->start_ms = at_ms;
	take_text(root, "id", &run->id);
	take_text(root, "host", &run->host);
	take_text(root, "sbx", &run->sbx);
	take_text(root, "tree", &run->tree);
	take_text(root, "shard", &run->shard);
	run->worlds = report_take_count(root, "workers", INT32_MAX);
	(void)json_bool(json_member(root, "alone"), &reader->is_alone);
	text_list_release(&run->command);
	run->command = (struct text_list){ 0 };
	(void)json_list(json_member(root, "command"), &run->command);
}

/* ---- tests ---- */

static struct report_try *find_try(struct report_test *test, int64_t retry, bool is_made)
{
	struct report_try *try;

	for (size_t i = test->try_count; i > 0; i--)
		if (test->tries[i - 1].retry == retry)
			return &test->tries[i - 1];
	if (!is_made || test->try_count >= REPORT_TRIES_MAX)
		return NULL;
	try = REPORT_ADD(&test->tries, &test->try_count);
	try->retry = retry;
	return try;
}

void report_take_attachments(struct report_try *try, struct json_value list)
{
	for (struct json_value item = json_first(list);
	     json_type(item) != JSON_MISSING && try->attachment_count < REPORT_LIST_MAX; item = json_next(item)) {
		struct report_attachment *attachment = REPORT_ADD(&try->attachments, &try->attachment_count);

		take_text(item, "name", &attachment->name);
		take_text(item, "path", &attachment->path);
		if (attachment->name && attachment->path)
			continue;
		text_free(&attachment->name);
		text_free(&attachment->path);
		try->attachment_count--;
	}
}

static void take_test(struct report_reader *reader, struct json_value line, int64_t at_ms)
{
	struct report_run *run = reader->run;
	struct report_test *test;
	struct report_try *try;
	owned_text id = NULL;
	owned_text project = NULL;
	bool is_hosted = false;
	int64_t started = report_take_count(line, "startedMs", REPORT_TIME_MAX);
	int64_t duration_ms;
	int64_t slot;

	if (json_text(json_member(line, "id"), &id) < 0)
		return;
	(void)json_text(json_member(line, "project"), &project);
	test = find_test(reader, id, project ? project : "", true);
	try = test ? find_try(test, report_take_count(line, "retry", INT32_MAX), true) : NULL;
	if (!try)
		return;
	if (!test->title)
		take_text(line, "title", &test->title);
	if (!test->file) {
		take_text(line, "file", &test->file);
		if (test->file && run->tree && path_is_below(test->file, run->tree) &&
		    path_below(test->file, run->tree)[0]) {
			char *file = text_duplicate(path_below(test->file, run->tree));

			text_free(&test->file);
			test->file = file;
		}
	}
	test->line = report_take_count(line, "line", INT32_MAX);
	(void)json_bool(json_member(line, "hosted"), &is_hosted);
	slot = report_take_number(line, "slot", JOURNAL_RUNNER);
	try->worker = is_hosted || run->worlds == 1
			      ? JOURNAL_RUNNER
			      : (int)MIN(MAX(slot, (int64_t)JOURNAL_RUNNER), (int64_t)REPORT_WORKERS_MAX - 2);
	/* Its own clock is this machine's, but its word is not: within what the supervisor saw. */
	if (started <= 0 || started > at_ms || started < run->start_ms)
		started = at_ms;
	if (try->start_ms == 0)
		try->start_ms = started;
	if (!json_text_is(json_member(line, "event"), "end"))
		return;
	try->end_ms = MAX(at_ms, (int64_t)1);
	/* One that never began (skipped), or whose beginning was not told. */
	duration_ms = report_take_count(line, "durationMs", REPORT_TIME_MAX);
	if (try->start_ms >= at_ms)
		try->start_ms = at_ms - MIN(duration_ms, MAX(at_ms - run->start_ms, INT64_C(0)));
	take_text(line, "status", &try->status);
	take_text(line, "message", &try->message);
	(void)json_bool(json_member(line, "ok"), &try->ok);
	report_take_attachments(try, json_member(line, "attachments"));
}

/* What a red item printed is what there is of its failure. */
static void take_output(struct report_reader *reader, struct json_value line)
{
	struct report_test *test;
	owned_text id = NULL;

	if (json_text(json_member(line, "id"), &id) < 0)
		return;
	test = find_test(reader, id, "", false);
	if (test && test->try_count > 0 && !test->tries[test->try_count - 1].ok)
		take_text(line, "text", &test->tries[test->try_count - 1].message);
}

static void take_runner(struct report_reader *reader, struct json_value line, int64_t at_ms)
{
	struct json_value type = json_member(line, "type");

	if (json_text_is(type, "test")) {
		take_test(reader, line, at_ms);
	} else if (json_text_is(type, "output")) {
		take_output(reader, line);
	} else if (json_text_is(type, "hello")) {
		owned_text name = NULL;
		owned_text version = NULL;

		(void)json_bool(json_member(line, "alone"), &reader->is_alone);
		(void)json_text(json_member(line, "runner"), &name);
		(void)json_text(json_member(line, "runnerVersion"), &version);
		text_free(&reader->run->runner);
		if (name)
			reader->run->runner = text_format("%s%s%s", name, version ? " " : "", version ? version : "");
	}
}

/* ---- what belongs to a red test ---- */

/* The project is not told: of several tests with one id, the one that ran there last. */
static struct report_try *find_red(struct report_reader *reader, struct json_value root)
{
	int64_t worker = report_take_number(root, "worker", INT64_MIN);
	int64_t retry = report_take_number(root, "retry", -1);
	struct report_try *found = NULL;
	owned_text id = NULL;

	if (json_text(json_member(root, "test"), &id) < 0 || !id[0])
		return NULL;
	for (size_t i = 0; i < reader->run->test_count; i++) {
		struct report_test *test = &reader->run->tests[i];

		for (size_t j = 0; text_equal(test->id, id) && j < test->try_count; j++) {
			struct report_try *try = &test->tries[j];

			if (!try->ok && try->worker == worker && (retry < 0 || try->retry == retry) &&
			    (!found || try->end_ms > found->end_ms))
				found = try;
		}
	}
	return found;
}

void report_take_files(struct report_try *try, struct json_value list, const char *at)
{
	for (struct json_value item = json_first(list);
	     json_type(item) != JSON_MISSING && try->file_count < REPORT_LIST_MAX; item = json_next(item)) {
		owned_text kind = NULL;
		owned_text path = NULL;
		struct report_file *file;

		if (json_text(json_member(item, "kind"), &kind) < 0 || json_text(json_member(item, "path"), &path) < 0)
			continue;
		file = REPORT_ADD(&try->files, &try->file_count);
		file->kind = kind[0] && strchr("ACD", kind[0]) ? kind[0] : 'C';
		file->path = path;
		file->at_ms = report_take_count(item, at, REPORT_TIME_MAX);
		path = NULL;
	}
}

char *report_take_raw_array(struct json_value value)
{
	size_t length = 0;
	const char *raw = json_type(value) == JSON_ARRAY ? json_raw(value, &length) : NULL;

	return raw ? text_format("%.*s", (int)length, raw) : NULL;
}

static void take_changes(struct report_reader *reader, struct json_value root)
{
	struct report_try *try = find_red(reader, root);

	if (!try)
		return;
	try->has_changes = true;
	try->files_missed = report_take_count(root, "missed", INT32_MAX);
	report_take_files(try, json_member(root, "files"), "at");
}

static void take_rows(struct report_reader *reader, struct json_value root)
{
	struct report_try *try = find_red(reader, root);

	if (!try)
		return;
	text_free(&try->rows);
	try->rows = report_take_raw_array(json_member(root, "databases"));
	take_text(root, "problem", &try->rows_problem);
}

static void take_kept(struct report_reader *reader, struct json_value root)
{
	struct report_try *try = find_red(reader, root);

	if (!try)
		return;
	take_text(root, "name", &try->kept);
	text_list_release(&try->databases);
	try->databases = (struct text_list){ 0 };
	(void)json_list(json_member(root, "databases"), &try->databases);
	(void)json_bool(json_member(root, "servers"), &try->has_servers);
}

static void take_bundle(struct report_reader *reader, struct json_value root)
{
	struct report_try *try = find_red(reader, root);

	if (try)
		take_text(root, "path", &try->bundle);
}

static void take_left(struct report_reader *reader, struct json_value root)
{
	int64_t worker = report_take_number(root, "worker", JOURNAL_RUNNER);

	report_take_left(reader->run, root,
			 worker < JOURNAL_RUNNER || worker >= REPORT_WORKERS_MAX - 1 ? JOURNAL_RUNNER : (int)worker);
}

bool report_reader_take(struct report_reader *reader, const char *line, size_t size)
{
	owned_json json = { 0 };
	struct json_value root;
	struct json_value type;
	int64_t at_ms;

	if (json_read(&json, line, size, NULL) < 0)
		return false;
	root = json_root(&json);
	type = json_member(root, "type");
	at_ms = report_take_count(root, "at_ns", REPORT_TIME_MAX * 1000000) / 1000000;
	if (at_ms <= 0 || json_type(type) != JSON_TEXT)
		return false;
	reader->run->end_ms = MAX(reader->run->end_ms, at_ms);
	if (reader->run->start_ms == 0)
		reader->run->start_ms = at_ms;
	if (json_text_is(type, "runner"))
		take_runner(reader, json_member(root, "line"), at_ms);
	else if (json_text_is(type, "world"))
		take_world(reader, root, at_ms);
	else if (json_text_is(type, "run"))
		take_run(reader, root, at_ms);
	else if (json_text_is(type, "changes"))
		take_changes(reader, root);
	else if (json_text_is(type, "rows"))
		take_rows(reader, root);
	else if (json_text_is(type, "kept"))
		take_kept(reader, root);
	else if (json_text_is(type, "bundle"))
		take_bundle(reader, root);
	else if (json_text_is(type, "left"))
		take_left(reader, root);
	else if (json_text_is(type, "fresh"))
		report_take_fresh(reader->run, root);
	return true;
}

void report_reader_finish(struct report_reader *reader)
{
	struct report_run *run = reader->run;

	for (size_t i = 0; i < run->worker_count; i++)
		close_span(reader, &run->workers[i], run->end_ms);
	for (size_t i = 0; i < run->test_count; i++) {
		struct report_test *test = &run->tests[i];

		test->title = test->title ? test->title : text_duplicate("");
		test->file = test->file ? test->file : text_duplicate("");
	}
	report_blame_finish(run);
	report_run_finish(run);
	free(reader->slots);
	free(reader);
}

struct report_run *report_add_run(struct report *report, struct error *error)
{
	if (report->run_count >= REPORT_RUNS_MAX) {
		(void)error_set(error, .number = E2BIG, .step = "make a report", .cause = "of more than 256 runs");
		return NULL;
	}
	return REPORT_ADD(&report->runs, &report->run_count);
}

static bool read_journal(struct report_run *run, FILE *file)
{
	struct report_reader *reader = report_reader_new(run);
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	bool has_any = false;

	while ((length = getline(&line, &capacity, file)) > 0) {
		if (length > EVENTS_LINE_MAX)
			continue;
		/* What a killed sbx left may end in the middle of a line. */
		has_any |= report_reader_take(reader, line, (size_t)length);
	}
	free(line);
	report_reader_finish(reader);
	return has_any;
}

int report_add_directory(struct report *report, int dirfd, const char *path, struct error *error)
{
	int fd = openat(dirfd, RUN_DIRECTORY_EVENTS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
	struct report_run *run;
	bool is_journal;

	if (!file) {
		int number = errno;

		fd_close(&fd);
		return error_set(
			error, .number = number, .step = "read the run in", .object = path,
			.cause = number == ENOENT ? "it has no " RUN_DIRECTORY_EVENTS : NULL,
			.remedy = number == ENOENT
					  ? "name a run, as sbx report --list shows them, or the directory of one"
					  : NULL);
	}
	run = report_add_run(report, error);
	is_journal = run && read_journal(run, file);
	(void)fclose(file);
	if (!run)
		return -E2BIG;
	if (!is_journal) {
		report_run_release(run);
		report->run_count--;
		return error_set(error, .number = EBADMSG, .step = "read the run in", .object = path,
				 .cause = RUN_DIRECTORY_EVENTS " is not what sbx test writes");
	}
	if (!run->id)
		run->id = text_duplicate(path_name(path));
	report_read_logs(run, dirfd);
	return 0;
}
