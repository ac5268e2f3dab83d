/* SPDX-License-Identifier: Apache-2.0 */
/* Removes what the dead left: lock files with their sockets and scratch directories, disk uppers, kept workers that
 * were never finished, trash. For each sbx command that has a moment (a `run` while its payload runs, every listing),
 * and for `prune`. Safe beside makers and other collectors: only what nobody holds is touched. */
#ifndef SBX_REGISTRY_COLLECT_H
#define SBX_REGISTRY_COLLECT_H

#include "base/error.h"
#include "base/text.h"
#include "sandbox/registry/state.h"

enum collect_mode {
	COLLECT_REMOVE,
	COLLECT_LOOK, /* only tells what would be removed */
};

struct collect_report {
	struct text_list workers;     /* names of dead workers whose lock file was there */
	struct text_list directories; /* "uppers/ID", … */
};

void collect_report_release(struct collect_report *report);
#define owned_collect_report __attribute__((cleanup(collect_report_release))) struct collect_report

/** Collects in all runtime directories and in the state directory; what does not exist is passed over.
 *  @report  added to; may be NULL
 *  @return 0 or -errno of the first thing that could not be removed; the rest is collected all the same */
int collect_dead(const struct state_paths *paths, enum collect_mode mode, struct collect_report *report,
		 struct error *error);

#endif
