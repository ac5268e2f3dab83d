/* SPDX-License-Identifier: Apache-2.0 */
/* registry.db in the state directory: rows of the kept workers in SQLite, so that listings need not read each
 * directory.
 *
 * It is a cache and nothing else. The kept workers' directories are the truth; whoever opens the registry compares the
 * ids it holds with the directories there, reads the new ones and forgets those that are gone. So it may be deleted at
 * any moment, be damaged (then it is set aside as registry.db.damaged and made again), be locked for long, belong to a
 * newer sbx, or lie in a directory that cannot be written: no function here fails for any of these. The directories are
 * read instead, and a note says why. It is never opened while a worker starts.
 *
 * journal_mode is TRUNCATE, never WAL: SQLite 3.7.0 to 3.51.2 can lose a WAL when two connections write and checkpoint
 * at once (finding 19), WAL does not work on network file systems, and a cache that is seldom written gains nothing by
 * it. */
#ifndef SBX_REGISTRY_REGISTRY_H
#define SBX_REGISTRY_REGISTRY_H

#include "base/error.h"
#include "sandbox/registry/kept.h"

/** Adds a worker that was just kept. A failure is only a note: the next listing finds the directory.
 *  @note  filled (note->number != 0) where the registry could not be used, else emptied; may be NULL, here and below */
void registry_add_kept(int state_fd, const struct kept_worker *worker, struct error *note);

/** Forgets a worker that was removed. */
void registry_remove(int state_fd, const char *id, struct error *note);

/** Lists the kept workers, oldest first, from the registry brought up to date, or from the directories where that
 * cannot be used.
 *  @return 0 or -errno: the directories cannot be read either */
int registry_list(int state_fd, struct kept_list *ret_list, struct error *note, struct error *error);

/** Makes it anew from the directories. */
int registry_rebuild(int state_fd, struct error *error);

#define REGISTRY_FILE	      "registry.db"
#define REGISTRY_FILE_DAMAGED "registry.db.damaged"

#endif
