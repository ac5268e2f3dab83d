/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's shell. */
#ifndef SBX_VERBS_SHELL_H
#define SBX_VERBS_SHELL_H

/** $SHELL, where it is one. Borrowed. */
const char *shell_choose(void);

#endif
