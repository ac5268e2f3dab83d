/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the rows of the kernel come first, then a throw-away world is made by the very functions that `run`
 * calls, in its order. It sends a row for each step over a socket and goes on behind a step that failed, unless all
 * later ones stand on it. Then a whole worker runs, as the proof. What surrounds worlds comes last. */
#include "sandbox/worker/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/process.h"
#include "netns/loopback.h"
#include "netns/stub.h"
#include "overlay/mountinfo.h"
#include "sandbox/policy/capabilities.h"
#include "sandbox/policy/landlock.h"
#include "sandbox/policy/seccomp.h"
#include "sandbox/worker/launch.h"
#include "sandbox/worker/machine.h"
#include "sandbox/worker/plan.h"
#include "sandbox/worker/probe_rows.h"
#include "sandbox/worker/rootfs.h"

enum {
	CHILD_TIMEOUT_MS = 30000, /* a home on a dead network server must not hold doctor for ever */
	RUN_TIMEOUT_MS = 20000,
	NAMESPACES_FEW = 32,
};

#define SCRATCH_BYTES  (UINT64_C(64) << 20)
#define SCRATCH_INODES UINT64_C(10000)
#define ALL_NAMESPACES                                                                                                 \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

/* ---- rows ---- */

const char *probe_state_name(enum probe_state state)
{
	static const char *const names[] = { [PROBE_OK] = "ok",
					     [PROBE_DEGRADED] = "degraded",
					     [PROBE_MISSING] = "missing",
					     [PROBE_UNTRIED] = "untried" };

	return names[state];
}

static struct probe_row *append(struct probe_report *report, const struct probe_row *row)
{
	if ((report->count & (report->count - 1)) == 0) {
		size_t room = report->count ? 2 * report->count : 1;

		report->rows = reallocarray(report->rows, room, sizeof(*report->rows));
		if (!report->rows)
			abort();
	}
	report->rows[report->count] = *row;
	return &report->rows[report->count++];
}

static void fill_row(struct probe_row *row, enum probe_state state, const char *step, const char *object)
{
	*row = (struct probe_row){ .state = state };
	text_copy(row->step, sizeof(row->step), step);
	text_copy(row->object, sizeof(row->object), object ? object : "");
}

struct probe_row *probe_add(struct probe_report *report, enum probe_state state, const char *step, const char *object,
			    const char *found, ...)
{
	struct probe_row row;
	va_list arguments;

	fill_row(&row, state, step, object);
	va_start(arguments, found);
	(void)vsnprintf(row.found, sizeof(row.found), found, arguments);
	va_end(arguments);
	return append(report, &row);
}

void probe_give_reason(struct probe_row *row, const char *cause, const char *remedy)
{
	text_copy(row->cause, sizeof(row->cause), cause ? cause : "");
	text_copy(row->remedy, sizeof(row->remedy), remedy ? remedy : "");
}

void probe_add_error(struct probe_report *report, enum probe_state state, const struct error *error)
{
	struct error explained = *error;
	struct probe_row *row;

	probe_explain(&explained);
	row = probe_add(report, state, explained.step, explained.object, "%s", strerror(explained.number));
	probe_give_reason(row, explained.cause[0] ? explained.cause : strerror(explained.number), explained.remedy);
}

void probe_report_release(struct probe_report *report)
{
	free(report->rows);
	*report = (struct probe_report){ 0 };
}

/* ---- rows out of a child ---- */

/* What a child says: a row that is whole, or an error that is explained on the host, where its causes can be seen. */
struct probe_word {
	enum probe_state state;
	bool is_error;
	struct probe_row row;
	struct error error;
};

static void send_word(int report_fd, const struct probe_word *word)
{
	/* Whoever does not hear it has given up. */
	(void)!send(report_fd, word, sizeof(*word), MSG_NOSIGNAL);
}

void probe_send_row(int report_fd, const struct probe_row *row)
{
	send_word(report_fd, &(struct probe_word){ .state = row->state, .row = *row });
}

void probe_send_error(int report_fd, enum probe_state state, const struct error *error)
{
	send_word(report_fd, &(struct probe_word){ .state = state, .is_error = true, .error = *error });
}

