/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a world has its files and rows copied by a task inside it (TASK_BUNDLE), of one instant and with
 * databases as SQLite copies them; of a kept worker a world is made for that around its layers. What the copy holds in
 * upper-N becomes files/PATH, where PATH is the layer's: on another machine the layers may be others. */
#include "sandbox/run/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "overlay/bundle.h"
#include "overlay/layers.h"
#include "overlay/seed.h"
#include "sandbox/policy/secrets.h"
#include "sandbox/pool/services_json.h"
#include "sandbox/run/excerpt.h"
#include "sandbox/run/interim.h"
#include "sandbox/run/origin.h"
#include "sandbox/run/recipe.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/describe.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/visit.h"

#define STEP_BUNDLE "bundle the worker"

enum { DESCRIPTION_MAX = 8 << 20 };

struct packing {
	struct bundle_writer *writer;
	struct text_list layers; /* paths, by their numbers */
	const char *current;	 /* that is being added */
	char *home;
	char *tree;
	int64_t started_ns;
	int64_t ended_ns; /* of a kept one; 0: it lives */
	struct recipe recipe;
};

/* ---- what is known of it ---- */

static bool has_text(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(list->items[i], text))
			return true;
	return false;
}

static bool is_store(const struct packing *packing, const char *path)
{
	size_t count;
	const char *const *stores = secrets_hidden_paths(&count);

	for (size_t i = 0; i < count && packing->home; i++) {
		owned_text store = path_join(packing->home, stores[i]);

		if (path_is_below(path, store))
			return true;
	}
	return false;
}

static int read_answer(int fd, char **ret_text, struct error *error)
{
	char *text = malloc(DESCRIPTION_MAX + 1);
	ssize_t size;

	if (!text)
		abort();
	size = lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd_read_all(fd, text, DESCRIPTION_MAX);
	if (size < 0) {
		free(text);
		return error_set(error, .number = (int)-size, .step = "read the description of the worker");
	}
	text[size] = '\0';
	*ret_text = text;
	return 0;
}

/* As it was when it was kept: a world that is made around it again has this caller's environment. */
static int describe_kept(const struct resolved_worker *resolved, char **ret_text, struct error *error)
{
	owned_kept_worker kept = { 0 };
	owned_fd kept_fd = -1;
	int result = state_open_part(resolved->state_fd, STATE_KEPT, STATE_LEAVE, &kept_fd, error);

	return result < 0 ? result : kept_read(kept_fd, resolved->worker.row.id, &kept, ret_text, error);
}

