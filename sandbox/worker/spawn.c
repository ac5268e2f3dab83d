/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the child runs in PID 1's memory until it execs (process_spawn(): no page tables are copied); what
 * fails there is seen at once in `struct child`. */
#include "sandbox/worker/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/process.h"
#include "sandbox/policy/capabilities.h"
#include "sandbox/policy/landlock.h"

struct child {
	const struct world *world;
	const struct spawn *spawn;
	int slave_fd; /* of the private terminal; -1 */
	struct error error;
};

int spawn_exit_code(const struct error *error)
{
	if (strcmp(error->step, "execute") != 0)
		return EXIT_SBX_FAILED;
	return error->number == ENOENT || error->number == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

/* ---- the stages of a child ---- */

static int stage_reset_signals(struct child *child)
{
	/* PID 1 ignores these two (finding 40); the payload gets what sbx was started with, which is the default unless
	 * the caller ignored them. */
	(void)signal(SIGXFSZ, SIG_DFL);
	(void)signal(SIGXCPU, SIG_DFL);
	/* What comes later has another caller: that the worker was started with `&` by a script, say, which ignores
	 * SIGINT, must not make its Ctrl-C worthless. */
	for (int number = 1; !child->spawn->is_main && number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	return 0;
}

static int stage_start_session(struct child *child)
{
	/* A job of a terminal has its leader's. */
	if (child->spawn->shape)
		return 0;
	/* A new session: no way to the caller's terminal (finding 5), and one group to send signals to. */
	if (setsid() < 0)
		return error_set(&child->error, .number = errno, .step = "start a session");
	return 0;
}

static int stage_limit(struct child *child)
{
	return limits_apply(&child->world->plan->limits, &child->error);
}

static int stage_enter_directory(struct child *child)
{
	if (chdir(child->spawn->directory) < 0)
		return error_set(&child->error, .number = errno, .step = "enter the working directory",
				 .object = child->spawn->directory);
	return 0;
}

static int stage_place_descriptors(struct child *child)
{
	const struct spawn *spawn = child->spawn;
	int sources[SPAWN_FDS_MAX];
	int number_max = 2;

	for (size_t i = 0; i < spawn->fd_count; i++)
		number_max = MAX(number_max, spawn->numbers[i]);
	/* First out of the way of every number that is going to be used, then each to its own. */
	for (size_t i = 0; i < spawn->fd_count; i++) {
		sources[i] =
			fcntl(spawn->fds[i] < 0 ? child->slave_fd : spawn->fds[i], F_DUPFD_CLOEXEC, number_max + 1);
		if (sources[i] < 0)
			return error_set(&child->error, .number = errno, .step = "place the descriptors");
	}
	/* The belt: everything above 2 is close-on-exec by birth, and again here. */
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return error_set(&child->error, .number = errno, .step = "close the other descriptors",
				 .remedy = "use kernel 5.12 or newer");
	for (size_t i = 0; i < spawn->fd_count; i++)
		if (dup2(sources[i], spawn->numbers[i]) < 0)
			return error_set(&child->error, .number = errno, .step = "place the descriptors");
	return 0;
}

static int stage_forbid_privileges(struct child *child)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(&child->error, .number = errno, .step = "forbid new privileges");
	return 0;
}

static int stage_landlock(struct child *child)
{
	const struct spec *spec = child->world->plan->spec;
	struct landlock_rules rules = {
		.writable_fds = child->world->writable_fds,
		.writable_count = child->world->writable_count,
		.passed_fds = child->spawn->numbers,
		.passed_count = child->spawn->fd_count,
		.scope_for_host_network = spec->network == NETWORK_HOST,
		.allow_userns = spec->seccomp.allow_userns,
	};
	int result = child->spawn->is_main ? landlock_confine(&rules, &child->error) : 0;

	return result < 0 ? result : 0;
}

static int stage_drop_capabilities(struct child *child)
{
	return capabilities_drop_all(&child->error);
}

static int stage_filter(struct child *child)
{
	return seccomp_load(&child->world->plan->spec->seccomp, &child->error);
}

static const char *environment_value(const struct text_list *environment, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < environment->count; i++)
		if (strncmp(environment->items[i], name, length) == 0 && environment->items[i][length] == '=')
			return environment->items[i] + length + 1;
	return NULL;
}

