/* SPDX-License-Identifier: Apache-2.0 */
/* sbx report: what happened in test runs, as a page, as JUnit, or as JSON. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/table.h"
#include "sandbox/run/report.h"
#include "sandbox/run/runs.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/identity.h"

enum { REPORT_FILE_SIZE_MAX = 256 << 20 };

#define PAGE_NAME "report.html"

/* ---- which ---- */

static int open_state(struct state_paths *places, int *ret_fd, struct error *error)
{
	int result = identity_find_places(places, error);

	return result < 0 ? result : state_open(places, STATE_LEAVE, ret_fd, error);
}

static int fail_without_run(const char *tree, struct error *error)
{
	return error_set(error, .number = ENOENT, .step = "report on the newest run of", .object = tree,
			 .cause = "there is none", .remedy = "sbx report --list shows all runs; sbx test makes one");
}

/* The tree that the directory lies in, or one that lies in the directory. */
static bool is_of(const struct runs_entry *entry, const char *directory)
{
	return entry->tree && (path_is_below(directory, entry->tree) || path_is_below(entry->tree, directory));
}

static int add_run(struct report *report, int state_fd, const char *id, struct error *error)
{
	owned_fd fd = -1;
	int result = runs_open(state_fd, id, &fd, error);

	return result < 0 ? result : report_add_directory(report, fd, id, error);
}

static int add_newest(const struct invocation *invocation, struct report *report, int state_fd,
		      const struct runs_list *runs, struct error *error)
{
	owned_text directory = NULL;
	int result = path_canonical(invocation->spec.tree ? invocation->spec.tree : ".", &directory);

	if (result < 0)
		return error_set(error, .number = -result, .step = "find the tree",
				 .object = invocation->spec.tree ? invocation->spec.tree : ".");
	for (size_t i = 0; i < runs->count; i++)
		if (runs->items[i].has_journal && is_of(&runs->items[i], directory))
			return add_run(report, state_fd, runs->items[i].id, error);
	return fail_without_run(directory, error);
}

/* @return how many runs' ids begin so; the first of them in *ret_entry */
static size_t find_by_id(const struct runs_list *runs, const char *word, const struct runs_entry **ret_entry)
{
	size_t count = 0;

	for (size_t i = 0; id_is_prefix(word, 3) && i < runs->count; i++)
		if (runs->items[i].has_journal && text_starts_with(runs->items[i].id, word) && count++ == 0)
			*ret_entry = &runs->items[i];
	return count;
}

static int add_file(struct report *report, const char *path, struct error *error)
{
	owned_text text = NULL;
	size_t size = 0;
	int result = fd_read_file(AT_FDCWD, path, REPORT_FILE_SIZE_MAX, &text, &size);

	if (result < 0)
		return error_set(error, .number = -result, .step = "read the report", .object = path);
	return report_add_json(report, text, size, path, error);
}

/* A file or directory that is there, if it cannot be a run's id; a run; then what is left is no run. */
static int add_word(struct report *report, int state_fd, const struct runs_list *runs, const char *word,
		    struct error *error)
{
	const struct runs_entry *entry = NULL;
	size_t count = find_by_id(runs, word, &entry);
	struct stat status;

	if (count > 1)
		return error_set(error, .number = ENOTUNIQ, .step = "report on", .object = word,
				 .cause = "several runs begin so", .remedy = "write more of the id: sbx report --list");
	if (count == 1)
		return add_run(report, state_fd, entry->id, error);
	if (stat(word, &status) < 0)
		return error_set(error, .number = errno, .step = "report on", .object = word,
				 .cause = errno == ENOENT ? "there is no such run, directory or file" : NULL,
				 .remedy = "sbx report --list shows the runs there are");
	if (S_ISDIR(status.st_mode)) {
		owned_fd fd = open(word, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return error_set(error, .number = errno, .step = "open the run in", .object = word);
		return report_add_directory(report, fd, word, error);
	}
	return add_file(report, word, error);
}

static int read_runs(const struct invocation *invocation, struct report *report, int state_fd,
		     const struct runs_list *runs, struct error *error)
{
	int result = 0;

	if (invocation->operands.count == 0)
		return add_newest(invocation, report, state_fd, runs, error);
	for (size_t i = 0; i < invocation->operands.count && result == 0; i++)
		result = add_word(report, state_fd, runs, invocation->operands.items[i], error);
	return result;
}

/* ---- the listing ---- */

static const struct table_column columns[] = {
	{ "id", "RUN", TABLE_TEXT, 0, NULL },		{ "status", "STATUS", TABLE_TEXT, 0, NULL },
	{ "started", "STARTED", TABLE_TIME, 0, NULL },	{ "ended", NULL, TABLE_TIME, 0, NULL },
	{ "exit_code", "EXIT", TABLE_NUMBER, 0, NULL }, { "passed", "PASSED", TABLE_NUMBER, 0, NULL },
	{ "failed", "FAILED", TABLE_NUMBER, 0, NULL },	{ "flaky", "FLAKY", TABLE_NUMBER, 0, NULL },
	{ "skipped", NULL, TABLE_NUMBER, 0, NULL },	{ "unfinished", NULL, TABLE_NUMBER, 0, NULL },
	{ "shard", NULL, TABLE_TEXT, 0, NULL },		{ "tree", "TREE", TABLE_TEXT, 40, NULL },
	{ "command", "COMMAND", TABLE_LIST, 40, " " },
};

static void list_run(struct table *table, const struct runs_entry *entry, const struct report_run *run)
{
	bool has_ended = run->exit_code >= 0;

	table_add_text(table, run->id);
	table_add_text(table, entry->is_live ? "running" : has_ended ? "ended" : "killed");
	table_add_number(table, run->start_ms * 1000000);
	if (has_ended) {
		table_add_number(table, run->end_ms * 1000000);
		table_add_number(table, run->exit_code);
		table_set_style(table, run->exit_code == 0 ? TABLE_GOOD : TABLE_BAD);
	} else {
		table_add_missing(table);
		table_add_missing(table);
	}
	table_add_number(table, run->outcomes[REPORT_PASSED]);
	table_add_number(table, run->outcomes[REPORT_FAILED]);
	table_add_number(table, run->outcomes[REPORT_FLAKY]);
	table_add_number(table, run->outcomes[REPORT_SKIPPED]);
	table_add_number(table, run->outcomes[REPORT_UNFINISHED]);
	table_add_text(table, run->shard);
	table_add_text(table, run->tree);
	table_add_list(table, &run->command);
}

static int list_runs(const struct invocation *invocation, int state_fd, const struct runs_list *runs,
		     struct error *error)
{
	owned_table table = { .columns = columns, .column_count = ARRAY_SIZE(columns) };

