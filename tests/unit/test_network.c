/* SPDX-License-Identifier: Apache-2.0 */
/* What is written for published ports, --reach and --dns. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "netns/outbound.h"
#include "netns/publish.h"
#include "netns/reach.h"

static void test_publish_reads_dockers_forms(void **state)
{
	static const struct {
		const char *text;
		const char *formatted;
	} forms[] = {
		{ "5555", "127.0.0.1:0:5555" },
		{ "8080:5555", "127.0.0.1:8080:5555" },
		{ ":5555", "127.0.0.1:0:5555" },
		{ "0:5555", "127.0.0.1:0:5555" },
		{ "10.0.0.1:80:5555", "10.0.0.1:80:5555" },
		{ "10.0.0.1::5555", "10.0.0.1:0:5555" },
		{ "[::1]:80:5555", "[::1]:80:5555" },
		{ "[0:0::1]::5555/tcp", "[::1]:0:5555" },
		{ "65535:65535", "127.0.0.1:65535:65535" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct publish_rule rule;
		owned_text text = NULL;

		assert_int_equal(publish_parse(forms[i].text, &rule, NULL), 0);
		text = publish_format(&rule);
		assert_string_equal(text, forms[i].formatted);
	}
}

static void test_publish_refuses_what_is_none(void **state)
{
	static const char *const texts[] = {
		"",
		":",
		"0",
		"65536",
		"80:",
		"80:0",
		"-1:80",
		"80:80/udp",
		"80:80/",
		"a:80",
		"80:b",
		"::80",
		"1.2.3:1:2",
		"1.2.3.4.5:1:2",
		"[::1]:80",
		"[::1:80:80",
		"::1:80:80",
		"[1.2.3.4]:1:2",
		"8000-8010:80",
		"80:8000-8010",
		"1:2:3:4",
		" 80",
		"80 ",
		"+80",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct publish_rule rule;
		struct error error = { 0 };

		if (publish_parse(texts[i], &rule, &error) == 0)
			fail_msg("'%s' was taken", texts[i]);
		assert_string_equal(error.object, texts[i]);
		assert_true(error.cause[0] && error.remedy[0]);
	}
}

static void test_publish_chooses_a_free_port(void **state)
{
	struct publish_rule rule = { .host = PUBLISH_HOST, .port = 5555 };
	struct publish_rule same;
	struct error error = { 0 };
	int first = -1;
	int second = -1;

	(void)state;
	assert_int_equal(publish_open_listener(&rule, &first, &error), 0);
	assert_int_not_equal(rule.host_port, 0);
	same = rule;
	assert_int_equal(publish_open_listener(&same, &second, &error), -EADDRINUSE);
	assert_int_equal(second, -1);
	assert_string_equal(error.cause, "another program on the host listens there");
	close(first);
}

static void test_reach_reads_names_and_addresses(void **state)
{
	struct reach_rule rule;

	(void)state;
	assert_int_equal(reach_parse("db.test=localhost:5432", &rule, NULL), 0);
	assert_string_equal(rule.name, "db.test");
	assert_string_equal(rule.host, "localhost");
	assert_int_equal(rule.port, 5432);
	assert_int_equal(reach_resolve(&rule, NULL), 0);
	assert_int_equal(rule.target_count, 2);
	assert_int_equal(reach_parse("a=[2001:db8::1]:80", &rule, NULL), 0);
	assert_string_equal(rule.host, "2001:db8::1");
	assert_int_equal(reach_resolve(&rule, NULL), 0);
	assert_int_equal(rule.target_count, 1);
	assert_int_equal(rule.targets[0].any.sa_family, AF_INET6);
	assert_int_equal(address_port(&rule.targets[0]), 80);
}

static void test_reach_refuses_what_is_none(void **state)
{
	static const char *const texts[] = { "",	"a",	   "a=b",	 "a:80",     "=b:80",	 "a=:80",
					     "a=b:",	"a=b:0",   "a=b:65536",	 "a b=c:80", "a=b c:80", "a=-b:80",
					     "-a=b:80", "a#=b:80", "a=b:80/udp", "a\n=b:80", "a=b:http" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct reach_rule rule;

		if (reach_parse(texts[i], &rule, NULL) == 0)
			fail_msg("'%s' was taken", texts[i]);
	}
}

static void test_reach_keeps_names_with_one_port_apart(void **state)
{
	static const char *const texts[] = { "a=h:80", "b=h:80", "a=h:443", "c=h:81", "LOCALHOST=h:80", "c=h:443" };
	static const char *const addresses[] = { "127.0.0.2", "127.0.0.3", "127.0.0.2",
						 "127.0.0.1", "127.0.0.1", "127.0.0.1" };
	struct reach_rule rules[ARRAY_SIZE(texts)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(reach_parse(texts[i], &rules[i], NULL), 0);
	assert_int_equal(reach_choose_addresses(rules, ARRAY_SIZE(texts), NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_string_equal(rules[i].address, addresses[i]);
	rules[1] = rules[0];
	assert_int_equal(reach_choose_addresses(rules, 2, NULL), -EEXIST);
}

static void test_outbound_writes_resolv_conf(void **state)
{
	struct text_list none = { 0 };
	owned_list two = { 0 };
	owned_text plain = outbound_resolv_conf(NULL, &none);
	owned_text text = NULL;

	(void)state;
	assert_string_equal(plain, "nameserver " OUTBOUND_DNS "\n");
	text_list_add(&two, "192.0.2.1");
	text_list_add(&two, "192.0.2.2");
	text = outbound_resolv_conf("# c\nnameserver 127.0.0.53\nsearch a.test\noptions edns0", &two);
	assert_string_equal(text, "nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch a.test\noptions edns0\n");
	assert_int_equal(outbound_check_dns("192.0.2.1", NULL), 0);
	assert_int_equal(outbound_check_dns("::1", NULL), 0);
	assert_int_equal(outbound_check_dns("name", NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_publish_reads_dockers_forms),
		cmocka_unit_test(test_publish_refuses_what_is_none),
		cmocka_unit_test(test_publish_chooses_a_free_port),
		cmocka_unit_test(test_reach_reads_names_and_addresses),
		cmocka_unit_test(test_reach_refuses_what_is_none),
		cmocka_unit_test(test_reach_keeps_names_with_one_port_apart),
		cmocka_unit_test(test_outbound_writes_resolv_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
