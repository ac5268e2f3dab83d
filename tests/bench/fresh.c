/* SPDX-License-Identifier: Apache-2.0 */
/* How long it takes until a command has asked a server in a world, and its answer is there:
 *
 *	fresh lease|fresh SBX DIRECTORY	prints milliseconds, the median of SAMPLES: by `sbx lease` in the one worker of a
 *					pool, or by `sbx lease --fresh` with a spare that stands ready
 *	fresh host SBX DIRECTORY	the same without a sandbox
 *	fresh serve | fresh ask		the two programs that it takes: one answers a byte, the other wants it
 *
 * The pool is made before and ended after; before each sample `sbx up --refill` has made the spare, if one is
 * missing. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/clock.h"

enum {
	PORT = 5599,
	SAMPLES = 5,
	ARGUMENTS_MAX = 16,
};

static const struct sockaddr_in address = { .sin_family = AF_INET,
					    .sin_port = (in_port_t)((PORT & 0xff) << 8 | PORT >> 8),
					    .sin_addr = { 0x0100007f } };

__attribute__((noreturn)) static void fail(const char *step)
{
	(void)fprintf(stderr, "fresh: %s: %s\n", step, strerror(errno));
	exit(1);
}

static int open_listener(void)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, SOMAXCONN) < 0)
		fail("listen");
	return listener;
}

__attribute__((noreturn)) static void serve(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			fail("accept");
		(void)!write(fd, "x", 1);
		(void)close(fd);
	}
}

static int ask(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || read(fd, &byte, 1) != 1)
		fail("ask the server");
	return 0;
}

static pid_t start(const char *const *arguments)
{
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fd >= 0)
			(void)dup2(fd, STDOUT_FILENO);
		(void)execv(arguments[0], (char *const *)arguments);
		_exit(127);
	}
	if (pid < 0)
		fail("fork");
	return pid;
}

static void run(const char *const *arguments)
{
	int status = 0;

	if (waitpid(start(arguments), &status, 0) < 0 || status != 0) {
		(void)fprintf(stderr, "fresh: %s %s failed\n", arguments[0], arguments[1]);
		exit(1);
	}
}

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one;
	double b = *(const double *)other;

	return (a > b) - (a < b);
}

static void make_pool(const char *sbx, const char *directory, const char *self)
{
	char name[PATH_MAX];
	FILE *file;

	(void)snprintf(name, sizeof(name), "%s/fresh.yaml", directory);
	file = fopen(name, "we");
	if (!file)
		fail(name);
	(void)fprintf(file, "services: { server: { command: [\"%s\", serve], ready: { port: %d } } }\n", self, PORT);
	if (fclose(file) != 0)
		fail(name);
	run((const char *const[]){ sbx, "up", "-d", "--name", "bench-fresh", "--spares", "1", "--file", name, NULL });
}

/* Its directory is named by its id, and its worlds by its name. */
static void refill(const char *sbx, const char *id)
{
	run((const char *const[]){ sbx, "up", "-d", "--refill", id, NULL });
}

static void read_id(const char *sbx, char *id, size_t size)
{
	char command[2 * PATH_MAX];
	FILE *file;

	(void)snprintf(command, sizeof(command), "'%s' lease --name bench-fresh -- sh -c 'echo $SBX_RUN'", sbx);
	file = popen(command, "re");
	if (!file || !fgets(id, (int)size, file) || pclose(file) != 0)
		fail("ask the pool for its id");
	id[strcspn(id, "\n")] = '\0';
}

int main(int argc, char **argv)
{
	char self[PATH_MAX] = "";
	char id[64] = "";
	double samples[SAMPLES];
	const char *const host[] = { self, "ask", NULL };
	const char *lease[ARGUMENTS_MAX] = { NULL, "lease", "--name", "bench-fresh" };
	bool is_host = argc == 4 && strcmp(argv[1], "host") == 0;
	size_t count = 4;
	pid_t server = 0;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		fail("find itself");
	if (argc == 2 && strcmp(argv[1], "serve") == 0)
		serve(open_listener());
	if (argc == 2 && strcmp(argv[1], "ask") == 0)
		return ask();
	if (argc != 4)
		return 2;
	lease[0] = argv[2];
	if (strcmp(argv[1], "fresh") == 0)
		lease[count++] = "--fresh";
	lease[count++] = "--";
	lease[count++] = self;
	lease[count++] = "ask";
	if (is_host) {
		int listener = open_listener();

		server = fork();
		if (server == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(listener);
		}
	} else {
		make_pool(argv[2], argv[3], self);
		read_id(argv[2], id, sizeof(id));
	}
	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t began;

		if (!is_host)
			refill(argv[2], id);
		began = clock_now_ns();
		run(is_host ? host : lease);
		samples[i] = (double)(clock_now_ns() - began) / 1e6;
	}
	if (is_host)
		(void)kill(server, SIGKILL);
	else
		run((const char *const[]){ argv[2], "down", "--name", "bench-fresh", NULL });
	qsort(samples, SAMPLES, sizeof(samples[0]), compare);
	(void)printf("%.3f\n", samples[SAMPLES / 2]);
	return 0;
}
