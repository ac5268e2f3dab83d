#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Leases of a pool: exclusive, fair, free again however their holder ends. SBX_LEASES=10000 for the long sample.
bats_require_minimum_version 1.5.0
load pools

@test "lease: the command has the worker's number, the caller's directory, variables and streams" {
	mkdir sub
	up_detached -n 2
	cd sub
	MINE=1 run_sbx 0 lease --slot 1 -e MORE=2 -- sh -c 'echo "$SBX_WORKER $SBX_WORKERS $MINE $MORE"; pwd'
	assert_same "1 2 1 2"$'\n'"$tree/sub" "$output"
	run_sbx 7 lease -- sh -c 'exit 7'
	run_sbx 127 lease -- /no/such/program
	run_sbx 124 lease --timeout 100ms -- sleep 100
	assert_same in "$(echo in | "$SBX" lease -- cat)"
	GITHUB_TOKEN=x run_sbx 0 lease -- sh -c 'echo "[$GITHUB_TOKEN]"'
	assert_same "[]" "$output"
}

@test "lease: what one left the next finds, and what it left running is ended" {
	up_detached -n 1
	run_sbx 0 lease -- sh -c 'echo row >rows; sleep 1000 >/dev/null 2>&1 & echo $!'
	run_sbx 0 lease -- sh -c "cat rows; ! kill -0 $output 2>/dev/null"
	assert_same row "$output"
}

@test "lease: waits for a free worker, --wait-timeout ends that with 125" {
	up_detached -n 1
	mkfifo go
	"$SBX" lease -- sh -c 'echo taken; read -r _' <go >taken 3>&- &
	runs+=("$!")
	exec 9>go
	wait_for grep -q taken taken
	run_sbx 125 lease --wait-timeout 100ms -- true
	assert_has "$output" "none was free in time"
	"$SBX" lease -- echo 2nd >second 3>&- 9>&- &
	waiting=$!
	# It queues behind this one, and times out there.
	run_sbx 125 lease --wait-timeout 100ms -- true
	exec 9>&-
	wait "$waiting"
	assert_same 2nd "$(cat second)"
	# --timeout is the command's own.
	run_sbx 124 lease --timeout 100ms -- sleep 1000
	run_sbx 0 lease -- true
}

@test "lease: SIGKILL of its holder frees the worker, and ends the command" {
	up_detached -n 1
	"$SBX" lease -- sh -c 'echo taken; exec sleep 4321' >taken 3>&- &
	holder=$!
	wait_for grep -q taken taken
	kill -KILL "$holder"
	run_sbx 0 lease --wait-timeout 10s -- sh -c '! pgrep -f "sleep 432[1]"'
}

@test "lease: --reset-after makes the worker anew: each, or when the command failed" {
	echo 'services: { web: { command: "python3 -m http.server 5555", ready: { port: 5555 } } }' >sbx.yaml
	up_detached -n 1
	run_sbx 0 lease -- touch kept
	run_sbx 0 lease --reset-after fail -- test -e kept
	run_sbx 1 lease --reset-after fail -- test ! -e kept
	run_sbx 0 lease --reset-after each -- sh -c 'test ! -e kept && touch made'
	run_sbx 0 lease -- test ! -e made
	run_sbx 0 lease -- python3 -c 'import urllib.request; urllib.request.urlopen("http://localhost:5555/")'
	run_sbx 0 down
	assert_nothing_left
}

@test "lease: a dead world of a detached pool is made anew, as it was" {
	echo 'services: { web: { command: "echo v{worker} >version; exec sleep 1000", ready: { cmd: test -e version } } }' >sbx.yaml
	up_detached -n 2 -e MARK=given
	# What changes now is not the pool's.
	echo 'services: { web: { command: "echo new >version; exec sleep 1000" } }' >sbx.yaml
	kill -KILL "$(pid_of w1)"
	run_sbx 0 lease --slot 1 --wait-timeout 20s -- sh -c 'cat version'
	assert_same v1 "$output"
	run_sbx 0 exec w1 sh -c 'echo $MARK'
	assert_same given "$output"
	run_sbx 0 down
	assert_nothing_left
}

@test "lease: a pool whose services cannot be started anew is an error that says why" {
	mkdir out
	echo 'services: { web: { command: "test ! -e /tmp/out/broken || exit 5; echo up; exec sleep 1000", ready: { stdout: up } } }' >sbx.yaml
	up_detached -n 1 -v "$PWD/out:/tmp/out:rw"
	touch out/broken
	kill -KILL "$(pid_of w0)"
	run_sbx 125 lease --wait-timeout 20s -- true
	assert_has "$output" "cannot make a worker anew"
	assert_has "$output" "status 5"
}

