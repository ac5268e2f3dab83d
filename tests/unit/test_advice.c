/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a first run that fails, word for word, and the checks that say it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "sandbox/run/advice.h"
#include "sandbox/run/checks.h"
#include "sandbox/run/servers.h"
#include "sandbox/run/why.h"

/* ---- what was said ---- */

static struct text_buffer said;

static void hear(const char *line)
{
	text_buffer_format(&said, "%s\n", line);
}

static void assert_said(const char *wanted)
{
	assert_string_equal(said.bytes ? said.bytes : "", wanted);
}

/* ---- a run as far as the checks see it ---- */

struct fixture {
	struct spec spec;
	struct events events;
	struct checks checks;
	struct text_list environment;
	struct error error;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	spec_init(&fixture->spec);
	checks_init(&fixture->checks, &fixture->spec, 2, hear);
	fixture->checks.tree = "/srv/app";
	/* The host of this test is not looked at. */
	fixture->checks.host_known = true;
	text_list_add(&fixture->environment, "HOME=/home/u");
	text_buffer_release(&said);
	said = (struct text_buffer){ 0 };
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	checks_release(&fixture->checks);
	events_release(&fixture->events);
	text_list_release(&fixture->environment);
	spec_release(&fixture->spec);
	text_buffer_release(&said);
	free(fixture);
	return 0;
}

static int tell(struct fixture *fixture, const char *line)
{
	events_take(&fixture->events, line, strlen(line), NULL, NULL);
	return checks_events(&fixture->checks, &fixture->events, &fixture->environment, &fixture->error);
}

static void assert_error(const struct fixture *fixture, const char *wanted)
{
	char text[2 * sizeof(fixture->error)];

	error_format(&fixture->error, text, sizeof(text));
	assert_string_equal(text, wanted);
}

static void host_listens(struct fixture *fixture, const char *json)
{
	assert_int_equal(listeners_read(json, strlen(json), &fixture->checks.host, NULL), 0);
}

static int look(struct fixture *fixture, const char *runner_json)
{
	owned_listeners runner = { 0 };
	struct servers *servers = NULL;
	int result;

	assert_int_equal(listeners_read(runner_json, strlen(runner_json), &runner, NULL), 0);
	assert_int_equal(servers_read(&(struct servers_source){ .events = &fixture->events }, &servers, NULL), 0);
	result = checks_listeners(&fixture->checks, &fixture->events, servers_list(servers), &runner,
				  &fixture->environment, &fixture->error);
	servers_free(servers);
	return result;
}

/* ---- the table ---- */

