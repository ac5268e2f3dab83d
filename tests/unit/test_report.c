/* SPDX-License-Identifier: Apache-2.0 */
/* Journals read, logs found, pages and exports written: from what a suite may have made of its titles and output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/tree.h"
#include "base/utf8.h"
#include "base/xml.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/report.h"
#include "sandbox/run/runs.h"

#define T0 INT64_C(1795650000000)

/* A journal, line by line, at so many ms after T0. */
static void add_line(struct text_buffer *journal, int64_t ms, const char *rest)
{
	text_buffer_format(journal, "{\"at_ns\":%lld000000,%s}\n", (long long)(T0 + ms), rest);
}

static void add_begin(struct text_buffer *journal)
{
	add_line(journal, 0,
		 "\"type\":\"run\",\"event\":\"begin\",\"version\":1,\"id\":\"2qb1pf9yg9\",\"host\":\"here\",\"tree\":"
		 "\"/srv\","
		 "\"command\":[\"npx\",\"it's\"],\"workers\":2");
	add_line(journal, 1,
		 "\"type\":\"runner\",\"line\":{\"type\":\"hello\",\"runner\":\"playwright\",\"runnerVersion\":\"1."
		 "2\"}");
}

static void add_test(struct text_buffer *journal, int64_t ms, const char *event, const char *id, unsigned slot,
		     const char *rest)
{
	owned_text line = text_format("\"type\":\"runner\",\"line\":{\"type\":\"test\",\"event\":\"%s\",\"id\":\"%s\","
				      "\"project\":\"\",\"title\":\"title %s\",\"file\":\"/srv/a.js\",\"line\":3,"
				      "\"slot\":%u%s}",
				      event, id, id, slot, rest);

	add_line(journal, ms, line);
}

#define PASSED ",\"retry\":0,\"status\":\"passed\",\"ok\":true,\"durationMs\":10"
#define FAILED ",\"retry\":0,\"status\":\"failed\",\"ok\":false,\"durationMs\":10,\"message\":\"no\""

static void read_text(const char *text, struct report_run *run)
{
	struct report_reader *reader = report_reader_new(run);

	for (const char *end; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		(void)report_reader_take(reader, text, (size_t)(end - text));
	}
	report_reader_finish(reader);
	if (!run->id)
		run->id = text_duplicate("");
}

static const struct report_test *find(const struct report_run *run, const char *id)
{
	for (size_t i = 0; i < run->test_count; i++)
		if (text_equal(run->tests[i].id, id))
			return &run->tests[i];
	fail_msg("no test %s", id);
	return NULL;
}

static char *write_page(const struct report *report)
{
	static const struct report_page page = { .directory = "/tmp", .now_ms = T0 };
	struct text_buffer out = { 0 };

	report_write_html(report, &page, &out);
	return out.bytes;
}

static bool is_utf8(const char *text)
{
	uint32_t code;
	size_t length = 1;

	for (size_t left = strlen(text); left > 0 && length > 0; left -= length, text += length)
		length = utf8_decode(text, left, &code);
	return length > 0;
}

static unsigned count(const char *text, const char *part)
{
	unsigned found = 0;

	for (; (text = strstr(text, part)) != NULL; text += strlen(part))
		found++;
	return found;
}

static const char *place_of(const char *page, const char *part)
{
	const char *at = strstr(page, part);

	if (!at)
		fail_msg("the page lacks %s", part);
	return at;
}

/* ---- reading ---- */

static void test_report_tells_outcomes_by_their_tries(void **state)
{
	owned_buffer journal = { 0 };
	owned_report report = { 0 };
	struct report_run *run;

	(void)state;
	add_begin(&journal);
	add_test(&journal, 10, "begin", "green", 0, ",\"retry\":0");
	add_test(&journal, 20, "end", "green", 0, PASSED);
	add_test(&journal, 30, "end", "red", 1, FAILED);
	add_test(&journal, 40, "end", "shaky", 1, FAILED);
	add_test(&journal, 50, "end", "shaky", 0, ",\"retry\":1,\"status\":\"passed\",\"ok\":true");
	add_test(&journal, 60, "end", "left out", 0, ",\"retry\":0,\"status\":\"skipped\",\"ok\":true");
	add_test(&journal, 70, "end", "stopped", 0, ",\"retry\":0,\"status\":\"interrupted\",\"ok\":false");
	add_test(&journal, 80, "begin", "lost", 0, ",\"retry\":0");
	report.runs = calloc(1, sizeof(*report.runs));
	report.run_count = 1;
	run = report.runs;
	read_text(journal.bytes, run);
	assert_int_equal(run->test_count, 6);
	assert_int_equal(find(run, "green")->outcome, REPORT_PASSED);
	assert_int_equal(find(run, "red")->outcome, REPORT_FAILED);
	assert_int_equal(find(run, "shaky")->outcome, REPORT_FLAKY);
	assert_int_equal(find(run, "left out")->outcome, REPORT_SKIPPED);
	assert_int_equal(find(run, "stopped")->outcome, REPORT_UNFINISHED);
	assert_int_equal(find(run, "lost")->outcome, REPORT_UNFINISHED);
	assert_int_equal(find(run, "shaky")->tries[0].worker, 1);
	assert_int_equal(find(run, "shaky")->tries[1].worker, 0);
	assert_string_equal(find(run, "green")->file, "a.js");
	assert_int_equal(report_test_ms(find(run, "green")), 10);
	assert_int_equal(run->exit_code, -1);
	assert_string_equal(run->runner, "playwright 1.2");
}

