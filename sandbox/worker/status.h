/* SPDX-License-Identifier: Apache-2.0 */
/* `--status-fd N`: what happens to a worker, for programs: one JSON object a line. scripts/schema/status.json has its
 * form. One exit status cannot tell sbx's own 125 from the command's; the last line does.
 *
 *   {"event":"created","id":…,"name":…}
 *   {"event":"phase","phase":"world"|"command","milliseconds":…}
 *   {"event":"ended","phase":…,"exit_code":…,"signal":…,"timed_out":…,"kept":…,"degraded":[…],"error":…} */
#ifndef SBX_WORKER_STATUS_H
#define SBX_WORKER_STATUS_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/registry/row.h"
#include "sandbox/worker/launch.h"

struct status {
	int fd; /* borrowed; -1: nobody asks */
	int64_t start_ns;
	const char *phase; /* how far it came: "plan", "world", "command" */
	struct text_list degraded;
};

void status_init(struct status *status, int fd);
void status_release(struct status *status);

void status_created(struct status *status, const struct worker_row *row);
/** @phase  static */
void status_phase(struct status *status, const char *phase);
/** The last line. @error  what stopped sbx, or NULL */
void status_ended(struct status *status, const struct launch_result *result, const struct error *error);

#endif
