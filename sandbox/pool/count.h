/* SPDX-License-Identifier: Apache-2.0 */
/* How many workers: `-n N|N%|auto`. Host side. */
#ifndef SBX_POOL_COUNT_H
#define SBX_POOL_COUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum { COUNT_WORKERS_MAX = 256 };

struct count {
	bool is_auto;
	unsigned number;  /* 0: not said so */
	unsigned percent; /* of the processors, as Playwright has it; 0: not said so */
};

/** Reads "4", "50%" or "auto". Errors: EINVAL, ERANGE */
int count_parse(const char *text, struct count *ret_count);

/* What one worker takes, measured once its services are ready. */
struct count_size {
	uint64_t memory_bytes;
	unsigned inotify_instances;
};

/* What this machine has; 0 where it cannot be told. */
struct count_machine {
	unsigned processors;	    /* that this process may use */
	uint64_t memory_bytes;	    /* available */
	uint64_t inotify_instances; /* that this user has left */
	uint64_t namespaces;	    /* that this user may make, the least of the kinds a world has */
};

/** Looks. */
void count_read_machine(struct count_machine *ret_machine);
/** Measures a world by its processes. @pid of its PID 1 on the host */
void count_measure(pid_t pid, struct count_size *ret_size);

#define COUNT_REASON_SIZE 256

/** The memory of those of a world's processes that have this in the environment they began with, "NAME=VALUE". */
uint64_t count_memory_of(pid_t pid, const char *variable);

/** How many the machine bears; at least one.
 *  @size    NULL: not measured yet
 *  @reason  "2: processors 2, memory 14 (600 MiB each), …", the binding one first; may be NULL */
unsigned count_fit(const struct count_machine *machine, const struct count_size *size, char *reason);

/** Playwright's rule: rounded down, at least one. */
unsigned count_percent(unsigned percent, unsigned processors);

#endif
