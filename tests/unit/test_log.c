/* SPDX-License-Identifier: Apache-2.0 */
/* Log files: what is written comes back byte for byte, in the order and format that log collectors read. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"
#include "sandbox/worker/log.h"

#define SECOND UINT64_C(1000000000)

/* ---- a directory with one log ---- */

struct place {
	char *path;
	int dirfd;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	place->path = text_duplicate("/tmp/sbx-log.XXXXXX");
	if (!mkdtemp(place->path))
		return -1;
	place->dirfd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	(void)unlinkat(place->dirfd, "log", 0);
	fd_close(&place->dirfd);
	(void)rmdir(place->path);
	text_free(&place->path);
	free(place);
	return 0;
}

static void write_file(const struct place *place, const char *text, size_t size)
{
	owned_fd fd = openat(place->dirfd, "log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, size), 0);
}

static char *file_text(const struct place *place, size_t *ret_size)
{
	char *text = NULL;

	assert_int_equal(fd_read_file(place->dirfd, "log", 64 << 20, &text, ret_size), 0);
	return text;
}

static int memory_fd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static char *memory_text(int fd, size_t *ret_size)
{
	struct stat status;
	char *text;

	assert_int_equal(fstat(fd, &status), 0);
	text = calloc(1, (size_t)status.st_size + 1);
	assert_int_equal(pread(fd, text, (size_t)status.st_size, 0), status.st_size);
	*ret_size = (size_t)status.st_size;
	return text;
}

/* Shows the log; both streams in one text unless `err` is given. */
static char *shown(const struct place *place, struct log_show options, char **ret_err)
{
	owned_fd out = memory_fd("out");
	owned_fd err = memory_fd("err");
	struct error error = { 0 };
	size_t size;

	options.fds[LOG_STDOUT] = out;
	options.fds[LOG_STDERR] = ret_err ? err : out;
	assert_int_equal(log_show(place->dirfd, "log", &options, &error), 0);
	if (ret_err)
		*ret_err = memory_text(err, &size);
	return memory_text(out, &size);
}

#define ALL ((struct log_show){ .tail = LOG_TAIL_ALL })

static void assert_shown(const struct place *place, struct log_show options, const char *want)
{
	owned_text got = shown(place, options, NULL);

	assert_string_equal(got, want);
}

/* ---- writing ---- */

static void a_record_has_time_stream_tag_and_line(void **state)
{
	const struct place *place = *state;
	struct log_writer log = { .fd = -1 };
	struct log_record record;
	struct timespec now;
	owned_text text = NULL;
	size_t size;

	assert_int_equal(log_open(&log, place->dirfd, "log", 0, NULL), 0);
	log_write(&log, LOG_STDERR, "hello world\n", 12);
	log_close(&log);
	clock_gettime(CLOCK_REALTIME, &now);
	text = file_text(place, &size);
	assert_true(text[size - 1] == '\n');
	assert_int_equal(log_parse_record(text, size - 1, &record), 0);
	assert_int_equal(record.stream, LOG_STDERR);
	assert_false(record.is_piece);
	assert_int_equal(record.size, 11);
	assert_memory_equal(record.content, "hello world", 11);
	assert_true((uint64_t)now.tv_sec - record.time_ns / SECOND <= 2);
	assert_memory_equal(text + 30, " stderr F hello world\n", 22);
}

static void lines_are_put_together_from_pieces_of_writes(void **state)
{
	const struct place *place = *state;
	struct log_writer log = { .fd = -1 };

	assert_int_equal(log_open(&log, place->dirfd, "log", 0, NULL), 0);
	log_write(&log, LOG_STDOUT, "one ", 4);
	log_write(&log, LOG_STDERR, "between\n", 8);
	log_write(&log, LOG_STDOUT, "line\ntwo\nth", 11);
	log_write(&log, LOG_STDOUT, "ree\n", 4);
	log_close(&log);
	assert_shown(place, ALL, "between\none line\ntwo\nthree\n");
}

static void a_last_line_without_newline_comes_back_without(void **state)
{
	const struct place *place = *state;
	struct log_writer log = { .fd = -1 };

	assert_int_equal(log_open(&log, place->dirfd, "log", 0, NULL), 0);
	log_write(&log, LOG_STDOUT, "a\nprompt> ", 10);
	log_close(&log);
	assert_shown(place, ALL, "a\nprompt> ");
}

static void any_bytes_come_back(void **state)
{
	const struct place *place = *state;
	enum { SIZE = 300000 };
	struct log_writer log = { .fd = -1 };
	owned_fd out = memory_fd("out");
	struct log_show options = ALL;
	char *bytes = malloc(SIZE);
	char *got;
	size_t got_size;
	unsigned seed = 7;

	for (size_t i = 0; i < SIZE; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = (char)(seed >> 16);
		/* One stretch without newline that is longer than several pieces. */
		if (i > 50000 && i < 150000 && bytes[i] == '\n')
			bytes[i] = 0;
	}
	assert_int_equal(log_open(&log, place->dirfd, "log", 0, NULL), 0);
	for (size_t i = 0; i < SIZE;) {
		size_t size = MIN((size_t)(seed = seed * 1103515245 + 12345) >> 20, SIZE - i);

		log_write(&log, LOG_STDOUT, bytes + i, size);
		i += size;
	}
	log_close(&log);
	assert_int_equal(log.number, 0);
	options.fds[0] = out;
	options.fds[1] = -1;
	assert_int_equal(log_show(place->dirfd, "log", &options, NULL), 0);
	got = memory_text(out, &got_size);
	assert_int_equal(got_size, SIZE);
	assert_memory_equal(got, bytes, SIZE);
	free(got);
	free(bytes);
}

static void no_record_is_longer_than_a_piece(void **state)
{
	const struct place *place = *state;
	struct log_writer log = { .fd = -1 };
	owned_text text = NULL;
	char *line = malloc(5 * LOG_PIECE_MAX);
	size_t size;

	memset(line, 'x', 5 * LOG_PIECE_MAX);
	assert_int_equal(log_open(&log, place->dirfd, "log", 0, NULL), 0);
	log_write(&log, LOG_STDOUT, line, 5 * LOG_PIECE_MAX);
	log_write(&log, LOG_STDOUT, "\n", 1);
	log_close(&log);
	text = file_text(place, &size);
	for (char *start = text; *start; start = strchr(start, '\n') + 1)
		assert_true(strchr(start, '\n') - start <= 30 + 10 + (ptrdiff_t)LOG_PIECE_MAX);
	free(line);
}

static void a_log_stops_at_its_size_limit_and_says_so(void **state)
{
	const struct place *place = *state;
	struct log_writer log = { .fd = -1 };
	owned_text text = NULL;
	size_t size;

	assert_int_equal(log_open(&log, place->dirfd, "log", 10000, NULL), 0);
	for (int i = 0; i < 1000; i++)
		log_write(&log, LOG_STDOUT, "0123456789\n", 11);
	assert_int_equal(log.number, EFBIG);
	log_close(&log);
	text = file_text(place, &size);
	assert_true(size <= 10000 + 200);
	assert_non_null(strstr(text, "size limit"));
}

static void a_full_disk_is_remembered_and_not_fatal(void **state)
{
	const struct place *place = *state;
	struct log_writer log = { .fd = -1 };
	owned_fd full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_int_equal(log_open(&log, place->dirfd, "log", 0, NULL), 0);
	assert_true(dup3(full, log.fd, O_CLOEXEC) >= 0);
	log_write(&log, LOG_STDOUT, "a\n", 2);
	log_write(&log, LOG_STDOUT, "b\n", 2);
	assert_int_equal(log.number, ENOSPC);
	log_close(&log);
}

static void a_symbolic_link_is_not_followed(void **state)
{
	const struct place *place = *state;
	struct log_writer log = { .fd = -1 };
	struct error error = { 0 };

	assert_int_equal(symlinkat("/dev/null", place->dirfd, "log"), 0);
	assert_int_equal(log_open(&log, place->dirfd, "log", 0, &error), -ELOOP);
}

/* ---- reading ---- */

static const char sample[] = "2026-11-23T10:00:00.000000000Z stdout F one\n"
			     "2026-11-23T10:00:01.000000000Z stderr F two\n"
			     "2026-11-23T10:00:02.000000000Z stdout P th\n"
			     "2026-11-23T10:00:02.500000000Z stderr F four\n"
			     "2026-11-23T10:00:03.000000000Z stdout F ree\n"
			     "2026-11-23T10:00:04.000000000Z stdout F \n"
			     "2026-11-23T10:00:05.000000000Z stdout F five\n";

static void streams_go_to_their_own_descriptors(void **state)
{
	const struct place *place = *state;
	owned_text err = NULL;
	owned_text out = NULL;

	write_file(place, sample, strlen(sample));
	out = shown(place, ALL, &err);
	assert_string_equal(out, "one\nthree\n\nfive\n");
	assert_string_equal(err, "two\nfour\n");
}

static void timestamps_stand_before_lines_not_pieces(void **state)
{
	const struct place *place = *state;
	struct log_show options = ALL;
	owned_text err = NULL;
	owned_text out = NULL;

	write_file(place, sample, strlen(sample));
	options.timestamps = true;
	out = shown(place, options, &err);
	assert_string_equal(out, "2026-11-23T10:00:00.000000000Z one\n2026-11-23T10:00:02.000000000Z three\n"
				 "2026-11-23T10:00:04.000000000Z \n2026-11-23T10:00:05.000000000Z five\n");
}

static void since_leaves_out_what_is_older(void **state)
{
	const struct place *place = *state;
	struct log_show options = ALL;

	write_file(place, sample, strlen(sample));
	assert_int_equal(log_parse_since("2026-11-23T10:00:04Z", 0, &options.since_ns), 0);
	assert_shown(place, options, "\nfive\n");
}

static void tail_counts_lines_and_not_records(void **state)
{
	const struct place *place = *state;
	static const char *const want[] = { "", "five\n", "\nfive\n", "three\n\nfive\n", "four\nthree\n\nfive\n" };

	write_file(place, sample, strlen(sample));
	/* The pieces of "three" lie around "four": with three lines, "four" is left out but its neighbours are not. */
	for (uint64_t tail = 0; tail < 4; tail++) {
		struct log_show options = ALL;

		options.tail = tail;
		assert_shown(place, options, want[tail]);
	}
}

static void tail_finds_the_same_lines_as_reading_it_all(void **state)
{
	const struct place *place = *state;
	enum { LINES = 20000 };
	struct log_writer log = { .fd = -1 };
	static const uint64_t tails[] = { 1, 2, 17, 4999, 19999, 20000, 30000 };
	struct text_buffer all = { 0 };
	size_t starts[LINES];

	assert_int_equal(log_open(&log, place->dirfd, "log", 0, NULL), 0);
	for (unsigned i = 0; i < LINES; i++) {
		owned_text line = text_format("%u %.*s\n", i, (int)(i % 301), "");
		owned_text wide = text_format("%u %*s\n", i, (int)(i * 7919 % (i % 97 == 0 ? 40000 : 100)), "x");

		starts[i] = all.length;
		text_buffer_add_text(&all, i % 2 ? line : wide);
		log_write(&log, LOG_STDOUT, i % 2 ? line : wide, strlen(i % 2 ? line : wide));
	}
	log_close(&log);
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		struct log_show options = ALL;

		options.tail = tails[i];
		assert_shown(place, options, all.bytes + (tails[i] >= LINES ? 0 : starts[LINES - tails[i]]));
	}
	text_buffer_release(&all);
}

