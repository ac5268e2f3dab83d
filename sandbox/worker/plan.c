/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "netns/hosts.h"
#include "overlay/database.h"
#include "sandbox/policy/secrets.h"
#include "sandbox/worker/moved.h"
#include "sandbox/worker/network.h"

#define SCRATCH_BYTES_DEFAULT  (UINT64_C(2) << 30)
#define SCRATCH_INODES_DEFAULT UINT64_C(400000)

/* Where people's homes lie: covered, but for the caller's own. */
static const char *const home_roots[] = { "/home", "/root" };

/* ---- the plan ---- */

static int plan_identity(struct worker_plan *plan, struct error *error)
{
	int result = identity_read(plan->spec->as_root, &plan->identity, error);

	if (result < 0)
		return result;
	if (plan->identity.home)
		plan->home = text_duplicate(plan->identity.home);
	state_paths_find(plan->home, &plan->state);
	return plan->moved ? moved_plan_home(plan, error) : 0;
}

static int find_tree(struct worker_plan *plan, struct error *error)
{
	const char *tree = plan->spec->tree ? plan->spec->tree : ".";
	owned_fd fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	owned_text current = NULL;
	const char *start;
	int result = fd < 0 ? -errno : path_of_fd(fd, &plan->tree);

	if (result < 0)
		return error_set(error, .number = -result, .step = "open the tree", .object = tree,
				 .remedy = "name the app's directory with -C DIR");
	if (text_equal(plan->tree, "/"))
		return error_set(error, .number = EINVAL, .step = "use the tree", .object = plan->tree,
				 .cause = "the root directory cannot be a tree",
				 .remedy = "name the app's directory with -C DIR");
	result = plan->spec->tree ? 0 : path_find_current(&current, error);
	if (result < 0)
		return result;
	start = current ? current : plan->tree;
	plan->workdir = plan->spec->workdir ? path_normal(start, plan->spec->workdir) : text_duplicate(start);
	return 0;
}

static int plan_tree(struct worker_plan *plan, struct error *error)
{
	int result = plan->moved ? moved_plan_tree(plan, error) : find_tree(plan, error);

	if (result < 0)
		return result;
	for (size_t i = 0; i < ARRAY_SIZE(home_roots); i++)
		text_list_add(&plan->homes, home_roots[i]);
	/* It shows elsewhere, with what is hidden of it. */
	if (plan->moved && plan->home_source && !path_is_below(plan->home_source, home_roots[0]) &&
	    !path_is_below(plan->home_source, home_roots[1]))
		text_list_add(&plan->homes, plan->home_source);
	return 0;
}

