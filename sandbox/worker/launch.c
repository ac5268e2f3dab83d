/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: sbx looks everything up, on the host, in the order of the list `plan_stages` (nothing of the world can
 * change it then), clones PID 1 with all namespaces at once, and waits. PID 1 builds the world and starts the payload
 * (init.c). They share one socket; what ends first ends the other. sbx returns when the kernel has reaped PID 1, and so
 * everything in its PID namespace. */
#include "sandbox/worker/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "base/process.h"
#include "netns/hosts.h"
#include "overlay/database.h"
#include "sandbox/policy/secrets.h"
#include "sandbox/worker/init.h"
#include "sandbox/worker/message.h"

#define SCRATCH_BYTES_DEFAULT  (UINT64_C(2) << 30)
#define SCRATCH_INODES_DEFAULT UINT64_C(400000)

/* Where people's homes lie: covered, but for the caller's own. */
static const char *const home_roots[] = { "/home", "/root" };

/* ---- the plan ---- */

static int plan_identity(struct worker_plan *plan, struct error *error)
{
	int result = identity_read(plan->spec->as_root, &plan->identity, error);

	if (result == 0 && plan->identity.home)
		plan->home = text_duplicate(plan->identity.home);
	return result;
}

static int plan_tree(struct worker_plan *plan, struct error *error)
{
	const char *tree = plan->spec->tree ? plan->spec->tree : ".";
	owned_fd fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	owned_text current = NULL;
	const char *start;
	int result = fd < 0 ? -errno : path_of_fd(fd, &plan->tree);

	if (result < 0)
		return error_set(error, .number = -result, .step = "open the tree", .object = tree,
				 .remedy = "name the app's directory with -C DIR");
	if (text_equal(plan->tree, "/"))
		return error_set(error, .number = EINVAL, .step = "use the tree", .object = plan->tree,
				 .cause = "the root directory cannot be a tree",
				 .remedy = "name the app's directory with -C DIR");
	result = plan->spec->tree ? 0 : path_canonical(".", &current);
	if (result < 0)
		return error_set(error, .number = -result, .step = "find the current directory");
	start = current ? current : plan->tree;
	plan->workdir = plan->spec->workdir ? path_normal(start, plan->spec->workdir) : text_duplicate(start);
	for (size_t i = 0; i < ARRAY_SIZE(home_roots); i++)
		text_list_add(&plan->homes, home_roots[i]);
	return 0;
}

static int plan_databases(struct worker_plan *plan, struct error *error)
{
	const struct spec *spec = plan->spec;
	struct database_discovery found = { 0 };
	owned_fd tree_fd = -1;
	int result;

	for (size_t i = 0; i < spec->databases.count; i++) {
		owned_text path = path_normal(plan->tree, spec->databases.items[i]);
		char *real = NULL;

		result = database_resolve(path, &real, error);
		if (result < 0)
			return result;
		text_list_take(&plan->databases, real);
	}
	if (spec->no_databases || spec->databases.count > 0)
		return 0;
	tree_fd = open(plan->tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	result = database_discover(tree_fd, &found, error);
	for (size_t i = 0; i < found.names.count && result == 0; i++)
		text_list_take(&plan->databases, path_join(plan->tree, found.names.items[i]));
	database_discovery_release(&found);
	return result;
}

static int plan_hidden(struct worker_plan *plan, struct error *error)
{
	size_t count;
	const char *const *stores = secrets_hidden_paths(&count);

	for (size_t i = 0; i < count && plan->home; i++) {
		owned_text path = path_join(plan->home, stores[i]);

		if (path_is_below(plan->tree, path))
			return error_set(error, .number = EACCES, .step = "use the tree", .object = plan->tree,
					 .cause = "it lies in a store of credentials, which is hidden in every world",
					 .remedy = "name another directory with -C DIR");
		text_list_add(&plan->hidden, path);
	}
	return 0;
}

static int plan_environment(struct worker_plan *plan, struct error *error)
{
	owned_text home = text_format("HOME=%s", plan->home ? plan->home : HOME_WITHOUT);
	owned_text directory = text_format("PWD=%s", plan->workdir);
	char *const defaults[] = { home, directory, NULL };
	char *const forced[] = { (char[]){ "SBX=1" }, (char[]){ "SBX_WORKER=0" }, (char[]){ "SBX_WORKERS=1" }, NULL };
	owned_list dropped = { 0 };

	(void)error;
	environment_build(environ, &plan->spec->environment, defaults, forced, &plan->environment, &dropped);
	if (dropped.count > 0) {
		(void)fprintf(stderr, "sbx: not passed on:");
		for (size_t i = 0; i < dropped.count; i++)
			(void)fprintf(stderr, " %s", dropped.items[i]);
		(void)fprintf(stderr, " (-e NAME lets one through)\n");
	}
	return 0;
}

static int plan_hosts(struct worker_plan *plan, struct error *error)
{
	owned_text host_text = NULL;
	char hostname[65] = "";

	(void)fd_read_file(AT_FDCWD, "/etc/hosts", 0, &host_text, NULL);
	(void)gethostname(hostname, sizeof(hostname) - 1);
	return hosts_build(host_text, plan->spec->hostname ? plan->spec->hostname : hostname,
			   plan->spec->add_hosts.items, &plan->hosts, error);
}

/* The host's sockets that a path of the read-only root leads to. Read before clone: inside a new network namespace the
 * list is empty (finding 50). Best effort: what is bound later is not in it. */
static int plan_sockets(struct worker_plan *plan, struct error *error)
{
	owned_text text = NULL;
	char *rest;

	(void)error;
	if (fd_read_file(AT_FDCWD, "/proc/net/unix", 16 << 20, &text, NULL) < 0)
		return 0;
	rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		const char *path = strchr(line, '/');

		if (path && plan->covered.count < SOCKETS_COVERED_MAX && !path_is_below(path, "/run") &&
		    !path_is_below(path, "/tmp") && !path_is_below(path, "/var/tmp") && !path_is_below(path, "/dev") &&
		    !path_is_below(path, "/proc"))
			text_list_add(&plan->covered, path);
	}
	return 0;
}

