/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/message.h"

#include <errno.h>

#include "base/fd.h"

int message_send(int socket, const struct message *message)
{
	return fd_send(socket, message, sizeof(*message), NULL, 0);
}

int message_receive(int socket, struct message *ret_message)
{
	size_t fd_count = 0;
	ssize_t got = fd_receive(socket, ret_message, sizeof(*ret_message), NULL, 0, &fd_count, 0);

	/* A peer that is killed with something unread makes ECONNRESET of the end of file. */
	if (got == 0 || got == -ECONNRESET)
		return 0;
	if (got < 0)
		return (int)got;
	return got == (ssize_t)sizeof(*ret_message) ? 1 : -EPROTO;
}
