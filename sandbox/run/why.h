/* SPDX-License-Identifier: Apache-2.0 */
/* Why a test is red that was green in a suite's usual order: `sbx test --why TITLE`.
 *
 * How it works. The suite runs several times, in one world each time, which is new each time: with that test alone,
 * then with all that come before it, and where the two differ with halves of these, until one is left. Playwright's
 * --grep chooses the tests; the hook puts it on the command line, so that it works through `npm run`, too. */
#ifndef SBX_RUN_WHY_H
#define SBX_RUN_WHY_H

#include "base/error.h"
#include "sandbox/run/run.h"

struct why_options {
	const struct run_options *run; /* borrowed: spec and say count */
	const char
		*title; /* as a report shows it: "Orders › ships", or with "[project] › FILE:LINE:COLUMN › " before */
	launch_say *say; /* for each step */
};

/** Finds out. @ret_verdict  the caller's: "real: …", "flaky: …", "needs rows made by FILE:LINE: …"
 *  Errors: of running the suite, ENOENT there is no such test, ENOTUNIQ there are several */
int why_find(const struct why_options *options, char **ret_verdict, struct error *error);

/* ---- its parts, for the tests ---- */

/** The words of a title as a report shows it, without project and place. @return the caller's */
char *why_plain_title(const char *shown);
/** A regular expression for --grep that fits the whole title of one test. @return the caller's */
char *why_pattern(const char *file, const char *title);

#endif
