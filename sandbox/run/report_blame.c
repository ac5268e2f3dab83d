/* SPDX-License-Identifier: Apache-2.0 */
/* What tests left behind, and what passes only where nobody was before: of the journal's lines "left" and "fresh"
 * (journal.h), in the JSON of a report, and on the page. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/macro.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/report.h"
#include "sandbox/run/report_html.h"
#include "sandbox/run/report_model.h"

enum {
	LINES_SHOWN_MAX = 50, /* of one test */
	OPEN_MAX = 20,	      /* tests whose files are unfolded at first */
};

#define FOR_EACH(item, container)                                                                                      \
	for (struct json_value item = json_first(container); json_type(item) != JSON_MISSING; item = json_next(item))

/* ---- the model ---- */

static void place_release(struct report_place *place)
{
	text_free(&place->test);
	text_free(&place->title);
	text_free(&place->file);
}

static void left_release(struct report_left *left)
{
	place_release(&left->by);
	text_list_release(&left->lines);
}

static void fresh_release(struct report_fresh *fresh)
{
	place_release(&fresh->test);
	for (size_t i = 0; i < fresh->suspect_count; i++)
		left_release(&fresh->suspects[i]);
	for (size_t i = 0; i < fresh->silent_count; i++)
		place_release(&fresh->silent[i]);
	free(fresh->suspects);
	free(fresh->silent);
}

void report_blame_release(struct report_run *run)
{
	for (size_t i = 0; i < run->left_count; i++)
		left_release(&run->left[i]);
	for (size_t i = 0; i < run->fresh_count; i++)
		fresh_release(&run->fresh[i]);
	free(run->left);
	free(run->fresh);
}

static void take_place(struct report_place *place, struct json_value object)
{
	place->test = report_take_text(object, "test", "");
	place->title = report_take_text(object, "title", "");
	place->file = report_take_text(object, "file", "");
	place->line = report_take_count(object, "line", INT32_MAX);
}

static void take_lines(struct text_list *lines, struct json_value list)
{
	FOR_EACH(item, list)
	{
		char *text = NULL;

		if (lines->count < REPORT_LIST_MAX && json_text(item, &text) == 0)
			text_list_take(lines, text);
	}
}

void report_take_left(struct report_run *run, struct json_value object, int worker)
{
	struct json_value lines = json_member(object, "lines");
	struct report_left *left;

	run->looked_at++;
	if (json_type(json_first(lines)) == JSON_MISSING || run->left_count >= REPORT_LEFT_MAX)
		return;
	left = REPORT_ADD(&run->left, &run->left_count);
	take_place(&left->by, object);
	take_lines(&left->lines, lines);
	left->worker = worker;
	left->sequence = report_take_count(object, "sequence", INT32_MAX);
}

void report_take_fresh(struct report_run *run, struct json_value object)
{
	struct report_fresh *fresh;

	if (run->fresh_count >= REPORT_FRESH_MAX)
		return;
	fresh = REPORT_ADD(&run->fresh, &run->fresh_count);
	take_place(&fresh->test, object);
	fresh->passes = json_text_is(json_member(object, "verdict"), JOURNAL_PASSES_FRESH);
	FOR_EACH(item, json_member(object, "suspects"))
	if (fresh->suspect_count < REPORT_SUSPECTS_MAX) {
		struct report_left *suspect = REPORT_ADD(&fresh->suspects, &fresh->suspect_count);

		take_place(&suspect->by, item);
		take_lines(&suspect->lines, json_member(item, "left"));
	}
	FOR_EACH(item, json_member(object, "silent"))
	if (fresh->silent_count < REPORT_SUSPECTS_MAX)
		take_place(REPORT_ADD(&fresh->silent, &fresh->silent_count), item);
	fresh->silent_missed = report_take_count(object, "silent_missed", INT32_MAX);
}

