/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, in the four parts that a user needs: step, object, cause, remedy.
 *
 * What can fail returns >= 0 or -errno and takes `struct error *error` last. The function nearest the failing call
 * fills it once with error_set(); callers pass it up or add whom it concerns with error_context(). Only sandbox/verbs/
 * prints. The struct is of fixed size and uses no heap, so that it can be filled in a child between clone and exec. */
#ifndef SBX_BASE_ERROR_H
#define SBX_BASE_ERROR_H

#include <stddef.h>

/* Exit status of sbx itself when it, and not the payload, failed (docker and podman's number). */
#define EXIT_SBX_FAILED	    125
#define EXIT_TIMED_OUT	    124
#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND	    127

struct error {
	int number;	   /* errno value, positive; 0: nothing failed */
	char step[96];	   /* "mount the tree": completes "cannot …"; lower case, verb first, no full stop */
	char object[512];  /* what it was done to, without quotes; may hold any bytes but NUL */
	char cause[384];   /* why; empty: strerror(number) is the cause */
	char remedy[512];  /* what the user can do; may be empty */
	char context[128]; /* "worker w2": whom it concerns; may be empty */
};

/* The parts of an error, named at the call. Texts are borrowed and cut to the sizes above at a UTF-8 boundary. */
struct error_parts {
	int number;
	const char *step;
	const char *object;
	const char *cause;
	const char *remedy;
};

/** Fills `error` (which may be NULL) and returns -number, or -EINVAL where number is 0. Keeps errno.
 *  Where no cause is given, the table of misleading errnos (error_explain) is asked. */
int error_set_parts(struct error *error, struct error_parts parts);
#define error_set(error, ...) error_below_zero(error_set_parts((error), (struct error_parts){ __VA_ARGS__ }))

/** What is known of each result of error_set(), said to compilers and to analyzers, which follow no path on which a
 *  failure is none; UBSan looks that it is true. */
static inline int error_below_zero(int result)
{
	if (result >= 0)
		__builtin_unreachable();
	return result;
}

/** Adds whom the error concerns, printf-like; the innermost context stays last. Returns -number of the error. */
int error_context(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Fills cause and remedy where errno misleads: one table of (step, errno). A part that is already filled stays. */
void error_explain(struct error *error);

/** Writes "cannot STEP 'OBJECT': CAUSE" and, where there is one, "\n  REMEDY" into `text`, control characters escaped.
 *  @return the length, as snprintf(3) */
size_t error_format(const struct error *error, char *text, size_t size);

#endif
