#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034 # used by the helpers
# Worlds that nobody has used: sbx test --fresh, --retry-fresh, sbx lease --fresh. Without a browser: what the tests ask
# is a server that counts visits in a file of the tree and in its memory.
bats_require_minimum_version 1.5.0
load pools

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	PATH=$(dirname "$SBX"):$PATH
	runs=()
	port=5555
	cd "$tree" || return 1
	cat >server.js <<-'EOS'
		const fs = require('node:fs');
		let inMemory = 0;
		require('node:http').createServer((request, response) => {
			if (request.url === '/visit') {
				inMemory++;
				fs.appendFileSync('visits', 'x');
			}
			response.end(`${inMemory} ${fs.existsSync('visits') ? fs.statSync('visits').size : 0}`);
		}).listen(Number(process.argv[2]), '127.0.0.1');
	EOS
}

# suite_of BODY…: a Playwright suite of one spec file for each body, with visit() for the tests.
suite_of() {
	local body number=0
	ln -s "$RUNNERS/node_modules" node_modules
	mkdir tests
	cat >playwright.config.js <<-EOS
		module.exports = { testDir: 'tests', workers: 1, reporter: 'list', use: { baseURL: 'http://localhost:$port' },
			webServer: { name: 'shop', command: 'node server.js $port', url: 'http://localhost:$port' } };
	EOS
	cat >visit.js <<-'EOS'
		exports.visit = async request => (await (await request.get('/visit')).text());
	EOS
	for body in "$@"; do
		number=$((number + 1))
		printf 'const { test, expect } = require("@playwright/test"); const { visit } = require("../visit.js");\n%s\n' "$body" \
			>"tests/$number.spec.js"
	done
}

two_visits='
test("first", async ({ request }) => expect(await visit(request)).toBe("1 1"));
test("second", async ({ request }) => expect(await visit(request)).toBe("2 2"));'
red_and_green='
test("red", async ({ request }) => { await visit(request); expect(1).toBe(2); });
test("after it", async ({ request }) => expect(await visit(request)).toBe("1 1"));
test("and on", async ({ request }) => expect(await visit(request)).toBe("2 2"));'

@test "fresh: by file each group of tests begins in a world that nobody has used, one wide and two" {
	suite_of "$two_visits" "$two_visits" "$two_visits" "$two_visits"
	run_sbx 1 test -n 1 -- npx playwright test
	run_sbx 0 test -n 1 --fresh file -- npx playwright test
	assert_has "$output" "8 passed"
	run_sbx 0 test -n 2 --fresh file -- npx playwright test
	assert_has "$output" "8 passed"
	run_sbx 0 ps -q
	assert_same "" "$output"
}

@test "fresh: after a red test the next one begins in a world that nobody has used" {
	suite_of "$red_and_green"
	run_sbx 1 test -n 2 --fresh fail -- npx playwright test
	assert_has "$output" "1 failed"
	assert_has "$output" "2 passed"
	run_sbx 1 test -n 2 -- npx playwright test
	assert_has "$output" "3 failed"
}

@test "fresh: by worker each test process begins in a world that nobody has used, and none within a describe.serial" {
	suite_of "$red_and_green" '
test.describe.serial("in order", () => {
	test("one", async ({ request }) => { await visit(request); });
	test("two", async ({ request }, info) => { expect(await visit(request)).toBe("2 2"); expect(info.retry).toBe(1); });
	test("three", async ({ request }) => { expect(await visit(request)).toBe("3 3"); });
});'
	run_sbx 1 test -n 2 --fresh worker -- npx playwright test --retries 1
	assert_has "$output" "1 failed"
	assert_has "$output" "1 flaky"
}