/* Takes rows until the child and all that it made have closed their end. */
static void take_words(struct probe_report *report, int report_fd, int pidfd)
{
	struct pollfd polled = { .fd = report_fd, .events = POLLIN };
	int64_t end = (int64_t)clock_ms() + CHILD_TIMEOUT_MS;
	struct probe_word word;

	for (;;) {
		int64_t left = end - (int64_t)clock_ms();
		int ready = poll(&polled, 1, (int)MAX(left, INT64_C(0)));

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0) {
			struct probe_row *row = probe_add(report, PROBE_MISSING, "wait for the step", "",
							  "no answer within %d s", CHILD_TIMEOUT_MS / 1000);

			(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
			probe_give_reason(
				row, "the step after the row above does not end: a file system that does not answer?",
				NULL);
			return;
		}
		if (recv(report_fd, &word, sizeof(word), 0) != (ssize_t)sizeof(word))
			return;
		if (word.is_error)
			probe_add_error(report, word.state, &word.error);
		else
			append(report, &word.row);
	}
}

int probe_run_child(struct probe_report *report, uint64_t namespaces, void (*body)(int report_fd, void *data),
		    void *data)
{
	owned_fd host_fd = -1;
	owned_fd child_fd = -1;
	owned_fd pidfd = -1;
	int ends[2];
	int status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	host_fd = ends[0];
	child_fd = ends[1];
	pid = process_clone(namespaces, &pidfd);
	if (pid < 0)
		return pid;
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		fd_close(&host_fd);
		body(child_fd, data);
		_exit(0);
	}
	fd_close(&child_fd);
	take_words(report, host_fd, pidfd);
	return process_wait(pid, &status);
}

/* ---- the throw-away world ---- */

struct probed_world {
	struct worker_plan plan;
	struct world world;
	int report_fd;
	bool is_on_disk; /* the scratch cannot hold the writable layers */
	/* Of the step that runs: it says here what it found, and whether it is less than usual. */
	struct probe_row row;
};

static void say(struct probed_world *probed, const char *found)
{
	text_copy(probed->row.found, sizeof(probed->row.found), found);
}

static void degrade(struct probed_world *probed, const char *cause, const char *remedy)
{
	probed->row.state = PROBE_DEGRADED;
	probe_give_reason(&probed->row, cause, remedy);
}

static int step_maps(struct probed_world *probed, struct error *error)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "uid %u, gid %u", probed->plan.identity.uid, probed->plan.identity.gid);
	say(probed, text);
	return identity_write_maps(&probed->plan.identity, error);
}

static int step_keyring(struct probed_world *probed, struct error *error)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0) {
		say(probed, "a session keyring of its own");
		return 0;
	}
	if (errno != ENOSYS)
		return error_set(error, .number = errno, .step = probed->row.step);
	say(probed, "the kernel has no keyrings");
	return 0;
}

static int step_loopback(struct probed_world *probed, struct error *error)
{
	say(probed, "up");
	return loopback_bring_up(error);
}

static int step_stub(struct probed_world *probed, struct error *error)
{
	int type = stub_link_add(error);

	if (type < 0)
		return type;
	say(probed, stub_type_name((enum stub_type)type));
	if (type == STUB_NONE)
		degrade(probed,
			"the kernel has neither veth nor ifb: browsers believe that they are offline (--net online)",
			"sudo modprobe veth");
	return 0;
}

/* What the tree and HOME lie on; found before the root is covered. */
static int step_layers(struct probed_world *probed, struct error *error)
{
	struct mount_list mounts = { 0 };
	int result = rootfs_take_volumes(&probed->world, error);

	if (result == 0)
		result = rootfs_open_layers(&probed->world, error);
	if (result < 0 || mountinfo_read(&mounts, error) < 0)
		return result;
	for (size_t i = 0; i < probed->world.layers.count && i < 2; i++) {
		const char *path = probed->world.layers.items[i].path;
		const struct mount_entry *mount = mountinfo_holding(&mounts, path);
		size_t length = strlen(probed->row.found);

		(void)snprintf(probed->row.found + length, sizeof(probed->row.found) - length, "%s%s on %s",
			       length > 0 ? ", " : "", path, mount ? mount->type : "?");
	}
	if (probed->world.layers.is_split) {
		const struct mount_entry *below = mountinfo_below(&mounts, probed->plan.home);
		char cause[384];

		(void)snprintf(
			cause, sizeof(cause),
			"%s below HOME is a mount: only the usual directories of HOME can be written (finding 37)",
			below ? below->point : "something");
		degrade(probed, cause, "unmount it, or name more directories that are to be written: -v DIR:DIR:O");
	}
	mountinfo_release(&mounts);
	return 0;
}

