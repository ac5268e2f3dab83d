/* SPDX-License-Identifier: Apache-2.0 */
/* sbx reset: brings files and rows of live workers back to what they started with, and says what was put back. */
#include "sandbox/worker/reset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/pool/lease.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/visit.h"

#define STEP_RENEW "give the worker a new world"

/* main() looks whether it could be written. */
static void print(const struct invocation *invocation, const char *name, bool is_new_world,
		  const struct reset_answer *answer)
{
	owned_buffer json = { 0 };
	owned_text line = answer ? reset_format(answer) : text_duplicate("a new world");

	if (invocation->format != FORMAT_JSON) {
		(void)printf("%s: %s\n", name, line);
		return;
	}
	json_begin_object(&json, NULL);
	json_add_text(&json, "name", name);
	json_add_bool(&json, "new_world", is_new_world);
	json_add_number(&json, "files", answer ? (int64_t)answer->files : 0);
	json_add_list(&json, "databases", answer ? &answer->databases : &(struct text_list){ 0 });
	json_add_list(&json, "stays_wal", answer ? &answer->stays_wal : &(struct text_list){ 0 });
	json_add_number(&json, "meanwhile", answer ? (int64_t)answer->meanwhile : 0);
	json_add_number(&json, "microseconds", answer ? (int64_t)answer->microseconds : 0);
	json_end_object(&json);
	(void)printf("%s\n", json.bytes);
}

static int renew(const struct invocation *invocation, const struct worker_row *row, struct error *error)
{
	const char *number = strrchr(row->name, '.');
	unsigned index;
	char rest;

	if (!row->run || text_equal(row->run, row->id) || !number || sscanf(number, ".w%u%c", &index, &rest) != 1)
		return error_set(error, .number = ENOTSUP, .step = STEP_RENEW,
				 .cause = "it is no worker of a pool: its command would end with its world",
				 .remedy = "end it, and start it again");
	if (pool_lease_renew(row->run, index, error) < 0)
		return -error->number;
	print(invocation, row->name, true, NULL);
	return 0;
}

static int reset(const struct invocation *invocation, const struct state_paths *places, const char *word,
		 void *argument, struct error *error)
{
	owned_reset_answer answer = { 0 };
	owned_resolved found = { .runtime_fd = -1, .state_fd = -1 };
	owned_visit visit = NULL;
	int result = resolve_worker(places, word, RESOLVE_LIVE | RESOLVE_KEPT, &found, error);

	(void)argument;
	if (result == 0 && !found.is_live)
		result = error_set(error, .number = ESRCH, .step = "reset it",
				   .cause = "it has ended, and was kept as it was, to be looked at",
				   .remedy =
					   "'sbx shell' and 'sbx open' look into it; a new one begins as this one did");
	if (result == 0)
		result = visit_open(word, RESOLVE_LIVE, &visit, error);
	if (result == 0 && invocation->reset_restart)
		result = renew(invocation, &visit_worker(visit)->worker.row, error);
	else if (result == 0)
		result = reset_ask(visit_fd(visit), invocation->reset_rows ? RESET_ROWS : RESET_ALL, &answer, error);
	if (result >= 0 && !invocation->reset_restart)
		print(invocation, visit_worker(visit)->worker.row.name, false, &answer);
	return result < 0 ? error_context(error, "worker %s", word) : 0;
}

int verb_reset(struct invocation *invocation, struct error *error)
{
	return workers_each_at_once(invocation, 0, RESOLVE_LIVE, reset, NULL, error);
}
