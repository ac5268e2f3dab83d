/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the writable layers are copied while the world stands still (stopper.h), so that what belongs together
 * is of one instant. Databases are found before, and taken by SQLite's backup API in the same stop: a plain copy of one
 * in the middle of a transaction would leave it to each world to recover it. Whoever was stopped with a lock in hand
 * keeps it: then all go on for a moment, of random length, and the next stop finds another moment (finding 52: one try
 * with WAL, nine with a rollback journal).
 *
 * A database that was not named and is locked for ever (a browser's own), or is none after all, is copied as the file
 * that it is, with its journals: of a world that stands still that is what a power cut would leave, and SQLite recovers
 * it. Everything that is read here was written by the payload; this process is confined. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descent.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "base/tree.h"
#include "overlay/copy.h"
#include "overlay/database.h"
#include "overlay/seed.h"
#include "sandbox/worker/task_parts.h"

#define STEP_FREEZE	"freeze the world"
#define SNAPSHOTS	"databases" /* in the directory given, until they are in their places */
#define LAYER_NAME_SIZE 32

enum {
	FREEZE_MS = 5000,
	GIVE_UP_MS = 1000, /* on a database that was not named */
	PAUSE_MIN_US = 200,
	PAUSE_MAX_US = 3000,
};

struct database {
	char *path; /* absolute */
	bool is_named;
	bool is_taken; /* its snapshot is there */
	bool has_ef_lock;
	bool is_as_filled;
};

struct freezing {
	const struct world *world;
	struct stopper *stopper;
	int directory_fd;
	int snapshots_fd;
	bool is_inside; /* the directory lies in the writable layer */
	bool fixes_ef_lock;
	bool with_databases; /* else files are copied as they are */
	uint64_t bytes_max;  /* 0: no limit */
	uint64_t start_us;

	struct database items[DATABASE_FOUND_MAX];
	size_t count;
	struct text_list left;	     /* copied as they are */
	struct text_list not_seeded; /* in no layer */

	const struct layer *layer; /* that is being copied */
	bool is_seed;		   /* … or what lies below it */
	bool is_outdated;	   /* a database was met that is not known yet */
	struct tree_copy_result sum;
};

static void freezing_release(struct freezing *freezing)
{
	for (size_t i = 0; i < freezing->count; i++)
		free(freezing->items[i].path);
	fd_close(&freezing->snapshots_fd);
	text_list_release(&freezing->left);
	text_list_release(&freezing->not_seeded);
}

static bool list_has(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(list->items[i], text))
			return true;
	return false;
}

/* ---- which databases ---- */

static struct database *find_database(struct freezing *freezing, const char *path)
{
	for (size_t i = 0; i < freezing->count; i++)
		if (text_equal(freezing->items[i].path, path))
			return &freezing->items[i];
	return NULL;
}

static void add_database(struct freezing *freezing, const char *path, bool is_named)
{
	const struct layer *layer = layers_find(&freezing->world->layers, path);

	if (!layer || layer->upper_fd < 0) {
		if (!list_has(&freezing->not_seeded, path))
			text_list_add(&freezing->not_seeded, path);
	} else if (find_database(freezing, path) || list_has(&freezing->left, path))
		return;
	else if (freezing->count < DATABASE_FOUND_MAX)
		freezing->items[freezing->count++] =
			(struct database){ .path = text_duplicate(path), .is_named = is_named };
	else
		text_list_add(&freezing->left, path);
}

/* What was named and is not there any more is not in the seed either. */
static void add_named(struct freezing *freezing, const char *path)
{
	owned_text real = NULL;
	struct stat status;

	if (path_canonical(path, &real) == 0 && stat(real, &status) == 0 && S_ISREG(status.st_mode))
		add_database(freezing, real, true);
}

