/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "sandbox/worker/ask.h"

enum { ANSWER_BYTES_MAX = 16 << 20 };

/* ip_local_port_range, ip-sysctl.rst: this where it cannot be read. */
enum {
	EPHEMERAL_FIRST = 32768,
	EPHEMERAL_LAST = 60999,
};

static void release_one(struct listener *listener)
{
	text_list_release(&listener->command);
	text_list_release(&listener->environment);
	text_free(&listener->directory);
	text_free(&listener->service);
}

void listeners_release(struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++)
		release_one(&listeners->items[i]);
	free(listeners->items);
	*listeners = (struct listeners){ 0 };
}

static const char *find_variable(const struct text_list *environment, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < environment->count; i++)
		if (strncmp(environment->items[i], name, length) == 0 && environment->items[i][length] == '=')
			return environment->items[i] + length + 1;
	return NULL;
}

static void read_one(struct json_value value, struct listeners *listeners)
{
	struct listener listener = { 0 };
	int64_t port = 0;
	int64_t pid = 0;

	/* 127.0.0.1 and ::1 are one server as a rule, and one port for whoever connects to localhost. */
	if (json_number(json_member(value, "port"), &port) < 0 || port <= 0 || port > UINT16_MAX ||
	    listeners_find(listeners, (uint16_t)port))
		return;
	listener.port = (uint16_t)port;
	if (json_number(json_member(value, "pid"), &pid) == 0)
		listener.pid = (pid_t)pid;
	(void)json_list(json_member(value, "command"), &listener.command);
	(void)json_list(json_member(value, "environment"), &listener.environment);
	(void)json_text(json_member(value, "cwd"), &listener.directory);
	listener.service = text_duplicate(find_variable(&listener.environment, LISTENER_SERVICE_VARIABLE));
	listeners->items = reallocarray(listeners->items, listeners->count + 1, sizeof(*listeners->items));
	if (!listeners->items)
		abort();
	listeners->items[listeners->count++] = listener;
}

int listeners_read(const char *text, size_t size, struct listeners *ret_listeners, struct error *error)
{
	owned_json json = { 0 };
	int result = json_read(&json, text, size, error);

	*ret_listeners = (struct listeners){ 0 };
	if (result < 0)
		return result;
	for (struct json_value value = json_first(json_root(&json)); json_type(value) != JSON_MISSING;
	     value = json_next(value))
		read_one(value, ret_listeners);
	return 0;
}

static int open_answer(int *ret_fd, struct error *error)
{
	*ret_fd = memfd_create("listeners", MFD_CLOEXEC);
	return *ret_fd < 0 ? error_set(error, .number = errno, .step = "make room for a list of sockets") : 0;
}

static int read_answer(int fd, struct listeners *ret_listeners, struct error *error)
{
	char path[32];
	owned_text text = NULL;
	size_t size = 0;
	int result;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = fd_read_file(AT_FDCWD, path, ANSWER_BYTES_MAX, &text, &size);
	if (result < 0)
		return error_set(error, .number = -result, .step = "read the list of sockets");
	return listeners_read(text, size, ret_listeners, error);
}

int listeners_of_world(const struct member *member, struct listeners *ret_listeners, struct error *error)
{
	struct task task = { .kind = TASK_LISTENERS, .fd_count = 1 };
	owned_fd connection = -1;
	owned_fd fd = -1;
	int result = open_answer(&fd, error);

	if (result == 0)
		result = member_connect(member, CONNECT_FREE, &connection, error);
	if (result < 0)
		return result;
	task.fds[0] = fd;
	result = ask_task(connection, &task, error);
	return result < 0 ? result : read_answer(fd, ret_listeners, error);
}

int listeners_of_host(struct listeners *ret_listeners, struct error *error)
{
	owned_fd fd = -1;
	int result = open_answer(&fd, error);

	if (result == 0)
		result = task_listeners(fd, error);
	return result < 0 ? result : read_answer(fd, ret_listeners, error);
}

const struct listener *listeners_find(const struct listeners *listeners, uint16_t port)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (listeners->items[i].port == port)
			return &listeners->items[i];
	return NULL;
}

bool listeners_is_ephemeral(uint16_t port)
{
	owned_text text = NULL;
	unsigned first = EPHEMERAL_FIRST;
	unsigned last = EPHEMERAL_LAST;

	if (fd_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", 64, &text, NULL) == 0)
		(void)sscanf(text, "%u %u", &first, &last);
	return port >= first && port <= last;
}
