/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "sandbox/run/hook.h"
#include "sandbox/worker/annex.h"
#include "sandbox/worker/attach.h"

int lease_connect(int *ret_fd, struct error *error)
{
	const char *path = getenv(LEASE_ENVIRONMENT_SOCKET);
	owned_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	text_copy(address.sun_path, sizeof(address.sun_path), path ? path : ANNEX_SOCKET);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(error, .number = errno, .step = "reach the test run", .object = address.sun_path,
				 .cause = errno == ENOENT ? "there is no test run here" : NULL,
				 .remedy = "start it with 'sbx test', or a pool with 'sbx up -d'");
	*ret_fd = fd_take(&fd);
	return 0;
}

static int ask_for_world(int socket, const struct lease_options *options, struct lease_answer *ret_answer, int *ret_fd,
			 struct error *error)
{
	struct lease_request request = { .magic = LEASE_MAGIC,
					 .version = LEASE_VERSION,
					 .slot = options->slot,
					 .after = options->after,
					 .retry = options->retry,
					 .flags = options->is_fresh ? LEASE_REQUEST_FRESH : 0 };
	size_t fd_count = 0;
	ssize_t got;
	int result;

	text_copy(request.project, sizeof(request.project), options->project ? options->project : "");
	result = fd_send(socket, &request, sizeof(request), NULL, 0);
	if (result < 0)
		return error_set(error, .number = -result, .step = "ask for a world");
	got = fd_receive(socket, ret_answer, sizeof(*ret_answer), ret_fd, 1, &fd_count, MSG_WAITALL);
	if (got != (ssize_t)sizeof(*ret_answer) || ret_answer->version != LEASE_VERSION)
		return error_set(error, .number = got < 0 ? (int)-got : ECHILD, .step = "get a world",
				 .cause = got < 0 ? NULL : "the test run ended");
	if (ret_answer->number != 0) {
		*error = ret_answer->error;
		return -ret_answer->number;
	}
	return fd_count == 1 ? 0 : error_set(error, .number = EPROTO, .step = "get a world");
}

/* "NAME=A:B" without the element B, whose separator is a blank or a colon. @return the caller's */
static char *without_element(const char *entry, char separator, const char *element)
{
	const char *start = strchr(entry, '=') + 1;
	owned_buffer kept = { 0 };
	bool is_first = true;

	text_buffer_add(&kept, entry, (size_t)(start - entry));
	for (;;) {
		size_t length = strcspn(start, (const char[]){ separator, '\0' });

		if (length != strlen(element) || strncmp(start, element, length) != 0) {
			if (!is_first)
				text_buffer_add(&kept, &separator, 1);
			text_buffer_add(&kept, start, length);
			is_first = false;
		}
		if (start[length] == '\0')
			return text_duplicate(kept.bytes);
		start += length + 1;
	}
}

/* All of the client's own, but for what leads back to the run, or to what only R has. */
static void fill_environment(const struct lease_answer *answer, struct text_list *set)
{
	for (char **entry = environ; *entry; entry++) {
		if (text_starts_with(*entry, LEASE_ENVIRONMENT_SOCKET "=") || text_starts_with(*entry, "SBX_LEASE=") ||
		    text_starts_with(*entry, "SBX_WORKERS=") || text_starts_with(*entry, "SBX_WORKER=") ||
		    text_starts_with(*entry, "SBX_SHARD=") || text_starts_with(*entry, "SBX_UNIT=") ||
		    text_starts_with(*entry, "SBX_RETRY=") || text_starts_with(*entry, "SBX_ARGUMENTS="))
			continue;
		if (text_starts_with(*entry, "NODE_OPTIONS="))
			text_list_take(set, without_element(*entry, ' ', HOOK_OPTION));
		else if (text_starts_with(*entry, "PATH="))
			text_list_take(set, without_element(*entry, ':', ANNEX_DIRECTORY));
		else
			text_list_add(set, *entry);
	}
	text_list_take(set, text_format("SBX_WORKER=%u", answer->worker));
	text_list_take(set, text_format("SBX_WORKERS=%u", answer->workers));
}

static void tell(const struct lease_options *options, enum lease_event event, const struct lease_answer *answer,
		 int wait_status)
{
	if (options->hear)
		options->hear(options->argument, event, answer->worker, wait_status);
}

static int run_in_world(int world_fd, const struct lease_answer *answer, const struct lease_options *lease,
			int *ret_exit_code, int *ret_signal, struct error *error)
{
	const struct spec *spec = lease->spec;
	owned_list set = { 0 };
	owned_text directory = NULL;
	struct relay *relay = NULL;
	struct relay_result ended = { 0 };
	struct attach_options options = { .spec = spec, .own_environment = true, .no_terminal = true };
	int result = path_find_current(&directory, error);

	if (result < 0)
		return result;
	fill_environment(answer, &set);
	options.set = set;
	options.directory = directory;
	tell(lease, LEASE_GRANTED, answer, 0);
	result = attach_start(world_fd, &options, &relay, error);
	if (result < 0)
		return result;
	/* Ours would keep the runner from seeing that its test process has closed them. */
	for (size_t i = 0; i < spec->pass_fd_count; i++)
		(void)close(spec->pass_fds[i]);
	result = attach_follow(relay, world_fd, -1, &ended, ret_exit_code, error);
	relay_close(relay);
	if (result == 0 && WIFSIGNALED(ended.wait_status))
		*ret_signal = WTERMSIG(ended.wait_status);
	if (result == 0)
		tell(lease, LEASE_ENDED, answer, ended.wait_status);
	return result;
}

int lease_run(const struct lease_options *options, int *ret_exit_code, int *ret_signal, struct error *error)
{
	struct lease_answer answer;
	owned_fd socket = -1;
	owned_fd world_fd = -1;
	int result = lease_connect(&socket, error);

	*ret_exit_code = EXIT_SBX_FAILED;
	*ret_signal = 0;
	if (result == 0)
		result = ask_for_world(socket, options, &answer, &world_fd, error);
	if (result == 0)
		result = run_in_world(world_fd, &answer, options, ret_exit_code, ret_signal, error);
	return result;
}
