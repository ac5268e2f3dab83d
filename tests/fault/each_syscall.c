/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command of sbx again and again, and at each run lets one thing go wrong, one system call later than the last
 * time: P4, P7, finding 54.
 *
 *   each_syscall MODE FIRST STEP SBX ARGUMENT…      FIRST + k * STEP are the system calls at which it happens
 *
 * Who is counted: `owner` is sbx itself, `init` its PID 1, `payload` the child of that until it executes, `network` the
 * one that makes the network namespace beside it.
 *   kill-owner, kill-init, kill-network …  SIGKILL to the one that is counted, before its call
 *   orphan-init, orphan-payload           it is held before its call until the owner has been killed
 *   EPERM-owner, ENOMEM-init, EIO-payload … its call is not made and fails with that
 * What must be true afterwards, each time: all processes are gone within a second; sbx's state holds one lock file (and
 * its socket), one directory at most of a layer on disk, with --keep one of the worker being kept, where a seed is
 * made one of its layer, and nothing after the next command but a kept worker that is whole; a call that failed ended
 * in status 125 and words, or in a payload that says "protected".
 *
 * It is the tracer of all three, and a subreaper: wait(2) says ECHILD only once nothing that sbx started is left. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	TRACEES_MAX = 64,
	POINTS_MAX = 8192,
	OUTPUT_MAX = 4096,
	LEFT_MS_MAX = 1000, /* P4 */
	RUN_MS_MAX = 20000, /* a run that nothing happened to, on a busy machine */
};

enum role { ROLE_UNKNOWN, ROLE_OWNER, ROLE_INIT, ROLE_NETWORK, ROLE_PAYLOAD, ROLE_OTHER };
static const char *const role_names[] = { "?", "owner", "init", "network", "payload", "other" };

enum fault { FAULT_KILL, FAULT_ORPHAN, FAULT_ERROR };

struct tracee {
	pid_t pid; /* 0: free */
	enum role role;
	bool is_held;
	bool had_first_stop;
};

struct mode {
	const char *name;
	enum fault fault;
	enum role role;
	int number; /* errno */
};

struct point {
	const struct mode *mode;
	size_t index; /* of the system call, from 0 */
	struct tracee tracees[TRACEES_MAX];
	size_t seen; /* system calls of the one that is counted */
	bool has_payload;
	bool counts;
	bool is_hit;
	bool fails; /* the call that is being skipped has not returned yet */
	uint64_t call;
	uint64_t argument;
	int64_t hit_ms;
	int status; /* of the owner */
	bool has_status;
	int output_fd;
	int hold_fd; /* while it is open the payload, which reads to its end first, does not end; -1: closed */
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

_Noreturn static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* ---- who is who ---- */

static struct tracee *find(struct point *point, pid_t pid)
{
	for (size_t i = 0; i < TRACEES_MAX; i++)
		if (point->tracees[i].pid == pid)
			return &point->tracees[i];
	return NULL;
}

static struct tracee *find_or_add(struct point *point, pid_t pid)
{
	struct tracee *tracee = find(point, pid);

