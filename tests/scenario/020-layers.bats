#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Where the writable layer lies, what it holds, and what is left of it.
load helpers

uppers() { echo "${XDG_STATE_HOME:-$HOME/.local/state}/sbx/uppers"; }

# What is in the directory on disk for writable layers; nothing where there is none.
left_in() { ls -A "$1" 2>/dev/null || true; }

# with_mounts COMMANDS COMMAND…: COMMANDS mount what they like, in a mount namespace of their own; COMMAND is run there
# as the caller, who cannot undo it.
with_mounts() {
	local mounting=$1
	shift
	unshare -rm bash -ec "$mounting"'
		exec unshare -U --map-user='"$(id -u)"' --map-group='"$(id -g)"' "$@"' bash "$@"
}

# rename(2) and nothing else: mv copies where that is refused.
rename() { printf '%s\n' "perl -e 'rename(\$ARGV[0], \$ARGV[1]) or die qq(\$!\\n)' $1 $2"; }

# What an overlay has to be able to do: finding 35 says where tmpfs fails at it.
overlay_works='
	rmdir below && mkdir below && rm -r full && mkdir full && echo x >full/x && mv full moved &&
	mkdir new && mv new newer && rm newer/* 2>/dev/null; rmdir newer && ln moved/x link && cat link'

@test "finding 35: the writable layer works in memory and on disk alike" {
	for place in $places; do
		mkdir -p below full/dir
		SBX_UPPER=$place run_sbx 0 run -- sh -c "$overlay_works"
		assert_same x "$output"
		assert_same "below full" "$(echo *)"
	done
	SBX_UPPER=floppy run_sbx 125 run -- true
	assert_has "$output" "cannot use the variable SBX_UPPER 'floppy'"
}

@test "finding 35: a tmpfs without user attributes means disk, said once; one that deceived the probe is refused" {
	unset SBX_UPPER
	mkdir -p below full/dir
	# Without -f only sbx itself is traced: its first look is at the tmpfs, its second at the disk.
	run strace -o trace -e trace=fsetxattr -e inject=fsetxattr:error=EOPNOTSUPP:when=1 "$SBX" run -- sh -c "$overlay_works"
	echo "$output"
	assert_same 0 "$status"
	assert_same 1 "$(grep -c 'sbx: degraded: disk upper: this kernel' <<<"$output")"
	assert_has "$output" $'\nx'
	assert_same "" "$(left_in "$(uppers)")"
	SBX_UPPER=tmpfs run strace -f -o trace -e trace=fsetxattr -e inject=fsetxattr:error=EOPNOTSUPP:when=1 "$SBX" run -- true
	echo "$output"
	assert_same 125 "$status"
	assert_has "$output" "cannot use the writable layer 'tmpfs': its file system takes no user attributes"
	assert_has "$output" "SBX_UPPER=disk"
}

@test "P1, P4: on disk nothing is left after the end, whatever the end, and whatever the payload closed" {
	export SBX_UPPER=disk
	run_sbx 0 run -- sh -c 'mkdir -p a/b c && echo x >a/b/f && chmod 0 a/b a && chmod 0500 c && echo x >~/in-home'
	run_sbx 3 run -- sh -c 'echo x >f; exit 3'
	run_sbx 127 run -- no-such-program
	run_sbx 124 run --timeout 0.2 -- sleep 60
	run_sbx 125 run --db "$tree/none.db" -- true
	assert_same "" "$(left_in "$(uppers)")"
	assert_same "" "$(ls -A)"
}

@test "P4: on disk the layer of a killed sbx is removed by the next command" {
	export SBX_UPPER=disk
	mkfifo alive
	"$SBX" run -v "$tree:/run/out:rw" -- sh -c 'echo x >f; mkdir closed; chmod 0 closed; exec 9>/run/out/alive; echo up >&9; sleep 600' &
	pid=$!
	exec 8<alive
	read -r _ <&8
	[[ -n $(left_in "$(uppers)") ]]
	run_sbx 0 run -- true
	[[ -n $(left_in "$(uppers)") ]] # a living one's stays
	kill -9 $pid
	wait $pid || true
	run timeout 5 cat <&8 # end of file: PID 1 is dead
	exec 8<&-
	none_left() { "$SBX" run -- true && [[ -z $(left_in "$(uppers)") && -z $(left_in "$(uppers)/../trash") ]]; }
	wait_for none_left
}

@test "finding 55: no path leads to the writable layers, the state directory is not seen" {
	mkdir "$BATS_TMPDIR/elsewhere.$$"
	run_sbx 0 run -- sh -c 'echo x >marker-in-tree; find /run /tmp /var/tmp /dev /home /root ~ -name marker-in-tree 2>/dev/null | sort -u'
	assert_same "$tree/marker-in-tree" "$output"
	# What is made while the worker lives is not seen either, where there was nothing at its start.
	rm -rf "$HOME/.local/state"
	mkfifo made started && mkdir -m 700 runtime
	XDG_RUNTIME_DIR=$tree/runtime "$SBX" run -v "$tree:/run/out:rw" -- sh -c 'echo >/run/out/started; read -r _ </run/out/made; cat ~/.local/state/sbx/kept/other/rows' >out 2>/dev/null &
	read -r _ <started
	mkdir -p "$HOME/.local/state/sbx/kept/other" && echo secret >"$HOME/.local/state/sbx/kept/other/rows"
	echo >made
	wait $! || true
	assert_same "" "$(cat out)"
	mkdir -p "$HOME/.local/state/sbx/kept/other" && echo secret >"$HOME/.local/state/sbx/kept/other/rows"
	run_sbx 0 run -- sh -c '! ls ~/.local/state/sbx 2>/dev/null'
	XDG_STATE_HOME=$BATS_TMPDIR/elsewhere.$$ SBX_UPPER=disk run_sbx 0 run -- sh -c '! ls '"$BATS_TMPDIR/elsewhere.$$"'/sbx/uppers 2>/dev/null'
	rm -r "$HOME/.local/state/sbx/kept/other" "$BATS_TMPDIR/elsewhere.$$"
}

@test "finding 55: a state directory out of HOME and the private places is covered, too" {
	# /opt stands for any place of the root: a file system of its own there, as an ordinary user can make it.
	run with_mounts 'mount -t tmpfs t /opt; mkdir -p /opt/state/sbx; chmod 700 /opt/state/sbx; echo secret >/opt/state/sbx/rows' \
		env XDG_STATE_HOME=/opt/state "$SBX" run -- sh -c 'ls /opt/state; ls -A /opt/state/sbx; cat /opt/state/sbx/rows'
	echo "$output"
	[[ $output == sbx* && $output != *secret* && $status -ne 0 ]]
}

@test "--scratch DIR: the layer lies there, hidden, and nothing is left; limits that cannot hold are refused by name" {
	mkdir "$HOME/scratch" && echo mine >"$HOME/scratch/mine"
	mkfifo up
	"$SBX" run --scratch "$HOME/scratch" -v "$tree:/run/out:rw" -- sh -c '
		echo x >~/f; ls ~/scratch >/dev/null 2>&1 && seen=shown; echo ${seen:-hidden} >/run/out/up; exec sleep 600' &
	pid=$!
	read -r seen <up
	assert_same hidden "$seen"
	assert_same 2 "$(find "$HOME/scratch" -mindepth 1 -maxdepth 1 -printf . | wc -c)"
	kill $pid
	wait $pid || true
	assert_same mine "$(ls -A "$HOME/scratch")"
	[[ ! -e $HOME/f ]]
	run_sbx 125 run --scratch "$HOME/scratch" --size 1g -- true
	assert_has "$output" "cannot hold the limit '--size'"
	run_sbx 125 run --scratch "$HOME/scratch" --inodes 1000 -- true
	assert_has "$output" "cannot hold the limit '--inodes'"
	run_sbx 0 run --scratch "$HOME/scratch" --size 1m,try --inodes 1000,try -- sh -c 'head -c 4m /dev/zero >big; ! head -c 4m /dev/zero >/tmp/big 2>/dev/null'
	assert_has "$output" "sbx: degraded: disk limits:"
	for place in "$HOME" "$tree"; do
		run_sbx 125 run --scratch "$place" -- true
		assert_has "$output" "lies in it"
	done
	run_sbx 125 run --scratch "$tree/none" -- true
	assert_has "$output" "cannot open the scratch directory '$tree/none'"
	rm -r "$HOME/scratch"
}

@test "finding 38: layers on an overlay or without user attributes are refused, cause and remedy named" {
	mkdir o && cd "$HOME"
	mount_overlay='mount -t tmpfs t o; mkdir o/l o/u o/w o/m; mount -t overlay -o lowerdir=o/l,upperdir=o/u,workdir=o/w,userxattr o o/m'
	cd "$tree"
	SBX_UPPER=disk run with_mounts "$mount_overlay" env XDG_STATE_HOME="$tree/o/m" "$SBX" run -C "$HOME" -- true
	echo "$output"
	assert_same 125 "$status"
	assert_has "$output" "it lies on an overlay, as in a container"
	assert_has "$output" "--scratch DIR"
	SBX_UPPER=disk run with_mounts "mount -t ramfs r o" env XDG_STATE_HOME="$tree/o" "$SBX" run -C "$HOME" -- true
	echo "$output"
	assert_same 125 "$status"
	assert_has "$output" "takes no user attributes"
}

@test "finding 38: a tree on one overlay works, on two the depth is named" {
	mkdir o
	one='mount -t tmpfs t o; mkdir o/l o/u o/w o/m o/u2 o/w2 o/m2; echo f >o/l/f; mount -t overlay -o lowerdir=o/l,upperdir=o/u,workdir=o/w,userxattr o o/m'
	two='mount -t overlay -o lowerdir=o/m,upperdir=o/u2,workdir=o/w2,userxattr o o/m2'
	run with_mounts "$one" "$SBX" run -C o/m -- sh -c 'cat f; echo x >f; rm f; ls'
	assert_same f "$output"
	run with_mounts "$one; $two" "$SBX" run -C o/m2 -- true
	echo "$output"
	assert_same 125 "$status"
	assert_has "$output" "the kernel stacks no more than two"
}

@test "finding 22, finding 37: a tree with a mount at a first-level name is split: all of it can be changed, nothing of it is" {
	mkdir -p data src/x && echo host >top && chmod 640 top && ln -s top link && mkfifo pipe
	touch closed && chmod 0 closed
	run with_mounts 'mount -t tmpfs t data; echo mounted >data/m' "$SBX" run -- sh -c '
		cat top link data/m && stat -c %a top && readlink link && [ -p pipe ] &&
		echo w >top && echo w >data/m && echo w >src/x/f && rm link && mkdir new && cat data/m'
	echo "$output"
	assert_same $'host\nhost\nmounted\n640\ntop\nw' "$output"
	assert_same host "$(cat top)"
	assert_same "closed data link pipe src top" "$(echo *)"
}

@test "P1, finding 7: the root is read-only with all that is mounted below it" {
	# With --allow-userns there is no Landlock, which would refuse as well.
	for option in --seccomp=default --allow-userns; do
		run with_mounts 'mount -t tmpfs -o mode=777 t /opt; mkdir -m 777 /opt/sub; mount -t tmpfs -o mode=777 t /opt/sub; touch /opt/a /opt/sub/a; chmod 666 /opt/a /opt/sub/a' \
			"$SBX" run $option -- sh -c 'ls /opt/a /opt/sub/a; for place in /opt /opt/sub; do touch $place/b || echo cannot; (echo x >$place/a) || echo cannot; done 2>/dev/null'
		echo "$output"
		assert_same $'/opt/a\n/opt/sub/a\ncannot\ncannot\ncannot\ncannot' "$output"
	done
	# A volume is as much of it as was said.
	for mode in ro rw; do
		run with_mounts 'mount -t tmpfs -o mode=777 t /opt; mkdir -m 777 /opt/sub; mount -t tmpfs -o mode=777 t /opt/sub' \
			"$SBX" run -v "/opt:/run/in:$mode" -- sh -c 'for place in /run/in /run/in/sub; do touch $place/b 2>/dev/null && echo written; done'
		echo "$mode: $output"
		[[ $mode == ro && -z $output || $mode == rw && $output == $'written\nwritten' ]]
	done
}

@test "finding 22, finding 37: databases in a split tree are copies without sidecars" {
	mkdir data
	sqlite3 a.db 'pragma journal_mode=wal; create table t(x); insert into t values(1)' >/dev/null
	mkfifo go
	sqlite3 a.db 'insert into t values(2)' '.shell touch held; cat go' >/dev/null & # holds its -wal
	wait_for test -e held
	run with_mounts 'mount -t tmpfs t data' "$SBX" run -- sh -c 'ls -A; sqlite3 a.db "insert into t values(3); select count(*) from t"'
	echo >go
	wait
	assert_same $'a.db\ndata\ngo\nheld\n3' "$output"
}

@test "P9: the sidecars of a database in use do not show beside its copy" {
	sqlite3 a.db 'pragma journal_mode=wal; create table t(x); insert into t values(1)' >/dev/null
	mkfifo go
	sqlite3 a.db 'insert into t values(2)' '.shell touch held; cat go' >/dev/null &
	wait_for test -e held
	run_sbx 0 run -- sh -c 'ls -A; sqlite3 a.db "insert into t values(3); select count(*) from t"'
	echo >go
	wait
	assert_same $'a.db\ngo\nheld\n3' "$output"
}

@test "finding 22, finding 37: a mount further down is named, with what helps" {
	mkdir -p a/b && echo f >a/f
	run with_mounts 'mount -t tmpfs t a/b' "$SBX" run -- true
	echo "$output"
	assert_same 125 "$status"
	assert_has "$output" "a mount lies below it: $tree/a/b (tmpfs)"
	assert_has "$output" "--copy $tree/a"
	run with_mounts 'mount -t tmpfs t a/b; echo m >a/b/m' "$SBX" run --copy a -- sh -c 'cat a/b/m a/f; echo w >a/f; echo w >a/b/m'
	assert_same $'m\nf' "$output"
	run with_mounts 'mount -t tmpfs t a/b; echo m >a/b/m' "$SBX" run --copy a/b -- sh -c 'cat a/b/m a/f; echo w >a/f; echo w >a/b/m'
	assert_same $'m\nf' "$output"
}

@test "finding 37: a mount below HOME: usual directories writable, the rest read-only, credentials hidden, a tree in it works" {
	cd "$HOME"
	mkdir -p drive .local/share/store/m .local/share/other .docker dotfiles work/app .config/gh
	echo token >.docker/config.json && echo other >.docker/other && echo npm >dotfiles/npmrc && ln -sfn dotfiles/npmrc .npmrc
	echo gh >.config/gh/hosts.yml && echo rc >.rc
	cd work/app && echo host >file
	run with_mounts 'mount -t tmpfs t ~/drive; echo d >~/drive/d; mount -t tmpfs t ~/.local/share/store/m; echo s >~/.local/share/store/m/s' \
		"$SBX" run -- sh -c '
		cat ~/drive/d ~/.local/share/store/m/s ~/.docker/other file ~/.rc || exit 1
		for path in ./file ~/.local/share/other/f ~/.cache/f ~/.config/f ~/new; do
			mkdir -p ${path%/*} && echo w >$path || exit 2
		done
		for path in ~/.docker/other ~/work/f ~/.rc ~/drive/d ~/.local/share/store/m/s; do ! echo w >$path || exit 3; done 2>/dev/null
		cat ~/.docker/config.json ~/.npmrc ~/dotfiles/npmrc ~/.config/gh/hosts.yml 2>/dev/null; true'
	echo "$output"
	assert_same $'d\ns\nother\nhost\nrc' "$output"
	assert_same 0 "$status"
	assert_same host "$(cat file)"
	# -v …:O opens more of it
	run with_mounts 'mount -t tmpfs t ~/drive' "$SBX" run -v "$HOME/dotfiles:$HOME/dotfiles:O" -- sh -c 'echo w >~/dotfiles/f && cat ~/dotfiles/f'
	assert_same w "$output"
	# the tree as first-level name of HOME
	cd "$HOME/dotfiles"
	run with_mounts 'mount -t tmpfs t ~/drive' "$SBX" run -- sh -c 'echo w >f && cat f'
	assert_same w "$output"
	[[ ! -e f ]]
	cd "$HOME" && rm -rf drive .local/share/store .local/share/other .docker dotfiles .npmrc work .config .rc
}

@test "trees and HOME below private places are seen: /tmp, /var/tmp, /dev/shm" {
	[[ $places == tmpfs* ]] || export XDG_STATE_HOME=$HOME/.local/state # a HOME on tmpfs holds no layer there
	for place in /tmp /var/tmp /dev/shm; do
		place=$(mktemp -d "$place/sbx-places.XXXXXX")
		mkdir "$place/tree" "$place/home" && echo host >"$place/tree/f" && echo secret >"$place/beside"
		sqlite3 "$place/tree/a.db" 'create table t(x)'
		ln -s "$place/tree" "$tree/link.${place##*.}"
		HOME=$place/home run_sbx 0 run -C "$tree/link.${place##*.}" -- sh -c 'pwd; cat f; echo w >f; echo w >~/f; sqlite3 a.db "insert into t values(7); select x from t"; ls -A '"$place"
		assert_same "$place/tree"$'\nhost\n7\nhome\ntree' "$output"
		assert_same host "$(cat "$place/tree/f")"
		[[ ! -e $place/home/f ]]
		rm -r "$place"
	done
}

@test "P1: a tree that cannot be written or read is as on the host" {
	mkdir ro closed && echo x >ro/f && chmod 555 ro && chmod 000 closed
	# The host's root may do both; inside it has no such power.
	run_sbx 0 run -C ro -- sh -c 'cat f; ! touch new 2>/dev/null'
	assert_same x "$output"
	if [[ $(id -u) -ne 0 ]]; then
		run_sbx 125 run -C closed -- true
		assert_has "$output" "$tree/closed"
	fi
	chmod 755 ro closed
}

@test "P12: a full layer names its flag" {
	if [[ $places != tmpfs* ]]; then # a disk knows no such limit
		run_sbx 125 run --size 2m -- true
		assert_has "$output" "cannot hold the limit '--size'"
		return
	fi
	[[ $SBX_UPPER != disk ]] || export SBX_UPPER=tmpfs
	sqlite3 a.db 'create table t(x); insert into t values(randomblob(4000000))'
	run_sbx 125 run --size 2m -- true
	assert_has "$output" "the writable layer is full: it holds 2.0 MiB"
	# So small that not even its own directories fit.
	run_sbx 125 run --inodes 5 -- true
	assert_has "$output" "the writable layer is full: it holds"
	assert_has "$output" "--inodes"
	assert_has "$output" "--size N"
}

@test "finding 8: a command that fails where another's files lie is told why, one that succeeds is not" {
	local where=/etc
	if [[ $(id -u) -eq 0 ]]; then
		mkdir shared
		chown 12345:12345 shared
		where=$tree
		run_sbx 1 run -- touch shared/new
		assert_has "$output" "Value too large"
	fi
	run_sbx 1 run -C "$where" --db none -- false
	assert_has "$output" "it belongs to another user or group"
	run_sbx 0 run -C "$where" --db none -- true
	[[ $output != *another* ]]
}
