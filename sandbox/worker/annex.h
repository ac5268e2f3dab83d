/* SPDX-License-Identifier: Apache-2.0 */
/* What a world of a test run has beyond a plain one: /run/sbx in world R, and directories that several worlds share.
 * Stages of init.c, after the layers are mounted. */
#ifndef SBX_WORKER_ANNEX_H
#define SBX_WORKER_ANNEX_H

#include "base/error.h"
#include "sandbox/worker/world.h"

#define ANNEX_DIRECTORY "/run/sbx"
#define ANNEX_PROGRAM	ANNEX_DIRECTORY "/sbx"
#define ANNEX_SOCKET	ANNEX_DIRECTORY "/run"
#define ANNEX_TEMPORARY ANNEX_DIRECTORY "/tmp"

enum { ANNEX_GRAFTS_MAX = 64 };

/** Makes /run/sbx, its files, program and socket, as the plan says. */
int annex_make(struct world *world, struct error *error);

/** Attaches the plan's grafts at their targets, which are made where they are missing. */
int annex_attach_grafts(struct world *world, struct error *error);

#endif
