/* SPDX-License-Identifier: Apache-2.0 */
/* For the programs of this folder: payloads that try to get out of their worker, or into what is not theirs. Each says
 * what it got and ends with 1, or says nothing and ends with 0. Static, with no part of sbx. */
#ifndef SBX_ATTACK_H
#define SBX_ATTACK_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int reached;

/* @result  of a system call that must not have worked */
static inline void must_fail(long result, const char *what)
{
	if (result < 0)
		return;
	printf("reached: %s\n", what);
	reached++;
}

/* As above, with the one errno that the policy names. */
static inline void must_fail_with(long result, int number, const char *what)
{
	int got = errno;

	must_fail(result, what);
	if (result >= 0 || got == number)
		return;
	printf("refused in another way: %s: %s, wanted %s\n", what, strerror(got), strerror(number));
	reached++;
}

static inline int attack_end(void)
{
	return reached == 0 ? 0 : 1;
}

#endif
