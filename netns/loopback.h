/* SPDX-License-Identifier: Apache-2.0 */
/* The loopback interface of a fresh network namespace, and what else a server there may expect of it.
 *
 * Inside the world, after clone, before the payload; needs CAP_NET_ADMIN over the namespace. The kernel gives `lo` its
 * addresses 127.0.0.1/8 and ::1/128 by itself when it goes up (inetdev_event() and addrconf_notify()). */
#ifndef SBX_NETNS_LOOPBACK_H
#define SBX_NETNS_LOOPBACK_H

#include "base/error.h"

/** Brings `lo` up. Writes `errno` in an error only, for netns/maker.h. @return 0 or -errno */
int loopback_bring_up(struct error *error);

/** Lets processes without capabilities bind ports below 1024, as in most containers: the ports are the world's own.
 *  Needs a /proc that may be written; the setting is per network namespace (ip-sysctl.rst, since kernel 4.11).
 *  @return 0 or -errno */
int loopback_allow_low_ports(struct error *error);

#endif
