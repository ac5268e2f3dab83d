/* SPDX-License-Identifier: Apache-2.0 */
/* What git knows of a tree: its commit, and what is changed. Asked of git, but so that nothing which the tree brings
 * along is run: a .git may come from anybody. Host side. */
#ifndef SBX_RUN_CHECKOUT_H
#define SBX_RUN_CHECKOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sha256.h"
#include "base/text.h"

enum { CHECKOUT_PATHS_MAX = 1000 };

struct checkout {
	char *commit;		  /* NULL: no git */
	char *began;		  /* the commit at the time asked for; NULL: the same, or not known */
	char *dirty;		  /* a hash of what is changed, with contents; NULL: nothing is */
	struct text_list changed; /* paths, relative to the tree; bundles of sbx are none */
	struct text_list later;	  /* files under version control that were written after the time asked for */
};

/** Looks. @tree  absolute   @since_ns  CLOCK_REALTIME, of `began` and `later`; 0: these are not asked for
 *  @ret_checkout  the caller's: what cannot be found out is empty */
void checkout_look(const char *tree, int tree_fd, int64_t since_ns, struct checkout *ret_checkout);
void checkout_release(struct checkout *checkout);

/** The hash of a file's content; a large one is told by its size. @return whether there is such a file */
bool checkout_hash_file(int tree_fd, const char *path, char hash[static SHA256_TEXT_SIZE]);

#endif
