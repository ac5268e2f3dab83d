/* SPDX-License-Identifier: Apache-2.0 */
/* The services of one world: started in order by its PID 1, watched until they are ready, logged, told of.
 *
 * Made on the host before clone, where memory is taken; run inside PID 1's loop as its guest (worker/server.h), which
 * both have as a copy. The owner hears of each change as REPLY_SERVICE: services_news_unpack(). */
#ifndef SBX_POOL_SERVICES_H
#define SBX_POOL_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/pool/service.h"
#include "sandbox/worker/server.h"

enum service_state {
	SERVICE_WAITING, /* for others */
	SERVICE_STARTED,
	SERVICE_READY,
	SERVICE_FAILED,	    /* it never got ready: the error says why, with the last lines of its log */
	SERVICE_ENDED,	    /* it was ready, and has ended: the error says how */
	SERVICE_COMPLETED,  /* a job, and has ended with status 0 */
	SERVICE_RESTARTING, /* it has ended, and will be started anew: the error says how it ended */
	SERVICES_ALL_READY, /* of the whole world */
	SERVICES_STOPPED,   /* all have ended, as was asked for, and so will the world */
	SERVICES_RENEWED,   /* the same, to be made anew */
};

/* What the owner hears. */
struct services_news {
	unsigned index;	 /* of the service */
	unsigned status; /* SERVICE_ENDED, SERVICE_RESTARTING: as the shell counts */
	enum service_state state;
};

struct services_news services_news_unpack(int64_t number);

struct services;

/* In the log directory of a world that was stopped on purpose: nobody makes it anew. */
#define SERVICES_STOPPED_FILE ".stopped"

/** @list  borrowed as long as the world lives
 *  @log_directory_fd  where each has its log, NAME; borrowed, kept open in PID 1 by being the plan's log_fd; -1: none
 *  Errors: of checking the readiness */
int services_new(const struct service_list *list, int log_directory_fd, struct services **ret_services,
		 struct error *error);
void services_free(struct services *services);

/** What PID 1 shall run. Borrows `services`. */
struct server_guest services_guest(struct services *services);

#endif