static int compare_left(const void *a, const void *b)
{
	const struct report_left *first = a;
	const struct report_left *second = b;
	int order = strcmp(first->by.file, second->by.file);

	return order ? order : (first->sequence > second->sequence) - (first->sequence < second->sequence);
}

void report_blame_finish(struct report_run *run)
{
	if (run->left_count > 1)
		qsort(run->left, run->left_count, sizeof(*run->left), compare_left);
}

/* ---- JSON ---- */

static void write_place(const struct report_place *place, struct text_buffer *out)
{
	json_add_text(out, "test", place->test);
	json_add_text(out, "title", place->title);
	json_add_text(out, "file", place->file);
	json_add_number(out, "line", place->line);
}

static void write_fresh(const struct report_fresh *fresh, struct text_buffer *out)
{
	json_begin_object(out, NULL);
	write_place(&fresh->test, out);
	json_add_text(out, "verdict", fresh->passes ? JOURNAL_PASSES_FRESH : JOURNAL_FAILS_FRESH);
	json_begin_array(out, "suspects");
	for (size_t i = 0; i < fresh->suspect_count; i++) {
		json_begin_object(out, NULL);
		write_place(&fresh->suspects[i].by, out);
		json_add_list(out, "left", &fresh->suspects[i].lines);
		json_end_object(out);
	}
	json_end_array(out);
	json_begin_array(out, "silent");
	for (size_t i = 0; i < fresh->silent_count; i++) {
		json_begin_object(out, NULL);
		write_place(&fresh->silent[i], out);
		json_end_object(out);
	}
	json_end_array(out);
	json_add_number(out, "silent_missed", fresh->silent_missed);
	json_end_object(out);
}

void report_blame_write_json(const struct report_run *run, struct text_buffer *out)
{
	if (run->looked_at > 0) {
		json_add_number(out, "looked_at", run->looked_at);
		json_begin_array(out, "left");
		for (size_t i = 0; i < run->left_count; i++) {
			char worker[REPORT_WORKER_SIZE];

			json_begin_object(out, NULL);
			json_add_text(out, "worker", report_worker_word(run->left[i].worker, worker));
			json_add_number(out, "sequence", run->left[i].sequence);
			write_place(&run->left[i].by, out);
			json_add_list(out, "lines", &run->left[i].lines);
			json_end_object(out);
		}
		json_end_array(out);
	}
	if (run->fresh_count == 0)
		return;
	json_begin_array(out, "fresh");
	for (size_t i = 0; i < run->fresh_count; i++)
		write_fresh(&run->fresh[i], out);
	json_end_array(out);
}

void report_blame_read_json(struct report_run *run, struct json_value object)
{
	int64_t looked_at = report_take_count(object, "looked_at", INT32_MAX);

	FOR_EACH(item, json_member(object, "left"))
	report_take_left(run, item, report_read_worker_word(json_member(item, "worker")));
	FOR_EACH(item, json_member(object, "fresh"))
	report_take_fresh(run, item);
	/* Those that left nothing are counted, and not listed. */
	run->looked_at = MAX(looked_at, (int64_t)run->left_count);
	report_blame_finish(run);
}

/* ---- the page ---- */

/* Tests by their id, for links. */
struct index_of_tests {
	size_t run; /* its number on the page */
	const struct report_test **items;
	const struct report_run *tests;
	bool has_several; /* runs are on the page: each place says which one's it is */
};

static int compare_ids(const void *a, const void *b)
{
	return strcmp((*(const struct report_test *const *)a)->id, (*(const struct report_test *const *)b)->id);
}

static void index_release(struct index_of_tests *index)
{
	free(index->items);
}

static void index_fill(struct index_of_tests *index, const struct report *report, size_t number)
{
	const struct report_run *run = &report->runs[number];

	*index = (struct index_of_tests){ .run = number,
					  .items = calloc(run->test_count + 1, sizeof(*index->items)),
					  .tests = run,
					  .has_several = report->run_count > 1 };
	if (!index->items)
		abort();
	for (size_t i = 0; i < run->test_count; i++)
		index->items[i] = &run->tests[i];
	qsort(index->items, run->test_count, sizeof(*index->items), compare_ids);
}

