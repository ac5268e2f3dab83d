#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Ways in and out of a world's network.
load workers

setup_file() {
	export BATS_TEST_TIMEOUT=60
}

# serve NAME ADDRESS [OPTION…]: a worker whose command serves on port 5555 of ADDRESS.
serve() {
	local name=$1 address=$2
	shift 2
	cp "$TOOLS/traffic" .
	start_worker "$name" "$@" -- ./traffic serve "$address" 5555
	wait_for grep -q listening "$XDG_STATE_HOME/$name.out"
}

# published NAME [PORT]: the host's port.
published() {
	local place
	place=$("$SBX" port "$1" "${2:-5555}") && echo "${place##*:}"
}

traffic() {
	timeout 60 "$TOOLS/traffic" "$@"
}

@test "-p 0:PORT: a server on 127.0.0.1, ::1 or all addresses is reached; sbx port, ps and stderr name the place" {
	for address in 127.0.0.1 ::1 0.0.0.0 ::; do
		serve api "$address" -p 0:5555
		port=$(published api)
		traffic echo 127.0.0.1 "$port" 1 1000
		assert_has "$(cat "$XDG_STATE_HOME/api.err")" "published: 127.0.0.1:$port:5555"
		run_sbx 0 port api
		assert_same "5555/tcp -> 127.0.0.1:$port" "$output"
		run_sbx 0 port --format json api
		assert_same "[{'port': 5555, 'protocol': 'tcp', 'host': '127.0.0.1', 'host_port': $port}]" "$(json d)"
		run_sbx 0 ps --format json
		assert_same "['127.0.0.1:$port:5555']" "$(json "d[0]['ports']")"
		run_sbx 0 stop api
		wait_worker api
		run traffic echo 127.0.0.1 "$port" 1 1
		[[ $status -ne 0 ]]
	done
}

@test "-p: 64 MiB there and back are the same bytes, at once, after a half-close, and for a slow reader" {
	serve api ::1 -p 0:5555
	port=$(published api)
	traffic echo 127.0.0.1 "$port" 1 67108864
	traffic half 127.0.0.1 "$port" 1 67108864
	traffic slow 127.0.0.1 "$port" 1 67108864
}

@test "-p: a reset of either side reaches the other, and nobody listening is a reset" {
	serve api 127.0.0.1 -p 0:5555 -p 0:5556
	traffic reset-by 127.0.0.1 "$(published api)" 20 100000
	traffic reset 127.0.0.1 "$(published api)" 20 1
	# The server's processes that wait for it have seen it: none is left but the one that listens.
	wait_for is_alone api
	run traffic echo 127.0.0.1 "$(published api 5556)" 1 1
	assert_has "$output" "Connection reset"
}

is_alone() {
	[[ $("$SBX" exec "$1" sh -c 'grep -lx traffic /proc/[0-9]*/comm | wc -l') == 1 ]]
}

@test "-p: 10,000 connections leak no descriptor: with 256 of them the last is served as the first" {
	ulimit -n 256
	serve api 127.0.0.1 -p 0:5555
	traffic echo 127.0.0.1 "$(published api)" 10000 10
	traffic open 127.0.0.1 "$(published api)" 30 1000
}

@test "-p: hundreds of connections at rest take no pipes, so they take nothing from others" {
	serve api 127.0.0.1 -p 0:5555
	traffic open 127.0.0.1 "$(published api)" 600 1000
}

@test "finding 41: nothing of the forwarder is got by pidfd_getfd, ptrace, /proc or process_vm_readv; killed, it comes back" {
	cp "$TOOLS/steal" .
	serve api 127.0.0.1 -p 0:5555
	run_sbx 0 exec api ./steal
	assert_same "tried 1, got 0" "$output"
	for _ in 1 2 3; do
		run_sbx 0 exec api ./steal --kill
		traffic echo 127.0.0.1 "$(published api)" 5 1000
	done
	run_sbx 0 exec api ./steal
	assert_same "tried 1, got 0" "$output"
}

# forwarder_is_new: the worker whose PID 1 is $init has another one than $forwarder, which it becomes.
forwarder_is_new() {
	local now
	now=$(pgrep -P "$init" -x sbx) && [[ $now != "$forwarder" ]] && forwarder=$now
}

is_unpublished() {
	[[ -z $("$SBX" port "$1") ]]
}

