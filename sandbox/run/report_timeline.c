/* SPDX-License-Identifier: Apache-2.0 */
/* The timeline: a lane for each world, an SVG of its own beside its name. Places are percentages, so that it fits any
 * width without a script and without stretched letters. */
#include <stdio.h>
#include <stdlib.h>

#include "base/macro.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/report.h"
#include "sandbox/run/report_html.h"

enum {
	TICKS_MAX = 5,
	LANE_HEIGHT = 26,
};

struct scale {
	int64_t start_ms;
	int64_t length_ms;
};

/* In thousandths of a percent. */
static int64_t place(const struct scale *scale, int64_t at_ms)
{
	int64_t from = MIN(MAX(at_ms - scale->start_ms, INT64_C(0)), scale->length_ms);

	return from * 100000 / scale->length_ms;
}

static void add_percent(struct text_buffer *out, const char *name, int64_t thousandths)
{
	text_buffer_format(out, " %s=\"%lld.%03lld%%\"", name, (long long)thousandths / 1000,
			   (long long)thousandths % 1000);
}

static void begin_box(struct text_buffer *out, const struct scale *scale, const char *class, int64_t start_ms,
		      int64_t end_ms, unsigned top, unsigned height)
{
	int64_t left = place(scale, start_ms);
	int64_t right = place(scale, MAX(end_ms, start_ms));

	text_buffer_format(out, "<rect class=\"%s\"", class);
	add_percent(out, "x", left);
	/* A box without any width is not drawn, nor is its stroke, which is what shows what takes no time. */
	add_percent(out, "width", MAX(right - left, INT64_C(1)));
	text_buffer_format(out, " y=\"%u\" height=\"%u\">", top, height);
}

static void add_span(struct text_buffer *out, const struct scale *scale, const struct report_span *span)
{
	char duration[HTML_DURATION_SIZE];

	begin_box(out, scale, report_span_words[span->kind], span->start_ms, span->end_ms, 4, LANE_HEIGHT - 8);
	html_add(out, "<title>%s, %s%s%s</title></rect>", report_span_words[span->kind],
		 html_duration(span->end_ms - span->start_ms, duration), span->detail ? ": " : "",
		 span->detail ? span->detail : "");
}

/* The moment at which a world was ready: its start has come to an end, and not to a bad one. */
static void add_ready(struct text_buffer *out, const struct scale *scale, const struct report_worker *worker)
{
	for (size_t i = 0; i + 1 < worker->span_count; i++) {
		const struct report_span *start = &worker->spans[i];
		const struct report_span *next = start + 1;
		char duration[HTML_DURATION_SIZE];

		if (start->kind != REPORT_STARTING || (next->kind != REPORT_IDLE && next->kind != REPORT_LEASED) ||
		    next->start_ms != start->end_ms)
			continue;
		begin_box(out, scale, "ready", start->end_ms, start->end_ms, 1, LANE_HEIGHT - 2);
		html_add(out, "<title>ready, after %s</title></rect>",
			 html_duration(start->end_ms - start->start_ms, duration));
	}
}

static bool is_bad(const struct report_try *try)
{
	return !try->ok;
}

static const char *class_of(const struct report_try *try)
{
	if (try->end_ms == 0 || text_equal(try->status, "interrupted"))
		return report_outcome_words[REPORT_UNFINISHED];
	if (!try->ok)
		return report_outcome_words[REPORT_FAILED];
	return report_outcome_words[text_equal(try->status, "skipped") ? REPORT_SKIPPED : REPORT_PASSED];
}