static int step_seal(struct probed_world *probed, struct error *error)
{
	say(probed, "with all mounts below it");
	return rootfs_seal_host(&probed->world, error);
}

static int step_scratch(struct probed_world *probed, struct error *error)
{
	int result = rootfs_mount_scratch(&probed->world, error);

	if (result == 0)
		say(probed, probed->world.scratch);
	return result;
}

/* Finding 35: asked of the file system itself, never of the kernel's version. */
static int step_xattrs(struct probed_world *probed, struct error *error)
{
	if (text_equal(getenv("SBX_UPPER"), "disk")) {
		probed->is_on_disk = true;
		say(probed, "disk upper");
		degrade(probed, "SBX_UPPER=disk asks for it", "unset SBX_UPPER");
		return 0;
	}
	if (fsetxattr(probed->world.scratch_fd, "user.overlay.sbx", "1", 1, 0) == 0) {
		say(probed, "tmpfs takes user extended attributes");
		return 0;
	}
	(void)error;
	probed->is_on_disk = true;
	say(probed, "disk upper");
	degrade(probed, "tmpfs takes no user extended attributes before kernel 6.6: the writable layers go to disk",
		"use kernel 6.6 or newer for speed; nothing needs to be done");
	return 0;
}

static int step_devices(struct probed_world *probed, struct error *error)
{
	say(probed, "null zero full random urandom tty, private terminals");
	return rootfs_mount_devices(&probed->world, error);
}

static int step_proc(struct probed_world *probed, struct error *error)
{
	say(probed, "fresh");
	return rootfs_mount_proc(&probed->world, error);
}

static int step_sys(struct probed_world *probed, struct error *error)
{
	say(probed, "fresh, read-only");
	return rootfs_mount_sys(&probed->world, error);
}

/* A directory on disk is claimed by a worker that is listed: the whole worker at the end does that. */
static int leave_to_run(struct probed_world *probed)
{
	probed->row.state = PROBE_UNTRIED;
	probe_give_reason(&probed->row, "the writable layers go to disk here: the step 'run a command' has tried that",
			  NULL);
	return 0;
}

/* One overlay with the options of layers_mount(), both its sides on the scratch: whether this kernel has it at all. */
static int step_overlay(struct probed_world *probed, struct error *error)
{
	static const char *const names[] = { "probe", "probe/lower", "probe/upper", "probe/work", "probe/merged" };
	int scratch_fd = probed->world.scratch_fd;
	struct layers layers = { 0 };
	struct layer_request request = { .path = "/run/probe/merged", .purpose = LAYER_FOR_OTHER };
	owned_text path = path_join(probed->world.scratch, "probe/lower");
	owned_fd base_fd = -1;
	const struct layers_skip none = { 0 };
	int result = 0;

	if (probed->is_on_disk)
		return leave_to_run(probed);
	for (size_t i = 0; i < ARRAY_SIZE(names) && result == 0; i++)
		if (mkdirat(scratch_fd, names[i], 0755) < 0)
			result = error_set(error, .number = errno, .step = "make a directory of the scratch",
					   .object = names[i]);
	if (result < 0)
		return result;
	request.path = path;
	base_fd = openat(scratch_fd, "probe/upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result = layers_open(&layers, &request, 1, &none, LAYERS_SOMEWHERE, error);
	if (result == 0)
		result = layers_prepare(&layers, base_fd, error);
	if (result == 0)
		result = layers_mount(&layers, error);
	layers_close(&layers);
	say(probed, "userxattr, volatile");
	return result;
}

static int step_fill(struct probed_world *probed, struct error *error)
{
	if (probed->is_on_disk)
		return leave_to_run(probed);
	say(probed, "made");
	return rootfs_fill_layers(&probed->world, error);
}

static int step_private(struct probed_world *probed, struct error *error)
{
	say(probed, "/tmp /var/tmp /run /dev/shm");
	return rootfs_mount_private(&probed->world, error);
}

static int step_mount_layers(struct probed_world *probed, struct error *error)
{
	char text[32];
	size_t overlays = 0;

	if (probed->is_on_disk)
		return leave_to_run(probed);
	for (size_t i = 0; i < probed->world.layers.count; i++)
		overlays += probed->world.layers.items[i].kind == LAYER_OVERLAY;
	(void)snprintf(text, sizeof(text), "%zu of them", overlays);
	say(probed, text);
	return rootfs_mount_layers(&probed->world, error);
}

/* ---- what each process of a payload applies to itself ---- */

static int step_close(struct probed_world *probed, struct error *error)
{
	say(probed, "close_range(2)");
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return error_set(error, .number = errno, .step = probed->row.step);
	return 0;
}

static int step_limits(struct probed_world *probed, struct error *error)
{
	say(probed, "processes and core dumps");
	return limits_apply(&probed->plan.spec->limits, error);
}

static int step_privileges(struct probed_world *probed, struct error *error)
{
	say(probed, "NO_NEW_PRIVS");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = probed->row.step);
	return 0;
}

