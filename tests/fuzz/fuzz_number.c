/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes, durations, limits and signals, as they stand on a command line. */
#include <errno.h>
#include <string.h>

#include "base/number.h"
#include "base/process.h"
#include "sandbox/policy/limits.h"
#include "tests/fuzz/fuzz.h"

static void check_result(int result)
{
	MUST(result == 0 || result == -EINVAL || result == -ERANGE);
}

static void parse_limits(const char *text)
{
	struct limits limits;
	struct error error = { 0 };

	limits_init(&limits);
	MUST(limits_parse_ulimit(&limits, text, &error) == 0 || error.number != 0);
	MUST(limits_parse_processes(&limits, text, &error) == 0 || error.number != 0);
	MUST(limits_parse_processors(&limits, text, &error) == 0 || error.number != 0);
	limits_release(&limits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_text text = fuzz_text(data, size);
	owned_text again = NULL;
	uint64_t number = 0;
	uint64_t bytes = 0;
	uint64_t duration_ms = 0;
	char shown[32];
	int result = number_parse(text, 0, UINT64_MAX, &number);

	check_result(result);
	if (result == 0) {
		again = text_format("%llu", (unsigned long long)number);
		MUST(strcmp(again, text + strspn(text, "0")) == 0 || number == 0);
		MUST(number_parse(text, number, number, &number) == 0);
		MUST(number == UINT64_MAX || number_parse(text, number + 1, UINT64_MAX, &number) == -ERANGE);
	}
	result = number_parse_size(text, &bytes);
	check_result(result);
	if (result == 0)
		MUST(number_format_size(bytes, shown, sizeof(shown)) == shown && strlen(shown) < sizeof(shown));
	check_result(number_parse_duration(text, &duration_ms));
	MUST(process_signal_parse(text) >= -EINVAL);
	parse_limits(text);
	return 0;
}
