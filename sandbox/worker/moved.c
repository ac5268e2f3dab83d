/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/moved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "overlay/bundle.h"
#include "overlay/copy.h"
#include "overlay/layers.h"
#include "overlay/seed.h"
#include "sandbox/policy/secrets.h"
#include "sandbox/worker/world.h"

enum { LAYER_NAME_SIZE = 32 };

/* ---- host side ---- */

/* What a tree or HOME may neither be, nor hold, nor lie in. */
static const char *const systems[] = { "/proc", "/sys", "/dev",	  "/etc",   "/boot",   "/bin",
				       "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/run/sbx" };
/* … nor be or hold. */
static const char *const roots[] = { "/usr", "/usr/bin", "/usr/lib", "/usr/share", "/var",
				     "/run", "/tmp",	 "/home",    "/opt" };

static int check_path(const char *path, const char *what, struct error *error)
{
	owned_text normal = path[0] == '/' ? path_normal("/", path) : NULL;
	bool is_bad = !text_equal(normal, path);

	for (size_t i = 0; i < ARRAY_SIZE(systems) && !is_bad; i++)
		is_bad = path_is_below(path, systems[i]) || path_is_below(systems[i], path);
	for (size_t i = 0; i < ARRAY_SIZE(roots) && !is_bad; i++)
		is_bad = path_is_below(roots[i], path);
	if (!is_bad)
		return 0;
	return error_set(error, .number = EBADMSG, .step = what, .object = path,
			 .cause = "no tree or HOME lies at such a path");
}

static bool is_covered(const struct worker_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->homes.count; i++)
		if (path_is_below(path, plan->homes.items[i]) && access(plan->homes.items[i], F_OK) == 0)
			return true;
	return false;
}

int moved_plan_home(struct worker_plan *plan, struct error *error)
{
	const char *home = plan->moved->home;
	int result = home ? check_path(home, "use the HOME of the bundle", error) : 0;

	if (result < 0)
		return result;
	plan->home_source = plan->home;
	plan->home = text_duplicate(home);
	return 0;
}

int moved_plan_tree(struct worker_plan *plan, struct error *error)
{
	const char *tree = plan->spec->tree ? plan->spec->tree : "";
	const char *source = plan->moved->tree;
	size_t count;
	const char *const *stores = secrets_hidden_paths(&count);
	int result = check_path(tree, "use the tree of the bundle", error);

	if (result < 0)
		return result;
	if (text_equal(source, "/"))
		return error_set(error, .number = EINVAL, .step = "use the tree", .object = source,
				 .cause = "the root directory cannot be a tree",
				 .remedy = "name the app's directory with -C DIR");
	for (size_t i = 0; i < count && plan->home_source; i++) {
		owned_text store = path_join(plan->home_source, stores[i]);

		if (path_is_below(source, store))
			return error_set(error, .number = EACCES, .step = "use the tree", .object = source,
					 .cause = "it lies in a store of credentials, which is hidden in every world",
					 .remedy = "name another directory with -C DIR");
	}
	plan->tree = text_duplicate(tree);
	plan->workdir = plan->spec->workdir ? path_normal(tree, plan->spec->workdir) : text_duplicate(tree);
	return 0;
}

void moved_hide(struct worker_plan *plan, const char *path)
{
	if (plan->home && plan->home_source && path_is_below(path, plan->home_source))
		text_list_take(&plan->hidden, path_join(plan->home, path_below(path, plan->home_source)));
	if (path_is_below(path, plan->moved->tree))
		text_list_take(&plan->hidden, path_join(plan->tree, path_below(path, plan->moved->tree)));
}

/* ---- in PID 1 ---- */

