/* SPDX-License-Identifier: Apache-2.0 */
/* The services that sbx.yaml declares, made into those that a world starts: `up` and `test` alike. Host side. */
#ifndef SBX_POOL_DECLARED_H
#define SBX_POOL_DECLARED_H

#include "base/error.h"
#include "sandbox/pool/project.h"
#include "sandbox/pool/service.h"
#include "sandbox/worker/world.h"

enum declared_shared {
	DECLARED_WITHOUT_SHARED, /* those that are `shared` are left out: they run once, beside the worlds */
	DECLARED_ONLY_SHARED,	 /* the others are left out */
	DECLARED_ALL,		 /* in the place beside the worlds, which has the others too */
};

struct declared_options {
	const struct project *project;
	char *const *caller; /* as environ(7): for `environment: [NAME]` */
	unsigned worker;     /* {worker} */
	unsigned workers;    /* {workers} */
	enum declared_shared shared;
};

/** Makes them. {worker} and {workers} are replaced in commands, environment, directories and readiness. One without
 *  `ready` that has `ports` is ready when the first of them is open.
 *  @ret_list  added to, service_list_release(); what a dependency on a service that is left out says is left out, too
 *  Errors: of reading an env_file; EINVAL one that is `shared` names no port */
int declared_services(const struct declared_options *options, struct service_list *ret_list, struct error *error);

/** The ports of those in the list that are `shared`, without a connection. Errors: E2BIG */
int declared_shared_ports(const struct service_list *list, struct shared_ports *ret_ports, struct error *error);

/** What users are to know of one that is `shared`; NULL: it is not. @return the caller's */
char *declared_describe_shared(const struct service *service);

/** Adds one service that is a command and nothing else, as `up -- CMD` has. @command  borrowed */
void declared_add_command(struct service_list *list, const char *name, const struct text_list *command, unsigned worker,
			  unsigned workers);

#endif
