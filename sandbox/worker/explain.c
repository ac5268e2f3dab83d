/* SPDX-License-Identifier: Apache-2.0 */
/* What an error means on this very machine: one function for each row of `refinements`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "overlay/mountinfo.h"
#include "sandbox/worker/machine.h"
#include "sandbox/worker/probe.h"

/* What a new namespace is given as its own limit: the kernel's way to say that there is none. */
#define LIMIT_NONE UINT64_C(0x7fffffff)
/* Enough for a thousand workers with all their descendants; distributions have 15,000 and more. */
#define LIMIT_ADVISED UINT64_C(65536)

static void set_cause(struct error *error, const char *cause)
{
	text_copy(error->cause, sizeof(error->cause), cause);
}

static void set_remedy(struct error *error, const char *remedy)
{
	text_copy(error->remedy, sizeof(error->remedy), remedy);
}

/* Where this is a container: its lacking flags are the remedy. @return whether it is */
static bool set_container_remedy(struct error *error)
{
	enum machine_container container = machine_container();
	owned_text flags = machine_container_flags();
	owned_text remedy = NULL;

	if (container == CONTAINER_NONE || flags[0] == '\0')
		return false;
	remedy = container == CONTAINER_OTHER
			 ? text_format("start the container without its limits; in Docker's words: %s", flags)
			 : text_format("start the container with: %s", flags);
	set_remedy(error, remedy);
	return true;
}

/* ---- namespaces ---- */

static void refine_namespace_limit(struct error *error)
{
	for (size_t i = 0; i < machine_namespace_count; i++) {
		const struct machine_namespace *namespace = &machine_namespaces[i];
		owned_text path = text_format("/proc/sys/user/%s", namespace->limit);
		owned_text cause = NULL;
		owned_text remedy = NULL;
		uint64_t limit = LIMIT_NONE;

		if (machine_try_namespaces(namespace->flag) != -ENOSPC)
			continue;
		(void)machine_read_number(path, &limit);
		if (limit >= LIMIT_NONE) {
			cause = text_format("user.%s of an outer user namespace is used up", namespace->limit);
			remedy = text_format("on the outer level: sudo sysctl user.%s=%llu", namespace->limit,
					     (unsigned long long)LIMIT_ADVISED);
		} else {
			cause = limit == 0 ? text_format("user.%s is 0: such namespaces are switched off",
							 namespace->limit)
					   : text_format("user.%s is %llu, and that many are in use", namespace->limit,
							 (unsigned long long)limit);
			remedy = text_format("sudo sysctl user.%s=%llu", namespace->limit,
					     (unsigned long long)MAX(2 * limit, LIMIT_ADVISED));
		}
		set_cause(error, cause);
		set_remedy(error, remedy);
		return;
	}
}

static void refine_namespaces_refused(struct error *error)
{
	uint64_t is_allowed = 1;
	owned_text label = NULL;
	enum machine_apparmor apparmor = machine_apparmor(&label);

	if (machine_read_number("/proc/sys/kernel/unprivileged_userns_clone", &is_allowed) == 0 && is_allowed == 0) {
		set_cause(error, "kernel.unprivileged_userns_clone is 0: only root may make user namespaces");
		set_remedy(error, "sudo sysctl kernel.unprivileged_userns_clone=1");
	} else if (machine_is_worker()) {
		set_cause(error, "this is a worker of sbx, which may not make another");
		set_remedy(error, "start the outer one with: sbx run --allow-userns");
	} else if (machine_is_filtered()) {
		set_cause(error, machine_container() == CONTAINER_NONE
					 ? "a seccomp filter on this process refuses it (systemd's "
					   "RestrictNamespaces=, a snap, a flatpak)"
					 : "the container's seccomp filter refuses it");
		if (!set_container_remedy(error))
			set_remedy(error, "start sbx from a process without that filter");
	} else if (machine_is_chroot()) {
		set_cause(error, "the root directory is that of a chroot(2), where no user namespace can be made");
		set_remedy(error, "enter it with pivot_root or switch_root instead, or run sbx outside");
	} else if (apparmor != APPARMOR_ABSENT && apparmor != APPARMOR_PASSES) {
		owned_text remedy = machine_apparmor_remedy(apparmor);

		set_cause(error, "AppArmor refuses it to this program");
		set_remedy(error, remedy);
	}
}

