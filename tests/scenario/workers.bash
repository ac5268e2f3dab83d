# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # output, status and stderr are bats' own
# For scenarios about live and kept workers: each test has a state directory of its own.
load helpers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	runs=()
	cd "$tree" || return 1
}

teardown() {
	"$SBX" rm --all --force
	wait "${runs[@]}"
	cd / && rm -rf "$tree" "$XDG_STATE_HOME"
}

is_running() {
	[[ $("$SBX" ps --quiet --filter status=running --filter name="$1") == *"$1"* ]]
}

is_gone() {
	[[ $("$SBX" ps --quiet) != *"$1"* ]]
}

# start_worker NAME [OPTION…] -- COMMAND…: a worker in the background; returns when its command runs. What it printed is
# in $XDG_STATE_HOME/NAME.out and .err.
start_worker() {
	local name=$1
	shift
	"$SBX" run --name "$name" "$@" >"$XDG_STATE_HOME/$name.out" 2>"$XDG_STATE_HOME/$name.err" </dev/null 3>&- &
	runs+=("$!")
	if ! wait_for is_running "$name"; then
		cat "$XDG_STATE_HOME/$name.out" "$XDG_STATE_HOME/$name.err"
		return 1
	fi
}

# wait_worker NAME: until it has ended, and what it leaves is kept.
wait_worker() {
	wait_for is_gone "$1"
}

# assert_fits SCHEMA [--lines]: $output is JSON as scripts/schema/SCHEMA.json says.
assert_fits() {
	local schemas=$BATS_TEST_DIRNAME/schema
	[[ -d $schemas ]] || schemas=$BATS_TEST_DIRNAME/../../scripts/schema
	printf '%s\n' "$output" | "$BATS_TEST_DIRNAME/check-schema" "$schemas/$1.json" "${@:2}"
}

# json EXPRESSION: of the document d in $output, as Python writes it.
json() {
	printf '%s' "$output" | /usr/bin/python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"
}
