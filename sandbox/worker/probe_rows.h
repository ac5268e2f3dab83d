/* SPDX-License-Identifier: Apache-2.0 */
/* How the files of the probe make their rows. */
#ifndef SBX_WORKER_PROBE_ROWS_H
#define SBX_WORKER_PROBE_ROWS_H

#include <stdint.h>

#include "sandbox/worker/identity.h"
#include "sandbox/worker/probe.h"

/** Adds a row; what was found is printf-like. @return it, valid until the next one is added */
struct probe_row *probe_add(struct probe_report *report, enum probe_state state, const char *step, const char *object,
			    const char *found, ...) __attribute__((format(printf, 5, 6)));
/** Adds the row of a step that failed, explained. */
void probe_add_error(struct probe_report *report, enum probe_state state, const struct error *error);
/** Says why a row is not PROBE_OK. Either may be NULL. */
void probe_give_reason(struct probe_row *row, const char *cause, const char *remedy);

/** Runs `body` in a child with these namespaces and takes the rows that it sends, half a minute at most.
 *  @return 0, or -errno: it could not be made */
int probe_run_child(struct probe_report *report, uint64_t namespaces, void (*body)(int report_fd, void *data),
		    void *data);
/** In the child: sends a row; sends an error, which is explained on the host, where its causes can be seen. */
void probe_send_row(int report_fd, const struct probe_row *row);
void probe_send_error(int report_fd, enum probe_state state, const struct error *error);

/** Kernel, system calls. */
void probe_kernel(struct probe_report *report);
/** What surrounds the worlds: directories, limits, memory, programs, container, login. */
void probe_surroundings(struct probe_report *report, const struct identity *identity);

#endif
