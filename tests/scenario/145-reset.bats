#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2034,SC2154 # for the inner shell; used and set by the helpers
# Reset: sbx reset, lease --reset-after, test --reset. The server of these pools holds a file and its database open, and
# asks both with each request.
bats_require_minimum_version 1.5.0
load pools

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	PATH=$(dirname "$SBX"):$PATH
	runs=()
	cd "$tree" || return 1
	mkdir dir dir/below closed
	printf 'as it was\n' | tee held file mode time attribute replaced dir/one dir/below/two closed/in >/dev/null
	ln -s file link
	mkfifo pipe
	truncate -s 1M sparse
	chmod 640 mode
	chmod 500 closed
	touch -d '2020-02-02 02:02:02' time
	python3 -c 'import os; os.setxattr("attribute", "user.sbx-test", b"before")'
	make_database delete
	cat >server.py <<-'EOS'
		import http.server, sqlite3, urllib.parse
		rows = sqlite3.connect('App.db', check_same_thread=False, isolation_level=None, timeout=10)
		held = open('held')
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = 'HTTP/1.1'
		    def log_message(self, *ignored): pass
		    def do_GET(self):
		        global rows
		        if self.path == '/add':
		            rows.execute("INSERT INTO item(name) VALUES('added')")
		        elif self.path == '/begin':
		            rows.execute('BEGIN IMMEDIATE')
		        elif self.path == '/end':
		            rows.execute('ROLLBACK')
		        elif self.path == '/delete':
		            import os
		            os.unlink('App.db')
		        elif self.path == '/close':
		            rows.close()
		        elif self.path == '/open':
		            rows = sqlite3.connect('App.db', check_same_thread=False, isolation_level=None, timeout=10)
		        elif self.path.startswith('/sql/'):
		            rows.execute(urllib.parse.unquote_plus(self.path[5:])).fetchall()
		        held.seek(0)
		        answer = '-' if self.path in ('/delete', '/close') else '%d %s' % (
		            rows.execute('SELECT count(*) FROM item').fetchone()[0], held.read().strip())
		        self.send_response(200)
		        self.send_header('Content-Length', str(len(answer)))
		        self.end_headers()
		        self.wfile.write(answer.encode())
		http.server.ThreadingHTTPServer(('127.0.0.1', 5555), Handler).serve_forever()
	EOS
	cat >sbx.yaml <<-'EOS'
		services:
		  shop:
		    command: [python3, -u, server.py]
		    ready: { url: 'http://127.0.0.1:5555/' }
	EOS
}

teardown() {
	"$SBX" down --all >/dev/null 2>&1
	wait "${runs[@]}"
	"$SBX" rm --all --force
	chmod -R u+rwx "$tree"
	cd / && rm -rf "$tree" "$XDG_STATE_HOME"
}

make_database() {
	python3 - "$1" <<-'EOS'
		import sqlite3, sys
		rows = sqlite3.connect('App.db')
		rows.execute('PRAGMA journal_mode=' + sys.argv[1])
		rows.execute('CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT)')
		rows.executemany('INSERT INTO item(name) VALUES(?)', [('item %d' % i,) for i in range(2000)])
		rows.commit()
	EOS
}

ask() {
	"$SBX" exec w0 curl -sS "localhost:5555$1"
}

# field NAME: of the reset that is in $output.
field() {
	python3 -c "import json, sys; print(json.dumps(json.load(sys.stdin)['$1']))" <<<"$output"
}

# All that can be seen of the files, but for the server's database.
look='find . -name "App.db*" -o -printf "%p %y %m %l " \( -type d -printf "\n" -o -type p -printf "\n" -o -type l -printf "\n" -o \
	-printf "%TY-%Tm-%Td " -exec cksum {} \; -printf "\n" \) 2>/dev/null | sort'

