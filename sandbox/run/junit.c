/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/junit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/xml.h"

/* ---- JUnit: as it is ---- */

static void count_token(const struct xml_token *token, struct junit_sum *sum)
{
	if (token->kind != XML_OPEN)
		return;
	sum->tests += xml_is(token, "testcase");
	sum->failures += xml_is(token, "failure");
	sum->errors += xml_is(token, "error");
	sum->skipped += xml_is(token, "skipped");
}

/* @suites_depth  1: the root is a suite; 2: what is right in the root is one */
static int add_suites(struct xml *xml, struct xml_token token, unsigned suites_depth, struct text_buffer *out,
		      struct junit_sum *sum)
{
	size_t start = 0;
	bool is_inside = false;
	int result = 1;

	for (; result > 0; result = xml_next(xml, &token)) {
		if (is_inside)
			count_token(&token, sum);
		if (token.depth != suites_depth || !xml_is(&token, "testsuite"))
			continue;
		is_inside = token.kind == XML_OPEN;
		if (is_inside) {
			start = token.start;
			continue;
		}
		text_buffer_add(out, xml->text + start, token.end - start);
		text_buffer_add_text(out, "\n");
	}
	return result;
}

/* ---- TRX ---- */

/* Which class a test is of: by its id, in the definitions behind the results. */
struct definitions {
	struct text_list ids;
	struct text_list classes;
};

static const char *find_class(const struct definitions *definitions, const char *id)
{
	for (size_t i = 0; id && i < definitions->ids.count; i++)
		if (text_equal(definitions->ids.items[i], id))
			return definitions->classes.items[i];
	return "";
}

static int read_definitions(const char *text, size_t size, struct definitions *definitions)
{
	struct xml xml;
	struct xml_token token;
	owned_text id = NULL;
	int result;

	xml_begin(&xml, text, size);
	while ((result = xml_next(&xml, &token)) > 0) {
		if (token.kind != XML_OPEN)
			continue;
		if (xml_is(&token, "UnitTest")) {
			text_free(&id);
			id = xml_attribute(&xml, &token, "id");
		} else if (xml_is(&token, "TestMethod") && id) {
			owned_text name = xml_attribute(&xml, &token, "className");

			text_list_take(&definitions->ids, id);
			id = NULL;
			text_list_add(&definitions->classes, name ? name : "");
		}
	}
	return result;
}

struct trx_result {
	char *name;
	char *outcome;
	char *duration;
	char *id;
	struct text_buffer message;
	struct text_buffer stack;
	struct text_buffer output;
};

static void trx_result_release(struct trx_result *result)
{
	text_free(&result->name);
	text_free(&result->outcome);
	text_free(&result->duration);
	text_free(&result->id);
	text_buffer_release(&result->message);
	text_buffer_release(&result->stack);
	text_buffer_release(&result->output);
	*result = (struct trx_result){ 0 };
}

/* "00:01:02.5000000" in seconds. */
static double seconds_of(const char *duration)
{
	unsigned hours = 0;
	unsigned minutes = 0;
	double seconds = 0;

	if (!duration || sscanf(duration, "%3u:%2u:%12lf", &hours, &minutes, &seconds) != 3)
		return 0;
	return hours * 3600.0 + minutes * 60.0 + seconds;
}

static void add_attribute(struct text_buffer *out, const char *name, const char *value)
{
	text_buffer_format(out, " %s=\"", name);
	xml_add_escaped(out, value, strlen(value));
	text_buffer_add_text(out, "\"");
}

static void add_element(struct text_buffer *out, const char *name, const struct text_buffer *content)
{
	if (content->length == 0)
		return;
	text_buffer_format(out, "<%s>", name);
	xml_add_escaped(out, content->bytes, content->length);
	text_buffer_format(out, "</%s>", name);
}

/* Passed; NotExecuted and what is not run for its kind; all else is red. */
static void add_outcome(struct text_buffer *out, const struct trx_result *result, struct junit_sum *sum)
{
	static const char *const skipped[] = { "NotExecuted", "Inconclusive", "NotRunnable", "Pending" };

	if (!result->outcome || text_equal(result->outcome, "Passed") ||
	    text_equal(result->outcome, "PassedButRunAborted") || text_equal(result->outcome, "Warning"))
		return;
	for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++)
		if (text_equal(result->outcome, skipped[i])) {
			sum->skipped++;
			text_buffer_add_text(out, "<skipped/>");
			return;
		}
	sum->failures++;
	text_buffer_add_text(out, "<failure");
	add_attribute(out, "message", result->message.bytes ? result->message.bytes : result->outcome);
	text_buffer_add_text(out, ">");
	if (result->stack.length > 0)
		xml_add_escaped(out, result->stack.bytes, result->stack.length);
	text_buffer_add_text(out, "</failure>");
}

