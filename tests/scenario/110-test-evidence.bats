#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What stays after a test run: the worlds of red tests, artifacts, snapshots; and that nothing else does.
bats_require_minimum_version 1.5.0
load workers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	PATH=$(dirname "$SBX"):$PATH
	runs=()
	cd "$tree" || return 1
	cp -r "$RUNNERS/evidence/." .
	ln -s "$RUNNERS/node_modules" node_modules
	sqlite3 shop.db 'CREATE TABLE Orders(Id INTEGER PRIMARY KEY, Item TEXT)'
	printf '%s\n' node_modules shop.db out playwright-report test-results coverage >.gitignore
	git init -q
	git add -A
	git -c user.name=test -c user.email=test@localhost commit -qm "the suite"
}

# start_suite OPTION…: the slow suite in the background, by the command in "launcher"; returns when its slow test runs.
launcher=(npx playwright test)
start_suite() {
	# A job of a shell without job control would have SIGINT ignored.
	env --default-signal=INT "$SBX" test "$@" -- "${launcher[@]}" -c slow.config.js >"$XDG_STATE_HOME/out" 2>"$XDG_STATE_HOME/err" </dev/null 3>&- &
	suite=$!
	runs+=("$suite")
	if ! wait_for grep -q waiting "$XDG_STATE_HOME/out"; then
		cat "$XDG_STATE_HOME/out" "$XDG_STATE_HOME/err"
		return 1
	fi
}

# end_suite STATUS: waits for its end.
end_suite() {
	local got=0
	wait "$suite" || got=$?
	cat "$XDG_STATE_HOME/out" "$XDG_STATE_HOME/err"
	assert_same "$1" "$got"
}

# said PATTERN: the first line of what sbx said that it fits.
said() {
	grep -m 1 -- "$1" <<<"$output"
}

# nothing_else: the tree is as it was committed, and no process, lock or upper is left.
nothing_else() {
	assert_same "$1" "$(git status --short --untracked-files=all)"
	assert_same "" "$("$SBX" ps -q)"
	assert_same "" "$(find "$XDG_STATE_HOME"/sbx/uppers "$XDG_STATE_HOME"/sbx/run "$XDG_STATE_HOME"/sbx/runs/*/seed-* -mindepth 1 2>/dev/null)"
}

@test "evidence: the world of a red test is kept as it was at the test's end, and the commands told work when pasted" {
	echo 'artifacts: [on/the/way]' >sbx.yaml
	run_sbx 1 test -n 2 -- npx playwright test
	assert_has "$output" "kept: tests/rows.spec.js:6 a red one"
	local shell db logs
	shell=$(said '^  sbx shell')
	db=$(said '^  sbx db shell')
	logs=$(said '^  sbx logs')
	# The next test wrote to the same world.
	assert_same "red" "$(echo 'SELECT Item FROM Orders;' | bash -c "$db")"
	assert_same "by the red one" "$(echo 'cat left-behind' | SHELL=/bin/sh bash -c "$shell")"
	assert_same $'shop: /\nshop: /red' "$(bash -c "$logs")"
	run_sbx 0 ps --all
	assert_has "$output" "tests/rows.spec.js:6 a red one"
	run_sbx 0 ps --all --format json --filter "label=test=tests/rows.spec.js:6 a red one"
	assert_fits ps
	assert_same 1 "$(json 'len(d)')"
	# Without the places where directories of artifacts were shown.
	run_sbx 0 diff "${shell##* }"
	assert_same "A $tree/left-behind
C $tree/shop.db" "$(grep -v transform-cache <<<"$output")"
	run_sbx 0 db query --all 'SELECT Item FROM Orders'
	assert_has "$output" "red"
	nothing_else "?? sbx.yaml"
}

@test "evidence: with one world the runner's own is kept" {
	run_sbx 1 test -n 1 -- npx playwright test
	assert_has "$output" "kept: tests/rows.spec.js:6 a red one"
	assert_same "red" "$(echo 'SELECT Item FROM Orders;' | bash -c "$(said '^  sbx db shell')")"
	nothing_else ""
}

