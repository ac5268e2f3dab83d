/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of task.c, one for each kind of task: not for anybody else.
 *
 * Each is called confined (task_confine()), where it does not say otherwise, and as the fork of PID 1 that task.h
 * describes. @return as task_run(). */
#ifndef SBX_WORKER_TASK_PARTS_H
#define SBX_WORKER_TASK_PARTS_H

#include <sys/types.h>

#include "base/error.h"
#include "base/table.h"
#include "base/text.h"
#include "overlay/diff.h"
#include "overlay/query.h"
#include "overlay/rows.h"
#include "sandbox/worker/stopper.h"
#include "sandbox/worker/task.h"
#include "sandbox/worker/world.h"

/* An answer on its way to a descriptor, in pieces, so that a long one needs little memory. */
struct task_output {
	int fd; /* borrowed */
	struct text_buffer buffer;
};

/** Writes what is buffered when there is much of it. */
int task_output_continue(struct task_output *output, struct error *error);
/** Writes the rest. */
int task_output_end(struct task_output *output, struct error *error);
void task_output_release(struct task_output *output);
#define owned_output __attribute__((cleanup(task_output_release))) struct task_output

/** Lets this process change files nowhere but beneath these directories, where the kernel has Landlock. Before
 * task_confine(), whose filter forbids the calls. @return 0 or -errno */
int task_forbid_writing(const int *writable_fds, size_t writable_count, struct error *error);

/** Adds the paths, relative to the layer, that sbx hid in it (credentials, the state directory). */
void task_list_marks(const struct world *world, const struct layer *layer, struct text_list *ret_marks);

/** Adds the paths, absolute, where something else is mounted in a layer. */
void task_list_mount_points(const struct world *world, const struct layer *layer, struct text_list *ret_points);
/** Mount points, and directories made on the way to them: the payload can neither make nor remove these.
 *  @path  of the entry, absolute */
bool task_is_mount_point(const struct text_list *points, const struct diff_entry *entry, const char *path);

/** @arguments  the format, then where to look; the format alone: everywhere */
int task_diff(const struct world *world, int out_fd, enum table_format format, const struct text_list *arguments,
	      struct error *error);

typedef int task_change(void *argument, const struct diff_entry *entry, const char *path);
/** Tells each change that `diff` would list, for a caller in this process; what cannot be read is passed over.
 *  @return 0, or what the callback returned */
int task_diff_each(const struct world *world, task_change *each, void *argument, struct error *error);

/** @inside  as the user wrote it: absolute, or below the tree */
int task_copy_out(const struct world *world, int host_fd, const char *inside, const char *host_name,
		  struct error *error);
int task_copy_in(const struct world *world, int host_fd, const char *host_name, const char *inside,
		 struct error *error);

int task_database_list(const struct world *world, int out_fd, enum table_format format, struct error *error);
int task_database_query(const struct world *world, int out_fd, enum table_format format, const char *database,
			const char *sql, struct error *error);

/** The databases that the world was given, and those that lie in its tree. Absolute paths. */
int task_database_gather(const struct world *world, struct text_list *ret_paths, struct error *error);
/** The one that a word means: a path; a name below the tree; the end of the path of one that the world has; nothing
 * where there is only one. @ret_path  absolute, the caller's */
int task_database_choose(const struct world *world, const char *word, char **ret_path, struct error *error);
/** Adds a value to an object: a blob as hexadecimal digits. */
void task_add_json_value(struct text_buffer *out, const char *name, const struct query_value *value);

/* Copies of databases in a directory, as TASK_DB_COPY makes them: 0, 1, … and the list of their paths. */
struct task_copies {
	int directory_fd;
	struct text_list paths;
};

/** @ret_copies  task_copies_close()   Errors: ENOENT there is no list, EBADMSG it cannot be read */
int task_copies_open(int directory_fd, struct task_copies *ret_copies, struct error *error);
/** Those of a world's snapshot. Errors: ENOENT, naming it */
int task_copies_open_snapshot(const struct world *world, const char *name, struct task_copies *ret_copies,
			      struct error *error);
