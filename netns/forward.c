/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: one edge-triggered epoll(7). A link is two sockets and two flows, one for each direction. A flow moves
 * bytes by splice(2), through a pipe, so that they are never copied into this process. It has a pipe only while bytes
 * are in it: those that rest have none, however many they are (fs.pipe-user-pages-soft counts 1,024 pipes of default
 * size for each user; finding 41). Emptied pipes go to a small stock, the rest is closed; only as many as the stock
 * holds are larger than a pipe is by default, which bulk needs.
 *
 * With edges each flow is run until the kernel says EAGAIN; one that has too much to do goes back to a list of those
 * that are due, behind the others. Links are freed at the end of a round, when no event of it can name them any
 * more. */
#include "netns/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"

enum {
	EVENTS_MAX = 64,
	PIPES_SPARE_MAX = 8,
	PIPE_BYTES = 256 << 10, /* of the large ones */
	ACCEPTS_MAX = 64,	/* of one listener in a round */
	FDS_PER_LINK = 6,	/* two sockets, and a pipe for each flow */
	FDS_OTHER = 64,
	STEPS_MAX = 16, /* of one flow in a round */
	SPLICE_BYTES_MAX = 1 << 20,
};

struct pipe {
	int ends[2];
	bool is_large;
};

/* From the socket of its own number to the other. */
struct flow {
	struct pipe pipe;
	bool has_pipe;
	size_t in_pipe; /* bytes */
	bool at_end;	/* its source has said all */
	bool is_shut;	/* and its sink knows */
};

struct link {
	struct link *next; /* in the list of those that are due, or dead */
	struct forward *forward;
	size_t target; /* which one is being tried, as an offset to where the trying began */
	size_t first;
	int fds[2]; /* 0: accepted, 1: connected */
	struct flow flows[2];
	bool is_connected;
	bool is_due;
	bool is_dead;
	bool is_readable[2]; /* that socket may have something, or its end */
	bool is_broken[2];   /* that socket has an error waiting */
};

/* What an event is about: the address of one of these. */
struct source {
	enum { SOURCE_LIFELINE, SOURCE_LISTENER, SOURCE_SOCKET } kind;
	struct forward *forward;
	struct link *link;
	int side;
};

/* A link and what its events point to. */
struct entry {
	struct link link;
	struct source sources[2];
};

struct listener {
	struct source source;
	size_t preferred; /* the target that answered last */
	bool is_due;	  /* there may be more to accept */
	bool is_paused;	  /* for want of room */
};

struct forwarder {
	int epoll_fd;
	struct forward *forwards;
	struct listener *listeners;
	size_t count;
	struct link *due;
	struct link **due_end;
	struct link *dead;
	size_t link_count;
	size_t links_max;
	struct pipe spare[PIPES_SPARE_MAX];
	size_t spare_count;
	size_t large_count;
};

/* ---- pipes ---- */

static bool take_pipe(struct forwarder *forwarder, struct flow *flow)
{
	if (flow->has_pipe)
		return true;
	if (forwarder->spare_count > 0) {
		flow->pipe = forwarder->spare[--forwarder->spare_count];
	} else {
		if (fd_pipe(flow->pipe.ends, O_NONBLOCK) < 0)
			return false;
		flow->pipe.is_large = forwarder->large_count < PIPES_SPARE_MAX &&
				      fcntl(flow->pipe.ends[1], F_SETPIPE_SZ, PIPE_BYTES) >= 0;
		forwarder->large_count += flow->pipe.is_large;
	}
	flow->has_pipe = true;
	return true;
}

/* @is_clean: nothing is in it */
static void give_pipe(struct forwarder *forwarder, struct flow *flow, bool is_clean)
{
	if (!flow->has_pipe)
		return;
	flow->has_pipe = false;
	if (is_clean && forwarder->spare_count < PIPES_SPARE_MAX) {
		forwarder->spare[forwarder->spare_count++] = flow->pipe;
		return;
	}
	forwarder->large_count -= flow->pipe.is_large;
	(void)close(flow->pipe.ends[0]);
	(void)close(flow->pipe.ends[1]);
}

/* ---- links ---- */

static void make_due(struct forwarder *forwarder, struct link *link)
{
	if (link->is_due || link->is_dead)
		return;
	link->is_due = true;
	link->next = NULL;
	*forwarder->due_end = link;
	forwarder->due_end = &link->next;
}

static void end_link(struct forwarder *forwarder, struct link *link)
{
	if (link->is_dead)
		return;
	link->is_dead = true;
	forwarder->link_count--;
	for (int side = 0; side < 2; side++) {
		give_pipe(forwarder, &link->flows[side], link->flows[side].in_pipe == 0);
		fd_close(&link->fds[side]);
	}
	if (!link->is_due) {
		link->next = forwarder->dead;
		forwarder->dead = link;
	}
	/* There is room again. */
	for (size_t i = 0; i < forwarder->count; i++)
		if (forwarder->listeners[i].is_paused) {
			forwarder->listeners[i].is_paused = false;
			forwarder->listeners[i].is_due = true;
		}
}

