/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's floor: floor TREE COMMAND [ARGUMENT…]
 *
 * The least that any program must do to give a command a world: all namespaces in one clone3(2), id maps, loopback, the
 * host's root read-only with all that is mounted below it, a scratch tmpfs with an overlay over the tree on it, a
 * private /tmp, a fresh /proc, pivot_root, exec. No filter, no Landlock, no devices, no lock, no PID 1 of its own, no
 * check of anything. What it costs is the kernel's price; sbx is measured as a multiple of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* After <sys/mount.h>: before glibc 2.37 (Ubuntu 22.04) it cannot be read behind this one, which glibc 2.36 and newer
 * include by themselves. */
#include <linux/mount.h>

/* <sys/mount.h> and <linux/mount.h> define these differently from one release to the next; the numbers never change. */
enum {
	TREE_CLONE = 0x1,	    /* OPEN_TREE_CLONE */
	TREE_RECURSIVE = 0x8000,    /* AT_RECURSIVE */
	MOVE_FROM_EMPTY_PATH = 0x4, /* MOVE_MOUNT_F_EMPTY_PATH */
};

static int check(long result, const char *step)
{
	if (result < 0) {
		(void)fprintf(stderr, "floor: %s: %s\n", step, strerror(errno));
		_exit(125);
	}
	return (int)result;
}

static void write_file(const char *path, const char *text)
{
	int fd = check(open(path, O_WRONLY | O_CLOEXEC), path);

	check(write(fd, text, strlen(text)), path);
	(void)close(fd);
}

static void write_maps(uid_t uid, gid_t gid)
{
	char map[48];

	write_file("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
	write_file("/proc/self/uid_map", map);
	(void)snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
	write_file("/proc/self/gid_map", map);
}

static void bring_up_loopback(void)
{
	int fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	check(ioctl(fd, SIOCSIFFLAGS, &request), "bring up loopback");
	(void)close(fd);
}

/* The host's root, read-only with all mounts below it; attached to nothing yet. */
static int clone_root(void)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	int fd = check(syscall(SYS_open_tree, AT_FDCWD, "/", TREE_CLONE | TREE_RECURSIVE | O_CLOEXEC), "open_tree");

	check(syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | TREE_RECURSIVE, &attributes, sizeof(attributes)),
	      "make the root read-only");
	return fd;
}

static void mount_overlay(int lower_fd, const char *tree)
{
	char target[4096];
	char options[160];

	(void)snprintf(target, sizeof(target), "root%s", tree);
	(void)snprintf(options, sizeof(options),
		       "lowerdir=/proc/self/fd/%d,upperdir=upper,workdir=work,userxattr,volatile,index=off,xino=off",
		       lower_fd);
	check(mount("overlay", target, "overlay", 0, options), "mount the overlay");
}

static void build_world(const char *tree)
{
	/* Opened in the new mount namespace: a layer of another one is EINVAL. */
	int tree_fd = check(open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC), tree);
	int root_fd = clone_root();

	check(mount("scratch", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"), "mount the scratch");
	check(chdir("/tmp"), "chdir");
	if (mkdir("root", 0755) < 0 || mkdir("upper", 0755) < 0 || mkdir("work", 0755) < 0)
		check(-1, "mkdir");
	check(syscall(SYS_move_mount, root_fd, "", AT_FDCWD, "root", MOVE_FROM_EMPTY_PATH), "attach the root");
	mount_overlay(tree_fd, tree);
	check(mount("tmp", "root/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), "mount /tmp");
	check(mount("proc", "root/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount /proc");
	check(chdir("root"), "chdir");
	/* Old root on top of the new one, then away with it: pivot_root(2), "pivot_root(".", ".")". */
	check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	check(umount2(".", MNT_DETACH), "detach the old root");
	check(chdir(tree), tree);
}

int main(int argc, char **argv)
{
	struct clone_args arguments = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWCGROUP,
		.exit_signal = SIGCHLD,
	};
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int status;
	pid_t pid;

	if (argc < 3 || argv[1][0] != '/') {
		(void)fprintf(stderr, "usage: floor /TREE COMMAND [ARGUMENT…]\n");
		return 2;
	}
	pid = check(syscall(SYS_clone3, &arguments, sizeof(arguments)), "clone3");
	if (pid == 0) {
		write_maps(uid, gid);
		bring_up_loopback();
		build_world(argv[1]);
		(void)execv(argv[2], argv + 2);
		check(-1, argv[2]);
	}
	check(waitpid(pid, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
