/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/number.h"
#include "base/path.h"
#include "base/text.h"

enum {
	FILE_SIZE_MAX = 16 << 20,
	USER_LENGTH_MAX = 32, /* useradd(8) */
};

/* Fields of passwd(5); the first and the third are the same in group(5). */
enum field { FIELD_NAME = 0, FIELD_ID = 2, FIELD_HOME = 5 };

/* A piece of a text, not terminated. */
struct span {
	const char *start;
	size_t length;
};

static struct span find_field(struct span line, enum field field)
{
	const char *end = line.start + line.length;
	const char *start = line.start;

	for (enum field i = 0; i < field; i++) {
		const char *colon = memchr(start, ':', (size_t)(end - start));

		if (!colon)
			return (struct span){ 0 };
		start = colon + 1;
	}
	return (struct span){ start, (size_t)((const char *)memchr(start, ':', (size_t)(end - start)) ?: end) -
					     (size_t)start };
}

static bool span_equals(struct span span, const char *text)
{
	return span.length == strlen(text) && memcmp(span.start, text, span.length) == 0;
}

static bool is_number(struct span span, unsigned id)
{
	char text[16];
	uint64_t value;

	if (span.length == 0 || span.length >= sizeof(text))
		return false;
	memcpy(text, span.start, span.length);
	text[span.length] = '\0';
	return number_parse(text, 0, UINT32_MAX, &value) == 0 && value == id;
}

/* Walks the lines of a file; comments, the + and - of NIS, and what has no name are no entries. */
static bool next_line(const char **text, struct span *ret_line)
{
	while (*text && **text) {
		struct span line = { *text, strcspn(*text, "\n") };

		*text += line.length + ((*text)[line.length] == '\n');
		if (line.length > 0 && !strchr("#+-:", line.start[0])) {
			*ret_line = line;
			return true;
		}
	}
	return false;
}

static bool find_by_id(const char *text, unsigned id, struct span *ret_line)
{
	struct span line;

	while (next_line(&text, &line))
		if (is_number(find_field(line, FIELD_ID), id)) {
			*ret_line = line;
			return true;
		}
	return false;
}

static bool has_name(const char *text, const char *name)
{
	struct span line;

	while (next_line(&text, &line))
		if (span_equals(find_field(line, FIELD_NAME), name))
			return true;
	return false;
}

static char *copy_span(struct span span)
{
	char *copy = strndup(span.start, span.length);

	if (!copy)
		abort();
	return copy;
}

/* Names that every tool takes, useradd(8). */
static bool is_user_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t length = strlen(name);

	return length > 0 && length <= USER_LENGTH_MAX && strspn(name, allowed) == length &&
	       !strchr("-.0123456789", name[0]);
}

/* A name for an id that the file does not know: the wished one, unless it is malformed or another's. */
static char *name_for(const char *text, const char *wish, const char *kind, unsigned id)
{
	if (wish && is_user_name(wish) && !has_name(text, wish))
		return text_duplicate(wish);
	return text_format("%s%u", kind, id);
}

/* The canonical path of a directory of the caller's own. The root is none, though system users have it as HOME: a world
 * cannot have a copy-on-write view of everything. */
static char *home_at(const char *path, uid_t uid)
{
	owned_text canonical = NULL;
	struct stat status;
	char *home;

	if (!path || path[0] != '/' || stat(path, &status) < 0 || !S_ISDIR(status.st_mode) || status.st_uid != uid ||
	    path_canonical(path, &canonical) < 0 || text_equal(canonical, "/"))
		return NULL;
	home = canonical;
	canonical = NULL;
	return home;
}

static char *home_of_entry(struct span line, uid_t uid)
{
	struct span field = find_field(line, FIELD_HOME);
	owned_text path = field.start ? copy_span(field) : NULL;

	return home_at(path, uid);
}

/* What the host's file says, its last line ended, then `line`. */
static char *with_line(const char *text, char *line)
{
	size_t length = text ? strlen(text) : 0;
	const char *newline = length > 0 && text[length - 1] != '\n' ? "\n" : "";
	char *joined = text_format("%s%s%s\n", text ? text : "", newline, line);

	free(line);
	return joined;
}

/* A HOME with ':' or a newline cannot be said in passwd(5); programs have the variable. */
static const char *home_for_line(const struct identity *identity)
{
	return identity->home && !strpbrk(identity->home, ":\n") ? identity->home : "/";
}