	for (size_t i = 0; i < runs->count; i++) {
		owned_report report = { 0 };

		/* One that is damaged, or has just gone, hides no other. */
		if (runs->items[i].has_journal && add_run(&report, state_fd, runs->items[i].id, NULL) == 0)
			list_run(&table, &runs->items[i], &report.runs[0]);
	}
	return output_table(&table, invocation, error);
}

/* ---- writing ---- */

static int write_file(const char *path, const struct text_buffer *text, struct error *error)
{
	owned_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int result = fd < 0 ? -errno : fd_write_all(fd, text->bytes, text->length);

	return result < 0 ? error_set(error, .number = -result, .step = "write the report", .object = path) : 0;
}

/* Where the page goes when nobody said: beside the run, so that no tree gets a file that nobody asked for. */
static char *default_path(const struct report *report, const struct state_paths *places)
{
	const char *newest = "";

	for (size_t i = 0; i < report->run_count; i++)
		newest = strcmp(report->runs[i].id, newest) > 0 ? report->runs[i].id : newest;
	return text_format("%s/%s/%s/" PAGE_NAME, places->state, state_part_name(STATE_RUNS), newest);
}

static int write_page(const struct report *report, const char *path, bool is_stdout, struct text_buffer *out,
		      struct error *error)
{
	owned_text here = getcwd(NULL, 0);
	owned_text full = here ? path_normal(here, path) : text_duplicate(path);
	owned_text parent = path_parent(full);
	struct report_page page = { .directory = is_stdout ? NULL : parent, .can_bundle = verb_find("bundle") != NULL };

	page.now_ms = clock_wall_ns() / 1000000;
	report_write_html(report, &page, out);
	return is_stdout ? output_write(out, "the report", error) : write_file(path, out, error);
}

static int write_report(const struct invocation *invocation, const struct report *report,
			const struct state_paths *places, struct error *error)
{
	bool is_page = invocation->format == FORMAT_TABLE;
	bool is_stdout = invocation->output ? text_equal(invocation->output, "-") : !is_page;
	owned_text path = invocation->output ? text_duplicate(invocation->output) : default_path(report, places);
	owned_buffer out = { 0 };
	int result;

	if (is_page) {
		result = write_page(report, path, is_stdout, &out, error);
	} else {
		if (invocation->format == FORMAT_JSON)
			report_write_json(report, &out);
		else
			report_write_junit(report, &out);
		result = is_stdout ? output_write(&out, "the report", error) : write_file(path, &out, error);
	}
	if (result == 0 && !is_stdout && !invocation->output)
		(void)printf("%s\n", path);
	return result;
}

int verb_report(struct invocation *invocation, struct error *error)
{
	owned_places places = { 0 };
	owned_runs runs = { 0 };
	owned_report report = { 0 };
	owned_fd state_fd = -1;
	struct error missing = { 0 };
	int result = open_state(&places, &state_fd, &missing);

	/* What others exported can be read where no run ever was. */
	if (result < 0 && result != -ENOENT) {
		*error = missing;
		return result;
	}
	if (invocation->list && invocation->operands.count > 0)
		return error_set(error, .number = EINVAL, .step = "list the runs",
				 .object = invocation->operands.items[0], .cause = "--list lists them all",
				 .remedy = "leave one of the two out");
	result = state_fd < 0 ? 0 : runs_list(state_fd, &runs, error);
	if (result == 0 && invocation->list)
		return list_runs(invocation, state_fd, &runs, error);
	if (result == 0)
		result = read_runs(invocation, &report, state_fd, &runs, error);
	return result < 0 ? result : write_report(invocation, &report, &places, error);
}
