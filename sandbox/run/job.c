/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/job.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macro.h"

/* GitHub Actions, "Workflow commands: environment files". */
static const char *const variables[] = { "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY" };

void job_add_files(const struct volume_list *volumes, struct volume_list *ret_volumes)
{
	*ret_volumes =
		(struct volume_list){ .items = calloc(volumes->count + ARRAY_SIZE(variables), sizeof(struct volume)),
				      .count = volumes->count };
	if (!ret_volumes->items)
		abort();
	if (volumes->count > 0)
		memcpy(ret_volumes->items, volumes->items, volumes->count * sizeof(struct volume));
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		char *path = getenv(variables[i]);
		struct stat status;

		/* The caller's own files only: the variable is all there is to say that it is the job's. */
		if (!path || path[0] != '/' || lstat(path, &status) < 0 || !S_ISREG(status.st_mode) ||
		    status.st_uid != geteuid())
			continue;
		ret_volumes->items[ret_volumes->count++] =
			(struct volume){ .kind = VOLUME_READ_WRITE, .source = path, .target = path };
	}
}

void job_release_files(struct volume_list *volumes)
{
	free(volumes->items);
	*volumes = (struct volume_list){ 0 };
}