void identity_make(const struct identity_sources *sources, bool as_root, struct identity *ret_identity)
{
	struct identity identity = {
		.uid = sources->uid,
		.gid = sources->gid,
		.inner_uid = as_root ? 0 : sources->uid,
		.inner_gid = as_root ? 0 : sources->gid,
	};
	struct span line = { 0 };
	bool is_known = find_by_id(sources->passwd_text, identity.uid, &line);

	identity.user = is_known ? copy_span(find_field(line, FIELD_NAME))
				 : name_for(sources->passwd_text, sources->user, "user", identity.uid);
	identity.home = home_at(sources->home, identity.uid);
	if (!identity.home && is_known)
		identity.home = home_of_entry(line, identity.uid);

	if (!find_by_id(sources->passwd_text, identity.inner_uid, &line))
		identity.passwd_text =
			with_line(sources->passwd_text,
				  text_format("%s:x:%u:%u::%s:/bin/sh", as_root ? "root" : identity.user,
					      identity.inner_uid, identity.inner_gid, home_for_line(&identity)));
	if (!find_by_id(sources->group_text, identity.inner_gid, &line)) {
		owned_text name =
			name_for(sources->group_text, as_root ? "root" : identity.user, "group", identity.inner_gid);

		identity.group_text = with_line(sources->group_text, text_format("%s:x:%u:", name, identity.inner_gid));
	}
	*ret_identity = identity;
}

/* A host without the file is odd but legal; one that this user may not read is the same to it. */
static int read_text(const char *path, char **ret_text, struct error *error)
{
	int result = fd_read_file(AT_FDCWD, path, FILE_SIZE_MAX, ret_text, NULL);

	if (result < 0 && result != -ENOENT && result != -EACCES)
		return error_set(error, .number = -result, .step = "read who the caller is", .object = path);
	return 0;
}

int identity_read(bool as_root, struct identity *ret_identity, struct error *error)
{
	owned_text passwd_text = NULL;
	owned_text group_text = NULL;
	int result = read_text("/etc/passwd", &passwd_text, error);

	if (result == 0)
		result = read_text("/etc/group", &group_text, error);
	if (result < 0)
		return result;
	identity_make(&(struct identity_sources){ .uid = geteuid(),
						  .gid = getegid(),
						  .passwd_text = passwd_text,
						  .group_text = group_text,
						  .user = getenv("USER"),
						  .home = getenv("HOME") },
		      as_root, ret_identity);
	return 0;
}

void identity_release(struct identity *identity)
{
	text_free(&identity->user);
	text_free(&identity->home);
	text_free(&identity->passwd_text);
	text_free(&identity->group_text);
	*identity = (struct identity){ 0 };
}

static char *format_map(unsigned inner, unsigned outer, char text[static IDENTITY_MAP_SIZE])
{
	(void)snprintf(text, IDENTITY_MAP_SIZE, "%u %u 1\n", inner, outer);
	return text;
}

int identity_find_places(struct state_paths *ret_places, struct error *error)
{
	struct identity identity;
	int result = identity_read(false, &identity, error);

	if (result < 0)
		return result;
	state_paths_find(identity.home, ret_places);
	identity_release(&identity);
	return 0;
}

char *identity_uid_map(const struct identity *identity, char text[static IDENTITY_MAP_SIZE])
{
	return format_map(identity->inner_uid, identity->uid, text);
}

char *identity_gid_map(const struct identity *identity, char text[static IDENTITY_MAP_SIZE])
{
	return format_map(identity->inner_gid, identity->gid, text);
}

/* The kernel takes a map by one write at offset 0, or not at all. */
static int write_map(const char *path, const char *text, struct error *error)
{
	owned_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return error_set(error, .number = errno, .step = "write the id map", .object = path);
	return 0;
}

int identity_write_maps(const struct identity *identity, struct error *error)
{
	char text[IDENTITY_MAP_SIZE];
	int result = write_map("/proc/self/uid_map", identity_uid_map(identity, text), error);

	/* An unprivileged writer of gid_map has to give up setgroups(2) first: user_namespaces(7). */
	if (result == 0)
		result = write_map("/proc/self/setgroups", "deny", error);
	if (result == 0)
		result = write_map("/proc/self/gid_map", identity_gid_map(identity, text), error);
	return result;
}
