// SPDX-License-Identifier: Apache-2.0
'use strict';
// Starts the test processes of Playwright, Jest and Vitest inside worlds of sbx. The contract with sbx, the environment
// and the messages stand in sandbox/run/hook.h. Loaded by NODE_OPTIONS=--require into each Node process of world R, so
// whatever is not a runner must pay next to nothing and be left as it is.

const lease = process.env.SBX_LEASE;
const entries = [
	// Playwright up to 1.59 has one entry for workers and for loaders; which of them it is, stands in `__init__`.
	{ runner: 'playwright', pattern: /[\\/]playwright[\\/]lib[\\/]common[\\/]process\.js$/, start: startPlaywright },
	{ runner: 'playwright', pattern: /[\\/]playwright[\\/]lib[\\/]worker[\\/]workerProcessEntry\.js$/, start: startPlaywright },
	{ runner: 'jest', pattern: /[\\/]jest-worker[\\/]build[\\/](workers[\\/])?processChild\.js$/, start: startJest },
	{ runner: 'vitest', pattern: /[\\/]tinypool[\\/]dist[\\/]entry[\\/]process\.js$/, start: startVitest },
	{ runner: 'vitest', pattern: /[\\/]vitest[\\/]dist[\\/]workers[\\/](forks|vmForks)\.js$/, start: startVitest },
];
// A later version may rename its entry: what a runner starts of its own files and is not known is refused, not run beside
// the worlds. Playwright's loaders read files of tests, and run none.
const harmlessEntry = /[\\/]playwright[\\/]lib[\\/].*loader[^\\/]*\.[cm]?js$/i;
const unknownEntries = [
	{ name: 'Playwright', pattern: /[\\/]playwright[\\/]lib[\\/].*\.[cm]?js$/ },
	{ name: 'Jest', pattern: /[\\/]jest-worker[\\/].*\.[cm]?js$/, number: 'JEST_WORKER_ID' },
	{ name: 'Vitest', pattern: /[\\/](vitest|tinypool)[\\/]dist[\\/].*\.[cm]?js$/, number: 'TINYPOOL_WORKER_ID' },
];
const threadEntries = [
	{ pattern: /[\\/]jest-worker[\\/]build[\\/](workers[\\/])?threadChild\.js$/, message: 'Jest runs the tests in threads (workerThreads), and a thread cannot be in a world of its own', remedy: 'add --workerThreads=false to the command' },
	{ pattern: /[\\/]tinypool[\\/]dist[\\/]entry[\\/]worker\.js$|[\\/]vitest[\\/]dist[\\/]workers[\\/](threads|vmThreads)\.js$/, message: 'Vitest runs the tests in threads (pool), and a thread cannot be in a world of its own', remedy: 'add --pool=forks to the command' },
];

// What Playwright's command line does besides testing. Its servers of tests, for editors and agents, are none of it.
const idleWords = /^(merge-reports|show-report|show-trace|codegen|open|cr|ff|wk|screenshot|pdf|install|install-deps|uninstall|clear-cache|help|-h|--help|-V|--version)$/;

// What reporter.cjs, which Playwright loads into the same process, needs of this file.
const shared = {
	send,
	slotOf,
	hosted: null, // ids of projects that stay in R; null until the reporter has told
	dependencies: new Map(), // project id -> ids, direct ones
	services: [], // of the config: { label, command, cwd }
	ownRetries: new Map(), // test id -> how often the user has it tried again, where sbx has it tried once more (SBX_RETRY)
	mayRest: false, // nothing in R asks the servers once the worlds have theirs
	initialEnvironment: { ...process.env },
	nextReporter: undefined, // the user's own PW_TEST_REPORTER
	major: 0, // the runner's version
};

// ---- which runner this is ------------------------------------------------------------------------------------------

function install() {
	const runner = recognise();

	if (!runner)
		return;
	shared.major = parseInt(runner.version, 10);
	runner.prepare(runner);
	addShard(runner);
	send({ type: 'hello', version: 1, runner: runner.name, runnerVersion: runner.version, pid: process.pid,
	       argv: process.argv, cwd: process.cwd(), workersAsked: runner.workersAsked ?? null, added: runner.added, alone: isAlone(runner) });
	if (runner.name === 'playwright')
		patchServers();
	if (isAlone(runner))
		return;
	patchFork();
	patchThreads();
	if (runner.name === 'vitest')
		patchBrowser();
	require('node:module').syncBuiltinESMExports();
}

function recognise() {
	const fs = require('node:fs');
	const path = require('node:path');
	let main;

	try {
		main = fs.realpathSync(process.argv[1]);
	} catch {
		return null;
	}
	const known = [
		{ name: 'playwright', pattern: /[\\/](@playwright[\\/]test|playwright)[\\/]cli\.js$/, prepare: preparePlaywright },
		{ name: 'jest', pattern: /[\\/]jest(-cli)?[\\/]bin[\\/]jest\.js$/, prepare: prepareJest },
		{ name: 'vitest', pattern: /[\\/]vitest[\\/]vitest\.mjs$/, prepare: prepareVitest },
	].find(candidate => candidate.pattern.test(main));
	if (known?.name === 'playwright' && idleWords.test(process.argv[2] ?? '--help'))
		sendNow({ type: 'idle', runner: known.name, words: process.argv.slice(2) });
	if (!known || (known.name === 'playwright' && process.argv[2] !== 'test'))
		return null;

	let version = null;
	for (let folder = path.dirname(main); path.dirname(folder) !== folder && !version; folder = path.dirname(folder)) {
		try {
			version = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).version;
		} catch {
			// not the package's own folder yet
		}
	}
	return { ...known, version, added: [], arguments: optionsOf(process.argv.slice(2)) };
}

