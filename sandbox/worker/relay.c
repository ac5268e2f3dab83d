/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: one poll(2) loop over a fixed set of descriptors, one slot each.
 *
 *   signals    signalfd: all that is forwarded or handled, blocked for the time of the loop
 *   control    replies of PID 1; end of file: the world is gone
 *   world      pidfd of PID 1: the same, even where a leaked copy keeps the connection open
 *   timer      the next deadline: timeout, kill, patience
 *   keys       the caller's terminal, read only while it is taken        -> master
 *   master     the private terminal                                      -> screen and log
 *   screen     the caller's terminal, written
 *   pipe, sink two of each: output that is logged without a terminal     -> the caller's descriptor and log
 *
 * Each flow has one bounded buffer and reads again only when that is empty, so a slow reader slows the payload down, as
 * it would without us. Nothing here blocks: where O_NONBLOCK would have to be set on a description that others share, a
 * description of our own or a call that takes the flag by itself is used.
 *
 * After REPLY_EXITED what the payload had written by then is delivered: the flows are read until they are empty for a
 * moment, or closed, but no more than can have been in them; background processes that hold the other side and go on
 * writing are not waited for. An empty answer of the master is exact: n_tty_read() flushes what is on its way first. */
#include "sandbox/worker/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/memory.h"
#include "sandbox/worker/request.h"

enum {
	FLOW_SIZE = 64 << 10,
	KEYS_SIZE = 4 << 10,
	/* Written in one piece to what may block: poll(2) promises room for some bytes, and this much is the least. */
	CAREFUL_SIZE = 256,
	/* More than a pseudo-terminal holds on its way: 64 KiB of flip buffers and 4 KiB of the line discipline. */
	TERMINAL_HOLDS_MAX = 128 << 10,
	/* How often a background process looks whether its shell has brought it to the front: not every shell sends
	 * SIGCONT to a job that runs already. */
	FOREGROUND_LOOK_MS = 500,
	/* From SIGKILL to giving up on PID 1. */
	PATIENCE_MS = 5000,
};

enum slot {
	SLOT_SIGNALS,
	SLOT_CONTROL,
	SLOT_WORLD,
	SLOT_TIMER,
	SLOT_KEYS,
	SLOT_MASTER,
	SLOT_SCREEN,
	SLOT_PIPE,
	SLOT_SINK = SLOT_PIPE + 2,
	SLOT_COUNT = SLOT_SINK + 2,
};

struct buffer {
	char *bytes;
	size_t start;
	size_t end;
};

enum sink_kind {
	SINK_PIPE,   /* tee(2): nothing is copied through here, and it takes its own SPLICE_F_NONBLOCK */
	SINK_SOCKET, /* send(2) with MSG_DONTWAIT */
	SINK_FILE,   /* a regular file: never waits for anybody */
	SINK_DEVICE, /* opened anew, so that it does not block; where that is refused, small pieces after poll(2) */
};

/* The payload's output through a pipe. */
struct stream {
	int pipe_fd;	/* our end; -1: ended, or not used */
	int payload_fd; /* the payload's end, until it has been sent */
	int sink_fd;	/* where it goes; borrowed, or owned_sink_fd */
	int owned_sink_fd;
	enum sink_kind kind;
	enum log_stream log;
	struct buffer buffer;
	size_t left_max; /* after the payload's end: how much may still come */
};

/* What ends a payload that does not end itself. */
enum ending {
	ENDING_NOT,
	ENDING_ASKED,  /* it was sent its stop signal; kill_ms is set */
	ENDING_KILLED, /* SIGKILL was sent */
};

struct relay {
	struct relay_options options;
	struct terminal terminal;
	bool wants_terminal; /* from the start, not on demand */
	struct stream streams[2];
	struct buffer keys;
	struct buffer screen;
	int master_fd;
	bool is_master_open;
	size_t master_left_max;

	int control_fd;
	int pidfd;
	int signal_fd;
	int timer_fd;
	sigset_t taken_signals;
	sigset_t mask_before;
	uint64_t timeout_at_ms; /* CLOCK_BOOTTIME; 0: none */
	uint64_t kill_at_ms;
	uint64_t give_up_at_ms;
	enum ending ending;
	bool is_payload_stopped;
	int typed;	   /* the last signal key that was typed while the payload had the terminal */
	int signalled;	   /* the last of SIGINT and SIGQUIT that came to this process */
	bool is_abandoned; /* the output's rest is not worth waiting for: we are told to end */
	bool is_over;	   /* the payload, or the world, has ended */
	struct relay_result result;
};

