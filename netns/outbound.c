/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: pasta gets the namespaces by paths, and these are descriptors of the process that serves the world,
 * /proc/PID/fd/N: PID 1 itself becomes unreadable for every other process of this user soon. It stays in the foreground
 * and writes its process id where it is told to when all is set up; that is a pipe here, so this moment is waited for
 * and not guessed. */
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

struct pasta {
	pid_t pid;
	int pidfd;
	int ready_fd;	  /* where it says its process id */
	int complaint_fd; /* its stderr */
};

__attribute__((noreturn)) static void execute(int user_fd, int network_fd, const int ready[2], int complaint_fd)
{
	char user[64];
	char network[64];
	char said[64];
	char *const arguments[] = { (char *)"pasta",
				    (char *)"--foreground",
				    (char *)"--quiet",
				    (char *)"--config-net",
				    (char *)"--no-map-gw",
				    (char *)"-t",
				    (char *)"none",
				    (char *)"-u",
				    (char *)"none",
				    (char *)"-T",
				    (char *)"none",
				    (char *)"-U",
				    (char *)"none",
				    (char *)"--dns-forward",
				    (char *)OUTBOUND_DNS,
				    (char *)"--pid",
				    said,
				    (char *)"--userns",
				    user,
				    (char *)"--netns",
				    network,
				    NULL };

	/* Its parent holds these, and outlives what it does with them. */
	(void)snprintf(user, sizeof(user), "/proc/%d/fd/%d", getppid(), user_fd);
	(void)snprintf(network, sizeof(network), "/proc/%d/fd/%d", getppid(), network_fd);
	(void)snprintf(said, sizeof(said), "/proc/%d/fd/%d", getppid(), ready[1]);
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

static int wait_until_ready(const struct pasta *pasta, struct error *error)
{
	enum { SECONDS_MAX = 20 };
	struct pollfd polled[] = { { .fd = pasta->ready_fd, .events = POLLIN },
				   { .fd = pasta->pidfd, .events = POLLIN } };
	char line[256];

	if (RETRY_EINTR(poll(polled, ARRAY_SIZE(polled), SECONDS_MAX * 1000)) < 0)
		return error_set(error, .number = errno, .step = STEP, .object = "pasta");
	if (polled[0].revents & POLLIN)
		return 0;
	read_complaint(pasta->complaint_fd, line, sizeof(line));
	return error_set(error, .number = polled[1].revents ? ECHILD : ETIMEDOUT, .step = STEP, .object = "pasta",
			 .cause = line[0]	      ? line
				  : polled[1].revents ? "it ended"
						      : "it did not get ready in 20 seconds",
			 .remedy = "--net private needs none; try: pasta --config-net -- true");
}

static int start_pasta(int user_fd, int network_fd, struct pasta *ret_pasta, struct error *error)
{
	int ready[2];
	int complaint[2];
	int result = fd_pipe(ready, 0);

	if (result == 0)
		result = fd_pipe(complaint, 0);
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP);
	ret_pasta->pid = process_clone(0, &ret_pasta->pidfd);
	if (ret_pasta->pid == 0)
		execute(user_fd, network_fd, ready, complaint[1]);
	(void)close(complaint[1]);
	if (ret_pasta->pid < 0)
		return error_set(error, .number = -ret_pasta->pid, .step = STEP);
	ret_pasta->ready_fd = ready[0];
	ret_pasta->complaint_fd = complaint[0];
	/* ready[1] stays: it has its name through this process. */
	return wait_until_ready(ret_pasta, error);
}

void outbound_serve(int socket)
{
	struct error error = { 0 };
	struct pasta pasta = { .pidfd = -1 };
	size_t count = 0;
	int namespaces[2];
	char byte;
	int status;

	if (fd_receive(socket, &byte, 1, namespaces, 2, &count, 0) != 1 || count != 2)
		_exit(0); /* the world came to its end before */
	if (start_pasta(namespaces[0], namespaces[1], &pasta, &error) == 0) {
		/* What is held of the world's namespaces would keep them. */
		(void)close(namespaces[0]);
		(void)close(namespaces[1]);
	}
	(void)send(socket, &error, sizeof(error), MSG_NOSIGNAL);
	while (RETRY_EINTR(recv(socket, &byte, 1, 0)) > 0)
		;
	if (pasta.pid > 0 && kill(pasta.pid, SIGKILL) == 0)
		(void)process_wait(pasta.pid, &status);
	_exit(0);
}

int outbound_ask(int socket, struct error *error)
{
	struct error answer;
	owned_fd user_fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	owned_fd network_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	const int namespaces[] = { user_fd, network_fd };
	ssize_t got;

	if (user_fd < 0 || network_fd < 0)
		return error_set(error, .number = errno, .step = STEP, .object = "/proc/self/ns");
	if (fd_send(socket, "o", 1, namespaces, 2) < 0)
		return error_set(error, .number = EPIPE, .step = STEP, .cause = "its helper on the host has gone");
	got = RETRY_EINTR(recv(socket, &answer, sizeof(answer), MSG_WAITALL));
	if (got != (ssize_t)sizeof(answer))
		return error_set(error, .number = EPIPE, .step = STEP, .cause = "its helper on the host has gone");
	if (answer.number != 0)
		*error = answer;
	return -answer.number;
}