static int plan_limits(struct worker_plan *plan, struct error *error)
{
	struct sysinfo information;
	uint64_t half = SCRATCH_BYTES_DEFAULT;
	owned_list notes = { 0 };
	int result;

	plan->limits = plan->spec->limits;
	result = limits_prepare(&plan->limits, &notes, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < notes.count; i++)
		(void)fprintf(stderr, "sbx: %s\n", notes.items[i]);
	if (sysinfo(&information) == 0)
		half = (uint64_t)information.totalram * information.mem_unit / 2;
	plan->scratch_bytes_max =
		plan->spec->scratch_bytes_max ? plan->spec->scratch_bytes_max : MIN(half, SCRATCH_BYTES_DEFAULT);
	plan->scratch_inodes_max =
		plan->spec->scratch_inodes_max ? plan->spec->scratch_inodes_max : SCRATCH_INODES_DEFAULT;
	return 0;
}

static int plan_descriptors(struct worker_plan *plan, struct error *error)
{
	int ends[2];

	for (size_t i = 0; i < plan->spec->pass_fd_count; i++)
		if (fcntl(plan->spec->pass_fds[i], F_GETFD) < 0) {
			char number[16];

			(void)snprintf(number, sizeof(number), "%d", plan->spec->pass_fds[i]);
			return error_set(error, .number = errno, .step = "pass the descriptor", .object = number,
					 .cause = "it is not open",
					 .remedy = "open it for sbx, as in: sbx run --pass-fd 3 … 3<FILE");
		}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(error, .number = errno, .step = "make the control socket");
	plan->owner_fd = ends[0];
	plan->control_fd = ends[1];
	return 0;
}

static int (*const plan_stages[])(struct worker_plan *, struct error *) = {
	plan_identity, plan_tree,    plan_databases, plan_hidden,      plan_environment,
	plan_hosts,    plan_sockets, plan_limits,    plan_descriptors,
};

void worker_plan_release(struct worker_plan *plan)
{
	identity_release(&plan->identity);
	text_free(&plan->tree);
	text_free(&plan->home);
	text_free(&plan->workdir);
	text_free(&plan->hosts);
	text_list_release(&plan->environment);
	text_list_release(&plan->databases);
	text_list_release(&plan->hidden);
	text_list_release(&plan->covered);
	text_list_release(&plan->homes);
	fd_close(&plan->owner_fd);
	fd_close(&plan->control_fd);
}

/* ---- the owner, while the world lives ---- */

struct owner {
	const struct spec *spec;
	int control_fd;
	int pidfd;
	int signal_fd;
	int timer_fd; /* the time limit, then the grace after the stop signal */
	bool is_stopping;
	struct launch_result result;
	bool has_ended;
	bool has_failed;
	struct error *error;
};

static void send_signal(const struct owner *owner, int number)
{
	struct message message = { .kind = MESSAGE_SIGNAL, .number = number };

	/* A PID 1 that does not hear is dying: its pidfd tells. */
	(void)message_send(owner->control_fd, &message);
}

static void start_timer(const struct owner *owner, uint64_t ms)
{
	struct itimerspec timer = { .it_value = { .tv_sec = (time_t)(ms / 1000),
						  .tv_nsec = (long)(ms % 1000) * 1000000 } };

	(void)timerfd_settime(owner->timer_fd, 0, &timer, NULL);
}

static void handle_timer(struct owner *owner)
{
	uint64_t expirations;

	(void)!read(owner->timer_fd, &expirations, sizeof(expirations));
	if (owner->is_stopping) {
		send_signal(owner, SIGKILL);
		return;
	}
	owner->is_stopping = true;
	owner->result.timed_out = true;
	send_signal(owner, owner->spec->stop_signal);
	start_timer(owner, MAX(owner->spec->stop_timeout_ms, UINT64_C(1)));
}

