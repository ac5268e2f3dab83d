/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"

enum {
	BLOCK_SIZE = 64 << 10,
	LINE_SIZE_MAX = 1 << 20, /* longer ones are cut into lines: memory stays bounded */
	FLUSH_SIZE = 256 << 10,
};

/* As of compose: told apart, none the colour of errors. */
static const char *const colours[] = { "\033[36m", "\033[33m", "\033[32m", "\033[35m", "\033[34m" };
#define COLOUR_END "\033[0m"

/* One log. */
struct source {
	int directory_fd;
	int fd; /* -1: not there yet */
	char *name;
	char *prefix;
	const char *colour;
	off_t offset;
	uint64_t skip;		 /* lines before the tail */
	struct text_buffer rest; /* read, not yet a whole record */
	size_t taken;		 /* of it */
	struct text_buffer pieces[LOG_STREAM_COUNT];

	/* The next line. */
	bool has_line;
	uint64_t time_ns;
	enum log_stream stream;
	struct text_buffer line;
};

struct logs {
	struct logs_options options;
	struct source *items;
	size_t count;
	size_t prefix_width;
	int notify_fd;
	struct text_buffer output;
	enum log_stream output_stream;
};

struct logs *logs_new(const struct logs_options *options)
{
	struct logs *logs = calloc(1, sizeof(*logs));

	if (!logs)
		abort();
	logs->options = *options;
	logs->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return logs;
}

void logs_free(struct logs *logs)
{
	if (!logs)
		return;
	for (size_t i = 0; i < logs->count; i++) {
		struct source *source = &logs->items[i];

		fd_close(&source->directory_fd);
		fd_close(&source->fd);
		text_free(&source->name);
		text_free(&source->prefix);
		text_buffer_release(&source->rest);
		for (size_t j = 0; j < LOG_STREAM_COUNT; j++)
			text_buffer_release(&source->pieces[j]);
		text_buffer_release(&source->line);
	}
	free(logs->items);
	fd_close(&logs->notify_fd);
	text_buffer_release(&logs->output);
	free(logs);
}

int logs_add(struct logs *logs, int directory_fd, const char *name, const char *prefix, struct error *error)
{
	owned_fd own_fd = fd_duplicate(directory_fd);
	char path[FD_PROC_PATH_SIZE];
	struct source *source;
	size_t width = strlen(prefix);

	if (own_fd < 0)
		return error_set(error, .number = -own_fd, .step = "follow the log", .object = name);
	/* Twice for one directory is once. One that cannot be watched is looked at now and then. */
	if (logs->notify_fd >= 0 &&
	    inotify_add_watch(logs->notify_fd, fd_proc_path(own_fd, path), IN_MODIFY | IN_CREATE) < 0)
		fd_close(&logs->notify_fd);
	logs->items = reallocarray(logs->items, logs->count + 1, sizeof(*logs->items));
	if (!logs->items)
		abort();
	source = &logs->items[logs->count];
	*source = (struct source){ .directory_fd = fd_take(&own_fd),
				   .fd = -1,
				   .name = text_duplicate(name),
				   .prefix = text_duplicate(prefix),
				   .colour = colours[logs->count % ARRAY_SIZE(colours)] };
	logs->count++;
	logs->prefix_width = MAX(logs->prefix_width, width);
	return 0;
}

int logs_fd(const struct logs *logs)
{
	return logs->notify_fd;
}

/* ---- reading ---- */

/* @return bytes that came, 0, or -errno */
static ssize_t read_more(struct source *source)
{
	char block[BLOCK_SIZE];
	ssize_t got;

	if (source->fd < 0)
		source->fd = openat(source->directory_fd, source->name,
				    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (source->fd < 0)
		return errno == ENOENT ? 0 : -errno;
	got = RETRY_EINTR(pread(source->fd, block, sizeof(block), source->offset));
	if (got <= 0)
		return got < 0 ? -errno : 0;
	if (source->taken > 0)
		memmove(source->rest.bytes, source->rest.bytes + source->taken, source->rest.length - source->taken);
	source->rest.length -= source->taken;
	source->taken = 0;
	text_buffer_add(&source->rest, block, (size_t)got);
	source->offset += got;
	return got;
}

static void take_line(struct source *source, uint64_t time_ns, enum log_stream stream)
{
	struct text_buffer line = source->line;

	source->line = source->pieces[stream];
	source->pieces[stream] = line;
	source->pieces[stream].length = 0;
	source->has_line = true;
	source->time_ns = time_ns;
	source->stream = stream;
}

static void take_record(struct source *source, const char *text, size_t size)
{
	struct log_record record;

	/* What is no record is shown rather than lost. */
	if (log_parse_record(text, size, &record) < 0)
		record = (struct log_record){
			.time_ns = source->time_ns, .stream = LOG_STDOUT, .content = text, .size = size
		};
	text_buffer_add(&source->pieces[record.stream], record.content, record.size);
	if (!record.is_piece || source->pieces[record.stream].length > LINE_SIZE_MAX)
		take_line(source, record.time_ns, record.stream);
}

/* Finds the next line, if it is whole by now. */
static int find_line(struct source *source)
{
	while (!source->has_line) {
		const char *start = source->rest.bytes + source->taken;
		size_t left = source->rest.length - source->taken;
		const char *end = left ? memchr(start, '\n', left) : NULL;
		size_t size = end ? (size_t)(end - start) : left;
		ssize_t got;

		if (end || left > LINE_SIZE_MAX) {
			source->taken += size + (end != NULL);
			take_record(source, start, size);
			continue;
		}
		got = read_more(source);
		if (got <= 0)
			return (int)got;
	}
	return 0;
}

/* Of the last lines only: the others are counted first. */
static int count_lines(struct source *source, uint64_t since_ns, uint64_t *ret_count)
{
	struct source copy = { .directory_fd = source->directory_fd, .fd = -1, .name = source->name };
	uint64_t count = 0;
	int result;

	for (;;) {
		result = find_line(&copy);
		if (result < 0 || !copy.has_line)
			break;
		count += copy.time_ns >= since_ns;
		copy.has_line = false;
	}
	for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
		count += copy.pieces[i].length > 0;
		text_buffer_release(&copy.pieces[i]);
	}
	fd_close(&copy.fd);
	text_buffer_release(&copy.rest);
	text_buffer_release(&copy.line);
	*ret_count = count;
	return result;
}

