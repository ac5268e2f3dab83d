#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The verbs beside run, on a live worker.
load workers

@test "ps: a live worker is listed with what it is, by name, for people and for programs" {
	start_worker w1 --label suite=smoke --label ticket=7 -- sleep 600
	start_worker w2 -- sleep 600
	run_sbx 0 ps
	assert_has "$output" w1
	assert_has "$output" running
	assert_has "$output" "sleep 600"
	run_sbx 0 ps -q
	assert_same $'w1\nw2' "$output"
	run_sbx 0 ps --format json
	assert_fits ps
	assert_same "['w1', 'w2']" "$(json '[w["name"] for w in d]')"
	assert_same "live sleep $tree" "$(json 'd[0]["state"], d[0]["command"][0], d[0]["tree"]' | tr -d "(,')")"
}

@test "ps: filters by name, id, tree, label, status" {
	start_worker w1 --label suite=smoke --label ticket=7 -- sleep 600
	start_worker w2 --label suite=full -- sleep 600
	local id
	run_sbx 0 ps --format json
	id=$(json 'd[1]["id"]')
	local -A filters=([name=2]=w2 [id=${id:0:9}${id:9}]=w2 [label=ticket]=w1 [label=suite=full]=w2 [status=live]=$'w1\nw2'
		[status=kept]="" [tree=.]=$'w1\nw2' [tree=/usr]="" [label=suit]="")
	for filter in "${!filters[@]}"; do
		run_sbx 0 ps -q --filter "$filter"
		assert_same "${filters[$filter]}" "$output"
	done
	run_sbx 0 ps -q --filter label=suite=smoke --filter label=ticket=7
	assert_same w1 "$output"
	run_sbx 0 ps -q --filter label=suite=smoke --filter label=suite=full
	assert_same "" "$output"
	run_sbx 0 ps -q --filter name=w1 --filter name=w2
	assert_same $'w1\nw2' "$output"
	run_sbx 125 ps --filter color=red
	assert_has "$output" "there are: name, id, status, tree, label"
}

@test "exec: one more command beside the worker's own, with its files, processes and exit status" {
	start_worker w1 -- sh -c 'echo inside >file; exec sleep 600'
	wait_for "$SBX" exec w1 test -s file
	run_sbx 0 exec w1 cat file
	assert_same inside "$output"
	[[ ! -e file ]]
	run_sbx 3 exec w1 sh -c 'exit 3'
	run_sbx 143 exec w1 sh -c 'kill $$'
	run_sbx 127 exec w1 no-such-program
	run_sbx 126 exec w1 /etc/passwd
	run_sbx 0 exec w1 pgrep -x sleep
	run_sbx 0 exec -e A=1 -w /usr w1 -- sh -c 'echo $A $PWD'
	assert_same "1 /usr" "$output"
	assert_same "through a pipe" "$(echo through a pipe | "$SBX" exec w1 cat)"
}

@test "P6: a command of exec has no capability, no new privileges, a filter" {
	start_worker w1 -- sleep 600
	run_sbx 0 exec w1 sh -c 'grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status | tr -s "\t\n" "  "'
	assert_same "CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 " "$output"
}

@test "exec, inspect, kill: by id and by the beginning of an id" {
	start_worker w1 -- sleep 600
	local id
	run_sbx 0 ps --format json
	id=$(json 'd[0]["id"]')
	run_sbx 0 exec "$id" true
	run_sbx 0 exec "${id:0:8}" true
	run_sbx 0 inspect "${id:0:8}"
	run_sbx 0 kill "${id:0:8}"
	wait_worker w1
}

@test "shell: the caller's shell, /bin/sh where that is none" {
	start_worker w1 -- sleep 600
	assert_same "/bin/bash" "$(echo 'readlink -f /proc/$$/exe | sed s,/usr,,' | SHELL=/bin/bash "$SBX" shell w1)"
	assert_same here "$(echo 'echo here' | SHELL=/usr/sbin/nologin "$SBX" shell w1)"
	assert_same here "$(echo 'echo here' | SHELL=/no/such "$SBX" shell w1)"
}

@test "diff: A, C and D, for people and for programs; the host has none of it" {
	echo host >changed
	echo host >deleted
	mkdir sub
	start_worker w1 -- sh -c 'echo w >changed; rm deleted; echo w >"sub/a b"; touch ready; exec sleep 600'
	wait_for "$SBX" exec w1 test -e ready
	run_sbx 0 diff w1
	assert_same "C $tree/changed
D $tree/deleted
A $tree/ready
A $tree/sub/a b" "$output"
	run_sbx 0 diff w1 --format json
	assert_fits diff
	assert_same "[('C', 'changed'), ('D', 'deleted'), ('A', 'ready'), ('A', 'a b')]" \
		"$(json '[(e["kind"], e["path"].rsplit("/", 1)[1]) for e in d]')"
	assert_same "host host" "$(cat changed) $(cat deleted)"
}

@test "cp: files, directories and what is in them, both ways" {
	mkdir -p host/deep
	echo one >host/one
	echo two >host/deep/two
	start_worker w1 -- sleep 600
	run_sbx 0 cp host w1:.
	run_sbx 0 exec w1 cat host/one host/deep/two
	assert_same $'one\ntwo' "$output"
	run_sbx 0 cp host w1:renamed
	run_sbx 0 exec w1 cat renamed/deep/two
	run_sbx 0 cp host/. w1:/tmp
	run_sbx 0 exec w1 cat /tmp/deep/two
	run_sbx 0 cp host/one w1:/tmp/new
	run_sbx 0 exec w1 cat /tmp/new
	mkdir out
	run_sbx 0 cp w1:/tmp/new out
	assert_same one "$(cat out/new)"
	run_sbx 0 cp w1:/tmp/deep out/named
	assert_same two "$(cat out/named/two)"
	run_sbx 0 cp w1:/tmp/deep out
	assert_same two "$(cat out/deep/two)"
	run_sbx 0 cp w1:renamed/. out
	assert_same one "$(cat out/one)"
	run_sbx 0 cp w1:/tmp/new ./a:b
	run_sbx 0 cp ./a:b w1:c:d
	run_sbx 0 exec w1 cat c:d
	assert_same one "$output"
	ln -s out link
	run_sbx 0 cp w1:/tmp/new link/
	run_sbx 0 cp link/one w1:/tmp/through
	run_sbx 0 exec w1 cat /tmp/through
}

@test "cp: bad places are named" {
	start_worker w1 -- sleep 600
	run_sbx 125 cp a b
	assert_has "$output" "none of the two places is a worker's"
	run_sbx 125 cp w1:a w1:b
	assert_has "$output" "both places are a worker's"
	run_sbx 125 cp - w1:b
	assert_has "$output" "tar"
	run_sbx 125 cp missing w1:b
	assert_has "$output" "cannot copy 'missing': No such file or directory"
	run_sbx 125 cp w1:missing .
	assert_has "$output" "missing"
	run_sbx 125 cp w1:/etc/passwd no/such/directory
	assert_has "$output" "no/such/directory"
	run_sbx 125 cp w1: .
	assert_has "$output" "the path is empty"
	run_sbx 125 cp w2:a .
	assert_has "$output" "did you mean w1?"
	[[ ! -e no && ! -e a ]]
}

@test "cp: nothing that a worker prepared makes it write elsewhere on the host" {
	mkdir out elsewhere
	start_worker w1 -- sh -c 'mkdir d; ln -s '"$tree"'/elsewhere d/link; ln -s ../../elsewhere/file d/file; touch ready; exec sleep 600'
	wait_for "$SBX" exec w1 test -e ready
	run_sbx 0 cp w1:d out
	[[ -L out/d/link && -L out/d/file ]]
	assert_same "" "$(ls elsewhere)"
}

@test "db: ls, query and shell of a live worker, while it has the database open" {
	sqlite3 TestDb.db "CREATE TABLE Orders(Id INTEGER PRIMARY KEY, Name TEXT); INSERT INTO Orders VALUES (1, 'host')"
	start_worker w1 -- sh -c 'exec sqlite3 TestDb.db "INSERT INTO Orders VALUES (2, '"'w1'"')" ".shell touch ready" ".shell sleep 600"'
	wait_for "$SBX" exec w1 test -e ready
	run_sbx 0 db ls w1
	assert_has "$output" "$tree/TestDb.db"
	run_sbx 0 db ls w1 --format json
	assert_fits db-ls
	run_sbx 0 db query w1 'SELECT * FROM Orders'
	assert_has "$output" w1
	run_sbx 0 db query --format json w1 'SELECT Id, Name FROM Orders ORDER BY Id'
	assert_fits db-query
	assert_same "[{'Id': 1, 'Name': 'host'}, {'Id': 2, 'Name': 'w1'}]" "$(json d)"
	run_sbx 125 db query w1 'DELETE FROM Orders'
	run_sbx 125 db query w1 'SELEC 1'
	assert_has "$output" SELEC
	assert_has "$(echo "SELECT 'from' || ' stdin'" | "$SBX" db query w1)" "from stdin"
	assert_same "2" "$(echo 'SELECT count(*) FROM Orders;' | "$SBX" db shell w1)"
	echo "UPDATE Orders SET Name = 'shell' WHERE Id = 1;" | "$SBX" db shell w1 --db TestDb.db
	assert_same shell "$(echo 'SELECT Name FROM Orders WHERE Id = 1;' | "$SBX" db shell w1)"
	assert_same host "$(sqlite3 TestDb.db 'SELECT Name FROM Orders')"
}

@test "db: one question to all workers in one command" {
	sqlite3 TestDb.db "CREATE TABLE Orders(Id INTEGER PRIMARY KEY); INSERT INTO Orders VALUES (1)"
	start_worker w1 -- sh -c 'sqlite3 TestDb.db "INSERT INTO Orders VALUES (2)"; touch ready; exec sleep 600'
	start_worker w2 -- sleep 600
	wait_for "$SBX" exec w1 test -e ready
	run_sbx 0 db query --all 'SELECT count(*) AS n FROM Orders'
	assert_has "$output" "== w1 =="
	assert_has "$output" "== w2 =="
	run_sbx 0 db query --all --format json 'SELECT count(*) AS n FROM Orders; SELECT 7 AS m'
	assert_fits db-query
	assert_same "[('w1', [[{'n': 2}], [{'m': 7}]]), ('w2', [[{'n': 1}], [{'m': 7}]])]" "$(json '[(w["worker"], w["answers"]) for w in d]')"
	run_sbx 0 db ls --all --format json
	assert_fits db-ls
	run_sbx 125 db query --all --format json 'SELECT nonsense'
}

@test "db: which database, what to do, sqlite3 missing: each is told" {
	sqlite3 a.db "CREATE TABLE A(x)"
	sqlite3 b.db "CREATE TABLE B(x)"
	start_worker w1 -- sleep 600
	run_sbx 125 db query w1 'SELECT 1'
	assert_has "$output" "there are several"
	run_sbx 0 db query w1 --db b.db 'SELECT count(*) FROM B'
	run_sbx 125 db shell w1 </dev/null
	assert_has "$output" "there are several"
	assert_has "$output" "name one with --db PATH"
	assert_same 0 "$(echo 'SELECT count(*) FROM B;' | "$SBX" db shell w1 --db b.db)"
	run_sbx 1 db shell w1 --db none.db <<<'CREATE TABLE C(x);'
	run_sbx 2 exec w1 ls none.db
	[[ ! -e none.db ]]
	run_sbx 125 db
	run_sbx 125 db drop w1
	assert_has "$output" "there is no such command"
	run_sbx 125 db ls
	assert_has "$output" "the worker is missing"
	PATH=/no/where run_sbx 125 db shell w1 </dev/null
	assert_has "$output" "apt-get install sqlite3"
}

@test "inspect: what was asked for, what protects it, its databases, for people and for programs" {
	sqlite3 TestDb.db "CREATE TABLE Orders(Id)"
	start_worker w1 --label a=b -- sleep 600
	run_sbx 0 inspect w1
	assert_has "$output" "name: w1"
	assert_has "$output" "state: live"
	assert_has "$output" "$tree/TestDb.db"
	run_sbx 0 inspect w1 --format json
	assert_fits inspect
	assert_same "w1 live True 0" "$(json 'd[0]["name"], d[0]["state"], d[0]["posture"]["no_new_privs"], len(d[0]["posture"]["capabilities"])' | tr -d "(,')")"
	assert_same "['$tree/TestDb.db']" "$(json '[b["path"] for b in d[0]["databases"]]')"
}

@test "stop: the stop signal first, KILL after the grace; the name of each that ended" {
	start_worker w1 -- sh -c 'trap "echo asked; exit 5" TERM; touch ready; while :; do sleep 0.1; done'
	start_worker w2 -- sh -c 'trap "" TERM; touch ready; while :; do sleep 0.1; done'
	wait_for "$SBX" exec w1 test -e ready
	wait_for "$SBX" exec w2 test -e ready
	run_sbx 0 stop w1
	assert_same w1 "$output"
	wait "${runs[0]}" || assert_same 5 "$?"
	assert_has "$(cat "$XDG_STATE_HOME/w1.out")" asked
	run_sbx 0 stop -t 0.2 w2
	assert_same w2 "$output"
	wait "${runs[1]}" || assert_same 137 "$?"
	run_sbx 0 ps -q
	assert_same "" "$output"
}

@test "stop: several at once, all within the grace of one" {
	local -a names=(w1 w2 w3 w4)
	for name in "${names[@]}"; do
		start_worker "$name" --stop-timeout 2 -- sh -c 'trap "" TERM; touch ready; while :; do sleep 0.1; done'
		wait_for "$SBX" exec "$name" test -e ready
	done
	local before=$EPOCHREALTIME
	run_sbx 0 stop --all
	assert_same $'w1\nw2\nw3\nw4' "$output"
	[[ $((${EPOCHREALTIME/./} - ${before/./})) -lt 7500000 ]]
}

@test "kill: KILL, or the signal that is named" {
	start_worker w1 -- sh -c 'trap "exit 7" USR1; touch ready; while :; do sleep 0.1; done'
	start_worker w2 -- sleep 600
	wait_for "$SBX" exec w1 test -e ready
	run_sbx 0 kill -s usr1 w1
	assert_same w1 "$output"
	wait "${runs[0]}" || assert_same 7 "$?"
	run_sbx 0 kill --all
	assert_same w2 "$output"
	wait "${runs[1]}" || assert_same 137 "$?"
	run_sbx 125 kill -s NOPE w2
	assert_has "$output" "there is no such signal"
}

@test "wait: the exit status of each, in their order, whichever ends first" {
	start_worker w1 -- sh -c 'until [ -e go ]; do sleep 0.01; done; exit 4'
	start_worker w2 -- sh -c 'until [ -e go ]; do sleep 0.01; done; exit 6'
	"$SBX" wait w2 w1 nobody >"$XDG_STATE_HOME/waited" 2>"$XDG_STATE_HOME/errors" 3>&- &
	local waiter=$!
	# The one that fails at once says that all of them have begun.
	wait_for grep -q nobody "$XDG_STATE_HOME/errors"
	"$SBX" exec w1 touch go || true # its end may come first
	wait_worker w1
	"$SBX" exec w2 touch go || true
	wait "$waiter" || assert_same 125 "$?"
	assert_same $'6\n4' "$(cat "$XDG_STATE_HOME/waited")"
}

@test "logs: told where there are none" {
	start_worker w1 -- sleep 600
	run_sbx 125 logs w1
	assert_has "$output" "run it with --keep"
}

@test "logs: --follow shows what comes until the end, --tail and --since less of it" {
	start_worker w1 --keep -- sh -c 'echo one; echo two >&2; until [ -e go ]; do sleep 0.01; done; echo three; exit 0'
	has_two() { [[ $("$SBX" logs w1 2>&1) == $'one\ntwo' || $("$SBX" logs w1 2>&1) == $'two\none' ]]; }
	wait_for has_two
	"$SBX" logs -f w1 >"$XDG_STATE_HOME/followed" 2>"$XDG_STATE_HOME/errors" 3>&- &
	local follower=$!
	wait_for grep -q one "$XDG_STATE_HOME/followed"
	"$SBX" exec w1 touch go || true # its end may come first
	wait "$follower"
	assert_same $'one\nthree' "$(cat "$XDG_STATE_HOME/followed")"
	assert_same two "$(cat "$XDG_STATE_HOME/errors")"
	wait_worker w1
	run_sbx 0 logs --tail 1 w1
	assert_same three "$output"
	run_sbx 0 logs --since 2100-01-01 w1
	assert_same "" "$output"
	run_sbx 0 logs --timestamps --tail 1 w1
	[[ $output =~ ^20[0-9-]+T[0-9:.]+Z\ three$ ]]
}

@test "rm: a live worker only with --force" {
	start_worker w1 -- sleep 600
	run_sbx 125 rm w1
	assert_has "$output" "it is live"
	run_sbx 0 rm -f w1
	assert_same w1 "$output"
	run_sbx 0 ps -aq
	assert_same "" "$output"
	run_sbx 0 rm -f w1
	assert_has "$output" "there is no worker"
}

@test "several: the failure of one does not keep a command from the others, the worst status is returned" {
	start_worker w1 -- sleep 600
	start_worker w2 -- sleep 600
	run_sbx 125 kill w1 nobody w2
	assert_has "$output" "cannot find the worker 'nobody'"
	wait_worker w1
	wait_worker w2
	run_sbx 125 inspect --format json nobody
	assert_has "$output" "[]"
}

@test "names: what is none is refused with the nearest, whatever bytes it has; a name in use is" {
	start_worker worker-one -- sleep 600
	for verb in "exec %s true" "shell %s" "logs %s" "inspect %s" "diff %s" "stop %s" "kill %s" "wait %s" "rm %s" "db ls %s"; do
		# shellcheck disable=SC2059,SC2046 # words on purpose
		run_sbx 125 $(printf "$verb" worker-two1)
		assert_has "$output" "no worker has this name"
	done
	run_sbx 125 exec worker-on true
	assert_has "$output" "did you mean worker-one?"
	for name in $'a\nb' $'\033[31m' $'\xff' a/b .. "" "a b" -- ; do
		run "$SBX" inspect -- "$name"
		printf '%q -> %s: %s\n' "$name" "$status" "$output"
		assert_same 125 "$status"
		[[ $output != *$'\033'* ]]
	done
	run_sbx 125 run --name worker-one -- true
	assert_has "$output" worker-one
}

@test "prune: says what a killed sbx left, and removes it" {
	start_worker w1 -- sleep 600
	kill -KILL "${runs[0]}"
	wait "${runs[0]}" || true
	dead() { [[ $("$SBX" prune --dry-run) == *w1* ]]; }
	wait_for dead
	run_sbx 0 prune --dry-run --format json
	assert_fits prune
	assert_same "[('dead worker', 'w1', False)]" "$(json '[(e["kind"], e["name"], e["removed"]) for e in d if e["kind"] == "dead worker"]')" # on disk its layer is listed, too
	run_sbx 0 prune --format json
	assert_fits prune
	assert_same "[('dead worker', 'w1', True)]" "$(json '[(e["kind"], e["name"], e["removed"]) for e in d if e["kind"] == "dead worker"]')"
	run_sbx 0 prune --format json
	assert_same "[]" "$output"
}

@test "version: for people and for programs" {
	run_sbx 0 version
	run_sbx 0 --version
	run_sbx 0 version --format json
	assert_fits version
}

@test "status: what happens to a worker, for programs" {
	run_sbx 0 run --status-fd 1 -- true
	assert_fits status --lines
	run_sbx 3 run --status-fd 1 -- sh -c 'exit 3'
	assert_fits status --lines
	run_sbx 125 run --status-fd 1 -C /no/such -- true
	output=$(grep '^{' <<<"$output") assert_fits status --lines
}

@test "output: a listing that cannot be written fails" {
	start_worker w1 -- sleep 600
	for verb in ps "inspect w1" "ps -q"; do
		# shellcheck disable=SC2086 # words on purpose
		run bash -c '"$SBX" '"$verb"' >/dev/full'
		assert_same 125 "$status"
		assert_has "$output" "No space left"
	done
}

@test "help: no option by which sbx calls itself, and examples as a shell wants them" {
	run_sbx 0 help lease
	for word in slot after project retry; do
		[[ $output != *"--$word "* ]]
	done
	run_sbx 0 help test
	assert_has "$output" "Example: --why 'Orders › ships'"
	run_sbx 0 help up
	assert_has "$output" "private (default of run), online"
}

@test "config: without settings it is an empty map; a ready that is none is told with an example" {
	cd "$BATS_TEST_TMPDIR"
	run_sbx 0 config
	assert_same "{}" "$output"
	printf '%s\n' 'services:' '  web: { command: x, ready: tcp:5555 }' >sbx.yaml
	run_sbx 125 config
	assert_has "$output" "as in ready: { port: 5555 }"
}

@test "config: -n on the line is stronger than both numbers of the file, as with up and test" {
	cd "$BATS_TEST_TMPDIR"
	run_sbx 0 config -n 50%
	assert_same 'workers: "50%"' "$output"
	printf '%s\n' 'workers: 2' 'test: { workers: 3 }' >sbx.yaml
	run_sbx 0 config --format json
	assert_same '{"test":{"workers":"3"},"workers":"2"}' "$output"
	run_sbx 0 config --format json -n auto
	assert_same '{"test":{"workers":"auto"},"workers":"auto"}' "$output"
	run_sbx 125 config -n x
	assert_has "$output" "as in --workers 4"
}