/* The words that are options: what stands behind `--` is the tests' own. */
function optionsOf(words) {
	const end = words.indexOf('--');
	return end < 0 ? words : words.slice(0, end);
}

/* The value of an option in all the ways it can be written; undefined where it is not there, '' where it has none. */
function optionValue(words, ...names) {
	for (let i = 0; i < words.length; i++) {
		for (const name of names) {
			if (words[i] === name)
				return words[i + 1] ?? '';
			if (words[i].startsWith(name + '='))
				return words[i].slice(name.length + 1);
			if (/^-\w$/.test(name) && words[i].startsWith(name) && !words[i].startsWith('--'))
				return words[i].slice(name.length);
		}
	}
	return undefined;
}

function hasOption(words, ...names) {
	return words.some(word => names.some(name => word === name || word.startsWith(name + '=')));
}

function worldCount() {
	const count = Number(process.env.SBX_WORKERS);
	return Number.isInteger(count) && count > 0 ? count : 0;
}

/* With one world R is the world, unless units are to begin in worlds of their own. */
function isOneWorld() {
	return worldCount() === 1 && !process.env.SBX_UNIT && !process.env.SBX_RETRY && !process.env.SBX_BLAME;
}

/* A debugger has one worker, and stops the servers' clients, not the servers. */
function isAlone(runner) {
	return isOneWorld() || (runner.name === 'playwright' && (!!process.env.PWDEBUG || hasOption(runner.arguments, '--debug')));
}

/* -n is stronger than what the config says; right behind the verb, so that it is never taken for a test's name. */
function addArgument(runner, position, text) {
	process.argv.splice(position, 0, text);
	runner.added.push(text);
}

/* A part of all tests, in each runner's own words, which are the same in all three. */
function addShard(runner) {
	const shard = process.env.SBX_SHARD;

	if (!shard)
		return;
	if (hasOption(runner.arguments, '--shard'))
		refuse(`the command has a --shard of its own, beside sbx test --shard (${shard})`, 'leave one of the two out');
	addArgument(runner, { playwright: 3, jest: 2, vitest: 2 + runner.arguments.length }[runner.name], `--shard=${shard}`);
}

function preparePlaywright(runner) {
	const path = require('node:path');
	const words = runner.arguments;

	runner.workersAsked = optionValue(words, '--workers', '-j');
	if (worldCount() > 0 && runner.workersAsked === undefined && !process.env.PWDEBUG &&
	    !hasOption(words, '--debug', '--ui', '--ui-host', '--ui-port'))
		addArgument(runner, 3, `--workers=${worldCount()}`);
	// What --why asks for, stronger than what the command says by coming behind it.
	for (const word of JSON.parse(process.env.SBX_ARGUMENTS ?? '[]'))
		addArgument(runner, process.argv.includes('--', 2) ? process.argv.indexOf('--', 2) : process.argv.length, word);
	shared.nextReporter = process.env.PW_TEST_REPORTER;
	process.env.PW_TEST_REPORTER = path.join(__dirname, 'reporter.cjs');
	globalThis[Symbol.for('sbx.hook')] = shared;
}

function prepareJest(runner) {
	const words = runner.arguments;
	const inBand = ['-i', '--runInBand', '--detectOpenHandles'].find(name => hasOption(words, name));

	runner.workersAsked = optionValue(words, '--maxWorkers', '-w');
	refuseRetry('Jest');
	if (isOneWorld())
		return;
	if (inBand)
		refuse(`Jest runs all tests in one process with ${inBand}`, `leave ${inBand} out, or use sbx test -n 1`);
	if (worldCount() > 0 && runner.workersAsked === undefined)
		addArgument(runner, 2, `--maxWorkers=${worldCount()}`);
	refuseInBand(process.env.JEST_WORKER_ID);
	// Jest runs a few fast files in its own process, outside the worlds. With a limit of memory it never does
	// (shouldRunInBand), and one that is all there is never restarts a process.
	// One of a byte is never enough: it restarts the process after each file.
	if (!hasOption(words, '--workerIdleMemoryLimit') && parseInt(runner.version, 10) >= 29)
		addArgument(runner, 2, `--workerIdleMemoryLimit=${process.env.SBX_UNIT === 'file' ? '2' : '100%'}`);
}

/* Where it runs tests in its own process it gives that the number of a worker. What is red stays red. */
function refuseInBand(before) {
	process.on('exit', status => {
		if (status === 0 && process.env.JEST_WORKER_ID !== before)
			refuse('Jest ran its tests in its own process, which is in none of the worlds',
			       `add -w ${worldCount() || 2} to the command, or use sbx test -n 1`);
	});
}

/* Only Playwright lets one have a test tried once more than it would by itself. */
function refuseRetry(name) {
	if (process.env.SBX_RETRY)
		refuse(`${name} cannot be told to try a test once more, in a fresh world`,
		       'leave --retry-fresh out; --fresh file begins each file in a world that nobody has used');
}

function prepareVitest(runner) {
	refuseRetry('Vitest');
	runner.workersAsked = optionValue(runner.arguments, '--maxWorkers');
	if (worldCount() > 0 && !isOneWorld() && runner.workersAsked === undefined)
		addArgument(runner, 2 + runner.arguments.length, `--maxWorkers=${worldCount()}`);
}

