# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # output and status are bats' own
# For scenarios about pools: what they start is ended, and nothing of it may be left.
load workers

teardown() {
	"$SBX" down --all >/dev/null 2>&1
	wait "${runs[@]}"
	"$SBX" rm --all --force
	cd / && rm -rf "$tree" "$XDG_STATE_HOME"
}

# up_detached [OPTION…]: a pool; its name is in $pool.
up_detached() {
	run --separate-stderr "$SBX" up -d "$@" 3>&-
	printf '%s\n%s\n-> %s\n' "$output" "$stderr" "$status"
	[[ $status -eq 0 ]] || return 1
	# shellcheck disable=SC2034 # the tests' own
	pool=$output
}

# up_foreground [OPTION…]: a pool in the background of the test; returns when it is ready. $up is its pid; what it printed
# is in $XDG_STATE_HOME/up.out and .err.
up_foreground() {
	"$SBX" up "$@" >"$XDG_STATE_HOME/up.out" 2>"$XDG_STATE_HOME/up.err" </dev/null 3>&- &
	up=$!
	runs+=("$up")
	if ! wait_for grep -q 'ready: sbx lease' "$XDG_STATE_HOME/up.err"; then
		cat "$XDG_STATE_HOME/up.out" "$XDG_STATE_HOME/up.err"
		return 1
	fi
}

# pid_of WORKER: of its PID 1, on the host.
pid_of() {
	"$SBX" ps --format json | /usr/bin/python3 -c "
import json, sys
print(next(w['pid'] for w in json.load(sys.stdin) if w['name'].endswith('$1')))"
}

assert_nothing_left() {
	run_sbx 0 ps -q
	assert_same "" "$output"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/runs" "$XDG_STATE_HOME/sbx/run" "$XDG_STATE_HOME/sbx/uppers" "$XDG_STATE_HOME/sbx/trash" -mindepth 1 2>/dev/null)"
}
