/* SPDX-License-Identifier: Apache-2.0 */
/* --reach NAME=HOST:PORT: one place outside that a world comes at, and no other.
 *
 * The mirror image of a published port: the listening socket is made inside the world and handed to a process on the
 * host, which forwards it (netns/forward.h). That process is in none of the world's namespaces, so no payload comes at
 * it; what it connects to is fixed before the world is made. Inside, NAME stands in /etc/hosts with a loopback address,
 * and the port has the same number. */
#ifndef SBX_NETNS_REACH_H
#define SBX_NETNS_REACH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "netns/forward.h"

enum { REACH_NAME_SIZE = 256 };

struct reach_rule {
	char name[REACH_NAME_SIZE]; /* inside */
	char host[REACH_NAME_SIZE]; /* outside: a numeric address or a name */
	uint16_t port;		    /* of both */
	/* Its loopback address inside: 127.0.0.1, but where two names have the same port. reach_choose_addresses() */
	char address[INET_ADDRSTRLEN];
	union address targets[FORWARD_TARGETS_MAX];
	size_t target_count;
};

/** Reads NAME=HOST:PORT, an IPv6 address in brackets. @return 0 or -EINVAL */
int reach_parse(const char *text, struct reach_rule *ret_rule, struct error *error);

/** Gives each name a loopback address, so that no port of two names is one.
 *  Errors: EEXIST a name leads to two places by one port; E2BIG more names with one port than there are addresses */
int reach_choose_addresses(struct reach_rule *rules, size_t count, struct error *error);

/** "NAME:127.0.0.1", for hosts_build(); NULL for localhost, which has its addresses. @return the caller's */
char *reach_host_entry(const struct reach_rule *rule);

/** Looks HOST up, on the host: numbers as they are, names by getent(1), since a static program has no name service of
 *  its own (finding 58). Errors: ENOENT there is no such host */
int reach_resolve(struct reach_rule *rule, struct error *error);

enum { REACH_LISTENERS_MAX = 2 };
/** Listens inside the world. @ret_fds the caller's   @ret_count 1, or for localhost 2: both families, where there
 *  are */
int reach_listen(const struct reach_rule *rule, int ret_fds[static REACH_LISTENERS_MAX], size_t *ret_count,
		 struct error *error);

#endif