// ---- what is replaced ----------------------------------------------------------------------------------------------

function patchFork() {
	const childProcess = require('node:child_process');
	const fork = childProcess.fork;

	childProcess.fork = function sbxFork(modulePath, ...rest) {
		const file = modulePath instanceof URL ? require('node:url').fileURLToPath(modulePath) : String(modulePath);
		const entry = entries.find(candidate => candidate.pattern.test(file));

		if (!entry)
			refuseUnknown(file, (Array.isArray(rest[0]) ? rest[1] : rest[0] ?? rest[1])?.env);
		if (!entry)
			return fork.call(this, modulePath, ...rest);
		const args = Array.isArray(rest[0]) ? rest[0] : [];
		const options = { ...(Array.isArray(rest[0]) ? rest[1] : rest[0] ?? rest[1]) };
		return entry.start({ file, args, options, fork: () => fork.call(childProcess, modulePath, args, options) });
	};
}

/* @environment  of a process: Jest and Vitest number theirs */
function refuseUnknown(file, environment) {
	const unknown = harmlessEntry.test(file) ? undefined : unknownEntries.find(candidate => candidate.pattern.test(file) ||
		(environment?.[candidate.number] !== undefined && environment[candidate.number] !== process.env[candidate.number]));

	if (unknown)
		refuse(`this version of ${unknown.name} starts its tests in a way that sbx does not know (${file})`,
		       'use a version that sbx knows, or sbx test -n 1');
}

/* A class in the place of worker_threads.Worker, since `new` must make the real thing. */
function patchThreads() {
	const threads = require('node:worker_threads');

	threads.Worker = class extends threads.Worker {
		constructor(file, options) {
			const name = file instanceof URL ? file.pathname : String(file);
			const thread = threadEntries.find(candidate => candidate.pattern.test(name));

			if (thread)
				refuse(thread.message, thread.remedy);
			if (!options?.eval)
				refuseUnknown(name);
			super(file, options);
		}
	};
}

const browserPages = /[\\/]@vitest[\\/]browser[\\/]dist[\\/]client[\\/]/;
let leases = 0;

/* Vitest's browser mode runs its tests in a browser that the runner opens, beside the worlds: it is known by the pages that
 * it reads for that, in all versions so far. One that would not be known still has to serve them. */
function patchBrowser() {
	const files = require('node:fs').promises;
	const server = require('node:net').Server.prototype;
	const { readFile } = files;
	const { listen } = server;
	let hasServed = false;

	files.readFile = function sbxReadFile(file, ...rest) {
		if (browserPages.test(String(file)))
			refuse('Vitest runs the tests in a browser of its own (browser mode), which is in none of the worlds',
			       'use sbx test -n 1; or leave the browser out with --browser.enabled=false');
		return readFile.call(this, file, ...rest);
	};
	server.listen = function sbxListen(...rest) {
		hasServed ||= typeof rest[0] !== 'string' && !rest[0]?.path;
		return listen.apply(this, rest);
	};
	process.on('exit', status => {
		if (status === 0 && hasServed && leases === 0)
			refuse('Vitest served something (to a browser, it may be), and none of its tests came to a world',
			       'use sbx test -n 1 if that is meant');
	});
}

// ---- the servers of Playwright's config, in R --------------------------------------------------------------------------

const servers = new Map(); // processes, while they live -> what the config says of each
let areResting = false;

/* Marks what the config starts, so that it can be told from a server that was started by hand: a variable, which what it
 * starts inherits. */
function patchServers() {
	const childProcess = require('node:child_process');
	const path = require('node:path');
	const spawn = childProcess.spawn;
	const kill = process.kill;

	childProcess.spawn = function sbxSpawn(command, ...rest) {
		const options = Array.isArray(rest[0]) ? rest[1] : rest[0];
		const service = options?.shell && (shared.services.find(candidate => candidate.command === command &&
			path.resolve(candidate.cwd) === path.resolve(options.cwd ?? '.')) ?? untoldService(options));

		if (!service)
			return spawn.call(this, command, ...rest);
		const child = spawn.call(this, command, Array.isArray(rest[0]) ? rest[0] : [],
					 { ...options, env: { ...(options.env ?? process.env), SBX_SERVICE: service.label } });
		servers.set(child, service);
		child.once('exit', () => servers.delete(child));
		return child;
	};
	process.kill = function sbxKill(pid, ...rest) {
		const [, service] = [...servers].find(([child]) => child.pid === Math.abs(pid)) ?? [];

		if (areResting && service)
			wakeServers();
		if (service && leases === 0 && hostedEnded === 0)
			tellUnready(service);
		return kill.call(this, pid, ...rest);
	};
}

/* Where somebody listens in R, on whatever address. */
function openPorts() {
	const ports = new Set();

	for (const name of ['/proc/net/tcp', '/proc/net/tcp6']) {
		try {
			for (const [, port] of require('node:fs').readFileSync(name, 'latin1').matchAll(/^ *\d+: [\dA-F]+:([\dA-F]{4}) [\dA-F]+:[\dA-F]{4} 0A /gm))
				ports.add(parseInt(port, 16));
		} catch {
			// a kernel without IPv6
		}
	}
	return [...ports].sort((one, other) => one - other);
}

/* A server that is ended before anything was tested, and does not listen where it was awaited: Playwright names only the
 * time that it waited. */
function tellUnready(service) {
	let port = service.port;

	try {
		port ??= Number(new URL(service.url).port) || null;
	} catch {
		// it is awaited by what it prints
	}
	const open = openPorts();
	if (port && !open.includes(port))
		send({ type: 'unready', service: service.label, port: String(port), open: open.slice(0, 8).map(String) });
}