static void handle_signal(struct owner *owner)
{
	struct signalfd_siginfo information;

	if (read(owner->signal_fd, &information, sizeof(information)) != sizeof(information))
		return;
	send_signal(owner, (int)information.ssi_signo);
	/* Whoever asks to end gets an end: a payload that ignores it is killed after the grace. */
	if (information.ssi_signo == SIGTERM && !owner->is_stopping) {
		owner->is_stopping = true;
		start_timer(owner, MAX(owner->spec->stop_timeout_ms, UINT64_C(1)));
	}
}

static void handle_message(struct owner *owner, const struct message *message)
{
	switch ((enum message_kind)message->kind) {
	case MESSAGE_DEGRADED:
		(void)fprintf(stderr, "sbx: %s: %s\n", message->error.step, message->error.cause);
		break;
	case MESSAGE_EXITED:
		owner->has_ended = true;
		owner->result.exit_code = owner->result.timed_out ? EXIT_TIMED_OUT : process_exit_code(message->number);
		break;
	case MESSAGE_FAILED:
		owner->has_failed = true;
		owner->result.exit_code = message->number;
		*owner->error = message->error;
		break;
	case MESSAGE_STARTED:
		if (owner->spec->verbose)
			(void)fprintf(stderr, "sbx: payload started\n");
		break;
	case MESSAGE_SIGNAL:
		break;
	}
}

/* Until PID 1 is reaped; messages that it sent before are read first. */
static void watch(struct owner *owner)
{
	struct pollfd polled[] = { { .fd = owner->control_fd, .events = POLLIN },
				   { .fd = owner->signal_fd, .events = POLLIN },
				   { .fd = owner->timer_fd, .events = POLLIN },
				   { .fd = owner->pidfd, .events = POLLIN } };

	for (;;) {
		if (poll(polled, ARRAY_SIZE(polled), -1) < 0)
			continue;
		if (polled[0].revents) {
			struct message message;

			if (message_receive(owner->control_fd, &message) > 0)
				handle_message(owner, &message);
			else
				polled[0].fd = -1;
			continue;
		}
		if (polled[1].revents)
			handle_signal(owner);
		if (polled[2].revents)
			handle_timer(owner);
		if (polled[3].revents)
			return;
	}
}

static const int forwarded_signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

static uint64_t namespace_flags(const struct spec *spec)
{
	uint64_t flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

	return spec->network == NETWORK_HOST ? flags : flags | CLONE_NEWNET;
}

static int own_world(struct worker_plan *plan, struct owner *owner, struct error *error)
{
	owned_fd pidfd = -1;
	owned_fd signal_fd = -1;
	owned_fd timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	sigset_t forwarded;
	sigset_t before;
	int status;
	pid_t pid;

	sigemptyset(&forwarded);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded_signals); i++)
		sigaddset(&forwarded, forwarded_signals[i]);
	sigaddset(&forwarded, SIGCHLD); /* PID 1 waits for it from the start; here nobody asks */
	(void)sigprocmask(SIG_BLOCK, &forwarded, &before);
	sigdelset(&forwarded, SIGCHLD);
	signal_fd = signalfd(-1, &forwarded, SFD_CLOEXEC | SFD_NONBLOCK);
	if (timer_fd < 0 || signal_fd < 0)
		return error_set(error, .number = errno, .step = "watch the worker");
	pid = process_clone(namespace_flags(plan->spec), &pidfd);
	if (pid < 0)
		return error_set(error, .number = -pid, .step = "create the namespaces");
	if (pid == 0)
		init_run(plan);
	fd_close(&plan->control_fd);
	owner->control_fd = plan->owner_fd;
	owner->pidfd = pidfd;
	owner->signal_fd = signal_fd;
	owner->timer_fd = timer_fd;
	owner->result.exit_code = EXIT_SBX_FAILED;
	if (plan->spec->timeout_ms > 0)
		start_timer(owner, plan->spec->timeout_ms);
	watch(owner);
	(void)process_wait(pid, &status);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return 0;
}

int launch_run(const struct spec *spec, struct launch_result *ret_result, struct error *error)
{
	struct worker_plan plan = {
		.spec = spec, .upper_fd = -1, .owner_fd = -1, .control_fd = -1, .listener_fd = -1, .lock_fd = -1
	};
	struct owner owner = { .spec = spec, .error = error };
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(plan_stages) && result == 0; i++)
		result = plan_stages[i](&plan, error);
	if (result == 0)
		result = own_world(&plan, &owner, error);
	worker_plan_release(&plan);
	ret_result->exit_code = EXIT_SBX_FAILED;
	if (result < 0)
		return result;
	*ret_result = owner.result;
	if (owner.has_failed)
		return error->number > 0 ? -error->number : -EIO;
	if (!owner.has_ended)
		return error_set(error, .number = ECHILD, .step = "run the worker",
				 .cause = "its PID 1 was killed from outside");
	return 0;
}
