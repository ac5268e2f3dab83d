/* SPDX-License-Identifier: Apache-2.0 */
/* How long it takes until a worker with changed files and rows is as it was, its server answering:
 *
 *	again all|rows|none|restart[-wal] SBX DIRECTORY
 *		prints milliseconds, the median of SAMPLES: by `sbx reset` after 100 files and a row of a database of
 *		10 MiB have changed, by `sbx reset --db` after the row has, after nothing has; or by `sbx restart`, which
 *		leaves the rest. -wal: of a database in WAL mode
 *	again copy|delete[-wal] SBX DIRECTORY
 *		without a sandbox: the server ended, all removed and copied anew, the server started; or its server
 *		running, all rows deleted and inserted again in one transaction, the files left as they are
 *	again serve | again change | again row
 *		the programs that it takes, in the tree
 *
 * The pool is made before and ended after. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/bench/clock.h"

enum { PORT = 5598, SAMPLES = 9, FILES = 100, ROWS = 9800 };

static const struct sockaddr_in address = { .sin_family = AF_INET,
					    .sin_port = (in_port_t)((PORT & 0xff) << 8 | PORT >> 8),
					    .sin_addr = { 0x0100007f } };

__attribute__((noreturn)) static void fail(const char *step)
{
	(void)fprintf(stderr, "again: %s: %s\n", step, strerror(errno));
	exit(1);
}

static sqlite3 *open_rows(void)
{
	sqlite3 *rows = NULL;

	if (sqlite3_open("App.db", &rows) != SQLITE_OK)
		fail("open the database");
	return rows;
}

static void run_sql(sqlite3 *rows, const char *sql)
{
	if (sqlite3_exec(rows, sql, NULL, NULL, NULL) != SQLITE_OK) {
		(void)fprintf(stderr, "again: %s: %s\n", sql, sqlite3_errmsg(rows));
		exit(1);
	}
}

static void write_files(const char *text)
{
	for (int i = 0; i < FILES; i++) {
		char name[32];
		FILE *file;

		(void)snprintf(name, sizeof(name), "files/%d", i);
		file = fopen(name, "ae");
		if (!file || fputs(text, file) < 0 || fclose(file) != 0)
			fail(name);
	}
}

static void make_tree(const char *mode)
{
	char sql[512];
	sqlite3 *rows;

	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA journal_mode=%s; CREATE TABLE item(id INTEGER PRIMARY KEY, value);"
		       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
		       " INSERT INTO item SELECT i, randomblob(1000) FROM n",
		       mode, ROWS);
	if (mkdir("files", 0755) < 0)
		fail("files");
	write_files("as it was\n");
	rows = open_rows();
	run_sql(rows, sql);
	(void)sqlite3_close(rows);
}

static int serve(void)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	sqlite3 *rows = open_rows();

	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, SOMAXCONN) < 0)
		fail("listen");
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		run_sql(rows, "SELECT count(*) FROM item");
		(void)!write(fd, "x", 1);
		(void)close(fd);
	}
}

static bool is_answered(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	bool is = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
		  read(fd, &byte, 1) == 1;

	(void)close(fd);
	return is;
}

static void run(const char *command)
{
	/* The shell is the caller's own, and no part of what is measured but once per sample. */
	if (system(command) != 0) { /* NOLINT(cert-env33-c) */
		(void)fprintf(stderr, "again: failed: %s\n", command);
		exit(1);
	}
}

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one;
	double b = *(const double *)other;

	return (a > b) - (a < b);
}

static pid_t start_server(const char *self)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execl(self, self, "serve", (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && !is_answered())
		(void)nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	return pid;
}

static double sample_copy(const char *self, pid_t *server)
{
	uint64_t began;

	write_files("changed\n");
	began = clock_now_ns();
	(void)kill(*server, SIGKILL);
	(void)waitpid(*server, NULL, 0);
	run("rm -rf files App.db* && cp -r ../start/. .");
	*server = start_server(self);
	return (double)(clock_now_ns() - began) / 1e6;
}