/* ---- before the payload ---- */

static void buffer_init(struct buffer *buffer, size_t size)
{
	*buffer = (struct buffer){ .bytes = malloc(size) };
	if (!buffer->bytes)
		abort();
}

static bool is_same_file(int a, int b)
{
	struct stat a_stat;
	struct stat b_stat;

	return fstat(a, &a_stat) == 0 && fstat(b, &b_stat) == 0 && a_stat.st_dev == b_stat.st_dev &&
	       a_stat.st_ino == b_stat.st_ino && a_stat.st_rdev == b_stat.st_rdev;
}

static void stream_choose_sink(struct stream *stream, int fd)
{
	char path[FD_PROC_PATH_SIZE];
	struct stat status = { 0 };

	stream->sink_fd = fd;
	(void)fstat(fd, &status);
	if (S_ISFIFO(status.st_mode))
		stream->kind = SINK_PIPE;
	else if (S_ISSOCK(status.st_mode))
		stream->kind = SINK_SOCKET;
	else if (S_ISREG(status.st_mode))
		stream->kind = SINK_FILE;
	else
		stream->kind = SINK_DEVICE;
	if (stream->kind != SINK_DEVICE)
		return;
	stream->owned_sink_fd = open(fd_proc_path(fd, path), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (stream->owned_sink_fd >= 0)
		stream->sink_fd = stream->owned_sink_fd;
}

static int stream_open(struct stream *stream, int fd, enum log_stream log, struct error *error)
{
	int ends[2];
	int result = fd_pipe(ends, 0);

	if (result < 0)
		return error_set(error, .number = -result, .step = "make a pipe for the output");
	stream->pipe_fd = ends[0];
	stream->payload_fd = ends[1];
	stream->log = log;
	/* Our end only: the payload's is a description of its own. */
	(void)fcntl(stream->pipe_fd, F_SETFL, O_RDONLY | O_NONBLOCK);
	buffer_init(&stream->buffer, FLOW_SIZE);
	stream_choose_sink(stream, fd);
	return 0;
}

static bool is_pipe_between_programs(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

int relay_open(const struct relay_options *options, struct relay **ret_relay, struct error *error)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	const int *stdio = options->stdio;
	int result = 0;

	if (!relay)
		return error_set(error, .number = ENOMEM, .step = "prepare the input and output");
	relay->options = *options;
	relay->terminal.fd = relay->master_fd = relay->signal_fd = relay->timer_fd = -1;
	for (size_t i = 0; i < 2; i++)
		relay->streams[i].pipe_fd = relay->streams[i].payload_fd = relay->streams[i].owned_sink_fd = -1;
	if (!options->no_terminal)
		result = terminal_open(&relay->terminal, stdio, error);
	if (relay->terminal.fd >= 0) {
		buffer_init(&relay->keys, KEYS_SIZE);
		buffer_init(&relay->screen, FLOW_SIZE);
		/* As a member of a pipeline the payload must not take the keys from a pager at its end, or from
		 * something at its beginning that asks for a password. */
		relay->wants_terminal = (relay->terminal.mask & 1) && !is_pipe_between_programs(stdio[1]);
	}
	for (int i = 1; i <= 2 && result == 0; i++) {
		bool is_terminal = relay->terminal.mask & (1u << i);
		/* Another terminal than the caller's own would let the payload type into it (finding 5). */
		bool is_foreign = !options->no_terminal && !is_terminal && isatty(stdio[i]);

		if (is_terminal || !(options->log || is_foreign))
			continue;
		/* 2>&1: one pipe for both, or the order of what they wrote would be lost. */
		if (i == 2 && relay->streams[0].pipe_fd >= 0 && is_same_file(stdio[1], stdio[2]))
			continue;
		result = stream_open(&relay->streams[i - 1], stdio[i], i == 1 ? LOG_STDOUT : LOG_STDERR, error);
	}
	if (result < 0) {
		relay_close(relay);
		return result;
	}
	*ret_relay = relay;
	return 0;
}

void relay_get_stdio(const struct relay *relay, struct relay_stdio *ret_stdio)
{
	struct relay_stdio stdio = { 0 };
	const struct relay_options *options = &relay->options;

	for (int i = 0; i < 3; i++) {
		stdio.fds[i] = options->stdio[i];
		if (relay->terminal.mask & (1u << i)) {
			stdio.fds[i] = -1;
			stdio.flags |= (unsigned)SPAWN_TERMINAL_STDIN << i;
		}
	}
	for (int i = 1; i <= 2; i++)
		if (relay->streams[i - 1].payload_fd >= 0)
			stdio.fds[i] = relay->streams[i - 1].payload_fd;
	if (stdio.fds[2] == options->stdio[2] && relay->streams[0].payload_fd >= 0 && options->log &&
	    is_same_file(options->stdio[1], options->stdio[2]))
		stdio.fds[2] = relay->streams[0].payload_fd;
	if (relay->terminal.fd >= 0) {
		terminal_get_shape(&relay->terminal, &stdio.shape);
		if (!relay->wants_terminal || !terminal_is_foreground(&relay->terminal))
			stdio.flags |= SPAWN_BACKGROUND;
	}
	*ret_stdio = stdio;
}

static void leave_signals(struct relay *relay)
{
	if (relay->signal_fd >= 0)
		(void)sigprocmask(SIG_SETMASK, &relay->mask_before, NULL);
	fd_close(&relay->signal_fd);
}

void relay_close(struct relay *relay)
{
	if (!relay)
		return;
	terminal_close(&relay->terminal);
	fd_close(&relay->master_fd);
	leave_signals(relay);
	fd_close(&relay->timer_fd);
	free(relay->keys.bytes);
	free(relay->screen.bytes);
	for (size_t i = 0; i < ARRAY_SIZE(relay->streams); i++) {
		fd_close(&relay->streams[i].pipe_fd);
		fd_close(&relay->streams[i].payload_fd);
		fd_close(&relay->streams[i].owned_sink_fd);
		free(relay->streams[i].buffer.bytes);
	}
	free(relay);
}

/* The payload or the world has ended: what was written by now is all that is waited for. */
static void end_flows(struct relay *relay)
{
	relay->is_over = true;
	relay->master_left_max = TERMINAL_HOLDS_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(relay->streams); i++) {
		int held = 0;

		if (relay->streams[i].pipe_fd >= 0 && ioctl(relay->streams[i].pipe_fd, FIONREAD, &held) == 0)
			relay->streams[i].left_max = (size_t)held;
	}
}

