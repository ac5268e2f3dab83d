/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/probe.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"

/* A connection that is accepted and then left alone, by a server that restarts, say: it is given up and asked anew.
 * Longer than the first request of a cold ASP.NET Core application takes. */
#define ATTEMPT_MS_MAX 30000
/* An attempt younger than that says nothing yet: what came of the one before is the better news. */
#define YOUNG_MS	 1000
#define DELAY_MS_FIRST	 5
#define DELAY_MS_MAX	 250
#define REDIRECTS_MAX	 5
#define ANSWER_BYTES_MAX (16u << 10)
#define URL_LENGTH_MAX	 2048

/* ---- URLs ---- */

static int refuse_url(const char *url, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = "wait for the url", .object = url, .cause = cause,
			 .remedy = remedy);
}

static unsigned families_of(const char *host)
{
	static const struct {
		const char *host;
		unsigned families;
	} hosts[] = {
		{ "localhost", PROBE_IPV4 | PROBE_IPV6 },
		{ "127.0.0.1", PROBE_IPV4 },
		{ "0.0.0.0", PROBE_IPV4 },
		{ "[::1]", PROBE_IPV6 },
		{ "[::]", PROBE_IPV6 },
	};
	size_t length = strlen(host);
	size_t suffix = strlen(".localhost");

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (strcasecmp(host, hosts[i].host) == 0)
			return hosts[i].families;
	/* RFC 6761, 6.3: names below localhost are loopback */
	return length > suffix && strcasecmp(host + length - suffix, ".localhost") == 0 ? PROBE_IPV4 | PROBE_IPV6 : 0;
}

static bool has_unsafe_byte(const char *text)
{
	for (const char *byte = text; *byte; byte++)
		if ((unsigned char)*byte <= ' ' || *byte == 0x7f)
			return true;
	return false;
}

int probe_target_parse(const char *url, struct probe_target *ret_target, struct error *error)
{
	static const char remedy[] = "write http://localhost:PORT/PATH";
	bool is_tls = strncasecmp(url, "https://", strlen("https://")) == 0;
	bool is_http = strncasecmp(url, "http://", strlen("http://")) == 0;
	const char *host = url + (is_tls ? strlen("https://") : strlen("http://"));
	uint64_t port = is_tls ? 443 : 80;
	owned_text name = NULL;
	owned_text digits = NULL;
	const char *end;
	const char *name_end;
	size_t path_length;

	if (!is_http && !is_tls)
		return refuse_url(url, "it is neither http nor https", remedy, error);
	if (strlen(url) > URL_LENGTH_MAX || has_unsafe_byte(url))
		return refuse_url(url, "it is too long, or holds a space or a control character", remedy, error);
	end = host + strcspn(host, "/?#");
	if (memchr(host, '@', (size_t)(end - host)))
		return refuse_url(url, "it holds a name or a password", "leave out what stands before the '@'", error);
	name_end = host[0] == '[' ? host + strcspn(host, "]/?#") : host + strcspn(host, ":/?#");
	if (host[0] == '[' && *name_end == ']')
		name_end++;
	name = text_format("%.*s", (int)(name_end - host), host);
	if (families_of(name) == 0)
		return refuse_url(url, "only localhost can be waited for",
				  "write localhost, 127.0.0.1 or [::1]; for any other way to ask: ready: { cmd: … }",
				  error);
	if (*name_end == ':') {
		digits = text_format("%.*s", (int)(end - name_end - 1), name_end + 1);
		if (number_parse(digits, 1, UINT16_MAX, &port) < 0)
			return refuse_url(url, "its port is not a number from 1 to 65535", remedy, error);
	} else if (name_end != end) {
		return refuse_url(url, "its host is malformed", remedy, error);
	}
	path_length = strcspn(end, "#");
	*ret_target = (struct probe_target){
		.kind = is_tls ? PROBE_TLS : PROBE_HTTP,
		.families = families_of(name),
		.port = (uint16_t)port,
		.host = text_format("%.*s", (int)(end - host), host),
		.path = text_format("%s%.*s", end[0] == '/' ? "" : "/", (int)path_length, end),
	};
	return 0;
}

void probe_target_release(struct probe_target *target)
{
	text_free(&target->host);
	text_free(&target->path);
}

/* ---- one attempt ---- */

void probe_init(struct probe *probe, const struct probe_target *target, enum probe_family family, uint64_t interval_ms,
		uint64_t now_ms)
{
	*probe = (struct probe){
		.target = target,
		.family = family,
		.interval_ms = interval_ms,
		.fd = -1,
		.next_ms = now_ms,
		.delay_ms = interval_ms ? interval_ms : DELAY_MS_FIRST,
	};
}

static void end_attempt(struct probe *probe)
{
	fd_close(&probe->fd);
	text_buffer_release(&probe->answer);
	probe->phase = PROBE_RESTING;
}

void probe_release(struct probe *probe)
{
	end_attempt(probe);
	text_free(&probe->host);
	text_free(&probe->path);
}

