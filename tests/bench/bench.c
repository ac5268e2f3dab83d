/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmark: bench SBX WORK RESULTS.json, started by tests/bench/run, which makes WORK:
 *
 *	WORK/home	HOME; the trees lie below it, as a developer's do, so that one overlay serves both
 *	WORK/home/tree	the app's directory, with the benchmark's programs in bin/
 *	WORK/bundle	an OCI bundle for crun
 *
 * How it works: the rows of rows.c, group after group. Each row is tried once first: a program that is missing, or does
 * not know what is asked of it, is named in the table, not left out. Then come the rounds: each runs all rows of the
 *group once, in a new random order, so that what one leaves behind for the next (network namespaces are torn down after
 *the command has ended) hits all alike (finding 30). What a start may cost: finding 45, in multiples of the floor
 *finding 46. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "base/process.h"
#include "tests/bench/clock.h"
#include "tests/bench/measure.h"
#include "tests/bench/report.h"
#include "tests/bench/rows.h"

enum {
	ROUNDS_DEFAULT = 200,
	ROUNDS_MIN = 5, /* of any group */
	ROUNDS_WARM_UP = 2,
};

#define NOT_IN_THIS_VERSION "not in this version"

struct bench {
	const char *sbx;
	const char *work;
	char *home;
	char *tree;
	char *bin;
	uint64_t rounds;
	uint64_t files_max; /* rows with more files are left out */
	uint64_t seed;
	uint64_t random; /* state, never 0 */
	struct measure measure;
	pid_t world; /* the sbx that holds the live world; -1: none */
	int world_output_fd;
	pid_t world_pid; /* its payload */
};

/* A row on its way to an outcome. */
struct subject {
	struct outcome *outcome;
	struct text_list argv;
};

static uint64_t knob(const char *name, uint64_t fallback, uint64_t min)
{
	const char *text = getenv(name);
	uint64_t value = fallback;

	if (text && text[0] != '\0' && number_parse(text, min, INT64_MAX, &value) < 0) {
		(void)fprintf(stderr, "bench: %s is not a number of at least %llu: %s\n", name, (unsigned long long)min,
			      text);
		exit(2);
	}
	return value;
}

