/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "base/tree.h"

#define PLACE_LINK   "place"
#define PLACE_PARENT "/var/tmp"
#define PLACE_PREFIX "sbx-run-"

int place_make(int claim_fd, char **ret_path, struct error *error)
{
	char path[] = PLACE_PARENT "/" PLACE_PREFIX "XXXXXX";

	if (!mkdtemp(path))
		return error_set(error, .number = errno, .step = "make a directory for seeds", .object = PLACE_PARENT);
	if (symlinkat(path, claim_fd, PLACE_LINK) < 0) {
		int number = errno;

		(void)rmdir(path);
		return error_set(error, .number = number, .step = "note the directory of the seeds", .object = path);
	}
	*ret_path = text_duplicate(path);
	return 0;
}

/* The name below the parent, or NULL where the link leads elsewhere: then nothing was made by us. */
static const char *check_link(const char *target)
{
	const char *name = target + strlen(PLACE_PARENT "/");

	if (!text_starts_with(target, PLACE_PARENT "/" PLACE_PREFIX) || !tree_is_entry_name(name))
		return NULL;
	return name;
}

int place_remove(int claim_fd, struct error *error)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(claim_fd, PLACE_LINK, target, sizeof(target) - 1);
	owned_fd parent_fd = -1;
	const char *name;
	struct stat status;
	int result = 0;

	if (length < 0)
		return 0;
	target[length] = '\0';
	name = check_link(target);
	parent_fd = open(PLACE_PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (name && parent_fd >= 0 && fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(status.st_mode) && status.st_uid == geteuid())
		result = tree_remove(parent_fd, name, error);
	if (result == 0)
		(void)unlinkat(claim_fd, PLACE_LINK, 0);
	return result;
}
