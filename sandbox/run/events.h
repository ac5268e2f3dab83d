/* SPDX-License-Identifier: Apache-2.0 */
/* What a test runner tells of itself, through hook and reporter: lines of JSON (hook.h section 3), taken apart.
 *
 * It comes from inside world R, so it is checked like any input; what is not understood is passed over. */
#ifndef SBX_RUN_EVENTS_H
#define SBX_RUN_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum { EVENTS_LINE_MAX = 8 << 20 };

/* What has been told so far. */
struct events {
	bool has_hello;
	char *runner; /* "playwright" */
	char *version;
	struct text_list arguments; /* of the runner's process */
	char *directory;	    /* where that runs; NULL: not told */
	int64_t pid;		    /* of it, in R */
	int64_t workers_asked;	    /* on its command line; 0: nothing */
	bool is_alone;		    /* it runs its tests in R, and was meant to */
	bool has_config;
	bool services_known;
	bool is_fully_parallel;
	bool has_annotations;		       /* a reporter of the suite writes those of GitHub Actions */
	struct text_list artifact_directories; /* absolute */
	struct text_list artifact_files;
	unsigned hosted_ended;
	unsigned hosted_begun;
	unsigned tests_ended;
	unsigned tests_failed;
	unsigned wanted;       /* workers for which there is work, 0: not told */
	struct text_list idle; /* a command of the runner that runs no tests: its name, its words; empty: none */
	struct text_list
		unready; /* a server of the config that never listened: its name, its port, those open; or empty */
	bool may_rest;	 /* the worlds have servers of their own, and nothing in R asks its own any more */
	bool has_ended;
	char *output_id; /* of the item whose output was told last, until the caller takes it; NULL */
	char *output;
	char *complaint; /* what was said in R last that sounds like a failed connection; NULL */
	char *refusal;	 /* why the runner will not run N-wide; NULL: it does */
	char *refusal_remedy;
	char *config; /* the config line itself, as JSON: services are read from it; NULL */
};

/* A test that ended. Borrowed until the callback returns. */
struct events_test {
	const char *id; /* the same for each try of a test */
	const char *title;
	const char *file;
	int64_t line;
	int64_t slot; /* -1: hosted in R */
	int64_t retry;
	int64_t retries; /* that the suite allows; one more with --retry-fresh */
	int64_t duration_ms;
	int64_t started_ms;		     /* CLOCK_REALTIME; 0: not told */
	int64_t exit_code;		     /* of an item's command; 0: it is none, or passed */
	const struct text_list *command;     /* of an item that is red; else empty */
	const char *directory;		     /* where that ran; NULL: not told */
	const char *message;		     /* of its first error; "" */
	const char *project;		     /* ""; none */
	const struct text_list *attachments; /* absolute paths of files that it left */
	bool is_fresh;			     /* the try more, in a world that nobody has used */
	bool ok;			     /* as expected */
	bool is_interrupted; /* stopped by the user, or by a limit of failures: nothing is known of it */
};

typedef void events_test_ended(void *argument, const struct events_test *test);

/* A test process that stands still after a test, with --blame. */
struct events_look {
	int64_t slot;
	int64_t number; /* to be answered with */
	char *test;	/* its id, the caller's */
};

/** Reads such a line. @return 0, or -EBADMSG: it is another one */
int events_read_look(const char *line, size_t size, struct events_look *ret_look);

void events_release(struct events *events);

/** Of a runner that ended well and had no world: whether there was nothing for one, as far as it lets itself be known.
 *  Playwright tells of its config in any case; Jest is stopped by the hook where it runs tests elsewhere; for Vitest
 *  the command has to say so. */
bool events_may_have_had_no_tests(const struct events *events);

/** Whether the command is, behind npx, node or the like, one of the runner's that runs no tests: there is nothing in it
 *  that could have run some. */
bool events_is_idle(const struct events *events, const struct text_list *command);

/** Takes one line. @callback  told of each test that ended; may be NULL */
void events_take(struct events *events, const char *line, size_t size, events_test_ended *callback, void *argument);

#endif
