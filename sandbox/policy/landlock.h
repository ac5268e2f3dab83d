/* SPDX-License-Identifier: Apache-2.0 */
/* A second lock on what may be written, by path: landlock(7). Mounts are the first; nothing relies on this one.
 *
 * Everything that changes a file system (write, truncate, make, remove, rename, link) is refused except beneath the
 * given places; reading and executing are not touched. Best effort: what a kernel does not know is left out, and the
 * level says how much there is (0: nothing, else the ABI). Kernels before 5.19 (ABI 1) refuse every rename from one
 * directory into another once a domain exists, which no program expects: there the level is 0. */
#ifndef SBX_POLICY_LANDLOCK_H
#define SBX_POLICY_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct landlock_rules {
	const int *writable_fds; /* files and directories (O_PATH will do) beneath which changes are allowed */
	size_t writable_count;
	/* Numbers of descriptors that the payload gets. What it may write through them it may write by opening
	 * /dev/stdout or /proc/self/fd/N anew: Landlock judges by the file's place on the host, which is none of the
	 * above. Closed ones and those open for reading only are passed over. */
	const int *passed_fds;
	size_t passed_count;
	bool scope_for_host_network; /* no connect to abstract sockets and no signal out of the domain (ABI 6) */
	bool allow_userns;	     /* no rules for files: they forbid every change of mounts */
};

/** The level that landlock_confine() would reach with rules for files, without confining. */
int landlock_level(void);

/** Confines this process and what it starts, for good.
 *
 *  In a spawned child, after NO_NEW_PRIVS; takes no memory. A kernel without Landlock is no error.
 *  @return the level (0: not confined), or -errno */
int landlock_confine(const struct landlock_rules *rules, struct error *error);

#endif
