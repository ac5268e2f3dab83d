/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/maker.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "netns/loopback.h"

/* In the helper: it shares memory and descriptors with its caller, but neither namespaces nor credentials. `errno` is
 * shared, too. It is written where a call fails only, and then there will be no world that could be misled by it: no
 * fd_close() and no owned_fd here, which put back the one that they found. */
static int make(void *argument)
{
	struct netns_maker *maker = argument;

	if (unshare(CLONE_NEWNET) < 0)
		return error_set(&maker->error, .number = errno, .step = "create the namespaces");
	if (loopback_bring_up(&maker->error) < 0)
		return EXIT_SBX_FAILED;
	maker->network_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (maker->network_fd < 0)
		return error_set(&maker->error, .number = errno, .step = "open the network namespace");
	return 0;
}

int netns_maker_start(struct netns_maker *maker, struct error *error)
{
	int result = process_start_beside(make, maker, &maker->helper);

	return result < 0 ? error_set(error, .number = -result, .step = "start a process") : 0;
}

/* The number may be one that the caller's own calls left in `errno` in that moment. Asked once more while the caller
 * waits, it is the kernel's; a namespace that can be had now goes with whoever made it. */
static void look_again(struct netns_maker *maker)
{
	struct netns_maker again = NETNS_MAKER_NONE;
	pid_t pid = process_spawn(make, &again);
	int ignored;

	if (pid > 0 && process_wait(pid, &ignored) == 0 && again.error.number > 0)
		maker->error = again.error;
}

int netns_maker_wait(struct netns_maker *maker, struct error *error)
{
	int status = 0;
	int result = process_end_beside(&maker->helper, &status);

	if (result == 0 && WIFEXITED(status) && WEXITSTATUS(status) != 0)
		look_again(maker);
	if (result == 0 && maker->error.number > 0) {
		*error = maker->error;
		return -error->number;
	}
	if (result < 0 || status != 0)
		return error_set(error, .number = result < 0 ? -result : ECHILD, .step = "create the namespaces",
				 .cause = WIFSIGNALED(status) ? "the process that makes it was killed" : NULL);
	return 0;
}

int netns_maker_enter(struct netns_maker *maker, struct error *error)
{
	int result = netns_maker_wait(maker, error);

	if (result < 0)
		return result;
	if (setns(maker->network_fd, CLONE_NEWNET) < 0)
		return error_set(error, .number = errno, .step = "enter the network namespace");
	fd_close(&maker->network_fd);
	return 0;
}
