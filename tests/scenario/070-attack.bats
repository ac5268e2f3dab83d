#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2317 # functions that wait_for calls
# What a hostile payload tries: the programs of tests/attack and what needs none. Each says what it reached.
load workers

setup_file() {
	export ATTACK=$TOOLS/../attack
}

# attack STATUS PROGRAM [SBX-OPTION…] [-- ARGUMENT…]: runs one in the tree.
attack() {
	local want=$1 program=$2 options=()
	shift 2
	while [[ $# -gt 0 && $1 != -- ]]; do
		options+=("$1")
		shift
	done
	cp "$ATTACK/$program" .
	run_sbx "$want" run "${options[@]}" -- "./$program" "${@:2}"
}

@test "finding 39, finding 40: PID 1 cannot be looked into, traced, steered, limited or ended" {
	attack 0 init
	assert_same "" "$output"
	attack 0 init --as-root
	attack 0 init --seccomp off -- unfiltered
}

@test "finding 39, finding 40: after all of it PID 1 still serves" {
	cp "$ATTACK/init" .
	start_worker attacked -- sh -c './init; echo $? >status; exec sleep 600'
	ready() { [[ -n $("$SBX" exec attacked -- cat status 2>/dev/null) ]]; }
	wait_for ready
	run_sbx 0 exec attacked -- cat status
	assert_same 0 "$output"
	# By exec, too, which has no Landlock.
	run_sbx 0 exec attacked -- ./init
}

@test "finding 1, finding 2, finding 4: no new namespace, none of others, no mount; clone3 is ENOSYS" {
	attack 0 namespaces
	assert_same "" "$output"
	attack 0 namespaces --as-root
	attack 0 namespaces --seccomp strict
}

@test "finding 2, finding 3, finding 5, finding 17: what the filter refuses is refused by the kernel, high bits, int 0x80 and x32 included" {
	attack 0 calls
	assert_same "" "$output"
	attack 0 calls --as-root
	start_worker filtered -- sleep 600
	run_sbx 0 exec filtered -- ./calls
}

@test "P6: programs with the setuid bit give nothing" {
	run_sbx 0 run -- sh -c 'for program in su sudo mount newgrp passwd; do
		path=$(command -v $program) || continue
		[ -u "$path" ] || continue
		echo tried
		! echo | timeout 5 "$path" --help >/dev/null 2>&1 || ! grep -q "NoNewPrivs:.0" /proc/self/status || exit 1
	done
	! mount -t tmpfs none /mnt 2>/dev/null && ! su -c true 2>/dev/null </dev/null'
	assert_has "$output" tried
}

# listen PATH: a host's socket that says what it should not; ready when "listening" is in the file.
listen() {
	python3 -c '
import socket, sys
name = sys.argv[1]
listener = socket.socket(socket.AF_UNIX)
listener.bind("\0" + name[1:] if name[0] == "@" else name)
listener.listen()
print("listening", flush=True)
while True:
    listener.accept()[0].sendall(b"the host answers")' "$1" >"$XDG_STATE_HOME/listening" 3>&- &
	listeners+=("$!")
	listening() { grep -q listening "$XDG_STATE_HOME/listening"; }
	wait_for listening
	: >"$XDG_STATE_HOME/listening"
}

@test "P3, finding 50: sockets of the host answer nobody: in the tree, in HOME, abstract, of a bus, of a container daemon" {
	listeners=()
	mkdir -p "$HOME/.docker/run"
	rm -f "$HOME/.docker/run/docker.sock" "$HOME/bus"
	paths=("$tree/app.sock" "$HOME/.docker/run/docker.sock" "$HOME/bus" "@sbx-test-$$")
	[[ $(id -u) -ne 0 ]] || paths+=("/run/sbx-test-$$.sock" "/opt/sbx-test-$$.sock")
	for path in "${paths[@]}"; do
		listen "$path"
	done
	cat >connect.py <<'END'
import socket, sys
for name in sys.argv[1:]:
    try:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(5)
        one.connect("\0" + name[1:] if name[0] == "@" else name)
        print("reached", name, one.recv(64))
    except OSError:
        pass
END
	python3 connect.py "${paths[@]}" >outside
	run_sbx 0 run -- python3 connect.py "${paths[@]}" /run/docker.sock /var/run/docker.sock /run/dbus/system_bus_socket
	kill "${listeners[@]}"
	rm -f "${paths[@]:1:2}" "/run/sbx-test-$$.sock" "/opt/sbx-test-$$.sock"
	# All of them can be reached from outside, or the test proves nothing.
	assert_same "${#paths[@]}" "$(grep -c reached outside)"
	assert_same "" "$output"
}

@test "P2, finding 11: two workers see nothing of each other: files, ports, sockets, IPC, processes, locks, notices, names" {
	cat >one.py <<'END'
import ctypes, fcntl, os, socket, sys, time
libc = ctypes.CDLL(None)
open("/tmp/mark", "w").write("one"); open("mark", "w").write("one"); open("/dev/shm/mark", "w").write("one")
lock = open("lock", "r+"); fcntl.flock(lock, fcntl.LOCK_EX)
tcp = socket.socket(); tcp.bind(("127.0.0.1", 5555)); tcp.listen()
unix = socket.socket(socket.AF_UNIX); unix.bind("\0sbx-mark"); unix.listen()
assert libc.shmget(0x5b5b, 4096, 0o1666) >= 0
assert libc.msgget(0x5b5b, 0o1666) >= 0
watch = libc.inotify_init(); assert libc.inotify_add_watch(watch, b".", 0xfff) > 0
os.set_blocking(watch, False)
drain = lambda: os.read(watch, 65536)
print("ready", flush=True)
sys.stdin.read(1)
try:
    print("noticed", drain())
except BlockingIOError:
    print("quiet", flush=True)
END
	cat >two.py <<'END'
import ctypes, fcntl, os, socket
libc = ctypes.CDLL(None)
for path in "/tmp/mark", "mark", "/dev/shm/mark":
    assert not os.path.exists(path), path
fcntl.flock(open("lock", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
tcp = socket.socket(); tcp.bind(("127.0.0.1", 5555)); tcp.listen()
unix = socket.socket(socket.AF_UNIX); unix.bind("\0sbx-mark")
assert libc.shmget(0x5b5b, 4096, 0o666) < 0 and libc.msgget(0x5b5b, 0o666) < 0
assert libc.mq_open(b"/sbx-mark", os.O_RDWR) < 0
assert sorted(int(p) for p in os.listdir("/proc") if p.isdigit()) == [1, os.getpid()]
assert open("/proc/net/unix").read().count("\n") == 2
open("lock", "a").write("two"); open("new", "w").write("two"); os.rename("new", "newer"); os.unlink("newer")
for pid in range(2, 300):
    if pid != os.getpid():
        try:
            os.kill(pid, 9)
            assert False, pid
        except ProcessLookupError:
            pass
print("alone")
END
	touch lock
	mkfifo in out
	"$SBX" run -- python3 one.py <in >out 2>err 3>&- &
	exec 7>in 8<out
	read -r line <&8 || cat err
	assert_same ready "$line"
	run_sbx 0 run -- python3 two.py
	assert_same alone "$output"
	echo >&7
	read -r line <&8
	exec 7>&- 8<&-
	wait $!
	assert_same quiet "$line"
}

@test "P1: a volume's target behind a symlink stays in the world; a source behind one is what it was at the start" {
	mkdir source aside
	ln -s /etc link
	ln -s aside way
	run_sbx 125 run -v "source:$tree/link/sbx-here:rw" -- true
	[[ ! -e /etc/sbx-here ]]
	run_sbx 0 run -v way:/run/way:rw -- sh -c 'rm -f way; ln -s /etc way; echo x >/run/way/file'
	assert_same x "$(cat aside/file)"
	[[ -L way && ! -e /etc/file ]]
}

@test "cp: a link, a FIFO, a device, a file with a huge hole, a deep tree: nothing hangs, nothing is read from the host" {
	echo "only the host's" >"$XDG_STATE_HOME/secret"
	start_worker hostile -- sh -c 'mkdir trap && cd trap && ln -s "$1" link && mkfifo fifo && truncate -s 1T huge &&
		ln -s .. up && d=deep && mkdir $d && for i in 1 2 3 4 5 6 7 8 9; do d=$d/deep; mkdir $d; done
		touch ../ready; exec sleep 600' sh "$XDG_STATE_HOME/secret"
	ready() { "$SBX" exec hostile -- test -e ready 2>/dev/null; }
	wait_for ready
	mkdir copies
	run timeout 30 "$SBX" cp hostile:trap copies/
	echo "$output"
	[[ $status -ne 124 ]]
	[[ ! -e copies/trap/link || -L copies/trap/link ]]
	assert_same "" "$(grep -rlF "only the host's" copies --exclude huge -s -D skip)"
	[[ $(du -s --block-size=1M copies | cut -f 1) -lt 10 ]]
	for name in link fifo; do
		run timeout 30 "$SBX" cp "hostile:trap/$name" "copies/$name"
		echo "$name: $status $output"
		[[ $status -ne 124 && (-L copies/$name || ! -f copies/$name) ]]
	done
	run_sbx 0 exec hostile -- true
}

@test "db: a FIFO, a link out, a directory, a device under the name of a database: each is refused, nothing hangs" {
	sqlite3 "$tree/TestDb.db" 'create table t(x)'
	sqlite3 "$XDG_STATE_HOME/other.db" "create table t(x); insert into t values('only of the host')"
	start_worker rows -- sh -c 'touch ready; exec sleep 600'
	for make in 'mkfifo TestDb.db' "ln -s $XDG_STATE_HOME/other.db TestDb.db" 'mkdir TestDb.db' 'ln -s /dev/zero TestDb.db' \
		'ln -s TestDb.db TestDb.db' 'head -c 100000 /dev/urandom >TestDb.db' 'truncate -s 1T TestDb.db'; do
		run_sbx 0 exec rows -- sh -c "rm -rf TestDb.db TestDb.db-*; $make"
		run timeout 30 "$SBX" db query rows 'select * from t'
		echo "$make: $status $output"
		[[ $status -ne 0 && $status -ne 124 && $output != *"only of the host"* ]]
		run timeout 30 "$SBX" db ls rows
		echo "$output"
		[[ $status -ne 124 ]]
	done
	run_sbx 0 exec rows -- true
}

@test "P12: a fork bomb stays in its worker, and sbx ends it" {
	[[ $(id -u) -ne 0 ]] || skip_as_root
	run_sbx 124 run --pids-limit 100 --timeout 2 -- sh -c 'bomb() { bomb 2>/dev/null | bomb 2>/dev/null & }; bomb; while :; do wait; done' 2>/dev/null
	run_sbx 0 run --pids-limit 100 -- true
}

# finding 56: RLIMIT_NPROC never binds for real root. The bomb is another one there, with an end of its own.
skip_as_root() {
	run_sbx 0 run -e MARK="$tree" --timeout 20 -- sh -c 'for i in $(seq 300); do sleep 600 & done'
	! grep -qzxF "MARK=$tree" /proc/[0-9]*/environ 2>/dev/null || return 1
	run_sbx 0 run -- true
}

@test "P12: the memory of the scratch and its inodes have an end, which the host does not feel" {
	[[ $places == tmpfs* ]] || return 0 # a disk knows no such limits
	export SBX_UPPER=tmpfs
	run_sbx 2 run --inodes 300 -- sh -c 'i=0; while [ $i -lt 1000 ]; do : >"f$i" || exit; i=$((i + 1)); done'
	assert_has "$output" "No space left"
	for place in . /tmp /dev/shm /run; do
		run_sbx 1 run --size 8m -- sh -c "head -c 64m /dev/zero >$place/big"
		assert_has "$output" "No space left"
	done
}

@test "a payload that kills its group or everything ends, and sbx says how" {
	run_sbx 137 run -- sh -c 'kill -9 -1; kill -9 $$'
	run_sbx 137 run -- sh -c 'kill -9 0'
	assert_same "" "$("$SBX" ps --quiet)"
}

@test "a client of the worker's socket that sends garbage, descriptors and silence: others are served" {
	start_worker served -- sleep 600
	sockets=("$XDG_STATE_HOME"/sbx/run/socket.*)
	cd "$XDG_STATE_HOME/sbx/run"
	run timeout 60 "$ATTACK/garbage" "${sockets[0]##*/}" $RANDOM
	echo "$output"
	assert_same 0 "$status"
	cd "$tree"
	run_sbx 0 exec served -- true
	run_sbx 0 exec served -- sh -c 'ls /proc/self/fd | wc -l'
	assert_same 4 "$output"
	is_running served
}
