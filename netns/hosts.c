/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/hosts.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Whether one of the names of this line is `localhost`. */
static bool names_localhost(const char *line, size_t length)
{
	static const char name[] = "localhost";
	const char *found = memmem(line, length, name, sizeof(name) - 1);

	return found && (found == line || strchr(" \t", found[-1])) &&
	       (found + sizeof(name) - 1 == line + length || strchr(" \t#", found[sizeof(name) - 1]));
}

char *hosts_format(const char *host_text, const char *hostname, const struct text_list *added)
{
	struct text_buffer text = { 0 };

	text_buffer_add_text(&text, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	if (hostname && hostname[0])
		text_buffer_format(&text, "127.0.0.1 %s\n", hostname);
	for (size_t i = 0; i < added->count; i++) {
		const char *colon = strchr(added->items[i], ':');

		if (colon)
			text_buffer_format(&text, "%s %.*s\n", colon + 1, (int)(colon - added->items[i]), added->items[i]);
	}
	while (host_text && *host_text) {
		size_t length = strcspn(host_text, "\n");

		if (length > 0 && host_text[0] != '#' && !names_localhost(host_text, length)) {
			text_buffer_add(&text, host_text, length);
			text_buffer_add_text(&text, "\n");
		}
		host_text += length;
		host_text += *host_text == '\n';
	}
	return text.bytes;
}
