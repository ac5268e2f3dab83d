/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/harvest.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/tree.h"
#include "sandbox/run/changes.h"
#include "sandbox/worker/ask.h"

#define STAGING	       "harvest"
#define RUNNER	       (HARVEST_WORLDS_MAX - 1)
#define NAME_CANDIDATE "candidate"

enum {
	FILE_NAME_SIZE = 24,
	LINES_MAX = 5,
	MERGED_FROM = 4, /* files of one directory that are told as that directory */
	COMPARED_SIZE = 64 << 10,
	SHOWN_SIZE = 1024,
};

/* ---- which files are snapshots ---- */

/* What a template of Playwright's leaves open is any text; what it names stands for itself. */
static void add_pattern(struct harvest *harvest, struct json_value project, const char *base, const char *template)
{
	owned_buffer pattern = { 0 };
	owned_text resolved = NULL;
	size_t literals = 0;

	for (const char *c = template; *c; c++) {
		const char *end = *c == '{' ? strchr(c, '}') : NULL;
		owned_text name = end ? strndup(c + 1, (size_t)(end - c) - 1) : NULL;
		owned_text value = NULL;

		if (name && (text_equal(name, "testDir") || text_equal(name, "snapshotDir")) &&
		    json_text(json_member(project, name), &value) == 0)
			text_buffer_add_text(&pattern, value);
		else if (name)
			text_buffer_add_text(&pattern, "*");
		else {
			literals += *c != '/';
			text_buffer_add(&pattern, c, 1);
		}
		c = end ? end : c;
	}
	/* One that names nothing would grant all there is. */
	if (literals == 0 || !pattern.bytes)
		return;
	resolved = path_normal(base, pattern.bytes);
	text_list_add(&harvest->patterns, resolved);
}

static void read_patterns(struct harvest *harvest, const struct events *events)
{
	owned_json json = { 0 };
	owned_text base = NULL;
	struct json_value projects;

	if (harvest->has_patterns || !events->config ||
	    json_read(&json, events->config, strlen(events->config), NULL) < 0 ||
	    json_text(json_member(json_root(&json), "configDir"), &base) < 0 || base[0] != '/')
		return;
	harvest->has_patterns = true;
	projects = json_member(json_root(&json), "projects");
	for (struct json_value project = json_first(projects); json_type(project) != JSON_MISSING;
	     project = json_next(project)) {
		owned_list templates = { 0 };

		(void)json_list(json_member(project, "snapshotPathTemplates"), &templates);
		for (size_t i = 0; i < templates.count; i++)
			add_pattern(harvest, project, base, templates.items[i]);
	}
}

/* Playwright's own place for them is a directory beside the test file, Jest's and Vitest's another. */
static bool has_snapshot_directory(const char *path)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		owned_text way = strndup(path, (size_t)(slash - path));

		if (text_ends_with(way, "-snapshots") || text_ends_with(way, "/__snapshots__"))
			return true;
	}
	return false;
}

static bool goes_to_host(const struct harvest *harvest, const struct artifacts *artifacts, const char *path)
{
	/* Hooks that the next commit would run; a file of that name leads to a repository with hooks. */
	if (strstr(path, "/.git/") || text_ends_with(path, "/.git"))
		return false;
	for (size_t i = 0; i < artifacts->named_files.count; i++)
		if (text_equal(path, artifacts->named_files.items[i]))
			return true;
	for (size_t i = 0; i < harvest->patterns.count; i++)
		if (fnmatch(harvest->patterns.items[i], path, 0) == 0)
			return true;
	return has_snapshot_directory(path);
}

/* ---- what is worth a word ---- */

static bool is_of_database(const char *name)
{
	static const char *const suffixes[] = { ".db", ".sqlite", ".sqlite3", ".db3" };
	static const char *const sidecars[] = { "", "-wal", "-shm", "-journal" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sidecars); j++) {
			owned_text end = text_format("%s%s", suffixes[i], sidecars[j]);

			if (text_ends_with(name, end))
				return true;
		}
	return false;
}

