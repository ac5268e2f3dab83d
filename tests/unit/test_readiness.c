/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness against real servers on loopback, made in the test: each answers in a way of its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/macro.h"
#include "sandbox/pool/probe.h"
#include "sandbox/pool/readiness.h"

/* ---- a server that this very thread serves, between two steps of the machine ---- */

struct server {
	int listener;
	uint16_t port;
	const char *(*answer)(const char *request); /* NULL: accepts and says nothing; "" closes */
	int connections[16];
	size_t connection_count;
	unsigned requests;
	char last_request[1024];
};

static struct server server_listen(int family, uint16_t port, const char *(*answer)(const char *))
{
	struct server server = { .answer = answer };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	union {
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} bound;
	socklen_t size = sizeof(bound);
	int one = 1;

	server.listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(server.listener >= 0);
	(void)setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6) {
		assert_int_equal(setsockopt(server.listener, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)), 0);
		assert_int_equal(bind(server.listener, (struct sockaddr *)&six, sizeof(six)), 0);
	} else {
		assert_int_equal(bind(server.listener, (struct sockaddr *)&four, sizeof(four)), 0);
	}
	assert_int_equal(listen(server.listener, 8), 0);
	assert_int_equal(getsockname(server.listener, (struct sockaddr *)&bound, &size), 0);
	server.port = ntohs(family == AF_INET6 ? bound.six.sin6_port : bound.four.sin_port);
	return server;
}

static void server_serve(struct server *server)
{
	int fd = server->listener < 0 ? -1 : accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		assert_true(server->connection_count < ARRAY_SIZE(server->connections));
		server->connections[server->connection_count++] = fd;
	}
	for (size_t i = 0; i < server->connection_count; i++) {
		ssize_t count = server->connections[i] < 0 ? 0
							   : recv(server->connections[i], server->last_request,
								  sizeof(server->last_request) - 1, 0);
		const char *answer;

		if (count <= 0 || !server->answer)
			continue;
		server->last_request[count] = '\0';
		server->requests++;
		answer = server->answer(server->last_request);
		assert_int_equal(fd_write_all(server->connections[i], answer, strlen(answer)), 0);
		fd_close(&server->connections[i]);
	}
}

static void server_close(struct server *server)
{
	fd_close(&server->listener);
	for (size_t i = 0; i < server->connection_count; i++)
		fd_close(&server->connections[i]);
}

