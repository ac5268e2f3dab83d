/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a worker: one JSON object, the content of its lock file while it lives, and of worker.json when it
 * was kept. Members that this version does not know are passed over, missing ones are empty. */
#ifndef SBX_REGISTRY_ROW_H
#define SBX_REGISTRY_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/text.h"

struct worker_row {
	char *id;      /* id_make(); never reused */
	char *name;    /* as given, else the id */
	char *run;     /* id of the invocation it belongs to */
	char *tree;    /* absolute */
	char *phase;   /* how far it came: "starting", "running", … */
	char *keep;    /* "never", "failed", "always" */
	char *scratch; /* directory in which SCRATCH_PREFIX ID is its writable layer (--scratch DIR); NULL: not so */
	char *log_directory; /* absolute; NULL: none is kept */
	char *boot_id;	     /* a hint, like the process ids below: the lock alone says who lives */
	struct text_list command;
	bool is_command_cut;	   /* it was too long for a lock file */
	struct text_list ports;	   /* "127.0.0.1:8080:5555" */
	struct text_list labels;   /* "KEY=VALUE" */
	struct text_list degraded; /* what is weaker than usual: "disk upper" */
	int64_t pid;		   /* of its PID 1, on the host */
	int64_t sbx_pid;
	int64_t payload_pid; /* in the world */
	int64_t started_ns;  /* CLOCK_REALTIME */
};

/* What is not inside the state directory is named so that nothing else can be meant when it is removed. */
#define SCRATCH_PREFIX "sbx-"

void worker_row_release(struct worker_row *row);
#define owned_row __attribute__((cleanup(worker_row_release))) struct worker_row

/** Adds the row's members to the object that is open in `out`. Empty ones are left out. */
void worker_row_write(const struct worker_row *row, struct text_buffer *out);

/** Reads them from an object. @ret_row the caller's; untouched on failure
 *  @return 0 or -EBADMSG: not an object, a member of another type, or no id or name */
int worker_row_read(struct json_value object, struct worker_row *ret_row);

/** A deep copy. */
void worker_row_copy(const struct worker_row *row, struct worker_row *ret_row);

/* ---- Ids and names ----------------------------------------------------------------------------------------------- */

enum {
	ID_LENGTH = 10,
	ID_TIME_LENGTH = 6,   /* of it: the second, in digits that sort */
	NAME_LENGTH_MAX = 63, /* a host name label, too: RFC 1123 */
};

/** Makes an id: the seconds of its birth and 20 random bits in Crockford's base 32 (no i, l, o, u), so that ids sort by
 *  age until the year 2058. Returns `id`. */
char *id_make(char id[static ID_LENGTH + 1]);

/** Whether `text` looks like the beginning of an id, of at least `length_min` characters. */
bool id_is_prefix(const char *text, size_t length_min);

/** Checks a worker's name: 1 to 63 of a-z A-Z 0-9 _ . - and the first a letter or digit. @return 0 or -EINVAL */
int name_check(const char *name, struct error *error);

#endif
