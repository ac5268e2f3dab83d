/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/ports.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/policy/capabilities.h"
#include "sandbox/policy/seccomp.h"

/* A forwarder that ends by itself this often ends always. */
enum { FAILURES_MAX = 8 };

/* The order is that of finding 41: filter first, then capabilities, which until then keep the payload away. */
static int confine(void)
{
	static const struct seccomp_options forwarder = { .profile = SECCOMP_FORWARDER };
	int result;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	result = seccomp_load(&forwarder, NULL);
	return result < 0 ? result : capabilities_drop_all(NULL);
}

__attribute__((noreturn)) static void be_forwarder(const struct port *port, int ready_fd)
{
	struct forward forward = publish_forward(&port->rule, port->listener_fd);
	const int kept[] = { 0, 1, 2, port->listener_fd, ready_fd };
	sigset_t none;

	/* Not of the caller's group: Ctrl-C asks the command to end, and it may have answers to give. */
	if (setsid() < 0 || fd_close_others(kept, ARRAY_SIZE(kept)) < 0)
		_exit(1);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	forward_prepare();
	if (confine() < 0 || write(ready_fd, "r", 1) != 1)
		_exit(1);
	(void)close(ready_fd);
	forward_run(&forward, 1, -1);
}

/* Returns when it is confined, and so will serve: nothing that it does until then can take long. */
static int start(struct port *port)
{
	int ready[2];
	int result = fd_pipe(ready, 0);
	char byte;
	pid_t pid;

	if (result < 0)
		return result;
	pid = process_clone(0, NULL);
	if (pid == 0)
		be_forwarder(port, ready[1]);
	(void)close(ready[1]);
	port->forwarder = pid > 0 ? pid : 0;
	if (pid < 0)
		result = (int)pid;
	else if (RETRY_EINTR(read(ready[0], &byte, 1)) != 1)
		result = -ECHILD;
	(void)close(ready[0]);
	return result;
}

static void release(struct port *port)
{
	int status;

	fd_close(&port->listener_fd);
	if (port->forwarder <= 0)
		return;
	/* Waited for, so that the host's port is free again when this has been answered. */
	if (kill(port->forwarder, SIGKILL) == 0)
		(void)process_wait(port->forwarder, &status);
}

static bool is_listener(int fd)
{
	int value = 0;
	socklen_t size = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) < 0 || value == 0)
		return false;
	size = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &size) == 0 && value == IPPROTO_TCP;
}

static size_t count_alike(const struct ports *ports, bool is_world)
{
	size_t count = 0;

	for (size_t i = 0; i < ports->count; i++)
		count += ports->items[i].held.is_world == is_world;
	return count;
}

int ports_add(struct ports *ports, const struct publish_rule *rule, int listener_fd, const struct port_holder *held,
	      struct error *error)
{
	owned_text text = publish_format(rule);
	owned_fd fd = listener_fd;
	struct port port = { .rule = *rule, .held = *held };
	int result;

	if (!is_listener(fd))
		return error_set(error, .number = ENOTSOCK, .step = "publish the port", .object = text,
				 .cause = "what was sent with it is no listening socket");
	if (count_alike(ports, held->is_world) >= (held->is_world ? PORTS_OF_WORLDS_MAX : PORTS_MAX))
		return error_set(error, .number = EMFILE, .step = "publish the port", .object = text,
				 .cause = "this worker has 64 of them",
				 .remedy = "unpublish one with 'sbx port rm', or use --net host");
	ports->items = reallocarray(ports->items, ports->count + 1, sizeof(*ports->items));
	if (!ports->items)
		abort();
	port.listener_fd = fd_take(&fd);
	result = start(&port);
	if (result < 0) {
		release(&port);
		return error_set(error, .number = -result, .step = "start the forwarder of port", .object = text,
				 .cause = result == -ECHILD ? "it ended while it was being confined" : NULL);
	}
	ports->items[ports->count++] = port;
	return 0;
}

/* Whether `wanted`, in which 0 and the usual address stand for any, means it. */
static bool is_meant(const struct port *port, const struct publish_rule *wanted)
{
	return !port->held.is_world && port->rule.port == wanted->port &&
	       (wanted->host_port == 0 ||
		(port->rule.host_port == wanted->host_port &&
		 (text_equal(wanted->host, PUBLISH_HOST) || text_equal(wanted->host, port->rule.host))));
}

int ports_remove(struct ports *ports, const char *text, struct error *error)
{
	struct publish_rule wanted;
	size_t kept = 0;
	int removed = 0;
	int result = publish_parse(text, &wanted, error);

	if (result < 0)
		return result;
	for (size_t i = 0; i < ports->count; i++) {
		if (is_meant(&ports->items[i], &wanted)) {
			release(&ports->items[i]);
			removed++;
		} else {
			ports->items[kept++] = ports->items[i];
		}
	}
	ports->count = kept;
	return removed > 0
		       ? removed
		       : error_set(error, .number = ENOENT, .step = "unpublish the port", .object = text,
				   .cause = "it is not published", .remedy = "'sbx port WORKER' lists those that are");
}

bool ports_drop(struct ports *ports, const void *holder)
{
	size_t kept = 0;
	size_t before = ports->count;

	for (size_t i = 0; i < ports->count; i++) {
		if (ports->items[i].held.holder == holder)
			release(&ports->items[i]);
		else
			ports->items[kept++] = ports->items[i];
	}
	ports->count = kept;
	return kept < before;
}

bool ports_child_ended(struct ports *ports, pid_t pid, int status, bool goes_on, char **ret_given_up)
{
	for (size_t i = 0; i < ports->count; i++) {
		struct port *port = &ports->items[i];
		bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) != SIGSYS;

		if (port->forwarder != pid)
			continue;
		port->forwarder = 0;
		/* One that is killed over and over is the payload's doing and costs it as much. One that cannot run is
		 * given up, and so is its socket: a connection that is refused says more than one that waits. */
		if (!was_killed && ++port->failures >= FAILURES_MAX && port->listener_fd >= 0) {
			fd_close(&port->listener_fd);
			*ret_given_up = publish_format(&port->rule);
		}
		/* One that was killed meanwhile is a child that ends, as this one did. */
		if (goes_on && port->listener_fd >= 0)
			(void)start(port);
		return true;
	}
	return false;
}

void ports_list(const struct ports *ports, struct text_list *ret_texts)
{
	for (size_t i = 0; i < ports->count; i++)
		if (!ports->items[i].held.is_world && ports->items[i].listener_fd >= 0)
			text_list_take(ret_texts, publish_format(&ports->items[i].rule));
}

void ports_forget(struct ports *ports)
{
	for (size_t i = 0; i < ports->count; i++)
		fd_close(&ports->items[i].listener_fd);
}
