/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/text.h"

static const char *const part_names[STATE_PARTS] = {
	[STATE_RUN] = "run",	 [STATE_UPPERS] = "uppers", [STATE_KEPT] = "kept",   [STATE_RUNS] = "runs",
	[STATE_TIMES] = "times", [STATE_SEEDS] = "seeds",   [STATE_TRASH] = "trash",
};

static const char *absolute(const char *variable)
{
	const char *path = getenv(variable);

	return path && path[0] == '/' ? path : NULL;
}

static void add_place(struct state_paths *paths, enum state_place_kind kind, char *path)
{
	paths->runtime[paths->runtime_count++] = (struct state_place){ .kind = kind, .path = path };
}

void state_paths_find(const char *home, struct state_paths *ret_paths)
{
	const char *runtime = absolute("XDG_RUNTIME_DIR");
	const char *state = absolute("XDG_STATE_HOME");
	struct state_paths paths = { 0 };

	if (state)
		paths.state = path_join(state, "sbx");
	else if (home && home[0] == '/')
		paths.state = path_join(home, ".local/state/sbx");

	if (runtime)
		add_place(&paths, STATE_PLACE_GIVEN, path_join(runtime, "sbx"));
	if (paths.state)
		add_place(&paths, STATE_PLACE_STATE, path_join(paths.state, part_names[STATE_RUN]));
	if (!runtime)
		add_place(&paths, STATE_PLACE_GUESSED, text_format("/run/user/%u/sbx", geteuid()));
	*ret_paths = paths;
}

void state_paths_release(struct state_paths *paths)
{
	for (size_t i = 0; i < paths->runtime_count; i++)
		free(paths->runtime[i].path);
	free(paths->state);
	*paths = (struct state_paths){ 0 };
}

static int refuse(int number, const char *path, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = number, .step = "use the directory", .object = path, .cause = cause,
			 .remedy = remedy);
}

static int refuse_foreign(const char *path, struct error *error)
{
	return refuse(
		EPERM, path, "it belongs to another user",
		"set HOME, XDG_STATE_HOME and XDG_RUNTIME_DIR to directories of your own (sudo may keep the caller's)",
		error);
}

/* Opens what must be a directory of the caller's own. A missing one is a bare -ENOENT, the others fill `error`.
 * `shown` is the path for the error. */
