/* SPDX-License-Identifier: Apache-2.0 */
/* A client of a worker's socket, of the same user, that does not keep to the protocol: garbage SOCKET SEED. What must
 * be true afterwards is that the worker serves others; the caller looks. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sandbox/worker/request.h"
#include "tests/attack/attack.h"

enum { CONNECTIONS = 600, ROUNDS = 300 };

static struct sockaddr_un address = { .sun_family = AF_UNIX };

static int reach(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void say(int fd, const void *bytes, size_t size)
{
	if (fd >= 0)
		(void)send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_random(int fd)
{
	unsigned char bytes[512];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)rand();
	say(fd, bytes, (size_t)rand() % sizeof(bytes));
}

/* A header of this version whose numbers are odd, and a body of any bytes. */
static void say_request(int fd)
{
	static const int64_t odd[] = { -1, 0, 1, 9, 65, 1 << 20, INT32_MAX, INT32_MIN };
	struct request_header header = { .version = REQUEST_VERSION };

	header.kind = (uint32_t)(rand() % 12);
	header.flags = (uint32_t)rand();
	header.argument = (int32_t)odd[rand() % 8];
	header.body_size = (uint32_t)(rand() % 2 ? rand() % 300 : odd[rand() % 8]);
	header.fd_count = (uint32_t)(rand() % 3 ? 0 : rand());
	/* Signals to the worker's own command and its stop are what this user may ask for. */
	if (header.kind == REQUEST_SIGNAL || header.kind == REQUEST_STOP)
		header.kind = REQUEST_WAIT;
	say(fd, &header, (size_t)rand() % 4 ? sizeof(header) : (size_t)rand() % sizeof(header));
	say_random(fd);
}

/* More descriptors than a request holds, with any header. */
static void say_descriptors(int fd)
{
	struct request_header header = { .version = REQUEST_VERSION, .kind = REQUEST_SPAWN, .fd_count = 200 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(200 * sizeof(int))];
	} control = { 0 };
	struct iovec part = { .iov_base = &header, .iov_len = sizeof(header) };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *found = CMSG_FIRSTHDR(&message);

	found->cmsg_level = SOL_SOCKET;
	found->cmsg_type = SCM_RIGHTS;
	found->cmsg_len = CMSG_LEN(200 * sizeof(int));
	for (int i = 0; i < 200; i++)
		memcpy(CMSG_DATA(found) + (size_t)i * sizeof(int), &fd, sizeof(int));
	(void)sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int main(int argc, char **argv)
{
	static int fds[CONNECTIONS];

	if (argc != 3 || strlen(argv[1]) >= sizeof(address.sun_path))
		return 2;
	strcpy(address.sun_path, argv[1]);
	srand((unsigned)atoi(argv[2]));
	for (int i = 0; i < ROUNDS; i++) {
		int fd = reach();

		if (i % 3 == 0)
			say_random(fd);
		else if (i % 3 == 1)
			say_request(fd);
		else
			say_descriptors(fd);
		if (fd >= 0)
			(void)close(fd);
	}
	/* As many as it takes and more, that say nothing, or half a header. */
	for (int i = 0; i < CONNECTIONS; i++) {
		fds[i] = reach();
		if (i % 2)
			say(fds[i], "\1\0\0", 3);
	}
	return 0;
}
