/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/display.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mount.h"
#include "base/path.h"
#include "overlay/layers.h"

#define STEP	"show the display"
#define INSIDE	"/run/display"
#define SOCKETS "/tmp/.X11-unix/X"

void display_release(struct display *display)
{
	for (size_t i = 0; i < display->count; i++) {
		text_free(&display->parts[i].source);
		text_free(&display->parts[i].target);
		fd_close(&display->parts[i].fd);
	}
	display->count = 0;
	text_list_release(&display->environment);
}

static int add(struct display *display, const char *source, const char *target, mode_t type, struct error *error)
{
	struct stat status;

	if (stat(source, &status) < 0)
		return error_set(error, .number = errno, .step = STEP, .object = source,
				 .remedy = "look whether the display is still open");
	if ((status.st_mode & S_IFMT) != type)
		return error_set(error, .number = ENOTSOCK, .step = STEP, .object = source,
				 .cause = type == S_IFSOCK ? "it is no socket" : "it is no file");
	display->parts[display->count++] =
		(struct display_part){ .source = text_duplicate(source), .target = text_duplicate(target), .fd = -1 };
	return 0;
}

/* ":1.0" or "unix:1": the number. @return NULL: it is a display of another kind */
static char *local_number(const char *name)
{
	if (text_starts_with(name, "unix:"))
		name += strlen("unix");
	return name[0] == ':' && strspn(name + 1, "0123456789") > 0
		       ? text_format("%.*s", (int)strspn(name + 1, "0123456789"), name + 1)
		       : NULL;
}

static int find_x11(struct display *display, const char *name, struct error *error)
{
	owned_text number = local_number(name);
	owned_text socket = text_format(SOCKETS "%s", number ? number : "");
	owned_text home_key = getenv("HOME") ? path_join(getenv("HOME"), ".Xauthority") : NULL;
	const char *key = getenv("XAUTHORITY") ? getenv("XAUTHORITY") : home_key;
	struct stat status;
	int result;

	if (!number)
		return error_set(
			error, .number = EOPNOTSUPP, .step = STEP, .object = name,
			.cause = "DISPLAY leads over TCP, not to a socket of this machine",
			.remedy =
				"let the worker come at it: --reach localhost=localhost:6010 -e DISPLAY (6000 and its "
				"number), instead of --gui");
	result = add(display, socket, socket, S_IFSOCK, error);
	if (result < 0)
		return result;
	text_list_take(&display->environment, text_format("DISPLAY=%s", name));
	/* A server without access control needs none. */
	if (!key || stat(key, &status) < 0)
		return 0;
	text_list_add(&display->environment, "XAUTHORITY=" INSIDE "/Xauthority");
	return add(display, key, INSIDE "/Xauthority", S_IFREG, error);
}

static int find_wayland(struct display *display, const char *name, struct error *error)
{
	const char *directory = getenv("XDG_RUNTIME_DIR");
	owned_text path = NULL;

	if (name[0] != '/' && !directory)
		return error_set(error, .number = ENOENT, .step = STEP, .object = name,
				 .cause = "WAYLAND_DISPLAY is a name in XDG_RUNTIME_DIR, which is not set");
	path = name[0] == '/' ? text_duplicate(name) : path_join(directory, name);
	text_list_add(&display->environment, "WAYLAND_DISPLAY=" INSIDE "/wayland");
	return add(display, path, INSIDE "/wayland", S_IFSOCK, error);
}

int display_find(struct display *ret_display, struct error *error)
{
	const char *x11 = getenv("DISPLAY");
	const char *wayland = getenv("WAYLAND_DISPLAY");
	struct display display = { 0 };
	int result = 0;

	if ((!x11 || !x11[0]) && (!wayland || !wayland[0]))
		return error_set(error, .number = ENOENT, .step = STEP,
				 .cause = "neither DISPLAY nor WAYLAND_DISPLAY is set",
				 .remedy = "start sbx from a graphical session, or under xvfb-run");
	if (wayland && wayland[0])
		result = find_wayland(&display, wayland, error);
	if (result == 0 && x11 && x11[0])
		result = find_x11(&display, x11, error);
	if (result < 0) {
		display_release(&display);
		return result;
	}
	*ret_display = display;
	return 0;
}

int display_take(struct display *display, struct error *error)
{
	for (size_t i = 0; i < display->count; i++) {
		struct display_part *part = &display->parts[i];

		part->fd = mount_clone(AT_FDCWD, part->source, 0);
		if (part->fd < 0)
			return error_set(error, .number = -part->fd, .step = STEP, .object = part->source);
	}
	return 0;
}

int display_show(struct display *display, struct error *error)
{
	for (size_t i = 0; i < display->count; i++) {
		struct display_part *part = &display->parts[i];
		owned_fd target_fd = layers_open_target(part->target, true);
		int result = target_fd < 0
				     ? target_fd
				     : mount_restrict(part->fd, "", MOUNT_READ_ONLY | MOUNT_NO_SUID | MOUNT_PRIVATE);

		if (result == 0)
			result = mount_attach(part->fd, target_fd);
		fd_close(&part->fd);
		if (result < 0)
			return error_set(error, .number = -result, .step = STEP, .object = part->target);
	}
	return 0;
}
