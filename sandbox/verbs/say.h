/* SPDX-License-Identifier: Apache-2.0 */
/* What sbx tells people while it works: lines on stderr. */
#ifndef SBX_VERBS_SAY_H
#define SBX_VERBS_SAY_H

#include <stdint.h>

#include "base/error.h"

/** "sbx: LINE": one write, so that messages of several sbx do not mix within a line. */
void say_line(const char *line);

/** An error, cause and remedy. */
void say_error(const struct error *error);

/** Why the exit status is 124. */
void say_timed_out(uint64_t timeout_ms);

#endif
