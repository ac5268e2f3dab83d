/* SPDX-License-Identifier: Apache-2.0 */
/* XML taken apart, and reports made one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/xml.h"
#include "sandbox/run/junit.h"

/* What is in a document, on one line: "<a x=1>text</a>". @return the caller's; NULL: it is none */
static char *spell(const char *text)
{
	struct text_buffer out = { 0 };
	struct xml_token token;
	struct xml xml;
	int result;

	xml_begin(&xml, text, strlen(text));
	text_buffer_add(&out, "", 0);
	while ((result = xml_next(&xml, &token)) > 0) {
		owned_text value = token.kind == XML_OPEN ? xml_attribute(&xml, &token, "x") : NULL;

		if (token.kind == XML_TEXT)
			xml_add_decoded(&xml, &token, &out);
		else
			text_buffer_format(&out, "<%s%.*s%s%s>", token.kind == XML_CLOSE ? "/" : "",
					   (int)token.name_length, token.name, value ? " x=" : "", value ? value : "");
	}
	if (result < 0)
		text_buffer_release(&out);
	return result < 0 ? NULL : out.bytes;
}

static void test_xml_is_read_tag_by_tag(void **state)
{
	static const char *const pairs[][2] = {
		{ "<a/>", "<a></a>" },
		{ "\xef\xbb\xbf<?xml version='1.0'?><!DOCTYPE a SYSTEM 'x'>\n<!-- <b> --><a>1</a>\n", "<a>1</a>" },
		{ "<a y='2' x = \"1&lt;&#65;&#x42;&no;&\" >&amp;<![CDATA[<&amp;>]]></a>",
		  "<a x=1<AB&no;&>&<&amp;></a>" },
		{ "<n:a x='>'><b x=''/></n:a>", "<a x=>><b x=></b></a>" },
		{ "<a z='x=\"3\"'></a >", "<a></a>" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		owned_text got = spell(pairs[i][0]);

		assert_non_null(got);
		assert_string_equal(got, pairs[i][1]);
	}
}

static void test_what_is_no_whole_document_is_refused(void **state)
{
	static const char *const others[] = {
		"",
		"text",
		"<a>",
		"<a></b>",
		"</a>",
		"<a><b></a></b>",
		"<a/><b/>",
		"<a x='<'/>",
		"<a",
		"<a>&</a",
		"<!-- ",
		"<a><![CDATA[</a>",
		"<![CDATA[x]]><a/>",
		"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
		"< a/>",
		"<a></a x>",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		owned_text got = spell(others[i]);

		if (got)
			fail_msg("%s was read as %s", others[i], got);
	}
}

static void test_depth_has_an_end(void **state)
{
	owned_buffer text = { 0 };

	(void)state;
	for (int i = 0; i < 2 * XML_DEPTH_MAX; i++)
		text_buffer_add_text(&text, "<a>");
	assert_null(spell(text.bytes));
}

static void test_what_xml_cannot_hold_is_replaced(void **state)
{
	owned_buffer out = { 0 };

	(void)state;
	xml_add_escaped(&out, "<a>&\"\x1b[0m\xff\xc3\xa4\n", 14);
	assert_string_equal(out.bytes, "&lt;a&gt;&amp;&quot;\xef\xbf\xbd[0m\xef\xbf\xbd\xc3\xa4\n\xef\xbf\xbd");
}

static void assert_report(const char *text, int wanted, const char *report, struct junit_sum wanted_sum)
{
	owned_buffer out = { 0 };
	struct junit_sum sum = { 0 };

	assert_int_equal(junit_add_report(text, strlen(text), &out, &sum), wanted);
	assert_string_equal(out.bytes ? out.bytes : "", report);
	assert_memory_equal(&sum, &wanted_sum, sizeof(sum));
}

static void test_junit_goes_in_suite_by_suite(void **state)
{
	(void)state;
	assert_report("<?xml version='1.0'?><testsuites name='x'><properties/><testcase/><testsuite "
		      "name='a'><testcase/></testsuite>"
		      "<testsuite><testsuite><testcase><failure/></testcase></testsuite></testsuite></testsuites>",
		      1,
		      "<testsuite name='a'><testcase/></testsuite>\n"
		      "<testsuite><testsuite><testcase><failure/></testcase></testsuite></testsuite>\n",
		      (struct junit_sum){ .tests = 2, .failures = 1 });
	assert_report("<testsuite><testcase><skipped/></testcase><testcase><error/></testcase></testsuite>", 1,
		      "<testsuite><testcase><skipped/></testcase><testcase><error/></testcase></testsuite>\n",
		      (struct junit_sum){ .tests = 2, .skipped = 1, .errors = 1 });
	assert_report("<project><testsuite/></project>", 0, "", (struct junit_sum){ 0 });
	assert_report("<testsuite><testcase></testsuite>", -EBADMSG, "", (struct junit_sum){ 0 });
	assert_report("<testsuite name='\xff'/>", -EBADMSG, "", (struct junit_sum){ 0 });
	assert_report("<testsuite name='\x1b[0m'/>", -EBADMSG, "", (struct junit_sum){ 0 });
}

static void test_trx_is_translated(void **state)
{
	(void)state;
	assert_report(
		"<TestRun name='run' xmlns='http://microsoft.com/schemas/VisualStudio/TeamTest/2010'><Results>"
		"<UnitTestResult testId='1' testName='Shop(&lt;1&gt;)' outcome='Passed' duration='00:01:02.5000000'/>"
		"<UnitTestResult testId='2' testName='Cart' outcome='Failed'><Output><StdOut>said</StdOut><ErrorInfo>"
		"<Message>1 &lt; 2</Message><StackTrace>at x</StackTrace></ErrorInfo></Output></UnitTestResult>"
		"<UnitTestResult testId='3' testName='Later' outcome='NotExecuted'/>"
		"</Results><TestDefinitions><UnitTest name='Shop' id='1'><TestMethod className='N.Shop' "
		"name='Shop'/></UnitTest>"
		"<UnitTest id='2'><TestMethod className='N.Cart'/></UnitTest></TestDefinitions></TestRun>",
		1,
		"<testsuite name=\"run\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\">\n"
		"<testcase name=\"Shop(&lt;1&gt;)\" classname=\"N.Shop\" time=\"62.500\"></testcase>\n"
		"<testcase name=\"Cart\" classname=\"N.Cart\" time=\"0.000\"><failure message=\"1 &lt; 2\">at "
		"x</failure>"
		"<system-out>said</system-out></testcase>\n"
		"<testcase name=\"Later\" classname=\"\" time=\"0.000\"><skipped/></testcase>\n"
		"</testsuite>\n",
		(struct junit_sum){ .tests = 3, .failures = 1, .skipped = 1 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xml_is_read_tag_by_tag),
		cmocka_unit_test(test_what_is_no_whole_document_is_refused),
		cmocka_unit_test(test_depth_has_an_end),
		cmocka_unit_test(test_what_xml_cannot_hold_is_replaced),
		cmocka_unit_test(test_junit_goes_in_suite_by_suite),
		cmocka_unit_test(test_trx_is_translated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
