#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How the first run of a suite fails, and the sentence with which it ends. Without a browser: what the tests ask is a
# server that answers "shop".
load workers

# Each test has ports of its own: the host's are taken in some.
setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	PATH=$(dirname "$SBX"):$PATH
	runs=()
	port=$((20000 + BATS_TEST_NUMBER))
	cd "$tree" || return 1
	ln -s "$RUNNERS/node_modules" node_modules
	mkdir tests
	printf 'require("node:http").createServer((q, r) => q.url === "/die" ? process.exit(3) : r.end("shop")).listen(Number(process.argv[2]), "127.0.0.1");\n' >server.js
	spec a 'expect(await (await request.get("/")).text()).toBe("shop");'
	spec b 'expect(await (await request.get("/")).text()).toBe("shop");'
}

teardown() {
	local run
	for run in "${runs[@]}"; do
		# One that is stopped ends when it goes on.
		kill "$run" 2>/dev/null && kill -CONT "$run" && wait "$run"
	done
	cd / || return 1
	rm -rf "$tree" "$XDG_STATE_HOME"
}

# spec NAME BODY…: a test for each body.
spec() {
	local name=$1 body number=0
	shift
	echo 'const { test, expect } = require("@playwright/test"); const fs = require("node:fs");' >"tests/$name.spec.js"
	for body in "$@"; do
		echo "test('$name $((++number))', async ({ request }) => { $body });" >>"tests/$name.spec.js"
	done
}

# config TEXT: what stands in it besides the usual.
config() {
	printf 'module.exports = { testDir: "tests", workers: 1, reporter: "list", use: { baseURL: "http://localhost:%s" },\n%s };\n' "$port" "$1" >playwright.config.js
}

web_server() {
	config "webServer: { name: 'shop', command: '$1', url: 'http://localhost:$port', timeout: 5000, ${2:-} }"
}

# on_host PROGRAM…: in the background, outside, until it listens on the port.
on_host() {
	"$@" 2>/dev/null 3>&- &
	runs+=("$!")
	wait_for bash -c "exec 9<>/dev/tcp/127.0.0.1/$port" 2>/dev/null
}

suite() {
	local want=$1
	shift
	run_sbx "$want" test "$@" -- npx playwright test
}

