#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2154 # for the inner shell; set by the helpers
# Named seeds: made, reused, refused, used, removed; and that none is ever half made.
bats_require_minimum_version 1.5.0
load pools

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	cd "$tree" || return 1
	unset XDG_RUNTIME_DIR
	export XDG_STATE_HOME=$tree.state
	mkdir "$XDG_STATE_HOME"
	runs=()
	mkdir Migrations src
	echo 1 >Migrations/1.sql
	echo lock >package-lock.json
	echo old >src/file
	sqlite3 app.db "CREATE TABLE T(a); INSERT INTO T VALUES (1)"
}

teardown() {
	"$SBX" down --all >/dev/null 2>&1
	wait "${runs[@]}" || true # with the status of the last
	"$SBX" rm --all --force >/dev/null 2>&1
	"$SBX" seed rm --all >/dev/null 2>&1
	"$SBX" prune >/dev/null 2>&1
	cd / && rm -rf "$tree" "$XDG_STATE_HOME"
}

make_seed() {
	run_sbx 0 seed create "$1" "${@:2}" -- \
		sh -c 'echo built >built; echo new >src/file; rm package-lock.json; echo home >"$HOME/.sbx-seeded"; sqlite3 app.db "INSERT INTO T VALUES (2)"'
}

# places: the directories that seeds of this test have in /var/tmp, one a line.
places() {
	find "$XDG_STATE_HOME/sbx/seeds" -name place -exec readlink {} +
}

# nothing_half: no place in /var/tmp but those of whole seeds, and nothing unfinished.
nothing_half() {
	run_sbx 0 prune
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/seeds" -mindepth 1 -maxdepth 1 -name '.[dg]*')"
}

rows() {
	"$SBX" run "$@" -- sqlite3 app.db 'SELECT group_concat(a) FROM T'
}

@test "inspect: what a seed is made of and stands on, whether it fits still, and who uses it, a line each" {
	make_seed m --input package-lock.json
	run_sbx 0 seed inspect m
	for line in "name: m" "tree: $tree" "inputs:" "input files:" "  - $tree/package-lock.json" "databases in it:" "  - $tree/app.db" \
		"files of the tree that it holds in a changed form:" "  - $tree/src/file" "files that it made where the tree has none:" \
		"  - $tree/built" "fits the tree: yes" "used by: nobody"; do
		assert_has "$output" "$line"
	done
	grep -Eq '^made: 20.*Z by sbx seed create$' <<<"$output"
	grep -Eq '^size: [0-9.]+ KiB in [0-9]+ files and directories$' <<<"$output"
	grep -Eq '^key: [0-9a-f]{64}$' <<<"$output"
	start_worker here --seed m -- sleep 60
	start_worker elsewhere -- sleep 60
	run_sbx 0 seed inspect m
	assert_same $'used by:\n  - here' "$(grep -A9 '^used by' <<<"$output")"
	run_sbx 0 seed inspect m m --format json
	assert_fits seed-inspect
	assert_same "['here'] 2" "$(json 'str(d[1]["used_by"]) + " " + str(len(d))')"
	echo more >>package-lock.json
	run_sbx 0 seed inspect m
	assert_has "$output" "fits the tree: no, it is refused without --force:"
	assert_has "$output" "  - $tree/package-lock.json has changed"
	run_sbx 125 seed inspect m none-such
}

