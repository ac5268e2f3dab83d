/* SPDX-License-Identifier: Apache-2.0 */
/* A world in words and back: every member of struct spec, and what a damaged or hostile description does. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/macro.h"
#include "sandbox/worker/describe.h"

#if defined(__x86_64__)
/* Whoever adds a member to struct spec: write it, read it and compare it here, then change this. The seed is open only
 * in who starts the worker, and not written. */
_Static_assert(sizeof(struct spec) - sizeof(struct limits) == 352, "a member of struct spec that no test knows");
#endif

/* Nothing in it is a default. */
static void fill_spec(struct spec *spec)
{
	spec_init(spec);
	spec->name = strdup("red");
	spec->tree = strdup("/home/u/app \xff\n");
	spec->workdir = strdup("/home/u/app/api");
	spec->scratch = strdup("/mnt/fast");
	spec->force_disk = true;
	spec->hostname = strdup("box");
	spec->home = HOME_EMPTY;
	spec->network = NETWORK_ONLINE;
	spec->keep = KEEP_FAILED;
	spec->as_root = true;
	spec->verbose = true;
	spec->status_fd = 7;
	text_list_add(&spec->databases, "/home/u/app/TestDb.db");
	text_list_add(&spec->databases, "/srv/other.db");
	spec->verify_databases = true;
	spec->fix_ef_lock = true;
	for (int i = 0; i < 5; i++)
		spec_add_volume(spec, &(struct volume){ .kind = (enum volume_kind)i,
							.source = i == VOLUME_TMPFS ? NULL : (char[]){ "/src:\\x" },
							.target = (char[]){ "dst" },
							.size_bytes = i == VOLUME_TMPFS ? 4096 : 0 });
	spec->scratch_bytes_max = UINT64_MAX;
	spec->scratch_inodes_max = 12345;
	spec->scratch_limit_try = true;
	spec->shm_bytes = (uint64_t)INT64_MAX + 1;
	spec->gui = true;
	text_list_add(&spec->ways.publish, "0:5555");
	text_list_add(&spec->ways.reach, "db=127.0.0.1:5432");
	text_list_add(&spec->ways.dns, "192.0.2.53");
	text_list_add(&spec->add_hosts, "db:10.0.0.1");
	text_list_add(&spec->labels, "team=a b");
	spec_add_pass_fd(spec, 5);
	spec->timeout_ms = 90500;
	spec->stop_signal = SIGINT;
	spec->stop_timeout_ms = 0;
	spec->environment.clear = true;
	spec->environment.filter = ENVIRONMENT_FILTER_STRICT;
	assert_int_equal(environment_options_set(&spec->environment, "A=1=\xfe\t", NULL), 0);
	assert_int_equal(environment_options_set(&spec->environment, "B", NULL), 0);
	assert_int_equal(environment_options_unset(&spec->environment, "C", NULL), 0);
	assert_int_equal(environment_options_read_text(&spec->environment, "file", "D=4\nE\nF=\n", 9, NULL), 0);
	assert_int_equal(limits_parse_ulimit(&spec->limits, "nofile=1024:4096,try", NULL), 0);
	assert_int_equal(limits_parse_ulimit(&spec->limits, "core=-1", NULL), 0);
	assert_int_equal(limits_parse_processes(&spec->limits, "77", NULL), 0);
	assert_int_equal(limits_parse_processors(&spec->limits, "0-2,8191,try", NULL), 0);
	spec->seccomp = (struct seccomp_options){ .profile = SECCOMP_STRICT, .allow_userns = true, .log = true };
	text_list_add(&spec->payload, "dotnet");
	text_list_add(&spec->payload, "");
	text_list_add(&spec->payload, "\x1b[31m");
}

static void describe(const struct spec *spec, struct text_buffer *out)
{
	struct world_database databases[] = {
		{ .path = (char[]){ "/a.db" },
		  .detail = (char[]){ "4096 bytes" },
		  .is_noted = true,
		  .bytes = 4096,
		  .modified_ns = -5,
		  .mode = 0100640 },
		{ .path = (char[]){ "/b.db" } },
	};
	struct worker_plan plan = { .spec = spec, .upper_fd = -1, .tree = spec->tree, .workdir = spec->workdir };
	struct world world = { .plan = &plan,
			       .databases = databases,
			       .database_count = ARRAY_SIZE(databases),
			       .notes = { { "disk upper", "tmpfs takes no attributes" } },
			       .note_count = 1 };

	plan.databases = spec->databases;
	plan.limits = spec->limits;
	describe_world(&world, out);
}

