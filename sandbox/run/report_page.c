/* SPDX-License-Identifier: Apache-2.0 */
/* The page: one HTML file with all in it, written whole, so that it can be read without a script; the script adds the
 * filter, copying and the way back from a hidden row. Nothing is fetched, which its Content-Security-Policy holds it
 * to: style and script are those with the nonce, made after all that others wrote.
 *
 * Order: what the runs come to, the filter, the timelines, the red tests with all that is known of them, what tests
 * left behind (report_blame.c), all tests. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/path.h"
#include "base/table.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/report.h"
#include "sandbox/run/report_html.h"
#include "sandbox/run/report_model.h"

enum {
	NONCE_BYTES = 16,
	OPEN_MAX_RED = 10,    /* red tests that are unfolded at first */
	ROWS_SHOWN_MAX = 200, /* of a table */
	CHUNK_ROWS = 50,      /* which the browser lays out only when they are to be seen */
};

/* As hook.c does. */
#define EMBED(symbol, path)                                                                                            \
	__asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"" path "\"\n" #symbol "_end:\n.byte 0\n.popsection\n"); \
	extern const char symbol[] __attribute__((visibility("hidden")))

EMBED(page_style, "sandbox/run/page/report.css");
EMBED(page_script, "sandbox/run/page/report.js");

struct writer {
	const struct report *report;
	const struct report_page *page;
	struct text_buffer *out;
	unsigned opened;
};

static const char *const marks[REPORT_OUTCOMES] = {
	[REPORT_PASSED] = "\u2713", [REPORT_FLAKY] = "\u21bb",	[REPORT_SKIPPED] = "\u2013",
	[REPORT_UNFINISHED] = "?",  [REPORT_FAILED] = "\u2717",
};

/* ---- words ---- */

static void add_mark(struct writer *writer, enum report_outcome outcome)
{
	html_add(writer->out, "<span class=\"mark %s\" title=\"%s\" aria-label=\"%s\" role=\"img\">%s</span>",
		 report_outcome_words[outcome], report_outcome_words[outcome], report_outcome_words[outcome],
		 marks[outcome]);
}

/* A command as one would type it, with a button to copy it, which the script shows. */
static void add_command(struct writer *writer, const char *command)
{
	html_add(writer->out, "<li><code>%s</code><button type=\"button\" class=\"copy\" hidden>Copy</button></li>\n",
		 command);
}

/* "2026-11-26 00:12:03 UTC" */
static void add_time(struct writer *writer, int64_t at_ms)
{
	char text[TABLE_TIME_SIZE];

	table_time(at_ms * 1000000, text);
	html_add(writer->out, "<time datetime=\"%s\">", text);
	text[10] = ' ';
	text[19] = '\0';
	html_add(writer->out, "%s UTC</time>", text);
}

static bool has_several(const struct writer *writer)
{
	return writer->report->run_count > 1;
}

/* "shard 1/2", or its id. */
static void add_run_word(struct writer *writer, const struct report_run *run)
{
	if (run->shard)
		html_add(writer->out, "shard %s", run->shard);
	else
		html_add(writer->out, "run %s", run->id);
}

/* ---- a red test ---- */

/* Percent-encoded but for what a path may hold as it is (RFC 3986, section 3.3). */
static void add_url_path(struct text_buffer *out, const char *path)
{
	for (; *path; path++) {
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/", *path))
			text_buffer_add(out, path, 1);
		else
			text_buffer_format(out, "%%%02X", (unsigned)(unsigned char)*path);
	}
}

/* A link to a file of this machine, relative to the page, so that both can be moved together. One that is not there is
 * only named: it lies on another machine. */
static void add_link(struct writer *writer, const char *path)
{
	owned_text base = text_duplicate(writer->page->directory);
	owned_buffer href = { 0 };

	if (!base || path[0] != '/' || access(path, R_OK) < 0) {
		html_add(writer->out, "<code>%s</code>", path);
		return;
	}
	text_buffer_add_text(&href, "./");
	while (!path_is_below(path, base)) {
		char *parent = path_parent(base);

		text_free(&base);
		base = parent;
		text_buffer_add_text(&href, "../");
	}
	add_url_path(&href, path_below(path, base));
	html_add(writer->out, "<a href=\"%s\"><code>%s</code></a>", href.bytes, path);
}

