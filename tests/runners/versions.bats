#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The small suite of tests/runners/playwright under sbx test, as it stands, with the Playwright in $RUNNERS/node_modules:
# scripts/test-playwright runs this for each version, beside the helpers of the scenarios.
load workers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME RECORD=/mnt/record
	unset XDG_RUNTIME_DIR CI
	export runs=()
	cd "$tree" || return 1
	mkdir records
	cp -r "$BATS_TEST_DIRNAME/../runners/playwright/." .
	ln -s "$RUNNERS/node_modules" node_modules
	# A manager looks at what it has installed.
	[[ ! -e $RUNNERS/yarn.lock ]] || cp "$RUNNERS/package.json" "$RUNNERS/yarn.lock" .
}

# run_suite STATUS N ARGUMENT…: the suite in N worlds, by the manager's words; the tests tell each where it was.
run_suite() {
	local launcher
	read -ra launcher <<<"$LAUNCHER"
	run_sbx "$1" test -n "$2" ${SBX_SHARD:+--shard auto} -v "$PWD/records:/mnt:rw" -- "${launcher[@]}" "${@:3}"
}

# records FILTER: those that jq's filter lets through, of the tests that ran.
records() {
	jq -rc "select($1)" records/record
}

@test "playwright $PLAYWRIGHT: a config with one worker runs four wide, while its port on the host is taken" {
	# Its own children are ended by the tests' end.
	node -e 'require("net").createServer().listen(4444, "127.0.0.1", () => console.log("taken"))' >taken 3>&- &
	local holder=$!
	wait_for grep -q taken taken
	run_suite 0 4
	kill "$holder"
	wait "$holder" || true
	assert_has "$output" "using 4 workers"
	assert_has "$output" "10 passed"
	assert_has "$output" "3 flaky"
	# Each test in the world of its parallel index, all four used; setup and teardown in the runner's.
	assert_same "" "$(records '.project == "main" and .SBX_WORKER != .TEST_PARALLEL_INDEX')"
	assert_same 4 "$(records '.project == "main" and (.title | startswith("together"))' | jq -r .SBX_WORKER | sort -u | wc -l)"
	assert_same "" "$(records '.project != "main" and .SBX_LEASE == null')"
	assert_same "" "$(records '.project == "main" and (.FROM_SETUP != "token" or .NODE_OPTIONS != null or .SBX_LEASE != null)')"
	# Artifacts are on the host.
	[[ -s out/junit.xml && -s playwright-report/index.html && -s test-results/.last-run.json ]]
}

@test "playwright $PLAYWRIGHT: one world is the runner's own" {
	run_suite 0 1 serial
	assert_has "$output" "5 passed"
	assert_same "" "$(records '.SBX_WORKER != "0"')"
}

@test "playwright $PLAYWRIGHT: two shards are the whole, and no test is in both" {
	for shard in 1/2 2/2; do
		SBX_SHARD=$shard run_suite 0 2 --project main --no-deps --grep-invert 'together|dies|killed|red'
		records true | jq -r .title | sort >"records/titles-${shard%/2}"
		rm records/record
	done
	assert_same "" "$(comm -12 records/titles-1 records/titles-2)"
	assert_same 3 "$(cat records/titles-1 records/titles-2 | sort -u | wc -l)"
}