change='set -e
	printf changed >held; echo more >>file; chmod 755 mode; touch time; rm replaced
	python3 -c "import os; os.setxattr(\"attribute\", \"user.sbx-test\", b\"after\"); os.setxattr(\"attribute\", \"user.other\", b\"x\")"; mkdir replaced; echo in >replaced/in
	rm -r dir; echo file >dir; ln -sf mode link; rm pipe; : >pipe; echo x | dd of=sparse conv=notrunc bs=1 seek=500000 status=none
	mkdir -p new/below; echo new >new/below/file; ln file second; ln -s nowhere dangling; mkfifo new/pipe
	chmod 700 closed; rm closed/in; echo other >closed/other; chmod 0 closed/other; chmod 500 closed; mkdir new/shut; chmod 500 new/shut'

@test "finding 49: reset: files of every kind are as they were, and whoever has one open sees it" {
	up_detached
	before=$("$SBX" exec w0 sh -c "$look")
	inode=$("$SBX" exec w0 sh -c 'echo >>held; stat -c %i held')
	"$SBX" exec w0 sh -c "$change"
	assert_same "2000 changed" "$(ask /)"
	run_sbx 0 reset w0
	assert_has "$output" " files, "
	assert_same "$before" "$("$SBX" exec w0 sh -c "$look")"
	assert_same "2000 as it was" "$(ask /)"
	assert_same "$inode" "$("$SBX" exec w0 stat -c %i held)"
	assert_same "{'user.sbx-test': b'before'}" "$("$SBX" exec w0 python3 -c 'import os
print({name: os.getxattr("attribute", name) for name in os.listxattr("attribute")})')"
	assert_same as\ it\ was "$(cat held)"
	"$SBX" down
	assert_nothing_left
}

@test "reset: rows are as they were under the server's open connection, in rollback and in WAL mode" {
	for mode in delete wal; do
		rm -f App.db
		make_database "$mode"
		up_detached
		assert_same "2001 as it was" "$(ask /add)"
		ask /sql/CREATE+TABLE+made+AS+SELECT+\*+FROM+item >/dev/null
		ask /sql/DELETE+FROM+item+WHERE+id%3C1000 >/dev/null
		run_sbx 0 reset --db --format json w0
		assert_same "[\"$tree/App.db\"]" "$(field databases)"
		assert_same 0 "$(field files)"
		assert_same "[]" "$(field stays_wal)"
		assert_same "2000 as it was" "$(ask /)"
		assert_same "2001 as it was" "$(ask /add)"
		ask /sql/CREATE+TABLE+made%28x%29 >/dev/null
		run_sbx 0 db query w0 'PRAGMA integrity_check; PRAGMA journal_mode; SELECT max(id) FROM item'
		assert_has "$output" ok
		assert_has "$output" "$mode"
		assert_has "$output" 2001
		"$SBX" down
	done
	assert_nothing_left
}

@test "reset: of a worker in which nothing changed nothing is put back, and of rows alone no file is" {
	run_sbx 125 reset
	assert_has "$output" "'sbx reset' needs more: WORKER"
	up_detached
	run_sbx 0 reset --format json w0
	assert_same "0 []" "$(field files) $(field databases)"
	schemas=$BATS_TEST_DIRNAME/schema
	[[ -d $schemas ]] || schemas=$BATS_TEST_DIRNAME/../../scripts/schema
	"$BATS_TEST_DIRNAME/check-schema" "$schemas/reset.json" <<<"$output"
	"$SBX" exec w0 sh -c 'echo more >>file'
	ask /add
	run_sbx 0 reset --db --format json w0
	assert_same "0 [\"$tree/App.db\"]" "$(field files) $(field databases)"
	assert_has "$("$SBX" exec w0 cat file)" more
	run_sbx 0 reset --format json w0
	assert_same "1 []" "$(field files) $(field databases)"
	run_sbx 0 reset --format json w0
	assert_same "0 []" "$(field files) $(field databases)"
	run_sbx 0 reset w0
	assert_has "$output" "nothing had changed"
}