/* "Id = 1, Item = 'red'": the values of an object, as texts and as they stand. */
static void add_values(struct writer *writer, struct json_value values)
{
	bool is_first = true;

	for (struct json_value value = json_first(values); json_type(value) != JSON_MISSING; value = json_next(value)) {
		owned_text name = NULL;
		owned_text text = NULL;
		owned_text raw = NULL;
		size_t length = 0;

		(void)json_name(value, &name);
		if (json_text(value, &text) < 0) {
			const char *at = json_raw(value, &length);

			raw = text_format("%.*s", (int)length, at);
		}
		html_add(writer->out, "%s<span class=\"dim\">%s=</span>%s", is_first ? "" : ", ", name,
			 text ? text : raw);
		is_first = false;
	}
}

static void add_rows_of_table(struct writer *writer, struct json_value table)
{
	static const struct {
		const char *change;
		const char *sign;
	} signs[] = { { "inserted", "+" }, { "updated", "~" }, { "deleted", "\u2212" } };
	owned_text name = report_take_text(table, "name", "");
	owned_text problem = report_take_text(table, "problem", NULL);
	unsigned shown = 0;

	html_add(writer->out, "<p><b>%s</b>", name);
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		html_add(writer->out, " %s%lld", signs[i].sign,
			 (long long)report_take_number(table, signs[i].change, 0));
	html_add(writer->out, "%s%s</p>\n<ul class=\"files\">\n", problem ? ": " : "", problem ? problem : "");
	for (struct json_value row = json_first(json_member(table, "rows"));
	     json_type(row) != JSON_MISSING && shown < ROWS_SHOWN_MAX; row = json_next(row), shown++) {
		for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
			if (json_text_is(json_member(row, "change"), signs[i].change))
				html_add(writer->out, "<li><b>%s</b> <code>", signs[i].sign);
		add_values(writer, json_member(row, "before"));
		if (json_text_is(json_member(row, "change"), "updated"))
			text_buffer_add_text(writer->out, " \u2192 ");
		add_values(writer, json_member(row, "after"));
		text_buffer_add_text(writer->out, "</code></li>\n");
	}
	text_buffer_add_text(writer->out, shown == ROWS_SHOWN_MAX ? "<li>\u2026</li>\n</ul>\n" : "</ul>\n");
}

static void add_rows(struct writer *writer, const struct report_try *try)
{
	owned_json json = { 0 };
	char name[REPORT_WORKER_SIZE];

	if (try->rows_problem)
		html_add(writer->out, "<p class=\"dim\">Rows: %s</p>\n", try->rows_problem);
	if (!try->rows || json_read(&json, try->rows, strlen(try->rows), NULL) < 0)
		return;
	for (struct json_value item = json_first(json_root(&json)); json_type(item) != JSON_MISSING;
	     item = json_next(item)) {
		owned_text database = report_take_text(item, "database", "");
		struct json_value tables = json_member(item, "tables");

		if (json_type(json_first(tables)) == JSON_MISSING)
			continue;
		html_add(writer->out, "<h5>Rows of <code>%s</code> by then, against what %s began with</h5>\n",
			 database, report_worker_word(try->worker, name));
		for (struct json_value table = json_first(tables); json_type(table) != JSON_MISSING;
		     table = json_next(table))
			add_rows_of_table(writer, table);
	}
}

