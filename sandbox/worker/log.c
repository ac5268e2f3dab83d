/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"

#define SECOND_NS UINT64_C(1000000000)
/* Length of "2026-11-23T10:00:00.000000000Z". */
#define TIME_LENGTH 30

static const char *const stream_names[LOG_STREAM_COUNT] = { "stdout", "stderr" };

/* ---- times ---- */

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back; both valid from the year 1970 on. The C
 * library's functions would read the time zone files, of a tree that may be anybody's.
 * https://howardhinnant.github.io/date_algorithms.html */
static uint64_t days_from_date(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month <= 2 ? year - 1 : year;
	unsigned era = y / 400;
	unsigned year_of_era = y - era * 400;
	unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return (uint64_t)era * 146097 + day_of_era - 719468;
}

static void date_from_days(uint64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	uint64_t z = days + 719468;
	uint64_t era = z / 146097;
	unsigned day_of_era = (unsigned)(z - era * 146097);
	unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned shifted = (5 * day_of_year + 2) / 153;

	*ret_day = day_of_year - (153 * shifted + 2) / 5 + 1;
	*ret_month = shifted < 10 ? shifted + 3 : shifted - 9;
	*ret_year = year_of_era + (unsigned)era * 400 + (*ret_month <= 2);
}

char *log_format_time(uint64_t time_ns, char text[static LOG_TIME_SIZE])
{
	uint64_t seconds = time_ns / SECOND_NS;
	unsigned of_day = (unsigned)(seconds % 86400);
	unsigned year;
	unsigned month;
	unsigned day;

	date_from_days(seconds / 86400, &year, &month, &day);
	(void)snprintf(text, LOG_TIME_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ", year, month, day, of_day / 3600,
		       of_day / 60 % 60, of_day % 60, (unsigned)(time_ns % SECOND_NS));
	return text;
}

/* Exactly `count` digits at `text`, of which `size` bytes may be read. */
static bool take_digits(const char **text, const char *end, unsigned count, unsigned *ret_value)
{
	unsigned value = 0;

	if ((size_t)(end - *text) < count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		char digit = (*text)[i];

		if (digit < '0' || digit > '9')
			return false;
		value = value * 10 + (unsigned)(digit - '0');
	}
	*text += count;
	*ret_value = value;
	return true;
}

static bool take_character(const char **text, const char *end, const char *set)
{
	if (*text == end || **text == '\0' || !strchr(set, **text))
		return false;
	(*text)++;
	return true;
}

static bool is_date(unsigned year, unsigned month, unsigned day)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	/* Beyond 2553 nanoseconds do not fit. */
	return year >= 1970 && year <= 2500 && month >= 1 && month <= 12 && day >= 1 &&
	       day <= days[month - 1] + (month == 2 && is_leap ? 1u : 0u);
}

/* A time as in RFC 3339 at *text, which is moved behind it. */
static int take_time(const char **text, const char *end, uint64_t *ret_time_ns)
{
	unsigned year, month, day, hour, minute, second;
	unsigned offset_hour = 0;
	unsigned offset_minute = 0;
	uint64_t fraction = 0;
	uint64_t offset_ns;
	uint64_t time_ns;
	bool is_east;

	if (!take_digits(text, end, 4, &year) || !take_character(text, end, "-") ||
	    !take_digits(text, end, 2, &month) || !take_character(text, end, "-") || !take_digits(text, end, 2, &day) ||
	    !take_character(text, end, "Tt ") || !take_digits(text, end, 2, &hour) || !take_character(text, end, ":") ||
	    !take_digits(text, end, 2, &minute) || !take_character(text, end, ":") ||
	    !take_digits(text, end, 2, &second))
		return -EINVAL;
	if (take_character(text, end, ".")) {
		uint64_t weight = SECOND_NS / 10;
		const char *first = *text;

		for (; *text < end && **text >= '0' && **text <= '9'; (*text)++, weight /= 10)
			fraction += (uint64_t)(**text - '0') * weight;
		if (*text == first)
			return -EINVAL;
	}
	/* A leap second is 60. */
	if (!is_date(year, month, day) || hour > 23 || minute > 59 || second > 60)
		return -EINVAL;
	time_ns = ((days_from_date(year, month, day) * 86400 + (uint64_t)hour * 3600 + (uint64_t)minute * 60 + second) *
		   SECOND_NS) +
		  fraction;
	if (take_character(text, end, "Zz")) {
		*ret_time_ns = time_ns;
		return 0;
	}
	is_east = *text < end && **text == '+';
	if (!take_character(text, end, "+-") || !take_digits(text, end, 2, &offset_hour) ||
	    !take_character(text, end, ":") || !take_digits(text, end, 2, &offset_minute) || offset_hour > 23 ||
	    offset_minute > 59)
		return -EINVAL;
	offset_ns = (offset_hour * 3600 + offset_minute * 60) * SECOND_NS;
	if (is_east && offset_ns > time_ns)
		return -ERANGE;
	*ret_time_ns = is_east ? time_ns - offset_ns : time_ns + offset_ns;
	return 0;
}