/* --ui starts the servers before the reporter hears of the config: in its order, and each with three variables that only
 * Playwright sets together. */
function untoldService(options) {
	if (shared.hosted !== null || !['BROWSER', 'FORCE_COLOR', 'DEBUG_COLORS'].every(name => name in (options.env ?? {})))
		return undefined;
	return { label: `server-${servers.size}` };
}

function signalServers(signal) {
	for (const child of servers.keys()) {
		try {
			process.kill(-child.pid, signal);
		} catch {
			// it has just ended
		}
	}
}

/* Once the worlds have servers of their own those of R have nothing to do, but their background jobs would go on: an e-mail
 * more than there are worlds, a processor shared with the tests. They are stopped and not ended: Playwright waits for them,
 * tells of one that died, and ends them itself when it is done; before that signal they go on (sbxKill). Not where anything in
 * R may still ask them: a teardown, globalTeardown, a setup project that is to come, the window of --ui. */
function restServers(projectId) {
	const done = dependenciesOf(projectId);

	if (areResting || !shared.mayRest || [...shared.hosted].some(id => !done.has(id)))
		return;
	signalServers('SIGSTOP');
	areResting = true;
	send({ type: 'rest' });
}

function wakeServers() {
	areResting = false;
	signalServers('SIGCONT');
}

// ---- a lease -------------------------------------------------------------------------------------------------------

/* The environment for a world: without what only R has. */
function worldEnvironment(environment) {
	const result = { ...(environment ?? process.env) };
	const ours = `--require=${__filename}`;

	for (const name of ['SBX_LEASE', 'SBX_RUN_SOCKET', 'SBX_WORKERS', 'SBX_UNIT', 'SBX_RETRY', 'SBX_BLAME', 'SBX_ARGUMENTS',
			    'SBX_SHARD'])
		delete result[name];
	if (result.PW_TEST_REPORTER === process.env.PW_TEST_REPORTER && 'PW_TEST_REPORTER' in result) {
		delete result.PW_TEST_REPORTER;
		if (shared.nextReporter !== undefined)
			result.PW_TEST_REPORTER = shared.nextReporter;
	}
	if (result.NODE_OPTIONS !== undefined) {
		result.NODE_OPTIONS = result.NODE_OPTIONS.split(ours).join('').trim();
		if (result.NODE_OPTIONS === '')
			delete result.NODE_OPTIONS;
	}
	return result;
}

/* stdio as fork() understands it: with exactly one channel. */
function stdioOf(options) {
	if (Array.isArray(options.stdio))
		return options.stdio.includes('ipc') ? options.stdio : [...options.stdio, 'ipc'];
	const kind = options.stdio ?? (options.silent ? 'pipe' : 'inherit');
	return [kind, kind, kind, 'ipc'];
}

function slotOf(parallelIndex) {
	return worldCount() > 0 ? parallelIndex % worldCount() : parallelIndex;
}

/* Starts `node file` through a lease; what comes back is Node's own ChildProcess, of the lease's client. */
function spawnLeased(call, where) {
	const { file, args, options } = call;
	const stdio = stdioOf(options);
	const channel = stdio.indexOf('ipc');
	const words = ['lease'];

	leases++;
	if (where.slot !== undefined)
		words.push('--slot', String(where.slot));
	if (where.after)
		words.push('--after', String(where.after));
	if (where.project)
		words.push('--project', where.project);
	if (where.retry)
		words.push('--retry', String(where.retry));
	if (where.fresh)
		words.push('--fresh');
	// Only Playwright's messages tell of each test.
	const looks = process.env.SBX_BLAME && where.project !== undefined ? stdio.length : 0;
	words.push('--pass-fd', String(channel));
	if (looks)
		words.push('--pass-fd', String(looks));
	words.push('--', options.execPath ?? process.execPath, ...(options.execArgv ?? process.execArgv));
	if (looks)
		words.push('--require', blameFile());
	words.push(file, ...args);
	const env = worldEnvironment(options.env);
	const child = require('node:child_process').spawn(lease, words, {
		...options, stdio: looks ? [...stdio, 'pipe'] : stdio, shell: false,
		env: looks ? { ...env, SBX_BLAME_FD: String(looks) } : env,
	});
	if (looks && child.stdio?.[looks])
		passLooks(child.stdio[looks], where.slot);
	return child;
}

// ---- --blame: a test process stands still between two tests, until its world has been looked at ------------------------

/* Runs in the test process. What it writes is in the socket before it waits, whatever is still in the channel. */
function standStill() {
	const fd = Number(process.env.SBX_BLAME_FD);
	const fs = require('node:fs');
	const send = process.send;

	delete process.env.SBX_BLAME_FD;
	if (!send || !(fd > 2))
		return;
	process.send = function (message, ...rest) {
		const result = send.call(process, message, ...rest);
		const event = message?.method === '__dispatch__' ? message.params : message;

		if (event?.method === 'testEnd') {
			try {
				fs.writeSync(fd, `${event.params?.testId}\n`);
				fs.readSync(fd, Buffer.alloc(1));
			} catch {
				// whoever would look is gone
			}
		}
		return result;
	};
}

let blameFileName;

function blameFile() {
	if (!blameFileName) {
		blameFileName = require('node:path').join(require('node:os').tmpdir(), `sbx-blame-${process.pid}.cjs`);
		require('node:fs').writeFileSync(blameFileName, `'use strict';\n(${standStill})();\n`);
	}
	return blameFileName;
}

