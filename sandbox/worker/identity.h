/* SPDX-License-Identifier: Apache-2.0 */
/* Who the caller is, without the name service: a static binary has none, and a dynamic one would load the libraries of
 * its modules (finding 58). /etc/passwd and /etc/group are read as text, passwd(5), group(5). Host side, before clone.
 */
#ifndef SBX_WORKER_IDENTITY_H
#define SBX_WORKER_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "sandbox/registry/state.h"

struct identity {
	uid_t uid; /* on the host */
	gid_t gid;
	uid_t inner_uid; /* in the world: the same, or 0 with --as-root */
	gid_t inner_gid;
	char *user;	   /* login name, by the host's file, else $USER, else "user1000" */
	char *home;	   /* canonical; NULL: the caller has none */
	char *passwd_text; /* for /etc/passwd, where the host's lacks the inner uid; NULL: not needed (finding 18) */
	char *group_text;  /* the same for /etc/group and the inner gid */
};

/* What identity_make() goes by: the process's ids, the texts of the host's files (NULL: there is none), the caller's
 * variables (NULL: not set). */
struct identity_sources {
	uid_t uid;
	gid_t gid;
	const char *passwd_text;
	const char *group_text;
	const char *user;
	const char *home;
};

/** Reads who runs this process. HOME is $HOME where that is an absolute path of a directory of the caller's own, else
 *  the same of the passwd entry; never "/". Files of more than 16 MiB are an error.
 *  @return 0 or -errno   @ret_identity  to be given to identity_release() */
int identity_read(bool as_root, struct identity *ret_identity, struct error *error);
/** The same from given sources. */
void identity_make(const struct identity_sources *sources, bool as_root, struct identity *ret_identity);
void identity_release(struct identity *identity);

/** Where this caller's state lies. @ret_places  the caller's, state_paths_release() */
int identity_find_places(struct state_paths *ret_places, struct error *error);

#define IDENTITY_MAP_SIZE 48
/** The lines for /proc/PID/uid_map and gid_map: one id each, user_namespaces(7). Both return `text`. */
char *identity_uid_map(const struct identity *identity, char text[static IDENTITY_MAP_SIZE]);
char *identity_gid_map(const struct identity *identity, char text[static IDENTITY_MAP_SIZE]);

/** In PID 1, whose user namespace is new: writes its setgroups, uid_map and gid_map. @return 0 or -errno */
int identity_write_maps(const struct identity *identity, struct error *error);

#endif
