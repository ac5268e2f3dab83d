/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: PID 1 -> leader -> payload. The leader is a fork of PID 1 that never execs: not dumpable, with its
 * capabilities, so the payload cannot trace it; it can kill it (same uid), which PID 1 sees as the end of the channel.
 * The leader holds three descriptors: the terminal's slave side, the channel to PID 1, a signalfd. The terminal has the
 * leader's session; its foreground group is the payload's, or the leader's own while the payload is in the background.
 *
 * At the end the leader gives up the terminal (TIOCNOTTY) before it exits: when a session leader exits, the kernel
 * hangs up its terminal and throws away what the master has not read yet (disassociate_ctty(), tty_ldisc_hangup()). */
#include "sandbox/worker/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/worker/session.h"

/* ---- inside the world: the pair ---- */

int terminal_open_pair(const char *multiplexer, const struct terminal_shape *shape, int *ret_master_fd,
		       int *ret_slave_fd, struct error *error)
{
	owned_fd master = open(multiplexer, O_RDWR | O_NOCTTY | O_CLOEXEC);
	owned_fd slave = -1;
	int unlocked = 0;

	if (master < 0)
		return error_set(error, .number = errno, .step = "open a terminal", .object = multiplexer);
	/* TIOCGPTPEER, since kernel 4.13: the slave of this very master, whatever is mounted where. ioctl_tty(2) */
	if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 ||
	    (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
		return error_set(error, .number = errno, .step = "open a terminal's other side", .object = multiplexer);
	if (shape->has_modes && tcsetattr(slave, TCSANOW, &shape->modes) < 0)
		return error_set(error, .number = errno, .step = "set a terminal's modes", .object = multiplexer);
	if (shape->size.ws_row != 0 && ioctl(slave, TIOCSWINSZ, &shape->size) < 0)
		return error_set(error, .number = errno, .step = "set a terminal's size", .object = multiplexer);
	*ret_master_fd = fd_take(&master);
	*ret_slave_fd = fd_take(&slave);
	return 0;
}

/* ---- inside the world: the leader ---- */

struct leader {
	const struct terminal_job *job;
	int slave_fd;
	int channel_fd;
	int signal_fd;
	pid_t payload;
	bool is_foreground;
};

/* The channel is a SOCK_SEQPACKET one: a message is a message. Nobody there: PID 1 is gone, and this process with it.
 */
static void report(const struct leader *leader, enum leader_message_kind kind, int number, const struct error *error)
{
	struct leader_message message = { .kind = kind, .number = number };
	struct iovec parts[] = {
		{ .iov_base = &message, .iov_len = sizeof(message) },
		{ .iov_base = (void *)error, .iov_len = error ? sizeof(*error) : 0 },
	};
	struct msghdr header = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };

	(void)!RETRY_EINTR(sendmsg(leader->channel_fd, &header, MSG_NOSIGNAL));
}

_Noreturn static void leader_fail(const struct leader *leader, const struct error *error)
{
	report(leader, LEADER_FAILED, error->number, error);
	_exit(EXIT_SBX_FAILED);
}

/* In the payload's process, before anything of it is confined. All signals are blocked, SIGTTOU too, so that a
 * background process may call tcsetpgrp(3). It is done here alone and not on both sides, because the leader sleeps
 * until this process has executed. */
static int begin_payload(void *argument)
{
	struct leader *leader = argument;

	if (setpgid(0, 0) < 0)
		return EXIT_SBX_FAILED;
	if (leader->is_foreground && tcsetpgrp(leader->slave_fd, getpid()) < 0)
		return EXIT_SBX_FAILED;
	return leader->job->spawn(leader->job->argument, leader->slave_fd);
}

static void signal_payload(const struct leader *leader, int number)
{
	/* ESRCH: the group is empty, its leader was moved or has ended and waits to be reaped by us. */
	if (kill(-leader->payload, number) < 0)
		(void)kill(leader->payload, number);
}

