/* SPDX-License-Identifier: Apache-2.0 */
/* The workers that a command line is about: by name, or all there are. */
#ifndef SBX_VERBS_WORKERS_H
#define SBX_VERBS_WORKERS_H

#include "base/error.h"
#include "base/text.h"
#include "sandbox/registry/kept.h"
#include "sandbox/registry/lock.h"
#include "sandbox/registry/resolve.h"
#include "sandbox/registry/state.h"
#include "sandbox/verbs/invocation.h"

#define owned_places __attribute__((cleanup(state_paths_release))) struct state_paths

/* All workers of the caller. */
struct worker_list {
	struct lock_list live;	  /* those that live, oldest first */
	struct kept_list kept;	  /* oldest first */
	struct text_list damaged; /* ids in kept/ whose worker.json cannot be read */
};

void worker_list_release(struct worker_list *list);
#define owned_worker_list __attribute__((cleanup(worker_list_release))) struct worker_list

/** Lists them. What only costs time or part of the list (a registry that cannot be used) is printed as a note.
 *  @scope  enum resolve_scope: which of them   @ret_list the caller's */
int workers_list(const struct state_paths *places, unsigned scope, struct worker_list *ret_list, struct error *error);

/** The word by which exactly this worker is found: its name, or its id where others have that name too. Borrowed. */
const char *workers_word_of_live(const struct lock_entry *entry);
const char *workers_word_of_kept(const struct worker_list *list, const struct kept_worker *worker);

/** What a command does to one worker. @return exit status, or -errno with error filled */
typedef int worker_action(const struct invocation *invocation, const struct state_paths *places, const char *word,
			  void *argument, struct error *error);

/** Does it for each operand from number `first` on, or for all of `scope` with --all. A failure is printed and does not
 *  keep it from the others.
 *  @return the worst exit status, or -errno: nothing was done */
int workers_each(const struct invocation *invocation, size_t first, unsigned scope, worker_action *action,
		 void *argument, struct error *error);

/** The same for actions that take long, all of them at once: each in a process of its own, whose output is printed in
 * the order of the words. */
int workers_each_at_once(const struct invocation *invocation, size_t first, unsigned scope, worker_action *action,
			 void *argument, struct error *error);

#endif
