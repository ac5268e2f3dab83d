/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/recipe.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/pool/services_json.h"
#include "sandbox/run/hook.h"

#define STEP_READ "read how the test was run"

void recipe_release(struct recipe *recipe)
{
	service_list_release(&recipe->services);
	text_free(&recipe->runner);
	text_free(&recipe->version);
	text_list_release(&recipe->arguments);
	text_list_release(&recipe->command);
	text_free(&recipe->directory);
	text_free(&recipe->config);
	text_free(&recipe->file);
	text_free(&recipe->title);
	text_free(&recipe->project);
	text_list_release(&recipe->attachments);
	*recipe = (struct recipe){ 0 };
}

void recipe_take_runner(const struct events *events, struct recipe *recipe)
{
	owned_json json = { 0 };

	recipe->runner = text_duplicate(events->runner);
	recipe->version = text_duplicate(events->version);
	recipe->directory = text_duplicate(events->directory);
	for (size_t i = 0; i < events->arguments.count; i++)
		text_list_add(&recipe->arguments, events->arguments.items[i]);
	if (events->config && json_read(&json, events->config, strlen(events->config), NULL) == 0)
		(void)json_text(json_member(json_root(&json), "configFile"), &recipe->config);
}

/* ---- writing ---- */

void recipe_write(const struct recipe *recipe, const char *name, struct text_buffer *out)
{
	json_begin_object(out, name);
	services_write(&recipe->services, out);
	json_add_text(out, "runner", recipe->runner);
	json_add_text(out, "version", recipe->version);
	json_add_list(out, "arguments", &recipe->arguments);
	json_add_list(out, "command", &recipe->command);
	json_add_text(out, "directory", recipe->directory);
	json_add_text(out, "config", recipe->config);
	json_add_text(out, "file", recipe->file);
	json_add_number(out, "line", recipe->line);
	json_add_text(out, "title", recipe->title);
	json_add_text(out, "project", recipe->project);
	json_add_list(out, "attachments", &recipe->attachments);
	json_end_object(out);
}

/* ---- reading ---- */

static int refuse(const char *name, struct error *error)
{
	return error_set(error, .number = EBADMSG, .step = STEP_READ, .object = name,
			 .cause = "the member is damaged, or of a version of sbx that this one cannot read");
}

int recipe_read(struct json_value value, struct recipe *ret_recipe, struct error *error)
{
	struct recipe *recipe = ret_recipe;
	struct {
		const char *name;
		char **text;
	} texts[] = {
		{ "runner", &recipe->runner },	 { "version", &recipe->version }, { "directory", &recipe->directory },
		{ "config", &recipe->config },	 { "file", &recipe->file },	  { "title", &recipe->title },
		{ "project", &recipe->project },
	};
	struct {
		const char *name;
		struct text_list *list;
	} lists[] = { { "arguments", &recipe->arguments },
		      { "command", &recipe->command },
		      { "attachments", &recipe->attachments } };

	*recipe = (struct recipe){ 0 };
	if (json_type(value) <= JSON_NULL)
		return 0;
	if (json_type(value) != JSON_OBJECT || services_read(json_member(value, "services"), &recipe->services) < 0)
		return refuse("services", error);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!json_optional_text(json_member(value, texts[i].name), texts[i].text))
			return refuse(texts[i].name, error);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (!json_optional_list(json_member(value, lists[i].name), lists[i].list))
			return refuse(lists[i].name, error);
	if (!json_optional_number(json_member(value, "line"), 0, INT32_MAX, &recipe->line))
		return refuse("line", error);
	return 0;
}

int recipe_read_file(int directory_fd, struct recipe *ret_recipe, struct error *error)
{
	owned_text text = NULL;
	owned_json json = { 0 };
	size_t size;
	int result = fd_read_file(directory_fd, RECIPE_FILE, JSON_SIZE_MAX, &text, &size);

	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_READ, .object = RECIPE_FILE);
	result = json_read(&json, text, size, error);
	return result < 0 ? result : recipe_read(json_root(&json), ret_recipe, error);
}