static void test_report_tells_what_worlds_did(void **state)
{
	owned_buffer journal = { 0 };
	struct report_run run = { 0 };
	static const enum report_span_kind kinds[] = { REPORT_STARTING, REPORT_IDLE, REPORT_LEASED, REPORT_CRASHED,
						       REPORT_IDLE };

	(void)state;
	add_begin(&journal);
	add_line(&journal, 10, "\"type\":\"world\",\"worker\":0,\"event\":\"start\"");
	add_line(&journal, 20, "\"type\":\"world\",\"worker\":0,\"event\":\"ready\"");
	add_line(&journal, 30, "\"type\":\"world\",\"worker\":0,\"event\":\"lease\"");
	add_line(&journal, 40, "\"type\":\"world\",\"worker\":0,\"event\":\"crash\",\"detail\":\"api died\"");
	add_line(&journal, 50, "\"type\":\"world\",\"worker\":0,\"event\":\"free\"");
	add_line(&journal, 90, "\"type\":\"run\",\"event\":\"end\",\"exit_code\":3");
	read_text(journal.bytes, &run);
	assert_int_equal(run.worker_count, 1);
	assert_int_equal(run.workers[0].span_count, ARRAY_SIZE(kinds));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		assert_int_equal(run.workers[0].spans[i].kind, kinds[i]);
	assert_string_equal(run.workers[0].spans[3].detail, "api died");
	assert_int_equal(run.workers[0].spans[4].end_ms, T0 + 90);
	assert_int_equal(run.exit_code, 3);
	report_run_release(&run);
}

/* Each of what a world does has its place in the lane, in the order of time, and its colour in the legend. */
static void test_report_draws_all_that_worlds_do(void **state)
{
	static const struct {
		int64_t ms;
		const char *event;
	} events[] = { { 10, "start" },	 { 200, "ready" }, { 300, "lease" }, { 500, "free" },  { 550, "reset" },
		       { 600, "ready" }, { 650, "lease" }, { 700, "crash" }, { 710, "start" }, { 900, "crash" } };
	static const struct {
		const char *class;
		const char *x;
		const char *width;
	} boxes[] = { { "start", "1.000%", "19.000%" },	  { "ready", "20.000%", "0.001%" },
		      { "idle", "20.000%", "10.000%" },	  { "lease", "30.000%", "20.000%" },
		      { "passed", "35.000%", "10.000%" }, { "idle", "50.000%", "5.000%" },
		      { "reset", "55.000%", "5.000%" },	  { "crash", "70.000%", "1.000%" },
		      { "start", "71.000%", "19.000%" } };
	static const char *const legend[] = { "start", "ready", "idle", "passed", "failed", "reset", "crash" };
	owned_buffer journal = { 0 };
	owned_report report = { .run_count = 1 };
	owned_text page = NULL;

	(void)state;
	report.runs = calloc(1, sizeof(*report.runs));
	add_begin(&journal);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		owned_text line = text_format("\"type\":\"world\",\"worker\":0,\"event\":\"%s\"", events[i].event);

		add_line(&journal, events[i].ms, line);
	}
	add_test(&journal, 350, "begin", "a", 0, ",\"retry\":0");
	add_test(&journal, 450, "end", "a", 0, PASSED);
	add_line(&journal, 1000, "\"type\":\"run\",\"event\":\"end\",\"exit_code\":0");
	read_text(journal.bytes, report.runs);
	page = write_page(&report);
	for (size_t i = 0; i < ARRAY_SIZE(boxes); i++) {
		owned_text box = text_format("<rect class=\"%s\" x=\"%s\" width=\"%s\"", boxes[i].class, boxes[i].x,
					     boxes[i].width);

		(void)place_of(page, box);
	}
	for (size_t i = 0; i < ARRAY_SIZE(legend); i++) {
		owned_text entry = text_format("height=\"14\"/></svg> %s</li>", legend[i]);

		(void)place_of(page, entry);
	}
	assert_null(strstr(page, "width=\"0.000%\""));
	/* Nor is it ready after a start that ended in a crash, or after a reset. */
	assert_int_equal(count(page, "class=\"ready\" x="), 1);
}

