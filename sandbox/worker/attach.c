/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/attach.h"

#include <errno.h>
#include <string.h>

#include "base/process.h"
#include "sandbox/worker/spawn.h"

/* The request borrows all its texts. */
static void fill_request(const struct attach_options *options, const struct relay_stdio *stdio,
			 struct spawn_request *request)
{
	const struct spec *spec = options->spec;

	request->arguments = spec->payload;
	request->set = options->set;
	request->unset = options->unset;
	request->directory = (char *)options->directory;
	request->shape = stdio->shape;
	for (size_t i = 0; i < spec->pass_fd_count && i < REQUEST_FDS_MAX; i++)
		request->numbers[request->number_count++] = spec->pass_fds[i];
}

static int send_request(int socket, const struct attach_options *options, const struct relay_stdio *stdio)
{
	struct spawn_request request = { 0 };
	struct request_header header = { .kind = REQUEST_SPAWN, .flags = stdio->flags };
	owned_buffer body = { 0 };
	int fds[3 + REQUEST_FDS_MAX];

	if (options->is_main)
		header.flags |= SPAWN_MAIN;
	if (options->own_environment)
		header.flags |= SPAWN_OWN_ENVIRONMENT;
	for (int i = 0; i < 3; i++)
		if (stdio->fds[i] >= 0)
			fds[header.fd_count++] = stdio->fds[i];
	fill_request(options, stdio, &request);
	for (size_t i = 0; i < request.number_count; i++)
		fds[header.fd_count++] = request.numbers[i];
	spawn_request_pack(&request, &body);
	header.body_size = (uint32_t)body.length;
	return request_send(socket, &header, body.bytes, fds);
}

int attach_start(int socket, const struct attach_options *options, struct relay **ret_relay, struct error *error)
{
	const struct spec *spec = options->spec;
	struct relay_options relay_options = {
		.stdio = { 0, 1, 2 },
		.log = options->log,
		.no_terminal = options->no_terminal,
		.timeout_ms = spec->timeout_ms,
		.stop_signal = spec->stop_signal,
		.stop_timeout_ms = spec->stop_timeout_ms,
	};
	struct relay_stdio stdio;
	struct relay *relay = NULL;
	int result = relay_open(&relay_options, &relay, error);

	if (result < 0)
		return result;
	relay_get_stdio(relay, &stdio);
	result = send_request(socket, options, &stdio);
	/* Its last replies, which are still to be read, say why it is gone. */
	if (result < 0 && result != -EPIPE && result != -ECONNRESET) {
		relay_close(relay);
		return error_set(error, .number = -result, .step = "ask for the command");
	}
	*ret_relay = relay;
	return 0;
}

int attach_follow(struct relay *relay, int socket, int pidfd, struct relay_result *ret_result, int *ret_exit_code,
		  struct error *error)
{
	struct relay_result ended = { 0 };
	int result = relay_run(relay, socket, pidfd, &ended, error);

	*ret_exit_code = EXIT_SBX_FAILED;
	if (ret_result)
		*ret_result = ended;
	if (result < 0) {
		*ret_exit_code = spawn_exit_code(error);
		return result;
	}
	if (ended.timed_out)
		*ret_exit_code = EXIT_TIMED_OUT;
	else if (ended.has_ended)
		*ret_exit_code = process_exit_code(ended.wait_status);
	else
		return error_set(error, .number = ECHILD, .step = "run the command",
				 .cause = "the worker's PID 1 ended, or was killed from outside");
	return 0;
}
