/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/secrets.h"

#include <string.h>

#include "base/macro.h"

static const char *const credentials[] = {
#define SECRET(name) name,
#include "sandbox/policy/secrets.def"
};

static const char *const channels[] = {
#define CHANNEL(name) name,
#include "sandbox/policy/secrets.def"
};

static const char *const stores[] = {
#define STORE(path) path,
#include "sandbox/policy/secrets.def"
};

static bool is_listed(const char *const *patterns, size_t count, const char *name, size_t length)
{
	for (size_t i = 0; i < count; i++) {
		size_t fixed = strlen(patterns[i]);
		bool is_prefix = patterns[i][fixed - 1] == '*';

		fixed -= is_prefix;
		if ((is_prefix ? length >= fixed : length == fixed) && memcmp(name, patterns[i], fixed) == 0)
			return true;
	}
	return false;
}

enum secrets_kind secrets_classify_variable(const char *name, size_t length)
{
	if (is_listed(credentials, ARRAY_SIZE(credentials), name, length))
		return SECRETS_CREDENTIAL;
	return is_listed(channels, ARRAY_SIZE(channels), name, length) ? SECRETS_CHANNEL : SECRETS_NONE;
}

const char *const *secrets_stores(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(stores);
	return stores;
}