static void test_report_takes_no_runners_line_for_the_supervisors(void **state)
{
	owned_buffer journal = { 0 };
	struct report_run run = { 0 };

	(void)state;
	add_begin(&journal);
	add_line(&journal, 10,
		 "\"type\":\"runner\",\"line\":{\"type\":\"run\",\"event\":\"end\",\"exit_code\":0,\"at_ns\":1}");
	add_line(&journal, 11,
		 "\"type\":\"runner\",\"line\":{\"type\":\"world\",\"worker\":0,\"event\":\"crash\",\"detail\":\"x\"}");
	read_text(journal.bytes, &run);
	assert_int_equal(run.exit_code, -1);
	assert_int_equal(run.worker_count, 0);
	report_run_release(&run);
}

static void test_report_gives_a_red_try_what_belongs_to_it(void **state)
{
	owned_buffer journal = { 0 };
	struct report_run run = { 0 };
	const struct report_try *try;

	(void)state;
	add_begin(&journal);
	add_test(&journal, 10, "end", "a", 1, FAILED);
	add_test(&journal, 20, "end", "a", 0, ",\"retry\":1,\"status\":\"failed\",\"ok\":false");
	add_line(&journal, 21,
		 "\"type\":\"changes\",\"worker\":1,\"test\":\"a\",\"retry\":0,\"files\":[{\"kind\":\"A\",\"path\":\"/"
		 "srv/x\","
		 "\"at\":5}],\"missed\":2");
	add_line(&journal, 22,
		 "\"type\":\"rows\",\"worker\":1,\"test\":\"a\",\"retry\":0,\"databases\":[{\"database\":\"d\"}]");
	add_line(&journal, 23,
		 "\"type\":\"kept\",\"worker\":1,\"test\":\"a\",\"name\":\"r.w1-1\",\"databases\":[\"/srv/d\"]");
	add_line(&journal, 24, "\"type\":\"bundle\",\"worker\":1,\"test\":\"a\",\"path\":\"/b.sbx\"");
	read_text(journal.bytes, &run);
	try = &find(&run, "a")->tries[0];
	assert_int_equal(try->file_count, 1);
	assert_int_equal(try->files_missed, 2);
	assert_string_equal(try->rows, "[{\"database\":\"d\"}]");
	assert_string_equal(try->kept, "r.w1-1");
	assert_string_equal(try->bundle, "/b.sbx");
	assert_null(find(&run, "a")->tries[1].kept);
	assert_false(find(&run, "a")->tries[1].has_changes);
	report_run_release(&run);
}

static void add_left(struct text_buffer *journal, int64_t ms, unsigned sequence, const char *id, const char *file,
		     const char *lines)
{
	owned_text line = text_format("\"type\":\"left\",\"worker\":1,\"world\":\"x\",\"sequence\":%u,\"test\":\"%s\","
				      "\"title\":\"title %s\",\"file\":\"%s\",\"line\":3,\"lines\":[%s],\"left\":{}",
				      sequence, id, id, file, lines);

	add_line(journal, ms, line);
}

static void test_report_tells_what_tests_left_by_file_and_time(void **state)
{
	owned_buffer journal = { 0 };
	owned_report report = { .run_count = 1 };
	owned_text page = NULL;
	owned_text several = NULL;
	const char *section;

	(void)state;
	report.runs = calloc(1, sizeof(*report.runs));
	add_begin(&journal);
	add_test(&journal, 10, "end", "a", 1, PASSED);
	add_test(&journal, 20, "end", "b", 1, PASSED);
	add_left(&journal, 30, 3, "b", "b.js", "\"A <file>\"");
	add_left(&journal, 30, 2, "a", "a.js", "\"shop.db Orders: 1 inserted (Id=1)\",\"A uploads\"");
	add_left(&journal, 30, 1, "gone", "b.js", "\"D old\"");
	add_left(&journal, 30, 4, "a", "a.js", "");
	read_text(journal.bytes, report.runs);
	assert_int_equal(report.runs[0].looked_at, 4);
	assert_int_equal(report.runs[0].left_count, 3);
	page = write_page(&report);
	section = place_of(page, "What tests left behind");
	assert_non_null(strstr(section, "3 of 4 left files or rows in their world"));
	/* By file, within one by time; linked where there is something to link to. */
	assert_true(place_of(section, "<summary>a.js") < place_of(section, "<summary>b.js"));
	assert_true(place_of(section, "<code>D old</code>") < place_of(section, "<code>A &lt;file&gt;</code>"));
	assert_non_null(strstr(section, "<a href=\"#t0-0\">title a</a> <span class=\"dim\">line 3, w1</span>"));
	assert_non_null(strstr(section, "<a href=\"#t0-1\">title b</a>"));
	assert_non_null(strstr(section, "<span>title gone</span>"));
	assert_non_null(strstr(section, "<code>shop.db Orders: 1 inserted (Id=1)</code>"));
	assert_non_null(strstr(section, "2 tests left something</span>"));
	/* With another run on the page each says which one it is of. */
	report.runs = realloc(report.runs, 2 * sizeof(*report.runs));
	assert_non_null(report.runs);
	memset(&report.runs[1], 0, sizeof(report.runs[1]));
	report.run_count = 2;
	read_text("", &report.runs[1]);
	several = write_page(&report);
	assert_non_null(
		strstr(place_of(several, "What tests left behind"), "left something \u00b7 run 2qb1pf9yg9</span>"));
}

