/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/text.h"

pid_t process_clone(uint64_t flags, int *ret_pidfd)
{
	int pidfd = -1;
	struct clone_args arguments = {
		.flags = flags | (ret_pidfd ? CLONE_PIDFD : 0),
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (pid < 0)
		return -errno;
	if (pid > 0 && ret_pidfd)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

pid_t process_fork(void)
{
	pid_t pid = fork();

	return pid < 0 ? -errno : pid;
}

enum { STACK_SIZE = 128 << 10 };

/* A child that runs on a stack of its own in this memory. */
static pid_t clone_on_stack(int (*child)(void *), void *argument, int flags, void **ret_stack)
{
	char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	sigset_t all;
	sigset_t before;
	pid_t pid;
	int number;

	if (stack == MAP_FAILED)
		return -errno;
	/* A handler of the caller's must not run in the child, on memory that both share. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = clone(child, stack + STACK_SIZE, CLONE_VM | flags | SIGCHLD, argument);
	number = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	*ret_stack = stack;
	return pid < 0 ? -number : pid;
}

pid_t process_spawn(int (*child)(void *), void *argument)
{
	void *stack = NULL;
	pid_t pid = clone_on_stack(child, argument, CLONE_VFORK, &stack);

	if (stack)
		(void)munmap(stack, STACK_SIZE);
	return pid;
}

/* AddressSanitizer keeps notes of the stack for each thread, which two processes that share one's memory would spoil:
 * there the child runs first. */
#if defined(__SANITIZE_ADDRESS__)
#define STACK_HAS_NOTES 1
#elif defined(__has_feature)
#define STACK_HAS_NOTES __has_feature(address_sanitizer)
#else
#define STACK_HAS_NOTES 0
#endif
#if STACK_HAS_NOTES
enum { BESIDE_FLAGS = CLONE_FILES | CLONE_VFORK };
#else
enum { BESIDE_FLAGS = CLONE_FILES };
#endif

int process_start_beside(int (*child)(void *), void *argument, struct process_beside *ret_beside)
{
	void *stack = NULL;
	pid_t pid = clone_on_stack(child, argument, BESIDE_FLAGS, &stack);

	if (pid < 0) {
		if (stack)
			(void)munmap(stack, STACK_SIZE);
		return pid;
	}
	*ret_beside = (struct process_beside){ .pid = pid, .stack = stack };
	return 0;
}

int process_end_beside(struct process_beside *beside, int *ret_status)
{
	int result;

	if (beside->pid == 0)
		return 0;
	result = process_wait(beside->pid, ret_status);
	/* While it runs it needs the stack. */
	if (result == 0)
		(void)munmap(beside->stack, STACK_SIZE);
	*beside = (struct process_beside){ 0 };
	return result;
}

int process_wait(pid_t pid, int *ret_status)
{
	return RETRY_EINTR(waitpid(pid, ret_status, 0)) < 0 ? -errno : 0;
}

int process_exit_code(int wait_status)
{
	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status);
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : EXIT_SBX_FAILED;
}

static const struct {
	const char *name;
	int number;
} signals[] = {
#define S(name)                                                                                                        \
	{                                                                                                              \
#name, name                                                                                            \
	}
	S(SIGHUP),  S(SIGINT),	  S(SIGQUIT),  S(SIGILL),  S(SIGTRAP), S(SIGABRT), S(SIGBUS),  S(SIGFPE),
	S(SIGKILL), S(SIGUSR1),	  S(SIGSEGV),  S(SIGUSR2), S(SIGPIPE), S(SIGALRM), S(SIGTERM), S(SIGCHLD),
	S(SIGCONT), S(SIGSTOP),	  S(SIGTSTP),  S(SIGTTIN), S(SIGTTOU), S(SIGURG),  S(SIGXCPU), S(SIGXFSZ),
	S(SIGPROF), S(SIGVTALRM), S(SIGWINCH), S(SIGIO),   S(SIGPWR),  S(SIGSYS),
#undef S
};

int process_signal_parse(const char *text)
{
	uint64_t number = 0;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (text_equal(text, signals[i].name) || text_equal(text, signals[i].name + strlen("SIG")))
			return signals[i].number;
	if (number_parse(text, 1, (uint64_t)SIGRTMAX, &number) < 0)
		return -EINVAL;
	return (int)number;
}

const char *process_signal_name(int number, char *buffer, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (signals[i].number == number)
			return signals[i].name;
	(void)snprintf(buffer, size, "signal %d", number);
	return buffer;
}
