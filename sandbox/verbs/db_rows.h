/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `sbx db` that take rows out of a worker, put them back, or compare them. Each takes the command line
 * without its own word. @return exit status, or -errno with error filled */
#ifndef SBX_VERBS_DB_ROWS_H
#define SBX_VERBS_DB_ROWS_H

#include "base/error.h"
#include "sandbox/verbs/invocation.h"

int db_diff(struct invocation *invocation, struct error *error);
int db_snapshot(struct invocation *invocation, struct error *error);
int db_restore(struct invocation *invocation, struct error *error);
int db_export(struct invocation *invocation, struct error *error);
int db_apply(struct invocation *invocation, struct error *error);

#endif
