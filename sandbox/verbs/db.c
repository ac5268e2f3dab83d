/* SPDX-License-Identifier: Apache-2.0 */
/* sbx db: the databases of workers. All is done inside the worker, where locks on its files are seen by its programs.
 *
 *   ls      WORKER | --all          the databases
 *   query   WORKER | --all  [SQL]   rows; without SQL, or with "-", the statements are read from stdin
 *   shell   WORKER                  the host's own sqlite3, which a worker sees on its read-only root
 * and those of db_rows.h */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/verbs/answer.h"
#include "sandbox/verbs/command.h"
#include "sandbox/verbs/db_rows.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"

enum {
	SQL_SIZE_MAX = 4 << 20,
};

/* ---- ls and query: the same task in one worker or in many ---- */

struct question {
	enum task_kind kind;
	const char *database;
	const char *sql; /* TASK_DB_QUERY */
	bool is_json;
	bool has_many;		/* several workers are asked: each answer says whose it is */
	struct text_buffer out; /* of many: the JSON array */

	/* Of many: those that have no database, and what the first of them said. Another project's are no failure. */
	struct text_buffer without;
	struct error without_error;
	bool has_answers;
};

static void add_arguments(const struct question *question, struct task *task)
{
	text_list_add(&task->arguments, question->is_json ? "json" : "table");
	if (question->kind != TASK_DB_QUERY)
		return;
	text_list_add(&task->arguments, question->database ? question->database : "");
	text_list_add(&task->arguments, question->sql);
}

/* Adds an answer as a member. That to a query is one array for each statement, one after the other; no line within one
 * begins with a bracket but its first. Only what is JSON may become part of it. */
static int add_arrays(struct question *question, const struct text_buffer *answer, struct error *error)
{
	bool is_query = question->kind == TASK_DB_QUERY;
	const char *name = is_query ? "answers" : "databases";
	owned_buffer joined = { 0 };
	owned_json json = { 0 };

	text_buffer_add_text(&joined, is_query ? "[" : "");
	for (size_t i = 0; i < answer->length; i++) {
		if (is_query && i > 0 && answer->bytes[i] == '[' && answer->bytes[i - 1] == '\n')
			text_buffer_add_text(&joined, ",");
		text_buffer_add(&joined, answer->bytes + i, 1);
	}
	text_buffer_add_text(&joined, is_query ? "]" : "");
	if (json_read(&json, joined.bytes, joined.length, NULL) < 0)
		return error_set(error, .number = EFBIG, .step = "add the answer to those of the others",
				 .cause = "it is longer than 16 MiB",
				 .remedy = "ask for less (LIMIT), or this worker alone");
	json_add_raw(&question->out, name, joined.bytes);
	return 0;
}

/* {"worker": …, "databases": […]}, {"worker": …, "answers": [[…], …]}, or {"worker": …, "error": …} */
static int add_answer(struct question *question, const char *name, const struct text_buffer *answer, int status,
		      struct error *error)
{
	char text[2 * sizeof(*error)];
	int result = status;

	json_begin_object(&question->out, NULL);
	json_add_text(&question->out, "worker", name);
	if (status >= 0 && answer)
		result = add_arrays(question, answer, error);
	if (result < 0) {
		error_format(error, text, sizeof(text));
		json_add_text(&question->out, "error", text);
	}
	json_end_object(&question->out);
	return result < 0 ? result : status;
}

static int ask_many(struct question *question, struct visit *visit, const struct task *task, const char *name,
		    struct error *error)
{
	owned_buffer answer = { 0 };
	owned_buffer text = { 0 };
	int status = answer_task(visit, *task, &answer, error);

	if (status == -ENOENT && question->kind == TASK_DB_QUERY) {
		if (question->without.length == 0)
			question->without_error = *error;
		text_buffer_format(&question->without, "%s%s", question->without.length > 0 ? ", " : "", name);
		*error = (struct error){ 0 };
		return 0;
	}
	question->has_answers = true;
	if (question->is_json)
		return add_answer(question, name, &answer, status, error);
	text_buffer_format(&text, "== %s ==\n", name);
	text_buffer_add(&text, answer.bytes, answer.length);
	return output_write(&text, "the answer", status < 0 ? NULL : error) < 0 ? -EIO : status;
}

static int ask(const struct invocation *invocation, const struct state_paths *places, const char *word, void *argument,
	       struct error *error)
{
	struct question *question = argument;
	struct task task = { .kind = question->kind, .fds = { STDOUT_FILENO }, .fd_count = 1 };
	owned_visit visit = NULL;
	int result = visit_open(word, RESOLVE_LIVE | RESOLVE_KEPT, &visit, error);

