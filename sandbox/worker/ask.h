/* SPDX-License-Identifier: Apache-2.0 */
/* What an sbx command asks of a world's PID 1 and waits for, over a connection to it. Host side. */
#ifndef SBX_WORKER_ASK_H
#define SBX_WORKER_ASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "netns/publish.h"
#include "sandbox/worker/task.h"

/** Has a task done. @return its exit status, or -errno: what failed there, or the world is gone */
int ask_task(int socket, const struct task *task, struct error *error);

/** The same, of a task whose last descriptor is where its answer goes: one is passed here, and read afterwards.
 *  @task        without that descriptor   @size_max  of the answer
 *  @ret_answer  the caller's, NUL-terminated; untouched on failure   Errors: EFBIG */
int ask_task_for_text(int socket, const struct task *task, size_t size_max, char **ret_answer, struct error *error);

/** Sends a signal to the group of the main payload. */
int ask_signal(int socket, int number, struct error *error);

/** Waits for the end of the main payload. @ret_exit_code  as the shell counts */
int ask_wait(int socket, int *ret_exit_code, struct error *error);

/* How long a port stays published. */
enum ask_span {
	ASK_FOR_GOOD,  /* as long as the world lives */
	ASK_CONNECTED, /* as long as this connection */
};

/** Has a port published. @listener_fd  the host's end, borrowed */
int ask_publish(int socket, const struct publish_rule *rule, int listener_fd, enum ask_span span, struct error *error);
/** Has published ports taken back. @text  as ports_remove() takes it   @return how many */
int ask_unpublish(int socket, const char *text, struct error *error);

#define ASK_OWN_GRACE UINT64_MAX

/** Asks the main payload to end, and waits for that: its stop signal, then KILL after the grace.
 *  @grace_ms  ASK_OWN_GRACE: the worker's own */
int ask_stop(int socket, uint64_t grace_ms, int *ret_exit_code, struct error *error);

/** Has the services ended and started anew, and waits until they are ready. @grace_ms as ask_stop() */
int ask_restart(int socket, uint64_t grace_ms, struct error *error);
/** Ends a world at once, which is to be made anew. */
int ask_renewal(int socket, struct error *error);
/** Whether nobody has used the world (request.h, LEASE_FRESH). One that cannot be asked counts as used. */
bool ask_whether_unused(int socket);
/** Whether tests can run there, or soon. Errors: a service has failed, say */
int ask_whether_usable(int socket, struct error *error);
/** Makes a connection one that may do no more than CONNECT_SHARER. */
int ask_to_narrow(int socket, struct error *error);
/** Of its owner: the world goes on without it. What else PID 1 has to say meanwhile is passed over. */
int ask_detach(int socket, struct error *error);

#endif
