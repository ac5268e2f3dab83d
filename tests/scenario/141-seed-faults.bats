#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2154 # for the inner shell; set by the helpers
# Seeds while something goes wrong: killed at each step, a full disk at each step, many at once. A sample of the system
# calls, another one each time (its seed is printed; SBX_KILL_SEED=N repeats it), all of them with SBX_KILL_ALL=1.
bats_require_minimum_version 1.5.0
load pools

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	cd "$tree" || return 1
	unset XDG_RUNTIME_DIR
	export XDG_STATE_HOME=$tree.state
	mkdir "$XDG_STATE_HOME" source "$HOME/.ssh" -p
	echo key >"$HOME/.ssh/id"
	runs=()
	fault=$TOOLS/../fault
	[[ -d $fault ]] || fault=$TOOLS
	cp "$fault/posture" .
	sqlite3 app.db "CREATE TABLE T(a); INSERT INTO T VALUES (1)"
	step=${SBX_KILL_ALL:+1}
	step=${step:-16}
	seed=${SBX_KILL_SEED:-$RANDOM}
	printf '# seed %s\n' "$seed" >&3
	RANDOM=$seed
}

teardown() {
	"$SBX" rm --all --force >/dev/null 2>&1 || true
	wait "${runs[@]}" || true
	"$SBX" seed rm --all >/dev/null 2>&1 || true
	"$SBX" prune >/dev/null 2>&1 || true
	cd / && rm -rf "$tree" "$XDG_STATE_HOME"
}

make_seed() {
	run_sbx 0 seed create m -- sh -c 'echo built >built; rm source -r; sqlite3 app.db "INSERT INTO T VALUES (2)"'
}

# assert_whole: the seed m is as make_seed() makes it, and there is nothing else in /var/tmp or among the seeds.
assert_whole() {
	run_sbx 0 run --seed m -- sh -c 'cat built; test ! -e source; sqlite3 app.db "PRAGMA integrity_check; SELECT group_concat(a) FROM T"'
	assert_same $'built\nok\n1,2' "$output"
	run_sbx 0 prune
	assert_same $'.lock\nm' "$(ls -A "$XDG_STATE_HOME/sbx/seeds")"
	assert_same 1 "$(find "$XDG_STATE_HOME/sbx" -name place | wc -l)"
	assert_same "$(find "$XDG_STATE_HOME/sbx/seeds" -name place -exec readlink {} +)" "$(grep -ls "$tree" /var/tmp/sbx-layers-*/layers | xargs -r dirname)"
}

# at_each_call MODE ARGUMENT…: sbx with these, at its system calls, or each $step-th of them.
at_each_call() {
	run "$fault/each_syscall" "$1" $((RANDOM % step)) "$step" "$SBX" "${@:2}"
	printf '%s\n' "$output"
	grep '^# ' <<<"$output" | tail -1 >&3
	assert_same 0 "$status"
}

@test "SIGKILL at each system call of seed create, its world's too: the one that was there serves, and nothing is left" {
	make_seed
	for mode in kill-owner kill-init orphan-init kill-payload orphan-payload; do
		at_each_call "$mode" seed create other -- ./posture
		# As often as not it was killed behind the last step.
		"$SBX" seed rm other || true
		assert_whole
	done
}

@test "SIGKILL while the world is frozen: the same" {
	command -v strace >/dev/null || skip "strace is missing"
	make_seed
	killed=0
	# What the freeze calls, which is a process of the world.
	for call in mkdirat openat2 mknodat fsetxattr utimensat fchown pwrite64 renameat unlinkat sendmsg; do
		# PID 1 and sbx call most of them, too: each process counts its own.
		when=$((RANDOM % 4 + 1))
		run strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$when" \
			"$SBX" seed create m -e N="$call" -- sh -c 'echo built >built; rm source -r; sqlite3 app.db "INSERT INTO T VALUES (2)"'
		echo "$call $when: $status $output"
		killed=$((killed + (status != 0)))
		assert_whole
	done
	echo "killed: $killed"
	[[ $killed -ge 4 ]]
}

@test "SIGKILL at each system call of a world that starts from a seed: the seed stays whole" {
	make_seed
	for mode in kill-owner kill-init orphan-init kill-payload; do
		at_each_call "$mode" run --seed m -- ./posture
	done
	assert_whole
	# Nobody holds it any more.
	run_sbx 0 seed rm m
}

