/* SPDX-License-Identifier: Apache-2.0 */
/* A libnl socket with one owner. Nothing of this is on the start path of a plain worker. */
#ifndef SBX_NETNS_NETLINK_H
#define SBX_NETNS_NETLINK_H

#include <netlink/netlink.h>

/** Closes and frees *socket and sets it to NULL. Keeps errno. */
void netlink_close(struct nl_sock **socket);
#define owned_netlink __attribute__((cleanup(netlink_close))) struct nl_sock *

/** Opens a route socket in this network namespace, close-on-exec. @ret_socket the caller's   @return 0 or -errno */
int netlink_open(struct nl_sock **ret_socket);

/** The errno for a result of libnl's, which counts its errors on its own: netlink/errno.h. @return -errno, or 0 */
int netlink_result(int libnl_result);

#endif