int log_parse_since(const char *text, uint64_t now_ns, uint64_t *ret_time_ns)
{
	const char *position = text;
	const char *end = text + strlen(text);
	uint64_t time_ns;
	uint64_t ms;
	int result = take_time(&position, end, &time_ns);

	if (result == 0) {
		if (position != end)
			return -EINVAL;
		*ret_time_ns = time_ns;
		return 0;
	}
	if (result == -ERANGE)
		return result;
	result = number_parse_duration(text, &ms);
	if (result == 0)
		*ret_time_ns = ms < now_ns / 1000000 ? now_ns - ms * 1000000 : 0;
	return result;
}

/* ---- writing ---- */

int log_open(struct log_writer *log, int dirfd, const char *path, uint64_t size_max, struct error *error)
{
	struct log_writer opened = { .fd = -1, .size_max = size_max };
	owned_fd fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(error, .number = errno, .step = "open the log", .object = path);
	opened.size = (uint64_t)status.st_size;
	for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
		opened.pending[i].bytes = malloc(LOG_PIECE_MAX);
		if (!opened.pending[i].bytes)
			abort();
	}
	opened.fd = fd_take(&fd);
	*log = opened;
	return 0;
}

static void add_record(struct log_writer *log, const char *time, enum log_stream stream, const char *tag,
		       const struct log_pending *pending, const char *bytes, size_t size)
{
	struct text_buffer *records = &log->records;

	text_buffer_add(records, time, TIME_LENGTH);
	text_buffer_add(records, " ", 1);
	text_buffer_add_text(records, stream_names[stream]);
	text_buffer_add_text(records, tag);
	text_buffer_add(records, pending->bytes, pending->length);
	text_buffer_add(records, bytes, size);
	text_buffer_add(records, "\n", 1);
}

/* One write for all of a call: O_APPEND makes it one piece for other writers of the same log. */
static void flush_records(struct log_writer *log, const char *time)
{
	static const struct log_pending nothing;
	static const char full[] = "sbx: this log has reached its size limit, nothing more is kept";

	if (log->number == 0 && log->size_max && log->size + log->records.length > log->size_max) {
		log->records.length = 0;
		add_record(log, time, LOG_STDERR, " F ", &nothing, full, strlen(full));
		log->number = EFBIG;
	} else if (log->number != 0) {
		log->records.length = 0;
	}
	if (log->records.length > 0) {
		int result = fd_write_all(log->fd, log->records.bytes, log->records.length);

		if (result < 0)
			log->number = -result;
		log->size += log->records.length;
	}
	log->records.length = 0;
}

static void format_now(char text[static LOG_TIME_SIZE])
{
	(void)log_format_time((uint64_t)clock_wall_ns(), text);
}

