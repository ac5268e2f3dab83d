/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/project.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "base/process.h"
#include "sandbox/pool/document.h"

/* A readiness that takes longer is a number in milliseconds, as Playwright's timeouts are. */
#define READY_MS_MAX 3600000u

struct reader {
	const char *name;
	struct project *project;
	const struct project_key *keys;
	size_t key_count;
	struct error *error;
};

static int fail_at(const struct reader *reader, unsigned line, unsigned column, const char *cause, const char *remedy)
{
	owned_text object = text_format("%s:%u:%u", reader->name, line, column);

	return error_set(reader->error, .number = EINVAL, .step = "read", .object = object, .cause = cause,
			 .remedy = remedy);
}

static int fail_value(const struct reader *reader, const struct document_node *node, const char *cause,
		      const char *remedy)
{
	owned_text whole = node->key ? text_format("%s: %s", node->key, cause) : text_duplicate(cause);

	return fail_at(reader, node->line, node->column, whole, remedy);
}

/* ---- fields: one row is a key, how its value is read, and where to ---- */

struct field {
	const char *key;
	int (*read)(struct reader *reader, const struct document_node *node, void *member);
	size_t offset;
};

/* Another tool's keys, which people will try: what they become here. */
static const struct {
	const char *key;
	const char *cause;
	const char *remedy;
} foreign[] = {
	{ "image", "there are no images: a service runs from the files of the tree", "write its command" },
	{ "build", "there are no images: a service runs from the files of the tree",
	  "write its command, or seed: { command: … }" },
	{ "container_name", "there are no containers", "the name of a service is its key" },
	{ "networks", "each worker has a network of its own, with all services in it", "leave it out" },
	{ "privileged", "no command in a worker ever has a capability",
	  "allow_userns: true is for programs that sandbox themselves" },
	{ "entrypoint", "there is no image, so no entry point", "write the whole command" },
	{ "webServer", "sbx reads it from the Playwright config itself", "for servers that are not in it: services" },
	{ "profiles", "sbx has no profiles", "keep another file, and name it: --file FILE" },
	{ "tcp", "there is no such key", "ready: { port: 5555 } waits until that port is open" },
	{ "http", "there is no such key", "ready: { url: 'http://localhost:5555/health' }" },
	{ "healthcheck_url", "there is no such key", "ready: { url: … }" },
};

static const char *nearest_of(const char *key, const struct field *fields, size_t count, const struct reader *extra)
{
	const char *nearest = NULL;
	unsigned least = 2 + (unsigned)strlen(key) / 4;

	for (size_t i = 0; i < count; i++) {
		if (text_distance(fields[i].key, key) < least) {
			least = text_distance(fields[i].key, key);
			nearest = fields[i].key;
		}
	}
	for (size_t i = 0; extra && i < extra->key_count; i++) {
		if (text_distance(extra->keys[i].name, key) < least) {
			least = text_distance(extra->keys[i].name, key);
			nearest = extra->keys[i].name;
		}
	}
	return nearest;
}

/* @extra  whose keys are allowed too: the reader at the top, else NULL */
static int fail_unknown(const struct reader *reader, const struct document_node *node, const char *where,
			const struct field *fields, size_t count, const struct reader *extra)
{
	const char *nearest = nearest_of(node->key, fields, count, extra);
	owned_text cause = text_format("there is no key '%s' in %s", node->key, where);
	owned_text remedy = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (text_equal(foreign[i].key, node->key))
			return fail_at(reader, node->key_line, node->key_column, foreign[i].cause, foreign[i].remedy);
	remedy = nearest ? text_format("did you mean '%s'?", nearest)
			 : text_duplicate("'sbx help config' lists the keys");
	return fail_at(reader, node->key_line, node->key_column, cause, remedy);
}

static const struct field *find_field(const char *key, const struct field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(fields[i].key, key))
			return &fields[i];
	return NULL;
}

static int read_fields(struct reader *reader, const struct document_node *node, const char *where,
		       const struct field *fields, size_t count, void *target)
{
	int result = 0;

	if (node->kind != DOCUMENT_MAP)
		return fail_value(reader, node, "it must be a map of keys and values", NULL);
	for (size_t i = 0; i < node->count && result == 0; i++) {
		const struct document_node *child = &node->children[i];
		const struct field *field = find_field(child->key, fields, count);

		result = field ? field->read(reader, child, (char *)target + field->offset)
			       : fail_unknown(reader, child, where, fields, count, NULL);
	}
	return result;
}

/* ---- values ---- */

static int read_text(struct reader *reader, const struct document_node *node, void *member)
{
	char **text = member;

	if (node->kind != DOCUMENT_TEXT || node->text[0] == '\0')
		return fail_value(reader, node, "it must be a text", NULL);
	text_free(text);
	*text = text_duplicate(node->text);
	return 0;
}