/* ---- the red test alone ---- */

/* Playwright takes what stands before :LINE as a regular expression. */
static char *escape_pattern(const char *text)
{
	struct text_buffer out = { 0 };

	for (const char *c = text; *c; c++) {
		if (strchr("\\^$.|?*+()[]{}", *c))
			text_buffer_add_text(&out, "\\");
		text_buffer_add(&out, c, 1);
	}
	return out.bytes ? out.bytes : text_duplicate("");
}

static char *quote_script(const char *text)
{
	struct text_buffer out = { 0 };

	json_add_text(&out, NULL, text);
	return out.bytes;
}

/* The runner's own configuration without what has been done in this world already: its servers run, and its global
 * setup would do away with the very rows that the test failed on. Only documented parts of Playwright are used. */
static void make_config(const char *config, char **ret_text, char **ret_path)
{
	const char *name = path_name(config);
	const char *suffix = strrchr(name, '.');
	owned_text directory = path_parent(config);
	owned_text beside = text_format("./%s", name);
	owned_text quoted = quote_script(beside);
	owned_text file = text_format(".sbx-replay%s", suffix ? suffix : ".js");
	bool is_common = text_equal(suffix, ".cjs") || text_equal(suffix, ".cts");

	*ret_path = path_join(directory, file);
	*ret_text = text_format("%s%s%s\n"
				"const config = { ...(found.default ?? found) };\n"
				"delete config.webServer;\n"
				"delete config.globalSetup;\n"
				"delete config.globalTeardown;\n"
				"%s config;\n",
				is_common ? "const found = require(" : "import found from ", quoted,
				is_common ? ");" : ";", is_common ? "module.exports =" : "export default");
}

/* Where the other machine had it, this one need not. */
static const char *portable_program(const char *program)
{
	return text_equal(path_name(program), "node") ? "node" : program;
}

/* What sets out from other tests than the red one, or from more processes than one world bears: sbx's own words and the
 * user's. Global setup would do away with what the test failed on. */
struct runner_words {
	const char *runner;
	const char *verbs[4];	/* that stand first */
	const char *dropped[8]; /* with a value, behind "=" or as the next word */
	const char *serial[4];	/* added */
	const char *by_path;	/* added where one file is wanted; NULL: its path will do */
};

static const struct runner_words runners[] = {
	{ .runner = "jest",
	  .dropped = { "--maxWorkers", "-w", "--globalSetup", "--globalTeardown" },
	  .serial = { "--runInBand", "--globalSetup=", "--globalTeardown=" },
	  .by_path = "--runTestsByPath" },
	{ .runner = "vitest",
	  .verbs = { "run", "watch", "dev" },
	  .dropped = { "--maxWorkers" },
	  .serial = { "--no-file-parallelism" } },
};

/* Of one test: what would choose others as well, or none. */
static const char *const choosing_words[] = { "-t", "--testNamePattern", "--shard", "--changedSince", NULL };
static const char *const choosing_flags[] = { "--onlyChanged", "-o", "--lastCommit", "--onlyFailures", "-f", NULL };

static bool is_among(const char *const *words, const char *word)
{
	for (; *words; words++)
		if (text_equal(*words, word))
			return true;
	return false;
}

static bool has_value(const char *const *options, const char *word)
{
	for (; *options; options++)
		if (text_starts_with(word, *options) && word[strlen(*options)] == '=')
			return true;
	return false;
}

/* Whether it is an option that may have the next word as its value. */
static bool may_take_next(const char *word)
{
	return word[0] == '-' && !strchr(word, '=');
}

static bool is_verb(const struct runner_words *words, const struct recipe *recipe, size_t at)
{
	return at == 2 && is_among(words->verbs, recipe->arguments.items[at]);
}