@test "-p: a forwarder that ends again and again is given up: its port refuses, is listed no more, and inspect says why" {
	serve api 127.0.0.1 -p 0:5555
	port=$(published api)
	init=$(pgrep -P "${runs[-1]}")
	forwarder=$(pgrep -P "$init" -x sbx)
	for _ in 1 2 3 4 5 6 7; do
		kill -SYS "$forwarder" # as its filter would end it
		wait_for forwarder_is_new
	done
	kill -SYS "$forwarder"
	wait_for is_unpublished api
	run traffic echo 127.0.0.1 "$port" 1 1
	assert_has "$output" "Connection refused"
	run_sbx 0 inspect api
	assert_has "$output" "port 127.0.0.1:$port:5555"
	assert_has "$output" "ended again and again"
}

@test "finding 41: the same holds without a filter on the payload" {
	cp "$TOOLS/steal" .
	serve api 127.0.0.1 --seccomp off -p 0:5555
	run "$SBX" exec api ./steal
	echo "$output"
	# Limits can be set then, which gets nobody anything: finding 40.
	assert_has "$output" "tried 1"
	[[ $output != *descriptor* && $output != *memory* && $output != *control* && $output != *"fd"* && $output != *mem* ]]
}

@test "finding 41: the payload holds no socket of the host's network" {
	cp "$TOOLS/steal" .
	start_worker api -p 0:5555 -- sh -c 'ls -l /proc/self/fd; sleep 60'
	wait_for grep -q ' 2 -> ' "$XDG_STATE_HOME/api.out"
	run cat "$XDG_STATE_HOME/api.out"
	[[ $output != *socket:* ]]
}

@test "-p: a host port in use, a low one, a range, UDP, --net host, many workers: refused by name" {
	serve first 127.0.0.1 -p 0:5555
	port=$(published first)
	run_sbx 125 run -p "$port:80" -- true
	assert_has "$output" "another program on the host listens there"
	run_sbx 125 run -p 8000-8010:80 -- true
	assert_has "$output" "its port of the host is none"
	run_sbx 125 run -p 80/udp -- true
	assert_has "$output" "only TCP can be published"
	run_sbx 125 run -p nowhere:80:80 -- true
	assert_has "$output" "its first part is no address of the host"
	run_sbx 125 run -p 198.51.100.9:0:80 -- true
	assert_has "$output" "no interface of the host has this address"
	run_sbx 125 run --net host -p 0:80 -- true
	assert_has "$output" "its ports are the host's already"
	run_sbx 125 up -d -n 2 -p "$((port + 1)):80" -- true
	assert_has "$output" "several workers cannot share one port of the host"
}

