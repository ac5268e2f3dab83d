/* SPDX-License-Identifier: Apache-2.0 */
/* A report as JUnit, in the words that its readers share: a suite for each file of each run, a case for each test. The
 * world stands in a property of the case, and of red ones the log of the world's services in system-out. */
#include <string.h>

#include "base/table.h"
#include "base/xml.h"
#include "sandbox/run/report.h"

static void add_attribute(struct text_buffer *out, const char *name, const char *value)
{
	text_buffer_format(out, " %s=\"", name);
	xml_add_escaped(out, value, strlen(value));
	text_buffer_add_text(out, "\"");
}

static void add_property(struct text_buffer *out, const char *name, const char *value)
{
	text_buffer_add_text(out, "<property");
	add_attribute(out, "name", name);
	add_attribute(out, "value", value);
	text_buffer_add_text(out, "/>");
}

static void add_failure(struct text_buffer *out, const struct report_try *try, const char *element)
{
	const char *message = try->message ? try->message : try->status ? try->status : "it never ended";
	const char *end = strchr(message, '\n');
	owned_text first = text_format("%.*s", (int)(end ? end - message : (long)strlen(message)), message);

	text_buffer_format(out, "<%s", element);
	add_attribute(out, "message", first);
	text_buffer_add_text(out, ">");
	xml_add_escaped(out, message, strlen(message));
	text_buffer_format(out, "</%s>", element);
}

static void add_log(struct text_buffer *out, const struct report_try *try)
{
	if (try->line_count == 0)
		return;
	text_buffer_add_text(out, "<system-out>");
	for (size_t i = 0; i < try->line_count; i++) {
		xml_add_escaped(out, try->lines[i].service, strlen(try->lines[i].service));
		text_buffer_add_text(out, ": ");
		xml_add_escaped(out, try->lines[i].text, strlen(try->lines[i].text));
		text_buffer_add_text(out, "\n");
	}
	text_buffer_add_text(out, "</system-out>");
}

static void add_case(struct text_buffer *out, const struct report_test *test)
{
	const struct report_try *last = &test->tries[test->try_count - 1];
	owned_text class = text_format("%s%s%s", test->project, test->project[0] ? " " : "", test->file);
	char worker[REPORT_WORKER_SIZE];
	int64_t ms = report_test_ms(test);

	text_buffer_add_text(out, "<testcase");
	add_attribute(out, "name", test->title);
	add_attribute(out, "classname", class);
	add_attribute(out, "file", test->file);
	text_buffer_format(out, " line=\"%lld\" time=\"%lld.%03lld\"><properties>", (long long)test->line,
			   (long long)ms / 1000, (long long)ms % 1000);
	add_property(out, "sbx.worker", report_worker_word(last->worker, worker));
	if (last->kept)
		add_property(out, "sbx.kept", last->kept);
	text_buffer_add_text(out, "</properties>");
	switch (test->outcome) {
	case REPORT_FAILED:
		add_failure(out, last, "failure");
		break;
	case REPORT_UNFINISHED:
		add_failure(out, last, "error");
		break;
	case REPORT_FLAKY:
		/* Surefire's element, which is no failure to those who do not know it. */
		for (size_t i = 0; i + 1 < test->try_count; i++)
			if (!test->tries[i].ok)
				add_failure(out, &test->tries[i], "flakyFailure");
		break;
	case REPORT_SKIPPED:
		text_buffer_add_text(out, "<skipped/>");
		break;
	default:
		break;
	}
	add_log(out, last);
	text_buffer_add_text(out, "</testcase>\n");
}

static void add_counts(struct text_buffer *out, const unsigned outcomes[static REPORT_OUTCOMES])
{
	unsigned tests = 0;

	for (size_t i = 0; i < REPORT_OUTCOMES; i++)
		tests += outcomes[i];
	text_buffer_format(out, " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\"", tests,
			   outcomes[REPORT_FAILED], outcomes[REPORT_UNFINISHED], outcomes[REPORT_SKIPPED]);
}

static void add_suite(struct text_buffer *out, const struct report_run *run, size_t from, size_t to)
{
	unsigned outcomes[REPORT_OUTCOMES] = { 0 };
	char time[TABLE_TIME_SIZE];
	int64_t ms = 0;

	for (size_t i = from; i < to; i++) {
		outcomes[run->tests[i].outcome]++;
		ms += report_test_ms(&run->tests[i]);
	}
	text_buffer_add_text(out, "<testsuite");
	add_attribute(out, "name", run->tests[from].file);
	add_counts(out, outcomes);
	add_attribute(out, "timestamp", table_time(run->start_ms * 1000000, time));
	if (run->host)
		add_attribute(out, "hostname", run->host);
	text_buffer_format(out, " time=\"%lld.%03lld\"><properties>", (long long)ms / 1000, (long long)ms % 1000);
	add_property(out, "sbx.run", run->id);
	if (run->shard)
		add_property(out, "sbx.shard", run->shard);
	text_buffer_add_text(out, "</properties>\n");
	for (size_t i = from; i < to; i++)
		add_case(out, &run->tests[i]);
	text_buffer_add_text(out, "</testsuite>\n");
}

void report_write_junit(const struct report *report, struct text_buffer *out)
{
	unsigned outcomes[REPORT_OUTCOMES];

	report_count(report, outcomes);
	text_buffer_add_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
	add_counts(out, outcomes);
	text_buffer_add_text(out, ">\n");
	for (size_t i = 0; i < report->run_count; i++) {
		const struct report_run *run = &report->runs[i];
		size_t from = 0;

		for (size_t j = 1; j <= run->test_count; j++)
			if (j == run->test_count || !text_equal(run->tests[j].file, run->tests[from].file)) {
				add_suite(out, run, from, j);
				from = j;
			}
	}
	text_buffer_add_text(out, "</testsuites>\n");
}