static void what_is_no_record_is_shown_as_it_is(void **state)
{
	const struct place *place = *state;
	static const char text[] = "noise\n2026-11-23T10:00:00.000000000Z stdout F line\n2026-11-23T10:00:0";

	write_file(place, text, strlen(text));
	assert_shown(place, ALL, "noise\nline\n2026-11-23T10:00:0\n");
}

static void a_missing_log_is_an_error_that_names_it(void **state)
{
	const struct place *place = *state;
	struct log_show options = ALL;
	struct error error = { 0 };

	assert_int_equal(log_show(place->dirfd, "log", &options, &error), -ENOENT);
	assert_string_equal(error.object, "log");
}

/* ---- following ---- */

static bool is_child_alive(void *argument)
{
	pid_t *pid = argument;
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)*pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

static void following_shows_everything_until_the_writer_is_gone(void **state)
{
	const struct place *place = *state;
	struct log_show options = ALL;
	struct timespec pause = { .tv_nsec = 20000000 };
	pid_t pid;

	write_file(place, "", 0);
	pid = fork();
	if (pid == 0) {
		struct log_writer log = { .fd = -1 };

		if (log_open(&log, place->dirfd, "log", 0, NULL) < 0)
			_exit(1);
		for (int i = 0; i < 5; i++) {
			log_write(&log, LOG_STDOUT, "tick ", 5);
			nanosleep(&pause, NULL);
			log_write(&log, LOG_STDOUT, "tock\n", 5);
		}
		log_write(&log, LOG_STDOUT, "end", 3);
		log_close(&log);
		_exit(0);
	}
	options.is_alive = is_child_alive;
	options.argument = &pid;
	assert_shown(place, options, "tick tock\ntick tock\ntick tock\ntick tock\ntick tock\nend");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- times ---- */

static void times_are_read_as_rfc_3339_has_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t want_ns;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-23T10:00:00.000000001Z", UINT64_C(1795428000) * SECOND + 1 },
		{ "2026-11-23T11:00:00.5+01:00", UINT64_C(1795428000) * SECOND + SECOND / 2 },
		{ "2026-11-23 09:30:00-00:30", UINT64_C(1795428000) * SECOND },
		{ "2000-02-29t23:59:60z", UINT64_C(951868800) * SECOND },
		{ "2400-02-29T00:00:00Z", UINT64_C(13574563200) * SECOND },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t got = 1;

		assert_int_equal(log_parse_since(rows[i].text, 0, &got), 0);
		assert_int_equal(got, rows[i].want_ns);
	}
}

