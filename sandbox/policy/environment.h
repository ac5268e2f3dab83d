/* SPDX-License-Identifier: Apache-2.0 */
/* The payload's environment: the caller's, less what leads out of the world and well-known credentials. */
#ifndef SBX_POLICY_ENVIRONMENT_H
#define SBX_POLICY_ENVIRONMENT_H

#include <stdbool.h>

#include "base/text.h"

struct environment_options {
	bool clear;		/* --clearenv: start from nothing */
	struct text_list sets;	/* -e NAME=VALUE, or NAME: the caller's value, filtered or not */
	struct text_list unsets; /* --unsetenv NAME */
};

void environment_options_release(struct environment_options *options);

/** Builds the environment. `caller` as environ(7); entries without '=' are left out.
 *  @ret_dropped  names of credentials that were filtered; both lists are the caller's */
void environment_build(char *const *caller, const struct environment_options *options, struct text_list *ret_environment,
		       struct text_list *ret_dropped);

#endif
