/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/capabilities.h"

#include <errno.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/prctl.h>

enum {
	CAPABILITIES_MAX = 64, /* the sets are 64 bits wide */
	SECURE_BITS = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
		      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
};

int capabilities_drop_all(struct error *error)
{
	cap_t empty;

	/* All the kernel knows, not all that libcap knows: EINVAL says where the kernel's list ends. */
	for (int capability = 0; capability < CAPABILITIES_MAX; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
			if (errno == EINVAL && capability > 0)
				break;
			return error_set(error, .number = errno, .step = "drop the capabilities", .object = "bounding set");
		}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "drop the capabilities", .object = "ambient set");
	if (prctl(PR_SET_SECUREBITS, SECURE_BITS, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "lock the securebits");
	empty = cap_init();
	if (!empty || cap_set_proc(empty) < 0) {
		int number = errno;

		(void)cap_free(empty);
		return error_set(error, .number = number, .step = "drop the capabilities", .object = "permitted set");
	}
	(void)cap_free(empty);
	return 0;
}
