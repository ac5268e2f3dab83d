/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/checks.h"

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/pool/probe.h"
#include "sandbox/run/servers.h"

enum {
	PROGRAM_LENGTH_MAX = 60, /* of a command, as a sentence shows it */
	LINE_LENGTH_MAX = 120,
	PORTS_SHOWN_MAX = 8,
	IDLE_PERCENT = 60,
	IDLE_TESTS_MIN = 4,
	VARIABLES_MAX = 20,	/* of a block for sbx.yaml */
	INSPECTOR_FIRST = 9229, /* node --inspect, which takes the next port where one is in use */
	INSPECTOR_LAST = 9239,
};

void checks_init(struct checks *checks, const struct spec *spec, unsigned workers, launch_say *say)
{
	*checks = (struct checks){ .spec = spec, .workers = workers, .said = { .say = say } };
}

void checks_release(struct checks *checks)
{
	listeners_release(&checks->host);
	for (size_t i = 0; i < checks->file_count; i++)
		text_free(&checks->files[i].path);
	free(checks->files);
	checks->files = NULL;
	checks->file_count = 0;
}

/* ---- the command ---- */

/* The assembly of a test project: the newest that was built in `directory`. @return the caller's, or NULL */
static char *find_assembly(const char *directory)
{
	static const char *const patterns[] = { "bin/*/*/*Tests.dll", "bin/*/*/*Test.dll", "*/bin/*/*/*Tests.dll",
						"*/bin/*/*/*Test.dll", "*/*/bin/*/*/*Tests.dll" };
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(patterns) && !found; i++) {
		owned_text pattern = path_join(directory, patterns[i]);
		glob_t matches = { 0 };

		if (glob(pattern, 0, NULL, &matches) == 0)
			found = text_duplicate(matches.gl_pathv[0]);
		globfree(&matches);
	}
	return found;
}

/* Whether `name` is there for npx: installed in the directory or one above it, or a program. */
static bool is_for_npx(const char *directory, const char *name)
{
	owned_text below = text_duplicate(directory);
	const char *path = getenv("PATH");
	owned_text directories = text_duplicate(path ? path : "");
	char *rest = directories;

	for (;;) {
		owned_text program = text_format("%s/node_modules/.bin/%s", below, name);
		char *slash = strrchr(below, '/');

		if (access(program, F_OK) == 0)
			return true;
		if (!slash || below[0] == '\0')
			break;
		*slash = '\0';
	}
	for (const char *entry = strsep(&rest, ":"); entry; entry = strsep(&rest, ":")) {
		owned_text program = path_join(entry, name);

		if (access(program, X_OK) == 0)
			return true;
	}
	return false;
}

/* npx would ask the registry, without a word, until it gives up. Its cache may have the package, so it is only said. */
static void check_npx(struct checks *checks)
{
	const struct text_list *payload = &checks->spec->payload;
	const char *directory = checks->spec->workdir ? checks->spec->workdir : checks->spec->tree;
	owned_text here = NULL;

	if (payload->count < 2 || !text_equal(path_name(payload->items[0]), "npx") || payload->items[1][0] == '-' ||
	    strchr(payload->items[1], '@') || path_canonical(directory ? directory : ".", &here) < 0 ||
	    is_for_npx(here, payload->items[1]))
		return;
	advice_say(&checks->said, ADVICE_NPX, ADVICE_WORDS(payload->items[1], here));
}

int checks_command(struct checks *checks, struct error *error)
{
	const struct text_list *payload = &checks->spec->payload;
	owned_text assembly = NULL;
	owned_text number = text_format("%u", checks->workers ? checks->workers : 4);
	const char *shown;

	check_npx(checks);
	if (checks->workers == 1 || payload->count < 2 || !text_equal(path_name(payload->items[0]), "dotnet") ||
	    !text_equal(payload->items[1], "test"))
		return 0;
	for (size_t i = 2; i < payload->count && !assembly; i++) {
		const char *word = payload->items[i];
		owned_text parent = text_ends_with(word, "proj") ? path_parent(word) : text_duplicate(word);

		if (word[0] != '-')
			assembly = text_ends_with(word, ".dll") ? text_duplicate(word) : find_assembly(parent);
	}
	if (!assembly)
		assembly = find_assembly(".");
	shown = assembly ? assembly : "bin/Debug/net10.0/YOUR.Tests.dll";
	advice_say(&checks->said, ADVICE_DOTNET_LINES,
		   ADVICE_WORDS(number, text_starts_with(shown, "./") ? shown + 2 : shown));
	return advice_refuse(ADVICE_DOTNET_TEST, NULL, error);
}

