/* SPDX-License-Identifier: Apache-2.0 */
/* One world: what the host side prepares (the plan), and what PID 1 holds once it stands.
 *
 * Who exists: sbx (the owner, on the host) clones PID 1 with its namespaces; PID 1 is the same program image, never
 * execs, and starts every process of the world through spawn.c. The plan is filled before clone, where memory may be
 * taken and files looked up; PID 1 has its own copy of it (clone3 without CLONE_VM) and only acts on it. */
#ifndef SBX_WORKER_WORLD_H
#define SBX_WORKER_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "netns/maker.h"
#include "netns/publish.h"
#include "netns/reach.h"
#include "overlay/layers.h"
#include "sandbox/registry/row.h"
#include "sandbox/registry/state.h"
#include "sandbox/worker/display.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/spec.h"

enum {
	SOCKETS_COVERED_MAX = 256,
	SHARED_PORTS_MAX = 16,
};

struct moved; /* moved.h */
struct seed;
struct server_guest; /* server.h */

/* What world R of a test run holds in /run/sbx: files, sbx itself as /run/sbx/sbx, and a socket on which its owner
 * listens, /run/sbx/run. No other world has them. */
struct annex {
	const struct annex_file {
		const char *name;
		const char *data;
		size_t size;
	} * files; /* borrowed */
	size_t file_count;
	bool is_wanted;
};

/* A directory of another world, as a detached mount, to be shown in this one, writable: open_tree(2) there,
 * move_mount(2) here, once. */
struct graft {
	int fd;	      /* owned until it is attached */
	char *target; /* absolute */
};

/* What a world has of another one: shared.h. */
struct shared_ports {
	int fd; /* a connection to that one's PID 1, borrowed until the world has begun; 0: none */
	uint16_t ports[SHARED_PORTS_MAX];
	size_t count;
};

/* The host's end of a published port, until PID 1 has it. */
struct published {
	struct publish_rule rule;
	int listener_fd;
};

struct worker_plan {
	const struct spec *spec; /* borrowed */
	struct identity identity;
	struct limits limits; /* the spec's, made to fit what this process has */
	char *tree;	      /* absolute, canonical */
	char *home;	      /* absolute, canonical; NULL: there is none, HOME is then HOME_WITHOUT */
	char *workdir;	      /* absolute; where the payload starts */
	char *home_source;    /* of a moved world: the directory that is shown at `home`; NULL: none */
	char *hosts;	      /* text of /etc/hosts */
	char id[ID_LENGTH + 1];
	const char *name;	  /* borrowed; NULL: the spec's, else the id */
	const char *run;	  /* id of the run or pool it belongs to, borrowed; NULL: its own id */
	int worker_index;	  /* SBX_WORKER; -1: not set, world R */
	unsigned worker_count;	  /* SBX_WORKERS; 0: not set */
	struct state_paths state; /* hidden in every world, like credentials */
	/* Where the writable layers lie: a directory on disk, claimed for this worker (uppers/ID, the kept worker that
	 * is entered again, or below --scratch DIR); -1: on the scratch tmpfs. */
	int upper_fd;
	/* A kept worker is entered again: its layers are there, databases are in them, nothing is filled in. */
	bool is_entered_again;
	const struct moved *moved; /* it comes from another machine; borrowed; NULL: it does not */
	struct text_list environment;
	struct text_list databases; /* absolute paths to be copied */
	/* Of a kept worker: its databases as they were noted when it started. Owned, world_databases_release(). */
	struct world_database *noted_databases;
	size_t noted_count;
	struct text_list hidden;  /* absolute paths hidden in every layer: credentials, the state directory */
	struct text_list covered; /* absolute paths of host sockets to be covered, at most SOCKETS_COVERED_MAX */
	struct text_list homes;	  /* directories of other people's homes, covered by empty ones */
	struct annex annex;	  /* /run/sbx, in a world that has one */
	struct graft *grafts;	  /* owned */
	size_t graft_count;
	const struct seed *seed; /* what the layers start from, overlay/seed.h; borrowed; NULL: none */
	int seed_fd;		 /* kept open by PID 1 for the lock on the seed, borrowed; -1: none */
	/* Its processes are numbered from the next on; 0: as in any namespace, from 1 on. */
	unsigned last_pid;
	bool stays; /* after the main payload has ended, until the owner ends: something is to be taken from it then */
	const struct server_guest *guest; /* borrowed; NULL: none */
	int log_fd;			  /* a directory that the guest writes logs to, borrowed; -1: none */
	bool outlives_owner; /* in the end: its helpers on the host end with it alone, not with their maker */
	int hold_fd;	     /* kept open by PID 1 for what its lock says: that the world lives; borrowed; -1: none */
	struct text_list messages; /* what the user should be told: "not passed on: …" */
	uint64_t scratch_bytes_max;
	uint64_t scratch_inodes_max;
	struct display display; /* of --gui; else empty */
	struct shared_ports shared;
	struct published *published; /* owned; network.h */
	size_t published_count;
	struct reach_rule *reach; /* owned; network.h */
	size_t reach_count;
	int reach_fds[2];    /* between PID 1 and its helper on the host, which has the second; -1: none */
	int outbound_fds[2]; /* the same */
	char *resolv_conf;   /* text of /etc/resolv.conf; NULL: the host's file as it is */
	int owner_fd;	     /* the owner's end of the control socket: closed first thing in PID 1 */
	int control_fd;	     /* PID 1's end; its end of file is the lifeline */
	int listener_fd;     /* where other sbx commands connect; -1: none, the worker is not listed */
	int lock_fd;	     /* held by sbx and PID 1 for as long as one of them lives; -1: not listed */
};

