/* SPDX-License-Identifier: Apache-2.0 */
/* What a run is looked at for, from its command line to its end, so that each way in which a first run fails ends in a
 * sentence (advice.h). Some stop the run: they return -errno, before the first test wherever it can be known then. */
#ifndef SBX_RUN_CHECKS_H
#define SBX_RUN_CHECKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/pool/service.h"
#include "sandbox/run/advice.h"
#include "sandbox/run/events.h"
#include "sandbox/run/listeners.h"
#include "sandbox/worker/spec.h"

enum { CHECKS_SLOTS_MAX = 256 };

struct checks_file {
	char *path;
	unsigned tests;
};

struct checks {
	const struct spec *spec; /* borrowed */
	const char *tree;	 /* borrowed, absolute; filled in by the caller once it is known */
	unsigned workers;	 /* -n; 0: the runner's number */
	struct advice_said said;
	struct listeners host;
	bool host_known;
	bool is_ending; /* filled in by the caller: somebody wants the run to end, so that what is missing says nothing */
	bool hello_done;
	bool config_done;
	uint16_t own_ports[64]; /* where the run's own servers listen */
	size_t own_port_count;
	/* What each world had to do, for the balance at the end. */
	uint64_t busy_ms[CHECKS_SLOTS_MAX];
	unsigned slots; /* the greatest, + 1 */
	uint64_t first_ms;
	uint64_t last_ms;
	struct checks_file *files;
	size_t file_count;
};

void checks_init(struct checks *checks, const struct spec *spec, unsigned workers, launch_say *say);
void checks_release(struct checks *checks);

/** The command itself, before anything is started. */
int checks_command(struct checks *checks, struct error *error);
/** What the runner told: its command line, its config, before it starts servers. To be called after each line.
 *  @environment  of world R, borrowed */
int checks_events(struct checks *checks, const struct events *events, const struct text_list *environment,
		  struct error *error);
/** Who listens in R as it is about to be frozen.
 *  @services  those that the worlds will start   @environment  of world R */
int checks_listeners(struct checks *checks, const struct events *events, const struct service_list *services,
		     const struct listeners *runner, const struct text_list *environment, struct error *error);
/** What a program said, a failed connection maybe. @where "w2" */
void checks_output(struct checks *checks, const char *text, const char *where);
/** Whether a text tells of a connection within its world that was refused, and that nothing else explains.
 *  @return the port; 0: it does not */
uint16_t checks_refused_port(struct checks *checks, const char *text);
/** Such a port, and who listens in that world. @where "w2" */
void checks_nobody(struct checks *checks, uint16_t port, const struct listeners *world, const char *where);
/** A test that ended. @now_ms  CLOCK_MONOTONIC */
void checks_test(struct checks *checks, const struct events_test *test, uint64_t now_ms);
/** The balance of a run that has ended. */
void checks_end(struct checks *checks, const struct events *events);

#endif