/* The attempt came to nothing: rest, and start from the target again. */
static bool fail_attempt(struct probe *probe, uint64_t now_ms, const char *reason)
{
	end_attempt(probe);
	text_free(&probe->host);
	text_free(&probe->path);
	text_copy(probe->last, sizeof(probe->last), reason);
	probe->next_ms = now_ms + probe->delay_ms;
	if (!probe->interval_ms)
		probe->delay_ms = MIN(2 * probe->delay_ms, (uint64_t)DELAY_MS_MAX);
	return false;
}

static bool fail_system(struct probe *probe, uint64_t now_ms, int number)
{
	return fail_attempt(probe, now_ms, number == ECONNREFUSED ? "nothing listens there" : strerrordesc_np(number));
}

static int connect_loopback(enum probe_family family, uint16_t port, int fd)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int result = family == PROBE_IPV6 ? connect(fd, (const struct sockaddr *)&six, sizeof(six))
					  : connect(fd, (const struct sockaddr *)&four, sizeof(four));

	return result < 0 && errno != EINPROGRESS ? -errno : 0;
}

static int begin_attempt(struct probe *probe, uint64_t now_ms)
{
	int result;

	if (!probe->host) {
		probe->redirects = 0;
		probe->port = probe->target->port;
		probe->host = text_duplicate(probe->target->host ? probe->target->host : "localhost");
		probe->path = text_duplicate(probe->target->path ? probe->target->path : "/");
	}
	probe->fd =
		socket(probe->family == PROBE_IPV6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe->fd < 0)
		return -errno;
	result = connect_loopback(probe->family, probe->port, probe->fd);
	if (result < 0)
		return result;
	probe->phase = PROBE_CONNECTING;
	probe->next_ms = now_ms + ATTEMPT_MS_MAX;
	return 0;
}

/* A TLS 1.2 ClientHello that any server must answer, with a hello or an alert. RFC 5246, 7.4.1.2. */
static const unsigned char greeting[] = {
	0x16, 0x03, 0x01, 0x00, 0x4f,	    /* handshake, 79 bytes */
	0x01, 0x00, 0x00, 0x4b, 0x03, 0x03, /* ClientHello, 75 bytes, TLS 1.2 */
	0,    0,    0,	  0,	0,    0,    0,	  0,	0,    0,
	0,    0,    0,	  0,	0,    0, /* random: nothing is kept secret by it */
	0,    0,    0,	  0,	0,    0,    0,	  0,	0,    0,
	0,    0,    0,	  0,	0,    0,    0x00,		    /* no session */
	0x00, 0x08, 0xc0, 0x2f, 0xc0, 0x2b, 0xc0, 0x30, 0xc0, 0x2c, /* ECDHE with AES-GCM */
	0x01, 0x00,						    /* no compression */
	0x00, 0x1a,						    /* extensions, 26 bytes */
	0x00, 0x0a, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1d, 0x00, 0x17, /* groups: x25519, secp256r1 */
	0x00, 0x0d, 0x00, 0x0c, 0x00, 0x0a, 0x04, 0x03, 0x08, 0x04,
	0x04, 0x01, 0x05, 0x03, 0x05, 0x01, /* signatures */
};

static int send_request(struct probe *probe)
{
	owned_buffer request = { 0 };

	if (probe->target->kind == PROBE_TLS)
		text_buffer_add(&request, greeting, sizeof(greeting));
	else
		text_buffer_format(&request, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nConnection: close\r\n\r\n",
				   probe->path, probe->host);
	/* At most some KiB into an empty buffer of a fresh socket: a short write is a failure. */
	return send(probe->fd, request.bytes, request.length, MSG_NOSIGNAL) == (ssize_t)request.length ? 0 : -EPIPE;
}

/* ---- answers ---- */

/* Goes on at another path of the same server, or at another server on loopback. */
static bool go_on_at(struct probe *probe, uint64_t now_ms, const char *location)
{
	__attribute__((cleanup(probe_target_release))) struct probe_target next = { 0 };
	struct error ignored;
	int result;

	if (location[0] == '/' && location[1] != '/' && !has_unsafe_byte(location)) {
		text_free(&probe->path);
		probe->path = text_format("%.*s", (int)strcspn(location, "#"), location);
	} else if (probe_target_parse(location, &next, &ignored) < 0 || next.kind != PROBE_HTTP ||
		   !(next.families & probe->family)) {
		/* It leads where this cannot go, to https or away from loopback: the server answers, which was the
		 * question. */
		return true;
	} else {
		text_free(&probe->path);
		text_free(&probe->host);
		probe->path = text_duplicate(next.path);
		probe->host = text_duplicate(next.host);
		probe->port = next.port;
	}
	end_attempt(probe);
	result = begin_attempt(probe, now_ms);
	return result < 0 ? fail_system(probe, now_ms, -result) : false;
}