	if (!tracee) {
		tracee = find(point, 0);
		if (!tracee)
			die("too many processes");
		*tracee = (struct tracee){ .pid = pid };
	}
	return tracee;
}

static struct tracee *find_role(struct point *point, enum role role)
{
	for (size_t i = 0; i < TRACEES_MAX; i++)
		if (point->tracees[i].pid != 0 && point->tracees[i].role == role)
			return &point->tracees[i];
	return NULL;
}

static enum role role_of_child(struct point *point, enum role parent, int event)
{
	if (parent == ROLE_OWNER && !find_role(point, ROLE_INIT))
		return ROLE_INIT;
	/* PID 1 waits for nobody but a payload to begin: base/process.h. */
	if (parent == ROLE_INIT && !point->has_payload && event != PTRACE_EVENT_VFORK)
		return ROLE_NETWORK;
	if (parent == ROLE_INIT && !point->has_payload) {
		point->has_payload = true;
		return ROLE_PAYLOAD;
	}
	return ROLE_OTHER;
}

/* ---- going on ---- */

static bool is_counted(const struct point *point, const struct tracee *tracee)
{
	return point->counts && (!point->is_hit || point->fails) && tracee->role == point->mode->role;
}

static void resume(const struct point *point, const struct tracee *tracee, int signal)
{
	/* ESRCH: killed while it was stopped; its end is told next. */
	(void)ptrace(is_counted(point, tracee) ? PTRACE_SYSCALL : PTRACE_CONT, tracee->pid, 0, (long)signal);
}

static void release_held(struct point *point)
{
	for (size_t i = 0; i < TRACEES_MAX; i++)
		if (point->tracees[i].pid && point->tracees[i].is_held) {
			point->tracees[i].is_held = false;
			resume(point, &point->tracees[i], 0);
		}
}

/* ---- what goes wrong ---- */

static void skip_call(pid_t pid)
{
#ifdef __x86_64__
	if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L) < 0)
		die("skip a system call");
#else
	(void)pid;
	errno = ENOSYS;
	die("skip a system call on this machine");
#endif
}

static void set_result(pid_t pid, long result)
{
#ifdef __x86_64__
	(void)ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), result);
#else
	(void)pid;
	(void)result;
#endif
}

/* A process that ends or returns from a signal cannot be told that it does not. What waits for a child is made to wait
 * for ever or not at all by such an answer, which no kernel gives; brk(2) knows no errno; who one is is always
 * known; and close(2) gives the descriptor back whatever it says. */
static bool can_fail(uint64_t call)
{
	return call != SYS_exit_group && call != SYS_exit && call != SYS_rt_sigreturn && call != SYS_wait4 &&
	       call != SYS_waitid && call != SYS_brk && call != SYS_close && call != SYS_getuid && call != SYS_geteuid;
}

static void hit(struct point *point, struct tracee *tracee)
{
	struct tracee *owner = find_role(point, ROLE_OWNER);

	point->is_hit = true;
	point->hit_ms = now_ms();
	switch (point->mode->fault) {
	case FAULT_KILL:
		(void)kill(tracee->pid, SIGKILL);
		break;
	case FAULT_ORPHAN:
		tracee->is_held = true;
		if (owner)
			(void)kill(owner->pid, SIGKILL);
		break;
	case FAULT_ERROR:
		if (can_fail(point->call)) {
			point->fails = true;
			skip_call(tracee->pid);
		}
		break;
	}
}

static void system_call_stop(struct point *point, struct tracee *tracee)
{
	struct __ptrace_syscall_info info = { 0 };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tracee->pid, sizeof(info), &info) < 0) {
		resume(point, tracee, 0);
		return;
	}
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && point->fails) {
		point->fails = false;
		set_result(tracee->pid, -point->mode->number);
	}
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY && is_counted(point, tracee) && point->seen++ == point->index) {
		point->call = info.entry.nr;
		point->argument = info.entry.args[0];
		hit(point, tracee);
	}
	if (!tracee->is_held)
		resume(point, tracee, 0);
}

/* ---- stops ---- */

static void child_event(struct point *point, const struct tracee *tracee, int event)
{
	unsigned long message = 0;
	struct tracee *child;

	if (ptrace(PTRACE_GETEVENTMSG, tracee->pid, 0, &message) == 0) {
		child = find_or_add(point, (pid_t)message);
		child->role = role_of_child(point, tracee->role, event);
		if (child->had_first_stop)
			resume(point, child, 0);
	}
	resume(point, tracee, 0);
}

/* Where sbx was killed it never may: an orphan must be ended, not end by itself. */
static void let_payload_end(struct point *point)
{
	if (point->hold_fd >= 0)
		(void)close(point->hold_fd);
	point->hold_fd = -1;
}

