/* SPDX-License-Identifier: Apache-2.0 */
/* What the job of a CI service expects back from its step: files that the step adds lines to, named by variables. They
 * lie in HOME as a rule, where a line would go to a copy of the worker's own. World R gets the files themselves,
 * writable; the worlds do not: what one of them wrote there would reach the others. */
#ifndef SBX_RUN_JOB_H
#define SBX_RUN_JOB_H

#include "sandbox/worker/spec.h"

/** @ret_volumes  those given, borrowed, and one for each such file; job_release_files() */
void job_add_files(const struct volume_list *volumes, struct volume_list *ret_volumes);
void job_release_files(struct volume_list *volumes);

#endif
