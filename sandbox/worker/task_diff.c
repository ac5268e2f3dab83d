/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: each layer is walked by overlay/diff.h, which knows nothing of worlds. What sbx itself put into a layer
 * is left out here: mount points that it made, and databases as they were filled in, with their sidecars. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "overlay/database.h"
#include "overlay/diff.h"
#include "sandbox/worker/task_parts.h"

#define STEP_DIFF "list the changes"

struct listing {
	const struct world *world;
	const struct layer *layer; /* the one that is walked */
	enum table_format format;
	const struct text_list *arguments; /* the format, and where to look */
	struct text_list mount_points;	   /* absolute */
	bool *is_told;			   /* for each of the world's databases */
	bool has_entries;
	struct task_output output;
	task_change *each; /* is told instead; NULL */
	void *argument;
	struct error *error;
};

static void listing_release(struct listing *listing)
{
	text_list_release(&listing->mount_points);
	free(listing->is_told);
	task_output_release(&listing->output);
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "link";
	case S_IFIFO:
		return "pipe";
	case S_IFSOCK:
		return "socket";
	default:
		return "device";
	}
}

static void add_line(struct text_buffer *out, char kind, const char *path)
{
	owned_text escaped = text_escaped(path);

	text_buffer_format(out, "%c %s\n", kind, escaped);
}

/* One object a line, as listings have it (base/table.h). */
static void add_object(struct listing *listing, const struct diff_entry *entry, const char *path)
{
	struct text_buffer *out = &listing->output.buffer;
	char kind[] = { (char)entry->kind, '\0' };
	char changed[TABLE_TIME_SIZE];
	char mode[8];

	text_buffer_add_text(out, listing->has_entries ? ",\n" : "\n");
	(void)snprintf(mode, sizeof(mode), "%04o", entry->mode & 07777);
	json_begin_object(out, NULL);
	json_add_text(out, "kind", kind);
	json_add_text(out, "path", path);
	json_add_text(out, "type", type_name(entry->mode));
	json_add_text(out, "mode", mode);
	json_add_number(out, "bytes", (int64_t)entry->bytes);
	if (entry->changed_ns > 0)
		json_add_text(out, "changed", table_time(entry->changed_ns, changed));
	json_end_object(out);
}

static int tell(struct listing *listing, const struct diff_entry *entry, const char *path)
{
	if (listing->each)
		return listing->each(listing->argument, entry, path);
	if (listing->format == TABLE_FORMAT_JSON)
		add_object(listing, entry, path);
	else
		add_line(&listing->output.buffer, (char)entry->kind, path);
	listing->has_entries = true;
	return task_output_continue(&listing->output, listing->error);
}

bool task_is_mount_point(const struct text_list *points, const struct diff_entry *entry, const char *path)
{
	const char *directory = path;

	for (size_t i = 0; i < points->count; i++) {
		const char *point = points->items[i];

		if (path_is_below(path, point) ||
		    (entry->kind == DIFF_ADDED && S_ISDIR(entry->mode) && path_is_below(point, directory)))
			return true;
	}
	return false;
}

static bool is_asked_for(const struct listing *listing, const char *path)
{
	for (size_t i = 1; i < listing->arguments->count; i++)
		if (path_is_below(path, listing->arguments->items[i]))
			return true;
	return listing->arguments->count <= 1;
}

static int on_difference(void *data, const struct diff_entry *entry)
{
	struct listing *listing = data;
	const struct world *world = listing->world;
	owned_text path = path_join(listing->layer->path, entry->path);

	if (!is_asked_for(listing, path) || task_is_mount_point(&listing->mount_points, entry, path))
		return 0;
	for (size_t i = 0; i < world->database_count; i++) {
		const struct world_database *database = &world->databases[i];

		if (!database_owns_file(database->path, path))
			continue;
		if (!text_equal(path, database->path))
			return 0;
		/* The copy differs from its source by a counter of SQLite's at least. */
		if (entry->kind != DIFF_DELETED && task_database_state(database) == DATABASE_AS_FILLED)
			return 0;
		listing->is_told[i] = true;
	}
	return tell(listing, entry, path);
}