@test "lease --fresh: a spare that nobody has used, its server answering; it ends afterwards, and the next is another one" {
	shop
	up_detached -n 1 --spares 1
	run_sbx 0 ps -q
	assert_same "$pool.s0"$'\n'"$pool.w0" "$(sort <<<"$output")"
	for _ in 1 2 3; do
		run_sbx 0 lease --fresh --wait-timeout 20s -- curl -s "http://localhost:$port/visit"
		assert_same "1 1" "$output"
	done
	# Not of those that are leased, nor of a worker.
	run_sbx 0 lease -- curl -s "http://localhost:$port/visit"
	run_sbx 0 lease -- curl -s "http://localhost:$port/visit"
	assert_same "2 2" "$output"
	run_sbx 0 lease --fresh -- sh -c 'echo $SBX_WORKER $SBX_WORKERS'
	[[ $output == [12]" 1" ]]
	run_sbx 0 down
	assert_nothing_left
}

shop() {
	echo "services: { shop: { command: 'node server.js $port', ready: { port: $port } } }" >sbx.yaml
}

is_ended() {
	! kill -0 "$1" 2>/dev/null
}

# hold FILE: a fresh lease in the background that has begun, and ends when FILE.go is written to; what it visited is in
# FILE. $holder is its pid.
hold() {
	mkfifo "$1.go"
	"$SBX" lease --fresh --wait-timeout 20s -- sh -c "curl -s http://localhost:$port/visit; echo; read -r _" <>"$1.go" >"$1" 3>&- &
	holder=$!
	runs+=("$holder")
	wait_for grep -q . "$1"
}

spares_ready() {
	[[ $("$SBX" ps -q --filter status=running | grep -c '\.s') -eq $1 ]]
}

@test "lease --fresh: while one is in use another stands ready; more wait, and get one when it ends" {
	shop
	up_detached -n 1 --spares 1
	hold first
	assert_same "1 1" "$(cat first)"
	wait_for spares_ready 2
	hold second
	assert_same "1 1" "$(cat second)"
	run_sbx 125 lease --fresh --wait-timeout 100ms -- true
	assert_has "$output" "none was free in time"
	assert_has "$output" "sbx up --spares N"
	"$SBX" lease --fresh -- curl -s "http://localhost:$port/visit" >third 3>&- &
	waiting=$!
	echo >first.go
	wait "$waiting"
	assert_same "1 1" "$(cat third)"
	echo >second.go
	wait "$holder"
	# At rest as many as were asked for, once more.
	wait_for spares_ready 1
}

@test "lease --fresh: spares whose layers lie on the disk, of which none is left there" {
	shop
	SBX_UPPER=disk up_detached -n 1 --spares 1
	for _ in 1 2 3; do
		wait_for spares_ready 1
		run_sbx 0 lease --fresh --wait-timeout 20s -- sh -c "curl -s http://localhost:$port/visit"
		assert_same "1 1" "$output"
	done
	wait_for spares_ready 1
	# One for the worker, one for the spare.
	assert_same 2 "$(find "$XDG_STATE_HOME/sbx/uppers" -mindepth 1 -maxdepth 1 | wc -l)"
	"$SBX" down
	assert_nothing_left
}

@test "lease --fresh: SIGKILL of its holder ends command and world, and the next one gets another" {
	shop
	up_detached -n 1 --spares 1
	hold first
	world=$(pid_of s0)
	kill -KILL "$holder"
	wait_for is_ended "$world"
	run_sbx 0 lease --fresh --wait-timeout 20s -- curl -s "http://localhost:$port/visit"
	assert_same "1 1" "$output"
}

@test "lease --fresh: a spare that died, or that a command was in, is not handed out" {
	shop
	up_detached -n 1 --spares 1
	kill -KILL "$(pid_of s0)"
	run_sbx 0 lease --fresh --wait-timeout 20s -- curl -s "http://localhost:$port/visit"
	assert_same "1 1" "$output"
	wait_for spares_ready 1
	# Its server may be on its way still.
	wait_for "$SBX" exec "$("$SBX" ps -q | grep '\.s')" curl -s "http://localhost:$port/visit"
	run_sbx 0 lease --fresh --wait-timeout 20s -- curl -s "http://localhost:$port/visit"
	assert_same "1 1" "$output"
}