/* The value of a header, or NULL. */
static char *header_value(const char *answer, const char *name)
{
	for (const char *line = strstr(answer, "\r\n"); line; line = strstr(line, "\r\n")) {
		size_t length = strlen(name);

		line += strlen("\r\n");
		if (strncasecmp(line, name, length) != 0 || line[length] != ':')
			continue;
		line += length + 1;
		line += strspn(line, " \t");
		return text_format("%.*s", (int)strcspn(line, "\r\n"), line);
	}
	return NULL;
}

/* @return true when the answer says that the server is there; else the probe is where it has to go on */
static bool judge_http(struct probe *probe, uint64_t now_ms)
{
	owned_text reason = NULL;
	const char *answer = probe->answer.bytes;
	unsigned status = 0;

	if (sscanf(answer, "HTTP/1.%*1[01] %3u", &status) != 1)
		return fail_attempt(probe, now_ms, "it does not answer in HTTP");
	if (status == 404 && text_equal(probe->path, "/"))
		return go_on_at(probe, now_ms, "/index.html");
	if (status >= 300 && status < 400 && ++probe->redirects <= REDIRECTS_MAX) {
		owned_text location = header_value(answer, "Location");

		return location ? go_on_at(probe, now_ms, location) : true;
	}
	if (status >= 200 && status < 404)
		return true;
	reason = text_format("it answers %s with HTTP status %u", probe->path, status);
	return fail_attempt(probe, now_ms, reason);
}

static bool judge(struct probe *probe, uint64_t now_ms, bool is_end)
{
	const char *answer = probe->answer.bytes;

	if (probe->answer.length == 0)
		return is_end ? fail_attempt(probe, now_ms, "it closes the connection without an answer") : false;
	if (probe->target->kind == PROBE_TLS) {
		/* a handshake or an alert of any TLS version */
		if (probe->answer.length >= 2 && (answer[0] == 0x16 || answer[0] == 0x15) && answer[1] == 0x03)
			return true;
		return probe->answer.length >= 2 || is_end ? fail_attempt(probe, now_ms, "it does not answer in TLS")
							   : false;
	}
	return strstr(answer, "\r\n\r\n") || is_end || probe->answer.length >= ANSWER_BYTES_MAX
		       ? judge_http(probe, now_ms)
		       : false;
}

/* ---- the machine ---- */

static bool step_connecting(struct probe *probe, uint64_t now_ms)
{
	struct pollfd ready = { .fd = probe->fd, .events = POLLOUT };
	int number = 0;
	socklen_t size = sizeof(number);

	if (poll(&ready, 1, 0) != 1)
		return false;
	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &number, &size) < 0)
		number = errno;
	if (number != 0)
		return fail_system(probe, now_ms, number);
	if (probe->target->kind == PROBE_PORT)
		return true;
	number = -send_request(probe);
	if (number != 0)
		return fail_system(probe, now_ms, number);
	probe->phase = PROBE_READING;
	return false;
}

static bool step_reading(struct probe *probe, uint64_t now_ms)
{
	char bytes[4096];
	ssize_t count = RETRY_EINTR(recv(probe->fd, bytes, sizeof(bytes), 0));

	if (count < 0 && errno == EAGAIN)
		return false;
	if (count < 0)
		return fail_system(probe, now_ms, errno);
	/* NUL bytes belong to no header: what stands behind them is not looked at. */
	text_buffer_add(&probe->answer, bytes, (size_t)count);
	return judge(probe, now_ms, count == 0);
}

bool probe_step(struct probe *probe, uint64_t now_ms)
{
	int result;

	if (probe->phase == PROBE_RESTING) {
		if (now_ms < probe->next_ms)
			return false;
		result = begin_attempt(probe, now_ms);
		if (result < 0)
			return fail_system(probe, now_ms, -result);
	} else if (now_ms >= probe->next_ms) {
		return fail_attempt(probe, now_ms, "it accepts a connection and does not answer");
	}
	if (probe->phase == PROBE_CONNECTING && step_connecting(probe, now_ms))
		return true;
	return probe->phase == PROBE_READING && step_reading(probe, now_ms);
}

struct pollfd probe_pollfd(const struct probe *probe)
{
	return (struct pollfd){ .fd = probe->fd, .events = probe->phase == PROBE_CONNECTING ? POLLOUT : POLLIN };
}

void probe_address(const struct probe *probe, char *text, size_t size)
{
	(void)snprintf(text, size, probe->family == PROBE_IPV6 ? "[::1]:%u" : "127.0.0.1:%u", probe->target->port);
}

const char *probe_describe(const struct probe *probe, uint64_t now_ms)
{
	bool is_open = probe->phase != PROBE_RESTING;

	if (is_open && now_ms + ATTEMPT_MS_MAX >= probe->next_ms + YOUNG_MS)
		return "it accepts a connection and does not answer";
	if (probe->last[0])
		return probe->last;
	return is_open ? "it has not answered yet" : "it was not asked yet";
}
