/* SPDX-License-Identifier: Apache-2.0 */
/* All processes of one command: those of its session, whatever process groups they made. Inside PID 1. */
#ifndef SBX_WORKER_SESSION_H
#define SBX_WORKER_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

/** Kills the members of a session, proc(5) stat field 6, until a look finds none that is alive. What has left the
 *  session (a daemon) stays, until the world's end.
 *  @session  the pid of its leader, inside */
void session_kill(pid_t session);

/** Kills its members once, which takes them a moment. @return whether there was one that is not dead yet; its end, as
 *  that of any orphan, is a SIGCHLD of PID 1 */
bool session_kill_once(pid_t session);

#endif