static int step_landlock(struct probed_world *probed, struct error *error)
{
	owned_fd writable_fd = open("/tmp", O_PATH | O_CLOEXEC);
	struct landlock_rules rules = { .writable_fds = &writable_fd, .writable_count = writable_fd >= 0 };
	int level = landlock_confine(&rules, error);
	char text[32];

	if (level < 0)
		return level;
	(void)snprintf(text, sizeof(text), "level %d", level);
	say(probed, text);
	if (level == 0)
		degrade(probed, "the kernel is older than 5.19, has no Landlock, or it is switched off at boot",
			"add landlock to the kernel's lsm= parameter; workers have one layer of defence less until "
			"then");
	return 0;
}

static int step_capabilities(struct probed_world *probed, struct error *error)
{
	say(probed, "none left");
	return capabilities_drop_all(error);
}

static int step_filter(struct probed_world *probed, struct error *error)
{
	struct seccomp_options options = { .profile = SECCOMP_DEFAULT };

	say(probed, "loaded");
	return seccomp_load(&options, error);
}

/* ---- the lists ---- */

struct world_step {
	const char *step; /* as the error of its function names it, most of the time */
	const char *object;
	int (*run)(struct probed_world *probed, struct error *error);
	enum { STANDS_ALONE, IS_GROUND, IS_EXTRA } kind; /* of ground: nothing after it can be tried without it */
};

/* The order of the stages of PID 1 (init.c). */
static const struct world_step world_steps[] = {
	{ "write the id map", "", step_maps, IS_GROUND },
	{ "leave the caller's keyring", "", step_keyring, STANDS_ALONE },
	{ "bring up loopback", "lo", step_loopback, STANDS_ALONE },
	{ "open the directory", "tree and HOME", step_layers, IS_GROUND },
	{ "make the root read-only", "/", step_seal, IS_GROUND },
	{ "mount the scratch", "", step_scratch, IS_GROUND },
	{ "make the writable layer", "in memory", step_xattrs, STANDS_ALONE },
	{ "mount the overlay", "on the scratch", step_overlay, IS_GROUND },
	{ "make the writable layer", "tree and HOME", step_fill, IS_GROUND },
	{ "mount /dev", "/dev", step_devices, STANDS_ALONE },
	{ "mount a fresh /proc", "/proc", step_proc, STANDS_ALONE },
	{ "mount a fresh /sys", "/sys", step_sys, STANDS_ALONE },
	{ "mount a private directory", "", step_private, STANDS_ALONE },
	{ "mount the overlay", "tree and HOME", step_mount_layers, STANDS_ALONE },
	{ "make the stub link", "", step_stub, IS_EXTRA },
};

/* The order of the stages of a spawned child (spawn.c). */
static const struct world_step process_steps[] = {
	{ "set the limit", "", step_limits, STANDS_ALONE },
	{ "close the other descriptors", "", step_close, STANDS_ALONE },
	{ "forbid new privileges", "", step_privileges, STANDS_ALONE },
	{ "confine with Landlock", "", step_landlock, STANDS_ALONE },
	{ "drop all capabilities", "", step_capabilities, STANDS_ALONE },
	{ "load the seccomp filter", "default", step_filter, STANDS_ALONE },
};

static void send_untried(int report_fd, const char *step, const char *object, const char *ground)
{
	struct probe_row row;
	owned_text cause = text_format("it comes after a step that failed: %s", ground);

	fill_row(&row, PROBE_UNTRIED, step, object);
	probe_give_reason(&row, cause, NULL);
	probe_send_row(report_fd, &row);
}