/* ---- requests and deadlines ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	/* Goes on while the machine sleeps, as the user's watch does. */
	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A PID 1 that is gone is seen at the connection's end, not here. */
static void ask(struct relay *relay, enum request_kind kind, int argument)
{
	struct request_header header = { .kind = kind, .argument = argument };

	(void)request_send(relay->control_fd, &header, NULL, NULL);
}

static void arm_timer(struct relay *relay)
{
	uint64_t next = relay->timeout_at_ms;
	struct itimerspec when = { 0 };

	if (relay->kill_at_ms && (!next || relay->kill_at_ms < next))
		next = relay->kill_at_ms;
	if (relay->give_up_at_ms && (!next || relay->give_up_at_ms < next))
		next = relay->give_up_at_ms;
	when.it_value.tv_sec = (time_t)(next / 1000);
	when.it_value.tv_nsec = (long)(next % 1000) * 1000000;
	(void)timerfd_settime(relay->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The stop signal was sent: KILL follows. */
static void start_ending(struct relay *relay)
{
	if (relay->ending != ENDING_NOT)
		return;
	relay->ending = ENDING_ASKED;
	relay->kill_at_ms = now_ms() + relay->options.stop_timeout_ms;
	arm_timer(relay);
}

static void resume_payload(struct relay *relay, bool is_foreground)
{
	relay->is_payload_stopped = false;
	ask(relay, REQUEST_CONTINUE, is_foreground);
}

static void hear_timer(struct relay *relay)
{
	uint64_t expirations;
	uint64_t now = now_ms();

	(void)!read(relay->timer_fd, &expirations, sizeof(expirations));
	if (relay->timeout_at_ms && relay->timeout_at_ms <= now) {
		relay->timeout_at_ms = 0;
		relay->result.timed_out = true;
		ask(relay, REQUEST_SIGNAL, relay->options.stop_signal);
		/* A stopped process is not ended by SIGTERM before it goes on; timeout(1) does the same. */
		ask(relay, REQUEST_SIGNAL, SIGCONT);
		start_ending(relay);
	}
	if (relay->kill_at_ms && relay->kill_at_ms <= now) {
		relay->kill_at_ms = 0;
		relay->ending = ENDING_KILLED;
		relay->give_up_at_ms = now + PATIENCE_MS;
		ask(relay, REQUEST_SIGNAL, SIGKILL);
	}
	if (relay->give_up_at_ms && relay->give_up_at_ms <= now) {
		relay->give_up_at_ms = 0;
		relay->result.world_died = true;
		relay->is_over = relay->is_abandoned = true;
	}
	arm_timer(relay);
}

/* ---- the terminal and job control ---- */

static void take_terminal(struct relay *relay)
{
	terminal_copy_size(&relay->terminal, relay->master_fd);
	terminal_take(&relay->terminal);
}

/* The caller's terminal is gone: so is the payload's. The kernel sends SIGHUP there. */
static void hang_up(struct relay *relay)
{
	relay->is_master_open = false;
	relay->keys.start = relay->keys.end = 0;
	relay->screen.start = relay->screen.end = 0;
	fd_close(&relay->master_fd);
}

/* Stops this process by `number`, as the terminal would: its whole group where that is how it is meant.
 * @return whether it was stopped and continued; an orphaned group is not stopped by the terminal's signals */
static bool stop_self(struct relay *relay, int number)
{
	struct sigaction default_action = { .sa_handler = SIG_DFL };
	struct sigaction action;
	struct timespec none = { 0 };
	sigset_t stop;
	sigset_t go_on;

	terminal_restore(&relay->terminal);
	sigemptyset(&stop);
	sigaddset(&stop, number);
	sigemptyset(&go_on);
	sigaddset(&go_on, SIGCONT);
	while (sigtimedwait(&go_on, NULL, &none) > 0)
		;
	(void)sigaction(number, &default_action, &action);
	/* Somebody else stopped the payload alone; Ctrl-Z and background reads are for the group. */
	(void)kill(number == SIGSTOP ? getpid() : 0, number);
	(void)sigprocmask(SIG_UNBLOCK, &stop, NULL); /* stops here, until SIGCONT */
	if (sigismember(&relay->taken_signals, number) == 1)
		(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	(void)sigaction(number, &action, NULL);
	return sigtimedwait(&go_on, NULL, &none) > 0;
}

/* The user's shell (or anybody's SIGCONT) lets this process go on. */
static void go_on(struct relay *relay)
{
	bool has_terminal = relay->is_master_open;
	bool is_foreground = has_terminal && terminal_is_foreground(&relay->terminal);

	if (is_foreground && (relay->wants_terminal || relay->terminal.is_taken || relay->is_payload_stopped))
		take_terminal(relay);
	if (!has_terminal || relay->is_payload_stopped)
		resume_payload(relay, is_foreground);
	else
		ask(relay, REQUEST_SIGNAL, SIGCONT);
}

/* The payload's group was stopped: by Ctrl-Z, or because it wants the terminal. */
static void payload_stopped(struct relay *relay, int number)
{
	bool is_about_terminal = number == SIGTTIN || number == SIGTTOU;

	relay->is_payload_stopped = true;
	if (relay->ending != ENDING_NOT)
		return; /* It must end: SIGKILL needs no SIGCONT. Stopped as well, we could not send it. */
	if (is_about_terminal && relay->is_master_open && terminal_is_foreground(&relay->terminal)) {
		relay->wants_terminal = true;
		go_on(relay);
		return;
	}
	/* Not stopped: the group is orphaned, nobody will ever bring it to the front. read(2) answers EIO then. */
	if (!stop_self(relay, number) && is_about_terminal)
		hang_up(relay);
	go_on(relay);
}

static void hear_stop_signal(struct relay *relay)
{
	if (relay->is_master_open) {
		/* What stops from it is told by REPLY_STOPPED. */
		ask(relay, REQUEST_SIGNAL, SIGTSTP);
		return;
	}
	/* Without a terminal inside there is no leader, so its group is orphaned and SIGTSTP would be dropped. */
	ask(relay, REQUEST_SIGNAL, SIGSTOP);
	relay->is_payload_stopped = true;
	(void)stop_self(relay, SIGSTOP);
	go_on(relay);
}

/* ---- signals ---- */

static void hear_signals(struct relay *relay)
{
	struct signalfd_siginfo info;

	while (read(relay->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int number = (int)info.ssi_signo;

		switch (number) {
		case SIGWINCH:
			if (relay->is_master_open)
				terminal_copy_size(&relay->terminal, relay->master_fd);
			continue;
		case SIGTSTP:
			hear_stop_signal(relay);
			continue;
		case SIGCONT:
			go_on(relay);
			continue;
		case SIGINT:
		case SIGQUIT:
			relay->signalled = number;
			break;
		}
		if (relay->is_over && (number == SIGINT || number == SIGQUIT || number == SIGTERM || number == SIGHUP))
			relay->is_abandoned = true;
		ask(relay, REQUEST_SIGNAL, number);
		if (number == SIGTERM)
			start_ending(relay);
	}
}

/* What is forwarded or handled: all that has a meaning from outside, but for what was ignored when we began. */
int relay_take_signals(struct relay *relay, struct error *error)
{
	static const int heard[] = { SIGHUP,	SIGINT,	 SIGQUIT, SIGTERM, SIGUSR1,  SIGUSR2, SIGALRM,
				     SIGVTALRM, SIGPROF, SIGIO,	  SIGPWR,  SIGWINCH, SIGTSTP, SIGCONT };
	sigset_t *taken = &relay->taken_signals;
	struct sigaction action;

	if (relay->signal_fd >= 0)
		return 0;
	sigemptyset(taken);
	for (size_t i = 0; i < ARRAY_SIZE(heard); i++)
		if (sigaction(heard[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(taken, heard[i]);
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(taken, i);
	relay->signal_fd = signalfd(-1, taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (relay->signal_fd < 0)
		return error_set(error, .number = errno, .step = "listen for signals");
	(void)sigprocmask(SIG_BLOCK, taken, &relay->mask_before);
	return 0;
}

/* ---- flows ---- */

static bool buffer_is_empty(const struct buffer *buffer)
{
	return buffer->start == buffer->end;
}

/* Writes what it can. @return 0, or -errno where the other side is gone for good */
static int buffer_drain(struct buffer *buffer, int fd, size_t piece_max)
{
	while (!buffer_is_empty(buffer)) {
		size_t size = MIN(buffer->end - buffer->start, piece_max);
		ssize_t written = RETRY_EINTR(write(fd, buffer->bytes + buffer->start, size));

		if (written < 0)
			return errno == EAGAIN ? 0 : -errno;
		buffer->start += (size_t)written;
		/* One careful piece, and poll(2) is asked again. */
		if (piece_max == CAREFUL_SIZE)
			break;
	}
	if (buffer_is_empty(buffer))
		buffer->start = buffer->end = 0;
	return 0;
}

/* A key that the private terminal turns into a signal for the payload's foreground group. */
static void note_typed(struct relay *relay, const char *keys, size_t size)
{
	struct termios modes;

	if (tcgetattr(relay->master_fd, &modes) < 0 || !(modes.c_lflag & ISIG))
		return;
	for (size_t i = 0; i < size; i++) {
		if ((cc_t)keys[i] == modes.c_cc[VINTR])
			relay->typed = SIGINT;
		if ((cc_t)keys[i] == modes.c_cc[VQUIT])
			relay->typed = SIGQUIT;
	}
}

static void read_keys(struct relay *relay)
{
	struct buffer *keys = &relay->keys;
	ssize_t got = read(relay->terminal.fd, keys->bytes, KEYS_SIZE);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		hang_up(relay);
		return;
	}
	keys->start = 0;
	keys->end = (size_t)got;
	note_typed(relay, keys->bytes, keys->end);
}

static void write_keys(struct relay *relay)
{
	/* EIO: no other side any more; the end of the payload is about to be told. */
	if (buffer_drain(&relay->keys, relay->master_fd, KEYS_SIZE) < 0)
		relay->keys.start = relay->keys.end = 0;
}

static void write_screen(struct relay *relay)
{
	if (buffer_drain(&relay->screen, relay->terminal.fd,
			 relay->terminal.is_nonblocking ? FLOW_SIZE : CAREFUL_SIZE) < 0)
		hang_up(relay);
}

/* "\r\n" is written in one piece but may be cut by the end of a read: then the rest is there already. */
static size_t complete_return(int fd, char *bytes, size_t size, size_t size_max)
{
	while (size > 0 && size < size_max && bytes[size - 1] == '\r') {
		ssize_t got = read(fd, bytes + size, 1);

		if (got <= 0)
			break;
		size++;
	}
	return size;
}

/* @return whether there may be more at once */
static bool read_master(struct relay *relay)
{
	struct buffer *screen = &relay->screen;
	ssize_t got = read(relay->master_fd, screen->bytes, FLOW_SIZE - 1);
	size_t size;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (got <= 0) {
		hang_up(relay);
		return false;
	}
	size = complete_return(relay->master_fd, screen->bytes, (size_t)got, FLOW_SIZE);
	relay->master_left_max -= MIN(relay->master_left_max, size);
	/* While our terminal adds returns itself, those of the private one must go. Once the payload writes without, so
	 * does ours, for as long as it is taken: a switch back could not know which bytes came before. */
	if (!terminal_adds_returns(relay->master_fd))
		terminal_take_output(&relay->terminal);
	else if (terminal_adds_returns(relay->terminal.fd))
		size = terminal_remove_returns(screen->bytes, size);
	if (relay->options.log)
		log_write(relay->options.log, LOG_STDOUT, screen->bytes, size);
	screen->start = 0;
	screen->end = size;
	write_screen(relay);
	return true;
}

static void stream_end(struct stream *stream)
{
	/* The payload's next write is answered with SIGPIPE, as if it had the caller's descriptor itself. */
	stream->buffer.start = stream->buffer.end = 0;
	fd_close(&stream->pipe_fd);
}

static void stream_log(struct relay *relay, const struct stream *stream, const char *bytes, size_t size)
{
	if (relay->options.log)
		log_write(relay->options.log, stream->log, bytes, size);
}

/* Doubles what lies in the payload's pipe into the caller's, then takes just that out for the log.
 * @return whether there may be more at once */
static bool stream_tee(struct relay *relay, struct stream *stream)
{
	ssize_t doubled = tee(stream->pipe_fd, stream->sink_fd, FLOW_SIZE, SPLICE_F_NONBLOCK);

	if (doubled < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (doubled <= 0) {
		stream_end(stream);
		return false;
	}
	if (fd_read_all(stream->pipe_fd, stream->buffer.bytes, (size_t)doubled) != doubled) {
		stream_end(stream);
		return false;
	}
	stream->left_max -= MIN(stream->left_max, (size_t)doubled);
	stream_log(relay, stream, stream->buffer.bytes, (size_t)doubled);
	return true;
}

static int stream_write(struct stream *stream)
{
	struct buffer *buffer = &stream->buffer;
	ssize_t sent;

	if (stream->kind != SINK_SOCKET)
		return buffer_drain(buffer, stream->sink_fd,
				    stream->kind == SINK_DEVICE && stream->owned_sink_fd < 0 ? CAREFUL_SIZE
											     : FLOW_SIZE);
	sent = RETRY_EINTR(send(stream->sink_fd, buffer->bytes + buffer->start, buffer->end - buffer->start,
				MSG_DONTWAIT | MSG_NOSIGNAL));
	if (sent < 0)
		return errno == EAGAIN ? 0 : -errno;
	buffer->start += (size_t)sent;
	return 0;
}

/* Moves what can be moved. @return whether there may be more at once */
static bool stream_move(struct relay *relay, struct stream *stream)
{
	ssize_t got;

	if (stream->kind == SINK_PIPE)
		return stream_tee(relay, stream);
	if (buffer_is_empty(&stream->buffer)) {
		got = read(stream->pipe_fd, stream->buffer.bytes, FLOW_SIZE);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (got <= 0) {
			stream_end(stream);
			return false;
		}
		stream->left_max -= MIN(stream->left_max, (size_t)got);
		stream->buffer.start = 0;
		stream->buffer.end = (size_t)got;
		stream_log(relay, stream, stream->buffer.bytes, (size_t)got);
	}
	if (stream_write(stream) < 0) {
		stream_end(stream);
		return false;
	}
	return buffer_is_empty(&stream->buffer);
}

static bool has_data(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	return poll(&polled, 1, 0) == 1;
}

/* Whether the output of an ended payload is not all delivered yet. */
static bool has_output_left(const struct relay *relay)
{
	if (relay->is_master_open &&
	    (!buffer_is_empty(&relay->screen) || (relay->master_left_max > 0 && has_data(relay->master_fd))))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(relay->streams); i++) {
		const struct stream *stream = &relay->streams[i];

		if (stream->pipe_fd >= 0 &&
		    (!buffer_is_empty(&stream->buffer) || (stream->left_max > 0 && has_data(stream->pipe_fd))))
			return true;
	}
	return false;
}

/* ---- replies ---- */

static void payload_started(struct relay *relay, const struct reply *reply, int *master_fd)
{
	relay->result.is_started = true;
	relay->result.pid = (pid_t)reply->number;
	if (relay->options.timeout_ms) {
		relay->timeout_at_ms = now_ms() + relay->options.timeout_ms;
		arm_timer(relay);
	}
	if (*master_fd < 0 || relay->terminal.fd < 0 || relay->is_master_open)
		return;
	relay->master_fd = fd_take(master_fd);
	relay->is_master_open = true;
	/* Nobody shares it: PID 1 has closed its own. */
	(void)fcntl(relay->master_fd, F_SETFL, O_RDWR | O_NONBLOCK);
	if (relay->wants_terminal && terminal_is_foreground(&relay->terminal))
		take_terminal(relay);
}

static void payload_exited(struct relay *relay, int status)
{
	struct relay_result *result = &relay->result;
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	result->has_ended = true;
	result->wait_status = status;
	if (number == SIGINT || number == SIGQUIT) {
		result->is_typed = relay->signalled != number && relay->typed == number;
		result->interrupted_by = relay->signalled == number || result->is_typed ? number : 0;
	}
	end_flows(relay);
}

static int hear_control(struct relay *relay, struct error *error)
{
	struct reply reply;
	owned_fd fd = -1;
	int result = reply_receive(relay->control_fd, &reply, &fd);

	if (result < 0)
		return error_set(error, .number = -result, .step = "hear from the world");
	if (result == 0) {
		relay->result.world_died = !relay->result.has_ended;
		end_flows(relay);
		return 0;
	}
	switch (reply.kind) {
	case REPLY_STARTED:
		payload_started(relay, &reply, &fd);
		break;
	case REPLY_STOPPED:
		payload_stopped(relay, (int)reply.number);
		break;
	case REPLY_ADVICE:
		relay->result.advice = reply.error;
		break;
	case REPLY_EXITED:
		payload_exited(relay, (int)reply.number);
		break;
	case REPLY_FAILED:
		if (error)
			*error = reply.error;
		return reply.error.number > 0 ? -reply.error.number : -EPROTO;
	}
	return 0;
}

/* ---- the loop ---- */

static void watch(struct pollfd *polled, int fd, short events)
{
	*polled = (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static void prepare_poll(struct relay *relay, struct pollfd polled[static SLOT_COUNT])
{
	bool is_open = relay->is_master_open;
	bool screen_empty = buffer_is_empty(&relay->screen);
	bool keys_empty = buffer_is_empty(&relay->keys);
	bool may_read = !relay->is_over || relay->master_left_max > 0;

	watch(&polled[SLOT_SIGNALS], relay->signal_fd, POLLIN);
	watch(&polled[SLOT_CONTROL], relay->control_fd, relay->is_over ? 0 : POLLIN);
	watch(&polled[SLOT_WORLD], relay->pidfd, relay->is_over ? 0 : POLLIN);
	watch(&polled[SLOT_TIMER], relay->timer_fd, POLLIN);
	watch(&polled[SLOT_KEYS], relay->terminal.fd, relay->terminal.is_taken && is_open && keys_empty ? POLLIN : 0);
	watch(&polled[SLOT_MASTER], relay->master_fd,
	      !is_open ? 0 : (short)((screen_empty && may_read ? POLLIN : 0) | (keys_empty ? 0 : POLLOUT)));
	watch(&polled[SLOT_SCREEN], relay->terminal.fd, screen_empty ? 0 : POLLOUT);
	for (size_t i = 0; i < ARRAY_SIZE(relay->streams); i++) {
		struct stream *stream = &relay->streams[i];
		bool is_used = stream->pipe_fd >= 0;

		/* Both must be ready; a regular file always is. The sink is watched once the pipe has something. */
		bool has_input = is_used && (!buffer_is_empty(&stream->buffer) || has_data(stream->pipe_fd));

		watch(&polled[SLOT_PIPE + i], stream->pipe_fd, is_used && !has_input ? POLLIN : 0);
		watch(&polled[SLOT_SINK + i], stream->sink_fd, has_input ? POLLOUT : 0);
	}
}

static void move_flows(struct relay *relay, const struct pollfd polled[static SLOT_COUNT])
{
	if (polled[SLOT_SCREEN].revents && relay->is_master_open)
		write_screen(relay);
	if (polled[SLOT_KEYS].revents && relay->is_master_open && relay->terminal.is_taken)
		read_keys(relay);
	if (relay->is_master_open && !buffer_is_empty(&relay->keys))
		write_keys(relay);
	if ((polled[SLOT_MASTER].revents & (POLLIN | POLLHUP | POLLERR)) && relay->is_master_open &&
	    buffer_is_empty(&relay->screen))
		(void)read_master(relay);
	for (size_t i = 0; i < ARRAY_SIZE(relay->streams); i++)
		if (relay->streams[i].pipe_fd >= 0 && (polled[SLOT_SINK + i].revents || polled[SLOT_PIPE + i].revents))
			(void)stream_move(relay, &relay->streams[i]);
}

static int loop(struct relay *relay, struct error *error)
{
	struct pollfd polled[SLOT_COUNT];
	int idle_ms = MEMORY_IDLE_MS;
	int result = 0;
	int ready;

	while (!relay->is_over || (!relay->is_abandoned && has_output_left(relay))) {
		bool looks = relay->wants_terminal && relay->is_master_open && !relay->terminal.is_taken;

		prepare_poll(relay, polled);
		ready = poll(polled, SLOT_COUNT, looks ? FOREGROUND_LOOK_MS : idle_ms);
		if (ready < 0 && errno != EINTR)
			return error_set(error, .number = errno, .step = "wait for the world");
		if (ready == 0 && !looks) {
			memory_give_back();
			idle_ms = -1;
		}
		if (looks && !relay->is_payload_stopped && terminal_is_foreground(&relay->terminal)) {
			take_terminal(relay);
			resume_payload(relay, true);
		}
		move_flows(relay, polled);
		if (polled[SLOT_TIMER].revents)
			hear_timer(relay);
		if (polled[SLOT_SIGNALS].revents)
			hear_signals(relay);
		/* Once PID 1 is gone nothing is added to what the connection holds: it is read to its end first. */
		if (polled[SLOT_CONTROL].revents)
			result = hear_control(relay, error);
		else if (polled[SLOT_WORLD].revents) {
			relay->result.world_died = true;
			end_flows(relay);
		}
		if (result < 0)
			return result;
	}
	return 0;
}

int relay_run(struct relay *relay, int control_fd, int pidfd, struct relay_result *ret_result, struct error *error)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction pipe_action;
	int result;

	relay->control_fd = control_fd;
	relay->pidfd = pidfd;
	if (relay->options.stop_signal == 0)
		relay->options.stop_signal = SIGTERM;
	/* The world has its copies: ours would keep the pipes from ever ending. */
	for (size_t i = 0; i < ARRAY_SIZE(relay->streams); i++)
		fd_close(&relay->streams[i].payload_fd);
	relay->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (relay->timer_fd < 0)
		return error_set(error, .number = errno, .step = "make a timer");
	result = relay_take_signals(relay, error);
	if (result < 0)
		return result;
	(void)sigaction(SIGPIPE, &ignore, &pipe_action);

	result = loop(relay, error);

	terminal_restore(&relay->terminal);
	if (relay->options.log)
		relay->result.log_number = relay->options.log->number;
	(void)sigaction(SIGPIPE, &pipe_action, NULL);
	leave_signals(relay);
	*ret_result = relay->result;
	return result;
}

void relay_raise(const struct relay_result *result)
{
	struct sigaction default_action = { .sa_handler = SIG_DFL };
	int number = result->interrupted_by;
	sigset_t set;

	if (number == 0)
		return;
	/* SIGQUIT's core would be ours, which helps nobody. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)sigaction(number, &default_action, NULL);
	sigemptyset(&set);
	sigaddset(&set, number);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)kill(result->is_typed ? 0 : getpid(), number);
}
