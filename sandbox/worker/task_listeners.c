/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the kernel lists sockets by inode, and each process's descriptors name theirs. Of several processes
 * that hold one (a server's children) the first is told, which made it as a rule. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "sandbox/worker/task_parts.h"

enum {
	LISTENERS_MAX = 1024,
	TABLE_BYTES_MAX = 16 << 20,
	COMMAND_BYTES_MAX = 256 << 10, /* of its arguments, and of its environment */
	STATE_LISTEN = 0x0a,	       /* TCP_LISTEN, include/net/tcp_states.h */
};

struct listener {
	char address[INET6_ADDRSTRLEN];
	const char *family;
	unsigned port;
	uint64_t inode;
	pid_t pid; /* 0: not found */
};

struct listeners {
	struct listener items[LISTENERS_MAX];
	size_t count;
};

/* "0: 0100007F:115C 00000000:0000 0A … UID 0 INODE …": words of four bytes as they lie in memory, proc_net_tcp.rst. */
static void read_line(struct listeners *listeners, const char *line, bool is_six)
{
	struct listener *listener = &listeners->items[listeners->count];
	char address[33];
	uint32_t words[4] = { 0 };
	unsigned state;

	if (listeners->count == LISTENERS_MAX ||
	    sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %" SCNu64, address,
		   &listener->port, &state, &listener->inode) != 4 ||
	    state != STATE_LISTEN || strlen(address) != (is_six ? 32u : 8u))
		return;
	for (size_t i = 0; i < (is_six ? 4u : 1u); i++)
		if (sscanf(address + 8 * i, "%8" SCNx32, &words[i]) != 1)
			return;
	(void)inet_ntop(is_six ? AF_INET6 : AF_INET, words, listener->address, sizeof(listener->address));
	listener->family = is_six ? "ipv6" : "ipv4";
	listener->pid = 0;
	listeners->count++;
}

static int read_table(struct listeners *listeners, const char *path, bool is_six, struct error *error)
{
	owned_text text = NULL;
	char *rest;
	int result = fd_read_file(AT_FDCWD, path, TABLE_BYTES_MAX, &text, NULL);

	if (result == -ENOENT && is_six)
		return 0; /* a kernel without it */
	if (result < 0)
		return error_set(error, .number = -result, .step = "list the listening sockets", .object = path);
	rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		read_line(listeners, line, is_six);
	return 0;
}

static void note_owner(struct listeners *listeners, uint64_t inode, pid_t pid)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (listeners->items[i].inode == inode &&
		    (listeners->items[i].pid == 0 || pid < listeners->items[i].pid))
			listeners->items[i].pid = pid;
}

static void look_at_descriptors(struct listeners *listeners, int proc_fd, pid_t pid)
{
	char path[32];
	owned_fd fd = -1;
	DIR *directory;
	struct dirent *entry;

	(void)snprintf(path, sizeof(path), "%d/fd", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory)
		return;	    /* gone */
	(void)fd_take(&fd); /* closedir's now */
	while ((entry = readdir(directory)) != NULL) {
		char target[64];
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
		uint64_t inode;

		if (length <= 0)
			continue;
		target[length] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1)
			note_owner(listeners, inode, pid);
	}
	(void)closedir(directory);
}

static int find_owners(struct listeners *listeners, int proc_fd, struct error *error)
{
	owned_fd fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!directory)
		return error_set(error, .number = errno, .step = "look at the processes", .object = "/proc");
	(void)fd_take(&fd); /* closedir's now */
	while ((entry = readdir(directory)) != NULL) {
		uint64_t pid;

		if (number_parse(entry->d_name, 2, INT32_MAX, &pid) == 0 && (pid_t)pid != getpid())
			look_at_descriptors(listeners, proc_fd, (pid_t)pid);
	}
	(void)closedir(directory);
	return 0;
}

/* What stands in /proc/PID/FILE, NUL by NUL. */
static void add_texts(int proc_fd, pid_t pid, const char *file, const char *name, struct text_buffer *out)
{
	char path[32];
	owned_text bytes = NULL;
	size_t size;

	(void)snprintf(path, sizeof(path), "%d/%s", pid, file);
	if (pid == 0 || fd_read_file(proc_fd, path, COMMAND_BYTES_MAX, &bytes, &size) < 0) {
		json_add_null(out, name);
		return;
	}
	json_begin_array(out, name);
	for (size_t at = 0; at < size; at += strlen(bytes + at) + 1)
		json_add_text(out, NULL, bytes + at);
	json_end_array(out);
}

static void add_directory(int proc_fd, pid_t pid, struct text_buffer *out)
{
	char path[32];
	char target[PATH_MAX];
	ssize_t length = -1;

	(void)snprintf(path, sizeof(path), "%d/cwd", pid);
	if (pid != 0)
		length = readlinkat(proc_fd, path, target, sizeof(target) - 1);
	if (length >= 0)
		target[length] = '\0';
	json_add_text(out, "cwd", length < 0 ? NULL : target);
}

static void add_listener(const struct listener *listener, int proc_fd, struct text_buffer *out)
{
	json_begin_object(out, NULL);
	json_add_number(out, "port", listener->port);
	json_add_text(out, "address", listener->address);
	json_add_text(out, "family", listener->family);
	if (listener->pid)
		json_add_number(out, "pid", listener->pid);
	else
		json_add_null(out, "pid");
	add_texts(proc_fd, listener->pid, "cmdline", "command", out);
	add_texts(proc_fd, listener->pid, "environ", "environment", out);
	add_directory(proc_fd, listener->pid, out);
	json_end_object(out);
}

int task_listeners(int out_fd, struct error *error)
{
	owned_output output = { .fd = out_fd };
	owned_fd proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct listeners *listeners = calloc(1, sizeof(*listeners));
	int result;

	if (!listeners)
		abort();
	result =
		proc_fd < 0 ? error_set(error, .number = errno, .step = "look at the processes", .object = "/proc") : 0;
	if (result == 0)
		result = read_table(listeners, "/proc/self/net/tcp", false, error);
	if (result == 0)
		result = read_table(listeners, "/proc/self/net/tcp6", true, error);
	if (result == 0)
		result = find_owners(listeners, proc_fd, error);
	json_begin_array(&output.buffer, NULL);
	for (size_t i = 0; i < listeners->count && result == 0; i++) {
		add_listener(&listeners->items[i], proc_fd, &output.buffer);
		result = task_output_continue(&output, error);
	}
	free(listeners);
	if (result < 0)
		return result;
	json_end_array(&output.buffer);
	text_buffer_add(&output.buffer, "\n", 1);
	return task_output_end(&output, error);
}
