/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/excerpt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/journal.h"
#include "sandbox/run/runs.h"

#define STEP_EVENTS "take the events of the worker"

enum {
	LINE_MAX = 16 << 20,
	EXCERPT_MAX = 32 << 20,
	NO_WORLD = -2, /* R is -1 */
};

/* Of whom. */
struct subject {
	const char *name; /* of the kept or live worker */
	int64_t world;
	char *test;	  /* the red one, whose world was kept; NULL */
	int64_t ended_ns; /* 0: it lives */
};

/* A kept world has a line of its own; a live one is called as it is. */
static void look_for_subject(struct json_value root, struct subject *subject)
{
	bool is_kept = json_text_is(json_member(root, "type"), "kept");

	if (!is_kept && !json_text_is(json_member(root, "type"), "world"))
		return;
	if (!json_text_is(json_member(root, "name"), subject->name))
		return;
	(void)json_number(json_member(root, "worker"), &subject->world);
	if (is_kept && !subject->test)
		(void)json_text(json_member(root, "test"), &subject->test);
}

static bool is_of_subject(struct json_value root, const struct subject *subject)
{
	struct json_value type = json_member(root, "type");
	struct json_value line = json_member(root, "line");
	int64_t at = 0;
	int64_t world = NO_WORLD;

	(void)json_number(json_member(root, "at_ns"), &at);
	if (subject->ended_ns > 0 && at > subject->ended_ns)
		return false;
	if (json_text_is(type, "run"))
		return true;
	if (json_text_is(type, "runner")) {
		(void)json_number(json_member(line, "slot"), &world);
		return json_text_is(json_member(line, "type"), "test") &&
		       (world == subject->world ||
			(subject->test && json_text_is(json_member(line, "id"), subject->test)));
	}
	(void)json_number(json_member(root, "worker"), &world);
	/* Other bundles, and what else was kept, are none of its affair. */
	if (json_text_is(type, "world"))
		return world == subject->world || world == JOURNAL_RUNNER;
	return world == subject->world && !json_text_is(type, "bundle") && !json_text_is(type, "kept");
}

/* @out  NULL: looks for the subject */
static int read_journal(FILE *file, struct subject *subject, struct text_buffer *out)
{
	owned_text line = NULL;
	size_t room = 0;
	ssize_t size;

	rewind(file);
	while ((size = getline(&line, &room, file)) > 0) {
		owned_json json = { 0 };

		/* The last one may be half written. */
		if (line[size - 1] != '\n' || size > LINE_MAX || json_read(&json, line, (size_t)size, NULL) < 0)
			continue;
		if (!out)
			look_for_subject(json_root(&json), subject);
		else if (is_of_subject(json_root(&json), subject) && out->length + (size_t)size <= EXCERPT_MAX)
			text_buffer_add(out, line, (size_t)size);
	}
	return ferror(file) ? -EIO : 0;
}

static int open_journal(int state_fd, const char *run, FILE **ret_file)
{
	struct error none = { 0 };
	owned_fd directory_fd = -1;
	owned_fd fd = -1;
	FILE *file;

	if (!run || runs_open(state_fd, run, &directory_fd, &none) < 0)
		return -ENOENT;
	fd = path_open(directory_fd, RUN_DIRECTORY_EVENTS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, PATH_BENEATH);
	if (fd < 0)
		return fd;
	file = fdopen(fd, "re");
	if (!file)
		return -errno;
	(void)fd_take(&fd);
	*ret_file = file;
	return 0;
}

int excerpt_make(int state_fd, const struct resolved_worker *worker, struct text_buffer *out, struct error *error)
{
	struct subject subject = { .name = worker->worker.row.name,
				   .world = NO_WORLD,
				   .ended_ns = worker->is_live ? 0 : worker->worker.ended_ns };
	FILE *file = NULL;
	int result = open_journal(state_fd, worker->worker.row.run, &file);

	if (result == -ENOENT)
		return 0;
	if (result == 0)
		result = read_journal(file, &subject, NULL);
	if (result == 0 && subject.world != NO_WORLD)
		result = read_journal(file, &subject, out);
	if (file)
		(void)fclose(file);
	text_free(&subject.test);
	return result < 0 ? error_set(error, .number = -result, .step = STEP_EVENTS, .object = worker->worker.row.name)
			  : 0;
}
