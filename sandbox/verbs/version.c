/* SPDX-License-Identifier: Apache-2.0 */
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/request.h"

int verb_version(struct invocation *invocation, struct error *error)
{
	owned_buffer text = { 0 };
	int result;

	text_buffer_format(&text,
			   invocation->format == FORMAT_JSON
				   ? "{\"version\":\"%s\",\"protocol\":%d,\"sqlite\":\"%s\"}\n"
				   : "sbx %s (protocol %d, SQLite %s)\n",
			   SBX_VERSION, REQUEST_VERSION, sqlite3_libversion());
	result = fd_write_all(STDOUT_FILENO, text.bytes, text.length);
	return result < 0 ? error_set(error, .number = -result, .step = "print the version") : 0;
}