@test "reset: while requests are in flight no answer is wrong, and the database stays whole" {
	up_detached
	"$SBX" exec w0 sh -c 'while curl -sSf localhost:5555/add; do echo; done' >answers 2>failures 3>&- &
	runs+=("$!")
	wait_for test -s answers
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		"$SBX" exec w0 sh -c 'echo x >>file; rm -f dir/one'
		run_sbx 0 reset w0
	done
	assert_same "" "$(grep -v '^2[0-9]* as it was$' answers)"
	run_sbx 0 db query w0 'PRAGMA integrity_check'
	assert_has "$output" ok
	"$SBX" down
	wait "${runs[@]}" || true
	runs=()
}

@test "reset: under connections that stay open and another writer, in both modes, nobody sees a failure" {
	cat >clients.py <<-'EOS'
		import http.client, sqlite3, sys, threading
		def ask():
		    connection = http.client.HTTPConnection('localhost', 5555)
		    while True:
		        connection.request('GET', '/add')
		        answer = connection.getresponse().read().decode()
		        if not answer.startswith('2') or not answer.endswith(' as it was'):
		            print('answer:', answer, flush=True)
		        counts[0] += 1
		def write():
		    rows = sqlite3.connect('App.db', isolation_level=None, timeout=30)
		    while True:
		        rows.execute("UPDATE item SET name = name || 'x' WHERE id % 5 = 0")
		        counts[1] += 1
		        threading.Event().wait(0.005)  # or nobody else ever gets the lock
		def guarded(work):
		    try: work()
		    except BaseException as failure: print('failed:', failure, flush=True)
		counts = [0, 0]
		for work in (ask, write):
		    threading.Thread(target=guarded, args=(work,), daemon=True).start()
		print('began', flush=True)
		for line in sys.stdin:
		    seen = list(counts)
		    while any(now <= before for now, before in zip(counts, seen)): threading.Event().wait(0.001)
		    print('went on', flush=True)
	EOS
	for mode in delete wal; do
		rm -f App.db
		make_database "$mode"
		up_detached
		coproc clients { "$SBX" exec -i w0 python3 -u clients.py 2>&1 3>&-; }
		read -r -t 60 line <&"${clients[0]}"
		assert_same began "$line"
		for _ in 1 2 3 4 5; do
			run_sbx 0 reset w0
			echo >&"${clients[1]}"
			read -r -t 60 line <&"${clients[0]}"
			assert_same "went on" "$line"
		done
		eval "exec ${clients[1]}>&-"
		assert_same "" "$(cat <&"${clients[0]}")"
		run_sbx 0 reset w0
		assert_same "2000 as it was" "$(ask /)"
		run_sbx 0 db query w0 "PRAGMA integrity_check; SELECT count(*) FROM item WHERE name LIKE '%x'"
		assert_has "$output" ok
		assert_has "$output" 0
		"$SBX" down
	done
}