static void test_report_tells_what_passes_only_when_fresh(void **state)
{
	owned_buffer journal = { 0 };
	owned_report report = { .run_count = 1 };
	owned_report nothing = { .run_count = 1 };
	owned_text page = NULL;
	owned_text other = NULL;
	const char *section;

	(void)state;
	report.runs = calloc(1, sizeof(*report.runs));
	nothing.runs = calloc(1, sizeof(*nothing.runs));
	add_begin(&journal);
	read_text(journal.bytes, nothing.runs);
	add_test(&journal, 10, "end", "leaks", 0, PASSED);
	add_test(&journal, 20, "end", "victim", 0, FAILED);
	add_test(&journal, 30, "end", "victim", 0, ",\"retry\":1,\"status\":\"passed\",\"ok\":true");
	add_test(&journal, 40, "end", "real", 0, FAILED);
	add_line(&journal, 50,
		 "\"type\":\"fresh\",\"test\":\"victim\",\"title\":\"title victim\",\"file\":\"a.js\",\"line\":3,"
		 "\"verdict\":\"passes only when fresh\",\"suspects\":[{\"test\":\"leaks\",\"title\":\"title leaks\","
		 "\"file\":\"a.js\",\"line\":9,\"left\":[\"A uploads\"]}],\"silent\":[{\"test\":\"quiet\",\"title\":"
		 "\"title quiet\",\"file\":\"a.js\",\"line\":12}],\"silent_missed\":2");
	add_line(&journal, 50,
		 "\"type\":\"fresh\",\"test\":\"real\",\"title\":\"title real\",\"file\":\"a.js\",\"line\":3,"
		 "\"verdict\":\"fails when fresh\",\"suspects\":[],\"silent\":[],\"silent_missed\":0");
	read_text(journal.bytes, report.runs);
	page = write_page(&report);
	assert_int_equal(count(page, "It passes only when fresh"), 1);
	assert_int_equal(count(page, "It fails in a fresh world as well"), 1);
	section = place_of(page, "<h2>Passes only when fresh</h2>");
	assert_int_equal(count(section, "class=\"fresh\""), 1);
	assert_non_null(strstr(section, "Suspected: <a href=\"#t0-0\">title leaks</a>"));
	assert_non_null(strstr(section, "<code>A uploads</code>"));
	assert_non_null(strstr(section, "<span>title quiet</span> <span class=\"dim\">a.js:12</span>"));
	assert_non_null(strstr(section, "and 2 more"));
	/* Nobody asked for it. */
	other = write_page(&nothing);
	assert_null(strstr(other, "only when fresh"));
	assert_null(strstr(other, "left behind"));
}

