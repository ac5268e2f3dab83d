/* SPDX-License-Identifier: Apache-2.0 */
/* HTML, written piece by piece: what the report's page and its timeline share. */
#ifndef SBX_RUN_REPORT_HTML_H
#define SBX_RUN_REPORT_HTML_H

#include <stdint.h>

#include "base/text.h"

/** Adds markup. Of printf(3)'s conversions it knows %s, which is escaped, %u, %zu and %lld. */
void html_add(struct text_buffer *out, const char *markup, ...) __attribute__((format(printf, 2, 3)));

/** "340 ms", "1.2 s", "2 min 3 s". Returns `text`. */
#define HTML_DURATION_SIZE 48
char *html_duration(int64_t ms, char text[static HTML_DURATION_SIZE]);

#endif
