#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Programs that are known to be particular about where they run, as they are. 010 and 011 are about .NET.
load helpers

@test "finding 4: Python's threads and subprocesses, without clone3" {
	run_sbx 0 run -- /usr/bin/python3 -c '
import concurrent.futures, multiprocessing, subprocess, tempfile, threading
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(lambda n: n * n, range(100))) == 328350
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
assert subprocess.check_output(["echo", "x"]) == b"x\n"
tempfile.TemporaryFile().write(b"x")
print("fine")'
	assert_same fine "$output"
}

@test "gcc, make, a library of one's own, gdb's system calls: build and run" {
	printf '#include <stdio.h>\nint two(void);\nint main(void) { return printf("%%d\\n", two()) != 2; }\n' >main.c
	printf 'int two(void) { return 2; }\n' >two.c
	printf 'app: main.c libtwo.so\n\tcc -o app main.c -L. -ltwo -Wl,-rpath,.\nlibtwo.so: two.c\n\tcc -shared -fPIC -o $@ $<\n' >Makefile
	run_sbx 0 run -- sh -c 'make -s -j2 && ./app && strace -f -o /tmp/trace ./app && grep -q exit_group /tmp/trace'
	assert_same $'2\n2' "$output"
	[[ ! -e app ]]
}

@test "git: a repository of the tree, committed to and cleaned inside" {
	export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
	git init -q . && echo one >file && git add file && git commit -qm one
	before=$(git rev-parse HEAD)
	run_sbx 0 run -- sh -c 'echo two >>file && git commit -qam two && git checkout -q -b other && git mv file moved &&
		git commit -qm moved && git gc -q && git stash list && git clone -q . ../clone && git log --format=%s | tr "\n" " "'
	assert_same "moved two one " "$output"
	assert_same "$before" "$(git rev-parse HEAD)"
	assert_same "" "$(git status --porcelain)"
}

@test "sqlite3: four writers at once in WAL, in one worker" {
	sqlite3 TestDb.db 'pragma journal_mode = wal; create table t(x)'
	run_sbx 0 run -- sh -c 'for i in 1 2 3 4; do
			for j in 1 2 3 4 5; do sqlite3 -cmd ".timeout 10000" TestDb.db "insert into t values($i)" || echo failed; done &
		done; wait; sqlite3 TestDb.db "select count(*) from t"'
	assert_same 20 "${lines[-1]}"
	[[ $output != *failed* ]]
	assert_same 0 "$(sqlite3 TestDb.db 'select count(*) from t')"
}

@test "finding 18, finding 17: PostgreSQL makes a cluster, starts, answers and stops" {
	initdb=$(find /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)
	[[ $initdb ]] || skip "PostgreSQL is missing"
	# It refuses root, which --as-root would make it.
	[[ $(id -u) -ne 0 ]] || return 0
	run_sbx 0 run -- sh -c 'PATH=$1:$PATH; initdb -A trust -D data >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
		pg_ctl -w -D data -o "-k /tmp" -l /tmp/log start >/dev/null || { cat /tmp/log; exit 1; }
		psql -h /tmp -d postgres -Atc "select 6 * 7" && psql -h 127.0.0.1 -d postgres -Atc "select current_user"
		pg_ctl -w -D data stop >/dev/null' sh "${initdb%/*}"
	assert_same "42"$'\n'"$(id -un)" "$output"
	[[ ! -e data ]]
}

@test "Node: worker threads, child processes, watching files, an HTTP server on localhost" {
	node=$(command -v node) || skip "Node is missing"
	cat >app.js <<'END'
const { Worker } = require('worker_threads'), http = require('http'), fs = require('fs'), { execFileSync } = require('child_process');
const watcher = fs.watch('.', (_, name) => { if (name === 'seen') { watcher.close(); next(); } });
new Worker('require("worker_threads").parentPort.postMessage(42)', { eval: true }).on('message', () => fs.writeFileSync('seen', ''));
function next() {
	const server = http.createServer((_, response) => response.end('over HTTP')).listen(5555, () =>
		http.get('http://localhost:5555', response => response.on('data', text => {
			console.log(String(text), String(execFileSync('echo', ['a child'])).trim());
			server.close();
			process.exit(0);
		})));
}
END
	run_sbx 0 run -- "$node" app.js
	assert_same "over HTTP a child" "$output"
}

@test "Chromium: without a sandbox of its own, and with it under --allow-userns" {
	chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || skip "Chromium is missing"
	echo '<p id=p></p><script>p.textContent = 6 * 7 + " " + location.protocol</script>' >page.html
	run timeout 120 "$SBX" run -- sh -c '"$1" --headless --no-sandbox --disable-gpu --dump-dom "file://$PWD/page.html" 2>/dev/null' sh "$chromium"
	echo "$output"
	assert_has "$output" "42 file:"
	# It refuses real root without --no-sandbox.
	[[ $(id -u) -ne 0 ]] || return 0
	run timeout 120 "$SBX" run --allow-userns -- sh -c '"$1" --headless --disable-gpu --dump-dom "file://$PWD/page.html" 2>/tmp/errors || cat /tmp/errors' sh "$chromium"
	echo "$output"
	assert_has "$output" "42 file:"
}