static void set_foreground(struct leader *leader, bool is_foreground)
{
	leader->is_foreground = is_foreground;
	(void)tcsetpgrp(leader->slave_fd, is_foreground ? leader->payload : getpid());
}

static void reap_payload(const struct leader *leader)
{
	int status;

	while (waitpid(leader->payload, &status, WNOHANG | WUNTRACED) == leader->payload) {
		if (WIFSTOPPED(status)) {
			report(leader, LEADER_STOPPED, WSTOPSIG(status), NULL);
			continue;
		}
		/* Sends SIGHUP to what is left in the foreground group, as the end of a session does. */
		(void)ioctl(leader->slave_fd, TIOCNOTTY);
		report(leader, LEADER_EXITED, status, NULL);
		_exit(0);
	}
}

static void hear_signals(const struct leader *leader)
{
	struct signalfd_siginfo signal;

	while (read(leader->signal_fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal)) {
		/* The client's terminal has gone, and with it the master. The kernel tells the session leader and the
		 * foreground group only. */
		if (signal.ssi_signo == SIGHUP && !leader->is_foreground) {
			signal_payload(leader, SIGHUP);
			signal_payload(leader, SIGCONT);
		}
	}
	reap_payload(leader);
}

static void hear_channel(struct leader *leader)
{
	struct leader_message message = { 0 };
	int result = terminal_receive(leader->channel_fd, &message);

	if (result == 0) {
		signal_payload(leader, SIGHUP);
		signal_payload(leader, SIGCONT);
		_exit(0);
	}
	if (result == 1 && message.kind == LEADER_CONTINUE) {
		set_foreground(leader, message.number != 0);
		signal_payload(leader, SIGCONT);
	}
	if (result == 1 && message.kind == LEADER_SIGNAL)
		signal_payload(leader, message.number);
}

static void leader_prepare(struct leader *leader)
{
	struct error error = { 0 };
	sigset_t all;
	sigset_t heard;

	sigfillset(&all);
	sigemptyset(&heard);
	sigaddset(&heard, SIGCHLD);
	sigaddset(&heard, SIGHUP);
	/* Ignored, SIGCHLD would leave no status to wait for. The payload's disposition is its own business. */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	leader->signal_fd = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
	if (leader->signal_fd < 0)
		error_set(&error, .number = errno, .step = "listen for signals");
	else if (setsid() < 0)
		error_set(&error, .number = errno, .step = "start a session");
	else if (ioctl(leader->slave_fd, TIOCSCTTY, 0) < 0)
		error_set(&error, .number = errno, .step = "take the private terminal");
	if (error.number != 0)
		leader_fail(leader, &error);
}

_Noreturn static void lead(struct leader *leader)
{
	const struct terminal_job *job = leader->job;
	struct pollfd polled[2];
	struct error error = { 0 };

	leader_prepare(leader);
	leader->payload = process_spawn(begin_payload, leader);
	if (leader->payload < 0)
		error_set(&error, .number = -leader->payload, .step = "start a process");
	if (error.number == 0 && job->spawn_error->number != 0)
		error = *job->spawn_error;
	if (error.number != 0)
		leader_fail(leader, &error);

	/* Copies of PID 1's descriptors (other clients' sockets, pipes of other payloads) would keep those from ever
	 * reaching end of file. */
	(void)fd_close_others((const int[]){ leader->slave_fd, leader->channel_fd, leader->signal_fd }, 3);
	report(leader, LEADER_STARTED, leader->payload, NULL);
	polled[0] = (struct pollfd){ .fd = leader->signal_fd, .events = POLLIN };
	polled[1] = (struct pollfd){ .fd = leader->channel_fd, .events = POLLIN };
	for (;;) {
		(void)poll(polled, ARRAY_SIZE(polled), -1);
		if (polled[0].revents)
			hear_signals(leader);
		if (polled[1].revents)
			hear_channel(leader);
	}
}

/* ---- inside the world: PID 1 and its leader ---- */

