/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/interim.h"

#include <errno.h>

#include "base/fd.h"
#include "base/path.h"
#include "overlay/copy.h"
#include "sandbox/registry/claim.h"
#include "sandbox/registry/collect.h"

int interim_make(const struct state_paths *places, struct interim *ret_interim, struct error *error)
{
	owned_fd uppers_fd = -1;
	int result;

	/* Those of killed ones, before another is made: commands that make none may be long in coming. */
	(void)collect_dead(places, COLLECT_REMOVE, NULL, NULL);
	result = state_open(places, STATE_MAKE, &ret_interim->state_fd, error);

	if (result >= 0)
		result = state_open_part(ret_interim->state_fd, STATE_UPPERS, STATE_MAKE, &uppers_fd, error);
	if (result >= 0)
		result = claim_make(uppers_fd, id_make(ret_interim->id), &ret_interim->fd, error);
	if (result < 0)
		return result;
	result = path_of_fd(ret_interim->fd, &ret_interim->path);
	if (result == 0)
		result = layer_probe_xattr(ret_interim->fd);
	if (result > 0)
		return 0;
	return error_set(error, .number = result < 0 ? -result : EOPNOTSUPP, .step = "use the state directory",
			 .object = ret_interim->path ? ret_interim->path : "",
			 .cause = result == 0 ? "its file system takes no user attributes, which layers need" : NULL,
			 .remedy =
				 result == 0 ? "set XDG_STATE_HOME to a directory on a disk (ext4, xfs, btrfs)" : NULL);
}

void interim_close(struct interim *interim)
{
	if (interim->fd >= 0) {
		owned_text path = text_format("%s/%s", state_part_name(STATE_UPPERS), interim->id);

		(void)claim_remove(interim->state_fd, path, interim->fd, NULL); /* what stays is collected */
	}
	fd_close(&interim->fd);
	fd_close(&interim->state_fd);
	text_free(&interim->path);
}
