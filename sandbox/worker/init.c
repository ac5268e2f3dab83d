/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: PID 1 keeps all capabilities of its own user namespace and is not dumpable, which protects it from a
 * payload of the same uid (finding 39): no ptrace, no /proc/1/mem. It takes the stages below in order, starts the
 * payload and then sleeps in poll(2) on two things: children (signalfd) and the owner's socket. Whoever ends first, the
 * kernel kills all that is left in the PID namespace when PID 1 exits, and only then does the owner's pidfd say so. */
#include "sandbox/worker/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "netns/loopback.h"
#include "sandbox/worker/message.h"
#include "sandbox/worker/rootfs.h"
#include "sandbox/worker/spawn.h"

static int stage_hold_lifeline(struct world *world, struct error *error)
{
	struct pollfd lifeline = { .fd = world->plan->control_fd, .events = POLLRDHUP };
	int owner_fd = world->plan->owner_fd;

	/* First thing of all: from here on the owner's death is ours. What happened before shows on the socket, whose
	 * other end must be closed here for that (finding 54). */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "hold the lifeline");
	fd_close(&owner_fd);
	if (poll(&lifeline, 1, 0) < 0)
		return error_set(error, .number = errno, .step = "hold the lifeline");
	if (lifeline.revents & (POLLHUP | POLLRDHUP))
		_exit(EXIT_SBX_FAILED);
	return 0;
}

static int stage_write_maps(struct world *world, struct error *error)
{
	return identity_write_maps(&world->plan->identity, error);
}

static int stage_forbid_namespaces(struct world *world, struct error *error)
{
	owned_fd fd = -1;

	if (world->plan->spec->seccomp.allow_userns)
		return 0;
	fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	/* Without this every dropped capability comes back inside a nested user namespace (finding 1). The limit is
	 * this namespace's own; only a capability in it, which no payload has, could raise it. */
	if (fd < 0 || write(fd, "0", 1) != 1)
		return error_set(error, .number = errno, .step = "forbid nested user namespaces",
				 .object = "/proc/sys/user/max_user_namespaces");
	return 0;
}

static int stage_leave_keyring(struct world *world, struct error *error)
{
	(void)world;
	/* The caller's session keyring would be a channel between worlds and a way to the caller's keys (finding 17).
	 */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		return error_set(error, .number = errno, .step = "leave the caller's keyring",
				 .remedy = errno == EDQUOT ? "raise kernel.keys.maxkeys" : NULL);
	return 0;
}

static int stage_bring_up_loopback(struct world *world, struct error *error)
{
	return world->plan->spec->network == NETWORK_HOST ? 0 : loopback_bring_up(error);
}

static int stage_name_host(struct world *world, struct error *error)
{
	const char *hostname = world->plan->spec->hostname;

	if (hostname && sethostname(hostname, strlen(hostname)) < 0)
		return error_set(error, .number = errno, .step = "set the host name", .object = hostname);
	return 0;
}

static int stage_shut_the_door(struct world *world, struct error *error)
{
	(void)world;
	if (chdir("/") < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "protect PID 1");
	/* A payload can lower these limits of PID 1's by prlimit(2), and they would kill it (finding 40). */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGXCPU, SIG_IGN);
	return 0;
}

static int (*const stages[])(struct world *, struct error *) = {
	stage_hold_lifeline,	 stage_write_maps,     stage_forbid_namespaces, stage_leave_keyring,
	stage_bring_up_loopback, rootfs_take_volumes,  rootfs_open_layers,	rootfs_seal_host,
	rootfs_mount_scratch,	 rootfs_fill_layers,   rootfs_mount_devices,	rootfs_mount_proc,
	rootfs_mount_sys,	 rootfs_mount_private, rootfs_mount_layers,	rootfs_write_etc,
	rootfs_attach_volumes,	 rootfs_cover_sockets, rootfs_seal_homes,	rootfs_open_writable,
	stage_name_host,	 stage_shut_the_door,
};

