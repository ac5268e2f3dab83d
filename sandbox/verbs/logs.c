/* SPDX-License-Identifier: Apache-2.0 */
/* sbx logs: what a worker's command wrote, to the stream it wrote it to. A worker without one, a world of a test run,
 * has a log for each of its servers. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"
#include "sandbox/registry/lock.h"
#include "sandbox/verbs/output.h"
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

static int is_log(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int list_logs(int directory_fd, const char *word, struct text_list *names, struct error *error)
{
	struct dirent **found = NULL;
	int count = faccessat(directory_fd, LOG_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0
			    ? 0
			    : scandirat(directory_fd, ".", &found, is_log, alphasort);

	if (count < 0)
		return error_set(error, .number = errno, .step = "list the logs of", .object = word);
	for (int i = 0; i < count; i++) {
		text_list_add(names, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	if (names->count == 0)
		text_list_add(names, LOG_FILE);
	return 0;
}

static int show_all(int directory_fd, const struct text_list *names, const struct log_show *options,
		    struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < names->count && result >= 0; i++) {
		owned_buffer heading = { 0 };

		text_buffer_format(&heading, "== %s ==\n", names->items[i]);
		if (names->count > 1)
			result = output_write(&heading, "the log", error);
		if (result >= 0)
			result = log_show(directory_fd, names->items[i], options, error);
	}
	return result;
}

int verb_logs(struct invocation *invocation, struct error *error)
{
	const char *word = invocation->operands.items[0];
	owned_places places = { 0 };
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_fd directory_fd = -1;
	owned_list names = { 0 };
	struct log_show options = { .fds = { STDOUT_FILENO, STDERR_FILENO },
				    .since_ns = (uint64_t)MAX(invocation->since_ms, INT64_C(0)) * 1000000,
				    .tail = invocation->tail,
				    .timestamps = invocation->timestamps };
	int result = workers_find_places(&places, error);

	if (result == 0)
		result = resolve_worker(&places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);
	if (result == 0)
		result = open_directory(&found, word, &directory_fd, error);
	if (result == 0)
		result = list_logs(directory_fd, word, &names, error);
	if (result < 0)
		return result;
	if (invocation->follow && found.is_live && names.count > 1)
		return error_set(error, .number = EINVAL, .step = "follow the log of", .object = word,
				 .cause = "each of its servers has one", .remedy = "leave --follow out");
	if (invocation->follow && found.is_live) {
		options.is_alive = is_live;
		options.argument = &found;
	}
	return show_all(directory_fd, &names, &options, error);
}