int terminal_receive(int channel_fd, struct leader_message *ret_message)
{
	struct leader_message message;
	ssize_t got = RETRY_EINTR(recv(channel_fd, &message, sizeof(message), MSG_DONTWAIT));

	if (got == (ssize_t)sizeof(message)) {
		*ret_message = message;
		return 1;
	}
	if (got < 0)
		return errno == ECONNRESET ? 0 : -errno;
	return got == 0 ? 0 : -EPROTO;
}

void terminal_tell(int channel_fd, enum leader_message_kind kind, int number)
{
	struct leader_message message = { .kind = kind, .number = number };

	(void)!RETRY_EINTR(send(channel_fd, &message, sizeof(message), MSG_NOSIGNAL));
}

/* Waits for the outcome: LEADER_STARTED, or LEADER_FAILED with its error. */
static int receive_outcome(int channel_fd, pid_t *ret_payload, struct error *error)
{
	struct leader_message message = { 0 };
	struct error failure = { 0 };
	struct iovec parts[] = {
		{ .iov_base = &message, .iov_len = sizeof(message) },
		{ .iov_base = &failure, .iov_len = sizeof(failure) },
	};
	struct msghdr header = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };
	ssize_t got = RETRY_EINTR(recvmsg(channel_fd, &header, MSG_CMSG_CLOEXEC));

	if (got == (ssize_t)sizeof(message) && message.kind == LEADER_STARTED) {
		*ret_payload = message.number;
		return 0;
	}
	if (got == (ssize_t)(sizeof(message) + sizeof(failure)) && failure.number > 0) {
		if (error)
			*error = failure;
		return -failure.number;
	}
	return error_set(error, .number = EPROTO, .step = "start a session",
			 .cause = "its leader ended before the command began");
}

int terminal_start(const struct terminal_job *job, struct terminal_started *ret_started, struct error *error)
{
	struct leader leader = { .job = job, .is_foreground = job->is_foreground };
	owned_fd master = -1;
	owned_fd slave = -1;
	owned_fd near = -1;
	owned_fd far = -1;
	int ends[2];
	pid_t payload = 0;
	pid_t pid;
	int result;

	result = terminal_open_pair(job->multiplexer, job->shape, &master, &slave, error);
	if (result < 0)
		return result;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(error, .number = errno, .step = "make a channel to the session's leader");
	near = ends[0];
	far = ends[1];
	pid = process_clone(0, NULL);
	if (pid < 0)
		return error_set(error, .number = -pid, .step = "start the session's leader");
	if (pid == 0) {
		/* Else its own copies would hide the end of the others. */
		fd_close(&near);
		fd_close(&master);
		leader.slave_fd = slave;
		leader.channel_fd = far;
		lead(&leader);
	}
	fd_close(&far);
	fd_close(&slave);
	result = receive_outcome(near, &payload, error);
	if (result < 0) {
		/* A payload that was faster may be there already, and have ended its leader. */
		session_kill(pid);
		(void)kill(pid, SIGKILL);
		(void)process_wait(pid, NULL);
		return result;
	}
	*ret_started = (struct terminal_started){
		.leader = pid, .payload = payload, .channel_fd = fd_take(&near), .master_fd = fd_take(&master)
	};
	return 0;
}

/* ---- on the host ---- */

/* Two descriptors of one terminal: the same file; or one of them is /dev/tty, whose real number TIOCGDEV tells. Numbers
 * alone do not do: each devpts instance counts from 0. */
static bool is_same_terminal(int a, int b)
{
	struct stat a_stat;
	struct stat b_stat;
	unsigned a_device;
	unsigned b_device;
	dev_t alias = makedev(5, 0);

	if (fstat(a, &a_stat) < 0 || fstat(b, &b_stat) < 0 || ioctl(a, TIOCGDEV, &a_device) < 0 ||
	    ioctl(b, TIOCGDEV, &b_device) < 0 || a_device != b_device)
		return false;
	if (a_stat.st_rdev == alias || b_stat.st_rdev == alias)
		return true;
	return a_stat.st_dev == b_stat.st_dev && a_stat.st_ino == b_stat.st_ino;
}

