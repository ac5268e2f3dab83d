/* SPDX-License-Identifier: Apache-2.0 */
/* `sbx replay`: the worker of a bundle (pack.h) built again on this machine, at the paths it had, on the ports it
 * had. */
#ifndef SBX_RUN_REPLAY_H
#define SBX_RUN_REPLAY_H

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/worker/launch.h"
#include "sandbox/worker/relay.h"
#include "sandbox/worker/spec.h"

struct replay_options {
	const char *path; /* of the bundle */
	/* tree (the one of this machine; NULL: the current directory), environment over the bundle's, payload (a
	 * command of the user's; empty: what the bundle says), pass_fds, timeout, place and size of the scratch */
	const struct spec *spec;
	launch_say *say;
};

/** Does it. @ret_exit_code  the command's, as the shell counts   @ret_ended  for relay_raise()
 *  Errors: EBADMSG no bundle, or not to be trusted; ENOTSUP a newer one; of making the world */
int replay_run(const struct replay_options *options, int *ret_exit_code, struct relay_result *ret_ended,
	       struct error *error);

/** Says what differs here from where a bundle was made, the most important first. Nothing of it is run.
 *  @tree  of this machine; NULL: the current directory   @ret_differences  the caller's: lines, untrusted text */
int replay_check(const char *path, const char *tree, struct text_list *ret_differences, struct error *error);

#endif
