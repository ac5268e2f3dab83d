/* SPDX-License-Identifier: Apache-2.0 */
/* What a world has written, told file by file: TASK_DIFF's answer, taken apart. */
#ifndef SBX_RUN_CHANGES_H
#define SBX_RUN_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/pool/member.h"

enum { CHANGES_ROWS_BYTES_MAX = 1 << 20 };

struct change {
	char kind;	    /* 'A' added, 'C' changed, 'D' removed */
	const char *path;   /* absolute; borrowed until the callback returns */
	bool is_file;	    /* a regular one */
	int64_t changed_ms; /* when it was changed last, CLOCK_REALTIME; 0: not known */
};

typedef void changes_each(void *argument, const struct change *change);

/** Asks a world for what changed in it since it began.
 *  @place  only what lies below it   Errors: EFBIG more than can be told */
int changes_read(const struct member *member, const char *place, changes_each *each, void *argument,
		 struct error *error);

/** Asks a world for the rows in which its databases differ from what it began with.
 *  @ret_json  the caller's: an array on one line, as scripts/schema/db-diff.json has it
 *  Errors: EFBIG more than CHANGES_ROWS_BYTES_MAX, and those of TASK_DB_DIFF */
int changes_read_rows(const struct member *member, char **ret_json, struct error *error);

#endif
