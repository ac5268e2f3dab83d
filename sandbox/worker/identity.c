/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/number.h"
#include "base/path.h"
#include "base/text.h"

enum { DATABASE_BYTES_MAX = 4 << 20 };

/* The line of passwd(5) or group(5) whose third field is `id`; NULL if there is none. */
static const char *find_line(const char *text, unsigned id, size_t *ret_length)
{
	while (text && *text) {
		size_t length = strcspn(text, "\n");
		const char *first = memchr(text, ':', length);
		const char *second = first ? memchr(first + 1, ':', length - (size_t)(first + 1 - text)) : NULL;
		char number[16];
		uint64_t value;

		if (second) {
			size_t digits = strcspn(second + 1, ":\n");

			if (digits < sizeof(number)) {
				memcpy(number, second + 1, digits);
				number[digits] = '\0';
				if (number_parse(number, 0, UINT32_MAX, &value) == 0 && value == id) {
					*ret_length = length;
					return text;
				}
			}
		}
		text += length;
		text += *text == '\n';
	}
	return NULL;
}

static char *find_home(const char *line, size_t length, uid_t uid)
{
	const char *home = getenv("HOME");
	struct stat status;
	char *canonical = NULL;

	if (home && home[0] == '/' && stat(home, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == uid &&
	    path_canonical(home, &canonical) == 0)
		return canonical;
	if (line) {
		owned_text copy = strndup(line, length);
		char *rest = copy;
		char *field = NULL;

		for (int i = 0; i < 6 && rest; i++)
			field = strsep(&rest, ":");
		if (field && field[0] == '/' && stat(field, &status) == 0 && S_ISDIR(status.st_mode) &&
		    status.st_uid == uid && path_canonical(field, &canonical) == 0)
			return canonical;
	}
	return NULL;
}

int identity_read(bool as_root, struct identity *ret_identity, struct error *error)
{
	struct identity identity = { .uid = geteuid(), .gid = getegid() };
	owned_text passwd = NULL;
	owned_text group = NULL;
	const char *line;
	size_t length = 0;

	(void)error;
	identity.inner_uid = as_root ? 0 : identity.uid;
	identity.inner_gid = as_root ? 0 : identity.gid;
	/* A host without these files is odd but legal. */
	(void)fd_read_file(AT_FDCWD, "/etc/passwd", DATABASE_BYTES_MAX, &passwd, NULL);
	line = find_line(passwd, identity.uid, &length);
	identity.home = find_home(line, length, identity.uid);
	/* The root directory as a HOME (system users have it) is no directory to make a copy-on-write view of. */
	if (identity.home && text_equal(identity.home, "/"))
		text_free(&identity.home);
	if (!find_line(passwd, identity.inner_uid, &length)) {
		identity.passwd_text = text_format("%suser%u:x:%u:%u::%s:/bin/sh\n", passwd ? passwd : "", identity.inner_uid,
						   identity.inner_uid, identity.inner_gid,
						   identity.home ? identity.home : "/run/home");
		(void)fd_read_file(AT_FDCWD, "/etc/group", DATABASE_BYTES_MAX, &group, NULL);
		if (!find_line(group, identity.inner_gid, &length))
			identity.group_text = text_format("%sgroup%u:x:%u:\n", group ? group : "", identity.inner_gid,
							  identity.inner_gid);
	}
	*ret_identity = identity;
	return 0;
}

void identity_release(struct identity *identity)
{
	text_free(&identity->home);
	text_free(&identity->passwd_text);
	text_free(&identity->group_text);
}

static int write_map(const char *path, const char *text, struct error *error)
{
	owned_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return error_set(error, .number = errno, .step = "write the id map", .object = path);
	return 0;
}

int identity_write_maps(const struct identity *identity, struct error *error)
{
	char uid_map[48];
	char gid_map[48];
	int result;

	(void)snprintf(uid_map, sizeof(uid_map), "%u %u 1\n", identity->inner_uid, identity->uid);
	(void)snprintf(gid_map, sizeof(gid_map), "%u %u 1\n", identity->inner_gid, identity->gid);
	result = write_map("/proc/self/setgroups", "deny", error);
	if (result == 0)
		result = write_map("/proc/self/uid_map", uid_map, error);
	if (result == 0)
		result = write_map("/proc/self/gid_map", gid_map, error);
	return result;
}
