/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/why.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"

#define SEPARATOR " › " /* of Playwright's titles */

enum {
	ALONE_RUNS = 3,		       /* that must all be green before a test counts as green alone */
	PATTERN_BYTES_MAX = 100 << 10, /* an argument may have 128 KiB, execve(2) */
	RUNS_MAX = 64,
};

/* A test by what does not change between runs. */
struct place {
	char *file;
	char *title;
	int64_t line;
	bool ok; /* in the run that was asked for */
};

struct place_list {
	struct place *items;
	size_t count;
};

/* One run of the suite, as it is heard. */
struct trial {
	const char *wanted;	     /* a plain title, while the test is not known yet */
	const struct place *subject; /* it, once it is */
	struct place_list seen;	     /* in order, without those that always run (setup projects) */
	struct place_list found;     /* that fit `wanted` */
	bool has_ended;		     /* the subject has */
	bool ok;
};

static void release_places(struct place_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		text_free(&list->items[i].file);
		text_free(&list->items[i].title);
	}
	free(list->items);
	*list = (struct place_list){ 0 };
}

static void add_place(struct place_list *list, const struct events_test *test)
{
	list->items = reallocarray(list->items, list->count + 1, sizeof(*list->items));
	if (!list->items)
		abort();
	list->items[list->count++] = (struct place){ .file = text_duplicate(test->file),
						     .title = text_duplicate(test->title),
						     .line = test->line,
						     .ok = test->ok };
}

static bool is_at(const struct place *place, const struct events_test *test)
{
	return place->line == test->line && text_equal(place->file, test->file) &&
	       text_equal(place->title, test->title);
}

/* ---- titles ---- */

/* "FILE:12:3" */
static bool is_location(const char *text, size_t length)
{
	size_t end = length;
	unsigned numbers = 0;

	while (numbers < 2) {
		size_t digits = end;

		while (digits > 0 && isdigit((unsigned char)text[digits - 1]))
			digits--;
		if (digits == end || digits == 0 || text[digits - 1] != ':')
			break;
		end = digits - 1;
		numbers++;
	}
	/* A file has an extension; "ships at 10:30" has none. */
	while (end > 0 && isalpha((unsigned char)text[end - 1]))
		end--;
	return numbers > 0 && end > 0 && text[end - 1] == '.';
}

char *why_plain_title(const char *shown)
{
	const char *separator;

	while (isspace((unsigned char)*shown))
		shown++;
	while ((separator = strstr(shown, SEPARATOR)) != NULL &&
	       (shown[0] == '[' || is_location(shown, (size_t)(separator - shown))))
		shown = separator + strlen(SEPARATOR);
	return text_duplicate(shown);
}

static void add_escaped(struct text_buffer *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (strchr("\\^$.|?*+()[]{}/-", text[i]))
			text_buffer_add_text(out, "\\");
		text_buffer_add(out, &text[i], 1);
	}
}

/* Playwright compares with "PROJECT FILE DESCRIBE TITLE", where tags may stand behind each part. */
char *why_pattern(const char *file, const char *title)
{
	owned_buffer out = { 0 };
	const char *separator;

	text_buffer_add_text(&out, "(?:^|[ /])");
	add_escaped(&out, path_name(file), strlen(path_name(file)));
	for (;;) {
		separator = strstr(title, SEPARATOR);
		text_buffer_add_text(&out, "(?: @\\S+)* ");
		add_escaped(&out, title, separator ? (size_t)(separator - title) : strlen(title));
		if (!separator)
			break;
		title = separator + strlen(SEPARATOR);
	}
	text_buffer_add_text(&out, "(?: @\\S+)*$");
	return text_duplicate(out.bytes);
}

static bool fits(const char *title, const char *wanted)
{
	return text_equal(title, wanted) ||
	       (text_ends_with(title, wanted) && strlen(title) > strlen(wanted) + strlen(SEPARATOR) &&
		memcmp(title + strlen(title) - strlen(wanted) - strlen(SEPARATOR), SEPARATOR, strlen(SEPARATOR)) == 0);
}

/* ---- one run ---- */

static bool hear_test(void *argument, const struct events_test *test)
{
	struct trial *trial = argument;

	/* After the subject there is only what ends with the run. */
	if (test->slot < 0 || (trial->subject && trial->has_ended))
		return true;
	if (trial->subject ? is_at(trial->subject, test) : fits(test->title, trial->wanted)) {
		if (!trial->subject)
			add_place(&trial->found, test);
		trial->has_ended = true;
		trial->ok = test->ok;
		return !trial->subject;
	}
	add_place(&trial->seen, test);
	return true;
}

