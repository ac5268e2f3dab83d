/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of one run, runs/ID in the state directory: its seeds while it lasts, its logs and events afterwards.
 */
#ifndef SBX_RUN_DIRECTORY_H
#define SBX_RUN_DIRECTORY_H

#include <stddef.h>

#include "base/error.h"
#include "sandbox/registry/row.h"

/* Its journal (journal.h). */
#define RUN_DIRECTORY_EVENTS "events.jsonl"

struct run_directory {
	char id[ID_LENGTH + 1];
	char *path; /* absolute */
	int fd;	    /* claimed (claim.h) while the run lasts */
	int events_fd;
	unsigned files; /* how many passing files were made */
	int state_fd;	/* of the state directory */
	int claim_fd;	/* uppers/ID, which holds the place */
	char *seeds;	/* absolute: the place */
};

#define RUN_DIRECTORY_NONE                                                                                             \
	{                                                                                                              \
		.fd = -1, .events_fd = -1, .state_fd = -1, .claim_fd = -1                                              \
	}

/** Makes it, under a new id. @ret_directory run_directory_close()   Errors: the state directory cannot be written */
int run_directory_open(struct run_directory *ret_directory, struct error *error);
/** Removes the seeds and their place, when no world needs them any more. */
void run_directory_remove_seeds(struct run_directory *directory);
/** The same, and lets go of it; logs and events stay. */
void run_directory_close(struct run_directory *directory);

/** An absolute path in it, printf-like. @return the caller's */
char *run_directory_path(const struct run_directory *directory, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** Makes a directory of that path, mode 0700, and opens it. Exists: is opened. */
int run_directory_make(const struct run_directory *directory, const char *path, int *ret_fd, struct error *error);
/** Makes an empty directory for a seed. @ret_path, @ret_fd the caller's */
int run_directory_make_seed(const struct run_directory *directory, unsigned number, char **ret_path, int *ret_fd,
			    struct error *error);
/** A new unnamed file in it, to be read and written. */
int run_directory_open_file(struct run_directory *directory, const char *what, int *ret_fd, struct error *error);
/** Takes its journal back: to who lists runs it is none, and the next one removes it. */
void run_directory_forget(struct run_directory *directory);
/** Adds a line to events.jsonl. */
void run_directory_log_event(struct run_directory *directory, const char *line, size_t size);

#endif
