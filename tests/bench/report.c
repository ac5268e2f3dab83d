/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"

static const struct outcome *find(const struct report *report, const char *id)
{
	for (size_t i = 0; i < report->count; i++)
		if (text_equal(report->outcomes[i].row->id, id))
			return &report->outcomes[i];
	return NULL;
}

static const struct outcome *reference_of(const struct report *report, const struct outcome *outcome)
{
	return find(report, outcome->group->rows[0].id);
}

/* ---- goals ---- */

struct verdict {
	double value;
	bool is_met;
};

/* @return whether both were measured */
static bool judge(const struct report *report, const struct goal *goal, struct verdict *ret_verdict)
{
	const struct outcome *row = find(report, goal->row);
	const struct outcome *reference = find(report, goal->reference);
	double value;

	if (!row || !reference || row->not_measured || reference->not_measured)
		return false;
	if (goal->kind == GOAL_MORE_AT_MOST)
		value = samples_summary(&row->samples).median - samples_summary(&reference->samples).median;
	else
		value = samples_ratio(&row->samples, &reference->samples).median;
	*ret_verdict = (struct verdict){
		.value = value,
		.is_met = goal->kind == GOAL_RATIO_AT_LEAST ? value >= goal->wanted : value <= goal->wanted,
	};
	return true;
}

/* ---- for people ---- */

static int digits_for(double value)
{
	return value >= 1000 ? 0 : value >= 100 ? 1 : 2;
}

static void print_row(const struct report *report, const struct outcome *outcome)
{
	const struct outcome *reference = reference_of(report, outcome);
	struct summary summary;
	struct summary ratio;
	int digits;

	if (outcome->not_measured) {
		(void)printf("  %-38s %s\n", outcome->row->title, outcome->not_measured);
		return;
	}
	summary = samples_summary(&outcome->samples);
	digits = digits_for(summary.median);
	(void)printf("  %-38s %9.*f %9.*f - %-9.*f", outcome->row->title, digits, summary.median, digits, summary.low,
		     digits, summary.high);
	if (reference && reference != outcome && !reference->not_measured) {
		ratio = samples_ratio(&outcome->samples, &reference->samples);
		(void)printf(" %7.3f %7.3f - %.3f", ratio.median, ratio.low, ratio.high);
	}
	(void)printf("\n");
}

static void print_goals(const struct report *report)
{
	static const struct {
		const char *words;
		const char *unit;
	} kinds[] = {
		[GOAL_RATIO_AT_MOST] = { "at most", "" },
		[GOAL_RATIO_AT_LEAST] = { "at least", "" },
		[GOAL_MORE_AT_MOST] = { "at most +", " ms" },
	};

	(void)printf("\ngoals\n");
	for (size_t i = 0; i < goal_count; i++) {
		const struct goal *goal = &goals[i];
		const struct outcome *row = find(report, goal->row);
		const struct outcome *reference = find(report, goal->reference);
		struct verdict verdict;
		char title[96];

		if (!row || !reference)
			continue;
		(void)snprintf(title, sizeof(title), "%s: %s %s %s", row->group->title, row->row->title,
			       goal->kind == GOAL_MORE_AT_MOST ? "over" : "/", reference->row->title);
		(void)printf("  %-76s", title);
		if (judge(report, goal, &verdict))
			(void)printf(" %8.3f  %s%s%g%s: %s\n", verdict.value, kinds[goal->kind].words,
				     goal->kind == GOAL_MORE_AT_MOST ? "" : " ", goal->wanted, kinds[goal->kind].unit,
				     verdict.is_met ? "met" : "MISSED");
		else
			(void)printf(" not measured\n");
	}
}

static char *processor_name(void)
{
	owned_text text = NULL;
	char *name;

	if (fd_read_file(AT_FDCWD, "/proc/cpuinfo", 16 << 20, &text, NULL) < 0)
		return NULL;
	name = strstr(text, "model name");
	name = name ? strchr(name, ':') : NULL;
	if (!name)
		return NULL;
	name += strspn(name, ": ");
	name[strcspn(name, "\n")] = '\0';
	return text_duplicate(name);
}

