/* SPDX-License-Identifier: Apache-2.0 */
/* Which commit of git a directory is at, without git. gitrepository-layout(5), git-worktree(1). */
#ifndef SBX_BASE_GIT_H
#define SBX_BASE_GIT_H

/** The commit that is checked out where `directory` (absolute) lies: 40 or 64 hexadecimal digits. What is changed in
 *  the working tree is not looked at.
 *  @return the caller's; NULL: no repository, no commit yet, or it cannot be read (reftable) */
char *git_find_commit(const char *directory);

#endif