/* @return whether all ground held */
static bool run_steps(struct probed_world *probed, const struct world_step *steps, size_t count)
{
	const char *failed_ground = NULL;

	for (size_t i = 0; i < count; i++) {
		struct error error = { 0 };

		if (failed_ground) {
			send_untried(probed->report_fd, steps[i].step, steps[i].object, failed_ground);
			continue;
		}
		fill_row(&probed->row, PROBE_OK, steps[i].step, steps[i].object);
		if (steps[i].run(probed, &error) >= 0) {
			probe_send_row(probed->report_fd, &probed->row);
			continue;
		}
		probe_send_error(probed->report_fd, steps[i].kind == IS_EXTRA ? PROBE_DEGRADED : PROBE_MISSING, &error);
		if (steps[i].kind == IS_GROUND)
			failed_ground = steps[i].step;
	}
	return !failed_ground;
}

static void build_world(int report_fd, void *data)
{
	struct probed_world *probed = data;
	struct error error = { 0 };
	int status;
	pid_t pid;

	probed->report_fd = report_fd;
	if (!run_steps(probed, world_steps, ARRAY_SIZE(world_steps))) {
		for (size_t i = 0; i < ARRAY_SIZE(process_steps); i++)
			send_untried(report_fd, process_steps[i].step, process_steps[i].object, "the world");
		return;
	}
	pid = process_clone(0, NULL);
	if (pid == 0) {
		(void)run_steps(probed, process_steps, ARRAY_SIZE(process_steps));
		_exit(0);
	}
	if (pid > 0) {
		(void)process_wait(pid, &status);
		return;
	}
	(void)error_set(&error, .number = -pid, .step = "start a process");
	probe_send_error(report_fd, PROBE_MISSING, &error);
}

/* ---- namespaces ---- */

static bool probe_namespaces(struct probe_report *report)
{
	bool has_all = true;

	for (size_t i = 0; i < machine_namespace_count; i++) {
		const struct machine_namespace *namespace = &machine_namespaces[i];
		owned_text path = text_format("/proc/sys/user/%s", namespace->limit);
		int result = machine_try_namespaces(namespace->flag);
		struct error error = { 0 };
		uint64_t limit = UINT64_MAX;
		struct probe_row *row;

		if (result < 0) {
			(void)error_set(&error, .number = -result, .step = "create the namespaces",
					.object = namespace->name);
			probe_add_error(report, PROBE_MISSING, &error);
			has_all = false;
			continue;
		}
		(void)machine_read_number(path, &limit);
		row = probe_add(report, PROBE_OK, "create the namespaces", namespace->name, "made");
		if (limit < NAMESPACES_FEW) {
			owned_text cause = text_format("user.%s is %llu: no more workers than that at once",
						       namespace->limit, (unsigned long long)limit);
			owned_text remedy = text_format("sudo sysctl user.%s=65536", namespace->limit);

			row->state = PROBE_DEGRADED;
			probe_give_reason(row, cause, remedy);
		}
	}
	return has_all;
}

/* ---- a whole worker ---- */

static void say_nothing(const char *line)
{
	(void)line;
}

static void run_worker(int report_fd, void *data)
{
	static const char step[] = "run a command";
	const struct spec *spec = data;
	struct launch_result launched = { 0 };
	struct error error = { 0 };
	struct probe_row row;
	owned_fd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int64_t start_ns;
	int64_t end_ns;
	int result;

	for (int number = 0; number <= 2 && null_fd >= 0; number++)
		(void)dup3(null_fd, number, O_CLOEXEC); /* handed on as descriptors */
	start_ns = clock_ns();
	result = launch_run(spec, say_nothing, &launched, &error);
	end_ns = clock_ns();
	if (result < 0 || error.number > 0) {
		fill_row(&row, PROBE_MISSING, step, spec->tree);
		(void)snprintf(row.found, sizeof(row.found), "cannot %s", error.step);
		/* launch_run() has explained it. */
		probe_give_reason(&row, error.cause[0] ? error.cause : strerror(error.number), error.remedy);
		probe_send_row(report_fd, &row);
		return;
	}
	fill_row(&row, launched.exit_code == 0 ? PROBE_OK : PROBE_MISSING, step, spec->tree);
	(void)snprintf(row.found, sizeof(row.found), "exit status %d after %.1f ms", launched.exit_code,
		       (double)(end_ns - start_ns) / 1e6);
	if (launched.exit_code != 0)
		probe_give_reason(&row, "the worker was made, but its command did not succeed",
				  "see for yourself: sbx run --verbose -- true");
	probe_send_row(report_fd, &row);
}