static int read_bool(struct reader *reader, const struct document_node *node, void *member)
{
	bool is_true = node->kind == DOCUMENT_TEXT && !node->is_quoted && text_equal(node->text, "true");

	if (!is_true && (node->kind != DOCUMENT_TEXT || node->is_quoted || !text_equal(node->text, "false")))
		return fail_value(reader, node, "it must be true or false", NULL);
	*(bool *)member = is_true;
	return 0;
}

/* A text alone is a list of one. */
static int read_list(struct reader *reader, const struct document_node *node, void *member)
{
	if (node->kind == DOCUMENT_TEXT && node->text[0] != '\0') {
		text_list_add(member, node->text);
		return 0;
	}
	if (node->kind != DOCUMENT_LIST)
		return fail_value(reader, node, "it must be a text or a list of texts", NULL);
	for (size_t i = 0; i < node->count; i++) {
		if (node->children[i].kind != DOCUMENT_TEXT || node->children[i].text[0] == '\0')
			return fail_at(reader, node->children[i].line, node->children[i].column, "it must be a text",
				       "put it in quotes");
		text_list_add(member, node->children[i].text);
	}
	return 0;
}

/* A file name, or several, below the file's directory. */
static int read_paths(struct reader *reader, const struct document_node *node, void *member)
{
	owned_list names = { 0 };
	int result = read_list(reader, node, &names);

	for (size_t i = 0; i < names.count; i++)
		text_list_take(member, path_normal(reader->project->directory, names.items[i]));
	return result;
}

/* NAME: VALUE in a map, or NAME=VALUE in a list, as compose has it. @separator  between the two */
static int read_pairs(struct reader *reader, const struct document_node *node, const char *separator,
		      struct text_list *pairs)
{
	if (node->kind != DOCUMENT_MAP)
		return read_list(reader, node, pairs);
	for (size_t i = 0; i < node->count; i++) {
		const struct document_node *child = &node->children[i];

		if (child->kind != DOCUMENT_TEXT && child->kind != DOCUMENT_NULL)
			return fail_value(reader, child, "it must be a text, or nothing for the caller's value", NULL);
		if (child->key[0] == '\0' || strstr(child->key, separator))
			return fail_at(reader, child->key_line, child->key_column, "it is not a name", NULL);
		/* An empty text in quotes is a value, nothing at all is none. */
		text_list_take(pairs, child->kind == DOCUMENT_NULL
					      ? text_duplicate(child->key)
					      : text_format("%s%s%s", child->key, separator, child->text));
	}
	return 0;
}

static int read_environment(struct reader *reader, const struct document_node *node, void *member)
{
	struct text_list *pairs = member;
	int result = read_pairs(reader, node, "=", pairs);

	for (size_t i = 0; i < pairs->count && result == 0; i++)
		if (pairs->items[i][0] == '=')
			result = fail_value(reader, node, "a variable has no name",
					    "write NAME: VALUE, or NAME=VALUE in a list");
	return result;
}

static int read_command(struct reader *reader, const struct document_node *node, void *member)
{
	struct project_command *command = member;
	int result;

	command->is_text = node->kind == DOCUMENT_TEXT;
	if (command->is_text && node->text[0] != '\0') {
		text_list_add(&command->arguments, "/bin/sh");
		text_list_add(&command->arguments, "-c");
		text_list_add(&command->arguments, node->text);
		return 0;
	}
	if (node->kind != DOCUMENT_LIST || node->count == 0)
		return fail_value(reader, node, "it must be a command: a text for the shell, or a list of words", NULL);
	/* Unlike in other lists a word may be empty. */
	for (size_t i = 0; i < node->count; i++) {
		if (node->children[i].kind != DOCUMENT_TEXT)
			return fail_at(reader, node->children[i].line, node->children[i].column,
				       "a word of a command must be a text", "put it in quotes");
		text_list_add(&command->arguments, node->children[i].text);
	}
	result = command->arguments.items[0][0] == '\0' ? fail_value(reader, node, "its first word is empty", NULL) : 0;
	return result;
}

/* Seconds, a number with a unit, or several of these as compose writes them: 1m30s. */
static int parse_time(const char *text, uint64_t *ret_ms)
{
	uint64_t sum = 0;

	if (number_parse_duration(text, ret_ms) == 0)
		return 0;
	while (*text) {
		size_t length = strspn(text, "0123456789.");
		size_t unit = strcspn(text + length, "0123456789.");
		owned_text part = text_format("%.*s", (int)(length + unit), text);
		uint64_t ms = 0;

		if (length == 0 || unit == 0 || number_parse_duration(part, &ms) < 0 || sum > UINT64_MAX / 4 ||
		    ms > UINT64_MAX / 4)
			return -EINVAL;
		sum += ms;
		text += length + unit;
	}
	*ret_ms = sum;
	return 0;
}

