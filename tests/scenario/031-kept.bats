#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Kept workers: made by run --keep, entered, asked, removed; and the registry, which nothing depends on.
load workers

# keep_worker NAME COMMAND…: runs to its end, and is kept.
keep_worker() {
	local name=$1
	shift
	"$SBX" run --keep --name "$name" -- "$@" >"$XDG_STATE_HOME/$name.out" 2>"$XDG_STATE_HOME/$name.err" </dev/null 3>&- || true
	cat "$XDG_STATE_HOME/$name.out" "$XDG_STATE_HOME/$name.err"
}

id_of() {
	"$SBX" ps --all --format json --filter name="$1" | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])'
}

@test "keep: a worker's files, rows, log and exit status outlive it" {
	echo host >changed
	sqlite3 TestDb.db "CREATE TABLE Orders(Id INTEGER PRIMARY KEY); INSERT INTO Orders VALUES (1)"
	keep_worker w1 sh -c 'echo w >changed; echo new >new; sqlite3 TestDb.db "INSERT INTO Orders VALUES (2)"; echo out; echo err >&2; exit 3'
	assert_has "$(cat "$XDG_STATE_HOME/w1.err")" "sbx db shell w1"
	run_sbx 0 ps
	assert_same "" "$(grep '^w1 ' <<<"$output")"
	run_sbx 0 ps --all
	assert_has "$output" "kept, exit 3"
	run_sbx 0 ps --all --format json
	assert_fits ps
	assert_same "kept 3" "$(json 'd[0]["state"], d[0]["exit_status"]' | tr -d "(,')")"
	run_sbx 0 wait w1
	assert_same 3 "$output"
	run_sbx 0 diff w1
	assert_has "$output" "C $tree/changed"
	assert_has "$output" "A $tree/new"
	run_sbx 0 diff w1 --format json
	assert_fits diff
	run_sbx 0 exec w1 cat changed new
	assert_same $'w\nnew' "$output"
	run_sbx 0 db query w1 --format json 'SELECT count(*) AS n FROM Orders'
	assert_fits db-query
	assert_same "[{'n': 2}]" "$(json d)"
	assert_same 2 "$(echo 'SELECT count(*) FROM Orders;' | "$SBX" db shell w1)"
	run_sbx 0 db ls w1 --format json
	assert_fits db-ls
	assert_same out "$("$SBX" logs w1 2>/dev/null)"
	assert_same err "$("$SBX" logs w1 2>&1 >/dev/null)"
	run_sbx 0 logs -f w1
	run_sbx 0 cp w1:new copied
	assert_same new "$(cat copied)"
	run_sbx 0 inspect w1
	assert_has "$output" "exit status: 3"
	run_sbx 0 inspect w1 --format json
	assert_fits inspect
	assert_same host "$(cat changed)"
	run_sbx 0 rm w1
	assert_same w1 "$output"
	run_sbx 0 ps -aq
	assert_same "" "$output"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/kept" "$XDG_STATE_HOME/sbx/trash" -mindepth 1)"
}

@test "keep: what is changed in a kept worker stays in it, at the same paths" {
	keep_worker w1 sh -c 'echo 1 >file'
	assert_same "$tree" "$(echo 'pwd; echo 2 >>file' | SHELL=/bin/sh "$SBX" shell w1)"
	echo 3 >three
	run_sbx 0 cp three w1:.
	run_sbx 0 exec w1 cat file three
	assert_same $'1\n2\n3' "$output"
	run_sbx 5 exec w1 sh -c 'rm file; exit 5'
	run_sbx 1 exec w1 test -e file
	[[ ! -e file ]]
}

@test "keep=failed: only a failure is kept" {
	run_sbx 0 run --keep=failed --name good -- true
	run_sbx 7 run --keep=failed --name bad -- sh -c 'exit 7'
	run_sbx 124 run -K --name slow --timeout 0.2 -- sleep 60
	run_sbx 0 ps -aq
	assert_same $'bad\nslow' "$output"
	run_sbx 0 ps -q --filter status=failed
	assert_same $'bad\nslow' "$output"
}

@test "keep: a kept worker has no command to be signalled, and stop is content" {
	keep_worker w1 true
	run_sbx 125 kill w1
	assert_has "$output" "this worker has ended"
	run_sbx 0 stop w1
	assert_same w1 "$output"
}

@test "keep: somebody is in it: others are told, and it is not removed" {
	keep_worker w1 true
	mkfifo "$XDG_STATE_HOME/hold"
	"$SBX" exec w1 sh -c 'echo in; read line' <"$XDG_STATE_HOME/hold" >"$XDG_STATE_HOME/held" 3>&- &
	local holder=$!
	exec 8>"$XDG_STATE_HOME/hold"
	wait_for grep -q in "$XDG_STATE_HOME/held"
	run_sbx 125 exec w1 true
	run_sbx 125 rm w1
	run_sbx 125 prune --force
	run_sbx 0 ps -aq
	assert_same w1 "$output"
	run_sbx 0 inspect w1
	exec 8>&-
	wait "$holder" || true
	run_sbx 0 exec w1 true
	run_sbx 0 rm w1
}

@test "keep: of several with one name none is meant, the ids are told; a live one goes first" {
	keep_worker w1 true
	run_sbx 0 run --keep --name w1 -- true
	# What is told to be typed means the one.
	run_sbx 0 "$(grep -o 'inspect\|diff' <<<"$output" | head -n 1)" "$(sed -n 's/.*sbx rm //p' <<<"$output")"
	for verb in diff inspect rm "db ls"; do
		# shellcheck disable=SC2086 # words on purpose
		run_sbx 125 $verb w1
		assert_has "$output" "it fits 2 workers"
		assert_has "$output" "$(id_of w1)"
	done
	run_sbx 0 ps -aq
	# An id may have the name within it.
	assert_same "" "$(grep -x w1 <<<"$output")"
	[[ $(wc -l <<<"$output") -eq 2 ]]
	start_worker w1 -- sleep 600
	run_sbx 0 exec w1 true
	run_sbx 0 kill w1
	wait_worker w1
	run_sbx 0 rm "$(id_of w1)"
	run_sbx 0 rm w1
}

@test "rm: each kept one with --all, live ones stay without --force" {
	keep_worker w1 true
	keep_worker w2 true
	start_worker w3 -- sleep 600
	run_sbx 0 rm --all
	assert_same $'w1\nw2' "$output"
	run_sbx 0 ps -aq
	assert_same w3 "$output"
	run_sbx 125 rm --all w3
	assert_has "$output" "contradict"
}

@test "rm --force of a live worker with --keep leaves nothing kept" {
	start_worker w1 --keep -- sleep 600
	run_sbx 0 rm -f w1
	run_sbx 0 ps -aq
	assert_same "" "$output"
}

@test "prune: kept workers only with --force" {
	keep_worker w1 true
	run_sbx 0 prune
	run_sbx 0 ps -aq
	assert_same w1 "$output"
	run_sbx 0 prune --force --dry-run --format json
	assert_fits prune
	assert_same "[('kept worker', 'w1', False)]" "$(json '[(e["kind"], e["name"], e["removed"]) for e in d]')"
	run_sbx 0 prune --force --format json
	assert_fits prune
	run_sbx 0 ps -aq
	assert_same "" "$output"
}

@test "P10: the registry deleted, damaged, locked, of a newer version or not writable: workers run and are listed" {
	local database=$XDG_STATE_HOME/sbx/registry.db
	keep_worker w1 true
	check() {
		run_sbx 0 run -- true
		run bash -c '"$SBX" ps -aq 2>/dev/null'
		assert_same w1 "$output"
		run_sbx 0 exec w1 true
	}
	rm -f "$database"
	check
	echo "this is no database, but long enough to be read as one, one might think" >"$database"
	check
	sqlite3 "$database" 'PRAGMA user_version = 4000'
	check
	exec 9> >(sqlite3 "$database" >"$XDG_STATE_HOME/locked" 3>&-)
	printf 'BEGIN EXCLUSIVE;\nSELECT 1;\n' >&9
	wait_for grep -q 1 "$XDG_STATE_HOME/locked"
	check
	exec 9>&-
	chmod 400 "$database"
	check
}

@test "kept: a damaged one is listed as that, hides no other, and can be removed" {
	keep_worker w1 true
	keep_worker w2 true
	local id
	id=$(id_of w1)
	echo '{' >"$XDG_STATE_HOME/sbx/kept/$id/worker.json"
	rm -f "$XDG_STATE_HOME/sbx/registry.db"
	run_sbx 0 ps --all
	assert_has "$output" damaged
	run_sbx 0 ps --all --format json
	assert_fits ps
	assert_same "['w2', None]" "$(json '[w["name"] for w in d]')"
	run_sbx 0 ps -aq
	assert_same $'w2\n'"$id" "$output"
	run_sbx 0 rm "$id"
	run_sbx 0 ps -aq
	assert_same w2 "$output"
}
