#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load helpers

# One worker of the demo application: waits for its health, makes a row of its own, prints all orders of names.
worker() {
	"$SBX" run -C "$DEMO" -- sh -c '
		dotnet App.dll >/tmp/log 2>&1 &
		n=0
		until curl -sf -m 5 http://localhost:5555/health >/dev/null; do
			n=$((n + 1)); [ $n -lt 300 ] || { cat /tmp/log; exit 1; }
			sleep 0.1
		done
		sqlite3 -cmd ".timeout 5000" TestDb.db "insert into Roles(Name) values(\"worker '"$1"'\")" || exit 1
		sqlite3 -cmd ".timeout 5000" TestDb.db "select Name from Roles where Name like \"worker%\""'
}

@test "four unprivileged workers of dotnet App.dll on port 5555 and TestDb.db, each with its own rows" {
	before=$(ls -A "$DEMO")
	for i in 0 1 2 3; do
		worker $i >"out.$i" 2>&1 &
	done
	wait
	for i in 0 1 2 3; do
		assert_same "worker $i" "$(cat "out.$i")"
	done
	assert_same "$before" "$(ls -A "$DEMO")"
}
