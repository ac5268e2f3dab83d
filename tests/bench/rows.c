/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/rows.h"

#include "base/macro.h"

#define ROW(row_id, row_title, row_command, ...)                                                                       \
	{                                                                                                              \
		.id = row_id, .title = row_title, .command = row_command, __VA_ARGS__                                  \
	}

static const struct row start_rows[] = {
	ROW("floor", "kernel floor", "{bin}/floor {tree} {bin}/true"),
	ROW("bare", "no sandbox", "{bin}/true"),
	ROW("unshare", "unshare -Urmpn --mount-proc", "unshare -Urmpn --fork --mount-proc {bin}/true"),
	ROW("bwrap", "bubblewrap, namespaces", "bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all {bin}/true"),
	ROW("bwrap-overlay", "bubblewrap, with its overlay",
	    "bwrap --ro-bind / / --overlay-src {tree} --tmp-overlay {tree} --proc /proc --dev /dev --unshare-all "
	    "{bin}/true"),
	ROW("crun", "crun", "crun --root {work}/crun --cgroup-manager=disabled run --bundle {work}/bundle sbx-bench"),
	ROW("sbx", "sbx run", "{sbx} run -C {tree} -- {bin}/true"),
	ROW("sbx-disk", "sbx run, upper on disk", "{sbx} run -C {tree} --scratch {work}/scratch -- {bin}/true"),
	ROW("sbx-100k", "sbx run, 100,000 files", "{sbx} run -C {tree} -- {bin}/true", .files = 100000),
	ROW("sbx-1m", "sbx run, 1,000,000 files", "{sbx} run -C {tree} -- {bin}/true", .files = 1000000),
	ROW("sbx-database", "sbx run, database of 10 MiB", "{sbx} run -C {tree} -- {bin}/true", .mebibytes = 10),
	ROW("sbx-database-disk", "sbx run, the same, upper on disk",
	    "{sbx} run -C {tree} --scratch {work}/scratch -- {bin}/true", .mebibytes = 10),
};

static const struct row exec_rows[] = {
	ROW("join", "setns, fork and exec", "{bin}/join {pid} {bin}/true"),
	ROW("nsenter", "nsenter",
	    "nsenter --target {pid} --user --preserve-credentials --mount --net --pid --ipc --uts --cgroup {bin}/true"),
	ROW("exec", "sbx exec", "{sbx} exec bench -- {bin}/true"),
};

static const struct row lease_rows[] = {
	ROW("ask-host", "no sandbox", "{bin}/fresh host {sbx} {work}"),
	ROW("lease", "sbx lease", "{bin}/fresh lease {sbx} {work}"),
	ROW("lease-fresh", "sbx lease --fresh, a spare ready", "{bin}/fresh fresh {sbx} {work}"),
};

static const struct row reset_rows[] = {
	ROW("again-copy", "server ended, removed, copied, started", "{bin}/again copy {sbx} {work}"),
	ROW("again-copy-wal", "the same, WAL mode", "{bin}/again copy-wal {sbx} {work}"),
	ROW("again-delete", "rows deleted and inserted, no files", "{bin}/again delete {sbx} {work}"),
	ROW("again-delete-wal", "the same, WAL mode", "{bin}/again delete-wal {sbx} {work}"),
	ROW("again-restart", "sbx restart of the server alone", "{bin}/again restart {sbx} {work}"),
	ROW("reset", "sbx reset", "{bin}/again all {sbx} {work}"),
	ROW("reset-wal", "sbx reset, WAL mode", "{bin}/again all-wal {sbx} {work}"),
	ROW("reset-db", "sbx reset --db", "{bin}/again rows {sbx} {work}"),
	ROW("reset-db-wal", "sbx reset --db, WAL mode", "{bin}/again rows-wal {sbx} {work}"),
	ROW("reset-none", "sbx reset, nothing had changed", "{bin}/again none {sbx} {work}"),
};

static const struct row filter_rows[] = {
	ROW("filter-default", "default", "{bin}/filter default"),
	ROW("filter-strict", "strict", "{bin}/filter strict"),
};

