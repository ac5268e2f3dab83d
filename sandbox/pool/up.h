/* SPDX-License-Identifier: Apache-2.0 */
/* `sbx up`: a pool of workers, each with its services. What happens, top to bottom: up.c.
 *
 * Host side. In the foreground the process that calls this owns the worlds, and nothing is left when it ends; detached,
 * the worlds go on when it has returned. */
#ifndef SBX_POOL_UP_H
#define SBX_POOL_UP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/pool/count.h"
#include "sandbox/pool/pool.h"
#include "sandbox/pool/project.h"
#include "sandbox/worker/launch.h"
#include "sandbox/worker/spec.h"

struct up_options {
	const struct spec *spec;       /* borrowed: what a world is like; its payload, if any, is the service `main` */
	const struct project *project; /* borrowed: its services, where there is no payload */
	const char *name;	       /* of the pool; NULL: its id */
	struct count count;
	unsigned spares;			/* that stand ready for `lease --fresh`; POOL_SPARES_MAX at most */
	const struct text_list *shared_publish; /* what of the shared services is published */
	bool is_detached;
	uint64_t wait_timeout_ms; /* until all are ready; 0: none but the services' own */
	/* Arguments, directory and settings, for pool.json; borrowed. The rest of it is filled in here. */
	const struct pool_description *description;
	launch_say *say;
};

/** Starts a pool. In the foreground: shows its logs, and returns when it has ended. Detached: returns when every worker
 *  is ready; its name is printed.
 *  @ret_exit_code  128 + signal after one, the highest exit status of services that all ended by themselves, else 0
 *  Errors: of making a world, of a service that does not get ready; nothing is left then */
int up_run(const struct up_options *options, int *ret_exit_code, struct error *error);

/** Makes anew what is missing of a detached pool. One at a time does that; who comes second finds nothing to do. */
int up_refill(const struct up_options *options, struct pool *pool, struct error *error);

#endif
