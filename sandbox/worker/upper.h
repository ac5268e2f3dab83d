/* SPDX-License-Identifier: Apache-2.0 */
/* Where a worker's writable layers lie: on its scratch tmpfs where that takes user xattrs, else on disk.
 *
 *   fact  since  source                                         what follows                               test
 *   F35   6.6    tmpfs takes user xattrs; before, an overlay     the probe decides, never the version   020-layers.bats
 *                mounts on it and then breaks
 *
 * On disk means: uppers/ID in the state directory, claimed, removed at the end; or SCRATCH_PREFIX ID below
 * --scratch DIR, the same; or the kept worker that is entered again. Host side, before clone. The environment variable
 * SBX_UPPER (tmpfs, disk) decides for the probe.
 *
 * A --scratch DIR is hidden in the world, like the state directory: other workers' layers lie there, too. */
#ifndef SBX_WORKER_UPPER_H
#define SBX_WORKER_UPPER_H

#include "base/error.h"
#include "sandbox/worker/world.h"

/** Decides, and fills plan->upper_fd (-1: tmpfs). A kept worker's upper_fd is there already and stays. The plan's tree,
 * home, id and state are needed; --scratch DIR is added to plan->hidden.
 *  @note  filled where that is weaker than usual ("disk upper", "disk limits"), else left empty
 *  Errors: the state directory or --scratch DIR cannot hold layers (no user xattrs, on an overlay, read-only), --size
 *  or --inodes without ",try" cannot hold there, the tree or HOME lies in --scratch DIR */
int upper_choose(struct worker_plan *plan, struct world_note *note, struct error *error);

/** The absolute path of --scratch DIR, for the worker's row, which must be written before upper_choose() makes the
 * directory there: what a killed sbx left is found by it. @ret_path the caller's, NULL without --scratch */
int upper_scratch_path(const struct spec *spec, char **ret_path, struct error *error);

/** After the world's end: removes what upper_choose() made, and of a kept worker what only the mount needed. */
void upper_remove(struct worker_plan *plan);

#endif
