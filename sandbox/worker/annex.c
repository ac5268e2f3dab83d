/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/annex.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mount.h"
#include "overlay/layers.h"

enum { PROGRAM_PIECE = 1 << 30 };

static int write_file(int directory_fd, const struct annex_file *file, struct error *error)
{
	owned_fd fd = openat(directory_fd, file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	int result = fd < 0 ? -errno : fd_write_all(fd, file->data, file->size);

	if (result < 0)
		return error_set(error, .number = -result, .step = "write a file of the annex", .object = file->name);
	return 0;
}

/* A copy of the very file that runs here, 4 MB once a run. Not a bind: the file is of a mount of the host's namespace,
 * which cannot be cloned here, and its path may be covered or gone. */
static int copy_program(int directory_fd, struct error *error)
{
	owned_fd program_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	owned_fd target_fd = openat(directory_fd, "sbx", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
	ssize_t sent = program_fd < 0 || target_fd < 0 ? -1 : 1;

	while (sent > 0)
		sent = RETRY_EINTR(sendfile(target_fd, program_fd, NULL, PROGRAM_PIECE));
	if (sent < 0)
		return error_set(error, .number = errno, .step = "place sbx in the world", .object = ANNEX_PROGRAM);
	return 0;
}

/* Made inside, so that no path of the host leads to it, and handed to the owner, who listens. */
static int make_socket(int *ret_fd, struct error *error)
{
	owned_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = ANNEX_SOCKET };

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0)
		return error_set(error, .number = errno, .step = "listen in the world", .object = ANNEX_SOCKET);
	*ret_fd = fd_take(&fd);
	return 0;
}

int annex_make(struct world *world, struct error *error)
{
	const struct annex *annex = &world->plan->annex;
	owned_fd directory_fd = -1;
	int result = 0;

	if (!annex->is_wanted)
		return 0;
	if ((mkdir(ANNEX_DIRECTORY, 0755) < 0 && errno != EEXIST) || mkdir(ANNEX_TEMPORARY, 0700) < 0)
		return error_set(error, .number = errno, .step = "make the annex", .object = ANNEX_DIRECTORY);
	directory_fd = open(ANNEX_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return error_set(error, .number = errno, .step = "open the annex", .object = ANNEX_DIRECTORY);
	for (size_t i = 0; i < annex->file_count && result == 0; i++)
		result = write_file(directory_fd, &annex->files[i], error);
	if (result == 0)
		result = copy_program(directory_fd, error);
	return result < 0 ? result : make_socket(&world->annex_socket_fd, error);
}

int annex_attach_grafts(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;

	for (size_t i = 0; i < plan->graft_count; i++) {
		owned_fd target_fd = layers_open_target(plan->grafts[i].target, false);
		int result = target_fd < 0 ? target_fd : mount_attach(plan->grafts[i].fd, target_fd);

		if (result < 0)
			return error_set(error, .number = -result, .step = "share the directory",
					 .object = plan->grafts[i].target);
		(void)close(plan->grafts[i].fd);
	}
	return 0;
}