/* ---- finding 26: the namespace is made, and what follows is refused ---- */

static void refine_refused_inside(struct error *error)
{
	owned_text label = NULL;
	enum machine_apparmor apparmor = machine_apparmor(&label);
	owned_text remedy = machine_apparmor_remedy(apparmor);
	owned_text cause = NULL;

	switch (apparmor) {
	case APPARMOR_NO_PROFILE:
		cause = text_duplicate("AppArmor lets the namespace be made but not used, and has no profile for sbx");
		break;
	case APPARMOR_ELSEWHERE:
		cause = text_duplicate("AppArmor lets the namespace be made but not used: the profile of sbx is there, "
				       "but this binary is not at the profile's path");
		break;
	case APPARMOR_NOT_LOADED:
		cause = text_duplicate(
			"AppArmor lets the namespace be made but not used: the profile of sbx is not loaded");
		break;
	case APPARMOR_CONFINES:
		cause = text_format("the AppArmor profile '%s' on this process refuses it", label);
		break;
	case APPARMOR_ABSENT:
	case APPARMOR_PASSES:
		break;
	}
	if (cause) {
		set_cause(error, cause);
		if (apparmor != APPARMOR_CONFINES || !set_container_remedy(error))
			set_remedy(error, remedy);
	} else if (machine_container() != CONTAINER_NONE && machine_is_filtered()) {
		set_cause(error, "the container's seccomp filter refuses it");
		(void)set_container_remedy(error);
	}
}

static void refine_masked(struct error *error)
{
	owned_text names = NULL;
	owned_text cause = NULL;

	if (machine_find_masks(error->object, &names) == 0) {
		refine_refused_inside(error);
		return;
	}
	cause = text_format("parts of %s are covered (%s), so the kernel refuses a fresh one", error->object, names);
	set_cause(error, cause);
	if (set_container_remedy(error))
		return;
	set_remedy(error, "uncover them before sbx starts: umount, in the mount namespace that covered them");
}

/* ---- the overlay ---- */

static void refine_overlay(struct error *error)
{
	struct mount_list mounts = { 0 };
	const struct mount_entry *holding;
	const struct mount_entry *below;
	owned_text cause = NULL;
	owned_text remedy = NULL;

	if (mountinfo_read(&mounts, NULL) < 0)
		return;
	holding = mountinfo_holding(&mounts, error->object);
	below = mountinfo_below(&mounts, error->object);
	if (below) {
		cause = text_format("a mount lies below it: %s (%s)", below->point, below->type);
		remedy = text_format("umount %s, or choose a tree without it", below->point);
	} else if (holding && text_equal(holding->type, "overlay")) {
		cause = text_duplicate(
			"it lies on an overlay that is stacked as deep as the kernel allows (two levels)");
		remedy = text_duplicate(
			machine_container() == CONTAINER_NONE
				? "use a directory that lies on a file system of its own"
				: "start the container with the directory on a volume: -v sbx:DIRECTORY");
	} else if (holding) {
		cause = text_format("its file system cannot be the lower layer of an overlay: %s at %s%s",
				    holding->type, holding->point,
				    text_equal(holding->type, "ext4") ? " (casefold?)" : "");
		remedy = text_duplicate("use a tree on ext4, XFS, btrfs or tmpfs");
	}
	if (cause) {
		set_cause(error, cause);
		set_remedy(error, remedy);
	}
	mountinfo_release(&mounts);
}

/* ---- limits and calls ---- */

static void refine_process_limit(struct error *error)
{
	struct rlimit limit;
	char text[128];

	if (getrlimit(RLIMIT_NPROC, &limit) < 0)
		return;
	if (limit.rlim_cur == RLIM_INFINITY) {
		set_cause(error, "the pids cgroup of this process is full (pids.max)");
		set_remedy(error,
			   "end other processes, or raise TasksMax= of the service or the container's --pids-limit");
		return;
	}
	(void)snprintf(text, sizeof(text),
		       "this user may have %llu processes and threads (RLIMIT_NPROC), or the pids cgroup is full",
		       (unsigned long long)limit.rlim_cur);
	set_cause(error, text);
	(void)snprintf(text, sizeof(text), "ulimit -u %s",
		       limit.rlim_max == RLIM_INFINITY || limit.rlim_max > limit.rlim_cur ? "hard" : "unlimited");
	set_remedy(error, limit.rlim_max > limit.rlim_cur
				  ? text
				  : "end other processes, or raise the hard limit: nproc in /etc/security/limits.conf");
}

