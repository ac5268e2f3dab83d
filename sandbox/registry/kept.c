/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/kept.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/tree.h"
#include "sandbox/registry/claim.h"
#include "sandbox/registry/state.h"

#define DRAFT_PREFIX ".draft-"
#define WORKER_FILE  "worker.json"

enum {
	WORKER_VERSION = 1,
	WORKER_FILE_SIZE_MAX = JSON_SIZE_MAX,
};

void kept_worker_release(struct kept_worker *worker)
{
	worker_row_release(&worker->row);
	*worker = (struct kept_worker){ 0 };
}

void kept_list_take(struct kept_list *list, struct kept_worker *worker)
{
	/* Grown at powers of two. */
	if ((list->count & (list->count - 1)) == 0) {
		list->items = reallocarray(list->items, list->count ? 2 * list->count : 1, sizeof(*list->items));
		if (!list->items)
			abort();
	}
	list->items[list->count++] = *worker;
	*worker = (struct kept_worker){ 0 };
}

void kept_list_release(struct kept_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		kept_worker_release(&list->items[i]);
	free(list->items);
	*list = (struct kept_list){ 0 };
}

bool kept_is_draft(const char *name)
{
	return text_starts_with(name, DRAFT_PREFIX);
}

bool kept_is_worker(const char *name)
{
	return id_is_prefix(name, ID_LENGTH);
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

int kept_begin(int state_fd, const char *id, struct kept_draft *ret_draft, struct error *error)
{
	struct kept_draft draft = { .fd = -1 };
	owned_fd kept_fd = -1;
	int result;

	assert(kept_is_worker(id));
	result = state_open_part(state_fd, STATE_KEPT, STATE_MAKE, &kept_fd, error);

	if (result < 0)
		return result;
	(void)snprintf(draft.name, sizeof(draft.name), DRAFT_PREFIX "%s", id);
	result = claim_make(kept_fd, draft.name, &draft.fd, error);
	if (result < 0)
		return result;
	draft.kept_fd = fd_take(&kept_fd);
	*ret_draft = draft;
	return 0;
}

static void format_worker(const struct kept_worker *worker, const char *spec_json, struct text_buffer *out)
{
	json_begin_object(out, NULL);
	json_add_number(out, "version", WORKER_VERSION);
	json_begin_object(out, "worker");
	worker_row_write(&worker->row, out);
	json_end_object(out);
	json_begin_object(out, "end");
	json_add_number(out, "ended_ns", worker->ended_ns);
	json_add_number(out, "exit_status", worker->exit_status);
	json_add_number(out, "bytes", worker->bytes);
	json_add_number(out, "entries", worker->entries);
	json_end_object(out);
	if (spec_json)
		json_add_raw(out, "spec", spec_json);
	json_end_object(out);
	text_buffer_add(out, "\n", 1);
}

int kept_commit(struct kept_draft *draft, const struct kept_worker *worker, const char *spec_json, struct error *error)
{
	static const char step[] = "keep the worker";
	const char *id = draft->name + sizeof(DRAFT_PREFIX) - 1;
	owned_buffer text = { 0 };
	owned_json json = { 0 };
	int result;

	format_worker(worker, spec_json, &text);
	/* What cannot be read again would be a worker lost. */
	result = json_read(&json, text.bytes, text.length, error);
	if (result < 0)
		return result;
	/* To the disk before the directory gets its name: after a crash it is whole or not there. */
	result = fd_write_durable(draft->fd, WORKER_FILE, text.bytes, text.length);
	if (result < 0)
		return error_set(error, .number = -result, .step = step, .object = worker->row.name);
	/* Over an existing one this is ENOTEMPTY: a kept worker holds at least its worker.json. */
	if (renameat(draft->kept_fd, draft->name, draft->kept_fd, id) < 0)
		return error_set(error, .number = errno == ENOTEMPTY ? EEXIST : errno, .step = step,
				 .object = worker->row.name);
	(void)fsync(draft->kept_fd); /* it is there; durable a little later is no loss */
	fd_close(&draft->fd);
	return 0;
}

void kept_draft_close(struct kept_draft *draft)
{
	if (draft->fd >= 0 && draft->name[0]) {
		(void)tree_remove(draft->kept_fd, draft->name, NULL); /* what stays is collected */
		fd_close(&draft->fd);
	}
	if (draft->name[0])
		fd_close(&draft->kept_fd);
	draft->name[0] = '\0';
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static int fail_damaged(const char *id, const char *cause, struct error *error)
{
	return error_set(error, .number = EBADMSG, .step = "read worker.json of the kept worker", .object = id,
			 .cause = cause, .remedy = "remove it with 'sbx rm', or look into the directory by hand");
}

static int read_numbers(struct json_value end, struct kept_worker *worker)
{
	struct {
		const char *name;
		int64_t *number;
	} numbers[] = {
		{ "ended_ns", &worker->ended_ns },
		{ "exit_status", &worker->exit_status },
		{ "bytes", &worker->bytes },
		{ "entries", &worker->entries },
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		int result = json_number(json_member(end, numbers[i].name), numbers[i].number);

		if (result < 0 && result != -ENOENT)
			return result;
	}
	return 0;
}

static char *copy_raw(struct json_value value)
{
	size_t length;
	const char *raw = json_raw(value, &length);

	return raw ? text_format("%.*s", (int)length, raw) : NULL;
}

int kept_read(int kept_fd, const char *id, struct kept_worker *ret_worker, char **ret_spec, struct error *error)
{
	owned_text path = text_format("%s/" WORKER_FILE, id);
	owned_kept_worker worker = { 0 };
	owned_json json = { 0 };
	owned_text text = NULL;
	struct json_value root;
	size_t size;
	int result = fd_read_file(kept_fd, path, WORKER_FILE_SIZE_MAX, &text, &size);

	if (result < 0)
		return error_set(error, .number = -result, .step = "read worker.json of the kept worker", .object = id);
	if (json_read(&json, text, size, error) < 0)
		return fail_damaged(id, "it is not JSON", error);
	root = json_root(&json);
	if (worker_row_read(json_member(root, "worker"), &worker.row) < 0 || strcmp(worker.row.id, id) != 0)
		return fail_damaged(id, "it does not describe this worker", error);
	if (read_numbers(json_member(root, "end"), &worker) < 0)
		return fail_damaged(id, "a number of it is none", error);
	if (ret_spec)
		*ret_spec = copy_raw(json_member(root, "spec"));
	*ret_worker = worker;
	worker = (struct kept_worker){ 0 };
	return 0;
}

static int is_listed(const struct dirent *entry)
{
	return kept_is_worker(entry->d_name);
}

int kept_list_directories(int state_fd, struct kept_list *ret_list, size_t *ret_damaged, struct error *error)
{
	owned_kept_list list = { 0 };
	owned_fd kept_fd = -1;
	struct dirent **found = NULL;
	size_t damaged = 0;
	int count;
	int result = state_open_part(state_fd, STATE_KEPT, STATE_LEAVE, &kept_fd, error);

	if (result < 0 && result != -ENOENT)
		return result;
	/* Sorted by name is sorted by age. */
	count = result < 0 ? 0 : scandirat(kept_fd, ".", &found, is_listed, alphasort);
	if (count < 0)
		return error_set(error, .number = errno, .step = "list the kept workers");
	for (int i = 0; i < count; i++) {
		owned_kept_worker worker = { 0 };

		/* Removed meanwhile is not damaged. */
		result = kept_read(kept_fd, found[i]->d_name, &worker, NULL, NULL);
		if (result == 0)
			kept_list_take(&list, &worker);
		else if (result != -ENOENT)
			damaged++;
		free(found[i]);
	}
	free(found);
	if (ret_damaged)
		*ret_damaged = damaged;
	*ret_list = list;
	list = (struct kept_list){ 0 };
	return 0;
}

int kept_enter(int state_fd, const char *id, int *ret_fd, struct error *error)
{
	owned_fd kept_fd = -1;
	int result;

	assert(kept_is_worker(id));
	result = state_open_part(state_fd, STATE_KEPT, STATE_LEAVE, &kept_fd, error);
	return result < 0 ? result : claim_take(kept_fd, id, ret_fd, error);
}

int kept_remove(int state_fd, const char *id, struct error *error)
{
	owned_text path = text_format("%s/%s", state_part_name(STATE_KEPT), id);
	owned_fd claim = -1;
	int result = kept_enter(state_fd, id, &claim, error);

	return result < 0 ? result : claim_remove(state_fd, path, claim, error);
}
