/* SPDX-License-Identifier: Apache-2.0 */
/* sbx rm: kept workers, and with --force live ones, which end first. Says which are gone. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/fd.h"
#include "sandbox/registry/registry.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/visit.h"

enum {
	END_WAIT_MS = 10000, /* from the end of its command to the end of a worker that is being kept */
	END_POLL_MS = 5,
};

static int remove_kept(int state_fd, const char *id, struct error *error)
{
	struct error note = { 0 };
	int result = kept_remove(state_fd, id, error);

	if (result < 0)
		return result;
	registry_remove(state_fd, id, &note);
	output_note(&note);
	return 0;
}

/* Its sbx may still be keeping it: flock(2) has no way to be told. */
static int wait_until_gone(const struct resolved_worker *found, struct error *error)
{
	const char *name = found->worker.row.name;

	for (int waited_ms = 0; lock_is_held(found->runtime_fd, name) == 1; waited_ms += END_POLL_MS) {
		if (waited_ms >= END_WAIT_MS)
			return error_set(error, .number = ETIMEDOUT, .step = "see the end of", .object = name,
					 .cause = "its command has ended, its sbx has not",
					 .remedy = "try again, or look with 'sbx ps -a'");
		(void)nanosleep(&(struct timespec){ .tv_nsec = END_POLL_MS * 1000000L }, NULL);
	}
	return 0;
}

static int end_live(const struct invocation *invocation, const struct resolved_worker *found, const char *word,
		    struct error *error)
{
	uint64_t grace_ms = invocation->stop_timeout_ms == STOP_TIMEOUT_UNSET ? 0 : invocation->stop_timeout_ms;
	owned_visit visit = NULL;
	int result;

	if (!invocation->force)
		return error_set(error, .number = EBUSY, .step = "remove the worker", .object = word,
				 .cause = "it is live", .remedy = "end it with 'sbx stop', or use --force");
	result = visit_open(word, RESOLVE_LIVE, &visit, error);
	if (result == 0)
		result = visit_stop(visit, grace_ms, error);
	/* It ended by itself in between. */
	if (result == -ENOENT && lock_is_held(found->runtime_fd, found->worker.row.name) == 0)
		result = 0;
	return result < 0 ? result : wait_until_gone(found, error);
}

/* A directory whose worker.json is damaged is no worker to anybody else, and must not stay for ever. */
static int remove_damaged(const struct state_paths *places, const char *word)
{
	owned_fd state_fd = -1;

	if (!kept_is_worker(word) || state_open(places, STATE_LEAVE, &state_fd, NULL) < 0)
		return -ENOENT;
	return kept_remove(state_fd, word, NULL);
}

static int remove_worker(const struct invocation *invocation, const struct state_paths *places, const char *word,
			 void *argument, struct error *error)
{
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_fd state_fd = -1;
	int result = resolve_worker(places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);

	(void)argument;
	if (result == -ENOENT && remove_damaged(places, word) == 0)
		result = 0;
	else if (result == 0 && !found.is_live)
		result = remove_kept(found.state_fd, found.worker.row.id, error);
	else if (result == 0)
		result = end_live(invocation, &found, word, error);
	/* What was live may be kept by now. */
	if (result == 0 && found.is_live && found.worker.row.id &&
	    state_open(places, STATE_LEAVE, &state_fd, NULL) == 0) {
		result = remove_kept(state_fd, found.worker.row.id, error);
		result = result == -ENOENT ? 0 : result;
	}
	if (result == 0) {
		*error = (struct error){ 0 };
		(void)printf("%s\n", found.worker.row.name ? found.worker.row.name : word); /* main() looks after it */
		return 0;
	}
	/* rm(1)'s and docker's habit: with --force it is no failure that there is none, but it is told. */
	return result == -ENOENT && invocation->force ? 0 : result;
}

int verb_rm(struct invocation *invocation, struct error *error)
{
	return workers_each(invocation, 0, RESOLVE_KEPT | (invocation->force ? RESOLVE_LIVE : 0), remove_worker, NULL,
			    error);
}
