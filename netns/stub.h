/* SPDX-License-Identifier: Apache-2.0 */
/* A network link that leads nowhere, so that programs believe the machine is online.
 *
 * Chromium reports navigator.onLine === false while `lo` is the only interface; a link that has carrier and an address
 * makes it true, an address on `lo` or a tap without carrier does not (finding 21). The link is a veth pair with both
 * ends in the world, else an ifb device: no packet leaves the network namespace. The first end has the address
 * STUB_ADDRESS and the default route, by which GLib's network monitor, and so WebKit, judges. But a routing rule makes
 * every address that is not the world's own unreachable: a connection outwards fails at once, exactly as without the
 * link, and an offline suite does not wait for each foreign font or name server.
 *
 * Inside the world, after clone; needs CAP_NET_ADMIN over the namespace. Costs 1.5 to 2 ms of the kernel's time. */
#ifndef SBX_NETNS_STUB_H
#define SBX_NETNS_STUB_H

#include "base/error.h"

/* Documentation network TEST-NET-1 of RFC 5737: no real host has it. */
#define STUB_ADDRESS "192.0.2.2"
#define STUB_NAME    "stub0"

enum stub_type {
	STUB_NONE, /* this kernel can make neither: browsers will believe they are offline */
	STUB_VETH,
	STUB_IFB,
};

/** Makes the link. A kernel that knows none of the types is no error.
 *  @return enum stub_type, or -errno */
int stub_link_add(struct error *error);

/** "veth", "ifb" or "none". */
const char *stub_type_name(enum stub_type type);

#endif
