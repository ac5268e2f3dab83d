/* SPDX-License-Identifier: Apache-2.0 */
/* What the worlds of run, up and test start from: --seed NAME, or the seed that sbx.yaml describes, which is made first
 * where it is missing or does not fit any more. */
#ifndef SBX_VERBS_START_H
#define SBX_VERBS_START_H

#include "base/error.h"
#include "sandbox/pool/project.h"
#include "sandbox/registry/seeds.h"
#include "sandbox/verbs/invocation.h"
#include "sandbox/worker/seeding.h"

/** Makes the repository around the tree copy-on-write, too (worker/repository.h), and fills spec.seed of the
 *  invocation, which borrows from `ret_hold`.
 *  @project   with `seed:` or without; NULL: there is none
 *  @ret_hold  seed_hold_release(), when the invocation is not used any more
 *  @return 0, or -errno: ENOENT, ESTALE it does not fit the tree; ECHILD the command of `seed:` failed */
int start_choose(struct invocation *invocation, const struct project *project, struct seed_hold *ret_hold,
		 struct error *error);

/** For a pool's world that is made anew: what the others started from. @place  seed_take_place()'s; NULL: none */
int start_take_again(struct invocation *invocation, const char *place, struct seed_hold *ret_hold, struct error *error);

/* The keys of sbx.yaml on which it depends what a seed holds; the last is NULL. */
extern const char *const start_content_keys[];
/** Those of file and line that have such a key, as they are part of a seed's own key. @list  added to */
void start_list_content(const struct invocation *invocation, const struct project *project, struct text_list *list);

#define owned_hold __attribute__((cleanup(seed_hold_release))) struct seed_hold

/** Makes a seed: runs the spec's payload in a world and freezes that.
 *  @ret_made        false: it was there and fits
 *  @ret_exit_code   of the command; 0 when the seed is there
 *  @return 0 or -errno; the command's own failure is an exit code */
int start_make_seed(const struct seeding_options *options, bool is_forced, bool *ret_made, int *ret_exit_code,
		    struct error *error);

#endif