static void event_stop(struct point *point, struct tracee *tracee, int event)
{
	switch (event) {
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		child_event(point, tracee, event);
		return;
	case PTRACE_EVENT_EXEC:
		if (tracee->role == ROLE_OWNER)
			point->counts = true;
		if (tracee->role != ROLE_PAYLOAD)
			break;
		tracee->role = ROLE_OTHER; /* what it does now is the program's */
		if (!point->is_hit || point->mode->fault == FAULT_ERROR)
			let_payload_end(point);
		break;
	}
	resume(point, tracee, 0);
}

static void stopped(struct point *point, pid_t pid, int status)
{
	struct tracee *tracee = find_or_add(point, pid);
	int signal = WSTOPSIG(status);

	if (signal == (SIGTRAP | 0x80))
		system_call_stop(point, tracee);
	else if (signal == SIGTRAP && status >> 16)
		event_stop(point, tracee, status >> 16);
	else if (signal == SIGSTOP && !tracee->had_first_stop) {
		tracee->had_first_stop = true;
		if (tracee->role != ROLE_UNKNOWN)
			resume(point, tracee, 0);
	} else
		resume(point, tracee, signal);
}

static void ended(struct point *point, pid_t pid, int status)
{
	struct tracee *tracee = find(point, pid);

	if (!tracee)
		return; /* a grandchild that came to us, untraced */
	if (tracee->role == ROLE_OWNER) {
		point->status = status;
		point->has_status = true;
		release_held(point);
	}
	tracee->pid = 0;
}

/* ---- one run ---- */

static void start(struct point *point, char **command)
{
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
		       PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int ends[2];
	int status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	point->hold_fd = ends[1];
	point->output_fd = memfd_create("output", MFD_CLOEXEC);
	pid = fork();
	if (pid < 0 || point->output_fd < 0)
		die("start");
	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)dup2(ends[0], 0);
		(void)dup2(point->output_fd, 1);
		(void)dup2(point->output_fd, 2);
		(void)ptrace(PTRACE_TRACEME, 0, 0, 0);
		(void)raise(SIGSTOP);
		(void)execv(command[0], command);
		_exit(99);
	}
	(void)close(ends[0]);
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		die("start");
	*find_or_add(point, pid) = (struct tracee){ .pid = pid, .role = ROLE_OWNER, .had_first_stop = true };
	if (ptrace(PTRACE_SETOPTIONS, pid, 0, options) < 0)
		die("trace");
	resume(point, find(point, pid), 0);
}

static int64_t deadline_of(const struct point *point, int64_t start_ms)
{
	bool is_killed = point->is_hit && point->mode->fault != FAULT_ERROR;

	return is_killed ? point->hit_ms + LEFT_MS_MAX : start_ms + RUN_MS_MAX;
}

/* @return whether all of it ended in time */
static bool follow(struct point *point)
{
	int64_t start_ms = now_ms();
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);
		int64_t left_ms = deadline_of(point, start_ms) - now_ms();
		struct timespec wait = { .tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000 };

		if (pid < 0)
			return true; /* ECHILD: none left */
		if (pid > 0 && WIFSTOPPED(status))
			stopped(point, pid, status);
		else if (pid > 0)
			ended(point, pid, status);
		else if (left_ms <= 0)
			return false;
		else
			(void)sigtimedwait(&child, NULL, &wait);
	}
}

static void kill_all(struct point *point)
{
	int status;

	for (size_t i = 0; i < TRACEES_MAX; i++)
		if (point->tracees[i].pid) {
			printf("# left: %d, %s\n", point->tracees[i].pid, role_names[point->tracees[i].role]);
			(void)kill(point->tracees[i].pid, SIGKILL);
		}
	while (waitpid(-1, &status, __WALL) > 0 || errno == EINTR)
		;
}

/* ---- what is left ---- */

static int count_entries(const char *directory)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *stream;
	int count = 0;

	(void)snprintf(path, sizeof(path), "%s/sbx/%s", getenv("XDG_STATE_HOME"), directory);
	stream = opendir(path);
	while (stream && (entry = readdir(stream)))
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	if (stream)
		(void)closedir(stream);
	return count;
}

