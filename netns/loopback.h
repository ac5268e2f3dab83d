/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SBX_NETNS_LOOPBACK_H
#define SBX_NETNS_LOOPBACK_H

#include "base/error.h"

/** Brings up `lo`, inside a fresh network namespace whose owner this process is; 127.0.0.1 and ::1 come with it.
 *  By ioctl, netdevice(7): a netlink socket would cost more calls on the path of every start. @return 0 or -errno */
int loopback_bring_up(struct error *error);

#endif
