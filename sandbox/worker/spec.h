/* SPDX-License-Identifier: Apache-2.0 */
/* What the user asked for: one worker, before anything of this machine is looked at.
 *
 * The command line fills it (sandbox/verbs/options.c), launch.c turns it into a plan. Texts are owned by the spec. Each
 * module's own options are embedded as that module declares them; only this folder and those above it see the whole. */
#ifndef SBX_WORKER_SPEC_H
#define SBX_WORKER_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "netns/options.h"
#include "sandbox/policy/environment.h"
#include "sandbox/policy/limits.h"
#include "sandbox/policy/seccomp.h"

struct seed;

enum home_mode {
	HOME_COPY_ON_WRITE,
	HOME_EMPTY,
};

enum network_mode {
	NETWORK_PRIVATE,  /* loopback only */
	NETWORK_ONLINE,	  /* loopback and a stub link, so that browsers believe they are online */
	NETWORK_OUTBOUND, /* loopback and a way out, by pasta */
	NETWORK_HOST,	  /* the host's own network: no isolation of ports */
};

enum keep_mode {
	KEEP_NEVER,
	KEEP_FAILED, /* when the payload's status is not 0, or it timed out */
	KEEP_ALWAYS,
};

enum volume_kind {
	VOLUME_READ_ONLY,  /* -v SRC:DST:ro, --ro-bind */
	VOLUME_READ_WRITE, /* -v SRC:DST:rw, --bind: the one way by which a payload changes the host */
	VOLUME_OVERLAY,	   /* -v SRC:DST:O: copy-on-write */
	VOLUME_TMPFS,	   /* --tmpfs DST[:size=N] */
	VOLUME_COPY,	   /* --copy DIR: filled into the writable layer, so that rename(2) of its directories works */
};

struct volume {
	enum volume_kind kind;
	char *source;	     /* NULL with VOLUME_TMPFS */
	char *target;	     /* as written; relative ones are below the tree */
	uint64_t size_bytes; /* VOLUME_TMPFS; 0: half of the memory, tmpfs(5) */
};

struct volume_list {
	struct volume *items;
	size_t count;
};

struct spec {
	char *name;	 /* NULL: named by its id */
	char *tree;	 /* NULL: the current directory */
	char *workdir;	 /* NULL: the current directory, or the tree where -C was given */
	char *scratch;	 /* --scratch DIR: the writable layer lies there, on disk; NULL: where it can be */
	bool force_disk; /* the writable layer goes to the state directory even where tmpfs would do */
	char *hostname;	 /* NULL: the host's */
	enum home_mode home;
	enum network_mode network;
	enum keep_mode keep;
	bool as_root; /* the caller is uid 0 inside */
	bool verbose;
	int status_fd; /* -1: none */

	struct text_list databases; /* --db FILE…; empty: those found in the tree */
	bool no_databases;	    /* --db none */
	bool verify_databases;	    /* the full integrity check instead of the quick one */
	bool fix_ef_lock;

	/* What its files and rows start from, overlay/seed.h, and the lock that says so, which PID 1 keeps as long as
	 * the world lives. Borrowed; NULL: the tree as it is. */
	const struct seed *seed;
	int seed_fd; /* with `seed` */

	struct volume_list volumes;
	uint64_t scratch_bytes_max;  /* --size; 0: default */
	uint64_t scratch_inodes_max; /* --inodes; 0: default */
	bool scratch_limit_try;	     /* --size N,try: a disk upper may go without it */
	bool scratch_inodes_try;     /* --inodes N,try: the same */
	uint64_t shm_bytes;	     /* --shm-size: /dev/shm as a tmpfs of its own; 0: part of the scratch */

	bool gui;		     /* the caller's display is shown inside */
	struct network_options ways; /* in and out of the network */
	struct text_list add_hosts;  /* NAME:IP */
	struct text_list labels;     /* KEY=VALUE */
	int *pass_fds;		     /* --pass-fd N…, in order */
	size_t pass_fd_count;

	uint64_t timeout_ms;	  /* 0: none */
	int stop_signal;	  /* SIGTERM */
	uint64_t stop_timeout_ms; /* 10,000 */

	struct environment_options environment;
	struct limits limits;
	struct seccomp_options seccomp;

	struct text_list payload; /* the command; empty: an error of `run`, a shell of `shell` */
};

/** Fills in the defaults. */
void spec_init(struct spec *spec);
void spec_release(struct spec *spec);

/** Adds a volume; texts are copied. */
void spec_add_volume(struct spec *spec, const struct volume *volume);
/** Adds a descriptor number to be passed to the payload. */
void spec_add_pass_fd(struct spec *spec, int fd);

#endif