static int read_time(struct reader *reader, const struct document_node *node, void *member)
{
	if (node->kind != DOCUMENT_TEXT || node->text[0] == '\0' || parse_time(node->text, member) < 0)
		return fail_value(reader, node, "it must be a time: seconds, or a number with ms, s, m, h or d",
				  "as in 90s or 1m30s");
	return 0;
}

static int read_ready_time(struct reader *reader, const struct document_node *node, void *member)
{
	uint64_t *ms = member;
	int result = read_time(reader, node, member);

	if (result == 0 && *ms == 0)
		return fail_value(reader, node, "it must be more than nothing", NULL);
	if (result == 0 && *ms > READY_MS_MAX)
		return fail_value(reader, node, "it is longer than an hour; a number alone is seconds",
				  "for milliseconds, as Playwright has them, write 60000ms");
	return result;
}

static int read_workers(struct reader *reader, const struct document_node *node, void *member)
{
	uint64_t number = 0;
	owned_text digits = node->kind == DOCUMENT_TEXT ? text_duplicate(node->text) : NULL;
	bool is_percent = digits && text_ends_with(digits, "%");

	if (is_percent)
		digits[strlen(digits) - 1] = '\0';
	if (!digits || (!text_equal(digits, "auto") && number_parse(digits, 1, is_percent ? 100 : 4096, &number) < 0))
		return fail_value(reader, node, "it must be a number of workers, N% of the cores, or auto", NULL);
	return read_text(reader, node, member);
}

static int read_signal(struct reader *reader, const struct document_node *node, void *member)
{
	char upper[16] = "";
	int number;

	/* docker and kill(1) take lower case as well. What is too long is cut, and no signal then either. */
	if (node->kind == DOCUMENT_TEXT)
		text_copy(upper, sizeof(upper), node->text);
	for (char *letter = upper; *letter; letter++)
		*letter = (char)toupper((unsigned char)*letter);
	number = process_signal_parse(upper);
	if (number < 0)
		return fail_value(reader, node, "there is no such signal", "write SIGTERM, TERM or 15");
	*(int *)member = number;
	return 0;
}

/* ---- ready, healthcheck ---- */

static int read_port(struct reader *reader, const struct document_node *node, void *member)
{
	uint64_t port = 0;

	if (node->kind != DOCUMENT_TEXT || number_parse(node->text, 1, UINT16_MAX, &port) < 0)
		return fail_value(reader, node, "it must be a port, 1 to 65535", NULL);
	*(uint16_t *)member = (uint16_t)port;
	return 0;
}

/* A pattern, or /PATTERN/FLAGS as JavaScript writes it. */
static int read_pattern(struct reader *reader, const struct document_node *node, void *member)
{
	struct readiness_pattern *pattern = member;
	int result = read_text(reader, node, &pattern->text);
	char *end;

	if (result < 0 || pattern->text[0] != '/')
		return result;
	end = strrchr(pattern->text, '/');
	if (end == pattern->text || strspn(end + 1, "imsugy") != strlen(end + 1))
		return 0;
	text_free(&pattern->flags);
	pattern->flags = text_duplicate(end + 1);
	*end = '\0';
	memmove(pattern->text, pattern->text + 1, strlen(pattern->text));
	return 0;
}

static int read_probe_command(struct reader *reader, const struct document_node *node, void *member)
{
	struct project_command command = { 0 };
	int result = read_command(reader, node, &command);

	text_list_release(member);
	*(struct text_list *)member = command.arguments;
	return result;
}

static int check_ready(struct reader *reader, const struct document_node *node, const struct readiness_options *ready)
{
	static const char *const names[] = { "url", "stdout", "stderr" };
	struct error inner = { 0 };
	owned_text cause = NULL;
	const struct document_node *culprit = node;

	if (readiness_options_check(ready, &inner) == 0)
		return 0;
	/* Its object is the value: the key that holds it is where the error is. */
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct document_node *child = document_member(node, names[i]);

		if (child && child->kind == DOCUMENT_TEXT && strstr(child->text, inner.object))
			culprit = child;
	}
	cause = text_format("%s%s%s", inner.cause, inner.remedy[0] ? ", " : "", inner.remedy);
	return fail_value(reader, culprit, cause, NULL);
}

