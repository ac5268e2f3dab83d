/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of the payload that need no cgroup: setrlimit(2) and sched_setaffinity(2).
 *
 * Lowered by default are processes (the smaller of the hard limit and 8192) and core dumps; nothing else, and nothing
 * is raised that was not named. RLIMIT_NPROC counts this world's processes alone because it is set inside the new user
 * namespace (since kernel 5.14, finding 14); it never binds for the host's uid 0 (finding 56).
 *
 * Life: limits_init(), the parsers for each flag, limits_prepare() on the host before clone, limits_apply() in every
 * spawned child. */
#ifndef SBX_POLICY_LIMITS_H
#define SBX_POLICY_LIMITS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/text.h"

#define LIMITS_PROCESSES_DEFAULT 8192
/* .NET's runtime dies at 256 open files, idles at 290 and works from 320. */
#define LIMITS_OPEN_FILES_LOW 1024
/* CONFIG_NR_CPUS of the largest distribution kernels. */
#define LIMITS_PROCESSORS_MAX 8192

enum limit_source {
	LIMIT_INHERITED, /* left alone */
	LIMIT_DEFAULT,	 /* lowered where the inherited one is higher */
	LIMIT_NAMED,	 /* exactly this, or the worker does not start */
	LIMIT_TRIED,	 /* ",try": as near as can be */
};

struct limit {
	enum limit_source source;
	rlim_t soft;
	rlim_t hard;
};

struct limits {
	struct limit items[RLIM_NLIMITS]; /* by RLIMIT_* */
	bool has_processors;
	bool try_processors;
	cpu_set_t processors[LIMITS_PROCESSORS_MAX / CPU_SETSIZE]; /* one set; to be used with CPU_*_S() */
};

/** Fills in the defaults. */
void limits_init(struct limits *limits);
void limits_release(struct limits *limits);

/** --ulimit NAME=SOFT[:HARD][,try]: docker's names, and "as"; units as setrlimit(2) has them; -1 or "unlimited" for no
 *  limit. The last one of a name wins. @return 0 or -EINVAL */
int limits_parse_ulimit(struct limits *limits, const char *text, struct error *error);
/** --pids-limit N[,try]: processes and threads; -1 for no limit of ours. @return 0 or -EINVAL */
int limits_parse_processes(struct limits *limits, const char *text, struct error *error);
/** --cpuset-cpus LIST[,try], as 0-2,4. @return 0 or -EINVAL */
int limits_parse_processors(struct limits *limits, const char *text, struct error *error);

/** Host side, before clone: checks what is named against what this process has. A hard limit above its own is raised
 *  here where that is allowed (real root: no capability inside a world can do it), else it is an error, or with ",try"
 *  lowered and noted.
 *  @ret_notes  sentences for the user, added to it: what was lowered, and a soft limit on open files below 1024
 *  @return 0 or -errno */
int limits_prepare(struct limits *limits, struct text_list *ret_notes, struct error *error);

/** In a spawned child inside the world, before its capabilities go. Takes no memory. @return 0 or -errno */
int limits_apply(const struct limits *limits, struct error *error);

/** "nofile" for RLIMIT_NOFILE. */
const char *limits_name(int resource);

#endif