static void look_at_file(struct freezing *freezing, const struct layer *layer, const struct descent *way,
			 const char *name)
{
	owned_text directory = NULL;
	owned_text path = NULL;

	if (!database_has_header(descent_fd(way), name))
		return;
	directory = path_join(layer->path, descent_path(way));
	path = path_join(directory, name);
	add_database(freezing, path, false);
}

/* Directories that cannot be read are the copy's affair. */
static void search_layer(struct freezing *freezing, const struct layer *layer)
{
	owned_descent way = { 0 };
	const char *name;

	if (descent_start(&way, layer->upper_fd, 0) < 0)
		return;
	for (;;) {
		struct stat status;
		int more = descent_next(&way, &name);

		if (more <= 0) {
			if (way.depth == 1 || descent_leave(&way, NULL) < 0)
				return;
		} else if (fstatat(descent_fd(&way), name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
			if (S_ISDIR(status.st_mode))
				(void)descent_enter(&way, name, NULL);
			else if (S_ISREG(status.st_mode) && status.st_size > 0)
				look_at_file(freezing, layer, &way, name);
		}
	}
}

static void search_layers(struct freezing *freezing)
{
	for (size_t i = 0; i < freezing->world->layers.count; i++)
		if (freezing->world->layers.items[i].upper_fd >= 0)
			search_layer(freezing, &freezing->world->layers.items[i]);
}

/* Where an app's database would be lost without a word. */
static void search_private(struct freezing *freezing)
{
	static const char *const places[] = { "/tmp", "/var/tmp", "/dev/shm" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct database_discovery found = { 0 };
		owned_fd fd = path_open(AT_FDCWD, places[i], O_RDONLY | O_DIRECTORY, 0, PATH_FOLLOW);

		if (fd < 0 || database_discover(fd, &found, NULL) < 0)
			continue;
		for (size_t j = 0; j < found.names.count; j++) {
			owned_text path = path_join(places[i], found.names.items[j]);

			add_database(freezing, path, false);
		}
		database_discovery_release(&found);
	}
}

/* ---- their snapshots ---- */

static void snapshot_name(size_t number, char name[static LAYER_NAME_SIZE])
{
	(void)snprintf(name, LAYER_NAME_SIZE, "%zu", number);
}

static void drop_snapshots(struct freezing *freezing)
{
	char name[LAYER_NAME_SIZE];

	for (size_t i = 0; i < freezing->count; i++) {
		snapshot_name(i, name);
		if (freezing->items[i].is_taken)
			(void)unlinkat(freezing->snapshots_fd, name, 0);
		freezing->items[i].is_taken = false;
	}
}

/* It is copied as a file from here on, or not at all. Its number goes to the last one, which has no snapshot yet. */
static void forget_database(struct freezing *freezing, size_t number, bool is_left)
{
	drop_snapshots(freezing);
	if (is_left)
		text_list_add(&freezing->left, freezing->items[number].path);
	free(freezing->items[number].path);
	freezing->items[number] = freezing->items[--freezing->count];
}

static const struct world_database *find_filled(const struct world *world, const char *path)
{
	for (size_t i = 0; i < world->database_count; i++)
		if (text_equal(world->databases[i].path, path))
			return &world->databases[i];
	return NULL;
}

static void set_time(int directory_fd, const char *name, struct timespec modified)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, modified };

	(void)utimensat(directory_fd, name, times, AT_SYMLINK_NOFOLLOW);
}

/* A snapshot of what nobody wrote to is no change: a kept worker tells by size and time. Of what somebody wrote to it
 * is the time of the last write, so that two copies of the same state are the same. */
