/* SPDX-License-Identifier: Apache-2.0 */
/* SQL of a test, on a connection of its own, which has to succeed. */
#ifndef SBX_TESTS_UNIT_SQL_H
#define SBX_TESTS_UNIT_SQL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sqlite.h"

static inline void sql_run(sqlite3 *database, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
}

static inline int64_t sql_number(sqlite3 *database, const char *sql)
{
	int64_t result = -1;

	assert_int_equal(sqlite_number(database, sql, &result), SQLITE_ROW);
	return result;
}

#endif
