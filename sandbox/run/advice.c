/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/advice.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

struct row {
	const char *what;
	const char *remedy;
};

static const struct row rows[ADVICE_COUNT] = {
#define ADVICE(name, text, todo) [ADVICE_##name] = { .what = (text), .remedy = (todo) },
#include "sandbox/run/advice.def"
#undef ADVICE
};

_Static_assert(ADVICE_COUNT <= 64, "one bit each in struct advice_said");

/* Line by line: a block for sbx.yaml has several, anything else in a word that could command a terminal is shown. */
static void add_word(struct text_buffer *out, const char *word)
{
	while (*word) {
		size_t length = strcspn(word, "\n");
		owned_text line = strndup(word, length);
		owned_text shown = NULL;

		if (!line)
			abort();
		shown = text_escaped(line);
		text_buffer_add_text(out, shown);
		word += length;
		if (*word == '\n') {
			text_buffer_add(out, "\n", 1);
			word++;
		}
	}
}

static char *fill(const char *format, const char *const *words)
{
	owned_buffer out = { 0 };
	size_t count = 0;

	while (words && words[count])
		count++;
	text_buffer_add_text(&out, "");
	for (const char *at = format; *at; at++) {
		bool is_word = at[0] == '{' && at[1] >= '1' && at[1] <= '9' && at[2] == '}';

		if (!is_word) {
			text_buffer_add(&out, at, 1);
			continue;
		}
		if ((size_t)(at[1] - '1') < count)
			add_word(&out, words[at[1] - '1']);
		at += 2;
	}
	return text_duplicate(out.bytes);
}

char *advice_text(enum advice which, const char *const *words)
{
	owned_text what = fill(rows[which].what, words);
	owned_text remedy = rows[which].remedy ? fill(rows[which].remedy, words) : NULL;

	return text_format("%s%s%s", what, remedy ? "\n  " : "", remedy ? remedy : "");
}

int advice_refuse(enum advice which, const char *const *words, struct error *error)
{
	owned_text what = fill(rows[which].what, words);
	owned_text remedy = rows[which].remedy ? fill(rows[which].remedy, words) : NULL;

	return error_set(error, .number = ENOTSUP, .step = "spread the tests over worlds", .cause = what,
			 .remedy = remedy);
}

bool advice_was_said(const struct advice_said *said, enum advice which)
{
	return said->bits & UINT64_C(1) << which;
}

void advice_say(struct advice_said *said, enum advice which, const char *const *words)
{
	owned_text text = NULL;

	if (advice_was_said(said, which))
		return;
	said->bits |= UINT64_C(1) << which;
	text = advice_text(which, words);
	said->say(text);
}