@test "lease --fresh: without spares a worker, made anew first where it has been used" {
	shop
	up_detached -n 1
	run_sbx 0 lease --fresh -- curl -s "http://localhost:$port/visit"
	assert_same "1 1" "$output"
	run_sbx 0 lease --wait-timeout 20s -- curl -s "http://localhost:$port/visit"
	assert_same "1 1" "$output"
	run_sbx 0 lease --fresh --wait-timeout 20s -- curl -s "http://localhost:$port/visit"
	assert_same "1 1" "$output"
	run_sbx 125 lease --fresh --slot 0 -- true
	assert_has "$output" "cannot use '--slot': a fresh world is any that nobody has used"
}

@test "lease --fresh: of a pool in the foreground, which makes the next one" {
	shop
	up_foreground -n 1 --spares 1
	for _ in 1 2 3; do
		run_sbx 0 lease --fresh --wait-timeout 20s -- curl -s "http://localhost:$port/visit"
		assert_same "1 1" "$output"
	done
	hold first
	wait_for spares_ready 2
	echo >first.go
	kill -TERM "$up"
	wait "$up" || true
	assert_nothing_left
}

@test "lease --fresh: where no spare can be made it says why, and does not wait for ever" {
	shop
	up_detached -n 1 --spares 1
	kill -KILL "$(pid_of s0)"
	echo 'console.error("no second licence"); process.exit(4)' >server.js
	run_sbx 125 lease --fresh --wait-timeout 20s -- true
	assert_has "$output" "no second licence"
	run_sbx 0 lease -- curl -s "http://localhost:$port/"
}

# A suite with one test that meets what an earlier one left, and others that need what the first has made.
leaky() {
	suite_of '
test("makes a row", async ({ request }) => { await visit(request); });
test("leaves a file", async () => { require("node:fs").writeFileSync("left-behind", ""); });
test("needs a clean tree", async () => { expect(require("node:fs").existsSync("left-behind")).toBe(false); });
test("goes on with the row", async ({ request }) => { expect(await visit(request)).toBe("2 2"); });'
}

