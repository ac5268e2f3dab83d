/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/mount.h"
#include "base/number.h"
#include "base/path.h"
#include "base/tree.h"
#include "overlay/copy.h"
#include "overlay/database.h"
#include "overlay/seed.h"
#include "sandbox/worker/moved.h"

/* Directories of the scratch, by name below it. */
static const struct {
	const char *name;
	mode_t mode;
} scratch_directories[] = {
	{ "layers", 0700 }, { "tmp", 01777 }, { "var-tmp", 01777 }, { "run", 0755 },   { "shm", 01777 },
	{ "dev", 0755 },    { "etc", 0755 },  { "homes", 0755 },    { "empty", 0555 },
};

/* Where the scratch may be mounted at first: each is covered by one of its own directories in the end. */
static const char *const scratch_places[] = { "/run", "/tmp", "/var/tmp", "/dev/shm" };

/* What the world sees at the private places; the scratch's own place comes last, since it hides the scratch. */
static const struct {
	const char *target;
	const char *name;
} private_directories[] = {
	{ "/tmp", "tmp" },
	{ "/var/tmp", "var-tmp" },
	{ "/dev/shm", "shm" },
	{ "/run", "run" },
};

static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };

static const struct {
	const char *name;
	const char *target;
} device_links[] = {
	{ "ptmx", "pts/ptmx" },		 { "fd", "/proc/self/fd" },	  { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
};

/* With the host's uid 0 the files of /proc that set the kernel are writable by their mode alone (proc_sys_permission()
 * asks for no capability): container runtimes make these read-only or hide them, and so do we. */
static const char *const proc_read_only[] = { "bus", "fs", "irq", "sys", "sysrq-trigger", "acpi", "asound", "scsi" };
static const char *const proc_hidden[] = { "kcore",	  "keys",	 "latency_stats", "timer_list",
					   "timer_stats", "sched_debug", "kmsg",	  "kallsyms" };

/* Binds a directory of the scratch; to be used only before the scratch is covered. */
static int bind_scratch(const struct world *world, const char *name, const char *target)
{
	char source[64];

	(void)snprintf(source, sizeof(source), "%s/%s", world->scratch, name);
	return mount(source, target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int open_scratch(const struct world *world, const char *name, int flags)
{
	int fd = openat(world->scratch_fd, name, flags | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* ---- sources, taken while the host's root is still as it was ---- */

static bool is_private_place(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(private_directories); i++)
		if (path_is_below(path, private_directories[i].target))
			return true;
	return false;
}

/* Whether the world has the host's names there, too. */
static bool shows_host(const struct worker_plan *plan, const char *path)
{
	return !is_private_place(path) || path_is_below(path, plan->tree) ||
	       (plan->home && path_is_below(path, plan->home));
}

static int open_directory(const char *path, const char *step, int *ret_fd, char **ret_real, struct error *error)
{
	owned_fd fd = path_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);
	int result = fd < 0 ? fd : path_of_fd(fd, ret_real);

	if (result < 0)
		return error_set(error, .number = -result, .step = step, .object = path);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int take_volume(const struct worker_plan *plan, const struct volume *volume, struct world_volume *ret,
		       struct error *error)
{
	int result;

	ret->fd = -1;
	ret->target = path_normal(plan->tree, volume->target);
	switch (volume->kind) {
	case VOLUME_READ_ONLY:
	case VOLUME_READ_WRITE:
		ret->fd = mount_clone(AT_FDCWD, volume->source, MOUNT_RECURSIVE);
		if (ret->fd < 0)
			return error_set(error, .number = -ret->fd, .step = "take the volume",
					 .object = volume->source);
		return 0;
	case VOLUME_OVERLAY:
		result = open_directory(volume->source, "take the volume", &ret->fd, &ret->source, error);
		fd_close(&ret->fd); /* layers_open() opens it; this was for its name */
		break;
	case VOLUME_COPY:
		result = open_directory(ret->target, "copy the directory", &ret->fd, &ret->source, error);
		break;
	default:
		return 0;
	}
	if (result < 0)
		return result;
	/* A layer has its place by its real name, in which other layers are found. In a private place names are
	 * ours. */
	if (volume->kind == VOLUME_COPY || shows_host(plan, ret->target)) {
		char *real = NULL;

		if (path_canonical(ret->target, &real) == 0) {
			text_free(&ret->target);
			ret->target = real;
		}
	}
	return 0;
}

/* The directory on disk by its path: the plan's descriptor belongs to the host's mount namespace, and what overlayfs is
 * given must be of this one (finding 9). Cloned before the root is made read-only, which it would be, too. */
static int take_disk(struct world *world, struct error *error)
{
	owned_text path = NULL;
	owned_fd there_fd = -1;
	struct stat own = { 0 };
	struct stat there = { 0 };
	int result;

	world->disk_fd = -1;
	if (world->plan->upper_fd < 0)
		return 0;
	result = path_of_fd(world->plan->upper_fd, &path);
	if (result == 0)
		there_fd = mount_clone(AT_FDCWD, path, 0);
	if (result == 0 && there_fd < 0)
		result = there_fd;
	if (result == 0 && (fstat(world->plan->upper_fd, &own) < 0 || fstat(there_fd, &there) < 0))
		result = -errno;
	if (result == 0 && (own.st_dev != there.st_dev || own.st_ino != there.st_ino))
		result = -ESTALE;
	if (result == 0)
		result = mount_restrict(there_fd, "", MOUNT_NO_SUID | MOUNT_NO_DEVICES | MOUNT_PRIVATE);
	if (result < 0)
		return error_set(error, .number = -result, .step = "take the directory of the writable layer",
				 .object = path ? path : "");
	world->disk_fd = fd_take(&there_fd);
	return 0;
}

int rootfs_take_volumes(struct world *world, struct error *error)
{
	const struct volume_list *volumes = &world->plan->spec->volumes;
	int result = take_disk(world, error);

	world->volumes = calloc(volumes->count + 1, sizeof(*world->volumes));
	if (!world->volumes)
		abort();
	for (size_t i = 0; i < volumes->count && result == 0; i++)
		result = take_volume(world->plan, &volumes->items[i], &world->volumes[i], error);
	return result;
}

/* What the layers start from, by its path: the plan's descriptors belong to the host's mount namespace. A kept worker
 * has what it started from beside its layers. */
static int take_seed(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;
	owned_fd seed_fd = -1;
	int result;

	if (!plan->seed && !plan->is_entered_again)
		return 0;
	seed_fd = plan->seed ? path_open(AT_FDCWD, plan->seed->path, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW)
			     : path_open(world->disk_fd, SEED_BESIDE, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	if (!plan->seed && seed_fd == -ENOENT)
		return 0;
	if (seed_fd < 0)
		return error_set(error, .number = -seed_fd, .step = "open the seed",
				 .object = plan->seed ? plan->seed->path : SEED_BESIDE);
	result = layers_take_seed(&world->layers, seed_fd, plan->seed ? SEED_STARTS : SEED_COMPARES, error);
	/* What --copy filled in is the seed's by now; directories in it can be renamed in the writable layer only. */
	for (size_t i = 0; i < plan->spec->volumes.count && result == 0; i++) {
		struct layer *layer = layers_find(&world->layers, world->volumes[i].target);

		if (plan->spec->volumes.items[i].kind == VOLUME_COPY && layer)
			layer->is_stacked = false;
	}
	return result < 0 && plan->seed ? error_context(error, "seed %s", plan->seed->path) : result;
}

int rootfs_open_layers(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;
	struct layer_request *requests =
		calloc(2 * plan->databases.count + plan->spec->volumes.count + 4, sizeof(*requests));
	owned_list directories = { 0 };
	const struct layers_skip skip = { .paths = &plan->hidden, .databases = &plan->databases };
	size_t count = 0;
	int result = 0;

	if (!requests)
		abort();
	if (plan->home)
		requests[count++] = (struct layer_request){ .path = plan->home,
							    .source = plan->home_source,
							    .purpose = LAYER_FOR_HOME,
							    .without_lower = plan->spec->home == HOME_EMPTY ||
									     (plan->moved && !plan->home_source) };
	requests[count++] = (struct layer_request){ .path = plan->tree,
						    .source = plan->moved ? plan->moved->tree : NULL,
						    .purpose = LAYER_FOR_TREE };
	if (plan->moved)
		result = moved_open(world, requests, &count, &directories, error);
	for (size_t i = 0; i < plan->databases.count && !plan->moved; i++) {
		text_list_take(&directories, path_parent(plan->databases.items[i]));
		requests[count++] = (struct layer_request){ .path = directories.items[directories.count - 1],
							    .purpose = LAYER_FOR_OTHER };
	}
	for (size_t i = 0; i < plan->spec->volumes.count; i++) {
		const struct world_volume *volume = &world->volumes[i];

		if (plan->spec->volumes.items[i].kind == VOLUME_OVERLAY)
			requests[count++] = (struct layer_request){ .path = volume->target,
								    .source = text_equal(volume->source, volume->target)
										      ? NULL
										      : volume->source,
								    .purpose = LAYER_FOR_OTHER };
		else if (plan->spec->volumes.items[i].kind == VOLUME_COPY)
			requests[count++] = (struct layer_request){ .path = volume->target, .purpose = LAYER_FOR_COPY };
	}
	if (result == 0)
		result = layers_open(&world->layers, requests, count, &skip, LAYERS_IN_A_WORLD, error);
	free(requests);
	return result < 0 ? result : take_seed(world, error);
}

int rootfs_seal_host(struct world *world, struct error *error)
{
	int result;

	(void)world;
	result = mount_restrict(AT_FDCWD, "/", MOUNT_RECURSIVE | MOUNT_READ_ONLY | MOUNT_NO_SUID | MOUNT_PRIVATE);
	if (result < 0)
		return error_set(error, .number = -result, .step = "make the root read-only", .object = "/");
	return 0;
}

/* ---- the scratch ---- */

static bool is_usable_scratch_place(const struct worker_plan *plan, const char *place)
{
	struct stat status;

	if (lstat(place, &status) < 0 || !S_ISDIR(status.st_mode))
		return false;
	/* Databases are opened by their paths after the scratch was mounted: they must not be covered by it. */
	for (size_t i = 0; i < plan->databases.count; i++)
		if (path_is_below(plan->databases.items[i], place))
			return false;
	return true;
}

/* Over the scratch's directory "layers": covered with it in the end, so that no path leads there (finding 55). */
static int attach_disk(struct world *world, struct error *error)
{
	owned_fd target_fd = -1;
	int result;

	if (world->disk_fd < 0)
		return 0;
	target_fd = open_scratch(world, "layers", O_PATH | O_DIRECTORY);
	result = target_fd < 0 ? target_fd : mount_attach(world->disk_fd, target_fd);
	if (result < 0)
		return error_set(error, .number = -result, .step = "attach the directory of the writable layer");
	return 0;
}

/* A full scratch, told by the flag that sizes it. */
static int explain_space(const struct world *world, struct error *error)
{
	char size[32];

	if (error->number != ENOSPC && error->number != EDQUOT)
		return -error->number;
	if (world->disk_fd >= 0) {
		text_copy(error->cause, sizeof(error->cause), "the disk that holds the writable layer is full");
		text_copy(error->remedy, sizeof(error->remedy),
			  "free some of it, or name another place with --scratch DIR");
		return -error->number;
	}
	(void)snprintf(error->cause, sizeof(error->cause),
		       "the writable layer is full: it holds %s and %llu files and directories",
		       number_format_size(world->plan->scratch_bytes_max, size, sizeof(size)),
		       (unsigned long long)world->plan->scratch_inodes_max);
	text_copy(error->remedy, sizeof(error->remedy),
		  "raise it with --size N (bytes; k, m, g) or --inodes N, or put it on disk with --scratch DIR");
	return -error->number;
}

int rootfs_mount_scratch(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;
	char options[96];

	for (size_t i = 0; i < ARRAY_SIZE(scratch_places) && !world->scratch; i++)
		if (is_usable_scratch_place(plan, scratch_places[i]))
			world->scratch = scratch_places[i];
	if (!world->scratch)
		return error_set(
			error, .number = ENOENT, .step = "mount the scratch",
			.cause = "none of /run, /tmp, /var/tmp, /dev/shm is a directory that holds no named database",
			.remedy = "name databases of at most three of them");
	(void)snprintf(options, sizeof(options), "mode=0755,size=%llu,nr_inodes=%llu",
		       (unsigned long long)plan->scratch_bytes_max, (unsigned long long)plan->scratch_inodes_max);
	if (mount("scratch", world->scratch, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return error_set(error, .number = errno, .step = "mount the scratch", .object = world->scratch);
	world->scratch_fd = open(world->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (world->scratch_fd < 0)
		return error_set(error, .number = errno, .step = "open the scratch", .object = world->scratch);
	for (size_t i = 0; i < ARRAY_SIZE(scratch_directories); i++)
		if (mkdirat(world->scratch_fd, scratch_directories[i].name, scratch_directories[i].mode) < 0 ||
		    ((scratch_directories[i].mode & 01000) &&
		     fchmodat(world->scratch_fd, scratch_directories[i].name, scratch_directories[i].mode, 0) < 0)) {
			(void)error_set(error, .number = errno, .step = "make a directory of the scratch",
					.object = scratch_directories[i].name);
			return explain_space(world, error);
		}
	return attach_disk(world, error);
}

/* ---- the writable layers ---- */

/* Leaves out credentials and what is copied as a database. */
struct copying {
	const struct layers_skip *left_out;
	const char *path; /* of the directory that is copied */
};

static int take_copied_entry(void *data, const struct tree_entry *entry, struct error *error)
{
	const struct copying *copying = data;
	owned_text path = path_join(copying->path, entry->path);

	(void)error;
	return layers_skips(copying->left_out, path) ? TREE_SKIP : TREE_TAKE;
}

/* --copy: the directory as files of the writable layer's own, so that nothing of it is looked up below. */
static int fill_copy(struct world *world, const struct world_volume *volume, struct error *error)
{
	const struct layer *layer = layers_find(&world->layers, volume->target);
	struct copying copying = { .left_out = &world->layers.skip, .path = volume->target };
	const struct tree_copy_options options = { .cross_mounts = true,
						   .keep_setid = true,
						   .skip_devices = true,
						   .force_access = true,
						   .filter = take_copied_entry,
						   .attribute_filter = layer_plain_attribute,
						   .filter_data = &copying };
	owned_fd parent_fd = -1;
	const char *name = ".";
	int result;

	for (size_t i = 0; i < world->plan->hidden.count; i++)
		if (path_is_below(volume->target, world->plan->hidden.items[i]))
			return error_set(
				error, .number = EACCES, .step = "copy the directory", .object = volume->target,
				.cause = "it lies in a directory that is hidden in every world: credentials, or "
					 "sbx's own state");

	if (!text_equal(layer->path, volume->target)) {
		result = layers_place(&world->layers, volume->target, &parent_fd, &name);
		if (result < 0)
			return error_set(error, .number = -result, .step = "copy the directory",
					 .object = volume->target);
	}
	result = tree_copy(&options, volume->fd, ".", parent_fd < 0 ? layer->upper_fd : parent_fd, name, NULL, error);
	if (result < 0) {
		(void)explain_space(world, error);
		return error_context(error, "--copy %s", volume->target);
	}
	return layer->kind == LAYER_OVERLAY
		       ? layer_make_opaque(parent_fd < 0 ? layer->upper_fd : parent_fd, name, error)
		       : 0;
}

static int fill_copies(struct world *world, struct error *error)
{
	const struct volume_list *volumes = &world->plan->spec->volumes;
	int result = 0;

	for (size_t i = 0; i < volumes->count && result == 0; i++)
		if (volumes->items[i].kind == VOLUME_COPY)
			result = fill_copy(world, &world->volumes[i], error);
	return result;
}

/* What lies beside the original belongs to its connections: with the copy it would be another database. */
static int hide_sidecars(struct world *world, const char *path, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(database_sidecars) && result >= 0; i++) {
		owned_text sidecar = text_format("%s%s", path, database_sidecars[i]);

		result = layers_hide(&world->layers, sidecar, error);
	}
	return result;
}

/* @detail  taken over */
static struct world_database *add_database(struct world *world, const char *path, char *detail)
{
	struct world_database *database;

	world->databases = reallocarray(world->databases, world->database_count + 1, sizeof(*world->databases));
	if (!world->databases)
		abort();
	database = &world->databases[world->database_count++];
	*database = (struct world_database){ .path = text_duplicate(path), .detail = detail };
	return database;
}

static int copy_database(struct world *world, const char *path, struct error *error)
{
	struct database_snapshot_request request = {
		.source = path,
		.verify_full = world->plan->spec->verify_databases,
		.fix_ef_lock = world->plan->spec->fix_ef_lock,
	};
	struct database_report report;
	owned_fd parent_fd = -1;
	int result;

	result = layers_place(&world->layers, path, &parent_fd, &request.target_name);
	if (result < 0)
		return error_set(error, .number = -result, .step = "place the database", .object = path);
	request.target_fd = parent_fd;
	result = database_snapshot(&request, &report, error);
	if (result < 0)
		return explain_space(world, error);
	result = hide_sidecars(world, path, error);
	if (result < 0)
		return result;
	world_database_note(add_database(world, path,
					 text_format("%llu bytes, %s, %llu us", (unsigned long long)report.bytes,
						     report.journal_mode, (unsigned long long)report.duration_us)),
			    parent_fd, request.target_name);
	if (report.ef_lock_found && !report.ef_lock_fixed)
		world_note(world, "stale EF Core migrations lock",
			   "__EFMigrationsLock holds a row: Migrate() will wait for ever; start with --fix-ef-lock");
	return 0;
}

/* A database of the seed at rest, checked when that was made: its file is all there is of it. Where the layer is not
 * stacked it is in place already. */
static int take_seed_database(struct world *world, const char *path, struct error *error)
{
	static const struct tree_copy_options options = { .attribute_filter = layer_plain_attribute };
	const struct layer *layer = layers_find(&world->layers, path);
	owned_text below = NULL;
	owned_text parent = NULL;
	owned_fd seed_fd = -1;
	owned_fd parent_fd = -1;
	struct stat status;
	const char *name;
	int result;

	if (!layer || layer->seed_fd < 0 || text_equal(layer->path, path))
		return error_set(error, .number = EBADMSG, .step = "take the database of the seed", .object = path,
				 .cause = "the seed has no such directory");
	below = text_duplicate(path_below(path, layer->path));
	parent = path_parent(below);
	seed_fd = path_open(layer->seed_fd, parent, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	result = seed_fd < 0 ? seed_fd : layers_place(&world->layers, path, &parent_fd, &name);
	if (result >= 0 && fstatat(seed_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		result = -errno;
	if (result >= 0 && !S_ISREG(status.st_mode))
		result = -EBADMSG;
	if (result < 0)
		return error_set(error, .number = -result, .step = "take the database of the seed", .object = path);
	if (layer->is_stacked) {
		result = tree_copy(&options, seed_fd, name, parent_fd, name, NULL, error);
		if (result < 0) {
			(void)explain_space(world, error);
			return error_context(error, "database %s", path);
		}
	}
	result = hide_sidecars(world, path, error);
	if (result < 0)
		return result;
	world_database_note(
		add_database(world, path, text_format("%llu bytes, from the seed", (unsigned long long)status.st_size)),
		parent_fd, name);
	return 0;
}

/* Those that are named, and were not in the seed's world any more, are not in this one; nor are their sidecars. */
static int fill_from_seed(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;
	int result = 0;

	for (size_t i = 0; i < plan->databases.count && result >= 0; i++)
		result = hide_sidecars(world, plan->databases.items[i], error);
	for (size_t i = 0; i < plan->seed->databases.count && result >= 0; i++)
		result = take_seed_database(world, plan->seed->databases.items[i], error);
	return result;
}

static int fill_databases(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;
	bool is_filled = plan->is_entered_again || plan->moved;
	int result = 0;

	if (plan->seed && !plan->is_entered_again)
		return fill_from_seed(world, error);
	for (size_t i = 0; i < plan->databases.count && result >= 0; i++)
		result = is_filled ? hide_sidecars(world, plan->databases.items[i], error)
				   : copy_database(world, plan->databases.items[i], error);
	if (is_filled) {
		world->databases = plan->moved ? plan->moved->databases : plan->noted_databases;
		world->database_count = plan->moved ? plan->moved->database_count : plan->noted_count;
	}
	return result;
}

/* The decision was made on the host, on another file system of the same kind: looked at once more, since an overlay on
 * one without user attributes mounts and then breaks (finding 35). */
static int probe_layers(const struct world *world, int base_fd, struct error *error)
{
	int result = layer_probe_xattr(base_fd);

	if (result == 1)
		return 0;
	if (result < 0)
		return error_set(error, .number = -result, .step = "use the writable layer",
				 .object = world->disk_fd >= 0 ? "" : "tmpfs");
	return error_set(error, .number = EOPNOTSUPP, .step = "use the writable layer",
			 .object = world->disk_fd >= 0 ? "" : "tmpfs",
			 .cause = "its file system takes no user attributes, which overlayfs needs",
			 .remedy = world->disk_fd >= 0 ? "name a directory on another file system with --scratch DIR"
						       : "put it on disk: set SBX_UPPER=disk, or name a place with "
							 "--scratch DIR");
}

int rootfs_fill_layers(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;
	owned_fd base_fd = open_scratch(world, "layers", O_RDONLY | O_DIRECTORY);
	int result;

	if (base_fd < 0)
		return error_set(error, .number = -base_fd, .step = "open the scratch", .object = "layers");
	result = probe_layers(world, base_fd, error);
	if (result == 0 && layers_prepare(&world->layers, base_fd, error) < 0)
		result = explain_space(world, error);
	if (result == 0 && !plan->is_entered_again && !plan->seed && !plan->moved)
		result = fill_copies(world, error);
	for (size_t i = 0; i < plan->hidden.count && result >= 0; i++)
		result = layers_hide(&world->layers, plan->hidden.items[i], error);
	if (result >= 0)
		result = fill_databases(world, error);
	if (result >= 0 && plan->moved && moved_fill(world, base_fd, error) < 0)
		result = explain_space(world, error);
	return result < 0 ? result : 0;
}

/* What is to be hidden but lies in no writable layer: the state directory elsewhere than in HOME, credentials in the
 * read-only part of a split HOME, or where a symlink leads. */
static int cover_outside(struct world *world, struct error *error)
{
	const struct text_list *outside = &world->layers.outside;

	for (size_t i = 0; i < outside->count; i++) {
		owned_fd target_fd = path_open(AT_FDCWD, outside->items[i], O_PATH, 0, PATH_FOLLOW);
		owned_fd empty_fd = -1;
		struct stat status;
		int result;

		if (target_fd == -ENOENT || target_fd == -ENOTDIR || target_fd == -EACCES)
			continue; /* not to be seen anyway */
		if (target_fd < 0 || fstat(target_fd, &status) < 0)
			return error_set(error, .number = target_fd < 0 ? -target_fd : errno,
					 .step = "hide the credentials", .object = outside->items[i]);
		empty_fd = S_ISDIR(status.st_mode)
				   ? open_scratch(world, "empty", O_PATH | O_DIRECTORY)
				   : openat(world->scratch_fd, "etc/empty", O_RDONLY | O_CREAT | O_CLOEXEC, 0000);
		result = empty_fd < 0 ? -errno : mount_bind(empty_fd, target_fd, MOUNT_READ_ONLY | MOUNT_NO_SUID);
		if (result < 0)
			return error_set(error, .number = -result, .step = "hide the credentials",
					 .object = outside->items[i]);
	}
	return 0;
}

int rootfs_mount_layers(struct world *world, struct error *error)
{
	int result = layers_mount(&world->layers, error);

	return result < 0 ? result : cover_outside(world, error);
}

/* ---- /dev, /proc, /sys ---- */

/* They are put together where the scratch holds /dev, which for that becomes a mount, and is moved over the host's: one
 * call each, where a detached clone would take five. */
int rootfs_mount_devices(struct world *world, struct error *error)
{
	owned_fd dev_fd = open_scratch(world, "dev", O_RDONLY | O_DIRECTORY);
	char place[64];

	if (dev_fd < 0)
		return error_set(error, .number = -dev_fd, .step = "open the scratch", .object = "dev");
	(void)snprintf(place, sizeof(place), "%s/dev", world->scratch);
	if (mount(place, place, NULL, MS_BIND, NULL) < 0)
		return error_set(error, .number = errno, .step = "mount /dev", .object = "/dev");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		char target[96];
		char path[32];

		if (mknodat(dev_fd, devices[i], S_IFREG | 0600, 0) < 0)
			return error_set(error, .number = errno, .step = "make the device", .object = devices[i]);
		(void)snprintf(path, sizeof(path), "/dev/%s", devices[i]);
		(void)snprintf(target, sizeof(target), "%s/%s", place, devices[i]);
		if (mount(path, target, NULL, MS_BIND, NULL) < 0)
			return error_set(error, .number = errno, .step = "attach the device", .object = path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(device_links); i++)
		if (symlinkat(device_links[i].target, dev_fd, device_links[i].name) < 0)
			return error_set(error, .number = errno, .step = "make the link in /dev",
					 .object = device_links[i].name);
	if (mkdirat(dev_fd, "pts", 0755) < 0 || mkdirat(dev_fd, "shm", 01777) < 0)
		return error_set(error, .number = errno, .step = "make the directories of /dev");
	if (mount(place, "/dev", NULL, MS_MOVE, NULL) < 0)
		return error_set(error, .number = errno, .step = "mount /dev", .object = "/dev");
	if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620") < 0)
		return error_set(error, .number = errno, .step = "mount the private terminals", .object = "/dev/pts");
	return 0;
}

int rootfs_mount_proc(struct world *world, struct error *error)
{
	(void)world;
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) < 0)
		return error_set(error, .number = errno, .step = "mount a fresh /proc", .object = "/proc");
	return 0;
}

int rootfs_protect_proc(struct world *world, struct error *error)
{
	if (world->plan->identity.uid != 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(proc_read_only); i++) {
		char path[64];
		int result;

		(void)snprintf(path, sizeof(path), "/proc/%s", proc_read_only[i]);
		if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0) {
			if (errno == ENOENT)
				continue;
			return error_set(error, .number = errno, .step = "protect the kernel's settings",
					 .object = path);
		}
		result = mount_restrict(AT_FDCWD, path, MOUNT_RECURSIVE | MOUNT_READ_ONLY);
		if (result < 0)
			return error_set(error, .number = -result, .step = "protect the kernel's settings",
					 .object = path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(proc_hidden); i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/%s", proc_hidden[i]);
		if (mount("/dev/null", path, NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
			return error_set(error, .number = errno, .step = "hide the kernel's secrets", .object = path);
	}
	return 0;
}

int rootfs_mount_sys(struct world *world, struct error *error)
{
	/* A sysfs shows the network namespace of its mounter, who must own that: with the host's network it stays the
	 * host's, read-only like all of the root. */
	if (world->plan->spec->network == NETWORK_HOST)
		return 0;
	if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL) < 0)
		return error_set(error, .number = errno, .step = "mount a fresh /sys", .object = "/sys");
	return 0;
}

/* ---- private directories ---- */

static int cover_private(struct world *world, const char *target, const char *name, struct error *error)
{
	struct stat status;
	int result;

	if (lstat(target, &status) < 0)
		return 0; /* the host has none: nothing to cover */
	if (S_ISLNK(status.st_mode)) {
		owned_text real = NULL;

		/* /var/tmp -> /tmp and the like: private already if it leads to a private place. */
		if (path_canonical(target, &real) == 0)
			for (size_t i = 0; i < ARRAY_SIZE(private_directories); i++)
				if (text_equal(real, private_directories[i].target))
					return 0;
		return error_set(error, .number = ELOOP, .step = "mount a private directory", .object = target,
				 .cause = "it is a symlink to a place that is not private",
				 .remedy = "make it a directory on this host");
	}
	result = bind_scratch(world, name, target);
	if (result < 0)
		return error_set(error, .number = -result, .step = "mount a private directory", .object = target);
	return 0;
}

static int cover_homes(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;

	for (size_t i = 0; i < plan->homes.count; i++) {
		char name[32];
		struct stat status;
		int result;

		if (lstat(plan->homes.items[i], &status) < 0 || !S_ISDIR(status.st_mode))
			continue;
		(void)snprintf(name, sizeof(name), "homes/%zu", i);
		if (mkdirat(world->scratch_fd, name, 0755) < 0)
			return error_set(error, .number = errno, .step = "make a directory of the scratch",
					 .object = name);
		result = bind_scratch(world, name, plan->homes.items[i]);
		if (result < 0)
			return error_set(error, .number = -result, .step = "cover the homes of others",
					 .object = plan->homes.items[i]);
	}
	return 0;
}

int rootfs_mount_private(struct world *world, struct error *error)
{
	uint64_t shm_bytes = world->plan->spec->shm_bytes;
	const char *own_name = NULL;
	int result = cover_homes(world, error);

	for (size_t i = 0; i < ARRAY_SIZE(private_directories) && result >= 0; i++) {
		if (text_equal(private_directories[i].target, world->scratch))
			own_name = private_directories[i].name;
		else
			result =
				cover_private(world, private_directories[i].target, private_directories[i].name, error);
	}
	/* Last, since no path leads to the scratch any more after that. */
	if (result >= 0)
		result = cover_private(world, world->scratch, own_name, error);
	if (result >= 0 && shm_bytes > 0) {
		char options[64];

		(void)snprintf(options, sizeof(options), "mode=1777,size=%llu", (unsigned long long)shm_bytes);
		if (mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
			result = error_set(error, .number = errno, .step = "mount the shared memory",
					   .object = "/dev/shm");
	}
	if (result >= 0 && !world->plan->home && mkdir(HOME_WITHOUT, 0700) < 0)
		result = error_set(error, .number = errno, .step = "make an empty HOME", .object = HOME_WITHOUT);
	return result;
}

/* ---- files of /etc, sockets, volumes ---- */

static int bind_text(struct world *world, const char *name, const char *text, const char *target, struct error *error)
{
	owned_fd source_fd = openat(world->scratch_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	owned_fd target_fd = -1;
	int result;

	if (source_fd < 0)
		return error_set(error, .number = errno, .step = "write the file", .object = target);
	result = fd_write_all(source_fd, text, strlen(text));
	if (result < 0)
		return error_set(error, .number = -result, .step = "write the file", .object = target);
	target_fd = path_open(AT_FDCWD, target, O_PATH, 0, PATH_FOLLOW);
	if (target_fd == -ENOENT)
		return 0; /* a host without it: programs there expect none */
	result = target_fd < 0 ? target_fd : mount_bind(source_fd, target_fd, MOUNT_READ_ONLY | MOUNT_NO_SUID);
	if (result < 0)
		return error_set(error, .number = -result, .step = "mount the file", .object = target);
	return 0;
}

/* With systemd-resolved and its like the file is a link into /run, which is private here: to nothing, so far. */
static void make_resolv_conf(void)
{
	char link[PATH_MAX];
	ssize_t length = readlink("/etc/resolv.conf", link, sizeof(link) - 1);
	owned_text path = NULL;
	int fd;

	if (length <= 0)
		return;
	link[length] = '\0';
	path = path_normal("/etc", link);
	fd = layers_open_target(path, true); /* what cannot be made is told when it is mounted upon */
	fd_close(&fd);
}

int rootfs_write_etc(struct world *world, struct error *error)
{
	const struct worker_plan *plan = world->plan;
	int result = bind_text(world, "etc/hosts", plan->hosts, "/etc/hosts", error);

	if (result == 0 && plan->identity.passwd_text)
		result = bind_text(world, "etc/passwd", plan->identity.passwd_text, "/etc/passwd", error);
	if (result == 0 && plan->identity.group_text)
		result = bind_text(world, "etc/group", plan->identity.group_text, "/etc/group", error);
	if (result == 0 && plan->resolv_conf) {
		make_resolv_conf();
		result = bind_text(world, "etc/resolv.conf", plan->resolv_conf, "/etc/resolv.conf", error);
	}
	return result;
}

int rootfs_cover_sockets(struct world *world, struct error *error)
{
	const struct text_list *covered = &world->plan->covered;
	owned_fd empty_fd = -1;

	if (covered->count == 0)
		return 0;
	empty_fd = openat(world->scratch_fd, "etc/socket", O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0000);
	if (empty_fd < 0)
		return error_set(error, .number = errno, .step = "cover the host's sockets");
	for (size_t i = 0; i < covered->count; i++) {
		owned_fd target_fd = open(covered->items[i], O_PATH | O_NOFOLLOW | O_CLOEXEC);
		struct stat status;

		/* Best effort: sockets come and go, and what this user cannot reach needs no cover. A socket reached
		 * through an overlay refuses by itself (finding 50). */
		if (target_fd < 0 || fstat(target_fd, &status) < 0 || !S_ISSOCK(status.st_mode) ||
		    layers_find(&world->layers, covered->items[i]))
			continue;
		(void)mount_bind(empty_fd, target_fd, MOUNT_READ_ONLY);
	}
	return 0;
}

static int attach_volume(struct world *world, size_t index, struct error *error)
{
	const struct volume *volume = &world->plan->spec->volumes.items[index];
	const char *target_path = world->volumes[index].target;
	owned_fd volume_fd = world->volumes[index].fd;
	owned_fd target_fd = -1;
	struct stat status = { .st_mode = S_IFDIR };
	int result;

	world->volumes[index].fd = -1;
	if (volume->kind == VOLUME_OVERLAY || volume->kind == VOLUME_COPY)
		return 0; /* layers already */
	if (volume_fd >= 0 && fstat(volume_fd, &status) < 0)
		return error_set(error, .number = errno, .step = "look at the volume", .object = volume->source);
	target_fd = layers_open_target(target_path, !S_ISDIR(status.st_mode));
	if (target_fd == -EROFS)
		return error_set(error, .number = EROFS, .step = "make the mount point", .object = target_path,
				 .cause = "it does not exist on the host, whose root is read-only here",
				 .remedy = "choose a target that exists, or one below the tree, HOME, /tmp or /run");
	if (target_fd < 0)
		return error_set(error, .number = -target_fd, .step = "open the mount point", .object = target_path);
	if (volume->kind == VOLUME_TMPFS) {
		char target[FD_PROC_PATH_SIZE];
		char options[64] = "mode=1777";

		if (volume->size_bytes > 0)
			(void)snprintf(options, sizeof(options), "mode=1777,size=%llu",
				       (unsigned long long)volume->size_bytes);
		result = mount("tmpfs", fd_proc_path(target_fd, target), "tmpfs", MS_NOSUID | MS_NODEV, options) < 0
				 ? -errno
				 : 0;
	} else {
		unsigned flags = MOUNT_RECURSIVE | MOUNT_NO_SUID | MOUNT_PRIVATE;

		if (volume->kind == VOLUME_READ_ONLY)
			flags |= MOUNT_READ_ONLY;
		result = mount_restrict(volume_fd, "", flags);
		if (result == 0)
			result = mount_attach(volume_fd, target_fd);
	}
	if (result < 0)
		return error_set(error, .number = -result, .step = "mount the volume", .object = target_path);
	return 0;
}

int rootfs_attach_volumes(struct world *world, struct error *error)
{
	for (size_t i = 0; i < world->plan->spec->volumes.count; i++) {
		int result = attach_volume(world, i, error);

		if (result < 0)
			return result;
	}
	return 0;
}

int rootfs_seal_homes(struct world *world, struct error *error)
{
	(void)error;
	/* Where only empty stand-ins are, nothing shall be written: it would look like another's home. */
	for (size_t i = 0; i < world->plan->homes.count; i++) {
		const struct layer *layer = layers_find(&world->layers, world->plan->homes.items[i]);

		if (!layer)
			(void)mount_restrict(AT_FDCWD, world->plan->homes.items[i], MOUNT_READ_ONLY);
	}
	return 0;
}

static int add_writable(struct world *world, const char *path, struct error *error)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd >= 0) {
		world->writable_fds[world->writable_count++] = fd;
		return 0;
	}
	/* What is not there, or cannot be reached, needs no rule. */
	if (errno == ENOENT || errno == ENOTDIR || errno == EACCES)
		return 0;
	return error_set(error, .number = errno, .step = "open what may be written", .object = path);
}

int rootfs_open_writable(struct world *world, struct error *error)
{
	static const char *const always[] = { "/tmp", "/var/tmp", "/run", "/dev", "/proc" };
	const struct volume_list *volumes = &world->plan->spec->volumes;
	int result = 0;

	world->writable_fds = calloc(world->layers.count + volumes->count + ARRAY_SIZE(always), sizeof(int));
	if (!world->writable_fds)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(always) && result == 0; i++)
		result = add_writable(world, always[i], error);
	for (size_t i = 0; i < world->layers.count && result == 0; i++)
		if (world->layers.items[i].kind != LAYER_BIND)
			result = add_writable(world, world->layers.items[i].path, error);
	for (size_t i = 0; i < volumes->count && result == 0; i++)
		if (volumes->items[i].kind == VOLUME_READ_WRITE || volumes->items[i].kind == VOLUME_TMPFS)
			result = add_writable(world, world->volumes[i].target, error);
	return result;
}
