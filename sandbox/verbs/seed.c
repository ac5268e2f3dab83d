/* SPDX-License-Identifier: Apache-2.0 */
/* sbx seed: frozen starts of worlds.
 *
 *   create   NAME [--input GLOB]… -- COMMAND   runs the command in a world and freezes it
 *   ls                                         the seeds
 *   inspect  NAME…                             all that is known of some
 *   rm       NAME… | --all                     */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/table.h"
#include "sandbox/registry/seeds.h"
#include "sandbox/registry/state.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/seed_inspect.h"
#include "sandbox/verbs/settings.h"
#include "sandbox/verbs/start.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/repository.h"

static int open_state(enum state_missing missing, int *ret_fd, struct error *error)
{
	owned_places places = { 0 };
	int result = identity_find_places(&places, error);

	return result < 0 ? result : state_open(&places, missing, ret_fd, error);
}

/* ---- create ---- */

static int create(struct invocation *invocation, struct error *error)
{
	owned_project project = { 0 };
	owned_list settings = { 0 };
	struct seeding_options options = { .origin = "create", .settings = &settings, .say = say_line };
	bool is_made = false;
	int exit_code = EXIT_SBX_FAILED;
	int result;

	if (invocation->operands.count < 2 || invocation->spec.payload.count == 0)
		return error_set(error, .number = EINVAL, .step = "create a seed",
				 .cause = invocation->operands.count < 2 ? "its name is missing"
									 : "the command to run is missing",
				 .remedy = "as in sbx seed create NAME -- COMMAND");
	if (invocation->operands.count > 2)
		return error_set(error, .number = EINVAL, .step = "create a seed",
				 .object = invocation->operands.items[2], .cause = "it is one word too many",
				 .remedy = "the command stands behind '--'");
	result = settings_read(invocation, &project, error);
	if (result > 0)
		result = invocation_add_project(invocation, &project, error);
	if (result >= 0)
		result = seed_check_name(invocation->operands.items[1], error);
	if (result == 0)
		result = repository_surround(&invocation->spec, error);
	if (result < 0)
		return result;
	start_list_content(invocation, &project, &settings);
	if (invocation->spec.workdir)
		text_list_take(&settings, text_format("start=%s", invocation->spec.workdir));
	options.spec = &invocation->spec;
	options.name = invocation->operands.items[1];
	options.command = &invocation->spec.payload;
	options.inputs = &invocation->inputs;
	result = start_make_seed(&options, invocation->force || invocation->inputs.count == 0, &is_made, &exit_code,
				 error);
	if (exit_code == 0 && result == 0) {
		owned_text line = text_format("seed %s: %s", options.name,
					      is_made ? "made; sbx run, up and test start from it with --seed NAME"
						      : "nothing has changed, taken as it is");

		say_line(line);
	} else if (result == 0) {
		owned_text line = text_format("seed %s: not made, its command ended with exit status %d", options.name,
					      exit_code);

		say_line(line);
	}
	return result < 0 && (exit_code == 0 || exit_code == EXIT_SBX_FAILED) ? result : exit_code;
}

/* ---- ls ---- */

static const struct table_column columns[] = {
	{ "name", "NAME", TABLE_TEXT, 0, NULL },       { "created", "CREATED", TABLE_TIME, 0, NULL },
	{ "bytes", "SIZE", TABLE_BYTES, 0, NULL },     { "databases", "DATABASES", TABLE_NUMBER, 0, NULL },
	{ "used", "USED", TABLE_TRUTH, 0, NULL },      { "tree", "TREE", TABLE_TEXT, 48, NULL },
	{ "command", "COMMAND", TABLE_LIST, 40, " " }, { "problem", NULL, TABLE_TEXT, 0, NULL },
};

