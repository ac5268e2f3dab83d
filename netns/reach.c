/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/reach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/number.h"
#include "base/process.h"

static int refuse(const char *text, const char *cause, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = "reach", .object = text, .cause = cause,
			 .remedy = "write it as NAME=HOST:PORT, as in db=localhost:5432");
}

static bool is_localhost(const char *name)
{
	return strcasecmp(name, "localhost") == 0;
}

/* Letters, digits, '-', '.', '_', or the characters of an IPv6 address: nothing that getent or hosts(5) reads
 * otherwise.
 */
static bool is_host(const char *text, const char *more)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	size_t length = 0;

	while (text[length] && (strchr(letters, text[length]) || strchr(more, text[length])))
		length++;
	return length > 0 && text[length] == '\0' && text[0] != '-';
}

int reach_parse(const char *text, struct reach_rule *ret_rule, struct error *error)
{
	const char *equals = strchr(text, '=');
	const char *colon = strrchr(text, ':');
	struct reach_rule rule = { 0 };
	const char *host = equals ? equals + 1 : NULL;
	size_t length;
	uint64_t port;

	if (!equals || !colon || colon < equals)
		return refuse(text, "it has no '=', or no ':' behind it", error);
	if (number_parse(colon + 1, 1, UINT16_MAX, &port) < 0)
		return refuse(text, "its port is none", error);
	rule.port = (uint16_t)port;
	length = (size_t)(colon - host);
	if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
		host++;
		length -= 2;
	}
	if ((size_t)(equals - text) >= sizeof(rule.name) || length >= sizeof(rule.host))
		return refuse(text, "a name in it is longer than 255 bytes", error);
	memcpy(rule.name, text, (size_t)(equals - text));
	memcpy(rule.host, host, length);
	if (!is_host(rule.name, ""))
		return refuse(text, "its name inside is not one of a host", error);
	if (!is_host(rule.host, ":%"))
		return refuse(text, "its host outside is neither a name nor an address", error);
	*ret_rule = rule;
	return 0;
}

/* Whether the rules' names cannot have the same address. */
static bool clash(const struct reach_rule *a, const struct reach_rule *b)
{
	return strcasecmp(a->name, b->name) != 0 && a->port == b->port;
}

/* Whether `rule`'s name, with all its ports, can have this address beside those that have one already. */
static bool is_free(const struct reach_rule *rules, size_t count, const struct reach_rule *rule, const char *address)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count && strcasecmp(rules[i].name, rule->name) == 0; j++)
			if (strcmp(rules[j].address, address) == 0 && clash(&rules[i], &rules[j]))
				return false;
	return true;
}

static void set_address(struct reach_rule *rules, size_t count, const struct reach_rule *rule, const char *address)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(rules[i].name, rule->name) == 0)
			text_copy(rules[i].address, sizeof(rules[i].address), address);
}

int reach_choose_addresses(struct reach_rule *rules, size_t count, struct error *error)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			if (rules[i].port == rules[j].port && strcasecmp(rules[i].name, rules[j].name) == 0)
				return error_set(error, .number = EEXIST, .step = "reach", .object = rules[i].name,
						 .cause = "one of its ports leads to two places",
						 .remedy = "give one of them another name");
	/* localhost has no choice. */
	for (size_t i = 0; i < count; i++)
		if (is_localhost(rules[i].name))
			text_copy(rules[i].address, sizeof(rules[i].address), "127.0.0.1");
	for (size_t i = 0; i < count; i++) {
		char address[32] = "127.0.0.1";

		for (int last = 1; rules[i].address[0] == '\0'; last++) {
			if (last > 254)
				return error_set(error, .number = E2BIG, .step = "reach", .object = rules[i].name,
						 .cause = "there are more names with this port than addresses");
			(void)snprintf(address, sizeof(address), "127.0.0.%d", last);
			if (is_free(rules, count, &rules[i], address))
				set_address(rules, count, &rules[i], address);
		}
	}
	return 0;
}

char *reach_host_entry(const struct reach_rule *rule)
{
	return is_localhost(rule->name) ? NULL : text_format("%s:%s", rule->name, rule->address);
}

static void add_target(struct reach_rule *rule, const char *numeric)
{
	union address address = address_make(numeric, rule->port);

	if (address.any.sa_family != AF_UNSPEC && rule->target_count < FORWARD_TARGETS_MAX)
		rule->targets[rule->target_count++] = address;
}

/* The name service's answer, one address a line; empty where it has none. */
static int ask_name_service(const char *host, char **ret_text)
{
	enum { ANSWER_MAX = 16 << 10 };
	char *const arguments[] = { (char *)"getent", (char *)"ahosts", (char *)host, NULL };
	char *text;
	ssize_t got;
	int ends[2];
	int status;
	pid_t pid;
	int result = fd_pipe(ends, 0);

	if (result < 0)
		return result;
	pid = process_clone(0, NULL);
	if (pid == 0) {
		if (dup2(ends[1], STDOUT_FILENO) < 0)
			_exit(EXIT_SBX_FAILED);
		(void)execvp(arguments[0], arguments);
		_exit(EXIT_NOT_FOUND);
	}
	(void)close(ends[1]);
	text = calloc(1, ANSWER_MAX + 1);
	if (!text)
		abort();
	got = pid < 0 ? pid : fd_read_all(ends[0], text, ANSWER_MAX);
	(void)close(ends[0]);
	if (pid > 0)
		result = process_wait(pid, &status);
	if (got < 0 || result < 0 || process_exit_code(status) == EXIT_NOT_FOUND) {
		text_free(&text);
		return got < 0 ? (int)got : result < 0 ? result : -ENOEXEC;
	}
	*ret_text = text;
	return 0;
}

int reach_resolve(struct reach_rule *rule, struct error *error)
{
	owned_text text = NULL;
	const char *last = NULL;
	char *rest;
	int result;

	rule->target_count = 0;
	if (is_localhost(rule->host)) {
		add_target(rule, "127.0.0.1");
		add_target(rule, "::1");
		return 0;
	}
	add_target(rule, rule->host);
	if (rule->target_count > 0)
		return 0;
	result = ask_name_service(rule->host, &text);
	if (result < 0)
		return error_set(error, .number = -result, .step = "look up", .object = rule->host,
				 .cause = result == -ENOEXEC
						  ? "the program getent, which asks the name service, is missing"
						  : NULL,
				 .remedy = "write its address instead of its name");
	rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		line[strcspn(line, " \t")] = '\0';
		/* Each comes three times, one for each kind of socket. */
		if (!text_equal(line, last))
			add_target(rule, line);
		last = line;
	}
	return rule->target_count > 0 ? 0
				      : error_set(error, .number = ENOENT, .step = "look up", .object = rule->host,
						  .cause = "the host knows no such name",
						  .remedy = "write its address instead of its name");
}

static int listen_on(const char *numeric, uint16_t port)
{
	const int on = 1;
	union address address = address_make(numeric, port);
	owned_fd fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &address.any, address_size(&address)) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	return fd_take(&fd);
}

int reach_listen(const struct reach_rule *rule, int ret_fds[static REACH_LISTENERS_MAX], size_t *ret_count,
		 struct error *error)
{
	int fd = listen_on(rule->address, rule->port);
	int second = -1;

	if (fd < 0)
		return error_set(error, .number = -fd, .step = "listen inside for", .object = rule->name);
	if (is_localhost(rule->name))
		second = listen_on("::1", rule->port); /* a kernel without IPv6 has no such address to be called at */
	ret_fds[0] = fd;
	*ret_count = 1;
	if (second >= 0)
		ret_fds[(*ret_count)++] = second;
	return 0;
}