static int read_back(const struct text_buffer *text, struct spec *ret_spec, struct error *error)
{
	owned_json json = { 0 };

	if (json_read(&json, text->bytes, text->length, NULL) < 0)
		fail_msg("no JSON: %s", text->bytes);
	spec_init(ret_spec);
	return describe_read_spec(json_root(&json), ret_spec, error);
}

static int read_text(const char *text, struct spec *ret_spec, struct error *error)
{
	struct text_buffer buffer = { .bytes = (char *)text, .length = strlen(text) };

	return read_back(&buffer, ret_spec, error);
}

static void assert_same_text(const char *a, const char *b)
{
	assert_int_equal(!a, !b);
	if (a)
		assert_string_equal(a, b);
}

static void assert_same_list(const struct text_list *a, const struct text_list *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++)
		assert_string_equal(a->items[i], b->items[i]);
}

static void assert_same_changes(const struct environment_changes *a, const struct environment_changes *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		assert_int_equal(a->items[i].kind, b->items[i].kind);
		assert_string_equal(a->items[i].text, b->items[i].text);
	}
}

static void assert_same_spec(const struct spec *a, const struct spec *b)
{
	assert_same_text(a->name, b->name);
	assert_same_text(a->tree, b->tree);
	assert_same_text(a->workdir, b->workdir);
	assert_same_text(a->scratch, b->scratch);
	assert_int_equal(a->force_disk, b->force_disk);
	assert_same_text(a->hostname, b->hostname);
	assert_int_equal(a->home, b->home);
	assert_int_equal(a->network, b->network);
	assert_int_equal(a->keep, b->keep);
	assert_int_equal(a->as_root, b->as_root);
	assert_same_list(&a->databases, &b->databases);
	assert_int_equal(a->no_databases, b->no_databases);
	assert_int_equal(a->verify_databases, b->verify_databases);
	assert_int_equal(a->fix_ef_lock, b->fix_ef_lock);
	assert_int_equal(a->volumes.count, b->volumes.count);
	for (size_t i = 0; i < a->volumes.count; i++) {
		assert_int_equal(a->volumes.items[i].kind, b->volumes.items[i].kind);
		assert_same_text(a->volumes.items[i].source, b->volumes.items[i].source);
		assert_same_text(a->volumes.items[i].target, b->volumes.items[i].target);
		assert_int_equal(a->volumes.items[i].size_bytes, b->volumes.items[i].size_bytes);
	}
	assert_true(a->scratch_bytes_max == b->scratch_bytes_max);
	assert_int_equal(a->scratch_inodes_max, b->scratch_inodes_max);
	assert_int_equal(a->scratch_limit_try, b->scratch_limit_try);
	assert_true(a->shm_bytes == b->shm_bytes);
	assert_int_equal(a->gui, b->gui);
	assert_same_list(&a->ways.publish, &b->ways.publish);
	assert_same_list(&a->ways.reach, &b->ways.reach);
	assert_same_list(&a->ways.dns, &b->ways.dns);
	assert_same_list(&a->add_hosts, &b->add_hosts);
	assert_same_list(&a->labels, &b->labels);
	assert_int_equal(a->timeout_ms, b->timeout_ms);
	assert_int_equal(a->stop_signal, b->stop_signal);
	assert_int_equal(a->stop_timeout_ms, b->stop_timeout_ms);
	assert_int_equal(a->environment.clear, b->environment.clear);
	assert_int_equal(a->environment.filter, b->environment.filter);
	assert_same_changes(&a->environment.changes, &b->environment.changes);
	assert_same_changes(&a->environment.from_files, &b->environment.from_files);
	for (size_t i = 0; i < ARRAY_SIZE(a->limits.items); i++) {
		assert_int_equal(a->limits.items[i].source, b->limits.items[i].source);
		assert_true(a->limits.items[i].soft == b->limits.items[i].soft);
		assert_true(a->limits.items[i].hard == b->limits.items[i].hard);
	}
	assert_int_equal(a->limits.has_processors, b->limits.has_processors);
	assert_int_equal(a->limits.try_processors, b->limits.try_processors);
	assert_memory_equal(a->limits.processors, b->limits.processors, sizeof(a->limits.processors));
	assert_int_equal(a->seccomp.profile, b->seccomp.profile);
	assert_int_equal(a->seccomp.allow_userns, b->seccomp.allow_userns);
	assert_int_equal(a->seccomp.log, b->seccomp.log);
	assert_same_list(&a->payload, &b->payload);
}

