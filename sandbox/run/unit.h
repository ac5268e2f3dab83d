/* SPDX-License-Identifier: Apache-2.0 */
/* The units of a test run, and what world the next of them is given: the one there is, as the units before it left it;
 * that one, brought back to the seed; or one that nobody has used.
 *
 * A unit begins with a lease. Each new test process is one (`worker`). With `file` the hook gives each group of tests
 * that the runner hands out a process, so a lease, of its own (hook.h, SBX_UNIT): the runner does not notice, and the
 * group waits until the world is ready. With `fail` a lease is a unit only after a red test in that world. Playwright
 * ends a test process after each red test, and hands out a describe.serial as a whole, first try and retries alike: so
 * a unit never begins within one.
 *
 * A try that --retry-fresh adds is no unit but a lease of its own kind (lease.h, LEASE_REQUEST_FRESH): its world stands
 * beside the one that the others go on in.
 *
 * A process that was killed, or whose server died, has a new world in any case: that is slots.c's. */
#ifndef SBX_RUN_UNIT_H
#define SBX_RUN_UNIT_H

#include <stdbool.h>

enum unit_kind {
	UNIT_NEVER, /* a world goes on from unit to unit */
	UNIT_WORKER,
	UNIT_FILE,
	UNIT_FAIL,
};

/* Whether a red test is tried once more, in a world that nobody has used, and what the run is if it passes only
 * there. */
enum unit_retry {
	UNIT_RETRY_NEVER,
	UNIT_RETRY_RED,
	UNIT_RETRY_GREEN,
};

/* What was asked for. */
struct unit_choice {
	enum unit_kind fresh;
	enum unit_kind reset;
	enum unit_retry retry;
};

/* What a world has been through since it began, or was last brought back to the seed. */
struct unit_past {
	bool was_leased;
	bool was_red;
};

enum unit_world {
	UNIT_WORLD_AS_IT_IS,
	UNIT_WORLD_RESET,
	UNIT_WORLD_FRESH,
};

/** What the next lease gets in place of a world with that past. Where both are due fresh is: it is the stronger. */
enum unit_world unit_choose(const struct unit_choice *choice, const struct unit_past *past);

/** The word for the hook, SBX_UNIT: "worker", "file" or "fail"; NULL: no unit begins in another world. */
const char *unit_word(const struct unit_choice *choice);

#endif
