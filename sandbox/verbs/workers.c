/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/workers.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/registry/registry.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/identity.h"

void worker_list_release(struct worker_list *list)
{
	lock_list_release(&list->live);
	kept_list_release(&list->kept);
	text_list_release(&list->damaged);
}

/* ---- listing ---- */

static void release_row(struct lock_entry *entry)
{
	worker_row_release(&entry->row);
}

/* Leaves the living. */
static void drop_stale(struct lock_list *list)
{
	size_t live = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].is_live)
			list->items[live++] = list->items[i];
		else
			release_row(&list->items[i]);
	}
	list->count = live;
}

static int list_live(const struct state_paths *places, struct lock_list *ret_list, struct error *error)
{
	owned_runtimes runtimes = { 0 };
	int result;

	state_open_runtimes(places, &runtimes);
	result = lock_list(runtimes.fds, runtimes.count, ret_list, error);
	if (result == 0)
		drop_stale(ret_list);
	return result;
}

static bool holds_id(const struct kept_list *list, const char *id)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(list->items[i].row.id, id))
			return true;
	return false;
}

/* The directories that the list lacks. One that was kept a moment ago is none of them: it can be read. */
static void find_damaged(int state_fd, const struct kept_list *list, struct text_list *damaged)
{
	owned_fd kept_fd = -1;
	struct dirent **found = NULL;
	int count;

	if (state_open_part(state_fd, STATE_KEPT, STATE_LEAVE, &kept_fd, NULL) < 0)
		return;
	count = scandirat(kept_fd, ".", &found, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		const char *id = found[i]->d_name;
		owned_kept_worker worker = { 0 };

		if (kept_is_worker(id) && !holds_id(list, id) &&
		    kept_read(kept_fd, id, &worker, NULL, NULL) == -EBADMSG)
			text_list_add(damaged, id);
		free(found[i]);
	}
	free(found);
}

static int compare_starts(const void *a, const void *b)
{
	const struct kept_worker *first = a;
	const struct kept_worker *second = b;

	return (first->row.started_ns > second->row.started_ns) - (first->row.started_ns < second->row.started_ns);
}

/* A state directory that cannot be used hides no live worker: it is a note. */
static void list_kept(const struct state_paths *places, struct worker_list *list)
{
	struct error note = { 0 };
	struct error failure = { 0 };
	owned_fd state_fd = -1;
	int result = state_open(places, STATE_LEAVE, &state_fd, &failure);

	if (result == -ENOENT)
		return;
	if (result == 0)
		result = registry_list(state_fd, &list->kept, &note, &failure);
	if (result < 0) {
		output_note(&failure);
		return;
	}
	output_note(&note);
	/* Ids sort by the second of their birth only. */
	if (list->kept.count > 1)
		qsort(list->kept.items, list->kept.count, sizeof(*list->kept.items), compare_starts);
	find_damaged(state_fd, &list->kept, &list->damaged);
}

int workers_list(const struct state_paths *places, unsigned scope, struct worker_list *ret_list, struct error *error)
{
	struct worker_list list = { 0 };
	int result = scope & RESOLVE_LIVE ? list_live(places, &list.live, error) : 0;

	if (result < 0)
		return result;
	if (scope & RESOLVE_KEPT)
		list_kept(places, &list);
	*ret_list = list;
	return 0;
}

/* ---- words ---- */

const char *workers_word_of_live(const struct lock_entry *entry)
{
	/* A live worker's name is its alone, and goes before those of kept ones. */
	return entry->name;
}

const char *workers_word_of_kept(const struct worker_list *list, const struct kept_worker *worker)
{
	size_t same = 0;

	for (size_t i = 0; i < list->live.count; i++)
		same += text_equal(list->live.items[i].name, worker->row.name);
	for (size_t i = 0; i < list->kept.count; i++)
		same += text_equal(list->kept.items[i].row.name, worker->row.name);
	return same > 1 ? worker->row.id : worker->row.name;
}

/* ---- each of several ---- */

static void add_all(const struct worker_list *list, struct text_list *words)
{
	for (size_t i = 0; i < list->live.count; i++)
		text_list_add(words, workers_word_of_live(&list->live.items[i]));
	for (size_t i = 0; i < list->kept.count; i++)
		text_list_add(words, workers_word_of_kept(list, &list->kept.items[i]));
	for (size_t i = 0; i < list->damaged.count; i++)
		text_list_add(words, list->damaged.items[i]);
}

