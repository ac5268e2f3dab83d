/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of doctor that are not steps of a world's set-up: the kernel, and what surrounds the worlds. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "overlay/mountinfo.h"
#include "sandbox/policy/limits.h"
#include "sandbox/registry/state.h"
#include "sandbox/worker/machine.h"
#include "sandbox/worker/probe_rows.h"

enum {
	/* FileSystemWatcher takes one instance each; the default host of ASP.NET Core watches its settings files. */
	WATCHERS_OF_A_SERVER = 4,
	WORKERS_FEW = 4,
	SPACE_LOW = 64 << 20,
	MEMORY_LOW = 512 << 20,
};

/* ---- kernel ---- */

static void probe_version(struct probe_report *report)
{
	struct utsname kernel = { 0 };
	unsigned major = 0;
	unsigned minor = 0;
	struct probe_row *row;

	(void)uname(&kernel);
	(void)sscanf(kernel.release, "%u.%u", &major, &minor);
	row = probe_add(report, PROBE_OK, "use this kernel", "", "%s, %s", kernel.release, kernel.machine);
	if (major > 5 || (major == 5 && minor >= 12))
		return;
	/* The steps themselves say what is missing: a distribution may have brought the calls to an older number. */
	row->state = PROBE_DEGRADED;
	probe_give_reason(row, "it is older than 5.12, the oldest that sbx is made for", "use kernel 5.12 or newer");
}

static void probe_calls(struct probe_report *report)
{
	for (size_t i = 0; i < machine_call_count; i++) {
		const struct machine_call *call = &machine_calls[i];
		struct error error = { 0 };
		struct probe_row *row;

		if (machine_has_call(call)) {
			probe_add(report, PROBE_OK, "make the system calls", call->name, "there");
			continue;
		}
		(void)error_set(&error, .number = ENOSYS, .step = "make the system calls", .object = call->name);
		if (call->is_required) {
			probe_add_error(report, PROBE_MISSING, &error);
			continue;
		}
		row = probe_add(report, PROBE_DEGRADED, error.step, call->name, "missing");
		probe_give_reason(row,
				  machine_is_filtered() ? "the kernel is older than it, or a filter refuses it"
							: "the kernel is older than it",
				  "nothing needs to be done: workers have one layer of defence less");
	}
}

void probe_kernel(struct probe_report *report)
{
	probe_version(report);
	probe_calls(report);
}

/* ---- directories ---- */

/* Numbers of linux/magic.h and of file systems that are not in it. */
static const struct {
	long magic;
	const char *name;
	const char *trouble; /* NULL: none */
} file_systems[] = {
	{ 0x6969, "NFS", "locks and extended attributes are not to be relied on there" },
	{ 0xff534d42, "CIFS", "locks and extended attributes are not to be relied on there" },
	{ 0xfe534d42, "SMB", "locks and extended attributes are not to be relied on there" },
	{ 0x01021997, "9p", "locks and extended attributes are not to be relied on there" },
	{ 0x65735546, "FUSE", "locks and extended attributes are not to be relied on there" },
	{ 0x794c7630, "overlayfs", "the writable layer of a worker cannot lie on it" },
	{ 0xef53, "ext4", NULL },
	{ 0x58465342, "XFS", NULL },
	{ 0x9123683e, "btrfs", NULL },
	{ 0x2fc12fc1, "ZFS", NULL },
	{ 0x01021994, "tmpfs", NULL },
	{ 0xf2f52010, "F2FS", NULL },
};