static const struct row rollback_rows[] = {
	ROW("rollback-host", "host", "{bin}/database commits {tree}/commits.db delete 250"),
	ROW("rollback", "sbx run",
	    "{sbx} run -C {tree} --db none -- {bin}/database commits {tree}/commits.db delete 250"),
	ROW("rollback-disk", "sbx run, upper on disk",
	    "{sbx} run -C {tree} --db none --scratch {work}/scratch -- {bin}/database commits {tree}/commits.db delete "
	    "250"),
};

static const struct row wal_rows[] = {
	ROW("wal-host", "host", "{bin}/database commits {tree}/commits.db wal 250"),
	ROW("wal", "sbx run", "{sbx} run -C {tree} --db none -- {bin}/database commits {tree}/commits.db wal 250"),
	ROW("wal-disk", "sbx run, upper on disk",
	    "{sbx} run -C {tree} --db none --scratch {work}/scratch -- {bin}/database commits {tree}/commits.db wal "
	    "250"),
};

static const struct row compute_rows[] = {
	ROW("compute-host", "host", "{bin}/compute 250"),
	ROW("compute", "sbx run", "{sbx} run -C {tree} -- {bin}/compute 250"),
};

static const struct row http_rows[] = {
	ROW("http-host", "host", "{bin}/http 250"),
	ROW("http", "sbx run", "{sbx} run -C {tree} -- {bin}/http 250"),
};

#define ROWS(table) .rows = (table), .count = ARRAY_SIZE(table)

const struct row_group row_groups[] = {
	{ "start of `true`", "ms", VALUE_WALL_MS, 1, ROWS(start_rows) },
	{ "`true` in a live world", "ms", VALUE_WALL_MS, 1, .needs_world = true, ROWS(exec_rows) },
	{ "a server's answer in a leased world", "ms", VALUE_PRINTED, 20, ROWS(lease_rows) },
	{ "100 changed files and a row of 10 MiB put back", "ms", VALUE_PRINTED, 20, ROWS(reset_rows) },
	{ "loading the filter", "us", VALUE_PRINTED, 2, ROWS(filter_rows) },
	{ "SQLite, rollback journal", "commits/s", VALUE_PRINTED, 20, ROWS(rollback_rows) },
	{ "SQLite, write-ahead log", "commits/s", VALUE_PRINTED, 20, ROWS(wal_rows) },
	{ "CPU-bound", "passes/s", VALUE_PRINTED, 10, ROWS(compute_rows) },
	{ "HTTP on loopback, keep-alive", "requests/s", VALUE_PRINTED, 10, ROWS(http_rows) },
};

const size_t row_group_count = ARRAY_SIZE(row_groups);

const struct goal goals[] = {
	{ "sbx", "floor", GOAL_RATIO_AT_MOST, 1.45 },
	{ "sbx", "bwrap", GOAL_RATIO_AT_MOST, 0.70 },
	{ "sbx-1m", "sbx", GOAL_MORE_AT_MOST, 5 },
	{ "exec", "nsenter", GOAL_RATIO_AT_MOST, 1.00 },
	{ "exec", "join", GOAL_RATIO_AT_MOST, 1.30 },
	{ "rollback", "rollback-host", GOAL_RATIO_AT_LEAST, 4 },
	{ "wal", "wal-host", GOAL_RATIO_AT_LEAST, 8 },
	{ "compute", "compute-host", GOAL_RATIO_AT_LEAST, 0.98 },
	{ "http", "http-host", GOAL_RATIO_AT_LEAST, 0.98 },
	{ "lease-fresh", "ask-host", GOAL_MORE_AT_MOST, 10 },
	{ "reset", "reset-none", GOAL_MORE_AT_MOST, 30 },
	{ "reset-db", "reset-none", GOAL_MORE_AT_MOST, 15 },
	{ "reset-wal", "reset-none", GOAL_MORE_AT_MOST, 30 },
	{ "reset-db-wal", "reset-none", GOAL_MORE_AT_MOST, 15 },
};

const size_t goal_count = ARRAY_SIZE(goals);