void log_write(struct log_writer *log, enum log_stream stream, const char *bytes, size_t size)
{
	struct log_pending *pending = &log->pending[stream];
	char time[LOG_TIME_SIZE];

	if (log->number != 0)
		return;
	format_now(time);
	while (size > 0) {
		const char *newline = memchr(bytes, '\n', size);
		size_t length = newline ? (size_t)(newline - bytes) : size;

		if (pending->length + length > LOG_PIECE_MAX) {
			size_t taken = LOG_PIECE_MAX - pending->length;

			add_record(log, time, stream, " P ", pending, bytes, taken);
			pending->length = 0;
			bytes += taken;
			size -= taken;
			continue;
		}
		if (!newline) {
			memcpy(pending->bytes + pending->length, bytes, length);
			pending->length += length;
			break;
		}
		add_record(log, time, stream, " F ", pending, bytes, length);
		pending->length = 0;
		bytes += length + 1;
		size -= length + 1;
	}
	flush_records(log, time);
}

void log_close(struct log_writer *log)
{
	char time[LOG_TIME_SIZE];

	if (log->fd < 0)
		return;
	format_now(time);
	for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
		if (log->pending[i].length > 0)
			add_record(log, time, (enum log_stream)i, " P ", &log->pending[i], NULL, 0);
		free(log->pending[i].bytes);
		log->pending[i] = (struct log_pending){ 0 };
	}
	flush_records(log, time);
	text_buffer_release(&log->records);
	fd_close(&log->fd);
}

/* ---- reading ---- */

int log_parse_record(const char *line, size_t size, struct log_record *ret_record)
{
	const char *position = line;
	const char *end = line + size;
	struct log_record record = { 0 };
	size_t name_length = strlen(stream_names[0]);

	if (take_time(&position, end, &record.time_ns) < 0 || !take_character(&position, end, " ") ||
	    (size_t)(end - position) < name_length)
		return -EBADMSG;
	if (memcmp(position, stream_names[LOG_STDERR], name_length) == 0)
		record.stream = LOG_STDERR;
	else if (memcmp(position, stream_names[LOG_STDOUT], name_length) != 0)
		return -EBADMSG;
	position += name_length;
	/* Tags may follow the first one, separated by colons. */
	if (!take_character(&position, end, " ") || position == end || (*position != 'F' && *position != 'P'))
		return -EBADMSG;
	record.is_piece = *position == 'P';
	position++;
	if (position < end && *position == ':')
		while (position < end && *position != ' ')
			position++;
	if (position < end && !take_character(&position, end, " "))
		return -EBADMSG;
	record.content = position;
	record.size = (size_t)(end - position);
	*ret_record = record;
	return 0;
}

/* A line that is no record: something else wrote there, or a write was torn. It is shown rather than lost. */
static struct log_record record_of(const char *line, size_t size)
{
	struct log_record record;

	if (log_parse_record(line, size, &record) < 0)
		record = (struct log_record){ .stream = LOG_STDOUT, .content = line, .size = size };
	return record;
}

/* ---- the last lines: where they begin, found from the end ---- */

/* Beginning of the record that ends before `end` (the position behind its newline), looked for within `block`, which
 * holds the file's bytes from `block_start` on. */
struct backwards {
	int fd;
	char *block;
	size_t block_size;
	uint64_t block_start;
};

enum { BLOCK_SIZE = 256 << 10 };

static int load_block_before(struct backwards *file, uint64_t end)
{
	uint64_t start = end > BLOCK_SIZE ? end - BLOCK_SIZE : 0;
	size_t total = 0;

	while (total < end - start) {
		ssize_t got = RETRY_EINTR(
			pread(file->fd, file->block + total, (size_t)(end - start) - total, (off_t)(start + total)));

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		total += (size_t)got;
	}
	file->block_start = start;
	file->block_size = total;
	return 0;
}

/* @return 1 with the line before `end`, or 0 at the beginning of the file, or -errno. A line longer than a block, which
 * we never write, is cut into blocks. */
