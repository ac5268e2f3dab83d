/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/seccomp.h"

#include <assert.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/text.h"

#if defined(__x86_64__)
#include "sandbox/policy/seccomp_x86_64.h"
#define PROGRAM_CODE(filter) seccomp_x86_64_##filter
#elif defined(__aarch64__)
#include "sandbox/policy/seccomp_aarch64.h"
#define PROGRAM_CODE(filter) seccomp_aarch64_##filter
#else
#error "seccomp_generate.c has no target for this architecture"
#endif

/* sock_fprog's pointer is not const, though the kernel only reads. */
#define PROGRAM(filter)                                                                                                \
	{                                                                                                              \
		ARRAY_SIZE(PROGRAM_CODE(filter)), (struct sock_filter *)PROGRAM_CODE(filter)                           \
	}

static const struct profile {
	const char *name;
	bool is_for_users;
	struct sock_fprog program;	  /* empty: none */
	struct sock_fprog userns_program; /* with allow_userns */
} profiles[] = {
	[SECCOMP_DEFAULT] = { "default", true, PROGRAM(default), PROGRAM(default_userns) },
	[SECCOMP_STRICT] = { "strict", true, PROGRAM(strict), PROGRAM(strict_userns) },
	[SECCOMP_OFF] = { .name = "off", .is_for_users = true },
	[SECCOMP_FORWARDER] = { "forwarder", false, PROGRAM(forwarder), PROGRAM(forwarder) },
	[SECCOMP_READER] = { "reader", false, PROGRAM(reader), PROGRAM(reader) },
};

const struct sock_fprog *seccomp_program(const struct seccomp_options *options)
{
	assert(options->profile < ARRAY_SIZE(profiles));
	if (options->profile == SECCOMP_OFF)
		return NULL;
	return options->allow_userns ? &profiles[options->profile].userns_program : &profiles[options->profile].program;
}

int seccomp_load(const struct seccomp_options *options, struct error *error)
{
	const struct sock_fprog *program = seccomp_program(options);
	/* Not SECCOMP_FILTER_FLAG_SPEC_ALLOW: it would switch off the mitigation of speculative store bypass. */
	unsigned flags = options->log ? SECCOMP_FILTER_FLAG_LOG : 0;

	if (!program)
		return 0;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program) < 0) {
		int number = errno;

		return error_set(error, .number = number, .step = "load the seccomp filter",
				 .object = seccomp_profile_name(options->profile),
				 .cause = number == EINVAL ? "the kernel has no seccomp filters" : NULL,
				 .remedy = number == EINVAL ? "use a kernel with CONFIG_SECCOMP_FILTER" : NULL);
	}
	return 0;
}

int seccomp_parse_profile(const char *text, enum seccomp_profile *ret_profile)
{
	for (enum seccomp_profile profile = 0; profile < ARRAY_SIZE(profiles); profile++) {
		if (!profiles[profile].is_for_users || !text_equal(text, profiles[profile].name))
			continue;
		*ret_profile = profile;
		return 0;
	}
	return -EINVAL;
}

const char *seccomp_profile_name(enum seccomp_profile profile)
{
	assert(profile < ARRAY_SIZE(profiles));
	return profiles[profile].name;
}
