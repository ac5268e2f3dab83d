/* SPDX-License-Identifier: Apache-2.0 */
/* sbx doctor: is this machine ready, and if not, what to do. The steps are done in sandbox/worker/probe.c; here they
 * are shown: for people a table and, below it, causes and remedies; for programs the JSON of
 * scripts/schema/doctor.json. Exit status 0: a plain `sbx run` works; 1: it does not; 125: doctor itself failed. */
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/table.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/probe.h"

enum { EXIT_NOT_READY = 1 };

static const enum table_style styles[] = { [PROBE_OK] = TABLE_GOOD,
					   [PROBE_DEGRADED] = TABLE_PLAIN,
					   [PROBE_MISSING] = TABLE_BAD,
					   [PROBE_UNTRIED] = TABLE_DIM };

/* ---- for people ---- */

/* Rows of one step that all are well become one: seven kinds of namespaces are no news. */
static size_t count_alike(const struct probe_report *report, size_t first)
{
	const struct probe_row *row = &report->rows[first];
	size_t count = 1;

	if (row->state != PROBE_OK || row->object[0] == '\0')
		return 1;
	while (first + count < report->count && row[count].state == PROBE_OK &&
	       strcmp(row->step, row[count].step) == 0 && strcmp(row->found, row[count].found) == 0)
		count++;
	return count;
}

static void add_table_row(struct table *table, const struct probe_report *report, size_t first, size_t count)
{
	const struct probe_row *row = &report->rows[first];
	owned_buffer found = { 0 };

	for (size_t i = 0; i < count && row->object[0]; i++)
		text_buffer_format(&found, "%s%s", i > 0 ? " " : "", report->rows[first + i].object);
	if (row->object[0] && row->found[0])
		text_buffer_add_text(&found, ": ");
	text_buffer_add_text(&found, row->found);
	table_add_text(table, probe_state_name(row->state));
	table_set_style(table, styles[row->state]);
	table_add_text(table, row->step);
	table_add_text(table, found.bytes);
}

static bool has_same_reason(const struct probe_row *a, const struct probe_row *b)
{
	return a->state == b->state && strcmp(a->cause, b->cause) == 0 && strcmp(a->remedy, b->remedy) == 0;
}

static void add_name(const struct probe_row *row, const char *previous_step, struct text_buffer *out)
{
	char object[2 * sizeof(row->object)];

	text_escape(object, sizeof(object), row->object);
	if (!previous_step || strcmp(previous_step, row->step) != 0)
		text_buffer_format(out, "%s%s", previous_step ? "; " : "", row->step);
	if (object[0])
		text_buffer_format(out, " '%s'", object);
}

/* One reason, with all rows that have it; said at the first of them. */
static void add_reason(const struct probe_report *report, size_t first, struct text_buffer *out)
{
	const struct probe_row *row = &report->rows[first];
	const char *previous_step = NULL;
	char cause[2 * sizeof(row->cause)];
	char remedy[2 * sizeof(row->remedy)];

	for (size_t i = 0; i < first; i++)
		if (has_same_reason(&report->rows[i], row))
			return;
	text_buffer_format(out, "\n%s: ", probe_state_name(row->state));
	for (size_t i = first; i < report->count; i++)
		if (has_same_reason(&report->rows[i], row)) {
			add_name(&report->rows[i], previous_step, out);
			previous_step = report->rows[i].step;
		}
	text_escape(cause, sizeof(cause), row->cause);
	text_escape(remedy, sizeof(remedy), row->remedy);
	text_buffer_format(out, ": %s\n", cause);
	if (remedy[0])
		text_buffer_format(out, "  %s\n", remedy);
}

static void show_table(const struct probe_report *report, struct text_buffer *out)
{
	static const struct table_column columns[] = {
		{ .name = "state", .title = "STATE", .kind = TABLE_TEXT },
		{ .name = "step", .title = "STEP", .kind = TABLE_TEXT },
		{ .name = "found", .title = "FOUND", .kind = TABLE_TEXT },
	};
	owned_table table = { .columns = columns, .column_count = ARRAY_SIZE(columns) };
	struct table_options options;
	size_t count;

	table_options_init(&options, STDOUT_FILENO);
	for (size_t i = 0; i < report->count; i += count) {
		count = count_alike(report, i);
		add_table_row(&table, report, i, count);
	}
	table_format(&table, &options, out);
	/* The worst last, where the eye is. What was not tried has its cause in a row that is there. */
	for (size_t i = 0; i < report->count; i++)
		if (report->rows[i].state == PROBE_DEGRADED)
			add_reason(report, i, out);
	for (size_t i = 0; i < report->count; i++)
		if (report->rows[i].state == PROBE_MISSING)
			add_reason(report, i, out);
	text_buffer_add_text(out, report->is_usable ? "\nsbx run works on this machine.\n"
						    : "\nsbx run does not work on this machine yet.\n");
}

/* ---- for programs ---- */

static void add_json_text(struct text_buffer *out, const char *name, const char *text)
{
	json_add_text(out, name, text[0] ? text : NULL);
}

static void show_json(const struct probe_report *report, struct text_buffer *out)
{
	json_begin_object(out, NULL);
	json_add_text(out, "version", SBX_VERSION);
	json_add_bool(out, "usable", report->is_usable);
	json_begin_array(out, "steps");
	for (size_t i = 0; i < report->count; i++) {
		const struct probe_row *row = &report->rows[i];

		json_begin_object(out, NULL);
		json_add_text(out, "step", row->step);
		add_json_text(out, "object", row->object);
		json_add_text(out, "state", probe_state_name(row->state));
		add_json_text(out, "found", row->found);
		add_json_text(out, "cause", row->cause);
		add_json_text(out, "remedy", row->remedy);
		json_end_object(out);
	}
	json_end_array(out);
	json_end_object(out);
	text_buffer_add_text(out, "\n");
}

int verb_doctor(struct invocation *invocation, struct error *error)
{
	struct probe_report report = { 0 };
	owned_buffer out = { 0 };
	bool is_usable;
	int result = probe_machine(invocation->spec.tree, &report, error);

	if (result == 0 && invocation->check_tree)
		result = probe_tree(invocation->spec.tree, &report, error);
	if (result < 0) {
		probe_report_release(&report);
		return result;
	}
	if (invocation->format == FORMAT_JSON)
		show_json(&report, &out);
	else
		show_table(&report, &out);
	is_usable = report.is_usable;
	probe_report_release(&report);
	result = fd_write_all(STDOUT_FILENO, out.bytes, out.length);
	if (result < 0)
		return error_set(error, .number = -result, .step = "print the findings");
	return is_usable ? 0 : EXIT_NOT_READY;
}
