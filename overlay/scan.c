/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/descent.h"
#include "base/fd.h"
#include "base/path.h"

enum { ENTRIES_PER_LOOK = 64 }; /* at the clock */

struct scan {
	const struct scan_options *options;
	scan_callback *callback;
	void *data;
	struct descent way;
	struct scan_result result;
	uint64_t deadline_ms;
	bool is_ended;
};

static void end_early(struct scan *scan)
{
	scan->result.is_cut = true;
	scan->is_ended = true;
}

static void tell(struct scan *scan, enum scan_trouble trouble, const char *name, const struct stat *status)
{
	const char *directory = descent_path(&scan->way);
	owned_text path = text_format("%s%s%s", directory, directory[0] && name[0] ? "/" : "", name);
	struct scan_finding finding = { .trouble = trouble, .path = path[0] ? path : ".", .status = status };

	if (scan->callback && scan->callback(scan->data, &finding) != 0)
		end_early(scan);
}

static void look_at_owner(struct scan *scan, const char *name, const struct stat *status)
{
	scan->result.entries++;
	if (status->st_uid == scan->options->uid && status->st_gid == scan->options->gid)
		return;
	scan->result.foreign++;
	tell(scan, SCAN_FOREIGN_OWNER, name, status);
}

static bool is_time_up(const struct scan *scan)
{
	if (scan->options->entries_max && scan->result.entries >= scan->options->entries_max)
		return true;
	return scan->deadline_ms && scan->result.entries % ENTRIES_PER_LOOK == 0 && clock_ms() >= scan->deadline_ms;
}

/* @return 0, or -errno where the scan cannot go on at all */
static int look_at_entry(struct scan *scan, const char *name)
{
	struct stat status;
	int result;

	if (fstatat(descent_fd(&scan->way), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* gone */
	look_at_owner(scan, name, &status);
	if (!scan->is_ended && is_time_up(scan))
		end_early(scan);
	if (scan->is_ended)
		return 0;
	if (!S_ISDIR(status.st_mode)) {
		/* A file on which something is mounted is one more reason why no overlay spans the tree, but to find it
		 * would cost a system call for each file: the list of mounts names it. */
		return 0;
	}
	if (scan->options->depth_max && scan->way.depth >= scan->options->depth_max)
		return 0;
	result = descent_enter(&scan->way, name, NULL);
	if (result == -EXDEV) {
		scan->result.mounts++;
		tell(scan, SCAN_MOUNT, name, &status);
	} else if (result == -EACCES || result == -EPERM) {
		scan->result.unreadable++;
		tell(scan, SCAN_UNREADABLE, name, &status);
	} else if (result == -ENOMEM || result == -EMFILE || result == -ENFILE) {
		return result;
	}
	return 0;
}

static int walk(struct scan *scan)
{
	while (!scan->is_ended) {
		const char *name;
		int result = descent_next(&scan->way, &name);

		if (result > 0)
			result = look_at_entry(scan, name);
		else if (scan->way.depth == 1)
			return result;
		else
			result = descent_leave(&scan->way, NULL);
		if (result < 0)
			return result;
	}
	return 0;
}

int scan_tree(int tree_fd, const struct scan_options *options, scan_callback *callback, void *data,
	      struct scan_result *ret_result, struct error *error)
{
	struct scan scan = { .options = options, .callback = callback, .data = data };
	struct stat status;
	int result = descent_start(&scan.way, tree_fd, 0);

	if (options->time_ms_max)
		scan.deadline_ms = clock_ms() + options->time_ms_max;
	if (result == 0 && fstat(descent_fd(&scan.way), &status) < 0)
		result = -errno;
	if (result == 0) {
		look_at_owner(&scan, "", &status);
		result = walk(&scan);
	}
	if (result < 0)
		(void)error_set(error, .number = -result, .step = "look through the tree",
				.object = descent_path(&scan.way));
	descent_end(&scan.way);
	if (ret_result)
		*ret_result = scan.result;
	return result;
}

struct first_finding {
	const char *directory;
	char *path;
	struct stat status;
};

/* What a user does not notice. */
enum { EXPLAIN_MS_MAX = 200 };

static int take_first(void *data, const struct scan_finding *finding)
{
	struct first_finding *first = data;

	if (finding->trouble != SCAN_FOREIGN_OWNER)
		return 0;
	first->path = text_equal(finding->path, ".") ? text_duplicate(first->directory)
						     : path_join(first->directory, finding->path);
	first->status = *finding->status;
	return 1;
}

static void write_note(const struct first_finding *first, struct error *note)
{
	char cause[256];
	bool is_directory = S_ISDIR(first->status.st_mode);

	(void)snprintf(cause, sizeof(cause),
		       "it belongs to another user or group, whom the worker does not know: %s fails with \"%s\"",
		       is_directory ? "making or changing files in it" : "changing it", strerror(EOVERFLOW));
	(void)error_set(note, .number = EOVERFLOW, .step = "copy on write", .object = first->path, .cause = cause,
			.remedy = "give it to yourself (chown), or name its directory with --copy DIR; "
				  "'sbx doctor --tree' lists all");
}

int scan_explain_foreign(const struct layers *layers, const char *tree, uid_t uid, gid_t gid, struct error *note)
{
	const struct layer *layer = layers_find(layers, tree);
	struct first_finding first = { .directory = tree };
	const struct scan_options options = { .uid = uid, .gid = gid, .depth_max = 1, .time_ms_max = EXPLAIN_MS_MAX };
	const char *relative;
	owned_fd tree_fd = -1;

	if (!layer || layer->kind != LAYER_OVERLAY || layer->lower_fd < 0)
		return 0;
	relative = path_below(tree, layer->path);
	tree_fd = openat(layer->lower_fd, relative[0] ? relative : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (tree_fd >= 0)
		(void)scan_tree(tree_fd, &options, take_first, &first, NULL, NULL);
	if (!first.path)
		return 0;
	write_note(&first, note);
	text_free(&first.path);
	return 1;
}
