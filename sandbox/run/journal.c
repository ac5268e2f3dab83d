/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/journal.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "sandbox/run/changes.h"

enum { HOST_SIZE = 256 };

const char *const journal_event_words[JOURNAL_EVENTS] = {
	[JOURNAL_START] = "start", [JOURNAL_READY] = "ready",	[JOURNAL_LEASE] = "lease",
	[JOURNAL_FREE] = "free",   [JOURNAL_FREEZE] = "freeze", [JOURNAL_THAW] = "thaw",
	[JOURNAL_RESET] = "reset", [JOURNAL_CRASH] = "crash",	[JOURNAL_END] = "end",
};

void journal_begin_line(struct text_buffer *line, const char *type)
{
	json_begin_object(line, NULL);
	json_add_number(line, "at_ns", clock_wall_ns());
	json_add_text(line, "type", type);
}

void journal_end_line(struct run_directory *directory, struct text_buffer *line)
{
	json_end_object(line);
	run_directory_log_event(directory, line->bytes, line->length);
}

void journal_begin(struct run_directory *directory, const char *tree, const struct text_list *command, unsigned workers,
		   bool is_alone, const struct shard *shard)
{
	owned_buffer line = { 0 };
	char host[HOST_SIZE] = "";

	(void)gethostname(host, sizeof(host) - 1);
	journal_begin_line(&line, "run");
	json_add_text(&line, "event", "begin");
	json_add_number(&line, "version", 1);
	json_add_text(&line, "id", directory->id);
	json_add_text(&line, "sbx", SBX_VERSION);
	json_add_text(&line, "host", host);
	json_add_text(&line, "tree", tree);
	json_add_list(&line, "command", command);
	json_add_number(&line, "workers", workers);
	json_add_bool(&line, "alone", is_alone);
	if (shard->count > 0) {
		owned_text text = text_format("%u/%u", shard->index, shard->count);

		json_add_text(&line, "shard", text);
	}
	journal_end_line(directory, &line);
}

void journal_end(struct run_directory *directory, int exit_code)
{
	owned_buffer line = { 0 };

	journal_begin_line(&line, "run");
	json_add_text(&line, "event", "end");
	json_add_number(&line, "exit_code", exit_code);
	journal_end_line(directory, &line);
}

void journal_world(struct run_directory *directory, int worker, const char *name, enum journal_event event,
		   const char *detail)
{
	owned_buffer line = { 0 };

	journal_begin_line(&line, "world");
	json_add_number(&line, "worker", worker);
	json_add_text(&line, "name", name);
	json_add_text(&line, "event", journal_event_words[event]);
	if (detail)
		json_add_text(&line, "detail", detail);
	journal_end_line(directory, &line);
}

void journal_runner(struct run_directory *directory, const char *line, size_t size)
{
	owned_buffer out = { 0 };
	owned_json json = { 0 };
	owned_text raw = NULL;

	/* Read first: what is no JSON would make the whole line none, or another one. */
	if (json_read(&json, line, size, NULL) < 0 || json_type(json_root(&json)) != JSON_OBJECT)
		return;
	raw = text_format("%.*s", (int)size, line);
	journal_begin_line(&out, "runner");
	json_add_raw(&out, "line", raw);
	journal_end_line(directory, &out);
}

struct changes_line {
	struct text_buffer *out;
	unsigned count;
	unsigned missed;
};

static void add_change(void *argument, const struct change *change)
{
	struct changes_line *line = argument;
	char kind[] = { change->kind, '\0' };

	if (line->count++ >= JOURNAL_FILES_MAX) {
		line->missed++;
		return;
	}
	json_begin_object(line->out, NULL);
	json_add_text(line->out, "kind", kind);
	json_add_text(line->out, "path", change->path);
	if (change->changed_ms > 0)
		json_add_number(line->out, "at", change->changed_ms);
	json_end_object(line->out);
}

static void journal_files(struct run_directory *directory, int worker, const struct member *member,
			  const struct journal_test *test)
{
	owned_buffer out = { 0 };
	struct changes_line line = { .out = &out };

	journal_begin_line(&out, "changes");
	json_add_number(&out, "worker", worker);
	json_add_text(&out, "test", test->id);
	json_add_number(&out, "retry", test->retry);
	json_add_number(&out, "since_ms", test->started_ms);
	json_begin_array(&out, "files");
	if (changes_read(member, "/", add_change, &line, NULL) < 0)
		return;
	json_end_array(&out);
	json_add_number(&out, "missed", line.missed);
	journal_end_line(directory, &out);
}

static void journal_rows(struct run_directory *directory, int worker, const struct member *member,
			 const struct journal_test *test)
{
	struct error error = { 0 };
	owned_buffer out = { 0 };
	owned_text rows = NULL;
	int result = changes_read_rows(member, &rows, &error);

	journal_begin_line(&out, "rows");
	json_add_number(&out, "worker", worker);
	json_add_text(&out, "test", test->id);
	json_add_number(&out, "retry", test->retry);
	if (result < 0) {
		char text[2 * sizeof(error)];

		error_format(&error, text, sizeof(text));
		json_add_text(&out, "problem", text);
	} else {
		json_add_raw(&out, "databases", rows);
	}
	journal_end_line(directory, &out);
}

void journal_changes(struct run_directory *directory, int worker, const struct member *member,
		     const struct journal_test *test)
{
	journal_files(directory, worker, member, test);
	journal_rows(directory, worker, member, test);
}

void journal_kept(struct run_directory *directory, int worker, const struct journal_kept *kept)
{
	owned_buffer line = { 0 };

	journal_begin_line(&line, "kept");
	json_add_number(&line, "worker", worker);
	json_add_text(&line, "test", kept->test);
	json_add_text(&line, "name", kept->name);
	json_add_list(&line, "databases", kept->databases);
	json_add_bool(&line, "logs", kept->has_logs);
	json_add_bool(&line, "servers", kept->has_servers);
	journal_end_line(directory, &line);
}

void journal_bundle(struct run_directory *directory, int worker, const char *test, const char *path)
{
	owned_buffer line = { 0 };

	journal_begin_line(&line, "bundle");
	json_add_number(&line, "worker", worker);
	json_add_text(&line, "test", test);
	json_add_text(&line, "path", path);
	journal_end_line(directory, &line);
}
