/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* The kernel's own numbers, include/uapi/linux/mount.h: they never change. */
enum {
	KERNEL_OPEN_TREE_CLONE = 1,
	KERNEL_OPEN_TREE_CLOEXEC = O_CLOEXEC,
	KERNEL_AT_RECURSIVE = 0x8000,
	KERNEL_MOVE_FROM_EMPTY_PATH = 0x4,
	KERNEL_MOVE_TO_EMPTY_PATH = 0x40,
	KERNEL_ATTR_RDONLY = 0x1,
	KERNEL_ATTR_NOSUID = 0x2,
	KERNEL_ATTR_NODEV = 0x4,
	KERNEL_ATTR_NOEXEC = 0x8,
	KERNEL_MS_PRIVATE = 1 << 18,
};

struct kernel_mount_attr {
	uint64_t attr_set;
	uint64_t attr_clr;
	uint64_t propagation;
	uint64_t userns_fd;
};

int mount_clone(int dirfd, const char *path, unsigned flags)
{
	unsigned kernel_flags = KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	long fd;

	if (flags & MOUNT_RECURSIVE)
		kernel_flags |= KERNEL_AT_RECURSIVE;
	fd = syscall(SYS_open_tree, dirfd, path, kernel_flags);
	return fd < 0 ? -errno : (int)fd;
}

int mount_attach(int mount_fd, int target_fd)
{
	long result = syscall(SYS_move_mount, mount_fd, "", target_fd, "",
			      KERNEL_MOVE_FROM_EMPTY_PATH | KERNEL_MOVE_TO_EMPTY_PATH);

	return result < 0 ? -errno : 0;
}

int mount_restrict(int dirfd, const char *path, unsigned flags)
{
	struct kernel_mount_attr attributes = {
		.attr_set = (flags & MOUNT_READ_ONLY ? KERNEL_ATTR_RDONLY : 0u) |
			    (flags & MOUNT_NO_SUID ? KERNEL_ATTR_NOSUID : 0u) |
			    (flags & MOUNT_NO_DEVICES ? KERNEL_ATTR_NODEV : 0u) |
			    (flags & MOUNT_NO_EXEC ? KERNEL_ATTR_NOEXEC : 0u),
		.propagation = flags & MOUNT_PRIVATE ? KERNEL_MS_PRIVATE : 0u,
	};
	unsigned kernel_flags = AT_EMPTY_PATH | (flags & MOUNT_RECURSIVE ? KERNEL_AT_RECURSIVE : 0u);

	if (syscall(SYS_mount_setattr, dirfd, path, kernel_flags, &attributes, sizeof(attributes)) < 0)
		return -errno;
	return 0;
}

int mount_bind(int source_fd, int target_fd, unsigned flags)
{
	owned_fd clone = mount_clone(source_fd, "", flags & MOUNT_RECURSIVE);
	int result;

	if (clone < 0)
		return clone;
	if (flags & ~(unsigned)MOUNT_RECURSIVE) {
		result = mount_restrict(clone, "", flags);
		if (result < 0)
			return result;
	}
	return mount_attach(clone, target_fd);
}