const looks = new Map(); // number -> what goes on when it is answered
let lookNumber = 0;

function passLooks(pipe, slot) {
	let text = '';

	pipe.on('error', () => {});
	pipe.on('data', chunk => {
		text += chunk;
		for (let end; (end = text.indexOf('\n')) >= 0; text = text.slice(end + 1)) {
			looks.set(++lookNumber, () => pipe.write('.'));
			send({ type: 'look', slot, test: text.slice(0, end), number: lookNumber });
		}
	});
}

let answered = '';

function hearAnswers(chunk) {
	answered += chunk;
	for (let end; (end = answered.indexOf('\n')) >= 0; answered = answered.slice(end + 1)) {
		const number = Number(answered.slice(0, end));

		looks.get(number)?.();
		looks.delete(number);
	}
}

// ---- Jest and Vitest: their own numbers are known when they fork -----------------------------------------------------

// Jest's own work: the map of the project's files, before globalSetup, and coverage, after the tests. Both belong to R.
const jestOwn = /[\\/](jest-haste-map[\\/]build[\\/]worker|@jest[\\/]reporters[\\/]build[\\/]CoverageWorker)\.js$/;
const [jestInitialize, jestCall] = [0, 1]; // first in a message to a process of jest-worker's
const [jestDone, jestFailed] = [0, 1]; // … and in one from it

function startJest(call) {
	const number = Number(call.options.env?.JEST_WORKER_ID);
	const wanted = Number.isInteger(number) && number > 0 ? number : 0;
	let isOwn = false;
	let file = ''; // of tests, which it is at
	const child = new Deferred(call, {
		// Which of jest-worker's processes it is comes with the first message, right after the fork.
		decide(message) {
			if (!Array.isArray(message) || message[0] !== jestInitialize)
				return null;
			isOwn = jestOwn.test(message[2]);
			if (isOwn)
				return { local: true };
			// They live as long as the run: one that waits for the world of another would wait for ever.
			if (worldCount() > 0 && wanted > worldCount())
				refuse(`Jest wants a world for worker ${wanted}, and there are ${worldCount()}`, `add -w ${worldCount()} to the command`);
			return wanted ? { slot: wanted - 1 } : {};
		},
		hear(message) {
			if (isOwn || !Array.isArray(message) || message[0] !== jestCall)
				return;
			file = message[3]?.[0]?.path ?? '';
			hearJestConfig(message[3]?.[0]);
		},
		told(message, place) {
			if (!isOwn && place.slot !== undefined && Array.isArray(message))
				tellJestFile(message, file, place.slot);
		},
	});

	child.once('message', () => isOwn || restServers());
	return child;
}

/* Each file of tests comes with all of the config. A teardown may ask R's servers, and so may globalSetup when it is called
 * again (--watch); of several projects only this one's is known. */
function hearJestConfig(test) {
	const global = test?.globalConfig;

	if (!global)
		return;
	shared.hosted ??= new Set();
	shared.mayRest = !global.globalTeardown && !test.config?.globalTeardown && !global.watch && !global.watchAll &&
		(global.projects?.length ?? 0) <= 1;
}

/* Jest's answer to a file: its result, or the error for which it has none. */
function tellJestFile([kind, answer, message], file, slot) {
	if (kind === jestDone && Array.isArray(answer?.testResults))
		answer.testResults.forEach(result => tellTest({
			title: result.fullName, file: answer.testFilePath ?? file, line: result.location?.line, slot,
			status: result.status, retry: (result.invocations ?? 1) - 1, durationMs: result.duration,
			startedMs: result.startAt, message: result.failureMessages?.[0],
		}));
	if ((kind === jestDone && answer?.testExecError) || kind === jestFailed)
		tellTest({ title: unread, file: answer?.testFilePath ?? file, slot, status: 'failed',
			   message: kind === jestFailed ? message : answer.testExecError.message });
}

function startVitest(call) {
	const number = Number(call.options.env?.TINYPOOL_WORKER_ID);
	const files = new Map(); // id -> { task, results }, of those that are not done

	if (Number.isInteger(number) && number > 0) {
		const child = spawnLeased(call, { slot: slotOf(number - 1) });

		child.on('message', message => hearVitest(message, files, slotOf(number - 1)));
		return child;
	}
	// Vitest 4: the number comes with the first message.
	return new Deferred(call, {
		told: (message, place) => place.slot !== undefined && hearVitest(message, files, place.slot),
		decide(message) {
			return message?.type === 'start' && Number.isInteger(message.poolId)
				? { slot: slotOf(message.poolId - 1) } : message?.type === 'start' ? {} : null;
		},
	});
}

/* Calls of the test process's, of which two say what the tests are and what becomes of them. */
function hearVitest(message, files, slot) {
	let call = message;

	if (message?.type === 'Buffer' && Array.isArray(message.data)) {
		// Up to Vitest 3.
		try {
			call = require('node:v8').deserialize(Buffer.from(message.data));
		} catch {
			return;
		}
	}
	if (call?.m === 'onCollected')
		[call.a?.[0]].flat().filter(Boolean).forEach(task => files.set(task.id, { task, results: new Map() }));
	if (call?.m !== 'onTaskUpdate' || !Array.isArray(call.a?.[0]))
		return;
	for (const [id, result] of call.a[0]) {
		for (const [fileId, { results }] of files)
			if (result && (id === fileId || id.startsWith(fileId + '_')))
				results.set(id, result);
	}
	for (const [id, { task, results }] of files) {
		// A test may be tried again until its file has a result.
		if (!['pass', 'fail', 'skip'].includes(results.get(id)?.state))
			continue;
		files.delete(id);
		if (tellVitestTests(task.tasks ?? [], [], task.filepath, results, slot) === 0 && results.get(id).state === 'fail')
			tellTest({ title: unread, file: task.filepath, slot, status: 'fail',
				   message: (results.get(id).errors ?? task.result?.errors)?.[0]?.message });
	}
}

