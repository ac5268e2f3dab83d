/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/artifacts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/tree.h"
#include "sandbox/run/changes.h"
#include "sandbox/worker/annex.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/repository.h"

#define V8_COVERAGE "NODE_V8_COVERAGE="

enum {
	FDS_PER_MESSAGE = 16,
	PATH_SHOWN_SIZE = 1024,
};

/* ---- which ---- */

/* Where coverage tools and shards write unless told otherwise, below the tree. */
static const char *const usual_names[] = { "coverage", ".nyc_output", "blob-report" };

static bool is_listed(const struct text_list *paths, const char *path)
{
	for (size_t i = 0; i < paths->count; i++)
		if (path_is_below(path, paths->items[i]))
			return true;
	return false;
}

static bool has_component(const char *path, const char *name)
{
	owned_text copy = text_duplicate(path);
	char *rest = copy;

	for (char *component = strsep(&rest, "/"); component; component = strsep(&rest, "/"))
		if (text_equal(component, name))
			return true;
	return false;
}

/* The repository that the tree lies in, or the tree. @return the caller's */
static char *find_root(const struct member *runner)
{
	char *root = repository_find(runner->plan.tree, runner->plan.home);

	return root ? root : text_duplicate(runner->plan.tree);
}

/* Worlds do not see what is there: what they have in its place would take the place of the host's. */
static bool has_hidden(const struct member *runner, const char *path)
{
	const struct text_list *hidden = &runner->plan.hidden;

	for (size_t i = 0; i < hidden->count; i++)
		if (path_is_below(path, hidden->items[i]) || path_is_below(hidden->items[i], path))
			return true;
	return false;
}

/* The tree itself as a place of artifacts would make the worlds one. */
static bool is_granted(const struct member *runner, const char *root, const char *path)
{
	return path_is_below(path, root) && !path_is_below(runner->plan.tree, path) && !has_component(path, ".git") &&
	       !has_hidden(runner, path);
}

static void add_path(struct text_list *paths, const char *path)
{
	if (!is_listed(paths, path))
		text_list_add(paths, path);
}

/* The runner's word. What cannot be an artifact at all is passed over: the tree, HOME, what they lie in, a repository's
 * own files. */
static void add_told(const struct member *runner, const char *told, struct text_list *granted,
		     struct text_list *outside)
{
	owned_text root = find_root(runner);
	owned_text place = path_normal("/", told);
	const char *home = runner->plan.home;

	if (is_granted(runner, root, place))
		add_path(granted, place);
	else if (!path_is_below(runner->plan.tree, place) && !(home && path_is_below(home, place)) &&
		 !has_component(place, ".git"))
		add_path(outside, place);
}

static bool is_file(const char *path, const char *written)
{
	const char *suffix = strrchr(path_name(path), '.');
	struct stat status;

	if (stat(path, &status) == 0)
		return !S_ISDIR(status.st_mode);
	return !text_ends_with(written, "/") && suffix && suffix != path_name(path);
}

static void add_named(const struct member *runner, const struct project *project, struct artifacts *artifacts)
{
	for (size_t i = 0; i < project->artifacts.count; i++) {
		const char *written = project->artifacts.items[i];
		owned_text path = path_normal(project->directory ? project->directory : runner->plan.tree, written);

		if (!is_granted(runner, runner->plan.tree, path) &&
		    !(runner->plan.home && is_granted(runner, runner->plan.home, path))) {
			add_path(&artifacts->outside_files, path);
			continue;
		}
		if (!is_file(path, written)) {
			add_path(&artifacts->directories, path);
			continue;
		}
		add_path(&artifacts->files, path);
		add_path(&artifacts->named_files, path);
	}
}

static void add_usual(const struct member *runner, struct artifacts *artifacts, const char *name)
{
	owned_text path = path_join(runner->plan.tree, name);

	if (!is_listed(&artifacts->directories, path))
		add_path(&artifacts->usual, path);
}