static uint64_t next_random(uint64_t *state)
{
	/* xorshift64*, Marsaglia 2003 */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static void set_reason(struct outcome *outcome, char *reason)
{
	/* One line of the table. */
	reason[strcspn(reason, "\n")] = '\0';
	text_free(&outcome->not_measured);
	outcome->not_measured = reason;
}

/* ---- commands ---- */

/* One word of a row's command, with what the braces stand for. */
static char *expand_word(const struct bench *bench, const char *tree, const char *word)
{
	owned_text pid = text_format("%d", (int)bench->world_pid);
	const struct {
		const char *brace;
		const char *text;
	} places[] = {
		{ "{sbx}", bench->sbx },   { "{bin}", bench->bin }, { "{tree}", tree },
		{ "{work}", bench->work }, { "{pid}", pid },
	};
	struct text_buffer expanded = { 0 };

	while (*word) {
		size_t place = 0;

		while (place < ARRAY_SIZE(places) && !text_starts_with(word, places[place].brace))
			place++;
		if (place < ARRAY_SIZE(places)) {
			text_buffer_add_text(&expanded, places[place].text);
			word += strlen(places[place].brace);
		} else {
			text_buffer_add(&expanded, word++, 1);
		}
	}
	return expanded.bytes;
}

static void expand_command(const struct bench *bench, const char *tree, const char *command, struct text_list *ret_argv)
{
	owned_text copy = text_duplicate(command);
	char *rest = copy;

	for (const char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
		text_list_take(ret_argv, expand_word(bench, tree, word));
}

/* The first line that `PROGRAM --version` prints. */
static char *ask_version(const struct bench *bench, const char *program)
{
	const char *const argv[] = { program, "--version", NULL };
	struct measure_result result;

	if (measure_run(&bench->measure, (char *const *)argv, bench->work, true, &result) < 0 || result.exit_code != 0)
		return NULL;
	result.output[strcspn(result.output, "\n")] = '\0';
	return text_duplicate(result.output);
}

/* ---- preparation ---- */

/* Runs one of the benchmark's own programs; without it a row cannot be. */
static int prepare_with(const struct bench *bench, struct outcome *outcome, const char *program, const char *word,
			const char *target, uint64_t number)
{
	owned_list argv = { 0 };
	struct measure_result result;

	text_list_take(&argv, path_join(bench->bin, program));
	if (word)
		text_list_add(&argv, word);
	text_list_add(&argv, target);
	text_list_take(&argv, text_format("%llu", (unsigned long long)number));
	if (measure_run(&bench->measure, argv.items, bench->work, false, &result) < 0 || result.exit_code != 0) {
		set_reason(outcome, text_format("cannot be prepared: %s", result.complaint));
		return -1;
	}
	return 0;
}

/* @ret_tree the caller's: the tree of this row   @return 0, or -1 with the reason in the outcome */
static int prepare_tree(const struct bench *bench, struct outcome *outcome, char **ret_tree)
{
	const struct row *row = outcome->row;
	owned_text tree = NULL;
	int result = 0;

	if (row->files > bench->files_max) {
		set_reason(outcome, text_format("left out: BENCH_FILES is %llu", (unsigned long long)bench->files_max));
		return -1;
	}
	if (row->files > 0) {
		tree = text_format("%s/tree-of-%llu", bench->home, (unsigned long long)row->files);
		(void)fprintf(stderr, "bench: making a tree of %llu files\n", (unsigned long long)row->files);
		result = prepare_with(bench, outcome, "forest", NULL, tree, row->files);
	} else if (row->mebibytes > 0) {
		owned_text database = NULL;

		tree = text_format("%s/tree-with-database", bench->home);
		database = path_join(tree, "TestDb.db");
		if (mkdir(tree, 0755) == 0 || errno != EEXIST)
			result = prepare_with(bench, outcome, "database", "fill", database, row->mebibytes);
	} else {
		tree = text_duplicate(bench->tree);
	}
	if (result == 0) {
		*ret_tree = tree;
		tree = NULL;
	}
	return result;
}

/* What programs say of an option or a verb that they do not have. */
static bool is_refusal(const char *complaint)
{
	static const char *const words[] = { "nknown option", "unrecognized option", "does not have it yet",
					     "none of that name" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(complaint, words[i]))
			return true;
	return false;
}

/* Tried once before anything is measured, so that no row's figure is that of an error message. */
static void try_once(const struct bench *bench, struct subject *subject)
{
	struct outcome *outcome = subject->outcome;
	struct measure_result result;
	int number = measure_run(&bench->measure, subject->argv.items, bench->tree, false, &result);

	if (number < 0)
		set_reason(outcome, text_format("cannot be started: %s", strerror(-number)));
	else if (result.exit_code != 0 && is_refusal(result.complaint))
		set_reason(outcome, text_format(NOT_IN_THIS_VERSION ": %s", result.complaint));
	else if (result.exit_code != 0)
		set_reason(outcome, text_format("fails (exit %d): %s", result.exit_code, result.complaint));
}

static void prepare_subject(const struct bench *bench, struct subject *subject)
{
	struct outcome *outcome = subject->outcome;
	owned_text tree = NULL;
	char *path = NULL;

	if (outcome->not_measured || prepare_tree(bench, outcome, &tree) < 0)
		return;
	expand_command(bench, tree, outcome->row->command, &subject->argv);
	if (measure_find_program(subject->argv.items[0], getenv("PATH"), &path) < 0) {
		set_reason(outcome, text_format("%s is not installed", subject->argv.items[0]));
		return;
	}
	if (outcome->row->command[0] != '{')
		outcome->version = ask_version(bench, path);
	free(subject->argv.items[0]);
	subject->argv.items[0] = path;
	try_once(bench, subject);
}

/* ---- the live world ---- */

static pid_t last_descendant(pid_t pid)
{
	for (;;) {
		char path[64];
		owned_text children = NULL;
		int child;

		(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
		if (fd_read_file(AT_FDCWD, path, 0, &children, NULL) < 0 || sscanf(children, "%d", &child) != 1)
			return pid;
		pid = child;
	}
}

static int open_world(struct bench *bench, char **ret_reason)
{
	const char *const argv[] = { bench->sbx,  "run", "--name", "bench", "-C",
				     bench->tree, "--",	 "sh",	   "-c",    "echo ready; exec sleep infinity",
				     NULL };
	char ready[16];

	bench->world = measure_start(&bench->measure, (char *const *)argv, bench->tree, &bench->world_output_fd);
	if (bench->world < 0) {
		*ret_reason = text_format("sbx cannot be started: %s", strerror(-bench->world));
		return -1;
	}
	if (read(bench->world_output_fd, ready, sizeof(ready)) <= 0) {
		*ret_reason = text_duplicate("no world to enter: `sbx run --name bench` ended");
		return -1;
	}
	bench->world_pid = last_descendant(bench->world);
	return 0;
}

static void close_world(struct bench *bench)
{
	int status;

	fd_close(&bench->world_output_fd);
	if (bench->world <= 0)
		return;
	(void)kill(bench->world, SIGTERM);
	(void)process_wait(bench->world, &status);
	bench->world = -1;
}

/* ---- rounds ---- */

static void shuffle(struct subject **subjects, size_t count, uint64_t *random)
{
	for (size_t i = count; i > 1; i--) {
		size_t other = (size_t)(next_random(random) % i);
		struct subject *swapped = subjects[i - 1];

		subjects[i - 1] = subjects[other];
		subjects[other] = swapped;
	}
}

static void take_sample(const struct bench *bench, struct subject *subject, bool is_counted)
{
	struct outcome *outcome = subject->outcome;
	bool is_printed = outcome->group->value == VALUE_PRINTED;
	struct measure_result result = { 0 };
	double value;
	int number;

	if (outcome->not_measured)
		return;
	number = measure_run(&bench->measure, subject->argv.items, bench->tree, is_printed, &result);
	if (number < 0 || result.exit_code != 0) {
		set_reason(outcome, text_format("failed in round %zu (exit %d): %s", outcome->samples.count + 1,
						result.exit_code, result.complaint));
		return;
	}
	value = is_printed ? strtod(result.output, NULL) : (double)result.wall_ns / 1e6;
	if (value <= 0)
		set_reason(outcome, text_format("printed no number: %s", result.output));
	else if (is_counted)
		samples_add(&outcome->samples, value);
}

static void measure_group(struct bench *bench, const struct row_group *group, struct outcome *outcomes)
{
	struct subject subjects[32] = { 0 };
	struct subject *order[ARRAY_SIZE(subjects)];
	uint64_t rounds = MAX(bench->rounds / group->rounds_divisor, (uint64_t)ROUNDS_MIN);
	char *reason = NULL;

	if (group->count > ARRAY_SIZE(subjects))
		abort();
	if (group->needs_world && open_world(bench, &reason) < 0)
		for (size_t i = 0; i < group->count; i++)
			set_reason(&outcomes[i], text_duplicate(reason));
	text_free(&reason);
	for (size_t i = 0; i < group->count; i++) {
		subjects[i].outcome = &outcomes[i];
		order[i] = &subjects[i];
		prepare_subject(bench, &subjects[i]);
	}
	(void)fprintf(stderr, "bench: %s, %llu rounds\n", group->title, (unsigned long long)rounds);
	for (uint64_t round = 0; round < ROUNDS_WARM_UP + rounds; round++) {
		shuffle(order, group->count, &bench->random);
		for (size_t i = 0; i < group->count; i++)
			take_sample(bench, order[i], round >= ROUNDS_WARM_UP);
	}
	if (group->needs_world)
		close_world(bench);
	for (size_t i = 0; i < group->count; i++)
		text_list_release(&subjects[i].argv);
}

/* ---- the whole ---- */

static size_t row_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < row_group_count; i++)
		count += row_groups[i].count;
	return count;
}

static int write_results(const struct report *report, const char *path)
{
	owned_buffer json = { 0 };
	owned_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	report_format_json(report, &json);
	if (fd < 0 || fd_write_all(fd, json.bytes, json.length) < 0) {
		(void)fprintf(stderr, "bench: cannot write %s: %s\n", path, strerror(errno));
		return -1;
	}
	return 0;
}

/* A peer may be missing, and an older sbx may not know a flag; but what sbx knows must work. */
static bool has_sbx_failed(const struct report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct outcome *outcome = &report->outcomes[i];

		if (outcome->not_measured && text_starts_with(outcome->row->command, "{sbx}") &&
		    !text_starts_with(outcome->not_measured, NOT_IN_THIS_VERSION) &&
		    !text_starts_with(outcome->not_measured, "left out"))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct bench bench = { .world = -1, .world_output_fd = -1 };
	struct outcome *outcomes = calloc(row_count(), sizeof(*outcomes));
	struct report report = { .outcomes = outcomes };
	bool is_written;

	if (argc != 4 || !outcomes || measure_open(&bench.measure, environ) < 0) {
		(void)fprintf(stderr, "usage: bench SBX WORK RESULTS.json (see tests/bench/run)\n");
		return 2;
	}
	bench.sbx = argv[1];
	bench.work = argv[2];
	bench.home = path_join(bench.work, "home");
	bench.tree = path_join(bench.home, "tree");
	bench.bin = path_join(bench.tree, "bin");
	bench.rounds = knob("BENCH_ROUNDS", ROUNDS_DEFAULT, ROUNDS_MIN);
	bench.files_max = knob("BENCH_FILES", 1000000, 0);
	bench.seed = knob("BENCH_SEED", clock_now_ns() % 1000000, 0);
	bench.random = bench.seed + UINT64_C(0x9e3779b97f4a7c15);
	for (size_t i = 0; i < row_group_count; i++) {
		struct outcome *first = &outcomes[report.count];

		for (size_t row = 0; row < row_groups[i].count; row++)
			outcomes[report.count++] =
				(struct outcome){ .row = &row_groups[i].rows[row], .group = &row_groups[i] };
		measure_group(&bench, &row_groups[i], first);
	}
	report.rounds = bench.rounds;
	report.seed = bench.seed;
	report_print(&report);
	is_written = write_results(&report, argv[3]) == 0;
	measure_close(&bench.measure);
	return is_written && !has_sbx_failed(&report) ? 0 : 1;
}