/* A port that nobody listens on, and that stays so while the socket is bound. */
static int hold_free_port(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The poll loop that PID 1 has, with the server in it. */
static enum readiness_state drive(struct readiness *ready, struct server *server, struct error *error)
{
	enum readiness_state state = READINESS_WAITING;
	uint64_t end = now_ms() + 20000;

	while (state == READINESS_WAITING && now_ms() < end) {
		struct pollfd fds[READINESS_POLLFDS_MAX + 17];
		size_t count = readiness_pollfds(ready, fds);
		uint64_t deadline = readiness_deadline(ready);
		uint64_t now = now_ms();

		if (server) {
			fds[count++] = (struct pollfd){ .fd = server->listener, .events = POLLIN };
			for (size_t i = 0; i < server->connection_count; i++)
				fds[count++] = (struct pollfd){ .fd = server->connections[i], .events = POLLIN };
		}
		(void)poll(fds, count, deadline > now ? (int)MIN(deadline - now, (uint64_t)1000) : 0);
		if (server)
			server_serve(server);
		state = readiness_step(ready, now_ms(), error);
	}
	return state;
}

/* @return the state; the options' timeout bounds it */
static enum readiness_state ask(const struct readiness_options *options, struct server *server, char *address,
				struct error *error)
{
	struct readiness *ready = NULL;
	enum readiness_state state;

	assert_int_equal(readiness_new(options, now_ms(), &ready, error), 0);
	state = drive(ready, server, error);
	if (address)
		(void)snprintf(address, 32, "%s", readiness_address(ready) ? readiness_address(ready) : "");
	readiness_free(&ready);
	return state;
}

/* ---- answers ---- */

static const char *answer_200(const char *request)
{
	(void)request;
	return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
}

static const char *answer_403(const char *request)
{
	(void)request;
	return "HTTP/1.1 403 Forbidden\r\n\r\n";
}

static const char *answer_404(const char *request)
{
	(void)request;
	return "HTTP/1.0 404 Not Found\r\n\r\n";
}

static const char *answer_index_only(const char *request)
{
	return strncmp(request, "GET /index.html ", 16) == 0 ? "HTTP/1.1 200 OK\r\n\r\n"
							     : "HTTP/1.1 404 Not Found\r\n\r\n";
}

static const char *answer_500_then_200(const char *request)
{
	static unsigned count;

	(void)request;
	return count++ < 2 ? "HTTP/1.1 500 Oops\r\n\r\n" : "HTTP/1.1 204 No Content\r\n\r\n";
}

static const char *answer_redirect_to_login(const char *request)
{
	return strncmp(request, "GET /login?next=1 ", 18) == 0
		       ? "HTTP/1.1 200 OK\r\n\r\n"
		       : "HTTP/1.1 302 Found\r\nlocation: /login?next=1#top\r\n\r\n";
}

static const char *answer_redirect_to_missing(const char *request)
{
	return strncmp(request, "GET /gone ", 10) == 0 ? "HTTP/1.1 404 Not Found\r\n\r\n"
						       : "HTTP/1.1 302 Found\r\nLocation: /gone\r\n\r\n";
}

static const char *answer_redirect_outward(const char *request)
{
	(void)request;
	return "HTTP/1.1 307 Away\r\nLocation: https://login.example.com/\r\n\r\n";
}

static const char *answer_redirect_to_a_host_without_scheme(const char *request)
{
	(void)request;
	return "HTTP/1.1 302 Found\r\nLocation: //login.example.com/\r\n\r\n";
}

static const char *answer_redirect_to_another_request(const char *request)
{
	(void)request;
	return "HTTP/1.1 302 Found\r\nLocation: /a HTTP/1.1\r\n\r\n";
}

static const char *answer_redirect_to_https(const char *request)
{
	(void)request;
	return "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\n\r\n";
}

static const char *answer_redirect_to_nobody(const char *request)
{
	(void)request;
	return "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n";
}

static const char *answer_redirect_to_the_other_family(const char *request)
{
	(void)request;
	return "HTTP/1.1 302 Found\r\nLocation: http://[::1]:1/\r\n\r\n";
}

static const char *answer_redirect_by_another_header(const char *request)
{
	(void)request;
	return "HTTP/1.1 302 Found\r\nX-Ignore: /gone\r\nContent-Location: /gone\r\nLocation-X: /gone\r\n\r\n";
}

static const char *answer_redirect_for_ever(const char *request)
{
	(void)request;
	return "HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n";
}

static const char *answer_garbage(const char *request)
{
	(void)request;
	return "SSH-2.0-OpenSSH\r\n\r\n";
}

static const char *answer_nothing(const char *request)
{
	(void)request;
	return "";
}

static const char *answer_tls_alert(const char *request)
{
	assert_int_equal(request[0], 0x16);
	return "\x15\x03\x03\x01\x02\x02\x28";
}

/* ---- url ---- */

static const struct {
	const char *title;
	const char *(*answer)(const char *request);
	const char *path;
	enum readiness_state state;
	const char *cause; /* FAILED */
	unsigned requests; /* 0: as many as it takes */
} answers[] = {
	{ "200", answer_200, "/health", READINESS_READY, NULL, 0 },
	{ "403 counts", answer_403, "/", READINESS_READY, NULL, 0 },
	{ "404 does not", answer_404, "/api", READINESS_FAILED, "HTTP status 404", 0 },
	{ "404 for / asks for /index.html", answer_index_only, "/", READINESS_READY, NULL, 0 },
	{ "404 for /index.html too", answer_404, "/", READINESS_FAILED, "/index.html with HTTP status 404", 0 },
	{ "500 twice", answer_500_then_200, "/", READINESS_READY, NULL, 0 },
	{ "redirect on the server", answer_redirect_to_login, "/", READINESS_READY, NULL, 0 },
	{ "redirect to what is missing", answer_redirect_to_missing, "/", READINESS_FAILED,
	  "/gone with HTTP status 404", 0 },
	{ "redirect away from loopback", answer_redirect_outward, "/", READINESS_READY, NULL, 1 },
	{ "redirect to a host", answer_redirect_to_a_host_without_scheme, "/", READINESS_READY, NULL, 1 },
	{ "redirect with a space", answer_redirect_to_another_request, "/", READINESS_READY, NULL, 1 },
	{ "redirect to TLS", answer_redirect_to_https, "/", READINESS_READY, NULL, 1 },
	{ "redirect to a server that is not there", answer_redirect_to_nobody, "/", READINESS_FAILED,
	  "nothing listens there", 0 },
	{ "redirect to ::1", answer_redirect_to_the_other_family, "/", READINESS_READY, NULL, 1 },
	{ "redirect by no Location", answer_redirect_by_another_header, "/", READINESS_READY, NULL, 1 },
	{ "redirect without end", answer_redirect_for_ever, "/", READINESS_READY, NULL, 0 },
	{ "no HTTP", answer_garbage, "/", READINESS_FAILED, "does not answer in HTTP", 0 },
	{ "closes", answer_nothing, "/", READINESS_FAILED, "closes the connection", 0 },
};

static void test_url_is_judged_by_playwrights_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct server server = server_listen(AF_INET, 0, answers[i].answer);
		struct readiness_options options = {
			.url = text_format("http://127.0.0.1:%u%s", server.port, answers[i].path),
			/* as little as a failure takes: three connections and some */
			.timeout_ms = answers[i].state == READINESS_FAILED ? 60 : 10000,
			.interval_ms = 20,
		};
		struct error error = { 0 };
		enum readiness_state got = ask(&options, &server, NULL, &error);

		if (got != answers[i].state)
			print_error("%s: %s\n", answers[i].title, error.cause);
		assert_int_equal(got, answers[i].state);
		if (answers[i].cause && !strstr(error.cause, answers[i].cause))
			fail_msg("%s: %s", answers[i].title, error.cause);
		assert_true(server.requests > 0);
		if (answers[i].requests != 0 && server.requests != answers[i].requests)
			fail_msg("%s: asked %u times", answers[i].title, server.requests);
		readiness_options_release(&options);
		server_close(&server);
	}
}

