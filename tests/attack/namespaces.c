/* SPDX-License-Identifier: Apache-2.0 */
/* New namespaces, other namespaces, mounts: finding 1, finding 2, finding 4. */
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* After <sys/mount.h>: before glibc 2.37 (Ubuntu 22.04) it cannot be read behind this one, which glibc 2.36 and newer
 * include by themselves. */
#include <linux/mount.h>

#include "tests/attack/attack.h"

static const struct {
	const char *name;
	uint64_t flag;
} kinds[] = { { "user", CLONE_NEWUSER },     { "mnt", CLONE_NEWNS },   { "pid", CLONE_NEWPID },
	      { "net", CLONE_NEWNET },	     { "ipc", CLONE_NEWIPC },  { "uts", CLONE_NEWUTS },
	      { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME } };

/* A child that such a clone made must not go on as this program. */
static long raw_clone(uint64_t flags)
{
	long result = syscall(SYS_clone, flags, 0, 0, 0, 0);

	if (result == 0)
		_exit(0);
	return result;
}

static void make_namespaces(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct clone_args arguments = { .flags = kinds[i].flag, .exit_signal = SIGCHLD };
		long result;

		must_fail(syscall(SYS_unshare, kinds[i].flag), "unshare");
		must_fail(syscall(SYS_unshare, kinds[i].flag | CLONE_NEWUSER), "unshare with user");
		must_fail(syscall(SYS_unshare, kinds[i].flag | (1UL << 40)), "unshare with a high bit");
		if (kinds[i].flag != CLONE_NEWTIME) { /* there its bit is part of the signal's number */
			must_fail(raw_clone(kinds[i].flag | SIGCHLD), "clone");
			must_fail(raw_clone(kinds[i].flag | SIGCHLD | (1UL << 40)), "clone with a high bit");
		}
		result = syscall(SYS_clone3, &arguments, sizeof(arguments));
		if (result == 0)
			_exit(0);
		must_fail_with(result, ENOSYS, "clone3");
	}
}

static void join_namespaces(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		char path[64];
		int fd;

		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i].name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		must_fail(syscall(SYS_setns, fd, 0), path);
		(void)snprintf(path, sizeof(path), "/proc/1/ns/%s", kinds[i].name);
		must_fail(open(path, O_RDONLY | O_CLOEXEC), path);
	}
	must_fail(syscall(SYS_setns, (int)syscall(SYS_pidfd_open, 1, 0), CLONE_NEWNS), "setns by pidfd");
}

static void change_mounts(void)
{
	struct mount_attr writable = { .attr_clr = MOUNT_ATTR_RDONLY };

	must_fail(mount("none", "/tmp", "tmpfs", 0, NULL), "mount of a tmpfs");
	must_fail(mount("/", "/tmp", NULL, MS_BIND, NULL), "bind mount");
	must_fail(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL), "remount of / as writable");
	must_fail(mount("proc", "/tmp", "proc", 0, NULL), "mount of proc");
	must_fail(umount2("/tmp", MNT_DETACH), "umount of /tmp");
	must_fail(umount2("/", MNT_DETACH), "umount of /");
	must_fail(umount2("/proc", MNT_DETACH), "umount of /proc");
	must_fail(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must_fail(chroot("/tmp"), "chroot");
	must_fail_with(syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE), ENOSYS, "open_tree");
	must_fail_with(syscall(SYS_move_mount, AT_FDCWD, "/tmp", AT_FDCWD, "/run", 0), ENOSYS, "move_mount");
	must_fail_with(syscall(SYS_fsopen, "tmpfs", 0), ENOSYS, "fsopen");
	must_fail_with(syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &writable, sizeof(writable)), ENOSYS,
		       "mount_setattr");
	must_fail(mknod("/tmp/device", S_IFBLK | 0600, (dev_t)0x800), "mknod of a disk");
	must_fail(mknod("/tmp/memory", S_IFCHR | 0600, (dev_t)0x101), "mknod of /dev/mem");
}

int main(void)
{
	make_namespaces();
	join_namespaces();
	change_mounts();
	while (wait(NULL) > 0)
		;
	return attack_end();
}
