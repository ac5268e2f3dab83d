/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/repository.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/text.h"
#include "overlay/mountinfo.h"
#include "sandbox/worker/identity.h"

/* Where others may write, as in /tmp, the mark may be another's, even where the directory is the caller's: root's. */
static bool is_own(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0 && status.st_uid == geteuid();
}

char *repository_find(const char *tree, const char *home)
{
	bool is_in_home = home && path_is_below(tree, home);
	owned_text place = text_duplicate(tree);

	while (is_in_home ? !text_equal(place, home)
			  : !text_equal(place, "/") && !(home && path_is_below(home, place))) {
		owned_text mark = path_join(place, ".git");

		if (access(mark, F_OK) == 0) {
			char *found = place;

			if (!is_in_home && !(is_own(place) && is_own(mark)))
				return NULL;
			place = NULL;
			return found;
		}
		text_free(&mark);
		mark = place;
		place = path_parent(mark);
	}
	return NULL;
}

static bool is_volume(const struct spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->volumes.count; i++)
		if (text_equal(spec->volumes.items[i].target, path))
			return true;
	return false;
}

static bool has_mounts(const char *directory)
{
	struct mount_list mounts = { 0 };
	bool has = mountinfo_read(&mounts, NULL) < 0 || mountinfo_below(&mounts, directory);

	mountinfo_release(&mounts);
	return has;
}

int repository_surround(struct spec *spec, struct error *error)
{
	owned_text tree = NULL;
	owned_text found = NULL;
	struct identity identity;
	bool is_in_home;
	int result;

	/* What is wrong with it says whoever makes the world. */
	if (path_canonical(spec->tree ? spec->tree : ".", &tree) < 0)
		return 0;
	found = repository_find(tree, NULL);
	if (!found || text_equal(found, tree) || is_volume(spec, found))
		return 0;
	result = identity_read(spec->as_root, &identity, error);
	if (result < 0)
		return result;
	is_in_home = identity.home && (path_is_below(tree, identity.home) || path_is_below(identity.home, found));
	identity_release(&identity);
	if (!is_in_home && !has_mounts(found))
		spec_add_volume(spec, &(struct volume){ .kind = VOLUME_OVERLAY, .source = found, .target = found });
	return 0;
}
