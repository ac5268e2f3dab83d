/* SPDX-License-Identifier: Apache-2.0 */
/* The log lines of red tests: those that the services of a test's own world wrote between its start and its end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/report.h"
#include "sandbox/worker/log.h"

enum {
	LINE_BYTES_MAX = 4096, /* of one line, that is shown */
	SERVICES_MAX = 64,
};

/* The red tries of one world, by their start. */
struct search {
	struct report_try **tries;
	size_t count;
	size_t bytes; /* taken by now */
	const char *service;
};

static int compare_tries(const void *a, const void *b)
{
	const struct report_try *first = *(struct report_try *const *)a;
	const struct report_try *second = *(struct report_try *const *)b;

	return (first->start_ms > second->start_ms) - (first->start_ms < second->start_ms);
}

static int compare_lines(const void *a, const void *b)
{
	const struct report_line *first = a;
	const struct report_line *second = b;

	return (first->at_ms > second->at_ms) - (first->at_ms < second->at_ms);
}

/* Of those of several services the newest stay. Sorted stably enough: lines of one log keep their order by glibc's
 * merge sort, and where that has no memory, lines of one millisecond may change places. */
static void cut_lines(struct report_try *try)
{
	size_t extra = try->line_count > REPORT_LOG_LINES_MAX ? try->line_count - REPORT_LOG_LINES_MAX : 0;

	if (try->line_count > 1)
		qsort(try->lines, try->line_count, sizeof(*try->lines), compare_lines);
	for (size_t i = 0; i < extra; i++) {
		text_free(&try->lines[i].service);
		text_free(&try->lines[i].text);
	}
	if (extra > 0)
		memmove(try->lines, try->lines + extra, REPORT_LOG_LINES_MAX * sizeof(*try->lines));
	try->line_count -= extra;
	try->lines_missed += (int64_t)extra;
}

/* The last one that had begun by then. */
static struct report_try *find_try(const struct search *search, int64_t at_ms)
{
	size_t low = 0;
	size_t high = search->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (search->tries[middle]->start_ms <= at_ms)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && at_ms <= search->tries[low - 1]->end_ms ? search->tries[low - 1] : NULL;
}

/* NUL ends a text here: it is shown by its picture. */
static char *copy_line(const char *content, size_t size)
{
	struct text_buffer text = { 0 };
	size_t shown = MIN(size, (size_t)LINE_BYTES_MAX);

	for (size_t i = 0; i < shown; i++) {
		if (content[i] == '\0')
			text_buffer_add_text(&text, "\u2400");
		else
			text_buffer_add(&text, content + i, 1);
	}
	text_buffer_add_text(&text, shown < size ? "\u2026" : "");
	return text.bytes;
}

static void take_line(struct search *search, const struct log_record *record, const char *content, size_t size)
{
	int64_t at_ms = (int64_t)(record->time_ns / 1000000);
	struct report_try *try = find_try(search, at_ms);
	struct report_line *line;

	if (!try)
		return;
	if (search->bytes > REPORT_LOG_BYTES_MAX) {
		try->lines_missed++;
		return;
	}
	if (try->line_count % 64 == 0) {
		try->lines = reallocarray(try->lines, try->line_count + 64, sizeof(*try->lines));
		if (!try->lines)
			abort();
	}
	line = &try->lines[try->line_count++];
	*line = (struct report_line){ .at_ms = at_ms,
				      .service = text_duplicate(search->service),
				      .is_error = record->stream == LOG_STDERR,
				      .text = copy_line(content, size) };
	search->bytes += MIN(size, (size_t)LINE_BYTES_MAX) + sizeof(*line);
	if (try->line_count == (size_t)4 * REPORT_LOG_LINES_MAX)
		cut_lines(try);
}

static void read_log(struct search *search, FILE *file)
{
	struct text_buffer pending[LOG_STREAM_COUNT] = { 0 };
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;

	while ((length = getline(&line, &capacity, file)) > 0) {
		struct log_record record;
		struct text_buffer *rest;

		if (line[length - 1] == '\n')
			length--;
		if (log_parse_record(line, (size_t)length, &record) < 0)
			continue;
		rest = &pending[record.stream];
		if (record.is_piece && rest->length < LINE_BYTES_MAX + 1) {
			text_buffer_add(rest, record.content, record.size);
		} else if (!record.is_piece && rest->length > 0) {
			text_buffer_add(rest, record.content, record.size);
			take_line(search, &record, rest->bytes, rest->length);
			rest->length = 0;
		} else if (!record.is_piece) {
			take_line(search, &record, record.content, record.size);
		}
	}
	for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
		text_buffer_release(&pending[i]);
	free(line);
}

static void read_logs_of_world(struct search *search, int dirfd, const char *directory)
{
	owned_fd fd = openat(dirfd, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent **found = NULL;
	int count = fd < 0 ? 0 : scandirat(fd, ".", &found, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		int log_fd = found[i]->d_name[0] == '.' || i >= SERVICES_MAX
				     ? -1
				     : openat(fd, found[i]->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		FILE *file = log_fd < 0 ? NULL : fdopen(log_fd, "re");

		if (!file)
			fd_close(&log_fd);
		search->service = found[i]->d_name;
		if (file) {
			read_log(search, file);
			(void)fclose(file);
		}
		free(found[i]);
	}
	free(found);
}

static void list_tries(struct report_run *run, int worker, struct search *search)
{
	search->count = 0;
	for (size_t i = 0; i < run->test_count; i++)
		for (size_t j = 0; j < run->tests[i].try_count; j++) {
			struct report_try *try = &run->tests[i].tries[j];

			if (try->ok || try->worker != worker || try->end_ms == 0)
				continue;
			if (search->count % 64 == 0) {
				search->tries =
					reallocarray(search->tries, search->count + 64, sizeof(struct report_try *));
				if (!search->tries)
					abort();
			}
			search->tries[search->count++] = try;
		}
	if (search->count > 1)
		qsort(search->tries, search->count, sizeof(struct report_try *), compare_tries);
}

void report_read_logs(struct report_run *run, int dirfd)
{
	struct search search = { 0 };

	for (size_t i = 0; i < run->worker_count; i++) {
		char name[REPORT_WORKER_SIZE];

		list_tries(run, run->workers[i].number, &search);
		if (search.count == 0)
			continue;
		read_logs_of_world(&search, dirfd,
				   run->workers[i].number == JOURNAL_RUNNER
					   ? "r"
					   : report_worker_word(run->workers[i].number, name));
		for (size_t j = 0; j < search.count; j++)
			cut_lines(search.tries[j]);
	}
	free(search.tries);
}
