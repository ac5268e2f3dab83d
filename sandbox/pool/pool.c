/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/pool/queue.h"
#include "sandbox/pool/services.h"
#include "sandbox/registry/claim.h"
#include "sandbox/worker/visit.h"

#define POOL_FILE     "pool.json"
#define POOL_NEW_FILE ".pool.json"
#define REFILL_FILE   ".refill"

enum {
	POOL_FILE_MAX = JSON_SIZE_MAX,
	REMOVE_WAIT_MS = 10000, /* from the end of its worlds to the end of the `up` that owned them */
	REMOVE_POLL_MS = 5,
	NAMES_SHOWN_MAX = 6,
};

void pool_description_release(struct pool_description *description)
{
	text_free(&description->name);
	text_free(&description->tree);
	text_list_release(&description->arguments);
	text_free(&description->directory);
	text_list_release(&description->environment);
	text_free(&description->settings_file);
	text_free(&description->settings_directory);
	text_free(&description->settings_text);
	text_free(&description->seed);
	*description = (struct pool_description){ 0 };
}

void pool_release(struct pool *pool)
{
	fd_close(&pool->fd);
	fd_close(&pool->state_fd);
	text_free(&pool->path);
	pool_description_release(&pool->description);
}

/* ---- its directory ---- */

static int open_runs(const struct state_paths *places, enum state_missing missing, int *ret_state_fd, int *ret_runs_fd,
		     struct error *error)
{
	owned_fd state_fd = -1;
	int result = state_open(places, missing, &state_fd, error);

	if (result >= 0)
		result = state_open_part(state_fd, STATE_RUNS, missing, ret_runs_fd, error);
	if (result < 0)
		return result;
	*ret_state_fd = fd_take(&state_fd);
	return 0;
}

/* Hands on what `pool` holds. */
static struct pool take(struct pool *pool)
{
	struct pool taken = *pool;

	*pool = (struct pool)POOL_NONE;
	return taken;
}

static char *path_of(const struct state_paths *places, const char *id)
{
	return text_format("%s/%s/%s", places->state, state_part_name(STATE_RUNS), id);
}

int pool_make(const struct state_paths *places, struct pool *ret_pool, struct error *error)
{
	owned_pool pool = POOL_NONE;
	owned_fd runs_fd = -1;
	int result = open_runs(places, STATE_MAKE, &pool.state_fd, &runs_fd, error);

	if (result < 0)
		return error_context(error, "pool");
	(void)id_make(pool.id);
	result = claim_make(runs_fd, pool.id, &pool.fd, error);
	if (result < 0)
		return result;
	/* Worlds that are made later by another process hold it as well. */
	if (flock(pool.fd, LOCK_SH) < 0)
		return error_set(error, .number = errno, .step = "claim the directory of the pool", .object = pool.id);
	pool.path = path_of(places, pool.id);
	pool.is_alive = true;
	*ret_pool = take(&pool);
	return 0;
}

