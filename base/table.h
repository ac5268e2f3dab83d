/* SPDX-License-Identifier: Apache-2.0 */
/* Listings: rows and columns, described once, shown as an aligned table or as JSON (an array of objects).
 *
 *	static const struct table_column columns[] = {
 *		{ "id", "ID", TABLE_TEXT },
 *		{ "started", "STARTED", TABLE_TIME },
 *		{ "tree", NULL, TABLE_TEXT },                 // JSON only
 *	};
 *	owned_table table = { .columns = columns, .column_count = ARRAY_SIZE(columns) };
 *	table_add_text(&table, "3k9f2c7a01");  table_add_number(&table, started_ns);  table_add_text(&table, tree);
 *	table_format(&table, &options, &out);
 *
 * Cells are added row by row in the order of the columns. What came from outside is escaped: no cell can command the
 * terminal or break its line. */
#ifndef SBX_BASE_TABLE_H
#define SBX_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum table_kind {
	TABLE_TEXT,
	TABLE_NUMBER,
	TABLE_BYTES, /* table: "1.5 MiB", JSON: a number */
	TABLE_TIME,  /* nanoseconds since 1970; table: "5 minutes ago", JSON: "2026-03-01T12:00:00.000Z" */
	TABLE_TRUTH, /* table: yes, no; JSON: true, false */
	TABLE_LIST,  /* table: joined, JSON: an array of strings */
};

struct table_column {
	const char *name;  /* the member in JSON */
	const char *title; /* the head in a table; NULL: only in JSON */
	enum table_kind kind;
	unsigned width_max;    /* longer ones are cut in a table, unless no_trunc; 0: never */
	const char *separator; /* of a list in a table; NULL: ", " */
};

enum table_style {
	TABLE_PLAIN,
	TABLE_GOOD, /* green */
	TABLE_BAD,  /* red */
	TABLE_DIM,
};

struct table {
	const struct table_column *columns; /* borrowed */
	size_t column_count;
	struct table_cell *cells;
	size_t cell_count;
};

void table_release(struct table *table);
#define owned_table __attribute__((cleanup(table_release))) struct table

/* Each adds the next cell, of the kind its column has: TABLE_TEXT takes a text (NULL: missing), TABLE_LIST a list, the
 * others a number. A missing one is empty in a table and null in JSON. */
void table_add_text(struct table *table, const char *text);
void table_add_number(struct table *table, int64_t number);
void table_add_list(struct table *table, const struct text_list *list);
void table_add_missing(struct table *table);
/** Gives the cell added last a colour. */
void table_set_style(struct table *table, enum table_style style);

enum table_format {
	TABLE_FORMAT_TABLE,
	TABLE_FORMAT_JSON,
};

struct table_options {
	enum table_format format;
	bool no_trunc;
	bool has_colour;
	unsigned width; /* of the terminal, to which lines are cut unless no_trunc; 0: none */
	int64_t now_ns; /* for ages; CLOCK_REALTIME */
};

/** Fills in what the output and the environment say: width, clock, and colour for a terminal unless NO_COLOR is set
 *  (https://no-color.org) or TERM is dumb; FORCE_COLOR gives it to a pipe, too. */
void table_options_init(struct table_options *options, int output_fd);

/** "table" or "json". @return 0 or -EINVAL */
int table_parse_format(const char *text, enum table_format *ret_format);

/** Adds the whole listing to `out`: a table has its heads even without rows, JSON is "[]" then. */
void table_format(const struct table *table, const struct table_options *options, struct text_buffer *out);

/** A point in time as RFC 3339 in UTC with milliseconds: "2026-03-01T12:00:00.000Z". Returns `text`. */
#define TABLE_TIME_SIZE 32
char *table_time(int64_t time_ns, char text[static TABLE_TIME_SIZE]);

#endif
