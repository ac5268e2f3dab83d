/* SPDX-License-Identifier: Apache-2.0 */
/* sbx cp: files out of a worker, or into it, as `docker cp` does it.
 *
 * The host's side is looked up here and handed over as a directory's descriptor and a name in it; the worker's side is
 * looked up inside, where its own links and mounts count. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/visit.h"

struct place {
	char *worker; /* NULL: the host */
	const char *path;
};

static void place_release(struct place *place)
{
	text_free(&place->worker);
}
#define owned_place __attribute__((cleanup(place_release))) struct place

static int fail(const char *operand, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = "copy", .object = operand, .cause = cause, .remedy = remedy);
}

/* "WORKER:PATH", or a path of the host. A worker's name begins with a letter or digit. */
static int parse_place(const char *operand, struct place *ret_place, struct error *error)
{
	const char *colon = operand[0] == '/' || operand[0] == '.' ? NULL : strchr(operand, ':');

	if (text_equal(operand, "-"))
		return fail(operand, "tar streams are not made",
			    "use tar inside: sbx exec WORKER tar -c PATH > FILE; a file of that name is written ./-",
			    error);
	ret_place->path = colon ? colon + 1 : operand;
	if (ret_place->path[0] == '\0' || colon == operand)
		return fail(operand, colon == operand ? "the worker before the colon is missing" : "the path is empty",
			    "write [WORKER:]PATH; a path of the host that has a colon begins with / or ./", error);
	if (colon)
		ret_place->worker = text_format("%.*s", (int)(colon - operand), operand);
	return 0;
}

static int fail_host(const char *step, const char *path, int number, struct error *error)
{
	return error_set(error, .number = number, .step = step, .object = path);
}

/* Opens a directory. @return 0 or -errno */
static int open_directory(const char *path, int *ret_fd)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* Opens the directory in which a path names something; not for those that end in "/", "." or "..". */
static int open_parent(const char *path, int *ret_fd, char **ret_name)
{
	owned_text parent = strchr(path, '/') ? path_parent(path) : text_duplicate(".");
	int result = open_directory(parent, ret_fd);

	if (result == 0)
		*ret_name = text_duplicate(path_name(path));
	return result;
}

/* DST of the host: into it where it is a directory, else as that name. A link to a file is written through, as by
 * cp(1). */
static int open_target(const char *path, int *ret_fd, char **ret_name, struct error *error)
{
	owned_text real = NULL;
	int result = open_directory(path, ret_fd);

	if (result == 0) {
		*ret_name = text_duplicate(".");
		return 0;
	}
	if (result == -ENOTDIR && path_canonical(path, &real) == 0)
		result = open_parent(real, ret_fd, ret_name);
	else if (result == -ENOENT && !text_ends_with(path, "/") && !text_ends_with(path, "/."))
		result = open_parent(path, ret_fd, ret_name);
	return result < 0 ? fail_host("copy to", path, -result, error) : 0;
}

/* SRC of the host. "DIR/." is what is in DIR; "DIR/" is DIR even where it is a link. */
static int open_source(const char *path, int *ret_fd, char **ret_name, struct error *error)
{
	const char *name = path_name(path);
	bool is_contents = text_equal(name, ".");
	owned_text real = NULL;
	struct stat status;
	int result = 0;

	if (!is_contents && (name[0] == '\0' || text_equal(name, "..")))
		result = path_canonical(path, &real);
	if (real && text_equal(real, "/"))
		is_contents = true;
	if (result == 0 && is_contents)
		result = open_directory(path, ret_fd);
	else if (result == 0)
		result = open_parent(real ? real : path, ret_fd, ret_name);
	if (result == 0 && is_contents)
		*ret_name = text_duplicate(".");
	if (result == 0 && fstatat(*ret_fd, *ret_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		result = -errno;
	return result < 0 ? fail_host("copy", path, -result, error) : 0;
}

int verb_cp(struct invocation *invocation, struct error *error)
{
	const char *const *operands = (const char *const *)invocation->operands.items;
	owned_place source = { 0 };
	owned_place target = { 0 };
	owned_visit visit = NULL;
	owned_fd directory_fd = -1;
	owned_text name = NULL;
	struct task task = { .fd_count = 1 };
	int result = parse_place(operands[0], &source, error);

	if (result == 0)
		result = parse_place(operands[1], &target, error);
	if (result < 0)
		return result;
	if (source.worker && target.worker)
		return fail(operands[1], "both places are a worker's", "copy to the host first, and from there", error);
	if (!source.worker && !target.worker)
		return fail(operands[1], "none of the two places is a worker's",
			    "write WORKER:PATH for one of them, or use cp(1)", error);
	result = source.worker ? open_target(target.path, &directory_fd, &name, error)
			       : open_source(source.path, &directory_fd, &name, error);
	if (result == 0)
		result = visit_open(source.worker ? source.worker : target.worker, RESOLVE_LIVE | RESOLVE_KEPT, &visit,
				    error);
	if (result < 0)
		return result;
	task.kind = source.worker ? TASK_COPY_OUT : TASK_COPY_IN;
	task.fds[0] = directory_fd;
	text_list_add(&task.arguments, source.worker ? source.path : name);
	text_list_add(&task.arguments, source.worker ? name : target.path);
	result = visit_run_task(visit, &task, error);
	text_list_release(&task.arguments);
	/* The worker knows the place only by its descriptor, and names what it reads. */
	if (source.worker && result == -EACCES && faccessat(directory_fd, ".", W_OK, AT_EACCESS) < 0)
		return fail_host("copy to", target.path, EACCES, error);
	return result;
}
