// SPDX-License-Identifier: Apache-2.0
'use strict';
// Playwright's reporter for sbx: tells the supervisor what there is (servers, projects, folders) and what happens, and the
// hook, which has put it beside the user's reporters by PW_TEST_REPORTER, which projects stay in world R. It prints nothing.
// The messages stand in sandbox/run/hook.h.

const path = require('node:path');

const hook = globalThis[Symbol.for('sbx.hook')];
const MESSAGE_LENGTH_MAX = 4096;
const COMPLAINTS_MAX = 20;
const ATTACHMENTS_MAX = 50;
// What a program says when it could not connect: sbx looks whether the host has what it wanted.
const complaint = /refused|ENOTFOUND|EAI_AGAIN|ERR_NAME_NOT_RESOLVED|ENETUNREACH|EHOSTUNREACH|not known|name resolution|unreachable/i;
let complaints = 0;

function listen(text) {
	text = String(text);
	if (complaints < COMPLAINTS_MAX && complaint.test(text)) {
		complaints++;
		hook?.send({ type: 'complaint', text: text.slice(0, MESSAGE_LENGTH_MAX) });
	}
}

class Reporter {
	constructor(options) {
		this._configDir = options?.configDir;
		this._mode = options?._mode;
		this._next = this._loadNext(options);
	}

	version() {
		return 'v2';
	}

	/* Playwright adds a reporter of its own where none prints: this one must not count. */
	printsToStdio() {
		return this._next ? this._next.printsToStdio?.() ?? true : false;
	}

	onConfigure(config) {
		this._config = config;
		this._next?.onConfigure?.(config);
		tellConfig(config, this._configDir);
	}

	onBegin(suite) {
		const workers = this._config.metadata?.actualWorkers ?? this._config.workers;

		if (process.env.SBX_RETRY)
			addFreshTry(suite);
		if (this._nextIsOld)
			this._next.onBegin?.(this._config, suite);
		else
			this._next?.onBegin?.(suite);
		hook?.send({ type: 'begin', tests: suite.allTests().length, workers });
	}

	onTestBegin(test, result) {
		this._next?.onTestBegin?.(test, result);
		hook?.send({ ...describe(test, result), event: 'begin' });
	}

	onTestEnd(test, result) {
		const message = result.errors?.[0]?.message ?? result.errors?.[0]?.value ?? null;

		this._next?.onTestEnd?.(test, result);
		hook?.send({ ...describe(test, result), event: 'end', status: result.status, expected: test.expectedStatus,
			     ok: result.status === 'skipped' || result.status === test.expectedStatus, durationMs: result.duration,
			     message: message === null ? null : String(message).slice(0, MESSAGE_LENGTH_MAX),
			     attachments: (result.attachments ?? []).filter(attachment => attachment.path).slice(0, ATTACHMENTS_MAX)
				     .map(({ name, path: file, contentType }) => ({ name, path: file, contentType })) });
	}

	async onEnd(result) {
		const verdict = await this._next?.onEnd?.(result);

		hook?.send({ type: 'end', status: result.status, durationMs: Math.round(result.duration ?? 0) });
		return verdict;
	}

	onExit() {
		return this._next?.onExit?.();
	}

	/* The user's own PW_TEST_REPORTER, whose place this one took. */
	_loadNext(options) {
		if (!hook?.nextReporter)
			return null;
		try {
			const loaded = require(path.resolve(hook.nextReporter));
			const reporter = new (loaded.default ?? loaded)(options);

			this._nextIsOld = !(reporter.version?.() === 'v2');
			return reporter;
		} catch (error) {
			process.stderr.write(`sbx: the reporter of PW_TEST_REPORTER is left out: ${error.message}\n`);
			return null;
		}
	}
}

for (const name of ['onStdOut', 'onStdErr', 'onError', 'onStepBegin', 'onStepEnd', 'onTestPaused']) {
	Reporter.prototype[name] = function (...values) {
		// Without a test it comes from a server or globalSetup, which run in R.
		if (name === 'onError' || (name.startsWith('onStd') && !values[1]))
			listen(values[0]?.message ?? values[0]?.value ?? values[0]);
		return this._next?.[name]?.(...values);
	};
}