static int choose_words(const struct invocation *invocation, size_t first, const struct state_paths *places,
			unsigned scope, struct text_list *words, struct error *error)
{
	const struct text_list *operands = &invocation->operands;
	owned_worker_list list = { 0 };
	int result;

	for (size_t i = first; i < operands->count; i++)
		text_list_add(words, operands->items[i]);
	if (!invocation->all)
		return 0;
	if (words->count > 0)
		return error_set(error, .number = EINVAL, .step = "choose the workers", .object = words->items[0],
				 .cause = "--all and names contradict each other", .remedy = "leave one of them out");
	result = workers_list(places, scope, &list, error);
	if (result == 0)
		add_all(&list, words);
	return result;
}

/* @return exit status; a failure is printed */
static int do_one(const struct invocation *invocation, const struct state_paths *places, const char *word,
		  worker_action *action, void *argument)
{
	struct error failure = { 0 };
	int status = action(invocation, places, word, argument, &failure);

	if (failure.number != 0)
		say_error(&failure);
	return status < 0 ? EXIT_SBX_FAILED : status;
}

int workers_each(const struct invocation *invocation, size_t first, unsigned scope, worker_action *action,
		 void *argument, struct error *error)
{
	owned_places places = { 0 };
	owned_list words = { 0 };
	int worst = 0;
	int result = identity_find_places(&places, error);

	if (result == 0)
		result = choose_words(invocation, first, &places, scope, &words, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < words.count; i++) {
		int status = do_one(invocation, &places, words.items[i], action, argument);

		worst = MAX(worst, status);
	}
	return worst;
}

/* ---- all at once ---- */

/* One process for one worker. */
struct errand {
	pid_t pid;
	int output_fd; /* what it prints */
};

/* In the new process. */
static _Noreturn void run_errand(const struct invocation *invocation, const struct state_paths *places,
				 const char *word, worker_action *action, void *argument, int output_fd)
{
	int status;

	/* It ends with whoever waits for it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2(output_fd, STDOUT_FILENO) < 0)
		_exit(EXIT_SBX_FAILED);
	status = do_one(invocation, places, word, action, argument);
	_exit(fflush(stdout) == 0 ? status : EXIT_SBX_FAILED);
}

static int start_errand(const struct invocation *invocation, const struct state_paths *places, const char *word,
			worker_action *action, void *argument, struct errand *ret_errand, struct error *error)
{
	static const char step[] = "start a process for the worker";
	owned_fd output_fd = -1;
	int ends[2];
	pid_t pid;
	int result = fd_pipe(ends, 0);

	if (result < 0)
		return error_set(error, .number = -result, .step = step, .object = word);
	output_fd = ends[1];
	pid = process_clone(0, NULL);
	if (pid == 0)
		run_errand(invocation, places, word, action, argument, output_fd);
	if (pid < 0) {
		fd_close(&ends[0]);
		return error_set(error, .number = -pid, .step = step, .object = word);
	}
	*ret_errand = (struct errand){ .pid = pid, .output_fd = ends[0] };
	return 0;
}

/* Prints what it printed, as it comes. @return its exit status */
static int finish_errand(struct errand *errand)
{
	char bytes[4096];
	int wait_status = 0;
	bool is_written = true;
	ssize_t size;

	while ((size = RETRY_EINTR(read(errand->output_fd, bytes, sizeof(bytes)))) > 0)
		is_written = fd_write_all(STDOUT_FILENO, bytes, (size_t)size) == 0 && is_written;
	fd_close(&errand->output_fd);
	if (process_wait(errand->pid, &wait_status) < 0 || !is_written)
		return EXIT_SBX_FAILED;
	return process_exit_code(wait_status);
}

/* More than these are done one batch after the other: each takes a descriptor and a process. */
#define ERRANDS_MAX 256

int workers_each_at_once(const struct invocation *invocation, size_t first, unsigned scope, worker_action *action,
			 void *argument, struct error *error)
{
	struct errand errands[ERRANDS_MAX];
	owned_places places = { 0 };
	owned_list words = { 0 };
	int worst = 0;
	int result = identity_find_places(&places, error);

	if (result == 0)
		result = choose_words(invocation, first, &places, scope, &words, error);
	for (size_t done = 0; done < words.count && result == 0;) {
		size_t count = MIN(words.count - done, (size_t)ERRANDS_MAX);
		size_t started = 0;

		while (started < count && result == 0) {
			result = start_errand(invocation, &places, words.items[done + started], action, argument,
					      &errands[started], error);
			started += result == 0;
		}
		for (size_t i = 0; i < started; i++) {
			int status = finish_errand(&errands[i]);

			worst = MAX(worst, status);
		}
		done += count;
	}
	return result < 0 ? result : worst;
}
