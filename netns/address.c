/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/address.h"

#include <arpa/inet.h>

union address address_make(const char *numeric, uint16_t port)
{
	union address address = { .any.sa_family = AF_UNSPEC };

	if (inet_pton(AF_INET, numeric, &address.four.sin_addr) == 1) {
		address.four.sin_family = AF_INET;
		address.four.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, numeric, &address.six.sin6_addr) == 1) {
		address.six.sin6_family = AF_INET6;
		address.six.sin6_port = htons(port);
	}
	return address;
}

socklen_t address_size(const union address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->six) : sizeof(address->four);
}

uint16_t address_port(const union address *address)
{
	return ntohs(address->any.sa_family == AF_INET6 ? address->six.sin6_port : address->four.sin_port);
}
