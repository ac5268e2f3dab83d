/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/worker/request.h"

/* Sends it, and receives until the answer that ends it. */
static int ask(int socket, const struct request_header *header, const char *body, const int *fds,
	       struct reply *ret_reply, struct error *error)
{
	int result = request_send(socket, header, body, fds);

	/* Of a PID 1 that is ending the last replies can still be read. */
	if (result < 0 && result != -EPIPE && result != -ECONNRESET)
		return error_set(error, .number = -result, .step = "ask the worker");
	for (;;) {
		result = reply_receive(socket, ret_reply, NULL);
		if (result < 0)
			return error_set(error, .number = -result, .step = "hear from the worker");
		if (result == 0)
			return error_set(error, .number = ECHILD, .step = "hear from the worker",
					 .cause = "it ended meanwhile");
		if (ret_reply->kind == REPLY_FAILED) {
			if (error)
				*error = ret_reply->error;
			return ret_reply->error.number > 0 ? -ret_reply->error.number : -EPROTO;
		}
		if (ret_reply->kind == REPLY_DONE || ret_reply->kind == REPLY_EXITED)
			return 0;
	}
}

int ask_task(int socket, const struct task *task, struct error *error)
{
	struct request_header header = { .kind = REQUEST_RUN_TASK,
					 .argument = task->kind,
					 .fd_count = (uint32_t)task->fd_count };
	owned_buffer body = { 0 };
	struct reply reply;
	int result;

	request_pack_list(&body, task->arguments.items);
	header.body_size = (uint32_t)body.length;
	result = ask(socket, &header, body.bytes, task->fds, &reply, error);
	return result < 0 ? result : (int)reply.number;
}

int ask_task_for_text(int socket, const struct task *task, size_t size_max, char **ret_answer, struct error *error)
{
	static const char step[] = "read the answer of the worker";
	/* A file and no pipe: nobody has to read while the task writes. */
	owned_fd fd = memfd_create("sbx answer", MFD_CLOEXEC);
	struct task asked = *task;
	char path[FD_PROC_PATH_SIZE];
	int status;
	int result;

	if (fd < 0)
		return error_set(error, .number = errno, .step = step);
	asked.fds[asked.fd_count++] = fd;
	status = ask_task(socket, &asked, error);
	if (status < 0)
		return status;
	/* Opened anew: the position is shared with whoever wrote. */
	result = fd_read_file(AT_FDCWD, fd_proc_path(fd, path), size_max, ret_answer, NULL);
	return result < 0 ? error_set(error, .number = -result, .step = step) : status;
}

int ask_signal(int socket, int number, struct error *error)
{
	struct request_header header = { .kind = REQUEST_SIGNAL, .argument = number };
	struct reply reply;

	return ask(socket, &header, NULL, NULL, &reply, error);
}

static int ask_about_port(int socket, struct request_header *header, const char *text, const int *fds,
			  struct error *error)
{
	char *const texts[] = { (char *)text, NULL };
	owned_buffer body = { 0 };
	struct reply reply;
	int result;

	request_pack_list(&body, texts);
	header->body_size = (uint32_t)body.length;
	result = ask(socket, header, body.bytes, fds, &reply, error);
	return result < 0 ? result : (int)reply.number;
}

int ask_publish(int socket, const struct publish_rule *rule, int listener_fd, enum ask_span span, struct error *error)
{
	struct request_header header = { .kind = REQUEST_PUBLISH, .argument = span == ASK_CONNECTED, .fd_count = 1 };
	owned_text text = publish_format(rule);

	return ask_about_port(socket, &header, text, &listener_fd, error);
}

int ask_unpublish(int socket, const char *text, struct error *error)
{
	struct request_header header = { .kind = REQUEST_UNPUBLISH };

	return ask_about_port(socket, &header, text, NULL, error);
}

static int ask_for_the_end(int socket, const struct request_header *header, int *ret_exit_code, struct error *error)
{
	struct reply reply;
	int result = ask(socket, header, NULL, NULL, &reply, error);

	if (result == 0)
		*ret_exit_code = process_exit_code((int)reply.number);
	return result;
}

int ask_wait(int socket, int *ret_exit_code, struct error *error)
{
	struct request_header header = { .kind = REQUEST_WAIT };

	return ask_for_the_end(socket, &header, ret_exit_code, error);
}

static int64_t pack_grace(uint64_t grace_ms)
{
	return grace_ms == ASK_OWN_GRACE ? -1 : (int64_t)MIN(grace_ms, (uint64_t)INT64_MAX);
}

int ask_stop(int socket, uint64_t grace_ms, int *ret_exit_code, struct error *error)
{
	struct request_header header = { .kind = REQUEST_STOP, .argument = pack_grace(grace_ms) };

	return ask_for_the_end(socket, &header, ret_exit_code, error);
}

int ask_restart(int socket, uint64_t grace_ms, struct error *error)
{
	struct request_header header = { .kind = REQUEST_RESTART, .argument = pack_grace(grace_ms) };
	struct reply reply;

	return ask(socket, &header, NULL, NULL, &reply, error);
}

int ask_renewal(int socket, struct error *error)
{
	struct request_header header = { .kind = REQUEST_STOP, .flags = STOP_RENEW };
	int exit_code;

	return ask_for_the_end(socket, &header, &exit_code, error);
}

bool ask_whether_unused(int socket)
{
	struct request_header header = { .kind = REQUEST_LEASE, .flags = LEASE_ASK };
	struct error ignored = { 0 };
	struct reply reply;

	return ask(socket, &header, NULL, NULL, &reply, &ignored) == 0 && reply.number == 1;
}

int ask_whether_usable(int socket, struct error *error)
{
	struct request_header header = { .kind = REQUEST_LEASE, .flags = LEASE_ASK };
	struct reply reply;

	return ask(socket, &header, NULL, NULL, &reply, error);
}

int ask_detach(int socket, struct error *error)
{
	struct request_header header = { .kind = REQUEST_DETACH };
	struct reply reply;

	return ask(socket, &header, NULL, NULL, &reply, error);
}

int ask_to_narrow(int socket, struct error *error)
{
	struct request_header header = { .kind = REQUEST_CONNECT, .argument = CONNECT_SHARER };
	struct reply reply;

	return ask(socket, &header, NULL, NULL, &reply, error);
}