static void refine_missing_call(struct error *error)
{
	owned_buffer cause = { 0 };
	struct utsname kernel;
	size_t count = 0;

	for (size_t i = 0; i < machine_call_count; i++)
		if (machine_calls[i].is_required && !machine_has_call(&machine_calls[i]))
			text_buffer_format(&cause, "%s%s(2)", count++ > 0 ? ", " : "", machine_calls[i].name);
	if (count == 0 || uname(&kernel) < 0)
		return;
	text_buffer_add_text(&cause, count == 1 ? " is " : " are ");
	if (!machine_is_filtered()) {
		text_buffer_format(&cause, "missing in kernel %s", kernel.release);
		set_remedy(error, "use kernel 5.12 or newer");
	} else if (machine_is_worker()) {
		text_buffer_add_text(&cause, "refused: this is a worker of sbx, which may not make another");
		set_remedy(error, "start the outer one with: sbx run --allow-userns");
	} else {
		text_buffer_format(&cause, "missing in kernel %s, or refused by the seccomp filter of %s",
				   kernel.release,
				   machine_container() == CONTAINER_NONE ? "whoever started sbx" : "the container");
		if (!set_container_remedy(error))
			set_remedy(error, "use kernel 5.12 or newer, and start sbx from a process without that filter");
	}
	set_cause(error, cause.bytes);
}

static const struct refinement {
	const char *step; /* a prefix, as in base/error.def */
	int number;
	void (*refine)(struct error *error);
} refinements[] = {
	{ "create the namespaces", ENOSPC, refine_namespace_limit },
	{ "create the namespaces", EPERM, refine_namespaces_refused },
	{ "create the namespaces", EACCES, refine_namespaces_refused },
	{ "create the namespaces", EAGAIN, refine_process_limit },
	{ "start a process", EAGAIN, refine_process_limit },
	{ "mount a fresh /", EPERM, refine_masked },
	{ "mount the overlay", EINVAL, refine_overlay },
	{ "mount the overlay", ELOOP, refine_overlay },
	{ "write the id map", EPERM, refine_refused_inside },
	{ "write the id map", EACCES, refine_refused_inside },
	{ "forbid nested user namespaces", EPERM, refine_refused_inside },
	{ "forbid nested user namespaces", EACCES, refine_refused_inside },
	{ "make the root read-only", EPERM, refine_refused_inside },
	{ "make the root read-only", EACCES, refine_refused_inside },
	{ "bring up loopback", EPERM, refine_refused_inside },
	{ "bring up loopback", EACCES, refine_refused_inside },
	{ "open the network namespace", EACCES, refine_refused_inside },
	{ "enter the network namespace", EPERM, refine_refused_inside },
	{ "enter the network namespace", EACCES, refine_refused_inside },
	{ "leave the caller's keyring", EPERM, refine_refused_inside },
	{ "take the device", EPERM, refine_refused_inside },
	{ "take the device", EACCES, refine_refused_inside },
	{ "mount ", EPERM, refine_refused_inside },
	{ "mount ", EACCES, refine_refused_inside },
	{ "", ENOSYS, refine_missing_call },
};

/* Whoever set a cause of its own knew better. */
static bool has_own_cause(const struct error *error)
{
	struct error plain = *error;

	plain.cause[0] = '\0';
	error_explain(&plain);
	return error->cause[0] != '\0' && !text_equal(error->cause, plain.cause);
}

void probe_explain(struct error *error)
{
	if (has_own_cause(error))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(refinements); i++)
		if (refinements[i].number == error->number && text_starts_with(error->step, refinements[i].step)) {
			refinements[i].refine(error);
			return;
		}
}
