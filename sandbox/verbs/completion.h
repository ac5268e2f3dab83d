/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts for bash, zsh and fish, made from the tables of commands and options. */
#ifndef SBX_VERBS_COMPLETION_H
#define SBX_VERBS_COMPLETION_H

#include "base/text.h"

void completion_write_bash(struct text_buffer *text);
void completion_write_zsh(struct text_buffer *text);
void completion_write_fish(struct text_buffer *text);

#endif