/* What the suite prints goes to a file: it is shown only if nothing came of the run. */
struct hidden_output {
	int saved[2];
	int fd;
};

static int hide_output(struct hidden_output *hidden, struct error *error)
{
	hidden->fd = open(P_tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	for (int i = 0; i < 2; i++)
		hidden->saved[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
	if (hidden->fd < 0 || dup3(hidden->fd, STDOUT_FILENO, O_CLOEXEC) < 0 ||
	    dup3(hidden->fd, STDERR_FILENO, O_CLOEXEC) < 0)
		return error_set(error, .number = errno, .step = "put the suite's output aside", .object = P_tmpdir);
	return 0;
}

static void show_output(struct hidden_output *hidden)
{
	for (int i = 0; i < 2; i++) {
		if (hidden->saved[i] >= 0)
			(void)dup3(hidden->saved[i], i + 1, O_CLOEXEC); /* handed on as a descriptor, never by exec */
		fd_close(&hidden->saved[i]);
	}
}

static void print_output(const struct hidden_output *hidden)
{
	char bytes[16 << 10];
	off_t at = 0;
	ssize_t got;

	while ((got = pread(hidden->fd, bytes, sizeof(bytes), at)) > 0) {
		(void)fd_write_all(STDERR_FILENO, bytes, (size_t)got);
		at += got;
	}
}

/* @pattern  NULL: the whole suite, up to the subject */
static int try(const struct why_options *options, const char *pattern, struct trial *trial, struct error *error)
{
	struct run_options run = *options->run;
	struct hidden_output hidden = { .saved = { -1, -1 }, .fd = -1 };
	owned_list arguments = { 0 };
	int exit_code = 0;
	int result = hide_output(&hidden, error);

	text_list_add(&arguments, "--retries=0");
	if (pattern)
		text_list_take(&arguments, text_format("--grep=%s", pattern));
	run.workers = 1;
	run.arguments = &arguments;
	run.hear_test = hear_test;
	run.argument = trial;
	run.without_artifacts = true;
	if (result == 0)
		result = run_suite(&run, &exit_code, error);
	show_output(&hidden);
	if (result == 0 && !trial->has_ended) {
		print_output(&hidden);
		result = error_set(error, .number = ENOENT, .step = "find out about the test",
				   .object = trial->subject ? trial->subject->title : trial->wanted,
				   .cause = "it did not run: there is no such test, or the suite ended before it",
				   .remedy = "write the title as the report shows it");
	}
	fd_close(&hidden.fd);
	return result;
}

/* ---- the search ---- */

static int try_after(const struct why_options *options, const struct place *subject, const struct place_list *before,
		     size_t from, size_t to, bool *ret_ok, struct error *error)
{
	struct trial trial = { .subject = subject };
	owned_buffer pattern = { 0 };
	int result;

	for (size_t i = from; i < to; i++) {
		owned_text one = why_pattern(before->items[i].file, before->items[i].title);

		text_buffer_format(&pattern, "(?:%s)|", one);
	}
	owned_text own = why_pattern(subject->file, subject->title);
	text_buffer_format(&pattern, "(?:%s)", own);
	if (pattern.length > PATTERN_BYTES_MAX)
		return error_set(error, .number = E2BIG, .step = "choose the tests to run",
				 .cause = "too many come before this one",
				 .remedy = "let the runner's command name fewer files");
	result = try(options, pattern.bytes, &trial, error);
	release_places(&trial.seen);
	if (result == 0)
		*ret_ok = trial.ok;
	return result;
}

/* Which of the tests before it make it what it is after all of them. @ret_from, @ret_to  one, or as few as are needed
 * together */
static int narrow(const struct why_options *options, const struct place *subject, const struct place_list *before,
		  bool ok, size_t *ret_from, size_t *ret_to, struct error *error)
{
	size_t from = 0;
	size_t to = before->count;

	for (unsigned run = 0; to - from > 1 && run < RUNS_MAX; run++) {
		size_t middle = from + (to - from) / 2;
		owned_text line = text_format("%zu tests could be it: trying %zu of them", to - from,
					      ok ? middle - from : to - middle);
		bool is_of_first_half;
		bool is_so = false;
		int result;

		options->say(line);
		/* A row that is needed was made by the first that could; one that is met, left by the last. */
		result = try_after(options, subject, before, ok ? from : middle, ok ? middle : to, &is_so, error);
		is_of_first_half = ok;
		if (result == 0 && is_so != ok) {
			result = try_after(options, subject, before, ok ? middle : from, ok ? to : middle, &is_so,
					   error);
			is_of_first_half = !ok;
		}
		if (result < 0)
			return result;
		if (is_so != ok)
			break; /* some of both halves together */
		if (is_of_first_half)
			to = middle;
		else
			from = middle;
	}
	*ret_from = from;
	*ret_to = to;
	return 0;
}

/* As one would type it. */
static const char *below_here(const char *path)
{
	char here[PATH_MAX];

	return getcwd(here, sizeof(here)) && path_is_below(path, here) && path_below(path, here)[0]
		       ? path_below(path, here)
		       : path;
}

static char *describe_places(const struct place_list *before, size_t from, size_t to)
{
	const struct place *first = &before->items[from];
	const struct place *last = &before->items[to - 1];

	if (to - from == 1)
		return text_format("%s:%lld: %s", below_here(first->file), (long long)first->line, first->title);
	return text_format("several of the %zu tests from %s:%lld to %s:%lld", to - from, below_here(first->file),
			   (long long)first->line, below_here(last->file), (long long)last->line);
}

static int check_unique(const struct place_list *found, struct error *error)
{
	owned_buffer places = { 0 };

	for (size_t i = 0; i < found->count; i++)
		if (found->items[i].line != found->items[0].line ||
		    !text_equal(found->items[i].file, found->items[0].file))
			text_buffer_format(&places, "%s%s:%lld", places.length ? ", " : "", found->items[i].file,
					   (long long)found->items[i].line);
	if (places.length == 0)
		return 0;
	owned_text remedy = text_format("write the describe before it, or name one project: %s:%lld, %s",
					found->items[0].file, (long long)found->items[0].line, places.bytes);
	return error_set(error, .number = ENOTUNIQ, .step = "find out about the test", .object = found->items[0].title,
			 .cause = "several tests have that title", .remedy = remedy);
}

/* Alone, in a new world: several times, as long as it is green. */
static int try_alone(const struct why_options *options, const struct place *subject, bool first, bool *is_flaky,
		     struct error *error)
{
	for (unsigned i = 1; first && i < ALONE_RUNS && !*is_flaky; i++) {
		bool again = false;
		int result = try_after(options, subject, NULL, 0, 0, &again, error);

		if (result < 0)
			return result;
		*is_flaky = again != first;
	}
	return 0;
}

static int compare(const struct why_options *options, const struct place *subject, bool alone, char **ret_verdict,
		   struct error *error)
{
	struct trial serial = { .subject = subject };
	bool is_flaky = false;
	owned_text line = NULL;
	size_t from = 0;
	size_t to = 0;
	int result = try(options, NULL, &serial, error);

	if (result == 0) {
		line = text_format("after the %zu tests that come before it: %s", serial.seen.count,
				   serial.ok ? "passed" : "failed");
		options->say(line);
	}
	if (result == 0 && alone && serial.ok)
		result = try_alone(options, subject, alone, &is_flaky, error);
	if (result == 0 && alone != serial.ok && serial.seen.count > 0)
		result = narrow(options, subject, &serial.seen, serial.ok, &from, &to, error);
	if (result == 0) {
		owned_text places = to > from ? describe_places(&serial.seen, from, to) : text_duplicate("nobody");

		if (alone == serial.ok)
			*ret_verdict = alone ? text_format("flaky: it passes alone, and after those before it%s",
							   is_flaky ? ", but not each time" : "")
					     : text_duplicate("real: it fails alone, and after those before it");
		else
			*ret_verdict = text_format("%s rows %s by %s", alone ? "meets" : "needs",
						   alone ? "left" : "made", places);
	}
	release_places(&serial.seen);
	return result;
}

int why_find(const struct why_options *options, char **ret_verdict, struct error *error)
{
	owned_text title = why_plain_title(options->title);
	owned_text pattern = NULL;
	owned_buffer escaped = { 0 };
	struct trial first = { .wanted = title };
	const char *last = title;
	int result;

	/* The last part of it will do to find it. */
	for (const char *at = strstr(title, SEPARATOR); at; at = strstr(last, SEPARATOR))
		last = at + strlen(SEPARATOR);
	add_escaped(&escaped, last, strlen(last));
	pattern = text_format("(?:^| )%s(?: @\\S+)*$", escaped.bytes ? escaped.bytes : "");
	result = try(options, pattern, &first, error);
	if (result == 0)
		result = check_unique(&first.found, error);
	if (result == 0) {
		options->say(first.ok ? "alone, in a new world: passed" : "alone, in a new world: failed");
		result = compare(options, &first.found.items[0], first.ok, ret_verdict, error);
	}
	release_places(&first.seen);
	release_places(&first.found);
	return result;
}
