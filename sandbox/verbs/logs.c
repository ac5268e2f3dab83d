/* SPDX-License-Identifier: Apache-2.0 */
/* sbx logs: what a worker's command or services wrote, to the stream it was written to. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/table.h"
#include "base/text.h"
#include "sandbox/pool/logs.h"
#include "sandbox/registry/lock.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/log.h"

/* The main command's. */
#define LOG_FILE "main"
enum { LOOK_MS = 1000 }; /* whether it still lives; at the logs, where there is no inotify instance left */

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

/* ---- which ---- */

/* Those of services: each file is one, named so. */
static int list_services(int directory_fd, struct text_list *names, struct error *error)
{
	struct dirent **found = NULL;
	int count = scandirat(directory_fd, ".", &found, NULL, alphasort);

	if (count < 0)
		return error_set(error, .number = errno, .step = "list the logs");
	for (int i = 0; i < count; i++) {
		if (found[i]->d_name[0] != '.')
			text_list_add(names, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	return 0;
}

static int choose_service(const char *wanted, const struct text_list *names, struct error *error)
{
	owned_buffer remedy = { 0 };

	for (size_t i = 0; i < names->count; i++) {
		if (text_equal(names->items[i], wanted))
			return 0;
		text_buffer_format(&remedy, "%s %s", i == 0 ? "there are:" : ",", names->items[i]);
	}
	return error_set(error, .number = ENOENT, .step = "show the log of", .object = wanted,
			 .cause = names->count ? "this worker has no such service" : "this worker has no log yet",
			 .remedy = names->count ? remedy.bytes : "look again when a service has started");
}

/* ---- several at once ---- */

static int follow(struct logs *logs, struct resolved_worker *found, struct error *error)
{
	int result = 0;

	while (result == 0 && is_live(found)) {
		struct pollfd polled = { .fd = logs_fd(logs), .events = POLLIN };

		result = logs_show(logs, error);
		if (result == 0)
			(void)poll(&polled, 1, polled.fd < 0 ? LOOK_MS / 10 : LOOK_MS);
	}
	return result;
}

static int show_several(const struct invocation *invocation, struct resolved_worker *found, int directory_fd,
			const struct text_list *names, struct error *error)
{
	struct table_options output;
	struct logs_options options = { .fds = { STDOUT_FILENO, STDERR_FILENO },
					.since_ns = (uint64_t)MAX(invocation->since_ms, INT64_C(0)) * 1000000,
					.tail = invocation->tail,
					.timestamps = invocation->timestamps };
	struct logs *logs;
	int result = 0;

	table_options_init(&output, STDOUT_FILENO);
	options.has_colour = output.has_colour;
	logs = logs_new(&options);
	for (size_t i = 0; i < names->count && result == 0; i++)
		result = logs_add(logs, directory_fd, names->items[i], names->items[i], error);
	if (result == 0 && invocation->follow && found->is_live)
		result = follow(logs, found, error);
	if (result == 0)
		result = logs_finish(logs, error);
	logs_free(logs);
	return result;
}

static int show_one(const struct invocation *invocation, struct resolved_worker *found, int directory_fd,
		    const char *name, struct error *error)
{
	struct log_show options = { .fds = { STDOUT_FILENO, STDERR_FILENO },
				    .since_ns = (uint64_t)MAX(invocation->since_ms, INT64_C(0)) * 1000000,
				    .tail = invocation->tail,
				    .timestamps = invocation->timestamps };

	if (invocation->follow && found->is_live) {
		options.is_alive = is_live;
		options.argument = found;
	}
	return log_show(directory_fd, name, &options, error);
}

int verb_logs(struct invocation *invocation, struct error *error)
{
	const char *word = invocation->operands.items[0];
	const char *service = invocation->operands.count > 1 ? invocation->operands.items[1] : NULL;
	owned_places places = { 0 };
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_fd directory_fd = -1;
	owned_list names = { 0 };
	int result = identity_find_places(&places, error);

	if (result == 0)
		result = resolve_worker(&places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);
	if (result == 0)
		result = open_directory(&found, word, &directory_fd, error);
	if (result == 0)
		result = list_services(directory_fd, &names, error);
	if (result == 0 && service)
		result = choose_service(service, &names, error);
	if (result < 0)
		return result;
	if (service) {
		text_list_release(&names);
		text_list_add(&names, service);
	}
	if (names.count == 0)
		text_list_add(&names, LOG_FILE); /* which comes, or is missed by name */
	return names.count == 1 && !invocation->prefix
		       ? show_one(invocation, &found, directory_fd, names.items[0], error)
		       : show_several(invocation, &found, directory_fd, &names, error);
}
