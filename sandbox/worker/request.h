/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol between sbx commands and a world's PID 1.
 *
 * One Unix stream socket per client: the owner's is made before clone (its end of file is the lifeline: PID 1 ends the
 * world), others connect to the world's listener in the runtime directory, checked by SO_PEERCRED. A client sends one
 * request: a fixed header, its descriptors with the first byte, then a body of `body_size` bytes. PID 1 answers with
 * replies of fixed size until REPLY_EXITED, REPLY_FAILED or REPLY_DONE; with REQUEST_SPAWN the client may go on sending
 * REQUEST_SIGNAL, REQUEST_CONTINUE on the same socket. A client that goes away ends what it spawned.
 *
 * Both sides are the same binary as a rule, but not always (an sbx upgraded while a world lives): hence the version. */
#ifndef SBX_WORKER_REQUEST_H
#define SBX_WORKER_REQUEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/worker/terminal.h"

#define REQUEST_VERSION	 1
#define REQUEST_BODY_MAX (8u << 20) /* ARG_MAX of the kernel is 6 MiB at most, execve(2) */
#define REQUEST_FDS_MAX	 16

enum request_kind {
	REQUEST_SPAWN = 1, /* body: spawn_request; fds: of 0 to 2 those that are no terminal, then those of --pass-fd */
	REQUEST_SIGNAL,	   /* argument: signal, sent to the group of this client's payload; of a client that has none:
			    * to the main one's, answered with REPLY_DONE */
	REQUEST_CONTINUE,  /* the payload's group goes on; argument: 1 in the terminal's foreground, 0 in its background
			    */
	REQUEST_STOP,	   /* argument: milliseconds of grace between the stop signal and KILL, -1: the worker's own;
			    * flags: enum stop_flag; answered as REQUEST_WAIT. A world that has services and no main
			    * payload ends with them */
	REQUEST_WAIT,	   /* answered with REPLY_EXITED when the main payload has ended, or the world without one */
	REQUEST_LEASE,	 /* the world is this connection's alone until its end. REPLY_DONE, or REPLY_FAILED with EBUSY,
			    * EAGAIN (its services are not ready yet), or what became of them; argument 1: waits instead
			    * of EBUSY and EAGAIN, who came first is first; flags: enum lease_flag */
	REQUEST_CONNECT, /* of the owner alone; fds: one end of a socket pair, which becomes a connection. argument: enum
			   * connect_right. Of another, without fds, CONNECT_SHARER: this very connection is one from
			   * then on; REPLY_DONE */
	REQUEST_RUN_TASK,  /* argument: enum task_kind; body: its arguments; fds as the task says: done in a fork of PID
			     1 */
	REQUEST_PUBLISH,   /* body: a list of one, "127.0.0.1:8080:5555"; fds: the host's listening socket. argument: 1:
			   * until this connection ends, 0: as long as the world lives */
	REQUEST_UNPUBLISH, /* body: a list of one, as ports_remove() takes it. REPLY_DONE: how many were */
	REQUEST_DETACH,	   /* of the owner alone: its end is the world's no more, which outlives its terminal, too */
	REQUEST_RESTART, /* argument: as with REQUEST_STOP; ends the services and starts them anew: REPLY_DONE when they
			    * are ready */
	REQUEST_REST,	 /* of the owner alone, not answered: ends the services that nobody needs any more, for good */
};

/* What who has the connection may do: it may be a process that is not trusted with more. */
enum connect_right {
	CONNECT_FREE,
	CONNECT_RESTRICTED, /* spawn and signal */
	CONNECT_SHARER,	    /* another world's PID 1: take ports of that world (shared.h) */
};

enum stop_flag {
	STOP_RENEW = 1 << 0, /* the world is to be made anew: whoever looks after it may do that */
};

enum lease_flag {
	/* Only if nobody has used the world: neither a lease nor a command, nor a file copied there. Else it is
	 * renewed, as by STOP_RENEW, and REPLY_FAILED says ESTALE. When such a lease ends the world does, renewed as
	 * well. */
	LEASE_FRESH = 1 << 0,
	LEASE_ASK = 1 << 1, /* is not a lease: REPLY_DONE, number: 1 nobody has used it, 0 somebody has;
			     * REPLY_FAILED: it is of no use, error says why */
};

