/* SPDX-License-Identifier: Apache-2.0 */
/* The seed of a run's worlds: R, stopped for a moment and copied to the run's directory.
 *
 * A run freezes more than once where a setup project does something after the first worlds have begun: `generation`
 * tells the worlds of one freeze from those of another. It blocks the run's loop for some milliseconds, in which R
 * stands still anyway. */
#ifndef SBX_RUN_FREEZE_H
#define SBX_RUN_FREEZE_H

#include <stdbool.h>

#include "base/error.h"
#include "overlay/seed.h"
#include "sandbox/run/checks.h"
#include "sandbox/run/runner.h"

struct freeze {
	struct runner *runner; /* borrowed */
	struct checks *checks; /* borrowed */
	bool is_taken;
	unsigned generation; /* of the newest: hosted processes that had ended by then */
	unsigned count;
	struct seed seed; /* the newest */
};

void freeze_release(struct freeze *freeze);

/** Sees to it that there is one which shows the work of that many hosted processes (hook.h section 2).
 *  Errors: of R's PID 1, a database that is never still; what listens in R is not what the worlds will have */
int freeze_take_after(struct freeze *freeze, unsigned after, struct error *error);

#endif