/* If the owner does not hear it any more, its end of file is what counts: hence no look at the result. */
static void tell(const struct world *world, const struct message *message)
{
	(void)message_send(world->plan->control_fd, message);
}

static void fail(const struct world *world, const struct error *error, int exit_code)
{
	struct message message = { .kind = MESSAGE_FAILED, .number = exit_code, .error = *error };

	tell(world, &message);
	_exit(EXIT_SBX_FAILED);
}

void world_note(struct world *world, const char *what, const char *why)
{
	struct message message = { .kind = MESSAGE_DEGRADED };

	text_copy(message.error.step, sizeof(message.error.step), what);
	text_copy(message.error.cause, sizeof(message.error.cause), why);
	tell(world, &message);
}

static pid_t start_payload(const struct world *world)
{
	const struct spec *spec = world->plan->spec;
	struct spawn spawn = {
		.arguments = &spec->payload,
		.environment = &world->plan->environment,
		.directory = world->plan->workdir,
		.fds = { 0, 1, 2 },
		.numbers = { 0, 1, 2 },
		.fd_count = 3,
	};
	struct message message = { .kind = MESSAGE_STARTED };
	struct error error = { 0 };
	pid_t pid = -1;

	for (size_t i = 0; i < spec->pass_fd_count; i++) {
		spawn.fds[spawn.fd_count] = spec->pass_fds[i];
		spawn.numbers[spawn.fd_count++] = spec->pass_fds[i];
	}
	if (spawn_start(world, &spawn, &pid, &error) < 0)
		fail(world, &error, spawn_exit_code(&error));
	message.number = pid;
	tell(world, &message);
	return pid;
}

/* PID 1 must not hold the other ends of the caller's pipes: whoever waits for their end of file waits for the payload.
 */
static void let_go_of_stdio(const struct world *world)
{
	owned_fd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int number = 0; number <= 2 && null_fd >= 0; number++)
		(void)dup3(null_fd, number, O_CLOEXEC);
	for (size_t i = 0; i < world->plan->spec->pass_fd_count; i++)
		(void)close(world->plan->spec->pass_fds[i]);
}

static void reap(const struct world *world, pid_t payload)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid <= 0)
			return;
		if (pid == payload) {
			struct message message = { .kind = MESSAGE_EXITED, .number = status };

			tell(world, &message);
			_exit(0); /* the kernel kills and reaps the rest, pid_namespaces(7) */
		}
	}
}

static void serve(const struct world *world, int signal_fd, pid_t payload)
{
	struct pollfd polled[] = { { .fd = signal_fd, .events = POLLIN },
				   { .fd = world->plan->control_fd, .events = POLLIN } };

	for (;;) {
		if (poll(polled, ARRAY_SIZE(polled), -1) < 0)
			continue;
		if (polled[1].revents) {
			struct message message;

			if (message_receive(world->plan->control_fd, &message) <= 0)
				_exit(EXIT_SBX_FAILED); /* the owner is gone */
			if (message.kind == MESSAGE_SIGNAL)
				(void)kill(-payload, message.number);
		}
		if (polled[0].revents) {
			struct signalfd_siginfo information;

			(void)!read(signal_fd, &information, sizeof(information));
			reap(world, payload);
		}
	}
}

void init_run(const struct worker_plan *plan)
{
	struct world world = { .plan = plan, .scratch_fd = -1 };
	struct error error = { 0 };
	sigset_t children;
	int signal_fd;
	pid_t payload;

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		if (stages[i](&world, &error) < 0)
			fail(&world, &error, EXIT_SBX_FAILED);
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	signal_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0) {
		(void)error_set(&error, .number = errno, .step = "watch the children");
		fail(&world, &error, EXIT_SBX_FAILED);
	}
	payload = start_payload(&world);
	let_go_of_stdio(&world);
	serve(&world, signal_fd, payload);
	_exit(EXIT_SBX_FAILED);
}
