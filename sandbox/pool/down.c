/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/down.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/registry/collect.h"
#include "sandbox/registry/lock.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/request.h"

static int stop_world(const struct state_paths *places, const struct pool *pool, unsigned index, uint64_t grace_ms,
		      int *ret_fd)
{
	struct request_header header = { .kind = REQUEST_STOP,
					 .argument = grace_ms == ASK_OWN_GRACE ? -1 : (int64_t)grace_ms };
	int result = pool_connect(places, pool, index, ret_fd, NULL);

	return result < 0 ? result : request_send(*ret_fd, &header, NULL, NULL);
}

static void wait_for_end(int fd)
{
	struct reply reply;

	while (reply_receive(fd, &reply, NULL) > 0)
		;
}

/* Its lock is let go of a moment after its connections. */
static int remove_listing(const struct state_paths *places, const struct pool *pool, unsigned index,
			  struct error *error)
{
	owned_text name = pool_worker_name(pool, index);
	owned_runtimes runtimes = { 0 };
	int result = 0;

	state_open_runtimes(places, &runtimes);
	for (size_t i = 0; i < runtimes.count && result == 0; i++) {
		result = lock_wait(runtimes.fds[i], name, error);
		if (result == 0)
			(void)lock_collect(runtimes.fds[i], name, NULL);
	}
	return result;
}

int down_run(const struct state_paths *places, struct pool *pool, uint64_t grace_ms, struct error *error)
{
	unsigned count = pool_worlds(&pool->description);
	int *fds = calloc(count, sizeof(*fds));
	owned_fd lock_fd = -1;
	int result;

	if (!fds)
		abort();
	/* So that nobody makes a world anew meanwhile. */
	result = pool_lock_refill(pool, POOL_REFILL_WAIT, &lock_fd, error);
	for (unsigned i = 0; i < count && result == 0; i++) {
		fds[i] = -1;
		(void)stop_world(places, pool, i, grace_ms, &fds[i]); /* one that does not live is down already */
	}
	for (unsigned i = 0; i < count && result == 0; i++) {
		if (fds[i] >= 0)
			wait_for_end(fds[i]);
		fd_close(&fds[i]);
	}
	for (unsigned i = 0; i < count && result == 0; i++)
		result = remove_listing(places, pool, i, error);
	pool_remove_queues(places, pool);
	free(fds);
	/* Its layers on disk: nobody was left to remove them. What cannot be removed now the next command tries. */
	(void)collect_dead(places, COLLECT_REMOVE, NULL, NULL);
	return result < 0 ? result : pool_remove(pool, error);
}