/* @return its number among the run's tests, or -1 */
static int64_t index_find(const struct index_of_tests *index, const char *id)
{
	struct report_test key = { .id = (char *)id };
	const struct report_test *wanted = &key;
	const struct report_test *const *found =
		bsearch(&wanted, index->items, index->tests->test_count, sizeof(*index->items), compare_ids);

	return found && id[0] ? *found - index->tests->tests : -1;
}

static void add_run_word(struct text_buffer *out, const struct index_of_tests *index)
{
	const struct report_run *run = index->tests;

	if (index->has_several)
		html_add(out, " \u00b7 %s %s", run->shard ? "shard" : "run", run->shard ? run->shard : run->id);
}

/* "title  file:line", the title a link to the test where the page has it. */
static void add_place(struct text_buffer *out, const struct index_of_tests *index, const struct report_place *place,
		      bool with_file)
{
	int64_t number = index_find(index, place->test);
	const char *title = place->title[0] ? place->title : place->file[0] ? place->file : "what ran there";

	if (number >= 0)
		html_add(out, "<a href=\"#t%zu-%lld\">%s</a>", index->run, (long long)number, title);
	else
		html_add(out, "<span>%s</span>", title);
	if (with_file && place->file[0])
		html_add(out, " <span class=\"dim\">%s:%lld</span>", place->file, (long long)place->line);
}

static void add_lines(struct text_buffer *out, const struct text_list *lines)
{
	text_buffer_add_text(out, "<ul class=\"files\">\n");
	for (size_t i = 0; i < lines->count && i < LINES_SHOWN_MAX; i++)
		html_add(out, "<li><code>%s</code></li>\n", lines->items[i]);
	text_buffer_add_text(out, "</ul>\n");
	if (lines->count > LINES_SHOWN_MAX)
		html_add(out, "<p class=\"dim\">and %zu more</p>\n", lines->count - LINES_SHOWN_MAX);
}

static void add_fresh(struct text_buffer *out, const struct index_of_tests *index, const struct report_fresh *fresh)
{
	text_buffer_add_text(out, "<div class=\"fresh\"><h3>");
	add_place(out, index, &fresh->test, true);
	text_buffer_add_text(out, "<span class=\"dim\">");
	add_run_word(out, index);
	text_buffer_add_text(out, "</span></h3>\n");
	for (size_t i = 0; i < fresh->suspect_count; i++) {
		text_buffer_add_text(out, i == 0 ? "<p>Suspected: " : "<p>or: ");
		add_place(out, index, &fresh->suspects[i].by, true);
		text_buffer_add_text(out, ", which left</p>\n");
		add_lines(out, &fresh->suspects[i].lines);
	}
	if (fresh->suspect_count == 0)
		text_buffer_add_text(out,
				     "<p>No earlier test of its world was found to have left a file or a row.</p>\n");
	if (fresh->silent_count > 0) {
		text_buffer_add_text(out, "<p>The memory of a server is not seen. Those that were there before it and "
					  "left nothing else:</p>\n<ul class=\"silent\">\n");
		for (size_t i = 0; i < fresh->silent_count; i++) {
			text_buffer_add_text(out, "<li>");
			add_place(out, index, &fresh->silent[i], true);
			text_buffer_add_text(out, "</li>\n");
		}
		text_buffer_add_text(out, "</ul>\n");
		if (fresh->silent_missed > 0)
			html_add(out, "<p class=\"dim\">and %lld more</p>\n", (long long)fresh->silent_missed);
	}
	text_buffer_add_text(out, "</div>\n");
}

