/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/evidence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/tree.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/pack.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/keep.h"
#include "sandbox/worker/log.h"

enum {
	LOG_BYTES_MAX = 64 << 20,
	ANSWER_SIZE_MAX = 1 << 20,
	DATABASES_TOLD_MAX = 4,
	TITLE_SHOWN_MAX = 1024,
	EXIT_OF_A_RED_TEST = 1,
	OUTPUTS_MAX = 64, /* half of them ids */
};

#define LABEL_TEST "test="

void evidence_cause_release(struct evidence_cause *cause)
{
	text_free(&cause->id);
	text_free(&cause->place);
	text_free(&cause->title);
	recipe_release(&cause->recipe);
}

void evidence_release(struct evidence *evidence)
{
	for (size_t i = 0; i < evidence->count; i++) {
		text_free(&evidence->items[i].name);
		text_free(&evidence->items[i].text);
		text_free(&evidence->items[i].place);
		text_free(&evidence->items[i].bundle);
		text_free(&evidence->items[i].id);
		text_list_release(&evidence->items[i].databases);
		text_free(&evidence->items[i].kept_id);
	}
	text_list_release(&evidence->outputs);
	evidence->outputs = (struct text_list){ 0 };
	evidence->count = 0;
}

/* ---- which ---- */

static bool is_kept(const struct evidence *evidence, const char *id)
{
	for (size_t i = 0; i < evidence->count && id[0]; i++)
		if (text_equal(evidence->items[i].id, id))
			return true;
	return false;
}

void evidence_note(const struct evidence *evidence, const struct events_test *test, const char *tree,
		   struct evidence_cause *cause)
{
	const char *file = path_is_below(test->file, tree) ? path_below(test->file, tree) : test->file;

	if (test->ok || test->is_interrupted || cause->id)
		return;
	*cause = (struct evidence_cause){ .id = text_duplicate(test->id),
					  .place = test->line > 0 ? text_format("%s:%lld", file, (long long)test->line)
								  : text_duplicate(file),
					  .title = text_duplicate(test->title),
					  .retry = test->retry,
					  .exit_code = test->exit_code,
					  .started_ms = test->started_ms,
					  .is_to_keep = evidence->mode != KEEP_NEVER && !is_kept(evidence, test->id) };
	cause->recipe.file = text_duplicate(test->file);
	cause->recipe.line = test->line;
	cause->recipe.title = text_duplicate(test->title);
	cause->recipe.project = text_duplicate(test->project);
	for (size_t i = 0; test->command && i < test->command->count; i++)
		text_list_add(&cause->recipe.command, test->command->items[i]);
	cause->recipe.directory = text_duplicate(test->directory);
	for (size_t i = 0; i < test->attachments->count && i < RECIPE_ATTACHMENTS_MAX; i++)
		text_list_add(&cause->recipe.attachments, test->attachments->items[i]);
}

/* ---- keeping ---- */

/* @id  taken over */
static void fill_row(const struct evidence *evidence, const struct member *member, const struct evidence_cause *cause,
		     char *id, struct worker_row *row)
{
	worker_row_copy(&member->listing.row, row);
	text_free(&row->id);
	row->id = id;
	text_free(&row->name);
	/* Apart from the live world's, and from what is kept of it later. */
	row->name = text_format("%s-%zu", member->listing.row.name, evidence->count + 1);
	text_list_take(&row->labels, text_format(LABEL_TEST "%s %s", cause->place, cause->title));
	/* What ran there, as far as anybody looks for it: the test. */
	text_list_release(&row->command);
	row->command = (struct text_list){ 0 };
	text_list_add(&row->command, cause->place);
	text_list_add(&row->command, cause->title);
}

/* Evidence without its logs is evidence still. */
static bool copy_logs(const struct evidence *evidence, const char *log_directory, int draft_fd)
{
	static const struct tree_copy_options options = { .bytes_max = LOG_BYTES_MAX };
	struct tree_copy_result copied = { 0 };

	if (!log_directory)
		return false;
	(void)tree_copy(&options, evidence->directory->fd, log_directory, draft_fd, "logs", &copied, NULL);
	return copied.bytes > 0;
}

