/* SPDX-License-Identifier: Apache-2.0 */
/* sbx bundle: a worker into one file. What is in it: sandbox/run/pack.h. */
#include <stdio.h>

#include "base/number.h"
#include "sandbox/run/pack.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"

static void say_filtered(const struct text_list *filtered)
{
	owned_buffer line = { 0 };

	if (filtered->count == 0)
		return;
	text_buffer_add_text(&line, "not in it, since they may be credentials:");
	for (size_t i = 0; i < filtered->count; i++)
		text_buffer_format(&line, " %s", filtered->items[i]);
	say_line(line.bytes);
}

int verb_bundle(struct invocation *invocation, struct error *error)
{
	char *const *operands = invocation->operands.items;
	struct packed packed = { 0 };
	char size[32];
	int result = pack_worker(operands[0], operands[1], invocation->force ? BUNDLE_REPLACE : BUNDLE_REFUSE, &packed,
				 error);

	if (result < 0)
		return result;
	say_filtered(&packed.filtered);
	text_list_release(&packed.filtered);
	if (!invocation->quiet)
		printf("%s  %s\n", operands[1], number_format_size(packed.bytes, size, sizeof(size)));
	return 0;
}
