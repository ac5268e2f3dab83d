/* SPDX-License-Identifier: Apache-2.0 */
/* What is measured, as tables. */
#ifndef SBX_TESTS_BENCH_ROWS_H
#define SBX_TESTS_BENCH_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One command. In its words stand for what the run has made:
 *	{sbx} {bin}	the program, and the directory of the benchmark's own programs, which lies in the tree
 *	{tree} {work}	the app's directory, the run's scratch directory
 *	{pid}		a process in a live world (of groups with `needs_world`) */
struct row {
	const char *id; /* unique; goals and readers of the JSON name rows by it */
	const char *title;
	const char *command;
	uint64_t files;	    /* {tree} is one of so many files more */
	uint64_t mebibytes; /* {tree} is one with a database of this size */
};

enum row_value {
	VALUE_WALL_MS, /* of the command, from before the fork to after the wait */
	VALUE_PRINTED, /* the number that it prints */
};

/* Rows that are compared with each other: measured in turn, in a new random order each round. The ratios are to the
 * first row. */
struct row_group {
	const char *title;
	const char *unit;
	enum row_value value;
	unsigned rounds_divisor; /* how much rarer than the start of `true`, since each takes longer */
	bool needs_world;
	const struct row *rows;
	size_t count;
};

extern const struct row_group row_groups[];
extern const size_t row_group_count;

enum goal_kind {
	GOAL_RATIO_AT_MOST,
	GOAL_RATIO_AT_LEAST,
	GOAL_MORE_AT_MOST, /* so much more than the reference, in the group's unit */
};

struct goal {
	const char *row;
	const char *reference;
	enum goal_kind kind;
	double wanted;
};

extern const struct goal goals[];
extern const size_t goal_count;

#endif
