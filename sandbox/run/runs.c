/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/runs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "sandbox/registry/claim.h"
#include "sandbox/run/directory.h"

enum { HEAD_SIZE = 64 << 10 };

#define DAY_NS (INT64_C(86400) * 1000000000)

void runs_list_release(struct runs_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		text_free(&list->items[i].tree);
	free(list->items);
	*list = (struct runs_list){ 0 };
}

int runs_open(int state_fd, const char *id, int *ret_fd, struct error *error)
{
	owned_text path = text_format("%s/%s", state_part_name(STATE_RUNS), id);
	int fd = openat(state_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return error_set(error, .number = errno, .step = "open the run", .object = id);
	*ret_fd = fd;
	return 0;
}

/* Its first line, where that says how it began. */
static void read_head(int fd, struct runs_entry *entry)
{
	owned_fd file = openat(fd, RUN_DIRECTORY_EVENTS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	owned_json json = { 0 };
	struct stat status;
	char head[HEAD_SIZE];
	const char *end;
	ssize_t size;

	if (file < 0)
		return;
	size = fd_read_all(file, head, sizeof(head));
	if (size <= 0)
		return;
	entry->has_journal = true;
	if (fstat(file, &status) == 0)
		entry->changed_ns = clock_to_ns(&status.st_mtim);
	end = memchr(head, '\n', (size_t)size);
	if (end && json_read(&json, head, (size_t)(end - head), NULL) == 0)
		(void)json_text(json_member(json_root(&json), "tree"), &entry->tree);
}

/* @return false: it is gone, or nothing of ours */
static bool read_entry(int runs_fd, const char *name, struct runs_entry *entry)
{
	owned_fd claim = -1;
	owned_fd fd = openat(runs_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return false;
	*entry = (struct runs_entry){ .changed_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 };
	text_copy(entry->id, sizeof(entry->id), name);
	entry->is_live = claim_take(runs_fd, name, &claim, NULL) == -EBUSY;
	read_head(fd, entry);
	return true;
}

/* Ids sort by age, but those of one second do not: there the one that ended later is the newer one. */
static int newest_first(const void *a, const void *b)
{
	const struct runs_entry *one = a;
	const struct runs_entry *other = b;
	int order = strncmp(other->id, one->id, ID_TIME_LENGTH);

	return order != 0 ? order : (other->changed_ns > one->changed_ns) - (other->changed_ns < one->changed_ns);
}

static int is_id(const struct dirent *entry)
{
	return strlen(entry->d_name) == ID_LENGTH && id_is_prefix(entry->d_name, ID_LENGTH);
}

int runs_list(int state_fd, struct runs_list *ret_list, struct error *error)
{
	owned_fd runs_fd = -1;
	struct dirent **found = NULL;
	struct error missing = { 0 };
	int result = state_open_part(state_fd, STATE_RUNS, STATE_LEAVE, &runs_fd, &missing);
	int count;

	if (result == -ENOENT)
		return 0;
	if (result < 0) {
		if (error)
			*error = missing;
		return result;
	}
	count = scandirat(runs_fd, ".", &found, is_id, NULL);
	if (count < 0)
		return error_set(error, .number = errno, .step = "list the runs");
	ret_list->items = calloc((size_t)count + 1, sizeof(*ret_list->items));
	if (!ret_list->items)
		abort();
	for (int i = 0; i < count; i++) {
		if (read_entry(runs_fd, found[i]->d_name, &ret_list->items[ret_list->count]))
			ret_list->count++;
		free(found[i]);
	}
	free(found);
	qsort(ret_list->items, ret_list->count, sizeof(*ret_list->items), newest_first);
	return 0;
}

bool runs_is_prunable(const struct runs_entry *entry, size_t number, enum runs_prune which, int64_t now_ns)
{
	if (entry->is_live)
		return false;
	return which == RUNS_PRUNE_ALL || !entry->has_journal || number >= RUNS_KEPT_MAX ||
	       now_ns - entry->changed_ns > RUNS_DAYS_MAX * DAY_NS;
}

int runs_remove(int state_fd, const char *id, struct error *error)
{
	owned_text path = text_format("%s/%s", state_part_name(STATE_RUNS), id);
	owned_fd runs_fd = -1;
	owned_fd claim = -1;
	int result = state_open_part(state_fd, STATE_RUNS, STATE_LEAVE, &runs_fd, error);

	if (result >= 0)
		result = claim_take(runs_fd, id, &claim, error);
	return result < 0 ? result : claim_remove(state_fd, path, claim, error);
}

void runs_prune_old(int state_fd)
{
	owned_runs list = { 0 };
	int64_t now_ns = clock_wall_ns();
	size_t number = 0;

	if (runs_list(state_fd, &list, NULL) < 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		if (runs_is_prunable(&list.items[i], number, RUNS_PRUNE_OLD, now_ns))
			(void)runs_remove(state_fd, list.items[i].id, NULL);
		number += list.items[i].has_journal;
	}
}
