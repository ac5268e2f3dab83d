/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/ground.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descent.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "overlay/seed.h"

#define STEP_INPUTS "find the inputs of the seed"

enum {
	PART_SIZE = 1 << 20,  /* of a large file, at its beginning and its end */
	RACY_NS = 1000000000, /* younger than this when noted: a change could show the same times */
	CHANGED_TOLD_MAX = 10,
	GLOB_DEPTH_MAX = 64,
	LAYERS_MAX = 64,
};

static const char *const kind_names[] = {
	[GROUND_INPUT] = "input", [GROUND_DATABASE] = "database", [GROUND_COVERED] = "covered", [GROUND_MADE] = "made"
};

const char *ground_kind_name(enum ground_kind kind)
{
	return kind_names[kind];
}

void ground_release(struct ground *ground)
{
	for (size_t i = 0; i < ground->count; i++)
		text_free(&ground->items[i].path);
	free(ground->items);
	*ground = (struct ground){ 0 };
}

static void take_file(struct ground *ground, struct ground_file *file)
{
	/* Grown at powers of two. */
	if ((ground->count & (ground->count - 1)) == 0) {
		ground->items =
			reallocarray(ground->items, ground->count ? 2 * ground->count : 1, sizeof(*ground->items));
		if (!ground->items)
			abort();
	}
	ground->items[ground->count++] = *file;
	*file = (struct ground_file){ 0 };
}

/* ---- one file ---- */

static bool looks_unchanged(const struct ground_file *then, const struct ground_file *now)
{
	return then->bytes == now->bytes && then->modified_ns == now->modified_ns &&
	       then->changed_ns == now->changed_ns && then->inode == now->inode &&
	       then->noted_ns - then->changed_ns > RACY_NS && then->noted_ns - then->modified_ns > RACY_NS;
}

static int compare_files(const void *a, const void *b)
{
	const struct ground_file *one = a;
	const struct ground_file *other = b;

	return one->kind != other->kind ? (int)one->kind - (int)other->kind : strcmp(one->path, other->path);
}

static void sort(struct ground *ground)
{
	if (ground->count > 0)
		qsort(ground->items, ground->count, sizeof(*ground->items), compare_files);
}

static const struct ground_file *find_file(const struct ground *ground, enum ground_kind kind, const char *path)
{
	const struct ground_file wanted = { .kind = kind, .path = (char *)path };

	return ground && ground->count > 0
		       ? bsearch(&wanted, ground->items, ground->count, sizeof(wanted), compare_files)
		       : NULL;
}

/* Size and times stand for the middle. */
static int hash_parts(int fd, const struct ground_file *file, char *text)
{
	owned_text bytes = malloc(PART_SIZE);
	struct sha256 hash;
	const off_t places[] = { 0, (off_t)file->bytes - PART_SIZE };

	if (!bytes)
		abort();
	sha256_init(&hash);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		ssize_t got = RETRY_EINTR(pread(fd, bytes, PART_SIZE, places[i]));

		if (got < 0)
			return -errno;
		sha256_add(&hash, bytes, (size_t)got);
	}
	sha256_add(&hash, &file->bytes, sizeof(file->bytes));
	sha256_add(&hash, &file->modified_ns, sizeof(file->modified_ns));
	(void)sha256_finish(&hash, text);
	return 0;
}

/* @return 1 noted, 0 there is no such file, or -errno */
static int note_file(enum ground_kind kind, const char *path, const struct ground_file *then,
		     struct ground_file *ret_file)
{
	/* A pipe of that name must not hold us. */
	owned_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct ground_file file = { .kind = kind };
	struct stat status;
	int result = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return 0;
	file.bytes = (int64_t)status.st_size;
	file.modified_ns = clock_to_ns(&status.st_mtim);
	file.changed_ns = clock_to_ns(&status.st_ctim);
	file.inode = (int64_t)status.st_ino;
	file.noted_ns = clock_wall_ns();
	if (then && looks_unchanged(then, &file)) {
		file.noted_ns = then->noted_ns;
		memcpy(file.hash, then->hash, sizeof(file.hash));
	} else if ((uint64_t)file.bytes > GROUND_HASHED_MAX) {
		result = hash_parts(fd, &file, file.hash);
	} else {
		result = sha256_of_fd(fd, file.hash);
	}
	if (result < 0)
		return result;
	file.path = text_duplicate(path);
	*ret_file = file;
	return 1;
}

static int add_file(struct ground *ground, enum ground_kind kind, const char *path, const struct ground *then,
		    struct error *error)
{
	struct ground_file file;
	int result = note_file(kind, path, find_file(then, kind, path), &file);

