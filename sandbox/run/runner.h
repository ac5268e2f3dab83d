/* SPDX-License-Identifier: Apache-2.0 */
/* World R of a test run: the runner in it, the services of sbx.yaml that it has from the start, and what it told.
 *
 *	runner_begin()		looks all up and makes the world; its services start in it
 *	loop:			poll on member_fd(&runner->member); member_hear() until it is READY
 *	runner_start_command()	the runner itself
 *	loop:			until `has_ended`, with `status`; the world stays, for what is to be copied out of it
 *	runner_release()
 *
 * What a world of the run differs in from R stands in slot.h. */
#ifndef SBX_RUN_RUNNER_H
#define SBX_RUN_RUNNER_H

#include <stdbool.h>

#include "base/error.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/events.h"
#include "sandbox/run/listeners.h"
#include "sandbox/run/run.h"
#include "sandbox/run/servers.h"
#include "sandbox/worker/spec.h"

struct runner {
	const struct run_options *options; /* borrowed */
	struct run_directory *directory;   /* borrowed */
	struct spec spec;		   /* its world's; borrows all texts */
	struct volume_list volumes;	   /* of the spec: those of the options, and the files of the CI job */
	struct member member;
	char *name;
	struct events events;		/* what it told */
	struct servers *declared;	/* what starts there for sbx.yaml; NULL: nothing */
	struct servers_world *services; /* those, on their way; NULL */
	struct listeners listeners;	/* who listened there as it was frozen last */
	unsigned worlds_begun;		/* beside it, with replaced ones; slot.c counts */
	int log_fd;			/* where the services' logs are; -1 */
	bool has_begun;			/* the command */
	bool has_ended;			/* the command, as `status` says */
	bool are_resting;		/* the services */
	int status;			/* as wait(2) gives it */
};

/** Of a run with those options. */
void runner_init(struct runner *runner, const struct run_options *options, struct run_directory *directory);
/** Ends what there is of it. */
void runner_release(struct runner *runner);

/** With one world R is that world; unless tests are to begin in worlds that R, which goes on, cannot be. */
bool runner_is_the_world(const struct runner *runner);

/** @spec  what a world of the run is like, borrowed with all its texts
 *  Errors: of sbx.yaml's services, of member_begin() */
int runner_begin(struct runner *runner, const struct spec *spec, struct error *error);
/** When the services of sbx.yaml are ready in R, as they would be where it runs without sbx. Errors: as
 *  attach_start() */
int runner_start_command(struct runner *runner, struct error *error);
void runner_signal(const struct runner *runner, int number);
/** Ends the services of sbx.yaml in R once the worlds have theirs and nothing in R will ask them again: a job of them
 *  would go on beside those of the worlds, one e-mail more than there are worlds. */
void runner_rest_services(struct runner *runner);

/** What a world starts. @has_shared  as servers_source's   @ret_servers  the caller's, servers_free() */
int runner_read_servers(const struct runner *runner, unsigned worker, bool has_shared, struct servers **ret_servers,
			struct error *error);
/** What a world has of R: the ports of its services that are `shared`. @options  `shared` is filled */
int runner_share_services(const struct runner *runner, struct member_options *options, struct error *error);

#endif
