/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/self/mountinfo: mount points are named by whoever mounts, a FUSE user included. */
#include "overlay/mountinfo.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_text text = fuzz_text(data, size);
	struct mount_list list;

	mountinfo_parse(text, &list);
	for (size_t i = 0; i < list.count; i++) {
		MUST(list.items[i].point && list.items[i].type && list.items[i].options);
		MUST(mountinfo_at(&list, list.items[i].point));
	}
	(void)mountinfo_below(&list, "/home/user");
	(void)mountinfo_holding(&list, "/home/user/tree");
	mountinfo_release(&list);
	return 0;
}
