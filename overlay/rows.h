/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two databases, row by row: what was inserted, updated, deleted, and which parts of the schema.
 *
 * How it works. Each table is read once on both sides, in the order of its key, and merged; so memory does not grow
 * with the tables, and equal rows cost a comparison. Each side is one transaction. The order is SQLite's for bytes,
 * whatever collation the key has: 'a' and 'A' are two keys here, so that a row whose key only changed its case is one
 * deleted and one inserted. Values are the same when their type and their bytes are: 1 and 1.0 are not.
 *
 * The key is the primary key; where there is none, or where a row has NULL in it (which SQLite allows), the rowid, by
 * the name under which it can be asked. VACUUM may give such rows other ones, and then each of them differs.
 * Generated columns are not compared, they follow from the others. Of a table that was altered the columns that both
 * sides have are. A virtual table is asked for its rows like any other (full-text search, r-trees) and its shadow
 * tables are passed over. A view has no rows of its own. Statistics (sqlite_stat1…) are passed over; the counters of
 * AUTOINCREMENT (sqlite_sequence) are rows as others are.
 *
 * Both databases may be hostile: the caller is confined. Memory: two rows. */
#ifndef SBX_OVERLAY_ROWS_H
#define SBX_OVERLAY_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sqlite.h"
#include "overlay/query.h"

enum { ROWS_TABLES_MAX = 4096, ROWS_BUSY_TIMEOUT_MS = 5000 };

/* A database by directory and name, as base/sqlite.h wants it. */
struct rows_side {
	const char *path; /* for messages */
	int directory_fd; /* borrowed */
	const char *name; /* NULL: a database without tables */
	enum sqlite_rule rule;
};

enum rows_kind { ROWS_INSERTED = 'I', ROWS_UPDATED = 'U', ROWS_DELETED = 'D' };

enum rows_fate {
	ROWS_SAME,
	ROWS_MADE,    /* it is not there before: all its rows are inserted */
	ROWS_DROPPED, /* it is not there afterwards: all its rows are deleted */
	ROWS_ALTERED, /* its definition is another one; the columns that both have are compared */
};

struct rows_value {
	enum query_type type;
	int64_t integer;
	double real;
	const void *bytes; /* text in UTF-8, without a NUL at the end, or a blob */
	size_t size;
};

/* A table whose rows are compared, or why they are not. Borrowed until the callback returns. */
struct rows_table {
	const char *name;
	enum rows_fate fate;
	bool is_virtual;
	bool has_primary_key; /* else the key is the rowid, which is the first column then */
	unsigned column_count;
	const char *const *columns;
	const unsigned char *key; /* of each column its place in the key, from 1 on; 0: it is not in it */
	const char *problem;	  /* why no rows are compared; NULL: they are */
};

/* Callbacks that return < 0 end the comparison with that result, having filled the error. Any may be NULL. */
struct rows_sink {
	void *argument;
	/* A part of the schema that differs: "table", "index", "view", "trigger"; once each, before all rows. */
	int (*schema)(void *argument, const char *type, const char *name, enum rows_fate fate, struct error *error);
	/* Before the rows of each table that has differing ones, or a problem. */
	int (*table)(void *argument, const struct rows_table *table, struct error *error);
	/* @before  NULL: inserted   @after  NULL: deleted; both have the table's columns */
	int (*row)(void *argument, enum rows_kind kind, const struct rows_table *table, const struct rows_value *before,
		   const struct rows_value *after, struct error *error);
	/* After them. */
	int (*end)(void *argument, const struct rows_table *table, uint64_t inserted, uint64_t updated,
		   uint64_t deleted, struct error *error);
};

struct rows_request {
	struct rows_side before;
	struct rows_side after;
	unsigned busy_timeout_ms; /* 0: ROWS_BUSY_TIMEOUT_MS */
};

struct rows_result {
	uint64_t inserted;
	uint64_t updated;
	uint64_t deleted;
	uint64_t schema;   /* parts of it that differ */
	uint64_t problems; /* tables whose rows are not compared */
};

/** Compares. @ret_result  filled on failure too
 *  Errors: EBUSY locked too long, EBADMSG not a database, EUCLEAN damaged, EINVAL the two do not go together (text
 *  encoding), E2BIG more than ROWS_TABLES_MAX tables, and what the sink returns */
int rows_compare(const struct rows_request *request, const struct rows_sink *sink, struct rows_result *ret_result,
		 struct error *error);

/** Whether type and bytes are the same. */
bool rows_value_is_same(const struct rows_value *a, const struct rows_value *b);

/** A value as people read it, like SQLite's own shell would: NULL is not to be asked. Blobs as x'00ff'.
 *  @return the caller's */
char *rows_value_text(const struct rows_value *value);

#endif