@test "SIGKILL at each step of commit: the worker stays, the seed of that name too" {
	command -v strace >/dev/null || skip "strace is missing"
	make_seed
	"$SBX" run --keep --name k --seed m -- true 3>&-
	killed=0
	for call in symlinkat mkdirat mkdir memfd_create openat2 fsetxattr pwrite64 renameat renameat2 syncfs fsync flock; do
		when=$((RANDOM % 3 + 1))
		run strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$when" "$SBX" commit k m
		echo "$call $when: $status $output"
		killed=$((killed + (status != 0)))
		run_sbx 0 exec k cat built
		assert_same built "$output"
		assert_whole
	done
	echo "killed: $killed"
	[[ $killed -ge 4 ]]
}

@test "each system call of seed create fails: status 125 with words, or a seed that is whole" {
	make_seed
	# Of its world's start 060-kill.bats looks at each.
	for number in ENOSPC EIO EMFILE; do
		at_each_call $number-owner seed create other -- ./posture
	done
	run_sbx 0 seed rm other
	assert_whole
}

@test "16 at once make, use, replace and remove a seed, killed at random: each is whole or says why not, nothing is left" {
	one() {
		RANDOM=$1
		for _ in 1 2 3; do
			# The moment of the kill varies; nothing is waited for.
			patience="0.0$((RANDOM % 10))$((RANDOM % 10))"
			((RANDOM % 2)) || patience=60
			case $((RANDOM % 6)) in
			0 | 1) timeout -s KILL $patience "$SBX" seed create m -- sh -c 'echo built >built; rm source -r; sqlite3 app.db "INSERT INTO T VALUES (2)"' || true ;;
			2 | 3 | 4) timeout -s KILL $patience "$SBX" run --seed m -- sh -c 'cat built; sqlite3 app.db "SELECT group_concat(a) FROM T"' || true ;;
			5) timeout -s KILL $patience "$SBX" seed rm m || true ;;
			esac
		done
	}
	for i in {1..16}; do
		one $((seed + i)) >"$XDG_STATE_HOME/$i.out" 2>"$XDG_STATE_HOME/$i.err" 3>&- &
		runs+=("$!")
	done
	wait "${runs[@]}"
	cat "$XDG_STATE_HOME"/*.{out,err}
	assert_same "" "$(cat "$XDG_STATE_HOME"/*.out | grep -vxE 'built|1,2|m' || true)"
	assert_same "" "$(cat "$XDG_STATE_HOME"/*.err | grep -vE "Killed|another sbx makes it|: made|cannot find the seed|'sbx seed ls' lists|it is just being removed|its files are gone|make it anew|a live worker started from it|end it first|uses it" || true)"
	make_seed
	assert_whole
}

@test "a disk that is full at each step of seed create: named, nothing half made is used or left" {
	if ! unshare --map-root-user --mount true 2>/dev/null; then
		skip "an ordinary user cannot mount here"
	fi
	[[ $places == tmpfs* ]] || skip "tmpfs takes no user attributes here: nothing small can hold layers"
	rm posture
	cp "$SBX" sbx
	cat >full.sh <<'END'
mount --bind . /mnt
cd /mnt || exit 1
for files in 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do
	mount -t tmpfs -o nr_inodes=$files,mode=1777 none /var/tmp || exit 1
	mkdir /var/tmp/state || exit 1
	status=0
	"$SBX" seed create m -- sh -c 'echo built >built; sqlite3 app.db "INSERT INTO T VALUES (2)"' >out 2>&1 || status=$?
	[ $status -eq 0 ] || grep -q -e "No space left" -e "is full" out || echo "$files: no words"
	used=$("$SBX" run --seed m -- sqlite3 app.db 'SELECT group_concat(a) FROM T' 2>>out)
	echo "$status $used $(ls /var/tmp | wc -l)"
	[ $status -eq 0 ] || cat out >&2
	umount /var/tmp
done
END
	# With the layers in memory: on the same full disk what is built in the world would fail first.
	run --separate-stderr env SBX=/mnt/sbx SBX_UPPER=tmpfs HOME=/mnt XDG_STATE_HOME=/var/tmp/state unshare --map-root-user --mount sh full.sh
	echo "$output"
	echo "$stderr"
	assert_same $'0 1,2 2\n125  1' "$(sort -u <<<"$output")"
	assert_has "$stderr" "cannot lock the seed 'm': No space left on device"
	assert_has "$stderr" "the disk that it is copied to is full"
	assert_has "$stderr" "cannot write the seed 'seed.json'"
}