static void add_trx_case(struct text_buffer *out, const struct trx_result *result,
			 const struct definitions *definitions, struct junit_sum *sum)
{
	sum->tests++;
	text_buffer_add_text(out, "<testcase");
	add_attribute(out, "name", result->name ? result->name : "");
	add_attribute(out, "classname", find_class(definitions, result->id));
	text_buffer_format(out, " time=\"%.3f\">", seconds_of(result->duration));
	add_outcome(out, result, sum);
	add_element(out, "system-out", &result->output);
	text_buffer_add_text(out, "</testcase>\n");
}

static void begin_result(const struct xml *xml, const struct xml_token *token, struct trx_result *result)
{
	result->name = xml_attribute(xml, token, "testName");
	result->outcome = xml_attribute(xml, token, "outcome");
	result->duration = xml_attribute(xml, token, "duration");
	result->id = xml_attribute(xml, token, "testId");
}

static int add_trx_cases(const char *text, size_t size, const struct definitions *definitions, struct text_buffer *out,
			 struct junit_sum *sum)
{
	struct xml xml;
	struct xml_token token;
	struct trx_result current = { 0 };
	struct text_buffer *target = NULL;
	unsigned depth = 0; /* of the result that is open */
	int result;

	xml_begin(&xml, text, size);
	while ((result = xml_next(&xml, &token)) > 0) {
		if (token.kind == XML_TEXT && target && depth) {
			xml_add_decoded(&xml, &token, target);
		} else if (token.kind == XML_OPEN && xml_is(&token, "UnitTestResult") && depth == 0) {
			begin_result(&xml, &token, &current);
			depth = token.depth;
		} else if (token.kind == XML_OPEN) {
			target = xml_is(&token, "Message")	? &current.message
				 : xml_is(&token, "StackTrace") ? &current.stack
				 : xml_is(&token, "StdOut")	? &current.output
								: NULL;
		} else if (token.kind == XML_CLOSE) {
			target = NULL;
			if (depth == 0 || token.depth != depth)
				continue;
			add_trx_case(out, &current, definitions, sum);
			trx_result_release(&current);
			depth = 0;
		}
	}
	trx_result_release(&current);
	return result;
}

static void begin_suite(struct text_buffer *out, const char *name, const struct junit_sum *sum)
{
	text_buffer_add_text(out, "<testsuite");
	add_attribute(out, "name", name);
	text_buffer_format(out, " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n", sum->tests,
			   sum->failures, sum->errors, sum->skipped);
}

static void add_sum(struct junit_sum *sum, const struct junit_sum *more)
{
	sum->tests += more->tests;
	sum->failures += more->failures;
	sum->errors += more->errors;
	sum->skipped += more->skipped;
}

static int add_trx(const char *text, size_t size, const char *name, struct text_buffer *out, struct junit_sum *sum)
{
	struct definitions definitions = { 0 };
	owned_buffer cases = { 0 };
	struct junit_sum own = { 0 };
	int result = read_definitions(text, size, &definitions);

	if (result == 0)
		result = add_trx_cases(text, size, &definitions, &cases, &own);
	text_list_release(&definitions.ids);
	text_list_release(&definitions.classes);
	if (result < 0)
		return result;
	begin_suite(out, name ? name : "", &own);
	text_buffer_add(out, cases.bytes ? cases.bytes : "", cases.length);
	text_buffer_add_text(out, "</testsuite>\n");
	add_sum(sum, &own);
	return 0;
}

/* ---- one report ---- */

static int add_junit(struct xml *xml, const struct xml_token *root, struct text_buffer *out, struct junit_sum *sum)
{
	owned_buffer suites = { 0 };
	struct junit_sum own = { 0 };
	int result = add_suites(xml, *root, xml_is(root, "testsuite") ? 1 : 2, &suites, &own);

	if (result < 0)
		return result;
	text_buffer_add(out, suites.bytes ? suites.bytes : "", suites.length);
	add_sum(sum, &own);
	return 0;
}

int junit_add_report(const char *text, size_t size, struct text_buffer *out, struct junit_sum *sum)
{
	struct xml xml;
	struct xml_token root;
	int result;

	xml_begin(&xml, text, size);
	result = xml_next(&xml, &root);
	if (result <= 0)
		return -EBADMSG;
	if (!xml_is(&root, "testsuites") && !xml_is(&root, "testsuite") && !xml_is(&root, "TestRun"))
		return 0;
	/* It goes on in a file that says it is. */
	if (!xml_is_text(text, size))
		return -EBADMSG;
	if (xml_is(&root, "TestRun")) {
		owned_text name = xml_attribute(&xml, &root, "name");

		result = add_trx(text, size, name, out, sum);
	} else {
		result = add_junit(&xml, &root, out, sum);
	}
	return result < 0 ? result : 1;
}

/* ---- all of them ---- */

static bool is_since(const struct stat *status, const struct timespec *since)
{
	return status->st_ctim.tv_sec > since->tv_sec ||
	       (status->st_ctim.tv_sec == since->tv_sec && status->st_ctim.tv_nsec >= since->tv_nsec);
}

