/* SPDX-License-Identifier: Apache-2.0 */
/* sbx prune: removes what dead workers left and runs that are old, and with --force kept workers and all runs. Lists
 * what it removed, or would. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/table.h"
#include "sandbox/registry/collect.h"
#include "sandbox/registry/registry.h"
#include "sandbox/run/runs.h"
#include "sandbox/run/times.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/identity.h"

static const struct table_column columns[] = {
	{ "kind", "KIND", TABLE_TEXT, 0, NULL },
	{ "name", "NAME", TABLE_TEXT, 0, NULL },
	{ "id", "ID", TABLE_TEXT, 0, NULL },
	{ "bytes", "SIZE", TABLE_BYTES, 0, NULL },
	{ "removed", "REMOVED", TABLE_TRUTH, 0, NULL },
};

static void add_row(struct table *table, const char *kind, const char *name, const char *id,
		    const struct kept_worker *kept, bool is_removed)
{
	table_add_text(table, kind);
	table_add_text(table, name);
	table_add_text(table, id);
	if (kept)
		table_add_number(table, kept->bytes);
	else
		table_add_missing(table);
	table_add_number(table, is_removed);
}

/* @return exit status: 125 where something should have gone and did not */
static int remove_kept(int state_fd, const char *id, bool *ret_removed)
{
	struct error failure = { 0 };
	int result = kept_remove(state_fd, id, &failure);

	*ret_removed = result == 0;
	if (result == 0)
		registry_remove(state_fd, id, NULL);
	/* Another prune was faster. */
	if (result == 0 || result == -ENOENT)
		return 0;
	say_error(&failure);
	return EXIT_SBX_FAILED;
}

static int prune_kept(const struct invocation *invocation, const struct state_paths *places, struct table *table,
		      struct error *error)
{
	owned_worker_list list = { 0 };
	owned_fd state_fd = -1;
	int worst = 0;
	int result = workers_list(places, RESOLVE_KEPT, &list, error);

	if (result < 0)
		return result;
	if (list.kept.count + list.damaged.count == 0)
		return 0;
	result = state_open(places, STATE_LEAVE, &state_fd, error);
	for (size_t i = 0; i < list.kept.count && result == 0; i++) {
		const struct kept_worker *kept = &list.kept.items[i];
		bool is_removed = false;
		int status = invocation->dry_run ? 0 : remove_kept(state_fd, kept->row.id, &is_removed);

		add_row(table, "kept worker", kept->row.name, kept->row.id, kept, is_removed);
		worst = MAX(worst, status);
	}
	for (size_t i = 0; i < list.damaged.count && result == 0; i++) {
		const char *id = list.damaged.items[i];
		bool is_removed = false;
		int status = invocation->dry_run ? 0 : remove_kept(state_fd, id, &is_removed);

		add_row(table, "damaged worker", NULL, id, NULL, is_removed);
		worst = MAX(worst, status);
	}
	return result < 0 ? result : worst;
}

static int remove_run(int state_fd, const char *id, bool *ret_removed)
{
	struct error failure = { 0 };
	int result = runs_remove(state_fd, id, &failure);

	*ret_removed = result == 0;
	/* It has just been entered, or another prune was faster. */
	if (result == 0 || result == -EBUSY || result == -ENOENT)
		return 0;
	say_error(&failure);
	return EXIT_SBX_FAILED;
}

/* What is remembered of the times of a list's items is of no use without a run of its tree, or without the tree.
 * @trees  of the runs that stay */
static int prune_times(const struct invocation *invocation, int state_fd, const struct text_list *trees,
		       struct table *table, struct error *error)
{
	enum times_prune mode = invocation->dry_run ? TIMES_LOOK : TIMES_REMOVE;
	owned_list names = { 0 };
	int result = times_prune(state_fd, trees, mode, &names, error);

	for (size_t i = 0; i < names.count; i++)
		add_row(table, "times", names.items[i], NULL, NULL, mode == TIMES_REMOVE);
	return result;
}

static int prune_runs(const struct invocation *invocation, const struct state_paths *places, struct table *table,
		      struct error *error)
{
	enum runs_prune which = invocation->force ? RUNS_PRUNE_ALL : RUNS_PRUNE_OLD;
	owned_runs runs = { 0 };
	owned_list trees = { 0 };
	owned_fd state_fd = -1;
	int64_t now_ns;
	size_t number = 0;
	int worst = 0;
	int result;

	/* Nothing was ever kept there. */
	if (state_open(places, STATE_LEAVE, &state_fd, NULL) < 0)
		return 0;
	now_ns = clock_wall_ns();
	result = runs_list(state_fd, &runs, error);
	for (size_t i = 0; i < runs.count && result == 0; i++) {
		const struct runs_entry *entry = &runs.items[i];
		bool is_taken = runs_is_prunable(entry, number, which, now_ns);
		bool is_removed = false;
		bool stays;

		number += entry->has_journal;
		if (is_taken && !invocation->dry_run) {
			int status = remove_run(state_fd, entry->id, &is_removed);

			worst = MAX(worst, status);
		}
		if (is_taken)
			add_row(table, "run", entry->tree, entry->id, NULL, is_removed);
		stays = !is_taken || (!is_removed && !invocation->dry_run);
		if (stays && entry->tree && access(entry->tree, F_OK) == 0)
			text_list_add(&trees, entry->tree);
	}
	if (result == 0)
		result = prune_times(invocation, state_fd, &trees, table, error);
	return result < 0 ? result : worst;
}

int verb_prune(struct invocation *invocation, struct error *error)
{
	enum collect_mode mode = invocation->dry_run ? COLLECT_LOOK : COLLECT_REMOVE;
	owned_table table = { .columns = columns, .column_count = ARRAY_SIZE(columns) };
	owned_collect_report report = { 0 };
	owned_places places = { 0 };
	struct error failure = { 0 };
	int worst = 0;
	int result = identity_find_places(&places, error);

	if (result < 0)
		return result;
	/* What cannot be removed is told, and hides neither what was nor what else there is to do. */
	if (collect_dead(&places, mode, &report, &failure) < 0) {
		say_error(&failure);
		worst = EXIT_SBX_FAILED;
	}
	for (size_t i = 0; i < report.workers.count; i++)
		add_row(&table, "dead worker", report.workers.items[i], NULL, NULL, mode == COLLECT_REMOVE);
	for (size_t i = 0; i < report.directories.count; i++)
		add_row(&table, "directory", report.directories.items[i], NULL, NULL, mode == COLLECT_REMOVE);
	result = invocation->force ? prune_kept(invocation, &places, &table, error) : 0;
	if (result < 0)
		return result;
	worst = MAX(worst, result);
	result = prune_runs(invocation, &places, &table, error);
	if (result < 0)
		return result;
	worst = MAX(worst, result);
	result = output_table(&table, invocation, error);
	return result < 0 ? result : worst;
}
