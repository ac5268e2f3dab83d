#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load helpers

# No process anywhere was started with MARK=$tree in its environment.
none_left() {
	! grep -qzxF "MARK=$tree" /proc/[0-9]*/environ 2>/dev/null
}

@test "P8: the exit status is the payload's own, 128 + signal, 124, 126, 127, 125" {
	run_sbx 0 run -- true
	run_sbx 3 run -- sh -c 'exit 3'
	run_sbx 137 run -- sh -c 'kill -9 $$'
	run_sbx 124 run --timeout 0.2 -- sleep 60
	assert_has "$output" "the command was ended: the time of --timeout is over (0.2 s)"
	run_sbx 127 run -- no-such-program
	run_sbx 126 run -- /etc/passwd
	run_sbx 125 run -C /no/such/tree -- true
	assert_has "$output" "cannot open the tree '/no/such/tree'"
}

@test "P8: a payload that ignores TERM is killed after the grace" {
	run_sbx 124 run --timeout 0.2 --stop-timeout 0.2 -- sh -c 'trap "" TERM; while :; do sleep 1; done'
}

@test "P1: what the payload writes in tree and HOME stays in the worker" {
	echo host >file
	echo host >"$HOME/in-home"
	run_sbx 0 run -- sh -c 'echo worker >file; echo x >new; rm -f ~/in-home; echo y >~/new; cat file'
	assert_same worker "$output"
	assert_same host "$(cat file)"
	assert_same host "$(cat "$HOME/in-home")"
	[[ ! -e new && ! -e $HOME/new ]]
}

@test "P1: the host's root cannot be written, nor a mount below it" {
	run_sbx 0 run -- sh -c 'for path in / /etc /usr /var /var/lib; do ! touch $path/sbx-was-here 2>/dev/null || exit 1; done'
	[[ ! -e /etc/sbx-was-here && ! -e /sbx-was-here ]]
}

@test "P1: a settings file of the kernel cannot be written, as root neither" {
	run_sbx 0 run -- sh -c '! (echo 1 >/proc/sys/vm/drop_caches) 2>/dev/null'
	run_sbx 0 run --as-root -- sh -c '! (echo 1 >/proc/sys/vm/drop_caches) 2>/dev/null'
}

@test "finding 55: no path leads to the writable layers" {
	run_sbx 0 run -- sh -c 'ls -A /run /tmp /dev/shm; ! ls -d /run/layers /tmp/layers /var/tmp/layers /dev/shm/layers 2>/dev/null'
}

@test "P2: /tmp, /var/tmp, /run and /dev/shm are private, /tmp has mode 1777 (finding 18)" {
	touch "$BATS_TMPDIR/marker"
	run_sbx 0 run -- sh -c 'stat -c %a /tmp; echo a >/tmp/a; echo a >/var/tmp/a; echo a >/dev/shm/a; ! ls '"$BATS_TMPDIR"'/marker 2>/dev/null'
	assert_has "$output" 1777
	run_sbx 0 run -- sh -c '! ls /tmp/a /var/tmp/a /dev/shm/a 2>/dev/null'
}

@test "P2: homes of other people are empty" {
	run_sbx 0 run -- sh -c 'for home in /home /root; do [ "$home" = "$HOME" ] || ls -A $home; done | grep -vFx "${HOME##*/}"; true'
	assert_same "" "$output"
}

@test "P3, finding 6: a descriptor above 2 is not open in the payload, unless it is named" {
	exec 7<"$SBX"
	run_sbx 0 run -- sh -c 'ls /proc/self/fd | tr "\n" " "'
	assert_same "0 1 2 3 " "$output" # 3 is the directory that ls reads
	run_sbx 0 run --pass-fd 7 -- sh -c 'head -c 4 <&7 | tail -c 3'
	assert_same ELF "$output"
	run_sbx 125 run --pass-fd 9 -- true
	assert_has "$output" "--pass-fd '9'"
	exec 7<&-
}

