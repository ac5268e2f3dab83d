/* SPDX-License-Identifier: Apache-2.0 */
/* sbx.yaml: the examples of tests/yaml, what becomes of them, and the line on top. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "sandbox/pool/project.h"
#include "sandbox/verbs/settings.h"

/* `sbx config` up to its output. @return as invocation_add_project() */
static int read_file(const char *path, struct invocation *invocation, struct project *project, struct error *error)
{
	/* The line is borrowed by the invocation; one test at a time. */
	static char *arguments[] = { (char *)"config", (char *)"--file", NULL, NULL };
	int result;

	arguments[2] = (char *)path;
	invocation_init(invocation);
	result = invocation_parse(invocation, arguments, error);
	if (result == 0)
		result = settings_read(invocation, project, error);
	if (result > 0)
		result = invocation_add_project(invocation, project, error);
	return result;
}

static int is_example(const struct dirent *entry)
{
	return text_ends_with(entry->d_name, ".yaml");
}

static int list_examples(const char *folder, struct dirent ***ret_entries)
{
	int count = scandir(folder, ret_entries, is_example, alphasort);

	assert_true(count > 0);
	return count;
}

static void test_project_takes_each_valid_example(void **state)
{
	struct dirent **entries = NULL;
	int count = list_examples("tests/yaml/valid", &entries);

	(void)state;
	for (int i = 0; i < count; i++) {
		owned_text path = text_format("tests/yaml/valid/%s", entries[i]->d_name);
		owned_project project = { 0 };
		owned_invocation invocation;
		struct error error = { 0 };

		if (read_file(path, &invocation, &project, &error) < 0)
			fail_msg("%s: %s: %s %s", path, error.context, error.object, error.cause);
		free(entries[i]);
	}
	free(entries);
}

/* The first line of an example says place and words: "# 3:5 did you mean 'command'". */
static void check_refusal(const char *path)
{
	owned_project project = { 0 };
	owned_invocation invocation;
	owned_text text = NULL;
	struct error error = { 0 };
	char told[4096];
	char place[64] = "";
	char *words;
	size_t size = 0;
	struct timespec begin;
	struct timespec end;

	assert_int_equal(fd_read_file(AT_FDCWD, path, 0, &text, &size), 0);
	assert_true(text_starts_with(text, "# "));
	*strchr(text, '\n') = '\0';
	words = text + 2;
	if (words[0] >= '0' && words[0] <= '9') {
		*strchr(words, ' ') = '\0';
		(void)snprintf(place, sizeof(place), ".yaml:%s", words);
		words += strlen(words) + 1;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	if (read_file(path, &invocation, &project, &error) >= 0)
		fail_msg("%s was taken", path);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	(void)error_format(&error, told, sizeof(told));
	if (!strstr(told, place) || !strstr(told, words))
		fail_msg("%s: wanted '%s %s', got: %s", path, place, words, told);
	assert_true(end.tv_sec - begin.tv_sec < 2);
}

static void test_project_refuses_each_other_example_with_its_place(void **state)
{
	static const char *const folders[] = { "tests/yaml/invalid", "tests/yaml/meaningless" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		struct dirent **entries = NULL;
		int count = list_examples(folders[i], &entries);

		for (int j = 0; j < count; j++) {
			owned_text path = text_format("%s/%s", folders[i], entries[j]->d_name);

			check_refusal(path);
			free(entries[j]);
		}
		free(entries);
	}
}

static void test_schema_has_the_keys_of_the_option_table(void **state)
{
	owned_text text = NULL;
	owned_json json = { 0 };
	struct json_value properties;
	size_t size = 0;
	struct error error;

	(void)state;
	assert_int_equal(fd_read_file(AT_FDCWD, "scripts/schema/sbx-yaml.json", 0, &text, &size), 0);
	assert_int_equal(json_read(&json, text, size, &error), 0);
	properties = json_member(json_root(&json), "properties");
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].key && !json_type(json_member(properties, option_table[i].key)))
			fail_msg("the schema lacks '%s'", option_table[i].key);
	for (struct json_value child = json_first(properties); json_type(child); child = json_next(child)) {
		static const char *const own[] = { "services", "seed", "test", "artifacts", "workers" };
		owned_text name = NULL;
		bool is_own = false;

		assert_int_equal(json_name(child, &name), 0);
		for (size_t i = 0; i < ARRAY_SIZE(own); i++)
			is_own = is_own || text_equal(own[i], name);
		if (!is_own && !settings_option(name))
			fail_msg("the schema has '%s', and no option has that key", name);
	}
}

