/* SPDX-License-Identifier: Apache-2.0 */
/* What the journal of a run (journal.h) says of one of its worlds: for a bundle of it. Host side.
 *
 * Taken are the lines of that world and of R, of the run, of the tests that ran in that world, and of what these
 * changed; up to the moment at which the world was kept, so that the same world always makes the same excerpt. What the
 * runner says of itself and its configuration is left out: credentials may stand in there. */
#ifndef SBX_RUN_EXCERPT_H
#define SBX_RUN_EXCERPT_H

#include "base/error.h"
#include "base/text.h"
#include "sandbox/registry/resolve.h"

/** Adds the lines. A worker of no run, and one whose run is forgotten, has none.
 *  @state_fd  of the state directory, borrowed
 *  @worker  of a live one all that is there   Errors: of reading */
int excerpt_make(int state_fd, const struct resolved_worker *worker, struct text_buffer *out, struct error *error);

#endif