void task_copies_close(struct task_copies *copies);
#define owned_copies __attribute__((cleanup(task_copies_close))) struct task_copies
/** Which of them is of this database: by its path, else the only one where `is_only`. @return its number, or -1 */
int task_copies_find(const struct task_copies *copies, const char *path, bool is_only);

/** Where a world's snapshots lie: below its layers, where the payload has no path to. Before task_confine() where it is
 * to be made. @return the caller's descriptor, or -errno */
int task_open_snapshots(const struct world *world, bool is_to_make);

/** Adds the object that TASK_DB_DIFF has for a database, with a few rows a table only, and long values cut. */
int task_tell_rows(const char *path, const char *against, const struct rows_request *request, struct text_buffer *out,
		   struct rows_result *ret_counts, struct error *error);

/* As task.h says of each. */
int task_blame(const struct world *world, int out_fd, struct error *error);
int task_database_diff(const struct world *world, const int *fds, enum table_format format, const char *database,
		       const char *against, struct error *error);
int task_database_changeset(const struct world *world, const int *fds, const char *database, const char *against,
			    struct error *error);
int task_database_apply(const struct world *world, int out_fd, int file_fd, const char *database, struct error *error);
int task_database_copy(const struct world *world, int directory_fd, const char *database, const char *many,
		       struct error *error);
int task_database_snapshot(const struct world *world, int out_fd, const char *database, const char *name,
			   struct error *error);
int task_database_restore(const struct world *world, int out_fd, const char *database, const char *name,
			  struct error *error);
int task_database_snapshots(const struct world *world, int out_fd, enum table_format format, struct error *error);

enum database_state {
	DATABASE_AS_FILLED,
	DATABASE_CHANGED,
	DATABASE_UNKNOWN, /* it is not known how it was when the world was filled, or it is no file any more */
};

/** Whether anything was written to a database since the world was filled, by its size, time and permission bits and by
 * its WAL: cheap, and never wrong about a database that nobody opened for writing. */
enum database_state task_database_state(const struct world_database *database);

/** @stopper  STOPPER_NONE: nobody is to be stopped   @arguments  how many bytes at most, EFBIG beyond; or none */
int task_keep(const struct world *world, struct stopper *stopper, const struct text_list *arguments, int directory_fd,
	      int out_fd, struct error *error);
int task_freeze(const struct world *world, struct stopper *stopper, const struct text_list *named, int directory_fd,
		int out_fd, struct error *error);

int task_bundle(const struct world *world, struct stopper *stopper, int directory_fd, int out_fd, struct error *error);

/** The two halves of a reset: what reads nothing that the payload wrote, and needs to look at all processes, comes
 * before the task is confined. @ret_reset the caller's, task_reset_end() */
struct task_reset;
int task_reset_begin(const struct world *world, struct task_reset **ret_reset, struct error *error);
/** Where it notes things, beside what the payload may write. Borrowed. */
int task_reset_fd(const struct task_reset *reset);
int task_reset(struct task_reset *reset, const char *what, int out_fd, struct error *error);
void task_reset_end(struct task_reset *reset);

/** Keeps what a reset goes back to. @directory_fd of task_open_start()   @stopper as task_freeze() */
int task_keep_start(const struct world *world, struct stopper *stopper, int directory_fd, struct error *error);
/** The directory of the scratch for that, made where it is missing. Before confinement. @return fd or -errno */
int task_open_start(const struct world *world, struct error *error);
/** The same as task_freeze() for the world's own use: its writable layers, without what lies below. */
int task_keep_layers(const struct world *world, struct stopper *stopper, int directory_fd,
		     struct text_list *ret_databases, struct error *error);

/* This and task_listeners() (task.h) are not confined: cloning mounts and looking at the descriptors of others need
 * capabilities. What they read is the kernel's, but for names, which they pass on. */
int task_clone(const struct text_list *directories, int socket, struct error *error);

#endif