static void add_changes(struct writer *writer, const struct report_try *try)
{
	size_t own = 0;

	if (!try->has_changes)
		return;
	for (size_t i = 0; i < try->file_count; i++)
		own += try->files[i].at_ms >= try->start_ms;
	for (unsigned part = 0; part < 2; part++) {
		size_t count = part == 0 ? own : try->file_count - own;

		if (part == 0 && count == 0)
			text_buffer_add_text(writer->out, "<h5>Files that it changed: none</h5>\n");
		if (count == 0)
			continue;
		html_add(writer->out,
			 part == 0 ? "<h5>Files that it changed</h5>\n"
				   : "<details><summary>%zu that tests before it changed</summary>\n",
			 count);
		text_buffer_add_text(writer->out, "<ul class=\"files\">\n");
		for (size_t i = 0; i < try->file_count; i++) {
			char kind[] = { try->files[i].kind, '\0' };

			if ((try->files[i].at_ms >= try->start_ms) == (part == 0))
				html_add(writer->out, "<li><b>%s</b> <code>%s</code></li>\n", kind, try->files[i].path);
		}
		html_add(writer->out, part == 0 ? "</ul>\n" : "</ul></details>\n");
	}
	if (try->files_missed > 0)
		html_add(writer->out, "<p class=\"dim\">and %lld more</p>\n", (long long)try->files_missed);
}

static void add_logs(struct writer *writer, const struct report_try *try)
{
	char name[REPORT_WORKER_SIZE];

	if (try->line_count == 0) {
		html_add(writer->out, "<p class=\"dim\">The services of %s wrote nothing meanwhile.</p>\n",
			 report_worker_word(try->worker, name));
		return;
	}
	html_add(writer->out, "<details open><summary>Log of %s meanwhile, %zu line%s</summary>\n",
		 report_worker_word(try->worker, name), try->line_count, try->line_count == 1 ? "" : "s");
	if (try->lines_missed > 0)
		html_add(writer->out, "<p class=\"dim\">%lld lines before these are not shown.</p>\n",
			 (long long)try->lines_missed);
	text_buffer_add_text(writer->out, "<pre class=\"log\" tabindex=\"0\">");
	for (size_t i = 0; i < try->line_count; i++) {
		const struct report_line *line = &try->lines[i];
		int64_t offset = MAX(line->at_ms - try->start_ms, INT64_C(0));

		html_add(writer->out, "<span class=\"dim\">+%lld.", (long long)offset / 1000);
		text_buffer_format(writer->out, "%03lld", (long long)offset % 1000);
		html_add(writer->out, " %s</span> ", line->service);
		html_add(writer->out, line->is_error ? "<span class=\"stderr\">%s</span>\n" : "%s\n", line->text);
	}
	text_buffer_add_text(writer->out, "</pre></details>\n");
}

static void add_commands(struct writer *writer, const struct report_run *run, const struct report_test *test,
			 const struct report_try *try)
{
	owned_text title = text_quote_word(test->title);
	owned_text command = text_join_words(&run->command);
	owned_text why = text_format("sbx test --why %s -- %s", title, command);

	text_buffer_add_text(writer->out, "<ul class=\"commands\">\n");
	if (try->kept) {
		owned_text shell = text_format("sbx shell %s", try->kept);

		add_command(writer, shell);
		for (size_t i = 0; i < try->databases.count; i++) {
			owned_text path = text_quote_word(try->databases.items[i]);
			owned_text line = try->databases.count == 1
						  ? text_format("sbx db shell %s", try->kept)
						  : text_format("sbx db shell %s --db %s", try->kept, path);

			add_command(writer, line);
		}
		if (try->has_servers) {
			owned_text open = text_format("sbx open %s", try->kept);

			add_command(writer, open);
		}
		if (writer->page->can_bundle && !try->bundle) {
			owned_text bundle = text_format("sbx bundle %s %s.sbx", try->kept, try->kept);

			add_command(writer, bundle);
		}
	}
	if (try->bundle) {
		owned_text path = text_quote_word(try->bundle);
		owned_text replay = text_format("sbx replay %s", path);

		add_command(writer, replay);
	}
	for (size_t i = 0; i < try->attachment_count; i++)
		if (text_ends_with(try->attachments[i].path, ".zip") && text_equal(try->attachments[i].name, "trace")) {
			owned_text path = text_quote_word(try->attachments[i].path);
			owned_text trace = text_format("npx playwright show-trace %s", path);

			add_command(writer, trace);
		}
	if (run->runner && text_starts_with(run->runner, "playwright"))
		add_command(writer, why);
	text_buffer_add_text(writer->out, "</ul>\n");
}

