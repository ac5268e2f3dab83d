#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runners of all kinds, four wide on one port and one file, as they stand: tests/runners/fixed.
load workers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
	unset XDG_RUNTIME_DIR
	runs=()
	cd "$tree" || return 1
	cp -r "$RUNNERS/fixed/." .
	ln -s "$RUNNERS/node_modules" node_modules
}

# list N: a list of N items.
list() {
	echo "seq -f item-%g $1"
}


@test "runners: the same without sbx is red, two at once on one port and one file" {
	run sh -c 'ls t/*.t | xargs -P 6 -n 1 prove'
	[[ $status -ne 0 ]]
}

# ---- through sbx lease ----

@test "runners: xargs -P" {
	run_sbx 0 test -n 4 -- sh -c 'printf "%s\n" one two three four five six | xargs -P 4 -n 1 sbx lease -- ./fixed'
	assert_same 6 "$(grep -c 'is alone' <<<"$output")"
}

@test "runners: GNU parallel" {
	run_sbx 0 test -n 4 -- parallel -j 4 sbx lease -- ./fixed {} ::: one two three four five six
	assert_same 6 "$(grep -c 'is alone' <<<"$output")"
}

@test "runners: make -j, the Makefile as it is" {
	run_sbx 0 test -n 4 -- make -j 4 check SHELL=sbx '.SHELLFLAGS=lease -- /bin/sh -c'
	assert_same 6 "$(grep -c 'is alone' <<<"$output")"
}

@test "runners: prove -j --exec" {
	run_sbx 0 test -n 4 -- prove -j 4 --exec 'sbx lease -- perl' t
	assert_has "$output" "Files=6, Tests=12"
}

@test "runners: ctest -j" {
	run_sbx 0 test -n 4 -- sh -c 'cmake -D "LAUNCHER=sbx;lease;--" -S . -B build && ctest --test-dir build -j 4'
	assert_has "$output" "100% tests passed, 0 tests failed out of 8"
}

@test "runners: pytest-xdist" {
	run_sbx 0 test -n 4 -- /usr/bin/python3 -m pytest -q -d --tx '4*popen//python=sbx lease -- /usr/bin/python3'
	assert_has "$output" "8 passed"
}

@test "runners: a lease leaves what only the runner's world has: sbx in PATH, the hook in NODE_OPTIONS" {
	export NODE_OPTIONS="--no-warnings --max-old-space-size=512"
	run_sbx 0 test -n 2 -- sh -c 'echo "$PATH $NODE_OPTIONS"; sbx lease -- sh -c "echo \"then \$PATH \$NODE_OPTIONS\"; node -e 1"'
	assert_has "$output" "/run/sbx:$PATH --no-warnings --max-old-space-size=512 --require=/run/sbx/hook.cjs"
	assert_has "$output" "then $PATH --no-warnings --max-old-space-size=512"
	[[ $(grep '^then' <<<"$output") != *run/sbx* ]]
}

# ---- through the hook ----

@test "runners: Jest" {
	# The worlds are made after it, though Jest reads the tree in processes of the same kind before.
	echo "module.exports = () => require('node:fs').writeFileSync('seeded', '');" >setup.cjs
	echo "if (!require('node:fs').existsSync('seeded')) throw new Error('no globalSetup');" >needs.cjs
	run_sbx 0 test -n 4 -- npx jest jest --globalSetup ./setup.cjs --setupFiles ./needs.cjs
	assert_has "$output" "Tests:       4 passed, 4 total"
}

@test "runners: Vitest" {
	export NO_COLOR=1
	run_sbx 0 test -n 4 -- npx vitest run --pool=forks --dir vitest
	assert_has "$output" "Tests  4 passed (4)"
}

# ---- --items ----

@test "items: prove, ctest by their own lists" {
	run_sbx 0 test -n 4 --items 'ls t/*.t' -- prove {}
	assert_has "$output" "6 ok, 0 not ok"
	run_sbx 0 test -n 4 --items 'cmake -S . -B build >&2; ctest --test-dir build -N | sed -n "s/^ *Test *#[0-9]*: //p"' -- \
		ctest --test-dir build -R '^{}$'
	assert_has "$output" "8 ok, 0 not ok"
	assert_has "$output" "- shop.eight (w"
}

@test "items: xunit v3 by class, its TRX files merged and on the host" {
	ln -s "$RUNNERS/xunit" app
	run_sbx 0 test -n 4 --artifacts results/ --junit all.xml --items 'dotnet app/Fixed.dll -list classes/json' -- \
		dotnet app/Fixed.dll -class {} -trx 'results/{#}.trx'
	assert_has "$output" "4 ok, 0 not ok"
	assert_same "1.trx 2.trx 3.trx 4.trx" "$(cd results && echo *)"
	assert_has "$(<all.xml)" '<testsuites tests="8" failures="0" errors="0" skipped="0">'
	assert_has "$(<all.xml)" 'classname="Fixed.Tests.TwoTests"'
}