/* What keeps its schema and deletes what is in it, as Respawn does; the rows come from a copy. */
static double sample_delete(sqlite3 *rows)
{
	uint64_t began;

	run_sql(rows, "UPDATE item SET value = 'changed' WHERE id = 5000");
	began = clock_now_ns();
	run_sql(rows, "BEGIN IMMEDIATE; DELETE FROM item; INSERT INTO item SELECT * FROM start.item; COMMIT");
	if (!is_answered())
		fail("ask the server");
	return (double)(clock_now_ns() - began) / 1e6;
}

/* NULL: what is measured needs no connection of ours. */
static sqlite3 *open_both(bool is_wanted)
{
	sqlite3 *rows = is_wanted ? open_rows() : NULL;

	if (rows)
		run_sql(rows, "ATTACH '../start/App.db' AS start");
	return rows;
}

int main(int argc, char **argv)
{
	char self[PATH_MAX] = "";
	char before[2 * PATH_MAX] = "true";
	char measured[2 * PATH_MAX];
	char command[4 * PATH_MAX];
	double samples[SAMPLES];
	pid_t server = 0;
	const char *what = argc > 1 ? argv[1] : "";
	bool is_copy = strncmp(what, "copy", 4) == 0;
	bool is_delete = strncmp(what, "delete", 6) == 0;
	bool is_rows = strncmp(what, "rows", 4) == 0;
	bool is_restart = strncmp(what, "restart", 7) == 0;
	bool is_host = is_copy || is_delete;
	bool is_wal = strstr(what, "-wal");
	sqlite3 *rows;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		fail("find itself");
	if (strcmp(what, "serve") == 0)
		return serve();
	if (strcmp(what, "change") == 0)
		write_files("changed\n");
	if (strcmp(what, "change") == 0 || strcmp(what, "row") == 0)
		run_sql(open_rows(), "UPDATE item SET value = 'changed' WHERE id = 5000");
	if (argc != 4)
		return argc == 2 ? 0 : 2;
	(void)snprintf(command, sizeof(command), "rm -rf '%s/again' && mkdir -p '%s/again/tree'", argv[3], argv[3]);
	run(command);
	(void)snprintf(command, sizeof(command), "%s/again/tree", argv[3]);
	if (chdir(command) < 0)
		fail(command);
	make_tree(is_wal ? "WAL" : "DELETE");
	(void)snprintf(command, sizeof(command),
		       "printf 'services: { server: { command: [\"%s\", serve], ready: { port: %d } } }\\n' >sbx.yaml",
		       self, PORT);
	run(command);
	if (is_host) {
		run("cp -r . ../start");
		server = start_server(self);
	} else {
		(void)snprintf(command, sizeof(command), "'%s' up -d --name bench-again >/dev/null 2>&1", argv[2]);
		run(command);
	}
	if (is_rows || strncmp(what, "all", 3) == 0)
		(void)snprintf(before, sizeof(before), "'%s' exec bench-again.w0 '%s' %s", argv[2], self,
			       is_rows ? "row" : "change");
	(void)snprintf(measured, sizeof(measured), "exec '%s' %s bench-again.w0 >/dev/null", argv[2],
		       is_rows	    ? "reset --db"
		       : is_restart ? "restart"
				    : "reset");
	rows = open_both(is_delete);
	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t began;

		if (is_host) {
			samples[i] = is_copy ? sample_copy(self, &server) : sample_delete(rows);
			continue;
		}
		run(before);
		began = clock_now_ns();
		run(measured);
		samples[i] = (double)(clock_now_ns() - began) / 1e6;
	}
	(void)sqlite3_close(rows);
	if (is_host)
		(void)kill(server, SIGKILL);
	(void)snprintf(command, sizeof(command), "%s'%s' down --name bench-again >/dev/null 2>&1",
		       is_host ? "true " : "", argv[2]);
	run(command);
	qsort(samples, SAMPLES, sizeof(samples[0]), compare);
	(void)printf("%.3f\n", samples[SAMPLES / 2]);
	return 0;
}