/* ---- what the runner told ---- */

static bool has_word(const struct text_list *words, const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; i < words->count; i++)
		if (strncmp(words->items[i], word, length) == 0 &&
		    (words->items[i][length] == '\0' || words->items[i][length] == '='))
			return true;
	return false;
}

static const char *find_variable(const struct text_list *environment, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < environment->count; i++)
		if (strncmp(environment->items[i], name, length) == 0 && environment->items[i][length] == '=')
			return environment->items[i] + length + 1;
	return NULL;
}

static int check_hello(struct checks *checks, const struct events *events, bool has_screen, struct error *error)
{
	static const char *const windows[] = { "--headed", "--debug" };

	if (checks->workers > 0 && events->workers_asked > checks->workers) {
		owned_text asked = text_format("%lld", (long long)events->workers_asked);
		owned_text worlds = text_format("%u", checks->workers);

		advice_say(&checks->said, ADVICE_MORE_WANTED, ADVICE_WORDS(asked, worlds));
	}
	if (has_screen || !text_equal(events->runner, "playwright"))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++)
		if (has_word(&events->arguments, windows[i]))
			return advice_refuse(ADVICE_NO_SCREEN, ADVICE_WORDS(windows[i]), error);
	if (has_word(&events->arguments, "--ui") && !has_word(&events->arguments, "--ui-port") &&
	    !has_word(&events->arguments, "--ui-host"))
		return advice_refuse(ADVICE_NO_SCREEN_FOR_UI, NULL, error);
	return 0;
}

/* The container engine that a shell command calls by name, or NULL. */
static const char *find_engine(const char *command)
{
	static const char *const engines[] = { "docker", "docker-compose", "podman", "podman-compose", "nerdctl" };

	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		size_t length = strlen(engines[i]);

		for (const char *at = strstr(command, engines[i]); at; at = strstr(at + 1, engines[i]))
			if ((at == command || strchr(" \t;&|(/", at[-1])) && strchr(" \t;&|)", at[length]))
				return engines[i];
	}
	return NULL;
}

static bool has_engine_socket(const struct spec *spec)
{
	for (size_t i = 0; i < spec->volumes.count; i++) {
		const char *source = spec->volumes.items[i].source;

		if (source && (strstr(source, "docker.sock") || strstr(source, "podman.sock")))
			return true;
	}
	return false;
}

static const struct listeners *host_listeners(struct checks *checks)
{
	/* Its own failure is no reason to end a run: then nothing is known. */
	if (!checks->host_known && checks->spec->network != NETWORK_HOST)
		(void)listeners_of_host(&checks->host, NULL);
	checks->host_known = true;
	return &checks->host;
}

/* The port of a URL on loopback; 0: it is none. */
static uint16_t port_of_url(struct json_value value)
{
	struct probe_target target = { 0 };
	owned_text url = NULL;
	uint16_t port;

	if (json_text(value, &url) < 0 || probe_target_parse(url, &target, NULL) < 0)
		return 0;
	port = target.port;
	probe_target_release(&target);
	return port;
}

static uint16_t port_of_server(struct json_value server)
{
	int64_t port = 0;

	if (json_number(json_member(server, "port"), &port) == 0 && port > 0 && port <= UINT16_MAX)
		return (uint16_t)port;
	return port_of_url(json_member(server, "url"));
}

