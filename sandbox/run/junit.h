/* SPDX-License-Identifier: Apache-2.0 */
/* One JUnit report of many: what the commands of `sbx test --items` left in the directories of artifacts.
 *
 * JUnit files (root `testsuites` or `testsuite`) go in as they are, suite by suite; TRX files (root `TestRun`, as
 * Visual Studio's test tools write them) are translated; other XML files are none of ours. A file that cannot be read
 * is named and left out. Where there is no report at all each command is a test case; where the reports tell of fewer
 * failures than commands failed, the failed commands are added, since one that died wrote no report. */
#ifndef SBX_RUN_JUNIT_H
#define SBX_RUN_JUNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/worker/launch.h"

enum {
	JUNIT_FILES_MAX = 10000,
	JUNIT_FILE_SIZE_MAX = 64 << 20,
	JUNIT_DIRECTORIES_DEEP_MAX = 8,
};

struct junit_sum {
	unsigned tests;
	unsigned failures;
	unsigned errors;
	unsigned skipped;
};

/* A command. Borrowed. */
struct junit_case {
	const char *name;
	uint64_t ms;
	bool is_ok;
	const char *message; /* how it failed */
	const char *output;
	size_t output_size;
};

struct junit_options {
	const char *path;		     /* of the report, absolute; its directory is made where it is missing */
	const struct text_list *directories; /* absolute: where to look for files */
	struct timespec since;		     /* CLOCK_REALTIME: older files are of another run */
	const struct junit_case *cases;
	size_t case_count;
	launch_say *say;
};

/** Writes the report. Errors: it cannot be written */
int junit_write(const struct junit_options *options, struct error *error);

/** Adds the suites of one report to `out`, and counts what is in them.
 *  @return 1 it is a report, 0 it is XML of another kind, or -EBADMSG, and nothing was added */
int junit_add_report(const char *text, size_t size, struct text_buffer *out, struct junit_sum *sum);

#endif
