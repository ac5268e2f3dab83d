/* SPDX-License-Identifier: Apache-2.0 */
/* What sbx places beside a test runner: the hook and the reporter, and what they and the supervisor say to each other.
 *
 * How it works. The runner runs in world R as always. Node loads hook/hook.cjs into each of its processes
 *(NODE_OPTIONS); in all but the runner's own it does nothing. There it replaces child_process.fork: a fork of a test
 *process (Playwright, Jest, Vitest) becomes `sbx lease … -- node ENTRY`, so that the test process starts inside a world
 *while the runner talks to it over the very channel it would have had. For Playwright hook/reporter.cjs is added beside
 *the user's reporters; it runs in the same process, tells the supervisor what there is and what happens, and the hook
 *which projects belong into R. Both are plain CommonJS without dependencies, for Node 18 and later.
 *
 * 1. What the supervisor puts into R
 *
 *	/run/sbx/hook.cjs, /run/sbx/reporter.cjs	hook_file(), read-only, side by side; no world but R has them
 *	NODE_OPTIONS		the caller's, and behind it " --require=/run/sbx/hook.cjs"
 *	SBX_LEASE		/run/sbx/sbx: the program that is started for a lease
 *	PATH			/run/sbx, and behind it the caller's: `sbx lease` is this very sbx
 *	SBX_RUN_SOCKET		/run/sbx/run: a stream socket where section 3 is spoken
 *	SBX_WORKERS		N, where -n was given; else unset: the runner's own number, worlds are made lazily
 *	SBX_SHARD		I/N, for the runner's own --shard
 *	SBX_ARGUMENTS		a JSON array: more words for Playwright's command line
 *	SBX_RETRY		`fresh`, with --retry-fresh: the reporter gives each test one try more than its own, and
 *that one asks for a fresh world
 *	SBX_UNIT		`worker`, `file` or `fail`: the unit of --fresh and --reset (unit.h); else unset. `file`: each
 *group of tests gets a process, so a lease, of its own. Where this or SBX_RETRY is set R is never the world, not with N = 1 either
 *
 *	SBX_BLAME		1 with --blame: section 4, and leases with N = 1 too
 *
 * With N = 1 R is the world: the hook then only passes --workers=1, every test process is an ordinary child of the
 *runner. Nothing of this list reaches a world: the hook takes it out of the environment that it hands to a lease.
 *
 * 2. A lease
 *
 *	$SBX_LEASE lease [--slot K] [--after S] [--project ID] [--retry R] [--fresh] --pass-fd FD -- NODE [NODE OPTION…] ENTRY
 *[ARGUMENT…]
 *
 *	--slot K	the world to be in; below N where N is set. It is exclusive: while another lease holds it, wait in
 *order. Without: any free world
 *	--after S	the world must stem from a freeze that was taken after S hosted processes (section 3, `hosted`)
 *had ended: newest freeze >= S: a world of it (or a later one) is right. Older: freeze now. So S = 0 freezes at the
 *first lease only, and a world of an older freeze is replaced. A plain comparison of numbers; which projects depend on
 *which is the hook's business. Default 0
 *	--project ID	for what is shown
 *	--retry R	the greatest retry among the tests that the process starts with, for what is shown
 *	--fresh		a world that nobody has used, beside the one of that number, which stays as it is: it ends with
 *the lease
 *	--pass-fd FD	the channel to the runner (NODE_CHANNEL_FD in the environment says the same number): must arrive
 *in the world under that number. The client closes its own copy at once, or the runner never sees the disconnect
 *
 * The client hands on its stdio, its environment and its current directory. It ends as the test process ends: same exit
 * status; after a signal it kills itself by the same. Signals that it gets it passes on (runners stop their children
 *so; Ctrl-C reaches the whole group, as it would without sbx). Its own death (SIGKILL included) ends the test process.
 *A lease that cannot be had exits with 125, having said why.
 *
 * 3. Over the socket: one JSON object a line, from the runner only; nothing is answered
 *
 *	hello	{version:1, runner:"playwright"|"jest"|"vitest", runnerVersion, pid, argv[], cwd, workersAsked, added[], alone}
 *		added: what the hook put into the command line. workersAsked: what the user wrote there himself, or null.
 *		alone: the tests run in R as they are meant to, with one world or under a debugger
 *	config	{configFile, configDir, rootDir, workers, fullyParallel, globalSetup, globalTeardown, updateSnapshots,
 *shard, annotates, services[], servicesKnown, environment, projects[], artifacts{directories[],files[]}} service: {name,
 *command|null, cwd, environment{}, url|null, port|null, stdout|null, stderr|null (each {pattern, flags}), timeoutMs,
 *reuseExisting, ignoreHttpsErrors, stopSignal|null, stopTimeoutMs|null}. environment is what Playwright would set on
 *top of its own. A named group of stdout or stderr becomes a variable, name in upper case. environment: {set{},
 *unset[]}: what the config changed in the runner's own (dotenv); services get it, too project: {id, name,
 *dependencies[], teardown|null, hosted, outputDir, testDir, snapshotDir, snapshotPathTemplates[], retries,
 *workers|null, fullyParallel, baseUrl|null, headless|null, chromiumSandbox|null} hosted: its test processes run in R, one at a time,
 *since others depend on it, or it is a teardown servicesKnown false: this version hides them; what `services` lacks has
 *to come from sbx.yaml begin	{tests, workers}			workers: as many as there is work for hosted
 *{event:"begin"|"end", project, parallelIndex, pid, ended} ended: how many hosted processes have ended, this one
 *included; the S of --after counts in it complaint	{text}	a server of R, or globalSetup, said something that sounds
 *like a connection that failed; twenty at most test	{event:"begin", id, project, hosted, title, file, line, column,
 *parallelIndex, slot, workerIndex, retry, retries, fresh, startedMs|null} retries: the user's own; fresh: this try is the one
 *that sbx added test	{event:"end", … the same, status, expected, ok, durationMs,
 *message|null, attachments[{name, path, contentType}]; exitCode of an
 *item} Jest and Vitest: at the end of their file, `end` alone, and only of a world; title is the name that -t takes, or HOOK_TITLE_UNREAD output	{id, text}	what a red item printed, its end; after its test end, and its lease's end	end	{status, durationMs} rest	{}	nothing in R will ask its servers again, since the worlds have
 *theirs: the services of sbx.yaml end there; those of the config the hook has stopped itself refuse	{message, remedy}	the runner will not run N-wide as it was
 *called: the hook ends it with status 125. The supervisor prints both parts; the hook prints them only when there is no
 *socket
 *
 *	idle	{runner, words[]}	a command of the runner that runs no tests (playwright merge-reports); no `hello` follows
 *	unready	{service, port, open[]}	a server of the config is ended before any test, and does not listen where it is
 *awaited: texts; open: ports that are open in R
 *	look	{slot, test, number}	section 4; answered with a line that is the number
 *
 * 4. With --blame a test process of Playwright's stands still after each test
 *
 * It is started with one more --pass-fd FD, a socket whose other end the hook has (SBX_BLAME_FD says which), and
 * --require of a file that the hook writes into TMPDIR, which R and the worlds share. After it has sent `testEnd` it
 * writes the test's id there, and waits for a byte. The hook tells the supervisor (`look`), which looks at the world,
 * adds what is new to that test, and answers; then the hook writes the byte. End of file counts as one.
 *
 * A server that the config starts in R has SBX_SERVICE in its environment: its name, or server-I for the I-th. In the
 * worlds the supervisor sets the same.
 *
 * Order. `test end` of a red test is in the socket before the runner tells its process to stop: a supervisor that reads
 * the socket empty before it handles the end of a lease knows which test the world it is about to keep belongs to.
 *`hosted end` with ended = S is in the socket before any lease that says --after S is asked for. A lease of none, and
 *no `hosted`, by the end of a run with N > 1: the tests ran in R, unisolated (0 of N worlds used). No `hello` at all:
 *NODE_OPTIONS was overwritten on the way, or the runner is not one of these.
 */
#ifndef SBX_RUN_HOOK_H
#define SBX_RUN_HOOK_H

#include <stddef.h>

#include "sandbox/worker/annex.h"

/* What NODE_OPTIONS has in R. */
#define HOOK_OPTION "--require=" ANNEX_DIRECTORY "/hook.cjs"

/* In place of a test's name: its file could not be read, so that it has none. */
#define HOOK_TITLE_UNREAD "(cannot be read)"

struct hook_file {
	const char *name; /* below the directory that holds both */
	const char *text; /* embedded at build time */
	size_t size;
};

enum { HOOK_FILE_COUNT = 2 };

/** hook.cjs (0) and reporter.cjs (1). */
struct hook_file hook_file(unsigned index);

#endif