/* A layer on disk, or what is left of one that is being removed. */
static int count_layers(void)
{
	return count_entries("uppers") + count_entries("trash");
}

static int run_to_end(char *const command[])
{
	posix_spawn_file_actions_t actions;
	int status = -1;
	pid_t pid;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, command[0], &actions, NULL, command, environ) != 0)
		die("spawn");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)posix_spawn_file_actions_destroy(&actions);
	return status;
}

/* Of run --keep: a worker that was kept before the end came is there whole, under the name of its directory. A draft of
 * one has a name that begins with a dot, and is what is left. */
static bool remove_kept(char *sbx)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool is_whole = true;
	DIR *stream;

	(void)snprintf(path, sizeof(path), "%s/sbx/kept", getenv("XDG_STATE_HOME"));
	stream = opendir(path);
	while (stream && is_whole && (entry = readdir(stream))) {
		char *const look[] = { sbx, (char *)"inspect", entry->d_name, NULL };
		char *const drop[] = { sbx, (char *)"rm", entry->d_name, NULL };

		if (entry->d_name[0] != '.')
			is_whole = run_to_end(look) == 0 && run_to_end(drop) == 0;
	}
	if (stream)
		(void)closedir(stream);
	return is_whole;
}

static bool keeps(char *const command[])
{
	for (; *command; command++)
		if (strncmp(*command, "--keep", strlen("--keep")) == 0)
			return true;
	return false;
}

static bool makes_seed(char *const command[])
{
	return strcmp(command[1], "seed") == 0 || strcmp(command[1], "commit") == 0;
}

static const char *look_at_state(char *const command[])
{
	char *sbx = command[0];
	char *const next[] = { sbx, (char *)"ps", (char *)"--quiet", NULL };
	bool has_more_files = count_entries("run") > 2;
	/* With --keep also the one that the layer was being copied to, and a seed's own beside its world's. */
	bool has_more_directories = count_layers() > 1 + makes_seed(command) || count_entries("kept") > keeps(command);

	if (run_to_end(next) != 0)
		return "the next command failed";
	if (count_entries("run") != 0)
		return "the next command left the lock file or its socket";
	if (!remove_kept(sbx))
		return "what was kept is not whole";
	if (count_layers() + count_entries("kept") != 0)
		return "the next command left a directory";
	if (has_more_files)
		return "more than a lock file and its socket are left";
	return has_more_directories ? "more than one directory is left" : NULL;
}

static const char *look_at_status(const struct point *point, const char *output)
{
	bool is_memory = point->call == SYS_mmap || point->call == SYS_mremap || point->call == SYS_munmap ||
			 point->call == SYS_mprotect || point->call == SYS_arch_prctl;
	bool is_mute = point->call == SYS_write || point->call == SYS_writev;

	if (point->mode->fault != FAULT_ERROR || !point->is_hit)
		return NULL;
	if (!point->has_status)
		return "sbx did not end";
	/* Without memory it aborts, as is its rule, or libc does before main() in its own ways. */
	if (is_memory && point->status != 0)
		return NULL;
	if (WIFSIGNALED(point->status))
		return "sbx was ended by a signal";
	if (WEXITSTATUS(point->status) == 0)
		return strstr(output, "protected\n") && !strstr(output, "not protected") ? NULL : "it ran unprotected";
	if (point->call == SYS_execve && WEXITSTATUS(point->status) == 126)
		return NULL;
	if (WEXITSTATUS(point->status) != 125)
		return "the status is neither 0 nor 125";
	return is_mute || strstr(output, "sbx: ") ? NULL : "125 without a word";
}

static void say_failure(const struct point *point, const char *what, const char *output)
{
	printf("%s at call %zu (system call %llu, first argument %lld): %s\n", point->mode->name, point->index,
	       (unsigned long long)point->call, (long long)point->argument, what);
	if (point->has_status)
		printf("# status %#x\n", (unsigned)point->status);
	if (output[0])
		printf("# %s\n", output);
}