/* What mkdir makes a mount point in. */
static bool is_writable(const struct worker_plan *plan, const char *path)
{
	static const char *const places[] = { "/tmp", "/var/tmp", "/run", "/dev/shm" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (path_is_below(path, places[i]))
			return true;
	return is_covered(plan, path) ||
	       (plan->home && !text_equal(path, plan->home) && path_is_below(path, plan->home));
}

/* A mount point that this machine lacks: it is made in an overlay of the nearest directory there is. */
static int ask_for_parent(const struct worker_plan *plan, const char *path, struct layer_request *requests,
			  size_t *count, struct text_list *paths, struct error *error)
{
	owned_text at = text_duplicate(path);

	if (is_writable(plan, path))
		return 0;
	while (access(at, F_OK) < 0) {
		char *parent = path_parent(at);

		text_free(&at);
		at = parent;
	}
	if (text_equal(at, path))
		return 0;
	if (text_equal(at, "/")) {
		owned_text remedy = text_format("make it once: sudo mkdir -p %s", path);

		return error_set(error, .number = ENOENT, .step = "make the mount point", .object = path,
				 .cause = "this machine has no such directory, and its root cannot be changed",
				 .remedy = remedy);
	}
	text_list_add(paths, at);
	requests[(*count)++] =
		(struct layer_request){ .path = paths->items[paths->count - 1], .purpose = LAYER_FOR_OTHER };
	return 0;
}

/* A database beside tree and HOME lies in a directory of its own, of which nothing of this machine shows. */
static int ask_for_database(const struct worker_plan *plan, const char *database, struct layer_request *requests,
			    size_t *count, struct text_list *paths, struct error *error)
{
	owned_text directory = path_parent(database);
	int result;

	if (path_is_below(directory, plan->tree) || (plan->home && path_is_below(directory, plan->home)))
		return 0;
	for (size_t i = 0; i < *count; i++)
		if (text_equal(requests[i].path, directory))
			return 0;
	result = check_path(directory, "use the directory of a database of the bundle", error);
	if (result == 0)
		result = ask_for_parent(plan, directory, requests, count, paths, error);
	if (result < 0)
		return result;
	text_list_add(paths, directory);
	requests[(*count)++] = (struct layer_request){ .path = paths->items[paths->count - 1],
						       .purpose = LAYER_FOR_OTHER,
						       .without_lower = true };
	return 0;
}

int moved_open(struct world *world, struct layer_request *requests, size_t *count, struct text_list *paths,
	       struct error *error)
{
	const struct worker_plan *plan = world->plan;
	int result;

	/* By its path, as the seed is. */
	world->moved_fd = path_open(AT_FDCWD, plan->moved->files, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);
	if (world->moved_fd < 0)
		return error_set(error, .number = -world->moved_fd, .step = "open the files of the bundle",
				 .object = plan->moved->files);
	result = plan->home ? ask_for_parent(plan, plan->home, requests, count, paths, error) : 0;
	if (result == 0)
		result = ask_for_parent(plan, plan->tree, requests, count, paths, error);
	for (size_t i = 0; i < plan->databases.count && result == 0; i++)
		result = ask_for_database(plan, plan->databases.items[i], requests, count, paths, error);
	return result;
}

struct filling {
	const struct world *world;
	const struct layer *layer;
	int seed_fd; /* where the layers' seeds come */
};

/* Each layer has its own, and what is hidden stays so, whatever the bundle has there: a directory of that name would be
 * merged with the one that is to be hidden. */
static int take_entry(void *data, const struct tree_entry *entry, struct error *error)
{
	const struct filling *filling = data;
	const struct layers *layers = &filling->world->layers;
	owned_text path = entry->path[0] ? path_join(filling->layer->path, entry->path) : NULL;

	(void)error;
	if (!path)
		return TREE_TAKE;
	for (size_t i = 0; i < layers->hidden.count; i++)
		if (path_is_below(path, layers->hidden.items[i]))
			return TREE_SKIP;
	for (size_t i = 0; i < filling->world->plan->hidden.count; i++)
		if (path_is_below(path, filling->world->plan->hidden.items[i]))
			return TREE_SKIP;
	return layers_find(layers, path) == filling->layer ? TREE_TAKE : TREE_SKIP;
}

/* What belongs into one layer, and what that began from, which the layer then is compared with. */
static int fill_layer(struct world *world, struct filling *filling, int base_fd, size_t number, struct error *error)
{
	struct layer *layer = &world->layers.items[number];
	const struct layer_copy_options options = { .filter = take_entry, .filter_data = filling };
	owned_text path = text_format(BUNDLE_FILES "%s", layer->path);
	owned_text seed_path = text_format(BUNDLE_SEED "%s", layer->path);
	owned_fd fd = path_open(world->moved_fd, path, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	owned_fd seed_fd = path_open(world->moved_fd, seed_path, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	char name[LAYER_NAME_SIZE];
	int result = 0;

	if ((fd < 0 && fd != -ENOENT) || (seed_fd < 0 && seed_fd != -ENOENT))
		return error_set(error, .number = fd < 0 && fd != -ENOENT ? -fd : -seed_fd,
				 .step = "take the files of the bundle", .object = layer->path);
	(void)snprintf(name, sizeof(name), "upper-%zu", number);
	if (fd >= 0)
		result = layer_merge(&options, fd, base_fd, name, NULL, error);
	if (result == 0 && seed_fd >= 0)
		result = layer_copy(&options, seed_fd, filling->seed_fd, name, NULL, error);
	if (result < 0 || seed_fd < 0)
		return result;
	layer->seed_fd = openat(filling->seed_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return layer->seed_fd < 0
		       ? error_set(error, .number = errno, .step = "take the seed of the bundle", .object = layer->path)
		       : 0;
}

int moved_fill(struct world *world, int base_fd, struct error *error)
{
	struct filling filling = { .world = world };
	owned_fd seed_fd = mkdirat(base_fd, SEED_BESIDE, 0700) < 0
				   ? -errno
				   : path_open(base_fd, SEED_BESIDE, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	int result = 0;

	if (seed_fd < 0)
		return error_set(error, .number = -seed_fd, .step = "make a directory for the seed of the bundle");
	filling.seed_fd = seed_fd;
	for (size_t i = 0; i < world->layers.count && result == 0; i++) {
		filling.layer = &world->layers.items[i];
		if (filling.layer->kind != LAYER_BIND)
			result = fill_layer(world, &filling, base_fd, i, error);
		if (result < 0)
			(void)error_context(error, "files of %s", filling.layer->path);
	}
	if (result == 0)
		fd_close(&world->moved_fd);
	return result;
}