static void test_report_reads_damaged_journals(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"{\"at_ns\":-5,\"type\":\"run\"}",
		"{\"at_ns\":9223372036854775807,\"type\":\"world\",\"worker\":0,\"event\":\"start\"}",
		"{\"at_ns\":1795650000000000000,\"type\":\"world\",\"worker\":-9223372036854775808,\"event\":"
		"\"start\"}",
		"{\"at_ns\":1795650000000000000,\"type\":\"world\",\"worker\":100000,\"event\":\"start\"}",
		"{\"at_ns\":1795650000000000000,\"type\":\"runner\",\"line\":{\"type\":\"test\",\"id\":\"x\",\"slot\":"
		"-9223372036854775808,\"retry\":9223372036854775807,\"startedMs\":-1,\"durationMs\":"
		"9223372036854775807,"
		"\"event\":\"end\",\"line\":-7}}",
		"{\"at_ns\":1795650000000000000,\"type\":\"changes\",\"test\":\"x\",\"worker\":-1,\"files\":[7,{"
		"\"kind\":\"\","
		"\"path\":\"p\",\"at\":-3}]}",
		"{\"at_ns\":1795650000000000000,\"type\":\"rows\",\"test\":\"x\",\"worker\":-1,\"databases\":[1,{"
		"\"tables\":[2,"
		"{\"rows\":[3,{\"change\":4,\"before\":5}]}]}]}",
		"{\"at_ns\":1795650000000000000,\"type\":\"left\",\"worker\":-9223372036854775808,\"lines\":[1,\"x\"]}",
		"{\"at_ns\":1795650000000000000,\"type\":\"left\",\"lines\":7}",
		"{\"at_ns\":1795650000000000000,\"type\":\"fresh\",\"suspects\":[1,{}],\"silent\":{\"a\":1},"
		"\"silent_missed\":-1}",
		"{\"at_ns\":1795650000000000000,\"type\":\"run\",\"event\":\"end\",\"exit_code\":99999",
	};
	owned_report report = { 0 };
	owned_text page = NULL;
	owned_buffer out = { 0 };

	(void)state;
	report.runs = calloc(1, sizeof(*report.runs));
	report.run_count = 1;
	{
		owned_buffer journal = { 0 };

		for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
			text_buffer_format(&journal, "%s\n", lines[i]);
		read_text(journal.bytes, &report.runs[0]);
	}
	assert_int_equal(report.runs[0].test_count, 1);
	assert_int_equal(report.runs[0].tests[0].tries[0].worker, JOURNAL_RUNNER);
	page = write_page(&report);
	assert_non_null(strstr(page, "</html>"));
	report_write_junit(&report, &out);
	assert_true(xml_is_text(out.bytes, out.length));
}

/* ---- logs ---- */

