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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "netns/loopback.h"
#include "netns/stub.h"
#include "sandbox/worker/annex.h"
#include "sandbox/worker/network.h"
#include "sandbox/worker/ports.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/rootfs.h"
#include "sandbox/worker/server.h"
#include "sandbox/worker/shared.h"

/* What is the owner's and other worlds', their lifelines above all: a copy of one would keep a dead owner's world alive
 * (finding 54). */
static int close_others(const struct worker_plan *plan)
{
	int kept[13 + ANNEX_GRAFTS_MAX + PORTS_MAX] = { 0,
							1,
							2,
							plan->control_fd,
							plan->listener_fd,
							plan->lock_fd,
							plan->upper_fd,
							plan->log_fd,
							plan->reach_fds[0],
							plan->outbound_fds[0],
							plan->hold_fd,
							plan->shared.count ? plan->shared.fd : -1,
							plan->seed_fd };
	size_t count = 13;

	for (size_t i = 0; i < plan->graft_count && i < ANNEX_GRAFTS_MAX; i++)
		kept[count++] = plan->grafts[i].fd;
	for (size_t i = 0; i < plan->published_count && i < PORTS_MAX; i++)
		kept[count++] = plan->published[i].listener_fd;
	return fd_close_others(kept, count);
}

static int stage_hold_lifeline(struct world *world, struct error *error)
{
	struct pollfd lifeline = { .fd = world->plan->control_fd, .events = POLLRDHUP };
	const struct worker_plan *plan = world->plan;
	sigset_t children;
	int result;

	/* First thing of all: from here on the owner's death is ours. What happened before shows on the socket, whose
	 * other end must be closed here for that (finding 54). */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "hold the lifeline");
	result = close_others(plan);
	if (result < 0)
		return error_set(error, .number = -result, .step = "close the other descriptors");
	if (poll(&lifeline, 1, 0) < 0)
		return error_set(error, .number = errno, .step = "hold the lifeline");
	if (lifeline.revents & (POLLHUP | POLLRDHUP))
		_exit(EXIT_SBX_FAILED);
	/* Waited for from the start: server.c. */
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &children, NULL);
	(void)signal(SIGCHLD, SIG_DFL);
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

/* Worlds that share directories have programs that name temporary files there after their process id alone, as Jest's
 * caches do, and files that stay, as coverage does. ns_last_pid: Documentation/admin-guide/sysctl/kernel.rst; it is
 * that of the namespace of who writes it, whichever /proc that is. */
static int stage_number_processes(struct world *world, struct error *error)
{
	owned_fd fd = -1;
	char text[16];
	int length;

	(void)error;
	if (world->plan->last_pid == 0)
		return 0;
	length = snprintf(text, sizeof(text), "%u", world->plan->last_pid);
	fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)length) != length)
		world_note(world, "no process ids of its own",
			   "/proc/sys/kernel/ns_last_pid cannot be written: files that are named after one in TMPDIR "
			   "and artifact directories may meet another world's");
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

/* Long before it is needed: it takes as long as most of the stages between. */
static int stage_start_network(struct world *world, struct error *error)
{
	return world->plan->spec->network == NETWORK_HOST ? 0 : netns_maker_start(&world->network, error);
}

static int stage_enter_network(struct world *world, struct error *error)
{
	int result;

	if (world->plan->spec->network == NETWORK_HOST)
		return 0;
	result = netns_maker_enter(&world->network, error);
	/* By the fresh /proc, since the host's is read-only by now. */
	return result == 0 ? loopback_allow_low_ports(error) : result;
}

static int stage_add_stub_link(struct world *world, struct error *error)
{
	int type = world->plan->spec->network == NETWORK_ONLINE ? stub_link_add(error) : STUB_VETH;

	if (type == STUB_NONE)
		world_note(world, "no stub link",
			   "this kernel makes neither veth nor ifb here: browsers will believe they are offline");
	return type < 0 ? type : 0;
}

static int stage_open_ways(struct world *world, struct error *error)
{
	int result = network_enter(world->plan, error);

	return result < 0 ? result : shared_enter(world->plan, error);
}

static int stage_take_display(struct world *world, struct error *error)
{
	world->display = world->plan->display;
	return display_take(&world->display, error);
}

