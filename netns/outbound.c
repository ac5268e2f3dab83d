/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: pasta is told the world by paths below /proc/PID of its PID 1, which waits for it and can still be
 * looked into. Any other process would not do: pasta opens some of them when it has entered the world's user namespace,
 * and may look into nothing outside it then. It stays in the foreground and writes its process id where it is told to
 * once all is set up; that is a pipe of PID 1's here, so this moment is waited for and not guessed. */
#include "netns/outbound.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/process.h"
#include "netns/address.h"

#define STEP "open the way out"

enum { COMPLAINT_SIZE = 4096 };

static bool is_installed(void)
{
	owned_text path = text_duplicate(getenv("PATH") ? getenv("PATH") : "/usr/local/bin:/usr/bin:/bin");
	char *rest = path;

	for (char *directory = strsep(&rest, ":"); directory; directory = strsep(&rest, ":")) {
		owned_text program = text_format("%s/pasta", directory[0] ? directory : ".");

		if (access(program, X_OK) == 0)
			return true;
	}
	return false;
}

int outbound_check(struct error *error)
{
	if (!is_installed())
		return error_set(error, .number = ENOENT, .step = STEP, .object = "pasta",
				 .cause = "the program is missing",
				 .remedy = "install the package passt, or use --net private");
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		return error_set(
			error, .number = errno, .step = STEP, .object = "/dev/net/tun",
			.cause = errno == EACCES ? "only its owner may use it here" : NULL,
			.remedy = errno == EACCES
					  ? "give everybody the right, as distributions do: chmod 0666 /dev/net/tun"
					  : "load the module: modprobe tun");
	return 0;
}

int outbound_check_dns(const char *text, struct error *error)
{
	return address_make(text, 53).any.sa_family != AF_UNSPEC
		       ? 0
		       : error_set(error, .number = EINVAL, .step = "use the name server", .object = text,
				   .cause = "it is no IP address", .remedy = "write --dns 192.0.2.53, say");
}

char *outbound_resolv_conf(const char *host_text, const struct text_list *servers)
{
	struct text_buffer text = { 0 };

	for (size_t i = 0; i < servers->count; i++)
		text_buffer_format(&text, "nameserver %s\n", servers->items[i]);
	if (servers->count == 0)
		text_buffer_add_text(&text, "nameserver " OUTBOUND_DNS "\n");
	while (host_text && *host_text) {
		size_t length = strcspn(host_text, "\n");

		if (text_starts_with(host_text, "search") || text_starts_with(host_text, "domain") ||
		    text_starts_with(host_text, "options"))
			text_buffer_format(&text, "%.*s\n", (int)length, host_text);
		host_text += length + (host_text[length] == '\n');
	}
	return text.bytes;
}

/* ---- the process that serves a world ---- */

__attribute__((noreturn)) static void execute(int world, int ready_fd, int complaint_fd)
{
	char user[64];
	char network[64];
	char said[64];
	char *const arguments[] = { (char *)"pasta", (char *)"--foreground", (char *)"--quiet", (char *)"--config-net",
				    (char *)"--no-map-gw", (char *)"-t", (char *)"none", (char *)"-u", (char *)"none",
				    (char *)"-T", (char *)"none", (char *)"-U", (char *)"none", (char *)"--dns-forward",
				    (char *)OUTBOUND_DNS, (char *)"--pid", said, (char *)"--userns", user,
				    (char *)"--netns", network,
				    /* Root it would leave for nobody, who may not look at root's world. */
				    geteuid() == 0 ? (char *)"--runas" : NULL, (char *)"0:0", NULL };

	(void)snprintf(user, sizeof(user), "/proc/%d/ns/user", world);
	(void)snprintf(network, sizeof(network), "/proc/%d/ns/net", world);
	(void)snprintf(said, sizeof(said), "/proc/%d/fd/%d", world, ready_fd);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && dup2(complaint_fd, STDERR_FILENO) >= 0)
		(void)execvp(arguments[0], arguments);
	_exit(EXIT_NOT_FOUND);
}