static int check_server(struct checks *checks, struct json_value server, struct error *error)
{
	uint16_t port = port_of_server(server);
	owned_text name = NULL;
	owned_text command = NULL;
	bool reuses = false;
	const char *engine;

	(void)json_bool(json_member(server, "reuseExisting"), &reuses);
	if (reuses && port > 0 && listeners_find(host_listeners(checks), port)) {
		owned_text number = text_format("%u", port);

		advice_say(&checks->said, ADVICE_NOT_REUSED, ADVICE_WORDS(number));
	}
	if (json_text(json_member(server, "command"), &command) < 0 || has_engine_socket(checks->spec))
		return 0;
	(void)json_text(json_member(server, "name"), &name);
	engine = find_engine(command);
	return engine ? advice_refuse(ADVICE_CONTAINERS, ADVICE_WORDS(name ? name : "", engine, command), error) : 0;
}

static int check_project(struct checks *checks, struct json_value project, bool has_screen, struct error *error)
{
	owned_text name = NULL;
	bool headless = true;
	bool wants_sandbox = false;

	(void)json_text(json_member(project, "name"), &name);
	(void)json_bool(json_member(project, "headless"), &headless);
	(void)json_bool(json_member(project, "chromiumSandbox"), &wants_sandbox);
	if (!headless && !has_screen)
		return advice_refuse(ADVICE_NO_SCREEN, ADVICE_WORDS("headless: false"), error);
	if (wants_sandbox && !checks->spec->seccomp.allow_userns)
		return advice_refuse(ADVICE_BROWSER_SANDBOX, ADVICE_WORDS(name ? name : ""), error);
	return 0;
}

static int check_config(struct checks *checks, const struct events *events, bool has_screen, struct error *error)
{
	owned_json json = { 0 };
	struct json_value servers;
	struct json_value projects;
	int result = 0;

	if (json_read(&json, events->config, strlen(events->config), NULL) < 0)
		return 0;
	servers = json_member(json_root(&json), "services");
	projects = json_member(json_root(&json), "projects");
	for (struct json_value at = json_first(servers); json_type(at) != JSON_MISSING && result == 0;
	     at = json_next(at))
		result = check_server(checks, at, error);
	for (struct json_value at = json_first(projects); json_type(at) != JSON_MISSING && result == 0;
	     at = json_next(at))
		result = check_project(checks, at, has_screen, error);
	return result;
}

static void tell_unready(struct checks *checks, const struct text_list *unready)
{
	owned_buffer open = { 0 };

	for (size_t i = 2; i < unready->count; i++)
		text_buffer_format(&open, "%s%s", open.length > 0 ? ", " : "", unready->items[i]);
	advice_say(&checks->said, ADVICE_SERVER_ELSEWHERE,
		   ADVICE_WORDS(unready->items[0], unready->items[1], open.length > 0 ? open.bytes : "nothing"));
}

int checks_events(struct checks *checks, const struct events *events, const struct text_list *environment,
		  struct error *error)
{
	bool has_screen = find_variable(environment, "DISPLAY") || find_variable(environment, "WAYLAND_DISPLAY");
	int result = 0;

	if (events_is_idle(events, &checks->spec->payload)) {
		owned_text idle = text_join_words(&events->idle);

		advice_say(&checks->said, ADVICE_NO_TEST_COMMAND, ADVICE_WORDS(idle));
	}
	if (events->has_hello && !checks->hello_done) {
		checks->hello_done = true;
		result = check_hello(checks, events, has_screen, error);
	}
	if (result == 0 && events->config && !checks->config_done) {
		checks->config_done = true;
		result = check_config(checks, events, has_screen, error);
	}
	if (events->unready.count > 1 && !checks->is_ending)
		tell_unready(checks, &events->unready);
	if (result == 0 && events->complaint)
		checks_output(checks, events->complaint, "the runner's world");
	return result;
}

/* ---- who listens ---- */

static void add_own_port(struct checks *checks, uint16_t port)
{
	if (port > 0 && checks->own_port_count < ARRAY_SIZE(checks->own_ports))
		checks->own_ports[checks->own_port_count++] = port;
}

