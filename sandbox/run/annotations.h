/* SPDX-License-Identifier: Apache-2.0 */
/* Red tests, and why a run did not come about, as annotations of a GitHub Actions job: at the file and line, in the
 * summary of the job and in the change. Workflow commands are lines on stdout or stderr that begin with "::",
 * docs.github.com "Workflow commands for GitHub Actions"; a step shows ten errors. Not where the suite has a reporter
 * that does the same (Playwright's "github"). */
#ifndef SBX_RUN_ANNOTATIONS_H
#define SBX_RUN_ANNOTATIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/run/events.h"

struct annotation;

struct annotations {
	struct annotation *items; /* tests whose last try was red, in the order in which they first were */
	size_t count;
};

/** Whether GITHUB_ACTIONS says so. */
bool annotations_are_wanted(void);

void annotations_hear(struct annotations *annotations, const struct events_test *test);
/** The lines. @workspace  paths below it are shown relative to it; NULL */
void annotations_write(const struct annotations *annotations, const char *workspace, struct text_buffer *out);
void annotations_write_error(const struct error *error, struct text_buffer *out);
void annotations_release(struct annotations *annotations);

/** What annotations_write() says, to stderr, if the job wants it and the suite does not do it itself. */
void annotations_tell(const struct annotations *annotations, const struct events *events);
/** The same of the error that ends a run. */
void annotations_tell_error(const struct error *error);

#endif
