#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2154 # for the inner shell; set by the helpers
# sbx db while something goes wrong: killed, out of space, locked out, the database gone or another one, hostile input.
bats_require_minimum_version 1.5.0
load workers

make_database() {
	sqlite3 TestDb.db "CREATE TABLE Orders(Id INTEGER PRIMARY KEY, State TEXT); CREATE TABLE Log(Line);
		INSERT INTO Orders VALUES (1, 'open'), (2, 'open'), (3, 'paid')"
}

states() {
	"$SBX" db query "$1" --format json 'SELECT group_concat(State) AS s FROM (SELECT State FROM Orders ORDER BY Id)' |
		/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["s"])'
}

@test "db snapshot, restore, apply, export killed at any step: done or not done, and the next one leaves nothing" {
	command -v strace >/dev/null || skip "strace is missing"
	seed=${SBX_KILL_SEED:-$RANDOM}
	printf '# seed %s\n' "$seed" >&3
	RANDOM=$seed
	make_database
	"$SBX" run --keep --name k -- true 3>&-
	"$SBX" run --keep --name over -- sqlite3 TestDb.db "UPDATE Orders SET State = 'new'" 3>&-
	"$SBX" db diff over --changeset there
	"$SBX" db snapshot k old
	"$SBX" db apply k there
	"$SBX" db snapshot k new
	"$SBX" db diff k --against old --changeset back || true
	# Beside the tree, where they would be databases of it.
	elsewhere=$(mktemp -d "$BATS_TMPDIR/elsewhere.XXXXXX")
	out=$elsewhere/out
	killed=0
	# The client, the kept worker's PID 1 and the task in it: whichever comes to its Nth call of these first.
	cut() {
		run strace -f -qq -o /dev/null -e trace="$1" -e inject="$1:signal=KILL:when=$2" "$SBX" db "${@:3}"
		echo "$*: $status $output"
		killed=$((killed + (status != 0)))
	}
	for call in openat pwrite64 renameat2 mkdirat unlinkat flock fsync,fdatasync ftruncate sendmsg recvmsg; do
		[[ -n ${SBX_KILL_ALL:-} || $call == openat ]] || ((RANDOM % 3 == 0)) || continue
		cut $call $((RANDOM % 5 + 1)) restore k old
		[[ $(states k) =~ ^(new,new,new|open,open,paid)$ ]]
		"$SBX" db restore k old
		cut $call $((RANDOM % 5 + 1)) apply k there
		[[ $(states k) =~ ^(new,new,new|open,open,paid)$ ]]
		"$SBX" db restore k new
		cut $call $((RANDOM % 5 + 1)) snapshot k new
		run_sbx 0 db diff k --against new
		assert_has "$output" "0 inserted, 0 updated, 0 deleted"
		run_sbx 0 db diff k --against old
		assert_has "$output" "0 inserted, 3 updated, 0 deleted"
		cut $call $((RANDOM % 5 + 1)) export k "$out.db"
		[[ ! -e $out.db || $(sqlite3 "$out.db" "PRAGMA integrity_check; SELECT count(*) FROM Orders WHERE State = 'new'") == $'ok\n3' ]]
		cut $call $((RANDOM % 5 + 1)) diff over --changeset "$out.changeset"
		[[ ! -e $out.changeset ]] || cmp "$out.changeset" there
		cut $call $((RANDOM % 5 + 1)) diff k --against over
		rm -f "$out".*
	done
	echo "killed: $killed"
	[[ $killed -ge 4 ]]
	run_sbx 0 db export k "$out.db"
	run_sbx 0 db snapshot k last
	run_sbx 0 prune
	assert_same "" "$(find "$elsewhere" "$XDG_STATE_HOME" -name '.sbx-*')"
	rm -r "$elsewhere"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/uppers" -mindepth 1)"
}