/* @recipe  a test's part  @services  NULL: none */
static int write_recipe(const struct evidence *evidence, const struct recipe *recipe,
			const struct service_list *services, int draft_fd, struct error *error)
{
	owned_fd fd = openat(draft_fd, RECIPE_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct recipe whole = *recipe; /* borrows */
	owned_recipe runner = { 0 };
	owned_buffer text = { 0 };
	int result;

	recipe_take_runner(evidence->events, &runner);
	if (services)
		whole.services = *services;
	whole.runner = runner.runner;
	whole.version = runner.version;
	whole.arguments = runner.arguments;
	if (!recipe->directory)
		whole.directory = runner.directory;
	whole.config = runner.config;
	recipe_write(&whole, NULL, &text);
	text_buffer_add_text(&text, "\n");
	result = fd < 0 ? -errno : fd_write_all(fd, text.bytes, text.length);
	return result < 0 ? error_set(error, .number = -result, .step = "note how the test was run") : 0;
}

/* Which databases a shell can be opened for. Not known: none. */
static void list_databases(int connection, struct text_list *ret_databases)
{
	struct task task = { .kind = TASK_DB_LIST };
	struct error error = { 0 };
	owned_json json = { 0 };
	owned_text text = NULL;
	int result;

	text_list_add(&task.arguments, "json");
	result = ask_task_for_text(connection, &task, ANSWER_SIZE_MAX, &text, &error);
	text_list_release(&task.arguments);
	if (result < 0 || json_read(&json, text, strlen(text), NULL) < 0)
		return;
	for (struct json_value item = json_first(json_root(&json)); json_type(item) != JSON_MISSING;
	     item = json_next(item)) {
		owned_text path = NULL;

		if (json_text(json_member(item, "path"), &path) == 0)
			text_list_add(ret_databases, path);
	}
}

/* As the log of the worker's command, which an item is. @return whether there is a world for it */
static bool write_output(struct evidence *evidence, const char *id, const char *text)
{
	for (size_t i = 0; i < evidence->count; i++) {
		struct evidence_item *item = &evidence->items[i];
		owned_text path = text_format("%s/%s/logs/main", state_part_name(STATE_KEPT), item->kept_id);
		struct log_writer log = { .fd = -1 };

		if (!text_equal(item->id, id))
			continue;
		/* One that somebody has removed meanwhile has no log either. */
		if (log_open(&log, evidence->directory->state_fd, path, LOG_BYTES_MAX, NULL) == 0) {
			log_write(&log, LOG_STDOUT, text, strlen(text));
			log_close(&log);
			item->has_logs = true;
		}
		return true;
	}
	return false;
}

/* Those that came before their world was kept. */
static void write_outputs(struct evidence *evidence)
{
	const struct text_list *outputs = &evidence->outputs;
	struct text_list left = { 0 };

	for (size_t i = 0; i + 1 < outputs->count; i += 2)
		if (!write_output(evidence, outputs->items[i], outputs->items[i + 1])) {
			text_list_add(&left, outputs->items[i]);
			text_list_add(&left, outputs->items[i + 1]);
		}
	text_list_release(&evidence->outputs);
	evidence->outputs = left;
}

void evidence_add_output(struct evidence *evidence, const char *id, const char *text)
{
	if (write_output(evidence, id, text))
		return;
	/* Of a world that is never kept it is missed by nobody. */
	if (evidence->outputs.count >= OUTPUTS_MAX)
		return;
	text_list_add(&evidence->outputs, id);
	text_list_add(&evidence->outputs, text);
}

static void say_not_kept(const struct evidence *evidence, const struct evidence_cause *cause, const struct error *error)
{
	char text[2 * sizeof(*error)];
	owned_text line = NULL;

	error_format(error, text, sizeof(text));
	line = text_format("the world of %s is not kept: %s", cause->place, text);
	evidence->say(line);
}

/* Whether a replay knows what to run: else it is for looking around. */
static bool is_repeatable(const struct evidence *evidence, const struct recipe *recipe)
{
	return recipe->command.count > 0 || recipe->file || evidence->events->arguments.count > 0;
}

static int keep(struct evidence *evidence, const struct member *member, const struct service_list *services, int worker,
		const char *log_directory, const struct evidence_cause *cause, struct error *error)
{
	struct evidence_item *item = &evidence->items[evidence->count];
	struct keeping keeping = KEEPING_NONE;
	owned_kept_worker kept = { .exit_status = cause->exit_code ? cause->exit_code : EXIT_OF_A_RED_TEST };
	owned_list databases = { 0 };
	owned_fd connection = -1;
	char *id = NULL;
	bool has_logs = false;
	int result = member_connect(member, CONNECT_FREE, &connection, error);

	if (result == 0)
		result = keep_begin_beside(&member->plan, EVIDENCE_BYTES_MAX - evidence->bytes, &keeping, &id, error);
	if (result == 0) {
		fill_row(evidence, member, cause, id, &kept.row);
		has_logs = copy_logs(evidence, log_directory, keeping.draft.fd);
		list_databases(connection, &databases);
		result = write_recipe(evidence, &cause->recipe, services, keeping.draft.fd, error);
	}
	if (result == 0) {
		result = keep_finish(&keeping, connection, &kept, error);
	}
	keep_close(&keeping);
	if (result < 0)
		return result;
	*item = (struct evidence_item){ .name = text_duplicate(kept.row.name),
					.id = text_duplicate(cause->id),
					.text = text_format("%s %s", cause->place, cause->title),
					.place = text_duplicate(cause->place),
					.databases = databases,
					.is_repeatable = is_repeatable(evidence, &cause->recipe),
					.has_logs = has_logs,
					.kept_id = text_duplicate(kept.row.id),
					.worker = worker };
	databases = (struct text_list){ 0 };
	journal_kept(evidence->directory, worker,
		     &(struct journal_kept){ .test = item->id,
					     .name = item->name,
					     .databases = &item->databases,
					     .has_logs = has_logs,
					     .has_servers = services && services->count > 0 });
	evidence->bytes += (uint64_t)kept.bytes;
	evidence->count++;
	write_outputs(evidence);
	return 0;
}

static void keep_for(struct evidence *evidence, const struct member *member, const struct service_list *services,
		     int worker, const char *log_directory, const struct evidence_cause *cause)
{
	struct error error = { 0 };

	if (evidence->count == EVIDENCE_WORLDS_MAX || evidence->bytes >= EVIDENCE_BYTES_MAX) {
		evidence->missed++;
		return;
	}
	if (keep(evidence, member, services, worker, log_directory, cause, &error) < 0) {
		if (error.number == EFBIG)
			evidence->missed++;
		else
			say_not_kept(evidence, cause, &error);
	}
}

void evidence_keep(struct evidence *evidence, const struct member *member, const struct service_list *services,
		   int worker, const char *log_directory, struct evidence_cause *cause)
{
	/* One that has ended, or never stood, is told of elsewhere. */
	if (cause->id && member->state == MEMBER_READY) {
		struct journal_test test = { cause->id, cause->retry, cause->started_ms };

		journal_changes(evidence->directory, worker, member, &test);
		/* A retry meets what the first try left: that one's world says more. */
		if (cause->is_to_keep)
			keep_for(evidence, member, services, worker, log_directory, cause);
	}
	evidence_cause_release(cause);
}

void evidence_keep_last(struct evidence *evidence, const struct member *member, const struct service_list *services,
			int worker, const char *log_directory, bool has_failed)
{
	static const struct evidence_cause at_the_end = { .id = (char *)"",
							  .place = (char *)"the end",
							  .title = (char *)"of the run" };

	if (member->state == MEMBER_READY &&
	    (evidence->mode == KEEP_ALWAYS || (evidence->mode == KEEP_FAILED && has_failed)))
		keep_for(evidence, member, services, worker, log_directory, &at_the_end);
}

/* ---- bundles ---- */

/* As a name that any file system takes, CI's stores of artifacts included; none twice. */
static char *choose_name(const struct evidence *evidence, size_t number)
{
	owned_text name = text_duplicate(evidence->items[number].place);
	unsigned same = 1;

	for (char *c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c) ||
		    (c == name && *c == '.'))
			*c = '-';
	for (size_t i = 0; i < number; i++)
		same += text_equal(evidence->items[i].place, evidence->items[number].place);
	return same > 1 ? text_format("%.200s-%u.sbx", name, same) : text_format("%.200s.sbx", name);
}

