/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a world's /etc/hosts.
 *
 * `localhost` is 127.0.0.1 first and ::1 second, and both names of the machine itself lead to the world: a resolver
 * that answers ::1 alone makes Node >= 17 miss servers that bind 127.0.0.1 (finding 29). Pure text: any process, any
 * namespace. */
#ifndef SBX_NETNS_HOSTS_H
#define SBX_NETNS_HOSTS_H

#include "base/error.h"

/** Checks an entry NAME:IP (docker's --add-host; NAME=IP and an address in brackets as well, several entries may name
 *  one host). @return 0 or -EINVAL */
int hosts_check_entry(const char *entry, struct error *error);

/** Builds the text: localhost, the host name on 127.0.1.1 as Debian has it, the entries, then what the host's own file
 *  says of other names. Names that were given an address here keep only that one.
 *  @host_text  text of the host's /etc/hosts; NULL: it has none
 *  @hostname   the world's; NULL or "localhost": no line of its own
 *  @entries    NULL-terminated, each as hosts_check_entry() wants it; may be NULL
 *  @ret_text   the caller's, free(3)
 *  @return 0 or -EINVAL (an entry is malformed) */
int hosts_build(const char *host_text, const char *hostname, char *const *entries, char **ret_text,
		struct error *error);

#endif
