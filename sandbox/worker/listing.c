/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/listing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "sandbox/registry/state.h"

static const char *const keep_names[] = { [KEEP_NEVER] = "never", [KEEP_FAILED] = "failed", [KEEP_ALWAYS] = "always" };

static void fill_row(const struct worker_plan *plan, struct worker_row *row)
{
	const struct spec *spec = plan->spec;

	row->name = text_duplicate(plan->name ? plan->name : spec->name);
	row->run = text_duplicate(plan->run);
	row->tree = text_duplicate(plan->tree);
	row->phase = text_duplicate("starting");
	row->keep = text_duplicate(keep_names[spec->keep]);
	if (spec->scratch && path_canonical(spec->scratch, &row->scratch) < 0)
		row->scratch = NULL; /* upper_choose() will say why */
	for (size_t i = 0; i < spec->payload.count; i++)
		text_list_add(&row->command, spec->payload.items[i]);
	for (size_t i = 0; i < plan->published_count; i++)
		text_list_take(&row->ports, publish_format(&plan->published[i].rule));
	for (size_t i = 0; i < spec->labels.count; i++)
		text_list_add(&row->labels, spec->labels.items[i]);
}

/* Through /proc/self/fd, since sun_path holds 108 bytes and a directory's path may be longer, unix(7). */
static int listen_in(int directory_fd, const char *name)
{
	owned_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char file[LOCK_FILE_NAME_SIZE];
	char directory[FD_PROC_PATH_SIZE];

	(void)lock_socket_name(name, file);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", fd_proc_path(directory_fd, directory),
		       file);
	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		/* A dead one's: the name is ours by its lock. */
		if (errno != EADDRINUSE || unlinkat(directory_fd, file, 0) < 0 ||
		    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
			return -errno;
	}
	if (listen(fd, SOMAXCONN) < 0)
		return -errno;
	return fd_take(&fd);
}

static void note_unlisted(struct world_note *note, const struct error *error)
{
	owned_text why = text_format("sbx ps, exec and stop do not find it: cannot %s '%s': %s", error->step,
				     error->object, error->cause[0] ? error->cause : strerror(error->number));

	text_copy(note->what, sizeof(note->what), "not listed");
	text_copy(note->why, sizeof(note->why), why);
}

int listing_open(struct worker_plan *plan, struct listing *ret_listing, struct world_note *note, struct error *error)
{
	struct listing listing = LISTING_NONE;
	int result;

	*note = (struct world_note){ 0 };
	fill_row(plan, &listing.row);
	result = state_open_runtime(&plan->state, STATE_MAKE, &listing.runtime_fd, error);
	if (result >= 0)
		result = lock_create(listing.runtime_fd, &listing.row, &listing.lock, error);
	if (result >= 0) {
		text_copy(plan->id, sizeof(plan->id), listing.row.id);
		listing.listener_fd = listen_in(listing.runtime_fd, listing.row.name);
		if (listing.listener_fd < 0)
			result = error_set(error, .number = -listing.listener_fd, .step = "listen for other commands",
					   .object = listing.row.name);
	} else {
		(void)id_make(plan->id);
	}
	/* Environments are made from this one for each command, the last of a name winning. */
	text_list_take(&plan->environment, text_format("SBX_RUN=%s", plan->run ? plan->run : plan->id));
	plan->lock_fd = listing.lock.fd;
	plan->listener_fd = listing.listener_fd;
	*ret_listing = listing;
	if (result == -EEXIST)
		return result;
	if (result < 0) {
		note_unlisted(note, error);
		*error = (struct error){ 0 };
	}
	return 0;
}

void listing_started(struct listing *listing, pid_t pid, const char *log_directory, const struct text_list *degraded)
{
	struct worker_row *row = &listing->row;

	fd_close(&listing->listener_fd);
	if (listing->lock.fd < 0)
		return;
	text_free(&row->phase);
	row->phase = text_duplicate("running");
	row->pid = pid;
	row->log_directory = text_duplicate(log_directory);
	for (size_t i = 0; i < degraded->count; i++)
		text_list_add(&row->degraded, degraded->items[i]);
	/* What a listing shows is then older: no reason to end a worker. */
	(void)lock_write_row(&listing->lock, row, NULL);
}

void listing_rename(struct listing *listing, const char *name)
{
	if (listing->lock.fd < 0 || lock_rename(&listing->lock, name, NULL) < 0)
		return;
	text_free(&listing->row.name);
	listing->row.name = text_duplicate(name);
	(void)lock_write_row(&listing->lock, &listing->row, NULL);
}

void listing_close(struct listing *listing)
{
	fd_close(&listing->listener_fd);
	lock_release(&listing->lock);
	worker_row_release(&listing->row);
	fd_close(&listing->runtime_fd);
}

void listing_leave(struct listing *listing)
{
	lock_close(&listing->lock);
	listing_close(listing);
}
