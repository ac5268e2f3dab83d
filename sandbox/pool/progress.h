/* SPDX-License-Identifier: Apache-2.0 */
/* How far several workers are, on stderr: on a terminal one live line for each, anywhere else a plain line for each
 * change; under GitHub Actions those in a group that can be folded. Host side. */
#ifndef SBX_POOL_PROGRESS_H
#define SBX_POOL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum progress_mode {
	PROGRESS_PLAIN,
	PROGRESS_LIVE,
	PROGRESS_GITHUB,
};

enum progress_state {
	PROGRESS_BUSY,
	PROGRESS_GOOD,
	PROGRESS_BAD,
};

/** What the output and the environment ask for: CI and TERM=dumb want plain lines, GITHUB_ACTIONS groups. */
enum progress_mode progress_choose_mode(int fd, unsigned workers);

struct progress;

struct progress_options {
	int fd;
	enum progress_mode mode;
	bool has_colour;
	unsigned workers;
	unsigned width;	   /* lines are cut to it; 0: not at all */
	const char *title; /* of the group */
};

struct progress *progress_new(const struct progress_options *options);
/** Leaves what it shows as it is. Takes NULL. */
void progress_free(struct progress *progress);

/** A worker has come to a phase: "starts", "api is ready", "is ready".
 *  @now_ms  CLOCK_MONOTONIC; the first one of a worker begins its time */
void progress_set(struct progress *progress, unsigned worker, enum progress_state state, const char *phase,
		  uint64_t now_ms);
/** A line that stays, above the live ones; without "sbx: " and newline. */
void progress_say(struct progress *progress, const char *line);
/** Makes room for what somebody else writes to the same terminal, and shows itself again. */
void progress_hide(struct progress *progress);
void progress_show(struct progress *progress);
/** No more changes: ends the group, lets the live lines stand. */
void progress_finish(struct progress *progress);

#endif