/* Databases whose bytes are their source's, and whose changes still lie in the WAL. */
static int tell_databases(struct listing *listing)
{
	const struct world *world = listing->world;

	for (size_t i = 0; i < world->database_count; i++) {
		const char *path = world->databases[i].path;
		struct diff_entry entry = { .kind = DIFF_CHANGED };
		struct stat status;
		int result;

		if (listing->is_told[i] || !is_asked_for(listing, path) ||
		    task_database_state(&world->databases[i]) != DATABASE_CHANGED || lstat(path, &status) < 0)
			continue;
		entry.mode = status.st_mode;
		entry.bytes = (uint64_t)status.st_size;
		result = tell(listing, &entry, path);
		if (result < 0)
			return result;
	}
	return 0;
}

void task_list_mount_points(const struct world *world, const struct layer *layer, struct text_list *ret_points)
{
	const struct volume_list *volumes = &world->plan->spec->volumes;

	/* One that it lies in itself is no mount point of its own. */
	for (size_t i = 0; i < world->layers.count; i++)
		if (&world->layers.items[i] != layer && path_is_below(world->layers.items[i].path, layer->path))
			text_list_add(ret_points, world->layers.items[i].path);
	for (size_t i = 0; i < world->plan->graft_count; i++)
		text_list_add(ret_points, world->plan->grafts[i].target);
	for (size_t i = 0; i < volumes->count; i++)
		if (volumes->items[i].kind != VOLUME_COPY && volumes->items[i].kind != VOLUME_OVERLAY)
			text_list_take(ret_points, path_normal(world->plan->tree, volumes->items[i].target));
}

static int walk_layer(struct listing *listing, struct diff_result *ret)
{
	const struct layer *layer = listing->layer;
	int layers[3];
	owned_list marks = { 0 };
	struct diff_request request = { .layers = layers,
					.layer_count = layers_list_directories(layer, layers),
					.upper_count = 1,
					.is_first_lower_held = layer->seed_fd >= 0 && !layer->is_stacked,
					.marks = &marks };

	text_list_release(&listing->mount_points);
	task_list_mount_points(listing->world, layer, &listing->mount_points);
	task_list_marks(listing->world, layer, &marks);
	return diff_layers(&request, on_difference, listing, ret, listing->error);
}

/* @ret_unreadable  directories that cannot be looked into */
static int walk_all(struct listing *listing, uint64_t *ret_unreadable)
{
	const struct world *world = listing->world;
	int result = 0;

	*ret_unreadable = 0;
	listing->is_told = calloc(world->database_count + 1, sizeof(bool));
	if (!listing->is_told)
		abort();
	for (size_t i = 0; i < world->layers.count && result == 0; i++) {
		struct diff_result walked = { 0 };

		listing->layer = &world->layers.items[i];
		if (listing->layer->upper_fd >= 0)
			result = walk_layer(listing, &walked);
		*ret_unreadable += walked.unreadable;
	}
	return result == 0 ? tell_databases(listing) : result;
}

int task_diff_each(const struct world *world, task_change *each, void *argument, struct error *error)
{
	static const struct text_list everywhere = { 0 };
	__attribute__((cleanup(listing_release))) struct listing listing = {
		.world = world, .arguments = &everywhere, .each = each, .argument = argument, .error = error
	};
	uint64_t ignored;

	return walk_all(&listing, &ignored);
}

int task_diff(const struct world *world, int out_fd, enum table_format format, const struct text_list *arguments,
	      struct error *error)
{
	__attribute__((cleanup(listing_release))) struct listing listing = {
		.world = world, .format = format, .arguments = arguments, .output = { .fd = out_fd }, .error = error
	};
	uint64_t unreadable = 0;
	int result;

	if (format == TABLE_FORMAT_JSON)
		json_begin_array(&listing.output.buffer, NULL);
	result = walk_all(&listing, &unreadable);
	if (result == 0 && format == TABLE_FORMAT_JSON)
		text_buffer_add_text(&listing.output.buffer, listing.has_entries ? "\n]\n" : "]\n");
	if (result == 0)
		result = task_output_end(&listing.output, error);
	if (result == 0 && unreadable > 0) {
		char cause[96];

		(void)snprintf(cause, sizeof(cause), "%llu directories cannot be read: what is in them is not listed",
			       (unsigned long long)unreadable);
		return error_set(error, .number = EACCES, .step = STEP_DIFF, .cause = cause,
				 .remedy = "give their owner back the right to read and search them (chmod u+rx)");
	}
	return result;
}
