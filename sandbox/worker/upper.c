/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/tree.h"
#include "overlay/copy.h"
#include "overlay/format.h"
#include "sandbox/registry/claim.h"

#define OVERLAYFS_SUPER_MAGIC 0x794c7630 /* linux/magic.h */
#define VARIABLE	      "SBX_UPPER"

enum place {
	PLACE_PROBED, /* tmpfs where it can be */
	PLACE_TMPFS,
	PLACE_DISK,
};

static int read_variable(enum place *ret_place, struct error *error)
{
	const char *value = getenv(VARIABLE);

	*ret_place = PLACE_PROBED;
	if (!value || value[0] == '\0')
		return 0;
	if (text_equal(value, "tmpfs"))
		*ret_place = PLACE_TMPFS;
	else if (text_equal(value, "disk"))
		*ret_place = PLACE_DISK;
	else
		return error_set(error, .number = EINVAL, .step = "use the variable " VARIABLE, .object = value,
				 .cause = "there is no such place", .remedy = "set it to tmpfs or disk, or unset it");
	return 0;
}

/* An unnamed file on the kernel's own tmpfs (shmem_init(), mm/shmem.c): its inodes have the attribute handlers of every
 * tmpfs, and 5 us pay for it. */
static bool tmpfs_takes_attributes(void)
{
	owned_fd fd = memfd_create("sbx", MFD_CLOEXEC);

	/* Not to be had (vm.memfd_noexec=2, a filter): a file of the host's tmpfs answers as well. */
	if (fd < 0)
		fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	/* Neither: PID 1 looks once more, at the scratch itself, and refuses. */
	return fd < 0 || fsetxattr(fd, FORMAT_OWN "sbx", "y", 1, 0) == 0;
}

/* Whether the directory can hold layers. */
static int check_disk(int fd, const char *path, const char *remedy, struct error *error)
{
	const char *cause = NULL;
	struct statfs status;
	int result;

	if (fstatfs(fd, &status) == 0 && status.f_type == OVERLAYFS_SUPER_MAGIC) {
		result = 0;
		cause = "it lies on an overlay, as in a container, which cannot hold the writable layer of another";
	} else {
		result = layer_probe_xattr(fd);
		if (result == 0)
			cause = "its file system takes no user attributes, which overlayfs needs";
	}
	if (result > 0)
		return 0;
	return error_set(error, .number = result < 0 ? -result : EOPNOTSUPP, .step = "put the writable layer into",
			 .object = path, .cause = cause, .remedy = remedy);
}

/* What was made and does not serve is not left behind. */
static int make_checked(int parent_fd, const char *name, const char *path, const char *remedy, int *ret_fd,
			struct error *error)
{
	owned_fd fd = -1;
	int result = claim_make(parent_fd, name, &fd, error);

