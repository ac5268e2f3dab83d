/* SPDX-License-Identifier: Apache-2.0 */
/* Where a bundle was made: which state of the tree, on what machine. Written into a bundle, and compared with what is
 * here (`sbx replay --check`). Host side; git and the runtimes are asked for what they are.
 *
 * "origin": {"kernel", "architecture", "commit", "dirty" (a hash of what git calls changed, with contents), "changed"
 * (those paths), "commit_bundled" and "changed_later" (the commit when it was bundled, where that is another, and files
 * under version control written since the worker began), "files": [{"path", "sha256"}] (lock files, configurations,
 * the test: relative to the tree), "runtimes": [{"name", "version"}], "browsers": [names of what Playwright has
 * installed]}. */
#ifndef SBX_RUN_ORIGIN_H
#define SBX_RUN_ORIGIN_H

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

/** Adds the member "origin" to the object that is open.
 *  @tree, @home  of this machine; home may be NULL   @files  more absolute paths below the tree that matter
 *  @since_ns  when the worker began, CLOCK_REALTIME; 0: not known */
void origin_write(const char *tree, const char *home, const struct text_list *files, int64_t since_ns,
		  struct text_buffer *out);

/** Compares. @there  the member "origin" of a bundle, untrusted   @version  of the sbx that made it; may be NULL
 *  @ret_differences  lines, the most important first; the caller's */
void origin_compare(struct json_value there, const char *version, const char *tree, const char *home,
		    struct text_list *ret_differences);

#endif
