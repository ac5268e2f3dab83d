/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/passwd and /etc/group, read by hand: $USER, then the two files, each ended by a NUL. */
#include <string.h>

#include "sandbox/worker/identity.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_text user = fuzz_part(&data, &size);
	owned_text passwd = fuzz_part(&data, &size);
	owned_text group = fuzz_part(&data, &size);

	for (int as_root = 0; as_root <= 1; as_root++) {
		const struct identity_sources sources = { .uid = 1000,
							  .gid = 1000,
							  .passwd_text = passwd,
							  .group_text = group,
							  .user = user,
							  .home = "/nowhere" };
		struct identity identity;
		char map[IDENTITY_MAP_SIZE];

		identity_make(&sources, as_root != 0, &identity);
		MUST(identity.user && identity.user[0] != '\0');
		/* Whatever the name is, it stays one field of one line. */
		MUST(!strpbrk(identity.user, ":\n"));
		(void)identity_uid_map(&identity, map);
		(void)identity_gid_map(&identity, map);
		identity_release(&identity);
	}
	return 0;
}