static void test_advice_is_golden(void **state)
{
	static const struct {
		enum advice which;
		const char *text;
	} rows[] = {
		{ ADVICE_NOT_REUSED, "localhost:A of the host is in use and was *not* reused: each world has a server "
				     "of its own on that port" },
		{ ADVICE_SERVER_UNEXPLAINED,
		  "B listens on port A beside the runner, and the config does not start it: no world would have it\n"
		  "  put the services above into sbx.yaml, so that each world starts them" },
		{ ADVICE_SERVER_HIDDEN, "this version of C does not tell what its config starts; B listens on port A, "
					"and no world would have it\n"
					"  put the services above into sbx.yaml, so that each world starts them" },
		{ ADVICE_SERVER_IN_RUNNER,
		  "the runner itself listens on port A, in globalSetup or the config: a world cannot have it\n"
		  "  start that server by a command, in webServer or in sbx.yaml, or use sbx test -n 1" },
		{ ADVICE_SERVER_OUTSIDE, "nothing listens on port A where the tests run, but B does on the host: your "
					 "dev server runs outside\n"
					 "  start it through sbx.yaml, by the services above" },
		{ ADVICE_CONTAINERS, "webServer 'A' calls B ('C'), and no world reaches a container engine\n"
				     "  start the containers before, and let the worlds reach them by --reach "
				     "NAME=127.0.0.1:PORT: one for all "
				     "worlds, *not* isolated" },
		{ ADVICE_SERVER_DIED,
		  "A: B; the tests there meet a dead server until one ends, then comes a new world\n  C" },
		{ ADVICE_WORLD_DIED, "A: B; the next test gets a new world" },
		{ ADVICE_TEST_SERVER_DIED, "server died: A failed in B, where 'C' had ended" },
		{ ADVICE_SERVER_ELSEWHERE,
		  "webServer 'A' was awaited on port B, and nothing listens there where it runs; open there: C\n"
		  "  its url, or port, has to be where its command listens" },
		{ ADVICE_DEAR_SERVICE,
		  "'A' takes B s to start and C MiB, in each world anew\n"
		  "  a command that does not build is quicker (dotnet run --no-build; what was built, in place of its "
		  "builder); or 'shared: true' in sbx.yaml: one for all worlds, *not* isolated" },
		{ ADVICE_OPEN_ON_HOST,
		  "a connection to port A was refused in C, and on the host that port is open\n"
		  "  --reach B=127.0.0.1:A lets the worlds reach it: one server for all of them, *not* isolated" },
		{ ADVICE_NOBODY_LISTENS,
		  "a connection to port A was refused in B: nothing listens there, nor on the host; open in B: C\n"
		  "  let each world start that server: by webServer in the config, or by services in sbx.yaml" },
		{ ADVICE_NO_WAY_OUT, "a connection outward failed in B (A): a world has no network but its own\n"
				     "  --net outbound lets it out; or answer such requests in the tests" },
		{ ADVICE_MORE_WANTED, "A workers wanted, B worlds: a worker waits while its world has another\n"
				      "  use sbx test -n A, or leave the number to sbx" },
		{ ADVICE_IDLE, "A idle B %: one file holds C of D tests (fullyParallel: false): E\n"
			       "  fullyParallel: true, or --fully-parallel, spreads the tests of one file" },
		{ ADVICE_NO_SCREEN,
		  "A opens windows, and a world has no screen\n  add --gui to sbx test, or leave A out" },
		{ ADVICE_NO_SCREEN_FOR_UI,
		  "--ui opens a window, and a world has no screen\n"
		  "  use a browser outside: sbx test -p 8123:8123 -- … --ui-port=8123 --ui-host=127.0.0.1, then "
		  "http://localhost:8123; or add --gui to sbx test" },
		{ ADVICE_BROWSER_SANDBOX,
		  "project 'A' has chromiumSandbox: true, and a world lets nobody make user namespaces\n"
		  "  add --allow-userns to sbx test; without chromiumSandbox the world is the sandbox" },
		{ ADVICE_NPX,
		  "'A' is in no node_modules of B or above: npx asks the registry for it, which no world reaches, and "
		  "waits\n  install it before: npm ci, or npm install" },
		{ ADVICE_NO_RUNNER, "no test runner that sbx knows was started with its hook: 0 of A worlds were used\n"
				    "  NODE_OPTIONS must keep what it holds (--require=/run/sbx/hook.cjs) on the way "
				    "to the runner; for anything "
				    "with a list use 'sbx test --items', for one worker 'sbx run'" },
		{ ADVICE_NO_TEST_COMMAND,
		  "'A' runs no tests, so there is nothing to spread over worlds\n"
		  "  call it without sbx test: what it writes stays on the host, what it serves can be reached" },
		{ ADVICE_ONLY_NO_TEST_COMMAND,
		  "'B' runs no tests, and nothing else of the command is a test runner that sbx knows: 0 of A worlds "
		  "were used\n"
		  "  call it without sbx test; if something else there runs tests, in a step of its own, then 'sbx "
		  "test "
		  "--items' is for anything with a list" },
		{ ADVICE_NO_WORLD, "the tests ran beside each other in the runner's world: 0 of A worlds were used\n"
				   "  use sbx test -n 1 if that is meant" },
		{ ADVICE_NO_TEST,
		  "B ended well, and nothing of it came to a world: 0 of A worlds were used\n"
		  "  if it has no tests, or runs them where sbx sees none (in a browser), use sbx test -n 1" },
		{ ADVICE_DOTNET_TEST,
		  "'dotnet test' runs the tests of an assembly in one process, which cannot be in several worlds\n"
		  "  build first, then give each class, or each test, a world of its own by a line above" },
		{ ADVICE_DOTNET_LINES, "for xunit v3:\n\n"
				       "  sbx test -n A --items 'dotnet B -list classes/json' -- dotnet B -class {}\n\n"
				       "for others:\n\n"
				       "  sbx test -n A --items 'dotnet vstest B --ListFullyQualifiedTests "
				       "--ListTestsTargetPath:/tmp/tests >&2; "
				       "sed \"s/[.][^.]*$//\" /tmp/tests | sort -u' -- "
				       "dotnet vstest B '--TestCaseFilter:FullyQualifiedName~{}.'\n" },
	};

	(void)state;
	assert_int_equal(sizeof(rows) / sizeof(rows[0]), ADVICE_COUNT);
	for (size_t i = 0; i < ADVICE_COUNT; i++) {
		owned_text text = advice_text(rows[i].which, ADVICE_WORDS("A", "B", "C", "D", "E"));

		assert_int_equal(rows[i].which, i);
		assert_string_equal(text, rows[i].text);
	}
}