static void test_schema_judges_the_examples_as_sbx_does(void **state)
{
	owned_buffer output = { 0 };
	FILE *script = popen("tests/yaml/check-schema 2>&1", "re");
	char line[512];

	(void)state;
	assert_non_null(script);
	while (fgets(line, sizeof(line), script))
		if (!text_starts_with(line, "ok"))
			text_buffer_add_text(&output, line);
	if (pclose(script) != 0)
		fail_msg("%s", output.bytes ? output.bytes : "no output");
}

/* What a key may not hold, and what a hand can slip into: a text, a list or a map where another of them belongs. Each
 * is refused where it stands, and none is followed. */
static void test_each_key_refuses_what_it_cannot_hold(void **state)
{
	static const struct {
		const char *text;
		const char *place; /* LINE:COLUMN */
		const char *words;
	} cases[] = {
		{ "services: x", "1:11", "a map of services" },
		{ "services: { a: x }", "1:16", "a map of keys and values" },
		{ "services: { '..': { command: x } }", "1:13", "not a name for a service" },
		{ "services: { '-a': { command: x } }", "1:13", "not a name for a service" },
		{ "services: { '': { command: x } }", "1:13", "not a name for a service" },
		{ "services: { a: { command: x, shared: true, depends_on: [b] }, b: { command: x } }", "1:57",
		  "cannot depend on one that each worker has" },
		{ "seed: x", "1:7", "a map of keys and values" },
		{ "test: [x]", "1:7", "a map of keys and values" },
		{ "test: { command: { a: b } }", "1:18", "it must be a command" },
		{ "test: { command: '' }", "1:18", "it must be a command" },
		{ "test: { command: [] }", "1:18", "it must be a command" },
		{ "test: { command: ['', a] }", "1:18", "its first word is empty" },
		{ "test: { command: [a, [b]] }", "1:22", "a word of a command must be a text" },
		{ "test: { workers: { a: b } }", "1:18", "a number of workers" },
		{ "workers: 101%", "1:10", "a number of workers" },
		{ "artifacts: { a: b }", "1:12", "a text or a list of texts" },
		{ "artifacts: ''", "1:12", "a text or a list of texts" },
		{ "artifacts: [a, [b]]", "1:16", "it must be a text" },
		{ "artifacts: [a, '']", "1:16", "it must be a text" },
		{ "net: [online]", "1:6", "a text or a number" },
		{ "net: ''", "1:6", "a text or a number" },
		{ "verify: 'true'", "1:9", "true or false" },
		{ "verify: 'false'", "1:9", "true or false" },
		{ "ulimits: { nofile: [1] }", "1:20", "{ soft: N, hard: N }" },
		{ "ulimits: { nofile: { hard: 1 } }", "1:20", "{ soft: N, hard: N }" },
		{ "ulimits: { nofile: { soft: [1], hard: 1 } }", "1:20", "{ soft: N, hard: N }" },
		{ "environment: { A: [b] }", "1:19", "or nothing for the caller's value" },
		{ "environment: { '': b }", "1:16", "it is not a name" },
		{ "environment: { 'A=B': b }", "1:16", "it is not a name" },
	};
	static const struct {
		const char *text; /* in a service */
		const char *words;
	} in_service[] = {
		{ "command: x, working_dir: [a]", "it must be a text" },
		{ "command: x, working_dir: ''", "it must be a text" },
		{ "command: x, environment: ['=a']", "a variable has no name" },
		{ "command: x, shared: [true]", "true or false" },
		{ "command: x, stop_signal: [TERM]", "there is no such signal" },
		{ "command: x, stop_grace_period: [1]", "it must be a time" },
		{ "command: x, stop_grace_period: ''", "it must be a time" },
		{ "command: x, stop_grace_period: s1", "it must be a time" },
		{ "command: x, stop_grace_period: 1m2", "it must be a time" },
		{ "command: x, ports: 80", "it must be a list of ports" },
		{ "command: x, ports: ['80:']", "it is not a port" },
		{ "command: x, restart: [always]", "it must be no, always" },
		{ "command: x, restart: 'on-failure:0'", "it must be no, always" },
		{ "command: x, depends_on: b", "a list of services, or a map" },
		{ "command: x, depends_on: [[b]]", "the name of a service" },
		{ "command: x, depends_on: { b: { condition: [service_ready] } }", "there is no such condition" },
		{ "command: x, depends_on: { b: { required: false } }", "a dependency that may be missing" },
		{ "command: x, ready: { port: [80] }", "it must be a port" },
		{ "command: x, ready: { port: 80, timeout: 0 }", "more than nothing" },
		{ "command: x, ready: { stdout: [a] }", "it must be a text" },
		{ "command: x, ready: { cmd: { a: b } }", "" },
		{ "command: x, healthcheck: { test: [CMD, [a]] }", "" },
		{ "command: x, healthcheck: { test: [NONE, a] }", "" },
		{ "command: x, healthcheck: { test: [CMD-SHELL, a, b] }", "" },
		{ "command: x, healthcheck: { test: [CMD] }", "" },
		{ "command: x, healthcheck: { test: a, retries: [1] }", "" },
	};
	static const struct project_key keys[] = {
		{ .name = "net", .takes_value = true },
		{ .name = "verify" },
		{ .name = "ulimits", .takes_value = true, .repeats = true },
		{ .name = "environment", .takes_value = true, .repeats = true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) + ARRAY_SIZE(in_service); i++) {
		const bool is_inside = i >= ARRAY_SIZE(cases);
		const size_t row = is_inside ? i - ARRAY_SIZE(cases) : i;
		owned_text text =
			is_inside ? text_format("services: { a: { %s }, b: { command: y } }\n", in_service[row].text)
				  : text_format("%s\n", cases[row].text);
		owned_text place = text_format("sbx.yaml:%s", is_inside ? "1:" : cases[row].place);
		owned_project project = { 0 };
		struct error error = { 0 };
		char told[4096];

		if (project_read_text("sbx.yaml", "/srv", text, strlen(text), keys, ARRAY_SIZE(keys), &project,
				      &error) >= 0)
			fail_msg("taken: %s", text);
		(void)error_format(&error, told, sizeof(told));
		if (!strstr(told, place) || !strstr(told, is_inside ? in_service[row].words : cases[row].words))
			fail_msg("%s%s", text, told);
	}
}