static int stage_show_display(struct world *world, struct error *error)
{
	return display_show(&world->display, error);
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
	owned_fd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)world;
	/* Payloads get theirs by request. Copies here would keep whoever reads a pipe of the caller's from its end. */
	for (int number = 0; number <= 2; number++)
		if (null_fd < 0 || dup3(null_fd, number, O_CLOEXEC) < 0)
			return error_set(error, .number = errno, .step = "let go of the caller's streams",
					 .object = "/dev/null");
	if (chdir("/") < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "protect PID 1");
	/* A payload can lower these limits of PID 1's by prlimit(2), and they would kill it (finding 40). */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGXCPU, SIG_IGN);
	return 0;
}

static const struct stage {
	const char *name;
	int (*run)(struct world *, struct error *);
} stages[] = {
	{ "hold the lifeline", stage_hold_lifeline },
	{ "write the id maps", stage_write_maps },
	{ "start on the network", stage_start_network },
	{ "forbid nested user namespaces", stage_forbid_namespaces },
	{ "number the processes", stage_number_processes },
	{ "leave the caller's keyring", stage_leave_keyring },
	{ "take the volumes", rootfs_take_volumes },
	{ "take the display", stage_take_display },
	{ "open the layers", rootfs_open_layers },
	{ "make the root read-only", rootfs_seal_host },
	{ "mount the scratch", rootfs_mount_scratch },
	{ "fill the layers", rootfs_fill_layers },
	{ "mount the devices", rootfs_mount_devices },
	{ "mount a fresh /proc", rootfs_mount_proc },
	{ "mount the private directories", rootfs_mount_private },
	{ "mount the layers", rootfs_mount_layers },
	{ "write the files of /etc", rootfs_write_etc },
	{ "enter the network", stage_enter_network },
	{ "add the stub link", stage_add_stub_link },
	{ "open the ways out", stage_open_ways },
	{ "protect /proc", rootfs_protect_proc },
	{ "mount a fresh /sys", rootfs_mount_sys },
	{ "attach the volumes", rootfs_attach_volumes },
	{ "show the display", stage_show_display },
	{ "attach the grafts", annex_attach_grafts },
	{ "make the annex", annex_make },
	{ "cover the host's sockets", rootfs_cover_sockets },
	{ "seal the homes of others", rootfs_seal_homes },
	{ "open what is writable", rootfs_open_writable },
	{ "set the host name", stage_name_host },
	{ "protect PID 1", stage_shut_the_door },
};

/* If the owner does not hear it any more, its end of file is what counts: hence no look at the result. */
static void tell(const struct world *world, const struct reply *reply)
{
	(void)reply_send(world->plan->control_fd, reply, -1);
}

void world_note(struct world *world, const char *what, const char *why)
{
	struct reply reply = { .kind = REPLY_DEGRADED };

	if (world->note_count < ARRAY_SIZE(world->notes)) {
		struct world_note *note = &world->notes[world->note_count++];

		text_copy(note->what, sizeof(note->what), what);
		text_copy(note->why, sizeof(note->why), why);
	}
	text_copy(reply.error.step, sizeof(reply.error.step), what);
	text_copy(reply.error.cause, sizeof(reply.error.cause), why);
	tell(world, &reply);
}

static void take_stage(struct world *world, const struct stage *stage)
{
	struct reply reply = { 0 };
	int64_t start_ns = world->plan->spec->verbose ? clock_ns() : 0;

	if (stage->run(world, &reply.error) < 0) {
		/* What went wrong with the network went wrong before, or of the same cause, and is told in its
		 * place. */
		(void)netns_maker_wait(&world->network, &reply.error);
		reply.kind = REPLY_FAILED;
		tell(world, &reply);
		_exit(EXIT_SBX_FAILED);
	}
	if (!world->plan->spec->verbose)
		return;
	reply.kind = REPLY_STEP;
	reply.number = clock_ns() - start_ns;
	text_copy(reply.error.step, sizeof(reply.error.step), stage->name);
	tell(world, &reply);
}

void init_run(const struct worker_plan *plan)
{
	struct world world = { .plan = plan, .network = NETNS_MAKER_NONE, .scratch_fd = -1, .annex_socket_fd = -1 };

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		take_stage(&world, &stages[i]);
	server_run(&world);
}