@test "items: VSTest by class, its filter, its names with signs" {
	ln -s "$RUNNERS/xunit" app
	run_sbx 0 test -n 2 --artifacts results/ --junit all.xml --items 'dotnet vstest app/Fixed.dll --ListFullyQualifiedTests \
		--ListTestsTargetPath:/tmp/tests >&2; sed "s/[.][^.]*$//" /tmp/tests | sort -u | head -n 2' -- \
		dotnet vstest app/Fixed.dll '--TestCaseFilter:FullyQualifiedName~{}.' '--logger:trx;LogFileName={#}.trx' --ResultsDirectory:results
	assert_has "$output" "2 ok, 0 not ok"
	assert_has "$(<all.xml)" '<testsuites tests="4" failures="0" errors="0" skipped="0">'
	assert_has "$(<all.xml)" 'HasPortAndFile(note: &quot;a (b) &amp; c&quot;)'
}

@test "items: what each prints is shown whole, with a line that says item, world and seconds" {
	run_sbx 3 test -n 4 --items "$(list 8)" -- sh -c 'echo begin $1; echo middle >&2; sleep 0.05; printf "end $1"; [ $1 != item-5 ] || exit 3' sh {}
	# Four lines each, none of another's between them.
	assert_same "" "$(awk '/^begin/ { name = $2 }
		/^end/ && $2 != name || /^(ok|not ok)/ && !index($0, "- " name " (w") { print "mixed: " $0 }' <<<"$output")"
	grep -qE '^not ok 5 - item-5 \(w[0-3], 0\.[0-9]{2} s, status 3\)$' <<<"$output"
	assert_same 7 "$(grep -cE '^ok [0-9]+ - item-[0-9] \(w[0-3], [0-9]+\.[0-9]{2} s\)$' <<<"$output")"
	assert_has "$output" "7 ok, 1 not ok"
}

@test "items: the list's work is in each world, a world's own is not in another, and nothing is on the host" {
	mkdir met
	run_sbx 0 test -n 2 -v "$PWD/met:/mnt:rw" --items "echo built >by-list; $(list 2)" -- sh -c 'cat by-list; mkdir alone
		echo $SBX_WORKER of $SBX_WORKERS >alone/file; touch /mnt/$1; until [ -e /mnt/item-1 -a -e /mnt/item-2 ]; do sleep 0.02; done
		cat alone/file' sh {}
	assert_has "$output" "2 ok, 0 not ok in 2 worlds"
	assert_same 2 "$(grep -c '^built$' <<<"$output")"
	assert_has "$output" "0 of 2"
	assert_has "$output" "1 of 2"
	[[ ! -e by-list && ! -e alone ]]
}

@test "items: worlds start at once, with the services of sbx.yaml" {
	# Each world's server waits until those of all three have begun; the runner's own does not.
	mkdir met
	printf '%s\n' 'services:' '  web:' '    command: |' '      [ -z "$SBX_WORKER" ] || touch /mnt/$SBX_WORKER' \
		'      until [ -z "$SBX_WORKER" ] || [ $(ls /mnt | wc -l) -eq 3 ]; do sleep 0.02; done' \
		'      exec python3 -m http.server 4444 --bind 127.0.0.1' '    ready: {port: 4444, timeout: 30}' >sbx.yaml
	run_sbx 0 test -n 3 -v "$PWD/met:/mnt:rw" --items "$(list 3)" -- curl -sf 'http://localhost:4444/sbx.yaml?{}'
	assert_has "$output" "3 ok, 0 not ok"
}

@test "items: a batch is one command, and {#} its number" {
	run_sbx 0 test -n 2 --items 'printf "%s\n" a b c d e' --batch 2 -- echo got -c {} as '{#}' of {}
	assert_has "$output" "got -c a -c b as 1 of a b"
	assert_has "$output" "got -c e as 3 of e"
	assert_has "$output" "3 ok, 0 not ok"
}

@test "items: the longest of the last run begin first" {
	local items='printf "%s\n" short long middle'
	run_sbx 0 test -n 1 --items "$items" -- sh -c 'case $1 in long) sleep 0.5 ;; middle) sleep 0.25 ;; esac; echo $1' sh {}
	assert_same "short long middle" "$(grep -E '^(short|long|middle)$' <<<"$output" | xargs)"
	run_sbx 0 test -n 1 --items "$items" -- sh -c 'case $1 in long) sleep 0.5 ;; middle) sleep 0.25 ;; esac; echo $1' sh {}
	assert_same "long middle short" "$(grep -E '^(short|long|middle)$' <<<"$output" | xargs)"
	# Another command has times of its own.
	run_sbx 0 test -n 1 --items "$items" -- echo {}
	assert_same "short long middle" "$(grep -E '^(short|long|middle)$' <<<"$output" | xargs)"
}

@test "items: without a report each item is a test case, the failed one with what it printed" {
	run_sbx 1 test -n 2 --junit out/all.xml --items "$(list 2)" -- sh -c 'echo "<$1>"; [ $1 = item-1 ]' sh {}
	assert_has "$(<out/all.xml)" '<testsuites tests="2" failures="1" errors="0" skipped="0">'
	assert_has "$(<out/all.xml)" '<testcase name="item-1" classname="sbx.items"'
	assert_has "$(<out/all.xml)" '&lt;item-2&gt;'
}