/* ---- what becomes of it ---- */

static void read_words(const char *text, struct project *project)
{
	struct error error = { 0 };

	if (project_read_text("sbx.yaml", "/srv/app", text, strlen(text), NULL, 0, project, &error) < 0)
		fail_msg("%s: %s", error.object, error.cause);
}

static void test_services_stand_behind_what_they_depend_on(void **state)
{
	owned_project project = { 0 };

	(void)state;
	read_words("services:\n"
		   "  web: { command: a, depends_on: { api: { condition: service_started }, mail: } }\n"
		   "  mail: { command: b }\n"
		   "  api: { command: c, depends_on: [db, mail] }\n"
		   "  db: { command: d }\n",
		   &project);
	assert_int_equal(project.services.count, 4);
	assert_string_equal(project.services.items[0].name, "db");
	assert_string_equal(project.services.items[1].name, "mail");
	assert_string_equal(project.services.items[2].name, "api");
	assert_string_equal(project.services.items[3].name, "web");
	assert_int_equal(project.services.items[3].depends_on.items[0].condition, PROJECT_STARTED);
	assert_int_equal(project.services.items[3].depends_on.items[1].condition, PROJECT_READY);
}

static void test_service_in_all_words(void **state)
{
	owned_project project = { 0 };
	const struct project_service *api;

	(void)state;
	read_words("services:\n"
		   "  api:\n"
		   "    command: [dotnet, run, \"\"]\n"
		   "    environment: { A: 1, B: , C: \"\" }\n"
		   "    env_file: [.env, /etc/app.env]\n"
		   "    working_dir: api\n"
		   "    ports: [80, \"127.0.0.1:8080:80\", \":443\"]\n"
		   "    ready: { stdout: '/port (?<PORT>\\d+)/im', timeout: 1m30s, interval: 0.5 }\n"
		   "    restart: on-failure:3\n"
		   "    shared: true\n"
		   "    stop_signal: int\n"
		   "    stop_grace_period: 1500ms\n",
		   &project);
	api = project_find_service(&project, "api");
	assert_non_null(api);
	assert_false(api->command.is_text);
	assert_int_equal(api->command.arguments.count, 3);
	assert_string_equal(api->command.arguments.items[2], "");
	assert_int_equal(api->environment.count, 3);
	assert_string_equal(api->environment.items[0], "A=1");
	assert_string_equal(api->environment.items[1], "B");
	assert_string_equal(api->environment.items[2], "C=");
	assert_string_equal(api->env_files.items[0], "/srv/app/.env");
	assert_string_equal(api->env_files.items[1], "/etc/app.env");
	assert_int_equal(api->ports.count, 3);
	assert_string_equal(api->ready.patterns[READINESS_STDOUT].text, "port (?<PORT>\\d+)");
	assert_string_equal(api->ready.patterns[READINESS_STDOUT].flags, "im");
	assert_int_equal(api->ready.timeout_ms, 90000);
	assert_int_equal(api->ready.interval_ms, 500);
	assert_int_equal(api->restart, PROJECT_RESTART_ON_FAILURE);
	assert_int_equal(api->restart_max, 3);
	assert_true(api->shared);
	assert_int_equal(api->stop_signal, 2);
	assert_true(api->has_stop_grace);
	assert_int_equal(api->stop_grace_ms, 1500);
}