static bool is_own_port(const struct checks *checks, uint16_t port)
{
	for (size_t i = 0; i < checks->own_port_count; i++)
		if (checks->own_ports[i] == port)
			return true;
	return false;
}

static void find_own_ports(struct checks *checks, const struct service_list *services)
{
	checks->own_port_count = 0;
	for (size_t i = 0; i < services->count; i++) {
		uint16_t ports[SERVERS_PORTS_MAX];
		size_t count = servers_ports(&services->items[i].ready, ports);

		for (size_t j = 0; j < count; j++)
			add_own_port(checks, ports[j]);
	}
}

/* The ports that the tests are going to ask: those of baseURL. */
static size_t find_base_ports(const struct events *events, uint16_t *ports, size_t room)
{
	owned_json json = { 0 };
	struct json_value projects;
	size_t count = 0;

	if (!events->config || json_read(&json, events->config, strlen(events->config), NULL) < 0)
		return 0;
	projects = json_member(json_root(&json), "projects");
	for (struct json_value at = json_first(projects); json_type(at) != JSON_MISSING && count < room;
	     at = json_next(at)) {
		uint16_t port = port_of_url(json_member(at, "baseUrl"));

		if (port > 0)
			ports[count++] = port;
	}
	return count;
}

static bool is_one_of(uint16_t port, const uint16_t *ports, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ports[i] == port)
			return true;
	return false;
}

/* The command of a listener as a sentence shows it: not too long. */
static char *describe_program(const struct listener *listener)
{
	owned_buffer text = { 0 };

	for (size_t i = 0; i < listener->command.count && text.length < PROGRAM_LENGTH_MAX; i++)
		text_buffer_format(&text, "%s%s", i > 0 ? " " : "", listener->command.items[i]);
	if (text.length == 0)
		return text_duplicate("a program");
	return text_format("'%.*s%s'", PROGRAM_LENGTH_MAX, text.bytes, text.length > PROGRAM_LENGTH_MAX ? "…" : "");
}

/* Whether a variable says how that server was started, and not only that a shell, npm, or sbx started it. */
static bool is_telling(const char *entry, const struct text_list *environment)
{
	static const char *const passing[] = { "npm_",		"SBX",
					       "PWD=",		"OLDPWD=",
					       "SHLVL=",	"_=",
					       "PATH=",		"NODE=",
					       "NODE_OPTIONS=", "NODE_CHANNEL_FD=",
					       "INIT_CWD=",	"TMPDIR=",
					       "PLAYWRIGHT_",	"PW_",
					       "COLOR=",	"FORCE_COLOR=",
					       "EDITOR=",	"BROWSERSLIST_IGNORE_OLD_DATA=",
					       "PWTEST_",	"COLORTERM=",
					       "LINES=",	"COLUMNS=" };

	for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
		if (text_starts_with(entry, passing[i]))
			return false;
	for (size_t i = 0; i < environment->count; i++)
		if (text_equal(environment->items[i], entry))
			return false;
	return strchr(entry, '=') != NULL;
}

static void add_environment(struct text_buffer *block, const struct listener *listener,
			    const struct text_list *environment)
{
	size_t count = 0;

	for (size_t i = 0; environment && i < listener->environment.count && count < VARIABLES_MAX; i++) {
		if (!is_telling(listener->environment.items[i], environment))
			continue;
		if (count++ == 0)
			text_buffer_add_text(block, "    environment:\n");
		text_buffer_add_text(block, "      - ");
		/* JSON's quotes are YAML's. */
		owned_buffer quoted = { 0 };
		json_add_text(&quoted, NULL, listener->environment.items[i]);
		text_buffer_format(block, "%s\n", quoted.bytes);
	}
}

