/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of TCP connections, for tests and measurements of what forwards them.
 *   traffic serve ADDRESS PORT   prints "listening" and serves: each connection begins with one line, which says what
 *                                it is for, as below
 *   traffic KIND HOST PORT N SIZE
 *       echo      N connections, one after the other: SIZE bytes there and back, compared, then end of file both ways
 *       half      as echo, but the server answers only after the client's end of file
 *       slow      as echo, but the client begins to read only when the server cannot write any more
 *       reset     the client resets in the middle: the server must see a reset; N times
 *       reset-by  the server resets in the middle: the client must see it; N times
 *       bulk      one connection, SIZE bytes from the server: prints bytes per second
 *       keep      one connection, N requests, each answered by SIZE bytes: prints requests per second
 *       open      N connections at once, each asked for SIZE bytes when all are open
 * Exit status 0: all was as it must be. Every wait ends after 30 seconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 64 << 10, LINE_SIZE = 64, SECONDS_MAX = 30 };

static unsigned char piece[PIECE];

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

/* The byte at an offset of the stream: no period that a buffer's size divides. */
static unsigned char pattern(uint64_t offset)
{
	return (unsigned char)(offset % 251 ^ offset / 251 % 241);
}

static void fill(unsigned char *bytes, size_t size, uint64_t offset)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = pattern(offset + i);
}

static socklen_t make_address(const char *host, const char *port, struct sockaddr_in6 *six)
{
	struct sockaddr_in *four = (struct sockaddr_in *)six;

	memset(six, 0, sizeof(*six));
	if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)atoi(port));
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1)
		fail("%s is no address", host);
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)atoi(port));
	return sizeof(*six);
}

static void write_all(int fd, const void *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t written = send(fd, (const char *)bytes + at, size - at, MSG_NOSIGNAL);

		if (written <= 0)
			fail("send");
		at += (size_t)written;
	}
}

static void send_pattern(int fd, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += PIECE) {
		size_t length = size - at < PIECE ? (size_t)(size - at) : PIECE;

		fill(piece, length, at);
		write_all(fd, piece, length);
	}
}

static void send_plain(int fd, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += PIECE)
		write_all(fd, piece, size - at < PIECE ? (size_t)(size - at) : PIECE);
}

static void expect(int fd, uint64_t size, bool is_compared)
{
	for (uint64_t at = 0; at < size;) {
		unsigned char bytes[PIECE];
		ssize_t got = recv(fd, bytes, size - at < PIECE ? (size_t)(size - at) : PIECE, 0);

		if (got <= 0)
			fail("%llu bytes of %llu came", (unsigned long long)at, (unsigned long long)size);
		for (ssize_t i = 0; is_compared && i < got; i++)
			if (bytes[i] != pattern(at + (uint64_t)i))
				fail("byte %llu is another", (unsigned long long)at + (unsigned long long)i);
		at += (uint64_t)got;
	}
}

static void expect_end(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, 0);

	if (got != 0)
		fail("no end of file but %zd", got);
}

static void expect_reset(int fd)
{
	char bytes[4096];
	ssize_t got;

	do
		got = recv(fd, bytes, sizeof(bytes), 0);
	while (got > 0);
	if (got == 0 || errno != ECONNRESET)
		fail("no reset but %zd", got);
}

static void reset(int fd)
{
	struct linger at_once = { 1, 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	(void)close(fd);
}

/* ---- the server ---- */

static void answer(int fd)
{
	char line[LINE_SIZE + 1] = "";
	char kind[16] = "";
	unsigned long long size = 0;

	for (size_t at = 0; at < LINE_SIZE; at++)
		if (recv(fd, line + at, 1, 0) != 1 || line[at] == '\n')
			break;
	if (sscanf(line, "%15s %llu", kind, &size) != 2)
		return;
	if (strcmp(kind, "echo") == 0 || strcmp(kind, "half") == 0) {
		unsigned char *bytes = malloc(size + 1);
		uint64_t at = 0;
		ssize_t got;

		while (bytes && (got = recv(fd, bytes + at, size + 1 - at, 0)) > 0) {
			if (kind[0] == 'e')
				write_all(fd, bytes + at, (size_t)got);
			at += (uint64_t)got;
		}
		if (kind[0] == 'h')
			write_all(fd, bytes, at);
	} else if (strcmp(kind, "slow") == 0) {
		send_pattern(fd, size);
	} else if (strcmp(kind, "reset") == 0) {
		write_all(fd, "x", 1);
		expect_reset(fd);
		/* That it was seen goes by a connection of its own: the client waits for this process's end. */
	} else if (strcmp(kind, "reset-by") == 0) {
		send_plain(fd, size);
		expect(fd, 1, false);
		reset(fd);
		_exit(0);
	} else if (strcmp(kind, "bulk") == 0) {
		send_plain(fd, size);
	} else {
		char byte;

		while (recv(fd, &byte, 1, 0) == 1)
			send_plain(fd, size);
	}
	(void)close(fd);
}

__attribute__((noreturn)) static void serve(const char *host, const char *port)
{
	struct sockaddr_in6 address;
	socklen_t size = make_address(host, port, &address);
	int listener = socket(address.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	(void)signal(SIGCHLD, SIG_IGN);
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0)
		fail("listen on %s port %s", host, port);
	(void)puts("listening");
	(void)fflush(stdout);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		(void)setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
		/* A copy for each: the kinds are written down as one would think them. */
		if (fork() == 0) {
			(void)close(listener);
			answer(fd);
			_exit(0);
		}
		(void)close(fd);
	}
}

