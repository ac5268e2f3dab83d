/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"

/* glibc wraps none of the three calls, and <linux/landlock.h> of the oldest distributions is of ABI 1: what came later
 * stands here, from include/uapi/linux/landlock.h. The kernel takes a structure longer than its own while the rest is
 * zero (copy_struct_from_user()). */
struct ruleset_attributes {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

#define ACCESS_FS_REFER	   (UINT64_C(1) << 13) /* ABI 2 */
#define ACCESS_FS_TRUNCATE (UINT64_C(1) << 14) /* ABI 3 */

#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNAL		   (UINT64_C(1) << 1)

enum {
	ABI_WITH_REFER = 2,
	ABI_WITH_TRUNCATE = 3,
	ABI_WITH_SCOPES = 6,
};

/* What makes sense for a file; the kernel refuses a rule for a file with more (EINVAL). */
#define ACCESS_FILE (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_TRUNCATE)
#define ACCESS_ALL                                                                                                     \
	(ACCESS_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                    \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | ACCESS_FS_REFER)

static int abi_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? -errno : (int)version;
}

int landlock_level(void)
{
	int version = abi_version();

	return version >= ABI_WITH_REFER ? version : 0;
}

static struct ruleset_attributes attributes_for(const struct landlock_rules *rules, int version)
{
	struct ruleset_attributes attributes = { 0 };

	if (!rules->allow_userns && version >= ABI_WITH_REFER)
		attributes.handled_access_fs =
			version >= ABI_WITH_TRUNCATE ? ACCESS_ALL : ACCESS_ALL & ~ACCESS_FS_TRUNCATE;
	if (rules->scope_for_host_network && version >= ABI_WITH_SCOPES)
		attributes.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	return attributes;
}

static int allow_beneath(int ruleset_fd, int fd, mode_t type, uint64_t handled)
{
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = type == S_IFDIR ? handled : handled & ACCESS_FILE,
		.parent_fd = fd,
	};

	return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0 ? -errno : 0;
}

static int allow_places(int ruleset_fd, const struct landlock_rules *rules, uint64_t handled, struct error *error)
{
	for (size_t i = 0; i < rules->writable_count; i++) {
		struct stat status;
		int result =
			fstat(rules->writable_fds[i], &status) < 0
				? -errno
				: allow_beneath(ruleset_fd, rules->writable_fds[i], status.st_mode & S_IFMT, handled);

		if (result < 0)
			return error_set(error, .number = -result, .step = "add a Landlock rule");
	}
	return 0;
}

static int allow_passed(int ruleset_fd, const struct landlock_rules *rules, uint64_t handled, struct error *error)
{
	for (size_t i = 0; i < rules->passed_count; i++) {
		int flags = fcntl(rules->passed_fds[i], F_GETFL);
		struct stat status;
		int result;

		if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH) ||
		    fstat(rules->passed_fds[i], &status) < 0)
			continue;
		/* Pipes and sockets have no place in a file system; the kernel lets them pass, and refuses a rule
		 * (EBADFD). */
		if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode) && !S_ISFIFO(status.st_mode))
			continue;
		result = allow_beneath(ruleset_fd, rules->passed_fds[i], status.st_mode & S_IFMT, handled);
		if (result < 0 && result != -EBADFD)
			return error_set(error, .number = -result, .step = "add a Landlock rule for a descriptor");
	}
	return 0;
}

int landlock_confine(const struct landlock_rules *rules, struct error *error)
{
	int version = abi_version();
	struct ruleset_attributes attributes = attributes_for(rules, version);
	owned_fd ruleset_fd = -1;
	int result;

	/* Not built in (ENOSYS), switched off at boot (EOPNOTSUPP), or nothing that this kernel knows is wanted. */
	if (attributes.handled_access_fs == 0 && attributes.scoped == 0)
		return 0;
	ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (ruleset_fd < 0)
		return error_set(error, .number = errno, .step = "make a Landlock ruleset");
	if (attributes.handled_access_fs != 0) {
		result = allow_places(ruleset_fd, rules, attributes.handled_access_fs, error);
		if (result == 0)
			result = allow_passed(ruleset_fd, rules, attributes.handled_access_fs, error);
		if (result < 0)
			return result;
	}
	if (syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
		return error_set(error, .number = errno, .step = "confine with Landlock",
				 .cause = errno == E2BIG ? "16 domains are stacked already" : NULL);
	return version;
}
