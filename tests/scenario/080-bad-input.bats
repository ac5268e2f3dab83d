#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2317 # functions that wait_for calls
# Odd callers, odd places, odd numbers: it works, or sbx ends with 125 and says step, object, cause and remedy.
load workers

# refuses WORDS ARGUMENT…: sbx run ends with 125 before anything ran, says the words, and leaves nothing.
refuses() {
	local words=$1
	shift
	rm -f ran
	run_sbx 125 run "$@"
	assert_has "$output" "sbx: "
	assert_has "$output" "$words"
	[[ ! -e ran ]]
	nothing_left
}

nothing_left() {
	[[ ! -d $XDG_STATE_HOME/sbx/run ]] || assert_same "" "$(ls -A "$XDG_STATE_HOME/sbx/run" 2>/dev/null)"
	[[ ! -d $XDG_STATE_HOME/sbx/uppers ]] || assert_same "" "$(ls -A "$XDG_STATE_HOME/sbx/uppers" 2>/dev/null)"
}

# The caller's rights are not what these tests are about for real root, to whom no mode applies.
is_root() {
	[[ $(id -u) -eq 0 ]]
}

@test "the current directory was removed" {
	mkdir gone && cd gone && rmdir ../gone
	refuses "cannot open the tree '.': No such file" -- true
	run_sbx 0 run -C "$tree" -- true
	run_sbx 0 ps --quiet
}

@test "the tree: missing, a file, the root, a link to nothing, in a loop, unreadable, too long, empty" {
	echo x >file && ln -s nowhere dangling && ln -s loop loop && mkdir closed
	refuses "'missing': No such file" -C missing -- true
	refuses "cannot open the tree 'file': Not a directory" -C file -- true
	refuses "-C DIR" -C / -- true
	refuses "'dangling'" -C dangling -- true
	refuses "'loop': Too many levels" -C loop -- true
	refuses "tree" -C '' -- true
	refuses "File name too long" -C "$(head -c 300 /dev/zero | tr '\0' a)" -- true
	chmod 0 closed
	is_root || refuses "closed" -C closed/below -- true
	run "$SBX" run -C closed -- true
	echo "$output"
	[[ $status -eq 0 || $status -eq 125 && $output == *closed* ]]
	nothing_left
}

@test "the tree is changed, moved and removed while the worker runs: it goes on, and ends as ever" {
	mkdir app && echo one >app/file
	start_worker moved -C app -- sh -c 'echo up; sleep 600'
	mv app other && echo two >other/file && rm -rf other
	run_sbx 0 exec moved -- sh -c 'pwd; echo three >new; cat new'
	assert_has "$output" three
	run_sbx 0 stop -t 0 moved
	# By itself: the next command would remove what is left.
	wait "${runs[0]}" || true
	nothing_left
}

@test "descriptors 0 to 2 closed, one by one and all, the program's own streams stay whole" {
	"$SBX" run -- true <&-
	"$SBX" run -- true >&-
	"$SBX" run -- true 2>&-
	"$SBX" run -- true <&- >&- 2>&-
	"$SBX" run -- sh -c 'echo inside >file; cat file >&2' <&- >&- 2>errors
	assert_same inside "$(cat errors)"
	# A file of sbx's own must not land on a number that the payload writes to.
	"$SBX" run -v .:/run/out:rw -- sh -c 'ls -l /proc/self/fd >/run/out/list 2>/run/out/list.errors' <&- >&- 2>&-
	cat list
	assert_same "" "$(grep -E 'lock\.|socket|/sbx' list)"
	nothing_left
}

@test "few descriptors: it works, or is refused with a cause" {
	for limit in 4 5 6 8 10 12 14 16 20 24 30 40; do
		run bash -c 'ulimit -n '$limit' && exec "$SBX" run -- true' 3>&-
		echo "$limit: $status $output"
		[[ $status -eq 0 || $status -eq 125 && $output == *"sbx: "* ]]
		[[ $status -eq 0 || $limit -lt 40 ]]
		nothing_left
	done
	refuses "nofile=1x" --ulimit nofile=1x -- touch ran
}

@test "RLIMIT_NPROC: of the caller, too low for a process" {
	for limit in 0 1; do
		run bash -c 'ulimit -u '$limit' && exec "$SBX" run -- true'
		echo "$limit: $status $output"
		[[ $status -eq 0 || $status -eq 125 && $output == *"sbx: "* && $output == *process* ]]
		nothing_left
	done
}