	(void)invocation;
	(void)places;
	if (result < 0) {
		if (question->has_many && question->is_json)
			(void)add_answer(question, word, NULL, result, error);
		return result;
	}
	add_arguments(question, &task);
	result = question->has_many ? ask_many(question, visit, &task, visit_worker(visit)->worker.row.name, error)
				    : visit_run_task(visit, &task, error);
	text_list_release(&task.arguments);
	if (result < 0)
		(void)error_context(error, "worker %s", word);
	return result;
}

static int ask_workers(struct invocation *invocation, struct question *question, struct error *error)
{
	int worst;
	int result = 0;

	question->database = invocation->database;
	question->is_json = invocation->format == FORMAT_JSON;
	question->has_many = invocation->all;
	if (question->has_many && question->is_json)
		json_begin_array(&question->out, NULL);
	worst = workers_each(invocation, 0, RESOLVE_LIVE | RESOLVE_KEPT, ask, question, error);
	if (question->without.length > 0 && question->has_answers) {
		owned_text line =
			text_format("passed over, since they have no such database: %s", question->without.bytes);

		say_line(line);
	} else if (question->without.length > 0) {
		*error = question->without_error;
		result = -ENOENT;
	}
	if (question->out.length > 0 && worst >= 0 && result == 0) {
		json_end_array(&question->out);
		text_buffer_add_text(&question->out, "\n");
		result = output_write(&question->out, "the answers", error);
	}
	text_buffer_release(&question->out);
	text_buffer_release(&question->without);
	return result < 0 ? result : worst;
}

static int list_databases(struct invocation *invocation, struct error *error)
{
	return ask_workers(invocation, &(struct question){ .kind = TASK_DB_LIST }, error);
}

static int read_sql(char **ret_sql, struct error *error)
{
	char *sql = malloc(SQL_SIZE_MAX + 1);
	ssize_t size;

	if (!sql)
		abort();
	size = fd_read_all(STDIN_FILENO, sql, SQL_SIZE_MAX + 1);
	if (size < 0 || size > SQL_SIZE_MAX || memchr(sql, '\0', (size_t)MAX(size, (ssize_t)0))) {
		free(sql);
		return error_set(error,
				 .number = size < 0		 ? (int)-size
					   : size > SQL_SIZE_MAX ? EFBIG
								 : EINVAL,
				 .step = "read the statements", .object = "standard input",
				 .cause = size < 0		? NULL
					  : size > SQL_SIZE_MAX ? "they are longer than 4 MiB"
								: "they hold a NUL byte");
	}
	sql[size] = '\0';
	*ret_sql = sql;
	return 0;
}

static int query(struct invocation *invocation, struct error *error)
{
	struct text_list *operands = &invocation->operands;
	size_t before = invocation->all ? 0 : 1;
	owned_text sql = NULL;
	int result = 0;

	if (operands->count > before + 1)
		return error_set(error, .number = EINVAL,
				 .step = invocation->all ? "query the databases of all workers" : "query the database",
				 .object = operands->items[0],
				 .cause = invocation->all ? "--all and a name contradict each other"
							  : "there are more words than a worker and a statement",
				 .remedy = invocation->all
						   ? "leave one of them out; a statement of several words stands "
						     "in quotes"
						   : "a statement of several words stands in quotes");
	if (operands->count == before + 1) {
		sql = operands->items[--operands->count];
		operands->items[operands->count] = NULL;
	} else if (isatty(STDIN_FILENO)) {
		return error_set(
			error, .number = EINVAL, .step = "query the database", .cause = "the statement is missing",
			.remedy = "as in sbx db query WORKER 'SELECT 1'; 'sbx db shell WORKER' opens a prompt");
	}
	if (!sql || text_equal(sql, "-")) {
		text_free(&sql);
		result = read_sql(&sql, error);
	}
	return result < 0 ? result
			  : ask_workers(invocation, &(struct question){ .kind = TASK_DB_QUERY, .sql = sql }, error);
}

/* ---- shell ---- */

/* Where the host has a program, by PATH. @return the caller's, or NULL */
static char *find_program(const char *name)
{
	const char *path = getenv("PATH");
	owned_text copy = text_duplicate(path ? path : "/usr/local/bin:/usr/bin:/bin");
	char *rest = copy;

	for (char *directory = strsep(&rest, ":"); directory; directory = strsep(&rest, ":")) {
		char *program = directory[0] == '/' ? path_join(directory, name) : NULL;

		if (program && access(program, X_OK) == 0)
			return program;
		free(program);
	}
	return NULL;
}

/* Whether a path of a database is what the user called `name`. */
static bool is_named(const char *path, const char *name)
{
	size_t length = strlen(path);
	size_t tail = strlen(name);

	return text_equal(path, name) ||
	       (tail < length && text_equal(path + length - tail, name) && path[length - tail - 1] == '/');
}