/* ---- showing ---- */

static int flush(struct logs *logs)
{
	int result = 0;

	if (logs->output.length > 0)
		result = fd_write_all(logs->options.fds[logs->output_stream], logs->output.bytes, logs->output.length);
	logs->output.length = 0;
	return result;
}

static int show_line(struct logs *logs, struct source *source)
{
	struct text_buffer *output = &logs->output;
	char time[LOG_TIME_SIZE];

	source->has_line = false;
	if (source->time_ns < logs->options.since_ns)
		return 0;
	if (source->skip > 0) {
		source->skip--;
		return 0;
	}
	/* Where both go to one place, their order is that of their times. */
	if (source->stream != logs->output_stream || output->length > FLUSH_SIZE) {
		int result = flush(logs);

		if (result < 0)
			return result;
		logs->output_stream = source->stream;
	}
	if (source->prefix[0])
		text_buffer_format(output, "%s%-*s |%s ", logs->options.has_colour ? source->colour : "",
				   (int)logs->prefix_width, source->prefix, logs->options.has_colour ? COLOUR_END : "");
	if (logs->options.timestamps && source->time_ns)
		text_buffer_format(output, "%s ", log_format_time(source->time_ns, time));
	text_buffer_add(output, source->line.bytes, source->line.length);
	text_buffer_add(output, "\n", 1);
	return 0;
}

static struct source *find_earliest(struct logs *logs, int *ret_result)
{
	struct source *earliest = NULL;

	for (size_t i = 0; i < logs->count; i++) {
		struct source *source = &logs->items[i];
		int result = find_line(source);

		if (result < 0)
			*ret_result = result;
		if (source->has_line && (!earliest || source->time_ns < earliest->time_ns))
			earliest = source;
	}
	return earliest;
}

bool logs_has_news(struct logs *logs)
{
	int result = 0;

	return find_earliest(logs, &result) != NULL;
}

static int show_all(struct logs *logs)
{
	struct source *source;
	int result = 0;

	while (result == 0 && (source = find_earliest(logs, &result)) != NULL && result == 0)
		result = show_line(logs, source);
	return result == 0 ? flush(logs) : result;
}

static void drain_events(const struct logs *logs)
{
	char events[4096];

	while (logs->notify_fd >= 0 && read(logs->notify_fd, events, sizeof(events)) > 0)
		;
}

static int skip_to_tail(struct logs *logs)
{
	int result = 0;

	for (size_t i = 0; i < logs->count && result == 0; i++) {
		uint64_t count = 0;

		result = count_lines(&logs->items[i], logs->options.since_ns, &count);
		logs->items[i].skip = count > logs->options.tail ? count - logs->options.tail : 0;
	}
	logs->options.tail = LOG_TAIL_ALL;
	return result;
}

int logs_show(struct logs *logs, struct error *error)
{
	int result;

	/* Before the reading: what comes during it is news again. */
	drain_events(logs);
	result = logs->options.tail == LOG_TAIL_ALL ? 0 : skip_to_tail(logs);
	if (result == 0)
		result = show_all(logs);
	return result < 0 ? error_set(error, .number = -result, .step = "show the logs") : 0;
}

int logs_finish(struct logs *logs, struct error *error)
{
	int result = logs_show(logs, error);

	for (size_t i = 0; i < logs->count && result == 0; i++) {
		struct source *source = &logs->items[i];

		/* Its writer was killed in the middle of a record. */
		if (source->rest.length > source->taken)
			take_record(source, source->rest.bytes + source->taken, source->rest.length - source->taken);
		source->taken = source->rest.length;
		if (source->has_line)
			result = show_line(logs, source);
		for (unsigned j = 0; j < LOG_STREAM_COUNT && result == 0; j++)
			if (source->pieces[j].length > 0) {
				take_line(source, source->time_ns, (enum log_stream)j);
				result = show_line(logs, source);
			}
		if (result < 0)
			return error_set(error, .number = -result, .step = "show the logs");
	}
	return result < 0 ? result : flush(logs) < 0 ? error_set(error, .number = EIO, .step = "show the logs") : 0;
}
