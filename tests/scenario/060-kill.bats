#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2317 # functions that wait_for calls
# P4, P7: something goes wrong at each system call of the start: tests/fault/each_syscall.c. A sample that differs from
# time to time (its seed is printed; SBX_KILL_SEED=N repeats it), all of them with SBX_KILL_ALL=1, `make test-fault`.
load helpers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	cd "$tree" || return 1
	fault=$TOOLS/../fault
	mkdir -p "$HOME/.ssh" source
	echo key >"$HOME/.ssh/id"
	cp "$fault/posture" .
	sqlite3 TestDb.db 'create table t(x); insert into t values(1)'
	before=$(sha256sum TestDb.db)
	step=${SBX_KILL_ALL:+1}
	step=${step:-8}
	seed=${SBX_KILL_SEED:-$RANDOM}
	printf '# seed %s\n' "$seed" >&3
}

teardown() {
	cd / || return 1
	if [[ -z ${SBX_TEST_KEEP:-} || -n ${BATS_TEST_COMPLETED:-} ]]; then
		rm -rf "$tree" "$XDG_STATE_HOME"
	fi
}

# at_each_call MODE [OPTION…]: at its system calls, or each $step-th of them.
at_each_call() {
	run "$fault/each_syscall" "$1" $((seed % step)) "$step" "$SBX" run "${@:2}" -- ./posture
	printf '%s\n' "$output"
	grep '^# ' <<<"$output" | tail -1 >&3
	assert_same 0 "$status"
	# P1: the payload writes into both.
	[[ ! -e sbx-posture && ! -e $HOME/sbx-posture ]]
	assert_same "$before" "$(sha256sum TestDb.db)"
	assert_same $'TestDb.db\nposture\nsource' "$(ls -A)"
}

@test "P4, finding 54: sbx is killed at each system call of its own" {
	at_each_call kill-owner
}

@test "P4, finding 54: sbx run --keep is killed at each system call of its own" {
	at_each_call kill-owner --keep
}

@test "P4, finding 54: sbx is killed while its PID 1 is at each system call of the start" {
	at_each_call orphan-init
}

@test "P4, finding 54: sbx is killed while the payload is at each system call before it executes" {
	at_each_call orphan-payload
}

@test "P4: PID 1 is killed at each system call of the start" {
	at_each_call kill-init
	at_each_call kill-payload
}

@test "P4: the same with the layer on disk, a stub link and volumes: one directory is left, the next command removes it" {
	export SBX_UPPER=disk
	step=$((step * 2))
	at_each_call kill-owner --net online -v source:/run/in:O -v source:/run/out:rw --tmpfs /mnt
	at_each_call orphan-init --net online -v source:/run/in:O -v source:/run/out:rw --tmpfs /mnt
}

@test "P7: each system call of sbx fails: status 125 with words, or a payload that is protected" {
	for number in EPERM ENOMEM EMFILE; do
		at_each_call $number-owner
		seed=$((seed + 3))
	done
}

@test "P7: each system call of PID 1 fails: status 125 with words, or a payload that is protected" {
	for number in EPERM ENOMEM EINVAL ENOSPC EIO; do
		at_each_call $number-init
		seed=$((seed + 2))
	done
}

@test "P7: each system call of the payload before it executes fails: status 125 with words, or it is protected" {
	for number in EPERM EINVAL ENOMEM; do
		at_each_call $number-payload
		seed=$((seed + 3))
	done
}

@test "P4, P7: what makes the network is held, killed or fails at each of its system calls" {
	step=1
	at_each_call orphan-network
	at_each_call kill-network
	for number in EPERM EINVAL ENOMEM; do
		at_each_call $number-network
	done
}

@test "P4: four workers at once, killed at random: nothing of any is left" {
	local -a pids
	RANDOM=$seed
	for _ in 1 2 3 4 5 6; do
		pids=()
		for worker in 1 2 3 4; do
			"$SBX" run -e MARK="$tree" -- sleep 600 3>&- &
			pids[worker]=$!
		done
		for worker in 1 2 3 4; do
			sleep "0.0$((RANDOM % 3))$((RANDOM % 10))" # the moment of the kill varies; nothing is waited for
			kill -9 "${pids[worker]}"
		done
		wait "${pids[@]}" || true
	done
	none_left() { ! grep -qzxF "MARK=$tree" /proc/[0-9]*/environ 2>/dev/null; }
	wait_for none_left
	run_sbx 0 ps --quiet
	assert_same "" "$output"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx" -mindepth 2)"
}
