/* SPDX-License-Identifier: Apache-2.0 */
/* sbx logs: what a worker's command wrote, to the stream it wrote it to. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"
#include "sandbox/registry/lock.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/log.h"

/* The main command's. */
#define LOG_FILE "main"

static bool is_live(void *argument)
{
	const struct resolved_worker *found = argument;

	return lock_is_held(found->runtime_fd, found->worker.row.name) == 1;
}

static int fail_without_log(const char *word, struct error *error)
{
	return error_set(error, .number = ENOENT, .step = "show the log of", .object = word,
			 .cause = "what its command writes is not logged: it goes to where 'sbx run' was told to",
			 .remedy = "run it with --keep, which logs it as well");
}

/* The descriptor stays good when a live worker's log is moved to the kept ones meanwhile, or removed. */
static int open_directory(const struct resolved_worker *found, const char *word, int *ret_fd, struct error *error)
{
	owned_text path = found->is_live ? text_duplicate(found->worker.row.log_directory)
					 : text_format("kept/%s/logs", found->worker.row.id);
	int fd;

	if (!path)
		return fail_without_log(word, error);
	fd = openat(found->is_live ? AT_FDCWD : found->state_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return fail_without_log(word, error);
	if (fd < 0)
		return error_set(error, .number = errno, .step = "open the directory of the logs of", .object = word);
	*ret_fd = fd;
	return 0;
}

int verb_logs(struct invocation *invocation, struct error *error)
{
	const char *word = invocation->operands.items[0];
	owned_places places = { 0 };
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_fd directory_fd = -1;
	struct log_show options = { .fds = { STDOUT_FILENO, STDERR_FILENO },
				    .since_ns = (uint64_t)MAX(invocation->since_ms, INT64_C(0)) * 1000000,
				    .tail = invocation->tail,
				    .timestamps = invocation->timestamps };
	int result = workers_find_places(&places, error);

	if (result == 0)
		result = resolve_worker(&places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);
	if (result == 0)
		result = open_directory(&found, word, &directory_fd, error);
	if (result < 0)
		return result;
	if (invocation->follow && found.is_live) {
		options.is_alive = is_live;
		options.argument = &found;
	}
	return log_show(directory_fd, LOG_FILE, &options, error);
}