function describe(test, result) {
	const project = test.parent.project();
	const id = projectId(project);

	return {
		type: 'test', id: test.id, project: id, hosted: hook?.hosted?.has(id) ?? false,
		title: test.titlePath().filter(Boolean).slice(project?.name ? 2 : 1).join(' › '),
		file: test.location.file, line: test.location.line, column: test.location.column,
		parallelIndex: result.parallelIndex, slot: hook?.slotOf(result.parallelIndex) ?? result.parallelIndex,
		workerIndex: result.workerIndex, retry: result.retry, retries: hook?.ownRetries.get(test.id) ?? test.retries,
		fresh: result.retry > (hook?.ownRetries.get(test.id) ?? result.retry), startedMs: result.startTime?.getTime() ?? null,
	};
}

/* One try more for each test than its own: in a world that nobody has used (hook.cjs, isFreshTry). Playwright looks at this
 * number when a test has failed; the tests themselves do not see it. */
function addFreshTry(suite) {
	for (const test of suite.allTests()) {
		if (!hook || hook.hosted?.has(projectId(test.parent.project())))
			continue;
		hook.ownRetries.set(test.id, test.retries);
		test.retries++;
	}
}

function projectId(project) {
	return project?.__projectId ?? project?.name ?? '';
}

/* What the config is inside Playwright: more than its interface shows. Its key has kept its name since 1.31. */
function internalOf(config) {
	const key = Object.getOwnPropertySymbols(config).find(symbol => symbol.description === 'configInternalSymbol');
	return key === undefined ? null : config[key];
}

function tellConfig(config, configDir) {
	const internal = internalOf(config);
	const folder = internal?.configDir ?? configDir ?? config.rootDir;
	const projects = config.projects.map(project => describeProject(project, config, internal));
	const hosted = new Set(projects.flatMap(project => [...project.dependencies, ...(project.teardown === null ? [] : [project.teardown])]));
	const servers = internal?.webServers ?? (config.webServer ? [config.webServer] : []);
	const services = servers.map(server => describeServer(server, folder, !!config.webServer));
	const hasTeardown = !!(internal?.globalTeardowns?.length || config.globalTeardown);

	for (const project of projects)
		project.hosted = hosted.has(project.id);
	if (hook) {
		hook.hosted = hosted;
		// A teardown project runs in R when all is over: it needs no freeze, so it is nobody's dependency.
		hook.dependencies = new Map(projects.map(project => [project.id, project.dependencies]));
		hook.services = services.map((service, i) => ({ ...service, label: (service.name ?? `server-${i}`).replaceAll('/', '-') }));
		hook.mayRest = !hasTeardown && !!internal && projects.every(project => project.teardown === null) &&
			!process.argv.some(word => /^--ui(-|=|$)/.test(word));
	}
	hook?.send({
		type: 'config', configFile: config.configFile ?? null, configDir: folder, rootDir: config.rootDir,
		workers: config.workers, fullyParallel: config.fullyParallel, globalSetup: !!(internal?.globalSetups?.length || config.globalSetup),
		globalTeardown: hasTeardown, updateSnapshots: config.updateSnapshots ?? null,
		shard: config.shard ?? null, annotates: config.reporter.some(([name]) => name === 'github'), services,
		servicesKnown: !!internal, environment: changedEnvironment(), projects, artifacts: describeArtifacts(config, folder),
	});
}

function describeProject(project, config, internal) {
	const inner = internal?.projects?.find(candidate => candidate.project === project);
	const byName = name => projectId(config.projects.find(candidate => candidate.name === name));

	return {
		id: inner?.id ?? projectId(project), name: project.name ?? '',
		dependencies: inner ? inner.deps.map(dependency => dependency.id) : (project.dependencies ?? []).map(byName),
		teardown: inner ? inner.teardown?.id ?? null : project.teardown ? byName(project.teardown) : null,
		hosted: false, outputDir: project.outputDir, testDir: project.testDir, snapshotDir: project.snapshotDir,
		snapshotPathTemplates: [inner?.snapshotPathTemplate ?? project.snapshotPathTemplate, inner?.expect?.toHaveScreenshot?.pathTemplate,
					inner?.expect?.toMatchAriaSnapshot?.pathTemplate].filter(template => typeof template === 'string'),
		retries: project.retries,
		workers: inner?.workers ?? null, fullyParallel: inner?.fullyParallel ?? config.fullyParallel,
		baseUrl: project.use?.baseURL ?? null, headless: project.use?.headless ?? project.use?.launchOptions?.headless ?? null,
		chromiumSandbox: project.use?.launchOptions?.chromiumSandbox ?? null,
	};
}