@test "open: a kept test's servers are started, never the test: the app answers with the rows that it left" {
	# It tells its rows; and a test that ran again would leave one more.
	cat >server.js <<-'EOF'
		const { execFileSync } = require('node:child_process');
		require('node:http').createServer((request, response) => response.end(execFileSync('sqlite3', ['shop.db', 'SELECT Item FROM Orders']))).listen(4444, '127.0.0.1');
	EOF
	for workers in 2 1; do
		run_sbx 1 test -n "$workers" -- npx playwright test
		local shell opener
		shell=$(said '^  sbx shell')
		"$SBX" open "${shell##* }" >opened 2>opened.err 3>&- &
		opener=$!
		wait_for grep -q 'leads to its port 4444' opened
		assert_same red "$(curl -s --max-time 20 "$(cut -d' ' -f1 opened)")"
		kill "$opener"
		wait "$opener"
		run_sbx 0 db query "${shell##* }" 'SELECT group_concat(Item) FROM Orders'
		assert_same red "${lines[-1]}"
	done
	# What an item's command needs is not known: said, with what to write.
	run_sbx 1 test -n 2 --items 'echo one' -- sh -c 'echo {} >>runs; exit 1'
	shell=$(said '^  sbx shell')
	run_sbx 125 open "${shell##* }"
	assert_has "$output" "sbx open ${shell##* } -- COMMAND"
	run_sbx 0 exec "${shell##* }" cat runs
	assert_same one "$output"
}

@test "evidence: a test keeps once, with its first try; --keep=never keeps nothing" {
	run_sbx 1 test -n 2 -- npx playwright test --retries 2
	assert_same 1 "$(grep -c '^sbx: kept' <<<"$output")"
	run_sbx 0 rm --all
	run_sbx 1 test -n 2 --keep=never -- npx playwright test
	[[ $output != *kept:* ]]
	run_sbx 0 ps -aq
	assert_same "" "$output"
}

@test "evidence: at most 10 worlds of a run are kept, and the others are counted" {
	cat >tests/many.spec.js <<-'EOF'
		const { test, expect } = require('@playwright/test');
		for (let number = 1; number <= 12; number++)
			test(`red ${number}`, () => expect(1).toBe(2));
	EOF
	run_sbx 1 test -n 2 -- npx playwright test many.spec.js
	assert_same 10 "$(grep -c '^sbx: kept' <<<"$output")"
	assert_has "$output" "2 more worlds of failed tests are not kept: at most 10"
	run_sbx 0 ps -aq
	assert_same 10 "$(wc -l <<<"$output")"
}

@test "evidence: a world of more than 256 MiB is not kept, and the run goes on" {
	cat >tests/big.spec.js <<-'EOF'
		const { test, expect } = require('@playwright/test');
		const { execFileSync } = require('node:child_process');
		test('a big one', () => {
			execFileSync('dd', ['if=/dev/urandom', 'of=big', 'bs=1M', 'count=257'], { stdio: 'ignore' });
			expect(1).toBe(2);
		});
		test('a small one', () => {});
	EOF
	run_sbx 1 test -n 2 -- npx playwright test big.spec.js
	assert_has "$output" "1 passed"
	assert_has "$output" "1 more worlds of failed tests are not kept: at most 10 of a run are, of 256 MiB together"
	run_sbx 0 ps -aq
	assert_same "" "$output"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/kept" -mindepth 1)"
}

@test "db query --all answers over the live worlds of a run while its tests write, and over kept ones" {
	cat >tests/wait.slow.js <<-'EOF'
		const { test } = require('@playwright/test');
		const { order } = require('../shop');
		for (const name of ['one', 'two'])
			test(`writes ${name}`, async () => {
				for (let number = 0; ; number++) {
					// Between two rows it hears that it is to end.
					await new Promise((resolve) => setImmediate(resolve));
					order(name);
					if (number === 3)
						console.log(`waiting ${name}`);
				}
			});
	EOF
	# One of another project has no database, which is no failure of the others.
	mkdir elsewhere
	run_sbx 0 run --keep --name other -C elsewhere -- true
	run_sbx 125 db query --all 'SELECT 1'
	assert_has "$output" "cannot choose a database: the worker has none in its tree"
	run_sbx 1 test -n 2 -- npx playwright test
	start_suite -n 2
	wait_for grep -q "waiting one" "$XDG_STATE_HOME/out"
	run_sbx 0 db query --all 'SELECT Item FROM Orders LIMIT 1'
	assert_has "$output" "passed over, since they have no such database: other"
	[[ $output != *"== other =="* ]]
	run --separate-stderr "$SBX" db query --all --format json 'SELECT Item, count(*) AS n FROM Orders GROUP BY Item'
	assert_same 0 "$status"
	# The runner's own world has no rows, the live world has those of its test, the kept one its red row.
	assert_same "['one', 'red']" "$(json 'sorted(r["Item"] for w in d for a in w["answers"] for r in a)')"
	kill -INT "$suite"
	end_suite 130
}