static int plan_databases(struct worker_plan *plan, struct error *error)
{
	const struct spec *spec = plan->spec;
	struct database_discovery found = { 0 };
	owned_fd tree_fd = -1;
	int result;

	for (size_t i = 0; i < spec->databases.count; i++) {
		owned_text path = path_normal(plan->tree, spec->databases.items[i]);
		char *real = NULL;

		if (plan->moved) {
			text_list_add(&plan->databases, path);
			continue;
		}
		result = database_resolve(path, &real, error);
		if (result < 0)
			return result;
		text_list_take(&plan->databases, real);
	}
	if (spec->no_databases || spec->databases.count > 0 || plan->moved)
		return 0;
	tree_fd = open(plan->tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	result = database_discover(tree_fd, &found, error);
	for (size_t i = 0; i < found.names.count && result == 0; i++)
		text_list_take(&plan->databases, path_join(plan->tree, found.names.items[i]));
	database_discovery_release(&found);
	return result < 0 ? error_context(error, "tree %s", plan->tree) : 0;
}

/* Where tree and HOME show at other paths, and where symbolic links of HOME, which name paths of this machine, lead. */
static void hide_moved(struct worker_plan *plan, const char *store)
{
	owned_text path = path_join(plan->home_source, store);
	owned_text real = NULL;

	moved_hide(plan, path);
	if (path_canonical(path, &real) < 0 || text_equal(real, path))
		return;
	moved_hide(plan, real);
	text_list_add(&plan->hidden, real);
}

static int plan_hidden(struct worker_plan *plan, struct error *error)
{
	size_t count;
	const char *const *stores = secrets_hidden_paths(&count);

	for (size_t i = 0; i < count; i++) {
		char *path = plan->home ? path_join(plan->home, stores[i]) : NULL;

		/* Also where the bundle says that there was no HOME. */
		if (plan->moved && plan->home_source)
			hide_moved(plan, stores[i]);
		if (!path)
			continue;
		text_list_take(&plan->hidden, path);
		if (path_is_below(plan->tree, path))
			return error_set(error, .number = EACCES, .step = "use the tree", .object = plan->tree,
					 .cause = "it lies in a store of credentials, which is hidden in every world",
					 .remedy = "name another directory with -C DIR");
	}
	return 0;
}

static int plan_environment(struct worker_plan *plan, struct error *error)
{
	owned_text home = text_format("HOME=%s", plan->home ? plan->home : HOME_WITHOUT);
	owned_text directory = text_format("PWD=%s", plan->workdir);
	char *const defaults[] = { home, directory, NULL };
	owned_text index = text_format("SBX_WORKER=%d", plan->worker_index);
	owned_text count = text_format("SBX_WORKERS=%u", plan->worker_count);
	owned_list forced = { 0 };
	owned_list dropped = { 0 };

	if (plan->spec->gui) {
		int result = display_find(&plan->display, error);

		if (result < 0)
			return result;
	}
	text_list_add(&forced, "SBX=1");
	for (size_t i = 0; i < plan->display.environment.count; i++)
		text_list_add(&forced, plan->display.environment.items[i]);
	if (plan->worker_index >= 0)
		text_list_add(&forced, index);
	if (plan->worker_count > 0)
		text_list_add(&forced, count);
	environment_build(environ, &plan->spec->environment, defaults, forced.items, &plan->environment, &dropped);
	if (dropped.count > 0) {
		owned_buffer line = { 0 };

		text_buffer_add_text(&line, "not passed on:");
		for (size_t i = 0; i < dropped.count; i++)
			text_buffer_format(&line, " %s", dropped.items[i]);
		text_buffer_add_text(&line, " (-e NAME lets one through)");
		text_list_add(&plan->messages, line.bytes);
	}
	return 0;
}

static int plan_hosts(struct worker_plan *plan, struct error *error)
{
	owned_text host_text = NULL;
	char hostname[65] = "";
	owned_list entries = { 0 };

	(void)fd_read_file(AT_FDCWD, "/etc/hosts", 0, &host_text, NULL);
	(void)gethostname(hostname, sizeof(hostname) - 1);
	for (size_t i = 0; i < plan->spec->add_hosts.count; i++)
		text_list_add(&entries, plan->spec->add_hosts.items[i]);
	for (size_t i = 0; i < plan->reach_count; i++) {
		char *entry = reach_host_entry(&plan->reach[i]);

		if (entry)
			text_list_take(&entries, entry);
	}
	return hosts_build(host_text, plan->spec->hostname ? plan->spec->hostname : hostname, entries.items,
			   &plan->hosts, error);
}

/* The host's sockets that a path of the read-only root leads to. Read before clone: inside a new network namespace the
 * list is empty (finding 50). Best effort: what is bound later is not in it. */
static int plan_sockets(struct worker_plan *plan, struct error *error)
{
	owned_text text = NULL;
	char *rest;

	(void)error;
	if (fd_read_file(AT_FDCWD, "/proc/net/unix", 16 << 20, &text, NULL) < 0)
		return 0;
	rest = text;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		const char *path = strchr(line, '/');

		if (path && plan->covered.count < SOCKETS_COVERED_MAX && !path_is_below(path, "/run") &&
		    !path_is_below(path, "/tmp") && !path_is_below(path, "/var/tmp") && !path_is_below(path, "/dev") &&
		    !path_is_below(path, "/proc"))
			text_list_add(&plan->covered, path);
	}
	return 0;
}

static int plan_limits(struct worker_plan *plan, struct error *error)
{
	struct sysinfo information;
	uint64_t half = SCRATCH_BYTES_DEFAULT;
	owned_list notes = { 0 };
	int result;

	plan->limits = plan->spec->limits;
	result = limits_prepare(&plan->limits, &notes, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < notes.count; i++)
		text_list_add(&plan->messages, notes.items[i]);
	if (sysinfo(&information) == 0)
		half = (uint64_t)information.totalram * information.mem_unit / 2;
	plan->scratch_bytes_max =
		plan->spec->scratch_bytes_max ? plan->spec->scratch_bytes_max : MIN(half, SCRATCH_BYTES_DEFAULT);
	plan->scratch_inodes_max =
		plan->spec->scratch_inodes_max ? plan->spec->scratch_inodes_max : SCRATCH_INODES_DEFAULT;
	return 0;
}