	if (result < 0)
		return error_set(error, .number = -result, .step = "read what the seed stands on", .object = path);
	if (result == 0)
		return 0;
	if (ground->count >= GROUND_FILES_MAX) {
		text_free(&file.path);
		return error_set(error, .number = E2BIG, .step = "note what the seed stands on", .object = path,
				 .cause = "there are more than 20,000 files",
				 .remedy = kind == GROUND_INPUT ? "name fewer with --input (inputs: in sbx.yaml)"
								: "--copy or -v keep what is large out of the seed");
	}
	take_file(ground, &file);
	return 1;
}

/* ---- globs ---- */

struct search {
	struct text_list found;
	const char *glob;
	struct error *error;
};

static int too_many(struct search *search)
{
	return error_set(search->error, .number = E2BIG, .step = STEP_INPUTS, .object = search->glob,
			 .cause = "it matches more than 20,000 files", .remedy = "name what matters more closely");
}

static int find_in(struct search *search, const char *directory, const char *pattern, unsigned depth);

static int find_all_in(struct search *search, const char *directory, unsigned depth)
{
	return find_in(search, directory, "**/*", depth);
}

/* A name that fits the first part of the pattern. @rest  of the pattern; NULL: that was all of it */
static int take_match(struct search *search, const char *directory, const struct dirent *entry, const char *rest,
		      unsigned depth)
{
	owned_text path = path_join(directory, entry->d_name);
	struct stat status;

	/* A link to a file stands for what it leads to; one to a directory is not followed. */
	if (lstat(path, &status) < 0)
		return 0;
	if (S_ISDIR(status.st_mode))
		return rest ? find_in(search, path, rest, depth + 1) : find_all_in(search, path, depth + 1);
	if (rest || (!S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode)))
		return 0;
	if (search->found.count >= GROUND_FILES_MAX)
		return too_many(search);
	text_list_take(&search->found, path);
	path = NULL;
	return 0;
}