	if (result < 0)
		return error_set(error, .number = -result, .step = "put the writable layer into", .object = path,
				 .remedy = remedy);
	result = check_disk(fd, path, remedy, error);
	if (result < 0) {
		(void)unlinkat(parent_fd, name, AT_REMOVEDIR);
		return result;
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

/* ---- the state directory ---- */

static int use_state(struct worker_plan *plan, struct error *error)
{
	static const char remedy[] =
		"name a directory on a disk that is writable with --scratch DIR, or set XDG_STATE_HOME";
	owned_fd state_fd = -1;
	owned_fd uppers_fd = -1;
	owned_text path = NULL;
	int result;

	if (!plan->state.state)
		return error_set(error, .number = ENOENT, .step = "put the writable layer into the state directory",
				 .cause = "there is none: this user has no HOME", .remedy = remedy);
	path = path_join(plan->state.state, state_part_name(STATE_UPPERS));
	result = state_open(&plan->state, STATE_MAKE, &state_fd, error);
	if (result == 0)
		result = state_open_part(state_fd, STATE_UPPERS, STATE_MAKE, &uppers_fd, error);
	if (result < 0)
		return error_context(error, "writable layer");
	return make_checked(uppers_fd, plan->id, path, remedy, &plan->upper_fd, error);
}

/* ---- --scratch DIR ---- */

int upper_scratch_path(const struct spec *spec, char **ret_path, struct error *error)
{
	int result;

	*ret_path = NULL;
	if (!spec->scratch)
		return 0;
	result = path_canonical(spec->scratch, ret_path);
	if (result < 0)
		return error_set(error, .number = -result, .step = "open the scratch directory",
				 .object = spec->scratch);
	return 0;
}

static int open_scratch_directory(const struct spec *spec, int *ret_fd, char **ret_path, struct error *error)
{
	owned_fd fd = path_open(AT_FDCWD, spec->scratch, O_RDONLY | O_DIRECTORY, 0, PATH_FOLLOW);
	int result = fd < 0 ? fd : path_of_fd(fd, ret_path);

	if (result < 0)
		return error_set(error, .number = -result, .step = "open the scratch directory",
				 .object = spec->scratch, .remedy = result == -ENOENT ? "make it first: mkdir" : NULL);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Where the world has a directory of its own anyway, the host's is not seen. */
static bool is_private(const char *path)
{
	static const char *const places[] = { "/tmp", "/var/tmp", "/run", "/dev/shm" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (path_is_below(path, places[i]))
			return true;
	return false;
}

static int hide_scratch(struct worker_plan *plan, const char *path, struct error *error)
{
	const char *const used[] = { plan->tree, plan->home };

	for (size_t i = 0; i < ARRAY_SIZE(used); i++) {
		if (!used[i] || !path_is_below(used[i], path))
			continue;
		/* Seen there: the tree or HOME, nothing beside them. */
		if (is_private(path) && !text_equal(used[i], path))
			return 0;
		return error_set(
			error, .number = EINVAL, .step = "use the scratch directory", .object = path,
			.cause = i == 0 ? "the tree lies in it, and it is hidden in the world, since other "
					  "workers' layers lie there"
					: "HOME lies in it, and it is hidden in the world, since other workers' "
					  "layers lie there",
			.remedy = "name a directory that holds nothing else");
	}
	text_list_add(&plan->hidden, path);
	return 0;
}

/* A kept worker lies elsewhere by now, others may not. */
static int hide_kept_scratch(struct worker_plan *plan, struct error *error)
{
	owned_text path = NULL;

	if (!plan->spec->scratch || path_canonical(plan->spec->scratch, &path) < 0)
		return 0;
	return hide_scratch(plan, path, error);
}

static int use_scratch(struct worker_plan *plan, struct error *error)
{
	static const char remedy[] = "name another directory: a writable one, on a disk (ext4, xfs, btrfs)";
	owned_fd parent_fd = -1;
	owned_text path = NULL;
	char name[sizeof(SCRATCH_PREFIX) + ID_LENGTH];
	int result = open_scratch_directory(plan->spec, &parent_fd, &path, error);

	if (result == 0)
		result = hide_scratch(plan, path, error);
	if (result < 0)
		return result;
	(void)snprintf(name, sizeof(name), SCRATCH_PREFIX "%s", plan->id);
	return make_checked(parent_fd, name, path, remedy, &plan->upper_fd, error);
}

/* ---- both ---- */

/* A disk knows no limit for one directory. */
static int check_limits(const struct spec *spec, struct world_note *note, struct error *error)
{
	bool has_size = spec->scratch_bytes_max > 0;
	bool has_inodes = spec->scratch_inodes_max > 0;
	const char *refused = has_size && !spec->scratch_limit_try	? "--size"
			      : has_inodes && !spec->scratch_inodes_try ? "--inodes"
									: NULL;

	if (refused)
		return error_set(error, .number = ENOTSUP, .step = "hold the limit", .object = refused,
				 .cause = "the writable layer lies on disk, which cannot be held to it",
				 .remedy = "write N,try to go on without: it then binds /tmp, /run and /dev/shm only");
	if ((has_size || has_inodes) && note->what[0] == '\0') {
		text_copy(note->what, sizeof(note->what), "disk limits");
		text_copy(note->why, sizeof(note->why),
			  "the writable layer lies on disk: --size and --inodes bind /tmp, /run and /dev/shm only");
	}
	return 0;
}

static void note_disk(const struct worker_plan *plan, struct world_note *note)
{
	text_copy(note->what, sizeof(note->what), "disk upper");
	(void)snprintf(note->why, sizeof(note->why),
		       "this kernel's tmpfs takes no user attributes (it needs 6.6), so the writable layer lies in %s; "
		       "its size is not limited",
		       plan->state.state ? plan->state.state : "");
}

int upper_choose(struct worker_plan *plan, struct world_note *note, struct error *error)
{
	enum place place;
	bool is_degraded = false;
	int result;

	*note = (struct world_note){ 0 };
	if (plan->upper_fd >= 0)
		return hide_kept_scratch(plan, error);
	result = read_variable(&place, error);
	if (result < 0)
		return result;
	if (plan->spec->force_disk)
		place = PLACE_DISK;
	if (place == PLACE_PROBED && !plan->spec->scratch) {
		is_degraded = !tmpfs_takes_attributes();
		place = is_degraded ? PLACE_DISK : PLACE_TMPFS;
	}
	if (!plan->spec->scratch && place == PLACE_TMPFS)
		return 0;
	if (is_degraded)
		note_disk(plan, note);
	result = check_limits(plan->spec, note, error);
	if (result == 0)
		result = plan->spec->scratch ? use_scratch(plan, error) : use_state(plan, error);
	return result;
}

static void remove_from_scratch(const struct worker_plan *plan)
{
	owned_fd parent_fd = -1;
	owned_text path = NULL;
	char name[sizeof(SCRATCH_PREFIX) + ID_LENGTH];

	(void)snprintf(name, sizeof(name), SCRATCH_PREFIX "%s", plan->id);
	if (open_scratch_directory(plan->spec, &parent_fd, &path, NULL) == 0 &&
	    claim_is_at(parent_fd, name, plan->upper_fd))
		(void)tree_remove(parent_fd, name, NULL);
}

static void remove_from_state(const struct worker_plan *plan)
{
	owned_text path = text_format("%s/%s", state_part_name(STATE_UPPERS), plan->id);
	owned_fd state_fd = -1;

	if (state_open(&plan->state, STATE_LEAVE, &state_fd, NULL) == 0)
		(void)claim_remove(state_fd, path, plan->upper_fd, NULL);
}

void upper_remove(struct worker_plan *plan)
{
	if (plan->upper_fd < 0)
		return;
	if (plan->is_entered_again) {
		layers_remove_work(plan->upper_fd);
		return; /* the descriptor is the visit's */
	}
	/* What stays is the next collector's. */
	if (plan->spec->scratch)
		remove_from_scratch(plan);
	else
		remove_from_state(plan);
	fd_close(&plan->upper_fd);
}