@test "no space for a snapshot, for rows put back or applied, for an export: named, and all is as it was" {
	make_database
	sqlite3 TestDb.db "CREATE TABLE Big(Id INTEGER PRIMARY KEY, Data); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO Big SELECT i, randomblob(4000) FROM n"
	export SBX_UPPER=tmpfs # a layer on disk has no size
	start_worker live --size 8M -- sleep 1000
	run_sbx 0 db snapshot live one
	run_sbx 0 exec live sqlite3 TestDb.db "DELETE FROM Big; UPDATE Orders SET State = 'new'"
	run_sbx 0 db diff live --changeset gone
	# What is put back into the pages that are there needs no space.
	run_sbx 0 exec live sqlite3 TestDb.db VACUUM
	run_sbx 0 exec live sh -c 'head -c 16M /dev/zero >fill 2>/dev/null || true'
	for _ in 1 2; do
		run_sbx 125 db restore live one
		assert_has "$output" "space"
		run_sbx 125 db snapshot live two
		assert_has "$output" "the writable layer is full"
		assert_has "$output" "--size"
	done
	assert_same new,new,new "$(states live)"
	run_sbx 0 db query live 'PRAGMA integrity_check'
	assert_has "$output" ok
	run_sbx 0 db snapshot live
	[[ $output != *two* ]]
	run_sbx 0 exec live rm fill
	run_sbx 0 db restore live one
	assert_same open,open,paid "$(states live)"
	run_sbx 0 db apply live gone
	assert_same new,new,new "$(states live)"
	if [[ -c /dev/full ]]; then
		run bash -c '"$SBX" db diff live --changeset - >/dev/full'
		echo "$output"
		assert_same 125 "$status"
		run bash -c '"$SBX" db diff live --format json --against one >/dev/full'
		echo "$output"
		assert_same 125 "$status"
	fi
	unshare --map-root-user --mount true 2>/dev/null || return 0
	cat >full.sh <<'END'
mount -t tmpfs -o size=256k,mode=1777 none /mnt || exit 1
status=0; "$SBX" db export "$1" /mnt/out.db 2>&1 || status=$?; echo "export: $status"
status=0; "$SBX" db diff "$2" --changeset /mnt/out.changeset 2>&1 || status=$?; echo "changeset: $status"
ls -A /mnt | wc -l
END
	HOME=$tree unshare --map-root-user --mount sh -c '"$SBX" run --keep --name k -- true; "$SBX" run --keep --name e -- sqlite3 TestDb.db "DELETE FROM Big"; exec sh full.sh k e' >full.out 2>&1 3>&-
	cat full.out
	assert_has "$(cat full.out)" "the disk that it is copied to is full"
	assert_has "$(cat full.out)" $'export: 125'
	assert_has "$(cat full.out)" $'changeset: 125\n0'
}

@test "a writer that holds the database locked: each command waits some seconds, then says so; --all asks the others" {
	make_database
	"$SBX" run --keep --name kept -- true 3>&-
	start_worker live -- sleep 1000
	run_sbx 0 db snapshot live one
	run_sbx 0 exec live sqlite3 TestDb.db "DELETE FROM Orders WHERE Id = 1"
	run_sbx 0 db diff live --changeset rows
	mkfifo say
	"$SBX" exec live sqlite3 TestDb.db <say >answers 3>&- &
	runs+=("$!")
	exec 4>say
	echo "BEGIN EXCLUSIVE; DELETE FROM Orders; SELECT 'locked';" >&4
	wait_for test -s answers
	local -A waiting=([query]="query live SELECT(1)FROM(Orders)" [all]="query --all SELECT(1)FROM(Orders)" [diff]="diff live"
		[json]="diff live --format json" [changeset]="diff live --changeset new" [snapshot]="snapshot live two"
		[restore]="restore live one" [export]="export live out.db" [apply]="apply live rows")
	local -A pids=()
	for name in "${!waiting[@]}"; do
		read -ra words <<<"${waiting[$name]}"
		timeout 60 "$SBX" db "${words[@]}" >"$name.out" 2>&1 3>&- 4>&- &
		pids[$name]=$!
	done
	for name in "${!waiting[@]}"; do
		status=0
		wait "${pids[$name]}" || status=$?
		echo "$name: $status $(cat "$name.out")"
		assert_same 125 "$status"
		grep -q "keeps it locked" "$name.out"
		grep -qE "transaction" "$name.out"
	done
	# The kept one answered.
	assert_has "$(cat all.out)" "== kept =="
	[[ ! -e out.db && ! -e new ]]
	run_sbx 0 db ls live
	assert_has "$output" "another program keeps it locked"
	echo "ROLLBACK;" >&4
	exec 4>&-
	wait_for has_two
	run_sbx 0 db restore live one
	run_sbx 0 db diff live
	assert_has "$output" "0 inserted, 0 updated, 0 deleted"
}

has_two() {
	[[ $(states live) == open,paid ]]
}