@test "artifacts: removed first by a script, they are on the host at the end, without a pause" {
	rm tests/rows.spec.js
	cp tests/wait.slow.js tests/quick.spec.js
	sed -i s/60000/10/ tests/quick.spec.js
	mkdir -p test-results
	echo stale >test-results/stale
	local start=$SECONDS
	run_sbx 0 test -n 2 -- npm run e2e
	# Where Playwright cannot remove a directory it tries again for 5 seconds.
	assert_has "$output" "2 passed"
	[[ $((SECONDS - start)) -lt 20 && $output != *EBUSY* && $output != *busy* ]]
	[[ -s out/junit.xml && -s playwright-report/index.html ]]
	assert_same "done" "$(cat test-results/*quick-one/quick.txt)"
	[[ ! -e test-results/stale ]]
	nothing_else " D tests/rows.spec.js
?? tests/quick.spec.js"
}

@test "artifacts: --last-failed runs what the run before left red, and that alone" {
	run_sbx 1 test -n 2 --keep=never -- npx playwright test
	assert_has "$output" "1 failed"
	[[ $output != *"Running 1 test "* ]]
	run_sbx 1 test -n 2 --keep=never -- npx playwright test --last-failed
	assert_has "$output" "Running 1 test "
	assert_has "$output" "1 failed"
}

@test "artifacts: Ctrl-C leaves them, written to their end, and nothing else" {
	start_suite -n 2
	kill -INT "$suite"
	end_suite 130
	grep -q 'tests="2"' out/junit.xml
	[[ -s playwright-report/index.html ]]
	assert_same "done" "$(cat test-results/*quick-one/quick.txt)"
	[[ $(<"$XDG_STATE_HOME/err") != *kept:* ]]
	nothing_else ""
}

@test "artifacts: a runner that is slow to end is waited for, though what started it has ended" {
	cat >slow-to-end.js <<-'EOF'
		// A reporter that writes after a while, as a big report does.
		module.exports = class {
			async onEnd() {
				await new Promise(resolve => setTimeout(resolve, 1500));
				require('node:fs').writeFileSync('out/late.txt', 'late');
			}
		};
	EOF
	sed -i "s/reporter: \[/reporter: [['.\/slow-to-end.js', { outputFile: 'out\/late.txt' }], /" playwright.config.js
	mkdir out
	launcher=(node launch.js)
	start_suite -n 2
	kill -INT "$suite"
	end_suite 130
	assert_same late "$(cat out/late.txt)"
}

@test "artifacts: SIGTERM, a cancelled job (INT, then TERM) and --timeout leave them" {
	start_suite -n 2
	kill -TERM "$suite"
	end_suite 143
	assert_same "done" "$(cat test-results/*quick-one/quick.txt)"
	rm -rf test-results
	start_suite -n 2 --timeout 15
	end_suite 124
	assert_same "done" "$(cat test-results/*quick-one/quick.txt)"
	nothing_else ""
}

@test "artifacts: what ignores SIGINT is ended a second after the SIGTERM of a cancelled job" {
	# Playwright's own handler ends it; this shell hears nothing.
	env --default-signal=INT "$SBX" test -n 2 --stop-timeout 60 -- sh -c 'trap "" INT TERM; npx playwright test -c slow.config.js; sleep 60' \
		>"$XDG_STATE_HOME/out" 2>"$XDG_STATE_HOME/err" </dev/null 3>&- &
	suite=$!
	runs+=("$suite")
	wait_for grep -q waiting "$XDG_STATE_HOME/out"
	kill -INT "$suite"
	local start=$SECONDS
	kill -TERM "$suite"
	end_suite 137
	[[ $((SECONDS - start)) -lt 8 ]]
	assert_same "done" "$(cat test-results/*quick-one/quick.txt)"
}

# press NUMBER: Ctrl-C as often, until the suite has ended. Within a second they are one, to Playwright as well.
press() {
	python3 - "$suite" "$1" <<-'EOF'
		import os, select, signal, sys

		suite = os.pidfd_open(int(sys.argv[1]))
		for number in range(int(sys.argv[2])):
		    signal.pidfd_send_signal(suite, signal.SIGINT)
		    if select.select([suite], [], [], 1.5 if number + 1 < int(sys.argv[2]) else 20)[0]:
		        sys.exit(number + 1 != int(sys.argv[2]))
		sys.exit("it goes on")
	EOF
}