/* As the peer of one side ended, the other's shall: by a reset, SO_LINGER of 0 in socket(7). */
static void reset_link(struct forwarder *forwarder, struct link *link)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	for (int side = 0; side < 2; side++)
		if (link->fds[side] >= 0)
			(void)setsockopt(link->fds[side], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	end_link(forwarder, link);
}

static void free_dead(struct forwarder *forwarder)
{
	while (forwarder->dead) {
		struct link *link = forwarder->dead;

		forwarder->dead = link->next;
		free(link); /* the first member of its entry */
	}
}

static int watch(struct forwarder *forwarder, struct link *link, int side)
{
	struct entry *entry = (struct entry *)link;
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = &entry->sources[side] };
	const int on = 1;

	/* What is passed on has been put together by its sender already. */
	(void)setsockopt(link->fds[side], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_ADD, link->fds[side], &event);
}

/* ---- connecting ---- */

static struct listener *listener_of(const struct forwarder *forwarder, const struct link *link)
{
	return &forwarder->listeners[link->forward - forwarder->forwards];
}

/* Tries the targets from link->target on, until one answers or is going to. */
static void connect_link(struct forwarder *forwarder, struct link *link)
{
	const struct forward *forward = link->forward;

	for (; link->target < forward->target_count; link->target++) {
		const union address *address = &forward->targets[(link->first + link->target) % forward->target_count];

		fd_close(&link->fds[1]);
		link->fds[1] = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (link->fds[1] < 0)
			continue;
		if (connect(link->fds[1], &address->any, address_size(address)) < 0 && errno != EINPROGRESS)
			continue;
		if (watch(forwarder, link, 1) < 0)
			break;
		return; /* an event comes in any case: that it can be written to, or has failed */
	}
	reset_link(forwarder, link);
}

/* @return whether bytes can be moved */
static bool finish_connecting(struct forwarder *forwarder, struct link *link, uint32_t events)
{
	int number = 0;
	socklen_t size = sizeof(number);

	if (link->is_connected)
		return true;
	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return false;
	if (getsockopt(link->fds[1], SOL_SOCKET, SO_ERROR, &number, &size) < 0 || number != 0) {
		link->target++;
		connect_link(forwarder, link);
		return false;
	}
	link->is_connected = true;
	listener_of(forwarder, link)->preferred = (link->first + link->target) % link->forward->target_count;
	if (watch(forwarder, link, 0) < 0) {
		reset_link(forwarder, link);
		return false;
	}
	return true;
}

static void accept_links(struct forwarder *forwarder, struct listener *listener)
{
	listener->is_due = false;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct entry *entry;
		int fd;

		if (forwarder->link_count >= forwarder->links_max) {
			listener->is_paused = true;
			return;
		}
		fd = accept4(listener->source.forward->listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			/* A connection that was gone again is an error of accept(2)'s, not of the listener's. */
			listener->is_paused = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
			if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
				continue;
			return;
		}
		entry = calloc(1, sizeof(*entry));
		if (!entry) {
			(void)close(fd);
			return;
		}
		entry->link = (struct link){ .forward = listener->source.forward,
					     .first = listener->preferred,
					     .fds = { fd, -1 } };
		forwarder->link_count++;
		for (int side = 0; side < 2; side++)
			entry->sources[side] =
				(struct source){ .kind = SOURCE_SOCKET, .link = &entry->link, .side = side };
		connect_link(forwarder, &entry->link);
	}
	listener->is_due = true;
}

/* ---- moving bytes ---- */

enum moved {
	MOVED_ALL,    /* that there is now */
	MOVED_ENOUGH, /* there may be more */
	MOVED_FAILED, /* one side is gone */
};

static ssize_t move(int from, int to, size_t size)
{
	ssize_t moved = RETRY_EINTR(splice(from, NULL, to, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));

	return moved < 0 ? -errno : moved;
}

static enum moved run_flow(struct forwarder *forwarder, struct link *link, int side)
{
	struct flow *flow = &link->flows[side];
	int source = link->fds[side];
	int sink = link->fds[!side];

	for (int i = 0; i < STEPS_MAX; i++) {
		ssize_t moved;

		if (flow->in_pipe == 0 && !flow->at_end) {
			if (!link->is_readable[side])
				return MOVED_ALL;
			if (!take_pipe(forwarder, flow))
				return MOVED_FAILED;
			moved = move(source, flow->pipe.ends[1], SPLICE_BYTES_MAX);
			if (moved <= 0)
				give_pipe(forwarder, flow, true);
			if (moved == -EAGAIN) {
				link->is_readable[side] = false;
				return MOVED_ALL;
			}
			if (moved < 0)
				return MOVED_FAILED;
			flow->at_end = moved == 0;
			flow->in_pipe = (size_t)moved;
		}
		if (flow->in_pipe > 0) {
			moved = move(flow->pipe.ends[0], sink, flow->in_pipe);
			if (moved == -EAGAIN)
				return MOVED_ALL;
			if (moved <= 0)
				return MOVED_FAILED;
			flow->in_pipe -= (size_t)moved;
			if (flow->in_pipe == 0)
				give_pipe(forwarder, flow, true);
		}
		if (flow->at_end && flow->in_pipe == 0) {
			if (!flow->is_shut && shutdown(sink, SHUT_WR) < 0)
				return MOVED_FAILED;
			flow->is_shut = true;
			return MOVED_ALL;
		}
	}
	return MOVED_ENOUGH;
}

