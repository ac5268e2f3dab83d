/* SPDX-License-Identifier: Apache-2.0 */
/* Where a worker's writable layers lie: on its scratch tmpfs where that takes user xattrs, else on disk.
 *
 *   fact  since  source                                         what follows                               test
 *   F35   6.6    tmpfs takes user xattrs; before, an overlay     the probe decides, never the version       …
 *                mounts on it and then breaks
 *
 * On disk means: uppers/ID in the state directory, claimed, removed at the end; or a directory of its own below
 * --scratch DIR; or the kept worker that is entered again. Host side, before clone. */
#ifndef SBX_WORKER_UPPER_H
#define SBX_WORKER_UPPER_H

#include "base/error.h"
#include "sandbox/worker/world.h"

/** Decides, and fills plan->upper_fd (-1: tmpfs). A kept worker's upper_fd is there already and stays.
 *  @note  filled where that is weaker than usual ("disk upper"), else left empty
 *  Errors: the state directory or --scratch DIR cannot hold layers (no user xattrs, on an overlay, read-only), --size
 * or
 *  --inodes without ",try" cannot hold there */
int upper_choose(struct worker_plan *plan, struct world_note *note, struct error *error);

/** After the world's end: removes what upper_choose() made. */
void upper_remove(struct worker_plan *plan);

#endif
