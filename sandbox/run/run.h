/* SPDX-License-Identifier: Apache-2.0 */
/* `sbx test`: one runner, its test processes spread over worlds. What happens, top to bottom: run.c.
 *
 * Host side. The process that calls this supervises the run in the foreground; nothing is left when it ends. */
#ifndef SBX_RUN_RUN_H
#define SBX_RUN_RUN_H

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/pool/project.h"
#include "sandbox/run/events.h"
#include "sandbox/run/shard.h"
#include "sandbox/run/unit.h"
#include "sandbox/worker/launch.h"
#include "sandbox/worker/spec.h"

struct run_options {
	const struct spec *spec; /* borrowed: what a world is like; its payload is the runner's command. `keep`: which
				  * worlds are kept */
	const struct text_list *command; /* borrowed: what the user wrote, where the payload is sbx items; NULL */
	const struct project *project;	 /* borrowed: its artifacts */
	unsigned workers;		 /* -n; 0: the runner's own number */
	struct shard shard;		 /* for the runner's own --shard; SHARD_NONE */
	bool blame;			 /* look at a world after each test, and say what it left */
	struct unit_choice units;	 /* which tests begin in worlds that are fresh, or reset */
	launch_say *say;
	/* For one who runs a suite to find something out (why.h). */
	const struct text_list *arguments; /* more words for the runner's command line, through the hook; NULL: none */
	bool (*hear_test)(void *argument, const struct events_test *test); /* false: enough, end it; NULL */
	void *argument;
	bool without_artifacts;	      /* those of the run before stay */
	const char *bundle_directory; /* where bundles of the worlds kept are made; NULL: none are */
};

/** Runs a suite.
 *  @ret_exit_code  the runner's own, 128 + signal, 124, or 125 where sbx failed or the tests were not isolated
 *  Errors: of setting up, of a freeze, of a world; the run has ended then */
int run_suite(const struct run_options *options, int *ret_exit_code, struct error *error);

#endif
