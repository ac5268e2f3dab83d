/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to one database, while programs have it open or after they are gone.
 *
 * Must run in the mount namespace in which the programs see the file: POSIX locks on the merged file of an overlay and
 * on the file in its upper directory do not meet, so that to open the upper one behind a live overlay corrupts. And in
 * a process that has no other connection to it: base/sqlite.h.
 *
 * The database is opened for writing even to be read, because only then SQLite recovers what a killed program left; but
 * no statement that changes it is let through unless asked. No statement reaches any other file: no ATTACH, no VACUUM
 * INTO, no extensions. */
#ifndef SBX_OVERLAY_QUERY_H
#define SBX_OVERLAY_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define QUERY_BUSY_TIMEOUT_MS 5000

enum query_type { QUERY_NULL, QUERY_INTEGER, QUERY_REAL, QUERY_TEXT, QUERY_BLOB };

/* Numbers as SQLite writes them, text and blobs as they are. All but blobs end in a NUL that `size` does not count. */
struct query_value {
	enum query_type type;
	const char *bytes; /* NULL for QUERY_NULL */
	size_t size;
};

/* Who gets the answers. A callback that returns < 0 ends the query with that result, having filled the error. Texts are
 * borrowed until it returns. */
struct query_sink {
	void *argument;
	/* Before the rows of each statement that can have some. `statement` counts from 0. */
	int (*columns)(void *argument, unsigned statement, unsigned count, const char *const *names,
		       struct error *error);
	int (*row)(void *argument, unsigned count, const struct query_value *values, struct error *error);
};

struct query {
	const char *path; /* symbolic links are followed */
	const char *sql;  /* one or more statements */
	bool is_writable;
	unsigned timeout_ms;	  /* for all of it; 0: none */
	unsigned busy_timeout_ms; /* 0: QUERY_BUSY_TIMEOUT_MS */
	uint64_t rows_max;	  /* of all statements together; 0: all */
};

struct query_result {
	uint64_t rows;
	uint64_t changes; /* rows inserted, updated, deleted */
	bool is_cut;	  /* there were more than rows_max rows; statements after that one did not run */
};

/** Runs the statements in order, each as a transaction of its own unless they say otherwise.
 *  Errors: EINVAL the SQL is wrong (cause: SQLite's own words), EROFS it would change the database, EACCES it would
 * reach out of it, ETIMEDOUT, EBUSY, and those of database_locate(). */
int query_run(const struct query *query, const struct query_sink *sink, struct query_result *ret_result,
	      struct error *error);

#endif
