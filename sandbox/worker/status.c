/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/status.h"

#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"

void status_init(struct status *status, int fd)
{
	*status = (struct status){ .fd = fd, .phase = "plan" };
	if (fd >= 0)
		status->start_ns = clock_ns();
}

void status_release(struct status *status)
{
	text_list_release(&status->degraded);
}

static void begin(struct text_buffer *line, const char *event)
{
	json_begin_object(line, NULL);
	json_add_text(line, "event", event);
}

/* Who does not want to hear it any more stops nothing. */
static void end(const struct status *status, struct text_buffer *line)
{
	json_add_number(line, "milliseconds", (clock_ns() - status->start_ns) / 1000000);
	json_end_object(line);
	text_buffer_add(line, "\n", 1);
	(void)fd_write_all(status->fd, line->bytes, line->length);
}

void status_created(struct status *status, const struct worker_row *row)
{
	owned_buffer line = { 0 };

	if (status->fd < 0)
		return;
	begin(&line, "created");
	json_add_text(&line, "id", row->id);
	json_add_text(&line, "name", row->name);
	json_add_text(&line, "tree", row->tree);
	end(status, &line);
}

void status_phase(struct status *status, const char *phase)
{
	owned_buffer line = { 0 };

	status->phase = phase;
	if (status->fd < 0)
		return;
	begin(&line, "phase");
	json_add_text(&line, "phase", phase);
	end(status, &line);
}

static void add_error(struct text_buffer *line, const struct error *error)
{
	if (!error || error->step[0] == '\0') {
		json_add_null(line, "error");
		return;
	}
	json_begin_object(line, "error");
	json_add_text(line, "step", error->step);
	json_add_text(line, "object", error->object);
	json_add_text(line, "cause", error->cause[0] ? error->cause : strerror(error->number));
	json_add_text(line, "remedy", error->remedy);
	json_end_object(line);
}

void status_ended(struct status *status, const struct launch_result *result, const struct error *error)
{
	const struct relay_result *command = &result->command;
	owned_buffer line = { 0 };

	if (status->fd < 0)
		return;
	begin(&line, "ended");
	json_add_text(&line, "phase", command->has_ended ? "ended" : status->phase);
	json_add_number(&line, "exit_code", result->exit_code);
	if (command->has_ended && WIFSIGNALED(command->wait_status))
		json_add_number(&line, "signal", WTERMSIG(command->wait_status));
	else
		json_add_null(&line, "signal");
	json_add_bool(&line, "timed_out", command->timed_out);
	json_add_bool(&line, "kept", result->is_kept);
	json_add_list(&line, "degraded", &status->degraded);
	add_error(&line, error);
	end(status, &line);
}
