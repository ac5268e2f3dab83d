#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# sbx in the hands of a user: a terminal, jobs, keys, pipes. The terminal is a pseudo-terminal that terminal.py drives.
# shellcheck disable=SC2094,SC2317 # a file is compared with its copy; functions that wait_for calls
load workers

# drive: runs the Python program on standard input, with all of terminal.py in reach.
drive() {
	cp "$BATS_TEST_DIRNAME/terminal.py" "$XDG_STATE_HOME/"
	{ echo 'from terminal import *'; cat; } >"$XDG_STATE_HOME/driver.py"
	run timeout 120 /usr/bin/python3 "$XDG_STATE_HOME/driver.py" 3>&-
	echo "$output"
	assert_same 0 "$status"
}

@test "terminal: a private one for those of 0 to 2 that are terminals, and only for them" {
	echo "from a file" >file
	cat >which.sh <<'END'
for number in 0 1 2; do [ -t $number ] && printf 'tty ' >>which || printf 'no ' >>which; done
cat which; tty
END
	drive <<'END'
def which(line, want):
    with Terminal(["bash", "-c", line.replace("SBX", SBX)]) as t:
        same(0, t.wait())
    same(want, open("which").read().strip())

outside = os.ttyname(0) if os.isatty(0) else ""
which("SBX run -v .:/run/out:rw -w /run/out -- sh which.sh; test $? -le 1", "tty tty tty"); os.remove("which")
which("SBX run -v .:/run/out:rw -w /run/out -- sh which.sh <file; test $? -le 1", "no tty tty"); os.remove("which")
which("SBX run -v .:/run/out:rw -w /run/out -- sh which.sh | cat", "tty no tty"); os.remove("which")
which("SBX run -v .:/run/out:rw -w /run/out -- sh which.sh 2>errors; test $? -le 1", "tty tty no"); os.remove("which")
with Terminal([SBX, "run", "--", "sh", "-c", "stat -c %n $(tty); ls /dev/pts"]) as t:
    t.expect("/dev/pts/0")
    same(0, t.wait())
END
}

@test "finding 51: Ctrl-Z stops sbx and its payload, fg lets both go on; keys go to whoever is in front" {
	drive <<'END'
with shell() as t:
    t.send(SBX + " run -- sed -u s/^/got-/\n")
    t.send("one\n"); t.expect("got-one")
    t.send(CTRL_Z); t.expect("Stopped.*prompt> ")
    t.send("echo out$((20 + 2))\n"); t.expect("out22.*prompt> ")
    t.send("fg\n"); t.send("two\n"); t.expect("got-two")
    t.send(CTRL_Z); t.expect("Stopped.*prompt> ")
    t.send("bg; fg\n"); t.send("three\n"); t.expect("got-three")
    t.send(CTRL_D); t.expect("prompt> ")
    t.send("echo status=$?\n"); t.expect("status=0")
END
}

@test "finding 51: a shell inside has job control of its own" {
	drive <<'END'
with shell() as t:
    t.send(SBX + " run -e PS1='in''ner> ' -- bash --norc --noprofile --noediting -i\n"); t.expect("inner> ")
    t.send("sed -u s/^/got-/\n"); t.send("one\n"); t.expect("got-one")
    t.send(CTRL_Z); t.expect("Stopped.*inner> ")
    t.send("jobs\n"); t.expect("Stopped.*got-.*inner> ")
    t.send("fg\n"); t.send("two\n"); t.expect("got-two")
    t.send(CTRL_C); t.expect("inner> ")
    t.send("echo status=$?\n"); t.expect("status=130")
    t.send("exit 5\n"); t.expect("prompt> ")
    t.send("echo status=$?\n"); t.expect("status=5")
END
}

@test "Ctrl-C: the payload is interrupted, and a loop of the shell around it ends" {
	drive <<'END'
with shell() as t:
    t.send("for i in 1 2 3; do " + SBX + " run -- sh -c 'echo up; exec sleep 600'; done; echo went-on\n")
    t.expect("up\r\n")
    t.send(CTRL_C); t.expect("prompt> ")
    t.send("echo status=$? i=$i\n"); t.expect("status=130 i=1")
    assert t.all.count("\nup") == 1 and "\nwent-on" not in t.all
    # Whoever handles it goes on, and says how it ended.
    t.send("for i in 1 2; do " + SBX + " run -- sh -c 'trap \"exit 7\" INT; echo up; while :; do sleep 0.05; done'; done; echo all-$?\n")
    t.expect("up\r\n"); t.send(CTRL_C); t.expect("up\r\n"); t.send(CTRL_C); t.expect("all-7")
# A script ends as well.
open("script", "w").write(SBX + " run -- sh -c 'echo up; exec sleep 600'\necho went-on\n")
with Terminal(["bash", "script"]) as t:
    t.expect("up\r\n"); t.send(CTRL_C)
    same(130, t.wait())
    assert "went-on" not in t.all
END
}

