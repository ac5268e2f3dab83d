#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Pools: services, their readiness, order, restarts and end; in the foreground and detached.
bats_require_minimum_version 1.5.0
load pools

three_servers() {
	cat >sbx.yaml <<-'END'
		workers: 3
		services:
		  web:
		    command: python3 -u -m http.server 5555
		    ready: { url: "http://localhost:5555/" }
	END
}

@test "up -d: three workers have a server each on one port, and outlive the shell that started them" {
	three_servers
	bash -c '"$SBX" up -d --name web >"$XDG_STATE_HOME/name" 2>"$XDG_STATE_HOME/err" </dev/null 3>&-'
	assert_same web "$(cat "$XDG_STATE_HOME/name")"
	assert_has "$(cat "$XDG_STATE_HOME/err")" "3 workers are ready"
	for i in 0 1 2; do
		run_sbx 0 exec "w$i" sh -c 'echo "$SBX_WORKER of $SBX_WORKERS"; python3 -c "
import urllib.request; print(urllib.request.urlopen(\"http://localhost:5555/sbx.yaml\").status)"'
		assert_same "$i of 3"$'\n'200 "$output"
	done
	run_sbx 0 inspect w1
	run_sbx 0 down
	assert_same web "$output"
	assert_nothing_left
}

@test "up -d: its worlds are in a session of their own, and a hangup of the terminal does not reach them" {
	up_detached -n 1 -- sleep 1000
	session=$(ps -o sid= -p "$(pid_of w0)")
	[[ $session -ne $(ps -o sid= -p $$) ]]
	kill -HUP "$(pid_of w0)"
	run_sbx 0 exec w0 true
}

@test "up: in the foreground lines come with their worker in front, and SIGTERM ends all" {
	up_foreground -n 2 -- sh -c 'echo "one of w{worker} of {workers}"; exec sleep 1000'
	wait_for grep -qF 'w1 | one of w1 of 2' "$XDG_STATE_HOME/up.out"
	grep -qF 'w0 | one of w0 of 2' "$XDG_STATE_HOME/up.out"
	kill -TERM "$up"
	status=0
	wait "$up" || status=$?
	assert_same 143 "$status"
	assert_nothing_left
}

@test "P4: SIGKILL of an up in the foreground leaves no process behind" {
	up_foreground -n 4 -- sleep 1234
	pids=(); for i in 0 1 2 3; do pids+=("$(pid_of "w$i")"); done
	kill -KILL "$up"
	for pid in "${pids[@]}"; do wait_for test ! -e "/proc/$pid"; done
	run ! pgrep -u "$(id -u)" -f 'sleep 1234'
	run_sbx 0 ps -q
	assert_same "" "$output"
	# What is left of it on disk goes with the next pool.
	up_detached -n 1
	run_sbx 0 down
	assert_nothing_left
}

@test "up: readiness by port, stdout, cmd and in both address families" {
	cat >sbx.yaml <<-'END'
		services:
		  four: { command: python3 -m http.server -b 127.0.0.1 4444, ready: { port: 4444 } }
		  six: { command: "python3 -m http.server -b ::1 6666", ready: { url: "http://localhost:6666/" } }
		  talk: { command: "sleep 0.1; echo listening on port 7777; exec sleep 1000", ready: { stdout: "port (?<talk_port>\\d+)" } }
		  made: { command: "sleep 0.1; touch made; exec sleep 1000", ready: { cmd: test -e made } }
	END
	up_detached
	run_sbx 0 exec w0 sh -c 'echo $TALK_PORT; ls made'
	assert_same $'7777\nmade' "$output"
}

@test "up: depends_on waits for ready, started and completed" {
	cat >sbx.yaml <<-'END'
		services:
		  last:
		    command: "cat order; exec sleep 1000"
		    ready: { stdout: "web" }
		    depends_on: { web: { condition: service_ready }, seed: { condition: service_completed_successfully } }
		  web: { command: "sleep 0.2; echo web >>order; exec sleep 1000", ready: { cmd: grep -q web order }, depends_on: { seed: { condition: service_completed_successfully } } }
		  seed: { command: "sleep 0.2; echo seed >>order" }
	END
	begin=$SECONDS
	up_detached
	# A `cmd` that holds is news by itself, not when its time is over.
	[[ $((SECONDS - begin)) -lt 30 ]]
	run_sbx 0 logs w0 last
	assert_same $'seed\nweb' "$output"
}

@test "up: a service that dies before it is ready is named with worker, status and last lines" {
	cat >sbx.yaml <<-'END'
		services:
		  good: { command: sleep 1000 }
		  bad: { command: "echo no such table; exit 4", ready: { port: 5555 } }
	END
	run_sbx 125 up -d -n 2
	assert_has "$output" "worker w"
	assert_has "$output" "cannot start the service 'bad': it ended with status 4 before it was ready"
	assert_has "$output" "no such table"
	assert_nothing_left
	run_sbx 125 up -n 2
	assert_has "$output" "it ended with status 4"
	assert_nothing_left
}

@test "up: a service that never gets ready is an error with what was tried" {
	cat >sbx.yaml <<-'END'
		services: { web: { command: python3 -u -m http.server 5556, ready: { port: 5555, timeout: 300ms } } }
	END
	run_sbx 125 up -d
	assert_has "$output" "web"
	assert_has "$output" "5555"
	cat >sbx.yaml <<-'END'
		services:
		  four: { command: python3 -u -m http.server 5556, ready: { port: 5556 } }
		  web: { command: sleep 1000, ready: { port: 5555, timeout: 300ms }, depends_on: [four] }
	END
	run_sbx 125 up -d
	assert_has "$output" "nothing listens there; ports that are open: 5556"
	run_sbx 125 up -d --wait-timeout 1ms -- sleep 1000
	assert_has "$output" "--wait-timeout"
	assert_nothing_left
}

@test "up: a service without readiness is said to be so, and one that ends at once is not called ready" {
	run_sbx 125 up -d -n 1 -- sh -c 'echo no such file; exit 7'
	assert_has "$output" "cannot keep the service alive 'main': it ended with status 7"
	assert_has "$output" "no such file"
	[[ $output != *"is ready"* ]]
	assert_nothing_left
	run_sbx 0 up -d -n 1 -- sleep 1000
	assert_has "$output" "main: started, no readiness check"
	run_sbx 0 down
	printf '%s\n' 'services:' '  one: { command: sleep 1000 }' '  two: { command: exit 4, depends_on: [one] }' >sbx.yaml
	run_sbx 125 up -d
	assert_has "$output" "cannot start the service 'two': it ended with status 4"
	# One that has nothing more to do is no failure, and holds nobody up.
	printf '%s\n' 'services:' '  one: { command: "true" }' '  two: { command: sleep 1000, depends_on: [one] }' >sbx.yaml
	run_sbx 0 up -d
	run_sbx 0 exec w0 pgrep -x sleep
	run_sbx 0 down
	# Alone it says one thing, whichever comes first on a busy machine.
	run_sbx 0 up -d -- true
	[[ $output != *"cannot keep"* && $output == *"1 worker is ready"* ]]
	assert_same 1 "$(grep -c -e 'main has ended with status 0; what it left behind goes on' -e 'main: started, no readiness check' <<<"$output")"
}

@test "up: in a subfolder the tree is that of the sbx.yaml above, as every other command there takes it" {
	mkdir -p below/deep
	printf '%s\n' 'services: { web: { command: "pwd >where; exec sleep 1000", ready: { cmd: "test -e where" } } }' 'seed: { command: "pwd >seeded" }' >sbx.yaml
	cd below/deep
	up_detached -n 1
	run_sbx 0 lease -- sh -c 'pwd; cat ../../where ../../seeded'
	assert_same "$tree/below/deep"$'\n'"$tree"$'\n'"$tree" "$output"
	# The same when it is made anew, and seen from elsewhere.
	cd ../..
	run_sbx 0 kill w0
	run_sbx 0 lease -- cat where seeded
	assert_same "$tree"$'\n'"$tree" "$output"
	cd below
	run_sbx 125 up -d
	assert_has "$output" "this tree has one that lives"
	run_sbx 0 config
	assert_has "$output" "sleep 1000"
	run_sbx 0 down
	# Its own is nearer; and a mistake above is named with its way.
	echo 'services: { own: { command: sleep 1000 } }' >sbx.yaml
	run_sbx 0 config
	assert_has "$output" "own:"
	cd deep
	echo 'servces: {}' >../sbx.yaml
	run_sbx 125 up -d
	assert_has "$output" "../sbx.yaml:1:1"
	# Another user's would run commands.
	if [[ $EUID -eq 0 ]]; then
		chown nobody ../sbx.yaml
		run_sbx 0 config
		assert_has "$output" "sleep 1000"
	fi
}

@test "up: a second pool of a tree is one that has a name" {
	up_detached -n 2 --name first -- sleep 1000
	run_sbx 125 up -d -- sleep 1000
	assert_has "$output" "cannot start a pool: this tree has one that lives, first, of 2 workers"
	assert_has "$output" "'sbx down --name first' ends it"
	up_detached --name second -- sleep 1000
	run_sbx 0 exec second/w0 true
	mkdir other
	run_sbx 0 up -d -C other -- sleep 1000
}

@test "up -p, ports: each worker's port is published, on this host alone; several workers do not share one" {
	three_servers
	run_sbx 125 up -d -p 8765:5555
	assert_has "$output" "cannot publish the port '8765:5555': several workers cannot share one port of the host"
	assert_has "$output" "write 0 for the host's port"
	echo '    ports: ["0:5555"]' >>sbx.yaml
	up_detached -n 2
	assert_has "$stderr" "w1: published: 127.0.0.1:"
	for i in 0 1; do
		run_sbx 0 port "w$i"
		[[ $output =~ 127.0.0.1:([0-9]+):5555 ]] || [[ $output =~ 127.0.0.1:([0-9]+) ]]
		run_sbx 0 exec "w$i" sh -c "echo w$i >who"
		assert_same "w$i" "$(curl -s "http://127.0.0.1:${BASH_REMATCH[1]}/who")"
	done
}

@test "up: restart policies: on-failure starts it again, and gives up after N" {
	cat >sbx.yaml <<-'END'
		services:
		  flaky: { command: "echo x >>tries; test $(wc -l <tries) -ge 3 || exit 1; exec sleep 1000", ready: { cmd: "test $(wc -l <tries) -ge 3" }, restart: on-failure }
	END
	up_detached
	run_sbx 0 exec w0 cat tries
	assert_same $'x\nx\nx' "$output"
	run_sbx 0 down
	cat >sbx.yaml <<-'END'
		services: { flaky: { command: "echo try; exit 7", ready: { port: 5555 }, restart: "on-failure:2" } }
	END
	run_sbx 125 up -d
	assert_has "$output" "it ended with status 7"
	assert_nothing_left
}

# shared_mail: a service that counts who asks, for all workers, and a server in each that waits for it.
shared_mail() {
	cat >visits.py <<-'END'
		import http.server, os
		count = 0
		class Visits(http.server.BaseHTTPRequestHandler):
		    def do_GET(self):
		        global count
		        count += 1
		        self.send_response(200); self.end_headers()
		        self.wfile.write(f"{os.environ.get('SBX_WORKER')} {count}".encode())
		http.server.HTTPServer(("127.0.0.1", 1025), Visits).serve_forever()
	END
	cat >sbx.yaml <<-'END'
		workers: 2
		services:
		  mail:
		    command: python3 -u visits.py
		    ready: { port: 1025 }
		    ports: ["0:1025"]
		    shared: true
		  web:
		    command: ["sh", "-c", "curl -s localhost:1025 && exec python3 -u -m http.server 5555"]
		    ready: { port: 5555 }
		    depends_on: [mail]
	END
}

@test "up: a shared service runs once for all workers, which find it at its port; it stays, and ends with the pool" {
	shared_mail
	up_detached --name post
	assert_has "$stderr" "shared: mail runs once for all worlds, which find it at localhost:1025"
	assert_same $'post.shared\npost.w0\npost.w1' "$("$SBX" ps -q | sort)"
	for i in 3 4 5; do
		run_sbx 0 exec "w$((i % 2))" curl -s http://localhost:1025/
		assert_same "None $i" "$output"
	done
	run_sbx 0 port post.shared
	[[ $output =~ 127.0.0.1:([0-9]+) ]]
	assert_same "None 6" "$(curl -s "http://127.0.0.1:${BASH_REMATCH[1]}/")"
	run_sbx 0 logs post.shared
	assert_has "$output" "GET / HTTP"
	run_sbx 0 logs w0
	# A worker that is made anew has it again, and no lease gets its world.
	kill -KILL "$(pid_of w1)"
	for _ in 1 2 3; do
		run_sbx 0 lease -- sh -c 'curl -s http://localhost:1025/; echo " in $SBX_WORKER"'
		assert_has "$output" "None "
	done
	wait_for "$SBX" exec w1 curl -sf http://localhost:1025/
	run_sbx 0 down
	assert_nothing_left
}

@test "up: a shared service that does not come up, or ends, is named, and no worker goes on without it" {
	shared_mail
	sed -i 's/python3 -u visits.py/echo no mail today; exit 3/' sbx.yaml
	run_sbx 125 up -d
	assert_has "$output" "cannot start the service 'mail'"
	assert_has "$output" "no mail today"
	assert_nothing_left
	shared_mail
	up_foreground --name post
	kill -KILL "$(pid_of shared)"
	status=0
	wait "$up" || status=$?
	assert_same 125 "$status"
	assert_has "$(cat "$XDG_STATE_HOME/up.err")" "worker shared"
	assert_nothing_left
}

@test "up: when all services end by themselves, the highest status is the exit status" {
	run_sbx 3 up -n 2 -- sh -c 'exit $((2 + {worker}))'
	assert_nothing_left
}

@test "down: services end in good order, with their stop signal" {
	cat >sbx.yaml <<-'END'
		services:
		  web:
		    command: ["sh", "-c", "trap 'echo ended gracefully >>/tmp/out/log; exit' INT; echo up; while :; do sleep 0.01; done"]
		    ready: { stdout: up }
		    stop_signal: SIGINT
	END
	mkdir out
	up_detached -v "$PWD/out:/tmp/out:rw"
	run_sbx 0 down
	assert_same "ended gracefully" "$(cat out/log)"
	assert_nothing_left
}

@test "up -d: what --reach leads to is reached after the up has ended" {
	three_servers
	up_detached -n 1 --name server
	run_sbx 0 port add w0 0:5555
	port=${output##*:}
	up_detached -n 1 --name client --reach "server.test=localhost:$port" -- sleep 1000
	run_sbx 0 exec client/w0 python3 -c "
import urllib.request; print(urllib.request.urlopen('http://server.test:$port/').status)"
	assert_same 200 "$output"
	run_sbx 0 down
	assert_nothing_left
}

@test "restart: services anew, files as they were" {
	up_detached -n 1 -- sh -c 'echo start >>starts; exec sleep 1000'
	run_sbx 0 exec w0 sh -c 'echo mine >mine'
	run_sbx 0 restart w0
	assert_same "$pool.w0" "$output"
	run_sbx 0 exec w0 cat starts mine
	assert_same $'start\nstart\nmine' "$output"
}

@test "names: w1 is of the newest pool of this tree, NAME/w1 of any; elsewhere two are ambiguous" {
	up_detached -n 2 --name one
	up_detached -n 2 --name two
	run_sbx 0 exec w1 sh -c 'echo 2 >mark'
	run_sbx 0 exec one/w1 sh -c 'echo 1 >mark'
	run_sbx 0 exec two.w1 cat mark
	assert_same 2 "$output"
	cd /
	run_sbx 125 exec w1 cat mark
	assert_has "$output" "one.w1"
	assert_has "$output" "two.w1"
	run_sbx 0 down --name one
	assert_same one "$output"
	run_sbx 0 exec w1 sh -c 'cat mark'
	assert_same 2 "$output"
}

@test "logs: of one service, of all by time with a prefix, and lines are never split" {
	cat >sbx.yaml <<-'END'
		services:
		  slow: { command: "printf half; sleep 0.2; echo ' line'; exec sleep 1000", ready: { stdout: line } }
		  quick: { command: "echo quick; exec sleep 1000" }
	END
	up_detached
	run_sbx 0 logs w0 slow
	assert_same "half line" "$output"
	run_sbx 0 logs w0
	assert_same $'quick | quick\nslow  | half line' "$output"
	run_sbx 0 logs --prefix --tail 1 w0 quick
	assert_same "quick | quick" "$output"
	run_sbx 125 logs w0 nosuch
	assert_has "$output" "quick, slow"
	# Nor while they are being written, by several at once.
	run_sbx 0 down
	cat >sbx.yaml <<-'END'
		services:
		  one: { command: "while :; do printf half; sleep 0.01; echo ' line'; done" }
		  two: { command: "while :; do printf an; sleep 0.01; echo other; done" }
	END
	up_detached
	"$SBX" logs -f --prefix w0 >followed 3>&- &
	runs+=("$!")
	wait_for bash -c '[[ $(grep -c one followed) -gt 20 && $(grep -c two followed) -gt 20 ]]'
	kill "${runs[-1]}"
	wait "${runs[-1]}" || true
	assert_same "" "$(grep -vx -e 'one | half line' -e 'two | another' followed)"
}

@test "up: a world that is killed is made anew by the owner, and says so" {
	up_foreground -n 1 -- sleep 1000
	old=$(pid_of w0)
	kill -KILL "$old"
	wait_for grep -q 'made anew' "$XDG_STATE_HOME/up.err"
	wait_for "$SBX" exec w0 true
	[[ $(pid_of w0) -ne $old ]]
	run_sbx 0 stop w0
	wait "$up"
	assert_nothing_left
}

@test "up: -n auto says what binds it, -n 50% is of the processors" {
	up_detached -n auto
	assert_has "$stderr" "bound by"
	run_sbx 0 down
	up_detached -n 50%
	count=$(nproc)
	assert_same "$((count / 2 > 0 ? count / 2 : 1))" "$("$SBX" ps -q | wc -l)"
	run_sbx 125 up -d -n 0
	assert_has "$output" "--workers '0'"
}

@test "up: under GitHub Actions the start is a group" {
	GITHUB_ACTIONS=true up_detached -n 1
	assert_has "$stderr" "::group::sbx up: 1 worker"
	assert_has "$stderr" "::endgroup::"
}

@test "up: on a terminal one live line for each worker, without colour under NO_COLOR" {
	CI='' NO_COLOR=1 TERM=xterm run script -qec "stty rows 40 cols 100; $SBX up -d -n 2 2>&1" /dev/null 3>&-
	printf '%q\n' "$output"
	assert_has "$output" $'\033[2A'
	assert_has "$output" "ready"
	[[ $output != *$'\033[32m'* ]]
}
