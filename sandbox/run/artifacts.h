/* SPDX-License-Identifier: Apache-2.0 */
/* What a test run leaves on the host: traces, reports, screenshots. Their directories are plain directories of world R
 * (a mount point there would cost Playwright 11 s of EBUSY), shown in each world by a graft, and copied out of R at the
 * end: granted by being told by the runner's own config, and replaced whole, since stale traces must go. */
#ifndef SBX_RUN_ARTIFACTS_H
#define SBX_RUN_ARTIFACTS_H

#include <stddef.h>

#include "base/error.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/events.h"

/** Takes a detached mount of each directory that a new world shares with R: artifacts, and the test processes' TMPDIR.
 *  @ret_grafts  the caller's, as member_begin() takes them */
int artifacts_take_grafts(const struct member *runner, const struct events *events, struct graft **ret_grafts,
			  size_t *ret_count, struct error *error);

/** Copies the artifacts from R to their places on the host. Goes on past what fails.
 *  @return 0, or -errno of the first that failed */
int artifacts_copy_out(const struct member *runner, const struct events *events, struct error *error);

#endif
