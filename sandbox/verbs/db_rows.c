/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from inside a worker, copies and answers, is looked at inside it alone: here it is only carried on. */
#include "sandbox/verbs/db_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/part.h"
#include "base/path.h"
#include "sandbox/run/interim.h"
#include "sandbox/verbs/answer.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/visit.h"

#define SCOPE (RESOLVE_LIVE | RESOLVE_KEPT)

/* ---- beside its place, under a name that nobody looks at, until it is whole ---- */

struct place {
	int parent_fd;
	struct part part;
};

#define PLACE_NONE                                                                                                     \
	{                                                                                                              \
		.parent_fd = -1, .part = PART_NONE                                                                     \
	}

static void place_close(struct place *place)
{
	part_close(&place->part);
	fd_close(&place->parent_fd);
}
#define owned_place __attribute__((cleanup(place_close))) struct place

/* The directory that `path` is to lie in. No existing file is written over. */
static int place_open(const char *step, const char *path, struct place *place, struct error *error)
{
	owned_text parent = path_parent(path);
	struct stat status;

	if (lstat(path, &status) == 0)
		return error_set(error, .number = EEXIST, .step = step, .object = path,
				 .remedy = "name a new file: no existing one is written over");
	if (path_name(path)[0] == '\0')
		return error_set(error, .number = EISDIR, .step = step, .object = path);
	place->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return place->parent_fd < 0 ? error_set(error, .number = errno, .step = step, .object = path) : 0;
}

/* ---- what is common ---- */

/* @database  NULL: the one that --db names, or "" */
static void add_database(const struct invocation *invocation, const char *database, struct task *task)
{
	if (!database)
		database = invocation->database;
	text_list_add(&task->arguments, database ? database : "");
}

static int run_task(const char *worker, struct task *task, struct text_buffer *ret_answer, struct error *error)
{
	owned_visit visit = NULL;
	int result = visit_open(worker, SCOPE, &visit, error);

	if (result == 0)
		result = ret_answer ? answer_task(visit, *task, ret_answer, error) : visit_run_task(visit, task, error);
	text_list_release(&task->arguments);
	return result < 0 ? error_context(error, "worker %s", worker) : result;
}

static int refuse_operands(const char *step, const char *remedy, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = step, .cause = "it takes other words than these",
			 .remedy = remedy);
}

/* The list of an answer, one a line. */
static int print_list(const struct text_buffer *answer, const char *name, struct error *error)
{
	owned_json json = { 0 };
	owned_list list = { 0 };
	owned_buffer text = { 0 };
	int result = json_read(&json, answer->bytes, answer->length, error);

	if (result == 0 && json_list(json_member(json_root(&json), name), &list) < 0)
		result = error_set(error, .number = EBADMSG, .step = "read the answer of the worker");
	for (size_t i = 0; i < list.count && result == 0; i++) {
		owned_text shown = text_escaped(list.items[i]); /* the payload chose the names */

		text_buffer_format(&text, "%s\n", shown);
	}
	return result < 0 ? result : output_write(&text, "the databases", error);
}

/* ---- diff ---- */

/* What --against names: a worker, whose databases are copied, or a snapshot of the worker that is compared. */
static int take_other(const struct invocation *invocation, const char *database, struct interim *interim,
		      char **ret_against, struct error *error)
{
	struct task task = { .kind = TASK_DB_COPY, .fd_count = 1 };
	struct error not_found = { 0 };
	owned_places places = { 0 };
	owned_visit visit = NULL;
	int result = visit_open(invocation->against, SCOPE, &visit, &not_found);

	if (result == -ENOENT) {
		*ret_against = text_format("snapshot/%s", invocation->against);
		return 0;
	}
	if (result < 0) {
		*error = not_found;
		return error_context(error, "worker %s", invocation->against);
	}
	result = identity_find_places(&places, error);
	if (result == 0)
		result = interim_make(&places, interim, error);
	if (result < 0)
		return result;
	task.fds[0] = interim->fd;
	add_database(invocation, database, &task);
	text_list_add(&task.arguments, "all");
	result = visit_run_task(visit, &task, error);
	text_list_release(&task.arguments);
	*ret_against = text_duplicate("copies");
	return result < 0 ? error_context(error, "worker %s", invocation->against) : 0;
}

static void say_left(const struct text_buffer *answer, const char *name, const char *format)
{
	owned_json json = { 0 };
	owned_list list = { 0 };
	char shown[512];

	if (json_read(&json, answer->bytes, answer->length, NULL) < 0 ||
	    json_list(json_member(json_root(&json), name), &list) < 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		owned_buffer line = { 0 };

		text_escape(shown, sizeof(shown), list.items[i]);
		text_buffer_format(&line, "%s%s", format, shown);
		say_line(line.bytes);
	}
}

static int write_changeset(const struct invocation *invocation, const char *worker, struct task *task,
			   struct error *error)
{
	static const char step[] = "make the file of the changeset";
	const char *path = invocation->changeset;
	bool is_stdout = text_equal(path, "-");
	owned_buffer answer = { 0 };
	owned_place place = PLACE_NONE;
	int result = is_stdout ? 0 : place_open(step, path, &place, error);

	if (result == 0 && !is_stdout) {
		result = part_make_file(place.parent_fd, 0666, &place.part);
		if (result < 0)
			result = error_set(error, .number = -result, .step = step, .object = path);
	}
	if (result < 0) {
		text_list_release(&task->arguments);
		return result;
	}
	task->kind = TASK_DB_CHANGESET;
	task->fds[2] = is_stdout ? STDOUT_FILENO : place.part.fd;
	task->fd_count = 3;
	result = run_task(worker, task, &answer, error);
	if (result != 0)
		return result;
	if (!is_stdout) {
		result = part_finish(&place.part, NULL, path_name(path));
		if (result < 0)
			return error_set(error, .number = -result, .step = step, .object = path);
	}
	say_left(&answer, "left", "not in the changeset: ");
	return 0;
}