static void test_healthcheck_is_ready_in_composes_words(void **state)
{
	owned_project project = { 0 };
	const struct readiness_options *ready;

	(void)state;
	read_words("services:\n"
		   "  a: { command: x, healthcheck: { test: [CMD-SHELL, curl -f localhost], interval: 2s, retries: 5, "
		   "start_period: 10s } }\n"
		   "  b: { command: x, healthcheck: { test: pg_isready } }\n"
		   "  c: { command: x, healthcheck: { test: [NONE] } }\n"
		   "  d: { command: x, healthcheck: { disable: true, test: y } }\n",
		   &project);
	ready = &project_find_service(&project, "a")->ready;
	assert_string_equal(ready->command.items[2], "curl -f localhost");
	assert_int_equal(ready->interval_ms, 2000);
	assert_int_equal(ready->timeout_ms, 20000);
	ready = &project_find_service(&project, "b")->ready;
	assert_string_equal(ready->command.items[0], "/bin/sh");
	assert_int_equal(ready->timeout_ms, 0);
	assert_int_equal(project_find_service(&project, "c")->ready.command.count, 0);
	assert_int_equal(project_find_service(&project, "d")->ready.command.count, 0);
}

static void test_merged_maps_give_way_to_their_own_keys(void **state)
{
	owned_project project = { 0 };
	const struct project_service *service;

	(void)state;
	read_words("x-a: &a { command: from-a, working_dir: a }\n"
		   "x-b: &b { command: from-b, restart: always }\n"
		   "services:\n"
		   "  one: { working_dir: own, <<: [*a, *b] }\n",
		   &project);
	service = project_find_service(&project, "one");
	assert_string_equal(service->command.arguments.items[2], "from-a");
	assert_string_equal(service->working_dir, "own");
	assert_int_equal(service->restart, PROJECT_RESTART_ALWAYS);
}

/* libyaml alone takes half a minute for this one. */
static void test_brackets_in_brackets_are_bounded(void **state)
{
	static const char *const openings[] = { "[", "{a: ", "? ", "- " };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(openings); i++) {
		owned_project project = { 0 };
		owned_buffer text = { 0 };
		struct error error = { 0 };

		text_buffer_add_text(&text, "x-deep:\n ");
		for (size_t j = 0; j < 200000; j++)
			text_buffer_add_text(&text, openings[i]);
		assert_int_equal(project_read_text("sbx.yaml", "/", text.bytes, text.length, NULL, 0, &project, &error),
				 -E2BIG);
		assert_non_null(strstr(error.cause, "it is nested too deeply"));
	}
}