/* Names of files choose, too. One behind an option stays, which may be its value: then more files are read, of which
 * no test is run. */
static bool chooses_file(const struct runner_words *words, const struct recipe *recipe, size_t at)
{
	const char *before = recipe->arguments.items[at - 1];

	return recipe->arguments.items[at][0] != '-' && !is_verb(words, recipe, at) &&
	       (at == 2 || !may_take_next(before));
}

/* The runner's words without those. @return how many of them were looked at: what stands behind "--" is left */
static size_t copy_words(const struct runner_words *words, const struct recipe *recipe, bool is_alone,
			 struct text_list *ret_command)
{
	size_t at = 2;

	text_list_add(ret_command, portable_program(recipe->arguments.items[0]));
	text_list_add(ret_command, recipe->arguments.items[1]);
	for (; at < recipe->arguments.count && !text_equal(recipe->arguments.items[at], "--"); at++) {
		const char *word = recipe->arguments.items[at];

		if (is_among(words->dropped, word) || (is_alone && is_among(choosing_words, word)))
			at++;
		else if (!has_value(words->dropped, word) &&
			 !(is_alone && (has_value(choosing_words, word) || is_among(choosing_flags, word) ||
					chooses_file(words, recipe, at))))
			text_list_add(ret_command, word);
	}
	return at;
}

/* Its test processes would meet in this one world. */
static int make_serial_command(const struct recipe *recipe, struct text_list *ret_command)
{
	const struct runner_words *words = NULL;
	bool is_alone = recipe->file != NULL;
	size_t rest;

	for (size_t i = 0; i < ARRAY_SIZE(runners); i++)
		if (text_equal(recipe->runner, runners[i].runner))
			words = &runners[i];
	if (!words || recipe->arguments.count < 2)
		return -ENOENT;
	rest = copy_words(words, recipe, is_alone, ret_command);
	for (const char *const *word = words->serial; *word; word++)
		text_list_add(ret_command, *word);
	for (; rest < recipe->arguments.count && !is_alone; rest++)
		text_list_add(ret_command, recipe->arguments.items[rest]);
	if (!is_alone)
		return 0;
	if (recipe->title && recipe->title[0] && !text_equal(recipe->title, HOOK_TITLE_UNREAD)) {
		owned_text pattern = escape_pattern(recipe->title);

		text_list_take(ret_command, text_format("--testNamePattern=^%s$", pattern));
	}
	if (words->by_path)
		text_list_add(ret_command, words->by_path);
	text_list_add(ret_command, recipe->file);
	return 0;
}

int recipe_make_command(const struct recipe *recipe, struct text_list *ret_command, char **ret_config,
			char **ret_config_path)
{
	owned_text pattern = NULL;

	for (size_t i = 0; i < recipe->command.count; i++)
		text_list_add(ret_command, recipe->command.items[i]);
	if (recipe->command.count > 0)
		return 0;
	if (!recipe->file || !text_equal(recipe->runner, "playwright") || recipe->arguments.count < 2)
		return make_serial_command(recipe, ret_command);
	pattern = escape_pattern(recipe->file);
	text_list_add(ret_command, portable_program(recipe->arguments.items[0]));
	text_list_add(ret_command, recipe->arguments.items[1]);
	text_list_add(ret_command, "test");
	if (recipe->config && recipe->config[0] == '/') {
		make_config(recipe->config, ret_config, ret_config_path);
		text_list_take(ret_command, text_format("--config=%s", *ret_config_path));
	}
	if (recipe->project && recipe->project[0])
		text_list_take(ret_command, text_format("--project=%s", recipe->project));
	/* What it depends on has been done as well. */
	text_list_add(ret_command, "--no-deps");
	text_list_add(ret_command, "--workers=1");
	text_list_add(ret_command, "--retries=0");
	text_list_add(ret_command, "--reporter=list");
	text_list_take(ret_command, text_format("%s:%lld", pattern, (long long)recipe->line));
	return 0;
}