/* Chooses one of the databases in a JSON listing, an array of objects with a "path". */
static int choose_path(const char *listing, size_t size, const char *name, char **ret_path, struct error *error)
{
	static const char step[] = "choose the database";
	owned_buffer candidates = { 0 };
	owned_text chosen = NULL;
	owned_json json = { 0 };
	size_t count = 0;
	int result = json_read(&json, listing, size, error);

	if (result < 0)
		return result;
	for (struct json_value item = json_first(json_root(&json)); json_type(item); item = json_next(item)) {
		owned_text path = NULL;

		if (json_text(json_member(item, "path"), &path) < 0 || (name && !is_named(path, name)))
			continue;
		text_buffer_format(&candidates, "%s%s", count++ > 0 ? ", " : "", path);
		text_free(&chosen);
		chosen = path;
		path = NULL;
	}
	if (count > 1) {
		owned_text cause = text_format("there are several: %s", candidates.bytes);

		return error_set(error, .number = EEXIST, .step = step, .object = name, .cause = cause,
				 .remedy = "name one with --db PATH");
	}
	/* One that the app made later is in no list. */
	if (count == 0 && !name)
		return error_set(error, .number = ENOENT, .step = step, .cause = "the worker has none",
				 .remedy = "name one with --db FILE, or give it one with sbx run --db FILE");
	*ret_path = chosen ? chosen : text_duplicate(name);
	chosen = NULL;
	return 0;
}

/* As a URI, so that a file that is not there is an error and none is made: https://sqlite.org/uri.html */
static char *make_uri(const char *path)
{
	struct text_buffer uri = { 0 };

	text_buffer_add_text(&uri, "file:");
	for (const unsigned char *byte = (const unsigned char *)path; *byte; byte++) {
		if (isalnum(*byte) || strchr("/-_.", *byte))
			text_buffer_add(&uri, byte, 1);
		else
			text_buffer_format(&uri, "%%%02X", *byte);
	}
	text_buffer_add_text(&uri, "?mode=rw");
	return uri.bytes;
}

static int open_shell(struct invocation *invocation, struct error *error)
{
	struct spec *spec = &invocation->spec;
	owned_text program = find_program("sqlite3");
	owned_buffer listing = { 0 };
	owned_visit visit = NULL;
	owned_text path = NULL;
	struct task task = { .kind = TASK_DB_LIST };
	const char *word;
	int result;

	if (invocation->all || invocation->operands.count != 1)
		return error_set(error, .number = EINVAL, .step = "open a database", .cause = "it takes one worker",
				 .remedy = "as in sbx db shell WORKER [--db FILE]");
	word = invocation->operands.items[0];
	if (!program)
		return error_set(error, .number = ENOENT, .step = "find the program", .object = "sqlite3",
				 .cause = "it is not on this host, and a worker sees the host's programs",
				 .remedy = "install its package: apt-get install sqlite3; 'sbx db query' needs none");
	result = visit_open(word, RESOLVE_LIVE | RESOLVE_KEPT, &visit, error);
	if (result < 0)
		return result;
	text_list_add(&task.arguments, "json");
	result = answer_task(visit, task, &listing, error);
	text_list_release(&task.arguments);
	if (result >= 0)
		result = choose_path(listing.bytes, listing.length, invocation->database, &path, error);
	/* One errand a visit to a live worker. A kept one stays entered. */
	if (result >= 0 && visit_worker(visit)->is_live) {
		visit_closep(&visit);
		visit = NULL;
		result = visit_open(word, RESOLVE_LIVE, &visit, error);
	}
	if (result < 0)
		return result;
	text_list_add(&spec->payload, program);
	text_list_take(&spec->payload, make_uri(path));
	return command_run(&visit, spec, error);
}

static const struct {
	const char *word;
	int (*run)(struct invocation *invocation, struct error *error);
} actions[] = {
	{ "ls", list_databases },    { "shell", open_shell },	{ "query", query },	 { "diff", db_diff },
	{ "snapshot", db_snapshot }, { "restore", db_restore }, { "export", db_export }, { "apply", db_apply },
};

int verb_db(struct invocation *invocation, struct error *error)
{
	static const char usage[] =
		"as in sbx db ls WORKER, sbx db shell WORKER, sbx db query WORKER 'SELECT 1'; --all in "
		"place of WORKER asks each";
	struct text_list *operands = &invocation->operands;
	owned_text word = NULL;

	if (operands->count > 0) {
		word = operands->items[0];
		memmove(operands->items, operands->items + 1, operands->count * sizeof(*operands->items));
		operands->count--;
	}
	for (size_t i = 0; i < ARRAY_SIZE(actions) && word; i++) {
		if (!text_equal(word, actions[i].word))
			continue;
		if (operands->count == 0 && !invocation->all)
			return error_set(error, .number = EINVAL, .step = "use sbx db", .object = word,
					 .cause = "the worker is missing", .remedy = usage);
		return actions[i].run(invocation, error);
	}
	return error_set(error, .number = EINVAL, .step = "use sbx db", .object = word,
			 .cause = word ? "there is no such command" : "the command is missing", .remedy = usage);
}
