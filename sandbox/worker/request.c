/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/request.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/macro.h"

_Static_assert(sizeof(struct reply) <= 4096, "a reply fits one page, so that a Unix socket takes it in one piece");

void request_pack_list(struct text_buffer *body, char *const *items)
{
	uint32_t count = 0;

	while (items && items[count])
		count++;
	text_buffer_add(body, &count, sizeof(count));
	for (uint32_t i = 0; i < count; i++)
		text_buffer_add(body, items[i], strlen(items[i]) + 1);
}

int request_unpack_list(const char *body, size_t size, size_t *offset, struct text_list *ret_items)
{
	owned_list items = { 0 };
	size_t position = *offset;
	uint32_t count;

	if (size - position < sizeof(count))
		return -EBADMSG;
	memcpy(&count, body + position, sizeof(count));
	position += sizeof(count);
	for (uint32_t i = 0; i < count; i++) {
		const char *end = memchr(body + position, '\0', size - position);

		if (!end)
			return -EBADMSG;
		text_list_add(&items, body + position);
		position = (size_t)(end - body) + 1;
	}
	*offset = position;
	*ret_items = items;
	items = (struct text_list){ 0 };
	return 0;
}

static int unpack_bytes(const char *body, size_t size, size_t *offset, void *target, size_t target_size)
{
	if (size - *offset < target_size)
		return -EBADMSG;
	memcpy(target, body + *offset, target_size);
	*offset += target_size;
	return 0;
}

void spawn_request_pack(const struct spawn_request *request, struct text_buffer *body)
{
	char *directory[] = { request->directory, NULL };
	uint32_t count = (uint32_t)request->number_count;

	request_pack_list(body, request->arguments.items);
	request_pack_list(body, request->set.items);
	request_pack_list(body, request->unset.items);
	request_pack_list(body, directory);
	text_buffer_add(body, &count, sizeof(count));
	text_buffer_add(body, request->numbers, count * sizeof(request->numbers[0]));
	text_buffer_add(body, &request->shape, sizeof(request->shape));
}

int spawn_request_unpack(const char *body, size_t size, struct spawn_request *ret_request)
{
	owned_list directory = { 0 };
	size_t offset = 0;
	uint32_t count = 0;

	*ret_request = (struct spawn_request){ 0 };
	if (request_unpack_list(body, size, &offset, &ret_request->arguments) < 0 ||
	    request_unpack_list(body, size, &offset, &ret_request->set) < 0 ||
	    request_unpack_list(body, size, &offset, &ret_request->unset) < 0 ||
	    request_unpack_list(body, size, &offset, &directory) < 0 ||
	    unpack_bytes(body, size, &offset, &count, sizeof(count)) < 0 || count > REQUEST_FDS_MAX ||
	    unpack_bytes(body, size, &offset, ret_request->numbers, count * sizeof(ret_request->numbers[0])) < 0 ||
	    unpack_bytes(body, size, &offset, &ret_request->shape, sizeof(ret_request->shape)) < 0 || offset != size)
		return -EBADMSG;
	ret_request->number_count = count;
	if (directory.count > 0)
		ret_request->directory = text_duplicate(directory.items[0]);
	return ret_request->arguments.count > 0 ? 0 : -EBADMSG;
}

void spawn_request_release(struct spawn_request *request)
{
	text_list_release(&request->arguments);
	text_list_release(&request->set);
	text_list_release(&request->unset);
	text_free(&request->directory);
	*request = (struct spawn_request){ 0 };
}

/* write(2) would end this process by SIGPIPE where PID 1 has died. */
static int send_all(int socket, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = RETRY_EINTR(send(socket, data, size, MSG_NOSIGNAL));

		if (sent < 0)
			return -errno;
		data += sent;
		size -= (size_t)sent;
	}
	return 0;
}

int request_send(int socket, const struct request_header *header, const char *body, const int *fds)
{
	struct request_header sent = *header;
	int result;

	sent.version = REQUEST_VERSION;
	result = fd_send(socket, &sent, sizeof(sent), fds, sent.fd_count);
	if (result < 0 || sent.body_size == 0)
		return result;
	return send_all(socket, body, sent.body_size);
}

int reply_send(int socket, const struct reply *reply, int fd)
{
	struct reply sent = *reply;

	sent.version = REQUEST_VERSION;
	return fd_send(socket, &sent, sizeof(sent), &fd, fd >= 0 ? 1 : 0);
}

int reply_receive(int socket, struct reply *ret_reply, int *ret_fd)
{
	struct reply reply;
	int fd = -1;
	size_t fd_count = 0;
	ssize_t got = fd_receive(socket, &reply, sizeof(reply), &fd, 1, &fd_count, 0);

	if (got > 0 && (size_t)got < sizeof(reply)) {
		ssize_t rest = fd_read_all(socket, (char *)&reply + got, sizeof(reply) - (size_t)got);

		got = rest < 0 ? rest : got + rest;
	}
	/* A peer that is killed with our request unread makes ECONNRESET of the end of file. */
	if (got == -ECONNRESET)
		got = 0;
	if (got == (ssize_t)sizeof(reply) && reply.version == REQUEST_VERSION) {
		*ret_reply = reply;
		if (ret_fd)
			*ret_fd = fd_take(&fd);
		fd_close(&fd);
		return 1;
	}
	fd_close(&fd);
	if (got > 0)
		return (size_t)got < sizeof(reply) ? 0 : -EPROTO;
	return (int)got;
}