@test "items: the world of a red one is kept" {
	run_sbx 1 test -n 2 --items "$(list 3)" -- sh -c 'echo $1 >left; [ $1 != item-2 ]' sh {}
	assert_has "$output" "kept: item 2 item-2"
	assert_same "item-2" "$(SHELL=/bin/sh "$SBX" shell "$("$SBX" ps --all --quiet)" <<<'cat left')"
}

@test "items: none, a list that fails, one that is no list, a command without {}: refused" {
	run_sbx 125 test -n 2 --items true -- echo {}
	assert_has "$output" "cannot list the items 'true': it prints none, so nothing would be tested"
	run_sbx 125 test -n 2 --items 'echo a; exit 4' -- echo {}
	assert_has "$output" "cannot list the items 'echo a; exit 4': it ended with status 4"
	run_sbx 125 test -n 2 --items 'echo "[1, 2]"; echo' -- echo {}
	assert_has "$output" "it is a JSON array of something else than texts"
	run_sbx 125 test -n 2 --items 'echo a' -- echo
	assert_has "$output" "it has no {}, where the item stands"
	run_sbx 125 test -n 2 --junit x.xml -- echo
	assert_has "$output" "it belongs to --items"
	# Nothing was tested: they are no runs to anybody.
	run_sbx 0 report --list
	[[ $output != *items* && $output != *echo* ]]
	run_sbx 0 test -n 2 --items 'echo a' -- echo {}
	run_sbx 0 report --list
	assert_has "$output" "--items echo a -- echo {}"
	assert_same 2 "${#lines[@]}"
}

@test "items: an item that cannot be executed, one that is killed, and a long name with control characters" {
	run_sbx 127 test -n 2 --items 'echo a' -- no-such-program {}
	assert_has "$output" "not ok 1 - a (w0, 0.00 s, status 127)"
	run_sbx 137 test -n 2 --items 'echo a' -- sh -c 'kill -KILL $$' {}
	assert_has "$output" "killed by SIGKILL)"
	run_sbx 0 test -n 2 --items 'printf "\033[31m%0300d\n" 1' -- true {}
	assert_has "$output" 'ok 1 - \x1b[31m000'
}

@test "items: Ctrl-C ends those that run, begins no other, and says how many did not run" {
	mkdir begun
	env --default-signal=INT "$SBX" test -n 2 -v "$PWD/begun:/mnt:rw" --items "$(list 6)" -- \
		sh -c 'trap "exit 9" INT; touch /mnt/$1; sleep 20 & wait' sh {} >out 2>err </dev/null 3>&- &
	runs+=("$!")
	both_began() { [[ $(find begun -type f | wc -l) -eq 2 ]]; }
	wait_for both_began
	kill -INT "${runs[0]}"
	local got=0
	wait "${runs[0]}" || got=$?
	runs=()
	cat out err
	assert_same 130 "$got"
	assert_has "$(<out)" "0 ok, 2 not ok, 4 not run"
}

# ---- --shard ----

# shard_titles: the items that ran, sorted.
shard_titles() {
	sed -n 's/^ok [0-9]* - \([^ ]*\) .*/\1/p' <<<"$output" | sort | xargs
}

@test "shard: parts of a list are the whole, by the line or by what runs the job" {
	run_sbx 0 test -n 2 --shard 1/2 --items "$(list 5)" -- true {}
	assert_same "item-1 item-3 item-5" "$(shard_titles)"
	CI_NODE_INDEX=2 CI_NODE_TOTAL=2 run_sbx 0 test -n 2 --shard auto --items "$(list 5)" -- true {}
	assert_same "item-2 item-4" "$(shard_titles)"
	# More machines than items: nothing to do is no failure.
	run_sbx 0 test -n 2 --shard 4/9 --items "$(list 2)" -- true {}
	assert_same "" "$(shard_titles)"
}

@test "shard: Jest and Vitest get their own option" {
	export NO_COLOR=1
	run_sbx 0 test -n 2 --shard 1/2 -- npx jest jest
	assert_has "$output" "Tests:       2 passed, 2 total"
	run_sbx 0 test -n 2 --shard 2/2 -- npx vitest run --pool=forks --dir vitest
	assert_has "$output" "Tests  2 passed (2)"
}

@test "shard: refused where nothing tells one, where the command has its own, where no runner takes it" {
	run_sbx 125 test --shard auto -- npx jest jest
	assert_has "$output" "nothing here tells one: no SBX_SHARD, GitLab,"
	run_sbx 125 test -n 2 --shard 1/2 -- npx jest jest --shard=1/3
	assert_has "$output" "the command has a --shard of its own"
	run_sbx 125 test -n 2 --shard 1/2 -- sbx lease -- true
	assert_has "$output" "no runner took --shard, so each machine would have run all of them"
}