static void test_advice_fits_into_an_error(void **state)
{
	const char *const *words = ADVICE_WORDS("bin/Debug/net10.0/Shop.Tests.dll", "bin/Debug/net10.0/Shop.Tests.dll",
						"bin/Debug/net10.0/Shop.Tests.dll", "100", "all.spec.ts");

	(void)state;
	/* The lines for dotnet are only said. */
	for (size_t i = 0; i < ADVICE_DOTNET_LINES; i++) {
		owned_text text = advice_text((enum advice)i, words);
		struct error error = { 0 };
		char shown[2 * sizeof(error)];

		assert_true(advice_refuse((enum advice)i, words, &error) < 0);
		error_format(&error, shown, sizeof(shown));
		assert_non_null(strstr(shown, text));
	}
}

static void test_advice_shows_what_could_command_a_terminal(void **state)
{
	owned_text text = advice_text(ADVICE_WORLD_DIED, ADVICE_WORDS("w1\x1b[2J", "two\nlines\x07"));

	(void)state;
	assert_string_equal(text, "w1\\x1b[2J: two\nlines\\x07; the next test gets a new world");
}

static void test_advice_is_said_once(void **state)
{
	struct advice_said once = { .say = hear };

	(void)state;
	advice_say(&once, ADVICE_NOT_REUSED, ADVICE_WORDS("4444"));
	advice_say(&once, ADVICE_NOT_REUSED, ADVICE_WORDS("5555"));
	assert_said("localhost:4444 of the host is in use and was *not* reused: each world has a server of its own on "
		    "that port\n");
}

/* ---- the checks ---- */

#define SHOP                                                                                                           \
	"{\"type\":\"config\",\"servicesKnown\":true,\"services\":[{\"name\":\"shop\",\"command\":\"npm "              \
	"start\",\"cwd\":\"/srv/app\",\"url\":\"http://"                                                               \
	"localhost:4444\",\"reuseExisting\":true}],\"projects\":[{\"name\":\"p\",\"baseUrl\":\"http://localhost:4444/" \
	"shop\"}]}"
#define NO_SERVER                                                                                                      \
	"{\"type\":\"config\",\"servicesKnown\":true,\"services\":[],\"projects\":[{\"name\":\"p\",\"baseUrl\":"       \
	"\"http://localhost:4444\"}]}"

