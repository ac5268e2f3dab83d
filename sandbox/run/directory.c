/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/tree.h"
#include "sandbox/registry/claim.h"
#include "sandbox/registry/state.h"
#include "sandbox/worker/identity.h"

#define EVENTS_FILE "events.jsonl"
#define SEED_PREFIX "seed-"

static int open_runs(char **ret_path, int *ret_fd, struct error *error)
{
	struct identity identity;
	struct state_paths paths;
	owned_fd state_fd = -1;
	int result = identity_read(false, &identity, error);

	if (result < 0)
		return result;
	state_paths_find(identity.home, &paths);
	result = state_open(&paths, STATE_MAKE, &state_fd, error);
	if (result >= 0)
		result = state_open_part(state_fd, STATE_RUNS, STATE_MAKE, ret_fd, error);
	if (result >= 0)
		*ret_path = path_join(paths.state, state_part_name(STATE_RUNS));
	state_paths_release(&paths);
	identity_release(&identity);
	return result < 0 ? result : 0;
}

int run_directory_open(struct run_directory *ret_directory, struct error *error)
{
	struct run_directory *directory = ret_directory;
	owned_text runs = NULL;
	owned_fd runs_fd = -1;
	int result = open_runs(&runs, &runs_fd, error);

	if (result < 0)
		return result;
	(void)id_make(directory->id);
	result = claim_make(runs_fd, directory->id, &directory->fd, error);
	if (result < 0)
		return result;
	directory->path = path_join(runs, directory->id);
	directory->events_fd =
		openat(directory->fd, EVENTS_FILE, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (directory->events_fd < 0)
		return error_set(error, .number = errno, .step = "write the events of the run",
				 .object = directory->path);
	return 0;
}

void run_directory_close(struct run_directory *directory)
{
	for (unsigned i = 0; directory->fd >= 0; i++) {
		char name[32];
		struct stat status;

		(void)snprintf(name, sizeof(name), SEED_PREFIX "%u", i);
		if (fstatat(directory->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			break;
		(void)tree_remove(directory->fd, name, NULL); /* what stays is pruned with the run */
	}
	fd_close(&directory->events_fd);
	fd_close(&directory->fd);
	text_free(&directory->path);
}

char *run_directory_path(const struct run_directory *directory, const char *format, ...)
{
	char name[256];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(name, sizeof(name), format, arguments);
	va_end(arguments);
	return path_join(directory->path, name);
}

int run_directory_make(const struct run_directory *directory, const char *path, int *ret_fd, struct error *error)
{
	const char *name = path_below(path, directory->path);
	int result = path_make_directories(directory->fd, name, 0700);
	int fd = result < 0 ? -1 : openat(directory->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return error_set(error, .number = result < 0 ? -result : errno, .step = "make a directory of the run",
				 .object = path);
	*ret_fd = fd;
	return 0;
}

int run_directory_open_file(struct run_directory *directory, const char *what, int *ret_fd, struct error *error)
{
	char name[64];
	int fd;

	(void)snprintf(name, sizeof(name), ".%u-%.40s", directory->files++, what);
	fd = openat(directory->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, .number = errno, .step = "make a file of the run", .object = what);
	(void)unlinkat(directory->fd, name, 0);
	*ret_fd = fd;
	return 0;
}

void run_directory_log_event(struct run_directory *directory, const char *line, size_t size)
{
	owned_buffer text = { 0 };

	/* A report that lacks something is no reason to end a run. */
	text_buffer_add(&text, line, size);
	text_buffer_add(&text, "\n", 1);
	(void)fd_write_all(directory->events_fd, text.bytes, text.length);
}
