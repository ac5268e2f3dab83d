/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/seeding.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/git.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/sha256.h"
#include "sandbox/registry/state.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/plan.h"

#define ANSWER_MAX (JSON_SIZE_MAX / 2)

static void tell_waiting(void *argument)
{
	const struct seeding *seeding = argument;
	owned_text line = text_format("seed %s: another sbx makes it; waiting", seeding->options->name);

	seeding->options->say(line);
}

static int open_state(struct seeding *seeding, struct error *error)
{
	struct state_paths paths;
	int result = identity_find_places(&paths, error);

	if (result < 0)
		return result;
	result = state_open(&paths, STATE_MAKE, &seeding->state_fd, error);
	state_paths_release(&paths);
	return result;
}

/* Tree and databases, as the world will have them. */
static int find_sources(struct seeding *seeding, struct error *error)
{
	struct worker_plan plan;
	int result;

	if (!seeding->options->spec) {
		seeding->record.tree = text_duplicate(seeding->options->tree);
		return 0;
	}
	plan_init(&plan, seeding->options->spec);
	result = plan_look(&plan, error);
	if (result == 0) {
		seeding->record.tree = text_duplicate(plan.tree);
		for (size_t i = 0; i < plan.databases.count; i++)
			text_list_add(&seeding->sources, plan.databases.items[i]);
	}
	plan_release(&plan);
	return result;
}

/* ---- the key ----------------------------------------------------------------------------------------------------- */

/* With its NUL, so that no two lists run into the same bytes. */
static void add_text(struct sha256 *hash, const char *text)
{
	sha256_add(hash, text, strlen(text) + 1);
}

static void add_list(struct sha256 *hash, const char *name, const struct text_list *list)
{
	char head[64];

	(void)snprintf(head, sizeof(head), "%s %zu", name, list ? list->count : 0);
	add_text(hash, head);
	for (size_t i = 0; list && i < list->count; i++)
		add_text(hash, list->items[i]);
}

/* All that it is made of, as one number: equal, and the seed is the same. */
static char *make_key(const struct seeding *seeding)
{
	const struct seeding_options *options = seeding->options;
	const struct ground *ground = &seeding->record.ground;
	char text[SHA256_TEXT_SIZE];
	struct sha256 hash;

	sha256_init(&hash);
	add_text(&hash, "sbx seed 1");
	add_text(&hash, seeding->record.tree);
	add_list(&hash, "command", options->command);
	add_list(&hash, "inputs", options->inputs);
	add_list(&hash, "settings", options->settings);
	add_list(&hash, "databases", &seeding->sources);
	for (size_t i = 0; i < ground->count; i++) {
		add_text(&hash, ground_kind_name(ground->items[i].kind));
		add_text(&hash, ground->items[i].path);
		add_text(&hash, ground->items[i].hash);
	}
	return text_duplicate(sha256_finish(&hash, text));
}

/* ---- does it fit ------------------------------------------------------------------------------------------------- */

static int fail_changed(const struct seed_record *record, const struct text_list *changed, int count,
			struct error *error)
{
	owned_text more = count > 1 ? text_format(" (%d files in all)", count) : text_duplicate("");
	owned_text cause = text_format("the tree is not what it was made on: %s%s",
				       changed->count > 0 ? changed->items[0] : "", more);
	owned_text remedy = text_format("make it anew with 'sbx seed create' ('sbx seed inspect %s' says of what), or "
					"take it as it is with --force",
					record->name);

	return error_set(error, .number = ESTALE, .step = "start from the seed", .object = record->name, .cause = cause,
			 .remedy = remedy);
}

int seeding_check(const struct seed_record *record, const char *tree, struct error *error)
{
	owned_list changed = { 0 };
	int count;

	if (!text_equal(record->tree, tree)) {
		owned_text cause = text_format("it was made of the tree %s, and this one is %s", record->tree, tree);

		return error_set(error, .number = ESTALE, .step = "start from the seed", .object = record->name,
				 .cause = cause, .remedy = "make one of this tree, under another name");
	}
	count = ground_compare(&record->ground, record->tree, &record->inputs, &changed, error);
	return count <= 0 ? count : fail_changed(record, &changed, count, error);
}

static void add_reason(struct text_list *list, const char *reason)
{
	if (list)
		text_list_add(list, reason);
}

/* @return whether the one that is there is what would be made */
static bool is_fitting(const struct seeding *seeding, const struct seed_record *there, struct text_list *ret_changed)
{
	owned_list changed = { 0 };
	struct seed_hold hold = SEED_HOLD_NONE;
	owned_record again = { 0 };
	struct error error = { 0 };
	int count = ground_compare(&there->ground, there->tree, &there->inputs, &changed, &error);
	int result;

	if (count != 0) {
		for (size_t i = 0; i < changed.count; i++)
			add_reason(ret_changed, changed.items[i]);
		return false;
	}
	if (!text_equal(there->key, seeding->record.key)) {
		add_reason(ret_changed, "its command or settings have changed");
		return false;
	}
	/* That it can be read is not that it is whole. */
	result = seed_take(seeding->state_fd, there->name, &hold, &again, &error);
	seed_hold_release(&hold);
	if (result < 0)
		add_reason(ret_changed, error.cause);
	return result == 0;
}