static void keep_time(struct freezing *freezing, const struct database *database, const char *name)
{
	const struct world_database *filled = find_filled(freezing->world, database->path);
	owned_text wal = text_format("%s-wal", database->path);
	struct stat status;
	struct stat logged;

	if (filled && task_database_state(filled) == DATABASE_AS_FILLED) {
		set_time(freezing->snapshots_fd, name,
			 (struct timespec){ .tv_sec = (time_t)(filled->modified_ns / 1000000000),
					    .tv_nsec = (long)(filled->modified_ns % 1000000000) });
		return;
	}
	if (stat(database->path, &status) < 0)
		return;
	if (stat(wal, &logged) == 0 && logged.st_size > 0 && logged.st_mtim.tv_sec >= status.st_mtim.tv_sec)
		status.st_mtim = logged.st_mtim;
	set_time(freezing->snapshots_fd, name, status.st_mtim);
}

static int take_snapshot(struct freezing *freezing, size_t number, struct error *error)
{
	struct database *database = &freezing->items[number];
	char name[LAYER_NAME_SIZE];
	const struct database_snapshot_request request = { .source = database->path,
							   .target_fd = freezing->snapshots_fd,
							   .target_name = name,
							   .fix_ef_lock = freezing->fixes_ef_lock,
							   .is_outside = !freezing->is_inside,
							   .without_waiting = true };
	struct database_report report;
	int result;

	snapshot_name(number, name);
	result = database_snapshot(&request, &report, error);
	if (result < 0)
		return result;
	database->is_taken = true;
	database->has_ef_lock = report.ef_lock_found && !report.ef_lock_fixed;
	freezing->sum.entries++;
	freezing->sum.bytes += report.bytes;
	keep_time(freezing, database, name);
	return 0;
}

static bool is_hopeless(int number)
{
	return number != EBUSY && number != ENOSPC && number != EDQUOT && number != EMFILE && number != ENOMEM;
}

/* @return 0, -EAGAIN: look again after a moment, or another -errno */
static int take_snapshots(struct freezing *freezing, struct error *error)
{
	for (size_t i = 0; i < freezing->count; i++) {
		struct database *database = &freezing->items[i];
		bool is_late = clock_us() - freezing->start_us > GIVE_UP_MS * UINT64_C(1000);
		struct database busy;
		int result = take_snapshot(freezing, i, error);

		if (result == 0)
			continue;
		if (result == -ENOENT) {
			forget_database(freezing, i, false);
			return -EAGAIN;
		}
		if (!database->is_named && (is_hopeless(-result) || (result == -EBUSY && is_late))) {
			forget_database(freezing, i, true);
			return -EAGAIN;
		}
		if (result != -EBUSY)
			return result;
		/* Tried first the next time, so that nothing is copied in vain. */
		drop_snapshots(freezing);
		busy = freezing->items[i];
		freezing->items[i] = freezing->items[0];
		freezing->items[0] = busy;
		return -EAGAIN;
	}
	return 0;
}

/* ---- the layers ---- */

static bool is_graft(const struct worker_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->graft_count; i++)
		if (text_equal(plan->grafts[i].target, path))
			return true;
	return false;
}

/* One that was there before is none that sbx made. @below  of the layer */
static bool is_in_lower(const struct layer *layer, const char *below)
{
	struct stat status;
	int fds[3];
	size_t count = layers_list_directories(layer, fds);

	for (size_t i = 1; i < count; i++)
		if (fstatat(fds[i], below, &status, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	return false;
}

/* A directory that sbx made for a graft (world.h) to be attached there, or on the way to one, with nothing else in it:
 * no change that anybody made in this world. What the graft shows is the runner's.
 *  @below  of the layer */
static bool is_place_of_grafts(const struct freezing *freezing, int parent_fd, const char *name, const char *below)
{
	const struct layer *layer = freezing->layer;
	owned_text path = path_join(layer->path, below);
	bool is_on_the_way = false;
	bool has_only_places = true;
	owned_fd fd = -1;
	DIR *directory;

	for (size_t i = 0; i < freezing->world->plan->graft_count; i++)
		is_on_the_way |= path_is_below(freezing->world->plan->grafts[i].target, path);
	if (!is_on_the_way || is_in_lower(layer, below))
		return false;
	if (is_graft(freezing->world->plan, path))
		return true;
	fd = path_open(parent_fd, name, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory)
		return false;
	(void)fd_take(&fd);
	for (struct dirent *entry = readdir(directory); entry && has_only_places; entry = readdir(directory)) {
		owned_text inside = path_join(below, entry->d_name);

		if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, ".."))
			has_only_places = is_place_of_grafts(freezing, dirfd(directory), entry->d_name, inside);
	}
	(void)closedir(directory);
	return has_only_places;
}