static int read_ready(struct reader *reader, const struct document_node *node, void *member)
{
	static const struct field fields[] = {
		{ "url", read_text, offsetof(struct readiness_options, url) },
		{ "port", read_port, offsetof(struct readiness_options, port) },
		{ "stdout", read_pattern, offsetof(struct readiness_options, patterns[READINESS_STDOUT]) },
		{ "stderr", read_pattern, offsetof(struct readiness_options, patterns[READINESS_STDERR]) },
		{ "cmd", read_probe_command, offsetof(struct readiness_options, command) },
		{ "timeout", read_ready_time, offsetof(struct readiness_options, timeout_ms) },
		{ "interval", read_ready_time, offsetof(struct readiness_options, interval_ms) },
	};
	struct readiness_options *ready = member;
	int result =
		node->kind != DOCUMENT_MAP
			? fail_value(reader, node, "it must be a map of keys and values",
				     "as in ready: { port: 5555 }, { url: 'http://localhost:5555/health' }, { stdout: "
				     "'listening' } or { cmd: ./is-up }")
			: read_fields(reader, node, "ready", fields, ARRAY_SIZE(fields), ready);

	if (result < 0)
		return result;
	if (!ready->url && !ready->port && !ready->patterns[READINESS_STDOUT].text &&
	    !ready->patterns[READINESS_STDERR].text && ready->command.count == 0)
		return fail_value(reader, node, "it has no condition", "write url, port, stdout, stderr or cmd");
	return check_ready(reader, node, ready);
}

struct healthcheck {
	struct text_list test;
	uint64_t interval_ms;
	uint64_t timeout_ms; /* of one try; the pool's own bound holds */
	uint64_t retries;
	uint64_t start_period_ms;
	bool disable;
};

/* CMD and CMD-SHELL, compose's first words. */
static int read_test(struct reader *reader, const struct document_node *node, void *member)
{
	bool is_list = node->kind == DOCUMENT_LIST && node->count > 0 && node->children[0].kind == DOCUMENT_TEXT;
	const char *first = is_list ? node->children[0].text : "";

	if (!is_list)
		return read_probe_command(reader, node, member);
	if (text_equal(first, "NONE") && node->count == 1)
		return 0;
	if (text_equal(first, "CMD-SHELL") && node->count == 2)
		return read_probe_command(reader, &node->children[1], member);
	if (!text_equal(first, "CMD") || node->count < 2)
		return fail_value(reader, node, "its first word must be CMD, CMD-SHELL or NONE",
				  "or write a text for the shell");
	for (size_t i = 1; i < node->count; i++) {
		if (node->children[i].kind != DOCUMENT_TEXT)
			return fail_value(reader, node, "a word of a command must be a text", "put it in quotes");
		text_list_add(member, node->children[i].text);
	}
	return 0;
}

static int read_retries(struct reader *reader, const struct document_node *node, void *member)
{
	if (node->kind != DOCUMENT_TEXT || number_parse(node->text, 1, 1000, member) < 0)
		return fail_value(reader, node, "it must be a number, 1 to 1000", NULL);
	return 0;
}

/* compose's words for `ready: { cmd: … }`. How long it may take is what compose would wait: the start period, then
 * so many intervals. */
static int read_healthcheck(struct reader *reader, const struct document_node *node, void *member)
{
	static const struct field fields[] = {
		{ "test", read_test, offsetof(struct healthcheck, test) },
		{ "interval", read_ready_time, offsetof(struct healthcheck, interval_ms) },
		{ "timeout", read_ready_time, offsetof(struct healthcheck, timeout_ms) },
		{ "retries", read_retries, offsetof(struct healthcheck, retries) },
		{ "start_period", read_time, offsetof(struct healthcheck, start_period_ms) },
		{ "disable", read_bool, offsetof(struct healthcheck, disable) },
	};
	struct healthcheck check = { 0 };
	struct readiness_options *ready = member;
	int result = read_fields(reader, node, "healthcheck", fields, ARRAY_SIZE(fields), &check);

	if (result < 0 || check.disable) {
		text_list_release(&check.test);
		return result;
	}
	text_list_release(&ready->command);
	ready->command = check.test;
	ready->interval_ms = check.interval_ms;
	if (check.retries || check.start_period_ms)
		ready->timeout_ms = check.start_period_ms + (check.retries ? check.retries : 3) *
								    (check.interval_ms ? check.interval_ms : 30000);
	return 0;
}

/* ---- services ---- */

static int read_condition(struct reader *reader, const struct document_node *node, void *member)
{
	static const struct {
		const char *word;
		enum project_condition condition;
	} words[] = {
		{ "service_ready", PROJECT_READY },
		{ "service_healthy", PROJECT_READY },
		{ "service_started", PROJECT_STARTED },
		{ "service_completed_successfully", PROJECT_COMPLETED },
	};

	for (size_t i = 0; node->kind == DOCUMENT_TEXT && i < ARRAY_SIZE(words); i++) {
		if (!text_equal(words[i].word, node->text))
			continue;
		*(enum project_condition *)member = words[i].condition;
		return 0;
	}
	return fail_value(reader, node, "there is no such condition",
			  "write service_ready, service_started or service_completed_successfully");
}

static int read_required(struct reader *reader, const struct document_node *node, void *member)
{
	bool required = true;
	int result = read_bool(reader, node, &required);

	(void)member;
	return result == 0 && !required
		       ? fail_value(reader, node, "a dependency that may be missing is none", "leave it out")
		       : result;
}