static void bundle_item(struct evidence *evidence, size_t number, const char *directory)
{
	struct evidence_item *item = &evidence->items[number];
	owned_text name = choose_name(evidence, number);
	owned_text path = path_join(directory, name);
	owned_text here = NULL;
	owned_text full = NULL;
	struct packed packed = { 0 };
	struct error error = { 0 };

	if (pack_worker(item->name, path, BUNDLE_REPLACE, &packed, &error) < 0) {
		char text[2 * sizeof(error)];
		owned_text line = NULL;

		error_format(&error, text, sizeof(text));
		line = text_format("no bundle of %s: %s", item->place, text);
		evidence->say(line);
		return;
	}
	text_list_release(&packed.filtered);
	here = getcwd(NULL, 0);
	full = path_normal(here ? here : "/", path);
	journal_bundle(evidence->directory, item->worker, item->id, full);
	item->bundle = path;
	path = NULL;
}

void evidence_bundle(struct evidence *evidence, const char *directory)
{
	int result = evidence->count > 0 ? path_make_directories(AT_FDCWD, directory, 0777) : 0;

	if (result < 0) {
		owned_text line = text_format("no bundles: cannot make '%s': %s", directory, strerror(-result));

		evidence->say(line);
		return;
	}
	for (size_t i = 0; i < evidence->count; i++)
		bundle_item(evidence, i, directory);
}

