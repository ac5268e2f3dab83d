/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/stopper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/process.h"
#include "base/text.h"

enum {
	/* One that is in the middle of vfork(2) waits for a child that stands still: then all go on for a moment. */
	STOP_MS = 500,
	LOOK_AGAIN_US = 100,
};

enum order { ORDER_STOP = 's', ORDER_CONTINUE = 'c', ORDER_END = 'e' };

/* What the stopper says after a stop. */
struct answer {
	int count;    /* of live processes that stand still, or -errno */
	pid_t moving; /* EBUSY: one that does not */
	char command[32];
};

/* ---- the stopper ---- */

struct process {
	pid_t pid;
	bool is_stopped; /* all of its threads, or it is dead */
	bool is_dead;
};

struct processes {
	struct process *items;
	size_t count;
	size_t capacity;
};

struct world_view {
	int proc_fd;
	pid_t task; /* whose stopper this is */
	struct processes known;
	struct processes foreign; /* stopped by others: they stay as they are */
};

static void add_process(struct processes *processes, pid_t pid)
{
	if (processes->count == processes->capacity) {
		processes->capacity = processes->capacity ? 2 * processes->capacity : 64;
		processes->items = reallocarray(processes->items, processes->capacity, sizeof(*processes->items));
		if (!processes->items)
			abort();
	}
	processes->items[processes->count++] = (struct process){ .pid = pid };
}

static struct process *find_process(const struct processes *processes, pid_t pid)
{
	for (size_t i = 0; i < processes->count; i++)
		if (processes->items[i].pid == pid)
			return &processes->items[i];
	return NULL;
}

/* Reads the state and the number of threads. The name in brackets before them is the program's own choice: it ends at
 * the last bracket, proc_pid_stat(5). @return the letter, or 'X' for one that is gone */
static char read_state(int proc_fd, const char *path, long *ret_threads, char command[static 32])
{
	char text[1024];
	owned_fd fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *start;
	char *end;
	char state;

	*ret_threads = 1;
	if (length <= 0)
		return 'X';
	text[length] = '\0';
	start = strchr(text, '(');
	end = strrchr(text, ')');
	if (!start || !end || end <= start ||
	    sscanf(end + 1,
		   " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
		   "%*d %*d %*d %ld",
		   &state, ret_threads) != 2)
		return 'X';
	(void)snprintf(command, 32, "%.*s", (int)(end - start - 1), start + 1);
	return state;
}

/* 't': a debugger holds it. */
static bool stands_still(char state)
{
	return state == 'T' || state == 't' || state == 'Z' || state == 'X';
}

static bool threads_stand_still(int proc_fd, pid_t pid)
{
	char path[64];
	char command[32];
	long threads;
	owned_fd fd = -1;
	DIR *directory;
	struct dirent *entry;
	bool all = true;

	(void)snprintf(path, sizeof(path), "%d/task", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory)
		return true; /* it is gone */
	(void)fd_take(&fd);  /* closedir's now */
	while (all && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%.20s/stat", entry->d_name);
		all = stands_still(read_state(dirfd(directory), path, &threads, command));
	}
	(void)closedir(directory);
	return all;
}

/* Calls `look` for each process but PID 1, the task and this one. */
static void for_each_process(struct world_view *view, void (*look)(struct world_view *, pid_t, void *), void *argument)
{
	owned_fd fd = openat(view->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!directory)
		return;
	(void)fd_take(&fd); /* closedir's now */
	while ((entry = readdir(directory)) != NULL) {
		uint64_t pid;

		if (number_parse(entry->d_name, 2, INT32_MAX, &pid) == 0 && (pid_t)pid != view->task &&
		    (pid_t)pid != getpid())
			look(view, (pid_t)pid, argument);
	}
	(void)closedir(directory);
}

static void look_for_foreign(struct world_view *view, pid_t pid, void *argument)
{
	char path[32];
	char command[32];
	long threads;
	char state;

	(void)argument;
	(void)snprintf(path, sizeof(path), "%d/stat", pid);
	state = read_state(view->proc_fd, path, &threads, command);
	if (state == 'T' || state == 't')
		add_process(&view->foreign, pid);
}

static void look_whether_stopped(struct world_view *view, pid_t pid, void *argument)
{
	struct answer *answer = argument;
	struct process *process = find_process(&view->known, pid);
	char path[32];
	char command[32] = "";
	long threads;
	char state;

	if (!process) {
		add_process(&view->known, pid);
		process = &view->known.items[view->known.count - 1];
	}
	/* What stands still stays so: nobody is there to wake it. */
	if (!process->is_stopped) {
		(void)snprintf(path, sizeof(path), "%d/stat", pid);
		state = read_state(view->proc_fd, path, &threads, command);
		process->is_dead = state == 'X' || (state == 'Z' && threads <= 1);
		process->is_stopped = process->is_dead || (stands_still(state) &&
							   (threads <= 1 || threads_stand_still(view->proc_fd, pid)));
	}
	if (!process->is_stopped) {
		answer->moving = pid;
		text_copy(answer->command, sizeof(answer->command), command);
		/* Begun by PID 1 meanwhile. */
		(void)kill(pid, SIGSTOP);
	} else if (!process->is_dead)
		answer->count++;
}