static void test_checks_tell_of_a_port_in_use_only_where_it_would_have_been_reused(void **state)
{
	struct fixture *fixture = *state;

	host_listens(fixture, "[{\"port\":4444}]");
	assert_int_equal(tell(fixture, SHOP), 0);
	assert_non_null(strstr(said.bytes, "localhost:4444 of the host"));
	text_buffer_release(&said);
	said = (struct text_buffer){ 0 };
	fixture->checks.config_done = false;
	fixture->checks.said.bits = 0;
	assert_int_equal(
		tell(fixture,
		     "{\"type\":\"config\",\"services\":[{\"command\":\"x\",\"port\":4444,\"reuseExisting\":false}]}"),
		0);
	assert_said("");
}

static void test_checks_refuse_a_server_that_nothing_explains(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(tell(fixture, NO_SERVER), 0);
	assert_true(look(fixture,
			 "[{\"port\":4444,\"pid\":9,\"command\":[\"node\",\"server.js\"],\"cwd\":\"/srv/app/web\","
			 "\"environment\":[\"HOME=/home/u\",\"PORT=4444\",\"npm_config_x=1\"]}]") < 0);
	assert_said("what sbx.yaml needs, in /srv/app:\n\n"
		    "services:\n"
		    "  server-4444:\n"
		    "    command: [\"node\",\"server.js\"]\n"
		    "    working_dir: \"/srv/app/web\"\n"
		    "    environment:\n"
		    "      - \"PORT=4444\"\n"
		    "    ready:\n"
		    "      port: 4444\n\n");
	assert_error(
		fixture,
		"cannot spread the tests over worlds: 'node server.js' listens on port 4444 beside the runner, and "
		"the config does not start it: no world would have it\n"
		"  put the services above into sbx.yaml, so that each world starts them");
}

static void test_checks_explain_what_the_config_starts(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(tell(fixture, "{\"type\":\"hello\",\"runner\":\"playwright\",\"pid\":7,\"argv\":[\"node\","
				       "\"cli.js\",\"test\",\"--ui-port=8123\"]}"),
			 0);
	assert_int_equal(tell(fixture, SHOP), 0);
	/* By its port; by its mark; UI, inspector, and what the kernel gave out. */
	assert_int_equal(look(fixture,
			      "[{\"port\":4444},{\"port\":5555,\"pid\":8,\"environment\":[\"SBX_SERVICE=shop\"]},"
			      "{\"port\":8123},{\"port\":9229},{\"port\":40001}]"),
			 0);
	assert_true(look(fixture, "[{\"port\":4444},{\"port\":5556}]") < 0);
}

static void test_checks_tell_a_server_of_the_runner_itself(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(tell(fixture, "{\"type\":\"hello\",\"runner\":\"playwright\",\"pid\":7}"), 0);
	assert_true(look(fixture, "[{\"port\":4444,\"pid\":7,\"command\":[\"node\"]}]") < 0);
	assert_error(
		fixture,
		"cannot spread the tests over worlds: the runner itself listens on port 4444, in globalSetup or the "
		"config: a world cannot have it\n"
		"  start that server by a command, in webServer or in sbx.yaml, or use sbx test -n 1");
}

static void test_checks_name_a_runner_that_hides_its_servers(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(
		tell(fixture, "{\"type\":\"hello\",\"runner\":\"playwright\",\"runnerVersion\":\"1.30.0\",\"pid\":7}"),
		0);
	assert_int_equal(tell(fixture, "{\"type\":\"config\",\"servicesKnown\":false,\"services\":[]}"), 0);
	assert_int_equal(look(fixture, "[]"), 0);
	assert_true(look(fixture, "[{\"port\":4444,\"pid\":9,\"command\":[\"node\"]}]") < 0);
	assert_non_null(strstr(fixture->error.cause, "this version of playwright 1.30.0 does not tell"));
}

static void test_checks_find_a_server_outside(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(tell(fixture, NO_SERVER), 0);
	assert_int_equal(look(fixture, "[]"), 0);
	host_listens(fixture, "[{\"port\":4444,\"pid\":9,\"command\":[\"npm\",\"start\"],\"cwd\":\"/srv/app\"}]");
	assert_true(look(fixture, "[]") < 0);
	assert_error(fixture,
		     "cannot spread the tests over worlds: nothing listens on port 4444 where the tests run, but 'npm "
		     "start' does on the host: your dev server runs outside\n"
		     "  start it through sbx.yaml, by the services above");
}

