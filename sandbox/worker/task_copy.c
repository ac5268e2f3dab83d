/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: both ways are one. A path is resolved once, into a directory and a name in it; from there on
 * base/tree.h follows no symbolic link. Inside, symbolic links on the way to that directory are the payload's, and lead
 * where they would lead the payload: never out of the world's mounts, and this process may do no more there than the
 * payload. The one thing that differs is /proc, where "self" is this process: it is refused, else a link that a payload
 * set would have its user copy a process of sbx's own (its environment, say) into what becomes a CI artifact. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/descent.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/tree.h"
#include "overlay/copy.h"
#include "overlay/database.h"
#include "sandbox/worker/task_parts.h"

#define STEP_COPY "copy"

/* What is copied: `name` in the directory `fd`, called `base` at its new place; or what is in the directory `fd`. */
struct copy_source {
	int fd;
	char *name; /* "." for the directory itself */
	char *base;
	bool is_contents;
};

/* Where to: as `name` in the directory `fd`; or into the directory `fd`. */
struct copy_target {
	int fd;
	char *name; /* NULL: into it */
};

static void copy_source_release(struct copy_source *source)
{
	fd_close(&source->fd);
	text_free(&source->name);
	text_free(&source->base);
}
#define owned_copy_source __attribute__((cleanup(copy_source_release))) struct copy_source

static void copy_target_release(struct copy_target *target)
{
	fd_close(&target->fd);
	text_free(&target->name);
}
#define owned_copy_target __attribute__((cleanup(copy_target_release))) struct copy_target

/* ---- paths as they are written ---- */

/* "dir/." and ".": what is in it. */
static bool names_contents(const char *path)
{
	return text_equal(path, ".") || text_ends_with(path, "/.");
}

/* "dir/": a directory, even where a symbolic link is. */
static bool names_directory(const char *path)
{
	return text_ends_with(path, "/") || names_contents(path);
}

/* A path on the host's side is one component: what lies behind its directory is none of the world's business. */
static int read_host_name(const char *path, char **ret_name, struct error *error)
{
	size_t length = strlen(path);
	owned_text name = NULL;

	if (names_contents(path) && length > 1)
		length--;
	while (length > 1 && path[length - 1] == '/')
		length--;
	name = strndup(path, length);
	if (!name)
		return error_set(error, .number = ENOMEM, .step = STEP_COPY, .object = path);
	if (!text_equal(name, ".") && !tree_is_entry_name(name))
		return error_set(error, .number = EINVAL, .step = STEP_COPY, .object = path,
				 .cause = "it is no name in the directory on the host");
	*ret_name = name;
	name = NULL;
	return 0;
}

/* ---- inside ---- */

static bool is_proc(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
}

/* Opens a directory inside, symbolic links followed. */
static int open_inside(const char *path, const char *shown, int *ret_fd, struct error *error)
{
	owned_fd fd = path_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);

	if (fd < 0)
		return error_set(error, .number = -fd, .step = STEP_COPY, .object = shown);
	if (is_proc(fd))
		return error_set(error, .number = EACCES, .step = STEP_COPY, .object = shown,
				 .cause =
					 "it leads into /proc, which shows sbx itself here, not the worker's processes",
				 .remedy = "look at it with: sbx exec WORKER cat FILE");
	*ret_fd = fd_take(&fd);
	return 0;
}

static int find_inside_source(const struct world *world, const char *inside, struct copy_source *ret_source,
			      struct error *error)
{
	owned_text path = path_normal(world->plan->tree, inside);
	owned_text parent = path_parent(path);
	struct stat status;
	int result;