/* Databases come by themselves. */
static int take_entry(void *data, const struct tree_entry *entry, struct error *error)
{
	struct freezing *freezing = data;
	owned_text path = NULL;

	if (S_ISDIR(entry->status->st_mode) && entry->path[0] && !freezing->is_seed &&
	    is_place_of_grafts(freezing, entry->parent_fd, entry->name, entry->path))
		return TREE_SKIP;
	if (!S_ISREG(entry->status->st_mode) || !freezing->with_databases)
		return TREE_TAKE;
	path = path_join(freezing->layer->path, entry->path);
	for (size_t i = 0; i < freezing->count; i++)
		if (database_owns_file(freezing->items[i].path, path))
			return TREE_SKIP;
	if (list_has(&freezing->left, path) || freezing->is_seed || entry->status->st_size == 0 ||
	    !database_has_header(entry->parent_fd, entry->name))
		return TREE_TAKE;
	add_database(freezing, path, false);
	if (list_has(&freezing->left, path))
		return TREE_TAKE;
	freezing->is_outdated = true;
	return error_set(error, .number = EAGAIN, .step = STEP_FREEZE, .object = path);
}

static void layer_name(size_t number, char name[static LAYER_NAME_SIZE])
{
	/* What layers_prepare() looks for. */
	(void)snprintf(name, LAYER_NAME_SIZE, "upper-%zu", number);
}

static void add_up(struct freezing *freezing, const struct tree_copy_result *copied)
{
	freezing->sum.entries += copied->entries - 1; /* its root is none */
	freezing->sum.bytes += copied->bytes;
	freezing->sum.sockets_skipped += copied->sockets_skipped;
}

/* One layer of what the world wrote and, where it began from a seed that lies below, of that. */
static int copy_layer(struct freezing *freezing, size_t number, struct error *error)
{
	const struct layer *layer = &freezing->world->layers.items[number];
	/* sbx's own whiteouts are made anew in each world. */
	struct layer_copy_options options = {
		.bytes_max = freezing->bytes_max, .skip_marks = true, .filter = take_entry, .filter_data = freezing
	};
	struct tree_copy_result copied = { 0 };
	owned_list marks = { 0 };
	char name[LAYER_NAME_SIZE];
	int result;

	if (layer->upper_fd < 0)
		return 0;
	freezing->layer = layer;
	layer_name(number, name);
	task_list_marks(freezing->world, layer, &marks);
	options.marks = &marks;
	if (!layer->is_stacked)
		result = layer_copy(&options, layer->upper_fd, freezing->directory_fd, name, &copied, error);
	else {
		freezing->is_seed = true;
		result = layer_copy(&options, layer->seed_fd, freezing->directory_fd, name, NULL, error);
		freezing->is_seed = false;
		if (result == 0)
			result = layer_merge(&options, layer->upper_fd, freezing->directory_fd, name, &copied, error);
	}
	if (result < 0)
		return error_context(error, "copy of %s", layer->path);
	add_up(freezing, &copied);
	return 0;
}

static void drop_layers(struct freezing *freezing)
{
	char name[LAYER_NAME_SIZE];

	for (size_t i = 0; i < freezing->world->layers.count; i++) {
		layer_name(i, name);
		(void)tree_remove(freezing->directory_fd, name, NULL);
	}
}

static int copy_layers(struct freezing *freezing, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < freezing->world->layers.count && result == 0; i++)
		result = copy_layer(freezing, i, error);
	if (result < 0 && freezing->is_outdated) {
		freezing->is_outdated = false;
		drop_layers(freezing);
		return -EAGAIN;
	}
	return result;
}

