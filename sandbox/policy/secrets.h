/* SPDX-License-Identifier: Apache-2.0 */
/* What of the caller's a payload does not get: variables and files that hold credentials or lead to the host's agents,
 * displays and buses. The one table is secrets.def. */
#ifndef SBX_POLICY_SECRETS_H
#define SBX_POLICY_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

enum secrets_kind {
	SECRETS_NONE,
	SECRETS_CREDENTIAL, /* a well-known credential, by its own name */
	SECRETS_CHANNEL, /* leads to an agent, display, bus or private directory of the host, which is not in the world
			  */
};

/** What the variable is whose name is `length` bytes of `name`, any bytes. */
enum secrets_kind secrets_classify_variable(const char *name, size_t length);

/** Whether the name merely looks like one of a credential: for the strict filter. */
bool secrets_looks_like_credential(const char *name, size_t length);

/** Paths relative to HOME, files or directories, that hold credentials and nothing that a test suite needs.
 *  @ret_count  how many   @return static, without an order */
const char *const *secrets_hidden_paths(size_t *ret_count);

#endif
