/* SPDX-License-Identifier: Apache-2.0 */
/* A visit to a worker, for the commands beside `run`: the way in is the same for a live and for a kept one.
 *
 * A live worker's PID 1 is connected to. A kept worker's world is built again around its layers, at the same paths,
 * without a payload; this process owns it, and it ends with the visit. */
#ifndef SBX_WORKER_VISIT_H
#define SBX_WORKER_VISIT_H

#include "base/error.h"
#include "netns/publish.h"
#include "sandbox/registry/resolve.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/relay.h"
#include "sandbox/worker/spec.h"
#include "sandbox/worker/task.h"

struct server_guest;
struct visit;

/** Goes there.
 *  @word   name, id or beginning of an id, as the user typed it   @scope  enum resolve_scope
 *  @ret_visit  the caller's, visit_close()
 *  Errors: of resolve_worker(); EBUSY somebody is in that kept worker; of building its world */
int visit_open(const char *word, unsigned scope, struct visit **ret_visit, struct error *error);

/* What the world of a kept worker runs for the visit, beside its commands. */
struct visit_guest {
	/* Called with the kept worker's directory, before its world is made. @ret_guest  borrowed until visit_close();
	 * NULL: none after all   @ret_log_fd  a directory, borrowed likewise; -1: none */
	int (*prepare)(void *argument, int directory_fd, const struct server_guest **ret_guest, int *ret_log_fd,
		       struct error *error);
	void *argument;
};

/** The same, with that; a live worker has what it has. */
int visit_open_with(const char *word, unsigned scope, const struct visit_guest *guest, struct visit **ret_visit,
		    struct error *error);

/** Ends the visit, and with it the world of a kept worker: returns when all of it is gone. Takes NULL. */
void visit_close(struct visit *visit);
static inline void visit_closep(struct visit **visit)
{
	visit_close(*visit);
}
#define owned_visit __attribute__((cleanup(visit_closep))) struct visit *

/** Connects to a live worker's PID 1. @runtime_fd where its lock lies, borrowed  @ret_fd the caller's
 *  Errors: ECONNREFUSED, ENOENT: it has ended, or is just ending */
int visit_connect(int runtime_fd, const char *name, int *ret_fd, struct error *error);

/** Who is visited. Borrowed until visit_close(). */
const struct resolved_worker *visit_worker(const struct visit *visit);

/** Has a task done. One per visit to a live worker, any number in a kept one.
 *  @return its exit status, or -errno: what failed there is told in `error` */
int visit_run_task(struct visit *visit, const struct task *task, struct error *error);

/** Runs a command there, with terminal, signals and job control as `run` has them; pass_fds, environment, workdir and
 *  payload of `spec` say what.
 *  @ret_exit_code  its own, 128 + signal, or 125 to 127   @ret_result  for relay_raise(); may be NULL
 *  Errors: as attach_follow() */
int visit_run_command(struct visit *visit, const struct spec *spec, struct relay_result *ret_result, int *ret_exit_code,
		      struct error *error);

/** Starts a command in the background, its output where this program's stderr goes, without input.
 *  @ret_fd  the caller's: replies about it come there, and it ends when this is closed */
int visit_start_command(struct visit *visit, const struct text_list *command, int *ret_fd, struct error *error);

/** Its connection, to be polled for the worker's end. Borrowed. */
int visit_fd(const struct visit *visit);

/** Publishes one of its ports on this host: opens the host's end, and hands it to the world.
 *  @rule  its host_port becomes the one that was chosen where it is 0 */
int visit_publish(struct visit *visit, struct publish_rule *rule, enum ask_span span, struct error *error);
/** Takes published ports back. @text  as ports_remove() takes it   @return how many */
int visit_unpublish(struct visit *visit, const char *text, struct error *error);

/** Sends a signal to the group of its main payload. */
int visit_signal(struct visit *visit, int number, struct error *error);
/** Asks the main payload to end and waits for the worker's end: its stop signal, then KILL after the grace.
 *  @grace_ms  ASK_OWN_GRACE (ask.h): the worker's own */
int visit_stop(struct visit *visit, uint64_t grace_ms, struct error *error);
/** Has its services ended and started anew, and waits until they are ready. @grace_ms as visit_stop() */
int visit_restart(struct visit *visit, uint64_t grace_ms, struct error *error);
/** Waits for the end of the main payload. @ret_exit_code as the shell counts */
int visit_wait(struct visit *visit, int *ret_exit_code, struct error *error);

#endif