static void test_checks_find_container_engines_as_words(void **state)
{
	static const char *const commands[] = { "docker compose up", "npm run build && podman run x",
						"/usr/bin/docker-compose up" };
	static const char *const others[] = { "npm run docker:up", "node dockerless.js", "./my-docker x" };

	for (size_t i = 0; i < 6; i++) {
		struct fixture *fixture = *state;
		owned_text line =
			text_format("{\"type\":\"config\",\"services\":[{\"name\":\"db\",\"command\":\"%s\"}]}",
				    i < 3 ? commands[i] : others[i - 3]);

		fixture->checks.config_done = false;
		assert_int_equal(tell(fixture, line) < 0, i < 3);
	}
}

static void test_checks_ask_for_a_screen(void **state)
{
	struct fixture *fixture = *state;
	static const char hello[] =
		"{\"type\":\"hello\",\"runner\":\"playwright\",\"argv\":[\"node\",\"cli.js\",\"test\",\"--headed\"]}";

	assert_true(tell(fixture, hello) < 0);
	assert_error(fixture, "cannot spread the tests over worlds: --headed opens windows, and a world has no screen\n"
			      "  add --gui to sbx test, or leave --headed out");
	fixture->checks.hello_done = false;
	text_list_add(&fixture->environment, "DISPLAY=:0");
	assert_int_equal(tell(fixture, hello), 0);
	assert_int_equal(tell(fixture, "{\"type\":\"config\",\"projects\":[{\"name\":\"p\",\"headless\":false}]}"), 0);
}

static void test_checks_ask_for_user_namespaces(void **state)
{
	struct fixture *fixture = *state;
	static const char config[] = "{\"type\":\"config\",\"projects\":[{\"name\":\"p\",\"chromiumSandbox\":true}]}";

	assert_true(tell(fixture, config) < 0);
	assert_non_null(strstr(fixture->error.remedy, "--allow-userns"));
	fixture->checks.config_done = false;
	fixture->spec.seccomp.allow_userns = true;
	assert_int_equal(tell(fixture, config), 0);
}

static void test_checks_count_workers(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(tell(fixture, "{\"type\":\"hello\",\"runner\":\"playwright\",\"workersAsked\":\"6\"}"), 0);
	assert_said("6 workers wanted, 2 worlds: a worker waits while its world has another\n"
		    "  use sbx test -n 6, or leave the number to sbx\n");
}

static void test_checks_explain_failed_connections(void **state)
{
	struct fixture *fixture = *state;

	host_listens(fixture, "[{\"port\":432},{\"port\":5432}]");
	checks_output(&fixture->checks, "Error: connect ECONNREFUSED 127.0.0.1:54321", "w1");
	checks_output(&fixture->checks, "ports 5432 and others", "w1");
	assert_said("");
	checks_output(
		&fixture->checks,
		"psql: error: connection to server at \"localhost\" (127.0.0.1), port 5432 failed: Connection refused",
		"w1");
	checks_output(&fixture->checks, "first\nError: getaddrinfo ENOTFOUND fonts.example\nlast", "w2");
	assert_said("a connection to port 5432 was refused in w1, and on the host that port is open\n"
		    "  --reach postgres=127.0.0.1:5432 lets the worlds reach it: one server for all of them, *not* "
		    "isolated\n"
		    "a connection outward failed in w2 (Error: getaddrinfo ENOTFOUND fonts.example): a world has no "
		    "network but its own\n"
		    "  --net outbound lets it out; or answer such requests in the tests\n");
}

static void end_tests(struct fixture *fixture, const char *file, int64_t slot, unsigned count, uint64_t *now_ms)
{
	for (unsigned i = 0; i < count; i++) {
		struct events_test test = {
			.title = "t", .file = file, .slot = slot, .duration_ms = 100, .message = "", .ok = true
		};

		checks_test(&fixture->checks, &test, *now_ms += 100);
	}
}