static struct project_dependency *add_dependency(struct project_dependencies *dependencies, const char *service,
						 unsigned line, unsigned column)
{
	dependencies->items = reallocarray(dependencies->items, dependencies->count + 1, sizeof(*dependencies->items));
	if (!dependencies->items)
		abort();
	dependencies->items[dependencies->count] = (struct project_dependency){
		.service = text_duplicate(service),
		.condition = PROJECT_READY, /* of a service without `ready` it holds as soon as it runs */
		.line = line,
		.column = column,
	};
	return &dependencies->items[dependencies->count++];
}

/* [a, b] or { a: { condition: … } } */
static int read_depends_on(struct reader *reader, const struct document_node *node, void *member)
{
	static const struct field fields[] = {
		{ "condition", read_condition, offsetof(struct project_dependency, condition) },
		{ "required", read_required, 0 },
	};
	int result = 0;

	if (node->kind == DOCUMENT_LIST) {
		for (size_t i = 0; i < node->count; i++) {
			const struct document_node *child = &node->children[i];

			if (child->kind != DOCUMENT_TEXT)
				return fail_at(reader, child->line, child->column, "it must be the name of a service",
					       NULL);
			(void)add_dependency(member, child->text, child->line, child->column);
		}
		return 0;
	}
	if (node->kind != DOCUMENT_MAP)
		return fail_value(reader, node, "it must be a list of services, or a map of them", NULL);
	for (size_t i = 0; i < node->count && result == 0; i++) {
		const struct document_node *child = &node->children[i];
		struct project_dependency *dependency =
			add_dependency(member, child->key, child->key_line, child->key_column);

		if (child->kind != DOCUMENT_NULL)
			result = read_fields(reader, child, "depends_on", fields, ARRAY_SIZE(fields), dependency);
	}
	return result;
}

static int read_restart(struct reader *reader, const struct document_node *node, void *member)
{
	struct project_service *service = member;
	const char *text = node->kind == DOCUMENT_TEXT ? node->text : "";
	uint64_t number = 0;

	if (text_equal(text, "no")) {
		service->restart = PROJECT_RESTART_NO;
	} else if (text_equal(text, "always") || text_equal(text, "unless-stopped")) {
		service->restart = PROJECT_RESTART_ALWAYS;
	} else if (text_equal(text, "on-failure")) {
		service->restart = PROJECT_RESTART_ON_FAILURE;
	} else if (text_starts_with(text, "on-failure:") &&
		   number_parse(text + strlen("on-failure:"), 1, 1000, &number) == 0) {
		service->restart = PROJECT_RESTART_ON_FAILURE;
		service->restart_max = (unsigned)number;
	} else {
		return fail_value(reader, node, "it must be no, always, unless-stopped, on-failure or on-failure:N",
				  NULL);
	}
	return 0;
}

static int read_stop_grace(struct reader *reader, const struct document_node *node, void *member)
{
	struct project_service *service = member;

	service->has_stop_grace = true;
	return read_time(reader, node, &service->stop_grace_ms);
}

/* [[IP:]HOST:]PORT: what has to be known of it here is that each port is one. */
static bool is_publishing(const char *text)
{
	const char *inside = strrchr(text, ':');
	const char *colon;
	owned_text outside = NULL;
	uint64_t port = 0;

	if (number_parse(inside ? inside + 1 : text, 1, UINT16_MAX, &port) < 0)
		return false;
	if (!inside)
		return true;
	outside = text_format("%.*s", (int)(inside - text), text);
	colon = strrchr(outside, ':');
	/* An empty host port, and 0, are any free one. */
	return (colon ? colon + 1 : outside)[0] == '\0' ||
	       number_parse(colon ? colon + 1 : outside, 0, UINT16_MAX, &port) == 0;
}

static int read_ports(struct reader *reader, const struct document_node *node, void *member)
{
	struct text_list *ports = member;
	int result = node->kind == DOCUMENT_LIST
			     ? read_list(reader, node, ports)
			     : fail_value(reader, node, "it must be a list of ports", "as in [4444, \"8080:80\"]");

	for (size_t i = 0; i < ports->count && result == 0; i++)
		if (!is_publishing(ports->items[i]))
			result = fail_at(reader, node->children[i].line, node->children[i].column, "it is not a port",
					 "write PORT, HOST:PORT or IP:HOST:PORT, in quotes");
	return result;
}

static int read_working_dir(struct reader *reader, const struct document_node *node, void *member)
{
	return read_text(reader, node, member);
}

