/* SPDX-License-Identifier: Apache-2.0 */
/* A web server and its client on the loopback interface: http MILLISECONDS. One keep-alive connection, GET requests
 * answered with 1 KiB, one after the other, as a browser test makes them. Prints requests per second. Both stay on one
 * processor: across two, the time to wake the other one is most of what is measured, and it varies by half. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macro.h"
#include "tests/bench/clock.h"

enum {
	BODY_BYTES = 1024,
	MESSAGE_BYTES_MAX = 4096,
};

static const char request[] =
	"GET /api/orders?page=1 HTTP/1.1\r\nHost: localhost:5555\r\nAccept: application/json\r\n\r\n";

static void check(long result, const char *step)
{
	if (result >= 0)
		return;
	(void)fprintf(stderr, "http: %s: %s\n", step, strerror(errno));
	exit(1);
}

static void send_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

		check(sent, "send");
		bytes += sent;
		size -= (size_t)sent;
	}
}

/* Reads the head of one message, and what came with it. @return all bytes read; 0 at the end of the connection */
static size_t receive_head(int fd, char *message, size_t *ret_head)
{
	size_t length = 0;

	while (length < MESSAGE_BYTES_MAX) {
		ssize_t received = recv(fd, message + length, MESSAGE_BYTES_MAX - length, 0);
		const char *end;

		check(received, "receive");
		if (received == 0)
			return 0;
		length += (size_t)received;
		message[length] = '\0';
		end = strstr(message, "\r\n\r\n");
		if (end) {
			*ret_head = (size_t)(end - message) + 4;
			return length;
		}
	}
	errno = EMSGSIZE;
	check(-1, "receive");
	return 0;
}

static void serve(int listener)
{
	char response[MESSAGE_BYTES_MAX];
	char message[MESSAGE_BYTES_MAX + 1];
	int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	int one = 1;
	size_t size = (size_t)snprintf(
		response, sizeof(response),
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", BODY_BYTES);
	size_t head;

	check(connection, "accept");
	check(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), "setsockopt");
	memset(response + size, 'x', BODY_BYTES);
	size += BODY_BYTES;
	while (receive_head(connection, message, &head) > 0)
		send_all(connection, response, size);
	exit(0);
}

static void ask(int connection)
{
	char message[MESSAGE_BYTES_MAX + 1];
	size_t head = 0;
	size_t length;
	const char *field;
	size_t body;

	send_all(connection, request, sizeof(request) - 1);
	length = receive_head(connection, message, &head);
	field = length ? strstr(message, "Content-Length: ") : NULL;
	if (!field) {
		errno = EPROTO;
		check(-1, "read the answer");
		return;
	}
	body = strtoul(field + strlen("Content-Length: "), NULL, 10);
	while (length < head + body) {
		ssize_t received = recv(connection, message, MIN(MESSAGE_BYTES_MAX, head + body - length), 0);

		check(received == 0 ? -1 : received, "read the answer");
		length += (size_t)received;
	}
}

static void stay_on_this_processor(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	check(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

int main(int argc, char **argv)
{
	uint64_t milliseconds = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t requests = 0;
	uint64_t start;
	uint64_t now;
	int one = 1;
	pid_t server;

	if (milliseconds == 0) {
		(void)fprintf(stderr, "usage: http MILLISECONDS\n");
		return 2;
	}
	stay_on_this_processor();
	check(listener, "socket");
	check(connection, "socket");
	check(bind(listener, (struct sockaddr *)&address, sizeof(address)), "bind");
	check(listen(listener, 1), "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &size), "getsockname");
	server = fork();
	check(server, "fork");
	if (server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(connection);
		serve(listener);
	}
	check(connect(connection, (struct sockaddr *)&address, sizeof(address)), "connect");
	check(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), "setsockopt");
	for (int i = 0; i < 100; i++)
		ask(connection);
	start = clock_now_ns();
	do {
		ask(connection);
		requests++;
		now = clock_now_ns();
	} while (now - start < milliseconds * 1000000);
	(void)printf("%.1f\n", (double)requests * 1e9 / (double)(now - start));
	(void)close(connection);
	check(waitpid(server, NULL, 0), "waitpid");
	return 0;
}
