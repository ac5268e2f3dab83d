/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/expense.h"

#include "sandbox/pool/count.h"
#include "sandbox/run/advice.h"

enum { DEAR_MS = 5000 };
#define DEAR_BYTES (UINT64_C(700) * 1000 * 1000)

bool expense_is_dear(uint64_t start_ms, uint64_t memory_bytes)
{
	return start_ms > DEAR_MS || memory_bytes > DEAR_BYTES;
}

void expense_tell(const struct servers *servers, const struct servers_world *world, pid_t pid, bool says_all,
		  launch_say *say)
{
	const struct service_list *list = servers_list(servers);

	for (size_t i = 0; i < list->count; i++) {
		const char *name = list->items[i].name;
		owned_text mark = text_format(LISTENER_SERVICE_VARIABLE "=%s", name);
		uint64_t start_ms = servers_start_ms(world, i);
		uint64_t bytes = count_memory_of(pid, mark);
		bool is_dear = expense_is_dear(start_ms, bytes);
		owned_text seconds = text_format("%.1f", (double)start_ms / 1000);
		owned_text memory = text_format("%llu", (unsigned long long)(bytes >> 20));
		owned_text line = NULL;

		if (!is_dear && !says_all)
			continue;
		line = is_dear ? advice_text(ADVICE_DEAR_SERVICE, ADVICE_WORDS(name, seconds, memory))
			       : text_format("'%s' takes %s s to start and %s MiB in each world", name, seconds,
					     memory);
		say(line);
	}
}
