/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses of TCP over IPv4 and IPv6. */
#ifndef SBX_NETNS_ADDRESS_H
#define SBX_NETNS_ADDRESS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

/** From a numeric address; one that is none becomes AF_UNSPEC, which every call refuses. No names are looked up. */
union address address_make(const char *numeric, uint16_t port);
socklen_t address_size(const union address *address);
uint16_t address_port(const union address *address);

#endif
