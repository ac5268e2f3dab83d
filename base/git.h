/* SPDX-License-Identifier: Apache-2.0 */
/* Which commit of git a directory is at, without git. gitrepository-layout(5), git-worktree(1). */
#ifndef SBX_BASE_GIT_H
#define SBX_BASE_GIT_H

#include <stdint.h>

/** The commit that is checked out where `directory` (absolute) lies: 40 or 64 hexadecimal digits. What is changed in
 *  the working tree is not looked at.
 *  @return the caller's; NULL: no repository, no commit yet, or it cannot be read (reftable) */
char *git_find_commit(const char *directory);

/** The commit that was checked out there at a time, as the log of HEAD tells (gitrepository-layout(5), "logs").
 *  @seconds  CLOCK_REALTIME   @return the caller's; NULL: it does not tell */
char *git_find_commit_at(const char *directory, int64_t seconds);

#endif