@test "restore waits for a writer that is done in a while" {
	make_database
	start_worker live -- sleep 1000
	run_sbx 0 db snapshot live one
	"$SBX" exec live sqlite3 TestDb.db "BEGIN EXCLUSIVE; UPDATE Orders SET State = 'x'" ".shell touch locked; sleep 1" "COMMIT" 3>&- &
	runs+=("$!")
	wait_for "$SBX" exec live test -e locked
	run_sbx 0 db restore live one
	assert_same open,open,paid "$(states live)"
}

@test "a database that was deleted, replaced, vacuumed, switched to WAL: compared, put back, refused by what it lacks" {
	make_database
	sqlite3 TestDb.db "INSERT INTO Log VALUES ('a'), ('b')"
	start_worker live -- sleep 1000
	in_live() { run_sbx 0 exec live "$@"; }
	run_sbx 0 db snapshot live one
	in_live sqlite3 TestDb.db "UPDATE Orders SET State = 'new' WHERE Id = 1"
	run_sbx 0 db diff live --changeset rows
	run_sbx 0 db restore live one
	# Kept in WAL mode by a connection that has not closed yet.
	"$SBX" exec live sqlite3 TestDb.db "PRAGMA journal_mode=wal; UPDATE Orders SET State = 'wal'" ".shell touch open; sleep 1000" 3>&- &
	runs+=("$!")
	wait_for "$SBX" exec live test -e open
	run_sbx 0 db diff live
	assert_has "$output" "0 inserted, 3 updated, 0 deleted"
	run_sbx 0 db snapshot live wal
	run_sbx 125 db apply live rows
	assert_has "$output" "Orders (1) has other values by now"
	run_sbx 0 db restore live one
	assert_same open,open,paid "$(states live)"
	run_sbx 0 db apply live rows
	assert_same new,open,paid "$(states live)"
	run_sbx 0 db restore live wal
	assert_same wal,wal,wal "$(states live)"
	run_sbx 0 db export live out.db
	assert_same $'ok\n3' "$(sqlite3 out.db "PRAGMA integrity_check; SELECT count(*) FROM Orders WHERE State = 'wal'")"
	rm out.db
	run_sbx 0 db restore live one
	in_live sqlite3 TestDb.db "DELETE FROM Orders WHERE Id = 2; VACUUM"
	run_sbx 0 db diff live
	assert_has "$output" "0 inserted, 0 updated, 1 deleted"
	in_live sh -c 'rm TestDb.db*; sqlite3 TestDb.db "CREATE TABLE Orders(Id INTEGER PRIMARY KEY, Other, More); INSERT INTO Orders VALUES (1, 1, 1)"'
	run_sbx 0 db diff live
	[[ $output =~ Orders\ +table\ altered && $output =~ Log\ +table\ dropped ]]
	run_sbx 125 db apply live rows
	assert_has "$output" "table Orders has other columns"
	in_live rm TestDb.db
	run_sbx 0 db diff live
	assert_has "$output" "5 deleted"
	run_sbx 125 db snapshot live two
	assert_has "$output" "No such file"
	run_sbx 125 db apply live rows
	assert_has "$output" "No such file"
	run_sbx 0 db restore live one
	assert_same open,open,paid "$(states live)"
	in_live sh -c 'rm TestDb.db; mkdir TestDb.db'
	for words in "diff live" "snapshot live two" "restore live one" "export live TestDb.db out.db" "apply live rows"; do
		# shellcheck disable=SC2086 # words they are
		run_sbx 125 db $words
		assert_has "$output" "directory"
	done
}