static void write_at(int dirfd, const char *path, const char *text)
{
	owned_fd fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void remove_directory(const char *directory)
{
	owned_fd tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(tree_remove(tmp, directory + strlen("/tmp/"), NULL), 0);
}

/* T0 is 2026-11-25T23:40:00Z. */
static void test_report_shows_the_log_of_the_own_world_meanwhile(void **state)
{
	char directory[] = "/tmp/sbx-report.XXXXXX";
	owned_buffer journal = { 0 };
	owned_report report = { 0 };
	const struct report_try *try;
	owned_fd fd = -1;
	struct error error;

	(void)state;
	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	add_begin(&journal);
	add_line(&journal, 1, "\"type\":\"world\",\"worker\":0,\"event\":\"start\"");
	add_line(&journal, 1, "\"type\":\"world\",\"worker\":1,\"event\":\"start\"");
	add_test(&journal, 1000, "begin", "a", 1, ",\"retry\":0");
	add_test(&journal, 2000, "end", "a", 1, FAILED);
	write_at(fd, "events.jsonl", journal.bytes);
	assert_int_equal(mkdirat(fd, "w0", 0700), 0);
	assert_int_equal(mkdirat(fd, "w1", 0700), 0);
	write_at(fd, "w0/api", "2026-11-25T23:40:01.500000000Z stdout F of another world\n");
	write_at(fd, "w1/api",
		 "2026-11-25T23:40:00.999000000Z stdout F before\n"
		 "2026-11-25T23:40:01.000000000Z stdout F first\n"
		 "no record at all\n"
		 "2026-11-25T23:40:01.600000000Z stderr P a long \n"
		 "2026-11-25T23:40:01.700000000Z stderr F line\n"
		 "2026-11-25T23:40:02.000000000Z stdout F last\n"
		 "2026-11-25T23:40:02.001000000Z stdout F after\n");
	write_at(fd, "w1/db", "2026-11-25T23:40:01.100000000Z stdout F between\n");
	assert_int_equal(report_add_directory(&report, fd, directory, &error), 0);
	try = &report.runs[0].tests[0].tries[0];
	assert_int_equal(try->line_count, 4);
	assert_string_equal(try->lines[0].text, "first");
	assert_string_equal(try->lines[1].text, "between");
	assert_string_equal(try->lines[1].service, "db");
	assert_string_equal(try->lines[2].text, "a long line");
	assert_true(try->lines[2].is_error);
	assert_string_equal(try->lines[3].text, "last");
	remove_directory(directory);
}

static void test_report_shows_the_last_lines_of_many(void **state)
{
	char directory[] = "/tmp/sbx-report.XXXXXX";
	owned_buffer journal = { 0 };
	owned_buffer log = { 0 };
	owned_report report = { 0 };
	const struct report_try *try;
	owned_fd fd = -1;
	struct error error;

	(void)state;
	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	add_begin(&journal);
	add_line(&journal, 1, "\"type\":\"world\",\"worker\":0,\"event\":\"start\"");
	add_test(&journal, 0, "begin", "a", 0, ",\"retry\":0");
	add_test(&journal, 9000, "end", "a", 0, FAILED);
	write_at(fd, "events.jsonl", journal.bytes);
	assert_int_equal(mkdirat(fd, "w0", 0700), 0);
	for (unsigned i = 0; i < 5000; i++)
		text_buffer_format(&log, "2026-11-25T23:40:0%u.%03u000000Z stdout F line %u\n", i / 1000, i % 1000, i);
	write_at(fd, "w0/api", log.bytes);
	assert_int_equal(report_add_directory(&report, fd, directory, &error), 0);
	try = &report.runs[0].tests[0].tries[0];
	assert_int_equal(try->line_count, REPORT_LOG_LINES_MAX);
	assert_int_equal(try->lines_missed, 5000 - REPORT_LOG_LINES_MAX);
	assert_string_equal(try->lines[try->line_count - 1].text, "line 4999");
	remove_directory(directory);
}

static void test_report_names_what_is_no_run(void **state)
{
	char directory[] = "/tmp/sbx-report.XXXXXX";
	owned_report report = { 0 };
	owned_fd fd = -1;
	struct error error = { 0 };

	(void)state;
	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(report_add_directory(&report, fd, directory, &error), -ENOENT);
	assert_non_null(strstr(error.cause, "events.jsonl"));
	write_at(fd, "events.jsonl", "something else\n");
	assert_int_equal(report_add_directory(&report, fd, directory, &error), -EBADMSG);
	assert_int_equal(report.run_count, 0);
	remove_directory(directory);
}

/* ---- writing ---- */

static void assert_html(const char *text, const char *wanted)
{
	owned_buffer out = { 0 };

	text_buffer_add_text(&out, "");
	report_add_html(&out, text);
	assert_string_equal(out.bytes, wanted);
}

static void test_a_run_that_ended_red_has_a_red_heading(void **state)
{
	static const struct {
		const char *end;
		const char *heading;
	} runs[] = {
		{ "\"type\":\"run\",\"event\":\"end\",\"exit_code\":0", "<h1 class=\"passed\">" },
		/* All passed in the end, and --retry-fresh calls it red. */
		{ "\"type\":\"run\",\"event\":\"end\",\"exit_code\":1", "<h1 class=\"failed\">" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		owned_report report = { .run_count = 1 };
		owned_buffer journal = { 0 };
		owned_text page = NULL;

		report.runs = calloc(1, sizeof(*report.runs));
		add_begin(&journal);
		add_test(&journal, 350, "begin", "a", 0, ",\"retry\":0");
		add_test(&journal, 450, "end", "a", 0, PASSED);
		add_line(&journal, 1000, runs[i].end);
		read_text(journal.bytes, report.runs);
		page = write_page(&report);
		(void)place_of(page, runs[i].heading);
	}
}

static void test_report_escapes_for_html(void **state)
{
	(void)state;
	assert_html("</script><b a='\"&", "&lt;/script&gt;&lt;b a=&#39;&quot;&amp;");
	assert_html("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;http://x\x1b\\y \x1b(Bz", "red xy z");
	assert_html("\x1b[31", "");
	assert_html("\x1b", "");
	assert_html("\x1b]0;never ends", "");
	assert_html("a\r\nb\tc", "a\nb\tc");
	assert_html("\x01\x08\x7f", "\u2401\u2408\u2421");
	assert_html("\xff\xc3(", "\ufffd\ufffd(");
	assert_html("\u202egnp\u2066\xc2\x85", "\ufffdgnp\ufffd\ufffd");
	assert_html("\u00e9\U0001f600", "\u00e9\U0001f600");
}

static struct report make_hostile_report(void)
{
	static const char title[] = "</script><script>alert(1)</script>\\u001b[2J\\u202e\\udcff'\\\" onload=x ]]>&amp;";
	owned_buffer journal = { 0 };
	owned_text end = NULL;
	struct report report = { .run_count = 1 };

	add_begin(&journal);
	add_line(&journal, 5, "\"type\":\"world\",\"worker\":0,\"event\":\"start\"");
	end = text_format(
		"\"type\":\"runner\",\"line\":{\"type\":\"test\",\"event\":\"end\",\"id\":\"%s\",\"project\":\"%s\","
		"\"title\":\"%s\",\"file\":\"/srv/%s\",\"slot\":0,\"retry\":0,\"status\":\"%s\",\"ok\":false,"
		"\"message\":\"%s\",\"attachments\":[{\"name\":\"%s\",\"path\":\"javascript:%s\"},{\"name\":\"a\","
		"\"path\":\"/%s\"}]}",
		title, title, title, title, title, title, title, title, title);
	add_line(&journal, 10, end);
	text_free(&end);
	end = text_format("\"type\":\"kept\",\"worker\":0,\"test\":\"%s\",\"name\":\"%s\",\"databases\":[\"%s\"],"
			  "\"servers\":true",
			  title, title, title);
	add_line(&journal, 11, end);
	text_free(&end);
	end = text_format(
		"\"type\":\"rows\",\"worker\":0,\"test\":\"%s\",\"databases\":[{\"database\":\"%s\",\"tables\":"
		"[{\"name\":\"%s\",\"rows\":[{\"change\":\"inserted\",\"after\":{\"%s\":\"%s\"}}]}]}]",
		title, title, title, title, title);
	add_line(&journal, 12, end);
	text_free(&end);
	end = text_format(
		"\"type\":\"left\",\"worker\":0,\"sequence\":1,\"test\":\"%s\",\"title\":\"%s\",\"file\":\"%s\","
		"\"lines\":[\"%s\"]",
		title, title, title, title);
	add_line(&journal, 12, end);
	text_free(&end);
	end = text_format(
		"\"type\":\"fresh\",\"test\":\"%s\",\"title\":\"%s\",\"file\":\"%s\",\"verdict\":\"passes only "
		"when fresh\",\"suspects\":[{\"title\":\"%s\",\"file\":\"%s\",\"left\":[\"%s\"]}],\"silent\":"
		"[{\"title\":\"%s\",\"file\":\"%s\"}]",
		title, title, title, title, title, title, title, title);
	add_line(&journal, 12, end);
	text_free(&end);
	end = text_format("\"type\":\"world\",\"worker\":0,\"event\":\"crash\",\"detail\":\"%s\"", title);
	add_line(&journal, 13, end);
	report.runs = calloc(1, sizeof(*report.runs));
	read_text(journal.bytes, report.runs);
	return report;
}

static void test_report_page_holds_no_markup_of_others(void **state)
{
	owned_report report = make_hostile_report();
	owned_text page = write_page(&report);

	(void)state;
	assert_int_equal(report.runs[0].test_count, 1);
	assert_non_null(report.runs[0].tests[0].tries[0].kept);
	assert_int_equal(report.runs[0].left_count, 1);
	assert_int_equal(report.runs[0].fresh_count, 1);
	assert_int_equal(count(page, "<script"), 1);
	assert_int_equal(count(page, "</script"), 1);
	assert_int_equal(count(page, "<style"), 1);
	assert_null(strchr(page, '\x1b'));
	assert_null(strstr(page, "\u202e"));
	assert_null(strstr(page, "\" onload"));
	assert_null(strstr(page, "href=\"javascript"));
	assert_true(is_utf8(page));
	assert_non_null(strstr(page, "default-src 'none'"));
	/* What would be fetched: nothing. */
	assert_null(strstr(page, "http://"));
	assert_null(strstr(page, "https://"));
	assert_null(strstr(page, "src=\""));
	assert_int_equal(count(page, "url("), 0);
}

/* `sbx open` refuses one without servers: its command is not run again. */
static void test_report_offers_to_open_what_has_servers(void **state)
{
	static const char *const kept[] = { "", ",\"servers\":false", ",\"servers\":true" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		owned_buffer journal = { 0 };
		owned_text line =
			text_format("\"type\":\"kept\",\"worker\":1,\"test\":\"a\",\"name\":\"r.w1-1\"%s", kept[i]);
		owned_report report = { .run_count = 1 };
		owned_text page = NULL;

		add_begin(&journal);
		add_test(&journal, 10, "end", "a", 1, FAILED);
		add_line(&journal, 11, line);
		report.runs = calloc(1, sizeof(*report.runs));
		read_text(journal.bytes, report.runs);
		page = write_page(&report);
		assert_non_null(strstr(page, "sbx shell r.w1-1"));
		assert_int_equal(count(page, "sbx open r.w1-1"), i == 2);
	}
}

static void test_report_pages_have_a_nonce_of_their_own(void **state)
{
	owned_report report = make_hostile_report();
	owned_text first = write_page(&report);
	owned_text second = write_page(&report);

	(void)state;
	assert_string_not_equal(first, second);
}

static void test_report_json_is_read_again_as_it_was(void **state)
{
	owned_report report = make_hostile_report();
	owned_report again = { 0 };
	owned_buffer first = { 0 };
	owned_buffer second = { 0 };
	struct error error;

	(void)state;
	report_write_json(&report, &first);
	assert_int_equal(report_add_json(&again, first.bytes, first.length, "x", &error), 0);
	report_write_json(&again, &second);
	assert_string_equal(first.bytes, second.bytes);
	assert_int_equal(report_add_json(&again, "{\"version\":2,\"runs\":[]}", 23, "x", &error), -EBADMSG);
	assert_int_equal(report_add_json(&again, "{", 1, "x", &error), -EBADMSG);
}

static void test_report_junit_is_xml(void **state)
{
	owned_report report = make_hostile_report();
	owned_buffer out = { 0 };
	struct xml_token token;
	struct xml xml;
	unsigned cases = 0;
	int result;

	(void)state;
	report_write_junit(&report, &out);
	assert_true(xml_is_text(out.bytes, out.length));
	xml_begin(&xml, out.bytes, out.length);
	while ((result = xml_next(&xml, &token)) > 0)
		cases += token.kind == XML_OPEN && xml_is(&token, "testcase");
	assert_int_equal(result, 0);
	assert_int_equal(cases, 1);
	assert_non_null(strstr(out.bytes, "tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\""));
}

static void test_report_of_3000_tests_is_small(void **state)
{
	owned_buffer journal = { 0 };
	owned_report report = { .run_count = 1 };
	owned_text page = NULL;

	(void)state;
	add_begin(&journal);
	for (unsigned i = 0; i < 3000; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "%u", i);
		add_test(&journal, i * 10, "begin", id, i % 4, ",\"retry\":0");
		add_test(&journal, i * 10 + 9, "end", id, i % 4, PASSED);
	}
	report.runs = calloc(1, sizeof(*report.runs));
	read_text(journal.bytes, report.runs);
	assert_int_equal(report.runs[0].outcomes[REPORT_PASSED], 3000);
	page = write_page(&report);
	assert_int_equal(count(page, "class=\"row\""), 3000);
	assert_true(strlen(page) < 3000 * 1000);
}

/* ---- runs ---- */

static void test_runs_go_by_age_and_number(void **state)
{
	struct runs_entry entry = { .has_journal = true, .changed_ns = 1 };
	int64_t day = INT64_C(86400) * 1000000000;

	(void)state;
	assert_false(runs_is_prunable(&entry, 0, RUNS_PRUNE_OLD, RUNS_DAYS_MAX * day));
	assert_true(runs_is_prunable(&entry, 0, RUNS_PRUNE_OLD, RUNS_DAYS_MAX * day + 2));
	assert_false(runs_is_prunable(&entry, RUNS_KEPT_MAX - 1, RUNS_PRUNE_OLD, 1));
	assert_true(runs_is_prunable(&entry, RUNS_KEPT_MAX, RUNS_PRUNE_OLD, 1));
	assert_true(runs_is_prunable(&entry, 0, RUNS_PRUNE_ALL, 1));
	entry.has_journal = false;
	assert_true(runs_is_prunable(&entry, 0, RUNS_PRUNE_OLD, 1));
	entry.is_live = true;
	assert_false(runs_is_prunable(&entry, 0, RUNS_PRUNE_ALL, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_tells_outcomes_by_their_tries),
		cmocka_unit_test(test_report_tells_what_worlds_did),
		cmocka_unit_test(test_report_draws_all_that_worlds_do),
		cmocka_unit_test(test_report_takes_no_runners_line_for_the_supervisors),
		cmocka_unit_test(test_report_gives_a_red_try_what_belongs_to_it),
		cmocka_unit_test(test_report_tells_what_tests_left_by_file_and_time),
		cmocka_unit_test(test_report_tells_what_passes_only_when_fresh),
		cmocka_unit_test(test_report_reads_damaged_journals),
		cmocka_unit_test(test_report_shows_the_log_of_the_own_world_meanwhile),
		cmocka_unit_test(test_report_shows_the_last_lines_of_many),
		cmocka_unit_test(test_report_names_what_is_no_run),
		cmocka_unit_test(test_a_run_that_ended_red_has_a_red_heading),
		cmocka_unit_test(test_report_escapes_for_html),
		cmocka_unit_test(test_report_page_holds_no_markup_of_others),
		cmocka_unit_test(test_report_offers_to_open_what_has_servers),
		cmocka_unit_test(test_report_pages_have_a_nonce_of_their_own),
		cmocka_unit_test(test_report_json_is_read_again_as_it_was),
		cmocka_unit_test(test_report_junit_is_xml),
		cmocka_unit_test(test_report_of_3000_tests_is_small),
		cmocka_unit_test(test_runs_go_by_age_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
