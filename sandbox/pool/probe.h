/* SPDX-License-Identifier: Apache-2.0 */
/* Asks one address on loopback whether a server is there, again and again, without blocking.
 *
 * A URL is what a browser would be sent to; only loopback can be asked, because PID 1 of a world asks and name servers
 * are out of its reach. http: a GET, judged by Playwright's rule (isURLAvailable() in its network.ts): 2xx, 3xx and
 * 400-403 are a server, 404 for "/" asks for "/index.html" next; redirects are followed while they stay on loopback.
 * https: TLS is not spoken; a server that answers a greeting with any TLS record is there. */
#ifndef SBX_POOL_PROBE_H
#define SBX_POOL_PROBE_H

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum probe_kind {
	PROBE_PORT, /* a connection is enough */
	PROBE_HTTP,
	PROBE_TLS,
};

enum probe_family {
	PROBE_IPV4 = 1, /* 127.0.0.1 */
	PROBE_IPV6 = 2, /* ::1 */
};

/* Where to ask. */
struct probe_target {
	enum probe_kind kind;
	unsigned families; /* enum probe_family, or'ed: "localhost" is both */
	uint16_t port;
	char *host; /* for the Host header, as written; NULL with PROBE_PORT */
	char *path; /* "/", with the query; NULL with PROBE_PORT */
};

/** Understands http://HOST[:PORT][/PATH][?QUERY] and https://…; HOST is localhost, NAME.localhost, 127.0.0.1, [::1],
 *  0.0.0.0 or [::] (the last two: that loopback).
 *  @ret_target  the caller's to release; untouched on failure   Errors: EINVAL, the object is the URL. */
int probe_target_parse(const char *url, struct probe_target *ret_target, struct error *error);
void probe_target_release(struct probe_target *target);

/* One address under way. */
struct probe {
	const struct probe_target *target; /* borrowed */
	enum probe_family family;
	uint64_t interval_ms; /* 0: soon at first, then every 250 ms */
	enum {
		PROBE_RESTING,
		PROBE_CONNECTING,
		PROBE_READING,
	} phase;
	int fd;
	uint64_t next_ms; /* resting: when to ask again; else: when to give this attempt up */
	uint64_t delay_ms;
	uint16_t port; /* of this attempt: a redirect may lead elsewhere */
	char *host;
	char *path;
	unsigned redirects;
	struct text_buffer answer;
	char last[96]; /* what came of it so far: "the connection is refused"; "" before the first end */
};

void probe_init(struct probe *probe, const struct probe_target *target, enum probe_family family, uint64_t interval_ms,
		uint64_t now_ms);
void probe_release(struct probe *probe);

/** Goes as far as can be gone now. @return true: the server is there */
bool probe_step(struct probe *probe, uint64_t now_ms);
/** What to wait for; fd -1 while it rests. */
struct pollfd probe_pollfd(const struct probe *probe);
/** What the server, which is not there, is like: "nothing listens there". Borrowed. */
const char *probe_describe(const struct probe *probe, uint64_t now_ms);
/** "127.0.0.1:5555" or "[::1]:5555" */
void probe_address(const struct probe *probe, char *text, size_t size);

#endif
