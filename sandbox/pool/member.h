/* SPDX-License-Identifier: Apache-2.0 */
/* One world among several, seen from the process that owns them: made without waiting, driven from a poll loop.
 *
 *	member_begin()	looks everything up and clones PID 1
 *	loop:		poll on member_fd(); member_hear() until its state says READY (its services answer) or DEAD
 *	member_connect()	a connection to its PID 1, for oneself (tasks) or to be handed on (a lease)
 *	member_end()	returns when all of it is gone
 *
 * Its lifeline is the owner's: however that ends, the world ends. */
#ifndef SBX_POOL_MEMBER_H
#define SBX_POOL_MEMBER_H

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/worker/launch.h"
#include "sandbox/worker/listing.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/world.h"

enum member_state {
	MEMBER_ABSENT,
	MEMBER_STARTING, /* its world is being made */
	MEMBER_WAITING,	 /* it stands; its services are not ready yet */
	MEMBER_READY,
	MEMBER_DEAD, /* `error` says why */
};

struct member_options {
	const struct spec *spec; /* borrowed as long as the member lives */
	const char *name;	 /* borrowed: "RUN.w2" */
	const char *run;	 /* borrowed */
	int index;		 /* SBX_WORKER; -1: none */
	unsigned count;		 /* SBX_WORKERS; 0: none */
	struct annex annex;
	const struct seed *seed;	  /* what it starts from; NULL: what the spec says */
	const struct moved *moved;	  /* it comes from another machine, borrowed; NULL: it does not */
	const struct server_guest *guest; /* its services; NULL: none, then READY is when it stands */
	const char *log_directory;	  /* absolute; NULL: none */
	int log_fd;			  /* the same, borrowed until it has begun; -1 */
	bool is_to_detach;		  /* member_detach() will follow */
	struct shared_ports shared;	  /* what it has of another world; its fd is taken over */
	unsigned last_pid;		  /* its processes are numbered from the next on; 0: from 1 on */
	int hold_fd; /* what its PID 1 keeps open as long as the world lives, borrowed; 0: nothing */
};

struct member {
	enum member_state state;
	struct worker_plan plan;
	struct listing listing;
	struct launched launched;
	struct text_list degraded;
	int annex_fd; /* the annex's listening socket, once it is READY; -1 */
	struct error error;
	/* Told of what is not about its start: REPLY_STARTED, REPLY_EXITED, REPLY_SERVICE…; may be NULL. Both stay over
	 * member_end(). */
	void (*hear)(void *argument, struct member *member, const struct reply *reply);
	void *argument;
	bool has_guest;
	char *log_directory;
};

/** An absent one. */
void member_init(struct member *member);

/** @grafts  taken over with their descriptors   Errors: of plan_make(), listing_open(), launch_begin(); then it is
 * absent */
int member_begin(struct member *member, const struct member_options *options, struct graft *grafts, size_t graft_count,
		 launch_say *say, struct error *error);

/** What to wait for: readable. -1: nothing. */
int member_fd(const struct member *member);
/** Takes one message. */
void member_hear(struct member *member, launch_say *say);
/** Its services are ready; for hear(). */
void member_set_ready(struct member *member);

/** It is of no use: dead, as `error` says. For hear(). */
void member_fail(struct member *member, const struct error *error);

/** Makes a connection to its PID 1, with that right. @ret_fd the caller's */
int member_connect(const struct member *member, enum connect_right right, int *ret_fd, struct error *error);

/** Gives it another name among the living: @name  borrowed as long as it lives. What is kept of it has that, too. One
 *  that is absent, or not listed, is only called so from now on; so is one whose new name another has. */
void member_rename(struct member *member, const char *name);

/** Lets a READY one go on without this process; it is absent then. Errors: its PID 1 is gone; it is not absent then */
int member_detach(struct member *member, struct error *error);

/** Ends it; it is absent then, and can begin again. Takes an absent one. */
void member_end(struct member *member);

#endif