/* ---- snapshots into their places ---- */

/* The directory of the copy that stands for the parent of `path`. Where the layer lacks it, since the database lies in
 * the tree alone, it is made as programs see it. */
static int open_place(const struct freezing *freezing, const char *path, const char **ret_name)
{
	const struct layer *layer = layers_find(&freezing->world->layers, path);
	size_t number = (size_t)(layer - freezing->world->layers.items);
	owned_text seen = text_duplicate(layer->path);
	const char *rest = path_below(path, layer->path);
	char name[LAYER_NAME_SIZE];
	owned_fd fd = -1;

	layer_name(number, name);
	fd = path_open(freezing->directory_fd, name, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	while (fd >= 0 && strchr(rest, '/')) {
		owned_text component = strndup(rest, strcspn(rest, "/"));
		owned_text below = component ? path_join(seen, component) : NULL;
		struct stat status;
		struct stat parent;
		int next;

		if (!below)
			return -ENOMEM;
		if (fstat(fd, &parent) == 0 && mkdirat(fd, component, 0700) == 0) {
			if (stat(below, &status) < 0 || fchmodat(fd, component, status.st_mode & 07777, 0) < 0)
				return -errno;
			set_time(fd, component, status.st_mtim);
			set_time(fd, ".", parent.st_mtim);
		}
		next = path_open(fd, component, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
		fd_close(&fd);
		fd = next;
		rest += strlen(component) + 1;
		text_free(&seen);
		seen = below;
		below = NULL;
	}
	*ret_name = rest;
	return fd_take(&fd);
}

static int place_snapshots(struct freezing *freezing, struct error *error)
{
	for (size_t i = 0; i < freezing->count; i++) {
		const struct database *database = &freezing->items[i];
		char name[LAYER_NAME_SIZE];
		const char *target = "";
		owned_fd parent_fd = open_place(freezing, database->path, &target);
		struct stat parent;

		snapshot_name(i, name);
		if (parent_fd < 0 || fstat(parent_fd, &parent) < 0 ||
		    renameat(freezing->snapshots_fd, name, parent_fd, target) < 0)
			return error_set(error, .number = parent_fd < 0 ? -parent_fd : errno,
					 .step = "place the copy of the database", .object = database->path);
		set_time(parent_fd, ".", parent.st_mtim);
	}
	return tree_remove(freezing->directory_fd, SNAPSHOTS, error);
}

/* ---- the whole of it ---- */

static void pause_at_random(void)
{
	struct timespec moment;

	(void)clock_gettime(CLOCK_MONOTONIC, &moment);
	moment.tv_sec = 0;
	moment.tv_nsec = (PAUSE_MIN_US + (moment.tv_nsec / 7) % (PAUSE_MAX_US - PAUSE_MIN_US)) * 1000L;
	(void)nanosleep(&moment, NULL);
}

/* What stood in the way the whole time: a database and who keeps it locked, or a process that does not stop. */
static int time_out(const struct error *last, struct error *error)
{
	return error_set(error, .number = ETIMEDOUT, .step = STEP_FREEZE, .object = last->object, .cause = last->cause,
			 .remedy = "see to it that nothing holds a transaction open when the tests begin");
}

/* @return 0, -EAGAIN or another -errno */
static int try_once(struct freezing *freezing, struct error *error)
{
	int result = take_snapshots(freezing, error);

	freezing->sum.entries = result < 0 ? 0 : freezing->sum.entries;
	return result < 0 ? result : copy_layers(freezing, error);
}

/* Takes everything in one stop. */
static int take_world(struct freezing *freezing, struct error *error)
{
	for (;;) {
		int result = freezing->stopper->socket < 0 ? 0 : stopper_stop(freezing->stopper, error);

		if (result >= 0) {
			/* With nobody alive, as at a worker's end, nobody will change a file: each is its own copy. */
			freezing->with_databases |= result > 0;
			freezing->sum = (struct tree_copy_result){ 0 };
			if (!freezing->with_databases)
				return copy_layers(freezing, error);
			result = try_once(freezing, error);
			if (result == 0)
				return 0;
			stopper_continue(freezing->stopper);
			drop_snapshots(freezing);
		}
		if (result != -EAGAIN && result != -EBUSY)
			return result;
		if (clock_us() - freezing->start_us > FREEZE_MS * UINT64_C(1000)) {
			struct error last = *error;

			return time_out(&last, error);
		}
		pause_at_random();
	}
}

static int export_world(struct freezing *freezing, struct error *error)
{
	int result;

	freezing->start_us = clock_us();
	if (mkdirat(freezing->directory_fd, SNAPSHOTS, 0700) < 0)
		return error_set(error, .number = errno, .step = "make a directory for the databases",
				 .object = SNAPSHOTS);
	freezing->snapshots_fd = path_open(freezing->directory_fd, SNAPSHOTS, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	if (freezing->snapshots_fd < 0)
		return error_set(error, .number = -freezing->snapshots_fd,
				 .step = "open the directory for the databases", .object = SNAPSHOTS);
	if (freezing->stopper->socket >= 0)
		search_layers(freezing);
	result = take_world(freezing, error);
	stopper_end(freezing->stopper);
	if (result == 0 && !freezing->with_databases)
		return tree_remove(freezing->directory_fd, SNAPSHOTS, error);
	return result < 0 ? result : place_snapshots(freezing, error);
}

static void add_size(const struct freezing *freezing, struct text_buffer *out)
{
	json_add_number(out, "entries", (int64_t)freezing->sum.entries);
	json_add_number(out, "bytes", (int64_t)freezing->sum.bytes);
	json_add_number(out, "sockets_skipped", (int64_t)freezing->sum.sockets_skipped);
}

static void add_freeze(const struct freezing *freezing, const struct text_list *databases, struct text_buffer *out)
{
	owned_list locked = { 0 };

	for (size_t i = 0; i < freezing->count; i++)
		if (freezing->items[i].has_ef_lock)
			text_list_add(&locked, freezing->items[i].path);
	json_add_list(out, "databases", databases);
	add_size(freezing, out);
	json_add_number(out, "stops", freezing->stopper->stops);
	json_add_number(out, "milliseconds", (int64_t)((clock_us() - freezing->start_us) / 1000));
	json_add_list(out, "not_seeded", &freezing->not_seeded);
	json_add_list(out, "left", &freezing->left);
	json_add_list(out, "ef_lock", &locked);
}

int task_keep_layers(const struct world *world, struct stopper *stopper, int directory_fd,
		     struct text_list *ret_databases, struct error *error)
{
	__attribute__((cleanup(freezing_release))) struct freezing freezing = {
		.world = world,
		.stopper = stopper,
		.directory_fd = directory_fd,
		.snapshots_fd = -1,
		.is_inside = true,
		.with_databases = true,
		/* What the payload may write is not to be taken away from it. */
		.bytes_max = world->plan->scratch_bytes_max / 4,
	};
	int result;

	for (size_t i = 0; i < world->database_count; i++)
		add_named(&freezing, world->databases[i].path);
	result = export_world(&freezing, error);
	if (result == 0 && freezing.left.count > 0)
		result = error_set(error, .number = EBUSY, .step = "keep what the worker starts with",
				   .object = freezing.left.items[0], .cause = "it is locked, damaged, or one too many");
	for (size_t i = 0; i < freezing.count && result == 0; i++)
		text_list_add(ret_databases, freezing.items[i].path);
	return result == 0 ? seed_write(directory_fd, ret_databases, error) : result;
}

int task_freeze(const struct world *world, struct stopper *stopper, const struct text_list *named, int directory_fd,
		int out_fd, struct error *error)
{
	__attribute__((cleanup(freezing_release))) struct freezing freezing = {
		.world = world,
		.stopper = stopper,
		.directory_fd = directory_fd,
		.snapshots_fd = -1,
		.fixes_ef_lock = world->plan->spec->fix_ef_lock,
		.with_databases = true,
	};
	owned_output output = { .fd = out_fd };
	owned_list databases = { 0 };
	int result;

	for (size_t i = 0; i < named->count; i++)
		add_named(&freezing, named->items[i]);
	for (size_t i = 0; i < world->database_count; i++)
		add_named(&freezing, world->databases[i].path);
	result = export_world(&freezing, error);
	if (result == 0)
		result = layers_write_names(&world->layers, directory_fd, error);
	for (size_t i = 0; i < freezing.count; i++)
		text_list_add(&databases, freezing.items[i].path);
	if (result == 0)
		result = seed_write(directory_fd, &databases, error);
	if (result < 0)
		return result;
	search_private(&freezing);
	json_begin_object(&output.buffer, NULL);
	add_freeze(&freezing, &databases, &output.buffer);
	json_end_object(&output.buffer);
	text_buffer_add(&output.buffer, "\n", 1);
	return task_output_end(&output, error);
}

/* ---- keep ---- */

/* What the layers began from: they hold it already, but `diff` could not tell without. */
static int keep_seed(const struct world *world, int directory_fd, struct error *error)
{
	static const struct layer_copy_options options = { 0 };
	owned_fd seed_fd = -1;
	int result = 0;

	for (size_t i = 0; i < world->layers.count && result == 0; i++) {
		char name[LAYER_NAME_SIZE];

		if (world->layers.items[i].seed_fd < 0)
			continue;
		if (seed_fd < 0) {
			if (mkdirat(directory_fd, SEED_BESIDE, 0700) < 0)
				return error_set(error, .number = errno, .step = "keep the seed");
			seed_fd = path_open(directory_fd, SEED_BESIDE, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
			if (seed_fd < 0)
				return error_set(error, .number = -seed_fd, .step = "keep the seed");
			result = layers_write_names(&world->layers, seed_fd, error);
		}
		layer_name(i, name);
		if (result == 0)
			result = layer_copy(&options, world->layers.items[i].seed_fd, seed_fd, name, NULL, error);
	}
	return result;
}

int task_keep(const struct world *world, struct stopper *stopper, const struct text_list *arguments, int directory_fd,
	      int out_fd, struct error *error)
{
	__attribute__((cleanup(freezing_release))) struct freezing freezing = {
		.world = world, .stopper = stopper, .directory_fd = directory_fd, .snapshots_fd = -1
	};
	owned_output output = { .fd = out_fd };
	int result = arguments->count == 0 ? 0 : number_parse(arguments->items[0], 1, UINT64_MAX, &freezing.bytes_max);

	if (result < 0)
		return error_set(error, .number = -result, .step = "keep the worker", .object = arguments->items[0]);
	result = layers_write_names(&world->layers, directory_fd, error);
	for (size_t i = 0; i < world->database_count; i++)
		add_named(&freezing, world->databases[i].path);
	if (result == 0)
		result = export_world(&freezing, error);
	if (result == 0)
		result = keep_seed(world, directory_fd, error);
	if (result < 0)
		return result;
	json_begin_object(&output.buffer, NULL);
	add_size(&freezing, &output.buffer);
	json_end_object(&output.buffer);
	text_buffer_add(&output.buffer, "\n", 1);
	return task_output_end(&output, error);
}

/* ---- bundle ---- */

int task_bundle(const struct world *world, struct stopper *stopper, int directory_fd, int out_fd, struct error *error)
{
	static const struct text_list none;
	int result = task_freeze(world, stopper, &none, directory_fd, out_fd, error);

	return result < 0 ? result : keep_seed(world, directory_fd, error);
}
