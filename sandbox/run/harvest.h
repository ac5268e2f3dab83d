/* SPDX-License-Identifier: Apache-2.0 */
/* What worlds wrote into the tree by the end of a run, beside the artifacts.
 *
 * Snapshot files (toMatchSnapshot, toHaveScreenshot: where the config says they lie, `*-snapshots`, `__snapshots__`)
 * and files that sbx.yaml names as artifacts go to the host: worlds that wrote the same bytes are one, and where they
 * differ the host's file stays as it is and the conflict is named. All else is dropped with its world, and said, since
 * it would be missed without a word: "dropped: DIR (312 files, 4 worlds)". Databases are not: their rows are what
 * worlds are for.
 *
 * How it works. harvest_take() asks a world for its changes below the tree before it ends, and copies what may go to
 * the host into a directory of the run. harvest_finish() lays that on the host and tells the rest. */
#ifndef SBX_RUN_HARVEST_H
#define SBX_RUN_HARVEST_H

#include "base/error.h"
#include "sandbox/pool/member.h"
#include "sandbox/run/artifacts.h"
#include "sandbox/run/directory.h"
#include "sandbox/run/events.h"

enum {
	HARVEST_FILES_MAX = 2048,
	HARVEST_DROPPED_MAX = 1024,
	HARVEST_WORLDS_MAX = 257, /* R among them, as the last */
};

/* A file on its way to the host. */
struct harvest_file {
	char *path;	/* absolute, there as inside */
	unsigned world; /* the first that wrote it */
	unsigned other; /* one that wrote something else, where there is a conflict */
	bool is_conflict;
};

/* Something that stays behind: a file, or a directory that the host does not have. */
struct harvest_dropped {
	char *path;
	bool is_file;
	unsigned files;
	unsigned char worlds[(HARVEST_WORLDS_MAX + 7) / 8]; /* bits */
};

struct harvest {
	const struct run_directory *directory; /* borrowed */
	launch_say *say;
	struct text_list patterns; /* of snapshots, fnmatch(3) */
	bool has_patterns;
	struct harvest_file *files;
	size_t file_count;
	unsigned files_missed;
	struct harvest_dropped *dropped;
	size_t dropped_count;
	int staging_fd;
};

#define HARVEST_NONE                                                                                                   \
	{                                                                                                              \
		.staging_fd = -1                                                                                       \
	}

/** Takes what a world wrote. Each before its end; what goes wrong is said. Takes one that is not there.
 *  @number  of the world; HARVEST_WORLDS_MAX - 1: R */
void harvest_take(struct harvest *harvest, const struct member *member, unsigned number,
		  const struct artifacts *artifacts, const struct events *events);

/** Brings the files to the host, and tells what was dropped. */
void harvest_finish(struct harvest *harvest, const struct member *runner);
void harvest_release(struct harvest *harvest);

#endif