	ret_source->is_contents = names_contents(inside) || text_equal(path, "/");
	ret_source->base = text_duplicate(path_name(path));
	if (ret_source->is_contents || names_directory(inside)) {
		ret_source->name = text_duplicate(".");
		return open_inside(path, inside, &ret_source->fd, error);
	}
	ret_source->name = text_duplicate(ret_source->base);
	result = open_inside(parent, inside, &ret_source->fd, error);
	if (result < 0)
		return result;
	if (fstatat(ret_source->fd, ret_source->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(error, .number = errno, .step = STEP_COPY, .object = inside);
	if (S_ISDIR(status.st_mode)) {
		owned_fd fd = -1; /* only to see where it leads */

		return open_inside(path, inside, &fd, error);
	}
	return 0;
}

static int find_inside_target(const struct world *world, const char *inside, struct copy_target *ret_target,
			      struct error *error)
{
	owned_text path = path_normal(world->plan->tree, inside);
	owned_text parent = path_parent(path);
	struct error own_error = { 0 };
	int result = open_inside(path, inside, &ret_target->fd, &own_error);

	if (result == 0)
		return 0;
	if ((result != -ENOENT && result != -ENOTDIR) || names_directory(inside)) {
		*error = own_error;
		return result;
	}
	ret_target->name = text_duplicate(path_name(path));
	return open_inside(parent, inside, &ret_target->fd, error);
}

/* ---- on the host ---- */

static int find_host_source(int host_fd, const char *path, struct copy_source *ret_source, struct error *error)
{
	struct stat status;
	int result = read_host_name(path, &ret_source->base, error);

	if (result < 0)
		return result;
	ret_source->is_contents = names_contents(path);
	ret_source->name = text_duplicate(ret_source->is_contents ? "." : ret_source->base);
	ret_source->fd = ret_source->is_contents
				 ? path_open(host_fd, ret_source->base, O_PATH | O_DIRECTORY, 0, PATH_BENEATH)
				 : fd_duplicate(host_fd);
	if (ret_source->fd < 0)
		return error_set(error, .number = -ret_source->fd, .step = STEP_COPY, .object = path);
	if (fstatat(ret_source->fd, ret_source->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(error, .number = errno, .step = STEP_COPY, .object = path);
	return 0;
}

static int find_host_target(int host_fd, const char *path, struct copy_target *ret_target, struct error *error)
{
	owned_text name = NULL;
	int result = read_host_name(path, &name, error);

	if (result < 0)
		return result;
	ret_target->fd = path_open(host_fd, name, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	if (ret_target->fd >= 0)
		return 0;
	if (names_directory(path))
		return error_set(error, .number = -ret_target->fd, .step = STEP_COPY, .object = path);
	ret_target->name = name;
	name = NULL;
	ret_target->fd = fd_duplicate(host_fd);
	if (ret_target->fd < 0)
		return error_set(error, .number = -ret_target->fd, .step = STEP_COPY, .object = path);
	return 0;
}

/* ---- the copy ---- */

/* Leaves /proc out, wherever in a copied directory it is mounted. */
static int filter_entry(void *data, const struct tree_entry *entry, struct error *error)
{
	const dev_t *root_device = data;
	owned_fd fd = -1;

	(void)error;
	if (!S_ISDIR(entry->status->st_mode) || entry->status->st_dev == *root_device)
		return TREE_TAKE;
	fd = openat(entry->parent_fd, entry->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && is_proc(fd) ? TREE_SKIP : TREE_TAKE;
}

static int copy_one(const struct copy_source *source, const char *name, const struct copy_target *target,
		    const char *as, struct error *error)
{
	struct stat root = { 0 };
	struct tree_copy_options options = {
		.cross_mounts = true,
		.skip_devices = true,
		.filter = filter_entry,
		/* Neither way: as a layer or a lower directory later, a copy must hold no command to overlayfs. */
		.attribute_filter = layer_plain_attribute,
		.filter_data = &root.st_dev,
	};

	if (fstat(source->fd, &root) < 0)
		return error_set(error, .number = errno, .step = STEP_COPY, .object = name);
	return tree_copy(&options, source->fd, name, target->fd, as, NULL, error);
}

/* Entry by entry, since a copy of the directory itself would give the target's its own permission bits. */
static int copy_contents(const struct copy_source *source, const struct copy_target *target, struct error *error)
{
	owned_descent way = { 0 };
	int result = descent_start(&way, source->fd, 0);

	while (result >= 0) {
		const char *next;
		owned_text name = NULL;

		result = descent_next(&way, &next);
		if (result == 0)
			return 0;
		if (result < 0)
			break;
		name = text_duplicate(next);
		result = copy_one(source, name, target, name, error);
		if (result < 0)
			return result;
	}
	return error_set(error, .number = -result, .step = STEP_COPY, .object = source->base);
}

/* Whether a regular file begins as an SQLite database does. No connection is open in this process yet, whose locks the
 * closing of the descriptor would end (base/sqlite.h). */
static bool is_database(const struct copy_source *source)
{
	static const char magic[16] = "SQLite format 3";
	owned_fd fd = -1;
	char head[sizeof(magic)];
	struct stat status;

	if (source->is_contents || fstatat(source->fd, source->name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(status.st_mode))
		return false;
	fd = openat(source->fd, source->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && fd_read_all(fd, head, sizeof(head)) == (ssize_t)sizeof(head) &&
	       memcmp(head, magic, sizeof(magic)) == 0;
}

/* A database by itself is taken as of one instant, with what its WAL holds: a plain copy of one in use is torn
 * (finding 13). Made under a name of its own, since what is at the target keeps its place until the copy is whole. */
static int copy_database(const char *path, const struct copy_target *target, const char *name, struct error *error)
{
	owned_text new_name = text_format(".sbx-%d-copy", (int)getpid());
	struct database_snapshot_request request = { .source = path, .target_fd = target->fd, .target_name = new_name };
	struct database_report report;
	struct stat status;
	int result;

	if (fstatat(target->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode))
		return error_set(error, .number = EISDIR, .step = STEP_COPY, .object = name,
				 .cause = "at its place in the target is a directory");
	result = database_snapshot(&request, &report, error);
	if (result < 0)
		return result;
	if (renameat(target->fd, new_name, target->fd, name) < 0) {
		result = error_set(error, .number = errno, .step = STEP_COPY, .object = name);
		(void)unlinkat(target->fd, new_name, 0);
	}
	return result;
}

static int copy(const struct copy_source *source, const struct copy_target *target, struct error *error)
{
	if (target->name)
		return copy_one(source, source->name, target, target->name, error);
	if (source->is_contents)
		return copy_contents(source, target, error);
	return copy_one(source, source->name, target, source->base, error);
}

int task_copy_out(const struct world *world, int host_fd, const char *inside, const char *host_name,
		  struct error *error)
{
	owned_copy_source source = { .fd = -1 };
	owned_copy_target target = { .fd = -1 };
	int result = find_inside_source(world, inside, &source, error);

	if (result == 0)
		result = find_host_target(host_fd, host_name, &target, error);
	if (result < 0)
		return result;
	if (is_database(&source)) {
		owned_text path = path_normal(world->plan->tree, inside);

		result = copy_database(path, &target, target.name ? target.name : source.base, error);
		/* Damaged, or none after all: whoever asks for it wants to see it as it is. */
		if (result != -EUCLEAN && result != -EBADMSG)
			return result;
	}
	return copy(&source, &target, error);
}

int task_copy_in(const struct world *world, int host_fd, const char *host_name, const char *inside, struct error *error)
{
	owned_copy_source source = { .fd = -1 };
	owned_copy_target target = { .fd = -1 };
	int result = find_host_source(host_fd, host_name, &source, error);

	if (result == 0)
		result = find_inside_target(world, inside, &target, error);
	if (result == 0)
		result = copy(&source, &target, error);
	if (result == -EROFS)
		return error_set(error, .number = EROFS, .step = STEP_COPY, .object = inside,
				 .cause = "the host's root is read-only in a worker",
				 .remedy = "copy to a place below the tree, HOME, /tmp or /run");
	return result;
}