int pool_claim(const struct pool *pool, struct error *error)
{
	int number = 0;

	/* Those who only ask hold it for a moment. */
	if (RETRY_EINTR(flock(pool->fd, LOCK_SH)) < 0 || faccessat(pool->fd, POOL_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		number = errno;
	return number ? error_set(error, .number = number, .step = "claim the directory of the pool",
				  .object = pool->path)
		      : 0;
}

static void add_text(struct text_buffer *out, const char *name, const char *text)
{
	if (text)
		json_add_text(out, name, text);
}

void pool_describe(struct pool *pool, const struct pool_description *given, const char *tree,
		   const struct text_list *environment)
{
	struct pool_description *description = &pool->description;

	if (description->tree)
		return;
	description->tree = text_duplicate(tree);
	for (size_t i = 0; i < given->arguments.count; i++)
		text_list_add(&description->arguments, given->arguments.items[i]);
	description->directory = text_duplicate(given->directory);
	/* What a world's environment has of its own is given to each anew. */
	for (size_t i = 0; i < environment->count; i++)
		if (!text_starts_with(environment->items[i], "SBX"))
			text_list_add(&description->environment, environment->items[i]);
	/* Where layers lie is the pool's, whoever has a world made anew. */
	if (getenv("SBX_UPPER"))
		text_list_take(&description->environment, text_format("SBX_UPPER=%s", getenv("SBX_UPPER")));
	description->settings_file = text_duplicate(given->settings_file);
	description->settings_directory = text_duplicate(given->settings_directory);
	description->settings_text = text_duplicate(given->settings_text);
	description->seed = text_duplicate(given->seed);
}

int pool_write(const struct pool *pool, struct error *error)
{
	const struct pool_description *description = &pool->description;
	owned_fd fd = openat(pool->fd, POOL_NEW_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	owned_buffer out = { 0 };
	int result;

	json_begin_object(&out, NULL);
	json_add_text(&out, "name", description->name);
	json_add_text(&out, "tree", description->tree);
	json_add_number(&out, "workers", description->workers);
	json_add_number(&out, "spares", description->spares);
	json_add_bool(&out, "shared", description->has_shared);
	json_add_bool(&out, "detached", description->is_detached);
	json_add_list(&out, "arguments", &description->arguments);
	json_add_text(&out, "directory", description->directory);
	json_add_list(&out, "environment", &description->environment);
	add_text(&out, "settings_file", description->settings_file);
	add_text(&out, "settings_directory", description->settings_directory);
	add_text(&out, "settings_text", description->settings_text);
	add_text(&out, "seed", description->seed);
	json_end_object(&out);
	text_buffer_add_text(&out, "\n");
	result = fd < 0 ? -errno : fd_write_all(fd, out.bytes, out.length);
	if (result == 0 && renameat(pool->fd, POOL_NEW_FILE, pool->fd, POOL_FILE) < 0)
		result = -errno;
	return result < 0 ? error_set(error, .number = -result, .step = "describe the pool", .object = pool->path) : 0;
}

static int read_description(int fd, struct pool_description *ret_description, struct error *error)
{
	struct pool_description description = { 0 };
	owned_text text = NULL;
	owned_json json = { 0 };
	struct json_value root;
	int64_t workers = 0;
	int64_t spares = 0; /* of one that an earlier version made: none */
	size_t size = 0;
	int result = fd_read_file(fd, POOL_FILE, POOL_FILE_MAX, &text, &size);

	if (result < 0)
		return error_set(error, .number = -result, .step = "read the pool's description", .object = POOL_FILE);
	result = json_read(&json, text, size, error);
	if (result < 0)
		return result;
	root = json_root(&json);
	(void)json_text(json_member(root, "settings_file"), &description.settings_file);
	(void)json_text(json_member(root, "settings_directory"), &description.settings_directory);
	(void)json_text(json_member(root, "settings_text"), &description.settings_text);
	(void)json_text(json_member(root, "seed"), &description.seed);
	(void)json_bool(json_member(root, "detached"), &description.is_detached);
	(void)json_bool(json_member(root, "shared"), &description.has_shared);
	(void)json_number(json_member(root, "spares"), &spares);
	if (json_text(json_member(root, "name"), &description.name) < 0 ||
	    json_text(json_member(root, "tree"), &description.tree) < 0 ||
	    json_text(json_member(root, "directory"), &description.directory) < 0 ||
	    json_list(json_member(root, "arguments"), &description.arguments) < 0 ||
	    json_list(json_member(root, "environment"), &description.environment) < 0 ||
	    json_number(json_member(root, "workers"), &workers) < 0 || workers < 1 || workers > UINT16_MAX ||
	    spares < 0 || spares > POOL_SPARES_MAX) {
		pool_description_release(&description);
		return error_set(error, .number = EBADMSG, .step = "read the pool's description", .object = POOL_FILE);
	}
	description.workers = (unsigned)workers;
	description.spares = (unsigned)spares;
	*ret_description = description;
	return 0;
}

/* Without disturbing who might claim it at the same moment for longer than that. */
static bool is_claimed(int runs_fd, const char *id)
{
	owned_fd fd = openat(runs_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static int open_in(const struct state_paths *places, int state_fd, int runs_fd, const char *id, struct pool *ret_pool,
		   struct error *error)
{
	owned_pool pool = POOL_NONE;
	int result;

	pool.fd = openat(runs_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (pool.fd < 0)
		return error_set(error, .number = errno, .step = "find the pool", .object = id,
				 .cause = errno == ENOENT ? "it has ended" : NULL);
	result = read_description(pool.fd, &pool.description, error);
	if (result < 0)
		return result;
	pool.state_fd = fd_duplicate(state_fd);
	if (pool.state_fd < 0)
		return error_set(error, .number = -pool.state_fd, .step = "find the pool", .object = id);
	text_copy(pool.id, sizeof(pool.id), id);
	pool.path = path_of(places, id);
	pool.is_alive = is_claimed(runs_fd, id);
	*ret_pool = take(&pool);
	return 0;
}

int pool_open(const struct state_paths *places, const char *id, struct pool *ret_pool, struct error *error)
{
	owned_fd state_fd = -1;
	owned_fd runs_fd = -1;
	int result = open_runs(places, STATE_LEAVE, &state_fd, &runs_fd, error);

	return result < 0 ? result : open_in(places, state_fd, runs_fd, id, ret_pool, error);
}

/* ---- finding ---- */

void pool_list_release(struct pool_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		pool_release(&list->items[i]);
	free(list->items);
	*list = (struct pool_list){ 0 };
}

int pool_list(const struct state_paths *places, struct pool_list *ret_list, struct error *error)
{
	struct pool_list list = { 0 };
	owned_fd state_fd = -1;
	owned_fd runs_fd = -1;
	struct dirent **found = NULL;
	int count;

	*ret_list = list;
	if (open_runs(places, STATE_LEAVE, &state_fd, &runs_fd, error) < 0) {
		if (error->number != ENOENT)
			return -error->number;
		*error = (struct error){ 0 };
		return 0;
	}
	count = scandirat(runs_fd, ".", &found, NULL, alphasort);
	list.items = calloc((size_t)MAX(count, 0) + 1, sizeof(*list.items));
	if (!list.items)
		abort();
	/* Ids sort by age. */
	for (int i = count - 1; i >= 0; i--) {
		owned_text file = text_format("%s/" POOL_FILE, found[i]->d_name);

		/* The directories of test runs have none. */
		if (found[i]->d_name[0] != '.' && faccessat(runs_fd, file, F_OK, 0) == 0 &&
		    open_in(places, state_fd, runs_fd, found[i]->d_name, &list.items[list.count], NULL) == 0)
			list.count++;
		free(found[i]);
	}
	free(found);
	*ret_list = list;
	return 0;
}

static int fail_none(const struct pool_list *list, const char *name, const char *directory, struct error *error)
{
	owned_buffer cause = { 0 };

	text_buffer_add_text(&cause, name ? "there is none of that name" : "there is none in this tree");
	for (size_t i = 0; i < list->count && i < NAMES_SHOWN_MAX; i++)
		text_buffer_format(&cause, "%s %s (%s)", i == 0 ? "; there are:" : ",", list->items[i].description.name,
				   list->items[i].description.tree);
	return error_set(error, .number = ENOENT, .step = "find the pool", .object = name ? name : directory,
			 .cause = cause.bytes,
			 .remedy = list->count ? "name it with --name NAME, or start one with 'sbx up -d'"
					       : "start one with 'sbx up -d'");
}

static bool is_meant(const struct pool *pool, const char *name, const char *directory)
{
	return name ? text_equal(pool->description.name, name) || text_equal(pool->id, name)
		    : path_is_below(directory, pool->description.tree);
}

int pool_find(const struct state_paths *places, const char *name, const char *directory, struct pool *ret_pool,
	      struct error *error)
{
	owned_pool_list list = { 0 };
	struct pool *chosen = NULL;
	int result = pool_list(places, &list, error);

	if (result < 0)
		return result;
	for (size_t i = 0; i < list.count; i++) {
		struct pool *pool = &list.items[i];

		if (is_meant(pool, name, directory) && (!chosen || (pool->is_alive && !chosen->is_alive)))
			chosen = pool;
	}
	if (!chosen)
		return fail_none(&list, name, directory, error);
	*ret_pool = take(chosen);
	return 0;
}

/* ---- its worlds ---- */

unsigned pool_places(const struct pool_description *description)
{
	return description->workers + 2 * description->spares;
}

unsigned pool_worlds(const struct pool_description *description)
{
	return pool_places(description) + description->has_shared;
}

char *pool_place_name(const struct pool_description *description, unsigned index)
{
	bool is_spare = index >= description->workers;

	if (index == pool_places(description))
		return text_duplicate("shared");
	return text_format("%c%u", is_spare ? 's' : 'w', is_spare ? index - description->workers : index);
}

char *pool_worker_name(const struct pool *pool, unsigned index)
{
	owned_text place = pool_place_name(&pool->description, index);

	return text_format("%s.%s", pool->description.name, place);
}

int pool_connect(const struct state_paths *places, const struct pool *pool, unsigned index, int *ret_fd,
		 struct error *error)
{
	owned_text name = pool_worker_name(pool, index);
	owned_runtimes runtimes = { 0 };
	int result =
		error_set(error, .number = ENOENT, .step = "reach the worker", .object = name, .cause = "it has ended");

	state_open_runtimes(places, &runtimes);
	for (size_t i = 0; i < runtimes.count; i++) {
		int there = visit_connect(runtimes.fds[i], name, ret_fd, error);

		if (there == 0) {
			if (error)
				*error = (struct error){ 0 };
			return 0;
		}
		if (there != -ENOENT)
			result = there;
	}
	return result;
}

bool pool_is_stopped(const struct pool *pool, unsigned index)
{
	owned_text place = pool_place_name(&pool->description, index);
	owned_text file = text_format("%s/" SERVICES_STOPPED_FILE, place);

	return faccessat(pool->fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int pool_lock_refill(const struct pool *pool, enum pool_refill_wait wait, int *ret_fd, struct error *error)
{
	owned_fd fd = openat(pool->fd, REFILL_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int number = 0;

	if (fd < 0 || RETRY_EINTR(flock(fd, LOCK_EX | (wait == POOL_REFILL_TRY ? LOCK_NB : 0))) < 0)
		number = errno == EWOULDBLOCK ? EBUSY : errno;
	if (number)
		return error_set(error, .number = number, .step = "look after the pool", .object = pool->path);
	*ret_fd = fd_take(&fd);
	return 0;
}

void pool_remove_queues(const struct state_paths *places, const struct pool *pool)
{
	owned_runtimes runtimes = { 0 };

	state_open_runtimes(places, &runtimes);
	for (size_t i = 0; i < runtimes.count; i++)
		queue_remove(runtimes.fds[i], pool->id);
}

int pool_remove(struct pool *pool, struct error *error)
{
	owned_text path = text_format("%s/%s", state_part_name(STATE_RUNS), pool->id);
	owned_fd runs_fd = -1;
	owned_fd claim = -1;
	int result = state_open_part(pool->state_fd, STATE_RUNS, STATE_LEAVE, &runs_fd, error);

	if (result < 0)
		return result;
	fd_close(&pool->fd); /* it may be the claim */
	for (int waited_ms = 0;; waited_ms += REMOVE_POLL_MS) {
		result = claim_take(runs_fd, pool->id, &claim, error);
		if (result != -EBUSY || waited_ms >= REMOVE_WAIT_MS)
			break;
		(void)nanosleep(&(struct timespec){ .tv_nsec = REMOVE_POLL_MS * 1000000L }, NULL);
	}
	if (result == 0)
		result = claim_remove(pool->state_fd, path, claim, error);
	/* Its owner removed it by itself. */
	if (result == -ENOENT && error)
		*error = (struct error){ 0 };
	return result == -ENOENT ? 0 : result;
}

void pool_remove_dead(const struct state_paths *places, const char *tree)
{
	owned_pool_list list = { 0 };
	struct error ignored = { 0 };

	if (pool_list(places, &list, &ignored) < 0)
		return;
	for (size_t i = 0; i < list.count; i++)
		if (!list.items[i].is_alive &&
		    (!list.items[i].description.is_detached || text_equal(list.items[i].description.tree, tree)))
			(void)pool_remove(&list.items[i], NULL);
}
