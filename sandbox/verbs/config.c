/* SPDX-License-Identifier: Apache-2.0 */
/* sbx config: the project's settings as they hold, as an sbx.yaml again or as JSON of the same shape. */
#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/process.h"
#include "sandbox/verbs/settings.h"
#include "sandbox/verbs/verbs.h"

/* ---- JSON ---- */

static void add_command(struct text_buffer *out, const char *name, const struct project_command *command)
{
	if (command->is_text)
		json_add_text(out, name, command->arguments.items[2]);
	else if (command->arguments.count > 0)
		json_add_list(out, name, &command->arguments);
}

static void add_list(struct text_buffer *out, const char *name, const struct text_list *list)
{
	if (list->count > 0)
		json_add_list(out, name, list);
}

static void add_text(struct text_buffer *out, const char *name, const char *text)
{
	if (text)
		json_add_text(out, name, text);
}

static void add_milliseconds(struct text_buffer *out, const char *name, uint64_t ms)
{
	owned_text text = text_format("%llums", (unsigned long long)ms);

	json_add_text(out, name, text);
}

static void add_pattern(struct text_buffer *out, const char *name, const struct readiness_pattern *pattern)
{
	bool is_plain = pattern->text && !pattern->flags && pattern->text[0] != '/';
	owned_text text = pattern->text && !is_plain
				  ? text_format("/%s/%s", pattern->text, pattern->flags ? pattern->flags : "")
				  : text_duplicate(pattern->text);

	add_text(out, name, text);
}

static void add_ready(struct text_buffer *out, const struct readiness_options *ready)
{
	bool has_condition = ready->url || ready->port || ready->command.count > 0 ||
			     ready->patterns[READINESS_STDOUT].text || ready->patterns[READINESS_STDERR].text;

	if (!has_condition)
		return;
	json_begin_object(out, "ready");
	add_text(out, "url", ready->url);
	if (ready->port)
		json_add_number(out, "port", ready->port);
	add_pattern(out, "stdout", &ready->patterns[READINESS_STDOUT]);
	add_pattern(out, "stderr", &ready->patterns[READINESS_STDERR]);
	add_list(out, "cmd", &ready->command);
	if (ready->timeout_ms)
		add_milliseconds(out, "timeout", ready->timeout_ms);
	if (ready->interval_ms)
		add_milliseconds(out, "interval", ready->interval_ms);
	json_end_object(out);
}

static void add_dependencies(struct text_buffer *out, const struct project_dependencies *dependencies)
{
	static const char *const conditions[] = {
		[PROJECT_READY] = "service_ready",
		[PROJECT_STARTED] = "service_started",
		[PROJECT_COMPLETED] = "service_completed_successfully",
	};

	if (dependencies->count == 0)
		return;
	json_begin_object(out, "depends_on");
	for (size_t i = 0; i < dependencies->count; i++) {
		json_begin_object(out, dependencies->items[i].service);
		json_add_text(out, "condition", conditions[dependencies->items[i].condition]);
		json_end_object(out);
	}
	json_end_object(out);
}

static void add_restart(struct text_buffer *out, const struct project_service *service)
{
	owned_text limited = text_format("on-failure:%u", service->restart_max);

	if (service->restart == PROJECT_RESTART_ALWAYS)
		json_add_text(out, "restart", "always");
	else if (service->restart == PROJECT_RESTART_ON_FAILURE)
		json_add_text(out, "restart", service->restart_max ? limited : "on-failure");
}

static void add_service(struct text_buffer *out, const struct project_service *service)
{
	char signal[32];

	json_begin_object(out, service->name);
	add_command(out, "command", &service->command);
	add_list(out, "environment", &service->environment);
	add_list(out, "env_file", &service->env_files);
	add_text(out, "working_dir", service->working_dir);
	add_list(out, "ports", &service->ports);
	add_ready(out, &service->ready);
	add_dependencies(out, &service->depends_on);
	add_restart(out, service);
	if (service->shared)
		json_add_bool(out, "shared", service->shared);
	if (service->stop_signal)
		json_add_text(out, "stop_signal", process_signal_name(service->stop_signal, signal, sizeof(signal)));
	if (service->has_stop_grace)
		add_milliseconds(out, "stop_grace_period", service->stop_grace_ms);
	json_end_object(out);
}

/* Settings of one key stand together. @return how many they are */
static size_t add_setting(struct text_buffer *out, const struct project_settings *settings, size_t first)
{
	const struct project_setting *setting = &settings->items[first];
	size_t count = 1;

	while (first + count < settings->count && text_equal(settings->items[first + count].key, setting->key))
		count++;
	if (!setting->value) {
		json_add_bool(out, setting->key, !setting->value);
	} else if (!settings_option(setting->key)->repeats) {
		json_add_text(out, setting->key, setting->value);
	} else {
		json_begin_array(out, setting->key);
		for (size_t i = first; i < first + count; i++)
			json_add_text(out, NULL, settings->items[i].value);
		json_end_array(out);
	}
	return count;
}