@test "sbx port add and rm: on a live worker, for good; rm ends connections; what is not published is an error" {
	serve api 127.0.0.1
	run_sbx 0 port api
	assert_same "" "$output"
	run_sbx 0 port add api 5555
	port=${output##*:}
	traffic echo 127.0.0.1 "$port" 3 1000
	run_sbx 0 port add api "[::1]::5555"
	assert_has "$output" "[::1]:"
	traffic echo ::1 "${output##*:}" 1 1000
	run_sbx 0 port rm api "$port:5555"
	run traffic echo 127.0.0.1 "$port" 1 1
	assert_has "$output" "Connection refused"
	run_sbx 0 port rm api 5555
	run_sbx 125 port rm api 5555
	assert_has "$output" "it is not published"
	run_sbx 125 port api 5555
	assert_has "$output" "it is not published"
	run_sbx 125 port show api 5555
	assert_has "$output" "there is no such thing to do"
}

@test "--reach: NAME leads to that port of the host, also as localhost, and nothing else does" {
	host_server 1
	host_server 2
	run_sbx 0 run --reach "web.test=localhost:$port1" --reach "localhost=127.0.0.1:$port2" -- sh -c "
		getent hosts web.test && $TOOLS_INSIDE echo 127.0.0.1 $port1 3 1000 && $TOOLS_INSIDE echo 127.0.0.1 $port2 1 67108864 &&
		$TOOLS_INSIDE echo ::1 $port2 1 1000"
	assert_has "$output" "127.0.0.1       web.test"
	run_sbx 1 run --reach "web.test=localhost:$port1" -- "$TOOLS_INSIDE" echo 127.0.0.1 "$port2" 1 1
	assert_has "$output" "Connection refused"
}

# host_server N: serves on the host; its port is in $portN.
host_server() {
	TOOLS_INSIDE=./traffic
	cp "$TOOLS/traffic" .
	local port
	for port in $(shuf -i 20000-30000 -n 20); do
		"$TOOLS/traffic" serve 127.0.0.1 "$port" >"$XDG_STATE_HOME/server.$1" 2>&1 3>&- &
		servers+=("$!")
		wait_for test -s "$XDG_STATE_HOME/server.$1"
		if grep -q '^listening' "$XDG_STATE_HOME/server.$1"; then
			printf -v "port$1" %s "$port"
			return
		fi
	done
	return 1
}

teardown() {
	[[ ${#servers[@]} -eq 0 ]] || kill "${servers[@]}" 2>/dev/null || true
	"$SBX" rm --all --force
	[[ ${#runs[@]} -eq 0 ]] || wait "${runs[@]}" || true
	cd / && rm -rf "$tree" "$XDG_STATE_HOME"
}

@test "--reach: two names with one port have an address each; bad ones are refused" {
	host_server 1
	run_sbx 0 run --reach "a.test=localhost:$port1" --reach "b.test=127.0.0.1:$port1" -- sh -c "
		getent hosts a.test b.test; ./traffic echo 127.0.0.1 $port1 1 10 && ./traffic echo 127.0.0.2 $port1 1 10"
	assert_has "$output" "127.0.0.2"
	run_sbx 125 run --reach "a.test=localhost:$port1" --reach "a.test=127.0.0.1:$port1" -- true
	assert_has "$output" "one of its ports leads to two places"
	run_sbx 125 run --reach a=no.such.host.invalid:80 -- true
	assert_has "$output" "the host knows no such name"
	run_sbx 125 run --reach a:80 -- true
	assert_has "$output" "NAME=HOST:PORT"
	run_sbx 125 run --net host --reach a=localhost:80 -- true
	assert_has "$output" "reaches all that the host does"
}

@test "--reach: its helper on the host is not seen inside, and ends with the world and with a killed sbx" {
	host_server 1
	cp "$TOOLS/steal" .
	run_sbx 2 run --reach "a.test=localhost:$port1" -- ./steal
	start_worker api --reach "a.test=localhost:$port1" -- sleep 60
	run_sbx 0 inspect --format json api
	owner=$(json "d[0]['sbx_pid']")
	helpers=$(pgrep -P "$owner")
	[[ $(wc -w <<<"$helpers") -eq 2 ]]
	kill -KILL "$owner"
	for helper in $helpers; do
		wait_for is_dead "$helper"
	done
	# A layer on disk goes with the next command, once the last process of its world has ended.
	layer_is_gone() { "$SBX" run -- true && [[ -z $(ls -A "$XDG_STATE_HOME/sbx/uppers" 2>/dev/null) ]]; }
	wait_for layer_is_gone
}

is_dead() {
	! kill -0 "$1" 2>/dev/null
}

# outside COMMAND…: runs it in a network that stands for the whole world: this side is 198.51.100.1, and behind the
# gateway 198.51.100.7 there are a web server on port 8000 and a name server that gives that address for every name.
outside() {
	[[ -r /dev/net/tun && -w /dev/net/tun ]] || skip "/dev/net/tun may not be used by everybody here"
	command -v pasta >/dev/null || skip "pasta (package passt) is missing"
	local user=()
	[[ $(id -u) -eq 0 ]] || user=(--map-current-user --keep-caps)
	timeout 60 unshare -n -m "${user[@]}" bash "$BATS_TEST_DIRNAME/outside" "$@"
}

@test "--net outbound: without pasta exit 125 names the package; --dns needs it" {
	mkdir empty
	run env PATH="$PWD/empty" "$SBX" run --net outbound -- true
	echo "$output"
	assert_same 125 "$status"
	assert_has "$output" "install the package passt"
	run_sbx 125 run --dns 192.0.2.53 -- true
	assert_has "$output" "use --net outbound"
	run_sbx 125 run --net outbound --dns name -- true
	assert_has "$output" "it is no IP address"
}

@test "--gui: the display of the environment and no other; without one, exit 125" {
	command -v Xvfb >/dev/null && command -v xdpyinfo >/dev/null && command -v xauth >/dev/null || skip "Xvfb, xdpyinfo or xauth is missing"
	export XAUTHORITY=$tree/key # which each world sees
	touch "$XAUTHORITY"
	local number=$((200 + RANDOM % 700))
	xauth -q add ":$number" . "$(mcookie)"
	Xvfb ":$number" -auth "$XAUTHORITY" -nolisten tcp >"$XDG_STATE_HOME/xvfb" 2>&1 3>&- &
	servers+=("$!")
	export DISPLAY=:$number
	wait_for xdpyinfo >/dev/null
	run_sbx 0 run --gui -- xdpyinfo
	assert_has "$output" "name of display:    :$number"
	run_sbx 0 run --gui -- sh -c 'ls /tmp/.X11-unix; ! touch "$XAUTHORITY" 2>/dev/null'
	assert_same "X$number" "$output"
	run_sbx 1 run -- xdpyinfo
	run_sbx 1 run -e DISPLAY="$DISPLAY" -e XAUTHORITY="$XAUTHORITY" -- xdpyinfo
	DISPLAY=:9999 run_sbx 125 run --gui -- true
	assert_has "$output" "X9999"
	unset DISPLAY WAYLAND_DISPLAY
	run_sbx 125 run --gui -- true
	assert_has "$output" "neither DISPLAY nor WAYLAND_DISPLAY is set"
}

# open_worker NAME [-- COMMAND…]: sbx open in the background; its first line is in $line.
open_worker() {
	rm -f "$XDG_STATE_HOME/open"
	"$SBX" open "$@" >"$XDG_STATE_HOME/open" 2>"$XDG_STATE_HOME/open.err" 3>&- &
	opener=$!
	servers+=("$opener")
	wait_for grep -q http "$XDG_STATE_HOME/open"
	read -r line <"$XDG_STATE_HOME/open"
	port=${line#http://127.0.0.1:}
	port=${port%% *}
}

# is_ended: sbx open has ended; its exit status is in $status.
is_ended() {
	is_dead "$opener" && status=0 && { wait "$opener" || status=$?; }
}

@test "sbx open: a kept server is started again, with its files; a kept test is not, and how to start one is said" {
	cp "$TOOLS/traffic" .
	run_sbx 7 run --keep --name server -p 0:5555 -- sh -c 'test -e made && exec ./traffic serve 127.0.0.1 5555; touch made; exit 7'
	open_worker server
	traffic echo 127.0.0.1 "$port" 1 1000
	kill -TERM "$opener"
	wait_for is_ended
	assert_same 143 "$status"
	run traffic echo 127.0.0.1 "$port" 1 1
	assert_has "$output" "Connection refused"
	run_sbx 7 run --keep=failed --name red -- sh -c 'echo "a run" >>runs; exit 7'
	run_sbx 125 open red
	assert_has "$output" "cannot start the servers of 'red': its command published no port"
	assert_has "$output" "sbx open red -- sh -c 'echo \"a run\" >>runs; exit 7'"
	run_sbx 0 exec red cat runs
	assert_same "a run" "$output"
	open_worker red -- ./traffic serve ::1 4444
	assert_has "$line" "its port 4444"
	kill -INT "$opener"
	wait_for is_ended
	assert_same 130 "$status"
}

@test "sbx open WORKER -- COMMAND, live or kept: it ends with the command, whose exit status it has" {
	cp "$TOOLS/traffic" .
	run_sbx 0 run --keep --name kept -- true
	serve api 127.0.0.1
	for worker in api kept; do
		run_sbx 7 open "$worker" -- sh -c 'exit 7'
		run_sbx 143 open "$worker" -- sh -c 'kill -TERM $$'
		run_sbx 0 open "$worker" -- true
		run_sbx 127 open "$worker" -- ./no-such-command
		assert_has "$output" "no-such-command"
		# One that tidies up when it is told to end.
		open_worker "$worker" -- sh -c './traffic serve 127.0.0.1 4444 & trap "kill $!; exit 3" TERM; wait'
		wait_for grep -q "its port 4444" "$XDG_STATE_HOME/open"
		kill -TERM "$opener"
		wait_for is_ended
		assert_same 3 "$status"
		# One that leaves a server and goes.
		open_worker "$worker" -- sh -c './traffic serve 127.0.0.1 4445 &'
		wait_for grep -q "its command has ended" "$XDG_STATE_HOME/open.err"
		wait_for grep -q "its port 4445" "$XDG_STATE_HOME/open"
		port=$(grep "its port 4445" "$XDG_STATE_HOME/open" | tr -dc '0-9 ' | awk '{ print substr($1, 6) }')
		kill -TERM "$opener"
		wait_for is_ended
		assert_same 0 "$status"
	done
}

@test "sbx open of a live worker ends with it, and so does a command that it runs there" {
	serve api 127.0.0.1
	open_worker api
	traffic echo 127.0.0.1 "$port" 1 1000
	run_sbx 0 stop api
	wait_for is_ended
	assert_same 0 "$status"
	assert_has "$(cat "$XDG_STATE_HOME/open.err")" "the worker has ended"
	wait_worker api
	serve api 127.0.0.1
	open_worker api -- sleep 60
	run_sbx 0 kill api
	wait_for is_ended
	assert_same 137 "$status"
}