static int line_before(struct backwards *file, uint64_t end, const char **ret_line, size_t *ret_size)
{
	size_t position;
	size_t last;
	int result;

	if (end == 0)
		return 0;
	for (int attempt = 0;; attempt++) {
		if (file->block_size == 0 || end <= file->block_start || attempt > 0) {
			result = load_block_before(file, end);
			if (result < 0)
				return result;
			if (file->block_size == 0)
				return 0;
		}
		last = (size_t)(end - file->block_start);
		position = last - 1;
		while (position > 0 && file->block[position - 1] != '\n')
			position--;
		if (position > 0 || file->block_start == 0 || attempt > 0)
			break;
	}
	*ret_line = file->block + position;
	*ret_size = last - position;
	return 1;
}

/* From where on each stream is shown so that `tail` lines come out. Pieces belong to the line that their stream ends
 * next, or to a last one without end. */
static int find_tail(int fd, uint64_t tail, uint64_t size, uint64_t ret_starts[static LOG_STREAM_COUNT])
{
	/* How far to look for the first pieces of the earliest line, once it is found, where the other stream wrote in
	 * between. */
	enum { LOOK_BACK = 1 << 20 };
	struct backwards file = { .fd = fd, .block = malloc(BLOCK_SIZE) };
	bool is_inside[LOG_STREAM_COUNT] = { false, false };
	bool is_complete[LOG_STREAM_COUNT] = { false, false };
	uint64_t end = size;
	uint64_t found_at = 0;
	uint64_t count = 0;
	int result;

	if (!file.block)
		abort();
	for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
		ret_starts[i] = size;
	for (;;) {
		const char *line;
		size_t length;
		struct log_record record;

		result = line_before(&file, end, &line, &length);
		if (result <= 0)
			break;
		record = record_of(line, length - (line[length - 1] == '\n'));
		end -= length;
		if (!record.is_piece || !is_inside[record.stream]) {
			/* The end of a line: a new one, seen from here. */
			if (count == tail)
				is_complete[record.stream] = true;
			else if (!is_complete[record.stream] && ++count == tail)
				found_at = end;
		}
		is_inside[record.stream] = true;
		if (!is_complete[record.stream])
			ret_starts[record.stream] = end;
		if (count == tail && ((is_complete[0] && is_complete[1]) || found_at - end > LOOK_BACK))
			break;
	}
	free(file.block);
	return result < 0 ? result : 0;
}

/* ---- showing ---- */

struct shower {
	const struct log_show *options;
	uint64_t starts[LOG_STREAM_COUNT];
	bool is_inside[LOG_STREAM_COUNT]; /* the last record shown was a piece: the next one goes on */
	struct text_buffer output[LOG_STREAM_COUNT];
};

static int flush_output(struct shower *shower)
{
	for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
		struct text_buffer *output = &shower->output[i];
		int result = 0;

		if (output->length > 0 && shower->options->fds[i] >= 0)
			result = fd_write_all(shower->options->fds[i], output->bytes, output->length);
		output->length = 0;
		if (result < 0)
			return result;
	}
	return 0;
}

static int show_record(struct shower *shower, uint64_t offset, const char *line, size_t size)
{
	const struct log_show *options = shower->options;
	struct log_record record = record_of(line, size);
	struct text_buffer *output = &shower->output[record.stream];
	enum log_stream other = record.stream == LOG_STDOUT ? LOG_STDERR : LOG_STDOUT;
	char time[LOG_TIME_SIZE];

	if (offset < shower->starts[record.stream] || record.time_ns < options->since_ns)
		return 0;
	/* Where both go to one place, their order is the log's. */
	if (shower->output[other].length > 0) {
		int result = flush_output(shower);

		if (result < 0)
			return result;
	}
	if (options->timestamps && !shower->is_inside[record.stream] && record.time_ns != 0) {
		text_buffer_add_text(output, log_format_time(record.time_ns, time));
		text_buffer_add(output, " ", 1);
	}
	text_buffer_add(output, record.content, record.size);
	if (!record.is_piece)
		text_buffer_add(output, "\n", 1);
	shower->is_inside[record.stream] = record.is_piece;
	return output->length >= BLOCK_SIZE ? flush_output(shower) : 0;
}

