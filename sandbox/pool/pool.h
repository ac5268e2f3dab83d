/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a pool: N workers made by one `up`, named NAME.w0 to NAME.w(N-1).
 *
 * Its directory is runs/ID in the state directory: pool.json, which says how its worlds are made, and their logs,
 * wK/SERVICE. It is claimed (claim.h, but shared: LOCK_SH) by the `up` that makes it and by the PID 1 of each of its
 * worlds. Locks and PID 1s are the truth about who lives and who has leased what (lock.h, request.h); pool.json only
 * says what there should be.
 *
 * Spares. A pool may have S of them beside its workers: worlds that nobody has used, ready, for `lease --fresh`; only
 * that takes them. They are places 0 to 2S - 1, NAME.s0 and so on, since S stand ready while as many again may be in
 * use: at the moment when a lease takes one, another is started in a free place, by the `up` that owns them or by a
 * child that the lease leaves behind (up --refill); the one in use ends with its lease, by its own PID 1, however that
 * ends. So S leases at once find one ready, and S more than that wait for one to get ready or to end. SBX_WORKER counts
 * on from N there, so that no two worlds of a pool have the same. One number for both kinds is the index: workers
 * first.
 * Host side. */
#ifndef SBX_POOL_POOL_H
#define SBX_POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/registry/row.h"
#include "sandbox/registry/state.h"

enum { POOL_SPARES_MAX = 64 };

struct pool_description {
	char *name;
	char *tree; /* absolute */
	unsigned workers;
	bool has_shared;  /* one more world: shared.h */
	unsigned spares;  /* that stand ready; twice as many have a place */
	bool is_detached; /* no `up` looks after it: who leases does */
	/* How it was made, to make a world of it anew. */
	struct text_list arguments;   /* of sbx: "up", … */
	char *directory;	      /* where sbx was called, absolute */
	struct text_list environment; /* what its worlds have, NAME=VALUE */
	char *settings_file;	      /* sbx.yaml as errors call it; NULL: there is none */
	char *settings_directory;
	char *settings_text;
	char *seed; /* where the seed lies that they start from, absolute; NULL: none */
};

void pool_description_release(struct pool_description *description);

struct pool {
	char id[ID_LENGTH + 1];
	char *path; /* of its directory, absolute */
	int fd;	    /* its directory */
	int state_fd;
	bool is_alive; /* somebody claims it */
	struct pool_description description;
};

#define POOL_NONE                                                                                                      \
	{                                                                                                              \
		.fd = -1, .state_fd = -1                                                                               \
	}

void pool_release(struct pool *pool);
#define owned_pool __attribute__((cleanup(pool_release))) struct pool

/** Makes its directory, claimed by ret_pool->fd, under a new id. pool_write() is next.
 *  Errors: the state directory cannot be written */
int pool_make(const struct state_paths *places, struct pool *ret_pool, struct error *error);
/** Fills in what a world that is made anew later is made of, once.
 *  @given  its arguments, directory, settings and seed   @environment  of one of its worlds */
void pool_describe(struct pool *pool, const struct pool_description *given, const char *tree,
		   const struct text_list *environment);
/** Writes pool.json, in place of the one before. */
int pool_write(const struct pool *pool, struct error *error);
/** Opens the one with this id. Errors: ENOENT */
int pool_open(const struct state_paths *places, const char *id, struct pool *ret_pool, struct error *error);

/** Claims one that was opened, for a world that is added to it. Errors: ENOENT, it was removed meanwhile */
int pool_claim(const struct pool *pool, struct error *error);

struct pool_list {
	struct pool *items;
	size_t count;
};

void pool_list_release(struct pool_list *list);
#define owned_pool_list __attribute__((cleanup(pool_list_release))) struct pool_list

/** All pools, newest first; of one that cannot be read there is none. */
int pool_list(const struct state_paths *places, struct pool_list *ret_list, struct error *error);
/** The pool that is meant: the one of that name or id; NULL: the newest whose tree `directory` is or lies in, a living
 *  one before others.
 *  @ret_pool  the caller's   Errors: ENOENT, the cause lists what there is; EEXIST: several have that name */
int pool_find(const struct state_paths *places, const char *name, const char *directory, struct pool *ret_pool,
	      struct error *error);

/** How many worlds there can be: workers, and places for spares. */
unsigned pool_places(const struct pool_description *description);
/** How many with that of the shared services, which has the index after the places. */
unsigned pool_worlds(const struct pool_description *description);
/** "w2", "s0" for a spare, or "shared": what it is called within the pool, and its logs' directory. @return the
 *  caller's */
char *pool_place_name(const struct pool_description *description, unsigned index);
/** "NAME.w2". @return the caller's */
char *pool_worker_name(const struct pool *pool, unsigned index);
/** Connects to the PID 1 of one of its worlds, wherever that is listed. Errors: ENOENT, ECONNREFUSED: it does not live
 */
int pool_connect(const struct state_paths *places, const struct pool *pool, unsigned index, int *ret_fd,
		 struct error *error);
/** Whether that world was stopped on purpose, so that nobody makes it anew. */
bool pool_is_stopped(const struct pool *pool, unsigned index);

/** Waits until nobody else makes worlds of it anew. @ret_fd the lock, the caller's   @return 0, -EBUSY or -errno */
enum pool_refill_wait { POOL_REFILL_WAIT, POOL_REFILL_TRY };
int pool_lock_refill(const struct pool *pool, enum pool_refill_wait wait, int *ret_fd, struct error *error);

/** Removes the queues of those who wait for one of its worlds: they see then that it has ended. */
void pool_remove_queues(const struct state_paths *places, const struct pool *pool);

/** Removes what earlier pools left whose worlds are gone: one that was killed, or of this tree, after a reboot, say. */
void pool_remove_dead(const struct state_paths *places, const char *tree);

/** Removes its directory, logs and all, once nobody claims it: waits 10 seconds for that at most. */
int pool_remove(struct pool *pool, struct error *error);

#endif
