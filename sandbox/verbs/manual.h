/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page sbx(1), made from the tables of commands and options. */
#ifndef SBX_VERBS_MANUAL_H
#define SBX_VERBS_MANUAL_H

#include "base/text.h"

/** Writes the page in the man(7) macros of roff. */
void manual_write(struct text_buffer *text);

#endif
