/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/open_ports.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"

enum {
	TABLE_BYTES_MAX = 1 << 20,
	STATE_LISTEN = 0x0a, /* TCP_LISTEN, include/net/tcp_states.h */
};

static void add(unsigned port, unsigned ports[static OPEN_PORTS_MAX], size_t *count)
{
	size_t place = 0;

	while (place < *count && ports[place] < port)
		place++;
	if (*count == OPEN_PORTS_MAX || (place < *count && ports[place] == port))
		return;
	memmove(&ports[place + 1], &ports[place], (*count - place) * sizeof(*ports));
	ports[place] = port;
	(*count)++;
}

void open_ports_read(const char *table, unsigned ports[static OPEN_PORTS_MAX], size_t *count)
{
	for (const char *line = table; line; line = strchr(line, '\n')) {
		unsigned port;
		unsigned state;

		line += *line == '\n';
		if (sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &port, &state) == 2 && state == STATE_LISTEN)
			add(port, ports, count);
	}
}

char *open_ports_list(void)
{
	static const char *const tables[] = { "/proc/self/net/tcp", "/proc/self/net/tcp6" };
	unsigned ports[OPEN_PORTS_MAX];
	owned_buffer out = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		owned_text table = NULL;

		if (fd_read_file(AT_FDCWD, tables[i], TABLE_BYTES_MAX, &table, NULL) == 0)
			open_ports_read(table, ports, &count);
	}
	for (size_t i = 0; i < count; i++)
		text_buffer_format(&out, "%s%u", i > 0 ? ", " : "", ports[i]);
	return count > 0 ? text_duplicate(out.bytes) : NULL;
}