/* A database that was copied into the world. */
struct world_database {
	char *path;   /* absolute, as the worker sees it */
	char *detail; /* "4096 bytes, wal, 1.2 ms" */
	/* As its file was when the world was filled: world_database_note(). */
	bool is_noted;
	uint64_t bytes;
	int64_t modified_ns;
	uint32_t mode;
};

/** Notes how the copy is now, so that `diff` can tell later whether anybody wrote to it. In rootfs.c, when nothing of
 * sbx will write to it any more. */
void world_database_note(struct world_database *database, int directory_fd, const char *name);

void world_databases_release(struct world_database *databases, size_t count);

struct world_note {
	char what[96];
	char why[384];
};

/* A volume on its way into the world; its number is that of the spec's. */
struct world_volume {
	int fd;	      /* a detached mount; VOLUME_COPY: its directory, O_PATH; -1: none */
	char *source; /* VOLUME_OVERLAY, VOLUME_COPY: absolute, canonical */
	char *target; /* absolute */
};

/* PID 1's side. */
struct world {
	const struct worker_plan *plan;
	struct netns_maker network; /* until it is entered */
	const char *scratch;	    /* where the scratch is mounted until it gets covered */
	int scratch_fd;
	struct layers layers;
	int moved_fd;	     /* the files of a moved world, O_PATH, until they are in the layers */
	int annex_socket_fd; /* listening, to be handed to the owner; -1: none */
	int disk_fd; /* the directory on disk that holds the layers, a detached mount until the scratch takes it; -1 */
	struct world_volume *volumes;
	struct display display; /* the plan's, with what PID 1 has of it */
	int *writable_fds;	/* what Landlock lets the payload write beneath */
	size_t writable_count;
	struct world_database *databases;
	size_t database_count;
	struct world_note notes[16]; /* what is weaker than usual, in order */
	size_t note_count;
};

/** Remembers that something is weaker than usual; sent to the owner as REPLY_DEGRADED. */
void world_note(struct world *world, const char *what, const char *why);

/* HOME of a caller who has none: an empty private directory. */
#define HOME_WITHOUT "/run/home"

#endif
