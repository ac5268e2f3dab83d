/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SBX_NETNS_HOSTS_H
#define SBX_NETNS_HOSTS_H

#include "base/text.h"

/** The text of a world's /etc/hosts: 127.0.0.1 first, so that `localhost` is never only ::1 (finding 29), then the
 *  world's own name, the names added, and the host's lines that do not speak of localhost.
 *  @host_text  the host's file; may be NULL   @added  "NAME:IP" each   @return the caller's */
char *hosts_format(const char *host_text, const char *hostname, const struct text_list *added);

#endif
