/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "base/process.h"
#include "overlay/mountinfo.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif

/* Where scripts/apparmor/sbx attaches, and where it is installed. */
static const char *const profile_paths[] = { "/usr/local/bin/sbx", "/usr/bin/sbx" };
#define PROFILE_FILE "/etc/apparmor.d/sbx"
#define PROFILE_LOAD "sudo apparmor_parser -r " PROFILE_FILE
/* The same as scripts/apparmor/sbx, so that the line can be pasted where there is no source folder. */
#define PROFILE_WRITE                                                                                                  \
	"printf 'abi <abi/4.0>,\\nprofile sbx /usr/{local/,}bin/sbx flags=(unconfined) { userns, }\\n' | "             \
	"sudo tee " PROFILE_FILE

static char *read_line(const char *path)
{
	owned_text text = NULL;

	if (fd_read_file(AT_FDCWD, path, 0, &text, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text_duplicate(text);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

int machine_read_number(const char *path, uint64_t *ret_number)
{
	owned_text line = read_line(path);

	return line ? number_parse(line, 0, UINT64_MAX, ret_number) : -ENOENT;
}

/* ---- containers ---- */

/* The marks: each runtime makes a file; systemd's container interface says `container=` to PID 1 and what it starts. */
enum machine_container machine_container(void)
{
	const char *variable = getenv("container");
	owned_text cgroups = NULL;

	if (exists("/run/.containerenv") || text_equal(variable, "podman"))
		return CONTAINER_PODMAN;
	if (exists("/.dockerenv"))
		return CONTAINER_DOCKER;
	if ((variable && variable[0]) || exists("/run/systemd/container"))
		return CONTAINER_OTHER;
	if (fd_read_file(AT_FDCWD, "/proc/self/cgroup", 0, &cgroups, NULL) == 0 &&
	    (strstr(cgroups, "/kubepods") || strstr(cgroups, "/lxc/") || strstr(cgroups, "/docker/")))
		return CONTAINER_OTHER;
	return CONTAINER_NONE;
}

const char *machine_container_name(enum machine_container container)
{
	static const char *const names[] = {
		[CONTAINER_NONE] = "no container",
		[CONTAINER_DOCKER] = "Docker",
		[CONTAINER_PODMAN] = "Podman",
		[CONTAINER_OTHER] = "a container",
	};

	return names[container];
}

char *machine_container_flags(void)
{
	enum machine_container container = machine_container();
	owned_buffer flags = { 0 };
	owned_text label = NULL;

	if (container == CONTAINER_NONE)
		return text_duplicate("");
	if (machine_is_filtered())
		text_buffer_add_text(&flags, " --security-opt seccomp=unconfined");
	if (machine_apparmor(&label) == APPARMOR_CONFINES)
		text_buffer_add_text(&flags, " --security-opt apparmor=unconfined");
	if (machine_find_masks("/proc", NULL) > 0 || machine_find_masks("/sys", NULL) > 0)
		text_buffer_add_text(&flags, container == CONTAINER_PODMAN ? " --security-opt unmask=ALL"
									   : " --security-opt systempaths=unconfined");
	return text_duplicate(flags.length > 0 ? flags.bytes + 1 : "");
}

bool machine_is_filtered(void)
{
	owned_text text = NULL;

	return fd_read_file(AT_FDCWD, "/proc/self/status", 0, &text, NULL) == 0 && strstr(text, "\nSeccomp:\t2");
}

bool machine_is_worker(void)
{
	return text_equal(getenv("SBX"), "1") && machine_is_filtered();
}

bool machine_is_chroot(void)
{
	struct mount_list mounts = { 0 };
	bool is_chroot = mountinfo_read(&mounts, NULL) == 0 && mounts.count > 0 && !mountinfo_at(&mounts, "/");

	mountinfo_release(&mounts);
	return is_chroot;
}

/* What the kernel's mnt_already_visible() does not mind: mount points that are made to be mounted on, and are empty. */
static bool is_made_to_be_covered(const char *point)
{
	static const char *const points[] = {
		"/proc/sys/fs/binfmt_misc",
		"/proc/fs/nfsd",
		"/sys/fs/cgroup",
		"/sys/fs/bpf",
		"/sys/fs/pstore",
		"/sys/fs/fuse/connections",
		"/sys/kernel",
		"/sys/firmware/efi/efivars",
		"/sys/fs/selinux",
	};

	for (size_t i = 0; i < ARRAY_SIZE(points); i++)
		if (path_is_below(point, points[i]))
			return true;
	return false;
}

size_t machine_find_masks(const char *directory, char **ret_names)
{
	struct mount_list mounts = { 0 };
	owned_buffer names = { 0 };
	size_t count = 0;

	if (mountinfo_read(&mounts, NULL) < 0)
		return 0;
	for (size_t i = 0; i < mounts.count; i++) {
		const char *point = mounts.items[i].point;

		if (text_equal(point, directory) || !path_is_below(point, directory) || is_made_to_be_covered(point))
			continue;
		if (count < 3)
			text_buffer_format(&names, "%s%s", count > 0 ? ", " : "", point);
		if (count++ == 3)
			text_buffer_add_text(&names, ", …");
	}
	mountinfo_release(&mounts);
	if (ret_names)
		*ret_names = count > 0 ? text_duplicate(names.bytes) : NULL;
	return count;
}

/* ---- AppArmor ---- */

static char *own_path(void)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (length < 0)
		return NULL;
	path[length] = '\0';
	return text_duplicate(path);
}

static bool is_at_profile_path(void)
{
	owned_text path = own_path();

	for (size_t i = 0; i < ARRAY_SIZE(profile_paths); i++)
		if (text_equal(path, profile_paths[i]))
			return true;
	return false;
}

enum machine_apparmor machine_apparmor(char **ret_label)
{
	/* The second is the name of before kernel 5.8, which means SELinux's label where that is in force. */
	bool is_in_force = exists("/sys/module/apparmor/parameters/enabled");
	owned_text label = read_line("/proc/self/attr/apparmor/current");
	uint64_t restricts = 0;
	bool is_confined;

	if (!label && is_in_force)
		label = read_line("/proc/self/attr/current");
	if (ret_label)
		*ret_label = text_duplicate(label);
	if (!label)
		return APPARMOR_ABSENT;
	is_confined = !text_equal(label, "unconfined") && !text_ends_with(label, " (unconfined)");
	if (is_confined)
		return APPARMOR_CONFINES;
	(void)machine_read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", &restricts);
	if (restricts == 0)
		return APPARMOR_ABSENT;
	if (text_ends_with(label, " (unconfined)"))
		return APPARMOR_PASSES;
	if (!exists(PROFILE_FILE))
		return APPARMOR_NO_PROFILE;
	return is_at_profile_path() ? APPARMOR_NOT_LOADED : APPARMOR_ELSEWHERE;
}

char *machine_apparmor_remedy(enum machine_apparmor apparmor)
{
	owned_text path = own_path();
	owned_text copy = is_at_profile_path()
				  ? text_duplicate("")
				  : text_format("sudo install '%s' %s && ", path ? path : "sbx", profile_paths[0]);
	const char *then = copy[0] ? ", then start sbx from there" : "";

	switch (apparmor) {
	case APPARMOR_ELSEWHERE:
		return text_format("sudo install '%s' %s, then start it from there", path ? path : "sbx",
				   profile_paths[0]);
	case APPARMOR_NOT_LOADED:
		return text_duplicate(PROFILE_LOAD);
	case APPARMOR_NO_PROFILE:
		return text_format("%s" PROFILE_WRITE " && " PROFILE_LOAD "%s", copy, then);
	case APPARMOR_CONFINES:
		return machine_container() == CONTAINER_NONE
			       ? text_duplicate("start sbx from a process without that profile")
			       : machine_container_flags();
	case APPARMOR_ABSENT:
	case APPARMOR_PASSES:
		break;
	}
	return text_duplicate("");
}

/* ---- system calls ---- */

const struct machine_call machine_calls[] = {
	{ "clone3", SYS_clone3, "5.3", true },
	{ "openat2", SYS_openat2, "5.6", true },
	{ "open_tree", SYS_open_tree, "5.2", true },
	{ "move_mount", SYS_move_mount, "5.2", true },
	{ "mount_setattr", SYS_mount_setattr, "5.12", true },
	{ "close_range", SYS_close_range, "5.11", true },
	{ "seccomp", SYS_seccomp, "3.17", true },
	{ "landlock_create_ruleset", SYS_landlock_create_ruleset, "5.13", false },
};
const size_t machine_call_count = ARRAY_SIZE(machine_calls);

bool machine_has_call(const struct machine_call *call)
{
	/* No descriptor, no address, no known flag: each of them refuses that before it does anything. For close_range
	 * it is a range that ends before it begins. */
	if (call->number == SYS_close_range)
		return syscall(SYS_close_range, ~0u, 0u, 0u) == 0 || errno != ENOSYS;
	return syscall(call->number, -1L, 0L, -1L, 0L, -1L, 0L) >= 0 || errno != ENOSYS;
}

/* ---- namespaces ---- */

const struct machine_namespace machine_namespaces[] = {
	{ "user", CLONE_NEWUSER, "max_user_namespaces" },
	{ "mnt", CLONE_NEWUSER | CLONE_NEWNS, "max_mnt_namespaces" },
	{ "pid", CLONE_NEWUSER | CLONE_NEWPID, "max_pid_namespaces" },
	{ "net", CLONE_NEWUSER | CLONE_NEWNET, "max_net_namespaces" },
	{ "ipc", CLONE_NEWUSER | CLONE_NEWIPC, "max_ipc_namespaces" },
	{ "uts", CLONE_NEWUSER | CLONE_NEWUTS, "max_uts_namespaces" },
	{ "cgroup", CLONE_NEWUSER | CLONE_NEWCGROUP, "max_cgroup_namespaces" },
};
const size_t machine_namespace_count = ARRAY_SIZE(machine_namespaces);

int machine_try_namespaces(uint64_t flags)
{
	pid_t pid = process_clone(flags, NULL);
	int status;

	if (pid == 0)
		_exit(0);
	return pid < 0 ? pid : process_wait(pid, &status);
}
