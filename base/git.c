/* SPDX-License-Identifier: Apache-2.0 */
#include "base/git.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/number.h"
#include "base/path.h"
#include "base/text.h"

enum {
	LINK_SIZE_MAX = 8192,
	PACKED_SIZE_MAX = 64 << 20,
	LOG_SIZE_MAX = 16 << 20,
	REFERENCES_MAX = 5, /* that lead to one another; git's own limit */
};

/* Whoever may write beside the tree may have put something there that nobody ever writes to. */
static int read_file(const char *path, size_t size_max, char **ret_text)
{
	owned_fd fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char opened[FD_PROC_PATH_SIZE];
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	return fd_read_file(AT_FDCWD, fd_proc_path(fd, opened), size_max, ret_text, NULL);
}

/* The first line of a file. @return the caller's, or NULL */
static char *read_line(const char *directory, const char *name)
{
	owned_text path = path_join(directory, name);
	char *text = NULL;

	if (read_file(path, LINK_SIZE_MAX, &text) < 0 || !text)
		return NULL;
	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

static bool is_commit(const char *text)
{
	size_t length = strspn(text, "0123456789abcdef");

	return text[length] == '\0' && (length == 40 || length == 64);
}

/* Where the repository's files are: .git is a directory, or a file that leads there. */
static char *find_repository(const char *directory)
{
	for (owned_text at = text_duplicate(directory);;) {
		owned_text entry = path_join(at, ".git");
		owned_text parent = path_parent(at);
		struct stat status;

		if (stat(entry, &status) == 0 && S_ISDIR(status.st_mode)) {
			char *found = entry;

			entry = NULL;
			return found;
		}
		if (stat(entry, &status) == 0) {
			owned_text line = read_line(at, ".git");

			return line && text_starts_with(line, "gitdir: ") ? path_normal(at, line + strlen("gitdir: "))
									  : NULL;
		}
		if (text_equal(at, "/"))
			return NULL;
		text_free(&at);
		at = parent;
		parent = NULL;
	}
}

/* "COMMIT NAME" in a line of its own. */
static char *find_packed(const char *common, const char *name)
{
	owned_text path = path_join(common, "packed-refs");
	owned_text text = NULL;
	char *rest;

	if (read_file(path, PACKED_SIZE_MAX, &text) < 0)
		return NULL;
	rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		char *space = strchr(line, ' ');

		if (!space || !text_equal(space + 1, name))
			continue;
		*space = '\0';
		return is_commit(line) ? text_duplicate(line) : NULL;
	}
	return NULL;
}

char *git_find_commit(const char *directory)
{
	owned_text repository = find_repository(directory);
	owned_text link = repository ? read_line(repository, "commondir") : NULL;
	/* A worktree's own directory holds its HEAD, the common one the branches. */
	owned_text common = link ? path_normal(repository, link) : text_duplicate(repository);
	owned_text value = repository ? read_line(repository, "HEAD") : NULL;

	for (int i = 0; i < REFERENCES_MAX && value && text_starts_with(value, "ref: "); i++) {
		owned_text name = text_duplicate(value + strlen("ref: "));

		text_free(&value);
		if (!strstr(name, ".."))
			value = read_line(common, name);
		if (!value)
			value = find_packed(common, name);
	}
	if (!value || !is_commit(value))
		return NULL;
	return text_duplicate(value);
}

/* "OLD NEW Name <address> SECONDS ZONE\tmessage". @return the caller's; NULL: no such line */
static char *read_log_line(char *line, uint64_t *ret_seconds)
{
	char *message = strchr(line, '\t');
	char *address;
	char *zone;
	char *commit = strchr(line, ' ');
	char *end = commit ? strchr(commit + 1, ' ') : NULL;

	if (message)
		*message = '\0';
	address = strrchr(line, '>');
	zone = strrchr(line, ' ');
	if (!address || address[1] != ' ' || !end || address < end || zone < address + 2)
		return NULL;
	*zone = '\0';
	*end = '\0';
	if (number_parse(address + 2, 0, INT64_MAX, ret_seconds) < 0)
		return NULL;
	return is_commit(commit + 1) ? text_duplicate(commit + 1) : NULL;
}

char *git_find_commit_at(const char *directory, int64_t seconds)
{
	owned_text repository = find_repository(directory);
	owned_text path = repository ? path_join(repository, "logs/HEAD") : NULL;
	owned_text text = NULL;
	char *found = NULL;
	char *rest;

	if (!path || read_file(path, LOG_SIZE_MAX, &text) < 0)
		return NULL;
	rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		uint64_t at = 0;
		char *commit = read_log_line(line, &at);

		if (!commit)
			continue;
		if ((int64_t)at > seconds) {
			free(commit);
			break;
		}
		free(found);
		found = commit;
	}
	return found;
}