static int plan_descriptors(struct worker_plan *plan, struct error *error)
{
	int ends[2];

	if (plan->spec->pass_fd_count > PASS_FDS_MAX)
		return error_set(error, .number = E2BIG, .step = "pass the descriptors",
				 .cause = "more than 13 of them do not fit one message",
				 .remedy = "name fewer with --pass-fd");
	for (size_t i = 0; i < plan->spec->pass_fd_count; i++)
		if (fcntl(plan->spec->pass_fds[i], F_GETFD) < 0) {
			char number[16];

			(void)snprintf(number, sizeof(number), "%d", plan->spec->pass_fds[i]);
			return error_set(error, .number = errno, .step = "pass the descriptor", .object = number,
					 .cause = "it is not open",
					 .remedy = "open it for sbx, as in: sbx run --pass-fd 3 … 3<FILE");
		}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(error, .number = errno, .step = "make the control socket");
	plan->owner_fd = ends[0];
	plan->control_fd = ends[1];
	return 0;
}

static const struct plan_stage {
	const char *name;
	int (*run)(struct worker_plan *, struct error *);
} plan_stages[] = {
	{ "find out who runs this", plan_identity },
	{ "find the tree", plan_tree },
	{ "find the databases", plan_databases },
	{ "find what is to be hidden", plan_hidden },
	{ "build the environment", plan_environment },
	{ "open the ways in and out", network_plan },
	{ "write the hosts file", plan_hosts },
	{ "find the host's sockets", plan_sockets },
	{ "fit the limits", plan_limits },
	{ "make the control socket", plan_descriptors },
};

void plan_init(struct worker_plan *plan, const struct spec *spec)
{
	*plan = (struct worker_plan){ .spec = spec,
				      .worker_count = 1,
				      .upper_fd = -1,
				      .owner_fd = -1,
				      .control_fd = -1,
				      .listener_fd = -1,
				      .lock_fd = -1,
				      .log_fd = -1,
				      .hold_fd = -1,
				      .seed = spec ? spec->seed : NULL,
				      .seed_fd = spec && spec->seed ? spec->seed_fd : -1,
				      .reach_fds = { -1, -1 },
				      .outbound_fds = { -1, -1 } };
}

int plan_look(struct worker_plan *plan, struct error *error)
{
	int result = plan_identity(plan, error);

	if (result == 0)
		result = plan_tree(plan, error);
	return result < 0 ? result : plan_databases(plan, error);
}

int plan_make(struct worker_plan *plan, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(plan_stages) && result == 0; i++)
		result = plan_stages[i].run(plan, error);
	return result;
}

int plan_hide_state(struct worker_plan *plan, struct error *error)
{
	const char *const directories[] = { plan->state.state,
					    plan->state.runtime_count ? plan->state.runtime[0].path : NULL };
	owned_list hidden = { 0 };
	owned_fd state_fd = -1;

	/* Made where it is missing: what another worker makes later would show through the layers. */
	if (plan->state.state)
		(void)state_open(&plan->state, STATE_MAKE, &state_fd, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		owned_text path = NULL;

		if (!directories[i] || path_canonical(directories[i], &path) < 0 ||
		    (hidden.count > 0 && path_is_below(path, hidden.items[0])))
			continue;
		if (plan->moved)
			moved_hide(plan, path);
		if (path_is_below(plan->moved ? plan->moved->tree : plan->tree, path))
			return error_set(error, .number = EACCES, .step = "use the tree", .object = plan->tree,
					 .cause =
						 "it lies in sbx's own state directory, which is hidden in every world",
					 .remedy = "name another directory with -C DIR");
		/* Outside tree and HOME an empty directory is shown. */
		if (path_is_below(path, plan->tree) || (plan->home && path_is_below(path, plan->home)))
			text_list_add(&plan->hidden, path);
		else
			text_list_add(&plan->homes, path);
		text_list_add(&hidden, path);
	}
	return 0;
}

void plan_release(struct worker_plan *plan)
{
	identity_release(&plan->identity);
	text_free(&plan->tree);
	text_free(&plan->home);
	text_free(&plan->home_source);
	text_free(&plan->workdir);
	text_free(&plan->hosts);
	state_paths_release(&plan->state);
	text_list_release(&plan->environment);
	text_list_release(&plan->databases);
	world_databases_release(plan->noted_databases, plan->noted_count);
	plan->noted_databases = NULL;
	plan->noted_count = 0;
	text_list_release(&plan->hidden);
	text_list_release(&plan->covered);
	text_list_release(&plan->homes);
	text_list_release(&plan->messages);
	for (size_t i = 0; i < plan->graft_count; i++) {
		fd_close(&plan->grafts[i].fd);
		text_free(&plan->grafts[i].target);
	}
	free(plan->grafts);
	network_release(plan);
	display_release(&plan->display);
	fd_close(&plan->owner_fd);
	fd_close(&plan->control_fd);
}