@test "finding 47: create: files, rows and removals of its command are the start of others; the tree stays as it was" {
	make_seed m
	run_sbx 0 run --seed m -- sh -c 'cat built src/file "$HOME/.sbx-seeded"; test ! -e package-lock.json; sqlite3 app.db "SELECT group_concat(a) FROM T"; echo more >built; sqlite3 app.db "INSERT INTO T VALUES (3)"'
	assert_same $'built\nnew\nhome\n1,2' "$output"
	assert_same 1,2 "$(rows --seed m)"
	assert_same 1 "$(rows)"
	assert_same old "$(cat src/file)"
	[[ ! -e built && -e package-lock.json && ! -e $HOME/.sbx-seeded ]]
	run_sbx 0 seed ls --format json
	assert_fits seed-ls
	assert_same "m 1 False" "$(json 'd[0]["name"], d[0]["databases"], d[0]["used"]' | tr -d "(,')")"
	run_sbx 0 seed inspect m --format json
	assert_fits seed-inspect
	assert_same "create True" "$(json 'd[0]["origin"], d[0]["fits"]' | tr -d "(,')")"
	place=$(places)
	run_sbx 0 seed rm m
	assert_same m "$output"
	[[ ! -e $place ]]
	run_sbx 125 run --seed m -- true
	assert_has "$output" "cannot find the seed 'm'"
}

@test "create: a command that fails makes none, and the one that was there stays" {
	run_sbx 7 seed create m -- sh -c 'exit 7'
	run_sbx 0 seed ls --format json
	assert_same "[]" "$(json d)"
	make_seed m
	run_sbx 3 seed create m -- sh -c 'echo x >built; exit 3'
	assert_has "$output" "seed m: not made, its command ended with exit status 3"
	run -127 "$SBX" seed create m -- no-such-program
	assert_same 1,2 "$(rows --seed m)"
	nothing_half
}

@test "inputs: unchanged it is reused; a file changed, new or gone, a row, the command: made anew" {
	made() { [[ $(grep -c . runs.log) -eq $1 ]]; }
	: >runs.log
	create() {
		run "$SBX" seed create m --input 'Migrations/**' --input package-lock.json -v "$tree/runs.log:$tree/runs.log:rw" "$@" -- \
			sh -c "echo x >>runs.log; ${command:-true}"
		echo "$output"
		[[ $status -eq 0 ]]
	}
	create && made 1
	create && made 1
	assert_has "$output" "nothing has changed"
	touch Migrations/1.sql src/file
	create && made 1
	echo 2 >Migrations/1.sql
	create && made 2
	assert_has "$output" "$tree/Migrations/1.sql has changed"
	mkdir Migrations/deep
	echo 3 >Migrations/deep/3.sql
	create && made 3
	assert_has "$output" "$tree/Migrations/deep/3.sql is new"
	rm Migrations/deep/3.sql
	create && made 4
	assert_has "$output" "is not there any more"
	sqlite3 app.db "INSERT INTO T VALUES (9)"
	create && made 5
	assert_has "$output" "$tree/app.db has changed"
	echo other >src/file
	create && made 5
	odd=$'Migrations/\e[31m\nodd \xff'
	echo 1 >"$odd"
	create --force
	assert_has "$output" '\x1b[31m\nodd \xff is new'
	[[ $output != *$'\e'* ]]
	rm "$odd"
	create
	printf 'x\n%.0s' 1 2 3 4 5 >runs.log
	command='echo other >built' && create && made 6
	create --force && made 7
	create -e A=1 && made 8
	"$SBX" seed rm m
	create -e A=1 && made 9
	run_sbx 125 seed create m --input 'Migration/**' -- true
	assert_has "$output" "no file of the tree fits"
	run_sbx 125 seed create m --input '../**' -- true
}

@test "a tree that no longer fits is refused by name, and --force takes it" {
	make_seed m --input 'Migrations/**'
	echo free >src/other
	run_sbx 0 run --seed m -- true
	echo newer >src/file
	run_sbx 125 run --seed m -- true
	assert_has "$output" "cannot start from the seed 'm'"
	assert_has "$output" "$tree/src/file has changed"
	run_sbx 125 up -d --seed m
	assert_has "$output" "$tree/src/file has changed"
	run_sbx 0 run --seed m --force -- cat src/file
	assert_same new "$output"
	echo old >src/file
	echo newer >package-lock.json
	run_sbx 125 run --seed m -- true
	assert_has "$output" "$tree/package-lock.json has changed"
	echo lock >package-lock.json
	echo of the host >built
	run_sbx 125 run --seed m -- true
	assert_has "$output" "$tree/built is new, and the seed has its own"
	rm built
	echo newer >src/file
	run_sbx 0 seed inspect m --format json
	assert_same "False ['$tree/src/file has changed']" "$(json 'd[0]["fits"], d[0]["changed"]' | sed "s/^(//; s/)$//; s/,//")"
	echo old >src/file
	run_sbx 0 run --seed m -- true
	mkdir "$tree.other"
	run_sbx 125 run --seed m --tree "$tree.other" --force -- true
	run_sbx 125 run --seed m --tree "$tree.other" -- true
	assert_has "$output" "it was made of the tree $tree"
	rm -r "$tree.other"
}

@test "commit: a live worker goes on, a kept one stays; both become a start" {
	up_detached -- sh -c 'echo live >built; sqlite3 app.db "INSERT INTO T VALUES (5)"; exec sleep 1000'
	wait_for "$SBX" exec w0 test -e built
	wait_for "$SBX" exec w0 sqlite3 app.db 'SELECT 1/count(*) FROM T WHERE a = 5'
	run_sbx 0 commit w0 c
	run_sbx 0 exec w0 sh -c 'kill -0 2 || true; sqlite3 app.db "INSERT INTO T VALUES (6)"'
	assert_same 1,5 "$(rows --seed c)"
	"$SBX" run --keep --name k -- sh -c 'echo kept >built; sqlite3 app.db "INSERT INTO T VALUES (7)"' 3>&-
	run_sbx 0 commit k c
	assert_same 1,7 "$(rows --seed c)"
	run_sbx 0 exec k cat built
	"$SBX" run --keep --name kk --seed c -- sqlite3 app.db "INSERT INTO T VALUES (8)" 3>&-
	run_sbx 0 diff kk
	assert_same "C $tree/app.db" "$output"
	run_sbx 0 commit kk cc
	assert_same 1,7,8 "$(rows --seed cc)"
	run_sbx 125 commit nobody c
	run_sbx 125 commit k none
	run_sbx 125 commit k ../c
}

@test "in use: not removed; replaced, its worlds and those made anew keep it, then it goes" {
	make_seed m
	before=$(places)
	up_detached -n 2 --seed m
	run_sbx 0 seed ls
	assert_has "$output" yes
	run_sbx 125 seed rm m
	assert_has "$output" "a live worker started from it"
	run_sbx 0 seed create m -- sqlite3 app.db "INSERT INTO T VALUES (30)"
	[[ $(places | wc -l) -eq 2 && -e $before ]]
	assert_same 1,30 "$(rows --seed m)"
	run_sbx 0 exec w0 sqlite3 app.db 'SELECT group_concat(a) FROM T'
	assert_same 1,2 "$output"
	run_sbx 0 lease --reset-after each -- sqlite3 app.db 'INSERT INTO T VALUES (4)'
	for _ in 1 2 3; do
		run_sbx 0 lease -- sqlite3 app.db 'SELECT group_concat(a) FROM T'
		assert_same 1,2 "$output"
	done
	run_sbx 0 seed rm m
	run_sbx 0 prune
	[[ -e $before ]]
	run_sbx 0 down
	nothing_half
	[[ ! -e $before ]]
}

@test "sbx.yaml: made by up and test, reused, made anew where an input changed; its failure is named" {
	cat >sbx.yaml <<'END'
seed:
  command: echo seeding; cat; sqlite3 app.db "INSERT INTO T VALUES (77)"
  inputs: [Migrations]
END
	up_detached
	[[ $output != *seeding* && $stderr == *seeding* ]]
	run_sbx 0 exec w0 sqlite3 app.db 'SELECT group_concat(a) FROM T'
	assert_same 1,77 "$output"
	"$SBX" down
	up_detached -n 2
	[[ $stderr != *seeding* ]]
	"$SBX" down
	# What it holds does not depend on how many, how long and how much.
	up_detached -n 1 --spares 1 --stop-timeout 3 --size 300m,try
	[[ $stderr != *seeding* ]]
	"$SBX" down
	up_detached -e COLOUR=red
	[[ $stderr == *seeding* ]]
	"$SBX" down
	up_detached
	"$SBX" down
	echo 2 >Migrations/2.sql
	run --separate-stderr "$SBX" test -n 2 --items 'echo a; echo b' -- sh -c 'sqlite3 app.db "INSERT INTO T VALUES (5); SELECT group_concat(a) FROM T" {}; true'
	echo "$output $stderr"
	[[ $status -eq 0 && $output == *1,77,5* && $stderr == *seeding* ]]
	up_detached --seed none
	run_sbx 0 exec w0 sqlite3 app.db 'SELECT group_concat(a) FROM T'
	assert_same 1 "$output"
	"$SBX" down
	sed -i 's/INSERT/INSRT/' sbx.yaml
	run_sbx 125 up -d
	assert_has "$output" "sbx.yaml: seed: cannot make the seed"
	assert_has "$output" "exit status 1"
}

@test "made at once by several: one makes it, the others wait for it and take it" {
	: >runs.log
	for i in 1 2 3 4; do
		"$SBX" seed create m --input Migrations -v "$tree/runs.log:$tree/runs.log:rw" -- sh -c 'echo x >>runs.log; sqlite3 app.db "INSERT INTO T VALUES (2)"' \
			>"$XDG_STATE_HOME/$i.out" 2>&1 3>&- &
		runs+=("$!")
	done
	for pid in "${runs[@]}"; do
		wait "$pid"
	done
	cat "$XDG_STATE_HOME"/*.out
	assert_same 1 "$(grep -c . runs.log)"
	assert_same 1,2 "$(rows --seed m)"
	nothing_half
}

@test "made, used, replaced and removed at once: each either starts whole or is told why not" {
	for i in 1 2; do
		(for _ in 1 2 3 4 5; do "$SBX" seed create m -- sqlite3 app.db "INSERT INTO T VALUES (2)" || echo "create $i: $?"; done) \
			>"$XDG_STATE_HOME/create$i.out" 2>&1 3>&- &
		runs+=("$!")
		(for _ in 1 2 3 4 5 6 7 8 9 10; do "$SBX" run --seed m -- sqlite3 app.db 'SELECT group_concat(a) FROM T'; done) \
			>"$XDG_STATE_HOME/use$i.out" 2>&1 3>&- &
		runs+=("$!")
	done
	(for _ in 1 2 3 4 5 6 7 8; do "$SBX" seed rm m; done) >"$XDG_STATE_HOME/rm.out" 2>&1 3>&- &
	runs+=("$!")
	for pid in "${runs[@]}"; do
		wait "$pid" || true
	done
	cat "$XDG_STATE_HOME"/*.out
	assert_same "" "$(cat "$XDG_STATE_HOME"/create*.out | grep -v '^sbx: seed m: \(made\|another sbx makes it\)' || true)"
	assert_same "" "$(grep -v -e '^1,2$' -e "cannot find the seed 'm'" -e "'sbx seed ls' lists" -e "it is just being removed" -e "make it anew" "$XDG_STATE_HOME"/use*.out || true)"
	nothing_half
}

@test "SIGKILL at each step of making, replacing and removing: whole or not there, and what is left is collected" {
	command -v strace >/dev/null || skip "strace is missing"
	killed=0
	make_seed m
	for step in symlinkat mkdirat mkdir memfd_create syncfs fsync renameat2 unlinkat flock; do
		for when in 1 2 3; do
			run strace -qq -o /dev/null -e trace="$step" -e inject="$step:signal=KILL:when=$when" \
				"$SBX" seed create m -- sqlite3 app.db "INSERT INTO T VALUES (2)"
			[[ $status -eq 0 || $status -eq 137 ]]
			killed=$((killed + (status == 137)))
			assert_same 1,2 "$(rows --seed m)"
			nothing_half
			[[ $(places | wc -l) -eq 1 ]]
			run strace -qq -o /dev/null -e trace="$step" -e inject="$step:signal=KILL:when=$when" "$SBX" seed rm m
			killed=$((killed + (status == 137)))
			if [[ $("$SBX" seed ls --format json) == *'"m"'* ]]; then
				assert_same 1,2 "$(rows --seed m)"
			else
				make_seed m
			fi
			nothing_half
			[[ $(places | wc -l) -eq 1 ]]
		done
	done
	echo "killed: $killed"
	[[ $killed -ge 20 ]]
}

@test "an interrupted build never counts, and leaves nothing" {
	make_seed m
	"$SBX" seed create m -- sh -c 'echo half >built; touch "$HOME/.sbx-begun"; sleep 1000' >/dev/null 2>&1 3>&- &
	runs+=("$!")
	wait_for sh -c '"$SBX" ps -q | grep -q .'
	[[ $(places | wc -l) -eq 2 ]]
	run_sbx 0 prune
	[[ $(places | wc -l) -eq 2 ]]
	kill -KILL "${runs[-1]}"
	wait "${runs[-1]}" || true
	wait_for sh -c '[ -z "$("$SBX" ps -q)" ]'
	run_sbx 0 run --seed m -- cat built
	assert_same built "$output"
	nothing_half
	[[ $(places | wc -l) -eq 1 ]]
}

@test "a newer version, a damaged record, missing layers: refused by name, listed, removable" {
	make_seed m
	record=$XDG_STATE_HOME/sbx/seeds/m/record.json
	cp "$record" kept.json
	sed -i 's/"version":2/"version":3/' "$record"
	run_sbx 125 run --seed m -- true
	assert_has "$output" "cannot use the seed 'm': it was made by a newer sbx"
	echo '{' >"$record"
	run_sbx 125 run --seed m -- true
	assert_has "$output" "'m'"
	run_sbx 0 seed ls --format json
	assert_fits seed-ls
	assert_has "$output" "it is not JSON"
	cp kept.json "$record"
	run_sbx 0 run --seed m -- true
	# Old enough to be counted, and something has cleaned /var/tmp.
	sed -i 's/"created_ns":[0-9]*/"created_ns":1/' "$record"
	run_sbx 0 run --seed m -- true
	find "$(places)" -name built -delete
	run_sbx 125 run --seed m -- true
	assert_has "$output" "files are missing in it"
	rm -rf "$(places)"
	run_sbx 125 run --seed m -- true
	assert_has "$output" "its files are gone"
	run_sbx 0 seed rm m
	for name in none ../m .lock '' 'a b' "$(printf 'x%.0s' {1..80})"; do
		run_sbx 125 seed create "$name" -- true
		run_sbx 125 run --seed "$name" -- true || [[ $name == none && $status -eq 0 ]]
	done
}

@test "a full disk: told, nothing half is left, and the one that was there serves" {
	if ! unshare --map-root-user --mount true 2>/dev/null; then
		skip "an ordinary user cannot mount here"
	fi
	[[ $places == tmpfs* ]] || skip "tmpfs takes no user attributes here: nothing small can hold layers"
	cat >full.sh <<'END'
mount --bind . /mnt
cd /mnt || exit 1
mount -t tmpfs -o size=400k,mode=1777 none /var/tmp || exit 1
"$SBX" seed create m -- sh -c 'echo built >built' 2>&1 || exit 1
status=0; "$SBX" seed create m -- sh -c 'head -c 1M /dev/urandom >big' 2>&1 || status=$?; echo "full: $status"
"$SBX" run --seed m -- cat built 2>&1
ls /var/tmp | wc -l
"$SBX" seed rm m
END
	cp "$SBX" sbx
	run env SBX=/mnt/sbx HOME=/mnt XDG_STATE_HOME=/mnt/.state unshare --map-root-user --mount sh full.sh
	echo "$output"
	assert_same 0 "$status"
	assert_has "$output" "full: 125"
	assert_has "$output" "No space left"
	assert_has "$output" $'built\n1\nm'
}

@test "64 worlds share the pages of a seed" {
	run_sbx 0 seed create m -- sh -c 'head -c 16M /dev/urandom >big'
	cat >mapper.py <<'END'
import mmap, signal
with open("big", "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(mapped[i] for i in range(0, len(mapped), 4096))
open("mapped", "w").close()
signal.pause()
END
	up_detached -n "${SHARING:-64}" --seed m -- python3 -S mapper.py
	for ((i = 0; i < ${SHARING:-64}; i++)); do
		wait_for "$SBX" exec "w$i" test -e mapped
	done
	# Pss, proc_pid_smaps(5): each page divided by how many processes have it mapped.
	run_sbx 0 exec w0 sh -c 'cat "/proc/$(pgrep -x python3)/smaps"'
	read -r rss pss < <(awk '/^[0-9a-f]+-/ { big = / .*\/big$/ } big && /^Rss:/ { rss += $2 } big && /^Pss:/ { pss += $2 } END { print rss, pss }' <<<"$output")
	echo "of $rss KiB mapped by each of ${SHARING:-64} worlds, $pss KiB are its share"
	assert_same 16384 "$rss"
	assert_same $((16384 / ${SHARING:-64})) "$pss"
}