/* @is_bad_wanted  the red ones come last, and lie on top */
static void add_tests(struct text_buffer *out, const struct scale *scale, const struct report_run *run, size_t index,
		      int worker, bool is_bad_wanted)
{
	for (size_t i = 0; i < run->test_count; i++) {
		const struct report_test *test = &run->tests[i];

		for (size_t j = 0; j < test->try_count; j++) {
			const struct report_try *try = &test->tries[j];
			int64_t end_ms = try->end_ms ? try->end_ms : run->end_ms;
			char duration[HTML_DURATION_SIZE];

			if (try->worker != worker || is_bad(try) != is_bad_wanted)
				continue;
			/* The list below is what a keyboard goes through: a stop for each of 3,000 bars is none. */
			html_add(out, "<a href=\"#t%zu-%zu\" tabindex=\"-1\">", index, i);
			begin_box(out, scale, class_of(try), try->start_ms, end_ms, 2, LANE_HEIGHT - 4);
			html_add(out, "<title>%s: %s, %s</title></rect></a>", test->title, class_of(try),
				 html_duration(end_ms - try->start_ms, duration));
		}
	}
}

/* The shortest of those that people count by of which there are not too many. */
static int64_t tick_length(int64_t length_ms)
{
	static const int64_t lengths[] = { 10,	  50,	 100,	 500,	 1000,	 2000,	  5000,	   10000,   20000,
					   30000, 60000, 120000, 300000, 600000, 1200000, 1800000, 3600000, 7200000 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		if (lengths[i] * TICKS_MAX >= length_ms)
			return lengths[i];
	return length_ms / TICKS_MAX / 3600000 * 3600000 + 3600000;
}

/* Ticks are whole: "2 s", "20 min". */
static char *tick_word(int64_t ms, char text[static HTML_DURATION_SIZE])
{
	if (ms < 1000 || ms % 1000 != 0)
		return html_duration(ms, text);
	if (ms < 60000)
		(void)snprintf(text, HTML_DURATION_SIZE, "%lld s", (long long)ms / 1000);
	else if (ms % 60000 == 0 && ms < 3600000)
		(void)snprintf(text, HTML_DURATION_SIZE, "%lld min", (long long)ms / 60000);
	else
		return html_duration(ms, text);
	return text;
}

static void add_axis(struct text_buffer *out, const struct scale *scale)
{
	int64_t tick = tick_length(scale->length_ms);

	text_buffer_add_text(out, "<div class=\"lane axis\" aria-hidden=\"true\"><span></span><svg height=\"20\">");
	for (int64_t at = 0; at <= scale->length_ms * 22 / 25; at += tick) {
		char duration[HTML_DURATION_SIZE];

		text_buffer_add_text(out, "<text y=\"14\"");
		add_percent(out, "x", at * 100000 / scale->length_ms);
		html_add(out, ">%s</text>", at == 0 ? "0" : tick_word(at, duration));
	}
	text_buffer_add_text(out, "</svg></div>\n");
}

static void add_lane(struct text_buffer *out, const struct scale *scale, const struct report_run *run, size_t index,
		     const struct report_worker *worker)
{
	char name[REPORT_WORKER_SIZE];

	report_worker_word(worker->number, name);
	html_add(out,
		 "<div class=\"lane\"><span>%s</span><svg height=\"%u\" role=\"img\" aria-label=\"Timeline of %s\">",
		 name, (unsigned)LANE_HEIGHT, name);
	for (size_t i = 0; i < worker->span_count; i++)
		if (worker->spans[i].kind != REPORT_CRASHED)
			add_span(out, scale, &worker->spans[i]);
	add_tests(out, scale, run, index, worker->number, false);
	add_tests(out, scale, run, index, worker->number, true);
	add_ready(out, scale, worker);
	for (size_t i = 0; i < worker->span_count; i++)
		if (worker->spans[i].kind == REPORT_CRASHED)
			add_span(out, scale, &worker->spans[i]);
	text_buffer_add_text(out, "</svg></div>\n");
}

void report_write_timeline(const struct report_run *run, size_t index, struct text_buffer *out)
{
	struct scale scale = { .start_ms = run->start_ms, .length_ms = MAX(run->end_ms - run->start_ms, INT64_C(1)) };

	text_buffer_add_text(out, "<div class=\"timeline\">\n");
	for (size_t i = 0; i < run->worker_count; i++)
		add_lane(out, &scale, run, index, &run->workers[i]);
	add_axis(out, &scale);
	text_buffer_add_text(out, "</div>\n");
}
