/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace that is made while its user does something else.
 *
 * To make one is the dearest step of a world's start (finding 45): the kernel registers some hundred settings, files
 * and a device, all on one processor. So a helper makes it, with `lo` up, and hands it over as a descriptor; the caller
 * enters it when nothing else is left to do. Whoever starts a maker has to be single-threaded, may change its own
 * namespaces, and takes no path that needs the network until netns_maker_enter() has returned 0. */
#ifndef SBX_NETNS_MAKER_H
#define SBX_NETNS_MAKER_H

#include "base/error.h"
#include "base/process.h"

struct netns_maker {
	struct process_beside helper;
	/* The helper's answer, to be read when it has ended. */
	int network_fd;
	struct error error;
};

#define NETNS_MAKER_NONE                                                                                               \
	{                                                                                                              \
		.network_fd = -1                                                                                       \
	}

/** Starts the helper. `maker` must stay where it is until netns_maker_wait(). @return 0 or -errno */
int netns_maker_start(struct netns_maker *maker, struct error *error);

/** Waits until the helper has ended. Takes NETNS_MAKER_NONE and a second call.
 *  @return 0: the namespace is there, or nobody makes one
 *  Errors: of the step that failed; ECHILD: it was killed */
int netns_maker_wait(struct netns_maker *maker, struct error *error);

/** Waits, then enters the namespace. Errors: as netns_maker_wait(), setns(2) */
int netns_maker_enter(struct netns_maker *maker, struct error *error);

#endif
