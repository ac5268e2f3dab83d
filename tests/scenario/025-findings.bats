#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What was found out about kernels and libraries and has no promise's name: each test names its finding.
load helpers

setup_file() {
	# Many starts on a machine that is full of other work: what hangs is meant, not what is slow.
	export BATS_TEST_TIMEOUT=600
}

# start_waiting COMMAND…: runs `COMMAND… run` of a worker that waits, and returns when its payload is up. $pid is sbx's;
# descriptor 8 ends with the last process of the worker.
start_waiting() {
	mkfifo alive
	"$@" run -v "$tree:/run/out:rw" -- sh -c 'exec 9>/run/out/alive; echo up >&9; sleep 600 & sleep 600' 3>&- &
	pid=$!
	exec 8<alive
	read -r line <&8
	assert_same up "$line"
}

all_have_ended() {
	run timeout 20 cat <&8
	exec 8<&-
	wait "$pid" || true
	assert_same 0 "$status"
}

@test "P4, finding 15: each belt holds alone: a PID 1 that cannot read its lifeline, one that has no signal of its parent's death" {
	start_waiting "$SBX"
	init=$(pgrep -P "$pid")
	kill -STOP "$init" # it reads nothing any more
	kill -KILL "$pid"
	all_have_ended
	rm alive
	start_waiting "$TOOLS/refuse" 0 pdeathsig "$SBX"
	kill -KILL "$pid"
	all_have_ended
}

@test "P5, finding 6: when sbx returns, the last process of its worker has ended, two hundred times" {
	mkfifo alive
	for _ in $(seq 200); do
		exec 9<>alive
		exec 8<alive
		"$SBX" run -v "$tree:/run/out:rw" -- sh -c 'exec 7>/run/out/alive; sleep 600 & sleep 600 & :' 3>&- 8<&- 9>&-
		exec 9>&-
		read -r -t 0 -u 8 # end of file: who has it open for writing would still be alive
		exec 8<&-
	done
}

@test "finding 27: of the caller's limits those on processes and core files are lowered, no other is touched; the cgroup is the caller's" {
	limits() { awk 'NR > 1 && !/^Max (processes|core file size)/' /proc/self/limits; }
	run_sbx 0 run -- awk 'NR > 1 && !/^Max (processes|core file size)/' /proc/self/limits
	assert_same "$(limits)" "$output"
	run_sbx 0 run -- bash -c 'ulimit -c; ulimit -u'
	[[ ${lines[0]} -le 1 && ${lines[1]} -le $(ulimit -u | sed s/unlimited/9999999/) ]]
	# Seen from outside: inside it is the root of its own cgroup namespace.
	start_waiting "$SBX"
	assert_same "$(cat /proc/self/cgroup)" "$(cat "/proc/$(pgrep -P "$pid")/cgroup")"
	kill "$pid"
	all_have_ended
}

@test "finding 28: overlays are mounted without index and xino, of which the kernel would complain at each" {
	run strace -f -s 400 -qq -o trace -e trace=mount "$SBX" run -- true
	assert_same 0 "$status"
	cat trace
	overlays=$(grep -c '"overlay", "/proc' trace)
	[[ $overlays -gt 0 ]]
	assert_same "$overlays" "$(grep -c '"overlay", "/proc.*userxattr,volatile,index=off,xino=off' trace)"
}

@test "finding 30: a storm of starts, whose networks the kernel has yet to take down: each comes up" {
	seq 200 | xargs -P 16 -n 1 "$SBX" run -- sh -c 'echo up' 2>&1 | sort | uniq -c >came
	cat came
	assert_same "200 up" "$(xargs <came)"
}

@test "finding 31: /dev/shm has room for a browser; with --shm-size it is a tmpfs of that size" {
	run_sbx 0 run -- sh -c 'head -c 100m /dev/zero >/dev/shm/more-than-64-MiB && df -k --output=size /dev/shm | tail -n 1'
	[[ $output -ge $((512 * 1024)) ]]
	run_sbx 1 run --shm-size 1m -- sh -c 'df -k --output=size /dev/shm | tail -n 1; head -c 2m /dev/zero >/dev/shm/more'
	assert_same 1024 "${lines[0]// /}"
	assert_has "$output" "No space left"
}

@test "finding 45, finding 46: no start opens the registry, which ps --all does; its own row is written whole, at once" {
	looks='strace -f -qq -s 16 -o trace -e trace=open,openat,openat2,pwrite64'
	"$SBX" run --keep -- true
	run $looks "$SBX" ps --all
	assert_same 0 "$status"
	grep -qE 'registry|-journal' trace
	run $looks "$SBX" run -- true
	assert_same 0 "$status"
	assert_same "" "$(grep -E 'registry|-journal' trace)"
	grep 'pwrite64(.*{' trace
	assert_same "" "$(grep 'pwrite64(.*{' trace | grep -v ', 4096, 0) = 4096$')"
	"$SBX" rm --all
}

@test "finding 58: sbx itself asks no name service, and loads no library" {
	cp "$TOOLS/refuse" .
	run strace -f -qq -o trace -e trace=open,openat,execve,connect "$SBX" run -- ./refuse
	assert_same 2 "$status" # a static program: what is opened is sbx's doing
	assert_same "" "$(grep -E 'nsswitch|libnss|\.so|nscd' trace)"
}