static bool is_report_name(const char *name)
{
	return text_ends_with(name, ".xml") || text_ends_with(name, ".trx");
}

static void list_files(const struct junit_options *options, const char *directory, unsigned depth,
		       struct text_list *files)
{
	struct dirent **entries = NULL;
	int count = depth > JUNIT_DIRECTORIES_DEEP_MAX ? 0 : scandir(directory, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		owned_text path = path_join(directory, entries[i]->d_name);
		struct stat status;

		if (!text_equal(entries[i]->d_name, ".") && !text_equal(entries[i]->d_name, "..") &&
		    lstat(path, &status) == 0 && files->count < JUNIT_FILES_MAX) {
			if (S_ISDIR(status.st_mode))
				list_files(options, path, depth + 1, files);
			else if (S_ISREG(status.st_mode) && is_report_name(entries[i]->d_name) &&
				 is_since(&status, &options->since) && !text_equal(path, options->path))
				text_list_add(files, path);
		}
		free(entries[i]);
	}
	free(entries);
}

static void say_unread(const struct junit_options *options, const char *path, int number)
{
	char shown[512];
	owned_text line = NULL;

	text_escape(shown, sizeof(shown), path);
	line = text_format("report not merged: %s: %s", shown,
			   number == EBADMSG ? "it is not whole, or holds what XML cannot" : strerror(number));
	options->say(line);
}

/* @return whether there was a report */
static bool add_files(const struct junit_options *options, const struct text_list *files, struct text_buffer *suites,
		      struct junit_sum *sum)
{
	bool has_report = false;

	for (size_t i = 0; i < files->count; i++) {
		owned_text text = NULL;
		size_t size = 0;
		int result = fd_read_file(AT_FDCWD, files->items[i], JUNIT_FILE_SIZE_MAX, &text, &size);

		if (result == 0)
			result = junit_add_report(text, size, suites, sum);
		if (result < 0)
			say_unread(options, files->items[i], -result);
		has_report = has_report || result > 0;
	}
	return has_report;
}

static void add_case(const struct junit_case *one, struct text_buffer *out)
{
	text_buffer_add_text(out, "<testcase");
	add_attribute(out, "name", one->name);
	add_attribute(out, "classname", "sbx.items");
	text_buffer_format(out, " time=\"%llu.%03llu\">", (unsigned long long)one->ms / 1000,
			   (unsigned long long)one->ms % 1000);
	if (!one->is_ok) {
		text_buffer_add_text(out, "<failure");
		add_attribute(out, "message", one->message);
		text_buffer_add_text(out, ">");
		xml_add_escaped(out, one->output ? one->output : "", one->output_size);
		text_buffer_add_text(out, "</failure>");
	}
	text_buffer_add_text(out, "</testcase>\n");
}

static void add_cases(const struct junit_options *options, bool has_report, struct text_buffer *suites,
		      struct junit_sum *sum)
{
	struct junit_sum own = { 0 };
	owned_buffer cases = { 0 };
	unsigned failed = 0;

	for (size_t i = 0; i < options->case_count; i++)
		failed += !options->cases[i].is_ok;
	if (has_report && sum->failures + sum->errors >= failed)
		return;
	for (size_t i = 0; i < options->case_count; i++) {
		if (has_report && options->cases[i].is_ok)
			continue;
		add_case(&options->cases[i], &cases);
		own.tests++;
		own.failures += !options->cases[i].is_ok;
	}
	begin_suite(suites, "sbx", &own);
	text_buffer_add(suites, cases.bytes ? cases.bytes : "", cases.length);
	text_buffer_add_text(suites, "</testsuite>\n");
	add_sum(sum, &own);
}

static int write_report(const char *path, const struct text_buffer *suites, const struct junit_sum *sum,
			struct error *error)
{
	owned_buffer text = { 0 };
	owned_text parent = path_parent(path);
	int result = path_make_directories(AT_FDCWD, parent, 0755);
	owned_fd fd = result < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (result == 0 && fd < 0)
		result = -errno;
	text_buffer_format(&text,
			   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			   "<testsuites tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n",
			   sum->tests, sum->failures, sum->errors, sum->skipped);
	text_buffer_add(&text, suites->bytes ? suites->bytes : "", suites->length);
	text_buffer_add_text(&text, "</testsuites>\n");
	if (result == 0)
		result = fd_write_all(fd, text.bytes, text.length);
	return result < 0 ? error_set(error, .number = -result, .step = "write the report", .object = path) : 0;
}

int junit_write(const struct junit_options *options, struct error *error)
{
	owned_buffer suites = { 0 };
	owned_list files = { 0 };
	struct junit_sum sum = { 0 };
	bool has_report;

	for (size_t i = 0; i < options->directories->count; i++)
		list_files(options, options->directories->items[i], 0, &files);
	has_report = add_files(options, &files, &suites, &sum);
	add_cases(options, has_report, &suites, &sum);
	return write_report(options->path, &suites, &sum, error);
}