static void test_aliases_of_a_long_text_are_bounded(void **state)
{
	owned_project project = { 0 };
	owned_buffer text = { 0 };
	struct error error = { 0 };

	(void)state;
	text_buffer_add_text(&text, "x-long: &a ");
	for (size_t i = 0; i < 100000; i++)
		text_buffer_add_text(&text, "x");
	text_buffer_add_text(&text, "\nartifacts: [");
	for (size_t i = 0; i < 100; i++)
		text_buffer_add_text(&text, "*a, ");
	text_buffer_add_text(&text, "]\n");
	assert_int_equal(project_read_text("sbx.yaml", "/", text.bytes, text.length, NULL, 0, &project, &error),
			 -E2BIG);
	assert_non_null(strstr(error.cause, "too long"));
}

static void test_substitute_replaces_both_words_only(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} texts[] = {
		{ "--port 300{worker} of {workers}", "--port 3002 of 4" },
		{ "{worker}{workers}{worker", "24{worker" },
		{ "{Worker} {} {{worker}}", "{Worker} {} {2}" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		owned_text got = project_substitute(texts[i].text, 2, 4);

		assert_string_equal(got, texts[i].want);
	}
}

/* ---- the line on top ---- */

static void test_words_that_mean_the_same_and_words_that_mean_nothing(void **state)
{
	static const struct project_key keys[] = { { .name = "verify" } };
	static const char text[] =
		"verify: false\n"
		"services:\n"
		"  a_1.b: { command: x, restart: unless-stopped, ports: [80, ':81', '82:83'] }\n"
		"  b: { command: x, restart: on-failure, healthcheck: { test: [CMD, probe, two words] } }\n"
		"  c: { command: x, restart: 'on-failure:7', ready: { stdout: '/a/x/b' } }\n";
	owned_project project = { 0 };
	struct error error = { 0 };
	const struct project_service *items;

	(void)state;
	if (project_read_text("sbx.yaml", "/srv", text, strlen(text), keys, ARRAY_SIZE(keys), &project, &error) < 0)
		fail_msg("%s: %s", error.object, error.cause);
	assert_int_equal(project.settings.count, 0);
	items = project.services.items;
	assert_int_equal(items[0].restart, PROJECT_RESTART_ALWAYS);
	assert_int_equal(items[0].ports.count, 3);
	assert_int_equal(items[1].restart, PROJECT_RESTART_ON_FAILURE);
	assert_int_equal(items[1].restart_max, 0);
	assert_int_equal(items[1].ready.command.count, 2);
	assert_string_equal(items[1].ready.command.items[1], "two words");
	assert_int_equal(items[2].restart, PROJECT_RESTART_ON_FAILURE);
	assert_int_equal(items[2].restart_max, 7);
	/* What stands behind the last '/' are no flags: the whole is the pattern. */
	assert_string_equal(items[2].ready.patterns[READINESS_STDOUT].text, "/a/x/b");
	assert_null(items[2].ready.patterns[READINESS_STDOUT].flags);
}

