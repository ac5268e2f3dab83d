/* SPDX-License-Identifier: Apache-2.0 */
/* --gui: the display that the caller's environment names, and nothing else of the caller's session.
 *
 * Of X11 the socket file of that display and the file with its key, of Wayland its socket. All of the caller's windows
 * are open to whoever may use an X11 display: hence only where it is asked for. The variables that lead to them are set
 * anew inside. What is bound is taken in PID 1 before the host is covered, and shown when the private directories are
 * there. */
#ifndef SBX_WORKER_DISPLAY_H
#define SBX_WORKER_DISPLAY_H

#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

enum { DISPLAY_PARTS_MAX = 3 };

struct display {
	struct display_part {
		char *source; /* on the host, absolute */
		char *target; /* inside */
		int fd;	      /* in PID 1: a detached mount; -1 */
	} parts[DISPLAY_PARTS_MAX];
	size_t count;
	struct text_list environment; /* NAME=VALUE, inside */
};

void display_release(struct display *display);

/** Finds it, on the host.
 *  Errors: ENOENT the environment names none, or its socket is not there; EOPNOTSUPP it is reached over TCP */
int display_find(struct display *ret_display, struct error *error);

/** In PID 1, before the root is sealed and covered. */
int display_take(struct display *display, struct error *error);
/** In PID 1, once /tmp and /run are the world's. */
int display_show(struct display *display, struct error *error);

#endif
