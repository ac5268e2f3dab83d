/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/pool/declared.h"

static char *const caller[] = { (char *)"MINE=caller", NULL };

static int declare(const char *yaml, enum declared_shared shared, struct service_list *list, struct error *error)
{
	owned_project project = { 0 };
	struct declared_options options = {
		.project = &project, .caller = caller, .worker = 2, .workers = 5, .shared = shared
	};

	assert_int_equal(project_read_text("sbx.yaml", "/srv/app", yaml, strlen(yaml), NULL, 0, &project, error), 0);
	return declared_services(&options, list, error);
}

static void test_worker_and_workers_are_replaced(void **state)
{
	struct service_list list = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(
		declare("services: { web: { command: [run, '{worker}/{workers}'], environment: { N: '{worker}' },"
			" working_dir: 'd{worker}', ready: { url: 'http://localhost:5555/{worker}' } } }",
			DECLARED_WITHOUT_SHARED, &list, &error),
		0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].command.items[1], "2/5");
	assert_string_equal(list.items[0].set.items[0], "N=2");
	assert_string_equal(list.items[0].directory, "/srv/app/d2");
	assert_string_equal(list.items[0].ready.url, "http://localhost:5555/2");
	assert_true(list.items[0].has_readiness);
	service_list_release(&list);
}

static void test_a_name_alone_is_the_callers_value(void **state)
{
	struct service_list list = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(declare("services: { web: { command: x, environment: [MINE, NOBODYS] } }",
				 DECLARED_WITHOUT_SHARED, &list, &error),
			 0);
	assert_int_equal(list.items[0].set.count, 1);
	assert_string_equal(list.items[0].set.items[0], "MINE=caller");
	service_list_release(&list);
}

static void test_ports_without_ready_are_readiness(void **state)
{
	struct service_list list = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(declare("services: { a: { command: x, ports: ['127.0.0.1:8080:80'] }, b: { command: x } }",
				 DECLARED_WITHOUT_SHARED, &list, &error),
			 0);
	assert_int_equal(list.items[0].ready.port, 80);
	assert_true(list.items[0].has_readiness);
	assert_false(list.items[1].has_readiness);
	service_list_release(&list);
}

static void test_conditions_and_restart(void **state)
{
	struct service_list list = { 0 };
	struct error error = { 0 };
	const struct service *last;

	(void)state;
	assert_int_equal(declare("services: { a: { command: x }, b: { command: x }, c: { command: x }, d: { command: x,"
				 " restart: 'on-failure:3', depends_on: { a: { condition: service_ready },"
				 " b: { condition: service_started },"
				 " c: { condition: service_completed_successfully } } } }",
				 DECLARED_WITHOUT_SHARED, &list, &error),
			 0);
	last = &list.items[3];
	assert_string_equal(last->after.items[0], "a");
	assert_string_equal(last->after_start.items[0], "b");
	assert_string_equal(last->after_end.items[0], "c");
	assert_int_equal(last->restart, SERVICE_RESTART_ON_FAILURE);
	assert_int_equal(last->restart_max, 3);
	service_list_release(&list);
}

static void test_shared(void **state)
{
	static const char yaml[] = "services: { mail: { command: x, shared: true, ready: { url: "
				   "'http://localhost:8025/' }, ports: [1025] },"
				   " web: { command: x, ports: [80], depends_on: [mail] } }";
	struct service_list list = { 0 };
	struct shared_ports ports = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(declare(yaml, DECLARED_WITHOUT_SHARED, &list, &error), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].name, "web");
	assert_int_equal(list.items[0].after.count, 0);
	service_list_release(&list);
	assert_int_equal(declare(yaml, DECLARED_ONLY_SHARED, &list, &error), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].name, "mail");
	service_list_release(&list);
	assert_int_equal(declare(yaml, DECLARED_ALL, &list, &error), 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.items[1].after.items[0], "mail");
	assert_int_equal(declared_shared_ports(&list, &ports, &error), 0);
	assert_int_equal(ports.count, 2);
	assert_int_equal(ports.ports[0], 8025);
	assert_int_equal(ports.ports[1], 1025);
	service_list_release(&list);
	assert_int_equal(
		declare("services: { mail: { command: x, shared: true } }", DECLARED_WITHOUT_SHARED, &list, &error), 0);
	assert_int_equal(declare("services: { mail: { command: x, shared: true } }", DECLARED_ALL, &list, &error),
			 -EINVAL);
	assert_string_equal(error.object, "mail");
	service_list_release(&list);
}

