/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is, as far as it decides whether worlds can be made: container, AppArmor, filters, limits.
 *
 * Host side. Read by `sbx doctor`, where a step has failed, and once for what has several worlds; nothing here is on
 * the start path of one. All of it is best effort: what cannot be read counts as not there. */
#ifndef SBX_WORKER_MACHINE_H
#define SBX_WORKER_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum machine_container {
	CONTAINER_NONE,
	CONTAINER_DOCKER,
	CONTAINER_PODMAN,
	CONTAINER_OTHER, /* LXC, nspawn, Kubernetes … */
};

/** Which runtime this process is inside of, by the marks that each leaves. */
enum machine_container machine_container(void);
/** "Docker", "Podman", "a container"; "no container". */
const char *machine_container_name(enum machine_container container);

/** The flags that the container was started without and that worlds need, as its runtime spells them; empty outside of
 *  a container or where none is lacking. @return the caller's */
char *machine_container_flags(void);

/** Whether a seccomp filter is on this process already, proc_pid_status(5). */
bool machine_is_filtered(void);
/** Whether this process is in a worker of sbx. */
bool machine_is_worker(void);
/** Whether the root directory is no mount point of this mount namespace: chroot(2), or an initramfs. */
bool machine_is_chroot(void);

/** What lies over parts of `directory` ("/proc", "/sys") and makes the kernel refuse a fresh one: at most three paths
 *  and "…". @return how many there are   @ret_names the caller's, NULL where there are none */
size_t machine_find_masks(const char *directory, char **ret_names);

enum machine_apparmor {
	APPARMOR_ABSENT,     /* not in this kernel, or it restricts nothing */
	APPARMOR_PASSES,     /* it restricts user namespaces, and sbx has its profile */
	APPARMOR_ELSEWHERE,  /* the profile is there, and this binary is not at its path */
	APPARMOR_NOT_LOADED, /* the profile's file is there and this binary at its path, but it is not in force */
	APPARMOR_NO_PROFILE,
	APPARMOR_CONFINES, /* another profile confines this process: a container's, a snap's */
};

/** How AppArmor stands to this process.
 *  @ret_label  of it, as "unconfined", "sbx (unconfined)"; the caller's, NULL where there is none; may be NULL */
enum machine_apparmor machine_apparmor(char **ret_label);
/** The line that puts it right; empty where nothing is to be done. @return the caller's */
char *machine_apparmor_remedy(enum machine_apparmor apparmor);

/** One system call that sbx makes. */
struct machine_call {
	const char *name;
	long number;
	const char *version; /* of the kernel that brought it */
	bool is_required;
};

extern const struct machine_call machine_calls[];
extern const size_t machine_call_count;

/** Whether the kernel answers it, tried with arguments that do nothing. */
bool machine_has_call(const struct machine_call *call);

/** One kind of namespace that a world has. */
struct machine_namespace {
	const char *name;  /* "net" */
	uint64_t flag;	   /* CLONE_NEW*, user alone or together with it */
	const char *limit; /* file below /proc/sys/user */
};

extern const struct machine_namespace machine_namespaces[];
extern const size_t machine_namespace_count;

/** Makes it in a child that ends at once. @return 0 or -errno */
int machine_try_namespaces(uint64_t flags);

/** Reads a file that holds one number. @return 0 or -errno */
int machine_read_number(const char *path, uint64_t *ret_number);

#endif
