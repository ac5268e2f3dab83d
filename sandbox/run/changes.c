/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/log.h"

static void tell(struct json_value item, changes_each *each, void *argument)
{
	struct change change = { 0 };
	owned_text kind = NULL;
	owned_text path = NULL;
	owned_text changed = NULL;
	uint64_t changed_ns = 0;

	if (json_text(json_member(item, "kind"), &kind) < 0 || json_text(json_member(item, "path"), &path) < 0)
		return;
	change.kind = kind[0];
	change.path = path;
	change.is_file = json_text_is(json_member(item, "type"), "file");
	if (json_text(json_member(item, "changed"), &changed) == 0 && log_parse_since(changed, 0, &changed_ns) == 0)
		change.changed_ms = (int64_t)(changed_ns / 1000000);
	each(argument, &change);
}

int changes_read(const struct member *member, const char *place, changes_each *each, void *argument,
		 struct error *error)
{
	struct task task = { .kind = TASK_DIFF };
	owned_json json = { 0 };
	owned_text answer = NULL;
	owned_fd connection = -1;
	int result = member_connect(member, CONNECT_FREE, &connection, error);

	text_list_add(&task.arguments, "json");
	text_list_add(&task.arguments, place);
	if (result == 0)
		result = ask_task_for_text(connection, &task, JSON_SIZE_MAX, &answer, error);
	text_list_release(&task.arguments);
	if (result >= 0 && answer)
		result = json_read(&json, answer, strlen(answer), error);
	if (result < 0)
		return error_context(error, "changes of world %s", member->listing.row.name);
	for (struct json_value item = json_first(json_root(&json)); json_type(item) != JSON_MISSING;
	     item = json_next(item))
		tell(item, each, argument);
	return 0;
}

/* A file that cannot grow: a world in which a whole database differs must not fill the supervisor's memory. */
static int make_answer(struct error *error)
{
	owned_fd fd = memfd_create("sbx rows", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, CHANGES_ROWS_BYTES_MAX) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) < 0)
		return error_set(error, .number = errno, .step = "make a file for the rows");
	return fd_take(&fd);
}

static bool is_full(int fd)
{
	return lseek(fd, 0, SEEK_CUR) >= CHANGES_ROWS_BYTES_MAX - (64 << 10);
}

int changes_read_rows(const struct member *member, char **ret_json, struct error *error)
{
	struct task task = { .kind = TASK_DB_DIFF };
	char path[FD_PROC_PATH_SIZE];
	owned_json json = { 0 };
	owned_text answer = NULL;
	owned_fd connection = -1;
	owned_fd fd = make_answer(error);
	int result = fd < 0 ? fd : member_connect(member, CONNECT_FREE, &connection, error);

	if (result < 0)
		return result;
	text_list_add(&task.arguments, "json");
	text_list_add(&task.arguments, "");
	text_list_add(&task.arguments, "");
	task.fds[task.fd_count++] = fd;
	task.fds[task.fd_count++] = fd; /* there is no copy to compare with */
	result = ask_task(connection, &task, error);
	text_list_release(&task.arguments);
	if (result < 0 && is_full(fd))
		return error_set(error, .number = EFBIG, .step = "list the rows that differ",
				 .cause = "they come to more than 1 MiB");
	if (result >= 0)
		result = fd_read_file(AT_FDCWD, fd_proc_path(fd, path), CHANGES_ROWS_BYTES_MAX + 1, &answer, NULL);
	if (result >= 0)
		result = json_read(&json, answer, strlen(answer), error);
	if (result < 0)
		return result;
	/* Between values only: in a text it is written as \n. */
	for (char *newline = answer; (newline = strchr(newline, '\n')) != NULL;)
		*newline = ' ';
	*ret_json = answer;
	answer = NULL;
	return 0;
}
