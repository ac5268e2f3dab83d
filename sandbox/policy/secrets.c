/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/secrets.h"

#include <stdbool.h>
#include <string.h>

#include "base/macro.h"

struct row {
	enum secrets_kind kind;
	const char *name; /* '*' stands for any bytes; a credential's letters are of either case */
};

static const struct row rows[] = {
#define CREDENTIAL(name) { SECRETS_CREDENTIAL, name },
#define CHANNEL(name)	 { SECRETS_CHANNEL, name },
#define PATTERN(name)
#define HIDDEN(path)
#include "sandbox/policy/secrets.def"
#undef CREDENTIAL
#undef CHANNEL
#undef PATTERN
#undef HIDDEN
};

static const char *const patterns[] = {
#define CREDENTIAL(name)
#define CHANNEL(name)
#define PATTERN(name) name,
#define HIDDEN(path)
#include "sandbox/policy/secrets.def"
#undef CREDENTIAL
#undef CHANNEL
#undef PATTERN
#undef HIDDEN
};

static const char *const hidden_paths[] = {
#define CREDENTIAL(name)
#define CHANNEL(name)
#define PATTERN(name)
#define HIDDEN(path) path,
#include "sandbox/policy/secrets.def"
#undef CREDENTIAL
#undef CHANNEL
#undef PATTERN
#undef HIDDEN
};

/* The letters of the table are capitals. */
static char capital(char byte)
{
	return byte >= 'a' && byte <= 'z' ? (char)(byte - 'a' + 'A') : byte;
}

static bool same_byte(char row, char byte, bool any_case)
{
	return row == (any_case ? capital(byte) : byte);
}

/* Not fnmatch(3), which reads bytes by the locale and does not know lengths. At a mismatch the last '*' takes one byte
 * more; earlier ones never need to, so the time is at most the product of both lengths. */
static bool matches(const char *pattern, const char *name, size_t length, bool any_case)
{
	const char *end = name + length;
	const char *star = NULL;
	const char *retry = NULL;

	while (name < end) {
		if (*pattern == '*') {
			star = pattern++;
			retry = name;
		} else if (same_byte(*pattern, *name, any_case) && *pattern != '\0') {
			pattern++;
			name++;
		} else if (star) {
			pattern = star + 1;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

enum secrets_kind secrets_classify_variable(const char *name, size_t length)
{
	char first = length > 0 ? capital(name[0]) : '\0';

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* No row begins with '*', and nearly every row ends here. */
		if (rows[i].name[0] != first)
			continue;
		if (matches(rows[i].name, name, length, rows[i].kind == SECRETS_CREDENTIAL))
			return rows[i].kind;
	}
	return SECRETS_NONE;
}

bool secrets_looks_like_credential(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		if (matches(patterns[i], name, length, true))
			return true;
	return false;
}

const char *const *secrets_hidden_paths(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(hidden_paths);
	return hidden_paths;
}