@test "numbers: junk, signs, spaces, 2^64, sizes that overflow; each names its option" {
	local junk
	for junk in 1x -1 ' 1' '' 18446744073709551616 99999999999999999999999 0x10 1e3 ١; do
		[[ $junk == -1 ]] || refuses "limit the processes" --pids-limit "$junk" -- touch ran # docker's word for none
		refuses "--size" --size "$junk" -- touch ran
		refuses "--inodes" --inodes "$junk" -- touch ran
		refuses "--timeout" --timeout "$junk" -- touch ran
		refuses "--pass-fd" --pass-fd "$junk" -- touch ran
		refuses "--status-fd" --status-fd "$junk" -- touch ran
	done
	refuses "--size" --size 17179869184g -- touch ran
	refuses "--size" --size 17179869185g -- touch ran # 1 GiB, were it cut to 64 bits
	refuses "--size" --size 1kk -- touch ran
	refuses "--size" --size 1z -- touch ran
	refuses "nosuch=1" --ulimit nosuch=1 -- touch ran
	refuses "--cpuset-cpus" --cpuset-cpus 99999 -- touch ran
	refuses "--cpuset-cpus" --cpuset-cpus 3-1 -- touch ran
	refuses "--stop-signal" --stop-signal NOSUCH -- touch ran
	refuses "--pass-fd" --pass-fd 99 -- touch ran
	refuses "--seccomp" --seccomp none -- touch ran
	refuses "--net" --net wifi -- touch ran
	refuses "--home" --home mine -- touch ran
	refuses "add the host" --add-host x -- touch ran
	refuses "add the host" --add-host x:999.1.1.1 -- touch ran
}

@test "names: empty, with a slash, a newline, an escape, a dot, too long, taken: refused, printed without control characters" {
	local name
	for name in '' a/b ../x . .. $'a\nb' $'\e[31mred' $'\xff' -x "$(head -c 300 /dev/zero | tr '\0' a)"; do
		refuses "name" --name="$name" -- touch ran
		[[ $output != *$'\e'* && $output != *$'\xff'* ]]
	done
	start_worker taken -- sleep 600
	run_sbx 125 run --name taken -- touch ran
	assert_has "$output" "taken"
}

@test "the state directory: read-only, of somebody else, a link, a file: the run starts unlisted and says so" {
	unlisted() {
		run "$SBX" run -- echo works
		printf '%s\n-> %s\n' "$output" "$status"
		assert_same 0 "$status"
		assert_has "$output" works
		assert_has "$output" "degraded: not listed"
		run "$SBX" ps
		[[ $status -eq 0 || $status -eq 125 && $output == *"sbx: "* ]]
	}
	[[ $places == tmpfs* ]] || return 0 # on disk the layer has no place then
	export SBX_UPPER=tmpfs
	if ! is_root; then
		chmod 500 "$XDG_STATE_HOME"
		unlisted
		chmod 700 "$XDG_STATE_HOME"
	fi
	mkdir "$XDG_STATE_HOME/elsewhere"
	ln -s elsewhere "$XDG_STATE_HOME/sbx"
	unlisted
	assert_same "" "$(ls -A "$XDG_STATE_HOME/elsewhere")"
	rm "$XDG_STATE_HOME/sbx"
	echo "somebody's file" >"$XDG_STATE_HOME/sbx"
	unlisted
	assert_same "somebody's file" "$(cat "$XDG_STATE_HOME/sbx")"
	rm "$XDG_STATE_HOME/sbx"
	# Somebody else's: / is root's, for root /proc is what nobody can write.
	XDG_STATE_HOME=/proc/1 unlisted
	if is_root; then
		mkdir "$XDG_STATE_HOME/sbx"
		chown 54321 "$XDG_STATE_HOME/sbx"
		unlisted
		assert_same "" "$(ls -A "$XDG_STATE_HOME/sbx")"
		rmdir "$XDG_STATE_HOME/sbx"
	fi
	# The upper on disk must lie there: refused.
	ln -s elsewhere "$XDG_STATE_HOME/sbx"
	export SBX_UPPER=disk
	run_sbx 125 run -- true
	assert_has "$output" "remove it: sbx makes the directory itself"
	rm "$XDG_STATE_HOME/sbx"
}