static const char *find_trouble(int fd, const char **ret_name)
{
	struct statfs status;

	*ret_name = "another file system";
	if (fstatfs(fd, &status) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
		if ((unsigned long)status.f_type == (unsigned long)file_systems[i].magic) {
			*ret_name = file_systems[i].name;
			return file_systems[i].trouble;
		}
	return NULL;
}

/* Makes a file without a name, so that nothing is left, and does with it what sbx does with its own. */
static int try_file(int directory_fd, bool *ret_has_xattrs)
{
	static const char block[4096] = { 0 };
	owned_fd fd = openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char name[32];
	int result;

	if (fd < 0) {
		(void)snprintf(name, sizeof(name), ".doctor-%d", (int)getpid());
		fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		(void)unlinkat(directory_fd, name, 0);
	}
	result = fd_write_all(fd, block, sizeof(block));
	if (result == 0 && fsync(fd) < 0)
		result = -errno;
	*ret_has_xattrs = fsetxattr(fd, "user.overlay.sbx", "1", 1, 0) == 0;
	return result;
}

/* What is wrong with a directory of sbx's own that can be opened. */
static void probe_directory(struct probe_report *report, const char *step, const char *path, int fd, bool holds_layers)
{
	const char *type;
	const char *trouble = find_trouble(fd, &type);
	struct statvfs space = { 0 };
	bool has_xattrs = false;
	int result = try_file(fd, &has_xattrs);
	struct error error = { 0 };
	struct probe_row *row;
	uint64_t free_bytes;
	char size[32];

	if (result < 0) {
		(void)error_set(&error, .number = -result, .step = step, .object = path,
				.remedy = result == -ENOSPC || result == -EDQUOT
						  ? "sbx prune, or set XDG_STATE_HOME to a disk with room"
						  : "set XDG_STATE_HOME to a directory that can be written");
		probe_add_error(report, PROBE_DEGRADED, &error);
		return;
	}
	(void)fstatvfs(fd, &space);
	free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
	number_format_size(free_bytes, size, sizeof(size));
	row = probe_add(report, PROBE_DEGRADED, step, path, "%s, %s free", type, size);
	if (trouble)
		probe_give_reason(row, trouble, "set XDG_STATE_HOME to a directory on a local disk");
	else if (holds_layers && (space.f_flag & ST_NOEXEC))
		probe_give_reason(row,
				  "it is mounted noexec: what a worker builds on a disk layer could not be started",
				  "set XDG_STATE_HOME to a directory on a file system without noexec");
	else if (holds_layers && !has_xattrs)
		probe_give_reason(row,
				  "its file system takes no user extended attributes: no writable layer can lie there",
				  "set XDG_STATE_HOME to a directory on ext4, XFS or btrfs");
	else if (free_bytes < SPACE_LOW || (space.f_files > 0 && space.f_favail == 0))
		probe_give_reason(row, "it is nearly full", "sbx prune, or set XDG_STATE_HOME to a disk with room");
	else
		row->state = PROBE_OK;
}

static void probe_directories(struct probe_report *report, const char *home)
{
	struct state_paths paths;
	owned_fd runtime_fd = -1;
	owned_fd state_fd = -1;
	struct error error = { 0 };
	int place;

	state_paths_find(home, &paths);
	/* Without them a worker runs all the same: it is not listed, and cannot be kept. */
	if (state_open(&paths, STATE_MAKE, &state_fd, &error) < 0)
		probe_add_error(report, PROBE_DEGRADED, &error);
	else
		probe_directory(report, "use the state directory", paths.state, state_fd, true);
	place = state_open_runtime(&paths, STATE_MAKE, &runtime_fd, &error);
	if (place < 0)
		probe_add_error(report, PROBE_DEGRADED, &error);
	else
		probe_directory(report, "use the runtime directory", paths.runtime[place].path, runtime_fd, false);
	state_paths_release(&paths);
}

/* ---- limits ---- */

static size_t count_links_of(const char *pid, const char *wanted)
{
	owned_text path = text_format("/proc/%s/fd", pid);
	DIR *directory = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	while (directory && (entry = readdir(directory)) != NULL) {
		char target[64];
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = '\0';
		count += text_equal(target, wanted);
	}
	if (directory)
		(void)closedir(directory);
	return count;
}

/* inotify(7) instances of this user, as far as they can be seen: in processes that may be looked into. */
static size_t count_inotify_instances(uid_t uid)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	size_t count = 0;

	while (processes && (entry = readdir(processes)) != NULL) {
		struct stat status;

		if (isdigit((unsigned char)entry->d_name[0]) &&
		    fstatat(dirfd(processes), entry->d_name, &status, 0) == 0 && status.st_uid == uid)
			count += count_links_of(entry->d_name, "anon_inode:inotify");
	}
	if (processes)
		(void)closedir(processes);
	return count;
}

