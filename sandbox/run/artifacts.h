/* SPDX-License-Identifier: Apache-2.0 */
/* What a test run leaves on the host: traces, reports, screenshots, coverage. Their directories are plain directories
 * of world R (a mount point there would cost Playwright 11 s of EBUSY), shown in each world by a graft, and copied out
 * of R at the end, and replaced whole, since stale traces must go.
 *
 * What the runner's config names is granted below the tree and the repository that the tree lies in, since whatever
 * runs in R could say the same: HOME, and the repository's own .git, are no place of artifacts. `artifacts:` in
 * sbx.yaml grants places in HOME as well. On the host no symbolic link is followed below either, or one that an earlier
 * run left among its artifacts would lead a later one out.
 *
 * Three kinds. Told directories are replaced even by nothing. Usual ones (coverage) are nobody's promise: they come
 * when something changed in them. Files are copied out of R; worlds cannot share a file, so theirs are harvest.h's. */
#ifndef SBX_RUN_ARTIFACTS_H
#define SBX_RUN_ARTIFACTS_H

#include <stddef.h>

#include "base/error.h"
#include "sandbox/pool/member.h"
#include "sandbox/pool/project.h"
#include "sandbox/run/events.h"

/* All absolute. */
struct artifacts {
	struct text_list directories;
	struct text_list usual;
	struct text_list files;
	struct text_list named_files; /* those of `files` that sbx.yaml names */
	struct text_list outside;     /* not granted: shared by the worlds as well, but they stay inside */
	struct text_list outside_files;
};

/** What is known by now: the config may not have been told yet.
 *  A path in sbx.yaml is a directory or a file as the host has it; of a missing one, a file if its name has a suffix.
 *  @runner  its plan has been made   @project  may be one without a file   @ret_artifacts  artifacts_release() */
void artifacts_list(const struct member *runner, const struct events *events, const struct project *project,
		    struct artifacts *ret_artifacts);
void artifacts_release(struct artifacts *artifacts);
#define owned_artifacts __attribute__((cleanup(artifacts_release))) struct artifacts

/** Whether a path lies where artifacts do: what is written there is nobody else's business. */
bool artifacts_have(const struct artifacts *artifacts, const char *path);

/** Opens the directory of the host in which the last name of `path` is to lie, made where it is missing; no symbolic
 *  link is followed below the tree, the repository or HOME. @ret_fd the caller's   Errors: ELOOP */
int artifacts_open_parent(const struct member *runner, const char *path, int *ret_fd, struct error *error);

/** Says what does not come to the host, and why. */
void artifacts_tell_outside(const struct member *runner, const struct artifacts *artifacts, launch_say *say);

/** Takes a detached mount of each directory that a new world shares with R: artifacts, and the test processes' TMPDIR.
 *  @ret_grafts  the caller's, as member_begin() takes them */
int artifacts_take_grafts(const struct member *runner, const struct artifacts *artifacts, struct graft **ret_grafts,
			  size_t *ret_count, struct error *error);

/** Copies the artifacts from R to their places on the host. Goes on past what fails.
 *  @return 0, or -errno of the first that failed */
int artifacts_copy_out(const struct member *runner, const struct artifacts *artifacts, struct error *error);

#endif