@test "resize: the payload's terminal has the size of the caller's, and hears of each change" {
	drive <<'END'
program = ("import os, signal\n"
           "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
           "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])\n"
           "while True: print('size', *os.get_terminal_size(), flush=True); signal.sigwait([signal.SIGWINCH])\n")
with Terminal([SBX, "run", "--", "/usr/bin/python3", "-c", program], rows=50, columns=132) as t:
    t.expect("size 132 50")
    t.resize(33, 99); t.expect("size 99 33")
    t.resize(10, 20); t.expect("size 20 10")
    t.send(CTRL_C)
    same(130, t.wait())
# While it is stopped, too.
with job(SBX, "run", "--", "/usr/bin/python3", "-c", program) as t:
    t.expect("size 80 24"); t.send(CTRL_Z); t.expect("<stopped 20>")
    t.resize(44, 88); t.send("\n"); t.expect("size 88 44")
    t.send(CTRL_C); t.expect("<ended 130>")
END
}

@test "the caller's terminal has its modes again: after an end, SIGKILL, Ctrl-Z, a failure to execute, a missing tree" {
	drive <<'END'
def after(want, *command):
    with job(SBX, *command) as t:
        before = t.modes()
        t.expect("<ended %d>" % want)
        same(before, t.modes())

after(0, "run", "--", "true")
after(3, "run", "--", "sh", "-c", "stty raw -echo; exit 3")
after(137, "run", "--", "sh", "-c", "stty raw -echo; kill -9 $$")
after(127, "run", "--", "no-such-program")
after(126, "run", "--", "/etc/passwd")
after(125, "run", "-C", "/no/such/tree", "--", "true")
after(124, "run", "--timeout", "0.2", "--", "sh", "-c", "stty raw -echo; sleep 600")
# Stopped while the payload has made its own terminal raw: ours is as it was, and raw no more when it goes on.
with job(SBX, "run", "--", "sh", "-c", "stty raw -echo isig; echo up; exec cat >/dev/null") as t:
    before = t.modes()
    t.expect("up"); assert t.modes() != before
    t.send(CTRL_Z); t.expect("<stopped 20>"); same(before, t.modes())
    t.send("\n")
    deadline = time.monotonic() + PATIENCE
    while t.modes() == before:
        assert time.monotonic() < deadline, "not taken again"
    t.send(CTRL_C); t.expect("<ended 130>"); same(before, t.modes())
END
}

@test "P4: SIGKILL of sbx in a terminal leaves nothing" {
	drive <<'END'
with shell() as t:
    t.send(SBX + " run -- sh -c 'echo up; exec sleep 600' & echo pid=$!\n")
    pid = int(t.expect(r"pid=(\d+)").group(1))
    t.expect("up\r\n")
    os.kill(pid, signal.SIGKILL)
    t.send("wait $!; echo status=$?\n"); t.expect("status=137")
END
	none_left() { assert_same "" "$("$SBX" ps --quiet)" && assert_same "" "$(ls -A "$XDG_STATE_HOME/sbx/run")"; }
	wait_for none_left
}

@test "background: what needs no terminal runs, a read of it stops the job as any other, fg brings it back" {
	drive <<'END'
with shell() as t:
    t.send(SBX + " run -- sh -c 'echo in-background' & wait; echo waited=$?\n"); t.expect("in-background.*waited=0")
    t.send(SBX + " run -- sh -c 'echo first; read line; echo got-$line' &\n"); t.expect("first")
    t.send("sleep 0; jobs\n"); t.expect("prompt> ")
    deadline = time.monotonic() + PATIENCE
    while True:
        t.send("jobs; echo asked\n")
        if "Stopped" in t.expect("(.*)\nasked").group(1):
            break
        assert time.monotonic() < deadline
    t.send("fg\n"); t.send("word\n"); t.expect("got-word.*prompt> ")
END
}

@test "a pager at the end of the pipe has the keys; a writer whose reader has gone ends" {
	drive <<'END'
with Terminal(["bash", "-c", SBX + " run -- seq 1000 | LESS= less; echo less=$?"]) as t:
    t.expect("1\r\n.*:")
    t.send(" "); t.expect("40\r\n.*:")
    t.send("q"); t.expect("less=0")
    same(0, t.wait())
with Terminal(["bash", "-c", SBX + " run -- yes | head -n 1; echo ${PIPESTATUS[0]}"]) as t:
    t.expect("y\r\n141\r\n")
END
}

