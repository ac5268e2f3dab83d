/* SPDX-License-Identifier: Apache-2.0 */
/* What sbx looks up on the host before a world is made: nothing in the world can change it then.
 *
 * Host side, before clone. plan_init(), then who already knows something fills it in (a kept worker's directory), then
 * plan_make(). */
#ifndef SBX_WORKER_PLAN_H
#define SBX_WORKER_PLAN_H

#include "base/error.h"
#include "sandbox/worker/world.h"

enum { PASS_FDS_MAX = 13 }; /* with 0 to 2 as many as one message takes */

/** An empty plan for this spec, which is borrowed. */
void plan_init(struct worker_plan *plan, const struct spec *spec);

/** Looks everything up, in the order of the list in plan.c. Id, lock and listener are listing.h's.
 *  @return 0 or -errno; plan_release() in both cases */
int plan_make(struct worker_plan *plan, struct error *error);

/** Only who runs this, which tree, and which databases: nothing is opened or published. Instead of plan_make(). */
int plan_look(struct worker_plan *plan, struct error *error);

/** Has the state directory hidden, once it is there: it lies in HOME as a rule, and holds other workers' rows. */
int plan_hide_state(struct worker_plan *plan, struct error *error);

void plan_release(struct worker_plan *plan);

#endif
