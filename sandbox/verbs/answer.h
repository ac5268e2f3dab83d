/* SPDX-License-Identifier: Apache-2.0 */
/* A task in a worker whose output is wanted here, not on stdout. */
#ifndef SBX_VERBS_ANSWER_H
#define SBX_VERBS_ANSWER_H

#include "base/error.h"
#include "base/text.h"
#include "sandbox/worker/visit.h"

/** Runs a task that writes its answer to its first descriptor, which is filled in here, and reads what it wrote.
 *  @answer  added to; it comes from inside: hostile
 *  @return the task's exit status, or -errno. Errors: EFBIG more than ANSWER_SIZE_MAX, and those of visit_run_task() */
int answer_task(struct visit *visit, struct task task, struct text_buffer *answer, struct error *error);

#define ANSWER_SIZE_MAX (64u << 20)

#endif
