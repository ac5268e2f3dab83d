/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a detached clone of a mount belongs to nobody's namespace. Whoever holds its descriptor and may mount
 * in a namespace of his own attaches it there, in another user namespace as well; writes of each show in the other. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mount.h"
#include "base/path.h"
#include "sandbox/worker/task_parts.h"

#define STEP_CLONE "share the directory"

enum { CLONES_PER_MESSAGE = 16 };

/* Symbolic links on the way are the payload's, and lead where they would lead it. In /proc they would lead to this
 * process, which may do more. */
static int clone_directory(const char *path, int *ret_fd, struct error *error)
{
	owned_fd fd = -1;
	struct statfs status;
	int result = path[0] == '/' ? path_make_directories(AT_FDCWD, path, 0755) : -EINVAL;

	if (result == 0) {
		fd = path_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);
		result = fd < 0 ? fd : 0;
	}
	if (result == 0 && fstatfs(fd, &status) < 0)
		result = -errno;
	if (result == 0 && status.f_type == PROC_SUPER_MAGIC)
		return error_set(error, .number = EACCES, .step = STEP_CLONE, .object = path,
				 .cause = "it leads into /proc");
	if (result == 0)
		result = mount_clone(fd, "", MOUNT_RECURSIVE);
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_CLONE, .object = path,
				 .cause = result == -EINVAL ? "it is not below a mount of this world" : NULL);
	*ret_fd = result;
	return 0;
}

static int clone_some(char *const *paths, size_t count, int *fds, struct error *error)
{
	for (size_t i = 0; i < count; i++) {
		int result = clone_directory(paths[i], &fds[i], error);

		if (result < 0)
			return result;
	}
	return 0;
}

int task_clone(const struct text_list *directories, int socket, struct error *error)
{
	for (size_t i = 0; i < directories->count;) {
		int fds[CLONES_PER_MESSAGE];
		unsigned char count = (unsigned char)MIN(directories->count - i, (size_t)CLONES_PER_MESSAGE);
		int result;

		for (size_t j = 0; j < count; j++)
			fds[j] = -1;
		result = clone_some(directories->items + i, count, fds, error);
		if (result == 0) {
			result = fd_send(socket, &count, 1, fds, count);
			if (result < 0)
				(void)error_set(error, .number = -result, .step = STEP_CLONE,
						.cause = "nobody takes it");
		}
		for (size_t j = 0; j < count; j++)
			fd_close(&fds[j]);
		if (result < 0)
			return result;
		i += count;
	}
	return 0;
}
