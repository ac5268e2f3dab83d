# SPDX-License-Identifier: Apache-2.0
"""A terminal with a program in it, for scenarios. It waits for output, with an end to its patience, and never sleeps.

    with Terminal(["bash", "-i"]) as t:
        t.send("echo a$((1 + 1))\n"); t.expect("a2")
"""
import fcntl, os, pty, re, select, signal, struct, sys, termios, time

SBX = os.environ["SBX"]
PATIENCE = 30
CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"


class Terminal:
    def __init__(self, command, rows=24, columns=80):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.seen = ""  # not yet expected
        self.all = ""
        self.status = None
        # As a shell's: a session of its own, the terminal its controlling one.
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            for number in 0, 1, 2:
                os.dup2(self.slave, number)
            os.closerange(3, 64)
            os.environ.update(PS1="prompt> ", TERM="xterm")
            for number in signal.SIGPIPE, signal.SIGXFSZ:  # which Python ignores
                signal.signal(number, signal.SIG_DFL)
            os.execvp(command[0], command)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print("--- the terminal showed:\n" + self.all + "\n---", file=sys.stderr)
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        self.close()

    def close(self):
        for fd in self.master, self.slave:
            try:
                os.close(fd)
            except OSError:
                pass

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self):
        modes = termios.tcgetattr(self.slave)
        modes[6] = [bytes([c]) if isinstance(c, int) else c for c in modes[6]]  # VMIN, VTIME come as numbers
        return modes

    def send(self, text):
        os.write(self.master, text.encode())

    def read(self, deadline):
        ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        text = os.read(self.master, 65536).decode(errors="replace")
        self.seen += text
        self.all += text
        return True

    def expect(self, pattern):
        """Waits until a regular expression matches what has come since the last one; returns the match."""
        deadline = time.monotonic() + PATIENCE
        while True:
            match = re.search(pattern, self.seen, re.S)
            if match:
                self.seen = self.seen[match.end():]
                return match
            if not self.read(deadline):
                raise AssertionError("waited in vain for %r" % pattern)

    def wait(self):
        """Reads on until the program has ended; returns its exit status, 128 + n for a signal."""
        deadline = time.monotonic() + PATIENCE
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
            elif not self.read(min(deadline, time.monotonic() + 0.02)) and time.monotonic() > deadline:
                raise AssertionError("it did not end")
        while self.read(time.monotonic()):
            pass
        return code(self.status)


def code(status):
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def shell():
    """A shell with job control that leaves the modes of its terminal alone."""
    terminal = Terminal(["bash", "--norc", "--noprofile", "--noediting", "-i"])
    terminal.expect("prompt> ")
    return terminal


def same(want, got):
    assert want == got, "wanted %r, got %r" % (want, got)


# A parent with job control that touches no mode: what is found is what sbx left. Runs `command` in front, and answers
# each stop by what `stopped` says; returns the exit status.
JOB = r"""
import os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
ready, go = os.pipe()
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.read(ready, 1)
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])
os.setpgid(pid, pid)
os.tcsetpgrp(0, pid)
os.write(go, b"x")
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpgrp())
    if not os.WIFSTOPPED(status):
        break
    os.write(1, b"<stopped %d>" % os.WSTOPSIG(status))
    sys.stdin.readline()
    os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
os.write(1, b"<ended %d>" % (128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)))
"""


def job(*command, **options):
    return Terminal([sys.executable, "-c", JOB, *command], **options)
