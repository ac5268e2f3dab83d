/* SPDX-License-Identifier: Apache-2.0 */
/* A command line: its words, without the program's, each ended by a NUL. */
#include "base/error.h"
#include "sandbox/verbs/invocation.h"
#include "tests/fuzz/fuzz.h"

enum { WORDS_MAX = 64 };

/* The one option that opens what it is told: a terminal or a pipe would be waited for. fuzz_environment.c has its
 * content. */
static bool leads_elsewhere(const char *word)
{
	return text_starts_with(word, "--env-file");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_list words = { 0 };
	struct invocation invocation;
	struct error error = { 0 };
	char shown[2048];
	int result;

	while (size > 0 && words.count < WORDS_MAX) {
		owned_text word = fuzz_part(&data, &size);

		if (leads_elsewhere(word))
			return 0;
		text_list_add(&words, word);
	}
	if (!words.items)
		return 0;
	invocation_init(&invocation);
	result = invocation_parse(&invocation, words.items, &error);
	MUST(result <= 0 && (result < 0) == (error.number != 0));
	if (result < 0) {
		MUST(error.step[0] != '\0');
		(void)error_format(&error, shown, sizeof(shown));
		for (const char *byte = shown; *byte; byte++)
			MUST((unsigned char)*byte >= ' ' || *byte == '\n' || *byte == '\t');
	} else {
		MUST(invocation.verb);
	}
	invocation_release(&invocation);
	return 0;
}
