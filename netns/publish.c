/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/text.h"
#include "netns/address.h"

static int refuse(const char *text, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = "publish the port", .object = text, .cause = cause,
			 .remedy = remedy);
}

static int read_port(const char *digits, uint16_t min, uint16_t *ret_port)
{
	uint64_t number;
	int result = number_parse(digits, min, UINT16_MAX, &number);

	if (result == 0)
		*ret_port = (uint16_t)number;
	return result;
}

/* Takes "IP:" or "[IP]:" from the front. @return the rest; NULL: it is no address */
static char *take_address(char *text, struct publish_rule *rule)
{
	char *end = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
	struct in6_addr bytes;
	bool is_six = text[0] == '[';

	if (!end || (is_six && end[1] != ':'))
		return NULL;
	*end = '\0';
	text += is_six;
	if (inet_pton(is_six ? AF_INET6 : AF_INET, text, &bytes) != 1)
		return NULL;
	/* As the kernel would print it. */
	(void)inet_ntop(is_six ? AF_INET6 : AF_INET, &bytes, rule->host, sizeof(rule->host));
	return end + 1 + is_six;
}

int publish_parse(const char *text, struct publish_rule *ret_rule, struct error *error)
{
	static const char form[] = "write it as [[IP:]HOST:]PORT, as in 8080:5555, or 0:5555 for any free port";
	struct publish_rule rule = { .host = PUBLISH_HOST };
	owned_text copy = text_duplicate(text);
	char *rest = copy;
	char *slash = strrchr(copy, '/');
	char *colon;

	if (slash && strcmp(slash, "/tcp") != 0)
		return refuse(text, "only TCP can be published", form, error);
	if (slash)
		*slash = '\0';
	colon = strchr(rest, ':');
	if (rest[0] == '[' || (colon && strchr(colon + 1, ':'))) {
		rest = take_address(rest, &rule);
		if (!rest)
			return refuse(text, "its first part is no address of the host", form, error);
		colon = strchr(rest, ':');
		if (!colon)
			return refuse(text, "behind the address it names one port instead of two", form, error);
	}
	if (colon) {
		*colon = '\0';
		if (rest[0] != '\0' && read_port(rest, 0, &rule.host_port) < 0)
			return refuse(text, "its port of the host is none", form, error);
		rest = colon + 1;
	}
	if (read_port(rest, 1, &rule.port) < 0)
		return refuse(text, strchr(rest, '-') ? "a range is more than one port" : "its port inside is none",
			      strchr(rest, '-') ? "give -p once for each" : form, error);
	*ret_rule = rule;
	return 0;
}

char *publish_format(const struct publish_rule *rule)
{
	bool is_six = strchr(rule->host, ':');

	return text_format("%s%s%s:%u:%u", is_six ? "[" : "", rule->host, is_six ? "]" : "", rule->host_port,
			   rule->port);
}

static int fail(const struct publish_rule *rule, int number, struct error *error)
{
	static const struct {
		int number;
		const char *cause;
		const char *remedy;
	} reasons[] = {
		{ EADDRINUSE, "another program on the host listens there",
		  "choose another host port, or 0 for any free one" },
		{ EACCES, "the host lets only root listen on its low ports",
		  "choose a host port from 1024 on, or 0 for any free one" },
		{ EADDRNOTAVAIL, "no interface of the host has this address", "leave it out: 127.0.0.1 is used then" },
		{ EAFNOSUPPORT, "the host has no IPv6", "leave the address out: 127.0.0.1 is used then" },
	};
	owned_text text = publish_format(rule);

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].number == number)
			return error_set(error, .number = number, .step = "publish the port", .object = text,
					 .cause = reasons[i].cause, .remedy = reasons[i].remedy);
	return error_set(error, .number = number, .step = "publish the port", .object = text);
}

int publish_open_listener(struct publish_rule *rule, int *ret_fd, struct error *error)
{
	const int on = 1;
	union address address = address_make(rule->host, rule->host_port);
	socklen_t size = sizeof(address);
	owned_fd fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fail(rule, errno, error);
	/* What a server that was here before left in TIME_WAIT is no obstacle, socket(7). */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address.any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &address.any, address_size(&address)) < 0 || listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, &address.any, &size) < 0)
		return fail(rule, errno, error);
	rule->host_port = address_port(&address);
	*ret_fd = fd_take(&fd);
	return 0;
}

struct forward publish_forward(const struct publish_rule *rule, int listener_fd)
{
	struct forward forward = { .listener_fd = listener_fd, .target_count = 2 };

	forward.targets[0] = address_make("127.0.0.1", rule->port);
	forward.targets[1] = address_make("::1", rule->port);
	return forward;
}
