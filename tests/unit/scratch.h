/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of a test's own, which is gone afterwards. */
#ifndef SBX_TESTS_UNIT_SCRATCH_H
#define SBX_TESTS_UNIT_SCRATCH_H

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/text.h"
#include "base/tree.h"

/* @base  absolute; NULL: TMPDIR, or /tmp   @return its path, the caller's, scratch_remove(); NULL: it cannot be made */
static inline char *scratch_make(const char *base)
{
	const char *directory = base ? base : getenv("TMPDIR");
	char *path = text_format("%s/sbx-unit.XXXXXX", directory && directory[0] == '/' ? directory : "/tmp");

	if (!mkdtemp(path))
		text_free(&path);
	return path;
}

/* @return 0, or -errno: something is left */
static inline int scratch_remove(char **path)
{
	owned_text parent = path_parent(*path);
	owned_fd parent_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result = parent_fd < 0 ? parent_fd : tree_remove(parent_fd, path_name(*path), NULL);

	text_free(path);
	return result;
}

/* For tests that need no more than that. */
struct scratch {
	char *path;
	int fd;
};

static inline int scratch_set_up_in(void **state, const char *base)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	if (!scratch)
		abort();
	*state = scratch;
	scratch->path = scratch_make(base);
	scratch->fd = scratch->path ? open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return scratch->fd < 0 ? -1 : 0;
}

static inline int scratch_set_up(void **state)
{
	return scratch_set_up_in(state, NULL);
}

static inline int scratch_tear_down(void **state)
{
	struct scratch *scratch = *state;
	int result;

	fd_close(&scratch->fd);
	result = scratch_remove(&scratch->path);
	free(scratch);
	return result;
}

#endif
