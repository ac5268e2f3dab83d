/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/artifacts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/tree.h"
#include "sandbox/worker/annex.h"
#include "sandbox/worker/ask.h"

enum { FDS_PER_MESSAGE = 16 };

/* ---- grafts ---- */

static void list_shared(const struct member *runner, const struct events *events, struct text_list *shared)
{
	text_list_add(shared, ANNEX_TEMPORARY);
	for (size_t i = 0; i < events->artifact_directories.count && shared->count < ANNEX_GRAFTS_MAX; i++)
		/* The tree itself as a place of artifacts would make the worlds one. */
		if (!path_is_below(runner->plan.tree, events->artifact_directories.items[i]))
			text_list_add(shared, events->artifact_directories.items[i]);
}

static int receive_grafts(int socket, const struct text_list *shared, struct graft *grafts, size_t *count,
			  struct error *error)
{
	while (*count < shared->count) {
		int fds[FDS_PER_MESSAGE];
		size_t fd_count = 0;
		unsigned char announced;
		ssize_t got = fd_receive(socket, &announced, sizeof(announced), fds, FDS_PER_MESSAGE, &fd_count, 0);

		if (got <= 0 || fd_count == 0 || *count + fd_count > shared->count) {
			for (size_t i = 0; got > 0 && i < fd_count; i++)
				(void)close(fds[i]);
			return error_set(error, .number = got < 0 ? (int)-got : EPROTO,
					 .step = "share the directories of artifacts");
		}
		for (size_t i = 0; i < fd_count; i++, (*count)++)
			grafts[*count] =
				(struct graft){ .fd = fds[i], .target = text_duplicate(shared->items[*count]) };
	}
	return 0;
}

static void release_grafts(struct graft *grafts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fd_close(&grafts[i].fd);
		text_free(&grafts[i].target);
	}
	free(grafts);
}

int artifacts_take_grafts(const struct member *runner, const struct events *events, struct graft **ret_grafts,
			  size_t *ret_count, struct error *error)
{
	struct task task = { .kind = TASK_CLONE, .fd_count = 1 };
	owned_list shared = { 0 };
	owned_fd connection = -1;
	struct graft *grafts;
	size_t count = 0;
	int ends[2];
	int result = member_connect(runner, false, &connection, error);

	if (result < 0)
		return result;
	list_shared(runner, events, &shared);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(error, .number = errno, .step = "make a socket for directories");
	grafts = calloc(shared.count + 1, sizeof(*grafts));
	if (!grafts)
		abort();
	task.arguments = shared;
	task.fds[0] = ends[1];
	result = ask_task(connection, &task, error);
	(void)close(ends[1]);
	if (result >= 0)
		result = receive_grafts(ends[0], &shared, grafts, &count, error);
	(void)close(ends[0]);
	if (result < 0) {
		release_grafts(grafts, count);
		return result;
	}
	*ret_grafts = grafts;
	*ret_count = count;
	return 0;
}

/* ---- copying out ---- */

static int copy_out(const struct member *runner, int parent_fd, const char *path, const char *name, struct error *error)
{
	struct task task = { .kind = TASK_COPY_OUT, .fds = { parent_fd }, .fd_count = 1 };
	owned_fd connection = -1;
	int result = member_connect(runner, false, &connection, error);

	if (result < 0)
		return result;
	text_list_add(&task.arguments, path);
	text_list_add(&task.arguments, name);
	result = ask_task(connection, &task, error);
	text_list_release(&task.arguments);
	return result;
}

/* Under another name first: what is on the host stays until its successor is whole. */
static int replace_one(const struct member *runner, const char *path, struct error *error)
{
	owned_text parent = path_parent(path);
	owned_text draft = text_format(".%s.sbx-%d", path_name(path), (int)getpid());
	int result = path_make_directories(AT_FDCWD, parent, 0755);
	owned_fd parent_fd = result < 0 ? -1 : path_open(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY, 0, PATH_FOLLOW);

	if (parent_fd < 0)
		return error_set(error, .number = result < 0 ? -result : -parent_fd, .step = "copy the artifacts to",
				 .object = path);
	result = copy_out(runner, parent_fd, path, draft, error);
	if (result == -ENOENT) {
		/* The run has removed it, or never made it: what lies there is of another run. */
		*error = (struct error){ 0 };
		return tree_remove(parent_fd, path_name(path), error);
	}
	if (result >= 0)
		result = tree_remove(parent_fd, path_name(path), error);
	if (result >= 0 && renameat(parent_fd, draft, parent_fd, path_name(path)) < 0)
		result = error_set(error, .number = errno, .step = "copy the artifacts to", .object = path);
	if (result < 0)
		(void)tree_remove(parent_fd, draft, NULL);
	return result < 0 ? result : 0;
}

static int replace_all(const struct member *runner, const struct text_list *paths, struct error *error)
{
	int first = 0;

	for (size_t i = 0; i < paths->count; i++) {
		struct error own = { 0 };
		int result;

		/* Only what lies in tree or HOME was copy-on-write at all; and the tree itself is no artifact. */
		if (path_is_below(runner->plan.tree, paths->items[i]) ||
		    !(path_is_below(paths->items[i], runner->plan.tree) ||
		      (runner->plan.home && path_is_below(paths->items[i], runner->plan.home))))
			continue;
		result = replace_one(runner, paths->items[i], &own);
		if (result < 0 && first == 0) {
			first = result;
			*error = own;
		}
	}
	return first;
}

int artifacts_copy_out(const struct member *runner, const struct events *events, struct error *error)
{
	struct error second = { 0 };
	int result = replace_all(runner, &events->artifact_directories, error);
	int files = replace_all(runner, &events->artifact_files, result < 0 ? &second : error);

	return result < 0 ? result : files;
}