static void add_attachments(struct writer *writer, const struct report_try *try)
{
	if (try->attachment_count == 0)
		return;
	text_buffer_add_text(writer->out, "<ul class=\"attachments\">\n");
	for (size_t i = 0; i < try->attachment_count; i++) {
		html_add(writer->out, "<li>%s: ", try->attachments[i].name);
		add_link(writer, try->attachments[i].path);
		text_buffer_add_text(writer->out, "</li>\n");
	}
	text_buffer_add_text(writer->out, "</ul>\n");
}

static void add_try(struct writer *writer, const struct report_run *run, const struct report_test *test,
		    const struct report_try *try)
{
	char name[REPORT_WORKER_SIZE];
	char duration[HTML_DURATION_SIZE];

	html_add(writer->out, "<h4>Try %lld in %s: %s", (long long)try->retry + 1,
		 report_worker_word(try->worker, name), try->end_ms == 0 ? "never ended" : try->status);
	if (try->end_ms > 0)
		html_add(writer->out, ", %s", html_duration(try->end_ms - try->start_ms, duration));
	text_buffer_add_text(writer->out, "</h4>\n");
	if (try->ok)
		return;
	if (try->message)
		html_add(writer->out, "<pre class=\"message\" tabindex=\"0\">%s</pre>\n", try->message);
	add_commands(writer, run, test, try);
	add_attachments(writer, try);
	add_rows(writer, try);
	add_changes(writer, try);
	add_logs(writer, try);
}

static void add_red(struct writer *writer, size_t index, size_t number)
{
	const struct report_run *run = &writer->report->runs[index];
	const struct report_test *test = &run->tests[number];
	char name[REPORT_WORKER_SIZE];

	html_add(writer->out, "<details class=\"red\" id=\"t%zu-%zu\"%s><summary>", index, number,
		 writer->opened < OPEN_MAX_RED ? " open" : "");
	writer->opened++;
	add_mark(writer, test->outcome);
	html_add(writer->out, "<span class=\"title\">%s</span> <span class=\"dim\">%s:%lld", test->title, test->file,
		 (long long)test->line);
	if (test->project[0])
		html_add(writer->out, " \u00b7 %s", test->project);
	html_add(writer->out, " \u00b7 %s", report_worker_word(test->tries[0].worker, name));
	if (has_several(writer)) {
		text_buffer_add_text(writer->out, " \u00b7 ");
		add_run_word(writer, run);
	}
	text_buffer_add_text(writer->out, "</span></summary>\n<div class=\"inside\">\n");
	for (size_t i = 0; i < test->try_count; i++)
		add_try(writer, run, test, &test->tries[i]);
	report_blame_write_verdict(run, test, writer->out);
	text_buffer_add_text(writer->out, "</div></details>\n");
}

static bool is_red(const struct report_test *test)
{
	return test->outcome == REPORT_FAILED || test->outcome == REPORT_FLAKY || test->outcome == REPORT_UNFINISHED;
}

static void add_all_red(struct writer *writer)
{
	unsigned outcomes[REPORT_OUTCOMES];

	report_count(writer->report, outcomes);
	if (outcomes[REPORT_FAILED] + outcomes[REPORT_FLAKY] + outcomes[REPORT_UNFINISHED] == 0)
		return;
	text_buffer_add_text(writer->out, "<section id=\"red\"><h2>Red tests</h2>\n");
	for (unsigned pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < writer->report->run_count; i++)
			for (size_t j = 0; j < writer->report->runs[i].test_count; j++) {
				const struct report_test *test = &writer->report->runs[i].tests[j];

				if (is_red(test) && (test->outcome == REPORT_FAILED) == (pass == 0))
					add_red(writer, i, j);
			}
	text_buffer_add_text(writer->out, "</section>\n");
}

/* ---- all tests ---- */