static void run_link(struct forwarder *forwarder, struct link *link)
{
	for (int side = 0; side < 2; side++) {
		enum moved moved = run_flow(forwarder, link, side);

		if (moved == MOVED_FAILED) {
			reset_link(forwarder, link);
			return;
		}
		if (moved == MOVED_ENOUGH)
			make_due(forwarder, link);
	}
	if (link->flows[0].is_shut && link->flows[1].is_shut) {
		end_link(forwarder, link);
		return;
	}
	/* Reading tells of an error what had come before it; a side that has said all is not read any more. */
	for (int side = 0; side < 2; side++)
		if (link->is_broken[side] && link->flows[side].in_pipe == 0 && !link->is_due) {
			reset_link(forwarder, link);
			return;
		}
}

static void run_due(struct forwarder *forwarder)
{
	struct link *link = forwarder->due;

	/* Those that become due meanwhile are the next round's. */
	forwarder->due = NULL;
	forwarder->due_end = &forwarder->due;
	while (link) {
		struct link *next = link->next;

		link->is_due = false;
		if (link->is_dead) {
			link->next = forwarder->dead;
			forwarder->dead = link;
		} else {
			run_link(forwarder, link);
		}
		link = next;
	}
	for (size_t i = 0; i < forwarder->count; i++)
		if (forwarder->listeners[i].is_due)
			accept_links(forwarder, &forwarder->listeners[i]);
}

/* ---- the loop ---- */

static void handle(struct forwarder *forwarder, const struct epoll_event *event)
{
	const struct source *source = event->data.ptr;
	struct link *link = source->link;

	switch (source->kind) {
	case SOURCE_LIFELINE:
		_exit(0);
	case SOURCE_LISTENER:
		forwarder->listeners[source->forward - forwarder->forwards].is_due = true;
		return;
	case SOURCE_SOCKET:
		if (link->is_dead || !finish_connecting(forwarder, link, source->side == 1 ? event->events : 0))
			return;
		link->is_readable[source->side] |= (event->events & ~(uint32_t)EPOLLOUT) != 0;
		link->is_broken[source->side] |= (event->events & EPOLLERR) != 0;
		make_due(forwarder, link);
	}
}

static bool has_due(const struct forwarder *forwarder)
{
	bool is_due = forwarder->due;

	for (size_t i = 0; i < forwarder->count; i++)
		is_due |= forwarder->listeners[i].is_due;
	return is_due;
}

static int watch_all(struct forwarder *forwarder, struct source *lifeline, int lifeline_fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = lifeline };

	if (lifeline_fd >= 0 && epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_ADD, lifeline_fd, &event) < 0)
		return -errno;
	for (size_t i = 0; i < forwarder->count; i++) {
		event = (struct epoll_event){ .events = EPOLLIN | EPOLLET,
					      .data.ptr = &forwarder->listeners[i].source };
		forwarder->listeners[i].source =
			(struct source){ .kind = SOURCE_LISTENER, .forward = &forwarder->forwards[i] };
		if (epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_ADD, forwarder->forwards[i].listener_fd, &event) < 0)
			return -errno;
	}
	return 0;
}

void forward_prepare(void)
{
	struct rlimit limit;

	/* A sink that has gone is an error like others. */
	(void)signal(SIGPIPE, SIG_IGN);
	/* Two for each connection: as many as may be had. Of this process alone, which starts no other. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void forward_run(struct forward *forwards, size_t count, int lifeline_fd)
{
	struct source lifeline = { .kind = SOURCE_LIFELINE };
	struct rlimit limit = { .rlim_cur = 1024 };
	struct forwarder forwarder = { .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
				       .forwards = forwards,
				       .listeners = calloc(count + 1, sizeof(struct listener)),
				       .count = count };

	forwarder.due_end = &forwarder.due;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	forwarder.links_max =
		limit.rlim_cur > FDS_OTHER + FDS_PER_LINK ? (size_t)(limit.rlim_cur - FDS_OTHER) / FDS_PER_LINK : 1;
	if (forwarder.epoll_fd < 0 || !forwarder.listeners || watch_all(&forwarder, &lifeline, lifeline_fd) < 0)
		_exit(1);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int got = epoll_wait(forwarder.epoll_fd, events, EVENTS_MAX, has_due(&forwarder) ? 0 : -1);

		if (got < 0 && errno != EINTR)
			_exit(1);
		for (int i = 0; i < got; i++)
			handle(&forwarder, &events[i]);
		run_due(&forwarder);
		free_dead(&forwarder);
	}
}