static int is_coverage(const struct dirent *entry)
{
	return text_starts_with(entry->d_name, "coverage") && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN);
}

static void add_coverage(const struct member *runner, struct artifacts *artifacts)
{
	struct dirent **found = NULL;
	int count = scandir(runner->plan.tree, &found, is_coverage, alphasort);

	for (int i = 0; i < count; i++) {
		owned_text path = path_join(runner->plan.tree, found[i]->d_name);
		struct stat status;

		if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
			add_usual(runner, artifacts, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	for (size_t i = 0; i < runner->plan.environment.count; i++) {
		const char *value = runner->plan.environment.items[i];

		if (text_starts_with(value, V8_COVERAGE)) {
			owned_text path = path_normal(runner->plan.workdir, value + strlen(V8_COVERAGE));

			add_told(runner, path, &artifacts->directories, &artifacts->outside);
		}
	}
}

void artifacts_list(const struct member *runner, const struct events *events, const struct project *project,
		    struct artifacts *ret_artifacts)
{
	*ret_artifacts = (struct artifacts){ 0 };
	/* First: what is named there is granted, whoever tells it, too. */
	add_named(runner, project, ret_artifacts);
	for (size_t i = 0; i < events->artifact_directories.count; i++)
		if (!is_listed(&ret_artifacts->directories, events->artifact_directories.items[i]))
			add_told(runner, events->artifact_directories.items[i], &ret_artifacts->directories,
				 &ret_artifacts->outside);
	add_coverage(runner, ret_artifacts);
	for (size_t i = 0; i < ARRAY_SIZE(usual_names); i++)
		add_usual(runner, ret_artifacts, usual_names[i]);
	for (size_t i = 0; i < events->artifact_files.count; i++)
		if (!artifacts_have(ret_artifacts, events->artifact_files.items[i]))
			add_told(runner, events->artifact_files.items[i], &ret_artifacts->files,
				 &ret_artifacts->outside_files);
}

void artifacts_release(struct artifacts *artifacts)
{
	text_list_release(&artifacts->directories);
	text_list_release(&artifacts->usual);
	text_list_release(&artifacts->files);
	text_list_release(&artifacts->named_files);
	text_list_release(&artifacts->outside);
	text_list_release(&artifacts->outside_files);
}

bool artifacts_have(const struct artifacts *artifacts, const char *path)
{
	return is_listed(&artifacts->directories, path) || is_listed(&artifacts->usual, path) ||
	       is_listed(&artifacts->files, path);
}

static void tell_outside(const struct member *runner, const struct text_list *paths, launch_say *say)
{
	for (size_t i = 0; i < paths->count; i++) {
		bool can_be_named = runner->plan.home && is_granted(runner, runner->plan.home, paths->items[i]);
		owned_text line = NULL;
		char shown[PATH_SHOWN_SIZE];

		text_escape(shown, sizeof(shown), paths->items[i]);
		if (can_be_named)
			line = text_format("dropped: %s, which lies outside of the repository. Keep: `artifacts: [%s]` "
					   "in sbx.yaml",
					   shown, shown);
		else if (has_hidden(runner, paths->items[i]))
			line = text_format("dropped: %s, where credentials or sbx's own state lie, which worlds do not "
					   "see. Let it be written into the tree",
					   shown);
		else
			line = text_format("dropped: %s, which lies neither in the tree nor in HOME. Let it be written "
					   "into the tree",
					   shown);
		say(line);
	}
}

void artifacts_tell_outside(const struct member *runner, const struct artifacts *artifacts, launch_say *say)
{
	tell_outside(runner, &artifacts->outside, say);
	tell_outside(runner, &artifacts->outside_files, say);
}

/* ---- grafts ---- */

static void list_shared(const struct artifacts *artifacts, struct text_list *shared)
{
	const struct text_list *const lists[] = { &artifacts->directories, &artifacts->usual, &artifacts->outside };

	text_list_add(shared, ANNEX_TEMPORARY);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t j = 0; j < lists[i]->count && shared->count < ANNEX_GRAFTS_MAX; j++)
			text_list_add(shared, lists[i]->items[j]);
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

int artifacts_take_grafts(const struct member *runner, const struct artifacts *artifacts, struct graft **ret_grafts,
			  size_t *ret_count, struct error *error)
{
	struct task task = { .kind = TASK_CLONE, .fd_count = 1 };
	owned_list shared = { 0 };
	owned_fd connection = -1;
	struct graft *grafts;
	size_t count = 0;
	int ends[2];
	int result = member_connect(runner, CONNECT_FREE, &connection, error);

	if (result < 0)
		return result;
	list_shared(artifacts, &shared);
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

static int enter_or_make(int *fd, const char *name)
{
	int next;

	if (mkdirat(*fd, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	next = path_open(*fd, name, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	if (next < 0)
		return next;
	fd_close(fd);
	*fd = next;
	return 0;
}

int artifacts_open_parent(const struct member *runner, const char *path, int *ret_fd, struct error *error)
{
	owned_text root = find_root(runner);
	const char *base = path_is_below(path, root) ? root : runner->plan.home;
	owned_text below = base && path_is_below(path, base) ? text_duplicate(path_below(path, base)) : NULL;
	owned_fd fd = below ? path_open(AT_FDCWD, base, O_RDONLY | O_DIRECTORY, 0, PATH_FOLLOW) : -EXDEV;
	int result = fd < 0 ? fd : 0;
	char *rest = below;

	if (has_hidden(runner, path))
		return error_set(error, .number = EACCES, .step = "copy the artifacts to", .object = path,
				 .cause = "there lie credentials or sbx's own state, which worlds do not see");
	while (result == 0 && strchr(rest, '/'))
		result = enter_or_make(&fd, strsep(&rest, "/"));
	if (result < 0)
		return error_set(error, .number = -result, .step = "copy the artifacts to", .object = path,
				 .cause = result == -ELOOP || result == -ENOTDIR
						  ? "on the way to it lies a symbolic link, or a file"
						  : NULL);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int copy_out(const struct member *runner, int parent_fd, const char *path, const char *name, struct error *error)
{
	struct task task = { .kind = TASK_COPY_OUT, .fds = { parent_fd }, .fd_count = 1 };
	owned_fd connection = -1;
	int result = member_connect(runner, CONNECT_FREE, &connection, error);

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
	owned_text draft = text_format(".%s.sbx-%d", path_name(path), (int)getpid());
	owned_fd parent_fd = -1;
	int result = artifacts_open_parent(runner, path, &parent_fd, error);

	if (result < 0)
		return result;
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

static void note_file(void *argument, const struct change *change)
{
	bool *has_file = argument;

	*has_file = *has_file || change->is_file;
}

/* Whether R wrote a file there; directories are made for the worlds to share. */
static bool has_changed(const struct member *runner, const char *path)
{
	struct error error = { 0 };
	bool has_file = false;

	/* What cannot be told, since it is too much or cannot be read, is a change. */
	return changes_read(runner, path, note_file, &has_file, &error) < 0 || has_file;
}

static int replace_all(const struct member *runner, const struct text_list *paths, bool changed_only,
		       struct error *error)
{
	int first = 0;

	for (size_t i = 0; i < paths->count; i++) {
		struct error own = { 0 };
		int result;

		if (changed_only && !has_changed(runner, paths->items[i]))
			continue;
		result = replace_one(runner, paths->items[i], &own);
		if (result < 0 && first == 0) {
			first = result;
			*error = own;
		}
	}
	return first;
}

int artifacts_copy_out(const struct member *runner, const struct artifacts *artifacts, struct error *error)
{
	struct error others = { 0 };
	int result = replace_all(runner, &artifacts->directories, false, error);
	int usual = replace_all(runner, &artifacts->usual, true, result < 0 ? &others : error);
	int files;

	result = result < 0 ? result : usual;
	files = replace_all(runner, &artifacts->files, false, result < 0 ? &others : error);
	return result < 0 ? result : files;
}
