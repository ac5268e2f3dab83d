#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2154 # for the inner shell; set by the helpers
# Rows: what a worker changed, kept and put back, taken out, and done again in another worker.
load workers

make_database() {
	sqlite3 TestDb.db "CREATE TABLE Orders(Id INTEGER PRIMARY KEY, State TEXT, Blob BLOB); CREATE TABLE Log(Line);
		INSERT INTO Orders VALUES (1, 'open', NULL), (2, 'open', x'00ff'), (3, 'paid', NULL)"
}

change_rows() {
	"$SBX" exec "$1" sqlite3 TestDb.db "UPDATE Orders SET State = 'paid' WHERE Id = 1; DELETE FROM Orders WHERE Id = 2;
		INSERT INTO Orders VALUES (4, 'new', x'aa'); $2"
}

has_row() {
	[[ $("$SBX" db query "$1" --format json "$2") != *"[]"* ]]
}

@test "db diff: inserted, updated and deleted rows by table, of a live and of a kept worker" {
	make_database
	before=$(sha256sum TestDb.db)
	start_worker live --keep -- sleep 1000
	run_sbx 0 db diff live
	assert_has "$output" "TestDb.db: 0 inserted, 0 updated, 0 deleted (against the host's file as it is now)"
	change_rows live "INSERT INTO Log VALUES ('one'); CREATE TABLE Made(a)"
	run_sbx 0 db diff live
	assert_has "$output" "TestDb.db: 2 inserted, 1 updated, 1 deleted"
	[[ $output =~ Orders\ +updated\ +Id=1\ +State=\'open\'\ -\>\ \'paid\' ]]
	[[ $output =~ Orders\ +deleted\ +Id=2\ +State=\'open\',\ Blob=x\'00ff\' ]]
	[[ $output =~ Log\ +inserted\ +_rowid_=1\ +Line=\'one\' ]]
	[[ $output =~ Made\ +table\ made ]]
	"$SBX" kill live
	wait_for is_gone live
	run_sbx 0 db diff live TestDb.db --format json
	assert_fits db-diff
	assert_same "[('Log', 1, 0, 0), ('Orders', 1, 1, 1)] [('Made', 'made')]" \
		"$(json '[(t["name"], t["inserted"], t["updated"], t["deleted"]) for t in d[0]["tables"]], [(s["name"], s["change"]) for s in d[0]["schema"]]' | tr -d '\n' | sed 's/^(//; s/)$//; s/\], \[/] [/')"
	assert_same "$before" "$(sha256sum TestDb.db)"
}

@test "db diff: while a server writes, in WAL mode and without; each answer is of one instant" {
	make_database
	for mode in wal delete; do
		sqlite3 TestDb.db "PRAGMA journal_mode=$mode" >/dev/null
		start_worker "busy-$mode" -- sh -c 'i=100; while :; do i=$((i + 2)); sqlite3 -cmd ".timeout 10000" TestDb.db \
			"BEGIN IMMEDIATE; INSERT INTO Orders VALUES ($i, 0, 0), ($i + 1, 0, 0); COMMIT"; done'
		wait_for has_row "busy-$mode" 'SELECT 1 FROM Orders WHERE Id > 100'
		for _ in 1 2 3 4 5; do
			run_sbx 0 db diff "busy-$mode" --format json
			assert_same 0 "$(json 'd[0]["inserted"] % 2')"
			[[ $(json 'd[0]["inserted"]') -gt 0 ]]
		done
		run_sbx 0 db query --all 'SELECT count(*) > 3 AS more FROM Orders'
		assert_has "$output" "busy-$mode"
		"$SBX" kill "busy-$mode"
		wait_for is_gone "busy-$mode"
	done
}

@test "db snapshot, restore: rows go back under an open connection; a snapshot is listed, replaced, compared with" {
	make_database
	start_worker live -- sleep 1000
	run_sbx 0 db snapshot live first
	assert_same "$tree/TestDb.db" "$output"
	change_rows live "CREATE TABLE Late(a)"
	run_sbx 0 db snapshot live --format json
	assert_fits db-snapshot
	assert_same "first" "$(json 'd[0]["name"]')"
	run_sbx 0 db diff live --against first
	assert_has "$output" "1 inserted, 1 updated, 1 deleted (against the snapshot)"
	# A program holds the database open, and has read from it.
	mkfifo say
	"$SBX" exec live sqlite3 TestDb.db <say >answers 3>&- &
	exec 4>say
	echo 'SELECT count(*) FROM Late;' >&4
	wait_for test -s answers
	run_sbx 0 db restore live first
	assert_same "$tree/TestDb.db" "$output"
	echo 'SELECT count(*), group_concat(State) FROM Orders; SELECT name FROM sqlite_schema WHERE name = '"'Late'"';' >&4
	exec 4>&-
	wait "$!"
	assert_same $'0\n3|open,open,paid' "$(cat answers)"
	run_sbx 0 db diff live
	assert_has "$output" "0 inserted, 0 updated, 0 deleted"
	change_rows live ""
	run_sbx 0 db snapshot live first
	run_sbx 0 db diff live --against first
	assert_has "$output" "0 inserted, 0 updated, 0 deleted"
	run_sbx 125 db restore live second
	assert_has "$output" "the worker has none of that name"
	run_sbx 125 db snapshot live ../../upper-0/evil
	assert_has "$output" "cannot name the snapshot"
	# Nothing of it is seen inside.
	run_sbx 0 exec live sh -c 'find / -xdev -path "*/snapshots/first*" 2>/dev/null | wc -l'
	assert_same 0 "$output"
}

@test "db export: a consistent copy, as a new file only" {
	make_database
	start_worker live -- sleep 1000
	change_rows live ""
	run_sbx 0 db export live out.db
	assert_same "new" "$(sqlite3 out.db 'SELECT State FROM Orders WHERE Id = 4')"
	run_sbx 125 db export live TestDb.db out.db
	assert_has "$output" "name a new file"
	assert_same "" "$(find . -name '.sbx-*')"
	run_sbx 125 db export live missing.db other.db
	[[ ! -e other.db ]]
	assert_same "" "$(find . -name '.sbx-*')"
}

@test "db diff --changeset, apply: another worker gets the same rows, or none where one is not as it was" {
	make_database
	sqlite3 TestDb.db "CREATE VIRTUAL TABLE Words USING fts5(word); CREATE TABLE Seen(n INTEGER PRIMARY KEY);
		CREATE TRIGGER seen AFTER INSERT ON Orders BEGIN INSERT INTO Seen VALUES (new.Id); END"
	start_worker one -- sleep 1000
	start_worker two -- sleep 1000
	change_rows one "INSERT INTO Log VALUES ('left')"
	run_sbx 0 db diff one --changeset rows.changeset
	assert_has "$output" "not in the changeset: table Log: it has no primary key"
	run_sbx 125 db diff one --changeset rows.changeset
	assert_has "$output" "name a new file"
	run_sbx 0 db apply two rows.changeset
	assert_has "$output" "4"
	assert_has "$output" "it does not follow by itself, since triggers did not run: Words"
	run_sbx 0 db diff two --against one --format json
	assert_same "['Log']" "$(json '[t["name"] for t in d[0]["tables"]]')"
	run_sbx 125 db apply two rows.changeset
	assert_has "$output" "Orders (1) has other values by now"
	assert_has "$output" "nothing was changed"
	# Half of it fits: all or nothing.
	start_worker three -- sqlite3 -cmd "DELETE FROM Orders WHERE Id = 1" TestDb.db ".shell sleep 1000"
	wait_for has_row three 'SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM Orders WHERE Id = 1)'
	run_sbx 125 db apply three rows.changeset
	assert_has "$output" "Orders (1) is not there any more"
	run_sbx 0 db query three 'SELECT count(*) FROM Orders WHERE Id IN (2, 4)'
	assert_has "$output" "1"
	head -c 40 rows.changeset >cut.changeset
	run_sbx 125 db apply two cut.changeset
	assert_has "$output" "cut short"
	# Any program that knows changesets can.
	[[ $(head -c 1 rows.changeset) == T ]]
}

@test "db diff: a database that the app deleted, made or replaced" {
	make_database
	start_worker live -- sleep 1000
	"$SBX" exec live sh -c 'rm TestDb.db; sqlite3 Other.db "CREATE TABLE t(a); INSERT INTO t VALUES (1)"'
	run_sbx 0 db diff live
	assert_has "$output" "TestDb.db: 0 inserted, 0 updated, 3 deleted"
	assert_has "$output" "Other.db: 1 inserted, 0 updated, 0 deleted (against nothing: it was not there at the start)"
	"$SBX" exec live sh -c 'echo this is no database, but a text that is longer than a hundred bytes, as the header of one has to be, at the least >TestDb.db'
	run_sbx 125 db diff live TestDb.db
	assert_has "$output" "it is not an SQLite database"
}

@test "db diff, snapshot, restore: of a kept worker, and of one that started from a seed" {
	make_database
	"$SBX" seed create migrated -- sqlite3 TestDb.db "INSERT INTO Orders VALUES (10, 'seeded', NULL)"
	"$SBX" run --seed migrated --keep --name kept -- sqlite3 TestDb.db "INSERT INTO Orders VALUES (11, 'own', NULL)"
	# The host's file goes on; what the worker started with does not.
	sqlite3 TestDb.db "DELETE FROM Orders"
	run_sbx 0 db diff kept
	assert_has "$output" "1 inserted, 0 updated, 0 deleted (against the seed)"
	[[ $output =~ Orders\ +inserted\ +Id=11 ]]
	run_sbx 0 db snapshot kept one
	"$SBX" exec kept sqlite3 TestDb.db "DELETE FROM Orders"
	run_sbx 0 db diff kept --against one
	assert_has "$output" "0 inserted, 0 updated, 5 deleted"
	run_sbx 0 db restore kept one
	run_sbx 0 db diff kept --against one
	assert_has "$output" "0 inserted, 0 updated, 0 deleted"
	run_sbx 0 seed rm migrated
}
