/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: what a payload wrote, line by line, with time and stream.
 *
 * The format is that of the Container Runtime Interface, which log collectors of Kubernetes read:
 *     2026-11-23T10:00:00.000000000Z stdout F a whole line
 *     2026-11-23T10:00:00.000000000Z stderr P a piece of a line that goes on in the stream's next record
 * The content may hold any bytes but newline. A last line without its newline is a P record: what is read back is byte
 * for byte what was written. (https://github.com/kubernetes/design-proposals-archive, node/kubelet-cri-logging.md) */
#ifndef SBX_WORKER_LOG_H
#define SBX_WORKER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum log_stream {
	LOG_STDOUT,
	LOG_STDERR,
	LOG_STREAM_COUNT,
};

/* A line longer than this is written in pieces, so that neither side needs memory for any line. As containerd's. */
#define LOG_PIECE_MAX (16u << 10)

/* ---- writing ---- */

struct log_writer {
	int fd; /* -1: not open */
	uint64_t size;
	uint64_t size_max; /* 0: no limit; beyond it nothing is kept, and a last line says so */
	int number;	   /* errno of the first write that failed; nothing is written after it */
	struct log_pending {
		char *bytes; /* LOG_PIECE_MAX of them */
		size_t length;
	} pending[LOG_STREAM_COUNT]; /* the line that has no newline yet */
	struct text_buffer records;  /* made by the present call, written at its end */
};

/** Opens a log to append to, made with mode 0600 where it is missing. Errors: of openat(2). */
int log_open(struct log_writer *log, int dirfd, const char *path, uint64_t size_max, struct error *error);

/** Adds what a stream wrote. Never fails for the caller: a full disk must not end what is logged; see `number`. */
void log_write(struct log_writer *log, enum log_stream stream, const char *bytes, size_t size);

/** Writes what is pending as pieces, and closes. Takes an unopened one that is { .fd = -1 }. */
void log_close(struct log_writer *log);

/* ---- reading ---- */

struct log_record {
	uint64_t time_ns; /* since 1970-01-01 UTC */
	enum log_stream stream;
	bool is_piece;
	const char *content; /* borrowed from what was parsed */
	size_t size;
};

/** Parses one record, without its newline. @return 0 or -EBADMSG */
int log_parse_record(const char *line, size_t size, struct log_record *ret_record);

/** Parses the value of --since: a duration before `now_ns` ("10m"), or a time as in RFC 3339.
 *  @return 0, -EINVAL or -ERANGE */
int log_parse_since(const char *text, uint64_t now_ns, uint64_t *ret_time_ns);

/** Size of a buffer for log_format_time(). */
#define LOG_TIME_SIZE 52

/** Writes "2026-11-23T10:00:00.000000000Z". Returns `text`. */
char *log_format_time(uint64_t time_ns, char text[static LOG_TIME_SIZE]);

#define LOG_TAIL_ALL UINT64_MAX

struct log_show {
	int fds[LOG_STREAM_COUNT]; /* where each stream goes; -1: it is left out */
	uint64_t since_ns;	   /* 0: all */
	uint64_t tail;		   /* last lines of both streams together; LOG_TAIL_ALL */
	bool timestamps;	   /* each line begins with its time and a space */
	/* Follow: goes on until this says that nobody writes any more. Asked about once a second; NULL: do not follow.
	 */
	bool (*is_alive)(void *argument);
	void *argument;
};

/** Shows a log. A line that is no record is shown as it is, as standard output's.
 *  Errors: of openat(2), read(2), write(2) (EPIPE: the reader has gone). */
int log_show(int dirfd, const char *path, const struct log_show *options, struct error *error);

#endif
