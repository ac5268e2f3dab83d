/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/start.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/sha256.h"
#include "sandbox/registry/state.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/plan.h"
#include "sandbox/worker/repository.h"

enum {
	NAME_TREE_MAX = 40, /* how much of the tree's name stands in that of its seed */
	NAME_HASH_DIGITS = 8,
};

/* ---- making ------------------------------------------------------------------------------------------------------ */

static int freeze(void *argument, const struct worker_plan *plan, int control_fd, struct error *error)
{
	struct seeding *seeding = argument;
	struct task task = seeding_task(seeding);
	int result = ask_task(control_fd, &task, error);

	(void)plan;
	return result < 0 ? result : seeding_finish(seeding, error);
}

static int make(struct seeding *seeding, int *ret_exit_code, struct error *error)
{
	const struct launch_last last = { .run = freeze, .argument = seeding };
	struct launch_result launched = { .exit_code = EXIT_SBX_FAILED };
	int result = seeding_start(seeding, error);

	*ret_exit_code = launched.exit_code;
	if (result < 0)
		return result;
	result = launch_run_to_end(seeding->options->spec, seeding->options->say, &last, &launched, error);
	*ret_exit_code = launched.exit_code;
	if (launched.exit_code != 0)
		seeding_close(seeding);
	relay_raise(&launched.command);
	return result;
}

int start_make_seed(const struct seeding_options *options, bool is_forced, bool *ret_made, int *ret_exit_code,
		    struct error *error)
{
	struct seeding seeding = SEEDING_NONE;
	owned_list changed = { 0 };
	int result = seeding_begin(&seeding, options, &changed, error);

	*ret_made = false;
	*ret_exit_code = result < 0 ? EXIT_SBX_FAILED : 0;
	for (size_t i = 0; i < changed.count && result == 0; i++) {
		char shown[1024];
		owned_text line = NULL;

		/* Names of files. */
		text_escape(shown, sizeof(shown), changed.items[i]);
		line = text_format("seed %s: made anew: %s", options->name, shown);
		options->say(line);
	}
	if (result == 0 || (result == 1 && is_forced)) {
		*ret_made = true;
		result = make(&seeding, ret_exit_code, error);
	}
	seeding_close(&seeding);
	return result < 0 ? result : 0;
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static int look(const struct spec *spec, struct worker_plan *plan, struct error *error)
{
	plan_init(plan, spec);
	return plan_look(plan, error);
}

static void use(struct invocation *invocation, const struct seed_hold *hold)
{
	invocation->spec.seed = &hold->seed;
	invocation->spec.seed_fd = hold->fd;
}

static int take(struct invocation *invocation, const char *name, bool is_checked, struct seed_hold *ret_hold,
		struct error *error)
{
	owned_record record = { 0 };
	owned_places places = { 0 };
	struct worker_plan plan;
	owned_fd state_fd = -1;
	int result = look(&invocation->spec, &plan, error);

	if (result == 0)
		result = identity_find_places(&places, error);
	if (result == 0)
		result = state_open(&places, STATE_MAKE, &state_fd, error);
	if (result == 0)
		result = seed_take(state_fd, name, ret_hold, &record, error);
	if (result == 0 && is_checked)
		result = seeding_check(&record, plan.tree, error);
	plan_release(&plan);
	if (result < 0) {
		seed_hold_release(ret_hold);
		return result;
	}
	use(invocation, ret_hold);
	return 0;
}

int start_take_again(struct invocation *invocation, const char *place, struct seed_hold *ret_hold, struct error *error)
{
	int result = repository_surround(&invocation->spec, error);

	if (place && result == 0)
		result = seed_take_place(place, ret_hold, error);

	if (place && result == 0)
		use(invocation, ret_hold);
	return result;
}

/* One seed of a project's for each place of its tree. */
static char *project_seed_name(const char *tree)
{
	char hash[SHA256_TEXT_SIZE];
	owned_text name = text_duplicate(path_name(tree));
	struct sha256 sum;

	sha256_init(&sum);
	sha256_add(&sum, tree, strlen(tree));
	(void)sha256_finish(&sum, hash);
	for (char *letter = name; *letter; letter++)
		if (!isascii(*letter) || (!isalnum((unsigned char)*letter) && !strchr("_.-", *letter)))
			*letter = '_';
	return text_format("%s%.*s-%.*s", isalnum((unsigned char)name[0]) ? "" : "t", NAME_TREE_MAX, name,
			   NAME_HASH_DIGITS, hash);
}

/* What the command sees and may do. Not here: how many worlds there are and what becomes of them, how long they may
 * take and how much they may have, since what has come to its end is the same. */
const char *const start_content_keys[] = {
	"tree",	       "working_dir", "volumes",     "copy",	   "tmpfs",	   "home",    "databases",
	"fix_ef_lock", "environment", "env_file",    "env_filter", "net",	   "reach",   "dns",
	"gui",	       "hostname",    "extra_hosts", "seccomp",	   "allow_userns", "as_root", NULL,
};

static bool is_of_content(const char *key)
{
	for (const char *const *known = start_content_keys; *known; known++)
		if (text_equal(*known, key))
			return true;
	return false;
}

void start_list_content(const struct invocation *invocation, const struct project *project, struct text_list *list)
{
	const struct project_settings *lists[] = { &project->settings, &invocation->given };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t j = 0; j < lists[i]->count; j++) {
			const struct project_setting *setting = &lists[i]->items[j];

			if (is_of_content(setting->key))
				text_list_take(
					list, text_format("%s=%s", setting->key, setting->value ? setting->value : ""));
		}
}