int db_diff(struct invocation *invocation, struct error *error)
{
	const struct text_list *operands = &invocation->operands;
	const char *database = operands->count > 1 ? operands->items[1] : NULL;
	struct task task = { .kind = TASK_DB_DIFF, .fds = { STDOUT_FILENO, STDOUT_FILENO }, .fd_count = 2 };
	owned_interim interim = INTERIM_NONE;
	owned_text against = NULL;
	int result = 0;

	if (invocation->all || operands->count < 1 || operands->count > 2)
		return refuse_operands("compare rows", "as in sbx db diff WORKER [DB] [--against WORKER]", error);
	if (invocation->against)
		result = take_other(invocation, database, &interim, &against, error);
	if (result < 0)
		return result;
	if (interim.fd >= 0)
		task.fds[1] = interim.fd;
	if (!invocation->changeset)
		text_list_add(&task.arguments, invocation->format == FORMAT_JSON ? "json" : "table");
	add_database(invocation, database, &task);
	text_list_add(&task.arguments, against ? against : "");
	return invocation->changeset ? write_changeset(invocation, operands->items[0], &task, error)
				     : run_task(operands->items[0], &task, NULL, error);
}

/* ---- snapshot, restore ---- */

int db_snapshot(struct invocation *invocation, struct error *error)
{
	const struct text_list *operands = &invocation->operands;
	struct task task = { .kind = TASK_DB_SNAPSHOT, .fds = { STDOUT_FILENO }, .fd_count = 1 };
	owned_buffer answer = { 0 };
	int result;

	if (invocation->all || operands->count < 1 || operands->count > 2)
		return refuse_operands("take a snapshot",
				       "as in sbx db snapshot WORKER NAME; without NAME they are listed", error);
	if (operands->count == 1) {
		task.kind = TASK_DB_SNAPSHOTS;
		text_list_add(&task.arguments, invocation->format == FORMAT_JSON ? "json" : "table");
		return run_task(operands->items[0], &task, NULL, error);
	}
	add_database(invocation, NULL, &task);
	text_list_add(&task.arguments, operands->items[1]);
	result = run_task(operands->items[0], &task, &answer, error);
	return result < 0 ? result : print_list(&answer, "databases", error);
}

int db_restore(struct invocation *invocation, struct error *error)
{
	const struct text_list *operands = &invocation->operands;
	struct task task = { .kind = TASK_DB_RESTORE, .fd_count = 1 };
	owned_buffer answer = { 0 };
	int result;

	if (invocation->all || operands->count != 2)
		return refuse_operands("put rows back", "as in sbx db restore WORKER NAME; NAME is a snapshot's",
				       error);
	add_database(invocation, NULL, &task);
	text_list_add(&task.arguments, operands->items[1]);
	result = run_task(operands->items[0], &task, &answer, error);
	return result < 0 ? result : print_list(&answer, "databases", error);
}

/* ---- export ---- */

int db_export(struct invocation *invocation, struct error *error)
{
	static const char step[] = "export the database to";
	const struct text_list *operands = &invocation->operands;
	const char *path = operands->count > 1 ? operands->items[operands->count - 1] : "";
	struct task task = { .kind = TASK_DB_COPY, .fd_count = 1 };
	owned_place place = PLACE_NONE;
	int result;

	if (invocation->all || operands->count < 2 || operands->count > 3 || path_name(path)[0] == '\0')
		return refuse_operands("export a database", "as in sbx db export WORKER [DB] FILE", error);
	result = place_open(step, path, &place, error);
	if (result < 0)
		return result;
	result = part_make_directory(place.parent_fd, &place.part);
	if (result < 0)
		return error_set(error, .number = -result, .step = step, .object = path);
	task.fds[0] = place.part.fd;
	add_database(invocation, operands->count == 3 ? operands->items[1] : NULL, &task);
	text_list_add(&task.arguments, "one");
	result = run_task(operands->items[0], &task, NULL, error);
	if (result != 0)
		return result;
	result = part_finish(&place.part, "0", path_name(path));
	return result < 0 ? error_set(error, .number = -result, .step = step, .object = path) : 0;
}

/* ---- apply ---- */

int db_apply(struct invocation *invocation, struct error *error)
{
	const struct text_list *operands = &invocation->operands;
	struct task task = { .kind = TASK_DB_APPLY, .fd_count = 2 };
	owned_buffer answer = { 0 };
	owned_buffer said = { 0 };
	owned_json json = { 0 };
	owned_fd fd = -1;
	int64_t changes = 0;
	int result;

	if (invocation->all || operands->count != 2)
		return refuse_operands("apply a changeset", "as in sbx db apply WORKER FILE [--db DB]", error);
	fd = open(operands->items[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, .number = errno, .step = "open the changeset", .object = operands->items[1]);
	task.fds[1] = fd;
	add_database(invocation, NULL, &task);
	result = run_task(operands->items[0], &task, &answer, error);
	if (result < 0)
		return result;
	say_left(&answer, "rebuild", "it does not follow by itself, since triggers did not run: ");
	if (json_read(&json, answer.bytes, answer.length, NULL) == 0)
		(void)json_number(json_member(json_root(&json), "changes"), &changes);
	text_buffer_format(&said, "%lld\n", (long long)changes);
	return output_write(&said, "how many changes were made", error);
}