enum reply_kind {
	REPLY_READY = 1, /* the world stands; sent to the owner once, with the annex's listening socket if it has one */
	REPLY_STEP,	 /* with --verbose: error.step is done, it took `number` nanoseconds */
	REPLY_STARTED,	 /* number: pid inside; with a terminal: its master descriptor */
	REPLY_STOPPED,	 /* number: signal that stopped the payload's group (job control) */
	REPLY_ADVICE,	 /* before REPLY_EXITED of a main payload that failed: error says what may be why */
	REPLY_EXITED,	 /* number: wait status, as wait(2) gives it */
	REPLY_FAILED,	 /* error is filled */
	REPLY_DONE,	 /* number: exit status of a task */
	REPLY_SERVICE,	 /* to the owner: what server_guest (server.h) has to tell; its own numbers */
	REPLY_DEGRADED, /* error.step holds what is weaker than usual, error.cause why; several may come before READY */
	REPLY_TAKEN,	/* to the owner: a lease with LEASE_FRESH has the world, which ends with it */
};

/* Which of the payload's descriptors 0 to 2 shall be the private terminal instead of what was passed. */
enum spawn_flag {
	SPAWN_TERMINAL_STDIN = 1 << 0,
	SPAWN_TERMINAL_STDOUT = 1 << 1,
	SPAWN_TERMINAL_STDERR = 1 << 2,
	SPAWN_TERMINAL = SPAWN_TERMINAL_STDIN | SPAWN_TERMINAL_STDOUT | SPAWN_TERMINAL_STDERR,
	SPAWN_MAIN = 1 << 3,		/* the worker's own command: its end is the worker's. Of the owner alone */
	SPAWN_OWN_ENVIRONMENT = 1 << 5, /* `set` is all of it */
	SPAWN_BACKGROUND = 1 << 4,	/* with a terminal: not its foreground group until REQUEST_CONTINUE says so */
};

struct request_header {
	uint32_t version;
	uint32_t kind;
	uint32_t flags; /* enum spawn_flag */
	uint32_t body_size;
	int64_t argument;
	uint32_t fd_count;
	uint32_t reserved; /* 0 */
};

struct reply {
	uint32_t version;
	uint32_t kind;
	int64_t number;
	struct error error;
};

/* What REQUEST_SPAWN says. */
struct spawn_request {
	struct text_list arguments;
	struct text_list set;	      /* NAME=VALUE, over the world's environment */
	struct text_list unset;	      /* NAME, taken out of it before that */
	char *directory;	      /* as typed: a relative one is below the tree; NULL: the world's own */
	int numbers[REQUEST_FDS_MAX]; /* which the passed descriptors after 0 to 2 become */
	size_t number_count;
	struct terminal_shape shape; /* of the private terminal; all zero where none is asked for */
};

void spawn_request_release(struct spawn_request *request);
void spawn_request_pack(const struct spawn_request *request, struct text_buffer *body);
/** Reads what spawn_request_pack() wrote. @return 0 or -EBADMSG; to be released in both cases */
int spawn_request_unpack(const char *body, size_t size, struct spawn_request *ret_request);

/** Packs NUL-terminated strings: a count, then the strings. */
void request_pack_list(struct text_buffer *body, char *const *items);
/** Reads what request_pack_list() wrote, from *offset on. @return 0 or -EBADMSG, nothing kept */
int request_unpack_list(const char *body, size_t size, size_t *offset, struct text_list *ret_items);

/** Sends a request; never raises SIGPIPE. @return 0 or -errno (EPIPE, ECONNRESET: PID 1 is gone, its last replies may
 *  still be read) */
int request_send(int socket, const struct request_header *header, const char *body, const int *fds);
/** Sends a reply, with one descriptor where `fd` >= 0. @return 0 or -errno */
int reply_send(int socket, const struct reply *reply, int fd);
/** Receives a reply; blocks. @ret_fd the caller's, -1 where none came; may be NULL (then one is closed)
 *  @return 1, 0 at end of file, or -errno */
int reply_receive(int socket, struct reply *ret_reply, int *ret_fd);

#endif