/* What to put into sbx.yaml to have a server like that in each world. */
static void add_block(struct text_buffer *block, const struct listener *listener, const char *tree,
		      const struct text_list *environment)
{
	owned_buffer command = { 0 };

	if (block->length == 0)
		text_buffer_add_text(block, "services:\n");
	json_begin_array(&command, NULL);
	for (size_t i = 0; i < listener->command.count; i++)
		json_add_text(&command, NULL, listener->command.items[i]);
	json_end_array(&command);
	text_buffer_format(block, "  server-%u:\n    command: %s\n", listener->port,
			   listener->command.count > 0 ? command.bytes : "THE COMMAND THAT STARTS IT");
	if (listener->directory && !text_equal(listener->directory, tree)) {
		owned_buffer quoted = { 0 };

		json_add_text(&quoted, NULL, listener->directory);
		text_buffer_format(block, "    working_dir: %s\n", quoted.bytes);
	}
	add_environment(block, listener, environment);
	text_buffer_format(block, "    ready:\n      port: %u\n", listener->port);
}

static void show_block(struct checks *checks, const char *block)
{
	owned_text text = text_format("what sbx.yaml needs, in %s:\n\n%s", checks->tree, block);

	checks->said.say(text);
}

static bool is_explained(const struct checks *checks, const struct events *events, const struct listener *listener,
			 const uint16_t *base, size_t base_count)
{
	owned_text ui = text_format("--ui-port=%u", listener->port);

	if (listener->service || is_own_port(checks, listener->port))
		return true;
	if (is_one_of(listener->port, base, base_count))
		return false;
	return listeners_is_ephemeral(listener->port) || has_word(&events->arguments, ui) ||
	       (listener->port >= INSPECTOR_FIRST && listener->port <= INSPECTOR_LAST);
}

/* What listens in R must listen in the worlds. */
static int check_inside(struct checks *checks, const struct events *events, const struct listeners *runner,
			const uint16_t *base, size_t base_count, const struct text_list *environment,
			struct error *error)
{
	const struct listener *first = NULL;
	owned_buffer block = { 0 };
	owned_text port = NULL;
	owned_text program = NULL;

	for (size_t i = 0; i < runner->count; i++) {
		const struct listener *listener = &runner->items[i];

		if (is_explained(checks, events, listener, base, base_count))
			continue;
		first = first ? first : listener;
		if (listener->pid != events->pid || events->pid == 0)
			add_block(&block, listener, checks->tree, environment);
	}
	if (!first)
		return 0;
	port = text_format("%u", first->port);
	if (block.length == 0)
		return advice_refuse(ADVICE_SERVER_IN_RUNNER, ADVICE_WORDS(port), error);
	show_block(checks, block.bytes);
	program = describe_program(first);
	if (events->has_config && !events->services_known) {
		owned_text name = text_format("%s %s", events->runner ? events->runner : "the runner",
					      events->version ? events->version : "");

		return advice_refuse(ADVICE_SERVER_HIDDEN, ADVICE_WORDS(port, program, name), error);
	}
	return advice_refuse(ADVICE_SERVER_UNEXPLAINED, ADVICE_WORDS(port, program), error);
}

/* What the tests ask must listen somewhere inside. */
static int check_outside(struct checks *checks, const struct listeners *runner, const uint16_t *base, size_t base_count,
			 struct error *error)
{
	for (size_t i = 0; i < base_count; i++) {
		const struct listener *outside;
		owned_buffer block = { 0 };
		owned_text port = text_format("%u", base[i]);
		owned_text program = NULL;

		if (is_own_port(checks, base[i]) || listeners_find(runner, base[i]))
			continue;
		outside = listeners_find(host_listeners(checks), base[i]);
		if (!outside)
			continue;
		add_block(&block, outside, checks->tree, NULL);
		show_block(checks, block.bytes);
		program = describe_program(outside);
		return advice_refuse(ADVICE_SERVER_OUTSIDE, ADVICE_WORDS(port, program), error);
	}
	return 0;
}

int checks_listeners(struct checks *checks, const struct events *events, const struct service_list *services,
		     const struct listeners *runner, const struct text_list *environment, struct error *error)
{
	uint16_t base[64];
	size_t base_count = find_base_ports(events, base, ARRAY_SIZE(base));
	int result;

	if (checks->spec->network == NETWORK_HOST)
		return 0;
	find_own_ports(checks, services);
	result = check_inside(checks, events, runner, base, base_count, environment, error);
	return result < 0 ? result : check_outside(checks, runner, base, base_count, error);
}

