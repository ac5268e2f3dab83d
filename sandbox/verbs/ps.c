/* SPDX-License-Identifier: Apache-2.0 */
/* sbx ps: the live workers, told by their locks, and with --all the kept ones. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/path.h"
#include "base/table.h"
#include "sandbox/registry/collect.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/identity.h"

static const struct table_column columns[] = {
	{ "name", "NAME", TABLE_TEXT, 24, NULL },
	{ "id", "ID", TABLE_TEXT, 0, NULL },
	{ "state", NULL, TABLE_TEXT, 0, NULL },
	{ "status", "STATUS", TABLE_TEXT, 0, NULL },
	{ "exit_status", NULL, TABLE_NUMBER, 0, NULL },
	{ "started", "STARTED", TABLE_TIME, 0, NULL },
	{ "ended", NULL, TABLE_TIME, 0, NULL },
	{ "bytes", NULL, TABLE_BYTES, 0, NULL },
	{ "entries", NULL, TABLE_NUMBER, 0, NULL },
	{ "pid", NULL, TABLE_NUMBER, 0, NULL },
	{ "run", NULL, TABLE_TEXT, 0, NULL },
	{ "keep", NULL, TABLE_TEXT, 0, NULL },
	{ "ports", NULL, TABLE_LIST, 0, NULL },
	{ "labels", NULL, TABLE_LIST, 0, NULL },
	{ "degraded", "DEGRADED", TABLE_LIST, 24, NULL },
	{ "tree", "TREE", TABLE_TEXT, 40, NULL },
	{ "command", "COMMAND", TABLE_LIST, 40, " " },
};

static const char *const state_words[] = { "live", "kept", "damaged" };
enum state { STATE_IS_LIVE, STATE_IS_KEPT, STATE_IS_DAMAGED };

/* A worker as it is listed. */
struct listed {
	enum state state;
	const char *word;	       /* by which it is found */
	const char *name;	       /* NULL: of a damaged one that is not known */
	const struct worker_row *row;  /* empty members where the row cannot be read */
	const struct kept_worker *end; /* of a kept one */
};

/* ---- filters ---- */

static bool fits_name(const struct listed *worker, const char *value)
{
	return worker->name && strstr(worker->name, value);
}

static bool fits_id(const struct listed *worker, const char *value)
{
	return worker->row->id && text_starts_with(worker->row->id, value);
}

static const char *status_word(const struct listed *worker)
{
	if (worker->state == STATE_IS_LIVE)
		return worker->row->phase ? worker->row->phase : "starting";
	return state_words[worker->state];
}

static bool fits_status(const struct listed *worker, const char *value)
{
	if (worker->state == STATE_IS_KEPT && (text_equal(value, "exited") || text_equal(value, "failed")))
		return text_equal(value, "exited") || worker->end->exit_status != 0;
	return text_equal(value, state_words[worker->state]) || text_equal(value, status_word(worker));
}

/* The tree itself, or one that lies in it. */
static bool fits_tree(const struct listed *worker, const char *value)
{
	owned_text path = NULL;
	owned_text here = NULL;

	if (!worker->row->tree)
		return false;
	/* One that was removed since is still the tree of a kept worker. */
	if (path_canonical(value, &path) < 0) {
		here = getcwd(NULL, 0);
		path = path_normal(here ? here : "/", value);
	}
	return path_is_below(worker->row->tree, path);
}

/* KEY: set at all. KEY=VALUE: set so. */
static bool fits_label(const struct listed *worker, const char *value)
{
	size_t length = strlen(value);

	for (size_t i = 0; i < worker->row->labels.count; i++) {
		const char *label = worker->row->labels.items[i];

		if (text_equal(label, value) ||
		    (!strchr(value, '=') && strncmp(label, value, length) == 0 && label[length] == '='))
			return true;
	}
	return false;
}

static const struct filter {
	const char *key;
	bool (*fits)(const struct listed *worker, const char *value);
	bool adds_up; /* each must fit; of the others one must */
} filters[] = {
	{ .key = "name", .fits = fits_name },
	{ .key = "id", .fits = fits_id },
	{ .key = "status", .fits = fits_status },
	{ .key = "tree", .fits = fits_tree },
	{ .key = "label", .fits = fits_label, .adds_up = true },
};

/* The VALUE of "KEY=VALUE" if that is its key. */
static const char *value_for(const char *written, const char *key)
{
	size_t length = strlen(key);

	return strncmp(written, key, length) == 0 && written[length] == '=' ? written + length + 1 : NULL;
}

static int check_filters(const struct text_list *wanted, struct error *error)
{
	for (size_t i = 0; i < wanted->count; i++) {
		bool is_known = false;

		for (size_t j = 0; j < ARRAY_SIZE(filters); j++)
			is_known = is_known || value_for(wanted->items[i], filters[j].key);
		if (!is_known)
			return error_set(error, .number = EINVAL, .step = "use --filter", .object = wanted->items[i],
					 .cause = "there is no such key",
					 .remedy = "there are: name, id, status, tree, label");
	}
	return 0;
}

