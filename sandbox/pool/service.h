/* SPDX-License-Identifier: Apache-2.0 */
/* What a service is to be: what runs it is services.h. */
#ifndef SBX_POOL_SERVICE_H
#define SBX_POOL_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "sandbox/pool/readiness.h"

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

#endif
