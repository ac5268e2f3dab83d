/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/task.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/policy/capabilities.h"
#include "sandbox/policy/landlock.h"
#include "sandbox/policy/seccomp.h"
#include "sandbox/worker/describe.h"
#include "sandbox/worker/task_parts.h"

enum { OUTPUT_PIECE = 64 << 10 };

/* ---- answers ---- */

/* Over short writes, and over the non-blocking pipe of a caller whose other end has it so. */
static int write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = RETRY_EINTR(write(fd, bytes, size));

		if (written < 0 && errno == EAGAIN) {
			struct pollfd polled = { .fd = fd, .events = POLLOUT };

			if (poll(&polled, 1, -1) < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		if (written < 0)
			return -errno;
		bytes += written;
		size -= (size_t)written;
	}
	return 0;
}

int task_output_end(struct task_output *output, struct error *error)
{
	int result = write_all(output->fd, output->buffer.bytes, output->buffer.length);

	output->buffer.length = 0;
	return result < 0 ? error_set(error, .number = -result, .step = "write the answer") : 0;
}

int task_output_continue(struct task_output *output, struct error *error)
{
	return output->buffer.length < OUTPUT_PIECE ? 0 : task_output_end(output, error);
}

void task_output_release(struct task_output *output)
{
	text_buffer_release(&output->buffer);
}

/* ---- confinement ---- */

int task_confine(struct error *error)
{
	static const struct seccomp_options reader = { .profile = SECCOMP_READER };
	int result;

	/* A fork of PID 1 is not dumpable already; who calls this from elsewhere shall be no more open. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "confine the task");
	result = capabilities_drop_all(error);
	return result < 0 ? result : seccomp_load(&reader, error);
}

int task_forbid_writing(const int *writable_fds, size_t writable_count, struct error *error)
{
	struct landlock_rules rules = { .writable_fds = writable_fds, .writable_count = writable_count };
	int result;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "confine the task");
	/* Best effort, as everywhere: a second lock, which nothing relies on. */
	result = landlock_confine(&rules, error);
	return result < 0 ? result : 0;
}

/* ---- the small ones ---- */

/* The text is made before: how far Landlock goes is asked by a call that the filter forbids, and nothing in the text
 * was written by the payload. */
static int inspect(const struct world *world, int out_fd, struct error *error)
{
	owned_output output = { .fd = out_fd };
	int result;

	describe_world(world, &output.buffer);
	text_buffer_add(&output.buffer, "\n", 1);
	result = task_confine(error);
	return result < 0 ? result : task_output_end(&output, error);
}

void task_list_marks(const struct world *world, const struct layer *layer, struct text_list *ret_marks)
{
	const struct text_list *hidden = &world->layers.hidden;

	for (size_t i = 0; i < hidden->count; i++)
		if (layers_find(&world->layers, hidden->items[i]) == layer)
			text_list_add(ret_marks, path_below(hidden->items[i], layer->path));
}

/* ---- all of them ---- */

/* Where a task may change files, by Landlock. */
enum writes {
	WRITES_NOTHING,	    /* but its answer */
	WRITES_TO_FIRST_FD, /* the directory that it was passed */
	WRITES_AS_PAYLOAD,  /* where the payload may: SQLite recovers what a killed program left, cp copies in */
	WRITES_SNAPSHOTS,   /* there, and where the world's snapshots of databases lie */
};