@test "names and values of any bytes: of databases, tables, columns, rows; no listing commands the terminal" {
	odd=$'odd\n\e[31m\xff"'"'.db"
	sqlite3 TestDb.db $'CREATE TABLE "t\n\e""\'"("c\n\e""" INTEGER PRIMARY KEY, "v\'"); CREATE TABLE n("a\n\e")'
	cp TestDb.db "$odd"
	start_worker live -- sleep 1000
	run_sbx 0 db snapshot live one
	assert_has "$output" 'odd\n\x1b[31m\xff'
	plain() {
		run_sbx 0 "$@"
		[[ $output != *$'\e'* ]]
	}
	plain db ls live
	for file in TestDb.db "$odd"; do
		run_sbx 0 exec live sqlite3 "$file" $'INSERT INTO "t\n\e""\'" VALUES (1, char(27) || "[31m" || char(10, 0) || "end"), (2, CAST(x\'ff1b00\' AS TEXT)); INSERT INTO n VALUES (x\'1b00\')' 
	done
	plain db diff live
	[[ $output =~ t\\n\\x1b\"\'\ +inserted\ +c\\n\\x1b\"=1 ]]
	plain db diff live "$odd" --against one
	plain db snapshot live
	plain db snapshot live two
	plain db query live --db "$odd" $'SELECT * FROM "t\n\e""\'"'
	run_sbx 0 db diff live --format json
	assert_fits db-diff
	assert_same "['t\\\\n\\\\x1b\"\\\\'', '\\\\x1b[31m\\\\n\\\\x00end', '\\\\udcff\\\\x1b\\\\x00']" \
		"$(json '[d[1]["tables"][1]["name"]] + [list(r["after"].values())[1] for r in d[1]["tables"][1]["rows"]]' | sed 's/\\/\\\\/g')"
	run_sbx 0 db ls live --format json
	assert_fits db-ls
	run --separate-stderr "$SBX" db diff live TestDb.db --changeset rows
	assert_same 0 "$status"
	[[ $stderr != *$'\e'* ]]
	run_sbx 125 db apply live rows --db "$odd"
	[[ $output != *$'\e'* && $output == *"is there already"* ]]
	plain db restore live one
	run_sbx 0 db apply live rows --db "$odd"
	run_sbx 0 db diff live "$odd" --format json
	assert_same 2 "$(json 'd[0]["inserted"]')"
	run_sbx 0 db export live "$odd" $'out\n\e\xff.db'
	assert_same ok "$(sqlite3 $'out\n\e\xff.db' 'PRAGMA integrity_check')"
	run_sbx 125 db snapshot live $'../\e'
	[[ $output != *$'\e'* ]]
}

@test "db apply of what is no changeset, is cut, or is of another database: refused by name, nothing is changed" {
	make_database
	start_worker live -- sleep 1000
	run_sbx 0 exec live sqlite3 TestDb.db "DELETE FROM Orders"
	run_sbx 0 db diff live --changeset rows
	run_sbx 0 exec live sqlite3 TestDb.db "CREATE VIRTUAL TABLE F USING fts5(body); CREATE VIEW V AS SELECT * FROM Orders; INSERT INTO Orders VALUES (1, 'open'), (2, 'open'), (3, 'paid')"
	run_sbx 0 db snapshot live one
	: >empty
	head -c 4096 /dev/urandom >random
	mkfifo pipe
	head -c $(($(stat -c %s rows) - 1)) rows >shortened
	# Tables that are not there, of SQLite's own, behind a full-text index, a view.
	named() { sed "s/Orders/$1/" rows >"named.$1"; }
	named Orderz
	for file in random shortened named.Orderz TestDb.db /dev/null /dev/zero . missing; do
		run_sbx 125 db apply live "$file"
		assert_has "$output" "cannot"
	done
	run timeout 20 "$SBX" db apply live pipe
	assert_same 125 "$status"
	run_sbx 0 db apply live empty
	assert_same 0 "${lines[-1]}"
	/usr/bin/python3 - <<'END'
def changeset(table, columns, key, *rows):
    head = b"T" + bytes([columns]) + bytes(1 if i == key else 0 for i in range(columns)) + table + b"\0"
    return head + b"".join(rows)
insert = b"\x12\0"
number = lambda n: b"\x01" + n.to_bytes(8, "big")
open("of.sqlite", "wb").write(changeset(b"sqlite_schema", 5, 0, insert + number(1) * 5))
open("of.shadow", "wb").write(changeset(b"F_data", 2, 0, insert + number(77) + b"\x04\x01x"))
open("of.view", "wb").write(changeset(b"V", 2, 0, insert + number(77) + number(1)))
open("of.many", "wb").write(changeset(b"Orders", 200, 0, insert + number(1) * 200))
open("of.none", "wb").write(b"T\0Orders\0" + insert)
open("of.huge", "wb").write(changeset(b"Orders", 2, 0, insert + number(77) + b"\x03\xff\xff\xff\xff\x7fx"))
open("of.name", "wb").write(changeset(b"no\n\x1b[31m\xff", 2, 0, insert + number(1) * 2))
open("of.undefined", "wb").write(changeset(b"Orders", 2, 0, insert + b"\0\0"))
END
	for file in of.*; do
		run_sbx 125 db apply live "$file"
		[[ $output == *cannot* && $output != *$'\e'* ]]
	done
	run_sbx 0 db diff live --against one
	assert_has "$output" "0 inserted, 0 updated, 0 deleted"
	run_sbx 0 db apply live rows
	run_sbx 0 db query live 'SELECT count(*) AS n FROM Orders' --format json
	assert_same 0 "$(json 'd[0]["n"]')"
}
