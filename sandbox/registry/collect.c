/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/collect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tree.h"
#include "sandbox/registry/claim.h"
#include "sandbox/registry/kept.h"
#include "sandbox/registry/lock.h"
#include "sandbox/registry/place.h"
#include "sandbox/registry/seeds.h"

void collect_report_release(struct collect_report *report)
{
	text_list_release(&report->workers);
	text_list_release(&report->directories);
}

struct collection {
	enum collect_mode mode;
	struct collect_report *report;
	struct error *error;
	int result; /* of the first failure */
};

/* Remembers the first failure. Busy is none: somebody lives, or collects it already. Gone is none either. */
static bool is_done(struct collection *collection, int result, const struct error *error)
{
	if (result == 0)
		return true;
	if (result != -EBUSY && result != -ENOENT && collection->result == 0) {
		collection->result = result;
		if (collection->error)
			*collection->error = *error;
	}
	return false;
}

static void collect_locks(struct collection *collection, const struct state_paths *paths)
{
	owned_runtimes runtimes = { 0 };
	owned_lock_list list = { 0 };
	struct error error;

	state_open_runtimes(paths, &runtimes);
	if (!is_done(collection, lock_list_names(runtimes.fds, runtimes.count, &list, &error), &error))
		return;
	for (size_t i = 0; i < list.count; i++) {
		const struct lock_entry *entry = &list.items[i];
		int directory_fd = runtimes.fds[entry->directory];

		if (entry->is_live)
			continue;
		if (collection->mode == COLLECT_REMOVE &&
		    !is_done(collection, lock_collect(directory_fd, entry->name, &error), &error))
			continue;
		if (collection->report)
			text_list_add(&collection->report->workers, entry->name);
	}
}

/* Removes one directory of a part unless somebody claims it. */
static void collect_directory(struct collection *collection, int state_fd, enum state_part part, int part_fd,
			      const char *name)
{
	owned_text path = text_format("%s/%s", state_part_name(part), name);
	struct error error;
	owned_fd claim = -1;

	if (!is_done(collection, claim_take(part_fd, name, &claim, &error), &error))
		return;
	if (collection->mode == COLLECT_REMOVE &&
	    (!is_done(collection, place_remove(claim, &error), &error) ||
	     !is_done(collection, claim_remove(state_fd, path, claim, &error), &error)))
		return;
	if (collection->report) {
		text_list_take(&collection->report->directories, path);
		path = NULL;
	}
}

static bool is_upper(const char *name)
{
	return name[0] != '.';
}

static void collect_part(struct collection *collection, int state_fd, enum state_part part,
			 bool (*is_leftover)(const char *name))
{
	owned_fd part_fd = -1;
	struct dirent **found = NULL;
	int count;

	if (state_open_part(state_fd, part, STATE_LEAVE, &part_fd, NULL) < 0)
		return;
	/* Listed whole first: removing while reading skips entries on some file systems. */
	count = scandirat(part_fd, ".", &found, NULL, NULL);
	for (int i = 0; i < count; i++) {
		if (is_leftover(found[i]->d_name))
			collect_directory(collection, state_fd, part, part_fd, found[i]->d_name);
		free(found[i]);
	}
	free(found);
}

int collect_dead(const struct state_paths *paths, enum collect_mode mode, struct collect_report *report,
		 struct error *error)
{
	struct collection collection = { .mode = mode, .report = report, .error = error };
	struct error trash_error;
	owned_fd state_fd = -1;

	/* The locks first: a worker that died has its own files on disk unclaimed by then. */
	collect_locks(&collection, paths);
	if (state_open(paths, STATE_LEAVE, &state_fd, NULL) < 0)
		return collection.result;
	collect_part(&collection, state_fd, STATE_UPPERS, is_upper);
	collect_part(&collection, state_fd, STATE_KEPT, kept_is_draft);
	collect_part(&collection, state_fd, STATE_SEEDS, seed_is_leftover);
	if (mode == COLLECT_REMOVE)
		(void)is_done(&collection, tree_empty_trash(state_fd, &trash_error), &trash_error);
	return collection.result;
}