static void add_project(struct text_buffer *out, const struct project *project, const struct project_settings *settings)
{
	json_begin_object(out, NULL);
	if (project->services.count > 0) {
		json_begin_object(out, "services");
		for (size_t i = 0; i < project->services.count; i++)
			add_service(out, &project->services.items[i]);
		json_end_object(out);
	}
	if (project->seed.command.arguments.count > 0) {
		json_begin_object(out, "seed");
		add_command(out, "command", &project->seed.command);
		add_list(out, "inputs", &project->seed.inputs);
		json_end_object(out);
	}
	if (project->test.command.arguments.count > 0 || project->test.workers) {
		json_begin_object(out, "test");
		add_command(out, "command", &project->test.command);
		add_text(out, "workers", project->test.workers);
		json_end_object(out);
	}
	add_list(out, "artifacts", &project->artifacts);
	add_text(out, "workers", project->workers);
	for (size_t i = 0; i < settings->count;)
		i += add_setting(out, settings, i);
	json_end_object(out);
}

/* ---- YAML ---- */

/* A text that YAML 1.1 and 1.2 alike read as itself without quotes. */
static bool is_plain(const char *text)
{
	static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y", "n", "~" };

	if (!isalpha((unsigned char)text[0]) && text[0] != '/' && text[0] != '_')
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0)
			return false;
	for (const char *byte = text; *byte; byte++)
		if (!isalnum((unsigned char)*byte) && !strchr("_-./=+@%", *byte))
			return false;
	return true;
}

static void write_text(struct text_buffer *out, const char *text)
{
	owned_buffer quoted = { 0 };

	/* JSON's quotes and escapes are YAML's double-quoted style. */
	json_add_text(&quoted, NULL, text);
	text_buffer_add_text(out, is_plain(text) ? text : quoted.bytes);
}

static void write_node(struct text_buffer *out, struct json_value value, int depth)
{
	enum json_type type = json_type(value);
	size_t length = 0;
	const char *raw = json_raw(value, &length);
	owned_text text = NULL;

	if (type == JSON_TEXT && json_text(value, &text) == 0) {
		text_buffer_add_text(out, " ");
		write_text(out, text);
	} else if (type != JSON_OBJECT && type != JSON_ARRAY) {
		text_buffer_format(out, " %.*s", (int)length, raw);
	} else if (!json_type(json_first(value))) {
		text_buffer_add_text(out, type == JSON_OBJECT ? " {}" : " []");
	}
	if (type != JSON_OBJECT && type != JSON_ARRAY)
		return;
	for (struct json_value child = json_first(value); json_type(child); child = json_next(child)) {
		owned_text name = NULL;

		text_buffer_format(out, "\n%*s", 2 * depth, "");
		if (type == JSON_ARRAY) {
			text_buffer_add_text(out, "-");
		} else if (json_name(child, &name) == 0) {
			write_text(out, name);
			text_buffer_add_text(out, ":");
		}
		write_node(out, child, depth + 1);
	}
}

static int write_yaml(struct text_buffer *out, const struct text_buffer *text, struct error *error)
{
	owned_json json = { 0 };
	int result = json_read(&json, text->bytes, text->length, error);

	if (result < 0)
		return result;
	write_node(out, json_root(&json), 0);
	/* Each key begins a line: the first of them, too. */
	if (out->length > 0 && (out->bytes[0] == '\n' || out->bytes[0] == ' ')) {
		memmove(out->bytes, out->bytes + 1, out->length);
		out->length--;
	}
	return 0;
}

static void replace_text(char **text, const char *with)
{
	text_free(text);
	*text = text_duplicate(with);
}

int verb_config(struct invocation *invocation, struct error *error)
{
	__attribute__((cleanup(project_settings_release))) struct project_settings settings = { 0 };
	owned_project project = { 0 };
	owned_buffer json = { 0 };
	owned_buffer yaml = { 0 };
	const struct text_buffer *out = &json;
	int result = settings_read(invocation, &project, error);

	if (result > 0)
		result = invocation_add_project(invocation, &project, error);
	if (result < 0)
		return result;
	if (invocation->worker_count) {
		replace_text(&project.workers, invocation->worker_count);
		/* Of sbx test as well: there, too, the line is stronger. */
		if (project.test.workers)
			replace_text(&project.test.workers, invocation->worker_count);
	}
	settings_merge(&project, &invocation->given, &settings);
	add_project(&json, &project, &settings);
	if (invocation->format != FORMAT_JSON) {
		result = write_yaml(&yaml, &json, error);
		out = &yaml;
	}
	if (result < 0)
		return result;
	text_buffer_add_text(out == &json ? &json : &yaml, "\n");
	result = fd_write_all(STDOUT_FILENO, out->bytes, out->length);
	return result < 0 ? error_set(error, .number = -result, .step = "print the settings") : 0;
}