static void test_checks_find_the_one_big_file(void **state)
{
	struct fixture *fixture = *state;
	uint64_t now_ms = 1000;

	end_tests(fixture, "/srv/app/tests/small.spec.ts", 1, 1, &now_ms);
	end_tests(fixture, "/srv/app/tests/big.spec.ts", 0, 9, &now_ms);
	checks_end(&fixture->checks, &fixture->events);
	assert_said(""); /* of a runner that knows no such word */
	fixture->events.has_config = true;
	checks_end(&fixture->checks, &fixture->events);
	assert_said("w1 idle 90 %: one file holds 9 of 10 tests (fullyParallel: false): big.spec.ts\n"
		    "  fullyParallel: true, or --fully-parallel, spreads the tests of one file\n");
}

static void test_checks_say_nothing_of_a_balanced_run(void **state)
{
	struct fixture *fixture = *state;
	uint64_t first_ms = 1000;
	uint64_t second_ms = 1000;

	end_tests(fixture, "/a.spec.ts", 0, 6, &first_ms);
	end_tests(fixture, "/b.spec.ts", 1, 6, &second_ms);
	checks_end(&fixture->checks, &fixture->events);
	assert_said("");
}

static void test_checks_find_the_port_of_a_refused_connection(void **state)
{
	static const struct {
		const char *text;
		uint16_t port;
	} cases[] = {
		{ "apiRequestContext.get: connect ECONNREFUSED 127.0.0.1:4444", 4444 },
		{ "connect ECONNREFUSED ::1:4444", 4444 },
		{ "page.goto: net::ERR_CONNECTION_REFUSED at http://localhost:4444/orders", 4444 },
		{ "Failed to connect to localhost port 4444 after 0 ms: Connection refused", 4444 },
		{ "at \"localhost\" (127.0.0.1), port 4444: here\nconnect ECONNREFUSED [::1]:4445", 4445 },
		{ "connect ECONNREFUSED 10.0.0.7:4444", 0 },
		{ "refused by the owner of localhost", 0 },
		{ "connect ECONNREFUSED 127.0.0.1:99999", 0 },
		/* Open on the host, which has its own sentence. */
		{ "connect ECONNREFUSED 127.0.0.1:5432", 0 },
		{ "http://localhost:4444/ answers 404", 0 },
	};
	static const char open[] = "[{\"port\":5555},{\"port\":8080}]";
	struct fixture *fixture = *state;
	owned_listeners world = { 0 };

	host_listens(fixture, "[{\"port\":5432}]");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(checks_refused_port(&fixture->checks, cases[i].text), cases[i].port);
	assert_int_equal(listeners_read(open, strlen(open), &world, NULL), 0);
	checks_nobody(&fixture->checks, 5555, &world, "w1");
	assert_said("");
	checks_nobody(&fixture->checks, 4444, &world, "w1");
	assert_said("a connection to port 4444 was refused in w1: nothing listens there, nor on the host; open in w1: "
		    "5555, 8080\n"
		    "  let each world start that server: by webServer in the config, or by services in sbx.yaml\n");
	assert_int_equal(checks_refused_port(&fixture->checks, cases[0].text), 0);
}

static void test_checks_name_where_a_server_that_is_awaited_listens(void **state)
{
	static const char line[] =
		"{\"type\":\"unready\",\"service\":\"shop\",\"port\":\"4444\",\"open\":[\"4445\",\"5555\"]}";
	struct fixture *fixture = *state;

	/* Who ends the run early is owed no explanation. */
	fixture->checks.is_ending = true;
	assert_int_equal(tell(fixture, line), 0);
	assert_said("");
	fixture->checks.is_ending = false;
	assert_int_equal(tell(fixture, line), 0);
	assert_said("webServer 'shop' was awaited on port 4444, and nothing listens there where it runs; open there: "
		    "4445, 5555\n"
		    "  its url, or port, has to be where its command listens\n");
}

