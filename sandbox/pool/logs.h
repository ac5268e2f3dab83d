/* SPDX-License-Identifier: Apache-2.0 */
/* Several logs shown as one, each line whole and with the name of whose it is in front: what `up` shows in the
 * foreground, and `logs` of a worker with several services. Lines come in the order of their times.
 *
 *	logs_new(), logs_add() for each, then logs_show() whenever logs_fd() is readable (or after a while), and
 *	logs_finish() when nobody writes any more. Host side. */
#ifndef SBX_POOL_LOGS_H
#define SBX_POOL_LOGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/worker/log.h"

struct logs_options {
	int fds[LOG_STREAM_COUNT]; /* where each stream goes */
	uint64_t since_ns;
	uint64_t tail; /* of each log; LOG_TAIL_ALL */
	bool timestamps;
	bool has_colour;
};

struct logs;

struct logs *logs_new(const struct logs_options *options);
void logs_free(struct logs *logs);

/** One log more; it need not be there yet. @directory_fd duplicated  @prefix  in front of each line; "": none
 *  Errors: no descriptors left */
int logs_add(struct logs *logs, int directory_fd, const char *name, const char *prefix, struct error *error);

/** Readable when there may be something new. -1: this machine has no inotify(7) instance left, look now and then. */
int logs_fd(const struct logs *logs);
/** Whether logs_show() would show something, for who has to make room. */
bool logs_has_news(struct logs *logs);
/** Shows what there is by now. A line without its end stays for later. Errors: of read(2) and write(2) */
int logs_show(struct logs *logs, struct error *error);
/** The same, with last lines that have no end, which get one. */
int logs_finish(struct logs *logs, struct error *error);

#endif
