/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/text.h"

int path_open(int dirfd, const char *path, int flags, mode_t mode, enum path_rule rule)
{
	static const uint64_t resolve[] = {
		[PATH_FOLLOW] = RESOLVE_NO_MAGICLINKS,
		[PATH_NO_SYMLINK] = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
		[PATH_BENEATH] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	struct open_how how = {
		/* O_PATH admits few companions, openat2(2): EINVAL for O_NOCTTY with it. */
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY)),
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = resolve[rule],
	};

	/* EAGAIN: a rename or mount elsewhere raced with the walk, openat2(2); bounded, then it is the caller's. */
	for (int attempt = 0;; attempt++) {
		long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if ((errno != EAGAIN && errno != EINTR) || attempt == 1000)
			return -errno;
	}
}

int path_of_fd(int fd, char **ret_path)
{
	char link[FD_PROC_PATH_SIZE];
	struct stat status;
	size_t size = 256;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_nlink == 0)
		return -ENOENT;
	for (;;) {
		owned_text path = malloc(size);
		ssize_t length;

		if (!path)
			return -ENOMEM;
		length = readlink(fd_proc_path(fd, link), path, size);
		if (length < 0)
			return -errno;
		if ((size_t)length < size) {
			path[length] = '\0';
			if (path[0] != '/')
				return -ENOENT; /* "(unreachable)…", "pipe:[…]" */
			*ret_path = path;
			path = NULL;
			return 0;
		}
		size *= 2;
	}
}

int path_canonical(const char *path, char **ret_path)
{
	owned_fd fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return path_of_fd(fd, ret_path);
}

int path_find_current(char **ret_path, struct error *error)
{
	int result = path_canonical(".", ret_path);

	return result == 0 ? 0
			   : error_set(error, .number = -result, .step = "find the current directory",
				       .remedy = "cd to a directory that exists");
}

bool path_is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	if (length == 1 && directory[0] == '/')
		return path[0] == '/';
	return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

const char *path_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	if (length == 1)
		return path + 1;
	return path[length] == '/' ? path + length + 1 : path + length;
}

char *path_join(const char *directory, const char *name)
{
	size_t directory_length;
	size_t name_size;
	char *path;

	if (name[0] == '\0')
		return text_duplicate(directory);
	/* By hand: a start joins some two hundred of them. */
	directory_length = strlen(directory);
	if (directory_length > 0 && directory[directory_length - 1] == '/')
		directory_length--;
	name_size = strlen(name) + 1;
	path = malloc(directory_length + 1 + name_size);
	if (!path)
		abort();
	memcpy(path, directory, directory_length);
	path[directory_length] = '/';
	memcpy(path + directory_length + 1, name, name_size);
	return path;
}

char *path_parent(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return text_duplicate(".");
	return text_format("%.*s", slash == path ? 1 : (int)(slash - path), path);
}

const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *path_normal(const char *base, const char *path)
{
	owned_text joined = path[0] == '/' ? text_duplicate(path) : path_join(base, path);
	char *normal = text_duplicate(joined);
	size_t used = 0;

	/* Written over a copy of the same length: the normal form is never longer, but for the slash of the root. */
	for (const char *part = joined; *part;) {
		size_t length = strcspn(part, "/");

		if (length == 2 && part[0] == '.' && part[1] == '.') {
			while (used > 0 && normal[--used] != '/')
				;
		} else if (length > 0 && !(length == 1 && part[0] == '.')) {
			normal[used++] = '/';
			memcpy(normal + used, part, length);
			used += length;
		}
		part += length;
		part += *part == '/';
	}
	if (used == 0)
		normal[used++] = '/';
	normal[used] = '\0';
	return normal;
}

int path_make_directories(int dirfd, const char *path, mode_t mode)
{
	owned_text partial = text_duplicate(path);

	for (char *slash = partial;; slash++) {
		slash = strchrnul(slash, '/');
		if (slash != partial) {
			char kept = *slash;

			*slash = '\0';
			if (mkdirat(dirfd, partial, mode) < 0 && errno != EEXIST) {
				struct stat status;
				int number = errno;

				/* EROFS, EACCES where it exists already: what counts is that it is a directory. */
				if (fstatat(dirfd, partial, &status, 0) < 0 || !S_ISDIR(status.st_mode))
					return -number;
			}
			*slash = kept;
		}
		if (*slash == '\0')
			return 0;
	}
}