static int open_own(int dirfd, const char *path, const char *shown, int *ret_fd, struct error *error)
{
	owned_fd fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0) {
		int number = errno;

		if (number == ENOENT)
			return -ENOENT;
		if ((number == ENOTDIR || number == ELOOP) && fstatat(dirfd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    !S_ISDIR(status.st_mode))
			return refuse(ENOTDIR, shown,
				      S_ISLNK(status.st_mode) ? "it is a symbolic link" : "it is not a directory",
				      "remove it: sbx makes the directory itself", error);
		return refuse(number, shown, NULL, NULL, error);
	}
	if (fstat(fd, &status) < 0)
		return refuse(errno, shown, NULL, NULL, error);
	if (status.st_uid != geteuid())
		return refuse_foreign(shown, error);
	/* Made by hand, restored from a backup, or by us under an odd umask. */
	if ((status.st_mode & 0777) != 0700 && fchmod(fd, 0700) < 0)
		return refuse(errno, shown, NULL, NULL, error);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* The nearest directory above `path` that exists. */
static char *existing_parent(const char *path)
{
	owned_text parent = path_parent(path);
	struct stat status;
	char *found;

	while (strcmp(parent, "/") != 0 && stat(parent, &status) < 0 && errno == ENOENT) {
		char *above = path_parent(parent);

		text_free(&parent);
		parent = above;
	}
	found = parent;
	parent = NULL;
	return found;
}

static int fail_to_make(int number, const char *path, struct error *error)
{
	bool is_read_only = number == EROFS || number == EACCES || number == EPERM;

	return error_set(error, .number = number, .step = "make the directory", .object = path,
			 .cause = is_read_only ? "its place cannot be written" : NULL,
			 .remedy = "set XDG_STATE_HOME to a directory that can be written");
}

/* Makes `path` and, where asked, what is missing above it. Only below a directory of the caller's own: root in a user's
 * home would leave directories there that shut the user out. */
static int make_own(const char *path, bool with_parents, struct error *error)
{
	owned_text parent = with_parents ? existing_parent(path) : path_parent(path);
	struct stat status;
	int result;

	if (stat(parent, &status) < 0)
		return refuse(errno, parent, NULL, NULL, error);
	if (status.st_uid != geteuid())
		return refuse_foreign(parent, error);
	if (faccessat(AT_FDCWD, parent, W_OK, AT_EACCESS) < 0)
		return fail_to_make(errno, path, error);
	/* 0700 for all of them, as the XDG specification asks. */
	if (with_parents)
		result = path_make_directories(AT_FDCWD, path, 0700);
	else
		result = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
	return result < 0 ? fail_to_make(-result, path, error) : 0;
}

/* Opens `path`, made where it is missing if `kind` allows it. */
static int open_path(const char *path, enum state_place_kind kind, enum state_missing missing, int *ret_fd,
		     struct error *error)
{
	int result = open_own(AT_FDCWD, path, path, ret_fd, error);

	if (result == -ENOENT && missing == STATE_MAKE && kind != STATE_PLACE_GUESSED) {
		result = make_own(path, kind == STATE_PLACE_STATE, error);
		if (result < 0)
			return result;
		result = open_own(AT_FDCWD, path, path, ret_fd, error);
	}
	return result == -ENOENT ? refuse(ENOENT, path, NULL, NULL, error) : result;
}

/* The one in the state directory is reached through that, so that a symlink in its place is refused for this, too. */
static int open_place(const struct state_paths *paths, const struct state_place *place, enum state_missing missing,
		      int *ret_fd, struct error *error)
{
	owned_fd state_fd = -1;
	int result;

	if (place->kind != STATE_PLACE_STATE)
		return open_path(place->path, place->kind, missing, ret_fd, error);
	result = open_path(paths->state, place->kind, missing, &state_fd, error);
	return result < 0 ? result : state_open_part(state_fd, STATE_RUN, missing, ret_fd, error);
}

int state_open_runtime(const struct state_paths *paths, enum state_missing missing, int *ret_fd, struct error *error)
{
	int result = -ENOENT;

	for (size_t i = 0; i < paths->runtime_count; i++) {
		const struct state_place *place = &paths->runtime[i];

		/* Made elsewhere, it would not be looked for by every later command. */
		if (missing == STATE_MAKE && place->kind == STATE_PLACE_GUESSED)
			continue;
		result = open_place(paths, place, missing, ret_fd, error);
		if (result == 0)
			return (int)i;
	}
	if (result == -ENOENT)
		(void)error_set(error, .number = ENOENT, .step = "find a place for lock files",
				.cause = "neither XDG_RUNTIME_DIR nor a home directory can be used",
				.remedy = "set HOME or XDG_STATE_HOME");
	return result;
}

static bool is_open_already(const struct state_runtimes *runtimes, int fd)
{
	struct stat status;
	struct stat other;

	if (fstat(fd, &status) < 0)
		return false;
	for (size_t i = 0; i < runtimes->count; i++)
		if (fstat(runtimes->fds[i], &other) == 0 && other.st_dev == status.st_dev &&
		    other.st_ino == status.st_ino)
			return true;
	return false;
}

void state_open_runtimes(const struct state_paths *paths, struct state_runtimes *ret_runtimes)
{
	struct state_runtimes runtimes = { 0 };

	for (size_t i = 0; i < paths->runtime_count; i++) {
		owned_fd fd = -1;

		if (open_place(paths, &paths->runtime[i], STATE_LEAVE, &fd, NULL) == 0 &&
		    !is_open_already(&runtimes, fd))
			runtimes.fds[runtimes.count++] = fd_take(&fd);
	}
	*ret_runtimes = runtimes;
}

void state_runtimes_close(struct state_runtimes *runtimes)
{
	for (size_t i = 0; i < runtimes->count; i++)
		fd_close(&runtimes->fds[i]);
	runtimes->count = 0;
}

int state_open(const struct state_paths *paths, enum state_missing missing, int *ret_fd, struct error *error)
{
	if (!paths->state)
		return error_set(error, .number = ENOENT, .step = "find the state directory",
				 .cause = "there is no home directory", .remedy = "set HOME or XDG_STATE_HOME");
	return open_path(paths->state, STATE_PLACE_STATE, missing, ret_fd, error);
}

const char *state_part_name(enum state_part part)
{
	return part_names[part];
}

/* Errors below the state directory name the whole path; it is looked up only then. */
static int name_whole_path(int state_fd, int result, struct error *error)
{
	owned_text directory = NULL;
	owned_text path = NULL;

	if (!error || path_of_fd(state_fd, &directory) < 0)
		return result;
	path = path_join(directory, error->object);
	text_copy(error->object, sizeof(error->object), path);
	return result;
}

int state_open_part(int state_fd, enum state_part part, enum state_missing missing, int *ret_fd, struct error *error)
{
	const char *name = part_names[part];
	int result = open_own(state_fd, name, name, ret_fd, error);

	if (result == -ENOENT && missing == STATE_MAKE) {
		if (mkdirat(state_fd, name, 0700) < 0 && errno != EEXIST)
			return name_whole_path(state_fd, fail_to_make(errno, name, error), error);
		result = open_own(state_fd, name, name, ret_fd, error);
	}
	if (result == -ENOENT)
		result = refuse(ENOENT, name, NULL, NULL, error);
	return result < 0 ? name_whole_path(state_fd, result, error) : 0;
}