static void probe_run(struct probe_report *report, const char *tree)
{
	struct spec spec;
	struct error error = { 0 };
	int result;

	spec_init(&spec);
	spec.tree = text_duplicate(tree);
	spec.workdir = text_duplicate("/");
	spec.no_databases = true;
	spec.timeout_ms = RUN_TIMEOUT_MS;
	/* Itself, by a link that no mount can cover: a program that is there on every machine. */
	text_list_add(&spec.payload, "/proc/self/exe");
	text_list_add(&spec.payload, "version");
	result = probe_run_child(report, 0, run_worker, &spec);
	if (result < 0) {
		(void)error_set(&error, .number = -result, .step = "start a process");
		probe_add_error(report, PROBE_MISSING, &error);
	}
	spec_release(&spec);
}

/* ---- all together ---- */

/* The tree that a plain run would take here. The root directory can be none: then any other will do for the steps. */
static int find_tree(const char *wanted, struct probe_report *report, char **ret_tree, struct error *error)
{
	int result = path_canonical(wanted ? wanted : ".", ret_tree);
	struct probe_row *row;

	if (result < 0)
		return error_set(error, .number = -result, .step = "open the tree", .object = wanted ? wanted : ".",
				 .remedy = "name the app's directory, as in: sbx doctor --tree=DIR");
	if (!text_equal(*ret_tree, "/"))
		return 0;
	row = probe_add(report, PROBE_DEGRADED, "use the tree", "/", "the root directory; tried with /usr instead");
	probe_give_reason(row, "the root directory cannot be a tree",
			  "cd to the app's directory, or name it with -C DIR");
	text_free(ret_tree);
	*ret_tree = text_duplicate("/usr");
	return 0;
}

static void probe_world(struct probe_report *report, const struct identity *identity, const char *tree)
{
	struct spec spec;
	struct probed_world probed = { .world = { .scratch_fd = -1 } };
	struct worker_plan *plan = &probed.plan;
	struct error error = { 0 };
	int result;

	spec_init(&spec);
	plan_init(plan, &spec);
	probed.world.plan = plan;
	plan->identity = *identity;
	plan->tree = text_duplicate(tree);
	plan->home = text_duplicate(identity->home);
	plan->scratch_bytes_max = SCRATCH_BYTES;
	plan->scratch_inodes_max = SCRATCH_INODES;
	text_list_add(&plan->homes, "/home");
	text_list_add(&plan->homes, "/root");
	result = probe_run_child(report, ALL_NAMESPACES, build_world, &probed);
	if (result < 0) {
		(void)error_set(&error, .number = -result, .step = "create the namespaces", .object = "all together");
		probe_add_error(report, PROBE_MISSING, &error);
	}
	plan->identity = (struct identity){ 0 }; /* the caller's */
	plan_release(plan);
	spec_release(&spec);
}

static void add_untried(struct probe_report *report, const char *step, const char *object)
{
	struct probe_row *row = probe_add(report, PROBE_UNTRIED, step, object, "%s", "");

	probe_give_reason(row, "it comes after a step that failed: create the namespaces", NULL);
}

int probe_machine(const char *tree, struct probe_report *ret_report, struct error *error)
{
	struct probe_report report = { 0 };
	struct identity identity = { 0 };
	owned_text path = NULL;
	int result = identity_read(false, &identity, error);

	if (result == 0)
		result = find_tree(tree, &report, &path, error);
	if (result < 0) {
		identity_release(&identity);
		probe_report_release(&report);
		return result;
	}
	if (!identity.home)
		probe_give_reason(probe_add(&report, PROBE_DEGRADED, "use HOME", getenv("HOME"), "none"),
				  "HOME is not a directory of this user's own",
				  "workers get an empty one; set HOME to change that");
	probe_kernel(&report);
	if (probe_namespaces(&report)) {
		probe_world(&report, &identity, path);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(world_steps); i++)
			add_untried(&report, world_steps[i].step, world_steps[i].object);
		for (size_t i = 0; i < ARRAY_SIZE(process_steps); i++)
			add_untried(&report, process_steps[i].step, process_steps[i].object);
	}
	probe_run(&report, path);
	probe_surroundings(&report, &identity);
	report.is_usable = true;
	for (size_t i = 0; i < report.count; i++)
		report.is_usable = report.is_usable && report.rows[i].state != PROBE_MISSING;
	identity_release(&identity);
	*ret_report = report;
	return 0;
}