static void test_line_is_stronger_than_the_file(void **state)
{
	static const char text[] = "net: online\ntimeout: 5m\nenvironment: { A: file, B: file }\ndatabases: [file.db]\n"
				   "volumes: [\"out:/out:rw\"]\nverify: true\nlabels: [a=1]\n";
	char *arguments[] = { (char *)"config", (char *)"--net",   (char *)"host",   (char *)"-e", (char *)"A=line",
			      (char *)"--db",	(char *)"line.db", (char *)"--keep", NULL };
	static const struct project_key keys[] = {
		{ .name = "net", .takes_value = true },
		{ .name = "timeout", .takes_value = true },
		{ .name = "environment", .takes_value = true, .repeats = true },
		{ .name = "databases", .takes_value = true, .repeats = true },
		{ .name = "volumes", .takes_value = true, .repeats = true },
		{ .name = "labels", .takes_value = true, .repeats = true },
		{ .name = "verify" },
	};
	__attribute__((cleanup(project_settings_release))) struct project_settings merged = { 0 };
	owned_project project = { 0 };
	owned_invocation invocation;
	owned_buffer shown = { 0 };
	struct error error = { 0 };

	(void)state;
	invocation_init(&invocation);
	assert_int_equal(invocation_parse(&invocation, arguments, &error), 0);
	assert_int_equal(
		project_read_text("sbx.yaml", "/srv/app", text, strlen(text), keys, ARRAY_SIZE(keys), &project, &error),
		0);
	if (invocation_add_project(&invocation, &project, &error) < 0)
		fail_msg("%s: %s", error.context, error.cause);
	assert_int_equal(invocation.spec.network, NETWORK_HOST);
	assert_int_equal(invocation.spec.timeout_ms, 300000);
	assert_int_equal(invocation.spec.databases.count, 1);
	assert_string_equal(invocation.spec.databases.items[0], "line.db");
	assert_int_equal(invocation.spec.environment.changes.count, 3);
	assert_string_equal(invocation.spec.environment.changes.items[2].text, "A=line");
	assert_string_equal(invocation.spec.volumes.items[0].source, "/srv/app/out");
	assert_true(invocation.spec.verify_databases);
	assert_int_equal(invocation.spec.keep, KEEP_ALWAYS);
	settings_merge(&project, &invocation.given, &merged);
	for (size_t i = 0; i < merged.count; i++)
		text_buffer_format(&shown, "%s=%s;", merged.items[i].key,
				   merged.items[i].value ? merged.items[i].value : "");
	assert_string_equal(shown.bytes,
			    "volumes=/srv/app/out:/out:rw;databases=line.db;verify=;environment=A=file;"
			    "environment=B=file;environment=A=line;net=host;timeout=5m;labels=a=1;keep=always;");
}

static void test_verbs_take_from_the_file_what_they_have_an_option_for(void **state)
{
	static const char text[] = "net: online\nseccomp: strict\n";
	static const struct project_key keys[] = { { .name = "net", .takes_value = true },
						   { .name = "seccomp", .takes_value = true } };
	char *run[] = { (char *)"run", (char *)"--", (char *)"true", NULL };
	char *version[] = { (char *)"version", NULL };
	owned_project project = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(
		project_read_text("sbx.yaml", "/", text, strlen(text), keys, ARRAY_SIZE(keys), &project, &error), 0);
	for (size_t i = 0; i < 2; i++) {
		owned_invocation invocation;

		invocation_init(&invocation);
		assert_int_equal(invocation_parse(&invocation, i == 0 ? run : version, &error), 0);
		assert_int_equal(invocation_add_project(&invocation, &project, &error), 0);
		assert_int_equal(invocation.spec.network, i == 0 ? NETWORK_ONLINE : NETWORK_PRIVATE);
		assert_int_equal(invocation.spec.payload.count, i == 0 ? 1 : 0);
	}
}

static void test_file_that_is_missing_is_an_error_only_where_it_was_named(void **state)
{
	owned_project project = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(project_read("/proc/self", NULL, NULL, 0, &project, &error), 0);
	assert_null(project.file);
	assert_int_equal(project_read("/proc/self", "missing.yaml", NULL, 0, &project, &error), -ENOENT);
	assert_string_equal(error.object, "/proc/self/missing.yaml");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_project_takes_each_valid_example),
		cmocka_unit_test(test_project_refuses_each_other_example_with_its_place),
		cmocka_unit_test(test_each_key_refuses_what_it_cannot_hold),
		cmocka_unit_test(test_schema_has_the_keys_of_the_option_table),
		cmocka_unit_test(test_schema_judges_the_examples_as_sbx_does),
		cmocka_unit_test(test_services_stand_behind_what_they_depend_on),
		cmocka_unit_test(test_service_in_all_words),
		cmocka_unit_test(test_healthcheck_is_ready_in_composes_words),
		cmocka_unit_test(test_merged_maps_give_way_to_their_own_keys),
		cmocka_unit_test(test_aliases_of_a_long_text_are_bounded),
		cmocka_unit_test(test_brackets_in_brackets_are_bounded),
		cmocka_unit_test(test_substitute_replaces_both_words_only),
		cmocka_unit_test(test_words_that_mean_the_same_and_words_that_mean_nothing),
		cmocka_unit_test(test_line_is_stronger_than_the_file),
		cmocka_unit_test(test_verbs_take_from_the_file_what_they_have_an_option_for),
		cmocka_unit_test(test_file_that_is_missing_is_an_error_only_where_it_was_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