/* ---- connections that failed ---- */

static const char *name_of_port(uint16_t port)
{
	static const struct {
		uint16_t port;
		const char *name;
	} known[] = { { 1433, "mssql" }, { 3306, "mysql" },   { 5432, "postgres" },   { 5672, "rabbitmq" },
		      { 6379, "redis" }, { 9200, "elastic" }, { 11211, "memcached" }, { 27017, "mongo" } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].port == port)
			return known[i].name;
	return "server";
}

/* Whether a text names a port, as ":5432" or "port 5432". */
static bool names_port(const char *text, uint16_t port)
{
	owned_text number = text_format("%u", port);
	size_t length = strlen(number);

	for (const char *at = strstr(text, number); at; at = strstr(at + 1, number)) {
		bool is_after_colon = at > text && at[-1] == ':';
		bool is_after_word = at - text >= 5 && strncasecmp(at - 5, "port ", 5) == 0;

		if ((is_after_colon || is_after_word) && !isdigit((unsigned char)at[length]))
			return true;
	}
	return false;
}

static void check_refused(struct checks *checks, const char *text, const char *where)
{
	const struct listeners *host;

	if (!strcasestr(text, "refused"))
		return;
	host = host_listeners(checks);
	for (size_t i = 0; i < host->count; i++) {
		owned_text port = NULL;

		if (is_own_port(checks, host->items[i].port) || !names_port(text, host->items[i].port))
			continue;
		port = text_format("%u", host->items[i].port);
		advice_say(&checks->said, ADVICE_OPEN_ON_HOST,
			   ADVICE_WORDS(port, name_of_port(host->items[i].port), where));
		return;
	}
}

/* The line of a text that `at` lies in, not too long. */
static char *line_around(const char *text, const char *at)
{
	const char *begin = at;
	size_t length;

	while (begin > text && begin[-1] != '\n' && at - begin < LINE_LENGTH_MAX)
		begin--;
	length = strcspn(begin, "\r\n");
	return text_format("%.*s", (int)MIN(length, (size_t)LINE_LENGTH_MAX), begin);
}

/* The port behind the host's own name or address, as in "ECONNREFUSED 127.0.0.1:4444" or "localhost port 4444". */
static uint16_t find_own_port(const char *line)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "::1", "0.0.0.0" };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		for (const char *at = strstr(line, hosts[i]); at; at = strstr(at, hosts[i])) {
			unsigned port = 0;

			at += strlen(hosts[i]);
			at += strspn(at, "])\"'");
			if ((sscanf(at, ":%5u", &port) == 1 || sscanf(at, " port %5u", &port) == 1) &&
			    port <= UINT16_MAX)
				return (uint16_t)port;
		}
	return 0;
}

uint16_t checks_refused_port(struct checks *checks, const char *text)
{
	const char *at = strcasestr(text, "refused");
	owned_text line = NULL;
	uint16_t port;

	if (!at || checks->spec->network == NETWORK_HOST || advice_was_said(&checks->said, ADVICE_NOBODY_LISTENS))
		return 0;
	line = line_around(text, at);
	port = find_own_port(line);
	return is_own_port(checks, port) || listeners_find(host_listeners(checks), port) ? 0 : port;
}

void checks_nobody(struct checks *checks, uint16_t port, const struct listeners *world, const char *where)
{
	owned_text number = text_format("%u", port);
	owned_buffer open = { 0 };
	unsigned shown = 0;

	if (listeners_find(world, port))
		return;
	for (size_t i = 0; i < world->count && shown < PORTS_SHOWN_MAX; i++)
		if (!listeners_is_ephemeral(world->items[i].port))
			text_buffer_format(&open, "%s%u", shown++ > 0 ? ", " : "", world->items[i].port);
	advice_say(&checks->said, ADVICE_NOBODY_LISTENS,
		   ADVICE_WORDS(number, where, shown > 0 ? open.bytes : "nothing"));
}