static const struct field service_fields[] = {
	{ "command", read_command, offsetof(struct project_service, command) },
	{ "environment", read_environment, offsetof(struct project_service, environment) },
	{ "env_file", read_paths, offsetof(struct project_service, env_files) },
	{ "working_dir", read_working_dir, offsetof(struct project_service, working_dir) },
	{ "ports", read_ports, offsetof(struct project_service, ports) },
	{ "ready", read_ready, offsetof(struct project_service, ready) },
	{ "healthcheck", read_healthcheck, offsetof(struct project_service, ready) },
	{ "depends_on", read_depends_on, offsetof(struct project_service, depends_on) },
	{ "restart", read_restart, 0 },
	{ "shared", read_bool, offsetof(struct project_service, shared) },
	{ "stop_signal", read_signal, offsetof(struct project_service, stop_signal) },
	{ "stop_grace_period", read_stop_grace, 0 },
};

static bool is_service_name(const char *name)
{
	for (const char *byte = name; *byte; byte++)
		if (!isalnum((unsigned char)*byte) && !strchr("-_.", *byte))
			return false;
	return name[0] && name[0] != '-' && name[0] != '.' && strlen(name) <= 63;
}

static int read_service(struct reader *reader, const struct document_node *node, struct project_service *service)
{
	owned_text where = text_format("services.%s", node->key);
	int result;

	if (!is_service_name(node->key))
		return fail_at(reader, node->key_line, node->key_column, "it is not a name for a service",
			       "letters, digits, '-', '_' and '.', 63 at most");
	result = read_fields(reader, node, where, service_fields, ARRAY_SIZE(service_fields), service);
	if (result == 0 && service->command.arguments.count == 0)
		return fail_at(reader, node->key_line, node->key_column, "this service has no command",
			       "write command: …");
	if (result == 0 && document_member(node, "ready") && document_member(node, "healthcheck"))
		return fail_at(reader, node->key_line, node->key_column, "this service has both ready and healthcheck",
			       "leave one of them out");
	return result;
}

static int read_services(struct reader *reader, const struct document_node *node, void *member)
{
	struct project_services *services = member;
	int result = 0;

	if (node->kind != DOCUMENT_MAP)
		return fail_value(reader, node, "it must be a map of services",
				  "as in services: { api: { command: … } }");
	services->items = calloc(node->count ? node->count : 1, sizeof(*services->items));
	if (!services->items)
		abort();
	for (size_t i = 0; i < node->count && result == 0; i++) {
		struct project_service *service = &services->items[services->count++];

		service->name = text_duplicate(node->children[i].key);
		service->line = node->children[i].key_line;
		service->column = node->children[i].key_column;
		result = read_service(reader, &node->children[i], service);
	}
	return result;
}

const struct project_service *project_find_service(const struct project *project, const char *name)
{
	for (size_t i = 0; i < project->services.count; i++)
		if (text_equal(project->services.items[i].name, name))
			return &project->services.items[i];
	return NULL;
}

/* ---- the order of services ---- */

struct visit {
	struct reader *reader;
	struct project_services *services;
	enum { VISIT_NOT, VISIT_OPEN, VISIT_DONE } * states;
	size_t *order;
	size_t count;
};

static int fail_service(struct visit *visit, const struct project_dependency *dependency,
			const struct project_service *service)
{
	struct field names[64];
	size_t count = MIN(visit->services->count, ARRAY_SIZE(names));
	owned_text cause =
		text_format("'%s' depends on '%s', and there is no such service", service->name, dependency->service);
	owned_text remedy = NULL;
	const char *nearest;

	for (size_t i = 0; i < count; i++)
		names[i] = (struct field){ .key = visit->services->items[i].name };
	nearest = nearest_of(dependency->service, names, count, NULL);
	remedy = nearest ? text_format("did you mean '%s'?", nearest) : NULL;
	return fail_at(visit->reader, dependency->line, dependency->column, cause, remedy);
}

static int visit_service(struct visit *visit, size_t index, const char *path)
{
	struct project_service *service = &visit->services->items[index];
	owned_text here = text_format("%s%s%s", path, path[0] ? " → " : "", service->name);
	int result = 0;

	if (visit->states[index] == VISIT_DONE)
		return 0;
	if (visit->states[index] == VISIT_OPEN) {
		owned_text cause = text_format("services depend on each other in a circle: %s", here);

		return fail_at(visit->reader, service->line, service->column, cause,
			       "take one of these dependencies out");
	}
	visit->states[index] = VISIT_OPEN;
	for (size_t i = 0; i < service->depends_on.count && result == 0; i++) {
		const struct project_dependency *dependency = &service->depends_on.items[i];
		const struct project_service *other = project_find_service(visit->reader->project, dependency->service);

		if (!other)
			return fail_service(visit, dependency, service);
		if (service->shared && !other->shared)
			return fail_at(visit->reader, dependency->line, dependency->column,
				       "a shared service cannot depend on one that each worker has",
				       "share that one, too");
		result = visit_service(visit, (size_t)(other - visit->services->items), here);
	}
	visit->states[index] = VISIT_DONE;
	visit->order[visit->count++] = index;
	return result;
}