static void add_all_fresh(const struct report *report, struct text_buffer *out)
{
	bool has_begun = false;

	for (size_t i = 0; i < report->run_count; i++) {
		const struct report_run *run = &report->runs[i];
		__attribute__((cleanup(index_release))) struct index_of_tests index = { 0 };

		if (run->fresh_count > 0)
			index_fill(&index, report, i);
		for (size_t j = 0; j < run->fresh_count; j++) {
			if (!run->fresh[j].passes)
				continue;
			if (!has_begun)
				text_buffer_add_text(
					out, "<section id=\"fresh\"><h2>Passes only when fresh</h2>\n<p "
					     "class=\"facts\">Red in their own world, green in one that nobody had "
					     "used: something that was there before them.</p>\n");
			has_begun = true;
			add_fresh(out, &index, &run->fresh[j]);
		}
	}
	if (has_begun)
		text_buffer_add_text(out, "</section>\n");
}

/* Those of one file. */
static void add_left_of_file(struct text_buffer *out, const struct index_of_tests *index,
			     const struct report_left *left, size_t count, bool is_open)
{
	html_add(out, "<details class=\"left\"%s><summary>%s <span class=\"dim\">%zu test%s left something",
		 is_open ? " open" : "", left->by.file[0] ? left->by.file : "Elsewhere", count, count == 1 ? "" : "s");
	add_run_word(out, index);
	text_buffer_add_text(out, "</span></summary>\n<div class=\"inside\">\n");
	for (size_t i = 0; i < count; i++) {
		char worker[REPORT_WORKER_SIZE];

		text_buffer_add_text(out, "<h4>");
		add_place(out, index, &left[i].by, false);
		text_buffer_add_text(out, " <span class=\"dim\">");
		if (left[i].by.line > 0)
			html_add(out, "line %lld, ", (long long)left[i].by.line);
		html_add(out, "%s</span></h4>\n", report_worker_word(left[i].worker, worker));
		add_lines(out, &left[i].lines);
	}
	text_buffer_add_text(out, "</div></details>\n");
}

static void add_left_of_run(struct text_buffer *out, const struct report *report, size_t number, bool is_open)
{
	const struct report_run *run = &report->runs[number];
	__attribute__((cleanup(index_release))) struct index_of_tests index = { 0 };
	size_t from = 0;

	index_fill(&index, report, number);
	for (size_t i = 1; i <= run->left_count; i++)
		if (i == run->left_count || !text_equal(run->left[i].by.file, run->left[from].by.file)) {
			add_left_of_file(out, &index, &run->left[from], i - from, is_open);
			from = i;
		}
}

static void add_all_left(const struct report *report, struct text_buffer *out)
{
	int64_t looked_at = 0;
	size_t left = 0;

	for (size_t i = 0; i < report->run_count; i++) {
		looked_at += report->runs[i].looked_at;
		left += report->runs[i].left_count;
	}
	if (looked_at == 0)
		return;
	html_add(out,
		 "<section id=\"left\"><h2>What tests left behind</h2>\n<p class=\"facts\">%zu of %lld left files or "
		 "rows in their world. What a server has in its memory is not seen.</p>\n",
		 left, (long long)looked_at);
	for (size_t i = 0; i < report->run_count; i++)
		if (report->runs[i].left_count > 0)
			add_left_of_run(out, report, i, left <= OPEN_MAX);
	text_buffer_add_text(out, "</section>\n");
}

void report_blame_write_html(const struct report *report, struct text_buffer *out)
{
	add_all_fresh(report, out);
	add_all_left(report, out);
}

void report_blame_write_verdict(const struct report_run *run, const struct report_test *test, struct text_buffer *out)
{
	for (size_t i = 0; i < run->fresh_count; i++) {
		if (!text_equal(run->fresh[i].test.test, test->id))
			continue;
		text_buffer_add_text(out,
				     run->fresh[i].passes
					     ? "<p><strong>It passes only when fresh</strong>: <a href=\"#fresh\">who "
					       "was there before it</a>.</p>\n"
					     : "<p>It fails in a fresh world as well.</p>\n");
		return;
	}
}
