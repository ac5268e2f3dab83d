/* SPDX-License-Identifier: Apache-2.0 */
/* A test report, JUnit's or TRX. What is made of it is a report again, with as many tests of each kind. */
#include <errno.h>
#include <string.h>

#include "base/xml.h"
#include "sandbox/run/junit.h"
#include "tests/fuzz/fuzz.h"

/* Merging puts one level around it. */
static bool is_as_deep_as_can_be(const char *text, size_t size)
{
	struct xml xml;
	struct xml_token token;

	xml_begin(&xml, text, size);
	while (xml_next(&xml, &token) > 0)
		if (token.depth == XML_DEPTH_MAX)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_text text = fuzz_text(data, size);
	owned_buffer suites = { 0 };
	owned_buffer report = { 0 };
	owned_buffer again = { 0 };
	struct junit_sum sum = { 0 };
	struct junit_sum sum_again = { 0 };
	int result = junit_add_report(text, size, &suites, &sum);

	if (result <= 0) {
		MUST(result == 0 || result == -EBADMSG);
		MUST(suites.length == 0);
		return 0;
	}
	if (is_as_deep_as_can_be(text, size))
		return 0;
	text_buffer_format(&report, "<testsuites>%s</testsuites>", suites.bytes ? suites.bytes : "");
	MUST(junit_add_report(report.bytes, report.length, &again, &sum_again) == 1);
	MUST(memcmp(&sum, &sum_again, sizeof(sum)) == 0);
	return 0;
}