/* ---- all runs ---- */

struct tally {
	size_t points;
	size_t failures;
	int64_t left_ms[POINTS_MAX];
};

/* @return whether there was such a system call */
static bool run_point(const struct mode *mode, size_t index, char **command, struct tally *tally)
{
	struct point point = { .mode = mode, .index = index, .output_fd = -1, .hold_fd = -1 };
	char output[OUTPUT_MAX] = "";
	const char *what = NULL;
	int64_t ended_ms;
	bool in_time;

	start(&point, command);
	in_time = follow(&point);
	ended_ms = now_ms();
	if (!in_time)
		kill_all(&point);
	(void)!pread(point.output_fd, output, sizeof(output) - 1, 0);
	(void)close(point.output_fd);
	let_payload_end(&point);
	if (!point.is_hit) {
		if (WIFEXITED(point.status) && WEXITSTATUS(point.status) == 0 && strstr(output, "protected"))
			return false;
		what = "it fails when nothing happens to it";
	}
	if (!what && !in_time)
		what = "not all of it ended in time";
	if (!what)
		what = look_at_status(&point, output);
	if (!what)
		what = look_at_state(command);
	if (point.is_hit && tally->points < POINTS_MAX)
		tally->left_ms[tally->points++] = ended_ms - point.hit_ms;
	if (what) {
		tally->failures++;
		say_failure(&point, what, output);
	}
	return point.is_hit;
}

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

static const struct {
	const char *name;
	int number;
} errors[] = { { "EPERM", EPERM },   { "ENOMEM", ENOMEM }, { "EIO", EIO },
	       { "EINVAL", EINVAL }, { "ENOSPC", ENOSPC }, { "EMFILE", EMFILE } };

static bool read_mode(const char *text, struct mode *mode)
{
	const char *dash = strchr(text, '-');
	size_t length = dash ? (size_t)(dash - text) : 0;

	*mode = (struct mode){ .name = text };
	for (size_t i = 1; dash && i < sizeof(role_names) / sizeof(*role_names); i++)
		if (strcmp(dash + 1, role_names[i]) == 0)
			mode->role = (enum role)i;
	if (strncmp(text, "kill-", 5) == 0)
		return mode->role != ROLE_UNKNOWN;
	mode->fault = FAULT_ORPHAN;
	if (strncmp(text, "orphan-", 7) == 0)
		return mode->role != ROLE_UNKNOWN;
	mode->fault = FAULT_ERROR;
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strlen(errors[i].name) == length && strncmp(text, errors[i].name, length) == 0)
			mode->number = errors[i].number;
	return mode->role != ROLE_UNKNOWN && mode->number != 0;
}

int main(int argc, char **argv)
{
	static struct tally tally;
	struct mode mode;
	size_t first = argc > 5 ? strtoul(argv[2], NULL, 10) : 0;
	size_t step = argc > 5 ? strtoul(argv[3], NULL, 10) : 0;
	sigset_t child;

	if (step == 0 || !read_mode(argv[1], &mode) || !getenv("XDG_STATE_HOME")) {
		(void)fputs("usage: XDG_STATE_HOME=DIR each_syscall MODE FIRST STEP SBX ARGUMENT…\n", stderr);
		return 2;
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &child, NULL);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t index = first; run_point(&mode, index, argv + 4, &tally) && tally.failures < 20; index += step)
		;
	qsort(tally.left_ms, tally.points, sizeof(int64_t), compare);
	printf("# %s: %zu points, %zu failures", mode.name, tally.points, tally.failures);
	if (tally.points > 0)
		printf(", to the end: median %lld ms, 99 %% %lld ms, longest %lld ms",
		       (long long)tally.left_ms[tally.points / 2], (long long)tally.left_ms[tally.points * 99 / 100],
		       (long long)tally.left_ms[tally.points - 1]);
	(void)putchar('\n');
	return tally.failures == 0 && tally.points > 0 ? 0 : 1;
}
