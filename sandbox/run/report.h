/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of test runs afterwards: read from their directories (journal.h, logs) or from what another machine
 * exported, and written as one HTML page, as JUnit, as JSON.
 *
 * All that is read was written by tests and their servers, or comes from elsewhere: it is checked and bounded, and each
 * writer escapes it. Times are CLOCK_REALTIME in milliseconds; those of different runs may come from different clocks,
 * so nothing compares them across runs. */
#ifndef SBX_RUN_REPORT_H
#define SBX_RUN_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

enum {
	REPORT_RUNS_MAX = 256,
	REPORT_WORKERS_MAX = 257, /* R, and 256 worlds */
	REPORT_TESTS_MAX = 200000,
	REPORT_TRIES_MAX = 32,		/* of one test */
	REPORT_SPANS_MAX = 100000,	/* of one run */
	REPORT_LOG_LINES_MAX = 500,	/* of one try, the last of them */
	REPORT_LOG_BYTES_MAX = 8 << 20, /* of one run */
	REPORT_LIST_MAX = 2000,		/* files, rows or attachments of one try; what one test left */
	REPORT_LEFT_MAX = 10000,	/* tests of one run that left something */
	REPORT_FRESH_MAX = 1000,	/* tests of one run that were tried once more */
	REPORT_SUSPECTS_MAX = 64,	/* of one of these */
};

enum report_outcome {
	REPORT_PASSED,
	REPORT_FLAKY, /* red at first, green when tried again */
	REPORT_SKIPPED,
	REPORT_UNFINISHED, /* interrupted, or it began and never ended */
	REPORT_FAILED,
	REPORT_OUTCOMES,
};

extern const char *const report_outcome_words[REPORT_OUTCOMES];

struct report_line {
	int64_t at_ms;
	char *service;
	bool is_error; /* of its standard error */
	char *text;    /* any bytes but NUL */
};

struct report_file {
	char kind; /* 'A', 'C', 'D' */
	char *path;
	int64_t at_ms; /* 0: not known */
};

struct report_attachment {
	char *name;
	char *path;
};

/* A test, tried once. */
struct report_try {
	int worker; /* JOURNAL_RUNNER: R */
	int64_t retry;
	int64_t start_ms;
	int64_t end_ms; /* 0: it never ended */
	bool ok;
	char *status;		    /* the runner's word */
	char *message;		    /* of its first error, with the colours of a terminal; NULL */
	char *kept;		    /* the kept worker with its world; NULL */
	struct text_list databases; /* of that one */
	bool has_servers;	    /* that one, for sbx open */
	char *bundle;		    /* a file for sbx replay; NULL */
	struct report_attachment *attachments;
	size_t attachment_count;
	bool has_changes; /* what follows is known */
	struct report_file *files;
	size_t file_count;
	int64_t files_missed;
	char *rows;		   /* JSON, as scripts/schema/db-diff.json has it; NULL: not known */
	char *rows_problem;	   /* why not; NULL */
	struct report_line *lines; /* of its world's services, between its start and its end; of red ones */
	size_t line_count;
	int64_t lines_missed; /* before them */
};

struct report_test {
	char *id;
	char *project;
	char *title;
	char *file; /* below the tree where it lies there */
	int64_t line;
	enum report_outcome outcome;
	struct report_try *tries;
	size_t try_count;
};

enum report_span_kind {
	REPORT_STARTING,
	REPORT_IDLE,
	REPORT_LEASED,
	REPORT_FROZEN,
	REPORT_RESETTING,
	REPORT_CRASHED,
	REPORT_SPAN_KINDS,
};

extern const char *const report_span_words[REPORT_SPAN_KINDS];

struct report_span {
	enum report_span_kind kind;
	int64_t start_ms;
	int64_t end_ms;
	char *detail; /* NULL */
};

struct report_worker {
	int number;
	char *name; /* "RUN.w2" */
	struct report_span *spans;
	size_t span_count;
};

/* A test, as others name it. */
struct report_place {
	char *test; /* its id; "" : not known */
	char *title;
	char *file; /* below the tree where it lies there */
	int64_t line;
};

/* What a test left behind in its world, with --blame; or in the one where another failed, with --retry-fresh. */
struct report_left {
	struct report_place by;
	int worker;
	int64_t sequence;	/* in the order of their ends */
	struct text_list lines; /* for people: "shop.db Orders: 1 inserted (Id=1)", "A uploads/1.png" */
};