/* The settings hold for it as for the worlds, but for what is of one run. */
static void shape_spec(const struct invocation *invocation, const struct project *project, struct spec *ret_spec)
{
	*ret_spec = invocation->spec;
	ret_spec->payload = project->seed.command.arguments;
	ret_spec->name = NULL;
	ret_spec->keep = KEEP_NEVER;
	ret_spec->status_fd = -1;
	ret_spec->pass_fd_count = 0;
	ret_spec->timeout_ms = 0;
	ret_spec->ways.publish = (struct text_list){ 0 };
	ret_spec->seed = NULL;
	if (project->is_above && !project_settings_has(&project->settings, "working_dir") &&
	    !project_settings_has(&invocation->given, "working_dir"))
		ret_spec->workdir = project->directory;
}

/* Its command has no input, and its output is no result of up or test: what a script reads from stdout is theirs.
 * @saved  stdin and stdout as they were */
static int turn_standard(int saved[static 2], struct error *error)
{
	owned_fd null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	saved[0] = fd_duplicate(STDIN_FILENO);
	saved[1] = fd_duplicate(STDOUT_FILENO);
	if (null_fd < 0 || saved[0] < 0 || saved[1] < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return error_set(error, .number = errno, .step = "set input and output of the seed's command");
	return 0;
}

static void turn_standard_back(int saved[static 2])
{
	if (saved[0] >= 0)
		(void)dup2(saved[0], STDIN_FILENO);
	if (saved[1] >= 0)
		(void)dup2(saved[1], STDOUT_FILENO);
	fd_close(&saved[0]);
	fd_close(&saved[1]);
}

static int make_project_seed(const struct invocation *invocation, const struct project *project, const char *tree,
			     char **ret_name, struct error *error)
{
	owned_text name = project_seed_name(tree);
	owned_list settings = { 0 };
	struct spec spec;
	struct seeding_options options = { .spec = &spec,
					   .name = name,
					   .origin = "settings",
					   .command = &project->seed.command.arguments,
					   .inputs = &project->seed.inputs,
					   .settings = &settings,
					   .say = say_line };
	int saved[2] = { -1, -1 };
	bool is_made;
	int exit_code;
	int result;

	shape_spec(invocation, project, &spec);
	start_list_content(invocation, project, &settings);
	result = turn_standard(saved, error);
	if (result == 0)
		result = start_make_seed(&options, false, &is_made, &exit_code, error);
	turn_standard_back(saved);
	if (result < 0)
		return error_context(error, "%s: seed", project->file);
	if (exit_code != 0) {
		owned_text cause = text_format("its command ended with exit status %d", exit_code);

		(void)error_set(error, .number = ECHILD, .step = "make the seed", .object = name, .cause = cause,
				.remedy = "its output stands above; --seed none starts without it");
		return error_context(error, "%s: seed", project->file);
	}
	*ret_name = name;
	name = NULL;
	return 0;
}

int start_choose(struct invocation *invocation, const struct project *project, struct seed_hold *ret_hold,
		 struct error *error)
{
	bool has_own = project && project->seed.command.arguments.count > 0;
	struct worker_plan plan;
	owned_text name = NULL;
	int result = repository_surround(&invocation->spec, error);

	if (result < 0)
		return result;
	if (invocation->seed)
		return text_equal(invocation->seed, "none")
			       ? 0
			       : take(invocation, invocation->seed, !invocation->force, ret_hold, error);
	if (!has_own)
		return 0;
	result = look(&invocation->spec, &plan, error);
	if (result == 0)
		result = make_project_seed(invocation, project, plan.tree, &name, error);
	plan_release(&plan);
	/* Looked at a moment ago. */
	return result < 0 ? result : take(invocation, name, false, ret_hold, error);
}
