/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "sandbox/registry/registry.h"
#include "sandbox/registry/state.h"
#include "sandbox/worker/ask.h"

#define LOG_DIRECTORY "logs"
#define LOG_BYTES_MAX (UINT64_C(256) << 20)
#define ANSWER_NAME   "answer.json"
#define ANSWER_MAX    (JSON_SIZE_MAX / 2)

static int begin(const struct worker_plan *plan, const char *id, struct keeping *keeping, struct error *error)
{
	int result = state_open(&plan->state, STATE_MAKE, &keeping->state_fd, error);

	if (result >= 0)
		result = kept_begin(keeping->state_fd, id, &keeping->draft, error);
	if (result < 0)
		return result;
	if (mkdirat(keeping->draft.fd, LOG_DIRECTORY, 0700) < 0)
		return error_set(error, .number = errno, .step = "make the directory of logs", .object = id);
	keeping->state = text_duplicate(plan->state.state);
	keeping->log_directory = text_format("%s/%s/%s/" LOG_DIRECTORY, keeping->state, state_part_name(STATE_KEPT),
					     keeping->draft.name);
	return 0;
}

int keep_begin(const struct worker_plan *plan, struct keeping *ret_keeping, struct error *error)
{
	struct keeping *keeping = ret_keeping;
	int result;

	keeping->mode = plan->spec->keep;
	if (keeping->mode == KEEP_NEVER)
		return 0;
	result = begin(plan, plan->id, keeping, error);
	return result < 0 ? result
			  : log_open(&keeping->log, keeping->draft.fd, LOG_DIRECTORY "/main", LOG_BYTES_MAX, error);
}

int keep_begin_beside(const struct worker_plan *plan, uint64_t bytes_max, struct keeping *ret_keeping, char **ret_id,
		      struct error *error)
{
	char id[ID_LENGTH + 1];
	int result;

	ret_keeping->mode = KEEP_ALWAYS;
	ret_keeping->bytes_max = bytes_max;
	result = begin(plan, id_make(id), ret_keeping, error);
	if (result == 0)
		*ret_id = text_duplicate(id);
	return result;
}

struct log_writer *keep_log(struct keeping *keeping)
{
	return keeping->log.fd >= 0 ? &keeping->log : NULL;
}

const char *keep_log_directory(const struct keeping *keeping)
{
	return keeping->log_directory;
}

/* Has a task done that answers with JSON, and reads that. @task  without its last descriptor, where the answer goes */
static int ask_for_json(const struct keeping *keeping, int control_fd, struct task *task, char **ret_json,
			struct error *error)
{
	owned_fd fd = openat(keeping->draft.fd, ANSWER_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int result;

	if (fd < 0)
		return error_set(error, .number = errno, .step = "write the description",
				 .object = keeping->draft.name);
	task->fds[task->fd_count++] = fd;
	result = ask_task(control_fd, task, error);
	if (result < 0)
		return result;
	result = fd_read_file(keeping->draft.fd, ANSWER_NAME, ANSWER_MAX, ret_json, NULL);
	if (result < 0)
		return error_set(error, .number = -result, .step = "read the description",
				 .object = keeping->draft.name);
	(void)unlinkat(keeping->draft.fd, ANSWER_NAME, 0);
	return 0;
}

static void read_size(const char *text, struct kept_worker *kept)
{
	owned_json json = { 0 };

	/* A size that is not known is 0: nothing depends on it. */
	if (json_read(&json, text, strlen(text), NULL) < 0)
		return;
	(void)json_number(json_member(json_root(&json), "entries"), &kept->entries);
	(void)json_number(json_member(json_root(&json), "bytes"), &kept->bytes);
}

static int keep(struct keeping *keeping, int control_fd, struct kept_worker *kept, struct error *error)
{
	struct task inspect = { .kind = TASK_INSPECT };
	struct task copy = { .kind = TASK_KEEP, .fds = { keeping->draft.fd }, .fd_count = 1 };
	owned_text description = NULL;
	owned_text size = NULL;
	int result = ask_for_json(keeping, control_fd, &inspect, &description, error);

	if (keeping->bytes_max > 0)
		text_list_take(&copy.arguments, text_format("%llu", (unsigned long long)keeping->bytes_max));
	if (result == 0)
		result = ask_for_json(keeping, control_fd, &copy, &size, error);
	text_list_release(&copy.arguments);
	if (result < 0)
		return result;
	read_size(size, kept);
	log_close(&keeping->log);
	kept->ended_ns = clock_wall_ns();
	text_free(&kept->row.log_directory);
	kept->row.log_directory =
		text_format("%s/%s/%s/" LOG_DIRECTORY, keeping->state, state_part_name(STATE_KEPT), kept->row.id);
	result = kept_commit(&keeping->draft, kept, description, error);
	if (result < 0)
		return result;
	registry_add_kept(keeping->state_fd, kept, NULL); /* a cache: the next listing finds the directory */
	return 1;
}

int keep_finish(struct keeping *keeping, int control_fd, struct kept_worker *kept, struct error *error)
{
	if (keeping->mode == KEEP_NEVER || (keeping->mode == KEEP_FAILED && kept->exit_status == 0))
		return 0;
	return keep(keeping, control_fd, kept, error);
}

void keep_close(struct keeping *keeping)
{
	log_close(&keeping->log);
	kept_draft_close(&keeping->draft);
	fd_close(&keeping->state_fd);
	text_free(&keeping->state);
	text_free(&keeping->log_directory);
}
