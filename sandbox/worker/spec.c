/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/spec.h"

#include <signal.h>
#include <stdlib.h>

void spec_init(struct spec *spec)
{
	*spec = (struct spec){ .status_fd = -1, .stop_signal = SIGTERM, .stop_timeout_ms = 10000 };
	limits_init(&spec->limits);
}

void spec_release(struct spec *spec)
{
	text_free(&spec->name);
	text_free(&spec->tree);
	text_free(&spec->workdir);
	text_free(&spec->scratch);
	text_free(&spec->hostname);
	text_list_release(&spec->databases);
	for (size_t i = 0; i < spec->volumes.count; i++) {
		text_free(&spec->volumes.items[i].source);
		text_free(&spec->volumes.items[i].target);
	}
	free(spec->volumes.items);
	network_options_release(&spec->ways);
	text_list_release(&spec->add_hosts);
	text_list_release(&spec->labels);
	free(spec->pass_fds);
	environment_options_release(&spec->environment);
	text_list_release(&spec->payload);
	*spec = (struct spec){ .status_fd = -1 };
}

void spec_add_volume(struct spec *spec, const struct volume *volume)
{
	struct volume_list *list = &spec->volumes;

	list->items = reallocarray(list->items, list->count + 1, sizeof(*list->items));
	if (!list->items)
		abort();
	list->items[list->count] = *volume;
	list->items[list->count].source = text_duplicate(volume->source);
	list->items[list->count].target = text_duplicate(volume->target);
	list->count++;
}

void spec_add_pass_fd(struct spec *spec, int fd)
{
	spec->pass_fds = reallocarray(spec->pass_fds, spec->pass_fd_count + 1, sizeof(int));
	if (!spec->pass_fds)
		abort();
	spec->pass_fds[spec->pass_fd_count++] = fd;
}