/* A red test that was tried once more, in a fresh world. */
struct report_fresh {
	struct report_place test;
	bool passes;		      /* there, and only there */
	struct report_left *suspects; /* the latest first; their worker and sequence are not known */
	size_t suspect_count;
	struct report_place *silent; /* who was there before it, and left nothing to be seen */
	size_t silent_count;
	int64_t silent_missed;
};

struct report_run {
	char *id;
	char *host;
	char *sbx; /* its version */
	char *tree;
	char *shard;  /* NULL */
	char *runner; /* "playwright 1.65.1"; NULL */
	struct text_list command;
	int64_t worlds; /* asked for; 0: as many as the runner said */
	int64_t start_ms;
	int64_t end_ms;
	int64_t exit_code;	       /* -1: it never ended */
	struct report_worker *workers; /* by number */
	size_t worker_count;
	struct report_test *tests; /* by file and line */
	size_t test_count;
	unsigned outcomes[REPORT_OUTCOMES];
	int64_t looked_at;	  /* how often a world was looked at for what was left there; 0: not asked for */
	struct report_left *left; /* those that left something, by file and time */
	size_t left_count;
	struct report_fresh *fresh;
	size_t fresh_count;
};

struct report {
	struct report_run *runs;
	size_t run_count;
};

void report_release(struct report *report);
#define owned_report __attribute__((cleanup(report_release))) struct report

/** Adds a run from its directory.
 *  @path  shown in errors   Errors: ENOENT no events.jsonl, EBADMSG nothing of it is a journal's, E2BIG */
int report_add_directory(struct report *report, int dirfd, const char *path, struct error *error);
/** Adds the runs of what report_write_json() wrote. Errors: EBADMSG, E2BIG */
int report_add_json(struct report *report, const char *text, size_t size, const char *path, struct error *error);

/** What the runs come to. */
void report_count(const struct report *report, unsigned ret_outcomes[static REPORT_OUTCOMES]);

void report_write_json(const struct report *report, struct text_buffer *out);
void report_write_junit(const struct report *report, struct text_buffer *out);

struct report_page {
	const char *directory; /* absolute: of the file, for links to traces; NULL: none, so none are made */
	int64_t now_ms;
	bool can_bundle; /* this sbx has the verbs bundle and replay */
};

void report_write_html(const struct report *report, const struct report_page *page, struct text_buffer *out);

/* ---- its parts, for each other and for the tests ---- */

/** Adds a line of the journal. What is not understood is passed over. @return whether it is one */
struct report_reader;
struct report_reader *report_reader_new(struct report_run *run);
bool report_reader_take(struct report_reader *reader, const char *line, size_t size);
/** Ends what is open, sorts, counts. */
void report_reader_finish(struct report_reader *reader);

/** Reads the log lines of a run's red tries. @dirfd  of the run */
void report_read_logs(struct report_run *run, int dirfd);

void report_run_release(struct report_run *run);
/** Sorts and counts, after tests were added. */
void report_run_finish(struct report_run *run);
/** The duration of all tries. */
int64_t report_test_ms(const struct report_test *test);
/** "w2", "R". Returns `text`. */
#define REPORT_WORKER_SIZE 16
char *report_worker_word(int number, char text[static REPORT_WORKER_SIZE]);

/* Blame (report_blame.c): as the journal's lines and the JSON of a report have it, member by member alike. */
void report_take_left(struct report_run *run, struct json_value object, int worker);
void report_take_fresh(struct report_run *run, struct json_value object);
void report_blame_release(struct report_run *run);
/** Sorts, after all was taken. */
void report_blame_finish(struct report_run *run);
void report_blame_write_json(const struct report_run *run, struct text_buffer *out);
void report_blame_read_json(struct report_run *run, struct json_value object);
/** The sections of the page: what passes only when fresh, what was left behind. Nothing where neither was asked for. */
void report_blame_write_html(const struct report *report, struct text_buffer *out);
/** What the fresh try of a red test came to, in its own place; nothing where there was none. */
void report_blame_write_verdict(const struct report_run *run, const struct report_test *test, struct text_buffer *out);

/** Adds text as HTML, in elements and quoted attributes alike: markup escaped, sequences of a terminal left out, other
 *  controls and what is not UTF-8 made visible. */
void report_add_html(struct text_buffer *out, const char *text);

/** The timeline of a run, an SVG element. @index  of the run, for the tests' anchors */
void report_write_timeline(const struct report_run *run, size_t index, struct text_buffer *out);

#endif
