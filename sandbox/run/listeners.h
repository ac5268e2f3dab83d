/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens on TCP ports, in a world or on the host: TASK_LISTENERS's answer, taken apart. It comes from payloads, so
 * it is checked like any input. */
#ifndef SBX_RUN_LISTENERS_H
#define SBX_RUN_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/pool/member.h"

/* In the environment of each server that the runner's config names, and of what it starts: the hook marks them. */
#define LISTENER_SERVICE_VARIABLE "SBX_SERVICE"

struct listener {
	uint16_t port;
	pid_t pid; /* 0: not found, then the next four are empty */
	struct text_list command;
	struct text_list environment;
	char *directory;
	char *service; /* which of the config's servers it belongs to; NULL: none */
};

struct listeners {
	struct listener *items; /* one for each port */
	size_t count;
};

void listeners_release(struct listeners *listeners);
#define owned_listeners __attribute__((cleanup(listeners_release))) struct listeners

/** Understands the answer. Errors: EBADMSG */
int listeners_read(const char *text, size_t size, struct listeners *ret_listeners, struct error *error);
/** Those of a world, asked of its PID 1. */
int listeners_of_world(const struct member *member, struct listeners *ret_listeners, struct error *error);
/** Those of the host; of processes that are not the caller's only the port is known. */
int listeners_of_host(struct listeners *ret_listeners, struct error *error);

/** The one on that port, or NULL. */
const struct listener *listeners_find(const struct listeners *listeners, uint16_t port);

/** Whether the kernel gives out that port by itself, to who asks for any: it says nothing about what was meant. */
bool listeners_is_ephemeral(uint16_t port);

#endif
