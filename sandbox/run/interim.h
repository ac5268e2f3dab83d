/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for what is on its way: the copy of a world until it is in a bundle, the files of a bundle until they are
 * in a world. It lies among the writable layers on disk, claimed, so that the next command collects what a killed one
 * left. Host side. */
#ifndef SBX_RUN_INTERIM_H
#define SBX_RUN_INTERIM_H

#include "base/error.h"
#include "sandbox/registry/row.h"
#include "sandbox/registry/state.h"

struct interim {
	int fd; /* the directory, empty at first, on a file system with user attributes; -1: none */
	int state_fd;
	char id[ID_LENGTH + 1];
	char *path; /* absolute */
};

#define INTERIM_NONE                                                                                                   \
	{                                                                                                              \
		.fd = -1, .state_fd = -1                                                                               \
	}

/** Makes it. @ret_interim  interim_close() in any case   Errors: the state directory cannot hold layers */
int interim_make(const struct state_paths *places, struct interim *ret_interim, struct error *error);
/** Removes it with all that is in it. Takes INTERIM_NONE and a second call. */
void interim_close(struct interim *interim);
#define owned_interim __attribute__((cleanup(interim_close))) struct interim

#endif
