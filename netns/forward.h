/* SPDX-License-Identifier: Apache-2.0 */
/* A process that takes connections on sockets it was given and leads each to one place, byte for byte.
 *
 * Where it listens and where it connects may be two networks: a socket belongs to the network of its maker for ever,
 * and this process makes only the ones that it connects. A published port: listener of the host, process in the world.
 * --reach: listener of the world, process on the host. So neither side can come at anything but what the rules name,
 * as long as it cannot come at this process: the caller forks it, makes it undumpable, and confines it.
 *
 * Kept over the connection: order and number of bytes, end of file in each direction on its own (shutdown(2)), resets,
 * and back pressure (a reader that is slow slows the writer). What is not: the first connect succeeds even where
 * nothing listens at the target; it is reset then. */
#ifndef SBX_NETNS_FORWARD_H
#define SBX_NETNS_FORWARD_H

#include <stddef.h>

#include "netns/address.h"

enum { FORWARD_TARGETS_MAX = 8 };

struct forward {
	int listener_fd; /* listening, non-blocking; borrowed */
	/* Tried in order, from the one that answered last. */
	union address targets[FORWARD_TARGETS_MAX];
	size_t target_count;
};

/** Prepares what the confined process may not do any more: SIGPIPE, the number of descriptors, epoll. Before
 *  forward_run(), in the process that is going to. */
void forward_prepare(void);

/** Forwards until `lifeline_fd` (-1: none) reads end of file. Makes no call that syscalls.def does not allow a
 *  FORWARDER. Never returns: exit status 0 then, 1 where it cannot go on. */
void forward_run(struct forward *forwards, size_t count, int lifeline_fd) __attribute__((noreturn));

#endif
