#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2154 # for the inner shells; set by the helpers
# What happens around a test run that nobody meant: another run, a tree that changes, a disk that is full.
load workers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	runs=()
	cd "$tree" || return 1
	mkdir out
}

# start NAME COMMAND: two items in two worlds, in the background; each runs the command, with out as /mnt.
start() {
	"$SBX" test -n 2 -v "$PWD/out:/mnt:rw" --artifacts results/ --items 'mkdir -p results; seq 2' -- sh -c "$2" item {} >"$XDG_STATE_HOME/$1" 2>&1 3>&- &
	runs+=("$!")
}

# end NAME PID STATUS
end() {
	local got=0
	wait "$2" || got=$?
	cat "$XDG_STATE_HOME/$1"
	assert_same "$3" "$got"
}

nothing_left() {
	assert_same "" "$("$SBX" ps -q)"
	assert_same "" "$(find "$XDG_STATE_HOME"/sbx/uppers "$XDG_STATE_HOME"/sbx/run "$XDG_STATE_HOME"/sbx/runs/*/seed-* -mindepth 1 2>/dev/null)"
}

@test "two runs at once in one tree do not meet: the same port, the same files, and whole artifacts" {
	printf '%s\n' 'services:' '  web: { command: python3 -u -m http.server 4444 --bind 127.0.0.1, ready: { port: 4444 } }' >sbx.yaml
	for name in one two; do
		start "$name" 'echo '"$name"' >mine; until [ -e /mnt/go ]; do : >/mnt/'"$name"'-$1; sleep 0.01; done; curl -sf http://localhost:4444/mine | grep -x '"$name"' && echo whole >results/$1'
	done
	wait_for test -e out/one-1 -a -e out/one-2 -a -e out/two-1 -a -e out/two-2
	touch out/go
	end one "${runs[0]}" 0
	end two "${runs[1]}" 0
	assert_same $'whole\nwhole' "$(cat results/1 results/2)"
	[[ ! -e mine ]]
	nothing_left
}

@test "a tree that changes under the run: the run goes on, and the changes are as they were made" {
	echo before >kept
	echo before >removed
	mkdir deep
	start changed 'until [ -e /mnt/go ]; do : >/mnt/here-$1; sleep 0.01; done; cat kept >/dev/null; echo mine >>kept; echo "$1" >new-$1; echo "done" >results/$1'
	wait_for test -e out/here-1 -a -e out/here-2
	echo after >kept
	rm removed
	mv deep deeper
	echo added >added
	touch out/go
	end changed "${runs[0]}" 0
	assert_same $'done\ndone' "$(cat results/1 results/2)"
	assert_same after "$(cat kept)"
	assert_same added "$(cat added)"
	[[ -d deeper && ! -e removed && ! -e new-1 ]]
	nothing_left
}

@test "a full disk while a failed worker is kept: the run's status stands, it is told, and nothing half is left" {
	if ! unshare --map-root-user --mount true 2>/dev/null; then
		skip "an ordinary user cannot mount here"
	fi
	[[ $places == tmpfs* ]] || return 0 # on a disk that is full no world can be made
	cat >full.sh <<-'END'
		set -e
		mkdir small
		mount -t tmpfs -o size=4m,mode=700 none small
		export XDG_STATE_HOME=$PWD/small
		status=0
		"$SBX" test -n 2 --items 'seq 2' -- sh -c 'head -c 8M /dev/urandom >big; test $1 = 1' item {} 2>&1 || status=$?
		echo "status $status"
		echo "left: $(find small/sbx/kept small/sbx/uppers small/sbx/runs -name big 2>/dev/null)"
		"$SBX" ps -a -q | sed 's/^/listed: /'
		"$SBX" test -n 2 --items 'seq 2' -- true item {}
		echo again
	END
	run env SBX="$SBX" unshare --map-root-user --mount bash full.sh
	echo "$output"
	assert_same 0 "$status"
	assert_has "$output" "status 1"
	assert_has "$output" "No space left on device"
	assert_has "$output" "again"
	[[ $output == *"left: "$'\n'* && $output != *"listed: "* ]]
}

@test "SIGKILL of sbx test, and of its runner: no process of four worlds is left" {
	local victim mark held
	cat >runner.sh <<-'END'
		for number in 1 2 3 4; do
			sbx lease -- bash -c "exec -a held-$1 sleep 1000" &
		done
		wait
	END
	for victim in sbx runner; do
		mark=$$-$BATS_TEST_NUMBER-$victim
		"$SBX" test -n 4 -- bash -c "exec -a runner-$mark bash runner.sh $mark" >"$XDG_STATE_HOME/$victim.out" 2>&1 3>&- &
		runs+=("$!")
		wait_for bash -c "[[ \$(pgrep -c -f '^held-$mark') -eq 4 ]]"
		held=$(pgrep -f "^(held|runner)-$mark" | wc -l)
		assert_same 5 "$held"
		if [[ $victim == sbx ]]; then
			kill -KILL "${runs[-1]}"
		else
			kill -KILL "$(pgrep -f "^runner-$mark")"
		fi
		wait_for bash -c "! pgrep -f '^(held|runner)-$mark' >/dev/null"
		wait "${runs[-1]}" || true
		nothing_left
	done
}

@test "artifacts that sbx.yaml names where worlds see nothing, since it is hidden: the host's stay as they are" {
	export HOME=$tree/home
	mkdir -p "$HOME/.ssh" "$HOME/.config/gh" "$HOME/project"
	echo mine | tee "$HOME/.ssh/key" "$HOME/.config/gh/hosts.yml" >/dev/null
	cd "$HOME/project"
	printf 'artifacts: [../.ssh, ../.config, ../.netrc]\n' >sbx.yaml
	run_sbx 0 test -n 2 --items 'seq 2' -- sh -c 'mkdir -p ~/.ssh ~/.config; echo theirs | tee ~/.ssh/key ~/.config/new ~/.netrc' {}
	assert_has "$output" "dropped: $HOME/.ssh, where credentials or sbx's own state lie"
	assert_same $'.config\n.config/gh\n.config/gh/hosts.yml\n.ssh\n.ssh/key' "$(cd .. && find .ssh .config .netrc 2>/dev/null | sort)"
	assert_same $'mine\nmine' "$(cat ~/.ssh/key ~/.config/gh/hosts.yml)"
}

@test "what runs in a worker cannot command the terminal by the words of sbx: a service's last output, a database's name" {
	printf '%s\n' 'services:' '  bad: { command: [sh, -c, "printf \"x\\033]0;title\\007y\\n\"; exit 3"], ready: { port: 4444 } }' >sbx.yaml
	run_sbx 125 up -d
	assert_has "$output" 'its last output: x\x1b]0;title\x07y'
	rm sbx.yaml
	for name in $'a\e]0;title\a.db' $'b\e]0;title\a.db'; do
		sqlite3 "$name" 'CREATE TABLE T(a)'
	done
	run_sbx 1 test --items 'echo one' -- sh -c 'exit 1' {}
	assert_has "$output" "db shell"
	assert_has "$output" '/a\x1b]0;title\x07.db'
	[[ $output != *$'\e'* ]]
}
