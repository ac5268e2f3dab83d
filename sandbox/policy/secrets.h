/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: which variables and which files below HOME hold them. The table is secrets.def. */
#ifndef SBX_POLICY_SECRETS_H
#define SBX_POLICY_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

enum secrets_kind { SECRETS_NONE, SECRETS_CREDENTIAL, SECRETS_CHANNEL };

/** What the variable of this name (`length` bytes of `name`) is. */
enum secrets_kind secrets_classify_variable(const char *name, size_t length);

/** Paths relative to HOME that are hidden. @ret_count how many */
const char *const *secrets_stores(size_t *ret_count);

#endif