static void test_each_kind_of_readiness_is_one(void **state)
{
	struct service_list list = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(declare("services: { a: { command: x, ready: { stdout: up }, ports: [80] },"
				 " b: { command: x, ready: { stderr: up }, ports: [80] },"
				 " c: { command: x, ready: { cmd: [probe, '{worker}'] }, ports: [80] },"
				 " d: { command: x, ready: { port: 81 }, ports: [80, 81, 80] } }",
				 DECLARED_WITHOUT_SHARED, &list, &error),
			 0);
	for (size_t i = 0; i < list.count; i++) {
		assert_true(list.items[i].has_readiness);
		/* The published port is the condition only where there is no other. */
		assert_int_equal(list.items[i].ready.port, i == 3 ? 81 : 0);
	}
	assert_string_equal(list.items[0].ready.patterns[READINESS_STDOUT].text, "up");
	assert_string_equal(list.items[1].ready.patterns[READINESS_STDERR].text, "up");
	assert_string_equal(list.items[2].ready.command.items[1], "2");
	/* Each port once. */
	assert_int_equal(list.items[3].port_count, 2);
	assert_int_equal(list.items[3].ports[0], 81);
	assert_int_equal(list.items[3].ports[1], 80);
	service_list_release(&list);
}

static void test_how_a_service_is_stopped(void **state)
{
	struct service_list list = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(declare("services: { a: { command: x, stop_signal: INT, stop_grace_period: 3s },"
				 " b: { command: x, stop_grace_period: 0s }, c: { command: x } }",
				 DECLARED_WITHOUT_SHARED, &list, &error),
			 0);
	assert_int_equal(list.items[0].stop_signal, SIGINT);
	assert_int_equal(list.items[0].stop_timeout_ms, 3000);
	/* At once, and not the world's own. */
	assert_int_equal(list.items[1].stop_timeout_ms, 1);
	assert_int_equal(list.items[2].stop_timeout_ms, 0);
	service_list_release(&list);
}

static void test_a_file_of_variables_that_is_missing_is_an_error(void **state)
{
	struct service_list list = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(declare("services: { a: { command: x, env_file: no-such, environment: { A: b } } }",
				 DECLARED_WITHOUT_SHARED, &list, &error),
			 -ENOENT);
	assert_non_null(strstr(error.context, "sbx.yaml:1:"));
	service_list_release(&list);
}

static void test_shared_services_have_16_ports_in_all(void **state)
{
	struct service_list list = { 0 };
	struct shared_ports ports = { 0 };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(declare("services: { a: { command: x, shared: true, ports: [1, 2, 3, 4, 5, 6, 7, 8, 9] },"
				 " own: { command: x, ports: [20] },"
				 " b: { command: x, shared: true, ports: [11, 12, 13, 14, 15, 16, 17, 18] } }",
				 DECLARED_ALL, &list, &error),
			 0);
	/* One has eight at most. */
	assert_int_equal(list.items[0].port_count, SERVICE_PORTS_MAX);
	assert_int_equal(declared_shared_ports(&list, &ports, &error), 0);
	assert_int_equal(ports.count, SHARED_PORTS_MAX);
	list.items[1].is_shared = true;
	assert_int_equal(declared_shared_ports(&list, &ports, &error), -E2BIG);
	service_list_release(&list);
}

static void test_what_is_shared_is_told(void **state)
{
	struct service_list list = { 0 };
	struct error error = { 0 };
	owned_text text = NULL;

	(void)state;
	assert_int_equal(
		declare("services: { mail: { command: x, shared: true, ports: [1, 2, 3] }, web: { command: x } }",
			DECLARED_ALL, &list, &error),
		0);
	text = declared_describe_shared(&list.items[0]);
	assert_non_null(strstr(text, "at localhost:1, localhost:2 and localhost:3: "));
	assert_null(declared_describe_shared(&list.items[1]));
	service_list_release(&list);
}

static void test_a_command_is_a_service_too(void **state)
{
	struct text_list command = { 0 };
	struct service_list list = { 0 };

	(void)state;
	text_list_add(&command, "run");
	text_list_add(&command, "{worker}/{workers}");
	declared_add_command(&list, "main", &command, 1, 3);
	assert_string_equal(list.items[0].name, "main");
	assert_int_equal(list.items[0].command.count, 2);
	assert_string_equal(list.items[0].command.items[1], "1/3");
	text_list_release(&command);
	service_list_release(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worker_and_workers_are_replaced),
		cmocka_unit_test(test_a_name_alone_is_the_callers_value),
		cmocka_unit_test(test_ports_without_ready_are_readiness),
		cmocka_unit_test(test_conditions_and_restart),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_each_kind_of_readiness_is_one),
		cmocka_unit_test(test_how_a_service_is_stopped),
		cmocka_unit_test(test_a_file_of_variables_that_is_missing_is_an_error),
		cmocka_unit_test(test_shared_services_have_16_ports_in_all),
		cmocka_unit_test(test_what_is_shared_is_told),
		cmocka_unit_test(test_a_command_is_a_service_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