/* @return how many are red */
function tellVitestTests(tasks, names, file, results, slot) {
	let red = 0;

	for (const task of tasks) {
		const all = [...names, task.name];
		const result = results.get(task.id);

		if (Array.isArray(task.tasks)) {
			red += tellVitestTests(task.tasks, all, file, results, slot);
			continue;
		}
		red += result?.state === 'fail' ? 1 : 0;
		// As --testNamePattern of that version has it.
		tellTest({ title: all.join(shared.major >= 5 ? ' > ' : ' '), file, line: task.location?.line, slot,
			   status: result?.state ?? 'skip', retry: result?.retryCount, durationMs: result?.duration,
			   startedMs: result?.startTime, message: result?.errors?.[0]?.message });
	}
	return red;
}

const statusWords = new Map([['pass', 'passed'], ['passed', 'passed'], ['fail', 'failed'], ['failed', 'failed']]);
const messageLengthMax = 4096;
const unread = '(cannot be read)'; // in place of a test's name: of its file

/* A test that has ended, in the words of Playwright's. */
function tellTest({ title, file, line, slot, status, retry, durationMs, startedMs, message }) {
	const word = statusWords.get(status) ?? 'skipped';

	send({ type: 'test', event: 'end', id: `${file} ${title}`, project: '', hosted: false, title, file, line: line ?? 0, slot,
	       parallelIndex: slot, retry: Math.max(0, retry ?? 0), retries: Math.max(0, retry ?? 0), fresh: false,
	       startedMs: Number.isFinite(startedMs) ? Math.round(startedMs) : null, status: word, expected: 'passed',
	       ok: word !== 'failed', durationMs: Math.round(durationMs ?? 0),
	       message: message === undefined || word !== 'failed' ? null : String(message).slice(0, messageLengthMax), attachments: [] });
}

// ---- Playwright: the place is known from what the runner sends first -------------------------------------------------

let hostedEnded = 0;
const hostedEndedOf = new Map(); // project id -> hostedEnded at the last end
let hostedTurn = Promise.resolve();

/* All that a project depends on, at any distance. */
function dependenciesOf(id, found = new Set()) {
	for (const dependency of shared.dependencies.get(id) ?? []) {
		if (found.has(dependency))
			continue;
		found.add(dependency);
		dependenciesOf(dependency, found);
	}
	return found;
}

function startPlaywright(call) {
	let parameters = null;

	return new Deferred(call, {
		ready: { method: 'ready' },
		isReady: message => message?.method === 'ready',
		isInitial: message => message?.method === '__init__',
		isStop: message => message?.method === '__stop__',
		unitOf: message => message?.method === '__dispatch__' && message.params?.method === 'runTestGroup' &&
			!shared.hosted?.has(parameters?.projectId) ? unitOf(message) : null,
		isRed: message => isTold(message, 'testEnd') && message.params.params.status !== message.params.params.expectedStatus,
		isDone: message => isTold(message, 'done'),
		outlives: message => isTold(message, 'teardownErrors'),
		stop: { method: '__stop__' },
		stopped: { method: '__env_produced__', params: [] },
		arrived: place => place.slot !== undefined && restServers(place.project),
		decide(message) {
			if (message?.method === '__init__') {
				parameters = message.params.runnerParams;
				// Not a worker but a loader, which has no place of its own.
				return parameters && 'parallelIndex' in parameters ? null : { local: true };
			}
			if (message?.method !== '__dispatch__' || !parameters)
				return null;
			return placeOf(parameters, message.params);
		},
	});
}

/* What a test process tells of its own accord. */
function isTold(message, method) {
	return message?.method === '__dispatch__' && message.params?.method === method;
}

/* The try that sbx adds, in a world that nobody has used. */
function isFreshTry(entry) {
	return shared.ownRetries.has(entry.testId) && entry.retry > shared.ownRetries.get(entry.testId);
}

/* A group of tests. Playwright adds those that it tries again to what is left of their file: a fresh try is parted from
 * these, which go on in the world that they had. */
function unitOf(message) {
	const { params } = message.params;
	const withEntries = entries => ({ ...message, params: { ...message.params, params: { ...params, entries } } });
	const fresh = params.entries.filter(isFreshTry);
	const rest = params.entries.filter(entry => !isFreshTry(entry));

	if (fresh.length === 0)
		return { message, isFresh: false, rest: null };
	return { message: withEntries(fresh), isFresh: true, rest: rest.length > 0 ? withEntries(rest) : null };
}

function placeOf(parameters, dispatch) {
	const { projectId, parallelIndex } = parameters;

	if (!shared.hosted)
		refuse('Playwright did not load the reporter by which sbx learns of projects and servers',
		       'leave PW_TEST_REPORTER alone, or use sbx test -n 1');
	if (shared.hosted.has(projectId))
		return { hosted: true, project: projectId, parallelIndex };
	const after = Math.max(0, ...[...dependenciesOf(projectId)].map(id => hostedEndedOf.get(id) ?? 0));
	const entries = dispatch?.params?.entries ?? [];
	const retry = Math.max(0, ...entries.map(entry => entry.retry ?? 0));
	return { slot: slotOf(parallelIndex), after, project: projectId, retry, fresh: entries.some(isFreshTry) };
}