@test "P3: variables with credentials and channels to the host are not passed, -e NAME lets one through" {
	export GITHUB_TOKEN=secret SSH_AUTH_SOCK=/x E2E_PASSWORD=wanted
	run_sbx 0 run -- env
	assert_has "$output" "not passed on: GITHUB_TOKEN"
	assert_has "$output" "E2E_PASSWORD=wanted"
	[[ $output != *secret* && $output != *SSH_AUTH_SOCK* ]]
	run_sbx 0 run -e GITHUB_TOKEN -- sh -c 'echo $GITHUB_TOKEN'
	assert_has "$output" secret
}

@test "P3: stores of credentials in HOME are hidden, also behind a symlink" {
	mkdir -p "$HOME/.ssh" "$HOME/.docker" "$HOME/dotfiles"
	echo key >"$HOME/.ssh/id"
	echo token >"$HOME/.docker/config.json"
	echo other >"$HOME/.docker/other.json"
	echo npm >"$HOME/dotfiles/npmrc"
	ln -sfn dotfiles/npmrc "$HOME/.npmrc"
	run_sbx 0 run -- sh -c 'cd; ! cat .ssh/id .docker/config.json .npmrc dotfiles/npmrc 2>/dev/null && cat .docker/other.json'
	assert_same other "$output"
	assert_same key "$(cat "$HOME/.ssh/id")"
}

@test "P6: no capability in any set, NO_NEW_PRIVS, an active filter" {
	for option in --seccomp=default --as-root --seccomp=strict; do
		run_sbx 0 run $option -- grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
		assert_same 5 "$(grep -c '^Cap.*0000000000000000$' <<<"$output")"
		assert_has "$output" $'NoNewPrivs:\t1'
		assert_has "$output" $'Seccomp:\t2'
	done
}

@test "P6, finding 1: no nested user namespace, with the filter off neither; --allow-userns allows it" {
	run_sbx 1 run -- unshare -Ur true
	run_sbx 1 run --seccomp off -- unshare -Ur true
	assert_has "$output" "No space left"
	run_sbx 0 run --allow-userns -- unshare -U true
}

@test "Landlock leaves open what the payload may write: private places, tree, HOME, devices, renames between directories" {
	run_sbx 0 run -- sh -c 'mkdir -p /tmp/a/b && mv /tmp/a/b /tmp/c && echo x >/dev/null && echo x >/run/x && echo x >./x && echo x >~/x'
}

@test "finding 39: the payload cannot look into PID 1" {
	run_sbx 0 run --seccomp off -- sh -c '! cat /proc/1/environ 2>/dev/null && ! ls /proc/1/fd 2>/dev/null && ! ls /proc/1/root/ 2>/dev/null && ! kill -9 1 2>/dev/null; kill -0 1'
}

@test "finding 14: the limit on processes is the worker's own" {
	for _ in 1 2 3; do
		run_sbx 0 run --pids-limit 20 -- sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 0.1 & done; wait'
	done
	[[ $(id -u) -eq 0 ]] || run_sbx 2 run --pids-limit 5 -- sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait'
}

@test "P4: after SIGKILL of sbx no process of the worker is left" {
	mkfifo alive
	"$SBX" run -v "$tree:/run/out:rw" -- sh -c 'exec 9>/run/out/alive; echo up >&9; sleep 600 & sleep 600' &
	pid=$!
	exec 8<alive
	read -r line <&8
	assert_same up "$line"
	kill -9 $pid
	# End of file: every holder of the write end is dead.
	run timeout 5 cat <&8
	assert_same 0 "$status"
	exec 8<&-
	wait $pid || true
}

@test "P4, finding 54: killed at any moment of set-up, sbx leaves no process" {
	for delay in 0 0.0005 0.001 0.0015 0.002 0.003 0.004; do
		for _ in 1 2 3 4; do
			"$SBX" run -e MARK="$tree" -- sleep 600 &
			pid=$!
			sleep $delay # the moment of the kill is what varies here; nothing is waited for
			kill -9 $pid
			wait $pid || true
		done
	done
	wait_for none_left
}

@test "P5: background processes of the payload are gone when sbx returns" {
	run_sbx 0 run -e MARK="$tree" -- sh -c 'sleep 600 & sleep 600 & true'
	none_left
}

