/* SPDX-License-Identifier: Apache-2.0 */
/* sbx seed inspect: what seeds were made of, whether that is so still, and who uses them. */
#ifndef SBX_VERBS_SEED_INSPECT_H
#define SBX_VERBS_SEED_INSPECT_H

#include "sandbox/verbs/invocation.h"

/** Prints what is known of those whose names are the operands from the second on. @seeds_fd borrowed */
int seed_inspect(const struct invocation *invocation, int seeds_fd, struct error *error);

#endif
