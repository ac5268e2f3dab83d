/* SPDX-License-Identifier: Apache-2.0 */
/* doctor --tree: what a worker would trip over later, found by looking at every entry of the tree; and each database
 * that a plain run would copy, copied for real into a throw-away file system. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "overlay/database.h"
#include "overlay/scan.h"
#include "sandbox/worker/probe_rows.h"

enum { FINDINGS_SHOWN_MAX = 20 }; /* of each kind; the last row has the counts */

static const char step_scan[] = "look through the tree";
static const char step_copy[] = "copy the database";

struct tree_scan {
	struct probe_report *report;
	const char *tree;
	size_t shown[SCAN_UNREADABLE + 1];
};

static int add_finding(void *data, const struct scan_finding *finding)
{
	struct tree_scan *scan = data;
	owned_text path =
		text_equal(finding->path, ".") ? text_duplicate(scan->tree) : path_join(scan->tree, finding->path);
	struct probe_row *row;

	if (scan->shown[finding->trouble]++ >= FINDINGS_SHOWN_MAX)
		return 0;
	row = probe_add(scan->report, PROBE_DEGRADED, step_scan, path, "owner %u:%u", finding->status->st_uid,
			finding->status->st_gid);
	switch (finding->trouble) {
	case SCAN_FOREIGN_OWNER:
		probe_give_reason(row,
				  "it belongs to somebody whom a worker does not know: changing it there fails with "
				  "'Value too large for defined data type' (EOVERFLOW)",
				  "give it to yourself (sudo chown), or have it copied: --copy DIR");
		break;
	case SCAN_MOUNT:
		probe_give_reason(row, "something is mounted there: the tree cannot be one overlay",
				  "unmount it, or choose a tree without it");
		break;
	case SCAN_UNREADABLE:
		probe_give_reason(row, "it cannot be read by this user, and so by no worker",
				  "give yourself the right to read it: chmod u+rx");
		break;
	}
	return 0;
}

static int scan_whole(struct probe_report *report, const struct identity *identity, const char *tree, int tree_fd,
		      struct error *error)
{
	struct tree_scan scan = { .report = report, .tree = tree };
	struct scan_options options = { .uid = identity->uid, .gid = identity->gid };
	struct scan_result found = { 0 };
	struct probe_row *row;
	int result = scan_tree(tree_fd, &options, add_finding, &scan, &found, error);

	if (result < 0)
		return result;
	row = probe_add(report, PROBE_OK, step_scan, tree,
			"%llu entries, %llu of other owners, %llu mounts, %llu unreadable",
			(unsigned long long)found.entries, (unsigned long long)found.foreign,
			(unsigned long long)found.mounts, (unsigned long long)found.unreadable);
	if (found.foreign + found.mounts + found.unreadable > 0) {
		row->state = PROBE_DEGRADED;
		probe_give_reason(row, "workers will trip over what is listed above, the first of each kind", NULL);
	}
	return 0;
}

struct tree_database {
	const struct identity *identity;
	const char *path;
};

/* In a mount namespace of its own: the copy lies on a file system that goes with it. */
static int copy_database(const struct tree_database *database, struct database_report *ret_report, struct error *error)
{
	struct database_snapshot_request request = { .source = database->path, .target_name = "copy" };
	owned_fd target_fd = -1;
	int result = identity_write_maps(database->identity, error);

	if (result < 0)
		return result;
	/* A place that holds no database on any machine. */
	if (mount("probe", "/sys", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") < 0)
		return error_set(error, .number = errno, .step = "mount the scratch", .object = "/sys");
	target_fd = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target_fd < 0)
		return error_set(error, .number = errno, .step = "open the scratch", .object = "/sys");
	request.target_fd = target_fd;
	return database_snapshot(&request, ret_report, error);
}

static void probe_database(int report_fd, void *data)
{
	static const char *const recoveries[] = {
		[DATABASE_RECOVERED_NOTHING] = "",
		[DATABASE_RECOVERED_ROLLBACK] = ", hot journal: an unfinished transaction is rolled back in the copy",
		[DATABASE_RECOVERED_WAL] = ", idle -wal: its transactions are in the copy",
	};
	const struct tree_database *database = data;
	struct probe_report rows = { 0 };
	struct database_report report = { 0 };
	struct error error = { 0 };
	struct probe_row *row;
	char size[32];

	if (copy_database(database, &report, &error) < 0) {
		probe_send_error(report_fd, PROBE_MISSING, &error);
		return;
	}
	number_format_size(report.bytes, size, sizeof(size));
	row = probe_add(&rows, PROBE_OK, step_copy, database->path, "%s, %s journal, %.1f ms%s%s%s", size,
			report.journal_mode, (double)report.duration_us / 1e3, recoveries[report.recovery],
			report.warning[0] ? ", " : "", report.warning);
	if (report.ef_lock_found) {
		row->state = PROBE_DEGRADED;
		probe_give_reason(
			row,
			"__EFMigrationsLock holds a row of a process that is gone: Migrate() of EF Core 9 and "
			"newer waits for ever (finding 24)",
			"sbx run --fix-ef-lock … clears it in the worker's copy");
	}
	probe_send_row(report_fd, row);
	probe_report_release(&rows);
}

static int probe_databases(struct probe_report *report, const struct identity *identity, const char *tree, int tree_fd,
			   struct error *error)
{
	struct database_discovery found = { 0 };
	int result = database_discover(tree_fd, &found, error);

	for (size_t i = 0; i < found.names.count && result == 0; i++) {
		owned_text path = path_join(tree, found.names.items[i]);
		struct tree_database database = { .identity = identity, .path = path };
		struct error own = { 0 };
		int made = probe_run_child(report, CLONE_NEWUSER | CLONE_NEWNS, probe_database, &database);

		if (made < 0) {
			(void)error_set(&own, .number = -made, .step = "create the namespaces", .object = "user, mnt");
			probe_add_error(report, PROBE_MISSING, &own);
		}
	}
	for (size_t i = 0; i < found.outside.count && result == 0; i++)
		probe_give_reason(
			probe_add(report, PROBE_DEGRADED, step_copy, found.outside.items[i], "out of the tree"),
			"it is a symbolic link that leads out of the tree: not copied unless it is named",
			"sbx run --db FILE …");
	if (result == 0 && found.is_cut)
		probe_give_reason(probe_add(report, PROBE_DEGRADED, step_copy, tree, "the search ended early"),
				  "there are too many names, or too many databases",
				  "name those that are needed: --db FILE");
	if (result == 0 && found.names.count + found.outside.count == 0)
		probe_add(report, PROBE_OK, step_copy, tree, "none in its root and first level");
	database_discovery_release(&found);
	return result;
}

int probe_tree(const char *tree, struct probe_report *report, struct error *error)
{
	struct identity identity = { 0 };
	owned_text path = NULL;
	owned_fd tree_fd = open(tree ? tree : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result = tree_fd < 0 ? -errno : path_of_fd(tree_fd, &path);

	if (result < 0)
		return error_set(error, .number = -result, .step = "open the tree", .object = tree ? tree : ".",
				 .remedy = "name the app's directory, as in: sbx doctor --tree=DIR");
	result = identity_read(false, &identity, error);
	if (result == 0)
		result = scan_whole(report, &identity, path, tree_fd, error);
	if (result == 0)
		result = probe_databases(report, &identity, path, tree_fd, error);
	identity_release(&identity);
	for (size_t i = 0; i < report->count; i++)
		report->is_usable = report->is_usable && report->rows[i].state != PROBE_MISSING;
	return result;
}