/* In R: the ordinary child, one at a time, since R is one world with one set of rows. */
function startHosted(call, place, started) {
	const before = hostedTurn;
	let release;

	hostedTurn = new Promise(resolve => { release = resolve; });
	before.then(() => {
		const stdio = stdioOf(call.options);
		const child = started(() => require('node:child_process').spawn(
			call.options.execPath ?? process.execPath,
			[...(call.options.execArgv ?? process.execArgv), call.file, ...call.args],
			{ ...call.options, stdio, shell: false,
			  env: { ...(call.options.env ?? process.env), SBX_WORKER: String(place.parallelIndex) } }));
		const told = { type: 'hosted', project: place.project, parallelIndex: place.parallelIndex };
		let open = true;
		const end = () => {
			if (!open)
				return;
			open = false;
			if (child) {
				hostedEndedOf.set(place.project, ++hostedEnded);
				send({ ...told, event: 'end', pid: child.pid, ended: hostedEnded });
			}
			release();
		};

		if (!child)
			return end();
		send({ ...told, event: 'begin', pid: child.pid, ended: hostedEnded });
		child.prependListener('exit', end);
		child.prependListener('error', () => child.pid === undefined && end());
	});
}

// ---- a child whose place is not known yet ----------------------------------------------------------------------------

/* What the runner holds in place of a ChildProcess: answers and queues until `protocol.decide` has found the place in
 * what the runner sends, then starts the real one and passes all on, both ways. Where protocol.unitOf finds a unit of work
 * that is to have a world of its own, the process ends and the unit gets another one, which the runner does not notice. */
class Deferred extends require('node:events') {
	constructor(call, protocol) {
		const { PassThrough } = require('node:stream');
		const stdio = stdioOf(call.options);

		super();
		this._call = call;
		this._protocol = protocol;
		this._queue = []; // [message, handle, options, callback], not handed on yet
		this._child = null;
		this._isReady = false; // the real one has said so
		this._initial = null;
		this._units = 0;
		this._isFresh = false; // its world is for the present unit only
		this._rest = null; // of the present unit's message: to be sent when that is done
		this.pid = undefined;
		this.connected = true;
		this.killed = false;
		this.exitCode = null;
		this.signalCode = null;
		this.spawnfile = call.options.execPath ?? process.execPath;
		this.spawnargs = [this.spawnfile, call.file, ...call.args];
		this.stdio = stdio.map(kind => kind === 'pipe' || kind === 'overlapped' ? new PassThrough() : null);
		[this.stdin, this.stdout, this.stderr] = this.stdio;
		this.channel = { ref() {}, unref() {}, refCounted() {}, unrefCounted() {} };
		if (protocol.ready)
			setImmediate(() => this._isOver() || this.emit('message', protocol.ready));
	}

	_isOver() {
		return this.exitCode !== null || this.signalCode !== null;
	}

	send(message, handle, options, callback) {
		const done = [handle, options, callback].find(value => typeof value === 'function');
		const fail = error => (done ? process.nextTick(done, error) : process.nextTick(() => this.emit('error', error)), false);

		if (!this.connected) {
			const error = new Error('Channel closed');
			error.code = 'ERR_IPC_CHANNEL_CLOSED';
			return fail(error);
		}
		this._protocol.hear?.(message);
		if (this._protocol.isInitial?.(message))
			this._initial = message;
		if (this._protocol.isStop?.(message) && !this._isReady)
			return this._stopUnstarted(done);
		const unit = this._protocol.unitOf?.(message);
		if (unit) {
			message = unit.message;
			if (this._beginUnit(unit)) {
				this._queue.push([message, handle, options, callback]);
				this._renew(message);
				return true;
			}
		}
		if (this._child && this._isReady)
			return this._child.send(message, handle, options, callback);
		this._queue.push([message, handle, options, callback]);
		if (this._child || this._starting)
			return true;
		const place = this._protocol.decide(message);
		if (place)
			this._start(place);
		return true;
	}

	/* @return whether it needs another process than the present one */
	_beginUnit(unit) {
		const isAnother = this._units++ > 0 && (process.env.SBX_UNIT === 'file' || unit.isFresh || this._isFresh);

		this._isFresh = unit.isFresh;
		this._rest = unit.rest;
		return isAnother;
	}

	/* What the real one says, while a part of the unit waits: the runner must not hear that all is done. @return whether it
	 * is to be kept from it */
	_holdBack(message) {
		if (!this._rest)
			return false;
		// The runner ends the process then, and hands out what is left anew.
		if (this._protocol.isRed(message))
			this._rest = null;
		if (!this._rest || !this._protocol.isDone(message))
			return false;
		const rest = this._protocol.unitOf(this._rest);
		this._beginUnit(rest);
		this._queue.push([rest.message]);
		this._renew(rest.message);
		return true;
	}

	_start(place) {
		this._starting = true;
		this._place = place;
		if (place.hosted)
			startHosted(this._call, place, spawn => this._isOver() ? null : this._attach(spawn()));
		else
			this._attach(place.local ? this._call.fork() : spawnLeased(this._call, place));
	}