@test "first run: a server that globalSetup starts ends the run before the first test, with what sbx.yaml needs" {
	config 'globalSetup: "./global.js"'
	cat >global.js <<-'END'
		module.exports = async config => {
			const port = new URL(config.projects[0].use.baseURL).port;
			require('node:child_process').spawn('node', ['server.js', port], { env: { ...process.env, MODE: 'e2e' }, stdio: 'ignore' }).unref();
			while (!await fetch(config.projects[0].use.baseURL).catch(() => null))
				await new Promise(done => setTimeout(done, 20));
		};
	END
	suite 125 -n 2
	assert_has "$output" "sbx: what sbx.yaml needs, in $tree:

services:
  server-$port:
    command: [\"node\",\"server.js\",\"$port\"]
    environment:
      - \"MODE=e2e\"
    ready:
      port: $port"
	assert_has "$output" "'node server.js $port' listens on port $port beside the runner, and the config does not start it: no world would have it"
	[[ $output != *"✓"* && $output != *"✘"* ]]
	# One world is R itself.
	suite 0 -n 1
}

@test "first run: a server within the runner is told from one that a command starts" {
	config 'globalSetup: "./global.js"'
	echo "module.exports = () => new Promise(done => require('node:http').createServer((q, r) => r.end('shop')).listen($port, '127.0.0.1', done));" >global.js
	suite 125 -n 2
	assert_has "$output" "the runner itself listens on port $port, in globalSetup or the config: a world cannot have it"
	assert_same 1 "$(grep -c 'the runner itself' <<<"$output")"
}

@test "first run: a dev server outside is named, with its command" {
	config ''
	on_host node server.js "$port"
	suite 125 -n 2
	assert_has "$output" "command: [\"node\",\"server.js\",\"$port\"]"
	assert_has "$output" "nothing listens on port $port where the tests run, but 'node server.js $port' does on the host: your dev server runs outside"
}

@test "first run: what the tests ask and nobody serves is named, and so is a server that is awaited on another port" {
	web_server "node server.js $((port + 5000))"
	sed -i "s/url: 'http:..localhost:[0-9]*'/port: $port/; s/timeout: 5000/timeout: 1000/" playwright.config.js
	suite 1 -n 2
	assert_has "$output" "Timed out waiting 1000ms from config.webServer"
	assert_has "$output" "sbx: webServer 'shop' was awaited on port $port, and nothing listens there where it runs; open there: $((port + 5000))
  its url, or port, has to be where its command listens"
	# It listens where it is awaited, and the tests ask elsewhere.
	sed -i "s/port: $port/port: $((port + 5000))/; s/timeout: 1000/timeout: 5000/" playwright.config.js
	suite 1 -n 2
	assert_same 1 "$(grep -c "sbx: a connection to port $port was refused in w[01]: nothing listens there, nor on the host; open in w[01]: $((port + 5000))$" <<<"$output")"
	assert_has "$output" "let each world start that server: by webServer in the config, or by services in sbx.yaml"
	[[ $output != *awaited* ]]
}

@test "first run: a command of Playwright's that runs no tests is that, and where it stands among others nothing is green" {
	config ''
	mkdir all
	run_sbx 0 test -n 2 -- npx playwright --version
	assert_has "$output" "sbx: 'playwright --version' runs no tests, so there is nothing to spread over worlds"
	run_sbx 1 test -n 2 -- npx playwright merge-reports all
	assert_has "$output" "No report files found"
	assert_has "$output" "'playwright merge-reports all' runs no tests"
	[[ $output != *"no test runner that sbx knows"* ]]
	run_sbx 0 test -n 2 -- npx playwright test --list
	[[ $output != *"runs no tests"* ]]
	run_sbx 125 test -n 2 -- sh -c 'npx playwright --version; echo ok 1'
	assert_has "$output" "'playwright --version' runs no tests, and nothing else of the command is a test runner that sbx knows: 0 of 2 worlds were used"
	# One that serves tests to an editor is none of them.
	run_sbx 125 test -n 2 -- sh -c 'npx playwright test-server </dev/null & kill $!; wait'
	assert_has "$output" "no test runner that sbx knows"
}

@test "first run: a port of the host that is in use is not reused, and the run goes on" {
	web_server "node server.js $port" 'reuseExistingServer: true'
	on_host node -e "require('node:http').createServer((q, r) => r.end('the host')).listen($port, '127.0.0.1')"
	suite 0 -n 2
	assert_has "$output" "sbx: localhost:$port of the host is in use and was *not* reused: each world has a server of its own on that port"
	assert_has "$output" "2 passed"
}

@test "first run: a second port of a server that a world lacks is named, and no test runs there" {
	spec a 'expect(true).toBe(true)'
	web_server "node two.js"
	cat >two.js <<-END
		const http = require('node:http');
		if (!require('node:fs').existsSync('first')) {
			require('node:fs').writeFileSync('first', '');
			http.createServer().listen($((port + 5000)), '127.0.0.1', () => http.createServer((q, r) => r.end('shop')).listen($port, '127.0.0.1'));
		} else {
			http.createServer((q, r) => r.end('shop')).listen($port, '127.0.0.1');
		}
	END
	suite 125 -n 2
	assert_has "$output" "cannot start the service 'shop': 127.0.0.1:$((port + 5000)): nothing listens there"
	[[ $output != *"✓"* ]]
}

@test "first run: a server that a world cannot start is named with world, status and last words" {
	web_server "node once.js"
	echo "if (require('node:fs').existsSync('first')) { console.error('no second licence'); process.exit(4); } require('node:fs').writeFileSync('first', ''); process.argv[2] = '$port'; require('./server.js');" >once.js
	suite 125 -n 2
	assert_has "$output" "cannot start the service 'shop': it ended with status 4 before it was ready"
	assert_has "$output" "its last output: no second licence"
	[[ $output == *"sbx: world w"[01]": cannot start"* ]]
}

@test "first run: a server that dies reddens the tests that it serves, says so, and the next one has a new world" {
	spec a 'await request.get("/die")' 'expect(await (await request.get("/")).text()).toBe("shop")'
	web_server "node server.js $port"
	GITHUB_ACTIONS=true GITHUB_WORKSPACE=$tree suite 1 -n 2
	assert_has "$output" $'\n::error file=tests/a.spec.js,line=2,title=a 1::'
	assert_has "$output" "cannot keep the service alive 'shop': it ended with status 3; the tests there meet a dead server until one ends, then comes a new world"
	assert_has "$output" "server died: a 1 failed in w"
	assert_has "$output" "1 failed"
	assert_has "$output" "2 passed"
}

@test "first run: a command that puts its server behind and ends is no dead server" {
	spec a 'expect(await (await request.get("/")).text()).toBe("shop")' 'await new Promise(done => setTimeout(done, 1500))' 'throw new Error("red")' 'expect(await (await request.get("/")).text()).toBe("shop")'
	web_server "node server.js $port & sleep 1"
	suite 1 -n 2
	[[ $output != *"dead server"* ]]
	assert_has "$output" "4 passed"
}

@test "first run: a repository with the app beside its tests is copy-on-write in whole, outside of HOME, too" {
	git init -q
	mkdir app e2e
	mv server.js app/
	mv tests node_modules e2e/
	echo "require('node:fs').appendFileSync('rows', 'one'); require('./server.js');" >app/main.js
	cd e2e
	printf 'module.exports = { testDir: "tests", outputDir: "../results", reporter: [["list"], ["json", { outputFile: "../report.json" }]], use: { baseURL: "http://localhost:%s" }, webServer: { command: "node main.js %s", cwd: "../app", url: "http://localhost:%s", timeout: 5000 } };\n' "$port" "$port" "$port" >playwright.config.js
	suite 0 -n 2
	assert_has "$output" "2 passed"
	[[ -s ../report.json && ! -e ../app/rows ]]
	run_sbx 0 run --name beside --keep -- sh -c 'echo two >../app/more'
	run_sbx 0 diff beside
	assert_same "A $tree/app/more" "$output"
}

@test "first run: docker in webServer, a window, a browser's own sandbox, 'dotnet test' are refused before anything starts" {
	web_server 'docker compose up'
	suite 125 -n 2
	assert_has "$output" "webServer 'shop' calls docker ('docker compose up'), and no world reaches a container engine"
	assert_has "$output" "--reach NAME=127.0.0.1:PORT: one for all worlds, *not* isolated"
	web_server "touch started; node server.js $port"
	run_sbx 125 test -n 2 -- npx playwright test --headed
	assert_has "$output" "--headed opens windows, and a world has no screen"
	assert_has "$output" "add --gui to sbx test"
	run_sbx 125 test -n 2 -- npx playwright test --ui
	assert_has "$output" "--ui opens a window, and a world has no screen"
	config 'projects: [{ name: "safe", use: { launchOptions: { chromiumSandbox: true } } }]'
	suite 125 -n 2
	assert_has "$output" "project 'safe' has chromiumSandbox: true, and a world lets nobody make user namespaces"
	assert_has "$output" "add --allow-userns"
	suite 1 -n 2 --allow-userns # nobody serves
	mkdir -p bin/Debug/net10.0
	touch bin/Debug/net10.0/Shop.Tests.dll
	run_sbx 125 test -n 2 -- dotnet test
	assert_has "$output" "sbx test -n 2 --items 'dotnet bin/Debug/net10.0/Shop.Tests.dll -list classes/json' -- dotnet bin/Debug/net10.0/Shop.Tests.dll -class {}"
	assert_has "$output" "'dotnet test' runs the tests of an assembly in one process"
}

@test "first run: a runner that lost the hook, or ran its tests in one place, is not green" {
	web_server "node server.js $port"
	GITHUB_ACTIONS=true run_sbx 125 test -n 2 -- env NODE_OPTIONS= npx playwright test
	assert_has "$output" $'\n::error title=sbx::cannot spread the tests over worlds: no test runner'
	assert_has "$output" "no test runner that sbx knows was started with its hook: 0 of 2 worlds were used"
}

@test "first run: a runner of a version that nobody knows is refused by name, never green" {
	# Under the names of their files, what a later version might do.
	runner() {
		local path=later/node_modules/$1
		mkdir -p "$(dirname "$path")"
		echo "$2" >"$path"
	}
	runner playwright/cli.js "require('node:child_process').fork(__dirname + '/lib/novel/thing.js');"
	runner playwright/lib/novel/thing.js ''
	runner jest/bin/jest.js "process.argv.includes('--fork') ? require('node:child_process').fork('novel.js', [], { env: { ...process.env, JEST_WORKER_ID: '1' } }) : process.env.JEST_WORKER_ID = '1';"
	runner vitest/vitest.mjs "import { fork } from 'node:child_process'; if (process.argv[2] === 'run') fork(process.argv[1].replace('vitest.mjs', 'dist/novel.js'));"
	runner vitest/dist/novel.js ''
	: >novel.js
	local program
	for program in 'Playwright playwright/cli.js test' 'Jest jest/bin/jest.js --fork' 'Vitest vitest/vitest.mjs run'; do
		read -ra words <<<"$program"
		run_sbx 125 test -n 2 -- node "later/node_modules/${words[1]}" "${words[2]}"
		assert_has "$output" "this version of ${words[0]} starts its tests in a way that sbx does not know"
	done
	run_sbx 125 test -n 2 -- node later/node_modules/jest/bin/jest.js
	assert_has "$output" "Jest ran its tests in its own process, which is in none of the worlds"
	# Nothing that sbx would see, and a good end.
	run_sbx 125 test -n 2 -- node later/node_modules/vitest/vitest.mjs watch
	assert_has "$output" "vitest ended well, and nothing of it came to a world: 0 of 2 worlds were used"
	run_sbx 0 test -n 2 -- node later/node_modules/vitest/vitest.mjs list
	# Browser mode: by what it reads for its pages, or that it serves them.
	runner @vitest/browser/dist/client/.vite/manifest.json '{}'
	runner vitest/vitest.mjs "import { readFile } from 'node:fs/promises'; import http from 'node:http'; process.argv.includes('served') ? http.createServer().listen(0, function () { this.close(); }) : await readFile(import.meta.dirname + '/../@vitest/browser/dist/client/.vite/manifest.json');"
	run_sbx 125 test -n 2 -- node later/node_modules/vitest/vitest.mjs run --passWithNoTests
	assert_has "$output" "Vitest runs the tests in a browser of its own (browser mode), which is in none of the worlds"
	run_sbx 0 test -n 1 -- node later/node_modules/vitest/vitest.mjs run --passWithNoTests
	run_sbx 125 test -n 2 -- node later/node_modules/vitest/vitest.mjs run --passWithNoTests served
	assert_has "$output" "Vitest served something (to a browser, it may be), and none of its tests came to a world"
	: >later/node_modules/playwright/cli.js
	run_sbx 125 test -n 2 -- node later/node_modules/playwright/cli.js test
	assert_has "$output" "playwright ended well, and nothing of it came to a world"
}

@test "first run: connections that the host would take, and those outward, are explained once" {
	spec a "await request.get('http://127.0.0.1:$port/')" "await request.get('http://127.0.0.1:$port/')" 'await request.get("http://fonts.example/")'
	rm tests/b.spec.js
	sed -i 's/, use: .*/,/' playwright.config.js 2>/dev/null || printf 'module.exports = { testDir: "tests", reporter: "list" };\n' >playwright.config.js
	on_host node server.js "$port"
	suite 1 -n 2
	assert_same 1 "$(grep -c "a connection to port $port was refused in w0, and on the host that port is open" <<<"$output")"
	assert_has "$output" "--reach server=127.0.0.1:$port lets the worlds reach it: one server for all of them, *not* isolated"
	assert_has "$output" "sbx: a connection outward failed in w0 ("
	assert_has "$output" "--net outbound lets it out"
}

@test "first run: more workers than worlds, and one big file, are said" {
	printf 'module.exports = { testDir: "tests", reporter: "list" };\n' >playwright.config.js
	local slow='await new Promise(done => setTimeout(done, 300))'
	spec a "$slow" "$slow" "$slow" "$slow" "$slow" "$slow" "$slow" "$slow"
	spec b ''
	run_sbx 0 test -n 2 -- npx playwright test -j 6
	assert_has "$output" "sbx: 6 workers wanted, 2 worlds: a worker waits while its world has another"
	assert_has "$output" "%: one file holds 8 of 9 tests (fullyParallel: false): a.spec.js"
}

@test "first run: a CI job's files are those of the job in the runner's world, and nobody's in the others" {
	web_server "node server.js $port"
	sed -i '$ s/^/globalSetup: ".\/global.js", /' playwright.config.js
	cat >global.js <<-'END'
		module.exports = () => {
			for (const name of ['GITHUB_OUTPUT', 'GITHUB_ENV', 'GITHUB_PATH', 'GITHUB_STEP_SUMMARY'])
				require('node:fs').appendFileSync(process.env[name], `${name} from the runner\n`);
		};
	END
	spec a 'try { fs.appendFileSync(process.env.GITHUB_OUTPUT, "from a world\n") } catch {}'
	local name
	mkdir "$HOME/_commands"
	for name in OUTPUT ENV PATH STEP_SUMMARY; do
		: >"$HOME/_commands/$name"
		export "GITHUB_$name=$HOME/_commands/$name"
	done
	GITHUB_TOKEN=secret suite 0 -n 2
	for name in OUTPUT ENV PATH STEP_SUMMARY; do
		assert_same "GITHUB_$name from the runner" "$(cat "$HOME/_commands/$name")"
	done
	assert_same 1 "$(grep -c 'not passed on: GITHUB_TOKEN (-e NAME lets one through)' <<<"$output")"
	rm -r "$HOME/_commands"
}

@test "first run: the runner's own servers rest while the worlds have theirs, and end as always" {
	# It counts in a directory that all worlds share.
	web_server "node ticks.js" "gracefulShutdown: { signal: 'SIGTERM', timeout: 5000 }"
	cat >ticks.js <<-END
		const tick = what => { try { require('node:fs').appendFileSync('test-results/ticks', what + '\n'); } catch {} };
		setInterval(() => tick(process.env.SBX_WORKER ?? 'R'), 20);
		process.on('SIGTERM', () => { tick('terminated'); process.exit(0); });
		process.argv[2] = '$port';
		require('./server.js');
	END
	spec a 'const count = () => fs.readFileSync("test-results/ticks", "utf8").split("\n").filter(line => line === "R").length; const before = count(); await new Promise(done => setTimeout(done, 1000)); expect(count()).toBe(before);'
	spec b ''
	suite 0 -n 2
	assert_same 1 "$(grep -c terminated test-results/ticks)"
}

@test "first run: the services that sbx.yaml has in the runner's world end once the worlds have theirs, but for a teardown" {
	cat >ticks.js <<-END
		const tick = what => { try { require('node:fs').appendFileSync('test-results/ticks', what + '\n'); } catch {} };
		const who = process.env.SBX_WORKER ?? 'R';
		process.on('SIGTERM', () => { tick(who + ' terminated'); process.exit(0); });
		process.argv[2] = '$port';
		require('./server.js');
	END
	printf '%s\n' 'services:' '  shop:' '    command: [node, ticks.js]' "    ready: { port: $port }" >sbx.yaml
	config 'outputDir: "test-results"'
	spec a 'await expect.poll(() => fs.existsSync("test-results/ticks") ? fs.readFileSync("test-results/ticks", "utf8") : "").toContain("R terminated"); expect(await (await request.get("/")).text()).toBe("shop");'
	suite 0 -n 2
	assert_has "$output" "2 passed"
	# The items of a list have worlds, too.
	rm -r test-results
	run_sbx 0 test -n 2 --artifacts test-results/ --items 'mkdir -p test-results; echo 1' -- bash -c 'until grep "R terminated" test-results/ticks; do sleep 0.01; done # {}'
	# What asks R at the end finds it.
	spec a ''
	config 'outputDir: "test-results", globalTeardown: "./teardown.js"'
	echo "module.exports = async () => { console.log('teardown: ' + await (await fetch('http://localhost:$port')).text()); };" >teardown.js
	suite 0 -n 2
	assert_has "$output" "teardown: shop"
}

# unit_suite: one for Jest and Vitest, whose set-up makes a file and starts the server, unless one is there.
unit_suite() {
	rm -r tests
	cat >global.js <<-END
		module.exports = async () => {
			const ask = () => fetch('http://localhost:$port').catch(() => null);
			require('node:fs').writeFileSync('prepared', '');
			if (!await ask())
				require('node:child_process').spawn('node', ['server.js', '$port'], { stdio: 'ignore' }).unref();
			while (!await ask())
				await new Promise(done => setTimeout(done, 20));
		};
	END
	for name in a b; do
		echo "test('$name', async () => { expect(require('node:fs').existsSync('prepared')).toBe(true); expect(await (await fetch('http://localhost:$port')).text()).toBe('shop'); });" >"$name.spec.js"
	done
	echo '{ "jest": { "globalSetup": "./global.js", "testMatch": ["**/*.spec.js"] } }' >package.json
	echo 'export default { test: { globals: true, globalSetup: "./global.js", include: ["*.spec.js"] } };' >vitest.config.mjs
	export NO_COLOR=1
}

@test "first run: what the set-up of Jest or Vitest starts ends the run before the first test, with what sbx.yaml needs; what it makes is in each world" {
	unit_suite
	local runner
	for runner in "npx jest" "npx vitest run --pool=forks"; do
		rm -f sbx.yaml
		# shellcheck disable=SC2086 # words
		run_sbx 125 test -n 2 -- $runner
		assert_has "$output" "'node server.js $port' listens on port $port beside the runner, and the config does not start it: no world would have it"
		assert_same 1 "$(grep -c 'cannot spread the tests over worlds' <<<"$output")"
		[[ $output != *passed* ]]
		sed -n '/^services:/,/^$/p' <<<"$output" >sbx.yaml
		# shellcheck disable=SC2086
		run_sbx 0 test -n 2 -- $runner
		grep -Eq 'Tests:? +2 passed' <<<"$output"
	done
}

@test "first run: with Jest, too, the services in the runner's world end once the worlds have theirs, but for a teardown" {
	unit_suite
	cat >ticks.js <<-END
		const tick = what => { try { require('node:fs').appendFileSync('ticks/ticks', what + '\n'); } catch {} };
		const who = process.env.SBX_WORKER ?? 'R';
		process.on('SIGTERM', () => { tick(who + ' terminated'); process.exit(0); });
		process.argv[2] = '$port';
		require('./server.js');
	END
	printf '%s\n' 'services:' '  shop:' '    command: [node, ticks.js]' "    ready: { port: $port }" 'artifacts: [ticks/]' >sbx.yaml
	cat >a.spec.js <<-'END'
		const fs = require('node:fs');
		test('a', async () => {
			while (!fs.existsSync('ticks/ticks') || !fs.readFileSync('ticks/ticks', 'utf8').includes('R terminated'))
				await new Promise(done => setTimeout(done, 20));
		}, 60000);
	END
	mkdir ticks
	run_sbx 0 test -n 2 -- npx jest
	echo "module.exports = async () => { console.log('teardown: ' + await (await fetch('http://localhost:$port')).text()); };" >teardown.js
	echo '{ "jest": { "globalSetup": "./global.js", "globalTeardown": "./teardown.js", "testMatch": ["**/*.spec.js"] } }' >package.json
	rm a.spec.js
	run_sbx 0 test -n 2 -- npx jest
	assert_has "$output" "teardown: shop"
}

@test "first run: what sbx.yaml needs, put there, makes the suite run: in the runner's world and in each other" {
	config 'globalSetup: "./global.js"'
	echo "module.exports = async () => { if (await (await fetch('http://localhost:$port')).text() !== 'shop') throw new Error('no shop'); };" >global.js
	cat >sbx.yaml <<-END
		services:
		  shop:
		    command: ["node", "server.js", "$port"]
		    environment: ["WHO={worker}/{workers}"]
		    ready: { port: $port }
	END
	suite 0 -n 2
	assert_has "$output" "2 passed"
	# Instead of webServer's, where both would serve that port.
	web_server "exit 1" "reuseExistingServer: true"
	suite 0 -n 2
	assert_has "$output" "2 passed"
	# One that does not come up there ends the run before the runner.
	printf '%s\n' 'services:' '  shop:' '    command: echo no disk; exit 3' "    ready: { port: $port }" >sbx.yaml
	suite 125 -n 2
	assert_has "$output" "cannot start the service 'shop': it ended with status 3 before it was ready"
	assert_has "$output" "its last output: no disk"
	[[ $output != *Running* ]]
}

@test "first run: sbx.yaml's test command and number of workers, without a word on the line; a flag beats the file" {
	web_server "node server.js $port"
	printf '%s\n' 'test: { command: npx playwright test a b, workers: 2 }' 'workers: 3' >sbx.yaml
	run_sbx 0 test
	assert_has "$output" "2 passed"
	assert_has "$output" "using 2 workers"
	mkdir below && cd below
	# The nearest one above; a command of the line begins where it was typed.
	run_sbx 0 test
	assert_has "$output" "2 passed"
	run_sbx 0 test -n 1 -- pwd
	assert_same "$tree/below" "$output"
	run_sbx 0 test -C .. -n 1 -- npx playwright test a.spec
	assert_has "$output" "1 passed"
	cd ..
	mv sbx.yaml ci.yaml
	run_sbx 125 test
	assert_has "$output" "cannot start a test runner: the line names none, and there is no sbx.yaml here"
	run_sbx 0 test -f ci.yaml
	assert_has "$output" "2 passed"
	# In a shell, where there is something for it to do.
	printf '%s\n' 'test: { command: echo "for $SBX_WORKERS" && npx playwright test }' 'workers: 2' >sbx.yaml
	run_sbx 0 test
	assert_has "$output" "for 2"
	printf '%s\n' 'workers: 2' >sbx.yaml
	run_sbx 125 test
	assert_has "$output" "write sbx test -- npx playwright test, or in sbx.yaml: test: { command: npx playwright test }"
}

@test "first run: -n auto says what binds it, -n 50% what it is of, and one that is too much that it may be" {
	web_server "node server.js $port"
	suite 0 -n auto
	assert_has "$output" " workers, bound by "
	suite 0 -n 50%
	assert_has "$output" ": 50% of $(nproc) processors"
	run_sbx 125 test -n 0%
	run_sbx 125 test -n some
	run_sbx 0 test -n 256 -- npx playwright test --list
	assert_has "$output" "256 worlds may be more than this machine bears: "
}

@test "first run: -p publishes a port of the runner's world" {
	web_server "node server.js $port"
	mkdir out
	spec a 'fs.writeFileSync("/mnt/here", ""); await expect.poll(() => fs.existsSync("/mnt/done"), { timeout: 20000 }).toBe(true);'
	"$SBX" test -n 1 -v "$PWD/out:/mnt:rw" -p "$((port + 1000)):$port" -- npx playwright test a.spec >log 2>&1 3>&- &
	runs+=("$!")
	wait_for test -e out/here
	assert_same shop "$(curl -s "http://127.0.0.1:$((port + 1000))/")"
	touch out/done
	wait "${runs[0]}"
}

@test "first run: --ui in a browser outside: its servers are the config's, and its tests run in the worlds" {
	# Of what Playwright waits for, this one tells no port: by its words alone.
	config "webServer: { name: 'shop', command: 'node server.js $port', wait: { stdout: /up/ } }"
	echo 'console.log("up");' >>server.js
	spec a 'expect(await (await request.get("/")).text()).toBe("shop"); fs.mkdirSync("test-results", { recursive: true }); fs.writeFileSync("test-results/world", process.env.SBX_WORKER);'
	rm tests/b.spec.js
	# What the page does, without the page.
	cat >window.js <<-'END'
		const { ws: Socket } = require('playwright-core/lib/utilsBundle');
		const address = `http://127.0.0.1:${process.argv[2]}/`;
		async function go() {
			let page;
			while (!(page = await fetch(address).catch(() => null)))
				await new Promise(done => setTimeout(done, 50));
			const socket = new Socket(page.url.replace('http', 'ws').replace(/trace\/.*/, 'ws'));
			await new Promise(done => socket.once('open', done));
			const say = (id, method, params) => new Promise(done => {
				const hear = text => JSON.parse(text).id === id && done(JSON.parse(text));
				socket.on('message', hear);
				socket.send(JSON.stringify({ id, method, params }));
			});
			for (const [id, method, params] of [[1, 'initialize', { closeOnDisconnect: true }], [2, 'runGlobalSetup', {}], [3, 'runTests', { locations: [] }]])
				console.log(`${method}: ${JSON.stringify(await say(id, method, params))}`);
			socket.close();
		}
		go();
	END
	node window.js $((port + 1000)) >window 2>&1 3>&- &
	runs+=("$!")
	run_sbx 0 test -n 2 -p "$((port + 1000)):$((port + 1000))" -- npx playwright test "--ui-port=$((port + 1000))" --ui-host=127.0.0.1
	cat window
	assert_has "$(cat window)" 'runTests: {"id":3,"result":{"status":"passed"}}'
	assert_same 0 "$(cat test-results/world)"
}

@test "first run: the ports of sbx.yaml are published where they are in the runner's world for good, and one that is taken is said" {
	local mail=$((port + 1000)) taken=$((port + 2000))
	printf '%s\n' 'services:' '  mail:' '    shared: true' "    command: [node, server.js, '$mail']" "    ports: ['$mail:$mail', '$taken:$mail']" \
		'  shop:' "    command: [node, server.js, '$port']" "    ports: ['$port:$port']" 'volumes: ["./out:/mnt:rw"]' >sbx.yaml
	config ''
	mkdir out
	spec a 'fs.writeFileSync("/mnt/here", ""); await expect.poll(() => fs.existsSync("/mnt/done"), { timeout: 20000 }).toBe(true);'
	port=$taken on_host node server.js "$taken"
	# published N: what is seen on the host while the suite runs so wide.
	published() {
		rm -f out/*
		"$SBX" test -n "$1" -- npx playwright test a.spec >log 2>&1 3>&- &
		local run=$!
		runs+=("$run")
		wait_for test -e out/here || { cat log; return 1; }
		assert_same shop "$(curl -s "http://127.0.0.1:$mail/")"
		shown=$(curl -s "http://127.0.0.1:$port/" || true)
		touch out/done
		wait "$run" || { cat log; return 1; }
		assert_has "$(cat log)" "mail: cannot publish the port '127.0.0.1:$taken:$mail': another program on the host listens there; the run goes on without"
	}
	published 2
	assert_same "" "$shown"
	published 1
	assert_same shop "$shown"
}

@test "first run: npx of what is not installed is said to wait for the registry" {
	mkdir bare
	cd bare
	mv ../node_modules ../hidden
	printf '#!/bin/sh\nexit 3\n' >npx
	chmod +x npx
	PATH=$PWD:$PATH run_sbx 3 test -n 2 -- npx playwright test
	assert_has "$output" "'playwright' is in no node_modules of $PWD or above: npx asks the registry for it"
	mv ../hidden ../node_modules
	PATH=$PWD:$PATH run_sbx 3 test -n 2 -- npx playwright test
	[[ $output != *registry* ]]
}

@test "first run: a service that takes long to start is named, with what it costs in each world" {
	web_server 'sh -c \"[ -z \\"\$SBX_WORKER\\" ] || sleep 5.1; exec node server.js '"$port"'\"' "timeout: 60000" && sed -i 's/timeout: 5000, //' playwright.config.js
	suite 0 -n 2
	[[ $output =~ "'shop' takes 5."[0-9]" s to start and "[1-9][0-9]*" MiB, in each world anew" ]]
	[[ $(grep -c "in each world anew" <<<"$output") -eq 1 ]]
	web_server "node server.js $port"
	suite 0 -n 2
	[[ $output != *"to start and"* ]]
	suite 0 -n 2 --verbose
	[[ $output =~ "'shop' takes "[0-9.]+" s to start and "[1-9][0-9]*" MiB in each world" ]]
}

@test "first run: a shared service runs once, in the runner's world, at the same port of each world" {
	config ''
	cat >visits.js <<-'END'
		let visits = 0;
		const server = host => require('node:http').createServer((q, r) => r.end(process.env.SBX_WORKER + ' ' + ++visits)).listen(Number(process.argv[2]), host);
		server('127.0.0.1');
		server('::1').on('error', () => {});
	END
	printf '%s\n' 'services:' '  visits:' '    shared: true' "    command: [node, visits.js, '$port']" "    ready: { port: $port }" >sbx.yaml
	spec a 'const seen = []; for (const host of ["127.0.0.1", "localhost", "127.0.0.1"]) seen.push(await (await request.get(`http://${host}:'"$port"'/`)).text()); console.log(seen.join()); fs.mkdirSync("test-results", { recursive: true }); fs.writeFileSync("test-results/a", ""); await expect.poll(() => fs.existsSync("test-results/b")).toBe(true);'
	spec b 'await expect.poll(() => fs.existsSync("test-results/a")).toBe(true); console.log("b " + await (await request.get("/")).text()); fs.writeFileSync("test-results/b", "");'
	suite 0 -n 2
	assert_has "$output" "undefined 1,undefined 2,undefined 3"
	assert_has "$output" "b undefined 4"
	assert_has "$output" "shared: visits runs once for all worlds, which find it at localhost:$port: what one changes there the others see"
	# Its port is taken once more in no world: webServer's server of that port is the same.
	web_server "exit 1" "reuseExistingServer: true"
	suite 0 -n 2
	assert_has "$output" "2 passed"
	# No port to find it at.
	printf '%s\n' 'services:' '  visits:' '    shared: true' "    command: [node, visits.js, '$port']" >sbx.yaml
	suite 125 -n 2
	assert_has "$output" "sbx.yaml:2:3: cannot share the service 'visits': it names no port at which the workers would reach it"
}

@test "first run: what a server says of itself, each world's tests hear from their own" {
	printf 'module.exports = { testDir: "tests", reporter: "list", webServer: { name: "api", command: "node any.js", wait: { stdout: /port (?<API_PORT>\\d+)/ } } };\n' >playwright.config.js
	cat >any.js <<-'END'
		const server = require('node:http').createServer((q, r) => r.end('shop')).listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
	END
	local ask='expect(await (await request.get("http://localhost:" + process.env.API_PORT)).text()).toBe("shop")'
	spec a "$ask"
	spec b "$ask"
	suite 0 -n 2
	assert_has "$output" "2 passed"
}

@test "first run: Ctrl-Z stops the runner and sbx, and both go on when the shell says so" {
	local name="runner-$port" runner job
	"$SBX" test -n 2 -- bash -c "exec -a '$name' sleep 100" >out 2>&1 3>&- &
	job=$!
	runs+=("$job")
	wait_for pgrep -f "^$name" >/dev/null
	runner=$(pgrep -f "^$name")
	kill -TSTP "$job"
	wait_for grep -q '^State:.T' "/proc/$job/status"
	wait_for grep -q '^State:.T' "/proc/$runner/status"
	kill -CONT "$job"
	wait_for grep -q '^State:.S' "/proc/$runner/status"
	wait_for grep -q '^State:.S' "/proc/$job/status"
}

@test "why: what a test leans on is found, or that it is real" {
	printf 'module.exports = { testDir: "tests", reporter: "list", retries: 1 };\n' >playwright.config.js
	spec a '' '' 'fs.writeFileSync("row", "")' '' 'fs.writeFileSync("dirt", "")'
	spec b '' 'expect(fs.existsSync("row")).toBe(true)' 'expect(fs.existsSync("dirt")).toBe(false)' 'expect(1).toBe(2)' ''
	why() {
		run_sbx 0 test --why "$1" -- npx playwright test
		assert_same "$2" "${lines[-1]}"
	}
	why 'b 2' 'needs rows made by tests/a.spec.js:4: a 3'
	why 'tests/b.spec.js:4:1 › b 3' 'meets rows left by tests/a.spec.js:6: a 5'
	why 'b 4' 'real: it fails alone, and after those before it'
	why 'b 5' 'flaky: it passes alone, and after those before it'
	run_sbx 125 test --why 'b 6' -- npx playwright test
	assert_has "$output" "cannot find out about the test 'b 6': it did not run"
}
