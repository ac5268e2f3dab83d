/* SPDX-License-Identifier: Apache-2.0 */
/* The published ports of one world, in its PID 1: for each a listening socket of the host's and a forwarder.
 *
 * A forwarder is a fork of PID 1 inside the world's network (netns/forward.h). It is not dumpable from its first
 * instruction, since PID 1 is not, and it keeps PID 1's capabilities until its filter is on: at no time a payload of
 * the same uid can look into it or take a descriptor out of it (finding 41; with either of the two it cannot). It can
 * kill it: then PID 1, which keeps the socket, starts another, and connections wait in the backlog meanwhile. */
#ifndef SBX_WORKER_PORTS_H
#define SBX_WORKER_PORTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"
#include "netns/publish.h"

/* What a port is there for. */
struct port_holder {
	const void *holder; /* it ends with this one: ports_drop(); NULL: with the world */
	bool is_world;	    /* the socket is another world's, not the host's (shared.h): not listed */
};

struct port {
	struct publish_rule rule;
	int listener_fd; /* owned */
	pid_t forwarder; /* 0: none */
	unsigned failures;
	struct port_holder held;
};

struct ports {
	struct port *items;
	size_t count;
};

/** Publishes one. @listener_fd  taken over, on failure too; anything may have been sent: it is looked at
 *  Errors: ENOTSOCK no listening TCP socket; EMFILE there are PORTS_MAX, or PORTS_OF_WORLDS_MAX; of starting a
 *  process */
int ports_add(struct ports *ports, const struct publish_rule *rule, int listener_fd, const struct port_holder *held,
	      struct error *error);
enum { PORTS_MAX = 64, PORTS_OF_WORLDS_MAX = 2048 };

/** Unpublishes those that this one names: its port, and the host's port and address where `text` says them.
 *  @return how many, or -ENOENT */
int ports_remove(struct ports *ports, const char *text, struct error *error);

/** Unpublishes what `holder` holds. @return whether there was any */
bool ports_drop(struct ports *ports, const void *holder);

/** A child of PID 1 has ended. @goes_on  whether another forwarder is to be started
 *  @ret_given_up  "127.0.0.1:8080:5555" where it has ended so often that none is started any more, and nothing listens
 *                 there now; the caller's; else untouched
 *  @return whether it was a forwarder */
bool ports_child_ended(struct ports *ports, pid_t pid, int status, bool goes_on, char **ret_given_up);

/** "127.0.0.1:8080:5555" for each that is listened on. @ret_texts  added to */
void ports_list(const struct ports *ports, struct text_list *ret_texts);

/** In another fork of PID 1: lets go of the sockets. */
void ports_forget(struct ports *ports);

#endif
