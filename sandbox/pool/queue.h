/* SPDX-License-Identifier: Apache-2.0 */
/* Who is next: first come, first served among processes that know nothing of each other (finding 42: flock(2) is not
 * fair, and no call waits for any of several locks).
 *
 * Each waiter has a ticket, a file with the next number, whose lock it holds as long as it lives; it waits for its
 * predecessor's lock, so each end of a turn wakes one process, and a waiter that is killed is passed over. The tickets
 * of one queue lie in the runtime directory: "ticket.QUEUE.NUMBER". Host side. */
#ifndef SBX_POOL_QUEUE_H
#define SBX_POOL_QUEUE_H

#include <stdint.h>

#include "base/error.h"

struct ticket {
	int directory_fd; /* borrowed */
	int fd;
	char name[128];
	uint64_t number;
	size_t prefix_length;
};

#define TICKET_NONE                                                                                                    \
	{                                                                                                              \
		.directory_fd = -1, .fd = -1                                                                           \
	}

/** Takes a ticket. @queue  letters, digits, '.', '-' and '_', at most 80   @directory_fd borrowed until
 *  queue_leave()
 *  Errors: the directory cannot be written */
int queue_enter(int directory_fd, const char *queue, struct ticket *ret_ticket, struct error *error);
/** Waits until nobody is before it.
 *  @deadline_ms  CLOCK_MONOTONIC; UINT64_MAX: none   Errors: ETIMEDOUT */
int queue_wait(const struct ticket *ticket, uint64_t deadline_ms, struct error *error);
/** The turn's end, or the waiting's. Takes TICKET_NONE and a second call. */
void queue_leave(struct ticket *ticket);
/** Removes what killed ones left of a queue that nobody enters any more. */
void queue_remove(int directory_fd, const char *queue);

#endif