static void add_row(struct writer *writer, size_t index, size_t number)
{
	const struct report_test *test = &writer->report->runs[index].tests[number];
	char name[REPORT_WORKER_SIZE];
	char duration[HTML_DURATION_SIZE];

	if (is_red(test))
		html_add(writer->out, "<li class=\"row\" data-outcome=\"%s\">", report_outcome_words[test->outcome]);
	else
		html_add(writer->out, "<li class=\"row\" data-outcome=\"%s\" id=\"t%zu-%zu\">",
			 report_outcome_words[test->outcome], index, number);
	add_mark(writer, test->outcome);
	if (is_red(test))
		html_add(writer->out, "<a class=\"title\" href=\"#t%zu-%zu\">%s</a>", index, number, test->title);
	else
		html_add(writer->out, "<span class=\"title\">%s</span>", test->title);
	html_add(writer->out, "<span class=\"dim\">%s</span><span class=\"worker\">", test->project);
	for (size_t i = 0; i < test->try_count; i++)
		if (i == 0 || test->tries[i].worker != test->tries[i - 1].worker)
			html_add(writer->out, "%s%s", i > 0 ? " " : "",
				 report_worker_word(test->tries[i].worker, name));
	html_add(writer->out, "</span><span class=\"time\">%s</span></li>\n",
		 html_duration(report_test_ms(test), duration));
}

static void add_file(struct writer *writer, size_t index, size_t from, size_t to)
{
	const struct report_run *run = &writer->report->runs[index];

	html_add(writer->out, "<section class=\"file\"><h3>%s", run->tests[from].file);
	if (has_several(writer)) {
		text_buffer_add_text(writer->out, " <span class=\"dim\">");
		add_run_word(writer, run);
		text_buffer_add_text(writer->out, "</span>");
	}
	text_buffer_add_text(writer->out, "</h3>\n");
	for (size_t i = from; i < to; i++) {
		if ((i - from) % CHUNK_ROWS == 0)
			html_add(writer->out, "%s<ol class=\"%s\">\n", i > from ? "</ol>\n" : "",
				 to - i >= CHUNK_ROWS ? "chunk full" : "chunk");
		add_row(writer, index, i);
	}
	text_buffer_add_text(writer->out, "</ol></section>\n");
}

static void add_tests(struct writer *writer)
{
	text_buffer_add_text(writer->out, "<section id=\"tests\" tabindex=\"-1\"><h2>All tests</h2>\n");
	for (size_t i = 0; i < writer->report->run_count; i++) {
		const struct report_run *run = &writer->report->runs[i];
		size_t from = 0;

		if (run->test_count == 0)
			html_add(writer->out, "<p>%s did not tell of single tests: its own report has them.</p>\n",
				 run->runner ? run->runner : "The runner");
		for (size_t j = 1; j <= run->test_count; j++)
			if (j == run->test_count || !text_equal(run->tests[j].file, run->tests[from].file)) {
				add_file(writer, i, from, j);
				from = j;
			}
	}
	text_buffer_add_text(writer->out, "<p id=\"none\" hidden>No test fits.</p></section>\n");
}

/* ---- the worlds ---- */

static int64_t sum_of(const struct report_worker *worker, enum report_span_kind kind, unsigned *ret_count)
{
	int64_t sum = 0;

	*ret_count = 0;
	for (size_t i = 0; i < worker->span_count; i++)
		if (worker->spans[i].kind == kind) {
			sum += worker->spans[i].end_ms - worker->spans[i].start_ms;
			++*ret_count;
		}
	return sum;
}

