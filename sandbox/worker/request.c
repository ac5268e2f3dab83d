/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/request.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

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

int request_send(int socket, const struct request_header *header, const char *body, const int *fds)
{
	struct request_header sent = *header;
	int result;

	sent.version = REQUEST_VERSION;
	result = fd_send(socket, &sent, sizeof(sent), fds, sent.fd_count);
	if (result < 0 || sent.body_size == 0)
		return result;
	return fd_write_all(socket, body, sent.body_size);
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