/* As webServerPlugin.ts reads it. */
function describeServer(server, configDir, setsBaseUrl) {
	const expression = value => value ? { pattern: value.source, flags: value.flags } : null;
	const environment = { ...server.env };

	for (const [name, value] of Object.entries({ BROWSER: 'none', FORCE_COLOR: '1', DEBUG_COLORS: '1' }))
		if (!(name in environment) && !(name in process.env))
			environment[name] = value;
	if (setsBaseUrl && !server.url && server.port)
		environment.PLAYWRIGHT_TEST_BASE_URL = `http://localhost:${server.port}`;
	for (const name of Object.keys(environment))
		environment[name] = String(environment[name]);
	return {
		name: server.name ?? null, command: server.command ?? null, cwd: path.resolve(configDir, server.cwd ?? '.'), environment,
		url: server.url ?? null, port: server.port ?? null, stdout: expression(server.wait?.stdout), stderr: expression(server.wait?.stderr),
		timeoutMs: server.timeout || 60000, reuseExisting: !!server.reuseExistingServer, ignoreHttpsErrors: !!server.ignoreHTTPSErrors,
		stopSignal: server.gracefulShutdown?.signal ?? null, stopTimeoutMs: server.gracefulShutdown?.timeout ?? null,
	};
}

/* What the config (dotenv) has changed since the process began. */
function changedEnvironment() {
	const before = hook?.initialEnvironment ?? process.env;
	const set = {};

	for (const [name, value] of Object.entries(process.env))
		if (before[name] !== value && name !== 'PW_TEST_REPORTER')
			set[name] = value;
	return { set, unset: Object.keys(before).filter(name => !(name in process.env)) };
}

/* Where reporters and projects write: reported, so that it reaches the host. */
function describeArtifacts(config, configDir) {
	const directories = new Set(config.projects.map(project => project.outputDir));
	const files = new Set();
	const base = packageDirectory(configDir);
	const here = name => process.env[name] ? path.resolve(process.env[name]) : null;

	for (const [name, options] of config.reporter) {
		if (name === 'html') {
			directories.add(here('PLAYWRIGHT_HTML_OUTPUT_DIR') ?? here('PLAYWRIGHT_HTML_REPORT') ??
					(options?.outputFolder ? path.resolve(configDir, options.outputFolder) : path.resolve(base, 'playwright-report')));
		} else if (name === 'blob') {
			directories.add(here('PLAYWRIGHT_BLOB_OUTPUT_DIR') ??
					(options?.outputDir ? path.resolve(configDir, options.outputDir) : path.resolve(base, 'blob-report')));
			const file = here('PLAYWRIGHT_BLOB_OUTPUT_FILE') ?? (options?.outputFile ? path.resolve(configDir, options.outputFile) : null);
			if (file)
				files.add(file);
		} else if (name === 'json' || name === 'junit') {
			const prefix = `PLAYWRIGHT_${name.toUpperCase()}_OUTPUT_`;
			const folder = here(`${prefix}DIR`);
			const file = here(`${prefix}FILE`) ??
				(process.env[`${prefix}NAME`] ? path.resolve(folder ?? '.', process.env[`${prefix}NAME`]) : null) ??
				(options?.outputFile ? path.resolve(configDir, options.outputFile) : null);
			if (file)
				files.add(file);
		} else {
			// Somebody else's: what its options call a place is one.
			for (const [key, value] of Object.entries(options ?? {})) {
				if (typeof value !== 'string' || value === '' || /^[a-z]+:\/\//i.test(value))
					continue;
				if (/(folder|dir|directory)$/i.test(key))
					directories.add(path.resolve(configDir, value));
				else if (/(output|file|path)$/i.test(key))
					files.add(path.resolve(configDir, value));
			}
		}
	}
	for (const name of ['NODE_V8_COVERAGE'])
		if (process.env[name])
			directories.add(path.resolve(process.env[name]));
	return { directories: [...directories], files: [...files] };
}

/* Playwright resolves the folders that nobody named against the nearest package.json. */
function packageDirectory(configDir) {
	const fs = require('node:fs');

	for (let folder = configDir; ; folder = path.dirname(folder)) {
		if (fs.existsSync(path.join(folder, 'package.json')))
			return folder;
		if (path.dirname(folder) === folder)
			return configDir;
	}
}

module.exports = Reporter;