# A network file system as its server may leave it: without locks, without user attributes. Neither can be had here, so
# the calls say what they say there.
@test "the state directory on NFS, as it answers: no lock is to be had, no attribute: unlisted and told, or refused with words" {
	if [[ $places == tmpfs* ]]; then
		export SBX_UPPER=tmpfs
		run strace -f -qq -o trace -e trace=flock -e inject=flock:error=ENOLCK "$SBX" run -- echo works
		printf '%s\n-> %s\n' "$output" "$status"
		assert_same 0 "$status"
		assert_has "$output" works
		assert_has "$output" "degraded: not listed"
		assert_has "$output" "the file system there has no locks"
		nothing_left
	fi
	# What has to lie there is not begun, for each of the two.
	export SBX_UPPER=disk
	for lack in flock:ENOLCK:"has no locks" fsetxattr:EOPNOTSUPP:"no user attributes"; do
		IFS=: read -r call number words <<<"$lack"
		for keep in --keep=never --keep; do
			run strace -f -qq -o trace -e trace="$call" -e inject="$call:error=$number" "$SBX" run $keep -- touch ran
			printf '%s\n-> %s\n' "$output" "$status"
			assert_same 125 "$status"
			assert_has "$output" "sbx: cannot"
			assert_has "$output" "$words"
			assert_has "$output" "set XDG_STATE_HOME"
			nothing_left
			assert_same "" "$(ls -A "$XDG_STATE_HOME/sbx/kept" 2>/dev/null)"
		done
	done
	# A listing looks, and does not hang.
	run strace -f -qq -o trace -e trace=flock -e inject=flock:error=ENOLCK timeout 20 "$SBX" ps --all
	echo "$output"
	[[ $status -eq 0 || $status -eq 125 && $output == *"sbx: "* ]]
}

@test "HOME: unset, empty, relative, missing, a file, somebody else's, the root" {
	# That of the passwd entry counts then, unless it is no directory of the caller's either.
	own=$(getent passwd "$(id -u)" | cut -d: -f6)
	[[ -O $own && $own != / ]] || own=
	mkdir relative
	for home in unset '' relative /no/such/home "$SBX" / /root/no /tmp; do
		local set=(HOME="$home")
		[[ $home != unset ]] || set=(-u HOME)
		is_root && [[ $home == /tmp ]] && continue # it is root's own
		run env -u XDG_STATE_HOME "${set[@]}" "$SBX" run -- sh -c 'echo home=$HOME; touch works'
		echo "HOME=$home: $status $output"
		[[ ! -e works ]]
		# A layer on disk may have no place.
		if [[ $own || $status -ne 125 ]]; then
			assert_same 0 "$status"
			[[ $own ]] || assert_has "$output" home=/
			[[ -z $own ]] || assert_has "$output" "home=$own"
		else
			assert_has "$output" "--scratch DIR"
		fi
	done
}

@test "a uid without passwd entry, with and without HOME (finding 18)" {
	is_root || {
		# What only root can become is tried by root; here the inside: the entry is there.
		run_sbx 0 run -- sh -c 'getent passwd "$(id -u)" && getent group "$(id -g)"'
		return 0
	}
	local stranger=(setpriv --reuid 54321 --regid 54321 --clear-groups env -i PATH="$PATH" LC_ALL=C.UTF-8)
	local place
	place=$(mktemp -d /var/tmp/sbx-stranger.XXXXXX)
	chown 54321:54321 "$place"
	cp "$SBX" "$place/sbx"
	cd "$place"
	run "${stranger[@]}" ./sbx run -- sh -c 'id -u && whoami && getent passwd 54321 && touch x'
	echo "$output"
	assert_same 0 "$status"
	assert_has "$output" 54321
	run "${stranger[@]}" HOME="$place" USER=jenkins ./sbx run -- sh -c 'whoami && touch ~/x && cd && pwd'
	echo "$output"
	assert_same 0 "$status"
	assert_has "$output" "$place"
	[[ ! -e x ]]
	cd / && rm -rf "$place"
}

@test "running as root with somebody's HOME writes nothing of root's into it" {
	is_root || {
		run_sbx 0 run --as-root -- sh -c 'id -u; touch ~/as-root; stat -c %u ~/as-root'
		assert_same $'0\n0' "$output"
		[[ ! -e $HOME/as-root ]]
		return 0
	}
	local home
	home=$(mktemp -d /var/tmp/sbx-home.XXXXXX)
	chown 54321:54321 "$home"
	run env -u XDG_STATE_HOME HOME="$home" "$SBX" run -- sh -c 'echo x >~/x; echo works in ~'
	echo "$output"
	assert_same 0 "$status"
	[[ $output != *"in $home"* ]]
	assert_same "" "$(find "$home" -uid 0)"
	rm -rf "$home"
}

@test "odd bytes in the tree's name, the command, its arguments, the environment, the state directory" {
	local name=$'x\n\e[1m\xff,:\\ "$(id)"'
	mkdir "$name" && cd "$name"
	XDG_STATE_HOME=$XDG_STATE_HOME/$name run_sbx 0 run -- sh -c 'printf %s "$1"' sh "$name"
	run_sbx 127 run -- "$name"
	[[ $output != *$'\e'* ]]
	printf '#!/bin/sh\nexit 9\n' >"./$name" && chmod +x "./$name"
	run_sbx 9 run -- "./$name"
	run_sbx 0 run -e "A$name=$name" -- true || assert_same 125 "$status"
	run_sbx 0 run -- env -i true
	rm -rf "${XDG_STATE_HOME:?}/$name"
}

