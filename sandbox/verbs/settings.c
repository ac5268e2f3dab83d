/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

const struct option *settings_option(const char *key)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].key && text_equal(option_table[i].key, key))
			return &option_table[i];
	return NULL;
}

/* Those of options. @ret_keys the caller's, free(3) */
static size_t list_keys(struct project_key **ret_keys)
{
	struct project_key *keys = calloc(option_count, sizeof(*keys));
	size_t count = 0;

	if (!keys)
		abort();
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].key)
			keys[count++] = (struct project_key){ .name = option_table[i].key,
							      .repeats = option_table[i].repeats,
							      .takes_value = option_table[i].value };
	*ret_keys = keys;
	return count;
}

/* How many directories up the nearest sbx.yaml lies, 0: here; -1: there is none. One above that is another user's is
 * passed over: whoever may write to /tmp would have commands run that way. */
static int find_above(const char *here)
{
	owned_text directory = text_duplicate(here);

	for (int up = 0;; up++) {
		owned_text file = path_join(directory, PROJECT_FILE_NAME);
		owned_text parent = path_parent(directory);
		struct stat status;

		if (stat(file, &status) == 0 && (up == 0 || status.st_uid == geteuid()))
			return up;
		if (text_equal(directory, "/"))
			return -1;
		text_free(&directory);
		directory = parent;
		parent = NULL;
	}
}

/* What errors call it, too. @return the caller's */
static char *name_above(int up)
{
	owned_buffer name = { 0 };

	while (up-- > 0)
		text_buffer_add_text(&name, "../");
	text_buffer_add_text(&name, PROJECT_FILE_NAME);
	return text_duplicate(name.bytes);
}

int settings_read(const struct invocation *invocation, struct project *ret_project, struct error *error)
{
	owned_text here = getcwd(NULL, 0);
	owned_text tree = NULL;
	owned_text above = NULL;
	struct project_key *keys;
	size_t count;
	int up;
	int result;

	if (!here)
		return error_set(error, .number = errno, .step = "find the current directory",
				 .remedy = "cd to a directory that exists");
	/* --file is below the current directory, as any other file name of the line; sbx.yaml lies in the tree. */
	tree = path_normal(here, !invocation->file && invocation->spec.tree ? invocation->spec.tree : ".");
	up = invocation->file || invocation->spec.tree ? 0 : find_above(here);
	if (up > 0)
		above = name_above(up);
	count = list_keys(&keys);
	result = project_read(tree, above ? above : invocation->file, keys, count, ret_project, error);
	free(keys);
	if (result > 0)
		ret_project->is_above = up > 0;
	return result;
}

int settings_read_text(const char *name, const char *directory, const char *text, struct project *ret_project,
		       struct error *error)
{
	struct project_key *keys;
	size_t count = list_keys(&keys);
	int result = project_read_text(name, directory, text, strlen(text), keys, count, ret_project, error);

	free(keys);
	return result;
}

/* Paths of the host are below the file's directory; those of the inside are below the tree already. */
static char *place_value(const struct project *project, const char *key, const char *value)
{
	static const char *const host_paths[] = { "tree", "scratch", "env_file", "volumes" };

	for (size_t i = 0; value && i < sizeof(host_paths) / sizeof(host_paths[0]); i++)
		if (text_equal(host_paths[i], key) && value[0] != '/' && !text_equal(value, "-"))
			return path_join(project->directory, text_starts_with(value, "./") ? value + 2 : value);
	return text_duplicate(value);
}

/* Whether what the line says takes the place of what the file says; else it comes behind. */
static bool is_replaced(const struct option *option, const struct project_settings *given)
{
	return (!option->repeats || text_equal(option->key, "databases")) && project_settings_has(given, option->key);
}

void settings_take_place(const struct project *project, struct spec *spec)
{
	if (!project->is_above)
		return;
	if (!spec->tree)
		spec->tree = text_duplicate(project->directory);
	/* The line's command is the caller's, who stands here; the file's are the tree's. */
	if (!spec->workdir && spec->payload.count > 0)
		spec->workdir = getcwd(NULL, 0);
}

int settings_apply(struct invocation *invocation, const struct project_setting *setting, const struct project *project,
		   const struct project_settings *given, struct error *error)
{
	const struct option *option = settings_option(setting->key);
	owned_text value = place_value(project, setting->key, setting->value);
	int result;

	if (!option_belongs(option, invocation->verb) || is_replaced(option, given))
		return 0;
	result = option->set(invocation, option, value, error);
	return result < 0 ? error_context(error, "%s:%u:%u", project->file, setting->line, setting->column) : 0;
}

void settings_merge(const struct project *project, const struct project_settings *given,
		    struct project_settings *ret_merged)
{
	*ret_merged = (struct project_settings){ 0 };
	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];
		const char *last = NULL;
		bool any = false;

		if (!option->key)
			continue;
		for (size_t j = 0; j < project->settings.count && !is_replaced(option, given); j++) {
			const struct project_setting *setting = &project->settings.items[j];
			owned_text value = place_value(project, setting->key, setting->value);

			if (text_equal(setting->key, option->key))
				project_settings_add(ret_merged, option->key, value, setting->line, setting->column);
		}
		for (size_t j = 0; j < given->count; j++) {
			if (!text_equal(given->items[j].key, option->key))
				continue;
			if (option->repeats)
				project_settings_add(ret_merged, option->key, given->items[j].value, 0, 0);
			any = true;
			last = given->items[j].value;
		}
		if (any && !option->repeats)
			project_settings_add(ret_merged, option->key, last, 0, 0);
	}
}
