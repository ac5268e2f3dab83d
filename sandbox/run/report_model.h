/* SPDX-License-Identifier: Apache-2.0 */
/* Growing a report's lists and taking members of JSON into them: for those who read one. */
#ifndef SBX_RUN_REPORT_MODEL_H
#define SBX_RUN_REPORT_MODEL_H

#include "base/json.h"
#include "sandbox/run/report.h"

/** Makes room for one item more, all zero. @return the list, which may have moved */
void *report_grow(void *items, size_t count, size_t size);
#define REPORT_ADD(items, count)                                                                                       \
	(*(items) = report_grow(*(items), *(count), sizeof(**(items))), &(*(items))[(*(count))++])

/** Errors: E2BIG; NULL then */
struct report_run *report_add_run(struct report *report, struct error *error);

/** @return the caller's: a copy of `otherwise` where there is no such member; NULL stays NULL */
char *report_take_text(struct json_value object, const char *name, const char *otherwise);
int64_t report_take_number(struct json_value object, const char *name, int64_t otherwise);

/* Each takes what is well formed, up to REPORT_LIST_MAX. */
void report_take_attachments(struct report_try *try, struct json_value list);
/** @at  the member with the time */
void report_take_files(struct report_try *try, struct json_value list, const char *at);
void report_take_table(struct report_try *try, struct json_value object, const char *database);

#endif