static void test_a_full_spec_comes_back(void **state)
{
	owned_buffer text = { 0 };
	struct error error = { 0 };
	struct spec spec;
	struct spec read;

	(void)state;
	fill_spec(&spec);
	describe(&spec, &text);
	if (read_back(&text, &read, &error) < 0)
		fail_msg("%s: %s\n%s", error.object, error.cause, text.bytes);
	assert_same_spec(&spec, &read);
	/* These belong to the command that started the worker. */
	assert_int_equal(read.pass_fd_count, 0);
	assert_int_equal(read.status_fd, -1);
	assert_false(read.verbose);
	spec_release(&spec);
	spec_release(&read);
}

static void test_a_default_spec_comes_back(void **state)
{
	owned_buffer text = { 0 };
	struct error error = { 0 };
	struct spec spec;
	struct spec read;

	(void)state;
	spec_init(&spec);
	spec.no_databases = true; /* none were found: none are to be looked for */
	describe(&spec, &text);
	assert_int_equal(read_back(&text, &read, &error), 0);
	assert_same_spec(&spec, &read);
	spec_release(&spec);
	spec_release(&read);
}

static void test_each_signal_comes_back(void **state)
{
	(void)state;
	for (int number = 1; number <= SIGRTMAX; number++) {
		owned_buffer text = { 0 };
		struct error error = { 0 };
		struct spec spec;
		struct spec read;

		spec_init(&spec);
		spec.stop_signal = number;
		describe(&spec, &text);
		assert_int_equal(read_back(&text, &read, &error), 0);
		assert_int_equal(read.stop_signal, number);
		spec_release(&spec);
		spec_release(&read);
	}
}

static void test_what_is_missing_keeps_its_default(void **state)
{
	struct error error = { 0 };
	struct spec spec;
	struct spec read;

	(void)state;
	spec_init(&spec);
	assert_int_equal(read_text("{\"spec\":{\"from_a_later_version\":[{}]}}", &read, &error), 0);
	assert_same_spec(&spec, &read);
	spec_release(&spec);
	spec_release(&read);
}

static void test_the_world_is_told(void **state)
{
	owned_buffer text = { 0 };
	owned_json json = { 0 };
	struct json_value root;
	struct spec spec;
	int64_t number = -1;

	(void)state;
	fill_spec(&spec);
	spec.seccomp.allow_userns = false;
	describe(&spec, &text);
	assert_int_equal(json_read(&json, text.bytes, text.length, NULL), 0);
	root = json_root(&json);
	assert_true(json_text_is(json_member(json_member(root, "posture"), "seccomp"), "strict"));
	assert_int_equal(json_type(json_member(json_member(root, "posture"), "no_new_privs")), JSON_BOOL);
	assert_int_equal(json_number(json_member(json_member(root, "posture"), "landlock"), &number), 0);
	assert_true(json_text_is(json_member(json_member(root, "paths"), "home"), HOME_WITHOUT));
	assert_true(json_text_is(json_member(json_member(root, "paths"), "upper"), "tmpfs"));
	assert_true(json_text_is(json_member(json_first(json_member(root, "degraded")), "what"), "disk upper"));
	assert_true(json_text_is(json_member(json_first(json_member(root, "databases")), "path"), "/a.db"));
	spec_release(&spec);
}

