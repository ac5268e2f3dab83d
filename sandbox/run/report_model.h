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
/** One within 0 to `max`; what is missing, or beyond, is 0. So that no sum of those taken overflows. */
int64_t report_take_count(struct json_value object, const char *name, int64_t max);
/* Milliseconds since 1970 whose nanoseconds fit: until the year 2255. */
#define REPORT_TIME_MAX INT64_C(9000000000000)

/** -1: none, the run never ended. */
int64_t report_take_exit_code(struct json_value object);

/** "w2", "R": a worker's number, within bounds. */
int report_read_worker_word(struct json_value value);

/* Each takes what is well formed, up to REPORT_LIST_MAX. */
void report_take_attachments(struct report_try *try, struct json_value list);
/** @at  the member with the time */
void report_take_files(struct report_try *try, struct json_value list, const char *at);
/** @return the caller's: an array as it stands, else NULL */
char *report_take_raw_array(struct json_value value);

#endif