static void check_way_out(struct checks *checks, const char *text, const char *where)
{
	/* Node's, Chromium's, glibc's, the kernel's. */
	static const char *const signs[] = { "ENOTFOUND",
					     "EAI_AGAIN",
					     "ERR_NAME_NOT_RESOLVED",
					     "ERR_INTERNET_DISCONNECTED",
					     "ERR_ADDRESS_UNREACHABLE",
					     "ENETUNREACH",
					     "EHOSTUNREACH",
					     "Name or service not known",
					     "Temporary failure in name resolution",
					     "etwork is unreachable" };

	if (checks->spec->network != NETWORK_PRIVATE && checks->spec->network != NETWORK_ONLINE)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		const char *at = strstr(text, signs[i]);
		owned_text line = NULL;

		if (!at)
			continue;
		line = line_around(text, at);
		advice_say(&checks->said, ADVICE_NO_WAY_OUT, ADVICE_WORDS(line, where));
		return;
	}
}

void checks_output(struct checks *checks, const char *text, const char *where)
{
	check_refused(checks, text, where);
	check_way_out(checks, text, where);
}

/* ---- the balance ---- */

static void count_file(struct checks *checks, const char *path)
{
	for (size_t i = 0; i < checks->file_count; i++) {
		if (!text_equal(checks->files[i].path, path))
			continue;
		checks->files[i].tests++;
		return;
	}
	checks->files = reallocarray(checks->files, checks->file_count + 1, sizeof(*checks->files));
	if (!checks->files)
		abort();
	checks->files[checks->file_count++] = (struct checks_file){ .path = text_duplicate(path), .tests = 1 };
}

void checks_test(struct checks *checks, const struct events_test *test, uint64_t now_ms)
{
	uint64_t duration_ms = test->duration_ms > 0 ? (uint64_t)test->duration_ms : 0;
	owned_text where = NULL;

	if (test->slot < 0 || test->slot >= CHECKS_SLOTS_MAX)
		return;
	if (checks->first_ms == 0)
		checks->first_ms = now_ms - MIN(now_ms, duration_ms);
	checks->last_ms = now_ms;
	checks->busy_ms[test->slot] += duration_ms;
	checks->slots = MAX(checks->slots, (unsigned)test->slot + 1);
	if (test->retry == 0)
		count_file(checks, test->file);
	where = text_format("w%u", (unsigned)test->slot);
	if (!test->ok)
		checks_output(checks, test->message, where);
}

void checks_end(struct checks *checks, const struct events *events)
{
	uint64_t span_ms = checks->last_ms - checks->first_ms;
	unsigned slots = checks->workers ? MIN(checks->workers, (unsigned)CHECKS_SLOTS_MAX) : checks->slots;
	const struct checks_file *longest = NULL;
	owned_buffer names = { 0 };
	owned_text percent = NULL;
	owned_text tests = NULL;
	owned_text all = NULL;
	uint64_t busy_ms = 0;
	unsigned idle = 0;
	unsigned total = 0;

	for (size_t i = 0; i < checks->file_count; i++) {
		total += checks->files[i].tests;
		if (!longest || checks->files[i].tests > longest->tests)
			longest = &checks->files[i];
	}
	/* The word that helps is Playwright's. */
	if (!events->has_config || slots < 2 || span_ms == 0 || !longest || longest->tests < IDLE_TESTS_MIN ||
	    2 * longest->tests < total || events->is_fully_parallel)
		return;
	for (unsigned i = 0; i < slots; i++) {
		if (checks->busy_ms[i] * 100 > span_ms * (100 - IDLE_PERCENT))
			continue;
		text_buffer_format(&names, "%sw%u", idle++ ? ", " : "", i);
		busy_ms += checks->busy_ms[i];
	}
	if (idle == 0)
		return;
	percent = text_format("%u", (unsigned)(100 - 100 * busy_ms / (span_ms * idle)));
	tests = text_format("%u", longest->tests);
	all = text_format("%u", total);
	advice_say(&checks->said, ADVICE_IDLE,
		   ADVICE_WORDS(names.bytes, percent, tests, all, path_name(longest->path)));
}
