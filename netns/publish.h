/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of a world that are published on the host: what is written for them, and the host's end.
 *
 * The listening socket is made on the host and inherited by a forwarder inside the world (netns/forward.h). It belongs
 * to the host's network for ever, and so does each connection accepted on it: whoever got hold of one could connect it
 * to any service of the host (finding 41). No payload may ever hold it, or look into a process that does. */
#ifndef SBX_NETNS_PUBLISH_H
#define SBX_NETNS_PUBLISH_H

#include <netinet/in.h>
#include <stdint.h>

#include "base/error.h"
#include "netns/forward.h"

/* What a caller says where none is named: other machines have no business with a test's server. */
#define PUBLISH_HOST "127.0.0.1"

struct publish_rule {
	char host[INET6_ADDRSTRLEN]; /* the host's end: a numeric address */
	uint16_t host_port;	     /* 0: any free one */
	uint16_t port;		     /* inside */
};

/** Reads docker's -p: [[IP:]HOST:]PORT[/tcp], an IPv6 address in brackets; HOST empty, 0 or left out: any free port.
 *  @return 0 or -EINVAL */
int publish_parse(const char *text, struct publish_rule *ret_rule, struct error *error);

/** "127.0.0.1:8080:5555", as publish_parse() reads it. @return the caller's, free(3) */
char *publish_format(const struct publish_rule *rule);

/** Opens the host's end, in this process's network: before clone, or by another command for a live world.
 *  @rule    host_port becomes the one that was chosen where it is 0
 *  @ret_fd  the caller's; listening, non-blocking, CLOEXEC
 *  Errors: as socket(2), bind(2), listen(2) */
int publish_open_listener(struct publish_rule *rule, int *ret_fd, struct error *error);

/** What a forwarder does with it: the world's `localhost`, both families (finding 29). @listener_fd borrowed */
struct forward publish_forward(const struct publish_rule *rule, int listener_fd);

#endif