static void probe_inotify(struct probe_report *report, const struct identity *identity)
{
	uint64_t limit = 0;
	uint64_t own_limit = UINT64_MAX;
	size_t used = count_inotify_instances(identity->uid);
	struct probe_row *row;
	uint64_t left;

	if (machine_read_number("/proc/sys/fs/inotify/max_user_instances", &limit) < 0)
		return;
	/* Inside of a user namespace both count: the lower one binds. */
	if (machine_read_number("/proc/sys/user/max_inotify_instances", &own_limit) == 0)
		limit = MIN(limit, own_limit);
	left = limit > used ? limit - used : 0;
	row = probe_add(report, PROBE_OK, "watch files", "",
			"%llu of %llu inotify instances left: %llu servers at %d each", (unsigned long long)left,
			(unsigned long long)limit, (unsigned long long)(left / WATCHERS_OF_A_SERVER),
			WATCHERS_OF_A_SERVER);
	if (left / WATCHERS_OF_A_SERVER >= WORKERS_FEW)
		return;
	row->state = PROBE_DEGRADED;
	probe_give_reason(
		row, "all workers and programs of this user share one budget of inotify instances (finding 23)",
		"sudo sysctl fs.inotify.max_user_instances=1024 (or, for .NET: -e DOTNET_USE_POLLING_FILE_WATCHER=1)");
}

static void probe_open_files(struct probe_report *report)
{
	struct rlimit limit;
	struct probe_row *row;
	char remedy[96];

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	row = probe_add(report, PROBE_OK, "open files", "", "%llu at once", (unsigned long long)limit.rlim_cur);
	if (limit.rlim_cur >= LIMITS_OPEN_FILES_LOW)
		return;
	row->state = PROBE_DEGRADED;
	(void)snprintf(remedy, sizeof(remedy), "ulimit -n %d", LIMITS_OPEN_FILES_LOW);
	probe_give_reason(row, ".NET needs more than 300 open files to start, and servers more",
			  limit.rlim_max >= LIMITS_OPEN_FILES_LOW
				  ? remedy
				  : "raise the hard limit: nofile in /etc/security/limits.conf, then log in again");
}

static void probe_memory(struct probe_report *report)
{
	owned_text text = NULL;
	unsigned long long kibibytes = 0;
	struct probe_row *row;
	const char *line;
	char size[32];

	if (fd_read_file(AT_FDCWD, "/proc/meminfo", 0, &text, NULL) < 0)
		return;
	line = strstr(text, "MemAvailable:");
	if (!line || sscanf(line, "MemAvailable: %llu", &kibibytes) != 1)
		return;
	number_format_size(kibibytes * 1024, size, sizeof(size));
	row = probe_add(report, PROBE_OK, "hold workers in memory", "", "%s available", size);
	if (kibibytes * 1024 >= MEMORY_LOW)
		return;
	row->state = PROBE_DEGRADED;
	probe_give_reason(row, "the files that workers write are held in memory too",
			  "end other programs, or put them on disk with --scratch DIR");
}

/* ---- programs and services ---- */

static bool find_program(const char *name, char **ret_path)
{
	const char *search = getenv("PATH");
	owned_text copy = text_duplicate(search ? search : "/usr/local/bin:/usr/bin:/bin");
	char *rest = copy;

	for (char *part = strsep(&rest, ":"); part; part = strsep(&rest, ":")) {
		owned_text path = path_join(part[0] ? part : ".", name);

		if (access(path, X_OK) == 0) {
			*ret_path = path;
			path = NULL;
			return true;
		}
	}
	return false;
}

static void probe_pasta(struct probe_report *report)
{
	owned_text path = NULL;
	struct probe_row *row;

	if (find_program("pasta", &path)) {
		probe_add(report, PROBE_OK, "reach the outside", "pasta", "%s", path);
		return;
	}
	row = probe_add(report, PROBE_DEGRADED, "reach the outside", "pasta", "not found in PATH");
	probe_give_reason(row, "it is needed for --net outbound, and for nothing else", "sudo apt-get install passt");
}