/* ---- the client ---- */

static int connect_to(const char *host, const char *port, const char *kind, uint64_t size)
{
	struct sockaddr_in6 address;
	socklen_t length = make_address(host, port, &address);
	int fd = socket(address.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = SECONDS_MAX };
	char line[LINE_SIZE];
	const int on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) < 0)
		fail("connect to %s port %s", host, port);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
	(void)snprintf(line, sizeof(line), "%s %llu\n", kind, (unsigned long long)size);
	write_all(fd, line, strlen(line));
	return fd;
}

static double now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Writes in a process of its own, so that neither end waits for the other to read. */
static void echo(int fd, uint64_t size)
{
	pid_t writer = fork();
	int status = 0;

	if (writer == 0) {
		send_pattern(fd, size);
		if (shutdown(fd, SHUT_WR) < 0)
			fail("shutdown");
		_exit(0);
	}
	expect(fd, size, true);
	expect_end(fd);
	if (waitpid(writer, &status, 0) < 0 || status != 0)
		fail("the writer failed");
}

/* Of a new one: whoever has many gets them small, fs.pipe-user-pages-soft in pipe(7). */
static int pipe_size(void)
{
	int ends[2];
	int size = pipe(ends) < 0 ? -1 : fcntl(ends[0], F_GETPIPE_SZ);

	if (size < 0)
		fail("look at a pipe");
	(void)close(ends[0]);
	(void)close(ends[1]);
	return size;
}

static void open_many(const char *host, const char *port, uint64_t count, uint64_t size)
{
	int *fds = calloc(count, sizeof(int));
	int size_before = pipe_size();
	struct rlimit limit;

	if (!fds || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		fail("prepare");
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	for (uint64_t i = 0; i < count; i++)
		fds[i] = connect_to(host, port, "keep", size);
	for (uint64_t i = 0; i < count; i++) {
		write_all(fds[i], "x", 1);
		expect(fds[i], size, false);
	}
	errno = EMFILE;
	if (pipe_size() < size_before)
		fail("have a pipe of %d bytes beside them", size_before);
	for (uint64_t i = 0; i < count; i++)
		(void)close(fds[i]);
}

static void run(const char *kind, const char *host, const char *port, uint64_t count, uint64_t size)
{
	bool is_one = strcmp(kind, "bulk") == 0 || strcmp(kind, "keep") == 0;
	double start = now();

	for (uint64_t i = 0; i < (is_one ? 1 : count); i++) {
		int fd = connect_to(host, port, kind, size);

		if (strcmp(kind, "echo") == 0 || strcmp(kind, "half") == 0) {
			echo(fd, size);
		} else if (strcmp(kind, "slow") == 0) {
			struct timespec pause = { .tv_nsec = 300000000 };

			(void)nanosleep(&pause, NULL); /* the slowness itself: nothing is waited for */
			expect(fd, size, true);
			expect_end(fd);
		} else if (strcmp(kind, "reset") == 0) {
			expect(fd, 1, false);
			reset(fd);
			continue;
		} else if (strcmp(kind, "reset-by") == 0) {
			expect(fd, size, false);
			write_all(fd, "x", 1);
			expect_reset(fd);
		} else if (strcmp(kind, "bulk") == 0) {
			expect(fd, size, false);
			printf("%.0f\n", (double)size / (now() - start));
		} else if (strcmp(kind, "keep") == 0) {
			for (uint64_t j = 0; j < count; j++) {
				write_all(fd, "x", 1);
				expect(fd, size, false);
			}
			printf("%.0f\n", (double)count / (now() - start));
		}
		(void)close(fd);
	}
}

int main(int count, char **arguments)
{
	if (count == 4 && strcmp(arguments[1], "serve") == 0)
		serve(arguments[2], arguments[3]);
	if (count != 6)
		return 2;
	if (strcmp(arguments[1], "open") == 0)
		open_many(arguments[2], arguments[3], strtoull(arguments[4], NULL, 10),
			  strtoull(arguments[5], NULL, 10));
	else
		run(arguments[1], arguments[2], arguments[3], strtoull(arguments[4], NULL, 10),
		    strtoull(arguments[5], NULL, 10));
	return 0;
}
