/* SPDX-License-Identifier: Apache-2.0 */
/* `sbx test --items LIST -- CMD {}`: anything that has a list, an item at a time in a world (design: "Anything with a
 * list"). What happens, top to bottom: items.c.
 *
 * items_prepare() on the host makes a runner of it, for run_suite(). items_run() is that runner, inside world R. */
#ifndef SBX_RUN_ITEMS_H
#define SBX_RUN_ITEMS_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/run/shard.h"
#include "sandbox/worker/launch.h"
#include "sandbox/worker/spec.h"

enum {
	ITEMS_MAX = 1000000,
	ITEMS_LIST_SIZE_MAX = 16 << 20, /* what LIST prints; JSON_SIZE_MAX, too */
	ITEMS_OUTPUT_MAX = 64 << 20,	/* of one command, that is shown */
};

/* What is to be done. */
struct items_plan {
	char *list; /* a command for the shell; prints lines, or a JSON array of texts */
	unsigned batch;
	unsigned workers;
	struct shard shard;	      /* this part of all items; SHARD_NONE */
	char *junit;		      /* absolute; NULL: none is made */
	struct text_list directories; /* absolute: where commands leave reports, for `junit` */
	int times_fd;		      /* how long each item took last time: times.h; -1 */
};

void items_plan_init(struct items_plan *plan);
void items_plan_release(struct items_plan *plan);

/** As one word of a command line. @return the caller's */
char *items_plan_pack(const struct items_plan *plan);
/** @ret_plan  items_plan_release(), in both cases   Errors: EBADMSG */
int items_plan_unpack(const char *packed, struct items_plan *ret_plan, struct error *error);

/** Makes of spec->payload (CMD) the runner that does it, and opens the file of times.
 *  @plan  its times_fd is filled, and the caller's to close after the run
 *  Errors: EINVAL no {} in CMD. A file of times that cannot be had is none: the order is the list's then. */
int items_prepare(struct spec *spec, const char *tree, struct items_plan *plan, struct error *error);

/** The runner, in R. Prints what commands print, each whole, and a line for each.
 *  @command  with {} and {#}   @ret_exit_code  the worst one, or 128 + signal
 *  Errors: the list cannot be had, or is empty */
int items_run(const struct items_plan *plan, const struct text_list *command, launch_say *say, int *ret_exit_code,
	      struct error *error);

/* ---- its parts, for the tests ---- */

/** Takes a list apart: a JSON array of texts, or lines that are such arrays among others, else lines (empty ones are
 *  none, a CR at the end goes).
 *  @ret_items  added to   Errors: EINVAL an array of something else, E2BIG */
int items_parse(const char *text, size_t size, struct text_list *ret_items, struct error *error);

/** The command for some items. An argument with {} is there once for each item, and so is an option (beginning with -)
 *  right before an argument that is {} alone. {#} becomes `number`.
 *  @items  `count` of them, borrowed   @ret_command  added to */
void items_fill_command(const struct text_list *command, char *const *items, size_t count, unsigned number,
			struct text_list *ret_command);

#endif
