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
#include "sandbox/registry/claim.h"
#include "sandbox/registry/collect.h"
#include "sandbox/registry/place.h"
#include "sandbox/registry/state.h"
#include "sandbox/run/runs.h"
#include "sandbox/worker/identity.h"

static int make_directory(struct run_directory *directory, const char *state, struct error *error)
{
	owned_fd runs_fd = -1;
	owned_text runs = path_join(state, state_part_name(STATE_RUNS));
	int result = state_open_part(directory->state_fd, STATE_RUNS, STATE_MAKE, &runs_fd, error);

	if (result >= 0)
		result = claim_make(runs_fd, directory->id, &directory->fd, error);
	if (result < 0)
		return result;
	directory->path = path_join(runs, directory->id);
	directory->events_fd =
		openat(directory->fd, RUN_DIRECTORY_EVENTS, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (directory->events_fd < 0)
		return error_set(error, .number = errno, .step = "write the events of the run",
				 .object = directory->path);
	return 0;
}

static int make_place(struct run_directory *directory, struct error *error)
{
	owned_fd uppers_fd = -1;
	int result = state_open_part(directory->state_fd, STATE_UPPERS, STATE_MAKE, &uppers_fd, error);

	if (result >= 0)
		result = claim_make(uppers_fd, directory->id, &directory->claim_fd, error);
	return result < 0 ? result : place_make(directory->claim_fd, &directory->seeds, error);
}

int run_directory_open(struct run_directory *ret_directory, struct error *error)
{
	struct run_directory *directory = ret_directory;
	struct state_paths paths;
	int result = identity_find_places(&paths, error);

	if (result < 0)
		return result;
	(void)id_make(directory->id);
	result = state_open(&paths, STATE_MAKE, &directory->state_fd, error);
	if (result >= 0)
		result = make_directory(directory, paths.state, error);
	if (result >= 0)
		result = make_place(directory, error);
	/* What killed ones left, seeds above all. A failure is the next one's. */
	(void)collect_dead(&paths, COLLECT_REMOVE, NULL, NULL);
	if (result >= 0)
		runs_prune_old(directory->state_fd);
	state_paths_release(&paths);
	return result < 0 ? result : 0;
}

void run_directory_remove_seeds(struct run_directory *directory)
{
	owned_text path = text_format("%s/%s", state_part_name(STATE_UPPERS), directory->id);

	/* What cannot be removed is collected. */
	if (directory->claim_fd >= 0 && place_remove(directory->claim_fd, NULL) == 0)
		(void)claim_remove(directory->state_fd, path, directory->claim_fd, NULL);
	fd_close(&directory->claim_fd);
}

void run_directory_close(struct run_directory *directory)
{
	run_directory_remove_seeds(directory);
	fd_close(&directory->state_fd);
	fd_close(&directory->events_fd);
	fd_close(&directory->fd);
	text_free(&directory->path);
	text_free(&directory->seeds);
}

int run_directory_make_seed(const struct run_directory *directory, unsigned number, char **ret_path, int *ret_fd,
			    struct error *error)
{
	owned_text path = text_format("%s/seed-%u", directory->seeds, number);
	int fd;

	if (mkdir(path, 0700) < 0)
		return error_set(error, .number = errno, .step = "make a directory for the seed", .object = path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, .number = errno, .step = "open the directory of the seed", .object = path);
	*ret_fd = fd;
	*ret_path = path;
	path = NULL;
	return 0;
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

void run_directory_forget(struct run_directory *directory)
{
	if (directory->fd >= 0)
		(void)unlinkat(directory->fd, RUN_DIRECTORY_EVENTS, 0);
}

void run_directory_log_event(struct run_directory *directory, const char *line, size_t size)
{
	owned_buffer text = { 0 };

	/* A report that lacks something is no reason to end a run. */
	text_buffer_add(&text, line, size);
	text_buffer_add(&text, "\n", 1);
	(void)fd_write_all(directory->events_fd, text.bytes, text.length);
}