static void add_worker(struct writer *writer, const struct report_run *run, const struct report_worker *worker)
{
	char name[REPORT_WORKER_SIZE];
	char text[HTML_DURATION_SIZE];
	unsigned tries = 0;
	unsigned red = 0;
	unsigned count;
	int64_t busy_ms = 0;

	for (size_t i = 0; i < run->test_count; i++)
		for (size_t j = 0; j < run->tests[i].try_count; j++) {
			const struct report_try *try = &run->tests[i].tries[j];

			if (try->worker != worker->number)
				continue;
			tries++;
			red += !try->ok;
			busy_ms += MAX(try->end_ms - try->start_ms, INT64_C(0));
		}
	html_add(writer->out, "<tr><th scope=\"row\">%s</th><td>%u</td><td>%u</td><td>%s</td>",
		 report_worker_word(worker->number, name), tries, red, html_duration(busy_ms, text));
	busy_ms = sum_of(worker, REPORT_STARTING, &count);
	html_add(writer->out, "<td>%s (%u)</td>", html_duration(busy_ms, text), count);
	busy_ms = sum_of(worker, REPORT_IDLE, &count);
	html_add(writer->out, "<td>%s</td>", html_duration(busy_ms, text));
	(void)sum_of(worker, REPORT_RESETTING, &count);
	html_add(writer->out, "<td>%u</td>", count);
	(void)sum_of(worker, REPORT_CRASHED, &count);
	html_add(writer->out, "<td>%u</td></tr>\n", count);
}

static void add_facts(struct writer *writer, const struct report_run *run)
{
	char duration[HTML_DURATION_SIZE];
	owned_text command = text_join_words(&run->command);

	text_buffer_add_text(writer->out, "<p class=\"facts\">");
	add_time(writer, run->start_ms);
	html_add(writer->out, " \u00b7 %s \u00b7 %s", html_duration(run->end_ms - run->start_ms, duration),
		 run->host ? run->host : "");
	if (run->runner)
		html_add(writer->out, " \u00b7 %s", run->runner);
	if (run->exit_code < 0)
		text_buffer_add_text(writer->out, " \u00b7 <strong>it never ended</strong>");
	else
		html_add(writer->out, " \u00b7 exit status %lld", (long long)run->exit_code);
	html_add(writer->out, "<br><code>%s</code> in <code>%s</code></p>\n", command, run->tree ? run->tree : "");
}

