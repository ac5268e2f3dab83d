/* SPDX-License-Identifier: Apache-2.0 */
/* A reset, asked of a live world, and told in one line. Host side; task.h says what it does. */
#ifndef SBX_WORKER_RESET_H
#define SBX_WORKER_RESET_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum reset_what { RESET_ALL, RESET_ROWS };

struct reset_answer {
	uint64_t files; /* put back */
	uint64_t meanwhile;
	uint64_t row_bytes;
	uint64_t microseconds; /* in the world */
	struct text_list databases;
	struct text_list stays_wal;
	char *json; /* as the task wrote it */
};

void reset_answer_release(struct reset_answer *answer);
#define owned_reset_answer __attribute__((cleanup(reset_answer_release))) struct reset_answer

/** @socket  a connection to its PID 1; where the world is leased, that of the lease
 *  Errors: ENOTSUP it cannot be done in place, and nothing was changed; EBUSY it is leased, being reset, or a database
 * is locked; others may leave it half done, and then PID 1 lets nobody lease it */
int reset_ask(int socket, enum reset_what what, struct reset_answer *ret_answer, struct error *error);

/** "3 files, rows of App.db (10 MiB), 8.4 ms"; "nothing had changed, 0.6 ms". @return the caller's */
char *reset_format(const struct reset_answer *answer);

#endif