static void add_row(struct table *table, int seeds_fd, const char *name)
{
	owned_record record = { 0 };
	struct error problem = { 0 };
	bool is_good = seed_read(seeds_fd, name, &record, &problem) == 0;

	table_add_text(table, name);
	if (is_good) {
		table_add_number(table, record.created_ns);
		table_add_number(table, record.bytes);
		table_add_number(table, (int64_t)record.databases.count);
	} else {
		table_add_missing(table);
		table_add_missing(table);
		table_add_missing(table);
	}
	table_add_number(table, seed_is_used(seeds_fd, name));
	table_add_text(table, record.tree);
	if (is_good)
		table_add_list(table, &record.command);
	else
		table_add_missing(table);
	table_add_text(table, is_good ? NULL : problem.cause);
}

static int list_seeds(struct invocation *invocation, struct error *error)
{
	owned_table table = { .columns = columns, .column_count = ARRAY_SIZE(columns) };
	owned_list names = { 0 };
	owned_fd state_fd = -1;
	owned_fd seeds_fd = -1;
	int result = open_state(STATE_LEAVE, &state_fd, error);

	if (result == 0)
		result = seed_list(state_fd, &names, error);
	if (result == 0 && names.count > 0)
		result = state_open_part(state_fd, STATE_SEEDS, STATE_LEAVE, &seeds_fd, error);
	if (result < 0 && result != -ENOENT)
		return result;
	*error = (struct error){ 0 };
	for (size_t i = 0; i < names.count; i++)
		add_row(&table, seeds_fd, names.items[i]);
	return output_table(&table, invocation, error);
}

/* ---- inspect ---- */

static int inspect(struct invocation *invocation, struct error *error)
{
	owned_fd state_fd = -1;
	owned_fd seeds_fd = -1;
	int result = open_state(STATE_MAKE, &state_fd, error);

	if (result == 0)
		result = state_open_part(state_fd, STATE_SEEDS, STATE_MAKE, &seeds_fd, error);
	return result < 0 ? result : seed_inspect(invocation, seeds_fd, error);
}

/* ---- rm ---- */

static int remove_seeds(struct invocation *invocation, struct error *error)
{
	owned_list names = { 0 };
	owned_fd state_fd = -1;
	int worst = 0;
	int result = open_state(STATE_MAKE, &state_fd, error);

	if (result == 0 && invocation->all)
		result = seed_list(state_fd, &names, error);
	if (result < 0)
		return result;
	for (size_t i = 1; i < invocation->operands.count; i++)
		text_list_add(&names, invocation->operands.items[i]);
	for (size_t i = 0; i < names.count; i++) {
		struct error failure = { 0 };

		result = invocation->all ? 0 : seed_check_name(names.items[i], &failure);
		if (result == 0)
			result = seed_remove(state_fd, names.items[i], &failure);
		if (result == 0) {
			printf("%s\n", names.items[i]);
			continue;
		}
		say_error(&failure);
		worst = EXIT_SBX_FAILED;
	}
	return worst;
}

/* ---- which ---- */

static const struct {
	const char *word;
	int (*run)(struct invocation *invocation, struct error *error);
	bool needs_name;
} actions[] = {
	{ "create", create, true },
	{ "ls", list_seeds, false },
	{ "inspect", inspect, true },
	{ "rm", remove_seeds, true },
};

int verb_seed(struct invocation *invocation, struct error *error)
{
	static const char usage[] = "as in sbx seed create NAME -- COMMAND, sbx seed ls, sbx seed inspect NAME, sbx "
				    "seed rm NAME";
	const char *word = invocation->operands.items[0];

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (!text_equal(word, actions[i].word))
			continue;
		if (actions[i].needs_name && invocation->operands.count < 2 && !invocation->all)
			return error_set(error, .number = EINVAL, .step = "use sbx seed", .object = word,
					 .cause = "the name is missing", .remedy = usage);
		return actions[i].run(invocation, error);
	}
	return error_set(error, .number = EINVAL, .step = "use sbx seed", .object = word,
			 .cause = "there is no such command", .remedy = usage);
}