static void times_that_are_none_are_refused(void **state)
{
	static const char *const rows[] = { "",
					    "yesterday",
					    "2026-11-23",
					    "2026-11-23T10:00:00",
					    "2026-11-23T10:00:00Zx",
					    "2026-13-01T00:00:00Z",
					    "2026-02-29T00:00:00Z",
					    "1969-12-31T23:59:59Z",
					    "2026-11-23T24:00:00Z",
					    "2026-11-23T10:00:00.Z",
					    "-10m",
					    " 10m",
					    "10m " };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t got = 77;

		assert_true(log_parse_since(rows[i], 0, &got) < 0);
		assert_int_equal(got, 77);
	}
	{
		uint64_t got;

		assert_int_equal(log_parse_since("1970-01-01T00:30:00+01:00", 0, &got), -ERANGE);
	}
}

static void a_duration_counts_back_from_now(void **state)
{
	uint64_t got;

	(void)state;
	assert_int_equal(log_parse_since("10m", 1000 * SECOND, &got), 0);
	assert_int_equal(got, 400 * SECOND);
	assert_int_equal(log_parse_since("1h", 1000 * SECOND, &got), 0);
	assert_int_equal(got, 0);
}

static void times_are_written_as_they_are_read(void **state)
{
	char text[LOG_TIME_SIZE];

	(void)state;
	for (uint64_t day = 0; day < 190000; day++) {
		uint64_t want = day * 86400 * SECOND + day * 12345;
		uint64_t got;

		assert_int_equal(log_parse_since(log_format_time(want, text), 0, &got), 0);
		assert_int_equal(got, want);
		assert_int_equal(strlen(text), 30);
	}
	/* Even what no clock says stays inside its buffer. */
	assert_true(strlen(log_format_time(UINT64_MAX, text)) < LOG_TIME_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(a_record_has_time_stream_tag_and_line),
		T(lines_are_put_together_from_pieces_of_writes),
		T(a_last_line_without_newline_comes_back_without),
		T(any_bytes_come_back),
		T(no_record_is_longer_than_a_piece),
		T(a_log_stops_at_its_size_limit_and_says_so),
		T(a_full_disk_is_remembered_and_not_fatal),
		T(a_symbolic_link_is_not_followed),
		T(streams_go_to_their_own_descriptors),
		T(timestamps_stand_before_lines_not_pieces),
		T(since_leaves_out_what_is_older),
		T(tail_counts_lines_and_not_records),
		T(tail_finds_the_same_lines_as_reading_it_all),
		T(what_is_no_record_is_shown_as_it_is),
		T(a_missing_log_is_an_error_that_names_it),
		T(following_shows_everything_until_the_writer_is_gone),
		T(times_are_read_as_rfc_3339_has_them),
		T(times_that_are_none_are_refused),
		T(a_duration_counts_back_from_now),
		T(times_are_written_as_they_are_read),
#undef T
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