/* The last line that is about the matter: without a system log it complains about each line that it says. */
static void read_complaint(int fd, char *ret_line, size_t size)
{
	char text[COMPLAINT_SIZE + 1] = "";
	char *rest = text;

	(void)!read(fd, text, COMPLAINT_SIZE);
	ret_line[0] = '\0';
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (line[0] != '\0' && !strstr(line, "to syslog"))
			text_copy(ret_line, size, line);
}

static void tell_end(int socket, int complaint_fd)
{
	struct error error = { 0 };
	char line[256];

	read_complaint(complaint_fd, line, sizeof(line));
	(void)error_set(&error, .number = ECHILD, .step = STEP, .object = "pasta", .cause = line[0] ? line : "it ended",
			.remedy = "--net private needs none; to see it fail alone: pasta --config-net -- true");
	(void)send(socket, &error, sizeof(error), MSG_NOSIGNAL);
}

/* The number by which this process knows the one behind a pidfd, pidfd_open(2). @return 0: it has ended */
static int find_process(int pidfd)
{
	owned_text path = text_format("/proc/self/fdinfo/%d", pidfd);
	owned_text text = NULL;
	const char *line;
	int pid = 0;

	if (fd_read_file(AT_FDCWD, path, 0, &text, NULL) < 0)
		return 0;
	line = strstr(text, "\nPid:");
	return line && sscanf(line, "\nPid: %d", &pid) == 1 && pid > 0 ? pid : 0;
}

void outbound_serve(int socket)
{
	struct pollfd polled[] = { { .fd = socket, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	size_t count = 0;
	int complaint[2];
	int world_fd = -1;
	int ready_fd;
	int world;
	pid_t pid;

	if (fd_receive(socket, &ready_fd, sizeof(ready_fd), &world_fd, 1, &count, 0) != sizeof(ready_fd) ||
	    count != 1 || (world = find_process(world_fd)) == 0 || fd_pipe(complaint, 0) < 0)
		_exit(0); /* the world came to its end before */
	pid = process_clone(0, &polled[1].fd);
	if (pid == 0)
		execute(world, ready_fd, complaint[1]);
	(void)close(complaint[1]);
	while (pid > 0 && poll(polled, ARRAY_SIZE(polled), -1) < 0 && errno == EINTR)
		;
	/* Nothing comes from the world but its end. Where pasta ends before, the world goes on without a way out, and
	 * says so where it still waits for it. */
	if (pid < 0 || !polled[0].revents)
		tell_end(socket, complaint[0]);
	else
		(void)kill(pid, SIGKILL);
	if (pid > 0)
		(void)process_wait(pid, &world);
	_exit(0);
}

int outbound_ask(int socket, struct error *error)
{
	enum { SECONDS_MAX = 20 };
	owned_fd pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct pollfd polled[] = { { .fd = -1, .events = POLLIN }, { .fd = socket, .events = POLLIN } };
	struct error answer;
	int ready[2] = { -1, -1 };
	int result = pidfd < 0 ? -errno : fd_pipe(ready, 0);

	if (result < 0)
		return error_set(error, .number = -result, .step = STEP);
	polled[0].fd = ready[0];
	result = fd_send(socket, &ready[1], sizeof(ready[1]), (const int[]){ pidfd }, 1);
	if (result == 0) {
		int count = RETRY_EINTR(poll(polled, ARRAY_SIZE(polled), SECONDS_MAX * 1000));

		result = count < 0 ? -errno : 0;
	}
	(void)close(ready[0]);
	(void)close(ready[1]);
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP, .object = "pasta");
	if (polled[0].revents)
		return 0;
	if (polled[1].revents && recv(socket, &answer, sizeof(answer), MSG_WAITALL) == (ssize_t)sizeof(answer)) {
		*error = answer;
		return -answer.number;
	}
	return error_set(error, .number = polled[1].revents ? EPIPE : ETIMEDOUT, .step = STEP, .object = "pasta",
			 .cause = polled[1].revents ? "its helper on the host has gone"
						    : "it did not get ready in 20 seconds");
}