/* docker's rule: several of one key, any of them; several keys, all of them; labels, all of them. */
static bool fits_filter(const struct listed *worker, const struct filter *filter, const struct text_list *wanted)
{
	size_t asked = 0;
	size_t fitting = 0;

	for (size_t i = 0; i < wanted->count; i++) {
		const char *value = value_for(wanted->items[i], filter->key);

		if (!value)
			continue;
		asked++;
		fitting += filter->fits(worker, value);
	}
	return filter->adds_up ? fitting == asked : asked == 0 || fitting > 0;
}

static bool fits_all(const struct listed *worker, const struct text_list *wanted)
{
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
		if (!fits_filter(worker, &filters[i], wanted))
			return false;
	return true;
}

/* Who asks for a status means workers that have it: kept ones as well. */
static bool asks_for_status(const struct text_list *wanted)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (value_for(wanted->items[i], "status"))
			return true;
	return false;
}

/* ---- rows ---- */

static void add_time(struct table *table, int64_t time_ns)
{
	if (time_ns > 0)
		table_add_number(table, time_ns);
	else
		table_add_missing(table);
}

static void add_status(struct table *table, const struct listed *worker)
{
	bool has_failed = worker->end && worker->end->exit_status != 0;
	owned_text status = worker->end ? text_format("kept, exit %" PRId64, worker->end->exit_status)
					: text_duplicate(status_word(worker));

	table_add_text(table, status);
	table_set_style(table, has_failed || worker->state == STATE_IS_DAMAGED ? TABLE_BAD
			       : worker->state == STATE_IS_LIVE		       ? TABLE_GOOD
									       : TABLE_PLAIN);
}

static void add_worker(struct table *table, const struct listed *worker)
{
	const struct worker_row *row = worker->row;

	table_add_text(table, worker->name);
	table_add_text(table, row->id);
	table_add_text(table, state_words[worker->state]);
	add_status(table, worker);
	if (worker->end) {
		table_add_number(table, worker->end->exit_status);
		add_time(table, row->started_ns);
		add_time(table, worker->end->ended_ns);
		table_add_number(table, worker->end->bytes);
		table_add_number(table, worker->end->entries);
		table_add_missing(table);
	} else {
		table_add_missing(table);
		add_time(table, row->started_ns);
		table_add_missing(table);
		table_add_missing(table);
		table_add_missing(table);
		add_time(table, row->pid);
	}
	table_add_text(table, row->run);
	table_add_text(table, row->keep);
	table_add_list(table, &row->ports);
	table_add_list(table, &row->labels);
	table_add_list(table, &row->degraded);
	table_add_text(table, row->tree);
	table_add_list(table, &row->command);
}

/* Calls `add` for each worker that fits. */
static void for_each_fitting(const struct worker_list *list, const struct text_list *wanted,
			     void (*add)(void *argument, const struct listed *worker), void *argument)
{
	for (size_t i = 0; i < list->live.count; i++) {
		const struct lock_entry *entry = &list->live.items[i];
		struct listed worker = { STATE_IS_LIVE, workers_word_of_live(entry), entry->name, &entry->row, NULL };

		if (fits_all(&worker, wanted))
			add(argument, &worker);
	}
	for (size_t i = 0; i < list->kept.count; i++) {
		const struct kept_worker *kept = &list->kept.items[i];
		struct listed worker = { STATE_IS_KEPT, workers_word_of_kept(list, kept), kept->row.name, &kept->row,
					 kept };

		if (fits_all(&worker, wanted))
			add(argument, &worker);
	}
	for (size_t i = 0; i < list->damaged.count; i++) {
		const struct worker_row row = { .id = list->damaged.items[i] };
		struct listed worker = { STATE_IS_DAMAGED, row.id, NULL, &row, NULL };

		if (fits_all(&worker, wanted))
			add(argument, &worker);
	}
}

static void add_word(void *argument, const struct listed *worker)
{
	text_buffer_format(argument, "%s\n", worker->word);
}

static void add_row(void *argument, const struct listed *worker)
{
	add_worker(argument, worker);
}

int verb_ps(struct invocation *invocation, struct error *error)
{
	const struct text_list *wanted = &invocation->filters;
	owned_table table = { .columns = columns, .column_count = ARRAY_SIZE(columns) };
	owned_buffer words = { 0 };
	owned_places places = { 0 };
	owned_worker_list list = { 0 };
	unsigned scope = RESOLVE_LIVE | (invocation->all || asks_for_status(wanted) ? RESOLVE_KEPT : 0);
	int result = check_filters(wanted, error);

	if (result == 0)
		result = identity_find_places(&places, error);
	if (result < 0)
		return result;
	/* What the dead left is gone with the next command; that it cannot be removed is no matter of a listing. */
	(void)collect_dead(&places, COLLECT_REMOVE, NULL, NULL);
	result = workers_list(&places, scope, &list, error);
	if (result < 0)
		return result;
	if (invocation->quiet && invocation->format == FORMAT_TABLE) {
		for_each_fitting(&list, wanted, add_word, &words);
		return output_write(&words, "the listing", error);
	}
	for_each_fitting(&list, wanted, add_row, &table);
	return output_table(&table, invocation, error);
}