/* Puts each service behind those it depends on; the file's order where that leaves a choice. */
static int order_services(struct reader *reader)
{
	struct project_services *services = &reader->project->services;
	struct visit visit = { .reader = reader, .services = services };
	struct project_service *sorted = calloc(services->count + 1, sizeof(*sorted));
	int result = 0;

	visit.states = calloc(services->count + 1, sizeof(*visit.states));
	visit.order = calloc(services->count + 1, sizeof(*visit.order));
	if (!sorted || !visit.states || !visit.order)
		abort();
	for (size_t i = 0; i < services->count && result == 0; i++)
		result = visit_service(&visit, i, "");
	if (result == 0) {
		for (size_t i = 0; i < services->count; i++)
			sorted[i] = services->items[visit.order[i]];
		free(services->items);
		services->items = sorted;
	} else {
		free(sorted);
	}
	free(visit.states);
	free(visit.order);
	return result;
}

/* ---- the top ---- */

static int read_seed(struct reader *reader, const struct document_node *node, void *member)
{
	static const struct field fields[] = {
		{ "command", read_command, offsetof(struct project_seed, command) },
		{ "inputs", read_list, offsetof(struct project_seed, inputs) },
	};
	int result = read_fields(reader, node, "seed", fields, ARRAY_SIZE(fields), member);

	return result == 0 && reader->project->seed.command.arguments.count == 0
		       ? fail_value(reader, node, "it has no command", "write seed: { command: … }")
		       : result;
}

static int read_test_section(struct reader *reader, const struct document_node *node, void *member)
{
	static const struct field fields[] = {
		{ "command", read_command, offsetof(struct project_test, command) },
		{ "workers", read_workers, offsetof(struct project_test, workers) },
	};

	return read_fields(reader, node, "test", fields, ARRAY_SIZE(fields), member);
}

static const struct field top_fields[] = {
	{ "services", read_services, offsetof(struct project, services) },
	{ "seed", read_seed, offsetof(struct project, seed) },
	{ "test", read_test_section, offsetof(struct project, test) },
	{ "artifacts", read_list, offsetof(struct project, artifacts) },
	{ "workers", read_workers, offsetof(struct project, workers) },
};

/* compose: { nofile: { soft: 1024, hard: 4096 } } */
static int read_ulimits(struct reader *reader, const struct document_node *node, struct text_list *values)
{
	for (size_t i = 0; i < node->count; i++) {
		const struct document_node *child = &node->children[i];
		const struct document_node *soft = child->kind == DOCUMENT_MAP ? document_member(child, "soft") : child;
		const struct document_node *hard = child->kind == DOCUMENT_MAP ? document_member(child, "hard") : NULL;

		if (!soft || soft->kind != DOCUMENT_TEXT ||
		    (child->kind == DOCUMENT_MAP && (!hard || hard->kind != DOCUMENT_TEXT || child->count != 2)))
			return fail_value(reader, child, "it must be a number, or { soft: N, hard: N }", NULL);
		text_list_take(values, text_format("%s=%s%s%s", child->key, soft->text, hard ? ":" : "",
						   hard ? hard->text : ""));
	}
	return 0;
}

/* A key of the option table, as the texts that the option takes. */
static int read_setting(struct reader *reader, const struct document_node *node, const struct project_key *key)
{
	struct project_settings *settings = &reader->project->settings;
	const char *separator = text_equal(key->name, "extra_hosts") ? ":" : "=";
	owned_list values = { 0 };
	bool is_set = false;
	int result;

	if (!key->takes_value) {
		result = read_bool(reader, node, &is_set);
		if (result == 0 && is_set)
			project_settings_add(settings, key->name, NULL, node->line, node->column);
		return result;
	}
	if (!key->repeats && (node->kind != DOCUMENT_TEXT || node->text[0] == '\0'))
		return fail_value(reader, node, "it must be a text or a number", NULL);
	result = text_equal(key->name, "ulimits") && node->kind == DOCUMENT_MAP
			 ? read_ulimits(reader, node, &values)
			 : read_pairs(reader, node, separator, &values);
	for (size_t i = 0; i < values.count && result == 0; i++) {
		/* Items of a list have a place of their own. */
		const struct document_node *place = i < node->count ? &node->children[i] : node;

		project_settings_add(settings, key->name, values.items[i], place->line, place->column);
	}
	return result;
}