static bool is_directory(const char *directory, const struct dirent *entry)
{
	owned_text path = path_join(directory, entry->d_name);
	struct stat status;

	return lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int look_at_name(struct search *search, const char *directory, const struct dirent *entry, const char *part,
			const char *rest, const char *pattern, unsigned depth)
{
	if (text_equal(entry->d_name, ".") || text_equal(entry->d_name, ".."))
		return 0;
	if (text_equal(part, "**")) {
		/* Beneath each directory once more; in this one the rest was tried already. */
		owned_text below = NULL;

		if (entry->d_name[0] == '.' || !is_directory(directory, entry))
			return 0;
		below = path_join(directory, entry->d_name);
		return find_in(search, below, pattern, depth + 1);
	}
	return fnmatch(part, entry->d_name, FNM_PERIOD) == 0 ? take_match(search, directory, entry, rest, depth) : 0;
}

/* Recursion is bounded; what lies deeper is an error that names the glob. */
static int find_in(struct search *search, const char *directory, const char *pattern, unsigned depth)
{
	const char *slash = strchr(pattern, '/');
	owned_text part = slash ? strndup(pattern, (size_t)(slash - pattern)) : text_duplicate(pattern);
	const char *rest = slash ? slash + 1 : NULL;
	struct dirent **names = NULL;
	int result = 0;
	int count;

	if (!part)
		abort();
	if (depth > GLOB_DEPTH_MAX)
		return error_set(search->error, .number = E2BIG, .step = STEP_INPUTS, .object = search->glob,
				 .cause = "the directories that it matches are more than 64 deep");
	if (text_equal(part, "**"))
		result = find_in(search, directory, rest ? rest : "*", depth + 1);
	count = result < 0 ? 0 : scandir(directory, &names, NULL, alphasort);
	if (count < 0 && errno != ENOENT && errno != ENOTDIR)
		return error_set(search->error, .number = errno, .step = STEP_INPUTS, .object = directory);
	for (int i = 0; i < count; i++) {
		if (result == 0)
			result = look_at_name(search, directory, names[i], part, rest, pattern, depth);
		free(names[i]);
	}
	free(names);
	return result;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int find_matches(const char *tree, const struct text_list *globs, struct search *search)
{
	for (size_t i = 0; i < globs->count; i++) {
		const char *glob = globs->items[i];
		owned_text below = glob[0] == '/' ? path_normal("/", glob) : path_normal(tree, glob);
		size_t before = search->found.count;
		int result;

		search->glob = glob;
		if (!path_is_below(below, tree) || text_equal(below, tree))
			return error_set(search->error, .number = EINVAL, .step = STEP_INPUTS, .object = glob,
					 .cause = "it does not name files of the tree",
					 .remedy = "name them relative to the tree: 'Migrations/**'");
		result = find_in(search, tree, path_below(below, tree), 0);
		if (result < 0)
			return result;
		if (search->found.count == before)
			return error_set(search->error, .number = ENOENT, .step = STEP_INPUTS, .object = glob,
					 .cause = "no file of the tree fits",
					 .remedy = "it is relative to the tree; '**/' stands for any directories");
	}
	if (search->found.count > 0)
		qsort(search->found.items, search->found.count, sizeof(*search->found.items), compare_texts);
	return 0;
}

int ground_add_inputs(struct ground *ground, const char *tree, const struct text_list *globs, const struct ground *then,
		      struct error *error)
{
	struct search search = { .error = error };
	int result = find_matches(tree, globs, &search);

	for (size_t i = 0; i < search.found.count && result >= 0; i++)
		if (i == 0 || !text_equal(search.found.items[i], search.found.items[i - 1]))
			result = add_file(ground, GROUND_INPUT, search.found.items[i], then, error);
	text_list_release(&search.found);
	sort(ground);
	return result < 0 ? result : 0;
}

/* ---- databases ---- */

int ground_add_databases(struct ground *ground, const struct text_list *databases, const struct ground *then,
			 struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < databases->count && result >= 0; i++) {
		owned_text wal = text_format("%s-wal", databases->items[i]);
		struct stat status;

		result = add_file(ground, GROUND_DATABASE, databases->items[i], then, error);
		/* An empty one holds no rows: it comes and goes with whoever opens the database. */
		if (result >= 0 && stat(wal, &status) == 0 && status.st_size > 0)
			result = add_file(ground, GROUND_DATABASE, wal, then, error);
	}
	sort(ground);
	return result < 0 ? result : 0;
}

/* ---- covered files ---- */

static bool is_database_file(const char *path, const struct text_list *databases)
{
	for (size_t i = 0; i < databases->count; i++) {
		size_t length = strlen(databases->items[i]);

		if (strncmp(path, databases->items[i], length) == 0 && (path[length] == '\0' || path[length] == '-'))
			return true;
	}
	return false;
}

/* @return 1: there may be more of the tree's in it, 0, or -errno */
static int look_at_entry(struct ground *ground, const char *layer, const struct descent *way, const char *name,
			 mode_t mode, const char *tree, const struct text_list *databases, struct error *error)
{
	owned_text directory = path_join(layer, descent_path(way));
	owned_text path = path_join(directory, name);
	struct stat status;
	int result;

	if (!path_is_below(path, tree))
		return 1;
	if (lstat(path, &status) < 0) {
		/* A removed one (a whiteout) that is not there. Past the limit there is a seed all the same. */
		if (errno == ENOENT && !S_ISCHR(mode) && ground->count < GROUND_FILES_MAX)
			take_file(ground, &(struct ground_file){ .kind = GROUND_MADE, .path = text_duplicate(path) });
		return 0;
	}
	if (S_ISDIR(mode) || !S_ISREG(status.st_mode) || is_database_file(path, databases))
		return 1;
	result = add_file(ground, GROUND_COVERED, path, NULL, error);
	return MIN(result, 0);
}

static int walk_layer(struct ground *ground, int upper_fd, const char *layer, const char *tree,
		      const struct text_list *databases, struct error *error)
{
	owned_descent way = { 0 };
	const char *name;
	int result = descent_start(&way, upper_fd, 0);

	while (result >= 0) {
		struct stat status;
		int more = descent_next(&way, &name);

		if (more <= 0) {
			if (way.depth == 1)
				return more < 0 ? error_set(error, .number = -more, .step = "look through the seed",
							    .object = layer)
						: 0;
			result = descent_leave(&way, NULL);
			continue;
		}
		if (fstatat(descent_fd(&way), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		more = look_at_entry(ground, layer, &way, name, status.st_mode, tree, databases, error);
		if (more < 0)
			return more;
		/* One that its owner closed cannot be looked into; nor could a program of the world. */
		if (more > 0 && S_ISDIR(status.st_mode))
			(void)descent_enter(&way, name, NULL);
	}
	return error_set(error, .number = -result, .step = "look through the seed", .object = layer);
}

int ground_add_covered(struct ground *ground, int seed_fd, const char *tree, const struct text_list *databases,
		       struct error *error)
{
	owned_list paths = { 0 };
	int result = seed_read_layers(seed_fd, &paths, error);

	for (size_t i = 0; i < paths.count && result >= 0; i++) {
		char name[32];
		owned_fd upper_fd = -1;

		(void)snprintf(name, sizeof(name), "upper-%zu", i);
		upper_fd = openat(seed_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		/* Part of a directory that is only shown has none. */
		if (upper_fd < 0 || (!path_is_below(tree, paths.items[i]) && !path_is_below(paths.items[i], tree)))
			continue;
		result = walk_layer(ground, upper_fd, paths.items[i], tree, databases, error);
	}
	sort(ground);
	return result < 0 ? result : 0;
}

/* ---- then and now ---- */

static void tell(struct text_list *list, const char *path, const char *what)
{
	if (list->count < CHANGED_TOLD_MAX)
		text_list_take(list, text_format("%s %s", path, what));
}

/* @return what has become of it; NULL: it is as it was */
static const char *look_again(const struct ground_file *file)
{
	struct ground_file now = { 0 };
	struct stat status;
	bool is_same;
	int result;

	if (file->kind == GROUND_MADE)
		return lstat(file->path, &status) < 0 ? NULL : "is new, and the seed has its own";
	result = note_file(file->kind, file->path, file, &now);
	is_same = result == 1 && now.bytes == file->bytes && text_equal(now.hash, file->hash);
	text_free(&now.path);
	if (is_same)
		return NULL;
	return result == 1 ? "has changed" : result == 0 ? "is not there any more" : "cannot be read";
}

static int compare_noted(const struct ground *then, struct text_list *ret_changed)
{
	int changed = 0;

	for (size_t i = 0; i < then->count; i++) {
		const char *what = look_again(&then->items[i]);

		if (!what)
			continue;
		changed++;
		tell(ret_changed, then->items[i].path, what);
	}
	return changed;
}

int ground_compare(const struct ground *then, const char *tree, const struct text_list *globs,
		   struct text_list *ret_changed, struct error *error)
{
	struct search search = { .error = error };
	int changed = compare_noted(then, ret_changed);
	int result = find_matches(tree, globs, &search);

	/* That a glob matches nothing any more shows in what was noted. */
	if (result < 0 && result != -ENOENT)
		changed = result;
	for (size_t i = 0; i < search.found.count && changed >= 0; i++)
		if (!find_file(then, GROUND_INPUT, search.found.items[i])) {
			changed++;
			tell(ret_changed, search.found.items[i], "is new");
		}
	text_list_release(&search.found);
	return changed;
}

/* ---- as JSON ---- */

void ground_write(const struct ground *ground, const char *name, struct text_buffer *out)
{
	json_begin_array(out, name);
	for (size_t i = 0; i < ground->count; i++) {
		const struct ground_file *file = &ground->items[i];

		json_begin_object(out, NULL);
		json_add_text(out, "kind", kind_names[file->kind]);
		json_add_text(out, "path", file->path);
		json_add_number(out, "bytes", file->bytes);
		json_add_number(out, "modified_ns", file->modified_ns);
		json_add_number(out, "changed_ns", file->changed_ns);
		json_add_number(out, "inode", file->inode);
		json_add_number(out, "noted_ns", file->noted_ns);
		json_add_text(out, "sha256", file->kind == GROUND_MADE ? NULL : file->hash);
		json_end_object(out);
	}
	json_end_array(out);
}

static int read_file(struct json_value object, struct ground_file *file)
{
	struct {
		const char *name;
		int64_t *number;
	} numbers[] = { { "bytes", &file->bytes },
			{ "modified_ns", &file->modified_ns },
			{ "changed_ns", &file->changed_ns },
			{ "inode", &file->inode },
			{ "noted_ns", &file->noted_ns } };
	owned_text hash = NULL;
	size_t kind = 0;

	while (kind < ARRAY_SIZE(kind_names) && !json_text_is(json_member(object, "kind"), kind_names[kind]))
		kind++;
	if (kind == ARRAY_SIZE(kind_names) || json_text(json_member(object, "path"), &file->path) < 0)
		return -EBADMSG;
	if (kind != GROUND_MADE &&
	    (json_text(json_member(object, "sha256"), &hash) < 0 || strlen(hash) != SHA256_TEXT_SIZE - 1))
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (json_number(json_member(object, numbers[i].name), numbers[i].number) < 0)
			return -EBADMSG;
	file->kind = (enum ground_kind)kind;
	if (hash)
		memcpy(file->hash, hash, sizeof(file->hash));
	return 0;
}

int ground_read(struct json_value array, struct ground *ret_ground)
{
	owned_ground ground = { 0 };

	if (json_type(array) != JSON_ARRAY)
		return -EBADMSG;
	for (struct json_value item = json_first(array); json_type(item); item = json_next(item)) {
		struct ground_file file = { 0 };
		int result = read_file(item, &file);

		if (result < 0) {
			text_free(&file.path);
			return result;
		}
		take_file(&ground, &file);
	}
	sort(&ground);
	*ret_ground = ground;
	ground = (struct ground){ 0 };
	return 0;
}
