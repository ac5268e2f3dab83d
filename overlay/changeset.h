/* SPDX-License-Identifier: Apache-2.0 */
/* Changesets: the rows that differ, in the form that SQLite's session extension reads (and any program that has it), to
 * be done again in another database. https://sqlite.org/sessionintro.html; the format stands in
 * ext/session/sqlite3session.c.
 *
 * Written here and not by that extension: its own comparison of two databases misses a row whose text only changed its
 * case under a NOCASE collation, or 1 that became 1.0, and keeps all changes in memory twice.
 *
 * A changeset holds rows of tables with a primary key and nothing of the schema. What differs and is not in it is
 * named: rows of a table without such a key or with NULL in it, of a virtual table, or one that was dropped or altered,
 * and SQLite's own tables. Rows that swapped the values of a UNIQUE column cannot be applied one after the other: a
 * conflict, told as one. */
#ifndef SBX_OVERLAY_CHANGESET_H
#define SBX_OVERLAY_CHANGESET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "overlay/rows.h"

enum {
	CHANGESET_BYTES_MAX = 256 << 20,  /* it is read and written as a whole */
	CHANGESET_CONFLICTS_TOLD_MAX = 4, /* by name; the others are counted */
};

struct changeset {
	struct text_buffer bytes;
	uint64_t changes;
	struct text_list left; /* what is not in it: "table log: it has no primary key (3 rows)" */
};

void changeset_release(struct changeset *changeset);
#define owned_changeset __attribute__((cleanup(changeset_release))) struct changeset

/** Compares two databases, as rows_compare() does. The changeset leads from `before` to `after`.
 *  @ret_changeset  empty; to be released in any case   Errors: as rows_compare(); EFBIG */
int changeset_make(const struct rows_request *request, struct changeset *ret_changeset, struct error *error);

struct changeset_target {
	const char *path; /* for messages */
	int directory_fd; /* borrowed */
	const char *name;
	unsigned busy_timeout_ms; /* 0: ROWS_BUSY_TIMEOUT_MS */
};

/** Does the changes, all of them or none, in one transaction. Triggers do not run, and foreign keys do not cascade:
 *  what they did is in the changeset; none may be broken in the end that was not before. Full-text tables that triggers
 *  would keep up are to be rebuilt by the caller.
 *  @bytes  hostile
 *  @ret_changes  how many
 *  Errors: EBADMSG it is no changeset; ESTALE a row is not as the changeset expects it, or the database lacks a table
 *  or has it in another shape, each named; EBUSY, and those of SQLite */
int changeset_apply(const struct changeset_target *target, const void *bytes, size_t size, uint64_t *ret_changes,
		    struct error *error);

#endif