@test "P9: a database in the tree is a copy of the worker's own, without sidecars of the source" {
	sqlite3 TestDb.db 'pragma journal_mode=wal; create table t(x); insert into t values(1)'
	before=$(sha256sum TestDb.db)
	run_sbx 0 run -- sqlite3 TestDb.db 'insert into t values(2); select count(*) from t'
	assert_same 2 "$output"
	assert_same "$before" "$(sha256sum TestDb.db)"
	assert_same TestDb.db "$(ls)"
}

@test "P9: what is not a database is refused by name" {
	echo nonsense >x.db
	run_sbx 125 run --db x.db -- true
	assert_has "$output" x.db
	run_sbx 0 run -- cat x.db
}

@test "P11: any bytes are legal in paths, arguments and environment" {
	name=$'a,b:c\\d e\nf\xff'
	mkdir "$name" && cd "$name"
	echo host >file
	run_sbx 0 run -e "X=$name" -- sh -c 'echo worker >file; [ "$X" = "$1" ] && [ "$(pwd)" = "'"$tree"'/$1" ]' sh "$name"
	assert_same host "$(cat file)"
}

@test "P12: bytes are bounded" {
	if [[ $places != tmpfs* ]]; then # a disk knows no such limit
		run_sbx 125 run --size 16m -- true
		assert_has "$output" "cannot hold the limit '--size'"
		return
	fi
	export SBX_UPPER=tmpfs
	run_sbx 1 run --size 16m -- sh -c 'head -c 64m /dev/zero >big; rm big; exit 1'
	assert_has "$output" "No space left"
}

@test "P14: the program has no setuid bit and no file capability, and works where neither would give anything" {
	[[ ! -u $SBX && ! -g $SBX ]]
	run python3 -c 'import os, sys; print(*os.listxattr(sys.argv[1]))' "$SBX"
	assert_same 0 "$status"
	[[ $output != *security.capability* ]]
	run setpriv --no-new-privs "$SBX" run -- echo works
	assert_same works "$output"
}

@test "volumes: read-only, writable, copy-on-write; anything else is refused" {
	mkdir out && echo host >out/file
	run_sbx 2 run -v "$tree/out:/run/out:ro" -- sh -c 'echo x >/run/out/file'
	run_sbx 0 run -v "$tree/out:/run/out:O" -- sh -c 'echo x >/run/out/file'
	assert_same host "$(cat out/file)"
	run_sbx 0 run -v "$tree/out:/run/out:rw" -- sh -c 'echo x >/run/out/file'
	assert_same x "$(cat out/file)"
	run_sbx 125 run -v "$tree/out:/run/out" -- true
	assert_has "$output" "SRC:DST:ro (read-only)"
}

@test "finding 29: localhost is 127.0.0.1 first" {
	run_sbx 0 run --add-host api.test:10.0.0.1 -- cat /etc/hosts
	assert_has "${lines[0]}" $'127.0.0.1\tlocalhost'
	assert_has "$output" $'10.0.0.1\tapi.test'
}

@test "bad input: nearest flag and verb are offered, junk numbers refused, nothing runs" {
	run_sbx 125 run --workdirr x -- touch ran
	assert_has "$output" "did you mean --workdir?"
	run_sbx 125 rum -- true
	assert_has "$output" "did you mean 'sbx run'?"
	for junk in 1x -2 0 ' 1' 18446744073709551616 ''; do
		run_sbx 125 run --pids-limit "$junk" -- true
	done
	run_sbx 125 run
	run_sbx 125 run -C / -- true
	assert_has "$output" "the root directory cannot be a tree"
	run_sbx 125 run --hostname $'\e[31m' --pids-limit $'\e[31m' -- true
	[[ $output != *$'\e'* ]]
}

@test "pipes stay pipes: stdin and stdout, byte for byte" {
	head -c 1000000 /dev/urandom >bytes
	"$SBX" run -- cat <bytes >copy
	cmp bytes copy
	run_sbx 0 run -- true <&-
}

@test "TERM to sbx ends the payload; its status is told" {
	mkfifo up
	"$SBX" run -v "$tree:/run/out:rw" -- sh -c 'trap "exit 7" TERM; echo x >/run/out/up; while :; do sleep 0.05; done' &
	pid=$!
	read -r _ <up
	kill $pid
	status=0
	wait $pid || status=$?
	assert_same 7 "$status"
}
