/* SPDX-License-Identifier: Apache-2.0 */
/* One command line, understood: the verb, what its options said, its operands.
 *
 * Life: invocation_init(), invocation_parse(), the verb's function, invocation_release(). The option table
 * (sandbox/verbs/options.def) fills the fields; a verb reads those that its rows name. Texts are owned. */
#ifndef SBX_VERBS_INVOCATION_H
#define SBX_VERBS_INVOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/pool/lease.h"
#include "sandbox/pool/project.h"
#include "sandbox/run/unit.h"
#include "sandbox/worker/spec.h"

struct verb;

enum output_format {
	FORMAT_TABLE,
	FORMAT_JSON,
	FORMAT_YAML,
	FORMAT_JUNIT,
};

#define TAIL_ALL	   UINT64_MAX
#define STOP_TIMEOUT_UNSET UINT64_MAX

struct invocation {
	const struct verb *verb;
	/* run: all of it; exec and shell: environment, workdir, pass_fds, payload */
	struct spec spec;

	bool help; /* --help: nothing else counts */
	enum output_format format;
	bool quiet; /* names only */
	bool all;   /* ps: those that ended too; stop, kill, rm, db: each of them */
	bool whole; /* --no-trunc */
	bool follow;
	bool timestamps;
	int64_t since_ms; /* since the epoch; 0: from the start */
	uint64_t tail;	  /* lines; TAIL_ALL */
	bool force;
	bool dry_run;
	bool shell;			   /* replay */
	bool check;			   /* replay */
	unsigned bundle;		   /* test: 1 of those that failed */
	char *bundle_directory;		   /* test; NULL: not said */
	bool check_tree;		   /* doctor --tree; its directory is spec.tree */
	int signal;			   /* kill; 0: the worker's own for stop, KILL for kill */
	uint64_t stop_timeout_ms;	   /* stop, rm; STOP_TIMEOUT_UNSET: the worker's own */
	char *database;			   /* db: which of the worker's; NULL: its only one */
	bool blame;			   /* test */
	char *against;			   /* db diff: a worker or a snapshot; NULL: what the worker started with */
	char *changeset;		   /* db diff: the file; NULL: none */
	char *worker_count;		   /* up, test: N, N% or auto; NULL: not said */
	bool detach;			   /* up */
	char *refill;			   /* up: the id of a detached pool; NULL: a new one */
	uint64_t wait_timeout_ms;	   /* up, lease; 0: none */
	enum pool_lease_reset reset_after; /* lease */
	bool reset_rows;		   /* reset --db */
	bool reset_restart;		   /* reset */
	bool prefix;			   /* logs */
	uint64_t slot;			   /* lease: the world's number + 1; 0: any */
	uint64_t after;			   /* lease */
	uint64_t retry;			   /* lease */
	char *project;			   /* lease */
	char *why;			   /* test: the title of a test that is asked about */
	char *items;			   /* test: the command that lists them; NULL: the command is a runner */
	uint64_t batch;			   /* test */
	char *shard;			   /* test: I/N or auto; NULL: all tests */
	char *junit;			   /* test */
	struct text_list artifacts;	   /* test */
	enum unit_kind fresh;		   /* test */
	enum unit_retry retry_fresh;	   /* test */
	enum unit_kind reset;		   /* test */
	char *output;			   /* report: FILE or -; NULL: the run's directory */
	bool list;			   /* report */
	bool lease_fresh;		   /* lease */
	uint64_t spares;		   /* up */
	struct text_list filters;	   /* KEY=VALUE */
	char *seed;			   /* run, up, test: NAME, or "none"; NULL: as sbx.yaml says */
	struct text_list inputs;	   /* seed create: globs */

	char *file;		       /* --file: the project's settings; NULL: sbx.yaml where there is one */
	struct project_settings given; /* what options with a key of sbx.yaml said, in order */
	char *const *arguments;	       /* the line itself, borrowed */

	struct text_list operands; /* without the command, which is spec.payload */
	struct text_list notes;	   /* for --verbose: options that have no effect, and why */
};

void invocation_init(struct invocation *invocation);
void invocation_release(struct invocation *invocation);
#define owned_invocation __attribute__((cleanup(invocation_release))) struct invocation

/** Reads a command line by the table: VERB [OPTION…] [OPERAND…] [--] [COMMAND…]. Each value is checked here; whether
 *  files, workers and names exist is not. With `help` set, the rest was not read.
 *  @arguments  argv without the program's name, NULL-terminated; borrowed for the call
 *  @return 0 or -EINVAL with `error` filled; the invocation is to be released in both cases */
int invocation_parse(struct invocation *invocation, char *const *arguments, struct error *error);

/** Reads the line anew on top of a project's settings: these first, so that what the line says is stronger and what
 * adds up comes behind. Keys that the verb has no option for are passed over; `databases` gives way to any --db.
 *  @return 0, or -EINVAL with the place in the file as the error's context */
int invocation_add_project(struct invocation *invocation, const struct project *project, struct error *error);

#endif