/* logind.conf(5): one file, then the .conf files of these directories; the last word counts. */
static void read_kill_setting(const char *path, bool *kills)
{
	owned_text text = NULL;
	char *rest;

	if (fd_read_file(AT_FDCWD, path, 0, &text, NULL) < 0)
		return;
	rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (text_starts_with(line, "KillUserProcesses=")) {
			const char *value = line + strlen("KillUserProcesses=");

			*kills = text_equal(value, "yes") || text_equal(value, "true") || text_equal(value, "on") ||
				 text_equal(value, "1");
		}
}

static bool logind_kills(void)
{
	static const char *const directories[] = { "/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d",
						   "/etc/systemd/logind.conf.d" };
	bool kills = false;

	read_kill_setting("/etc/systemd/logind.conf", &kills);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		struct dirent **entries = NULL;
		int count = scandir(directories[i], &entries, NULL, alphasort);

		for (int entry = 0; entry < count; entry++) {
			owned_text path = path_join(directories[i], entries[entry]->d_name);

			if (text_ends_with(path, ".conf"))
				read_kill_setting(path, &kills);
			free(entries[entry]);
		}
		free(entries);
	}
	return kills;
}

static void probe_login(struct probe_report *report, const struct identity *identity)
{
	owned_text linger = text_format("/var/lib/systemd/linger/%s", identity->user);
	owned_text remedy = text_format(
		"sudo loginctl enable-linger %s (or start it with: systemd-run --user --scope sbx …)", identity->user);
	struct probe_row *row;

	if (access("/run/systemd/seats", F_OK) < 0) {
		probe_add(report, PROBE_OK, "outlive the login", "", "no logind");
		return;
	}
	if (!logind_kills() || access(linger, F_OK) == 0) {
		probe_add(report, PROBE_OK, "outlive the login", "", "logind lets background workers live");
		return;
	}
	row = probe_add(report, PROBE_DEGRADED, "outlive the login", "", "KillUserProcesses=yes");
	probe_give_reason(row, "logind kills background workers when you log out (finding 44)", remedy);
}

static void probe_container(struct probe_report *report)
{
	enum machine_container container = machine_container();
	owned_text flags = machine_container_flags();
	owned_text remedy = text_format(getenv("GITHUB_ACTIONS") ? "in the workflow, below container:  options: %s"
								 : "start it with: %s",
					flags);
	struct probe_row *row =
		probe_add(report, PROBE_OK, "run in this container", "", "%s%s",
			  machine_is_worker() ? "a worker of sbx, in " : "", machine_container_name(container));

	if (flags[0] == '\0')
		return;
	row->state = PROBE_DEGRADED;
	probe_give_reason(row, "it was started without flags that worlds need", remedy);
}

static void probe_apparmor(struct probe_report *report, const struct identity *identity)
{
	owned_text label = NULL;
	enum machine_apparmor apparmor = machine_apparmor(&label);
	owned_text remedy = machine_apparmor_remedy(apparmor);
	struct probe_row *row = probe_add(report, PROBE_OK, "pass AppArmor", label, "%s",
					  !label			  ? "not in force"
					  : apparmor == APPARMOR_PASSES	  ? "the profile of sbx is in force"
					  : apparmor == APPARMOR_CONFINES ? "confined by a profile"
					  : apparmor == APPARMOR_ABSENT	  ? "user namespaces are not restricted"
									  : "user namespaces are restricted");

	/* Root is let through: it makes its namespaces with capabilities. */
	if (apparmor == APPARMOR_ABSENT || apparmor == APPARMOR_PASSES ||
	    (apparmor != APPARMOR_CONFINES && identity->uid == 0))
		return;
	row->state = PROBE_DEGRADED;
	probe_give_reason(row,
			  apparmor == APPARMOR_ELSEWHERE    ? "the profile is there, but this binary is not at its path"
			  : apparmor == APPARMOR_NOT_LOADED ? "the profile of sbx is not loaded"
			  : apparmor == APPARMOR_CONFINES   ? "the profile may refuse what a world needs"
							    : "there is no profile for sbx",
			  remedy);
}

void probe_surroundings(struct probe_report *report, const struct identity *identity)
{
	probe_container(report);
	probe_apparmor(report, identity);
	probe_directories(report, identity->home);
	probe_inotify(report, identity);
	probe_open_files(report);
	probe_memory(report);
	probe_login(report, identity);
	probe_pasta(report);
}
