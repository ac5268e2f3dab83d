/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner of a world and its PID 1 say to each other, over the socket made before clone. Its end of file is the
 * lifeline: PID 1 ends the world. Each message is one packet (SOCK_SEQPACKET). */
#ifndef SBX_WORKER_MESSAGE_H
#define SBX_WORKER_MESSAGE_H

#include <stdint.h>

#include "base/error.h"

enum message_kind {
	/* PID 1 to owner */
	MESSAGE_DEGRADED = 1, /* error.step: what is weaker than usual, error.cause: why; several may come */
	MESSAGE_STARTED,      /* the payload runs; number: its pid inside */
	MESSAGE_EXITED,	      /* number: wait status of the payload, as wait(2) gives it */
	MESSAGE_FAILED,	      /* error is filled; number: exit status for sbx */
	/* owner to PID 1 */
	MESSAGE_SIGNAL, /* number: signal for the payload's group */
};

struct message {
	uint32_t kind;
	int32_t number;
	struct error error;
};

/** Sends one. @return 0 or -errno */
int message_send(int socket, const struct message *message);
/** Receives one; blocks. @return 1, 0 at end of file, or -errno */
int message_receive(int socket, struct message *ret_message);

#endif
