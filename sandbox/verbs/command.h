/* SPDX-License-Identifier: Apache-2.0 */
/* A command of the user's in a worker: what exec, shell and db shell do. */
#ifndef SBX_VERBS_COMMAND_H
#define SBX_VERBS_COMMAND_H

#include "base/error.h"
#include "sandbox/worker/visit.h"

/** Runs the payload of `spec` and ends the visit. Does not return where Ctrl-C ended the command: this process then
 * ends by it, too (relay_raise()).
 *  @visit  closed, and NULL then
 *  @return exit status, with `error` filled as well where the command could not be executed; or -errno */
int command_run(struct visit **visit, const struct spec *spec, struct error *error);

#endif
