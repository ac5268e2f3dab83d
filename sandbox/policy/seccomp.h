/* SPDX-License-Identifier: Apache-2.0 */
/* The seccomp filters: which system calls a process may still make.
 *
 * What they say stands in sandbox/policy/syscalls.def; while sbx is built that table becomes BPF, which is embedded. A
 * filter is for ever and for all children, so PID 1 of a world has none: each spawned process loads its own, last of
 * all confinement, right before execve(2). The names here begin as libseccomp's do, which sbx does not link for this:
 * do not include <seccomp.h> beside it. */
#ifndef SBX_SANDBOX_POLICY_SECCOMP_H
#define SBX_SANDBOX_POLICY_SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>

#include "base/error.h"

enum seccomp_profile {
	SECCOMP_DEFAULT,   /* deny list for payloads: what is denied answers EPERM or ENOSYS */
	SECCOMP_STRICT,	   /* allow list for payloads: all else answers EPERM */
	SECCOMP_OFF,	   /* none */
	SECCOMP_FORWARDER, /* sbx's port forwarder: anything else kills it */
	SECCOMP_READER,	   /* sbx reading what a payload wrote: anything else kills it */
};

struct seccomp_options {
	enum seccomp_profile profile;
	bool allow_userns; /* of DEFAULT and STRICT: clone, unshare, setns with new namespaces, and chroot */
	bool log;	   /* what is denied goes to the audit log, seccomp(2) SECCOMP_FILTER_FLAG_LOG */
};

/** The filter that these options name, as seccomp(2) takes it. @return static, NULL for SECCOMP_OFF */
const struct sock_fprog *seccomp_program(const struct seccomp_options *options);

/** Confines the calling process from here on; with SECCOMP_OFF does nothing. In a child after PR_SET_NO_NEW_PRIVS;
 *  async-signal-safe, one system call.
 *  Errors: as seccomp(2) (EACCES: PR_SET_NO_NEW_PRIVS was not set; EINVAL: the kernel has no filters). */
int seccomp_load(const struct seccomp_options *options, struct error *error);

/** Reads the profiles that a user may choose: "default", "strict", "off". @return 0 or -EINVAL */
int seccomp_parse_profile(const char *text, enum seccomp_profile *ret_profile);

/** @return static; "default", "strict", "off", "forwarder" or "reader" */
const char *seccomp_profile_name(enum seccomp_profile profile);

#endif
