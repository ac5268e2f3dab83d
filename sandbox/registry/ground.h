/* SPDX-License-Identifier: Apache-2.0 */
/* What a seed stands on: the files of the host without which it would be another one.
 *
 *   inputs     what the seed's globs match in the tree: lock files, migrations
 *   databases  the source databases, and a write-ahead log beside one that holds anything
 *   covered    files of the tree that the seed holds in a changed form, or removed: a newer one on the host would be
 *              hidden by it
 *   made       what the seed has and the tree has not, of a new directory that alone: one that comes up on the host
 *              would be hidden by it, or mixed with it
 *
 * Each is noted by size, times and inode, and by its SHA-256. As git's index does it, a file whose size, times and
 * inode are what they were is taken as unchanged without being read, unless it was so young when it was noted that a
 * change could hide in the same tick of the clock. Of files above GROUND_HASHED_MAX only the first and last part is
 * hashed, so for these size and times count as well. Files of the tree that the seed neither names nor holds may change
 * at will: worlds see them as they are.
 *
 * Globs: relative to the tree; '*', '?' and '[…]' within a name, '**' for any directories; a directory stands for all
 * files in it. A name that begins with a dot is matched by one that is written out. No symbolic link to a directory is
 * followed. */
#ifndef SBX_REGISTRY_GROUND_H
#define SBX_REGISTRY_GROUND_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/text.h"

#define GROUND_HASHED_MAX (UINT64_C(64) << 20)

enum {
	GROUND_FILES_MAX = 20000, /* that globs may match, and a seed may cover */
};

enum ground_kind {
	GROUND_INPUT,
	GROUND_DATABASE,
	GROUND_COVERED,
	GROUND_MADE, /* of a file that is not there: its path alone */
};

struct ground_file {
	enum ground_kind kind;
	char *path; /* absolute */
	int64_t bytes;
	int64_t modified_ns;
	int64_t changed_ns;
	int64_t inode;
	int64_t noted_ns; /* when: CLOCK_REALTIME */
	char hash[SHA256_TEXT_SIZE];
};

struct ground {
	struct ground_file *items; /* sorted by kind, then path */
	size_t count;
};

void ground_release(struct ground *ground);
#define owned_ground __attribute__((cleanup(ground_release))) struct ground

/** Adds the files that the globs match, each once, sorted.
 *  @then  what was noted earlier: files that look unchanged are not read again; may be NULL
 *  Errors: ENOENT a glob matches nothing, EINVAL it leads out of the tree, E2BIG too many */
int ground_add_inputs(struct ground *ground, const char *tree, const struct text_list *globs, const struct ground *then,
		      struct error *error);
/** Adds the databases. @databases  absolute paths */
int ground_add_databases(struct ground *ground, const struct text_list *databases, const struct ground *then,
			 struct error *error);
/** Adds the files of the tree that the seed in `seed_fd` covers, but for its databases, and what it has made there.
 *  Errors: E2BIG, as opening and reading */
int ground_add_covered(struct ground *ground, int seed_fd, const char *tree, const struct text_list *databases,
		       struct error *error);

/** Looks whether all that was noted is as it was.
 *  @tree, @globs   of the seed: a file that a glob matches by now counts, too
 *  @ret_changed    "/path/to/it has changed", the first ten; added to
 *  @return how many files differ, or -errno */
int ground_compare(const struct ground *then, const char *tree, const struct text_list *globs,
		   struct text_list *ret_changed, struct error *error);

/** As a member `name` of the object that is open. */
void ground_write(const struct ground *ground, const char *name, struct text_buffer *out);
/** @return 0 or -EBADMSG */
int ground_read(struct json_value array, struct ground *ret_ground);

const char *ground_kind_name(enum ground_kind kind);

#endif