@test "exec and shell in a terminal: live and kept workers, with job control, as many as wanted at once" {
	start_worker alive --keep -- sh -c 'echo row >file; sleep 600'
	drive <<'END'
for attempt in "alive", "alive", "kept":
    if attempt == "kept":
        os.system(SBX + " stop -t 1 alive >/dev/null")
    with shell() as t, shell() as other:
        before = t.modes()
        t.send(SBX + " exec -e PS1='in''ner> ' alive -- bash --norc --noprofile --noediting -i\n"); t.expect("inner> ")
        t.send("cat file; tty\n"); t.expect("row.*/dev/pts/.*inner> ")
        t.send("sed -u s/^/got-/\n"); t.send("one\n"); t.expect("got-one"); t.send(CTRL_Z); t.expect("Stopped.*inner> ")
        t.send("fg\n"); t.send("two\n"); t.expect("got-two"); t.send(CTRL_C); t.expect("inner> ")
        t.send("exit 4\n"); t.expect("prompt> ")
        t.send("echo status=$?\n"); t.expect("status=4")
        same(before, t.modes())
        other.send("SHELL=/bin/sh " + SBX + " shell alive; echo status=$?\n"); other.send("cat file\n"); other.expect("row")
        other.send("exit 3\n"); other.expect("status=3")
END
}

@test "the terminal that is closed ends the worker, unless it was started with nohup" {
	mkfifo go
	drive <<'END'
def gone(t):
    os.close(t.master); os.close(t.slave)
    os.waitpid(t.pid, 0); t.status = 0

with shell() as t:
    t.send(SBX + " run --name hung-up -- sh -c 'echo up; sleep 600'\n"); t.expect("up\r\n")
    gone(t)
with shell() as t:
    t.send("nohup " + SBX + " run --name survivor -v .:/run/out:rw -- sh -c 'echo up; read x <go; echo done >/run/out/finished' >nohup.log 2>&1 </dev/null &\n")
    t.expect("prompt> ")
    deadline = time.monotonic() + PATIENCE
    while not (os.path.exists("nohup.log") and "up" in open("nohup.log").read()):
        assert time.monotonic() < deadline
    gone(t)
END
	wait_for is_gone hung-up
	is_running survivor
	# Through an overlay it is another FIFO than the tree's, so the word comes from inside as well.
	"$SBX" exec survivor -- sh -c 'echo go >go' || true # its end may come first
	wait_for test -e finished
	wait_for is_gone survivor
}

@test "a payload that kills the leader of its terminal ends, and the modes are back" {
	drive <<'END'
with job(SBX, "run", "--", "sh", "-c", "echo up; read x; kill -9 $PPID; sleep 600") as t:
    before = t.modes()
    t.expect("up"); t.send("x\n"); t.expect("<ended 137>")
    same(before, t.modes())
END
	assert_same "" "$("$SBX" ps --quiet)"
}

@test "pipes: 100 MB byte for byte in both directions, logged or not; nothing added, nothing waits" {
	head -c 100m /dev/urandom >bytes
	"$SBX" run -- cat <bytes | cmp - bytes
	"$SBX" run --keep -- cat <bytes 2>/dev/null | cmp - bytes
	cat <bytes | "$SBX" run -- cat | cmp - bytes
	"$SBX" run -- sh -c 'cat; echo error >&2' <bytes >copy 2>errors
	cmp bytes copy
	assert_same error "$(cat errors)"
}

@test "streams: closed ones, a reader that takes one line, standard error alone" {
	run_sbx 0 run -- true <&-
	"$SBX" run -- true <&- >&- 2>&-
	assert_same first "$("$SBX" run -- sh -c 'echo first; exec yes' | head -n 1)"
	assert_same only "$({ "$SBX" run -- sh -c 'echo only >&2' >/dev/null; } 2>&1)"
	assert_same $'a\nb\nc' "$(printf 'a\nb\nc\n' | "$SBX" run -- sh -c 'read x; echo $x; exec cat')"
}

@test "timeout, xargs -P, make -j: sbx is a command like others" {
	run timeout 1 "$SBX" run -- sleep 600
	assert_same 124 "$status"
	run timeout -s KILL 1 "$SBX" run -e MARK="$tree" -- sleep 600
	assert_same 137 "$status"
	none_left() { ! grep -qzxF "MARK=$tree" /proc/[0-9]*/environ 2>/dev/null; }
	wait_for none_left
	seq 12 | xargs -P 4 -n 1 "$SBX" run -- sh -c 'echo worker $1' sh >lines
	assert_same 12 "$(sort -u lines | grep -c '^worker')"
	run bash -c 'seq 4 | xargs -P 4 -n 1 "$SBX" run -- sh -c "exit 3"'
	assert_same 123 "$status"
	cat >Makefile <<'END'
all: a b c d
a b c d:
	@+$(SBX) run -- $(MAKE) -s --no-print-directory inner NAME=$@ 2>/dev/null
inner: inner1 inner2
inner1 inner2:
	@echo $(NAME) $@
END
	run timeout 60 make -j4 all
	echo "$output"
	assert_same 0 "$status"
	assert_same 8 "$(grep -c 'inner[12]' <<<"$output")"
}