int terminal_open(struct terminal *terminal, const int stdio[static 3], struct error *error)
{
	struct terminal found = { .fd = -1 };
	char path[FD_PROC_PATH_SIZE];
	int first = -1;

	for (int i = 0; i < 3; i++) {
		if (!isatty(stdio[i]))
			continue;
		if (first < 0)
			first = stdio[i];
		if (stdio[i] == first || is_same_terminal(first, stdio[i]))
			found.mask |= 1u << i;
	}
	if (first >= 0) {
		/* O_NONBLOCK belongs to the open file description, which the caller's shell and its neighbours share:
		 * so one of our own. Not ours to open after su(1): then a duplicate, and care. */
		found.fd = open(fd_proc_path(first, path), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		found.is_nonblocking = found.fd >= 0;
		if (found.fd < 0)
			found.fd = fd_duplicate(first);
		if (found.fd < 0)
			return error_set(error, .number = -found.fd, .step = "open the caller's terminal");
	}
	*terminal = found;
	return 0;
}

void terminal_close(struct terminal *terminal)
{
	terminal_restore(terminal);
	fd_close(&terminal->fd);
	*terminal = (struct terminal){ .fd = -1 };
}

void terminal_get_shape(const struct terminal *terminal, struct terminal_shape *ret_shape)
{
	struct terminal_shape shape = { 0 };

	(void)ioctl(terminal->fd, TIOCGWINSZ, &shape.size);
	if (tcgetattr(terminal->fd, &shape.modes) == 0) {
		shape.has_modes = 1;
		/* In the background the modes are those of whoever is in front, a shell's line editor mostly. The
		 * user's own keys and character set are not. */
		if (!terminal_is_foreground(terminal)) {
			shape.modes.c_iflag |= BRKINT | ICRNL | IXON;
			shape.modes.c_oflag |= OPOST | ONLCR;
			shape.modes.c_lflag |= ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN;
		}
	}
	*ret_shape = shape;
}

bool terminal_is_foreground(const struct terminal *terminal)
{
	pid_t group = tcgetpgrp(terminal->fd);

	return group == getpgrp() || (group < 0 && errno == ENOTTY);
}

void terminal_take(struct terminal *terminal)
{
	struct termios modes;

	if (!terminal->is_taken && tcgetattr(terminal->fd, &terminal->before) < 0)
		return;
	terminal->is_taken = true;
	modes = terminal->before;
	cfmakeraw(&modes);
	if (!terminal->is_output_raw)
		modes.c_oflag = terminal->before.c_oflag;
	modes.c_cc[VMIN] = 1;
	modes.c_cc[VTIME] = 0;
	/* At once: TCSADRAIN would wait for a reader of the terminal's output, TCSAFLUSH lose what was typed ahead. */
	(void)RETRY_EINTR(tcsetattr(terminal->fd, TCSANOW, &modes));
}

void terminal_take_output(struct terminal *terminal)
{
	if (!terminal->is_taken || terminal->is_output_raw)
		return;
	terminal->is_output_raw = true;
	terminal_take(terminal);
}

void terminal_restore(struct terminal *terminal)
{
	if (!terminal->is_taken)
		return;
	terminal->is_taken = false;
	terminal->is_output_raw = false;
	if (terminal_is_foreground(terminal))
		(void)RETRY_EINTR(tcsetattr(terminal->fd, TCSANOW, &terminal->before));
}

void terminal_copy_size(const struct terminal *terminal, int master_fd)
{
	struct winsize size;

	if (ioctl(terminal->fd, TIOCGWINSZ, &size) == 0)
		(void)ioctl(master_fd, TIOCSWINSZ, &size);
}

bool terminal_adds_returns(int fd)
{
	struct termios modes;

	return tcgetattr(fd, &modes) == 0 && (modes.c_oflag & OPOST) && (modes.c_oflag & ONLCR);
}

size_t terminal_remove_returns(char *bytes, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < size; i++)
		if (bytes[i] != '\r' || i + 1 == size || bytes[i + 1] != '\n')
			bytes[used++] = bytes[i];
	return used;
}
