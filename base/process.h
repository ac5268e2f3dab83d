/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: the only place that forks. sbx is single-threaded, by rule. */
#ifndef SBX_BASE_PROCESS_H
#define SBX_BASE_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/** clone3(2) without CLONE_VM: a copy of this process, in new namespaces as `flags` (CLONE_NEW*) say.
 *  @ret_pidfd  the caller's, CLOEXEC; may be NULL
 *  @return 0 in the child, the pid in the parent, or -errno */
pid_t process_clone(uint64_t flags, int *ret_pidfd);

/** fork(2): process_clone() without new namespaces, by a call that the filter of a world lets pass.
 *  @return 0 in the child, the pid in the parent, or -errno */
pid_t process_fork(void);

/** vfork(2) with a stack of its own: runs `child(argument)` in this very memory while the caller waits, until the child
 *  execs or ends; saves the copy of the page tables (100 µs and more). The child must only make system calls and write
 *  what the caller may see; its return value becomes its exit status. All signals are blocked in the child at first.
 *  @return the pid or -errno */
pid_t process_spawn(int (*child)(void *), void *argument);

/* A child beside its caller. */
struct process_beside {
	pid_t pid; /* 0: none */
	void *stack;
};

/** Runs `child(argument)` in this very memory and with these very descriptors, as a thread would, while the caller goes
 *  on; unlike a thread it may have namespaces of its own. The child must only make system calls and write what the
 *  caller does not touch before process_end_beside(); its return value becomes its exit status, not 0 for an error.
 *  `errno` is the caller's, too: unless the child fails it must not write it, not even what it read there before, as
 *  fd_close() does and with it an owned_fd. All signals are blocked in the child.
 *  @return 0 or -errno */
int process_start_beside(int (*child)(void *), void *argument, struct process_beside *ret_beside);

/** Waits for its end. Takes none and a second call: 0, and `ret_status` stays. @return 0 or -errno */
int process_end_beside(struct process_beside *beside, int *ret_status);

/** waitpid(2) over signals. @return 0 or -errno */
int process_wait(pid_t pid, int *ret_status);

/** The shell's number for a wait status: exit code, or 128 + signal. */
int process_exit_code(int wait_status);

/** Signal number of "TERM", "SIGTERM" or "15"; -EINVAL if there is none. */
int process_signal_parse(const char *text);
/** "SIGTERM" for 15, "signal 40" where it has no name; static text or `buffer`. */
const char *process_signal_name(int number, char *buffer, size_t size);

#endif