static void test_databases_come_back(void **state)
{
	struct world_database *databases = NULL;
	owned_buffer text = { 0 };
	owned_json json = { 0 };
	struct spec spec;
	size_t count = 0;

	(void)state;
	spec_init(&spec);
	describe(&spec, &text);
	assert_int_equal(json_read(&json, text.bytes, text.length, NULL), 0);
	assert_int_equal(describe_read_databases(json_root(&json), &databases, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_string_equal(databases[0].path, "/a.db");
	assert_true(databases[0].is_noted);
	assert_int_equal(databases[0].bytes, 4096);
	assert_int_equal(databases[0].modified_ns, -5);
	assert_int_equal(databases[0].mode, 0100640);
	assert_string_equal(databases[1].path, "/b.db");
	assert_false(databases[1].is_noted);
	world_databases_release(databases, count);
	spec_release(&spec);
}

static void test_damaged_descriptions_are_refused(void **state)
{
	static const struct {
		const char *text;
		const char *object;
	} rows[] = {
		{ "[]", "spec" },
		{ "null", "spec" },
		{ "{}", "spec" },
		{ "{\"spec\":7}", "spec" },
		{ "{\"spec\":{\"name\":7}}", "name" },
		{ "{\"spec\":{\"name\":\"a\\u0000b\"}}", "name" },
		{ "{\"spec\":{\"tree\":[\"/\"]}}", "tree" },
		{ "{\"spec\":{\"payload\":\"sh\"}}", "payload" },
		{ "{\"spec\":{\"payload\":[\"sh\",1]}}", "payload" },
		{ "{\"spec\":{\"as_root\":\"yes\"}}", "as_root" },
		{ "{\"spec\":{\"timeout_ms\":-1}}", "timeout_ms" },
		{ "{\"spec\":{\"timeout_ms\":1.5}}", "timeout_ms" },
		{ "{\"spec\":{\"timeout_ms\":\"18446744073709551616\"}}", "timeout_ms" },
		{ "{\"spec\":{\"timeout_ms\":\" 1\"}}", "timeout_ms" },
		{ "{\"spec\":{\"home\":\"full\"}}", "home" },
		{ "{\"spec\":{\"home\":1}}", "home" },
		{ "{\"spec\":{\"seccomp\":\"reader\"}}", "seccomp" },
		{ "{\"spec\":{\"seccomp\":\"forwarder\"}}", "seccomp" },
		{ "{\"spec\":{\"stop_signal\":\"SIGNOTHING\"}}", "stop_signal" },
		{ "{\"spec\":{\"stop_signal\":\"0\"}}", "stop_signal" },
		{ "{\"spec\":{\"stop_signal\":15}}", "stop_signal" },
		{ "{\"spec\":{\"volumes\":{}}}", "volumes" },
		{ "{\"spec\":{\"volumes\":[7]}}", "volumes" },
		{ "{\"spec\":{\"volumes\":[{\"kind\":\"rw\",\"source\":\"/\"}]}}", "volumes" },
		{ "{\"spec\":{\"volumes\":[{\"kind\":\"rw\",\"target\":\"/\"}]}}", "volumes" },
		{ "{\"spec\":{\"volumes\":[{\"source\":\"/\",\"target\":\"/\"}]}}", "volumes" },
		{ "{\"spec\":{\"volumes\":[{\"kind\":\"rw\",\"source\":\"/\",\"target\":\"\"}]}}", "volumes" },
		{ "{\"spec\":{\"volumes\":[{\"kind\":\"tmpfs\",\"source\":\"/\",\"target\":\"/\"}]}}", "volumes" },
		{ "{\"spec\":{\"env\":[{\"kind\":\"set\",\"text\":\"A\"}]}}", "env" },
		{ "{\"spec\":{\"env\":[{\"kind\":\"set\",\"text\":\"=1\"}]}}", "env" },
		{ "{\"spec\":{\"env\":[{\"kind\":\"unset\",\"text\":\"A=1\"}]}}", "env" },
		{ "{\"spec\":{\"env\":[{\"kind\":\"unset\",\"text\":\"\"}]}}", "env" },
		{ "{\"spec\":{\"env\":[{\"kind\":\"set\"}]}}", "env" },
		{ "{\"spec\":{\"env_files\":[{\"kind\":\"pass\",\"text\":\"A=1\"}]}}", "env_files" },
		{ "{\"spec\":{\"limits\":[{\"name\":\"nofile\",\"source\":\"named\",\"soft\":1}]}}", "limits" },
		{ "{\"spec\":{\"limits\":[{\"name\":\"nofile\",\"source\":\"named\",\"soft\":2,\"hard\":1}]}}",
		  "limits" },
		{ "{\"spec\":{\"limits\":[{\"name\":\"files\",\"source\":\"named\",\"soft\":1,\"hard\":1}]}}",
		  "limits" },
		{ "{\"spec\":{\"processors\":\"1-\"}}", "limits" },
		{ "{\"spec\":{\"processors\":\"0-99999999\"}}", "limits" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error error = { 0 };
		struct spec read;

		if (read_text(rows[i].text, &read, &error) != -EBADMSG)
			fail_msg("taken: %s", rows[i].text);
		if (strcmp(error.object, rows[i].object) != 0)
			fail_msg("%s: '%s' is blamed, not '%s'", rows[i].text, error.object, rows[i].object);
		spec_release(&read);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_full_spec_comes_back),
		cmocka_unit_test(test_a_default_spec_comes_back),
		cmocka_unit_test(test_each_signal_comes_back),
		cmocka_unit_test(test_what_is_missing_keeps_its_default),
		cmocka_unit_test(test_the_world_is_told),
		cmocka_unit_test(test_databases_come_back),
		cmocka_unit_test(test_damaged_descriptions_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