# end_slowly: Playwright's end takes for ever.
end_slowly() {
	cat >slow-to-end.js <<-'EOF'
		module.exports = class {
			async onEnd() {
				await new Promise(resolve => setTimeout(resolve, 600000));
			}
		};
	EOF
	sed -i "s/reporter: \[/reporter: [['.\/slow-to-end.js'], /" playwright.config.js
}

@test "artifacts: a second Ctrl-C ends the run at once, also what ignores it, and what was written by then is on the host" {
	end_slowly
	start_suite -n 2 --stop-timeout 60
	press 2
	end_suite 130
	assert_same "done" "$(cat test-results/*quick-one/quick.txt)"
	rm -rf test-results
	launcher=(sh -c 'trap "" INT; npx playwright test "$@"; sleep 600' sh)
	start_suite -n 2 --stop-timeout 60
	press 2
	end_suite 137
	assert_same "done" "$(cat test-results/*quick-one/quick.txt)"
	nothing_else " M playwright.config.js
?? slow-to-end.js"
}

@test "artifacts: a job that is cancelled as GitHub does it, INT, TERM 7.5 s later, KILL 2.5 s after, has them in time" {
	# All the time that it may take is taken: the copies are made in the last of it.
	end_slowly
	echo 'process.on("SIGTERM", () => {});' >>slow-to-end.js
	start_suite -n 2 --stop-timeout 60
	python3 - "$suite" <<-'EOF'
		import os, select, signal, sys

		suite = os.pidfd_open(int(sys.argv[1]))
		for number, seconds in (signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 20):
		    print(number.name)
		    signal.pidfd_send_signal(suite, number)
		    if select.select([suite], [], [], seconds)[0]:
		        break
	EOF
	# The runner's SIGTERM, and not the job's SIGKILL: it was whole by then.
	end_suite 143
	assert_same "done" "$(cat test-results/*quick-one/quick.txt)"
	nothing_else " M playwright.config.js
?? slow-to-end.js"
}

@test "snapshots: what worlds write is on the host: the same bytes once, different ones as a named conflict; the rest is told" {
	run_sbx 1 test -n 2 --keep=never -- npx playwright test -c snapshots.config.js
	assert_has "$output" "conflict: tests/write.snap.js-snapshots/different-linux.txt: w"
	assert_has "$output" 'dropped: reports (4 files, 2 worlds). Keep: `artifacts: [reports]` in sbx.yaml'
	assert_has "$output" "dropped: notes-1.txt (1 file, 1 world)"
	nothing_else "$(printf '?? tests/write.snap.js-snapshots/%s-linux.txt\n' own-1 own-2 own-3 own-4 same)"
	assert_same "the same everywhere" "$(cat tests/write.snap.js-snapshots/same-linux.txt)"
	# Coverage is shared, in full.
	assert_same $'1.json\n2.json\n3.json\n4.json' "$(ls coverage/tmp)"
	# The second time they are there, and agree.
	sed -i '/different/d' tests/write.snap.js
	run_sbx 0 test -n 2 -- npx playwright test -c snapshots.config.js
	[[ $output != *"written by the tests"* && $output != *conflict* ]]
	# And are renewed when asked to.
	sed -i 's/the same everywhere/something else/' tests/write.snap.js
	run_sbx 0 test -n 2 -- npx playwright test -c snapshots.config.js --update-snapshots
	assert_has "$output" "now in the tree: tests/write.snap.js-snapshots/same-linux.txt"
	assert_same "something else" "$(cat tests/write.snap.js-snapshots/same-linux.txt)"
}

@test "snapshots: where the config places them by a template" {
	sed -i "s/use: {}/snapshotPathTemplate: 'golden\/{arg}{ext}', use: {}/" snapshots.config.js
	run_sbx 1 test -n 2 --keep=never -- npx playwright test -c snapshots.config.js
	assert_same $'own-1.txt\nown-2.txt\nown-3.txt\nown-4.txt\nsame.txt' "$(ls golden)"
}

@test "artifacts: those that sbx.yaml names are shared and come home, directories and files" {
	printf 'artifacts: [reports, notes-1.txt]\n' >sbx.yaml
	sed -i '/different/d' tests/write.snap.js
	run_sbx 1 test -n 2 --keep=never -- npx playwright test -c snapshots.config.js
	assert_same $'1.json\n2.json\n3.json\n4.json' "$(ls reports/raw)"
	assert_same "a note" "$(cat notes-1.txt)"
	[[ $output != *"dropped: reports"* && $output != *"dropped: notes-1.txt"* ]]
	assert_has "$output" "dropped: notes-2.txt"
	[[ ! -e notes-2.txt ]]
}