int seeding_begin(struct seeding *seeding, const struct seeding_options *options, struct text_list *ret_changed,
		  struct error *error)
{
	static const struct text_list nothing;
	struct seed_record *record = &seeding->record;
	owned_record there = { 0 };
	owned_fd seeds_fd = -1;
	bool is_there;
	int result = open_state(seeding, error);

	seeding->options = options;
	if (result == 0)
		result = find_sources(seeding, error);
	if (result == 0)
		result = seed_lock(seeding->state_fd, options->name, tell_waiting, seeding, &seeding->lock_fd, error);
	if (result == 0)
		result = state_open_part(seeding->state_fd, STATE_SEEDS, STATE_MAKE, &seeds_fd, error);
	if (result < 0)
		return result;
	is_there = seed_read(seeds_fd, options->name, &there, NULL) == 0;
	/* Before the command: what changes while that runs makes the seed one that does not fit. */
	result = ground_add_inputs(&record->ground, record->tree, options->inputs ? options->inputs : &nothing,
				   is_there ? &there.ground : NULL, error);
	if (result == 0)
		result = ground_add_databases(&record->ground, &seeding->sources, is_there ? &there.ground : NULL,
					      error);
	if (result < 0)
		return error_context(error, "seed %s", options->name);
	record->name = text_duplicate(options->name);
	record->origin = text_duplicate(options->origin);
	record->commit = git_find_commit(record->tree);
	for (size_t i = 0; options->command && i < options->command->count; i++)
		text_list_add(&record->command, options->command->items[i]);
	for (size_t i = 0; options->inputs && i < options->inputs->count; i++)
		text_list_add(&record->inputs, options->inputs->items[i]);
	record->key = options->command ? make_key(seeding) : NULL;
	return is_there && record->key && is_fitting(seeding, &there, ret_changed) ? 1 : 0;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

int seeding_start(struct seeding *seeding, struct error *error)
{
	int result = seed_begin(seeding->state_fd, &seeding->draft, error);

	if (result < 0)
		return result;
	/* A file and no pipe: nobody has to read while the task writes. */
	seeding->answer_fd = memfd_create("sbx freeze", MFD_CLOEXEC);
	return seeding->answer_fd < 0 ? error_set(error, .number = errno, .step = "make a file for the answer") : 0;
}

struct task seeding_task(const struct seeding *seeding)
{
	return (struct task){ .kind = TASK_FREEZE,
			      .fds = { seeding->draft.place_fd, seeding->answer_fd },
			      .fd_count = 2 };
}

static void tell_list(const struct seeding *seeding, struct json_value list, const char *what)
{
	owned_list paths = { 0 };

	if (json_list(list, &paths) < 0)
		return;
	for (size_t i = 0; i < paths.count; i++) {
		char shown[512];
		owned_text line = NULL;

		/* It comes from inside. */
		text_escape(shown, sizeof(shown), paths.items[i]);
		line = text_format("seed %s: %s %s", seeding->record.name, shown, what);
		seeding->options->say(line);
	}
}

/* What the freeze left out, or took as it was. */
static void tell(const struct seeding *seeding)
{
	owned_json json = { 0 };
	owned_text text = NULL;
	char path[FD_PROC_PATH_SIZE];
	size_t size;

	if (fd_read_file(-1, fd_proc_path(seeding->answer_fd, path), ANSWER_MAX, &text, &size) < 0 ||
	    json_read(&json, text, size, NULL) < 0)
		return;
	tell_list(seeding, json_member(json_root(&json), "not_seeded"),
		  "is not in it: it lies outside of tree and HOME; --db FILE takes it");
	tell_list(seeding, json_member(json_root(&json), "left"),
		  "was copied as a file: it is locked all the time, or damaged");
	tell_list(seeding, json_member(json_root(&json), "ef_lock"),
		  "holds the migration lock of Entity Framework Core, for which servers would wait; --fix-ef-lock "
		  "removes it");
}

int seeding_finish(struct seeding *seeding, struct error *error)
{
	struct seed_record *record = &seeding->record;
	struct seed seed = { 0 };
	int result = seed_open(seeding->draft.place, &seed, error);

	if (result < 0)
		return result;
	tell(seeding);
	for (size_t i = 0; i < seed.databases.count; i++)
		text_list_add(&record->databases, seed.databases.items[i]);
	seed_release(&seed);
	if (!seeding->options->spec)
		result = ground_add_databases(&record->ground, &record->databases, NULL, error);
	if (result == 0)
		result = ground_add_covered(&record->ground, seeding->draft.place_fd, record->tree, &record->databases,
					    error);
	return result < 0 ? result : seed_finish(&seeding->draft, record, error);
}

void seeding_close(struct seeding *seeding)
{
	seed_draft_close(&seeding->draft);
	fd_close(&seeding->answer_fd);
	fd_close(&seeding->lock_fd);
	fd_close(&seeding->state_fd);
	seed_record_release(&seeding->record);
	text_list_release(&seeding->sources);
}