static int error_execute(struct child *child, const char *program, int number)
{
	bool is_path = strchr(program, '/');
	struct stat status;
	const char *cause = NULL;
	const char *remedy = NULL;

	if (number == ENOEXEC) {
		cause = "it is neither a binary of this machine nor a script with a #! line";
		remedy = "start it with its interpreter, as in: sh FILE";
	} else if (number == ENOENT && is_path && stat(program, &status) == 0) {
		cause = "the interpreter of its #! line, or its loader, is not in the world";
		remedy = "look at its first line: head -n 1 FILE";
	} else if (number == ENOENT) {
		cause = "no such program in the world";
		if (!is_path)
			remedy = "it is looked for in PATH; what the host has in /tmp, /var/tmp, /run and in other "
				 "people's homes is not in the world";
	} else if (number == EACCES && is_path && stat(program, &status) == 0) {
		if (S_ISDIR(status.st_mode))
			cause = "it is a directory";
		else if (S_ISREG(status.st_mode) && !(status.st_mode & 0111))
			remedy = "make it executable: chmod +x FILE";
	}
	return error_set(&child->error, .number = number, .step = "execute", .object = program, .cause = cause,
			 .remedy = remedy);
}

/* As execvp(3), with the PATH of the world's environment, and without its fallback to a shell. */
static int stage_execute(struct child *child)
{
	const struct spawn *spawn = child->spawn;
	const char *program = spawn->arguments->items[0];
	const char *search = environment_value(spawn->environment, "PATH");
	int number = ENOENT;

	if (program[0] == '\0')
		return error_execute(child, program, ENOENT);
	if (strchr(program, '/')) {
		(void)execve(program, spawn->arguments->items, spawn->environment->items);
		return error_execute(child, program, errno);
	}
	if (!search)
		search = "/usr/local/bin:/usr/bin:/bin";
	for (;;) {
		size_t length = strcspn(search, ":");
		char path[PATH_MAX];

		if (length + 1 + strlen(program) + 1 <= sizeof(path)) {
			memcpy(path, search, length);
			/* An empty element is the current directory, as ever. */
			path[length] = '/';
			memcpy(path + length + (length > 0), program, strlen(program) + 1);
			(void)execve(path, spawn->arguments->items, spawn->environment->items);
			if (errno != ENOENT && errno != ENOTDIR) {
				number = errno;
				if (number != EACCES)
					break;
			}
		}
		if (search[length] == '\0')
			break;
		search += length + 1;
	}
	return error_execute(child, program, number);
}

static int (*const child_stages[])(struct child *) = {
	stage_reset_signals,   stage_start_session,	stage_limit,
	stage_enter_directory, stage_place_descriptors, stage_forbid_privileges,
	stage_landlock,	       stage_drop_capabilities, stage_filter,
	stage_execute,
};

/* In the child: returns never; what failed is in `error`. */
static int run_stages(void *argument)
{
	struct child *child = argument;
	sigset_t none;

	sigemptyset(&none);
	/* What was blocked in PID 1 is not the payload's business; pending ones are not inherited, fork(2). */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(child_stages); i++)
		if (child_stages[i](child) < 0)
			break;
	_exit(EXIT_SBX_FAILED);
}

static int run_job(void *argument, int slave_fd)
{
	struct child *child = argument;

	child->slave_fd = slave_fd;
	return run_stages(child);
}

static int start_job(struct child *child, struct spawned *ret_spawned, struct error *error)
{
	struct terminal_job job = {
		.multiplexer = "/dev/pts/ptmx",
		.shape = child->spawn->shape,
		.is_foreground = !child->spawn->is_background,
		.spawn = run_job,
		.argument = child,
		.spawn_error = &child->error,
	};
	struct terminal_started started;
	int result = terminal_start(&job, &started, error);

	if (result < 0)
		return result;
	*ret_spawned = (struct spawned){ .payload = started.payload,
					 .leader = started.leader,
					 .channel_fd = started.channel_fd,
					 .master_fd = started.master_fd };
	return 0;
}

int spawn_start(const struct world *world, const struct spawn *spawn, struct spawned *ret_spawned, struct error *error)
{
	struct child child = { .world = world, .spawn = spawn, .slave_fd = -1 };
	pid_t pid;

	if (spawn->shape)
		return start_job(&child, ret_spawned, error);
	pid = process_spawn(run_stages, &child);
	if (pid < 0)
		return error_set(error, .number = -pid, .step = "start a process");
	if (child.error.number != 0) {
		int status;

		(void)process_wait(pid, &status);
		*error = child.error;
		return -error->number;
	}
	*ret_spawned = (struct spawned){ .payload = pid, .channel_fd = -1, .master_fd = -1 };
	return 0;
}
