/* SPDX-License-Identifier: Apache-2.0 */
/* The servers under test of a run, as services that each world starts for itself: those of sbx.yaml, and those that the
 * runner's config says it starts (Playwright's webServer). Where both have one of the same name or port, that of
 * sbx.yaml is meant: it says how the worlds shall have it. */
#ifndef SBX_RUN_SERVERS_H
#define SBX_RUN_SERVERS_H

#include "base/error.h"
#include "sandbox/pool/member.h"
#include "sandbox/pool/project.h"
#include "sandbox/pool/service.h"
#include "sandbox/run/events.h"
#include "sandbox/run/listeners.h"

/* A line about each change, "w2: api is ready". */
typedef void servers_say(const char *line);

struct servers;

struct servers_source {
	const struct project *project; /* NULL: none */
	const struct events *events;   /* what the runner told; NULL: only those of sbx.yaml, as R starts them */
	unsigned worker;	       /* {worker} in sbx.yaml */
	unsigned workers;	       /* {workers} */
	bool has_shared; /* with those that are `shared`, as R has them; the worlds have only the ports of these */
};

/** Reads them. @ret_servers the caller's, servers_free()   Errors: of an env_file; one that is `shared` names no
 *  port */
int servers_read(const struct servers_source *source, struct servers **ret_servers, struct error *error);
void servers_free(struct servers *servers);
/** Borrowed, until the next change. */
const struct service_list *servers_list(const struct servers *servers);
enum { SERVERS_PORTS_MAX = 2 + READINESS_FURTHER_MAX };
/** The ports that a service is known by. @return how many */
size_t servers_ports(const struct readiness_options *ready, uint16_t ports[static SERVERS_PORTS_MAX]);
/** Makes each port that one of them listens on in R a condition of its readiness in the worlds: a second port that is
 *  open a moment later than the one that the config names would be missing when the tests begin. */
void servers_expect(struct servers *servers, const struct listeners *runner);

/* Those of one world, on their way. */
struct servers_world;

/** Takes what a member's PID 1 told about its services: changes the member's state. */
void servers_hear(struct servers_world *world, struct member *member, const struct reply *reply);
/** Fills options->guest for a world, and what `member` hears of it. @servers  borrowed as long as the world lives
 *  @log_fd  a directory, borrowed; -1: none
 *  @ret_world  the caller's, servers_release_world() after the member's end */
int servers_enter(const struct servers *servers, int log_fd, struct member *member, struct member_options *options,
		  struct servers_world **ret_world, struct error *error);
/** What went wrong with a service since it was ready; 0: nothing. The error's object is the service. */
int servers_trouble(const struct servers_world *world, struct error *error);
/** Whether all ports that a service is known by are open, whatever became of its command: one may put its server behind
 *  and end. */
bool servers_answer(const struct servers *servers, const char *name, const struct listeners *world);
/** How long a service of the list took until it was ready; 0: it is not known. */
uint64_t servers_start_ms(const struct servers_world *world, size_t index);
void servers_release_world(struct servers_world *world);

#endif