static void test_url_request_is_what_a_server_expects(void **state)
{
	struct server server = server_listen(AF_INET, 0, answer_200);
	struct readiness_options options = { .url = text_format("http://shop.localhost:%u/a?b=c#d", server.port) };
	owned_text want = text_format(
		"GET /a?b=c HTTP/1.1\r\nHost: shop.localhost:%u\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		server.port);
	struct error error;

	(void)state;
	assert_int_equal(ask(&options, &server, NULL, &error), READINESS_READY);
	assert_string_equal(server.last_request, want);
	readiness_options_release(&options);
	server_close(&server);
}

static void test_https_is_asked_in_tls(void **state)
{
	struct server server = server_listen(AF_INET, 0, answer_tls_alert);
	struct readiness_options options = { .url = text_format("https://localhost:%u/", server.port),
					     .timeout_ms = 10000 };
	struct error error;

	(void)state;
	assert_int_equal(ask(&options, &server, NULL, &error), READINESS_READY);
	server.answer = answer_garbage;
	options.timeout_ms = 60;
	options.interval_ms = 20;
	assert_int_equal(ask(&options, &server, NULL, &error), READINESS_FAILED);
	assert_non_null(strstr(error.cause, "does not answer in TLS"));
	readiness_options_release(&options);
	server_close(&server);
}

static void test_both_families_are_asked_and_the_one_that_answers_is_told(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct server server = server_listen(families[i], 0, answer_200);
		struct readiness_options url = { .url = text_format("http://localhost:%u/", server.port),
						 .timeout_ms = 10000 };
		struct readiness_options port = { .port = server.port, .timeout_ms = 10000 };
		struct error error;
		char address[32];
		char want[32];

		(void)snprintf(want, sizeof(want), families[i] == AF_INET ? "127.0.0.1:%u" : "[::1]:%u", server.port);
		assert_int_equal(ask(&url, &server, address, &error), READINESS_READY);
		assert_string_equal(address, want);
		assert_int_equal(ask(&port, &server, address, &error), READINESS_READY);
		assert_string_equal(address, want);
		readiness_options_release(&url);
		server_close(&server);
	}
}

static void test_named_family_is_the_only_one_asked(void **state)
{
	struct server server = server_listen(AF_INET6, 0, answer_200);
	struct readiness_options options = {
		.url = text_format("http://127.0.0.1:%u/", server.port),
		.timeout_ms = 30,
		.interval_ms = 10,
	};
	struct error error;

	(void)state;
	assert_int_equal(ask(&options, &server, NULL, &error), READINESS_FAILED);
	assert_non_null(strstr(error.cause, "127.0.0.1"));
	assert_null(strstr(error.cause, "::1"));
	readiness_options_release(&options);
	server_close(&server);
}