/* ---- telling ---- */

/* A path as a word of the shell. */
static void add_word(struct text_buffer *out, const char *word)
{
	text_buffer_add_text(out, "'");
	for (const char *c = word; *c; c++) {
		if (*c == '\'')
			text_buffer_add_text(out, "'\\'");
		text_buffer_add(out, c, 1);
	}
	text_buffer_add_text(out, "'");
}

static void tell_item(const struct evidence *evidence, const struct evidence_item *item)
{
	owned_buffer text = { 0 };
	char title[TITLE_SHOWN_MAX];

	/* It comes from the suite: a terminal must not be commanded by it. */
	text_escape(title, sizeof(title), item->text);
	text_buffer_format(&text, "kept: %s\n  sbx shell %s\n", title, item->name);
	if (item->databases.count == 1)
		text_buffer_format(&text, "  sbx db shell %s\n", item->name);
	for (size_t i = 0; i < item->databases.count && item->databases.count > 1 && i < DATABASES_TOLD_MAX; i++) {
		text_buffer_format(&text, "  sbx db shell %s --db ", item->name);
		add_word(&text, item->databases.items[i]);
		text_buffer_add_text(&text, "\n");
	}
	if (item->has_logs)
		text_buffer_format(&text, "  sbx logs %s\n", item->name);
	if (item->bundle) {
		text_buffer_add_text(&text, "  sbx replay ");
		add_word(&text, item->bundle);
		text_buffer_add_text(&text, item->is_repeatable ? "\n" : " --shell\n");
	}
	text.bytes[--text.length] = '\0';
	evidence->say(text.bytes);
}

void evidence_tell(const struct evidence *evidence)
{
	owned_text line = NULL;

	if (evidence->missed > 0) {
		line = text_format(
			"%u more worlds of failed tests are not kept: at most %d of a run are, of %d MiB together",
			evidence->missed, EVIDENCE_WORLDS_MAX, EVIDENCE_BYTES_MAX >> 20);
		evidence->say(line);
	}
	for (size_t i = 0; i < evidence->count; i++)
		tell_item(evidence, &evidence->items[i]);
}
