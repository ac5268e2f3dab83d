#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is shown in a world beside tree and HOME, and --copy.
load helpers

# rename(2) and nothing else: mv copies where that is refused.
rename='rename($ARGV[0], $ARGV[1]) or die qq($!\n)'

@test "finding 36: --copy makes rename(2) of its directories work; without it is EXDEV" {
	mkdir -p packages/a/b other/a && echo host >packages/a/b/f && ln packages/a/b/f packages/hard
	ln -s /etc/hostname packages/absolute && ln -s missing packages/dangling && mkfifo packages/pipe
	truncate -s 64m packages/sparse && touch packages/$'name\n\xff' && chmod 751 packages/a && mkdir packages/empty
	touch -d '2001-02-03 04:05:06 UTC' packages/a/b/f
	run_sbx 18 run -- perl -e "$rename" packages/a packages/c || [[ $output == *cross-device* ]]
	for place in $places; do
		SBX_UPPER=$place run_sbx 0 run --copy packages -- bash -ec '
			perl -e "$1" packages/a packages/c
			perl -e "$1" packages moved
			cd moved
			stat -c %a c; stat -c %h,%i c/b/f hard | sort -u | wc -l; stat -c %Y c/b/f; readlink absolute dangling
			[ -p pipe ] && [ -e "$2" ] && [ -d empty ]; stat -c %s sparse; [ $(stat -c %b sparse) -lt 1000 ]
			echo w >c/b/f; cat hard; ls ..' sh "$rename" $'name\n\xff'
		assert_same $'751\n1\n981173106\n/etc/hostname\nmissing\n67108864\nw\nmoved\nother' "$output"
	done
	assert_same host "$(cat packages/a/b/f)"
	assert_same $'other\npackages' "$(ls)"
	run_sbx 1 run --copy packages -- sh -c "perl -e '$rename' other/a other/b 2>/dev/null || exit 1"
}

@test "--copy: what is removed stays removed, what is hidden stays hidden, databases are snapshots" {
	mkdir -p dir && echo x >dir/gone
	sqlite3 dir/a.db 'pragma journal_mode=wal; create table t(x); insert into t values(1)' >/dev/null
	run_sbx 0 run --copy dir -- sh -c 'rm dir/gone; ls dir; sqlite3 dir/a.db "insert into t values(2); select count(*) from t"'
	assert_same $'a.db\n2' "$output"
	run_sbx 0 run --copy . -- sh -c 'rm dir/gone; ls dir; sqlite3 dir/a.db "insert into t values(2); select count(*) from t"'
	assert_same $'a.db\n2' "$output"
	mkdir -p "$HOME/copied/x" "$HOME/.ssh" && echo key >"$HOME/.ssh/id"
	run_sbx 0 run --copy "$HOME/copied" -- sh -c 'mv ~/copied/x ~/copied/y; ls ~/copied'
	assert_same y "$output"
	run_sbx 125 run --copy "$HOME/.ssh" -- true
	assert_has "$output" "cannot copy the directory '$HOME/.ssh': it lies in a directory that is hidden"
	run_sbx 0 run --copy "$HOME" -- sh -c '! cat ~/.ssh/id 2>/dev/null'
	rm -r "$HOME/copied" "$HOME/.ssh"
}

@test "--copy, -v …:O: a symlink means the directory that it leads to" {
	mkdir -p real/a && ln -s real link && ln -s "$tree" "$HOME/way"
	for path in link "$HOME/way/real"; do
		run_sbx 0 run --copy "$path" -- perl -e "$rename" real/a real/b
	done
	run_sbx 0 run -v "$tree/real:$HOME/way/link:O" -- sh -c 'echo w >real/f && cat link/f'
	assert_same w "$output"
	assert_same a "$(ls real)"
	rm "$HOME/way"
}

@test "--copy: a directory out of tree and HOME, one that does not exist, one that is too large" {
	run_sbx 0 run --copy /usr/share/perl5 -- sh -c 'echo w >/usr/share/perl5/x && cat /usr/share/perl5/x'
	assert_same w "$output"
	run_sbx 125 run --copy none -- true
	assert_has "$output" "cannot copy the directory '$tree/none': No such file or directory"
	mkdir big && head -c 4m /dev/urandom >big/file
	[[ $places == tmpfs* ]] || return 0 # a disk knows no such limit
	SBX_UPPER=tmpfs run_sbx 125 run --size 2m --copy big -- true
	assert_has "$output" "cannot copy 'file': the writable layer is full: it holds 2.0 MiB"
	assert_has "$output" "--size N"
}

@test "volumes: a relative target is below the tree, wherever sbx was called" {
	mkdir app out && echo v >out/v
	run_sbx 0 run -C app -v "$tree/out:in:ro" --tmpfs cache:size=64k -- sh -c 'pwd; cat in/v; df --output=target cache | tail -1; ls'
	assert_same "$tree/app"$'\nv\n'"$tree/app/cache"$'\ncache\nin' "$output"
	run_sbx 0 run -C app -v "out:in:O" -- sh -c 'cat in/v && echo w >in/v && cat in/v'
	assert_same $'v\nw' "$output"
	assert_same v "$(cat out/v)"
	assert_same "" "$(ls -A app)"
}

@test "volumes: sources below private places are shown, single files too" {
	source=$(mktemp -d /tmp/sbx-volumes.XXXXXX)
	echo v >"$source/v"
	run_sbx 0 run -v "$source:$source:ro" -v "$source/v:/run/one/file:ro" -v "$source/v:single:rw" -- sh -c 'cat '"$source"'/v /run/one/file; echo w >single'
	assert_same $'v\nv' "$output"
	assert_same w "$(cat "$source/v")"
	rm -r "$source"
}

@test "volumes: a source that does not exist and a target that cannot be made are named" {
	run_sbx 125 run -v "$tree/none:/run/x:ro" -- true
	assert_has "$output" "cannot take the volume '$tree/none'"
	run_sbx 125 run -v "$tree/none:/run/x:O" -- true
	assert_has "$output" "cannot take the volume '$tree/none'"
	run_sbx 125 run -v "$tree:/no/such/place:ro" -- true
	assert_has "$output" "cannot make the mount point '/no/such/place'"
}

@test "volumes: any bytes in names" {
	name=$'a,b\\c:d\n\xff'
	mkdir "$name" && echo v >"$name/v"
	escaped=${name//\\/\\\\}
	escaped=${escaped//:/\\:}
	for mode in ro rw O; do
		run_sbx 0 run -v "$escaped:$escaped.in:$mode" -- cat "$name.in/v"
		assert_same v "$output"
	done
	run_sbx 0 run --copy "$name" -- sh -c 'mv "$1" moved && cat moved/v' sh "$name"
	assert_same v "$output"
}
