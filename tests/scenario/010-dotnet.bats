#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load helpers

# One worker of the demo application: waits for its health, makes a row of its own, prints all orders of names.
worker() {
	"$SBX" run -C "$DEMO" -- sh -c '
		dotnet App.dll >/tmp/log 2>&1 &
		app=$!
		n=0
		until curl -sf -m 5 http://localhost:5555/health >/dev/null; do
			n=$((n + 1)); [ $n -lt 300 ] || { cat /tmp/log; exit 1; }
			sleep 0.1
		done
		sqlite3 -cmd ".timeout 5000" TestDb.db "insert into Roles(Name) values(\"worker '"$1"'\")" || exit 1
		sqlite3 -cmd ".timeout 5000" TestDb.db "select Name from Roles where Name like \"worker%\""
		# It was this one that answered, not that of another worker.
		kill $app && wait $app && grep -q "listening on:.*5555" /tmp/log || { cat /tmp/log; exit 1; }
		ls ~/.aspnet/DataProtection-Keys'
}

@test "finding 32: four unprivileged workers of dotnet App.dll on port 5555 and TestDb.db, each with its own rows, and keys in HOME" {
	before=$(ls -A "$DEMO")
	keys=$(ls -A "$HOME/.aspnet" 2>/dev/null || true)
	for i in 0 1 2 3; do
		worker $i >"out.$i" 2>&1 &
	done
	wait
	for i in 0 1 2 3; do
		assert_same "worker $i" "$(grep -v '^key-' "out.$i")"
	done
	# What keeps its users logged in is each worker's own, too: made anew, if the host had none.
	[[ $keys ]] || assert_same 4 "$(grep -h '^key-.*xml$' out.? | sort -u | wc -l)"
	assert_same "$keys" "$(ls -A "$HOME/.aspnet" 2>/dev/null || true)"
	assert_same "$before" "$(ls -A "$DEMO")"
}
