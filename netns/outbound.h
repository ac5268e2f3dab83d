/* SPDX-License-Identifier: Apache-2.0 */
/* --net outbound: a world's way out to the networks of the host, by pasta (the package passt).
 *
 * pasta is an existing component with one job: it puts a tap device into the world's network and makes of what comes
 * out of it ordinary sockets of this user. It runs on the host, never inside. What it is told here: the host's own
 * loopback is not to be reached through the gateway's address (--no-map-gw), no port is forwarded in either direction,
 * and queries to OUTBOUND_DNS go to the host's name server, wherever that listens. */
#ifndef SBX_NETNS_OUTBOUND_H
#define SBX_NETNS_OUTBOUND_H

#include "base/error.h"
#include "base/text.h"

/* An address that no network has (link-local, RFC 3927): the host's name server, as the world sees it. */
#define OUTBOUND_DNS "169.254.1.1"

/** Looks whether it can be had, before a world is made. Errors: ENOENT pasta is missing; EACCES /dev/net/tun */
int outbound_check(struct error *error);

/** Checks a name server's address. @return 0 or -EINVAL */
int outbound_check_dns(const char *text, struct error *error);

/** The world's resolv.conf: these servers, or OUTBOUND_DNS where there is none; search and options of the host's.
 *  @host_text  the host's file; NULL: it has none   @return the caller's, free(3) */
char *outbound_resolv_conf(const char *host_text, const struct text_list *servers);

/** Serves one world: waits on `socket` for what its PID 1 asks in outbound_ask(), runs pasta for it, and ends that at
 *  the end of file, which is the world's. In a process of its own on the host, whose death pasta does not outlive. */
void outbound_serve(int socket) __attribute__((noreturn));

/** The other side, in the world's PID 1, while it is dumpable still: returns when the way out is there.
 *  Errors: what pasta complained of */
int outbound_ask(int socket, struct error *error);

#endif
