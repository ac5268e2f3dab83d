/* SPDX-License-Identifier: Apache-2.0 */
/* Kept workers: state that outlives its worker, one directory each in the state directory.
 *
 *   kept/ID/worker.json   what it was: its row, how it ended, its spec; written once
 *   kept/ID/upper-N/      its writable layers, as the overlay module numbers them
 *   kept/ID/logs/         one file per service
 *
 * These directories are the truth; the registry's rows are made from them. One is made under another name (a draft),
 * filled, and renamed, so that it exists whole or not at all. A draft is claimed (claim.h) while it is filled, a kept
 * worker while it is entered again or removed; an unclaimed draft is what a killed sbx left, and is collected. */
#ifndef SBX_REGISTRY_KEPT_H
#define SBX_REGISTRY_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/registry/row.h"

struct kept_worker {
	struct worker_row row;
	int64_t ended_ns;    /* CLOCK_REALTIME */
	int64_t exit_status; /* the payload's, as the shell counts */
	int64_t bytes;	     /* in the writable layers */
	int64_t entries;     /* files and directories in them */
};

void kept_worker_release(struct kept_worker *worker);
#define owned_kept_worker __attribute__((cleanup(kept_worker_release))) struct kept_worker

struct kept_list {
	struct kept_worker *items;
	size_t count;
};

void kept_list_release(struct kept_list *list);
#define owned_kept_list __attribute__((cleanup(kept_list_release))) struct kept_list
/** Takes over what `worker` holds. */
void kept_list_take(struct kept_list *list, struct kept_worker *worker);

/* A kept worker in the making. {.fd = -1}: none. */
struct kept_draft {
	int fd;	     /* its directory, claimed: the caller fills it through this */
	int kept_fd; /* kept/; valid while there is a name */
	char name[16 + ID_LENGTH];
};

/** Begins one. @state_fd borrowed   @ret_draft the caller's, kept_draft_close() */
int kept_begin(int state_fd, const char *id, struct kept_draft *ret_draft, struct error *error);

/** Writes worker.json, brings it to disk and gives the directory its name. The layers' own bytes are not synced: the
 *  caller knows whether they matter that much.
 *  @spec_json  the caller's own object, stored as it is; NULL: none   Errors: EEXIST, EBADMSG spec_json is no JSON */
int kept_commit(struct kept_draft *draft, const struct kept_worker *worker, const char *spec_json, struct error *error);

/** Removes a draft that was not committed, lets go of one that was. Takes the empty value and a second call. */
void kept_draft_close(struct kept_draft *draft);
#define owned_draft __attribute__((cleanup(kept_draft_close))) struct kept_draft

/** Whether a name in kept/ is a draft's. */
bool kept_is_draft(const char *name);
/** Whether a name in kept/ is a kept worker's. */
bool kept_is_worker(const char *name);

/** Reads worker.json of kept/ID. @kept_fd state_open_part(STATE_KEPT)
 *  @ret_spec  the spec as JSON, NULL where there is none; may be NULL   Errors: ENOENT, EBADMSG (damaged) */
int kept_read(int kept_fd, const char *id, struct kept_worker *ret_worker, char **ret_spec, struct error *error);

/** Lists the directories themselves, oldest first; damaged ones are left out and counted. A state directory without any
 * is an empty list. @ret_damaged may be NULL */
int kept_list_directories(int state_fd, struct kept_list *ret_list, size_t *ret_damaged, struct error *error);

/** Opens a kept worker to enter it again: claimed until the descriptor is closed.
 *  @ret_fd its directory   Errors: EBUSY (it is entered already), ENOENT */
int kept_enter(int state_fd, const char *id, int *ret_fd, struct error *error);

/** Removes one. Errors: EBUSY (somebody is in it), ENOENT */
int kept_remove(int state_fd, const char *id, struct error *error);

#endif
