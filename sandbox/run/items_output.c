/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/items_output.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"

void items_output_tell(int events_fd, unsigned number, const char *bytes, size_t size)
{
	size_t told = MIN(size, (size_t)ITEMS_OUTPUT_TOLD_MAX);
	owned_text id = text_format("item %u", number);
	owned_buffer text = { 0 };
	owned_buffer event = { 0 };

	if (events_fd < 0 || size == 0)
		return;
	text_buffer_add(&text, bytes + size - told, told);
	/* No text holds a NUL. */
	for (size_t i = 0; i < text.length; i++)
		text.bytes[i] = text.bytes[i] == '\0' ? ' ' : text.bytes[i];
	json_begin_object(&event, NULL);
	json_add_text(&event, "type", "output");
	json_add_text(&event, "id", id);
	json_add_text(&event, "text", text.bytes);
	json_end_object(&event);
	text_buffer_add_text(&event, "\n");
	(void)fd_write_all(events_fd, event.bytes, event.length);
}