@test "lease: a service that has died makes the next lease wait for a new worker" {
	echo 'services: { web: { command: "python3 -m http.server 5555", ready: { port: 5555 } } }' >sbx.yaml
	up_detached -n 1
	# Until PID 1 has reaped it, and so knows.
	run_sbx 0 lease -- sh -c 'touch old; pkill -KILL -f "http[.]server"; while pgrep -f "http[.]server" >/dev/null; do :; done'
	run_sbx 0 lease -- python3 -c 'import os, urllib.request
urllib.request.urlopen("http://localhost:5555/"); assert not os.path.exists("old")'
}

@test "lease: a world that 'sbx kill' ended is made anew, as after a crash; one that was told to stop is not" {
	up_detached -n 1 -- sleep 1000
	run_sbx 0 exec w0 touch old
	run_sbx 0 kill w0
	run_sbx 0 lease --wait-timeout 20s -- test ! -e old
	run_sbx 0 stop w0
	run_sbx 125 lease --wait-timeout 20s -- true
	assert_has "$output" "it was stopped with 'sbx stop'"
}

@test "lease: the shared services of a detached pool are made anew when they have died, and the workers that lost them" {
	cat >visits.js <<-'END'
		let visits = 0;
		require('node:http').createServer((q, r) => r.end(`visit ${++visits}`)).listen(1025, '127.0.0.1');
	END
	echo 'services: { visits: { command: [node, visits.js], ready: { port: 1025 }, shared: true }, web: { command: [sleep, "1000"] } }' >sbx.yaml
	up_detached -n 2 --name post
	visit() {
		run_sbx 0 lease --slot "$1" --wait-timeout 20s -- curl -sS http://localhost:1025/
		assert_same "visit $2" "$output"
	}
	visit 0 1
	# Its PID 1.
	kill -KILL "$(pid_of shared)"
	visit 0 1
	visit 1 2
	# The service, in a world that goes on; until its PID 1 has reaped it, and so knows.
	run_sbx 0 exec post.shared sh -c 'pid=$(pgrep -f visits[.]js); kill -KILL $pid; while [ -e /proc/$pid ]; do :; done'
	visit 1 1
	visit 0 2
	run_sbx 0 kill post.shared
	visit 0 1
	assert_same $'post.shared\npost.w0' "$("$SBX" ps -q | grep -v w1 | sort)"
	# Meant is meant.
	run_sbx 0 stop post.shared
	run_sbx 125 lease --wait-timeout 20s -- true
	assert_has "$output" "cannot make a worker anew 'post': worker w0: shared services: cannot reach the world 'post': it was stopped with 'sbx stop'
  'sbx down' and 'sbx up -d' start the pool anew"
	run_sbx 0 down
	assert_nothing_left
}

@test "lease: what only its holder may do says how to wait for one's turn" {
	up_detached -n 1
	"$SBX" lease -- sleep 1000 3>&- &
	runs+=("$!")
	wait_for bash -c '"$SBX" exec w0 pgrep -x sleep' >/dev/null
	for how in "" --restart; do
		# shellcheck disable=SC2086 # an option, or none
		run_sbx 125 reset $how w0
		assert_has "$output" "somebody has leased it
  'sbx lease --slot NUMBER --reset-after each -- true' waits for its turn, and does it then"
	done
	kill "${runs[-1]}"
	run_sbx 0 lease --slot 0 --reset-after each -- true
}

@test "lease: without a pool, of one that ended, of a worker that was stopped" {
	run_sbx 125 lease -- true
	assert_has "$output" "sbx up -d"
	up_detached -n 1
	run_sbx 125 lease --slot 7 -- true
	run_sbx 0 stop w0
	run_sbx 125 lease -- true
	assert_has "$output" "it was stopped"
}

@test "lease: 16 competing clients with random kills: never two in one worker, nobody starves" {
	up_detached -n 3
	run "$BATS_TEST_DIRNAME/lease-stress" "${SBX_LEASES:-500}" 16
	echo "$output"
	assert_same 0 "$status"
	assert_same 3 "$("$SBX" ps -q | wc -l)"
}

@test "lease: many one after the other leave nothing behind, and their workers do not grow" {
	up_detached -n 2
	run "$BATS_TEST_DIRNAME/lease-growth" "${SBX_LEASES:-100}"
	echo "$output"
	assert_same 0 "$status"
}
