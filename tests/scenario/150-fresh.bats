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