@test "retry-fresh: a test that passes only when fresh is named with the earlier one and what it left, and leaves the run red" {
	leaky
	for workers in 1 2; do
		run_sbx 1 test -n "$workers" --retry-fresh -- npx playwright test
		assert_has "$output" "1 flaky"
		assert_has "$output" "3 passed"
		assert_has "$output" "passes only when fresh: tests/1.spec.js:5 needs a clean tree
  suspected: tests/1.spec.js:4 leaves a file, which left left-behind
  or: tests/1.spec.js:3 makes a row, which left visits"
		assert_has "$output" "1 test passes only when fresh, which leaves the run red"
	done
	run grep -h '"type":"fresh"' "$XDG_STATE_HOME"/sbx/runs/*/events.jsonl
	output=${lines[0]}
	assert_same "passes only when fresh|leaves a file|['left-behind']" \
		"$(json "d['verdict'] + '|' + d['suspects'][0]['title'] + '|' + str(d['suspects'][0]['left'])")"
	run_sbx 0 test -n 2 --retry-fresh=green -- npx playwright test
	assert_has "$output" "1 test passes only when fresh, which --retry-fresh=green lets pass"
}

@test "retry-fresh: -x stops at what is red in an untouched world too, and not at what is green there" {
	leaky
	run_sbx 1 test -n 1 --retry-fresh -- npx playwright test -x
	assert_has "$output" "1 flaky"
	assert_has "$output" "3 passed"
	assert_has "$output" "passes only when fresh: tests/1.spec.js:5 needs a clean tree"
	sed -i 's/"needs a clean tree", async () => {/& expect(1).toBe(2);/' tests/1.spec.js
	run_sbx 1 test -n 1 --retry-fresh -- npx playwright test -x
	assert_has "$output" "1 failed"
	assert_has "$output" "2 passed"
	assert_has "$output" "1 did not run"
	[[ $output != *"passes only when fresh"* ]]
}

@test "retry-fresh: after the suite's own retries, which meet the old world; a test that is red there too stays red" {
	leaky
	echo 'require("@playwright/test").test("real", () => { require("@playwright/test").expect(1).toBe(2); });' >tests/2.spec.js
	run_sbx 1 test -n 2 --retry-fresh -- npx playwright test --retries 1
	assert_has "$output" "retry #2"
	assert_has "$output" "1 failed"
	assert_has "$output" "1 flaky"
	assert_has "$output" "passes only when fresh: tests/1.spec.js:5 needs a clean tree"
	[[ $output != *"fresh: tests/2"* ]]
	run_sbx 125 test -n 2 --retry-fresh -- npx jest
	assert_has "$output" "Jest cannot be told to try a test once more"
}

@test "retry-fresh: what only the memory of a server holds is said to have left no file" {
	suite_of '
test("makes the server remember", async ({ request }) => { await request.get("/remember"); });
test("needs a new server", async ({ request }) => { expect((await (await request.get("/")).text())).toBe("0 0"); });'
	sed -i "s|response.end|if (request.url === '/remember') inMemory++; response.end|" server.js
	run_sbx 1 test -n 2 --retry-fresh -- npx playwright test
	assert_has "$output" "passes only when fresh: tests/1.spec.js:4 needs a new server
  no earlier test of its world left a file there
  the memory of a server? There were before it: tests/1.spec.js:3 makes the server remember; sbx test --why tells more"
}

# A shop whose bug shows only in one order: it takes a payment for an order that is not stored yet. What stores it is an
# event, and in one repetition of many the payment comes before that.
racy() {
	suite_of '
test("pays", async ({ request }, info) => {
	const ordered = request.get("/order");
	const steps = ["/stored", "/pay"];
	if (info.repeatEachIndex === 3)
		steps.reverse();
	await request.get("/ordering");
	for (const step of steps)
		expect((await request.get(step)).status()).toBe(200);
	await ordered;
});'
	cat >server.js <<-'EOS'
		const fs = require('node:fs');
		const http = require('node:http');
		let arrive, store;
		const arrived = new Promise(done => { arrive = done; });
		const stored = new Promise(done => { store = done; });
		const answers = {
			'/order': async () => { fs.appendFileSync('orders', 'begun\n'); arrive(); await stored; fs.appendFileSync('orders', 'stored\n'); },
			'/ordering': () => arrived,
			'/stored': async () => { store(); await stored; },
			'/pay': async () => { if (!fs.readFileSync('orders', 'utf8').endsWith('stored\n')) throw new Error('paid before it was stored'); },
		};
		http.createServer((request, response) => Promise.resolve(answers[request.url]?.())
			.then(() => response.end(), error => { response.statusCode = 500; response.end(error.message); }))
			.listen(Number(process.argv[2]), '127.0.0.1');
	EOS
}

@test "fresh: flake hunting: the same test again and again, each in an untouched world, until the first that fails, which is kept" {
	racy
	run_sbx 1 test -n 1 --fresh file -- npx playwright test --repeat-each 6 -x
	assert_has "$output" "3 passed"
	assert_has "$output" "1 failed"
	assert_has "$output" "2 did not run"
	assert_has "$output" "kept: tests/1.spec.js:3 pays"
	kept=$(sed -n 's/^  sbx shell //p' <<<"$output")
	run_sbx 0 cp "$kept:$tree/orders" orders
	assert_same begun "$(cat orders)"
	run_sbx 0 bundle "$kept" "$XDG_STATE_HOME/race.sbx"
	run_sbx 0 test -n 2 --fresh file -- npx playwright test --repeat-each 3 -x
	assert_has "$output" "3 passed"
	# The recipe of README.md.
	mkdir "$XDG_STATE_HOME/bundles"
	run_sbx 1 test -n 1 --fresh worker --bundle=failed --bundle-dir "$XDG_STATE_HOME/bundles" -- npx playwright test --repeat-each 6 -x
	assert_has "$output" "3 passed"
	assert_has "$output" "2 did not run"
	bundles=("$XDG_STATE_HOME"/bundles/*.sbx)
	assert_same 1 "${#bundles[@]}"
	run_sbx 0 replay "${bundles[0]}" -- cat orders
	assert_has "$output" begun
	[[ $output != *stored* ]]
}

@test "fresh: a spare that dies is said, and a world is made when it is needed" {
	suite_of "$two_visits" "$two_visits"
	cat >once.js <<-'EOS'
		// The second world's server, which is the first spare's, does not come up: the third is made for the test.
		const fs = require('node:fs');
		const mine = `${process.env.MARKS}/${process.pid}-${process.hrtime.bigint()}`;
		fs.writeFileSync(mine, '');
		if (fs.readdirSync(process.env.MARKS).length === 3)
			process.exit(4);
		require('./server.js');
	EOS
	sed -i 's/node server.js/node once.js/' playwright.config.js
	mkdir "$XDG_STATE_HOME/marks"
	run_sbx 0 test -n 1 --fresh file -e MARKS=/run/marks -v "$XDG_STATE_HOME/marks:/run/marks:rw" -- npx playwright test
	assert_has "$output" "w0 has no spare world, and the next test waits for one: "
	assert_has "$output" "it ended with status 4"
	assert_has "$output" "4 passed"
}

@test "fresh: by file with Jest, a process and a world for each" {
	ln -s "$RUNNERS/node_modules" node_modules
	echo "services: { shop: { command: 'node server.js $port', ready: { port: $port } } }" >sbx.yaml
	for number in 1 2 3; do
		echo "test('first of $number', async () => { expect(await (await fetch('http://localhost:$port/visit')).text()).toBe('1 1'); });" \
			>"$number.test.js"
	done
	echo '{}' >package.json
	run_sbx 0 test -n 2 --fresh file -- npx jest
	assert_has "$output" "3 passed"
	run_sbx 1 test -n 2 -- npx jest
}

@test "fresh: an error at the end of a test process that another one has followed is not lost" {
	suite_of "$two_visits" "$two_visits"
	cat >visit.js <<-'EOS'
		const { test: base } = require('@playwright/test');
		exports.test = base.extend({ held: [async ({}, use) => { await use(); throw new Error('not let go'); }, { scope: 'worker', auto: true }] });
		exports.visit = async request => (await (await request.get('/visit')).text());
	EOS
	sed -i 's/{ test, expect } = require("@playwright\/test"); const { visit }/{ expect } = require("@playwright\/test"); const { test, visit }/' tests/*.spec.js
	run_sbx 1 test -n 1 --fresh file -- npx playwright test
	# Of each of the two processes, of which the runner has started one.
	assert_same 2 "$(grep -c 'Error: not let go' <<<"$output")"
	assert_has "$output" "4 passed"
}

@test "fresh: with --items each one begins in a world that nobody has used, and so it does with Vitest's files" {
	shop
	run_sbx 0 test -n 1 --fresh worker --items 'seq 4' -- sh -c "test \"\$(curl -s http://localhost:$port/visit)\" = '1 1' # {}"
	run_sbx 1 test -n 1 --items 'seq 4' -- sh -c "test \"\$(curl -s http://localhost:$port/visit)\" = '1 1' # {}"
	ln -s "$RUNNERS/node_modules" node_modules
	for number in 1 2 3; do
		{
			echo "import { test, expect } from 'vitest';"
			echo "test('first of $number', async () => { expect(await (await fetch('http://localhost:$port/visit')).text()).toBe('1 1'); });"
		} >"$number.test.mjs"
	done
	run_sbx 0 test -n 2 --fresh file -- npx vitest run
	assert_has "$output" "3 passed"
}