static void add_run(struct writer *writer, size_t index)
{
	const struct report_run *run = &writer->report->runs[index];

	text_buffer_add_text(writer->out, "<div class=\"run\"><h3>");
	html_add(writer->out, "Run %s", run->id);
	if (run->shard)
		html_add(writer->out, ", shard %s", run->shard);
	text_buffer_add_text(writer->out, "</h3>\n");
	add_facts(writer, run);
	report_write_timeline(run, index, writer->out);
	text_buffer_add_text(
		writer->out,
		"<details><summary>The same as a table</summary><div class=\"scroll\" tabindex=\"0\"><table>"
		"<thead><tr><th scope=\"col\">World</th><th scope=\"col\">Tries</th><th scope=\"col\">Red</th>"
		"<th scope=\"col\">In tests</th><th scope=\"col\">Starting</th><th scope=\"col\">Idle</th>"
		"<th scope=\"col\">Resets</th><th scope=\"col\">Crashes</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < run->worker_count; i++)
		add_worker(writer, run, &run->workers[i]);
	text_buffer_add_text(writer->out, "</tbody></table></div></details></div>\n");
}

static void add_timelines(struct writer *writer)
{
	static const char *const legend[] = {
		"start",      "ready", "idle",	 "passed", "failed", "skipped",
		"unfinished", "lease", "freeze", "reset",  "crash",
	};

	text_buffer_add_text(writer->out, "<section id=\"worlds\"><h2>Worlds over time</h2>\n<ul class=\"legend\" "
					  "aria-label=\"Colours of the timeline\">");
	for (size_t i = 0; i < ARRAY_SIZE(legend); i++)
		html_add(writer->out,
			 "<li><svg width=\"14\" height=\"14\" aria-hidden=\"true\"><rect class=\"%s\" width=\"14\" "
			 "height=\"14\"/></svg> %s</li>",
			 legend[i], legend[i]);
	text_buffer_add_text(writer->out, "</ul>\n");
	for (size_t i = 0; i < writer->report->run_count; i++)
		add_run(writer, i);
	text_buffer_add_text(writer->out, "</section>\n");
}

/* ---- the page ---- */

/* "2 failed, 1 flaky, 9 passed" */
static char *sum_up(const struct report *report)
{
	static const enum report_outcome order[] = { REPORT_FAILED, REPORT_UNFINISHED, REPORT_FLAKY, REPORT_PASSED,
						     REPORT_SKIPPED };
	struct text_buffer out = { 0 };
	unsigned outcomes[REPORT_OUTCOMES];

	report_count(report, outcomes);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (outcomes[order[i]] > 0)
			text_buffer_format(&out, "%s%u %s", out.length ? ", " : "", outcomes[order[i]],
					   report_outcome_words[order[i]]);
	if (out.length == 0)
		text_buffer_add_text(&out, "no tests");
	return out.bytes;
}

static void add_filter(struct writer *writer)
{
	unsigned outcomes[REPORT_OUTCOMES];

	report_count(writer->report, outcomes);
	text_buffer_add_text(
		writer->out,
		"<form id=\"filter\" role=\"search\" hidden><input id=\"words\" type=\"search\" autocomplete=\"off\" "
		"placeholder=\"Filter: title, file, w2 \u2026  ( / )\" aria-label=\"Filter tests by title, file, "
		"project or world\"><fieldset><legend class=\"unseen\">Outcomes</legend>");
	for (size_t i = REPORT_OUTCOMES; i > 0; i--)
		if (outcomes[i - 1] > 0)
			html_add(writer->out,
				 "<label class=\"%s\"><input type=\"checkbox\" value=\"%s\" checked> %s %u</label>",
				 report_outcome_words[i - 1], report_outcome_words[i - 1], report_outcome_words[i - 1],
				 outcomes[i - 1]);
	text_buffer_add_text(writer->out, "</fieldset><output id=\"count\" aria-live=\"polite\"></output></form>\n");
}

static void make_nonce(char text[static 2 * NONCE_BYTES + 1])
{
	unsigned char bytes[NONCE_BYTES] = { 0 };

	(void)!getrandom(bytes, sizeof(bytes), 0);
	for (size_t i = 0; i < NONCE_BYTES; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

void report_write_html(const struct report *report, const struct report_page *page, struct text_buffer *out)
{
	struct writer writer = { .report = report, .page = page, .out = out };
	owned_text sum = sum_up(report);
	unsigned outcomes[REPORT_OUTCOMES];
	char nonce[2 * NONCE_BYTES + 1];
	bool is_bad_end;

	report_count(report, outcomes);
	is_bad_end = outcomes[REPORT_FAILED] + outcomes[REPORT_UNFINISHED] > 0;
	/* Flaky ones that --retry-fresh calls red, an error outside of tests, a server that died at the end. */
	for (size_t i = 0; i < report->run_count; i++)
		is_bad_end = is_bad_end || report->runs[i].exit_code > 0;
	make_nonce(nonce);
	html_add(out,
		 "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'nonce-%s'; "
		 "script-src 'nonce-%s'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		 "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" "
		 "content=\"no-referrer\">\n"
		 "<link rel=\"icon\" href=\"data:,\">\n<title>%s \u2013 sbx report</title>\n<style nonce=\"%s\">",
		 nonce, nonce, sum, nonce);
	text_buffer_add_text(out, page_style);
	html_add(out,
		 "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#tests\">Skip to all tests</a>\n<header><h1 "
		 "class=\"%s\">%s</h1></header>\n<main>\n",
		 is_bad_end ? "failed" : "passed", sum);
	add_timelines(&writer);
	add_filter(&writer);
	add_all_red(&writer);
	report_blame_write_html(report, out);
	add_tests(&writer);
	text_buffer_add_text(out, "</main>\n<footer>Made by <code>sbx report</code>, ");
	add_time(&writer, page->now_ms);
	html_add(out, "</footer>\n<script nonce=\"%s\">", nonce);
	text_buffer_add_text(out, page_script);
	text_buffer_add_text(out, "</script>\n</body>\n</html>\n");
}