struct reader {
	int fd;
	uint64_t offset;	 /* of the file, where `rest` begins */
	struct text_buffer rest; /* read, not yet a whole line */
};

enum { LINE_MAX_SHOWN = 1 << 20 };

/* Shows what the file holds by now. A line without its newline stays for later: it is being written. */
static int show_available(struct reader *reader, struct shower *shower)
{
	char block[64 << 10];

	for (;;) {
		ssize_t got = RETRY_EINTR(
			pread(reader->fd, block, sizeof(block), (off_t)(reader->offset + reader->rest.length)));
		size_t shown = 0;

		if (got < 0)
			return -errno;
		if (got == 0)
			return flush_output(shower);
		text_buffer_add(&reader->rest, block, (size_t)got);
		for (;;) {
			const char *line = reader->rest.bytes + shown;
			const char *newline = memchr(line, '\n', reader->rest.length - shown);
			int result;

			if (!newline)
				break;
			result = show_record(shower, reader->offset + shown, line, (size_t)(newline - line));
			if (result < 0)
				return result;
			shown += (size_t)(newline - line) + 1;
		}
		/* None of ours is that long; memory stays bounded for what is no log. */
		if (shown == 0 && reader->rest.length > LINE_MAX_SHOWN) {
			int result = show_record(shower, reader->offset, reader->rest.bytes, reader->rest.length);

			if (result < 0)
				return result;
			shown = reader->rest.length;
		}
		memmove(reader->rest.bytes, reader->rest.bytes + shown, reader->rest.length - shown);
		reader->rest.length -= shown;
		reader->offset += shown;
	}
}

/* A second is also how often is_alive is asked. Without inotify (its instances are few, per user over all namespaces)
 * that is how often the log is looked at. */
static void wait_for_more(int notify_fd)
{
	enum { LOOK_MS = 1000 };
	struct pollfd polled = { .fd = notify_fd, .events = POLLIN };
	char events[4096];

	if (poll(&polled, 1, LOOK_MS) > 0)
		(void)!read(notify_fd, events, sizeof(events));
}

static int follow(struct reader *reader, struct shower *shower, const char *name)
{
	const struct log_show *options = shower->options;
	owned_fd notify = options->is_alive ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;

	if (notify >= 0 && inotify_add_watch(notify, name, IN_MODIFY) < 0)
		fd_close(&notify);
	for (;;) {
		/* Asked first: what it wrote before its end is in the file then. */
		bool is_alive = options->is_alive && options->is_alive(options->argument);
		int result = show_available(reader, shower);

		if (result < 0 || !is_alive)
			return result;
		wait_for_more(notify);
	}
}

int log_show(int dirfd, const char *path, const struct log_show *options, struct error *error)
{
	owned_fd fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
	struct shower shower = { .options = options };
	struct reader reader = { .fd = fd };
	char name[FD_PROC_PATH_SIZE];
	struct stat status;
	int result = 0;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(error, .number = errno, .step = "read the log", .object = path);
	if (options->tail != LOG_TAIL_ALL) {
		result = find_tail(fd, options->tail, (uint64_t)status.st_size, shower.starts);
		reader.offset = MIN(shower.starts[LOG_STDOUT], shower.starts[LOG_STDERR]);
	}
	if (result == 0)
		result = follow(&reader, &shower, fd_proc_path(fd, name));
	/* The writer was killed in the middle of a record. */
	if (result == 0 && reader.rest.length > 0) {
		result = show_record(&shower, reader.offset, reader.rest.bytes, reader.rest.length);
		if (result == 0)
			result = flush_output(&shower);
	}
	text_buffer_release(&reader.rest);
	for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
		text_buffer_release(&shower.output[i]);
	if (result < 0)
		return error_set(error, .number = -result, .step = "show the log", .object = path);
	return 0;
}
