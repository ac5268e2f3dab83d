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
#include "sandbox/pool/readiness.h"
#include "sandbox/worker/server.h"

/* What becomes of one that ended without having been told to. */
enum service_restart {
	SERVICE_RESTART_NO,
	SERVICE_RESTART_ALWAYS,
	SERVICE_RESTART_ON_FAILURE, /* when its status was not 0 */
};

enum { SERVICE_PORTS_MAX = 8 };

struct service {
	char *name;
	struct text_list command;
	struct text_list set;	/* NAME=VALUE, over the world's environment */
	struct text_list unset; /* NAME */
	char *directory;	/* absolute; NULL: the world's */
	bool has_readiness;	/* else it is ready when it runs */
	struct readiness_options ready;
	struct text_list after;		   /* names of those that must be ready before it starts */
	struct text_list after_start;	   /* … that must run */
	struct text_list after_end;	   /* … that must have ended with status 0: jobs */
	uint16_t ports[SERVICE_PORTS_MAX]; /* that it is known to listen on */
	size_t port_count;
	bool is_shared; /* other worlds need it: it goes on where those that serve this world alone rest */
	enum service_restart restart;
	unsigned restart_max; /* in a row; 0: without end */
	int stop_signal;
	uint64_t stop_timeout_ms; /* 0: the world's own */
};

struct service_list {
	struct service *items;
	size_t count;
};

void service_list_release(struct service_list *list);
/** Adds an empty one. @return it, until the next is added */
struct service *service_list_add(struct service_list *list);

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