static int read_top(struct reader *reader, const struct document_node *root)
{
	int result = 0;

	if (root->kind == DOCUMENT_NULL)
		return 0;
	if (root->kind != DOCUMENT_MAP)
		return fail_at(reader, root->line, root->column, "it must be a map of keys and values",
			       "begin with services: or test:");
	for (size_t i = 0; i < root->count && result == 0; i++) {
		const struct document_node *child = &root->children[i];
		const struct field *field = find_field(child->key, top_fields, ARRAY_SIZE(top_fields));
		const struct project_key *key = NULL;

		for (size_t j = 0; j < reader->key_count; j++)
			if (text_equal(reader->keys[j].name, child->key))
				key = &reader->keys[j];
		/* compose's place for anchors, and for what other tools read */
		if (text_starts_with(child->key, "x-"))
			continue;
		result = field ? field->read(reader, child, (char *)reader->project + field->offset)
			 : key ? read_setting(reader, child, key)
			       : fail_unknown(reader, child, "sbx.yaml", top_fields, ARRAY_SIZE(top_fields), reader);
	}
	return result < 0 ? result : order_services(reader);
}

int project_read_text(const char *name, const char *directory, const char *text, size_t size,
		      const struct project_key *keys, size_t key_count, struct project *ret_project,
		      struct error *error)
{
	__attribute__((cleanup(document_release))) struct document_node root = { 0 };
	owned_project project = { .file = text_duplicate(name), .directory = text_duplicate(directory) };
	struct reader reader = {
		.name = name, .project = &project, .keys = keys, .key_count = key_count, .error = error
	};
	int result = document_read(name, text, size, &root, error);

	if (result == 0)
		result = read_top(&reader, &root);
	if (result < 0)
		return result;
	*ret_project = project;
	project = (struct project){ 0 };
	return 0;
}

int project_read(const char *directory, const char *file, const struct project_key *keys, size_t key_count,
		 struct project *ret_project, struct error *error)
{
	owned_text path = path_normal(directory, file ? file : PROJECT_FILE_NAME);
	owned_text folder = path_parent(path);
	owned_text text = NULL;
	size_t size = 0;
	int result = fd_read_file(AT_FDCWD, path, DOCUMENT_SIZE_MAX, &text, &size);

	if (result == -ENOENT && !file)
		return 0;
	if (result < 0)
		return error_set(error, .number = -result, .step = "read the settings", .object = path,
				 .cause = result == -EFBIG ? "it is larger than 1 MiB" : NULL);
	result = project_read_text(file ? file : PROJECT_FILE_NAME, folder, text, size, keys, key_count, ret_project,
				   error);
	return result < 0 ? result : 1;
}

/* ---- what is done with them ---- */

char *project_substitute(const char *text, unsigned worker, unsigned workers)
{
	owned_buffer result = { 0 };

	text_buffer_add_text(&result, "");
	while (*text) {
		size_t plain = strcspn(text, "{");

		text_buffer_add(&result, text, plain);
		text += plain;
		if (text_starts_with(text, "{worker}")) {
			text_buffer_format(&result, "%u", worker);
			text += strlen("{worker}");
		} else if (text_starts_with(text, "{workers}")) {
			text_buffer_format(&result, "%u", workers);
			text += strlen("{workers}");
		} else if (*text) {
			text_buffer_add(&result, text++, 1);
		}
	}
	return text_duplicate(result.bytes ? result.bytes : "");
}

void project_settings_add(struct project_settings *settings, const char *key, const char *value, unsigned line,
			  unsigned column)
{
	settings->items = reallocarray(settings->items, settings->count + 1, sizeof(*settings->items));
	if (!settings->items)
		abort();
	settings->items[settings->count++] = (struct project_setting){
		.key = text_duplicate(key),
		.value = text_duplicate(value),
		.line = line,
		.column = column,
	};
}

bool project_settings_has(const struct project_settings *settings, const char *key)
{
	for (size_t i = 0; i < settings->count; i++)
		if (text_equal(settings->items[i].key, key))
			return true;
	return false;
}

void project_settings_release(struct project_settings *settings)
{
	for (size_t i = 0; i < settings->count; i++) {
		text_free(&settings->items[i].key);
		text_free(&settings->items[i].value);
	}
	free(settings->items);
	*settings = (struct project_settings){ 0 };
}

static void service_release(struct project_service *service)
{
	text_free(&service->name);
	text_list_release(&service->command.arguments);
	text_list_release(&service->environment);
	text_list_release(&service->env_files);
	text_free(&service->working_dir);
	text_list_release(&service->ports);
	readiness_options_release(&service->ready);
	for (size_t i = 0; i < service->depends_on.count; i++)
		text_free(&service->depends_on.items[i].service);
	free(service->depends_on.items);
}

void project_release(struct project *project)
{
	text_free(&project->file);
	text_free(&project->directory);
	for (size_t i = 0; i < project->services.count; i++)
		service_release(&project->services.items[i]);
	free(project->services.items);
	text_list_release(&project->seed.command.arguments);
	text_list_release(&project->seed.inputs);
	text_list_release(&project->test.command.arguments);
	text_free(&project->test.workers);
	text_list_release(&project->artifacts);
	text_free(&project->workers);
	project_settings_release(&project->settings);
	*project = (struct project){ 0 };
}
