/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of a suite this machine runs, where several share one: said on the line, or by what runs the job. */
#ifndef SBX_RUN_SHARD_H
#define SBX_RUN_SHARD_H

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct shard {
	unsigned index; /* from 1 */
	unsigned count;
};

#define SHARD_NONE                                                                                                     \
	{                                                                                                              \
		.index = 0, .count = 0                                                                                 \
	}

enum { SHARDS_MAX = 10000 };

/** Understands "I/N". Errors: EINVAL */
int shard_parse(const char *text, struct shard *ret_shard, struct error *error);

/** Asks the environment: the table in shard.c.
 *  @environment  as environ(7)
 *  Errors: ENOENT nothing in it tells one, EINVAL what tells one is incomplete or out of range; both name variables */
int shard_find(char *const *environment, struct shard *ret_shard, struct error *error);

/** Whether a runner's command line has the very option. */
bool shard_is_taken(const struct shard *shard, const struct text_list *arguments);

#endif