void report_print(const struct report *report)
{
	const struct row_group *group = NULL;
	struct utsname system = { 0 };
	owned_text processor = processor_name();

	(void)uname(&system);
	(void)printf("sbx %s, Linux %s, %ld x %s\n", SBX_VERSION, system.release, sysconf(_SC_NPROCESSORS_ONLN),
		     processor ? processor : system.machine);
	(void)printf("Medians with quartiles; ratios within each round, to the first row of the group.\n");
	for (size_t i = 0; i < report->count; i++) {
		const struct outcome *outcome = &report->outcomes[i];
		char head[96];

		if (outcome->group != group) {
			group = outcome->group;
			(void)snprintf(head, sizeof(head), "%s, %s", group->title, group->unit);
			(void)printf("\n%-40s %9s %9s - %-9s %7s %7s - %s\n", head, "median", "p25", "p75", "ratio",
				     "p25", "p75");
		}
		print_row(report, outcome);
	}
	print_goals(report);
}

/* ---- for programs ---- */

static void add_decimal(struct text_buffer *out, const char *name, double value)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "%.6g", value);
	json_add_raw(out, name, text);
}

static void add_summary(struct text_buffer *out, const char *name, struct summary summary)
{
	json_begin_object(out, name);
	add_decimal(out, "median", summary.median);
	add_decimal(out, "p25", summary.low);
	add_decimal(out, "p75", summary.high);
	json_end_object(out);
}

static void add_outcome(struct text_buffer *out, const struct report *report, const struct outcome *outcome)
{
	const struct outcome *reference = reference_of(report, outcome);

	json_begin_object(out, NULL);
	json_add_text(out, "id", outcome->row->id);
	json_add_text(out, "group", outcome->group->title);
	json_add_text(out, "title", outcome->row->title);
	json_add_text(out, "command", outcome->row->command);
	json_add_text(out, "version", outcome->version);
	json_add_text(out, "not_measured", outcome->not_measured);
	if (!outcome->not_measured) {
		json_add_text(out, "unit", outcome->group->unit);
		json_add_number(out, "samples", (int64_t)outcome->samples.count);
		add_summary(out, "value", samples_summary(&outcome->samples));
		if (reference && !reference->not_measured) {
			json_add_text(out, "reference", reference->row->id);
			add_summary(out, "ratio", samples_ratio(&outcome->samples, &reference->samples));
		}
	}
	json_end_object(out);
}

static void add_goal(struct text_buffer *out, const struct report *report, const struct goal *goal)
{
	static const char *const kinds[] = {
		[GOAL_RATIO_AT_MOST] = "ratio at most",
		[GOAL_RATIO_AT_LEAST] = "ratio at least",
		[GOAL_MORE_AT_MOST] = "more at most",
	};
	struct verdict verdict;

	json_begin_object(out, NULL);
	json_add_text(out, "row", goal->row);
	json_add_text(out, "reference", goal->reference);
	json_add_text(out, "kind", kinds[goal->kind]);
	add_decimal(out, "wanted", goal->wanted);
	if (judge(report, goal, &verdict)) {
		add_decimal(out, "value", verdict.value);
		json_add_bool(out, "met", verdict.is_met);
	} else {
		json_add_null(out, "value");
		json_add_null(out, "met");
	}
	json_end_object(out);
}

void report_format_json(const struct report *report, struct text_buffer *out)
{
	struct utsname system = { 0 };
	owned_text processor = processor_name();
	double load[1] = { 0 };

	(void)uname(&system);
	(void)getloadavg(load, 1);
	json_begin_object(out, NULL);
	json_add_text(out, "sbx", SBX_VERSION);
	json_add_text(out, "kernel", system.release);
	json_add_text(out, "machine", system.machine);
	json_add_text(out, "processor", processor);
	json_add_number(out, "processors", sysconf(_SC_NPROCESSORS_ONLN));
	add_decimal(out, "load_after", load[0]);
	json_add_number(out, "uid", geteuid());
	json_add_number(out, "rounds", (int64_t)report->rounds);
	json_add_number(out, "seed", (int64_t)report->seed);
	json_begin_array(out, "rows");
	for (size_t i = 0; i < report->count; i++)
		add_outcome(out, report, &report->outcomes[i]);
	json_end_array(out);
	json_begin_array(out, "goals");
	for (size_t i = 0; i < goal_count; i++)
		add_goal(out, report, &goals[i]);
	json_end_array(out);
	json_end_object(out);
	text_buffer_add_text(out, "\n");
}