	_attach(child) {
		const isReady = this._protocol.isReady ?? (() => true);

		this._starting = false;
		this._child = child;
		this._isReady = !this._protocol.isReady;
		this.pid = child.pid;
		this.stdio.forEach((stream, i) => {
			if (!stream || !child.stdio[i])
				return;
			if (i === 0)
				stream.pipe(child.stdio[0]);
			else
				this._pass(child, child.stdio[i], stream);
		});
		child.on('message', (message, handle) => {
			if (child !== this._child)
				return void (this._protocol.outlives?.(message) && this.emit('message', message));
			this._protocol.told?.(message, this._place);
			if (this._isReady || !isReady(message))
				return void (this._holdBack(message) || this.emit('message', message, handle));
			this._isReady = true;
			this._protocol.arrived?.(this._place);
			this._flush();
		});
		child.on('disconnect', () => child === this._child && this._disconnected());
		child.on('error', error => child === this._child && this._failed(error));
		child.on('exit', (code, signal) => child === this._child && this._exited(code, signal));
		child.on('close', (code, signal) => child === this._child && this._closed(code, signal));
		child.on('spawn', () => child === this._child && this.emit('spawn'));
		if (this._isReady)
			this._flush();
		return child;
	}

	/* It ends with the process, unless another one takes its place. Node emits no 'close' after a disconnect() from this
	 * side. */
	_pass(child, from, to) {
		const end = () => child === this._child && to.end();

		from.pipe(to, { end: false });
		from.on('end', () => child.exitCode !== null || child.signalCode !== null ? end() : child.once('exit', end));
	}

	_flush() {
		for (const item of this._queue.splice(0))
			this._child.send(...item);
	}

	/* The runner wants it to end before it began: nothing was run, so nothing has to be started for it. */
	_stopUnstarted(done) {
		if (done)
			process.nextTick(done, null);
		setImmediate(() => {
			if (this._isOver())
				return;
			this.emit('message', this._protocol.stopped);
			this._child?.kill('SIGKILL');
			this._child = null;
			this._disconnected();
			this._exited(0, null);
			this._closed(0, null);
		});
		return true;
	}

	/* Ends the process behind and starts the next one, with the first message of the old. */
	_renew(unit) {
		const old = this._child;
		const next = () => {
			if (this._isOver())
				return;
			this._queue.unshift([this._initial]);
			this._start(this._protocol.decide(unit));
		};

		this._child = null;
		this._isReady = false;
		this._starting = true;
		if (!old || old.exitCode !== null || old.signalCode !== null)
			return next();
		old.once('exit', next);
		old.send(this._protocol.stop, () => {});
	}

	_disconnected() {
		if (!this.connected)
			return;
		this.connected = false;
		this.emit('disconnect');
	}

	_failed(error) {
		if (this.listenerCount('error') > 0)
			this.emit('error', error);
		if (this._child.pid !== undefined)
			return;
		// It never ran: Node emits no 'exit' then, and the runner would wait for one.
		this._disconnected();
		this._exited(127, null);
		this._closed(127, null);
	}

	_exited(code, signal) {
		if (this._isOver())
			return;
		this.exitCode = code;
		this.signalCode = signal;
		this.emit('exit', code, signal);
	}

	_closed(code, signal) {
		this.stdio.slice(1).forEach(stream => stream?.end());
		setImmediate(() => this.emit('close', code, signal));
	}

	kill(signal) {
		if (this._isOver())
			return false;
		if (this._child)
			return this.killed = this._child.kill(signal);
		this.killed = true;
		setImmediate(() => {
			this._disconnected();
			this._exited(null, signal ?? 'SIGTERM');
			this._closed(null, signal ?? 'SIGTERM');
		});
		return true;
	}

	disconnect() {
		if (this._child)
			return this._child.disconnect();
		this._disconnected();
		setImmediate(() => {
			this._exited(0, null);
			this._closed(0, null);
		});
	}

	ref() {
		this._child?.ref();
	}

	unref() {
		this._child?.unref();
	}
}

// ---- to the supervisor -----------------------------------------------------------------------------------------------

let socket;

/* Written at once where the socket takes it, so that what was told before a process ended is there before its end. */
function send(message) {
	if (!process.env.SBX_RUN_SOCKET)
		return;
	if (!socket) {
		socket = require('node:net').connect(process.env.SBX_RUN_SOCKET);
		socket.on('error', () => {});
		socket.on('data', hearAnswers);
		socket.on('close', () => looks.forEach(goOn => goOn()));
		socket.unref();
	}
	socket.write(JSON.stringify(message) + '\n');
}

/* The supervisor has it when this returns, whatever the process does next. By a process of its own: writing here would
 * need the event loop. */
function sendNow(message) {
	if (!process.env.SBX_RUN_SOCKET)
		return;
	require('node:child_process').spawnSync(
		process.execPath, ['-e', `require('node:net').connect(process.env.SBX_RUN_SOCKET).end(process.argv[1])`,
				   JSON.stringify(message) + '\n'],
		{ env: { SBX_RUN_SOCKET: process.env.SBX_RUN_SOCKET, PATH: process.env.PATH }, stdio: 'ignore', timeout: 10000 });
}

/* Ends the runner. The exit waits until the supervisor has the reason; nothing of the runner runs meanwhile. */
function refuse(message, remedy) {
	if (!process.env.SBX_RUN_SOCKET) {
		process.stderr.write(`sbx: ${message}\n  ${remedy}\n`);
		process.exit(125);
	}
	sendNow({ type: 'refuse', message, remedy });
	process.exit(125);
}

// Last, when all above exists.
if (lease && require('node:worker_threads').isMainThread)
	install();