@test "artifacts: files that two worlds name after their process ids at one time are two" {
	cat >item <<-'END'
		#!/bin/sh
		touch "shared/here.$1"
		until [ -e shared/here.1 ] && [ -e shared/here.2 ]; do sleep 0.01; done
		exec sh -c 'echo "$1" >shared/pid.$$' - "$1"
	END
	chmod +x item
	run_sbx 0 test -n 2 --artifacts shared/ --items 'seq 2' -- ./item {}
	assert_has "$output" "2 ok, 0 not ok"
	assert_same 2 "$(find shared -name 'pid.*' | wc -l)"
}

@test "P1: artifacts come to the tree and its repository only: not to HOME, .git, or through a symbolic link" {
	rm tests/rows.spec.js
	local outside=$HOME/outside-$BATS_TEST_NUMBER
	rm -rf "$outside"
	mkdir "$outside"
	echo mine >"$outside/file"
	ln -s "$outside" link-snapshots
	ln -s "$outside" linked
	cat >playwright.config.js <<-EOF
		// A config that wants more than it should have.
		module.exports = {
			testDir: './tests', outputDir: '$outside', metadata: {},
			reporter: [['list'], ['json', { outputFile: '.git/hooks/pre-commit' }], ['junit', { outputFile: 'linked/junit.xml' }]],
		};
	EOF
	cat >tests/escape.spec.js <<-'EOF'
		const { test } = require('@playwright/test');
		const fs = require('node:fs');
		test('writes where it should not', () => {
			fs.rmSync('link-snapshots');
			fs.mkdirSync('link-snapshots');
			fs.writeFileSync('link-snapshots/file', 'theirs');
			fs.mkdirSync('.git/a-snapshots', { recursive: true });
			fs.writeFileSync('.git/a-snapshots/file', 'theirs');
			fs.mkdirSync('own-snapshots');
			fs.writeFileSync('own-snapshots/.git', 'gitdir: theirs');
		});
	EOF
	run_sbx 0 test -n 2 -- npx playwright test
	assert_has "$output" "dropped: $outside, which lies outside of the repository"
	assert_has "$output" "on the way to it lies a symbolic link"
	assert_same mine "$(cat "$outside/file")"
	assert_same file "$(ls "$outside")"
	[[ ! -e .git/hooks/pre-commit && ! -e .git/a-snapshots && ! -e own-snapshots ]]
	rm -rf "$outside"
}

@test "evidence: a runner that tells of no tests and fails, or --keep: the worlds as they were at the end" {
	run_sbx 3 test -n 2 -- sh -c '"$SBX_LEASE" lease -- sh -c "echo left >left; exit 3"'
	local shell
	shell=$(said '^  sbx shell')
	assert_same left "$(echo 'cat left' | SHELL=/bin/sh bash -c "$shell")"
	run_sbx 0 rm --all
	# Told to end it has not failed.
	"$SBX" test -n 2 -- sh -c '"$SBX_LEASE" lease -- sh -c "echo begun; sleep 600"' \
		>"$XDG_STATE_HOME/out" 2>"$XDG_STATE_HOME/err" </dev/null 3>&- &
	suite=$!
	runs+=("$suite")
	wait_for grep -q begun "$XDG_STATE_HOME/out"
	kill -TERM "$suite"
	end_suite 143
	run_sbx 0 ps -aq
	assert_same "" "$output"
	sed -i s/60000/10/ tests/wait.slow.js
	run_sbx 0 test -n 2 --keep -- npx playwright test -c slow.config.js
	assert_has "$output" "kept: the end of the run"
	assert_same 1 "$("$SBX" ps -aq | wc -l)"
}

@test "evidence: a red item is kept with its exit status and what it printed" {
	run_sbx 7 test -n 2 --items 'echo good; echo bad' -- sh -c 'echo "this is $1"; [ "$1" = good ] || { echo why >&2; exit 7; }' sh {}
	local logs
	logs=$(said '^  sbx logs')
	assert_same $'this is bad\nwhy' "$(bash -c "$logs")"
	run_sbx 0 ps --all --format json
	assert_same "[('kept', 7)]" "$(json '[(w["state"], w["exit_status"]) for w in d]')"
	run_sbx 0 inspect "${logs##* }" --format json
	assert_fits inspect
	assert_same "None" "$(json 'd[0]["phase"]')"
	run_sbx 0 report --format junit
	assert_has "$output" "why"
}
