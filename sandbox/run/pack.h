/* SPDX-License-Identifier: Apache-2.0 */
/* `sbx bundle`: a live or kept worker into one file (overlay/bundle.h), to be built again elsewhere (replay.h).
 *
 * Its bundle.json holds "version"; "sbx"; "worker" (name, command, labels, when it
 * began and ended, exit_status); "spec", "databases", "paths",
 * "environment", "environment_filtered" as worker/describe.h has them, less what may be a credential; "recipe" as
 * pool/recipe.h has it; "machine" and "tree" as origin.h. */
#ifndef SBX_RUN_PACK_H
#define SBX_RUN_PACK_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "overlay/bundle.h"

enum { PACK_VERSION = 1 };
#define PACK_DESCRIPTION "bundle.json"
#define PACK_LOGS	 "logs"
#define PACK_EVENTS	 "events.jsonl" /* excerpt.h */

struct packed {
	uint64_t bytes;		   /* of the file */
	struct text_list filtered; /* variables whose values are not in it */
};

/** Writes the bundle of a worker.
 *  @word  as the user typed it   @path  of the file, relative to the current directory
 *  @existing  what becomes of one that is there, once the bundle is whole
 *  @ret_packed  the caller's   Errors: of visit_open(), of TASK_FREEZE, of writing */
int pack_worker(const char *word, const char *path, enum bundle_existing existing, struct packed *ret_packed,
		struct error *error);

#endif