/* What is made anew by whoever needs it, below the tree. */
static bool is_cache(const char *below)
{
	static const char *const names[] = { "node_modules", ".git", ".cache", "__pycache__", "bin", "obj" };
	owned_text copy = text_duplicate(below);
	char *rest = copy;

	for (char *name = strsep(&rest, "/"); name; name = strsep(&rest, "/"))
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (text_equal(name, names[i]))
				return true;
	return false;
}

/* The first directory on the way that the host does not have; else the file itself. @ret_is_file which of both */
static char *find_missing(const char *tree, const char *path, bool *ret_is_file)
{
	for (const char *slash = strchr(path + strlen(tree) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		char *way = strndup(path, (size_t)(slash - path));
		struct stat status;

		*ret_is_file = false;
		if (!way)
			abort();
		if (lstat(way, &status) < 0)
			return way;
		free(way);
	}
	*ret_is_file = true;
	return text_duplicate(path);
}

static struct harvest_dropped *find_dropped(struct harvest *harvest, const char *path)
{
	for (size_t i = harvest->dropped_count; i-- > 0;)
		if (text_equal(harvest->dropped[i].path, path))
			return &harvest->dropped[i];
	return NULL;
}

static void add_dropped(struct harvest *harvest, const char *tree, const char *path, unsigned world)
{
	bool is_file = false;
	owned_text missing = find_missing(tree, path, &is_file);
	struct harvest_dropped *dropped = find_dropped(harvest, missing);

	if (!dropped) {
		if (harvest->dropped_count == HARVEST_DROPPED_MAX)
			return;
		harvest->dropped =
			reallocarray(harvest->dropped, harvest->dropped_count + 1, sizeof(*harvest->dropped));
		if (!harvest->dropped)
			abort();
		dropped = &harvest->dropped[harvest->dropped_count++];
		*dropped = (struct harvest_dropped){ .path = missing, .is_file = is_file };
		missing = NULL;
	}
	dropped->files++;
	dropped->worlds[world / 8] |= (unsigned char)(1u << (world % 8));
}

/* ---- files on their way ---- */

static void say(const struct harvest *harvest, const char *what, const struct error *error)
{
	char text[2 * sizeof(*error)];
	owned_text line = NULL;

	error_format(error, text, sizeof(text));
	line = text_format("%s: %s", what, text);
	harvest->say(line);
}

static void file_name(size_t number, char name[static FILE_NAME_SIZE])
{
	(void)snprintf(name, FILE_NAME_SIZE, "%zu", number);
}

static bool has_same_bytes(int first_parent, const char *first_name, int second_parent, const char *second_name)
{
	owned_fd first = openat(first_parent, first_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	owned_fd second = openat(second_parent, second_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *bytes = malloc(2 * (size_t)COMPARED_SIZE);
	ssize_t size;
	ssize_t other;
	bool is_same;

	if (!bytes)
		abort();
	do {
		size = first < 0 ? -1 : fd_read_all(first, bytes, COMPARED_SIZE);
		other = second < 0 ? -1 : fd_read_all(second, bytes + COMPARED_SIZE, COMPARED_SIZE);
		is_same = size >= 0 && size == other && memcmp(bytes, bytes + COMPARED_SIZE, (size_t)size) == 0;
	} while (is_same && size > 0);
	free(bytes);
	return is_same;
}

static struct harvest_file *find_file(struct harvest *harvest, const char *path)
{
	for (size_t i = 0; i < harvest->file_count; i++)
		if (text_equal(harvest->files[i].path, path))
			return &harvest->files[i];
	return NULL;
}

static int open_staging(struct harvest *harvest, struct error *error)
{
	owned_text path = run_directory_path(harvest->directory, STAGING);

	return harvest->staging_fd >= 0 ? 0 : run_directory_make(harvest->directory, path, &harvest->staging_fd, error);
}

static int copy_from_world(const struct harvest *harvest, int connection, const char *path, const char *name,
			   struct error *error)
{
	struct task task = { .kind = TASK_COPY_OUT, .fds = { harvest->staging_fd }, .fd_count = 1 };
	int result;

	text_list_add(&task.arguments, path);
	text_list_add(&task.arguments, name);
	result = ask_task(connection, &task, error);
	text_list_release(&task.arguments);
	return result;
}

/* Of what was listed as a file the world may have made something else since: a pipe would be waited for, and a
 * directory takes in what comes after it. @return 1: it is one, 0: it was not and is gone, or -errno */
static int take_from_world(const struct harvest *harvest, int connection, const char *path, const char *name,
			   struct error *error)
{
	struct stat status;
	int result = copy_from_world(harvest, connection, path, name, error);

	if (result < 0)
		return result;
	if (fstatat(harvest->staging_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
		return 1;
	return tree_remove(harvest->staging_fd, name, error);
}

/* A file that another world wrote, too: is it the same? */
static int compare_file(const struct harvest *harvest, int connection, struct harvest_file *file, unsigned world,
			struct error *error)
{
	char name[FILE_NAME_SIZE];
	int result = take_from_world(harvest, connection, file->path, NAME_CANDIDATE, error);

	if (result <= 0)
		return result;
	file_name((size_t)(file - harvest->files), name);
	if (!has_same_bytes(harvest->staging_fd, name, harvest->staging_fd, NAME_CANDIDATE)) {
		file->is_conflict = true;
		file->other = world;
	}
	(void)unlinkat(harvest->staging_fd, NAME_CANDIDATE, 0);
	return 0;
}

static int take_file(struct harvest *harvest, int connection, const char *path, unsigned world, struct error *error)
{
	struct harvest_file *file = find_file(harvest, path);
	char name[FILE_NAME_SIZE];
	int result = open_staging(harvest, error);

	if (result < 0)
		return result;
	if (file)
		return file->is_conflict ? 0 : compare_file(harvest, connection, file, world, error);
	if (harvest->file_count == HARVEST_FILES_MAX) {
		harvest->files_missed++;
		return 0;
	}
	file_name(harvest->file_count, name);
	result = take_from_world(harvest, connection, path, name, error);
	if (result <= 0)
		return result;
	harvest->files = reallocarray(harvest->files, harvest->file_count + 1, sizeof(*harvest->files));
	if (!harvest->files)
		abort();
	harvest->files[harvest->file_count++] = (struct harvest_file){ .path = text_duplicate(path), .world = world };
	return 0;
}

/* ---- one world ---- */

struct taking {
	struct harvest *harvest;
	const struct artifacts *artifacts;
	const char *tree;
	unsigned world;
	struct text_list files; /* for the host */
};

static void sort_change(void *argument, const struct change *change)
{
	struct taking *taking = argument;
	const char *below = path_below(change->path, taking->tree);

	if (!change->is_file || change->kind == 'D' || text_equal(change->path, taking->tree))
		return;
	/* A file of R's that sbx.yaml names is an artifact of R's. */
	if (goes_to_host(taking->harvest, taking->artifacts, change->path) &&
	    !(taking->world == RUNNER && artifacts_have(taking->artifacts, change->path)))
		text_list_add(&taking->files, change->path);
	else if (!artifacts_have(taking->artifacts, change->path) && !is_of_database(change->path) && !is_cache(below))
		add_dropped(taking->harvest, taking->tree, change->path, taking->world);
}

void harvest_take(struct harvest *harvest, const struct member *member, unsigned number,
		  const struct artifacts *artifacts, const struct events *events)
{
	struct taking taking = {
		.harvest = harvest, .artifacts = artifacts, .tree = member->plan.tree, .world = number
	};
	struct error error = { 0 };
	owned_fd connection = -1;
	int result;

	if (member->state != MEMBER_READY)
		return;
	read_patterns(harvest, events);
	result = changes_read(member, member->plan.tree, sort_change, &taking, &error);
	if (result == 0 && taking.files.count > 0)
		result = member_connect(member, CONNECT_FREE, &connection, &error);
	for (size_t i = 0; i < taking.files.count && result >= 0; i++)
		result = take_file(harvest, connection, taking.files.items[i], number, &error);
	if (result < 0)
		say(harvest, "what a world wrote is not known in full", &error);
	text_list_release(&taking.files);
}

/* ---- the end: files to the host ---- */

static void name_world(unsigned world, char name[static FILE_NAME_SIZE])
{
	if (world == RUNNER)
		text_copy(name, FILE_NAME_SIZE, "the runner");
	else
		(void)snprintf(name, FILE_NAME_SIZE, "w%u", world);
}

static void say_conflict(const struct harvest *harvest, const struct harvest_file *file, const char *shown)
{
	char first[FILE_NAME_SIZE];
	char second[FILE_NAME_SIZE];
	owned_text line = NULL;

	name_world(file->world, first);
	name_world(file->other, second);
	line = text_format(
		"conflict: %s: %s and %s wrote different bytes, so the host's is as it was; sbx test -n 1 writes "
		"one",
		shown, first, second);
	harvest->say(line);
}

/* @return 1 written, 0 it is there as it is, or -errno */
static int write_file(const struct harvest *harvest, const struct member *runner, size_t number, struct error *error)
{
	static const struct tree_copy_options options = { 0 };
	const char *path = harvest->files[number].path;
	char name[FILE_NAME_SIZE];
	owned_fd parent_fd = -1;
	int result = artifacts_open_parent(runner, path, &parent_fd, error);

	if (result < 0)
		return result;
	file_name(number, name);
	if (has_same_bytes(harvest->staging_fd, name, parent_fd, path_name(path)))
		return 0;
	result = tree_copy(&options, harvest->staging_fd, name, parent_fd, path_name(path), NULL, error);
	return result < 0 ? result : 1;
}

static void write_files(struct harvest *harvest, const struct member *runner)
{
	const char *tree = runner->plan.tree;
	unsigned written = 0;
	owned_buffer line = { 0 };
	char shown[SHOWN_SIZE];

	for (size_t i = 0; i < harvest->file_count; i++) {
		struct harvest_file *file = &harvest->files[i];
		struct error error = { 0 };
		int result;

		text_escape(shown, sizeof(shown), path_below(file->path, tree));
		if (file->is_conflict) {
			say_conflict(harvest, file, shown);
			continue;
		}
		result = write_file(harvest, runner, i, &error);
		if (result < 0)
			say(harvest, "a snapshot is not on the host", &error);
		if (result > 0 && written++ < LINES_MAX)
			text_buffer_format(&line, "%s%s", line.length ? ", " : "", shown);
	}
	if (written > LINES_MAX)
		text_buffer_format(&line, " and %u more", written - LINES_MAX);
	if (written > 0) {
		owned_text said = text_format("written by the tests, and now in the tree: %s", line.bytes);

		harvest->say(said);
	}
	if (harvest->files_missed > 0) {
		owned_text said =
			text_format("%u more that the tests wrote are not on the host: at most %d of a run are",
				    harvest->files_missed, HARVEST_FILES_MAX);

		harvest->say(said);
	}
}

/* ---- the end: what is dropped ---- */

static unsigned count_siblings(const struct harvest *harvest, const char *parent)
{
	unsigned count = 0;

	for (size_t i = 0; i < harvest->dropped_count; i++) {
		owned_text own = path_parent(harvest->dropped[i].path);

		count += harvest->dropped[i].is_file && text_equal(own, parent);
	}
	return count;
}

static void add_worlds(struct harvest_dropped *target, const struct harvest_dropped *source)
{
	target->files += source->files;
	for (size_t i = 0; i < sizeof(target->worlds); i++)
		target->worlds[i] |= source->worlds[i];
}

/* Many files of one directory are that directory, unless it is the tree. */
static void merge_siblings(struct harvest *harvest, const char *tree)
{
	size_t count = 0;

	for (size_t i = 0; i < harvest->dropped_count; i++) {
		struct harvest_dropped *dropped = &harvest->dropped[i];
		owned_text parent = path_parent(dropped->path);
		size_t same = 0;

		if (dropped->is_file && !text_equal(parent, tree) && count_siblings(harvest, parent) >= MERGED_FROM) {
			text_free(&dropped->path);
			dropped->path = parent;
			parent = NULL;
		}
		while (same < count && !text_equal(harvest->dropped[same].path, dropped->path))
			same++;
		if (same == count) {
			harvest->dropped[count++] = *dropped;
		} else {
			add_worlds(&harvest->dropped[same], dropped);
			text_free(&dropped->path);
		}
	}
	harvest->dropped_count = count;
}

static int compare_dropped(const void *a, const void *b)
{
	const struct harvest_dropped *first = a;
	const struct harvest_dropped *second = b;

	if (first->files != second->files)
		return first->files < second->files ? 1 : -1;
	return strcmp(first->path, second->path);
}

static void say_dropped(const struct harvest *harvest, const struct harvest_dropped *dropped, const char *tree)
{
	bool is_runners = dropped->worlds[RUNNER / 8] & (1u << (RUNNER % 8));
	unsigned worlds = 0;
	owned_buffer line = { 0 };
	char shown[SHOWN_SIZE];

	for (unsigned i = 0; i < RUNNER; i++)
		worlds += (dropped->worlds[i / 8] >> (i % 8)) & 1;
	text_escape(shown, sizeof(shown), path_below(dropped->path, tree));
	text_buffer_format(&line, "dropped: %s (%u file%s, ", shown, dropped->files, dropped->files == 1 ? "" : "s");
	if (worlds > 0)
		text_buffer_format(&line, "%u world%s%s", worlds, worlds == 1 ? "" : "s",
				   is_runners ? " and the runner" : "");
	else
		text_buffer_add_text(&line, "the runner");
	text_buffer_format(&line, "). Keep: `artifacts: [%s]` in sbx.yaml", shown);
	harvest->say(line.bytes);
}

static void tell_dropped(struct harvest *harvest, const char *tree)
{
	size_t told;

	if (harvest->dropped_count == 0)
		return;
	merge_siblings(harvest, tree);
	told = MIN(harvest->dropped_count, (size_t)LINES_MAX);
	qsort(harvest->dropped, harvest->dropped_count, sizeof(*harvest->dropped), compare_dropped);
	for (size_t i = 0; i < told; i++)
		say_dropped(harvest, &harvest->dropped[i], tree);
	if (harvest->dropped_count > told) {
		owned_text line = text_format("dropped: %zu more files and directories", harvest->dropped_count - told);

		harvest->say(line);
	}
}

void harvest_finish(struct harvest *harvest, const struct member *runner)
{
	write_files(harvest, runner);
	tell_dropped(harvest, runner->plan.tree);
}

void harvest_release(struct harvest *harvest)
{
	for (size_t i = 0; i < harvest->file_count; i++)
		text_free(&harvest->files[i].path);
	for (size_t i = 0; i < harvest->dropped_count; i++)
		text_free(&harvest->dropped[i].path);
	free(harvest->files);
	free(harvest->dropped);
	text_list_release(&harvest->patterns);
	if (harvest->staging_fd >= 0)
		(void)tree_remove(harvest->directory->fd, STAGING, NULL); /* what stays is pruned with the run */
	fd_close(&harvest->staging_fd);
	harvest->files = NULL;
	harvest->dropped = NULL;
	harvest->file_count = harvest->dropped_count = 0;
}