static void test_port_nobody_listens_on_is_named_for_both_families(void **state)
{
	struct readiness_options options = { .timeout_ms = 30, .interval_ms = 10 };
	owned_fd held = hold_free_port(&options.port);
	struct error error;
	char want[128];

	(void)state;
	assert_int_equal(ask(&options, NULL, NULL, &error), READINESS_FAILED);
	(void)snprintf(want, sizeof(want), "127.0.0.1:%u: nothing listens there; [::1]:%u: nothing listens there",
		       options.port, options.port);
	assert_string_equal(error.cause, want);
	assert_string_equal(error.step, "be ready in 0.03 s");
	assert_int_equal(error.number, ETIMEDOUT);
	(void)held;
}

static void test_server_that_comes_later_is_found(void **state)
{
	struct readiness_options options = { .timeout_ms = 10000 };
	int held = hold_free_port(&options.port);
	struct readiness *ready = NULL;
	struct server server;
	struct error error;

	(void)state;
	assert_int_equal(readiness_new(&options, now_ms(), &ready, &error), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(readiness_step(ready, now_ms(), &error), READINESS_WAITING);
	fd_close(&held);
	server = server_listen(AF_INET, options.port, NULL);
	assert_int_equal(drive(ready, &server, &error), READINESS_READY);
	readiness_free(&ready);
	server_close(&server);
}

static void test_connection_without_an_answer_is_given_up_and_named(void **state)
{
	struct server server = server_listen(AF_INET, 0, NULL);
	struct readiness_options options = { .url = text_format("http://127.0.0.1:%u/", server.port),
					     .timeout_ms = 100000 };
	struct readiness *ready = NULL;
	struct error error = { 0 };
	uint64_t begin = now_ms();

	(void)state;
	assert_int_equal(readiness_new(&options, begin, &ready, &error), 0);
	for (unsigned i = 0; i < 100 && server.requests == 0 && server.connection_count == 0; i++) {
		assert_int_equal(readiness_step(ready, begin, &error), READINESS_WAITING);
		server_serve(&server);
	}
	assert_int_equal(server.connection_count, 1);
	/* half a minute later, by the clock that is passed in */
	assert_int_equal(readiness_step(ready, begin + 30001, &error), READINESS_WAITING);
	assert_int_equal(readiness_step(ready, begin + 31000, &error), READINESS_WAITING);
	server_serve(&server);
	assert_int_equal(server.connection_count, 2);
	assert_int_equal(readiness_step(ready, begin + 100001, &error), READINESS_FAILED);
	assert_non_null(strstr(error.cause, "accepts a connection and does not answer"));
	readiness_free(&ready);
	readiness_options_release(&options);
	server_close(&server);
}

static const char *const bad_urls[] = {
	"localhost:3000",
	"ftp://localhost/",
	"file://localhost:80/",
	"http://",
	"http://example.com/",
	"http://192.168.0.1:80/",
	"http://127.0.0.2/",
	"http://localhost.example.com/",
	"http://evil.notlocalhost/",
	"http://.localhost.com/",
	"http://user:pass@localhost/",
	"http://localhost:0/",
	"http://localhost:65536/",
	"http://localhost:/",
	"http://localhost:80x/",
	"http://[::1/",
	"http://[::1]x/",
	"http://localhost/a b",
	"http://localhost/\r\nX: y",
};

static void test_url_that_is_not_loopback_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_urls); i++) {
		struct readiness_options options = { .url = (char *)bad_urls[i] };
		struct error error = { 0 };

		if (readiness_options_check(&options, &error) != -EINVAL)
			fail_msg("accepted: %s", bad_urls[i]);
		assert_string_equal(error.object, bad_urls[i]);
		assert_true(error.cause[0] != '\0');
	}
}