static void test_checks_refuse_dotnet_test_with_the_lines_that_work(void **state)
{
	struct fixture *fixture = *state;

	text_list_add(&fixture->spec.payload, "/usr/bin/dotnet");
	text_list_add(&fixture->spec.payload, "test");
	text_list_add(&fixture->spec.payload, "out/Shop.Tests.dll");
	assert_true(checks_command(&fixture->checks, &fixture->error) < 0);
	assert_non_null(strstr(
		said.bytes,
		"--items 'dotnet out/Shop.Tests.dll -list classes/json' -- dotnet out/Shop.Tests.dll -class {}"));
	fixture->checks.workers = 1;
	assert_int_equal(checks_command(&fixture->checks, &fixture->error), 0);
}

static void test_servers_wait_for_each_port_that_the_runner_has(void **state)
{
	struct fixture *fixture = *state;
	owned_listeners runner = { 0 };
	struct servers *servers = NULL;
	static const char json[] = "[{\"port\":4444,\"environment\":[\"SBX_SERVICE=shop\"]},{\"port\":5555,"
				   "\"environment\":[\"SBX_SERVICE=shop\"]},"
				   "{\"port\":5556,\"environment\":[\"SBX_SERVICE=other\"]},{\"port\":40001,"
				   "\"environment\":[\"SBX_SERVICE=shop\"]},{\"port\":5557}]";

	assert_int_equal(tell(fixture, SHOP), 0);
	assert_int_equal(listeners_read(json, strlen(json), &runner, NULL), 0);
	assert_int_equal(servers_read(&(struct servers_source){ .events = &fixture->events }, &servers, NULL), 0);
	servers_expect(servers, &runner);
	servers_expect(servers, &runner);
	assert_int_equal(servers_list(servers)->items[0].ready.further_port_count, 1);
	assert_int_equal(servers_list(servers)->items[0].ready.further_ports[0], 5555);
	assert_true(servers_answer(servers, "shop", &runner));
	assert_false(servers_answer(servers, "nobody", &runner));
	servers_free(servers);
}

static void test_why_understands_titles_as_reports_show_them(void **state)
{
	owned_text plain = why_plain_title("  [chromium] › e2e/a:b.spec.ts:12:3 › Orders › ships: 10:30");
	owned_text place = why_plain_title("e2e/a.spec.ts:12 › ships");
	owned_text title = why_plain_title("ships at 10:30 › really");
	owned_text pattern = why_pattern("/srv/app/e2e/a.spec.ts", "Orders › ships (2)");

	(void)state;
	assert_string_equal(plain, "Orders › ships: 10:30");
	assert_string_equal(place, "ships");
	assert_string_equal(title, "ships at 10:30 › really");
	assert_string_equal(pattern, "(?:^|[ /])a\\.spec\\.ts(?: @\\S+)* Orders(?: @\\S+)* ships \\(2\\)(?: @\\S+)*$");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_advice_is_golden),
		cmocka_unit_test(test_advice_fits_into_an_error),
		cmocka_unit_test(test_advice_shows_what_could_command_a_terminal),
		cmocka_unit_test_setup_teardown(test_advice_is_said_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_tell_of_a_port_in_use_only_where_it_would_have_been_reused,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_find_the_port_of_a_refused_connection, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_name_where_a_server_that_is_awaited_listens, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_checks_refuse_a_server_that_nothing_explains, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_explain_what_the_config_starts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_tell_a_server_of_the_runner_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_name_a_runner_that_hides_its_servers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_find_a_server_outside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_find_container_engines_as_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_ask_for_a_screen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_ask_for_user_namespaces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_count_workers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_explain_failed_connections, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_find_the_one_big_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_say_nothing_of_a_balanced_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checks_refuse_dotnet_test_with_the_lines_that_work, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_servers_wait_for_each_port_that_the_runner_has, set_up, tear_down),
		cmocka_unit_test(test_why_understands_titles_as_reports_show_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