/* What each kind is given. The request came over a socket: whatever does not fit is refused. */
static const struct kind {
	size_t fd_count;
	size_t argument_count;
	bool has_format; /* as the first argument */
	enum writes writes;
	bool has_list; /* any number of arguments */
	bool stops;    /* the world's processes */
} kinds[] = {
	[TASK_INSPECT] = { .fd_count = 1 },
	[TASK_DIFF] = { .fd_count = 1, .argument_count = 1, .has_format = true, .has_list = true },
	[TASK_COPY_OUT] = { .fd_count = 1, .argument_count = 2, .writes = WRITES_TO_FIRST_FD },
	[TASK_COPY_IN] = { .fd_count = 1, .argument_count = 2, .writes = WRITES_AS_PAYLOAD },
	[TASK_DB_LIST] = { .fd_count = 1, .argument_count = 1, .has_format = true, .writes = WRITES_AS_PAYLOAD },
	[TASK_DB_QUERY] = { .fd_count = 1, .argument_count = 3, .has_format = true, .writes = WRITES_AS_PAYLOAD },
	[TASK_KEEP] = { .fd_count = 2, .writes = WRITES_TO_FIRST_FD, .has_list = true, .stops = true },
	[TASK_FREEZE] = { .fd_count = 2, .writes = WRITES_TO_FIRST_FD, .has_list = true, .stops = true },
	[TASK_BUNDLE] = { .fd_count = 2, .writes = WRITES_TO_FIRST_FD, .stops = true },
	[TASK_CLONE] = { .fd_count = 1, .has_list = true },
	[TASK_LISTENERS] = { .fd_count = 1 },
	[TASK_RESET] = { .fd_count = 1, .argument_count = 1, .writes = WRITES_AS_PAYLOAD },
	[TASK_DB_DIFF] = { .fd_count = 2, .argument_count = 3, .has_format = true, .writes = WRITES_AS_PAYLOAD },
	[TASK_DB_CHANGESET] = { .fd_count = 3, .argument_count = 2, .writes = WRITES_AS_PAYLOAD },
	[TASK_DB_APPLY] = { .fd_count = 2, .argument_count = 1, .writes = WRITES_AS_PAYLOAD },
	[TASK_DB_COPY] = { .fd_count = 1, .argument_count = 2, .writes = WRITES_TO_FIRST_FD },
	[TASK_DB_SNAPSHOT] = { .fd_count = 1, .argument_count = 2, .writes = WRITES_SNAPSHOTS },
	[TASK_DB_RESTORE] = { .fd_count = 1, .argument_count = 2, .writes = WRITES_SNAPSHOTS },
	[TASK_DB_SNAPSHOTS] = { .fd_count = 1, .argument_count = 1, .has_format = true },
	[TASK_BLAME] = { .fd_count = 1, .writes = WRITES_SNAPSHOTS },
};

static int check(const struct task *task, enum table_format *ret_format, struct error *error)
{
	const struct kind *kind = &kinds[task->kind < ARRAY_SIZE(kinds) ? task->kind : 0];

	if (kind->fd_count == 0 || task->fd_count != kind->fd_count ||
	    (task->arguments.count != kind->argument_count && !kind->has_list))
		return error_set(error, .number = EINVAL, .step = "do the task",
				 .cause = "the request does not fit this version of sbx",
				 .remedy = "use the sbx that started the worker");
	if (kind->has_format && task->arguments.count == 0)
		return error_set(error, .number = EINVAL, .step = "do the task", .cause = "the format is missing",
				 .remedy = "choose table or json");
	if (kind->has_format && table_parse_format(task->arguments.items[0], ret_format) < 0)
		return error_set(error, .number = EINVAL, .step = "use the format", .object = task->arguments.items[0],
				 .remedy = "choose table or json");
	return 0;
}

static int forbid_but_snapshots(const struct world *world, struct error *error)
{
	owned_fd snapshots_fd = task_open_snapshots(world, true);
	int *fds = calloc(world->writable_count + 1, sizeof(*fds));
	int result;

	if (!fds)
		abort();
	if (world->writable_count > 0)
		memcpy(fds, world->writable_fds, world->writable_count * sizeof(*fds));
	fds[world->writable_count] = snapshots_fd;
	result = snapshots_fd < 0 ? error_set(error, .number = -snapshots_fd, .step = "open the worker's snapshots")
				  : task_forbid_writing(fds, world->writable_count + 1, error);
	free(fds);
	return result;
}

static int confine(const struct world *world, const struct task *task, struct error *error)
{
	enum writes writes = kinds[task->kind].writes;
	int result = 0;

	if (writes == WRITES_SNAPSHOTS)
		result = forbid_but_snapshots(world, error);
	else if (writes == WRITES_TO_FIRST_FD)
		result = task_forbid_writing(task->fds, 1, error);
	else
		result = task_forbid_writing(world->writable_fds,
					     writes == WRITES_AS_PAYLOAD ? world->writable_count : 0, error);
	return result < 0 ? result : task_confine(error);
}

/* Beside what the payload may write, where a reset keeps its notes. */
static int confine_writer(const struct world *world, int directory_fd, struct error *error)
{
	int *fds = calloc(world->writable_count + 1, sizeof(*fds));
	int result;

	if (!fds)
		abort();
	memcpy(fds, world->writable_fds, world->writable_count * sizeof(*fds));
	fds[world->writable_count] = directory_fd;
	result = task_forbid_writing(fds, world->writable_count + 1, error);
	free(fds);
	return result < 0 ? result : task_confine(error);
}

