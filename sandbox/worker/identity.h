/* SPDX-License-Identifier: Apache-2.0 */
/* Who the caller is, without the name service: a static binary has none, and it would load files of the host
 * (finding 58). */
#ifndef SBX_WORKER_IDENTITY_H
#define SBX_WORKER_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct identity {
	uid_t uid; /* on the host */
	gid_t gid;
	uid_t inner_uid; /* in the world: the same, or 0 */
	gid_t inner_gid;
	char *home;	   /* $HOME if absolute and the caller's own, else the passwd entry's; canonical; NULL: none */
	char *passwd_text; /* for /etc/passwd, where the host's lacks the caller; NULL: not needed (finding 18) */
	char *group_text;
};

/** Reads it. @return 0 or -errno */
int identity_read(bool as_root, struct identity *ret_identity, struct error *error);
void identity_release(struct identity *identity);

/** Inside a fresh user namespace: writes setgroups, uid_map and gid_map for this process; user_namespaces(7). */
int identity_write_maps(const struct identity *identity, struct error *error);

#endif
