/* SPDX-License-Identifier: Apache-2.0 */
/* Named seeds (overlay/seed.h): made by `seed create`, `commit` or for sbx.yaml's `seed:`, the start of any world of
 * the same tree.
 *
 *   seeds/NAME/record.json  what it is: struct seed_record, with a version
 *   seeds/NAME/place        leads to its layers in /var/tmp (place.h): outside of HOME, so that worlds stack on them
 *                           and share their pages
 *   seeds/.draft-ID/        one that is being made, or was not finished
 *   seeds/.gone-ID/         one that was removed or replaced
 *   seeds/.lock             a byte for each name, locked (fcntl(2), open file description) while that seed is made
 *
 * A seed exists from the rename of its draft: layers, seed.json and record.json are on disk by then. One that has the
 * name already changes places with it in the same rename, and goes once no world uses it. Worlds hold a shared lock on
 * the place as long as they live, removal takes it alone. So a seed is whole or not there, whoever is killed where.
 * What begins with a dot and nobody holds is collected (collect.h). */
#ifndef SBX_REGISTRY_SEEDS_H
#define SBX_REGISTRY_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "overlay/seed.h"
#include "sandbox/registry/ground.h"
#include "sandbox/registry/row.h"

struct seed_record {
	char *name;
	char *id;     /* of this making of it */
	char *tree;   /* absolute */
	char *origin; /* "create", "commit", "settings" */
	char *commit; /* of git, when it was made; NULL: not known */
	char *key;    /* of what it was made with: seed_key(); NULL: a commit */
	struct text_list command;
	struct text_list inputs;    /* globs */
	struct text_list databases; /* that it holds */
	int64_t created_ns;	    /* CLOCK_REALTIME */
	int64_t bytes;		    /* of data in it */
	int64_t entries;
	struct ground ground;
};

void seed_record_release(struct seed_record *record);
#define owned_record __attribute__((cleanup(seed_record_release))) struct seed_record

/** Checks a name: as a worker's (name_check()), and not "none". */
int seed_check_name(const char *name, struct error *error);

/* ---- making ---- */

/** Waits until nobody else makes the seed of that name. @ret_fd the lock, the caller's
 *  @waits  is called once before it waits; may be NULL */
int seed_lock(int state_fd, const char *name, void (*waits)(void *argument), void *argument, int *ret_fd,
	      struct error *error);

/* One in the making. {.fd = -1}: none. */
struct seed_draft {
	int fd;	      /* its directory, claimed */
	int place_fd; /* where the layers come to lie: empty at first */
	int seeds_fd;
	char *place; /* absolute */
	char name[8 + ID_LENGTH];
	char id[ID_LENGTH + 1];
};

#define SEED_DRAFT_NONE                                                                                                \
	{                                                                                                              \
		.fd = -1, .place_fd = -1, .seeds_fd = -1                                                               \
	}

/** Begins one. @ret_draft seed_draft_close() in any case   Errors: EOPNOTSUPP /var/tmp cannot hold layers */
int seed_begin(int state_fd, struct seed_draft *ret_draft, struct error *error);
/** Brings it to disk and gives it its name; one that has it is removed, or will be when nobody uses it.
 *  @record  its id and creation are filled in here */
int seed_finish(struct seed_draft *draft, struct seed_record *record, struct error *error);
/** Removes one that was not finished. Takes SEED_DRAFT_NONE and a second call. */
void seed_draft_close(struct seed_draft *draft);

/* ---- using ---- */

/* One that is in use: it is not removed meanwhile. */
struct seed_hold {
	struct seed seed;
	int fd; /* the shared lock; whoever inherits it, shares it. -1: none */
};

#define SEED_HOLD_NONE                                                                                                 \
	{                                                                                                              \
		.fd = -1                                                                                               \
	}

/** Reads what it is. @seeds_fd state_open_part(STATE_SEEDS)
 *  Errors: ENOENT, EBADMSG damaged, EPROTONOSUPPORT made by a newer sbx */
int seed_read(int seeds_fd, const char *name, struct seed_record *ret_record, struct error *error);
/** Takes one for use, and reads what it is.
 *  Errors: as seed_read(); EBADMSG files are missing in it */
int seed_take(int state_fd, const char *name, struct seed_hold *ret_hold, struct seed_record *ret_record,
	      struct error *error);
/** Takes the very one that lies there, whatever has its name by now. @place  hold.seed.path of an earlier seed_take()
 *  Errors: ENOENT it is gone */
int seed_take_place(const char *place, struct seed_hold *ret_hold, struct error *error);
void seed_hold_release(struct seed_hold *hold);

/* ---- all of them ---- */

/** The names, sorted. @ret_names added to */
int seed_list(int state_fd, struct text_list *ret_names, struct error *error);
/** Whether worlds that live started from it. */
bool seed_is_used(int seeds_fd, const char *name);
/** Adds the process ids of the sbx whose worlds started from it (place.h). @return how many */
size_t seed_list_users(int seeds_fd, const char *name, int64_t *ret_pids, size_t max);
/** Errors: EBUSY a live world started from it; ENOENT */
int seed_remove(int state_fd, const char *name, struct error *error);
/** Whether a name in seeds/ is that of something unfinished or removed. */
bool seed_is_leftover(const char *name);

#endif