static void test_url_parts(void **state)
{
	static const struct {
		const char *url;
		unsigned families;
		uint16_t port;
		const char *host;
		const char *path;
	} urls[] = {
		{ "http://localhost", 3, 80, "localhost", "/" },
		{ "HTTP://LOCALHOST:4444?x=1#y", 3, 4444, "LOCALHOST:4444", "/?x=1" },
		{ "https://[::1]:5001/a", 2, 5001, "[::1]:5001", "/a" },
		{ "https://localhost", 3, 443, "localhost", "/" },
		{ "http://0.0.0.0:3000/", 1, 3000, "0.0.0.0:3000", "/" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		struct probe_target target = { 0 };
		struct error error;

		assert_int_equal(probe_target_parse(urls[i].url, &target, &error), 0);
		assert_int_equal(target.families, urls[i].families);
		assert_int_equal(target.port, urls[i].port);
		assert_string_equal(target.host, urls[i].host);
		assert_string_equal(target.path, urls[i].path);
		probe_target_release(&target);
	}
}

/* ---- stdout ---- */

static void feed(struct readiness *ready, enum readiness_stream stream, const char *text)
{
	readiness_feed(ready, stream, text, strlen(text));
}

static void test_stdout_pattern_matches_over_pieces_and_sets_variables(void **state)
{
	struct readiness_options
		options = { .patterns[READINESS_STDOUT] = {
				    .text = (char *)"listening on .*?:(?<api_port>\\d+)\\/(?<path>\\w+)?" } };
	struct readiness *ready = NULL;
	struct error error;

	(void)state;
	assert_int_equal(readiness_new(&options, 0, &ready, &error), 0);
	feed(ready, READINESS_STDERR, "listening on http://localhost:1/");
	assert_int_equal(readiness_step(ready, 1, &error), READINESS_WAITING);
	feed(ready, READINESS_STDOUT, "starting\nlisten");
	assert_int_equal(readiness_step(ready, 2, &error), READINESS_WAITING);
	feed(ready, READINESS_STDOUT, "ing on http://localhost:5123/");
	assert_int_equal(readiness_step(ready, 3, &error), READINESS_READY);
	assert_int_equal(readiness_variables(ready)->count, 1);
	assert_string_equal(readiness_variables(ready)->items[0], "API_PORT=5123");
	assert_int_equal(readiness_deadline(ready), UINT64_MAX);
	readiness_free(&ready);
}

static void test_stdout_pattern_flags_and_bytes(void **state)
{
	struct readiness_options options = { .patterns[READINESS_STDERR] = { .text = (char *)"^ready\\u0021$",
									     .flags = (char *)"im" } };
	struct readiness *ready = NULL;
	struct error error;

	(void)state;
	assert_int_equal(readiness_new(&options, 0, &ready, &error), 0);
	readiness_feed(ready, READINESS_STDERR, "\xff\xfe\0 bytes\nREADY!\n", 16);
	assert_int_equal(readiness_step(ready, 1, &error), READINESS_READY);
	readiness_free(&ready);
}

static void test_stdout_pattern_sees_the_end_of_a_long_log(void **state)
{
	struct readiness_options options = { .patterns[READINESS_STDOUT] = { .text = (char *)"^begin|end$" } };
	struct readiness *ready = NULL;
	struct error error;
	char noise[4096];

	(void)state;
	memset(noise, 'x', sizeof(noise));
	assert_int_equal(readiness_new(&options, 0, &ready, &error), 0);
	for (unsigned i = 0; i < 64; i++)
		readiness_feed(ready, READINESS_STDOUT, noise, sizeof(noise));
	assert_int_equal(readiness_step(ready, 1, &error), READINESS_WAITING);
	feed(ready, READINESS_STDOUT, "end");
	assert_int_equal(readiness_step(ready, 2, &error), READINESS_READY);
	readiness_free(&ready);
}

static void test_stdout_pattern_without_end_is_bounded_and_named(void **state)
{
	struct readiness_options options = { .patterns[READINESS_STDOUT] = { .text = (char *)"(a|a?)+(a+)+b" },
					     .timeout_ms = 10 };
	struct readiness *ready = NULL;
	struct error error;
	char letters[2000];
	uint64_t begin = now_ms();

	(void)state;
	memset(letters, 'a', sizeof(letters));
	assert_int_equal(readiness_new(&options, 0, &ready, &error), 0);
	readiness_feed(ready, READINESS_STDOUT, letters, sizeof(letters));
	/* "b" lets the search begin: without it PCRE2 knows that there is no match */
	feed(ready, READINESS_STDOUT, "cb");
	assert_int_equal(readiness_step(ready, 1, &error), READINESS_WAITING);
	assert_true(now_ms() - begin < 5000);
	assert_int_equal(readiness_step(ready, 11, &error), READINESS_FAILED);
	assert_non_null(strstr(error.cause, "stdout takes too long to search for"));
	readiness_free(&ready);
}

static void test_bad_patterns_are_refused_with_their_place(void **state)
{
	struct readiness_options options = { .patterns[READINESS_STDOUT] = { .text = (char *)"port (\\d+" } };
	struct error error = { 0 };

	(void)state;
	assert_int_equal(readiness_options_check(&options, &error), -EINVAL);
	assert_string_equal(error.object, "port (\\d+");
	assert_string_equal(error.remedy, "at character 10");
	options.patterns[READINESS_STDOUT] = (struct readiness_pattern){ .text = (char *)"x", .flags = (char *)"q" };
	assert_int_equal(readiness_options_check(&options, &error), -EINVAL);
	assert_non_null(strstr(error.cause, "flag"));
}

/* ---- command, several conditions ---- */

static void test_command_is_repeated_until_it_succeeds(void **state)
{
	struct readiness_options options = { .timeout_ms = 1000, .interval_ms = 100 };
	struct readiness *ready = NULL;
	struct error error;

	(void)state;
	text_list_add(&options.command, "pg_isready");
	assert_int_equal(readiness_new(&options, 0, &ready, &error), 0);
	assert_true(readiness_wants_command(ready, 0));
	assert_false(readiness_wants_command(ready, 0));
	readiness_command_ended(ready, 2 << 8, 10);
	assert_false(readiness_wants_command(ready, 109));
	assert_int_equal(readiness_deadline(ready), 110);
	assert_true(readiness_wants_command(ready, 110));
	assert_int_equal(readiness_step(ready, 110, &error), READINESS_WAITING);
	readiness_command_ended(ready, 0, 120);
	assert_int_equal(readiness_step(ready, 120, &error), READINESS_READY);
	assert_false(readiness_wants_command(ready, 1000));
	readiness_free(&ready);

	assert_int_equal(readiness_new(&options, 0, &ready, &error), 0);
	assert_true(readiness_wants_command(ready, 0));
	readiness_command_ended(ready, 3 << 8, 10);
	assert_int_equal(readiness_step(ready, 1000, &error), READINESS_FAILED);
	assert_string_equal(error.cause, "'pg_isready' ended with status 3");
	readiness_free(&ready);
	readiness_options_release(&options);
}

static void test_all_conditions_or_any(void **state)
{
	struct server server = server_listen(AF_INET, 0, answer_200);
	struct readiness_options options = {
		.url = text_format("http://127.0.0.1:%u/", server.port),
		.patterns[READINESS_STDOUT] = { .text = text_duplicate("up") },
		.timeout_ms = 50,
	};
	struct error error;

	(void)state;
	assert_int_equal(ask(&options, &server, NULL, &error), READINESS_FAILED);
	assert_string_equal(error.cause, "stdout never matched /up/");
	options.any = true;
	options.timeout_ms = 10000;
	assert_int_equal(ask(&options, &server, NULL, &error), READINESS_READY);
	readiness_options_release(&options);
	server_close(&server);
}

static void test_service_without_a_condition_is_ready_at_once(void **state)
{
	struct readiness_options options = { 0 };
	struct error error;

	(void)state;
	assert_int_equal(ask(&options, NULL, NULL, &error), READINESS_READY);
	options.any = true;
	assert_int_equal(ask(&options, NULL, NULL, &error), READINESS_READY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url_is_judged_by_playwrights_rule),
		cmocka_unit_test(test_url_request_is_what_a_server_expects),
		cmocka_unit_test(test_https_is_asked_in_tls),
		cmocka_unit_test(test_both_families_are_asked_and_the_one_that_answers_is_told),
		cmocka_unit_test(test_named_family_is_the_only_one_asked),
		cmocka_unit_test(test_port_nobody_listens_on_is_named_for_both_families),
		cmocka_unit_test(test_server_that_comes_later_is_found),
		cmocka_unit_test(test_connection_without_an_answer_is_given_up_and_named),
		cmocka_unit_test(test_url_that_is_not_loopback_is_refused),
		cmocka_unit_test(test_url_parts),
		cmocka_unit_test(test_stdout_pattern_matches_over_pieces_and_sets_variables),
		cmocka_unit_test(test_stdout_pattern_flags_and_bytes),
		cmocka_unit_test(test_stdout_pattern_sees_the_end_of_a_long_log),
		cmocka_unit_test(test_stdout_pattern_without_end_is_bounded_and_named),
		cmocka_unit_test(test_bad_patterns_are_refused_with_their_place),
		cmocka_unit_test(test_command_is_repeated_until_it_succeeds),
		cmocka_unit_test(test_all_conditions_or_any),
		cmocka_unit_test(test_service_without_a_condition_is_ready_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
