/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of many files: forest DIRECTORY FILES. Directories of 1,000 files, of which 100 lie in each directory of the
 * first level, as node_modules and build output do. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/number.h"

enum {
	FILES_IN_DIRECTORY = 1000,
	DIRECTORIES_IN_DIRECTORY = 100,
};

static int fail(const char *path)
{
	(void)fprintf(stderr, "forest: %s: %s\n", path, strerror(errno));
	return 1;
}

static int make_directory(int parent, const char *name)
{
	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int plant_files(int directory, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "file-%03llu.js", (unsigned long long)i);
		if (mknodat(directory, name, S_IFREG | 0644, 0) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t files;
	int root;

	if (argc != 3 || number_parse(argv[2], 0, 100000000, &files) < 0) {
		(void)fprintf(stderr, "usage: forest DIRECTORY FILES\n");
		return 2;
	}
	root = make_directory(AT_FDCWD, argv[1]);
	if (root < 0)
		return fail(argv[1]);
	for (uint64_t number = 0; files > 0; number++) {
		uint64_t count = MIN(files, (uint64_t)FILES_IN_DIRECTORY);
		char name[32];
		int outer;
		int inner;

		(void)snprintf(name, sizeof(name), "package-%llu",
			       (unsigned long long)(number / DIRECTORIES_IN_DIRECTORY));
		outer = make_directory(root, name);
		(void)snprintf(name, sizeof(name), "part-%llu",
			       (unsigned long long)(number % DIRECTORIES_IN_DIRECTORY));
		inner = outer < 0 ? -1 : make_directory(outer, name);
		if (inner < 0 || plant_files(inner, count) < 0)
			return fail(name);
		(void)close(inner);
		(void)close(outer);
		files -= count;
	}
	return 0;
}