@test "reset: a database that was deleted under a connection needs a new world, told; without one it comes back" {
	up_detached
	id=$("$SBX" ps -q --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
	"$SBX" exec w0 sh -c 'echo x >>file'
	ask /delete
	run_sbx 125 reset w0
	assert_has "$output" "App.db': it was deleted or replaced, and a process has the old one open"
	assert_has "$output" "--restart"
	assert_has "$("$SBX" exec w0 cat file)" x
	ask /close
	run_sbx 0 reset w0
	assert_same "2000 as it was" "$(ask /open)"
	"$SBX" exec w0 sqlite3 App.db 'DELETE FROM item WHERE id < 1900; VACUUM; PRAGMA journal_mode=WAL' >/dev/null
	run_sbx 0 reset w0
	assert_same "2000 as it was" "$(ask /)"
	"$SBX" exec w0 sh -c 'echo x >>file'
	run_sbx 0 reset --restart w0
	assert_has "$output" "a new world"
	assert_same "as it was" "$("$SBX" exec w0 cat file)"
	[[ $id != "$("$SBX" ps -q --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')" ]]
}

@test "reset: a database that was replaced, emptied, vacuumed to other pages or taken out of WAL mode comes back" {
	rm App.db
	make_database wal
	up_detached
	ask /close
	for what in 'sqlite3 other "CREATE TABLE item(x)"; mv other App.db' ': >App.db' 'rm App.db' \
		'sqlite3 App.db "PRAGMA journal_mode=DELETE; DELETE FROM item"' \
		'sqlite3 App.db "PRAGMA journal_mode=DELETE; PRAGMA page_size=8192; VACUUM"' \
		'sqlite3 App.db "PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=FULL; VACUUM; PRAGMA journal_mode=WAL"' \
		'sqlite3 App.db "DROP TABLE item; VACUUM"'; do
		"$SBX" exec w0 sh -c "$what"
		run_sbx 0 reset w0
		run_sbx 0 db query w0 'PRAGMA integrity_check; PRAGMA journal_mode; PRAGMA page_size; SELECT max(id) FROM item'
		assert_has "$output" ok
		assert_has "$output" wal
		assert_has "$output" 4096
		assert_has "$output" 2000
	done
	assert_same "2000 as it was" "$(ask /open)"
	"$SBX" exec w0 sh -c 'echo of something else >App.db'
	run -125 "$SBX" reset w0
	assert_has "$output" App.db
	assert_has "$output" "--restart"
	run_sbx 0 reset --restart w0
	assert_same "2000 as it was" "$(ask /)"
}

@test "reset: a kept worker is not reset, and what to do is said" {
	run_sbx 3 run --name red --keep=failed -- sh -c 'echo x >>file; exit 3'
	run_sbx 125 reset red
	assert_has "$output" "worker red: cannot reset it: it has ended, and was kept as it was"
	assert_has "$output" "'sbx shell' and 'sbx open' look into it"
	assert_has "$("$SBX" exec red cat file)" x
}

@test "reset: what cannot be done in place is said, and nothing is changed" {
	mkdir many
	(cd many && seq 1100 | xargs touch)
	up_detached
	"$SBX" exec w0 sh -c 'rm -r many; echo x >>file'
	run_sbx 125 reset w0
	assert_has "$output" "many': it was removed, and held more than 1000 entries"
	assert_has "$("$SBX" exec w0 cat file)" x
	run_sbx 0 reset --restart w0
	"$SBX" exec w0 sh -c 'cd dir && exec sleep 100' 3>&- &
	runs+=("$!")
	wait_for "$SBX" exec w0 sh -c 'ls -l /proc/*/cwd 2>/dev/null | grep -q "/dir$"'
	"$SBX" exec w0 rm -r dir
	run_sbx 125 reset w0
	assert_has "$output" "dir': it is the working directory of a process"
	"$SBX" down
	wait "${runs[@]}" || true
	runs=()
}

@test "reset: of a database that a transaction keeps locked, EBUSY is said after a while, and all stays" {
	up_detached
	"$SBX" exec w0 sh -c 'echo x >>file'
	ask /add
	ask /begin
	run_sbx 125 reset w0
	assert_has "$output" "App.db': a program keeps it locked"
	assert_has "$("$SBX" exec w0 cat file)" x
	ask /end
	run_sbx 0 lease -- true
	run_sbx 0 reset w0
	assert_same "2000 as it was" "$(ask /)"
}

@test "reset: a world whose reset was killed in the middle is leased no more, but replaced" {
	up_detached
	id=$("$SBX" ps --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
	"$SBX" exec w0 sh -c 'echo x >>file'
	ask /add
	ask /begin
	"$SBX" reset w0 >out 2>err 3>&- &
	reset=$!
	first=$(pid_of w0)
	# The task waits for the lock: it is PID 1's child that is sbx and has no command of its own.
	wait_for sh -c "pgrep -P $first -x sbx >/dev/null && ls -d /proc/$(pgrep -P "$first" -x sbx | head -1) >/dev/null"
	wait_for sh -c "kill -9 \$(pgrep -P $first -x sbx)"
	wait "$reset" || true
	run_sbx 0 lease -- cat file
	assert_same "as it was" "$output"
	[[ $id != "$("$SBX" ps --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')" ]]
}

@test "reset: killed at any moment, the next lease meets all of what was before, all of the start, or a new world" {
	mkdir lots
	(cd lots && for i in $(seq 200); do echo start >"$i"; done)
	up_detached
	for _ in 1 2 3 4 5 6; do
		"$SBX" exec w0 sh -c 'for i in lots/*; do echo changed >"$i"; done'
		ask /add
		first=$(pid_of w0)
		"$SBX" reset w0 >out 2>err 3>&- &
		reset=$!
		# A task is sbx in a fork of PID 1, before and while it works.
		while kill -0 "$reset" 2>/dev/null && ! pkill -KILL -P "$first" -x sbx; do :; done
		wait "$reset" || true
		run_sbx 0 lease -- sh -c 'sort -u lots/*; curl -s localhost:5555/'
		[[ $output == *$'start\n2000 as it was' || $output == *$'changed\n2001 as it was' ]]
		[[ $output != *start*changed* && $output != *changed*start* ]]
		run_sbx 0 reset w0
		assert_same "2000 as it was" "$(ask /)"
	done
}

@test "reset: it goes on when who asked is killed, and ends with a world that is" {
	up_detached
	"$SBX" exec w0 sh -c 'echo x >>file'
	ask /add
	ask /begin
	first=$(pid_of w0)
	"$SBX" reset w0 >out 2>err 3>&- &
	reset=$!
	wait_for sh -c "pgrep -P $first -x sbx >/dev/null"
	kill -KILL "$reset"
	wait "$reset" || true
	run_sbx 125 reset w0
	assert_has "$output" "it is being reset"
	ask /end
	run_sbx 0 lease --wait-timeout 30s -- sh -c 'cat file; curl -s localhost:5555/'
	assert_has "$output" "as it was
2000 as it was"
	assert_same "$first" "$(pid_of w0)"
	"$SBX" exec w0 sh -c 'echo x >>file'
	ask /add
	ask /begin
	"$SBX" reset w0 >out 2>err 3>&- &
	reset=$!
	wait_for sh -c "pgrep -P $first -x sbx >/dev/null"
	kill -KILL "$first"
	# Not in a subshell, whose child it is not.
	status=0
	wait "$reset" || status=$?
	assert_same 125 "$status"
	assert_has "$(cat err)" "w0"
	run_sbx 0 lease --wait-timeout 30s -- sh -c 'cat file; curl -s localhost:5555/'
	assert_has "$output" "as it was
2000 as it was"
}

@test "reset: on a full layer it fails by name, and the next lease has a new world" {
	export SBX_UPPER=tmpfs # a layer on disk has no size
	up_detached --size 64M
	"$SBX" exec w0 sh -c 'rm file dir/one; dd if=/dev/zero of=/tmp/full bs=64k 2>/dev/null; true'
	"$SBX" exec w0 sh -c 'rm -r dir; for i in $(seq 2000); do : >/tmp/$i || exit 0; done' 2>/dev/null
	run -125 "$SBX" reset w0
	assert_has "$output" "the writable layer is full"
	run_sbx 0 lease -- cat file
	assert_same "as it was" "$output"
}

@test "lease --reset-after: in place, and only where that cannot be a new world" {
	up_detached
	id=$("$SBX" ps --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
	run_sbx 3 lease --reset-after fail -- sh -c 'echo x >>file; curl -s localhost:5555/add >/dev/null; exit 3'
	assert_has "$output" "worker w0 reset: 1 file, rows of App.db"
	run_sbx 0 lease --reset-after fail -- sh -c 'cat file; echo y >file'
	assert_same "as it was" "$output"
	run_sbx 0 lease --reset-after each -- cat file
	assert_has "$output" "y
sbx: worker w0 reset: 1 file, "
	assert_same "$id" "$("$SBX" ps --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')"
	run_sbx 0 lease --reset-after each -- curl -s localhost:5555/delete
	assert_has "$output" "worker w0 gets a new world: "
	assert_has "$output" "it was deleted or replaced"
	run_sbx 0 lease -- curl -s localhost:5555/
	assert_same "2000 as it was" "$output"
}

@test "reset: a run without services goes back to the tree, with the rows that its database has now" {
	start_worker red -- sleep 100
	"$SBX" exec red sh -c 'echo x >>file; sqlite3 App.db "DELETE FROM item"'
	sqlite3 App.db 'DELETE FROM item WHERE id > 10'
	run_sbx 0 reset red
	assert_same "as it was" "$("$SBX" exec red cat file)"
	assert_same 10 "$("$SBX" exec red sqlite3 App.db 'SELECT count(*) FROM item')"
	run_sbx 125 reset --restart red
	assert_has "$output" "it is no worker of a pool"
	"$SBX" stop red
}

# suite_of BODY…: a Playwright suite of one spec file for each body, with visit() for the tests.
suite_of() {
	local body number=0
	rm sbx.yaml
	ln -s "$RUNNERS/node_modules" node_modules
	mkdir tests
	cat >playwright.config.js <<-'EOS'
		module.exports = { testDir: 'tests', workers: 1, reporter: 'list', use: { baseURL: 'http://localhost:5555' },
			webServer: { name: 'shop', command: 'python3 -u server.py', url: 'http://localhost:5555' } };
	EOS
	for body in "$@"; do
		number=$((number + 1))
		printf 'const { test, expect } = require("@playwright/test");
			const add = async request => (await (await request.get("/add")).text());\n%s\n' "$body" >"tests/$number.spec.js"
	done
}

@test "test --reset: each unit begins with the seed's rows and files, in the same world" {
	one='test("a", async ({ request }) => expect(await add(request)).toBe("2001 as it was"));
	     test("b", async ({ request }) => { expect(await add(request)).toBe("2002 as it was"); });'
	suite_of "$one" "$one" "$one"
	run_sbx 1 test -n 1 -- npx playwright test
	run_sbx 0 test -n 1 --reset file -- npx playwright test
	assert_has "$output" "w0 reset: rows of App.db"
	assert_has "$output" "6 passed"
	rm tests/*
	red='test("red", async ({ request }) => { await add(request); expect(1).toBe(2); });'
	suite_again "$red$one"
	run_sbx 1 test -n 1 --reset fail -- npx playwright test
	assert_has "$output" "w0 reset: rows of App.db"
	assert_has "$output" "2 passed"
}

@test "test --reset worker: each test process begins with the seed's rows and files, in the same world" {
	one='test("a", async ({ request }) => expect(await add(request)).toBe("2001 as it was"));
	     test("b", async ({ request }) => expect(await add(request)).toBe("2002 as it was"));'
	suite_of 'test("red", async ({ request }) => { await add(request); expect(1).toBe(2); });'"$one" \
		'test("c", async ({ request }) => expect(await add(request)).toBe("2003 as it was"));'
	run_sbx 1 test -n 1 --reset worker -- npx playwright test
	assert_has "$output" "1 failed"
	assert_has "$output" "3 passed"
	assert_same 1 "$(grep -c 'w0 reset: rows of App.db' <<<"$output")"
	run_sbx 1 test -n 1 -- npx playwright test
	assert_has "$output" "4 failed"
}

suite_again() {
	printf 'const { test, expect } = require("@playwright/test");
		const add = async request => (await (await request.get("/add")).text());\n%s\n' "$1" >tests/1.spec.js
}