static int describe_live(const char *word, const struct interim *interim, char **ret_text, struct error *error)
{
	owned_fd fd = openat(interim->fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	struct task task = { .kind = TASK_INSPECT, .fds = { fd }, .fd_count = 1 };
	owned_visit visit = NULL;
	int result = fd < 0 ? error_set(error, .number = errno, .step = "make a file", .object = interim->path)
			    : visit_open(word, RESOLVE_LIVE, &visit, error);

	if (result == 0)
		result = visit_run_task(visit, &task, error);
	return result < 0 ? result : read_answer(fd, ret_text, error);
}

static void drop_secrets(struct environment_changes *changes, struct text_list *filtered)
{
	size_t left = 0;

	for (size_t i = 0; i < changes->count; i++) {
		struct environment_change *change = &changes->items[i];
		size_t length = strcspn(change->text, "=");

		if (change->kind == ENVIRONMENT_SET &&
		    (secrets_classify_variable(change->text, length) != SECRETS_NONE ||
		     secrets_looks_like_credential(change->text, length))) {
			text_list_take(filtered, text_format("%.*s", (int)length, change->text));
			text_free(&change->text);
			continue;
		}
		changes->items[left++] = *change;
	}
	changes->count = left;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once. */
static void tidy(struct text_list *list)
{
	size_t left = 0;

	if (list->count > 1)
		qsort(list->items, list->count, sizeof(*list->items), compare_texts);
	for (size_t i = 0; i < list->count; i++) {
		if (left > 0 && text_equal(list->items[left - 1], list->items[i]))
			free(list->items[i]);
		else
			list->items[left++] = list->items[i];
	}
	if (list->items)
		list->items[left] = NULL;
	list->count = left;
}

static void add_raw(struct text_buffer *out, const char *name, struct json_value value)
{
	size_t length = 0;
	const char *raw = json_raw(value, &length);
	owned_text copy = raw ? strndup(raw, length) : NULL;

	if (copy)
		json_add_raw(out, name, copy);
}

static void drop_variables(struct text_list *list, struct text_list *filtered)
{
	struct text_list plain = { 0 };

	environment_split_secrets(list, &plain, filtered);
	text_list_release(list);
	*list = plain;
}

/* How the test was run, where it is a test's world, and which services it has in any case. */
static int read_recipe(const struct resolved_worker *resolved, struct json_value description, struct recipe *ret_recipe,
		       struct text_list *filtered, struct error *error)
{
	owned_fd kept_fd = -1;
	owned_fd fd = -1;
	int result = 0;

	if (!resolved->is_live)
		result = state_open_part(resolved->state_fd, STATE_KEPT, STATE_LEAVE, &kept_fd, error);
	if (result >= 0 && kept_fd >= 0)
		fd = path_open(kept_fd, resolved->worker.row.id, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	if (result >= 0 && fd >= 0)
		result = recipe_read_file(fd, ret_recipe, error);
	if (result < 0 && result != -ENOENT)
		return result;
	*error = (struct error){ 0 };
	if (ret_recipe->services.count == 0 &&
	    services_read(json_member(description, "services"), &ret_recipe->services) < 0)
		return error_set(error, .number = EBADMSG, .step = STEP_BUNDLE, .object = "services");
	for (size_t i = 0; i < ret_recipe->services.count; i++)
		drop_variables(&ret_recipe->services.items[i].set, filtered);
	return 0;
}

static void add_worker(struct text_buffer *out, const struct resolved_worker *resolved)
{
	const struct worker_row *row = &resolved->worker.row;

	json_begin_object(out, "worker");
	json_add_text(out, "name", row->name);
	json_add_text(out, "run", row->run);
	json_add_list(out, "command", &row->command);
	json_add_list(out, "labels", &row->labels);
	json_add_number(out, "started_ns", row->started_ns);
	if (!resolved->is_live) {
		json_add_number(out, "ended_ns", resolved->worker.ended_ns);
		json_add_number(out, "exit_status", resolved->worker.exit_status);
	}
	json_end_object(out);
}

/* A file that the red test left among the artifacts, where it still is what the test left.
 * @return fd, or -1 */
static int open_attachment(const struct packing *packing, const char *path)
{
	owned_fd tree_fd = packing->tree ? open(packing->tree, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	owned_fd fd = -1;
	struct stat status;

	/* Which one was told from inside. */
	if (tree_fd < 0 || !path_is_below(path, packing->tree) || text_equal(path, packing->tree) ||
	    is_store(packing, path))
		return -1;
	fd = path_open(tree_fd, path_below(path, packing->tree), O_RDONLY | O_NONBLOCK, 0, PATH_BENEATH);
	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > BUNDLE_WHOLE_MAX ||
	    (packing->ended_ns > 0 && status.st_mtim.tv_sec > packing->ended_ns / 1000000000))
		return -1;
	return fd_take(&fd);
}

static void choose_attachments(struct packing *packing)
{
	struct text_list found = { 0 };

	for (size_t i = 0; i < packing->recipe.attachments.count && found.count < RECIPE_ATTACHMENTS_MAX; i++) {
		owned_text path = path_normal("/", packing->recipe.attachments.items[i]);
		owned_fd fd = open_attachment(packing, path);

		if (fd >= 0 && !has_text(&found, path))
			text_list_add(&found, path);
	}
	text_list_release(&packing->recipe.attachments);
	packing->recipe.attachments = found;
}

/* The configuration and the test decide what is done. */
static void add_origin(const struct packing *packing, struct text_buffer *out)
{
	owned_list files = { 0 };

	if (packing->recipe.config)
		text_list_add(&files, packing->recipe.config);
	if (packing->recipe.file)
		text_list_add(&files, packing->recipe.file);
	if (packing->tree)
		origin_write(packing->tree, packing->home, &files, packing->started_ns, out);
}

/* @text  a description, without what may be a credential in the end */
static int add_description(struct packing *packing, const struct resolved_worker *resolved, const char *text,
			   struct text_list *filtered, struct error *error)
{
	owned_json json = { 0 };
	owned_buffer out = { 0 };
	owned_list environment = { 0 };
	struct spec spec;
	int result = json_read(&json, text, strlen(text), error);

	if (result < 0)
		return result;
	spec_init(&spec);
	result = describe_read_spec(json_root(&json), &spec, error);
	if (result == 0)
		result = describe_read_environment(json_root(&json), &environment, filtered, error);
	if (result == 0)
		result = read_recipe(resolved, json_root(&json), &packing->recipe, filtered, error);
	if (result == 0) {
		drop_secrets(&spec.environment.changes, filtered);
		drop_secrets(&spec.environment.from_files, filtered);
		tidy(filtered);
		(void)json_text(json_member(json_member(json_root(&json), "paths"), "home"), &packing->home);
		(void)json_text(json_member(json_member(json_root(&json), "paths"), "tree"), &packing->tree);
		packing->started_ns = resolved->worker.row.started_ns;
		packing->ended_ns = resolved->is_live ? 0 : resolved->worker.ended_ns;
		choose_attachments(packing);
		json_begin_object(&out, NULL);
		json_add_number(&out, "version", PACK_VERSION);
		json_add_text(&out, "sbx", SBX_VERSION);
		add_worker(&out, resolved);
		describe_write_spec(&spec, &out);
		add_raw(&out, "databases", json_member(json_root(&json), "databases"));
		add_raw(&out, "paths", json_member(json_root(&json), "paths"));
		json_add_list(&out, "environment", &environment);
		json_add_list(&out, "environment_filtered", filtered);
		recipe_write(&packing->recipe, "recipe", &out);
		add_origin(packing, &out);
		json_end_object(&out);
		text_buffer_add_text(&out, "\n");
		result = bundle_add_text(packing->writer, PACK_DESCRIPTION, out.bytes, out.length, error);
	}
	spec_release(&spec);
	return result;
}

/* ---- its files ---- */

/* The layers' paths, by their numbers: overlay/layers.h writes kind and path, each ended by a NUL. */
static int read_layers(int fd, struct text_list *ret_layers, struct error *error)
{
	owned_text text = NULL;
	size_t size = 0;
	int result = fd_read_file(fd, LAYERS_NAMES, 16 << 20, &text, &size);
	const char *at = text;

	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_BUNDLE, .object = LAYERS_NAMES);
	while (at < text + size) {
		const char *path = at + strlen(at) + 1;

		if (path >= text + size)
			return error_set(error, .number = EBADMSG, .step = STEP_BUNDLE, .object = LAYERS_NAMES);
		text_list_add(ret_layers, path);
		at = path + strlen(path) + 1;
	}
	return 0;
}

/* What another layer has, and stores of credentials, even those that were made in the world. */
static bool skip_entry(void *data, const char *path)
{
	const struct packing *packing = data;
	owned_text full = path_join(packing->current, path);

	for (size_t i = 0; i < packing->layers.count; i++)
		if (!text_equal(packing->layers.items[i], packing->current) &&
		    path_is_below(packing->layers.items[i], packing->current) &&
		    path_is_below(full, packing->layers.items[i]))
			return true;
	return is_store(packing, full) || has_text(&packing->recipe.attachments, full);
}

static int compare_layers(const void *a, const void *b)
{
	return strcmp(((const char *const *)a)[0], ((const char *const *)b)[0]);
}

/* One layer; of a world that began from a seed, that layer of the seed as well, in which files that are as they were
 * take no room. */
static int add_layer(struct packing *packing, int directory_fd, const char *number, struct error *error)
{
	owned_text name = text_format(BUNDLE_FILES "%s", packing->current);
	owned_text seed_name = text_format(BUNDLE_SEED "%s", packing->current);
	owned_text seed_path = path_join(SEED_BESIDE, number);
	owned_fd fd = path_open(directory_fd, number, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	owned_fd seed_fd = path_open(directory_fd, seed_path, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	const struct bundle_twin twin = { .name = name, .fd = fd };
	int result;

	if (fd == -ENOENT) /* shown only */
		return 0;
	if (fd < 0 || (seed_fd < 0 && seed_fd != -ENOENT))
		return error_set(error, .number = fd < 0 ? -fd : -seed_fd, .step = STEP_BUNDLE,
				 .object = packing->current);
	result = bundle_add_tree(packing->writer, name, fd, NULL, skip_entry, packing, error);
	if (result == 0 && seed_fd >= 0)
		result = bundle_add_tree(packing->writer, seed_name, seed_fd, &twin, skip_entry, packing, error);
	return result;
}

static int add_layers(struct packing *packing, int directory_fd, struct error *error)
{
	size_t count = packing->layers.count;
	/* Path and name, in the order of the paths. */
	char **sorted = calloc(2 * count + 1, sizeof(*sorted));
	int result = 0;

	if (!sorted)
		abort();
	for (size_t i = 0; i < count; i++) {
		sorted[2 * i] = packing->layers.items[i];
		sorted[2 * i + 1] = text_format("upper-%zu", i);
	}
	qsort(sorted, count, 2 * sizeof(*sorted), compare_layers);
	for (size_t i = 0; i < count && result == 0; i++) {
		packing->current = sorted[2 * i];
		result = add_layer(packing, directory_fd, sorted[2 * i + 1], error);
	}
	for (size_t i = 0; i < count; i++)
		free(sorted[2 * i + 1]);
	free(sorted);
	return result;
}

/* Traces and the like, at the places that they have in the tree. */
static int add_attachments(struct packing *packing, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < packing->recipe.attachments.count && result == 0; i++) {
		const char *path = packing->recipe.attachments.items[i];
		owned_text name = text_format(BUNDLE_FILES "%s", path);
		owned_fd fd = open_attachment(packing, path);

		if (fd >= 0)
			result = bundle_add_tree(packing->writer, name, fd, NULL, NULL, NULL, error);
	}
	return result;
}

static int add_logs(struct packing *packing, const struct worker_row *row, struct error *error)
{
	owned_fd fd = row->log_directory ? open(row->log_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd < 0 ? 0 : bundle_add_tree(packing->writer, PACK_LOGS, fd, NULL, NULL, NULL, error);
}

static int add_events(struct packing *packing, int state_fd, const struct resolved_worker *resolved,
		      struct error *error)
{
	owned_buffer events = { 0 };
	int result = excerpt_make(state_fd, resolved, &events, error);

	if (result == 0 && events.length > 0)
		result = bundle_add_text(packing->writer, PACK_EVENTS, events.bytes, events.length, error);
	return result;
}

/* ---- all of it ---- */

static int open_target(const char *path, int *ret_fd, const char **ret_name, struct error *error)
{
	owned_text parent = strchr(path, '/') ? path_parent(path) : text_duplicate(".");
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*ret_name = path_name(path);
	if (fd < 0 || (*ret_name)[0] == '\0' || text_equal(*ret_name, ".") || text_equal(*ret_name, "..")) {
		int number = fd < 0 ? errno : EISDIR;

		fd_close(&fd);
		return error_set(error, .number = number, .step = "write the bundle", .object = path);
	}
	*ret_fd = fd;
	return 0;
}

static int freeze(struct visit *visit, const struct interim *interim, struct error *error)
{
	owned_fd answer_fd = openat(interim->fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	struct task task = { .kind = TASK_BUNDLE, .fds = { interim->fd, answer_fd }, .fd_count = 2 };

	if (answer_fd < 0)
		return error_set(error, .number = errno, .step = "make a file", .object = interim->path);
	return visit_run_task(visit, &task, error);
}

static int pack(const char *word, struct visit *visit, const char *path, enum bundle_existing existing,
		const struct interim *interim, struct packed *packed, struct error *error)
{
	const struct resolved_worker *resolved = visit_worker(visit);
	struct packing packing = { 0 };
	owned_fd target_fd = -1; /* outlives the writer */
	owned_bundle_writer writer = NULL;
	owned_text description = NULL;
	const char *name = NULL;
	int result = open_target(path, &target_fd, &name, error);

	if (result == 0)
		result = bundle_begin(target_fd, name, existing, &writer, error);
	if (result == 0)
		result = resolved->is_live ? describe_live(word, interim, &description, error)
					   : describe_kept(resolved, &description, error);
	if (result == 0 && !description)
		result = error_set(error, .number = EBADMSG, .step = STEP_BUNDLE, .object = word,
				   .cause = "it has no description");
	if (result == 0)
		result = freeze(visit, interim, error);
	if (result == 0)
		result = read_layers(interim->fd, &packing.layers, error);
	packing.writer = writer;
	if (result == 0)
		result = add_description(&packing, resolved, description, &packed->filtered, error);
	if (result == 0)
		result = add_events(&packing, interim->state_fd, resolved, error);
	if (result == 0)
		result = add_layers(&packing, interim->fd, error);
	if (result == 0)
		result = add_attachments(&packing, error);
	if (result == 0)
		result = add_logs(&packing, &resolved->worker.row, error);
	if (result == 0)
		result = bundle_finish(writer, &packed->bytes, error);
	text_list_release(&packing.layers);
	text_free(&packing.home);
	text_free(&packing.tree);
	recipe_release(&packing.recipe);
	return result;
}

int pack_worker(const char *word, const char *path, enum bundle_existing existing, struct packed *ret_packed,
		struct error *error)
{
	struct state_paths places = { 0 };
	owned_interim interim = INTERIM_NONE;
	owned_visit visit = NULL;
	struct packed packed = { 0 };
	int result = identity_find_places(&places, error);

	if (result == 0)
		result = interim_make(&places, &interim, error);
	if (result == 0)
		result = visit_open(word, RESOLVE_LIVE | RESOLVE_KEPT, &visit, error);
	if (result == 0)
		result = pack(word, visit, path, existing, &interim, &packed, error);
	state_paths_release(&places);
	if (result < 0) {
		text_list_release(&packed.filtered);
		return result;
	}
	*ret_packed = packed;
	return 0;
}
