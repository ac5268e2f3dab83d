/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/capabilities.h"

#include <errno.h>
#include <linux/securebits.h>
#include <sys/capability.h>
#include <sys/prctl.h>

/* exec gives uid 0 nothing, changes of uid neither give nor take, the ambient set stays empty, KEEP_CAPS stays off; and
 * none of this can be changed again. */
#define SECURE_BITS                                                                                                    \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |               \
	 SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* By number until the kernel knows no more (EINVAL), not up to the last one that this program was built with: a newer
 * kernel's capability would stay. The kernel counts 64 at most (kernel_cap_t). */
static int drop_bounding_set(struct error *error)
{
	enum { CAPABILITIES_MAX = 64 };
	cap_value_t capability = 0;

	while (capability < CAPABILITIES_MAX && cap_drop_bound(capability) == 0)
		capability++;
	/* The end only where the kernel does not know the capability at all; after any other failure the rest of the
	 * set would stay. */
	if (capability < CAPABILITIES_MAX && (errno != EINVAL || cap_get_bound(capability) >= 0))
		return error_set(error, .number = errno, .step = "empty the bounding set of capabilities");
	return 0;
}

int capabilities_drop_all(struct error *error)
{
	/* capset(2) itself for the three sets: libcap's cap_set_proc() takes memory. */
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	int result = drop_bounding_set(error);

	if (result < 0)
		return result;
	/* By itself, since libcap's cap_reset_ambient() first asks for each of them. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_set(error, .number = errno, .step = "empty the ambient set of capabilities");
	/* Before CAP_SETPCAP goes with the rest. */
	if (cap_set_secbits(SECURE_BITS) < 0)
		return error_set(error, .number = errno, .step = "lock the secure bits");
	if (capset(&header, none) < 0)
		return error_set(error, .number = errno, .step = "drop all capabilities");
	return 0;
}
