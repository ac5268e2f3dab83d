/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "base/text.h"

enum {
	NAME_MAX_LENGTH = 255, /* of a host name: hostname(7) */
};

/* One NAME:IP, as parts of the text it was found in. */
struct entry {
	const char *name;
	size_t name_length;
	char address[INET6_ADDRSTRLEN];
};

static const char blanks[] = " \t\r\v\f";

/* Names that this file gives an address to itself; lines of the host about them are dropped. */
static const char *const own_names[] = { "localhost",  "localhost.localdomain", "localhost4",
					 "localhost6", "ip6-localhost",		"ip6-loopback" };

static bool names_equal(const char *name, size_t length, const char *other, size_t other_length)
{
	return length == other_length && strncasecmp(name, other, length) == 0;
}

static bool is_address(const char *text)
{
	struct in6_addr bytes;

	return inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1;
}

/* A name must be one word of a line of hosts(5), and no start of a comment. */
static bool is_name(const char *name, size_t length)
{
	if (length == 0 || length > NAME_MAX_LENGTH)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == '#')
			return false;
	return true;
}

static int entry_error(const char *text, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = "add the host", .object = text, .cause = cause,
			 .remedy = remedy);
}

static int entry_parse(const char *text, struct entry *ret_entry, struct error *error)
{
	size_t name_length = strcspn(text, ":=");
	const char *address = text + name_length;
	size_t address_length;
	struct entry entry = { .name = text, .name_length = name_length };

	if (*address == '\0')
		return entry_error(text, "it has no address", "write it as NAME:IP", error);
	address++;
	if (!is_name(text, name_length))
		return entry_error(text, "its name is empty, too long, or holds a blank or '#'", "write it as NAME:IP",
				   error);
	if (strcmp(address, "host-gateway") == 0)
		return entry_error(text, "a worker has no gateway: no address inside it leads to the host",
				   "name an address, or share the host's network with --net host", error);
	address_length = strlen(address);
	if (address_length >= 2 && address[0] == '[' && address[address_length - 1] == ']') {
		address++;
		address_length -= 2;
	}
	if (address_length < sizeof(entry.address))
		memcpy(entry.address, address, address_length);
	if (!is_address(entry.address))
		return entry_error(text, "its address is neither an IPv4 nor an IPv6 address", "write it as NAME:IP",
				   error);
	*ret_entry = entry;
	return 0;
}

int hosts_check_entry(const char *entry, struct error *error)
{
	struct entry parsed;

	return entry_parse(entry, &parsed, error);
}

static bool is_given(const char *name, size_t length, const char *hostname, const struct entry *entries, size_t count)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_names); i++)
		if (names_equal(name, length, own_names[i], strlen(own_names[i])))
			return true;
	if (hostname && names_equal(name, length, hostname, strlen(hostname)))
		return true;
	for (size_t i = 0; i < count; i++)
		if (names_equal(name, length, entries[i].name, entries[i].name_length))
			return true;
	return false;
}

/* Adds a line of the host's file, less the names that have their address already, and not at all without a name left.
 */
static void add_host_line(struct text_buffer *text, const char *line, size_t length, const char *hostname,
			  const struct entry *entries, size_t count)
{
	const char *end = line + length;
	const char *comment = memchr(line, '#', length);
	size_t words = 0;
	owned_buffer kept = { 0 };

	if (comment)
		end = comment;
	while (line < end) {
		const char *word;

		while (line < end && strchr(blanks, *line))
			line++;
		word = line;
		while (line < end && !strchr(blanks, *line))
			line++;
		if (line == word || (words > 0 && is_given(word, (size_t)(line - word), hostname, entries, count)))
			continue;
		if (words++ > 0)
			text_buffer_add(&kept, "\t", 1);
		text_buffer_add(&kept, word, (size_t)(line - word));
	}
	if (words < 2)
		return;
	text_buffer_add(text, kept.bytes, kept.length);
	text_buffer_add(text, "\n", 1);
}

static int parse_entries(char *const *texts, struct entry **ret_entries, size_t *ret_count, struct error *error)
{
	size_t count = 0;
	struct entry *entries;

	while (texts && texts[count])
		count++;
	entries = calloc(count + 1, sizeof(*entries));
	if (!entries)
		abort();
	for (size_t i = 0; i < count; i++) {
		int result = entry_parse(texts[i], &entries[i], error);

		if (result < 0) {
			free(entries);
			return result;
		}
	}
	*ret_entries = entries;
	*ret_count = count;
	return 0;
}

int hosts_build(const char *host_text, const char *hostname, char *const *entries, char **ret_text, struct error *error)
{
	struct text_buffer text = { 0 };
	struct entry *parsed = NULL;
	size_t count = 0;
	int result = parse_entries(entries, &parsed, &count, error);

	if (result < 0)
		return result;
	if (hostname && (!is_name(hostname, strlen(hostname)) || strcasecmp(hostname, "localhost") == 0))
		hostname = NULL;
	text_buffer_add_text(&text, "127.0.0.1\tlocalhost\n"
				    "::1\tlocalhost ip6-localhost ip6-loopback\n");
	if (hostname)
		text_buffer_format(&text, "127.0.1.1\t%s\n", hostname);
	for (size_t i = 0; i < count; i++)
		text_buffer_format(&text, "%s\t%.*s\n", parsed[i].address, (int)parsed[i].name_length, parsed[i].name);
	while (host_text && *host_text) {
		size_t length = strcspn(host_text, "\n");

		add_host_line(&text, host_text, length, hostname, parsed, count);
		host_text += length + (host_text[length] == '\n');
	}
	free(parsed);
	*ret_text = text.bytes;
	return 0;
}