static int compare_descending(const void *a, const void *b)
{
	pid_t one = ((const struct process *)a)->pid;
	pid_t other = ((const struct process *)b)->pid;

	return (one < other) - (one > other);
}

static void let_go_on(struct world_view *view)
{
	if (view->known.count > 0)
		qsort(view->known.items, view->known.count, sizeof(*view->known.items), compare_descending);
	for (size_t i = 0; i < view->known.count; i++)
		if (!find_process(&view->foreign, view->known.items[i].pid))
			(void)kill(view->known.items[i].pid, SIGCONT);
	view->known.count = 0;
	view->foreign.count = 0;
}

static struct answer stop_all(struct world_view *view)
{
	uint64_t deadline_us = clock_us() + STOP_MS * UINT64_C(1000);
	const struct timespec pause = { .tv_nsec = LOOK_AGAIN_US * 1000L };
	struct answer answer;

	for_each_process(view, look_for_foreign, NULL);
	(void)kill(-1, SIGSTOP);
	(void)kill(view->task, SIGCONT);
	for (;;) {
		answer = (struct answer){ 0 };
		for_each_process(view, look_whether_stopped, &answer);
		if (answer.moving == 0)
			return answer;
		if (clock_us() >= deadline_us)
			break;
		(void)nanosleep(&pause, NULL);
	}
	let_go_on(view);
	answer.count = -EBUSY;
	return answer;
}

__attribute__((noreturn)) static void serve(int socket, int lock_fd, pid_t task)
{
	struct world_view view = { .task = task, .proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC) };
	char order;

	while (RETRY_EINTR(read(socket, &order, 1)) == 1) {
		if (order == ORDER_STOP) {
			struct answer answer = stop_all(&view);

			if (fd_write_all(socket, &answer, sizeof(answer)) < 0)
				break;
		} else {
			let_go_on(&view);
			/* Before the answer: the next task may come right after it. */
			if (order == ORDER_END)
				(void)flock(lock_fd, LOCK_UN);
			if (fd_write_all(socket, &order, 1) < 0)
				break;
		}
	}
	let_go_on(&view);
	_exit(0);
}

/* ---- the task's side ---- */

int stopper_begin(int scratch_fd, struct stopper *ret_stopper, struct error *error)
{
	owned_fd lock_fd = -1;
	int ends[2];
	pid_t task = getpid();
	pid_t pid;

	if (getppid() != 1)
		return error_set(error, .number = EPERM, .step = "stop the world",
				 .cause = "this is no task of its PID 1");
	lock_fd = openat(scratch_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock_fd < 0 || flock(lock_fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(error, .number = errno == EWOULDBLOCK ? EBUSY : errno, .step = "stop the world",
				 .cause = errno == EWOULDBLOCK ? "it is being stopped already" : NULL,
				 .remedy = errno == EWOULDBLOCK ? "try again when that is done" : NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(error, .number = errno, .step = "stop the world");
	pid = process_clone(0, NULL);
	if (pid == 0) {
		/* Whoever waits for the end of what the task holds does not wait for this one. */
		const int kept[] = { 0, 1, 2, ends[1], lock_fd };

		fd_close_others(kept, ARRAY_SIZE(kept));
		serve(ends[1], lock_fd, task);
	}
	(void)close(ends[1]);
	if (pid < 0) {
		(void)close(ends[0]);
		return error_set(error, .number = -pid, .step = "stop the world");
	}
	*ret_stopper = (struct stopper){ .socket = ends[0] };
	return 0;
}

static int send_order(struct stopper *stopper, char order, void *answer, size_t size)
{
	ssize_t got;

	if (fd_write_all(stopper->socket, &order, 1) < 0)
		return -EIO;
	got = fd_read_all(stopper->socket, answer, size);
	return got == (ssize_t)size ? 0 : -EIO;
}

int stopper_stop(struct stopper *stopper, struct error *error)
{
	struct answer answer;
	char cause[128];

	if (send_order(stopper, ORDER_STOP, &answer, sizeof(answer)) < 0)
		return error_set(error, .number = EIO, .step = "stop the world",
				 .cause = "the process that does it was killed");
	stopper->stops++;
	if (answer.count >= 0)
		return answer.count;
	(void)snprintf(cause, sizeof(cause), "process %d (%.31s) does not stop", answer.moving, answer.command);
	return error_set(error, .number = -answer.count, .step = "stop the world", .cause = cause);
}

/* A stopper that is gone has left nobody behind: the end of its socket is that of the task, or PID 1 sees to it. */
static void let_world_go(struct stopper *stopper, enum order order)
{
	char done;

	if (stopper->socket >= 0)
		(void)send_order(stopper, (char)order, &done, 1);
}

void stopper_continue(struct stopper *stopper)
{
	let_world_go(stopper, ORDER_CONTINUE);
}

void stopper_end(struct stopper *stopper)
{
	let_world_go(stopper, ORDER_END);
	fd_close(&stopper->socket);
}