static int run_reset(const struct world *world, const struct task *task, struct error *error)
{
	struct task_reset *reset = NULL;
	int result = task_reset_begin(world, &reset, error);

	if (result < 0)
		return result;
	result = confine_writer(world, task_reset_fd(reset), error);
	if (result == 0)
		result = task_reset(reset, task->arguments.items[0], task->fds[0], error);
	task_reset_end(reset);
	return result;
}

int task_run_keep_start(const struct world *world, struct error *error)
{
	owned_stopper stopper = STOPPER_NONE;
	owned_fd directory_fd = task_open_start(world, error);
	int result = directory_fd < 0 ? directory_fd : stopper_begin(world->scratch_fd, &stopper, error);

	if (result == 0)
		result = task_forbid_writing(&(int){ directory_fd }, 1, error);
	if (result == 0)
		result = task_confine(error);
	return result < 0 ? result : task_keep_start(world, &stopper, directory_fd, error);
}

int task_run(const struct world *world, const struct task *task, struct error *error)
{
	char **arguments = task->arguments.items;
	enum table_format format = TABLE_FORMAT_TABLE;
	owned_stopper stopper = STOPPER_NONE;
	int result = check(task, &format, error);

	if (result < 0)
		return result;
	if (task->kind == TASK_INSPECT)
		return inspect(world, task->fds[0], error);
	if (task->kind == TASK_CLONE)
		return task_clone(&task->arguments, task->fds[0], error);
	if (task->kind == TASK_LISTENERS)
		return task_listeners(task->fds[0], error);
	if (task->kind == TASK_RESET)
		return run_reset(world, task, error);
	if (kinds[task->kind].stops) {
		result = stopper_begin(world->scratch_fd, &stopper, error);
		/* Only a test's world is without a PID 1 of its own: there nobody lives in it. */
		if (result < 0 && !(result == -EPERM && task->kind == TASK_KEEP))
			return result;
	}
	/* From here on nothing of what the payload wrote finds a capability, or a call that it could abuse. */
	result = confine(world, task, error);
	if (result < 0)
		return result;
	switch (task->kind) {
	case TASK_DIFF:
		return task_diff(world, task->fds[0], format, &task->arguments, error);
	case TASK_COPY_OUT:
		return task_copy_out(world, task->fds[0], arguments[0], arguments[1], error);
	case TASK_COPY_IN:
		return task_copy_in(world, task->fds[0], arguments[0], arguments[1], error);
	case TASK_DB_LIST:
		return task_database_list(world, task->fds[0], format, error);
	case TASK_DB_QUERY:
		return task_database_query(world, task->fds[0], format, arguments[1], arguments[2], error);
	case TASK_KEEP:
		return task_keep(world, &stopper, &task->arguments, task->fds[0], task->fds[1], error);
	case TASK_FREEZE:
		return task_freeze(world, &stopper, &task->arguments, task->fds[0], task->fds[1], error);
	case TASK_BUNDLE:
		return task_bundle(world, &stopper, task->fds[0], task->fds[1], error);
	case TASK_DB_DIFF:
		return task_database_diff(world, task->fds, format, arguments[1], arguments[2], error);
	case TASK_DB_CHANGESET:
		return task_database_changeset(world, task->fds, arguments[0], arguments[1], error);
	case TASK_DB_APPLY:
		return task_database_apply(world, task->fds[0], task->fds[1], arguments[0], error);
	case TASK_DB_COPY:
		return task_database_copy(world, task->fds[0], arguments[0], arguments[1], error);
	case TASK_DB_SNAPSHOT:
		return task_database_snapshot(world, task->fds[0], arguments[0], arguments[1], error);
	case TASK_DB_RESTORE:
		return task_database_restore(world, task->fds[0], arguments[0], arguments[1], error);
	case TASK_DB_SNAPSHOTS:
		return task_database_snapshots(world, task->fds[0], format, error);
	case TASK_BLAME:
		return task_blame(world, task->fds[0], error);
	case TASK_INSPECT:
	case TASK_CLONE:
	case TASK_LISTENERS:
	case TASK_RESET:
		break; /* done above */
	}
	assert(false && "a kind without its part");
	return -EINVAL;
}
