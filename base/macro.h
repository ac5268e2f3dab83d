/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SBX_BASE_MACRO_H
#define SBX_BASE_MACRO_H

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)	  ((a) < (b) ? (a) : (b))
#define MAX(a, b)	  ((a) > (b) ? (a) : (b))

/* Repeats a system call that a signal interrupted. */
#define RETRY_EINTR(expression)                                                                                        \
	({                                                                                                             \
		__typeof__(expression) result__;                                                                       \
		do                                                                                                     \
			result__ = (expression);                                                                       \
		while (result__ == -1 && errno == EINTR);                                                              \
		result__;                                                                                              \
	})

#endif