@test "a full disk: listed or not, the worker runs; kept or with its layer there: told, nothing lost" {
	if ! unshare --map-root-user --mount true 2>/dev/null; then
		skip "an ordinary user cannot mount here"
	fi
	cat >full.sh <<'END'
set -e
mkdir -p small
mount -t tmpfs -o size=64k,mode=700 none small
head -c 100k /dev/zero >small/fill 2>/dev/null || true
export XDG_STATE_HOME=$PWD/small
SBX_UPPER=$memory "$SBX" run -- echo ran-when-full 2>&1 || [ -z "$memory" ]
status=0; "$SBX" run --keep -- echo ran-kept 2>&1 || status=$?; echo "kept: $status"
status=0; SBX_UPPER=disk "$SBX" run -- echo ran-on-disk 2>&1 || status=$?; echo "disk: $status"
rm small/fill
"$SBX" run -- echo ran-again 2>&1
ls -A small/sbx/run small/sbx/uppers 2>/dev/null
END
	memory=
	[[ $places != tmpfs* ]] || memory=tmpfs
	run env SBX="$SBX" memory="$memory" unshare --map-root-user --mount bash full.sh
	echo "$output"
	assert_same 0 "$status"
	[[ -z $memory ]] || assert_has "$output" ran-when-full
	assert_has "$output" ran-again
	[[ $output == *"kept: 125"* && $output == *"No space left"* || $output == *"kept: 0"* ]]
	[[ $output == *"disk: 0"* || $output == *"disk: 125"* ]]
	[[ $output != *lock.* ]]
}

@test "RLIMIT_FSIZE: what sbx writes itself does not fit: told, or the worker runs" {
	for limit in 0 1; do
		run bash -c 'ulimit -f '$limit'; exec "$SBX" run -- sh -c "echo works"'
		echo "$limit: $status $output"
		[[ $status -eq 0 && $output == *works* || $status -eq 125 && $output == *"sbx: "* ]]
		nothing_left
	done
}

@test "an ignored SIGCHLD, blocked and ignored signals, a umask of 777, a low stack: it works" {
	run bash -c 'trap "" CHLD PIPE TERM; exec "$SBX" run -- sh -c "exit 3"'
	echo "$output"
	assert_same 3 "$status"
	run bash -c 'umask 777; exec "$SBX" run -- sh -c "echo x >/tmp/x; echo works"'
	echo "$output"
	[[ $status -eq 0 || $output == *"Permission denied"* ]]
	run bash -c 'ulimit -s 256; exec "$SBX" run -- true'
	echo "$output"
	assert_same 0 "$status"
	nothing_left
}

@test "long lists: 3,000 arguments, a variable of 100 kB, one of 200 kB: it works, or is refused by name" {
	run_sbx 0 run -- sh -c 'echo $#' sh $(seq 3000)
	assert_same 3000 "$output"
	BIG=$(head -c 100000 /dev/zero | tr '\0' x) run_sbx 0 run -- sh -c 'echo ${#BIG}'
	assert_same 100000 "$output"
	head -c 200000 /dev/zero | tr '\0' x | sed 's/^/BIG=/' >big.env
	# The kernel's own limit for one, MAX_ARG_STRLEN.
	run_sbx 126 run --env-file big.env -- true
	assert_same "sbx: cannot execute 'true': Argument list too long" "$output"
	nothing_left
}

@test "no program, no verb, no value, two commands in one: each is told" {
	run_sbx 125
	run_sbx 125 ''
	run_sbx 125 run
	run_sbx 125 run --
	refuses "execute" -- '' || { run_sbx 127 run -- ''; }
	run_sbx 125 run --tree
	run_sbx 125 run --no-such-flag -- true
	run_sbx 125 no-such-verb
	run_sbx 126 run -- /
	run_sbx 126 run -- "$tree"
	run_sbx 127 run -- ./missing
	printf '\x7fELF' >broken && chmod +x broken
	run_sbx 126 run -- ./broken
	assert_has "$output" "sbx: cannot execute"
	printf '#!/no/such/interpreter\n' >script && chmod +x script
	run_sbx 127 run -- ./script
	assert_has "$output" "the interpreter of its #! line"
	echo true >plain
	run_sbx 126 run -- ./plain
	assert_has "$output" "chmod +x"
	run_sbx 126 run -- "$tree"
	assert_has "$output" "it is a directory"
	run_sbx 127 run -- no-such-program
	assert_has "$output" "it is looked for in PATH"
	nothing_left
}
